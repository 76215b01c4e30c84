"""Expressions as MathML, for pages: the same trees as in `text`. Names are escaped."""

import re
from html import escape

from .expression import Apply, Choice, Expanded, Negative, Node, Number, Operation, Sum, Symbol
from .notation import fraction_of, glyph, is_function_of_layer, sample_first
from .text import number as number_text
from .text import text as text_of

SIGNS = {"-": "−", "*": "\u2062", "==": "=", "!=": "≠", "<=": "≤", ">=": "≥", "&": "∧"}
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
    mantissa, times, power = found.groups()
    minus = "<mo>−</mo>" if mantissa.startswith("−") else ""
    mantissa = mantissa.removeprefix("−")
    whole = f"{minus}<mn>{mantissa}</mn>" if mantissa else minus
    if power is None:
        return whole
    exponent = power.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "−0123456789"))
    cross = "<mo>×</mo>" if times else ""
    return f"<mrow>{whole}{cross}<msup><mn>10</mn><mn>{exponent}</mn></msup></mrow>"


def _written(node: Node, bound: frozenset[str]) -> tuple[str, int]:
    match node:
        case Number(value):
            return number(value), NEGATION if number_text(value).startswith("−") else ATOM
        case Symbol():
            return _symbol(node, bound), ATOM
        case Negative(operand):
            return f"<mo>−</mo>{_within(operand, NEGATION, bound)}", NEGATION
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
            rows = (
                f"<mtr><mtd>{mathml(value, bound)}</mtd><mtd><mtext>if </mtext>{mathml(condition, bound)}</mtd></mtr>"
                f"<mtr><mtd>{mathml(otherwise, bound)}</mtd><mtd><mtext>else</mtext></mtd></mtr>"
            )
            return f"<mrow><mo>{{</mo><mtable>{rows}</mtable></mrow>", ATOM
        case Sum():
            return _sum(node, bound), PRODUCT
        case Expanded():
            return _expanded(node, bound), ADDITION if len(node.terms) + (node.others > 0) > 1 else PRODUCT
    raise TypeError(repr(node))


def _within(node: Node, least: int, bound: frozenset[str]) -> str:
    written, binds = _written(node, bound)
    return written if binds >= least else f"<mrow><mo>(</mo>{written}<mo>)</mo></mrow>"


def _operation(sign: str, left: Node, right: Node, bound: frozenset[str]) -> tuple[str, int]:
    binds = BINDS.get(sign, COMPARISON)
    is_closed = sign == "*" and (
        isinstance(right, Sum | Expanded) or (isinstance(right, Operation) and right.operator == "*")
    )
    first = _within(left, ATOM if isinstance(left, Sum) and sign == "*" else binds, bound)
    least = binds if is_closed or sign == "+" else max(binds + 1, NEGATION + 1 if sign == "*" else 0)
    second = _within(right, least, bound)
    mark = SIGNS.get(sign, sign)
    if sign == "*" and text_of(Operation("*", left, right), bound).find(" × ") >= 0 and not is_closed:
        mark = "×"
    elif sign == "*":
        mark = "\u2062" if isinstance(right, Symbol | Sum | Apply) and isinstance(left, Symbol | Apply) else "·"
    return f"{first}<mo>{escape(mark)}</mo>{second}", binds


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
    parts: list[str] = []
    for _, term in node.terms:
        one = _within(term, PRODUCT, bound)
        if parts and not one.startswith("<mo>−</mo>"):
            parts.append("<mo>+</mo>")
        parts.append(one)
    if node.others:
        rest = number(node.rest)
        sign = "<mo>+</mo>" if parts and not rest.startswith("<mo>−</mo>") else ""
        parts.append(f"{sign}<munder>{_row([rest])}<mtext>{node.others} others</mtext></munder>")
    return _row(parts) if parts else "<mn>0</mn>"
