"""exp, log, log1p, tanh, sigmoid and like, for functions of one's own: `bpjit.functions`.

Inside a compiled function they are arithmetic that LLVM vectorises, accurate to 3 units in the last place, while
`math.exp` and its kin are a library call for every number. Called from Python they are NumPy's.

docs/own.md shows what they are for.

>>> float(exp(0.0)), float(sigmoid(0.0))
(1.0, 0.5)
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import config
from numba.extending import overload

from . import elementwise, jit

__all__ = ["exp", "like", "log", "log1p", "sigmoid", "tanh"]


def exp(z: Any) -> Any:
    """exp(z); for z beyond the range of normal numbers the least or greatest of them."""
    return elementwise.exp(_floating(z)) if config.DISABLE_JIT else np.exp(z)


def log(z: Any) -> Any:
    """log(z) of a normal number z > 0."""
    return np.log(z)


def log1p(z: Any) -> Any:
    """log(1 + z) for 0 <= z <= 1."""
    return np.log1p(z)


def tanh(z: Any) -> Any:
    """tanh(z)."""
    return np.tanh(z)


def sigmoid(z: Any) -> Any:
    """1 / (1 + exp(-z))."""
    return 1 / (1 + exp(-z))


def like(z: Any, value: float) -> Any:
    """The constant `value` in the type of the number z: a plain 0.5 makes float64 of a float32 calculation."""
    return _floating(z).dtype.type(value)


def _floating(z: Any) -> Any:
    return z if isinstance(z, np.floating) else np.float64(z)


def _stands_for(function: Any, compiled: Any) -> None:
    """Lets the compiler take the engine's function; of integers it makes float64, as NumPy does."""

    def of_float(z):
        return compiled(z)

    def of_integer(z):
        return compiled(float(z))

    def choose(z):
        return of_float if isinstance(z, types.Float) else of_integer if isinstance(z, types.Integer) else None

    overload(function, jit_options=elementwise.EXACT)(choose)


def _like(z, value):
    if isinstance(z, types.Float):
        return lambda z, value: jit.like(z, value)
    return lambda z, value: float(value)


if not config.DISABLE_JIT:
    for _name in ("exp", "log", "log1p", "tanh", "sigmoid"):
        _stands_for(globals()[_name], getattr(elementwise, _name))
    overload(like, jit_options=elementwise.EXACT)(_like)
