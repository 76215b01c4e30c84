"""Sources: tables whose rows come in batches of columns, and arrays of numbers.

A file is read block by block, as often as needed; one that takes little of the memory is kept after the first time.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..validation import physical_memory
from .cells import Reading
from .errors import DataError, listed, nearest, shown

MEMORY_SHARE = 4
"""A table is kept, and prepared samples are made, in memory if they take less than one part in so many."""


def memory_share() -> int:
    """Bytes up to which something is kept in memory."""
    return physical_memory() // MEMORY_SHARE


class Source:
    """Where rows come from.

    name: as in messages. columns: names. target: the column that was named when it was opened. test: the source of
    the rows of its own that it has for a test.
    """

    def __init__(self, name: str, columns: Sequence[str], reading: Reading, target: str | None = None) -> None:
        self.name, self.columns, self.reading, self.target = name, list(columns), reading, target
        self.test: Source | None = None

    @property
    def rows(self) -> int:
        raise NotImplementedError

    def named(self, column: str, option: str | None = None) -> str:
        """The name of a column, if there is one of that name; else DataError with those that there are."""
        if column in self.columns:
            return column
        what = f"--{option} names {shown(column)}, but there is no such column" if option else ""
        what = what or f"column {shown(column)} is missing"
        raise DataError(f"{self.name}: {what}{nearest(column, self.columns)}; there are {listed(self.columns)}")


class Table(Source):
    """A source of columns: files of CSV and Parquet, and tables in memory."""

    keeps = True
    """Whether a small one is kept in memory after it was read: not where once is enough."""
    _kept: list[Any] | None = None
    _rows: int | None = None

    @property
    def rows(self) -> int:
        """How many there are, for which the file is read if it has not been."""
        if self._rows is None:
            for _ in self.batches():
                pass
        assert self._rows is not None
        return self._rows

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Record batches of these columns, all by default, in the file's order; none of them is empty."""
        chosen = self.columns if columns is None else list(columns)
        if self._kept is not None:
            yield from (batch.select(chosen) for batch in self._kept)
            return
        kept: list[Any] | None = [] if self.keeps and self._rows is None else None
        size = rows = 0
        for batch in self._read(chosen if kept is None else self.columns):
            if len(batch) == 0:
                continue
            rows, size = rows + len(batch), size + batch.nbytes
            if kept is not None:
                kept.append(batch)
                kept = None if size > memory_share() else kept
            yield batch.select(chosen)
        if rows == 0:
            raise self._no_rows()
        self._rows, self._kept = rows, kept

    def _no_rows(self) -> DataError:
        return DataError(f"{self.name}: there is no row below the header: give at least one")

    def _read(self, columns: list[str]) -> Iterator[Any]:
        raise NotImplementedError

    def _check_names(self) -> None:
        """Raises DataError unless every column has a name of its own."""
        for number, name in enumerate(self.columns, start=1):
            if not name:
                raise DataError(
                    f"{self.name}: column {number} has no name: give it one in the header "
                    "(pandas leaves it out for the index: to_csv(..., index=False))"
                )
        if len(set(self.columns)) < len(self.columns):
            name = next(name for name in self.columns if self.columns.count(name) > 1)
            raise DataError(f"{self.name}: two columns are named {shown(name)}: give each a name of its own")


class Frame(Table):
    """A table in memory: of pyarrow, pandas or polars, or whatever else shares its columns with Arrow."""

    def __init__(self, frame: Any, reading: Reading, target: str | None = None) -> None:
        self._table = frame if isinstance(frame, pa.Table) else pa.table(frame)
        names = [name for name in self._table.column_names if not name.startswith("__index_level_")]
        super().__init__(reading.name, names, reading, target)
        self._check_names()

    def _read(self, columns: list[str]) -> Iterator[Any]:
        yield from self._table.select(columns).to_batches(max_chunksize=2**16)


class Arrays(Source):
    """A source of numbers: X (S, features), t (S,) or None, in memory or mapped from a file.

    unit: what the numbers of X are divided by, 255 for the bytes of images; None where they are to be standardised.
    """

    def __init__(self, name: str, X: np.ndarray, t: np.ndarray | None, unit: float | None) -> None:
        if X.ndim == 0 or X.dtype.kind not in "biuf":
            raise DataError(f"{name}: X of shape {X.shape} holds {X.dtype}: it must hold rows of real numbers")
        if X.size == 0:
            raise DataError(f"{name}: X of shape {X.shape} holds no number: give at least one row")
        if t is not None:
            t = t[:, 0] if t.ndim == 2 and t.shape[1] == 1 else t
            if t.ndim != 1:
                raise DataError(f"{name}: t has shape {t.shape}: it must hold one class or number a row")
            if len(t) != len(X):
                raise DataError(f"{name}: X has {len(X)} rows, but t {len(t)}: each row needs one target")
            if t.dtype.kind not in "biufU":
                raise DataError(f"{name}: t holds {t.dtype}: it must hold numbers, texts or booleans")
            if t.dtype.kind == "f":
                t = t.astype(np.float64)
            t = t.astype(t.dtype.newbyteorder("="), copy=False)
        self.X, self.t, self.unit = X.reshape(len(X), -1), t, unit
        super().__init__(name, [], Reading(name, ()))

    @property
    def rows(self) -> int:
        return len(self.X)
