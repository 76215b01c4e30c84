"""An equation with its indices and numbers put in, and what is said about it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import mathml
from .expression import (
    Apply,
    Expanded,
    Negative,
    Node,
    NoValue,
    Number,
    Operation,
    Scope,
    Sum,
    Symbol,
    at,
    evaluate,
    largest,
    mapped,
    terms,
    walk,
    with_numbers,
)
from .functions import Functions
from .statements import Equation
from .term import Line, Part
from .text import number, text

MOST = 6
"""Terms of a long sum that are written out; what the others are together follows."""
LISTED = 1000
"""Terms of a sum that are kept one by one."""
OF_LAYER = ("sigma", "sigma_prime")
OF_SAMPLES = ("cost_of_sample", "dC_dy")
NOTHING = float("nan")


@dataclass(frozen=True)
class Explained:
    """What a `Term` says of its equation."""

    equation: str
    here: str
    substituted: str
    line: int
    marks: tuple[str, ...]
    parts: tuple[Part, ...]
    where: tuple[Line, ...]
    notes: tuple[str, ...]
    mathml: str
    substituted_mathml: str


def explained(equation: Equation, scope: Scope, functions: Functions, put_in: Mapping[str, int]) -> Explained:
    """An equation for the indices put_in, whose values the scope has."""
    scope = dict(scope)
    lines = []
    for other in equation.where:
        scope[other.name] = evaluate(other.expression, scope)
        shown = f"{text(other.target)} = {text(at(other.expression, put_in))}"
        lines.append(Line(shown, "", float(scope[other.name])))
    target, here = at(equation.target, put_in), at(equation.expression, put_in)
    numbers = named(substituted(here, scope), functions)
    lines += [line for line in _functions(here, scope, functions) if line.equation != text(here)]
    return Explained(
        f"{text(equation.target)} {equation.relation} {text(equation.expression)}",
        f"{text(target)} {equation.relation} {text(here)}",
        text(numbers),
        equation.line,
        equation.marks,
        parts_of(here, scope, functions),
        tuple(lines),
        (),
        mathml.equation(equation.target, equation.relation, equation.expression),
        mathml.equation(target, equation.relation, here, numbers),
    )


def explained_entry(line: int, target: Node, expression: Node, scope: Scope) -> Explained:
    """An entry that is set to another one, without sums or functions: a_i^0 = x_i."""
    put_in = {letter: scope[letter] for letter in "ijs" if letter in scope}
    left, right = at(target, put_in), at(expression, put_in)
    numbers = substituted(right, scope)
    return Explained(
        f"{text(target)} = {text(expression)}", f"{text(left)} = {text(right)}", text(numbers), line, (), (), (), (),
        mathml.equation(target, "=", expression), mathml.equation(left, "=", right, numbers),
    )  # fmt: skip


def substituted(node: Node, scope: Scope, most: int = MOST) -> Node:
    """The expression with numbers, where functions of numbers stay to be seen."""
    return with_numbers(node, scope, most, lambda part: not _takes_vectors(part, scope))


def _takes_vectors(part: Apply, scope: Scope) -> bool:
    return part.function.name in OF_SAMPLES


def named(node: Node, functions: Functions) -> Node:
    """The expression with the names of the activation functions in the place of sigma."""
    if isinstance(node, Expanded):
        return replace(node, terms=tuple((k, named(term, functions)) for k, term in node.terms))
    node = mapped(node, lambda part: named(part, functions))
    if isinstance(node, Apply) and node.function.name in OF_LAYER and isinstance(node.function.layer, Number):
        return Apply(Symbol(functions.shown(node.function.name, int(node.function.layer.value)).name), node.arguments)
    return node


def _functions(node: Node, scope: Scope, functions: Functions) -> list[Line]:
    """What each function in the expression is, and its value if there is one."""
    lines: list[Line] = []
    for part in dict.fromkeys(part for part in walk(node) if isinstance(part, Apply)):
        called = part.function.name
        if called not in (*OF_LAYER, *OF_SAMPLES):
            continue
        l = int(evaluate(part.function.layer, scope)) if part.function.layer is not None else 0
        shown = functions.shown(called, l)
        try:
            value = float(evaluate(part, scope))
            written = text(part)
            inner = text(named(substituted(part, scope), functions))
        except NoValue:  # a function of what a sum runs over
            value, written, inner = NOTHING, text(part), ""
        of = written
        if called in OF_SAMPLES:
            of = f"{written} is that of {shown.name.removesuffix('′')}" + (
                f"({shown.setting})" if shown.setting else ""
            )
        lines.append(Line(of, "" if called in OF_SAMPLES else inner, value))
        if shown.formula:
            lines.append(Line(f"{_called(shown.name, called, shown.formula)} is {shown.formula}", "", NOTHING))
        elif shown.setting and called in OF_LAYER:
            lines.append(Line(f"{shown.name} with {shown.setting}", "", NOTHING))
    return lines


def _called(name: str, called: str, formula: str) -> str:
    if called not in OF_LAYER:
        return name
    return f"{name}(z)" + (f" with a = {name.removesuffix('′')}(z)" if re.search(r"\ba\b", formula) else "")


# ------------------------------------------------------------------------------------------------ terms of a sum


def parts_of(node: Node, scope: Scope, functions: Functions) -> tuple[Part, ...]:
    """The terms of the sum that the expression is, or else of the first sum in it, the largest first."""
    pieces = _pieces(node, scope, functions)
    if len(pieces) == 1 and not isinstance(node, Sum):
        inner = next((part for part in walk(node) if isinstance(part, Sum) and part.operator == "+"), None)
        pieces = [] if inner is None else _pieces(inner, scope, functions)
    pieces.sort(key=lambda part: -abs(part.value) if part.value == part.value else -float("inf"))
    return tuple(pieces)


def _pieces(node: Node, scope: Scope, functions: Functions, sign: float = 1.0) -> list[Part]:
    """The terms that are added."""
    match node:
        case Operation("+" | "-" as operator, left, right):
            other = sign if operator == "+" else -sign
            return _pieces(left, scope, functions, sign) + _pieces(right, scope, functions, other)
        case Negative(operand):
            return _pieces(operand, scope, functions, -sign)
        case Sum(index, body=body, operator="+"):
            sizes = terms(node, scope)
            kept = largest(sizes, LISTED)
            parts = [
                _part(at(body, {index: k}, summed=True), {**scope, index: k}, functions, sign)
                for k, _ in sizes
                if k in kept
            ]
            rest = sum(value for k, value in sizes if k not in kept)
            others = len(sizes) - len(parts)
            return parts if not others else [*parts, Part(sign * rest, f"{others} others", number(sign * rest), others)]
    return [_part(node, scope, functions, sign)]


def _part(node: Node, scope: Scope, functions: Functions, sign: float) -> Part:
    node = node if sign > 0 else Negative(node)
    value: Any = evaluate(node, scope)
    written = text(named(substituted(node, scope), functions))
    return Part(float(value), text(node), written if written != number(float(value)) else number(float(value)))
