"""Every check of a user's input, and every message about it.

A message names the argument, says what is wrong with it and where, and what to do about it.
TypeError is for a wrong kind of object, ValueError for a wrong value of the right kind.
"""

import difflib
import math
import numbers
import operator
import os
import reprlib
import sys
import warnings
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np

CHUNK = 8192  # values tested at once: long enough to hide the call, too short for BLAS to wake its threads
SUM_TOLERANCE = 1e-3  # of a target distribution: float16 and three printed decimals stay within it

TARGETS = {
    "any": "any numbers",
    "count": "numbers that are not negative",
    "unit": "numbers in [0, 1]",
    "distribution": "labels, or rows that are not negative and sum to 1 within 0.001",
    "class": "labels, or rows of one 1 and zeros; with one output -1 and 1, or 0 and 1, which become -1 and 1",
}
"""The kinds of targets that a loss may take."""

_NOT_NUMBERS = {
    "c": ("complex numbers", "give real and imaginary part as columns of their own"),
    "U": ("strings", "number them first, as np.unique(values, return_inverse=True) does"),
    "S": ("bytes", "convert them to numbers first"),
    "T": ("strings", "number them first, as np.unique(values, return_inverse=True) does"),
    "M": ("dates", "turn them into numbers first, such as days since the earliest"),
    "m": ("time spans", "divide them by a unit first, such as np.timedelta64(1, 's')"),
    "V": ("records", "numpy.lib.recfunctions.structured_to_unstructured makes a plain array"),
}


# Samples and targets


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
    A = X if type(X) is np.ndarray and X.dtype == dtype else _numbers(X, name)
    if A.ndim == 1 and A.size:
        raise ValueError(
            f"{name} is 1-d, of shape {A.shape}, but must be 2-d, (samples, features): "
            f"pass {name}.reshape(1, -1) if it is one sample, {name}.reshape(-1, 1) if it is one feature"
        )
    if A.ndim == 0:
        raise ValueError(f"{name} is the number {A}, but must be 2-d, (samples, features): pass [[{name}]]")
    if A.ndim > 2:
        raise ValueError(
            f"{name} is {A.ndim}-d, of shape {A.shape}, but must be 2-d, (samples, features): "
            f"pass {name}.reshape(len({name}), -1) to make each sample one row"
        )
    if A.ndim != 2 or not A.size:
        lacking = "no columns" if A.ndim == 2 and len(A) else "no rows"
        raise ValueError(f"{name} has {lacking} (shape {A.shape}): give at least one sample and one feature")
    if columns is not None and A.shape[1] != columns:
        raise ValueError(f"{name} has {A.shape[1]} columns, but the network has {columns} inputs")
    return A if not finite and _is_ready(A, dtype) else _finite(A, dtype, name)


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
    A = _numbers(t, name)
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
    A = _finite(A, dtype, name)
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
    """u as finite weights (S,) of dtype, none negative, not all zero; same errors as `targets`.

    >>> sample_weights([0, 2], samples=2, dtype=np.dtype("float32"))
    array([0., 2.], dtype=float32)
    """
    A = _numbers(u, name)
    if A.shape != (samples,):
        raise ValueError(f"{name} has shape {A.shape} for {samples} samples: give one weight a sample")
    A = _finite(A, dtype, name)
    _within(A, 0, None, name, "a weight")
    if not A.any():
        raise ValueError(f"{name} is zero for every sample: give at least one a positive weight")
    return A


def permutation(order: Any, samples: int, name: str = "shuffle") -> np.ndarray:
    """order as int64 (S,), each of 0 … S - 1 once; TypeError for other than integers, else ValueError.

    >>> permutation([2, 0, 1], 3)
    array([2, 0, 1])
    """
    A = _numbers(order, name)
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
        raise TypeError(f"{name} must be a list of pairs (W, b), got {_show(values)}")
    if len(values) != len(sizes) - 1:
        raise ValueError(f"{name} has {len(values)} layers, but the network has {len(sizes) - 1}")
    checked: list[tuple[np.ndarray, np.ndarray | None]] = []
    for l, pair in enumerate(values, start=1):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise TypeError(f"{name} of layer {l} must be a pair (W, b), got {_show(pair)}")
        W = _shaped(pair[0], (sizes[l], sizes[l - 1]), dtype, f"W of layer {l}")
        if (pair[1] is not None) != bias:
            raise ValueError(f"b of layer {l} must be {'an array' if bias else 'None, as bias=False'}")
        checked.append((W, _shaped(pair[1], (sizes[l],), dtype, f"b of layer {l}") if bias else None))
    return checked


