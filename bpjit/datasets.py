"""Small data sets that come with bpjit, so that a first training run needs no download."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOADERS", "digits"]

Samples = tuple[NDArray[np.float32], NDArray[np.int64]]

_DARKEST = 16  # a pixel counts the dark points in a 4 x 4 block


def digits() -> Samples:
    """Handwritten digits: X float32 (1797, 64) in 0 … 1, t int64 (1797,) in 0 … 9.

    Each row of X is an 8 × 8 image, row by row from the top left; 0 is blank paper, 1 is all ink.
    The arrays are new at every call, so they may be changed.

    Source: Alpaydin and Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, https://doi.org/10.24432/C50P49, CC BY 4.0; see ``data/digits.md`` beside this file.

    >>> X, t = digits()
    >>> X.shape, t[:5].tolist()
    ((1797, 64), [0, 1, 2, 3, 4])
    """
    with np.load(Path(__file__).parent / "data" / "digits.npz", allow_pickle=False) as stored:
        # Sixteenths are exact in float32, so the division loses nothing.
        return stored["pixels"].astype(np.float32) / np.float32(_DARKEST), stored["labels"].astype(np.int64)


LOADERS: dict[str, Callable[[], Samples]] = {"digits": digits}
"""Data sets by the name that the command line knows them by."""
