"""derivation.py as it is read and run here: its equations, and its functions as plain Python.

Explaining one sample takes a few sums: the loops run as the Python that stands there, which spares the compiler.
"""

import ast
import importlib.util
from collections.abc import Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

from .. import derivation
from .expression import Number, Scope, Symbol
from .statements import Equation, reached, read


class Specification:
    """The equations of a file such as derivation.py, and the functions that they were read from.

    >>> found = Specification.of()
    >>> found.equation("delta", {"l": 2, "L": 2, "softmax": False}).marks
    ('E6',)
    """

    def __init__(self, module: ModuleType) -> None:
        self.path = Path(str(module.__file__))
        self.source = self.path.read_text(encoding="utf-8")
        self.equations = read(self.source)
        self.run = _plain(module)

    @staticmethod
    def of(path: str | PathLike[str] | None = None) -> "Specification":
        """That of the package, or of a copy of the file."""
        return _own() if path is None else Specification(_loaded(Path(path)))

    def equation(self, name: str, scope: Scope) -> Equation:
        """The one that computes `name` where the scope's l, L and softmax lead to. KeyError if there is none."""
        for equation in self.equations:
            if equation.name == name and reached(equation, scope):
                return equation
        raise KeyError(name)

    @property
    def input_statement(self) -> tuple[int, Symbol, Symbol]:
        """The line of forward where a[0] becomes x, as a_i = x_i for one sample."""
        for node in ast.walk(ast.parse(self.source)):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="a"), attr="append"), args=[ast.Name(id=name)]):
                    unit = Symbol("s"), Symbol("i")
                    return node.lineno, Symbol("a", Number(0), unit), Symbol(name, None, unit)
        raise KeyError("a[0]")

    def citation(self, line: int) -> str:
        """file:line."""
        return f"{self.path.name}:{line}"

    def code(self, line: int) -> str:
        """The statement itself."""
        return self.source.splitlines()[line - 1].strip()


@cache
def _own() -> Specification:
    return Specification(derivation)


def _loaded(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"{path.stem}_copy", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _plain(module: ModuleType) -> SimpleNamespace:
    """The module's functions without the compiler: they call each other, and keep what they make in plain lists."""
    names: dict[str, Any] = dict(vars(module)) | {"List": list, "prange": range}
    made: Mapping[str, Any] = {
        name: FunctionType(function.__code__, names, name, function.__defaults__)
        for name, value in vars(module).items()
        if isinstance(function := getattr(value, "py_func", value), FunctionType)
        and function.__module__ == module.__name__
        and hasattr(function, "__code__")
    }
    names.update(made)
    return SimpleNamespace(**made)
