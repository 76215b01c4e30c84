"""Functions of single numbers as formulas, read from their own source: relu is "0 if z < 0 else z"."""

import ast
import inspect
import linecache
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any, TypeAlias

from .expression import OPERATIONS, Apply, Negative, Node, Number, Operation, Sum, Symbol, mapped, walk
from .statements import NotShown, Reader

READABLE = {
    "exp", "expm1", "log", "log1p", "tanh", "sigmoid", "abs", "sqrt", "max", "min", "clamp", "sign", "sin", "cos",
    "sinh", "cosh", "sigmoid_of", "tanh_of", "normal_cdf", "normal_density",
}  # fmt: skip
"""Functions whose names say what they are; a formula with others is not shown."""
ITSELF = ("flushed", "number", "smallest")
"""Functions that give their argument back, but for the rounding."""
LONGEST = 24
"""Nodes of a formula; a longer one would not be read."""


@dataclass(frozen=True)
class Source:
    """A function's definition: its tree, with the lines of its file, and its parameters."""

    definition: ast.FunctionDef
    path: str
    parameters: tuple[str, ...]

    def citation(self, statement: ast.stmt) -> str:
        """file:line of a statement in it."""
        return f"{PurePath(self.path).name}:{statement.lineno}"

    def code(self, statement: ast.stmt) -> str:
        """The first line of a statement as it stands there."""
        return linecache.getline(self.path, statement.lineno).strip()

    def lines(self) -> tuple[int, list[str]]:
        """The number of its first line, and all its lines as they stand there."""
        first, last = self.definition.lineno, self.definition.end_lineno
        return first, [line.rstrip("\n") for line in linecache.getlines(self.path)[first - 1 : last]]


def source_of(function: Callable) -> Source | None:
    """Where a function of Python's was defined; None where that cannot be found out."""
    plain = inspect.unwrap(getattr(function, "py_func", function))
    code = getattr(plain, "__code__", None)
    if code is None:
        return None
    linecache.checkcache(code.co_filename)
    try:
        definitions = _definitions("".join(linecache.getlines(code.co_filename)))
        parameters = tuple(inspect.signature(plain).parameters)
    except (SyntaxError, TypeError, ValueError):
        return None
    found = [node for node in definitions.get(code.co_firstlineno, ()) if _is_of(node, plain, parameters)]
    if len(found) != 1:
        return None
    definition = found[0]
    if isinstance(definition, ast.Lambda):
        body = ast.copy_location(ast.Return(definition.body), definition.body)
        made = ast.FunctionDef(plain.__name__, definition.args, [body], [])
        definition = ast.fix_missing_locations(ast.copy_location(made, definition))
    return Source(definition, code.co_filename, parameters)


Definition: TypeAlias = ast.FunctionDef | ast.Lambda


@lru_cache(16)
def _definitions(text: str) -> dict[int, list[Definition]]:
    """The functions of a file by the line in which they begin, which may be that of a decorator."""
    found: dict[int, list[Definition]] = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, Definition):
            decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
            for line in {node.lineno, *(each.lineno for each in decorators)}:
                found.setdefault(line, []).append(node)
    return found


def _is_of(node: Definition, function: Any, parameters: tuple[str, ...]) -> bool:
    """Whether the definition is that of the function: of several in a line the one where its code stands."""
    if tuple(each.arg for each in node.args.args) != parameters:
        return False
    if isinstance(node, ast.FunctionDef):
        return node.name == function.__code__.co_name
    body = node.body
    first, last = (body.lineno, body.col_offset), (body.end_lineno or 0, body.end_col_offset or 0)
    places = [place for place in function.__code__.co_positions() if None not in place and place[3] != 0]
    return all(first <= (line, column) and (end, to) <= last for line, end, column, to in places)


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
    if called - READABLE or sum(1 for _ in walk(node)) > 3 * LONGEST:
        return None
    return source.parameters, node


def _returned(source: Source) -> Node:
    """The expression of the only return, with the names before it put in."""
    reads = reader(source)
    names: dict[str, Node] = {}

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


def formula_of_outputs(kernel: Callable, settings: dict[str, float]) -> Node | None:
    """What a kernel of a loss adds to the cost of a sample, or writes as its slope along output i, from its only
    statement that does; None where there are several, or other names in it than y and t.

    >>> from bpjit.engine.losses import LOSSES
    >>> from bpjit.explain.text import text
    >>> text(formula_of_outputs(LOSSES["cross_entropy"].cost.function, {"smoothing": 0.0}))
    '−Σᵢ tᵢ log(yᵢ)'
    """
    source = source_of(kernel)
    if source is None:
        return None
    try:
        found = reader(source).read()
    except (NotShown, KeyError):
        return None
    if len(found) != 1:
        return None
    names = {each.name: each.expression for each in found[0].where}

    def put_in(node: Node) -> Node:
        match node:
            case Symbol(name, None, ()) if name in names:
                return put_in(names[name])
            case Symbol(name, None, ()) if name in settings:
                return Number(settings[name])
            case Symbol("y" | "t" as name, None, (index, Symbol("s"))):
                return Symbol(name, None, (index,))
        return mapped(node, put_in)

    expression = found[0].expression
    is_cost = len(found[0].target.indices) == 1
    sign = "+"
    if is_cost and isinstance(expression, Operation):  # cost[s] + ...
        sign, expression = expression.operator, expression.right
    node = folded(simplified(put_in(expression)))
    if is_cost:
        node = Sum("i", Number(0), Symbol("n", Symbol("L")), node)
        node = Negative(node) if sign == "-" else node
    called = {each.function.name for each in walk(node) if isinstance(each, Apply)}
    known = {each.name for each in walk(node) if isinstance(each, Symbol)} - called
    return None if called - READABLE or known - {"y", "t", "n", "i", "L"} else node


def folded(node: Node) -> Node:
    """With the arithmetic of plain numbers done, and without what is times 1 or plus 0."""
    node = mapped(node, folded)
    match node:
        case Operation("+" | "-" | "*" as sign, Number(left), Number(right)):
            return Number(OPERATIONS[sign](left, right))
        case Operation("*", Number(1.0), other) | Operation("*", other, Number(1.0)):
            return other
        case Operation("+", Number(0.0), other) | Operation("+" | "-", other, Number(0.0)):
            return other
        case Operation("*" | "/", Number(0.0), _):
            return Number(0.0)
    return node
