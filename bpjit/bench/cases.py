"""The networks that every suite measures, and data for them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

import bpjit


@dataclass(frozen=True)
class Case:
    """A network, its mini-batch and the number of samples of an epoch: a whole number of mini-batches."""

    sizes: tuple[int, ...]
    batch_size: int
    samples: int
    dtype: str = "float32"

    @property
    def loss(self) -> str:
        return "binary_cross_entropy" if self.sizes[-1] == 1 else "cross_entropy"

    @property
    def flops(self) -> int:
        """Of a step: 2 B n_l n_(l-1) for each of forward, recursion (not for l = 1) and gradient."""
        products = [2 * self.batch_size * n * m for m, n in pairwise(self.sizes)]
        return 3 * sum(products) - products[0]


CASES = {
    "tiny": Case((2, 16, 1), 32, 6400),
    "chains": Case((4, 32, 16, 4), 1024, 10240),
    "small": Case((784, 32, 10), 32, 6400),
    "mnist": Case((784, 128, 10), 128, 12800),
    "mid": Case((784, 512, 512, 10), 128, 12800),
    "deep": Case((64,) * 10 + (10,), 64, 6400),
    "large": Case((1024, 2048, 2048, 10), 256, 2560),
}

OPTIMIZERS = {"sgd": bpjit.SGD, "adam": bpjit.Adam}


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Normally distributed features, float32 (samples, n_0), and random labels (samples,)."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.samples, case.sizes[0]), dtype=np.float32)
    return X, rng.integers(0, max(case.sizes[-1], 2), case.samples)


def network(case: Case) -> bpjit.Network:
    return bpjit.Network(case.sizes, loss=case.loss, dtype=case.dtype, seed=0)


def trainer(case: Case, optimizer: str, threads: int | None = None) -> bpjit.Trainer:
    # Random labels cannot be learnt: with a small rate the loss stays finite however long a benchmark runs.
    chosen: Any = OPTIMIZERS[optimizer](learning_rate=1e-3)
    return bpjit.Trainer(network(case), optimizer=chosen, batch_size=case.batch_size, seed=0, threads=threads)
