"""Task: whether the values of a target are classes or numbers to be learnt, and which."""

import numpy as np
import pyarrow.compute as pc

from .cells import Cells
from .errors import DataError, options, shown
from .source import Arrays
from .survey import Survey
from .targets import Class, Classes, Quantity

LARGEST_CLASS = 2**53
"""From here on float64 has not every whole number."""
MOST_WHOLE_CLASSES = 20
"""Different whole numbers up to which they are taken for classes."""
MOST_CLASSES = 10_000
"""Of texts."""


class Values:
    """The target of all rows: `numbers`, NaN where missing, or `codes`, the numbers of `texts`, -1 where missing.

    column: its name. place: file and column, for a message. boolean: whether the numbers are true and false.
    """

    def __init__(self, name: str, column: str, parts: list[np.ndarray], texts: list[str] | None, boolean: bool) -> None:
        self.column, self.place = column, f"{name}: column {shown(column)}"
        self.texts, self.boolean = texts, boolean
        self.numbers = np.concatenate(parts) if texts is None else np.zeros(0)
        self.codes = np.zeros(0, np.int64) if texts is None else np.concatenate(parts)

    @classmethod
    def of_table(cls, survey: Survey) -> "Values":
        """Those of the table's target, for which it is read once more, now that is known what they are."""
        source, column, kind = survey.source, survey.target, survey.kind(survey.target)
        known: dict[str, int] = {}
        parts, first = [], 0
        for batch in source.batches([column]):
            cells = Cells(batch.column(column), column, first, source.reading)
            parts.append(_codes(cells, known) if kind == "text" else cells.numbers(kind == "boolean"))
            first += len(cells)
        return cls(source.name, column, parts, list(known) if kind == "text" else None, kind == "boolean")

    @classmethod
    def of_arrays(cls, source: Arrays) -> "Values":
        """Those of the array t."""
        assert source.t is not None
        if source.t.dtype.kind != "U":
            return cls(source.name, "t", [source.t.astype(np.float64)], None, source.t.dtype.kind == "b")
        texts, codes = np.unique(source.t, return_inverse=True)
        return cls(source.name, "t", [codes], texts.tolist(), False)

    @property
    def missing(self) -> np.ndarray:
        """Which rows have none."""
        return np.isnan(self.numbers) if self.texts is None else self.codes < 0

    def quantity(self, training: np.ndarray, scaled: bool) -> Quantity:
        """Numbers to be learnt, standardised by those of the rows `training` unless `scaled` is not set."""
        values = self.numbers[training]
        scale, mean = float(values.std()), float(values.mean())
        if scale <= 1e-12 * abs(mean):
            raise DataError(
                f"{self.place}, the target, is {values[0]:g} in every row that trains: there is nothing to learn; name "
                "another target"
            )
        return Quantity(mean, scale) if scaled else Quantity()


def _codes(cells: Cells, known: dict[str, int]) -> np.ndarray:
    """The number of each text in `known`, which grows by those that are new."""
    encoded = cells.texts.dictionary_encode()
    numbers = np.array([known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()], np.int64)
    if len(known) > MOST_CLASSES:
        raise DataError(
            f"{cells.reading.name}: column {shown(cells.column)}, the target, holds more than {MOST_CLASSES:,} "
            "different texts, which are no classes: name another target"
        )
    places = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return np.append(numbers, -1)[places]


def find(values: Values, task: str | None, chosen: np.ndarray) -> tuple[Classes | None, np.ndarray | None, str]:
    """The classes of a target and the class of each row that is chosen, or None twice if it is a number; and why.

    task: "classification" or "regression" where the user says so; chosen: a mask of rows that have a target. Raises
    DataError where the task does not fit, and for one class alone.
    """
    if values.texts is not None:
        if task == "regression":
            raise DataError(
                f"{values.place} holds texts, which cannot be learnt as numbers: leave --task regression out"
            )
        codes, found = np.unique(values.codes[chosen], return_inverse=True)
        texts = [values.texts[code] for code in codes]
        order = sorted(range(len(texts)), key=texts.__getitem__)
        labels = np.argsort(order)[found] if order else found
        return _classes([texts[k] for k in order], values.place), labels, "its values are texts"
    numbers = values.numbers[chosen]
    whole = bool((numbers == np.floor(numbers)).all())
    if task is None and not whole:
        return None, None, "its values are not all whole numbers"
    if task == "regression":
        return None, None, "--task says so"
    distinct, labels = np.unique(numbers, return_inverse=True)
    if values.boolean:
        return _classes([bool(one) for one in distinct], values.place), labels, "its values are true and false"
    count, rows = len(distinct), int(chosen.sum())
    if task is None:
        if count > MOST_WHOLE_CLASSES or 2 * count >= rows:
            return None, None, f"it has {count:,} different whole numbers in {rows:,} rows"
    elif not whole:
        raise DataError(
            f"{values.place} holds numbers that are not whole, which are no classes: leave --task classification out, "
            f"or take them as texts with {options('categorical', [values.column])}"
        )
    if len(distinct) and np.abs(distinct).max() >= LARGEST_CLASS:
        raise DataError(
            f"{values.place} holds whole numbers of 2^53 and more, which cannot all be told apart: take them as "
            f"texts with {options('categorical', [values.column])}"
        )
    why = "--task says so" if task else f"it has {count:,} different whole numbers in {rows:,} rows"
    return _classes([int(one) for one in distinct], values.place), labels, why


def _classes(distinct: list[Class], place: str) -> Classes:
    if len(distinct) < 2:
        held = f"the class {shown(distinct[0])} alone" if distinct else "no class at all"
        raise DataError(f"{place} holds {held}: there is nothing to tell apart; name another target, or add rows")
    return Classes(distinct)
