"""Columns of a table as inputs of a network: numbers standardised, categories one-hot."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..validation import rows_in_block
from .cells import Cells, Reading
from .errors import DataError, listed, options, shown
from .source import Source, Table
from .survey import Survey

Rows = tuple[int, np.ndarray, np.ndarray, Any]
"""The number of rows before them, X, which of them have no gap, and the record batch (None of arrays)."""


class Number:
    """A column of numbers, or of true and false: (x - mean) / scale; a missing one is the mean, 0."""

    width = 1

    def __init__(self, name: str, mean: float, scale: float, boolean: bool) -> None:
        self.name, self.mean, self.scale, self.boolean = name, mean, scale, boolean

    @property
    def feature_names(self) -> list[str]:
        return [self.name]

    def write(self, out: np.ndarray, cells: Cells, unknown: str) -> np.ndarray:
        """Fills `out` (rows, 1), and returns which values are missing."""
        values = cells.numbers(self.boolean)
        missing = np.isnan(values)
        values = standardised(values, self.mean, self.scale, cells)
        values[missing] = 0.0
        out[:, 0] = values
        return missing

    def configuration(self) -> dict[str, Any]:
        kind = "boolean" if self.boolean else "number"
        return {"name": self.name, "kind": kind, "mean": self.mean, "scale": self.scale}


class Category:
    """A column of texts: 1 in the place of its category, else 0.

    missing: whether a missing value has a place of its own, the last one; without, it is 0 in all places.
    """

    def __init__(self, name: str, categories: Sequence[str], missing: bool) -> None:
        self.name, self.categories, self.missing = name, list(categories), missing
        self.width = len(self.categories) + missing
        self._set = pa.array(self.categories, pa.string())

    @property
    def feature_names(self) -> list[str]:
        return [f"{self.name}={category}" for category in [*self.categories, *([""] if self.missing else [])]]

    def write(self, out: np.ndarray, cells: Cells, unknown: str) -> np.ndarray:
        """Fills `out` (rows, width), of zeros, and returns which values are missing."""
        texts = cells.texts
        missing = pc.is_null(texts).to_numpy(zero_copy_only=False)
        place = pc.fill_null(pc.index_in(texts, self._set), -1).to_numpy(zero_copy_only=False)
        strange = (place < 0) & ~missing
        if unknown == "error" and strange.any():
            row = int(np.argmax(strange))
            raise DataError(
                f"{cells.place(row)} holds {shown(texts[row].as_py())}, a category that was not in training: there are "
                f"{listed(self.categories)}; correct it, or choose --unknown ignore (none of the categories)"
            )
        if self.missing:
            place = np.where(missing, self.width - 1, place)
        rows = np.flatnonzero(place >= 0)
        out[rows, place[rows]] = 1
        return missing

    def configuration(self) -> dict[str, Any]:
        return {"name": self.name, "kind": "category", "categories": self.categories, "missing": self.missing}


def standardised(values: np.ndarray, mean: float, scale: float, cells: Cells) -> np.ndarray:
    """(x - mean) / scale, if that is a number that float32 can hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = (values - mean) / scale
        wrong = np.isinf(values.astype(np.float32))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{cells.place(row)} holds {shown(cells.value(row))}, which is too far from what was seen in training "
            f"(mean {mean:g}, deviation {scale:g}): correct it"
        )
    return values


