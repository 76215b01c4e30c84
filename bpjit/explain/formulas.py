"""Functions of single numbers as formulas, read from their own source: relu is "0 if z < 0 else z"."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .expression import Apply, Node, Number, Symbol, mapped, walk
from .statements import NotShown, Reader

READABLE = {
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "abs", "sqrt", "max", "min", "clamp", "sign", "sin", "cos",
    "sinh", "cosh", "smallest", "sigmoid_of", "tanh_of", "normal_cdf", "normal_density",
}  # fmt: skip
"""Functions whose names say what they are; a formula with others is not shown."""
ITSELF = ("flushed", "number")
"""Functions that give their argument back, but for the rounding."""
LONGEST = 24
"""Nodes of a formula; a longer one would not be read."""


@dataclass(frozen=True)
class Source:
    """A function's definition: its tree, where it stands, and its parameters."""

    definition: ast.FunctionDef
    file: str
    first_line: int
    parameters: tuple[str, ...]

    def citation(self, statement: ast.stmt) -> str:
        """file:line of a statement in it."""
        return f"{self.file}:{self.first_line + statement.lineno - 1}"


def source_of(function: Callable) -> Source | None:
    """Where a function of Python's was defined; None where that cannot be found out, as for two lambdas in a line."""
    plain = inspect.unwrap(getattr(function, "py_func", function))
    try:
        lines, first = inspect.getsourcelines(plain)
        parameters = tuple(inspect.signature(plain).parameters)
        file = (inspect.getsourcefile(plain) or "").replace("\\", "/").rpartition("/")[2]
    except (OSError, TypeError, ValueError):
        return None
    definition = _definition(textwrap.dedent("".join(lines)), parameters)
    return None if definition is None else Source(definition, file, first, parameters)


def _definition(text: str, parameters: tuple[str, ...]) -> ast.FunctionDef | None:
    tree = None
    for cut in (text, text.strip().rstrip(",)"), f"({text.strip().rstrip(',')})"):
        try:
            tree = ast.parse(cut)
            break
        except SyntaxError:
            continue
    if tree is None:
        return None
    if tree.body and isinstance(tree.body[0], ast.FunctionDef):
        return tree.body[0]
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Lambda) and tuple(each.arg for each in node.args.args) == parameters
    ]
    if len(found) != 1:
        return None
    body = ast.copy_location(ast.Return(found[0].body), found[0].body)
    made = ast.FunctionDef("formula", found[0].args, [body], [], lineno=1)
    return ast.fix_missing_locations(made)


def reader(source: Source) -> Reader:
    """Reads expressions of the function."""
    last = max(getattr(node, "lineno", 1) for node in ast.walk(source.definition))
    return Reader([""] * last, {}, source.definition)


def simplified(node: Node) -> Node:
    """Without `like(z, 0.5)`, which is 0.5, and what else gives its argument back."""
    node = mapped(node, simplified)
    if isinstance(node, Apply) and node.function.name == "like":
        return node.arguments[-1]
    if isinstance(node, Apply) and node.function.name in ITSELF:
        return node.arguments[0]
    if isinstance(node, Apply) and node.function.name.endswith("_of"):
        return Apply(Symbol(node.function.name.removesuffix("_of")), node.arguments)
    return node


def formula(function: Callable) -> tuple[tuple[str, ...], Node] | None:
    """The parameters of a function, and the expression that it returns; None where there is none to be shown.

    >>> from bpjit.explain.text import text
    >>> text(formula(lambda z: 2.0 * z if z < 0.0 else z)[1])
    '2 · z if z < 0 else z'
    """
    source = source_of(function)
    if source is None:
        return None
    try:
        node = _returned(source)
    except NotShown:
        return None
    node = _with_constants(simplified(node), function, source.parameters)
    called = {each.function.name for each in walk(node) if isinstance(each, Apply)}
    if node is None or called - READABLE or sum(1 for _ in walk(node)) > 3 * LONGEST:
        return None
    return source.parameters, node


def _returned(source: Source) -> Node:
    """The expression of the only return, with the names before it put in."""
    reads, names = reader(source), {}

    def put_in(node: Node) -> Node:
        if isinstance(node, Symbol) and node.layer is None and not node.indices and node.name in names:
            return names[node.name]
        return mapped(node, put_in)

    for statement in source.definition.body:
        match statement:
            case ast.Expr(value=ast.Constant()):
                pass  # the docstring
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                names = names | {name: put_in(reads.node(value))}
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                made = [put_in(reads.node(value)) for value in values]
                names = names | {ast.unparse(target): node for target, node in zip(targets, made, strict=True)}
            case ast.Return(value=ast.expr() as value):
                return put_in(reads.node(value))
            case _:
                raise NotShown(ast.unparse(statement))
    raise NotShown("nothing is returned")


def _with_constants(node: Node, function: Callable, parameters: tuple[str, ...]) -> Node:
    """With the numbers that stand outside the function under a name of theirs."""
    plain = getattr(function, "py_func", function)
    closure: dict[str, Any] = {}
    for name, cell in zip(plain.__code__.co_freevars, plain.__closure__ or ()):
        closure[name] = cell.cell_contents
    known = {**plain.__globals__, **closure}

    def constant(part: Node) -> Node:
        match part:
            case Symbol(name, None, ()) if name not in parameters and isinstance(known.get(name), int | float):
                return Number(float(known[name]))
            case Apply(called, arguments):
                return Apply(called, tuple(map(constant, arguments)))
        return mapped(part, constant)

    return constant(node)
