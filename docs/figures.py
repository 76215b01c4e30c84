"""Draws the two figures of docs/derivation.md: python docs/figures.py writes derivation.svg and tiles.svg beside it.

Their text is symbols alone, so that they serve every language; their colours follow the reader's light or dark mode,
and do not rely on red and green.
"""

import re
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent

STYLE = """
svg { color-scheme: light dark }
.card { fill: #ffffff; stroke: #d0d7de }
text { fill: #1f2328; font: italic 17px Georgia, 'Times New Roman', 'DejaVu Serif', serif; text-anchor: middle }
.left { text-anchor: start } .right { text-anchor: end }
.plain { font-style: normal } .large { font-size: 22px }
.unit { fill: #ffffff; stroke: #57606a; stroke-width: 1.5 }
.edge { stroke: #b6bec7; stroke-width: 1; fill: none }
.weight { stroke: #1f2328; stroke-width: 3; fill: none }
.forward { stroke: #1668c7; stroke-width: 2.5; fill: none }
.forward.end, text .forward, text.forward { fill: #1668c7; stroke: none }
.backward { stroke: #b35000; stroke-width: 2.5; fill: none }
.backward.end, text .backward, text.backward { fill: #b35000; stroke: none }
.cell { fill: #eef1f4; stroke: #9aa4ae; stroke-width: 0.75 }
.row { fill: #cfe2fa; stroke: #1668c7; stroke-width: 0.75 }
.column { fill: #fbe0c8; stroke: #b35000; stroke-width: 0.75 }
@media (prefers-color-scheme: dark) {
.card { fill: #0d1117; stroke: #30363d } text { fill: #e6edf3 }
.unit { fill: #0d1117; stroke: #9198a1 } .edge { stroke: #484f58 } .weight { stroke: #e6edf3 }
.forward { stroke: #6cb0ff } .forward.end, text .forward, text.forward { fill: #6cb0ff }
.backward { stroke: #ffa657 } .backward.end, text .backward, text.backward { fill: #ffa657 }
.cell { fill: #21262d; stroke: #6e7681 }
.row { fill: #163a63; stroke: #6cb0ff } .column { fill: #5a3410; stroke: #ffa657 }
}
"""


def drawing(width: int, height: int, shapes: list[str]) -> str:
    """The file: a card that the shapes lie on."""
    card = f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, f"<style>{STYLE}</style>", card, *shapes, "</svg>"]) + "\n"


def label(x: float, y: float, text: str, kind: str = "") -> str:
    """Text in which a_{ij}^{l} has indices, and [forward: a] a colour."""
    text = re.sub(r"\[(\w+): ([^]]*)\]", r'<tspan class="\1">\2</tspan>', text)
    below, end = r'<tspan dy="5" font-size="70%">\1</tspan>', "&#8203;</tspan>"
    above = r'<tspan dy="-12" font-size="70%">\2</tspan><tspan dy="7">'
    text = re.sub(r"_\{([^}]*)\}\^\{([^}]*)\}", below + above + end, text)
    text = re.sub(r"_\{([^}]*)\}", below + '<tspan dy="-5">' + end, text)
    return f'<text x="{x:g}" y="{y:g}" class="{kind}">{text}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<path class="{kind}" d="M{x1:g} {y1:g}L{x2:g} {y2:g}"/>'


def arrow(x1: float, y1: float, x2: float, y2: float, kind: str) -> Iterator[str]:
    """A line with a head; along one of the axes."""
    dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
    yield line(x1, y1, x2 - 8 * dx, y2 - 8 * dy, kind)
    corners = [(x2, y2), (x2 - 11 * dx - 5 * dy, y2 - 11 * dy - 5 * dx), (x2 - 11 * dx + 5 * dy, y2 - 11 * dy + 5 * dx)]
    yield f'<path class="{kind} end" d="M{"L".join(f"{x:g} {y:g}" for x, y in corners)}Z"/>'


def grid(x: float, y: float, columns: int, rows: int, kind: str, side: float = 17) -> Iterator[str]:
    for r in range(rows):
        for c in range(columns):
            yield f'<rect class="{kind}" x="{x + c * side:g}" y="{y + r * side:g}" width="{side:g}" height="{side:g}"/>'


