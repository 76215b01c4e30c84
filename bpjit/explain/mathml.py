"""Expressions as MathML, for pages: the same trees as in `text`. Names are escaped."""

import re
from html import escape

from .expression import Apply, Choice, Expanded, Negative, Node, Number, Operation, Sum, Symbol
from .notation import fraction_of, glyph, is_function_of_layer, sample_first
from .text import number as number_text
from .text import times

SIGNS = {"-": "−", "==": "=", "!=": "≠", "<=": "≤", ">=": "≥", "&": "∧"}
TIMES = {" ": '<mo lspace="0.11em" rspace="0.11em">\u2062</mo>', " · ": "<mo>·</mo>", " × ": "<mo>×</mo>"}
"""Between letters nothing is seen."""
MINUS, PLUS, PREFIX = "<mo>−</mo>", "<mo>+</mo>", '<mo form="prefix">−</mo>'
COMPARISON, ADDITION, PRODUCT, NEGATION, POWER, ATOM = range(1, 7)
BINDS = {"+": ADDITION, "-": ADDITION, "*": PRODUCT, "**": POWER}
NONE: frozenset[str] = frozenset()


def equation(target: Node, relation: str, *sides: Node) -> str:
    """A whole <math> element: target = side = side ..."""
    signs = (relation, *("=" for _ in sides[1:]))
    inner = "".join(f"<mo>{sign}</mo>{mathml(side)}" for sign, side in zip(signs, sides, strict=True))
    return f'<math display="block">{mathml(target)}{inner}</math>'


def mathml(node: Node, bound: frozenset[str] = NONE) -> str:
    """The expression as a row of MathML.

    >>> mathml(Symbol("W", Symbol("l"), (Symbol("i"), Symbol("j"))))
    '<msubsup><mi>w</mi><mrow><mi>i</mi><mi>j</mi></mrow><mrow><mi>l</mi></mrow></msubsup>'
    """
    return _written(node, bound)[0]


def number(value: float) -> str:
    """A number; powers of ten as such."""
    written = number_text(value)
    found = re.fullmatch(r"(.*?)(?:(×)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?", written)
    assert found is not None
    mantissa, cross, power = found.groups()
    minus = PREFIX if mantissa.startswith("−") else ""
    mantissa = mantissa.removeprefix("−")
    whole = f"{minus}<mn>{mantissa}</mn>" if mantissa else minus
    if power is None:
        return whole
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "−0123456789"))
    cross = "<mo>×</mo>" if cross else ""
    return f"{whole}{cross}<msup><mn>10</mn><mn>{exponent}</mn></msup>"


def _written(node: Node, bound: frozenset[str]) -> tuple[str, int]:
    match node:
        case Number(value):
            return number(value), NEGATION if number_text(value).startswith("−") else ATOM
        case Symbol():
            return _symbol(node, bound), ATOM
        case Negative(operand):
            least = PRODUCT if isinstance(operand, Sum) else NEGATION
            return f"{PREFIX}{_within(operand, least, bound)}", NEGATION
        case Operation("==", left, right):
            return f"<mo>[</mo>{mathml(left, bound)}<mo>=</mo>{mathml(right, bound)}<mo>]</mo>", ATOM
        case Operation("/", left, right):
            above, below = mathml(left, bound), mathml(right, bound)
            return f"<mfrac><mrow>{above}</mrow><mrow>{below}</mrow></mfrac>", ATOM
        case Operation("**", left, right):
            return f"<msup><mrow>{_within(left, ATOM, bound)}</mrow><mrow>{mathml(right, bound)}</mrow></msup>", POWER
        case Operation(sign, left, right):
            return _operation(sign, left, right, bound)
        case Apply(function, arguments):
            return _application(function, arguments, bound), ATOM
        case Choice(condition, value, otherwise):
            chosen = f"<mtd>{mathml(value, bound)}</mtd><mtd><mtext>if\u00a0</mtext>{mathml(condition, bound)}</mtd>"
            other = f"<mtd>{mathml(otherwise, bound)}</mtd><mtd><mtext>else</mtext></mtd>"
            rows = f"<mtr>{chosen}</mtr><mtr>{other}</mtr>"
            return f"<mrow><mo>{{</mo><mtable>{rows}</mtable></mrow>", ATOM
        case Sum():
            return _sum(node, bound), PRODUCT
        case Expanded():
            return _expanded(node, bound), ADDITION if len(node.terms) + (node.others > 0) > 1 else PRODUCT
    raise TypeError(repr(node))


def _within(node: Node, least: int, bound: frozenset[str]) -> str:
    written, binds = _written(node, bound)
    return written if binds >= least else _closed(written)


def _closed(written: str) -> str:
    return f"<mrow><mo>(</mo>{written}<mo>)</mo></mrow>"


