"""Checks of data: features, targets, weights of samples, orders, parameters."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .arrays import as_finite, as_numbers, is_ready, shaped, where
from .settings import show

SUM_TOLERANCE = 1e-3  # of a target distribution: float16 and three printed decimals stay within it

TARGETS = {
    "any": "any numbers",
    "count": "numbers that are not negative",
    "unit": "numbers in [0, 1]",
    "distribution": "labels, or rows that are not negative and sum to 1 within 0.001",
    "class": "labels, or rows of one 1 and zeros; with one output -1 and 1, or 0 and 1, which become -1 and 1",
}
"""The kinds of targets that a loss may take."""


def features(
    X: Any, *, dtype: np.dtype, columns: int | None = None, name: str = "X", finite: bool = True
) -> np.ndarray:
    """X as finite numbers, shape (S, columns), C-contiguous, aligned and native, of dtype float32 or float64.

    An array that is all this comes back as it is; the test for finiteness then allocates nothing of its size, and is
    left out with finite=False.
    Raises TypeError for what is not an array of real numbers; ValueError for a wrong shape, no rows, no
    columns, NaN, infinity, or a number too large for dtype.

    >>> features([[1, 2], [3, 4]], dtype=np.dtype("float32"))
    array([[1., 2.],
           [3., 4.]], dtype=float32)
    """
    A = X if type(X) is np.ndarray and X.dtype == dtype else as_numbers(X, name)
    if A.ndim == 0:
        raise ValueError(f"{name} is the number {A}, but must be 2-d, (samples, features): pass [[{name}]]")
    features_shape(A.shape, columns, name)
    return A if not finite and is_ready(A, dtype) else as_finite(A, dtype, name)


def features_shape(shape: tuple[int, ...], columns: int | None, name: str) -> None:
    """Raises ValueError unless shape is (S, columns), both at least 1."""
    size = math.prod(shape)
    if len(shape) == 1 and size:
        raise ValueError(
            f"{name} is 1-d, of shape {shape}, but must be 2-d, (samples, features): "
            f"pass {name}.reshape(1, -1) if it is one sample, {name}.reshape(-1, 1) if it is one feature"
        )
    if len(shape) > 2:
        raise ValueError(
            f"{name} is {len(shape)}-d, of shape {shape}, but must be 2-d, (samples, features): "
            f"pass {name}.reshape(len({name}), -1) to make each sample one row"
        )
    if len(shape) != 2 or not size:
        lacking = "no columns" if len(shape) == 2 and shape[0] else "no rows"
        raise ValueError(f"{name} has {lacking} (shape {shape}): give at least one sample and one feature")
    if columns is not None and shape[1] != columns:
        raise ValueError(f"{name} has {shape[1]} columns, but the network has {columns} inputs")


def targets(t: Any, *, kind: str, outputs: int, samples: int, dtype: np.dtype, name: str = "t") -> np.ndarray:
    """t as a loss needs it: int64 labels (S,), or numbers (S, outputs) of dtype float32 or float64.

    kind: what the loss takes, one of TARGETS. Labels, for a "distribution" or a "class" of several outputs, are
    integers 0 … outputs - 1; booleans will do for two outputs. With one output, t of shape (S,) is read as (S, 1).
    Raises TypeError for what is not an array of real numbers and for labels that are floats; ValueError for
    another length or shape, NaN, infinity, or a value out of range.

    >>> targets([2, 0], kind="distribution", outputs=3, samples=2, dtype=np.dtype("float32"))
    array([2, 0])
    >>> targets([True, False], kind="class", outputs=1, samples=2, dtype=np.dtype("float32"))
    array([[ 1.],
           [-1.]], dtype=float32)
    """
    A = as_numbers(t, name)
    takes_labels = kind == "distribution" or (kind == "class" and outputs > 1)
    if A.ndim and len(A) != samples:
        raise ValueError(f"{name} has {len(A)} rows for {samples} samples: give each sample one target")
    if takes_labels and A.ndim == 1:
        return _labels(A, outputs, name)
    if A.ndim == 1 and outputs == 1:
        A = A.reshape(-1, 1)
    if A.shape != (samples, outputs):
        also = f", or integer labels of shape ({samples},)" if takes_labels else ""
        raise ValueError(
            f"{name} has shape {A.shape}, but {samples} samples and {outputs} outputs "
            f"need ({samples}, {outputs}){also}: reshape {name}, or change the last layer's size"
        )
    A = as_finite(A, dtype, name)
    if kind == "distribution":
        _within(A, 0, None, name, "a class's probability")
        _sums_to_one(A, name)
    elif kind == "class":
        A = _one_hot(A, name) if takes_labels else _signs(A, name)
    elif kind == "unit":
        _within(A, 0, 1, name, "a target of this loss")
    elif kind == "count":
        _within(A, 0, None, name, "a target of this loss")
    return A


def sample_weights(u: Any, *, samples: int, dtype: np.dtype, name: str = "sample_weight") -> np.ndarray:
    """u as finite weights (S,) of dtype, 0 or of the size of ordinary numbers; same errors as `targets`.

    >>> sample_weights([0, 2], samples=2, dtype=np.dtype("float32"))
    array([0., 2.], dtype=float32)
    """
    A = as_numbers(u, name)
    if A.shape != (samples,):
        raise ValueError(f"{name} has shape {A.shape} for {samples} samples: give one weight a sample")
    A = as_finite(A, dtype, name)
    _within(A, 0, None, name, "a weight")
    sizes = A.astype(np.float64)
    extreme = A[(sizes > 1e100) | ((sizes > 0) & (sizes < 1e-100))]
    if extreme.size:
        raise ValueError(f"{name} holds {extreme[0]:g}: give weights that are 0 or between 1e-100 and 1e+100")
    return A


def permutation(order: Any, samples: int, name: str = "shuffle") -> np.ndarray:
    """order as int64 (S,), each of 0 … S - 1 once; TypeError for other than integers, else ValueError.

    >>> permutation([2, 0, 1], 3)
    array([2, 0, 1])
    """
    A = as_numbers(order, name)
    if A.dtype.kind not in "iu" and A.size:
        raise TypeError(f"{name} holds {A.dtype}, but an order of samples is made of integers")
    if A.shape != (samples,):
        raise ValueError(f"{name} has shape {A.shape}, but an order of {samples} samples has ({samples},)")
    A = _indices(A, samples, name, "a sample's number")
    counts = np.bincount(A, minlength=samples)
    if samples and counts.max() > 1:
        twice = int(np.argmax(counts > 1))
        raise ValueError(f"{name} holds sample {twice} {counts[twice]} times: each sample comes exactly once")
    return A


def parameters(
    values: Any, *, sizes: Sequence[int], bias: bool, dtype: np.dtype, name: str = "parameters"
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """values as [(W^1, b^1), ...] of dtype: W^l (n_l, n_(l-1)), b^l (n_l,), or None where there is no bias.

    Arrays that are right already are not copied. Raises TypeError for other than pairs of arrays of real
    numbers; ValueError for a wrong number of layers or shape, NaN, infinity, or overflow.

    >>> parameters([([[1, 2]], [3])], sizes=(2, 1), bias=True, dtype=np.dtype("float32"))
    [(array([[1., 2.]], dtype=float32), array([3.], dtype=float32))]
    """
    if not isinstance(values, list | tuple):
        raise TypeError(f"{name} must be a list of pairs (W, b), got {show(values)}")
    if len(values) != len(sizes) - 1:
        raise ValueError(f"{name} has {len(values)} layers, but the network has {len(sizes) - 1}")
    checked: list[tuple[np.ndarray, np.ndarray | None]] = []
    for l, pair in enumerate(values, start=1):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"{name} of layer {l} must be a pair (W, b), got {show(pair)}")
        W = shaped(pair[0], (sizes[l], sizes[l - 1]), dtype, f"W of layer {l}")
        if (pair[1] is not None) != bias:
            raise ValueError(f"b of layer {l} must be {'an array' if bias else 'None, as bias=False'}")
        checked.append((W, shaped(pair[1], (sizes[l],), dtype, f"b of layer {l}") if bias else None))
    return checked


def _labels(A: np.ndarray, outputs: int, name: str) -> np.ndarray:
    if A.dtype.kind == "f" and A.size:
        as_finite(A, np.dtype(np.float64), name)  # a missing label is worth its own message
        raise TypeError(
            f"{name} holds floats ({A.dtype}), but class labels are integers 0 … {outputs - 1}: "
            f"pass {name}.astype(int) if they are whole numbers"
        )
    if A.dtype.kind == "b" and outputs != 2:
        raise TypeError(f"{name} holds booleans, which label 2 classes, but there are {outputs} outputs")
    return _indices(A, outputs, name, "a class label")


def _indices(A: np.ndarray, count: int, name: str, what: str) -> np.ndarray:
    """A as C-contiguous int64, each within 0 … count - 1."""
    if A.size and (A.min() < 0 or A.max() >= count):
        place = np.unravel_index(np.argmax((A < 0) | (A >= count)), A.shape)
        raise ValueError(f"{name} holds {A[place]}{where(place)}, but {what} must lie in 0 … {count - 1}")
    return np.require(A, np.int64, ["C", "A"])


def _within(A: np.ndarray, low: float, high: float | None, name: str, what: str) -> None:
    if A.min() < low or (high is not None and A.max() > high):
        place = np.unravel_index(np.argmax((A < low) | (A > (math.inf if high is None else high))), A.shape)
        needed = f"in [{low}, {high}]" if high is not None else "non-negative"
        raise ValueError(f"{name} holds {A[place]}{where(place)}, but {what} must be {needed}: rescale {name}")


def _sums_to_one(A: np.ndarray, name: str) -> None:
    sums = A.sum(axis=1, dtype=np.float64)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(
            f"{name} sums to {sums[row]:.6g} in row {row}, but a distribution over the classes sums to 1: "
            f"divide each row by its sum, or pass integer labels"
        )


def _one_hot(A: np.ndarray, name: str) -> np.ndarray:
    out = "this loss takes one class a sample: give rows of one 1 and zeros, or pass integer labels"
    wrong = (A != 0) & (A != 1)
    if wrong.any():
        place = np.unravel_index(np.argmax(wrong), A.shape)
        raise ValueError(f"{name} holds {A[place]}{where(place)}, but {out}")
    ones = A.sum(axis=1, dtype=np.float64)
    if (ones != 1).any():
        row = int(np.argmax(ones != 1))
        raise ValueError(f"{name} holds {ones[row]:.0f} ones in row {row}, but {out}")
    return A


def _signs(A: np.ndarray, name: str) -> np.ndarray:
    """A as -1 and 1: as it is, or from 0 and 1."""
    no = -1 if A.min() < 0 else 0
    wrong = (A != no) & (A != 1)
    if wrong.any():
        place = np.unravel_index(np.argmax(wrong), A.shape)
        beside = f" beside {A.min()}" if no < 0 and A[place] != A.min() else ""
        raise ValueError(
            f"{name} holds {A[place]}{where(place)}{beside}, but with one output this loss takes -1 and 1, or 0 and 1: "
            f"pass for example {name} == {A.max()}"
        )
    return A if no < 0 else 2 * A - 1
