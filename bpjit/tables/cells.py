"""Cells of a column as texts or as numbers: what every file format comes to."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .errors import DataError, options, shown

MISSING_IN_TEXT = (
    *("", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "<NA>"),
    *("#N/A", "#N/A N/A", "#NA", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""What stands for a missing value in a CSV file: pyarrow's own list, and <NA> of pandas."""

NUMBER = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:inf|infinity|nan))$"
"""What pyarrow reads as a float64."""

POINT = r"^[+-]?\d+\.\d+$"
"""What may be a number with a decimal point, or thousands."""

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Reading:
    """How the texts of a file are read: its name, what stands for a missing value, the sign before decimals.

    given: those of the texts in `missing` that the user named, when the file was opened.
    """

    name: str
    missing: tuple[str, ...] = ("",)
    decimal: str = "."
    given: tuple[str, ...] = ()

    @cached_property
    def has_numbers(self) -> bool:
        """Whether a number, such as -999, stands for a missing value."""
        numbers = self.missing_set.filter(pc.match_substring_regex(self.missing_set, NUMBER)).to_pylist()
        return any("nan" not in text.lower() for text in numbers)

    @classmethod
    def of(cls, name: str, usual: Sequence[str], given: Sequence[str], decimal: str = ".") -> "Reading":
        """With what usually stands for a missing value in such a file, and what the user gives."""
        stripped = tuple(text.strip() for text in given)
        return cls(name, tuple(dict.fromkeys([*usual, *stripped])), decimal, stripped)

    @cached_property
    def missing_set(self) -> Any:
        return pa.array(self.missing, pa.string())


