"""Terms of the step: a parameter after E10, or after what another optimiser does in its place."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from . import mathml
from .equations import NOTHING, explained, substituted
from .expression import Node, NoValue, Number, Operation, Scope, Symbol, evaluate, mapped, walk
from .rules import Assignment, Rule, opaque, penalty_of, rule_of
from .term import Line, Part, Term
from .text import number, text
from .update import Update

if TYPE_CHECKING:
    from .trace import Trace

MATHEMATICS: dict[str, Any] = {
    "sqrt": math.sqrt, "abs": abs, "max": max, "min": min, "sign": np.sign, "exp": math.exp, "log": math.log,
    "tanh": math.tanh,
}  # fmt: skip

FROZEN = "layer {l} is frozen: the trainer leaves it as it is"


def step_term(trace: "Trace", name: str, index: dict[str, int]) -> Term:
    """W or b after the step."""
    update, l, bias = trace.update, index["l"], name == "b"
    assert update is not None
    optimizer = update.of(l, bias)
    if optimizer is None:
        return _frozen(trace, name, index)
    if update.is_descent(l, bias):
        scope = trace.scope | index | {"learning_rate": update.rate(l, bias)}
        equation = trace.specification.equation(name, scope)
        found = explained(equation, scope, trace.functions, index)
        return trace.finished(name, index, found, trace.value(name, index))
    return _ruled(trace, name, index, rule_of(optimizer))


def _place(index: Mapping[str, int]) -> tuple[int, ...]:
    return (index["i"], index["j"]) if "j" in index else (index["i"],)


def _target(name: str, index: Mapping[str, int]) -> tuple[Symbol, Symbol]:
    """The parameter in general, and the one of this term."""
    letters = ("i", "j") if "j" in index else ("i",)
    general = Symbol(name, Symbol("l"), tuple(map(Symbol, letters)))
    return general, Symbol(name, Number(index["l"]), tuple(Number(index[letter]) for letter in letters))


def _frozen(trace: "Trace", name: str, index: dict[str, int]) -> Term:
    general, here = _target(name, index)
    value = trace.value(name, index)
    return Term(
        name, f"{text(general)} ← {text(general)}", f"{text(here)} ← {text(here)}", number(value), value, "", "", (),
        (), (), (FROZEN.format(l=index["l"]),),
        mathml.equation(general, "←", general), mathml.equation(here, "←", here, Number(value)), index,
    )  # fmt: skip


def _ruled(trace: "Trace", name: str, index: dict[str, int], rule: Rule) -> Term:
    """What the rule of an optimiser makes of a parameter; the numbers are those of the engine's kernel."""
    update, l, bias, place = trace.update, index["l"], name == "b", _place(index)
    assert update is not None
    optimizer = update.of(l, bias)
    assert optimizer is not None
    theta = trace.b[l] if bias else trace.W[l]
    g = trace.db[l] if bias else trace.dW[l]
    scope = settings(update, l, bias, rule) | coefficients(trace, l, bias, rule)
    moments = dict(zip(rule.moments, update.moments_of(l, bias)))
    after = dict(zip(rule.moments, trace.updated_moments[l, bias]))
    scope |= {rule.theta: float(theta[place]), rule.gradient: float(g[place])}
    scope |= {name: float(moment[place]) for name, moment in moments.items()}

    general, here = _target(name, index)
    slope = _target("db" if bias else "dW", index)[1]
    statements = list(rule.statements) or [opaque(rule, optimizer)]
    where = [Line(f"{text(Symbol(rule.gradient))} = {text(slope)}", "", float(g[place]))]
    if any(update.penalty(l, bias)):
        scope["l1"], scope["l2"] = update.penalty(l, bias)
        where.append(_done(penalty_of(rule), scope, {}, place))
    where += [
        Line(f"{text(Symbol(moment))} before this step", "", float(values[place])) for moment, values in moments.items()
    ]
    final = next(each for each in statements if each.name == rule.theta)
    used = {part.name for each in statements for part in walk(each.expression) if isinstance(part, Symbol)}
    where += [_of_begin(each, scope) for each in rule.begin if each.name in used]
    where += [_done(each, scope, after, place) for each in statements[: statements.index(final)]]
    numbers = _numbers(final.expression, scope)
    where += [_done(each, scope, after, place) for each in statements[statements.index(final) + 1 :]]
    expression, placed = (_renamed(final.expression, {rule.theta: symbol}) for symbol in (general, here))
    value = trace.value(name, index)
    return Term(
        name, f"{text(general)} ← {text(expression)}", f"{text(here)} ← {text(placed)}",
        "" if numbers is None else text(numbers), value, final.source, final.code, ("E10",), _parts(final, scope),
        tuple(where), notes_of(update, l, bias, rule), mathml.equation(general, "←", expression),
        mathml.equation(here, "←", placed, *([] if numbers is None else [numbers])), index,
    )  # fmt: skip


