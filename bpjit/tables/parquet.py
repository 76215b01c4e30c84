"""Parquet files: columns that have types of their own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from .cells import Reading
from .errors import DataError
from .source import Table

SUFFIXES = (".parquet", ".pq")
BATCH_ROWS = 2**16


class ParquetFile(Table):
    """A Parquet file; the index that pandas may have put into it is left out."""

    def __init__(self, path: Path, *, target: str | None = None, missing_values: Sequence[str] = ()) -> None:
        self._path, name = path, str(path)
        try:
            with pa.parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(name, error) from error
        names = [column for column in names if not column.startswith("__index_level_")]
        super().__init__(name, names, Reading.of(name, ("",), missing_values), target)
        if not names:
            raise DataError(f"{name} has no columns")
        self._check_names()

    def _read(self, columns: list[str]) -> Iterator[Any]:
        try:
            with pa.parquet.ParquetFile(self._path) as file:
                # Row groups may be large: a batch is not.
                yield from file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
        except (pa.ArrowException, OSError) as error:
            raise self._damaged(self.name, error) from error

    @staticmethod
    def _damaged(name: str, error: Exception) -> Exception:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        return DataError(f"{name} is no sound Parquet file: {' '.join(str(error).split())[:200]}")
