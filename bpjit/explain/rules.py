"""Rules of optimisers as equations, read from their source: what becomes of theta, its gradient g and the moments."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..engine import penalties
from ..engine.optimizer import Optimizer
from .expression import Apply, Node, Operation, Symbol, mapped, walk
from .formulas import Source, reader, simplified, source_of
from .statements import NotShown, Reader


@dataclass(frozen=True)
class Assignment:
    """One statement of a rule: name = expression, or name ← expression for what the rule changes."""

    name: str
    expression: Node
    relation: str
    source: str
    code: str


@dataclass(frozen=True)
class Rule:
    """The statements of a rule in their order, the new theta last; the coefficients' names by their number, and what
    `begin` computes of them; the names of the moments. Without statements where the source says too little."""

    statements: tuple[Assignment, ...]
    coefficients: dict[str, int]
    begin: tuple[Assignment, ...]
    moments: tuple[str, ...]
    theta: str = "theta"
    gradient: str = "g"


def rule_of(optimizer: Optimizer) -> Rule:
    """The rule of an optimiser of the table.

    >>> from bpjit import SGD
    >>> from bpjit.explain.text import text
    >>> [(step.name, text(step.expression)) for step in rule_of(SGD(momentum=0.9)).statements]
    [('g', 'g + λ θ'), ('v', 'momentum v + of_new g'), ('theta', 'θ − η (of_gradient g + of_velocity v)')]
    """
    update = optimizer.update
    is_own = update.made_of is not None
    source = source_of(update.made_of if is_own else update.rule)  # type: ignore[arg-type]
    moments = tuple(f"moment_{k}" for k in range(update.moments))
    if source is None:
        return Rule((), {}, (), moments)
    moments = source.parameters[2 : 2 + update.moments] if is_own else source.parameters[1 : 1 + update.moments]
    theta, gradient = source.parameters[0], source.parameters[1 if is_own else -2]
    coefficients: dict[str, int] = {}
    if is_own:
        coefficients = {name: k for k, name in enumerate(source.parameters[2 + update.moments :])}
    try:
        statements = tuple(_statements(source, (theta, *moments), coefficients))
    except NotShown:
        return Rule((), coefficients, (), moments, theta, gradient)
    names = {number: name for name, number in coefficients.items()}
    begin = () if is_own else tuple(_begin(optimizer.begin.function, names))
    return Rule(statements, coefficients, begin, moments, theta, gradient)


def _statements(source: Source, changed: tuple[str, ...], coefficients: dict[str, int]) -> list[Assignment]:
    reads, made = reader(source), []

    def add(statement: ast.stmt, name: str, value: ast.expr) -> None:
        node = _readable(reads, value)
        if node == Symbol(name):
            return
        relation = "←" if name in source.parameters else "="
        made.append(Assignment(name, node, relation, source.citation(statement), source.code(statement)))

    for statement in source.definition.body:
        match statement:
            case ast.Expr(value=ast.Constant()):
                pass
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Subscript(value=ast.Name(id="c"))):
                for number, each in enumerate(names):
                    coefficients.setdefault(ast.unparse(each), number)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for each, value in zip(names, values, strict=True):
                    add(statement, ast.unparse(each), value)
            case ast.Assign(targets=[ast.Name(id=name), *others], value=value):
                add(statement, name, value)
                for other in others:
                    add(statement, ast.unparse(other), ast.Name(name))
            case ast.Return(value=ast.Tuple(elts=[theta, *moments])):
                for name, value in zip(changed[1:], moments, strict=True):
                    add(statement, name, value)
                add(statement, changed[0], theta)
                return _theta_last(made, changed[0])
            case ast.Return(value=ast.expr() as value):
                add(statement, changed[0], value)
                return _theta_last(made, changed[0])
            case _:
                raise NotShown(ast.unparse(statement))
    raise NotShown("nothing is returned")


def _theta_last(made: list[Assignment], theta: str) -> list[Assignment]:
    """In the order of the code, but where moments are returned after a theta that is made of the old ones."""
    last = made[-1]
    changed_after = [each for each in made[:-1] if each.code == last.code and each.name != theta]
    uses = {part.name for part in walk(last.expression) if isinstance(part, Symbol)}
    if any(each.name in uses for each in changed_after):
        return [*(each for each in made[:-1] if each not in changed_after), last, *changed_after]
    return made


def _readable(reads: Reader, value: ast.expr) -> Node:
    return simplified(reads.node(value))


def _begin(begin: Callable, names: dict[int, str]) -> list[Assignment]:
    """What a kernel `begin` writes into its coefficients, as far as it is a plain expression."""
    source = source_of(begin)
    return [] if source is None else _written(source, begin, names)


def _written(source: Source, function: Callable, names: dict[int, str]) -> list[Assignment]:
    reads, found = reader(source), []
    globals_: dict[str, Any] = getattr(function, "py_func", function).__globals__
    for statement in source.definition.body:
        match statement:
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id="coefficients"), slice=ast.Constant(value=int() as number))],
                value=value,
            ):
                name = names.get(number, "_")
                try:
                    node = _readable(reads, value)
                except NotShown:
                    continue
                if name != "_" and node != Symbol(name):
                    code = source.code(statement)
                    found.append(Assignment(name, node, "=", source.citation(statement), code))
            case ast.Expr(value=ast.Call(func=ast.Name(id=called), args=arguments)):
                inner = source_of(globals_[called]) if called in globals_ else None
                if inner and inner.parameters == tuple(ast.unparse(each) for each in arguments):
                    found += _written(inner, globals_[called], names)
    return found


def opaque(rule: Rule, optimizer: Optimizer) -> Assignment:
    """What stands in the place of a rule that cannot be read."""
    arguments = (Symbol(rule.theta), Symbol(rule.gradient), *map(Symbol, rule.moments))
    return Assignment(rule.theta, Apply(Symbol(type(optimizer).__name__), arguments), "←", "", "")


def penalty_of(rule: Rule) -> Assignment:
    """What penalties add to the gradient, as the engine's kernel has it.

    >>> from bpjit import SGD
    >>> from bpjit.explain.text import text
    >>> text(penalty_of(rule_of(SGD(momentum=0.9))).expression)
    'g + λ₁ sign(θ) + λ₂ θ'
    """
    source = source_of(penalties.penalize.function)
    assert source is not None
    reads = reader(source)

    def renamed(node: Node) -> Node:
        return Symbol(rule.theta) if isinstance(node, Symbol) and node.name == "w" else mapped(node, renamed)

    for statement in ast.walk(source.definition):
        match statement:
            case ast.AugAssign(target=ast.Subscript(value=ast.Name(id="g")), op=ast.Add(), value=value):
                node = Operation("+", Symbol(rule.gradient), renamed(_readable(reads, value)))
                return Assignment(rule.gradient, node, "←", source.citation(statement), source.code(statement))
    raise NotShown("the penalty")