def notes_of(update: Update, l: int, bias: bool, rule: Rule) -> tuple[str, ...]:
    """What is said of the step of the weights or biases of a layer."""
    notes = [f"this is step {update.step} of {update.of(l, bias)!r}"]
    if update.factor != 1.0:
        notes.append(f"the schedule has multiplied its learning rate by {number(update.factor)}")
    if not rule.statements:
        notes.append("its rule is not of a form that can be shown; the value is what it computes")
    return tuple(notes)


def settings(update: Update, l: int, bias: bool, rule: Rule) -> dict[str, Any]:
    """The optimiser's settings by name, as `begin` knows them."""
    optimizer = update.of(l, bias)
    scope: dict[str, Any] = dict(MATHEMATICS) | {"step": float(update.step)}
    scope |= {each.name: getattr(optimizer, each.name) for each in fields(optimizer)}  # type: ignore[arg-type]
    if isinstance(scope.get("betas"), tuple):
        scope["beta_1"], scope["beta_2"] = scope["betas"]
    return scope | {"learning_rate": update.rate(l, bias)}


def coefficients(trace: "Trace", l: int, bias: bool, rule: Rule) -> dict[str, float]:
    """What `begin` gave the rule."""
    numbers = trace.coefficients[l, bias]
    return {name: float(numbers[k]) for name, k in rule.coefficients.items() if name != "_"}


def _of_begin(each: Assignment, scope: Scope) -> Line:
    """A coefficient: its value is the kernel's, whatever can be shown of how it came about."""
    numbers = _numbers(each.expression, scope)
    shown = "" if numbers is None else text(numbers)
    return Line(f"{text(Symbol(each.name))} = {text(each.expression)}", shown, float(scope[each.name]), each.source)


def _done(each: Assignment, scope: dict[str, Any], after: Mapping[str, np.ndarray], place: tuple[int, ...]) -> Line:
    """A statement before the last: its line, with the value put into the scope."""
    numbers = _numbers(each.expression, scope)
    try:
        value = float(evaluate(each.expression, scope))
    except (NoValue, TypeError, ArithmeticError):
        value = NOTHING
    if each.name in after:
        value = float(after[each.name][place])
    scope[each.name] = value
    written = f"{text(Symbol(each.name))} {each.relation} {text(each.expression)}"
    return Line(written, "" if numbers is None else text(numbers), value, each.source)


def _numbers(node: Node, scope: Scope) -> Node | None:
    try:
        return substituted(node, scope)
    except (NoValue, TypeError, ArithmeticError):
        return None


def _parts(final: Assignment, scope: Scope) -> tuple[Part, ...]:
    """The old value, and what is taken off it."""
    if not isinstance(final.expression, Operation) or final.expression.operator not in "+-":
        return ()
    left, right = final.expression.left, final.expression.right
    sign = -1.0 if final.expression.operator == "-" else 1.0
    try:
        values = float(evaluate(left, scope)), sign * float(evaluate(right, scope))
        written = text(substituted(left, scope)), text(substituted(right, scope))
    except (NoValue, TypeError, ArithmeticError):
        return ()
    shown = text(left), ("−" if sign < 0 else "") + f"({text(right)})"
    parts = [Part(value, name, numbers) for value, name, numbers in zip(values, shown, written)]
    return tuple(sorted(parts, key=lambda part: -abs(part.value)))


def _renamed(node: Node, names: Mapping[str, Node]) -> Node:
    if isinstance(node, Symbol) and node.layer is None and not node.indices and node.name in names:
        return names[node.name]
    return mapped(node, lambda part: _renamed(part, names))
