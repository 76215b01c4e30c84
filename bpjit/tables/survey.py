"""Survey: what the columns of a table hold, found from all of its rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .cells import Cells, kind_of
from .errors import DataError, listed, options, shown
from .source import Table

DATE_SAMPLE = 1000
"""Texts of a block that are tried as dates."""
DATES = [
    *(f"%Y{sign}%m{sign}%d{time}" for sign in "-/." for time in ("", " %H:%M", " %H:%M:%S", "T%H:%M", "T%H:%M:%S")),
    *(
        f"{day}{time}"
        for day in ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y")
        for time in ("", " %H:%M", " %H:%M:%S")
    ),
    *(
        "%d.%m.%y",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d-%b-%Y",
        "%d %b %Y",
        "%d %B %Y",
        "%b %d, %Y",
        "%B %d, %Y",
        "%H:%M",
        "%H:%M:%S",
    ),
]
"""The written forms of dates and times."""
COMMA = r"^[+-]?\d+(,\d+)+(\.\d*)?$"
"""A decimal comma, or commas that divide thousands."""
WRITTEN = 19
"""Letters of a date and a time to the second, in ISO 8601."""


@dataclass
class Column:
    """What was seen of one column."""

    name: str
    values: int = 0
    numbers: int = 0
    booleans: int = 0
    dates: int = 0
    commas: int = 0
    tried: int = 0
    types: set[str] = field(default_factory=set)
    first_text: DataError | None = None

    def see(self, cells: Cells) -> np.ndarray:
        """Counts the values; returns which are missing."""
        kind = kind_of(cells.type)
        self.types.add(kind)
        if kind in ("dates", "nested"):
            self.values += len(cells) - cells.array.null_count
            return np.zeros(len(cells), bool)
        if kind == "category":
            missing = pc.is_null(cells.texts).to_numpy(zero_copy_only=False)
            self.values += int((~missing).sum())
            return missing
        values, wrong = cells.parsed()
        missing = np.isnan(values) & ~wrong
        self.values += len(cells) - int(missing.sum())
        self.numbers += len(cells) - int(missing.sum()) - int(wrong.sum())
        if wrong.any():
            self._see_texts(cells, wrong)
        return missing

    def _see_texts(self, cells: Cells, wrong: np.ndarray) -> None:
        if self.first_text is None:
            self.first_text = cells.not_a_number(int(np.argmax(wrong)))
        texts = cells.texts.filter(pa.array(wrong))
        self.booleans += int(pc.sum(pc.is_in(pc.utf8_lower(texts), pa.array(["true", "false"]))).as_py() or 0)
        if self.tried >= 5 * DATE_SAMPLE:
            return
        sample = texts.slice(0, DATE_SAMPLE)
        self.commas += int(pc.sum(pc.match_substring_regex(sample, COMMA)).as_py() or 0)
        sample = pc.utf8_slice_codeunits(sample, 0, WRITTEN)
        self.tried += len(sample)
        most = [
            len(sample) - pc.strptime(sample, format=form, unit="s", error_is_null=True).null_count for form in DATES
        ]
        self.dates += max(most)

    @property
    def kind(self) -> str:
        """What it can be used as, "number", "boolean" or "text"; or why it cannot, as in REFUSED, or "mixed"."""
        if not self.values:
            return "nothing"
        for kind in ("dates", "nested"):
            if kind in self.types:
                return kind
        if self.types == {"boolean"} or (self.booleans and self.booleans == self.values):
            return "boolean"
        if "category" in self.types:
            return "text"
        if self.numbers == self.values:
            return "number"
        if 2 * self.numbers >= self.values:
            return "mixed"
        if 2 * self.commas > self.tried:
            return "commas"
        return "dates" if 2 * self.dates > self.tried else "text"


class Survey:
    """The kinds of a table's columns, and which of its rows have gaps.

    Raises DataError, one for all columns that are of no use in the same way, with what to do about them.
    """

    def __init__(self, source: Table, names: Sequence[str], target: str, categorical: Sequence[str]) -> None:
        self.source, self.target = source, target
        self.columns = {name: Column(name) for name in [*names, target]}
        self.categorical = set(categorical)
        self.gaps: dict[str, tuple[int, DataError]] = {}
        complete, missing_target = [], []
        first = 0
        for batch in source.batches([*names, target]):
            whole = np.ones(len(batch), bool)
            for name in names:
                missing = self._see(Cells(batch.column(name), name, first, source.reading))
                whole &= ~missing
            cells = Cells(batch.column(target), target, first, source.reading)
            missing_target.append(self._see(cells))
            complete.append(whole)
            first += len(batch)
        self.rows = first
        self.complete, self.missing_target = np.concatenate(complete), np.concatenate(missing_target)
        self._refuse([*names, target])

    def _see(self, cells: Cells) -> np.ndarray:
        missing = self.columns[cells.column].see(cells)
        if cells.column not in self.gaps and missing.any():
            row = int(np.argmax(missing))
            self.gaps[cells.column] = cells.first + row, cells.missing_value(row)
        return missing

    def kind(self, name: str) -> str:
        """ "number", "boolean" or "text"."""
        kind = self.columns[name].kind
        return "text" if name in self.categorical and kind in ("number", "boolean", "mixed", "commas") else kind

    def _refuse(self, names: list[str]) -> None:
        kinds = {name: self.kind(name) for name in names}
        for name, kind in kinds.items():
            error = self.columns[name].first_text
            if kind == "mixed" and error is not None:
                raise error
        for kind, what, advice in REFUSED:
            found = [name for name in names if kinds[name] == kind]
            if found:
                one = "column" if len(found) == 1 else "columns"
                if self.target in found and kind == "commas":
                    way = f"{advice}name another target with --target"
                elif self.target in found:
                    way = f"{shown(self.target)} is the target: name another with --target, or correct it"
                else:
                    way = f"{advice}leave {'it' if len(found) == 1 else 'them'} out with {options('ignore', found)}"
                raise DataError(f"{self.source.name}: {one} {listed(found)} {what(len(found) == 1)}: {way}")


def _holds(what: str) -> Callable[[bool], str]:
    return lambda one: f"{'holds' if one else 'hold'} {what}"


REFUSED = [
    ("nothing", _holds("no value in any row"), ""),
    (
        "dates",
        _holds("dates or times, which are no numbers"),
        "make numbers of them in columns of their own (year, month, weekday, days since a day), or ",
    ),
    (
        "commas",
        _holds("numbers with commas"),
        "give --decimal , if the comma stands before decimals; write thousands without it; or ",
    ),
    ("nested", _holds("lists, records or bytes"), "make columns of numbers or texts of them, or "),
]
"""Kinds of columns that are of no use: what they hold, what can be done."""
