"""Tables for people: as text for a terminal, as HTML for a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from unicodedata import combining, east_asian_width

_CELL = "padding: 0.15em 0.7em; border: none; background: none; color: inherit;"
_RULE = "border-bottom: 1px solid currentColor;"
"""Colours are those of the page around, so that a dark page stays readable."""


@dataclass(frozen=True)
class Table:
    """A title, columns with rows of cells, and notes below. Columns named in `left` are words, the others numbers.

    >>> print(Table("sizes", ("layer", "units"), [("1", "8"), ("2", "128")], notes=("2 layers",)))
    sizes
    layer  units
        1      8
        2    128
    2 layers
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: Sequence[str] = field(default=())
    notes: Sequence[str] = field(default=())

    def __str__(self) -> str:
        cells = [self.columns, *self.rows]
        widths = [max(columns(row[k]) for row in cells) for k in range(len(self.columns))]

        def line(row: Sequence[str]) -> str:
            aligned = []
            for name, cell, width in zip(self.columns, row, widths, strict=True):
                gap = " " * (width - columns(cell))
                aligned.append(cell + gap if name in self.left else gap + cell)
            return "  ".join(aligned).rstrip()

        return "\n".join([self.title, *map(line, cells), *self.notes])

    def html(self) -> str:
        """The table as an element that needs nothing else: no script, no style sheet, nothing from the net."""

        def row(kind: str, cells: Sequence[str], style: str = "") -> str:
            inside = "".join(
                f'<{kind} style="{_CELL}{style} text-align: {"left" if name in self.left else "right"};">'
                f"{escape(cell)}</{kind}>"
                for name, cell in zip(self.columns, cells, strict=True)
            )
            return f'<tr style="background: none;">{inside}</tr>'

        title = f"<div><b>{escape(self.title)}</b></div>" if self.title else ""
        body = "".join(row("td", cells) for cells in self.rows)
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        return (
            f"<div>{title}"
            f'<table style="border-collapse: collapse; color: inherit;"><thead>{row("th", self.columns, _RULE)}</thead>'
            f"<tbody>{body}</tbody></table>{notes}</div>"
        )


def printable(text: str) -> str:
    r"""The text in one line, with nothing in it that a terminal would obey: such characters are escaped.

    >>> print(printable("red\x1b[31m"))
    red\x1b[31m
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def columns(text: str) -> int:
    """How many columns of a terminal the text takes: two for a wide character, none for an accent of its own.

    >>> columns("Bär"), columns("東京")
    (3, 4)
    """
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def shortened(text: str, width: int) -> str:
    """The text in at most so many columns of a terminal.

    >>> shortened("versicolor", 6), shortened("setosa", 6), shortened("東京都", 5)
    ('versi…', 'setosa', '東京…')
    """
    if columns(text) <= width:
        return text
    kept = text[:width]
    while columns(kept) >= width:
        kept = kept[:-1]
    return kept + "…"


def size_text(size: float) -> str:
    """A number of bytes, in the unit that suits it.

    >>> size_text(2048), size_text(3 * 2**20)
    ('2 KiB', '3 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
