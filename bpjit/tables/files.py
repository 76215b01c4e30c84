"""Files by their names: which reader is for which."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..datasets import LOADERS
from . import csv, idx, npz, parquet
from .cells import Reading
from .errors import DataError, nearest, shown
from .source import Arrays, Frame, Source


def open_source(
    path: Any,
    target: str | None = None,
    missing_values: Sequence[str] = (),
    *,
    delimiter: str | None = None,
    decimal: str = ".",
    encoding: str = "utf-8",
) -> Source:
    """The source of a file's rows: CSV (.csv, .tsv, .txt, also packed as .gz, .bz2, .zst or .lz4), Parquet (.parquet,
    .pq), NPZ, images in IDX or a folder of them, "digits", which comes with bpjit; or of a table of pyarrow, pandas or
    polars, or a dictionary of columns.

    target: the column to be learnt. missing_values: texts that stand for a missing value, beside the usual ones. Of
    CSV: delimiter, None to find it; decimal, the sign before decimals, "." or ","; encoding.
    Raises DataError for a file that is not sound, OSError for one that cannot be read, ValueError for an option.

    >>> open_source("digits").rows
    1797
    """
    if isinstance(missing_values, str):
        missing_values = [missing_values]
    if not isinstance(path, str | os.PathLike):
        return _frame(path, target, missing_values)
    name = os.fspath(path)
    if name in LOADERS:
        X, t = LOADERS[name]()
        return Arrays(name, X, t, 1.0)
    place = Path(name)
    if not place.exists():
        names = ", ".join(LOADERS)
        raise FileNotFoundError(f"there is no file {str(place)!r}, nor a data set of that name ({names}){_hint(place)}")
    if place.is_dir():
        return idx.folder(place)
    if not place.exists():
        raise FileNotFoundError(
            f"there is no file {name!r}, nor a data set of that name ({', '.join(LOADERS)}){_hint(place)}"
        )
    known = _reader(place)
    if known == "csv":
        return csv.CsvFile(
            place, target=target, missing_values=missing_values, delimiter=delimiter, decimal=decimal, encoding=encoding
        )
    if delimiter is not None or decimal != "." or encoding != "utf-8":
        raise ValueError(f"delimiter, decimal and encoding are for CSV, and {name} is none")
    if known == "parquet":
        return parquet.ParquetFile(place, target=target, missing_values=missing_values)
    if known == "npz":
        return npz.read(place)
    return idx.images(place)


def _reader(place: Path) -> str:
    """Which reader is for a file: "csv", "parquet", "npz" or "idx"."""
    suffixes = [suffix.lower() for suffix in place.suffixes]
    last = suffixes[-1] if suffixes else ""
    if idx.is_images(place):
        return "idx"
    unpacked = suffixes[-2] if last in csv.COMPRESSED and len(suffixes) > 1 else last
    for reader, known, suffix in (
        ("csv", csv.SUFFIXES, unpacked),
        ("parquet", parquet.SUFFIXES, last),
        ("npz", (".npz",), last),
    ):
        if suffix in known:
            return reader
    raise DataError(
        f"{place} is of no known format: give .csv, .tsv, .txt, .parquet, .npz, or images in IDX (the format of MNIST)"
    )


def _hint(place: Path) -> str:
    try:
        there = sorted(os.listdir(place.parent))
    except OSError:
        return ""
    return nearest(place.name, [*there, *LOADERS])


def _frame(frame: Any, target: str | None, missing_values: Sequence[str]) -> Frame:
    try:
        return Frame(frame, Reading.of("the table", ("",), missing_values), target)
    except (TypeError, ValueError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        raise TypeError(
            f"path must name a file, or be a table that pyarrow can read, got {shown(frame)}: {error}"
        ) from error
