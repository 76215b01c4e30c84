"""A function as the compiler takes it: with the globals it reads, the numbers it closes over, the functions it calls.

Numba freezes all of these into machine code. So they belong to the key of what is kept on disk (`fingerprint`), and a
user's function is copied with them when it is registered (`snapshot`): whenever it is compiled, it is still the same.
"""

import dis
import hashlib
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

import numba
import numpy as np
from numba.core import config
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

LIBRARIES = {"bpjit", "builtins", "cmath", "math", "numba", "numpy", "operator"}
"""Functions and modules of these are what their name says: their versions are part of every key."""

CONSTANTS = (bool, int, float, complex, str, bytes, type(None), type(...), np.generic, np.dtype, numba.types.Type)


class UnknownContentError(Exception):
    """Something that may change what a function does, though it looks the same."""


def fingerprint(function: Any) -> tuple | None:
    """What a function does, as nested tuples that are equal in every process; None where that cannot be known."""
    try:
        return _of_function(getattr(function, "py_func", function), {})
    except UnknownContentError:
        return None


def _of_function(function: Any, seen: dict[int, int]) -> tuple:
    if not isinstance(function, FunctionType):
        return _of_value(function, seen, set())
    if id(function) in seen:
        return ("seen", seen[id(function)])
    seen[id(function)] = len(seen)
    code = function.__code__
    attributes = set(_names(code))

    def of(value: Any) -> tuple:
        return _of_value(value, seen, attributes)

    cells = tuple(of(_contents(cell)) for cell in function.__closure__ or ())
    if of_library(function):  # what it reads there changes with the package
        return (_of_code(code), cells)
    defaults = of(function.__defaults__), of(tuple(sorted((function.__kwdefaults__ or {}).items())))
    read = [(name, function.__globals__[name]) for name in sorted(globals_read(code)) if name in function.__globals__]
    return (_of_code(code), cells, *defaults, tuple((name, of(value)) for name, value in read))


def _of_value(value: Any, seen: dict[int, int], attributes: set[str]) -> tuple:
    """attributes: those that the code asks for, of modules among other things."""
    if isinstance(value, CONSTANTS):
        return (type(value).__name__, repr(value))
    if isinstance(value, np.ndarray) and value.dtype != object:
        return ("array", str(value.dtype), value.shape, hashlib.sha256(value.tobytes()).hexdigest())
    if isinstance(value, tuple):
        return (type(value).__name__, *(_of_value(v, seen, attributes) for v in value))
    if isinstance(value, Dispatcher):
        options = tuple((name, _of_constant(option)) for name, option in sorted(value.targetoptions.items()))
        return ("jitted", options, _of_function(value.py_func, seen))
    if isinstance(value, ModuleType):
        if _library(value.__name__):
            return ("module", value.__name__)
        asked = sorted(name for name in attributes if hasattr(value, name))
        return ("module", value.__name__, *(_of_value(getattr(value, name), seen, attributes) for name in asked))
    if isinstance(value, FunctionType) and (value.__closure__ or not of_library(value)):
        if not of_library(value) and _implemented_elsewhere(value):
            raise UnknownContentError(value)
        return _of_function(value, seen)
    if isinstance(value, type | FunctionType | BuiltinFunctionType | np.ufunc) or _library(type(value).__module__):
        name = getattr(value, "__qualname__", getattr(value, "__name__", None))
        home = getattr(value, "__module__", None)
        if name and _library(home or "numpy"):
            return ("of a library", home, name)
    raise UnknownContentError(value)


def _of_code(code: CodeType) -> tuple:
    constants = tuple(_of_constant(constant) for constant in code.co_consts)
    return (code.co_code.hex(), constants, code.co_names, code.co_argcount, code.co_kwonlyargcount, code.co_flags)


def _of_constant(constant: Any) -> Any:
    if isinstance(constant, CodeType):
        return _of_code(constant)
    if isinstance(constant, set | frozenset):  # their order differs from process to process
        return ("set", *sorted(map(repr, constant)))
    return tuple(map(_of_constant, constant)) if isinstance(constant, tuple) else repr(constant)


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set yet: Numba refuses whoever reads it
        return None


def _library(module: str | None) -> bool:
    return (module or "").partition(".")[0] in LIBRARIES


def of_library(function: FunctionType) -> bool:
    """Whether a function stands in a module of LIBRARIES (and is no example in its documentation)."""
    module = sys.modules.get(function.__module__ or "")
    return _library(function.__module__) and module is not None and vars(module) is function.__globals__


def _names(code: CodeType) -> tuple[str, ...]:
    return code.co_names + tuple(n for c in code.co_consts if isinstance(c, CodeType) for n in _names(c))


def globals_read(code: CodeType) -> set[str]:
    """The names of globals that a function reads, or those inside it."""
    names = {step.argval for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(globals_read(c) for c in code.co_consts if isinstance(c, CodeType)))


def _implemented_elsewhere(function: FunctionType) -> bool:
    """Whether the compiler takes something else for the function than what stands in it, as after numba's overload."""
    if config.DISABLE_JIT:
        return False
    context = cpu_target.typing_context
    context.refresh()
    try:
        context.resolve_value_type(function)
    except (ValueError, KeyError, NumbaError):
        return False
    return True


def snapshot(function: Callable, compiled: Callable) -> Any:
    """A copy of a plain or jitted function that keeps what it reads and calls as it is now; plain Python again.

    The functions it calls are copied likewise. The plain ones among them, which Numba would refuse, are given to
    `compiled`; jitted ones keep their options.
    """
    copy = _copied(function, compiled, {})
    return getattr(copy, "py_func", copy)


def _copied(value: Any, compiled: Callable, copies: dict[int, Any]) -> Any:
    jitted = isinstance(value, Dispatcher)
    function = value.py_func if jitted else value
    if not isinstance(function, FunctionType) or of_library(function):
        return value
    if id(function) in copies:
        return copies[id(function)]
    if not jitted and copies and _implemented_elsewhere(function):
        return value
    cells = tuple(CellType() for _ in function.__closure__ or ())
    read = {"__builtins__": function.__globals__.get("__builtins__", __builtins__), "__name__": function.__module__}
    copy = FunctionType(function.__code__, read, function.__name__, function.__defaults__, cells or None)
    copy.__kwdefaults__, copy.__qualname__ = function.__kwdefaults__, function.__qualname__
    result = numba.njit(**_options(value))(copy) if jitted else compiled(copy)
    copies[id(function)] = result
    for cell, old in zip(cells, function.__closure__ or (), strict=True):
        cell.cell_contents = _copied(_contents(old), compiled, copies)
    for name in globals_read(function.__code__) & function.__globals__.keys():
        read[name] = _copied(function.__globals__[name], compiled, copies)
    return result


def _options(dispatcher: Dispatcher) -> dict[str, Any]:
    return {name: value for name, value in dispatcher.targetoptions.items() if name != "nopython"}
