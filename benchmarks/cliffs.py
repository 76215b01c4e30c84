"""No cliffs: a training step of an awkward size, per FLOP, beside that of the even sizes next to it.

    python -m benchmarks.cliffs [--seconds 0.5]

One thread, float32, plain SGD; the sizes of a comparison take turns, best of many epochs, as the history has them
(the checks of the data at the beginning of a fit do not count). A ratio of 1.00 is no cliff.
For a batch of few samples, the last column compares the step with what the memory can do: the parameters read by the
forward pass, those of the layers from the second on read by the recursion, all read and written by the update, at the
speed of reading an array of their size; or with the FLOPs at the core's peak, where that takes longer.
"""

import argparse
import time
from dataclasses import replace

import numba
import numpy as np

from bpjit.bench.cases import CASES, Case, data, network, trainer
from bpjit.bench.peak import peak
from bpjit.engine import jit

MNIST = replace(CASES["mnist"], samples=6400)
MID = replace(CASES["mid"], samples=1280)
NEIGHBOURS = [(3, 16), (50, 48, 64), (100, 96, 128), (300, 288, 320)]
HIDDEN, INPUTS, OUTPUTS = (784, 0, 0, 10), (0, 128, 10), (128, 128, 0)


def batches(case: Case, *sizes: int) -> list[Case]:
    return [replace(case, batch_size=size) for size in sizes]


def widths(sizes: tuple[int, ...], *widths: int) -> list[Case]:
    """Networks of these sizes, each width in the places of 0."""
    return [Case(tuple(n or width for n in sizes), 128, 2560) for width in widths]


COMPARISONS = [
    *(batches(case, size, 32, 128) for case in (MNIST, MID) for size in (1, 8, 20, case.samples)),
    *(widths(sizes, *near) for sizes in (HIDDEN, INPUTS) for near in NEIGHBOURS),
    *(widths(OUTPUTS, *near) for near in [(1, 10, 16), (2, 10, 16), (1000, 1024)]),
]
"""The first of each with the others."""


def seconds_a_step(cases: list[Case], seconds: float) -> list[float]:
    """Of cases that take turns, the best of each."""
    runs = [(trainer(case, "sgd", threads=1), *data(case)) for case in cases]
    for run, X, t in runs:
        run.fit(X, t, epochs=1)
    stop = time.perf_counter() + seconds * len(cases)
    while time.perf_counter() < stop:
        for run, X, t in runs:
            run.fit(X, t, epochs=max(1, int(0.05 / min(run.history["seconds"]))))
    return [min(run.history["seconds"]) * case.batch_size / case.samples for (run, *_), case in zip(runs, cases)]


@numba.njit(**jit.OPTIONS)
def _total(x):
    total = x[0]
    for k in range(1, x.size):
        total += x[k]
    return total


def bandwidth(size: int) -> float:
    """Bytes a second of reading an array of `size` bytes over and over."""
    x = np.ones(size // 4, np.float32)
    _total(x)
    best = np.inf
    for _ in range(200):
        begun = time.perf_counter()
        _total(x)
        best = min(best, time.perf_counter() - begun)
    return size / best


def least_seconds(case: Case) -> float:
    """What a step must take: its memory traffic or its arithmetic, whichever takes longer."""
    layers = [W.nbytes + b.nbytes for W, b in network(case).parameters() if b is not None]
    traffic = 3 * sum(layers) + sum(layers[1:])
    return max(traffic / bandwidth(sum(layers)), case.flops / peak())


def label(case: Case) -> str:
    return f"{'-'.join(map(str, case.sizes))} B{case.batch_size}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    arguments = parser.parse_args()
    print(
        "| network, mini-batch | µs a step | beside | µs a step | time per FLOP, ratio | ratio to the least possible |"
    )
    print("|---|---:|---|---:|---:|---:|")
    for cases in COMPARISONS:
        case, (step, *steps) = cases[0], seconds_a_step(cases, arguments.seconds)
        least = f"{step / least_seconds(case):.2f}" if case.batch_size <= 8 else ""
        for other, its_step in zip(cases[1:], steps):
            ratio = (step / case.flops) / (its_step / other.flops)
            row = f"{label(case)} | {step * 1e6:.1f} | {label(other)} | {its_step * 1e6:.1f} | {ratio:.2f}"
            print(f"| {row} | {least} |", flush=True)


if __name__ == "__main__":
    main()
