"""The networks that every suite measures, and data for them."""

import re
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

import numpy as np

import bpjit
from bpjit import validation

LEARNING_RATE = 1e-5
"""Random labels cannot be learnt: with a small rate the loss stays finite however long a benchmark runs, and roundings
do not grow from step to step, so that libraries that do the same end at the same parameters."""


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
    def steps(self) -> int:
        """Of an epoch."""
        return self.samples // self.batch_size

    @property
    def flops(self) -> int:
        """Of a step: 2 B n_l n_(l-1) for each of forward, recursion (not for l = 1) and gradient."""
        products = [2 * self.batch_size * n * m for m, n in pairwise(self.sizes)]
        return 3 * sum(products) - products[0]

    @property
    def notation(self) -> str:
        """Widths and mini-batch, as `case` reads them.

        >>> Case((64,) * 10 + (10,), 64, 6400).notation
        '64x10-10@64'
        """
        runs = [(width, len(list(run))) for width, run in groupby(self.sizes)]
        words = [f"{width}x{times}" if times > 2 else "-".join([str(width)] * times) for width, times in runs]
        return f"{'-'.join(words)}@{self.batch_size}"


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


def case(text: str, dtype: str = "float32") -> Case:
    """The case of that name, or the network that the text describes: widths, and after an @ its mini-batch.

    Its epoch has 10 to 100 mini-batches: as many as take some tenths of a second and 64 MB. Raises ValueError for an
    unknown name, a width or a mini-batch below 1, and a network that does not fit the memory.

    >>> case("784-64x3-10@128").sizes
    (784, 64, 64, 64, 10)
    """
    number = validation.float_dtype(dtype)
    if text in CASES:
        chosen = CASES[text]
        return Case(chosen.sizes, chosen.batch_size, chosen.samples, number.name)
    if not re.fullmatch(r"\d+(x\d+)?(-\d+(x\d+)?)+@\d+", text):
        try:
            validation.choice(text, CASES, "cases")
        except ValueError as error:
            raise ValueError(f"{error} (Or widths and a mini-batch, such as '784-64x3-10@128'.)") from None
    widths, _, batch = text.partition("@")
    runs = (map(int, run.split("x")) for run in widths.split("-"))
    sizes = tuple(width for width, *times in runs for _ in range(*(times or [1])))
    sizes = validation.layer_sizes(sizes, number.itemsize, "cases")
    batch_size = validation.integer(int(batch), f"the mini-batch of {text}", low=1)
    one_step = Case(sizes, batch_size, batch_size, number.name)
    steps = min(2**24 // (batch_size * sizes[0]), 2 * 10**10 // one_step.flops)
    return Case(sizes, batch_size, batch_size * min(100, max(10, steps)), number.name)


def data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Normally distributed features (samples, n_0) of the case's dtype, and labels (samples,), each as often."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((case.samples, case.sizes[0]), dtype=np.dtype(case.dtype).type)
    return X, rng.permutation(np.arange(case.samples) % max(case.sizes[-1], 2))


def network(case: Case) -> bpjit.Network:
    return bpjit.Network(case.sizes, loss=case.loss, dtype=case.dtype, seed=0)


def trainer(case: Case, optimizer: str, threads: int | None = None, shuffle: bool = True) -> bpjit.Trainer:
    chosen: Any = OPTIMIZERS[optimizer](learning_rate=LEARNING_RATE)
    return bpjit.Trainer(network(case), chosen, batch_size=case.batch_size, seed=0, threads=threads, shuffle=shuffle)
