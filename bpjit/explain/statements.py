"""The statements of derivation.py as equations, read from its source: nothing of an equation is written here.

A marked statement, `z[l][s, i] = sum_j + b[l][i]  # E1`, becomes an `Equation`. What was gathered in a loop is a sum,
`sum_j` the sum over j; another name with a mark of its own is put in, one without becomes a `where`.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .expression import Apply, Choice, Negative, Node, Number, Operation, Scope, Sum, Symbol, evaluate, walk

MARK = re.compile(r"\bE\d+\b")
BY_LAYER = ("Layers", "Functions")
"""Annotations of parameters that are lists, indexed by the layer."""
COUNTED = ("S", "L")
"""Names that stay what they are: the number of samples, of layers."""
SIGNS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.Eq: "==", ast.NotEq: "!=",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.BitAnd: "&", ast.And: "&",
}  # fmt: skip


class NotShown(ValueError):
    """A statement that is no expression of numbers."""


@dataclass(frozen=True)
class Loop:
    """for index in range(first, end, step), the loop of a statement."""

    index: str
    first: Node
    end: Node
    step: int = 1

    def holds(self, number: int, scope: Scope) -> bool:
        """Whether the loop comes to a number."""
        return number in range(int(evaluate(self.first, scope)), int(evaluate(self.end, scope)), self.step)


@dataclass(frozen=True)
class Equation:
    """What a statement says: target = expression, or target ← expression where it changes what was there.

    lines: of all statements that are part of it, the last one being its own. marks: "E1", ... of these. where: what
    names in it stand for. conditions: (expression, whether it holds) under which the statement is reached.
    """

    target: Symbol
    expression: Node
    line: int
    lines: tuple[int, ...] = ()
    marks: tuple[str, ...] = ()
    function: str = ""
    relation: str = "="
    where: "tuple[Equation, ...]" = ()
    loops: tuple[Loop, ...] = ()
    conditions: tuple[tuple[Node, bool], ...] = ()

    @property
    def name(self) -> str:
        return self.target.name


@dataclass
class Definition:
    """What a plain name stands for, where the reader has come to."""

    expression: Node
    depth: int
    lines: tuple[int, ...]
    symbol: Symbol
    is_sum: bool = False
    marked: bool = False
    own: Node | None = None


@dataclass
class Reader:
    """Reads one function; what it finds is in `equations`."""

    source: list[str]
    functions: Mapping[str, ast.FunctionDef]
    function: ast.FunctionDef
    conditions: tuple[tuple[Node, bool], ...] = ()
    loops: tuple[Loop, ...] = ()
    equations: list[Equation] = field(default_factory=list)
    definitions: dict[str, Definition] = field(default_factory=dict)
    by_layer: set[str] = field(default_factory=set)
    used: list[Definition] = field(default_factory=list)
    put_in: bool = True

    def __post_init__(self) -> None:
        for argument in self.function.args.args:
            if isinstance(argument.annotation, ast.Name) and argument.annotation.id in BY_LAYER:
                self.by_layer.add(argument.arg)

    def read(self) -> list[Equation]:
        self.body(self.function.body)
        return self.equations

    # ------------------------------------------------------------------------------------------ statements

    def body(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            match statement:
                case ast.Assign(targets=[target], value=value):
                    self.assign(statement, target, value)
                case ast.AugAssign(target=target, value=value):
                    self.change(statement, target, value)
                case ast.For(target=ast.Name(id=index), iter=ast.Call(args=limits), body=inner):
                    around = self.loops
                    self.loops = (*around, self.loop(index, limits))
                    self.body(inner)
                    self.loops = around
                case ast.If(test=test, body=inner, orelse=other):
                    before, condition = self.conditions, self.node(test)
                    for holds, branch in ((True, inner), (False, other)):
                        self.conditions = (*before, (condition, holds))
                        self.body(branch)
                    self.conditions = before
                case ast.Expr(value=ast.Call(func=ast.Name(id=name))) if name in self.functions:
                    called = Reader(self.source, self.functions, self.functions[name], self.conditions, self.loops)
                    self.equations += called.read()

    def assign(self, statement: ast.Assign, target: ast.expr, value: ast.expr) -> None:
        match target, value:
            case ast.Tuple(elts=names), ast.Tuple(elts=values):
                for name, each in zip(names, values, strict=True):
                    self.assign(statement, name, each)
            case ast.Name(id=name), ast.Call(func=ast.Name(id="List")):
                self.by_layer.add(name)
            case ast.Name(id=name), ast.Call(func=ast.Name(id="max"), args=[ast.Name(id=same), body]) if name == same:
                self.gather(name, statement, body, "max")
            case ast.Name(id=name), _ if name not in COUNTED:
                self.define(name, statement, value)
            case ast.Subscript(), _:
                self.equation(statement, self.symbol(target), value)

    def change(self, statement: ast.AugAssign, target: ast.expr, value: ast.expr) -> None:
        sign = SIGNS[type(statement.op)]
        if isinstance(target, ast.Name):
            self.gather(target.id, statement, value, sign)
        else:
            symbol = self.symbol(target)
            self.equation(statement, symbol, value, lambda node: Operation(sign, symbol, node), "←")

    def define(self, name: str, statement: ast.stmt, value: ast.expr) -> None:
        """name = value: a name of its own, which may have an equation of its own."""
        try:
            node, lines, _ = self.expression(value)
        except NotShown:
            return
        marked = bool(self.marks(statement.lineno))
        inside = [Symbol(loop.index) for loop in self.loops if loop.index not in ("l", "s")]
        layer = Symbol("l") if any(loop.index == "l" for loop in self.loops) else None
        symbol = Symbol(name, layer, tuple(inside)) if marked and name not in ("C",) else Symbol(name)
        lines = (*lines, statement.lineno)
        own = None
        if marked:
            own, own_lines, own_where = self.expression(value, put_in=False)
            self.add(statement, symbol, own, (*own_lines, statement.lineno), own_where)
        self.definitions[name] = Definition(node, len(self.loops), lines, symbol, marked=marked, own=own)

    def gather(self, name: str, statement: ast.stmt, value: ast.expr, sign: str) -> None:
        """name += value, in the loops since name was set."""
        if name not in self.definitions:
            raise NotShown(f"line {statement.lineno} adds to {name}, which has no value yet")
        before = self.definitions[name]
        node, lines, _ = self.expression(value)
        for loop in reversed(self.loops[before.depth :]):
            node = Sum(loop.index, loop.first, loop.end, node, "max" if sign == "max" else "+")
        if sign == "max":
            pass  # what it begins with is the first of those that are compared
        elif before.expression != Number(0.0):
            node = Operation(sign, before.expression, node)
        elif sign == "-":
            node = Negative(node)
        elif sign != "+":
            raise NotShown(f"line {statement.lineno} gathers by {sign}")
        marked = before.marked or bool(self.marks(statement.lineno))
        # The line where name was set to 0 says nothing.
        known = before.lines if before.is_sum else ()
        self.definitions[name] = Definition(
            node, before.depth, (*known, *lines, statement.lineno), Symbol(name), is_sum=True, marked=marked
        )

    def equation(self, statement: ast.stmt, target: Symbol, value: ast.expr, change: Any = None, relation="=") -> None:
        try:
            node, lines, where = self.expression(value)
        except NotShown:
            return
        node = node if change is None else change(node)
        self.add(statement, target, node, (*lines, statement.lineno), where, relation)

    def add(
        self,
        statement: ast.stmt,
        target: Symbol,
        node: Node,
        lines: tuple[int, ...],
        where: tuple[Equation, ...],
        relation: str = "=",
    ) -> None:
        lines = tuple(dict.fromkeys(lines))
        marks = tuple(dict.fromkeys(mark for line in reversed(lines) for mark in self.marks(line)))
        self.equations.append(
            Equation(
                target,
                node,
                statement.lineno,
                lines,
                marks,
                self.function.name,
                relation,
                where,
                self.loops,
                self.conditions,
            )
        )

    def marks(self, line: int) -> list[str]:
        return MARK.findall(self.source[line - 1].partition("  # ")[2])

    # ----------------------------------------------------------------------------------------- expressions

    def expression(self, value: ast.expr, put_in: bool = True) -> tuple[Node, tuple[int, ...], tuple[Equation, ...]]:
        """The node, the lines of the statements that were put in, and what other names in it stand for."""
        before = self.used, self.put_in
        self.used, self.put_in = [], put_in
        try:
            node = self.node(value)
            used = self.used
        finally:
            self.used, self.put_in = before
        lines = tuple(line for each in used if each.marked and (put_in or each.is_sum) for line in each.lines)
        where = tuple(
            Equation(each.symbol, each.expression, each.lines[-1], each.lines, function=self.function.name)
            for each in used
            if not each.marked
        )
        self.used += used
        return node, lines, tuple(dict.fromkeys(where))

    def node(self, value: ast.expr) -> Node:
        match value:
            case ast.Constant(value=bool() | int() | float() as number):
                return Number(float(number))
            case ast.Name(id=name):
                return self.named(name)
            case ast.Subscript():
                return self.symbol(value)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in SIGNS:
                return Operation(SIGNS[type(op)], self.node(left), self.node(right))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Negative(self.node(operand))
            case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in SIGNS:
                return Operation(SIGNS[type(op)], self.node(left), self.node(right))
            case ast.BoolOp(op=op, values=values) if type(op) in SIGNS:
                first, *rest = (self.node(each) for each in values)
                for each in rest:
                    first = Operation(SIGNS[type(op)], first, each)
                return first
            case ast.IfExp(test=test, body=body, orelse=other):
                return Choice(self.node(test), self.node(body), self.node(other))
            case ast.Attribute(value=ast.Subscript() as array, attr="shape"):
                raise NotShown(ast.unparse(array))
            case ast.Call(func=function, args=arguments, keywords=[]):
                return self.call(function, arguments)
        raise NotShown(ast.unparse(value))

    def named(self, name: str) -> Node:
        if name in COUNTED or name not in self.definitions:
            return Symbol(name)
        found = self.definitions[name]
        self.used.append(found)
        if found.is_sum and found.marked:
            return found.expression
        if found.marked and self.put_in:
            return found.expression
        return found.symbol

    def call(self, function: ast.expr, arguments: list[ast.expr]) -> Node:
        match function, arguments:
            case ast.Name(id="len"), [ast.Name(id=name)]:
                return Operation("+", Symbol("L"), Number(1)) if name in self.by_layer else Symbol("S")
            case ast.Name(id="len"), [ast.Subscript(value=ast.Name(id="b" | "db"), slice=layer)]:
                return Symbol("n", self.node(layer))
        called = self.symbol(function) if isinstance(function, ast.Subscript) else None
        if isinstance(function, ast.Name):
            called = Symbol(function.id)
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):  # math.sqrt
            called = Symbol(function.attr)
        if called is None:
            raise NotShown(ast.unparse(function))
        return Apply(called, tuple(self.node(each) for each in arguments))

    def symbol(self, value: ast.expr) -> Symbol:
        """An entry of an array: a[l][s, i], t[s]; or of the sizes: z[l].shape[1]."""
        match value:
            case ast.Subscript(value=ast.Attribute(value=ast.Name(), attr="shape"), slice=ast.Constant(value=0)):
                return Symbol("n", Symbol("L"))  # of a block of outputs, in the engine
            case ast.Subscript(value=ast.Attribute(value=ast.Name(), attr="shape"), slice=ast.Constant(value=1)):
                return Symbol("S")
            case ast.Subscript(
                value=ast.Attribute(value=ast.Subscript(value=ast.Name(id=name), slice=layer), attr="shape")
            ):
                of = self.node(layer)
                if name in ("W", "dW"):
                    of = Operation("-", of, Number(1))
                return Symbol("n", of)
            case ast.Subscript(value=ast.Name(id=name), slice=index):
                if name in self.by_layer:
                    return Symbol(name, self.node(index))
                return Symbol(name, None, self.indices(index))
            case ast.Subscript(value=ast.Subscript(value=ast.Name(id=name), slice=layer), slice=index):
                return Symbol(name, self.node(layer), self.indices(index))
        raise NotShown(ast.unparse(value))

    def indices(self, index: ast.expr) -> tuple[Node, ...]:
        return tuple(self.node(each) for each in (index.elts if isinstance(index, ast.Tuple) else [index]))

    def loop(self, index: str, limits: list[ast.expr]) -> Loop:
        nodes = [self.limit(each) for each in limits]
        if len(nodes) == 1:
            return Loop(index, Number(0), nodes[0])
        step = int(evaluate(nodes[2], {})) if len(nodes) == 3 else 1
        return Loop(index, nodes[0], nodes[1], step)

    def limit(self, value: ast.expr) -> Node:
        """A limit of a loop, where n_L is the size that it was set to."""
        node = self.node(value)

        def sized(part: Node) -> Node:
            if isinstance(part, Symbol) and part.name in self.definitions:
                return self.definitions[part.name].expression
            if isinstance(part, Operation):
                part = replace(part, left=sized(part.left), right=sized(part.right))
                if part.operator == "+" and part.right == Number(1) and isinstance(part.left, Operation):
                    return part
            return part

        return sized(node)


ROOTS = ("forward", "cost", "output_delta", "backward", "gradient", "descend")
"""Functions of derivation.py in the order in which a step calls them."""


def read(source: str, roots: tuple[str, ...] = ROOTS) -> list[Equation]:
    """The equations of the source's functions, and of those that they call.

    >>> from bpjit.explain.specification import Specification
    >>> equations = read(Specification.of().source)
    >>> [(each.name, each.line) for each in equations if "E7" in each.marks]
    [('delta', 140)]
    """
    functions = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    lines = source.splitlines()
    return [equation for root in roots for equation in Reader(lines, functions, functions[root]).read()]


def reached(equation: Equation, scope: Scope) -> bool:
    """Whether the statement is one of those that are run for these values of l, L and softmax."""
    for condition, holds in equation.conditions:
        if bool(evaluate(condition, scope)) != holds:
            return False
    layer = equation.target.layer
    if layer is None or "l" not in scope:
        return True
    for loop in equation.loops:
        if loop.index == "l" and any(node == Symbol("l") for node in walk(layer)):
            if not loop.holds(int(scope["l"]), scope):
                return False
    return int(evaluate(layer, scope)) == scope["l"]
