"""Checks of settings: single numbers, switches, names, and what follows from the machine."""

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
        raise TypeError(f"{name} must be an integer, got {show(value)}")
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
    if isinstance(value, bool | np.bool_) or not is_number(value):
        raise TypeError(f"{name} must be a real number, got {show(value)}")
    number = to_float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {show(value)}")
    return _in_range(number, name, low, high, low_open, high_open)


def switch(value: Any, name: str) -> bool:
    """value as a bool; TypeError for anything but True and False.

    >>> switch(np.True_, "bias")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {show(value)}")
    return bool(value)


def choice(value: Any, known: Iterable[str], name: str) -> str:
    """value if it is one of the known names; else ValueError with all of them and the nearest.

    >>> choice("relu", ["relu", "tanh"], "activation")
    'relu'
    """
    names = list(known)
    listed = ", ".join(map(repr, names))
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {listed}, got {show(value)}")
    if value not in names:
        near = difflib.get_close_matches(value.lower(), names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{name} is {show(value)}, but must be one of {listed}{hint}")
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
        warnings.warn(f"{name} is {show(number)} for {samples} samples: using {samples}", stacklevel=_users_level())
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
        raise TypeError(f"{name} must be a sequence such as [784, 128, 10], got {show(sizes)}")
    n = tuple(integer(size, f"{name}[{l}]", low=1, high=sys.maxsize) for l, size in enumerate(sizes))
    if len(n) < 2:
        raise ValueError(f"{name} has {len(n)} entries: give at least the inputs and the outputs")
    needed = 2 * itemsize * sum(n[l] * (n[l - 1] + 1) for l in range(1, len(n)))
    if needed > physical_memory():
        raise ValueError(
            f"{name} {show(n)} need {needed / 2**30:.3g} GiB for the parameters and a copy, but this "
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
    package, level = os.path.dirname(os.path.dirname(__file__)), 1
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package + os.sep):
        frame, level = frame.f_back, level + 1
    return level


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
        raise ValueError(f"{name} must be {' and '.join(bounds)}, got {show(number)}")
    return number


def is_number(value: Any) -> bool:
    # NumPy counts its time spans among the integers, and its bool among nothing.
    return isinstance(value, numbers.Real | Decimal | np.bool_) and not isinstance(value, np.timedelta64)


def to_float(value: Any) -> float:
    """The float nearest to a real number: infinite if it is too large, NaN if it signals that."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value > 0 or -1)
    except ValueError:  # Decimal("sNaN")
        return math.nan


def show(value: Any) -> str:
    """A value for a message, cut short."""
    try:
        return reprlib.repr(value.item() if isinstance(value, np.generic) else value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        return "an integer of thousands of digits"