def _operation(sign: str, left: Node, right: Node, bound: frozenset[str]) -> tuple[str, int]:
    binds = BINDS.get(sign, COMPARISON)
    least = binds + 1 if sign == "-" else binds
    if sign == "*":
        is_closed = isinstance(right, Sum | Expanded) or (isinstance(right, Operation) and right.operator == "*")
        least = PRODUCT if is_closed else NEGATION
    first = _within(left, ATOM if sign == "*" and isinstance(left, Sum) else binds, bound)
    second, inner = _written(right, bound)
    if sign == "+" and isinstance(right, Number) and second.startswith(PREFIX):
        return f"{first}{MINUS}{second.removeprefix(PREFIX)}", binds
    if inner < least or (sign in ("+", "-", "*") and second.startswith(PREFIX)):
        second = _closed(second)
    mark = TIMES[times(left, right)] if sign == "*" else f"<mo>{escape(SIGNS.get(sign, sign))}</mo>"
    return f"{first}{mark}{second}", binds


def _row(parts: list[str]) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def scripted(letter: str, layer: str | None, indices: list[str]) -> str:
    """A letter with indices below and its layer above."""
    base = f"<mi>{escape(letter)}</mi>"
    several = any(len(re.sub("<[^>]*>", "", each)) > 1 for each in indices) or (
        len(indices) > 1 and all("<mn>" in each for each in indices)
    )
    below = ("<mo>,</mo>" if several else "").join(indices)
    if indices and layer is not None:
        return f"<msubsup>{base}<mrow>{below}</mrow><mrow>{layer}</mrow></msubsup>"
    if indices:
        return f"<msub>{base}<mrow>{below}</mrow></msub>"
    return base if layer is None else f"<msup>{base}<mrow>{layer}</mrow></msup>"


def _symbol(node: Symbol, bound: frozenset[str]) -> str:
    layer = None if node.layer is None else mathml(node.layer, bound)
    indices = [mathml(index, bound) for index in sample_first(node, bound)]
    fraction = fraction_of(node.name)
    if fraction is not None:
        above, below, of_above, of_below = fraction
        upper = scripted(above, None if above == "C" else layer, indices[of_above])
        lower = scripted(below, layer, indices[of_below])
        return f"<mfrac><mrow><mo>∂</mo>{upper}</mrow><mrow><mo>∂</mo>{lower}</mrow></mfrac>"
    if is_function_of_layer(node.name) and layer is not None:
        return scripted(glyph(node.name), None, [layer])
    letter, _, below = glyph(node.name).partition("_")
    if below and len(below) == 1:
        return scripted(letter, layer, [f"<mi>{escape(below)}</mi>", *indices])
    return scripted(glyph(node.name), layer, indices)


def _application(function: Symbol, arguments: tuple[Node, ...], bound: frozenset[str]) -> str:
    fraction = fraction_of(function.name)
    given = "<mo>,</mo>".join(mathml(each, bound) for each in (arguments[:-1] if fraction else arguments))
    if fraction is not None:  # dC_dy(y, t, i)
        upper = scripted(fraction[0], None, ["<mi>s</mi>"])
        lower = scripted(fraction[1], None, [mathml(arguments[-1], bound)])
        slope = f"<mfrac><mrow><mo>∂</mo>{upper}</mrow><mrow><mo>∂</mo>{lower}</mrow></mfrac>"
        return f"<mrow>{slope}<mo>(</mo>{given}<mo>)</mo></mrow>"
    if function.name == "sqrt":
        return f"<msqrt>{given}</msqrt>"
    if function.name == "abs":
        return f"<mrow><mo>|</mo>{given}<mo>|</mo></mrow>"
    return f"<mrow>{_symbol(function, bound)}<mo>(</mo>{given}<mo>)</mo></mrow>"


def _sum(node: Sum, bound: frozenset[str]) -> str:
    body = _within(node.body, PRODUCT, bound | {node.index})
    below = f"<mrow><mi>{escape(node.index)}</mi><mo>=</mo>{mathml(node.first)}</mrow>"
    if node.operator != "+":
        return f"<munder><mo>{escape(node.operator)}</mo><mi>{escape(node.index)}</mi></munder>{body}"
    last = mathml(Operation("-", node.end, Number(1)))
    return f"<munderover><mo>∑</mo>{below}<mrow>{last}</mrow></munderover>{body}"


def _expanded(node: Expanded, bound: frozenset[str]) -> str:
    written = ""
    for _, term in node.terms:
        written += _added(_within(term, PRODUCT, bound), is_first=not written)
    if node.others:
        sign, rest = "", number(node.rest)
        if written:
            sign, rest = (MINUS if rest.startswith(PREFIX) else PLUS), rest.removeprefix(PREFIX)
        written += f"{sign}<munder>{_row([rest])}<mtext>{node.others} others</mtext></munder>"
    return _row([written]) if written else "<mn>0</mn>"


def _added(written: str, is_first: bool) -> str:
    if is_first:
        return written
    return MINUS + written.removeprefix(PREFIX) if written.startswith(PREFIX) else PLUS + written
