"""Checks of features that are never made ready as a whole: sparse matrices, and arrays that lie in a file."""

from functools import partial
from mmap import mmap
from typing import Any

import numpy as np

from .arrays import as_finite, as_numbers, is_ready, real_numbers
from .data import features_shape

BLOCK_BYTES = 2**23
"""Of the rows that are made ready at a time: they stay in the third-level cache."""


def rows_in_block(columns: int, dtype: np.dtype) -> int:
    """How many rows are made ready at a time.

    >>> rows_in_block(1000, np.dtype("float32"))
    2097
    """
    return max(1, BLOCK_BYTES // (columns * dtype.itemsize))


def sparse(X: Any, *, dtype: np.dtype, columns: int | None = None, name: str = "X") -> Any:
    """X, a sparse matrix or array of SciPy's in any format, as CSR of finite numbers of dtype, each place once.

    A CSR matrix that is all this comes back as it is. Raises what `features` raises.

    >>> import scipy.sparse
    >>> sparse(scipy.sparse.coo_array([[0, 2]]), dtype=np.dtype("float32")).toarray()
    array([[0., 2.]], dtype=float32)
    """
    real_numbers(X.dtype, name)
    features_shape(X.shape, columns, name)
    A = X.tocsr()
    if not A.has_canonical_format:
        A = A.copy() if A is X else A
        A.sum_duplicates()

    def place_of(k: int) -> tuple[int, int]:
        return int(np.searchsorted(A.indptr, k, "right")) - 1, int(A.indices[k])

    data = as_finite(A.data, dtype, name, place_of)
    return A if data is A.data else type(A)((data, A.indices, A.indptr), shape=A.shape)


def is_mapped(X: Any) -> bool:
    """Whether X is an array, or a view of one, that lies in a file.

    >>> is_mapped(np.zeros(3))
    False
    """
    while isinstance(X, np.ndarray | memoryview):
        X = X.base if isinstance(X, np.ndarray) else X.obj
    return isinstance(X, mmap)


def mapped(
    X: np.ndarray, *, dtype: np.dtype, columns: int | None = None, name: str = "X", finite: bool = True
) -> np.ndarray:
    """X, an array that lies in a file, as it is: its numbers are tested block by block, as those of dtype.

    Raises what `features` raises; finite=False leaves the test of the numbers out.

    >>> mapped(np.array([[1, 2]]), dtype=np.dtype("float32"))
    array([[1, 2]])
    """
    A = as_numbers(X, name)
    features_shape(A.shape, columns, name)
    if finite and A.dtype.kind == "f":  # no integer is too large
        rows = len(A) if is_ready(A, dtype) else rows_in_block(A.shape[1], dtype)
        for first in range(0, len(A), rows):
            place_of = partial(_place, first, A.shape[1])
            as_finite(A[first : first + rows], dtype, name, place_of)
    return A


def _place(first: int, columns: int, k: int) -> tuple[int, int]:
    """Row and column of number k of the block that begins with row `first`."""
    return first + k // columns, k % columns
