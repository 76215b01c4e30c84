"""Answers as files: CSV or Parquet, whole or not at all."""

import gzip
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..storage import check_place, replacing
from . import parquet

FORMATS = (".csv", ".tsv", ".csv.gz", ".parquet", ".pq")


def check_format(path: str | os.PathLike[str]) -> str:
    """The format that a file of this name is written in; ValueError for none.

    >>> check_format("answers.csv.gz")
    '.csv.gz'
    """
    name = os.fspath(path).lower()
    for suffix in FORMATS:
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"{os.fspath(path)} must end in one of {', '.join(FORMATS)}")


def check_output(path: str | os.PathLike[str]) -> None:
    """Raises what `write` would raise for a file of this name, before there is anything to write.

    >>> check_output("-")
    """
    if os.fspath(path) != "-":
        check_format(path)
        check_place(path)


def write(batches: Iterable[Any], path: str | os.PathLike[str]) -> int:
    """Writes record batches to a file, CSV or Parquet by its suffix, or to standard output as CSV where path is "-".

    A file of that name is replaced when the new one is complete, or kept: what the iterator raises leaves it as it was.
    Returns the rows. Raises OSError where the file cannot be written, ValueError for another suffix, for no batches,
    and for columns that CSV has no form for (lists, records).

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write([pa.record_batch({"prediction": [1.5, None]})], f"{folder}/answers.csv")
    ...     print(pathlib.Path(f"{folder}/answers.csv").read_text())
    2
    "prediction"
    1.5
    <BLANKLINE>
    <BLANKLINE>
    """
    if os.fspath(path) == "-":
        return _to_standard_output(batches)
    suffix = check_format(path)
    with replacing(path) as file:
        if suffix == ".csv.gz":
            with gzip.GzipFile("", "wb", 6, file) as packed:
                return _write(batches, packed, suffix)
        return _write(batches, file, suffix)


def _write(batches: Iterable[Any], file: Any, suffix: str) -> int:
    each = iter(batches)
    first = next(each, None)
    if first is None:
        raise ValueError("there are no batches to write")
    rows = 0
    try:
        with _writer(first.schema, file, suffix) as writer:
            for batch in _chained(first, each):
                if not batch.schema.equals(first.schema):  # the CSV writer does not look, and crashes
                    raise ValueError(f"batches differ in their columns: {batch.schema.names}, not {first.schema.names}")
                writer.write_batch(batch)
                rows += len(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"a column cannot be written as {suffix}: {' '.join(str(error).split())[:200]}") from error
    return rows


def _writer(schema: Any, file: Any, suffix: str) -> Any:
    if suffix in parquet.SUFFIXES:
        return pa.parquet.ParquetWriter(file, schema)
    return pa.csv.CSVWriter(
        file, schema, write_options=pa.csv.WriteOptions(delimiter="\t" if suffix == ".tsv" else ",")
    )


def _chained(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _to_standard_output(batches: Iterable[Any]) -> int:
    try:
        rows = _write(batches, sys.stdout.buffer, ".csv")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has enough, as `head` does. Python would complain again when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return rows
