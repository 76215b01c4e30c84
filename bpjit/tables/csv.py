"""CSV files: every cell is a text here; what a column holds is found from all of it, not from its first rows."""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from .cells import MISSING_IN_TEXT, Reading
from .errors import DataError, shown
from .source import Table

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
COMPRESSED = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd", ".lz4": "lz4"}
DELIMITERS = (",", ";", "\t", "|")
BLOCK_BYTES = 2 * 2**20
"""Of the file that are read at a time, up to 32 of them ahead; no row may be longer."""
HEAD_BYTES = 4 * 2**20
"""Of the file in which the header ends, and from which the delimiter is found."""
HEAD_ROWS = 20
RAGGED = re.compile(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
"""What pyarrow says of a row with more or fewer cells than the header."""


class CsvFile(Table):
    """A CSV file whose first row is a header. delimiter: None finds it among comma, semicolon, tab and bar."""

    def __init__(
        self,
        path: Path,
        *,
        target: str | None = None,
        missing_values: Sequence[str] = (),
        delimiter: str | None = None,
        decimal: str = ".",
        encoding: str = "utf-8",
    ) -> None:
        self._path, name = path, str(path)
        self._encoding = _known_encoding(encoding)
        if decimal not in (".", ","):
            raise ValueError(f"decimal must be '.' or ',', got {decimal!r}")
        if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n' or ord(delimiter) > 127):
            raise ValueError(f"delimiter must be one character such as ',' or ';', got {delimiter!r}")
        head = _head(path, name, self._encoding)
        self._delimiter = delimiter or ("\t" if ".tsv" in path.suffixes else _delimiter(head))
        try:
            header = next(
                (row for row in csv.reader(io.StringIO(head, newline=""), delimiter=self._delimiter) if row), None
            )
        except csv.Error as error:
            raise DataError(f"{name}: its first row cannot be read as CSV: {error}") from error
        if header is None:
            raise DataError(f"{name} is empty: a header and at least one row are needed")
        reading = Reading.of(name, MISSING_IN_TEXT, missing_values, decimal)
        super().__init__(name, [column.strip() for column in header], reading, target)
        if all(map(_is_number, header)) and header != [str(k) for k in range(len(header))]:  # pandas numbers columns
            raise DataError(f"{name}: its first row holds numbers alone: put a header with the columns' names above it")
        self._check_names()
        self._header = header

    def _read(self, columns: list[str]) -> Iterator[Any]:
        raw, done = dict(zip(self.columns, self._header, strict=True)), 0
        try:
            reader = pa.csv.open_csv(
                _opened(self._path),
                # One thread, since with several no row knows its number. Nor an invalid_row_handler, which would tell:
                # a thread of pyarrow's may let go of it when Python has ended, and that aborts the process.
                pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, encoding=self._encoding),
                pa.csv.ParseOptions(delimiter=self._delimiter, newlines_in_values=True),
                pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(self._header, pa.string()),
                    strings_can_be_null=False,
                    include_columns=[raw[column] for column in columns],
                ),
            )
            with reader:
                for batch in reader:
                    yield batch.rename_columns(columns)
                    done += len(batch)
        except (pa.ArrowException, OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            if "Empty CSV" in str(error):
                raise self._no_rows() from error
            raise DataError(self._reason(str(error), done)) from error

    def _reason(self, text: str, done: int) -> str:
        """In the words of a file what pyarrow has to say."""
        if ragged := RAGGED.search(text):
            line, expected, actual, row = ragged.groups()
            where = f"a row after row {done}" if line is None else f"row {int(line) - 1}"
            quote = " (is a quotation mark not closed?)" if '"' in row else ""
            return (
                f"{self.name}: {where} has {actual} cells, but the header {expected}{quote}: "
                f"it reads {shown(row)}; a cell that holds {shown(self._delimiter)} must stand in quotation "
                "marks, and --delimiter names another"
            )
        lower = text.lower()
        if "utf8" in lower or "utf-8" in lower or "decode" in lower or "codec" in lower:
            return _not_encoded(self.name, self._encoding)
        if "straddling" in lower:
            return (
                f"{self.name}: a row after row {done} is longer than {BLOCK_BYTES >> 20} MiB: "
                "is a quotation mark not closed?"
            )
        if "stream" in lower or "inflate" in lower or "compress" in lower:
            return f"{self.name} is damaged or cut short: it cannot be unpacked after row {done}"
        return f"{self.name} cannot be read as CSV after row {done}: {' '.join(text.split())[:200]}"


def _opened(path: Path) -> Any:
    """The file's content, unpacked."""
    return pa.input_stream(os.fspath(path), compression=COMPRESSED.get(path.suffix.lower()))


def _head(path: Path, name: str, encoding: str) -> str:
    """The first rows as text."""
    try:
        with _opened(path) as file:
            content = file.read(HEAD_BYTES)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(f"{name} is damaged or cut short: it cannot be unpacked") from error
    if encoding == "utf-8":
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(f"{name} is encoded as UTF-16: give --encoding utf-16")
        if b"\0" in content:
            raise DataError(f"{name} is no text, but holds bytes that are 0: is it of another format?")
    try:
        # The last letter may be cut in two.
        text = codecs.getincrementaldecoder(encoding)().decode(content, len(content) < HEAD_BYTES)
    except UnicodeError as error:
        raise DataError(_not_encoded(name, encoding)) from error
    if len(content) == HEAD_BYTES and "\n" in text:
        text = text[: text.rindex("\n") + 1]
    return text.removeprefix("\ufeff")


def _delimiter(head: str) -> str:
    """That which makes all of the first rows as long as the header; of several, that which makes the most cells."""
    found = []
    for delimiter in DELIMITERS:
        try:
            rows = [
                row for row, _ in zip(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), range(HEAD_ROWS))
            ]
        except csv.Error:
            continue
        lengths = [len(row) for row in rows if row]
        if lengths and lengths[0] > 1:
            found.append((len(set(lengths)) == 1, lengths[0], delimiter))
    return max(found, key=lambda one: one[:2])[2] if found else ","


def _known_encoding(encoding: str) -> str:
    try:
        "".encode(encoding)  # LookupError, too, for what encodes no text, as rot13 and base64
        return codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(f"encoding {encoding!r} is not known: utf-8, latin-1, cp1252 and utf-16 are") from None


def _not_encoded(name: str, encoding: str) -> str:
    others = "--encoding latin-1 (or cp1252, utf-16, ...)" if encoding == "utf-8" else "another --encoding"
    return f"{name} is not encoded as {encoding.upper()}: give {others}, or save it as UTF-8"


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ".", 1))
    except ValueError:
        return False
    return True
