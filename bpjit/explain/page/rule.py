"""What optimisers do in the place of E10, as JSON can hold it: the statements of their rules, and their numbers."""

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ..expression import Symbol, walk
from ..formulas import source_of
from ..rules import Assignment, Rule, opaque, penalty_of, rule_of
from ..steps import FROZEN, coefficients, notes_of, settings
from .numbers import packed, scalar
from .tree import tree

if TYPE_CHECKING:
    from ..trace import Trace


def rules(trace: "Trace") -> dict[str, Any] | None:
    """By "W" and "b" and layer: E10's learning rate where that is the step; None for a trace without one, and for the
    biases of a network that has none."""
    if trace.update is None:
        return None
    layers = range(1, trace.L + 1)
    of_biases = [_rule(trace, l, True) if trace.net.bias else None for l in layers]
    return {"W": [None, *(_rule(trace, l, False) for l in layers)], "b": [None, *of_biases]}


def _rule(trace: "Trace", l: int, bias: bool) -> dict[str, Any]:
    update = trace.update
    assert update is not None
    optimizer = update.of(l, bias)
    if optimizer is None:
        return {"frozen": FROZEN.format(l=l)}
    if update.is_descent(l, bias):
        return {"learning_rate": update.rate(l, bias)}
    rule = rule_of(optimizer)
    statements = list(rule.statements) or [opaque(rule, optimizer)]
    used = {part.name for each in statements for part in walk(each.expression) if isinstance(part, Symbol)}
    known = settings(update, l, bias, rule) | coefficients(trace, l, bias, rule)
    known |= dict(zip(("l1", "l2"), update.penalty(l, bias)))
    return {
        "theta": rule.theta, "gradient": rule.gradient, "moments": list(rule.moments),
        "before": [packed(each) for each in update.moments_of(l, bias)],
        "penalty": _assignment(penalty_of(rule)) if any(update.penalty(l, bias)) else None,
        "begin": [_assignment(each) for each in rule.begin if each.name in used],
        "statements": [_assignment(each) for each in statements],
        "known": {name: scalar(value) for name, value in known.items() if isinstance(value, int | float)},
        "notes": list(notes_of(update, l, bias, rule)),
        "source": _source(rule, optimizer),
    }  # fmt: skip


def _assignment(each: Assignment) -> dict[str, Any]:
    return {
        "name": each.name, "relation": each.relation, "expression": tree(each.expression), "source": each.source,
        "code": each.code,
    }  # fmt: skip


def _source(rule: Rule, optimizer: Any) -> dict[str, Any] | None:
    """The function that the rule was read from."""
    update = optimizer.update
    source = source_of(update.rule if update.made_of is None else update.made_of)
    if source is None or not rule.statements:
        return None
    first, lines = source.lines()
    return {"file": PurePath(source.path).name, "first": first, "lines": lines}