# Hyper-parameters


def integer(value: Any, name: str, low: int | None = None, high: int | None = None) -> int:
    """value as an int within [low, high]; TypeError unless an integer (a bool is none), ValueError outside.

    >>> integer(np.int8(3), "epochs", low=1)
    3
    """
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None:
        raise TypeError(f"{name} must be an integer, got {_show(value)}")
    return _in_range(number, name, low, high)


def real(
    value: Any,
    name: str,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """value as a finite float between low and high, an open end excluded; TypeError unless a real number.

    Raises ValueError for NaN, infinity, or a number outside the range.

    >>> real(0.9, "momentum", low=0, high=1, high_open=True)
    0.9
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool | np.bool_) or not _is_number(value):
        raise TypeError(f"{name} must be a real number, got {_show(value)}")
    number = _float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {_show(value)}")
    return _in_range(number, name, low, high, low_open, high_open)


def switch(value: Any, name: str) -> bool:
    """value as a bool; TypeError for anything but True and False.

    >>> switch(np.True_, "bias")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {_show(value)}")
    return bool(value)


def choice(value: Any, known: Iterable[str], name: str) -> str:
    """value if it is one of the known names; else ValueError with all of them and the nearest.

    >>> choice("relu", ["relu", "tanh"], "activation")
    'relu'
    """
    names = list(known)
    listed = ", ".join(map(repr, names))
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {listed}, got {_show(value)}")
    if value not in names:
        near = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} is {_show(value)}, but must be one of {listed}{hint}")
    return value


def float_dtype(value: Any, name: str = "dtype") -> np.dtype:
    """value as the native NumPy dtype float32 or float64; ValueError for any other, TypeError for no dtype.

    >>> float_dtype("float32")
    dtype('float32')
    """
    if not isinstance(value, str):
        try:
            value = np.dtype(value).name if value is not None else None
        except TypeError:
            pass
    return np.dtype(choice(value, ("float32", "float64"), name))


def seed(value: Any, name: str = "seed") -> int | None:
    """value as an int in [0, 2**64), or None for a seed of the system's; TypeError unless an integer.

    >>> seed(7)
    7
    """
    return None if value is None else integer(value, name, low=0, high=2**64 - 1)


def threads(value: Any, name: str = "threads") -> int | None:
    """value as an int of at least 1, or None to plan it; TypeError unless an integer, ValueError below 1.

    >>> threads(2)
    2
    """
    return None if value is None else integer(value, name, low=1)


def batch_size(value: Any, samples: int, name: str = "batch_size") -> int:
    """value as an int in [1, samples]: a larger one is cut to it with a UserWarning; else as `integer`.

    >>> batch_size(32, samples=100)
    32
    """
    number = integer(value, name, low=1)
    if number > samples:
        warnings.warn(f"{name} is {_show(number)} for {samples} samples: using {samples}", stacklevel=_users_level())
    return min(number, samples)


