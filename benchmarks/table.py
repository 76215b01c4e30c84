"""The speed of every case as a share of what the hardware can do, measured beside it.

    python -m benchmarks.table [--threads N] [--dtype float64] [CASE ...]

A step: rows in a new random order each epoch, forward, backward, update. Best of many epochs.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from bpjit.bench.cases import CASES, OPTIMIZERS, Case, data, trainer
from bpjit.bench.peak import peak


def seconds_a_step(case: Case, optimizer: str, threads: int | None, dtype: str, seconds: float) -> float:
    X, t = data(case)
    run = trainer(replace(case, dtype=dtype), optimizer, threads)
    X = X.astype(dtype)
    epochs = 1
    run.fit(X, t, epochs=2)
    best, stop = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begun = time.perf_counter()
        run.fit(X, t, epochs=epochs)
        elapsed = time.perf_counter() - begun
        best = min(best, elapsed / epochs)
        epochs = max(epochs, min(1000, int(0.4 / best)))  # a fit checks its data first: let it be a small part
    return best / (case.samples // case.batch_size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seconds", type=float, default=1.5)
    arguments = parser.parse_args()
    print("| case | optimiser | µs a step | GFLOP/s | share of one core's peak |\n|---|---|---:|---:|---:|")
    for name in arguments.cases or CASES:
        case = CASES[name]
        for optimizer in OPTIMIZERS:
            ceiling = peak(arguments.dtype)
            step = seconds_a_step(case, optimizer, arguments.threads, arguments.dtype, arguments.seconds)
            rate = case.flops / step
            label = f"{name} {'-'.join(map(str, case.sizes))} B{case.batch_size}"
            print(f"| {label} | {optimizer} | {step * 1e6:.1f} | {rate / 1e9:.1f} | {rate / ceiling:.0%} |", flush=True)


if __name__ == "__main__":
    main()
