"""Watching a column of the history: whether the least or the greatest is the best, and the score of an epoch."""

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from . import metrics, validation


def mode(watch: Any, wanted: Any) -> str:
    """ "min" or "max", whichever is the best of the column `watch`; wanted: what the user says, or None.

    Raises TypeError or ValueError for what is no column's name, another mode, or none where the name does not tell.

    >>> mode("validation_accuracy", None)
    'max'
    """
    if not isinstance(watch, str):
        raise TypeError(f"watch must be the name of a column such as 'validation_loss', not {watch!r}")
    best = wanted or metrics.direction(watch)
    if best is None:
        raise ValueError(f"whether the least {watch!r} is the best is not known: give mode='min' or mode='max'")
    return validation.choice(best, ("min", "max"), "mode")


def check_column(who: str, watch: str, columns: Iterable[str]) -> None:
    """Raises ValueError if `watch` is none of the columns that an epoch has."""
    names = list(columns)
    if watch not in names:
        validated = any(name.startswith("validation_") for name in names)
        advice = "" if validated or not watch.startswith("validation_") else "give a validation set, or "
        raise ValueError(
            f"{who} watches {watch!r}, which the history does not have: "
            f"{advice}watch one of {', '.join(map(repr, names))}"
        )


def score(who: str, watch: str, best: str, record: Mapping[str, float]) -> float | None:
    """What an epoch's record has of `watch`, turned so that less is better; None for NaN: it was not measured.

    Raises ValueError if the record has no such column.

    >>> score("OnPlateau", "validation_accuracy", "max", {"loss": 0.3, "validation_accuracy": 0.9})
    -0.9
    """
    check_column(who, watch, record)
    value = record[watch]
    if math.isnan(value):
        return None
    # A perfect score may be infinite, which the JSON of a checkpoint does not hold.
    return max(value if best == "min" else -value, -sys.float_info.max)


def restored(who: str, first: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """A state that a file kept, checked to be like the `first` one. Raises ValueError or TypeError."""
    if set(state) != set(first):
        raise ValueError(f"the state of {who} has {sorted(first)}, not {sorted(state)}")
    return {name: _like(value, state[name], name) for name, value in first.items()}


def _like(first: Any, value: Any, name: str) -> float | None:
    """value, checked, as what a state begins with: a count, a number, or none yet."""
    if isinstance(first, int):
        return validation.integer(value, name, low=0)
    return None if first is None and value is None else validation.real(value, name)