def layer_sizes(sizes: Any, itemsize: int = 4, name: str = "sizes") -> tuple[int, ...]:
    """sizes as (n_0, ..., n_L): at least two, each at least 1; itemsize is the bytes of one parameter.

    Raises TypeError unless a sequence of integers; ValueError for too few, for a size below 1, and for
    parameters that, with the copy kept of the last good ones, exceed the machine's memory.

    >>> layer_sizes([784, 128, 10])
    (784, 128, 10)
    """
    listed = isinstance(sizes, Sequence | np.ndarray) and not isinstance(sizes, str | bytes)
    if not listed or getattr(sizes, "ndim", 1) == 0:
        raise TypeError(f"{name} must be a sequence such as [784, 128, 10], got {_show(sizes)}")
    n = tuple(integer(size, f"{name}[{l}]", low=1, high=sys.maxsize) for l, size in enumerate(sizes))
    if len(n) < 2:
        raise ValueError(f"{name} has {len(n)} entries: give at least the inputs and the outputs")
    needed = 2 * itemsize * sum(n[l] * (n[l - 1] + 1) for l in range(1, len(n)))
    if needed > physical_memory():
        raise ValueError(
            f"{name} {_show(n)} need {needed / 2**30:.3g} GiB for the parameters and a copy, but this "
            f"machine has {physical_memory() / 2**30:.3g} GiB of memory: make a layer smaller"
        )
    return n


def physical_memory() -> int:
    """Bytes of the machine's memory; the largest address where the system does not tell.

    >>> physical_memory() > 0
    True
    """
    try:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize
    return size if size > 0 else sys.maxsize


def fits_memory(size: float, what: str, advice: str) -> None:
    """ValueError if `size` bytes are more than the machine's memory.

    >>> fits_memory(8000, "the activations of X", "give fewer rows")
    """
    if size > physical_memory():
        raise ValueError(
            f"{what} would take {size / 2**30:.3g} GiB, but this machine has {physical_memory() / 2**30:.3g} GiB "
            f"of memory: {advice}"
        )


def _users_level() -> int:
    """The stacklevel of a warning that points at the user's line, which called into this package."""
    package, level = os.path.dirname(__file__), 1
    frame = sys._getframe(1)
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == package:
        frame, level = frame.f_back, level + 1
    return level


# Arrays


def _numbers(values: Any, name: str) -> np.ndarray:
    """values as a plain array of booleans, integers or floats, without a copy where they are one."""
    parts = values if isinstance(values, list | tuple) else (values,)
    masked = sys.modules.get("numpy.ma")  # whose import takes a tenth of a first fit
    if masked and any(isinstance(part, masked.MaskedArray) for part in parts):
        raise TypeError(f"{name} is a masked array: fill its gaps first, {name}.filled(value)")
    if hasattr(values, "tocsr"):
        raise TypeError(f"{name} is a sparse matrix, which is not supported: pass {name}.toarray()")
    try:
        A = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} is no array, its rows may differ in length: {error}") from error
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"{name} cannot be read as an array: {error}") from error
    if A.dtype.kind == "O":
        return _from_objects(A, name)
    if A.dtype.kind not in "biuf":
        what, advice = _NOT_NUMBERS.get(A.dtype.kind, (str(A.dtype), "convert them to numbers first"))
        raise TypeError(f"{name} holds {what} ({A.dtype}), not real numbers: {advice}")
    return A


def _from_objects(A: np.ndarray, name: str) -> np.ndarray:
    """An array of objects as booleans or int64 if it holds nothing else, else as float64."""
    for place, value in np.ndenumerate(A):
        if not _is_number(value):
            raise TypeError(
                f"{name} holds {_show(value)} ({type(value).__name__}){_at(place)}, which is not a number: "
                "convert it, or fill what is missing"
            )
    if all(isinstance(value, bool | np.bool_) for value in A.flat):
        return A.astype(np.bool_)
    if all(isinstance(value, numbers.Integral | np.bool_) for value in A.flat):
        try:
            return A.astype(np.int64)
        except OverflowError:
            pass
    out = np.empty(A.shape)
    for place, value in np.ndenumerate(A):
        out[place] = number = _float(value)
        if math.isinf(number) and value != number:
            raise ValueError(f"{name} holds {_show(value)}{_at(place)}, which overflows float64: scale it")
    return out


