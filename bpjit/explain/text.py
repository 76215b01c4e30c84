"""Expressions as text of one line for a terminal, with the superscripts and subscripts that Unicode has."""

import re

from .expression import Apply, Choice, Expanded, Negative, Node, Number, Operation, Sum, Symbol
from .notation import fraction_of, glyph, is_function_of_layer, sample_first, whole_range

SUBSCRIPTS = dict(zip("0123456789+-−()ijklmsturvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₍₎ᵢⱼₖₗₘₛₜᵤᵣᵥₓ", strict=True))
SUPERSCRIPTS = dict(zip("0123456789+-−()ijklmstuL", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁽⁾ⁱʲᵏˡᵐˢᵗᵘᴸ", strict=True))
SIGNS = {"-": "−", "==": "=", "!=": "≠", "<=": "≤", ">=": "≥", "&": "and"}
COMPARISON, ADDITION, PRODUCT, NEGATION, POWER, ATOM = range(1, 7)
BINDS = {"+": ADDITION, "-": ADDITION, "*": PRODUCT, "/": PRODUCT, "**": POWER}


def number(value: float, digits: int = 4) -> str:
    """A number with a true minus sign and powers of ten.

    >>> number(-1.23456e-7), number(3.0), number(-0.0)
    ('−1.235×10⁻⁷', '3', '0')
    """
    written = f"{value + 0.0:.{digits}g}"
    written = "0" if written == "-0" else written
    mantissa, e, exponent = written.partition("e")
    mantissa = mantissa.replace("-", "−").replace("inf", "∞")
    if not e:
        return mantissa
    power = "".join(SUPERSCRIPTS[sign] for sign in str(int(exponent)))
    return f"{mantissa}×10{power}" if mantissa not in ("1", "−1") else f"{mantissa[:-1]}10{power}"


def text(node: Node, bound: frozenset[str] = frozenset()) -> str:
    """The expression in one line; bound: the indices that a sum around it runs over.

    >>> weight = Symbol("W", Symbol("l"), (Symbol("i"), Symbol("j")))
    >>> text(Operation("*", weight, Symbol("a", Number(0), (Number(12),))))
    'wᵢⱼˡ a₁₂⁰'
    """
    return _written(node, bound)[0]


def _written(node: Node, bound: frozenset[str]) -> tuple[str, int]:
    """The text, and how closely its parts are bound."""
    match node:
        case Number(value):
            written = number(value)
            return written, NEGATION if written.startswith("−") else ATOM
        case Symbol():
            return _symbol(node, bound), ATOM
        case Negative(operand):
            least = PRODUCT if isinstance(operand, Sum) else NEGATION
            return f"−{_within(operand, least, bound)}", NEGATION
        case Operation("==", left, right):
            return f"[{text(left, bound)} = {text(right, bound)}]", ATOM
        case Operation("**", left, right):
            return _power(left, right, bound), POWER
        case Operation(sign, left, right):
            return _operation(sign, left, right, bound)
        case Apply(function, arguments):
            return _application(function, arguments, bound), ATOM
        case Choice(condition, value, otherwise):
            condition_text = _condition(condition, bound)
            return f"{text(value, bound)} if {condition_text} else {text(otherwise, bound)}", 0
        case Sum():
            return _sum(node, bound), PRODUCT
        case Expanded():
            return _expanded(node, bound), ADDITION if len(node.terms) + (node.others > 0) > 1 else PRODUCT
    raise TypeError(repr(node))


def _within(node: Node, least: int, bound: frozenset[str]) -> str:
    written, binds = _written(node, bound)
    return written if binds >= least else f"({written})"


def _condition(node: Node, bound: frozenset[str]) -> str:
    if isinstance(node, Operation) and node.operator == "==":
        return f"{text(node.left, bound)} = {text(node.right, bound)}"
    return text(node, bound)


def _operation(sign: str, left: Node, right: Node, bound: frozenset[str]) -> tuple[str, int]:
    binds = BINDS.get(sign, COMPARISON)
    if sign == "*":
        first = _within(left, PRODUCT, bound)
        first = f"({first})" if isinstance(left, Sum) else first
        is_closed = isinstance(right, Sum | Expanded) or (isinstance(right, Operation) and right.operator == "*")
        second = _within(right, PRODUCT if is_closed else NEGATION, bound)
        second = f"({second})" if second.startswith("−") else second
        return f"{first}{times(left, right)}{second}", PRODUCT
    first = _within(left, binds, bound)
    if sign == "/" and isinstance(left, Sum):
        first = f"({first})"
    second = _within(right, binds + 1 if sign in "-/" else binds, bound)
    if sign == "+" and isinstance(right, Number) and second.startswith("−"):
        return f"{first} − {number(-right.value)}", binds
    if sign in "+-" and second.startswith("−"):
        second = f"({second})"
    return f"{first} {SIGNS.get(sign, sign)} {second}", binds


def times(left: Node, right: Node) -> str:
    """Letters stand side by side, numbers have a cross between them."""
    last, first = _edge(left, last=True), _edge(right, last=False)
    if isinstance(last, Number | Expanded) and isinstance(first, Number | Expanded | Apply):
        return " × "
    if isinstance(last, Apply) and isinstance(first, Number | Expanded):
        return " × "
    plain = isinstance(last, Symbol | Apply) and not fraction_of(_head(last))
    if (
        plain
        and not isinstance(first, Number)
        and not (isinstance(first, Symbol | Apply) and fraction_of(_head(first)))
    ):
        return " "
    return " · "


def _head(node: Symbol | Apply) -> str:
    return node.name if isinstance(node, Symbol) else node.function.name


def _edge(node: Node, last: bool) -> Node:
    """The first or last factor of a product."""
    while isinstance(node, Operation) and node.operator == "*":
        node = node.right if last else node.left
    return node


def _power(left: Node, right: Node, bound: frozenset[str]) -> str:
    return f"{_within(left, ATOM, bound)}{_raised(text(right, bound))}"


def _raised(written: str) -> str:
    if all(sign in SUPERSCRIPTS for sign in written.replace(" ", "")):
        return "".join(SUPERSCRIPTS[sign] for sign in written.replace(" ", ""))
    return f"^{written}" if re.fullmatch(r"\w+", written) else f"^({written})"


def _lowered(indices: list[str]) -> str:
    """Subscripts: letters and figures side by side where that is clear, else with commas."""
    if not indices:
        return ""
    sizes = [len(index) for index in indices]
    is_clear = max(sizes) == 1 and (len(indices) == 1 or not all(index.isdigit() for index in indices))
    is_clear = is_clear or len(indices) == 1
    written = [index.replace(" ", "") for index in indices]
    if all(sign in SUBSCRIPTS for index in written for sign in index):
        return ("" if is_clear else ",").join("".join(SUBSCRIPTS[sign] for sign in index) for index in written)
    joined = ",".join(written)
    return f"_{joined}" if re.fullmatch(r"\w", joined) else f"_({joined})"


def scripted(letter: str, layer: str | None, indices: list[str]) -> str:
    """A letter with indices below and its layer above."""
    return f"{letter}{_lowered(indices)}{'' if layer is None else _raised(layer)}"


def _symbol(node: Symbol, bound: frozenset[str]) -> str:
    fraction = fraction_of(node.name)
    layer = None if node.layer is None else text(node.layer, bound)
    indices = [text(index, bound) for index in sample_first(node, bound)]
    if fraction is not None:
        return _fraction(fraction, layer, indices)
    if is_function_of_layer(node.name) and layer is not None:
        return f"{glyph(node.name)}{_lowered([layer])}"
    base, subscript = glyph(node.name), []
    if found := re.fullmatch(r"(.+?)_(\w)", base):
        base, subscript = found[1], [found[2]]
    return scripted(base, layer, subscript + indices)


def _fraction(fraction: tuple[str, str, slice, slice], layer: str | None, indices: list[str]) -> str:
    above, below, of_above, of_below = fraction
    upper = scripted(above, None if above == "C" else layer, indices[of_above])
    return f"∂{upper}/∂{scripted(below, layer, indices[of_below])}"


def _application(function: Symbol, arguments: tuple[Node, ...], bound: frozenset[str]) -> str:
    fraction = fraction_of(function.name)
    if fraction is not None:  # dC_dy(y, t, i)
        *vectors, index = arguments
        given = ", ".join(text(each, bound) for each in vectors)
        return f"∂{fraction[0]}{_lowered(['s'])}/∂{scripted(fraction[1], None, [text(index, bound)])}({given})"
    given = ", ".join(text(each, bound) for each in arguments)
    if function.name == "abs":
        return f"|{given}|"
    if function.name == "sqrt":
        return f"√{given}" if re.fullmatch(r"\w+", given) else f"√({given})"
    return f"{_symbol(function, bound)}({given})"


def _sum(node: Sum, bound: frozenset[str]) -> str:
    inner = bound | {node.index}
    sign = "Σ" if node.operator == "+" else node.operator
    if whole_range(node):
        over = _lowered([node.index])
    else:
        over = f"_({text(node.first)} ≤ {node.index} < {text(node.end)})"
    return f"{sign}{over} {_within(node.body, PRODUCT, inner)}"


def _expanded(node: Expanded, bound: frozenset[str]) -> str:
    written = ""
    for _, term in node.terms:
        one = _within(term, PRODUCT, bound)
        if not written:
            written = one
        elif one.startswith("−"):
            written += f" − {one[1:]}"
        else:
            written += f" + {one}"
    if node.others:
        rest = number(node.rest)
        sign, size = (" − ", rest[1:]) if rest.startswith("−") else (" + ", rest)
        written += f"{sign}{size} [{node.others} others]" if written else f"{rest} [{node.others} others]"
    return written or "0"
