"""A function that a user hands in to be compiled: what is taken of it, and why Numba refuses it, in one line."""

import inspect
import re
from collections.abc import Callable
from types import BuiltinFunctionType
from typing import Any

import numpy as np
from numba import from_dtype, types
from numba.core import config

from .engine import custom
from .engine.function import fingerprint, of_library, snapshot

Function = Callable[..., Any]
BUILT_IN = (BuiltinFunctionType, np.ufunc)


def taken(function: Any, what: str, *arguments: tuple[str, ...]) -> tuple[Function, bool]:
    """A copy of the function as it is now, and whether it takes the second of the lists of arguments."""
    plain = getattr(function, "py_func", function)
    if isinstance(plain, BUILT_IN) or (inspect.isfunction(plain) and of_library(plain)):
        function = _calling(function, len(arguments[0]) if arguments else 1)
    elif not inspect.isfunction(plain):
        raise TypeError(f"{what} must be a function (def, lambda or @njit), not {function!r}")
    copy = snapshot(function, custom.compilable)
    fits = [takes(copy, len(names)) for names in arguments]
    if arguments and not any(fits):
        wanted = " or ".join(f"{what}({', '.join(names)})" for names in arguments)
        raise TypeError(f"{what} takes {inspect.signature(copy)}, but is called as {wanted}")
    return copy, len(fits) > 1 and not fits[0]


def _calling(function: Any, count: int) -> Function:
    """A plain function that calls one of a library."""
    calls: list[Function] = [lambda x: function(x), lambda x, y: function(x, y), lambda x, y, i: function(x, y, i)]
    return calls[count - 1]


def takes(function: Function, count: int) -> bool:
    try:
        inspect.signature(function).bind(*range(count))
    except TypeError:
        return False
    return True


def fingerprints(made_of: tuple) -> tuple | None:
    prints = tuple(fingerprint(part) if callable(part) else (part,) for part in made_of)
    return None if None in prints else prints


def compile_kernels(
    owner: str, tried: dict[str, tuple], dtype: np.dtype, vectors: bool = False, results: int = 1
) -> None:
    """Compiles kernels for a dtype; TypeError with the reason where Numba cannot.

    tried: {what it is called: (kernel, the user's function, how many arguments that gets)}.
    """
    if config.DISABLE_JIT:
        return
    for what, (kernel, function, count) in tried.items():
        try:
            kernel.address(dtype)
        except Exception as error:
            arguments = (from_dtype(dtype),) * count
            if vectors:
                arguments = (types.float64[::1], types.float64[::1], types.intp)[:count]
            reason = _reason(function, arguments, results if what == "update" else 1, error)
            raise TypeError(f"{what} of {owner} {reason}") from error


def _reason(function: Function, arguments: tuple, results: int, error: Exception) -> str:
    try:
        found = result_type(function, arguments)
    except Exception as own:
        return f"cannot be compiled by Numba: {essence(own)}"
    if results > 1 and not (isinstance(found, types.BaseTuple) and len(found) == results):
        return f"gives {described(found)}, but must give {results} numbers, the new w and its moments"
    if results == 1 and not isinstance(found, types.Integer | types.Float | types.Boolean):
        return f"gives {described(found)}, but must give one number"
    return f"cannot be compiled by Numba: {essence(error)}"


def result_type(function: Function, arguments: tuple) -> Any:
    """The type of what a function gives."""
    compiled: Any = custom.compilable(function)
    compiled.compile(arguments)
    return compiled.overloads[arguments].signature.return_type


def described(found: Any) -> str:
    if isinstance(found, types.BaseTuple):
        return f"{len(found)} values"
    if isinstance(found, types.NoneType):
        return "nothing"
    if isinstance(found, types.Optional):
        return "nothing on some of its paths"
    return f"{found}"


def essence(error: Exception) -> str:
    """The line of Numba's many that says what is wrong."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    text = re.split(r"Failed in \w+ mode pipeline \(step: [^)]*\)\n", text)[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    call = next((line.removeprefix(">>> ") for line in lines if line.startswith(">>> ")), "")
    return f"{lines[0]} {call}".strip()[:300]
