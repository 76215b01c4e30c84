"""The roofline (Williams, Waterman and Patterson, 2009) with every case on it: what arithmetic and memory allow a step.

    python -m benchmarks.roofline [--plot docs/roofline.svg] [--seconds 1.5]

One thread, float32, plain SGD. Bytes of a step, at the least: the rows of X of the mini-batch; the parameters read by
the forward pass and by the recursion (not those of layer 1), read and written by the update. The slopes are measured
by reading an array over and over: of 256 MiB, from memory; of 4 MiB, from the last cache; of 256 KiB, from the second.
"""

import argparse
from pathlib import Path

from bpjit.bench.cases import CASES, Case, network
from bpjit.bench.peak import peak

from .cliffs import bandwidth, seconds_a_step

LEVELS = {"memory": 2**28, "last-level cache": 2**22, "second-level cache": 2**18}


def bytes_moved(case: Case) -> int:
    layers = [W.nbytes + b.nbytes for W, b in network(case).parameters() if b is not None]
    return 4 * case.batch_size * case.sizes[0] + 3 * sum(layers) + sum(layers[1:])


def draw(path: Path, ceiling: float, slopes: dict[str, float], points: dict[str, tuple[float, float]]) -> None:
    """points: {case: (FLOPs a byte, FLOP/s)}."""
    import matplotlib.pyplot as plt

    intensities = [2.0 ** (n / 16) for n in range(-32, 129)]
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for (name, slope), style in zip(slopes.items(), ("-", "--", ":")):
        roof = [min(ceiling, slope * x) / 1e9 for x in intensities]
        axes.plot(intensities, roof, style, color="0.4", label=f"{name}, {slope / 1e9:.0f} GB/s")
    for n, (name, (x, rate)) in enumerate(sorted(points.items(), key=lambda point: point[1])):
        axes.plot(x, rate / 1e9, "o", color="tab:blue")
        axes.annotate(name, (x, rate / 1e9), xytext=(0, -14 if n % 2 else 6), textcoords="offset points", ha="center")
    axes.set(xscale="log", yscale="log", xlabel="FLOPs a byte", ylabel="GFLOP/s, one thread, float32")
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    ceiling = peak()
    slopes = {name: bandwidth(size) for name, size in LEVELS.items()}
    print(f"peak {ceiling / 1e9:.1f} GFLOP/s, " + ", ".join(f"{n} {s / 1e9:.1f} GB/s" for n, s in slopes.items()))
    print("| case | MFLOP a step | FLOPs a byte | GFLOP/s | of the roof |\n|---|---:|---:|---:|---:|")
    points = {}
    for name, case in CASES.items():
        work, traffic = case.flops, bytes_moved(case)
        parameters = traffic - 4 * case.batch_size * case.sizes[0]
        level = next(level for level in reversed(LEVELS) if parameters < 4 * LEVELS[level])  # of about the parameters
        (step,) = seconds_a_step([case], arguments.seconds)
        rate = work / step
        roof = min(ceiling, slopes[level] * work / traffic)
        points[name] = (work / traffic, rate)
        print(
            f"| {name} | {work / 1e6:.4g} | {work / traffic:.3g} | {rate / 1e9:.1f} | {rate / roof:.0%} |", flush=True
        )
    if arguments.plot:
        draw(arguments.plot, ceiling, slopes, points)


if __name__ == "__main__":
    main()
