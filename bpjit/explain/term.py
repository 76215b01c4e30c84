"""Term: one number of a trace, with its equation, the numbers in it, and the statement that computes it."""

import re
import textwrap
from dataclasses import dataclass

from .text import number

WIDTH = 80
LONG = 7
"""Terms of a sum, of which the equation itself shows all."""


@dataclass(frozen=True)
class Part:
    """One of the terms of a sum: its value, what it is ("w₃₇² δ₇²"), and that with numbers. others: how many smaller
    ones this one stands for, if it is not a single one."""

    value: float
    equation: str
    substituted: str
    others: int = 0


@dataclass(frozen=True)
class Line:
    """What a name in an equation stands for: its own equation, with numbers, its value; and where it is computed."""

    equation: str
    substituted: str
    value: float
    source: str = ""


@dataclass(frozen=True)
class Term:
    """One number of a trace; `print` it.

    equation: as the statement says it, for all units alike. here: the same with this term's indices. substituted: with
    its numbers. value: what the statement computed. source: where it stands, as "derivation.py:140", and code, what
    stands there. marks: "E7", ... of the equations that are part of it. parts: the terms of its sum, the largest
    first; empty where nothing is summed. where: what names and functions in it stand for. notes: what else is to be
    known. mathml and substituted_mathml: equation and substituted as MathML. index: l, i, j, s of the term.
    """

    name: str
    equation: str
    here: str
    substituted: str
    value: float
    source: str
    code: str
    marks: tuple[str, ...]
    parts: tuple[Part, ...]
    where: tuple[Line, ...]
    notes: tuple[str, ...]
    mathml: str
    substituted_mathml: str
    index: dict[str, int]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self, width: int = WIDTH, parts: int = 0) -> list[str]:
        """What is shown, line by line; parts: how many terms of a long sum are listed, too."""
        cited = ", ".join(self.marks[:1])
        head = f"{cited}  {self.equation}" if cited else self.equation
        source = self.source
        indent = "    "
        room = width - len(head) - len(source)
        lines = [f"{head}{' ' * room}{source}"] if room >= 2 else [*_wrapped(head, width, "", indent), indent + source]
        left, relation, right = _split(self.here)
        lines += _wrapped(f"{left} {relation} {right}", width, indent, indent + " " * (len(left) + 3))
        within = indent + " " * (len(left) + 1)
        if self.substituted not in (right, number(self.value)):
            lines += _wrapped(f"= {self.substituted}", width, within, within + "  ")
        lines.append(f"{within}= {number(self.value, 7)}")
        for k, line in enumerate(self.where):
            lines += _line(line, width, "where " if k == 0 else "      ", indent)
        if parts and sum(part.others or 1 for part in self.parts) > LONG:
            lines += self._listed(width, indent, parts)
        for note in self.notes:
            lines += _wrapped(note, width, indent, indent)
        return lines

    def _listed(self, width: int, indent: str, most: int) -> list[str]:
        count = sum(part.others or 1 for part in self.parts)
        lines = [f"{indent}the largest of {count} terms:" if count > most else f"{indent}its {count} terms:"]
        for part in self.parts[:most]:
            line = f"{indent}  {number(part.value, 5):>12}  {part.equation} = {part.substituted}"
            lines.append(line if len(line) <= width else f"{line[: width - 1]}…")
        return lines


def _split(equation: str) -> tuple[str, str, str]:
    for relation in (" ← ", " = "):
        left, found, right = equation.partition(relation)
        if found:
            return left, relation.strip(), right
    return equation, "=", ""


def _line(line: Line, width: int, before: str, indent: str) -> list[str]:
    written = line.equation
    for more in (line.substituted, number(line.value, 5) if line.value == line.value else ""):
        if more and not written.endswith(f"= {more}"):
            written += f" = {more}"
    if line.source:
        written += f"  ({line.source})"
    return _wrapped(written, width, indent + before, indent + " " * (len(before) + 2))


def _wrapped(written: str, width: int, first: str, others: str) -> list[str]:
    wrapper = textwrap.TextWrapper(
        width, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
    together = re.sub(r" ([×·]) ", "\u00a0\\1\u00a0", written)
    together = re.sub(r" ([+−]) ", " \\1\u00a0", together)  # a sign goes with the term after it
    together = together.replace(" others]", "\u00a0others]").replace(" [", "\u00a0[")
    return [line.replace("\u00a0", " ") for line in wrapper.wrap(together)] or [first]
