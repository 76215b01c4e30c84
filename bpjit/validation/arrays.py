"""What all checks of arrays share: any object as an array of numbers, finite ones, and where one is not."""

import math
import numbers
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .settings import is_number, show, to_float

CHUNK = 8192  # values tested at once: long enough to hide the call, too short for BLAS to wake its threads

_NOT_NUMBERS = {
    "c": ("complex numbers", "give real and imaginary part as columns of their own"),
    "U": ("strings", "number them first, as np.unique(values, return_inverse=True) does"),
    "S": ("bytes", "convert them to numbers first"),
    "T": ("strings", "number them first, as np.unique(values, return_inverse=True) does"),
    "M": ("dates", "turn them into numbers first, such as days since the earliest"),
    "m": ("time spans", "divide them by a unit first, such as np.timedelta64(1, 's')"),
    "V": ("records", "numpy.lib.recfunctions.structured_to_unstructured makes a plain array"),
}


def as_numbers(values: Any, name: str) -> np.ndarray:
    """values as a plain array of booleans, integers or floats, without a copy where they are one."""
    parts = values if isinstance(values, list | tuple) else (values,)
    # Its import takes a tenth of a first fit; another thread may be at it.
    masked = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    if masked and any(isinstance(part, masked) for part in parts):
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
    real_numbers(A.dtype, name)
    return A


def real_numbers(dtype: np.dtype, name: str) -> None:
    """Raises TypeError unless it is a dtype of booleans, integers or floats."""
    if dtype.kind not in "biuf":
        what, advice = _NOT_NUMBERS.get(dtype.kind, (str(dtype), "convert them to numbers first"))
        raise TypeError(f"{name} holds {what} ({dtype}), not real numbers: {advice}")


def _from_objects(A: np.ndarray, name: str) -> np.ndarray:
    """An array of objects as booleans or int64 if it holds nothing else, else as float64."""
    for place, value in np.ndenumerate(A):
        if not is_number(value):
            raise TypeError(
                f"{name} holds {show(value)} ({type(value).__name__}){where(place)}, which is not a number: "
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
        out[place] = number = to_float(value)
        if math.isinf(number) and value != number:
            raise ValueError(f"{name} holds {show(value)}{where(place)}, which overflows float64: scale it")
    return out


def as_finite(
    A: np.ndarray, dtype: np.dtype, name: str, place_of: Callable[[int], Sequence[Any]] | None = None
) -> np.ndarray:
    """A as C-contiguous, aligned, native finite numbers of dtype; A itself if it is that.

    place_of: row and column of a number of A, for a message, where they are not those in A.
    """
    out = A
    if not is_ready(A, dtype):
        with np.errstate(all="ignore"):
            out = A.astype(dtype, order="C")
    bad = _first_not_finite(out)
    if bad is None:
        return out
    value = A[np.unravel_index(bad, A.shape)]
    at = where(place_of(bad) if place_of else np.unravel_index(bad, A.shape))
    shown = str(value)  # a format would pass a long double through float
    if np.isfinite(value):
        wider = "" if dtype == np.float64 else ", or use dtype='float64'"
        raise ValueError(f"{name} holds {shown}{at}, which overflows {dtype}: scale {name}{wider}")
    raise ValueError(f"{name} holds {shown}{at}: remove or fill what is missing or infinite")


def is_ready(A: np.ndarray, dtype: np.dtype) -> bool:
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


def shaped(values: Any, shape: tuple[int, ...], dtype: np.dtype, name: str) -> np.ndarray:
    A = as_numbers(values, name)
    if A.shape != shape:
        raise ValueError(f"{name} has shape {A.shape}, but must have {shape}")
    return as_finite(A, dtype, name)


def where(place: Sequence[Any]) -> str:
    """The place in words: " at row 3, column 2"."""
    parts = [f"{axis} {index}" for axis, index in zip(("row", "column"), place, strict=False)]
    return f" at {', '.join(parts)}" if len(place) <= 2 and parts else ""
