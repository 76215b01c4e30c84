"""What both kinds of assessment take and show: checked numbers, numbers of rows, scores as text."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..validation.arrays import as_finite, as_numbers

EXAMPLES = 5
"""Rows that are named: the surest mistakes, the largest residuals."""


def scikit_learn() -> Any:
    try:
        import sklearn.metrics
    except ModuleNotFoundError as error:
        raise ImportError("an assessment needs scikit-learn: pip install 'bpjit[sklearn]'") from error
    return sklearn.metrics


def finite(values: Any, name: str) -> np.ndarray:
    A = as_numbers(values, name)
    if A.ndim == 0 or not A.size:
        raise ValueError(f"{name} has no rows (shape {A.shape}): there is nothing to assess")
    return as_finite(A, np.dtype(np.float32 if A.dtype == np.float32 else np.float64), name)


def numbered(given: Any, samples: int) -> np.ndarray:
    if given is None:
        return np.arange(1, samples + 1)
    found = np.asarray(given)
    if found.shape != (samples,) or found.dtype.kind not in "iu":
        raise ValueError(f"row_numbers has shape {found.shape} of {found.dtype}, but must be {samples} integers")
    return found


def json_number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def numbers(values: Sequence[float]) -> list[str]:
    """Numbers of one kind as text: four digits of the greatest, and as many decimals of the others.

    >>> numbers([152.133, -3.14159]), numbers([1234567.0]), numbers([1e-9])
    (['152.1', '-3.1'], ['1,234,567'], ['1e-09'])
    """
    greatest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    if greatest and not 1e-4 <= greatest < 1e12:
        return [f"{value:.4g}" for value in values]
    decimals = max(0, 3 - math.floor(math.log10(greatest))) if greatest else 1
    # A zero has no sign here, nor has what is rounded to one.
    return [f"{round(value, decimals) + 0.0:,.{decimals}f}" for value in values]


def listed_rows(rows: Mapping[str, str]) -> str:
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows.items())


def wrapped(notes: Sequence[str], width: int) -> str:
    """A line for each note, or as many as it needs in so many columns."""
    return "\n".join(textwrap.fill(f"note: {note}", max(width, 20), subsequent_indent="      ") for note in notes)