class Columns:
    """The columns of a table that are the network's inputs, in their order.

    >>> from bpjit.tables import open_source
    >>> columns = Columns([Number("rooms", 3.0, 2.0, False), Category("town", ["Bern", "Rome"], False)])
    >>> homes = open_source(pa.table({"town": ["Rome", "Bern"], "rooms": [3, 5]}))
    >>> next(columns.blocks(homes, missing="error", unknown="error"))[1]
    array([[0., 0., 1.],
           [1., 1., 0.]], dtype=float32)
    """

    def __init__(self, columns: Sequence[Number | Category]) -> None:
        self.columns = list(columns)
        self.width = sum(column.width for column in self.columns)

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def feature_names(self) -> list[str]:
        return [name for column in self.columns for name in column.feature_names]

    def blocks(
        self,
        source: Source,
        *,
        missing: str,
        unknown: str,
        extra: Sequence[str] = (),
        dtype: Any = "float32",
        reading: Reading | None = None,
    ) -> Iterator[Rows]:
        """Blocks of rows; the `extra` columns are in their record batches, too."""
        if not isinstance(source, Table):
            raise DataError(f"{source.name} has rows without names of columns: the model needs {listed(self.names)}")
        names = list(dict.fromkeys([*(source.named(name) for name in self.names), *extra]))
        step, first = rows_in_block(self.width, np.dtype(dtype)), 0
        for large in source.batches(names):
            for start in range(0, len(large), step):
                batch = large.slice(start, step)
                yield self._rows(batch, first, missing, unknown, reading or source.reading, np.dtype(dtype))
                first += len(batch)

    def _rows(self, batch: Any, first: int, missing: str, unknown: str, reading: Reading, dtype: np.dtype) -> Rows:
        X, whole, at = np.zeros((len(batch), self.width), dtype), np.ones(len(batch), bool), 0
        for column in self.columns:
            cells = Cells(batch.column(column.name), column.name, first, reading)
            gaps = column.write(X[:, at : at + column.width], cells, unknown)
            if missing == "error" and gaps.any():
                raise cells.missing_value(int(np.argmax(gaps)))
            whole &= ~gaps
            at += column.width
        return first, X, whole, batch

    def configuration(self) -> dict[str, Any]:
        return {"kind": "columns", "columns": [column.configuration() for column in self.columns]}

    @classmethod
    def fit(
        cls, survey: Survey, names: Sequence[str], training: np.ndarray, held_out: np.ndarray, most: int
    ) -> tuple["Columns", list[str]]:
        """Means, deviations and categories of the rows in the mask `training`, at most so many in a column; and the
        names of columns where rows of the mask `held_out` have others."""
        from sklearn.preprocessing import StandardScaler

        source, first = survey.source, 0
        numbers = [name for name in names if survey.kind(name) != "text"]
        texts: dict[str, set[str | None]] = {name: set() for name in names if name not in numbers}
        others: dict[str, set[str | None]] = {name: set() for name in texts}
        scaler = StandardScaler()
        for batch in source.batches(names):
            chosen, apart = training[first : first + len(batch)], held_out[first : first + len(batch)]
            cells = {name: Cells(batch.column(name), name, first, source.reading) for name in names}
            if numbers:
                values = [cells[name].numbers(survey.kind(name) == "boolean") for name in numbers]
                if chosen.any():
                    scaler.partial_fit(np.column_stack(values)[chosen])
            for name, seen in texts.items():
                seen.update(pc.unique(cells[name].texts.filter(pa.array(chosen))).to_pylist())
                if len(seen - {None}) > most:
                    raise DataError(_too_many(survey, name, most))
                if len(others[name]) <= most:
                    others[name].update(pc.unique(cells[name].texts.filter(pa.array(apart))).to_pylist())
            first += len(batch)
        columns: list[Number | Category] = []
        for name in names:
            if name in texts:
                categories = sorted(text for text in texts[name] if text is not None)
                columns.append(Category(name, categories, None in texts[name]))
                empty = not categories
            else:
                place = numbers.index(name)
                mean, scale = float(scaler.mean_[place]), float(scaler.scale_[place])
                columns.append(Number(name, mean, scale, survey.kind(name) == "boolean"))
                empty = np.isnan(mean)
            if empty:
                raise DataError(
                    f"{source.name}: column {shown(name)} has no value in any row that trains: "
                    f"leave it out with {options('ignore', [name])}"
                )
        return cls(columns), [name for name in texts if others[name] - texts[name] - {None}]


def _too_many(survey: Survey, name: str, most: int) -> str:
    return (
        f"{survey.source.name}: column {shown(name)} holds more than {most} different texts: if they are names or "
        f"remarks, leave it out with {options('ignore', [name])}; if they are categories, allow more "
        "with --max-categories"
    )
