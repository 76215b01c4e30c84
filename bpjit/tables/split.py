"""Which rows train, which validate, and which are for the test in the end."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from ..validation import real
from ..validation import seed as checked_seed
from .errors import DataError, shown

LARGEST_SEED = 2**32 - 1


class Split(NamedTuple):
    """Numbers of rows, in the order in which they are used; None for a part that is not drawn from these rows."""

    train: np.ndarray
    validation: np.ndarray | None
    test: np.ndarray | None


def split(
    rows: np.ndarray,
    labels: np.ndarray | None,
    test_fraction: float,
    validation_fraction: float,
    seed: int | None,
    name: str = "the data",
    classes: list[str] | None = None,
) -> Split:
    """Draws the test part first, so that it is the same however the rest is used; a fraction of 0 draws none.

    rows: the numbers of those that are to be divided. labels: the class of each of them, of which every part then has
    its share. Raises DataError where the rows do not suffice.

    >>> parts = split(np.arange(10), None, 0.2, 0.25, seed=0)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (6, 2, 2)
    """
    real(test_fraction, "test_fraction", low=0.0, high=1.0, high_open=True)
    real(validation_fraction, "validation_fraction", low=0.0, high=1.0, high_open=True)
    parts = 1 + (test_fraction > 0) + (validation_fraction > 0)
    _check_rows(rows, labels, parts, name, classes)
    test = validation = None
    if test_fraction:
        rows, test, labels = _divided(rows, labels, test_fraction, seed, name, "--test-fraction")
    if validation_fraction:
        rows, validation, labels = _divided(rows, labels, validation_fraction, seed, name, "--validation-fraction")
    return Split(rows, validation, test)


def _divided(
    rows: np.ndarray, labels: np.ndarray | None, fraction: float, seed: int | None, name: str, option: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    from sklearn.model_selection import train_test_split

    state = None if checked_seed(seed) is None else int(seed or 0) & LARGEST_SEED
    try:
        if labels is None:
            rest, apart = train_test_split(rows, test_size=fraction, random_state=state)
            return rest, apart, None
        rest, apart, labels, _ = train_test_split(rows, labels, test_size=fraction, stratify=labels, random_state=state)
    except ValueError as error:
        each = "a row" if labels is None else f"a row of each of the {len(set(labels.tolist()))} classes"
        raise DataError(
            f"{name}: {len(rows)} rows cannot be divided by {option} {fraction:g}: both parts need {each}: "
            f"give another {option}"
        ) from error
    return rest, apart, labels


def _check_rows(rows: np.ndarray, labels: np.ndarray | None, parts: int, name: str, classes: list[str] | None) -> None:
    if len(rows) < parts:
        raise DataError(f"{name}: {len(rows)} rows are too few for {parts} parts: give more, or files with --test")
    if labels is None or parts == 1:
        return
    counts = Counter(labels.tolist())
    rare, count = min(counts.items(), key=lambda one: one[1])
    if count < parts:
        text = shown(classes[rare] if classes else rare)
        raise DataError(
            f"{name}: class {text} has {'one row' if count == 1 else f'{count} rows'}, but each part (training, "
            f"{'validation and test' if parts == 3 else 'and another'}) needs one: add rows of it, leave it out, or "
            "join it with another; or give rows of their own with --test and --validation"
        )
