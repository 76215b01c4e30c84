"""A process of the guard's: trains the bpjit it finds, a turn at a time, and answers with the seconds of each.

    python worker.py '{"mnist": [[784, 128, 10], "cross_entropy", 128, 12800]}'    sizes, loss, mini-batch, samples

Reads lines "case epochs". Uses the public interface alone: it runs earlier commits, too.
"""

import json
import sys
import time
from collections.abc import Callable

import numpy as np

import bpjit


def training(sizes: list[int], loss: str, batch_size: int, samples: int) -> Callable[[int], float]:
    """A function that trains for some epochs and returns the seconds of CPU time: what others do does not count."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((samples, sizes[0]), dtype=np.float32)
    t = rng.integers(0, max(sizes[-1], 2), samples)
    net = bpjit.Network(sizes, loss=loss, seed=0)
    trainer = bpjit.Trainer(net, bpjit.Adam(learning_rate=1e-3), batch_size=batch_size, seed=0, threads=1)

    def turn(epochs: int) -> float:
        begun = time.process_time()
        trainer.fit(X, t, epochs=epochs)
        return time.process_time() - begun

    turn(1)  # compiles
    return turn


def main() -> None:
    print(bpjit.__file__, flush=True)
    turns = {case: training(*settings) for case, settings in json.loads(sys.argv[1]).items()}
    print("ready", flush=True)
    for line in sys.stdin:
        case, epochs = line.split()
        print(turns[case](int(epochs)), flush=True)


if __name__ == "__main__":
    main()
