"""Expressions as small trees: what a statement of the code says, to be evaluated, put numbers into, and shown.

A tree is made of the nodes below; `text` and `mathml` show it. Nothing here knows what is computed.
"""

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Number:
    value: float


class SampleNumber(Number):
    """The number of a sample that has been put in for s."""


@dataclass(frozen=True)
class Symbol:
    """A number by its name in the code, a whole array, or an entry: W[l][i, j] is Symbol("W", l, (i, j))."""

    name: str
    layer: "Node | None" = None
    indices: "tuple[Node, ...]" = ()


@dataclass(frozen=True)
class Operation:
    """Of two operands; the operator as Python writes it: + - * / ** == < <= > >= and &."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Negative:
    operand: "Node"


@dataclass(frozen=True)
class Apply:
    """A function of arguments: exp(z), sigma[l](z)."""

    function: Symbol
    arguments: "tuple[Node, ...]"


@dataclass(frozen=True)
class Choice:
    """What Python writes as `value if condition else otherwise`."""

    condition: "Node"
    value: "Node"
    otherwise: "Node"


@dataclass(frozen=True)
class Sum:
    """A sum of body over index = first, ..., end - 1; with "max" as its operator the greatest of them."""

    index: str
    first: "Node"
    end: "Node"
    body: "Node"
    operator: str = "+"


@dataclass(frozen=True)
class Expanded:
    """The terms of a sum with the largest ones written out: (index, term) in their order, and what the others are
    together, of which there are `others`."""

    index: str
    terms: "tuple[tuple[int, Node], ...]"
    rest: float
    others: int


Node: TypeAlias = Number | Symbol | Operation | Negative | Apply | Choice | Sum | Expanded

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "**": operator.pow,
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "&": operator.and_,
}  # fmt: skip

Scope: TypeAlias = Mapping[str, Any]
"""What each name stands for: a number, an array, a list of them by layer, a function or a list of such."""


class NoValue(ValueError):
    """A name that the scope has no value for."""


def evaluate(node: Node, scope: Scope) -> Any:
    """The value of an expression; an array where a symbol has fewer indices than its array.

    >>> evaluate(Sum("j", Number(0), Symbol("S"), Operation("*", Symbol("j"), Symbol("eta"))), {"S": 4, "eta": 0.5})
    3.0
    """
    match node:
        case Number(value):
            return value
        case Symbol(name, layer, indices):
            if name not in scope:
                raise NoValue(name)
            value = scope[name]
            if layer is not None:
                value = value[int(evaluate(layer, scope))]
            return value[tuple(int(evaluate(index, scope)) for index in indices)] if indices else value
        case Operation(sign, left, right):
            return OPERATIONS[sign](evaluate(left, scope), evaluate(right, scope))
        case Negative(operand):
            return -evaluate(operand, scope)
        case Apply(function, arguments):
            return evaluate(function, scope)(*(evaluate(argument, scope) for argument in arguments))
        case Choice(condition, value, otherwise):
            return evaluate(value if evaluate(condition, scope) else otherwise, scope)
        case Sum(body=body, operator=sign):
            values = [evaluate(body, inner) for _, inner in _each(node, scope)]
            return max(values) if sign == "max" else sum(values)
    raise TypeError(f"{node!r} has no value")


def _each(node: Sum, scope: Scope) -> Iterator[tuple[int, Scope]]:
    for k in range(int(evaluate(node.first, scope)), int(evaluate(node.end, scope))):
        yield k, {**scope, node.index: k}


def terms(node: Sum, scope: Scope) -> list[tuple[int, float]]:
    """(index, value) of each term of a sum."""
    return [(k, float(evaluate(node.body, inner))) for k, inner in _each(node, scope)]


def parts_of(node: Node) -> tuple[Node, ...]:
    """The nodes right below one."""
    match node:
        case Symbol(_, layer, indices):
            return indices if layer is None else (layer, *indices)
        case Operation(_, left, right):
            return left, right
        case Negative(operand):
            return (operand,)
        case Apply(function, arguments):
            return function, *arguments
        case Choice(condition, value, otherwise):
            return condition, value, otherwise
        case Sum(_, first, end, body):
            return first, end, body
    return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for part in parts_of(node):
        yield from walk(part)


def mapped(node: Node, change: Callable[[Node], Node]) -> Node:
    """The node with `change` done to each node right below it."""
    match node:
        case Symbol(_, layer, indices):
            return replace(node, layer=layer and change(layer), indices=tuple(map(change, indices)))
        case Operation(_, left, right):
            return replace(node, left=change(left), right=change(right))
        case Negative(operand):
            return Negative(change(operand))
        case Apply(function, arguments):
            return Apply(change(function), tuple(map(change, arguments)))  # type: ignore[arg-type]
        case Choice(condition, value, otherwise):
            return Choice(change(condition), change(value), change(otherwise))
        case Sum(_, first, end, body):
            return replace(node, first=change(first), end=change(end), body=change(body))
    return node


def at(node: Node, indices: Mapping[str, int], summed: bool = False) -> Node:
    """The expression with these indices put in and their arithmetic done: w_ki^(l+1) at l=1, i=3 is w_k3^2.

    summed: whether they are those of a term of a sum, where the sample is written, too.
    """
    match node:
        case Symbol(name, None, ()) if name in indices:
            return (SampleNumber if name == "s" and not summed else Number)(indices[name])
        case Sum(index):
            inner = {name: value for name, value in indices.items() if name != index}
            done = mapped(node, lambda part: at(part, inner, summed))
            assert isinstance(done, Sum)
            return replace(done, first=at(node.first, indices), end=at(node.end, indices))
    done = mapped(node, lambda part: at(part, indices, summed))
    match done:
        case Operation("+" | "-" as sign, Number(left), Number(right)):
            return Number(OPERATIONS[sign](left, right))
    return done


def with_numbers(node: Node, scope: Scope, most: int, shown: Callable[[Apply], bool]) -> Node:
    """The expression with its numbers put in, of a sum at most the `most` largest terms.

    shown: whether a function is to stay, with the numbers of its arguments; its value takes its place else.
    """

    def within(part: Node) -> Node:
        return with_numbers(part, scope, most, shown)

    match node:
        case Symbol():
            return Number(float(evaluate(node, scope)))
        case Apply(function, arguments):
            if shown(node):
                return Apply(function, tuple(map(within, arguments)))
            return Number(float(evaluate(node, scope)))
        case Sum(operator="max"):
            return Number(float(evaluate(node, scope)))
        case Sum(index, body=body):
            sizes = terms(node, scope)
            kept = largest(sizes, most)
            written = tuple((k, with_numbers(body, {**scope, index: k}, most, shown)) for k, _ in sizes if k in kept)
            rest = math.fsum(value for k, value in sizes if k not in kept)
            return Expanded(index, written, rest, len(sizes) - len(written))
        case Operation("=="):
            return Number(float(evaluate(node, scope)))
    return mapped(node, within)


def largest(sizes: list[tuple[int, float]], most: int) -> set[int]:
    """The indices of the largest terms, without those that are 0; of a sum that is not longer by more than one, all."""
    if len(sizes) <= most + 1:
        return {k for k, _ in sizes}
    sizes = [(k, value) for k, value in sizes if value != 0.0] or sizes[:1]
    order = sorted(sizes, key=lambda pair: (-abs(pair[1]) if pair[1] == pair[1] else -math.inf, pair[0]))
    return {k for k, _ in order[:most]}