def _finite(A: np.ndarray, dtype: np.dtype, name: str) -> np.ndarray:
    """A as C-contiguous, aligned, native finite numbers of dtype; A itself if it is that."""
    out = A
    if not _is_ready(A, dtype):
        with np.errstate(all="ignore"):
            out = A.astype(dtype, order="C")
    bad = _first_not_finite(out)
    if bad is None:
        return out
    place = np.unravel_index(bad, A.shape)
    value = str(A[place])  # a format would pass a long double through float
    if np.isfinite(A[place]):
        wider = "" if dtype == np.float64 else ", or use dtype='float64'"
        raise ValueError(f"{name} holds {value}{_at(place)}, which overflows {dtype}: scale {name}{wider}")
    raise ValueError(f"{name} holds {value}{_at(place)}: remove or fill what is missing or infinite")


def _is_ready(A: np.ndarray, dtype: np.dtype) -> bool:
    return bool(A.dtype == dtype and A.flags.c_contiguous and A.flags.aligned)


def _first_not_finite(A: np.ndarray) -> int | None:
    """Where the first NaN or infinity stands in A, a C-contiguous array, counted in its order."""
    flat = A.reshape(-1)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        # A finite sum of squares proves the chunk finite, in one call; if not, large squares may be why.
        if not math.isfinite(np.vdot(part, part)):
            bad = np.flatnonzero(~np.isfinite(part))
            if bad.size:
                return start + int(bad[0])
    return None


def _shaped(values: Any, shape: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
    A = _numbers(values, name)
    if A.shape != shape:
        raise ValueError(f"{name} has shape {A.shape}, but must have {shape}")
    return _finite(A, dtype, name)


def _labels(A: np.ndarray, outputs: int, name: str) -> np.ndarray:
    if A.dtype.kind == "f" and A.size:
        _finite(A, np.dtype(np.float64), name)  # a missing label is worth its own message
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
        raise ValueError(f"{name} holds {A[place]}{_at(place)}, but {what} must lie in 0 … {count - 1}")
    return np.require(A, np.int64, ["C", "A"])


def _within(A: np.ndarray, low: float, high: float | None, name: str, what: str) -> None:
    if A.min() < low or (high is not None and A.max() > high):
        place = np.unravel_index(np.argmax((A < low) | (A > (math.inf if high is None else high))), A.shape)
        needed = f"in [{low}, {high}]" if high is not None else "non-negative"
        raise ValueError(f"{name} holds {A[place]}{_at(place)}, but {what} must be {needed}: rescale {name}")


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
        raise ValueError(f"{name} holds {A[place]}{_at(place)}, but {out}")
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
            f"{name} holds {A[place]}{_at(place)}{beside}, but with one output this loss takes -1 and 1, or 0 and 1: "
            f"pass for example {name} == {A.max()}"
        )
    return A if no < 0 else 2 * A - 1


# Single values


def _is_number(value: Any) -> bool:
    # NumPy counts its time spans among the integers, and its bool among nothing.
    return isinstance(value, numbers.Real | Decimal | np.bool_) and not isinstance(value, np.timedelta64)


def _float(value: Any) -> float:
    """The float nearest to a real number: infinite if it is too large, NaN if it signals that."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value > 0 or -1)
    except ValueError:  # Decimal("sNaN")
        return math.nan


def _in_range(
    number: Any,
    name: str,
    low: float | None,
    high: float | None,
    low_open: bool = False,
    high_open: bool = False,
) -> Any:
    if low is not None and (number <= low if low_open else number < low):
        wrong = True
    else:
        wrong = high is not None and (number >= high if high_open else number > high)
    if wrong:
        bounds = []
        if low is not None:
            bounds.append(f"{'greater than' if low_open else 'at least'} {low}")
        if high is not None:
            bounds.append(f"{'less than' if high_open else 'at most'} {high}")
        raise ValueError(f"{name} must be {' and '.join(bounds)}, got {_show(number)}")
    return number


def _at(place: Sequence[Any]) -> str:
    """Where, in words: " at row 3, column 2"."""
    where = [f"{axis} {index}" for axis, index in zip(("row", "column"), place, strict=False)]
    return f" at {', '.join(where)}" if len(place) <= 2 and where else ""


def _show(value: Any) -> str:
    """A value for a message, cut short."""
    try:
        return reprlib.repr(value.item() if isinstance(value, np.generic) else value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "an integer of thousands of digits"
