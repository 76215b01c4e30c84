"""The order of an epoch for Python's own use: what the engine draws as it trains, in compiled code too."""

import numpy as np

from . import jit
from .batch import shuffle
from .jit import call

DRAW = np.dtype([(name, np.intp) for name in ("shuffle", "order", "total", "seed", "epoch")])
"""What a call of `draw` is to do: the kernel's address, where the order goes, its length, and what it follows from."""

LIKE = np.zeros(0, np.float32)
"""No number here is floating-point: one version serves all."""


@jit.entry
def draw(address, like):
    """Writes an order as the record at `address` says."""
    job = jit.at(address, DRAW, 1)[0]
    call(job.shuffle, jit.at(job.order, np.intp, job.total), job.seed, job.epoch)
    return 1


def draw_order(order: np.ndarray, seed: int | np.int64, epoch: int) -> None:
    """Writes the order that the engine draws for an epoch.

    >>> order = np.zeros(5, np.intp)
    >>> draw_order(order, seed=0, epoch=0)
    >>> sorted(order.tolist())
    [0, 1, 2, 3, 4]
    """
    with np.errstate(over="ignore"):
        job = np.array([shuffle.address(LIKE.dtype), order.ctypes.data, order.size, seed, epoch], np.intp)
        draw(job.ctypes.data, LIKE)