@dataclass(frozen=True)
class Cells:
    """Some rows of one column: the name of the column, the number of rows before them, how texts are read."""

    array: Any
    column: str
    first: int
    reading: Reading

    def __len__(self) -> int:
        return len(self.array)

    @property
    def type(self) -> Any:
        return self.array.type

    @cached_property
    def texts(self) -> Any:
        """As a pyarrow array of strings without blanks around them, null where missing."""
        array = self._usable()
        if pa.types.is_floating(array.type):
            array = pc.if_else(pc.is_nan(array), None, array)
        trimmed = pc.utf8_trim_whitespace(array.cast(pa.string()))
        if not self.reading.missing:
            return trimmed
        return pc.if_else(pc.is_in(trimmed, self.reading.missing_set), pa.scalar(None, pa.string()), trimmed)

    def numbers(self, boolean: bool = False) -> np.ndarray:
        """As float64, NaN where missing; `boolean`: true and false are numbers, too.

        Raises DataError for a text, an infinite number, and one that is too large for float32.
        """
        values, wrong = self.parsed(boolean)
        if wrong.any():
            raise self.not_a_number(int(np.argmax(wrong)))
        with np.errstate(invalid="ignore"):
            large = np.abs(values) > LARGEST
        if large.any():
            row = int(np.argmax(large))
            what = "infinite" if np.isinf(values[row]) else "too large for a network's numbers (float32)"
            raise DataError(
                f"{self.place(row)} holds {shown(self.value(row))}, which is {what}: correct it, or "
                f"train without the column: {options('ignore', [self.column])}"
            )
        return values

    def parsed(self, boolean: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """As float64, NaN where there is none, and which cells hold something that is no number."""
        array = self._usable()
        if kind_of(array.type) != "text":
            if pa.types.is_boolean(array.type):
                array = array.cast(pa.uint8())
            return as_numpy(array.cast(pa.float64(), safe=False)), np.zeros(len(self), bool)
        if not self.reading.has_numbers and self.reading.decimal == ".":
            with contextlib.suppress(pa.ArrowInvalid):  # most often it is as simple as that
                return as_numpy(array.cast(pa.float64())), np.zeros(len(self), bool)
        texts = self.texts
        if self.reading.decimal != ".":
            self._refuse_points(texts)
            texts = pc.replace_substring(texts, self.reading.decimal, ".")
        if boolean:
            lower = pc.utf8_lower(texts)
            texts = pc.if_else(pc.equal(lower, "true"), "1", pc.if_else(pc.equal(lower, "false"), "0", texts))
        try:
            return as_numpy(texts.cast(pa.float64())), np.zeros(len(self), bool)
        except pa.ArrowInvalid:
            is_number = pc.match_substring_regex(texts, NUMBER)
            numbers = pc.if_else(is_number, texts, pa.scalar(None, pa.string())).cast(pa.float64())
            return as_numpy(numbers), ~pc.fill_null(is_number, True).to_numpy(zero_copy_only=False)

    def _refuse_points(self, texts: Any) -> None:
        """1.234 is 1234 in some files with decimal commas, and 1 and a fraction in others."""
        points = pc.fill_null(pc.match_substring_regex(texts, POINT), False).to_numpy(zero_copy_only=False)
        if points.any():
            row = int(np.argmax(points))
            raise DataError(
                f"{self.place(row)} holds {shown(self.value(row))}, where --decimal says that commas stand before "
                "decimals: write thousands without a sign, give one sign to all columns, or train without the column: "
                f"{options('ignore', [self.column])}"
            )

    def _usable(self) -> Any:
        """The array without a dictionary, if it holds what can be read as text or number."""
        kind = kind_of(self.type)
        if kind in ("dates", "nested"):
            raise DataError(
                f"{self.reading.name}: column {shown(self.column)} holds {self.type}, where numbers or texts are "
                "needed: convert it as it was for training"
            )
        return decoded(self.array)

    def value(self, row: int) -> Any:
        """What the file has in one of the rows."""
        return self.array[row].as_py()

    def place(self, row: int) -> str:
        """Where one of the rows stands, for a message."""
        return f"{self.reading.name}: column {shown(self.column)}, row {self.first + row + 1}"

    def not_a_number(self, row: int) -> DataError:
        text = str(self.value(row)).strip()
        decimal = ""
        if self.reading.decimal == "." and text.replace(",", "", 1).lstrip("+-").isdigit():
            decimal = "give --decimal , if it is a decimal comma, "
        return DataError(
            f"{self.place(row)} holds {shown(text)}, which is no number as others there are: {decimal}correct it, "
            f"{options('missing-values', [text[:99]])} if it means that there is none, or train with "
            f"{options('categorical', [self.column])} to take the column's values as categories"
        )

    def missing_value(self, row: int) -> DataError:
        return DataError(
            f"{self.place(row)} has no value: fill it in, or choose --missing fill (the mean of the column; for texts "
            f"a category of its own), --missing drop (leave such rows out), or train without the "
            f"column: {options('ignore', [self.column])}"
        )


def decoded(array: Any) -> Any:
    """An array without a dictionary, texts as strings.

    >>> decoded(pa.array(["a", "a"]).dictionary_encode()).type
    DataType(string)
    """
    if pa.types.is_string_view(array.type):  # which CSV's writer does not know
        return array.cast(pa.string())
    if not pa.types.is_dictionary(array.type):
        return array
    values = array.dictionary
    # pyarrow decodes strings and large strings, but no views of strings, which polars has.
    return (values.cast(pa.string()) if kind_of(values.type) == "text" else values).take(array.indices)


def kind_of(type_: Any) -> str:
    """What pyarrow's type holds: "text", "boolean", "number", "category", "dates" or "nested".

    >>> kind_of(pa.int8()), kind_of(pa.date32()), kind_of(pa.list_(pa.int8()))
    ('number', 'dates', 'nested')
    """
    if pa.types.is_dictionary(type_):
        return "category" if kind_of(type_.value_type) in ("text", "number", "boolean") else kind_of(type_.value_type)
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    if pa.types.is_boolean(type_):
        return "boolean"
    if (
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_decimal(type_)
        or pa.types.is_null(type_)
    ):
        return "number"
    return "dates" if pa.types.is_temporal(type_) else "nested"


def as_numpy(array: Any) -> np.ndarray:
    """A pyarrow array of float64, NaN where it has null.

    >>> as_numpy(pa.array([1.5, None]))
    array([1.5, nan])
    """
    if array.null_count:
        array = pc.fill_null(array, float("nan"))
    return array.to_numpy(zero_copy_only=False)