def derivation() -> str:
    """One weight between what the forward pass leaves at its lower end and the backward pass at its upper end."""
    below, here, above, cost = 110, 350, 560, 722
    heights = (95, 165, 235)
    shapes = [line(below, y, here, 165, "edge") for y in heights]
    shapes += [line(here, 165, above, y, "edge") for y in heights]
    shapes += [line(above, y, cost - 24, 165, "edge") for y in heights]
    shapes += [line(below, 165, here, 165, "weight"), label(218, 155, "w_{ij}^{l}", "large")]
    for x in (below, above):
        shapes += [f'<circle class="unit" cx="{x}" cy="{y}" r="{27 if y == 165 else 14}"/>' for y in heights]
    shapes += ['<ellipse class="unit" cx="350" cy="165" rx="58" ry="30"/>', line(350, 140, 350, 190, "edge")]
    shapes += ['<rect class="unit" x="698" y="141" width="48" height="48" rx="6"/>', label(722, 171, "C", "large")]
    shapes += [label(below, 170, "a_{j}^{l−1}"), label(322, 170, "z_{i}^{l}"), label(378, 170, "a_{i}^{l}")]
    shapes += [label(above, 170, "z_{k}^{l+1}"), label(640, 170, "⋯", "plain")]
    for x, text in ((below, "l − 1"), (here, "l"), (above, "l + 1")):
        shapes.append(label(x, 30, text))
    shapes += [*arrow(below, 52, 746, 52, "forward"), *arrow(746, 280, here, 280, "backward")]
    for x, text in ((230, "E1"), (350, "E2"), (455, "E1"), (660, "E3")):
        shapes.append(label(x, 72, text, "forward plain"))
    for x, text in ((690, "E6"), (455, "E7")):
        shapes.append(label(x, 270, text, "backward plain"))
    shapes += [label(below, 316, "a_{j}^{l−1}", "forward large"), label(here, 316, "δ_{i}^{l}", "backward large")]
    shapes.append(label(above, 316, "δ_{k}^{l+1}", "backward large"))
    formula = "∂C / ∂w_{ij}^{l}  =  [backward: δ_{i}^{l}]  ·  [forward: a_{j}^{l−1}]"
    shapes.append(label(380, 366, formula, "large"))
    return drawing(760, 390, shapes)


def tiles() -> str:
    """What is a row of a tile, what a column, and what its sum runs over, in E1, E7 and E8."""
    shapes: list[str] = []
    kinds = (
        ("E1", "z_{i}^{l}", "i", "s", "j", "w_{ij}", "a_{j}"),
        ("E7", "Σ_{i} w_{ij} δ_{i}", "j", "s", "i", "w_{ij}", "δ_{i}"),
        ("E8", "∂C/∂w_{ij}^{l}", "j", "i", "s", "a_{j}", "δ_{i}"),
    )
    for n, (number, sum_, row, column, over, factor, vector) in enumerate(kinds):
        x, y = 92 + 285 * n, 120
        shapes.append(label(x - 62, 40, number, "plain left large"))
        shapes.append(label(x + 68, 40, sum_, "large"))
        shapes += grid(x, y - 34, 8, 1, "row")
        shapes += grid(x - 34, y, 1, 6, "column")
        shapes += grid(x, y, 8, 6, "cell")
        shapes += [label(x + 158, y - 20, vector, "forward"), label(x - 26, y + 124, factor, "backward")]
        shapes += [*arrow(x, y + 120, x + 136, y + 120, "edge"), label(x + 68, y + 140, column)]
        shapes += [*arrow(x + 148, y, x + 148, y + 102, "edge"), label(x + 162, y + 56, row)]
        shapes.append(label(x + 68, y + 172, f"Σ_{{{over}}}", "large"))
    return drawing(880, 312, shapes)


FIGURES = {"derivation.svg": derivation, "tiles.svg": tiles}

if __name__ == "__main__":
    for name, draw in FIGURES.items():
        (HERE / name).write_text(draw(), encoding="utf-8")
