"""A model's answers beside the truth, in the units of the user's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from bpjit.assessment import Assessment
    from bpjit.tables import Preparation


def assess(preparation: Preparation, y: np.ndarray, t: np.ndarray, rows: np.ndarray) -> Assessment:
    """What answers and targets are worth that `tables.Model` gave, of the rows with these numbers, counted from 0."""
    from bpjit import assessment

    if preparation.classes is not None:
        return assessment.classification(y, t, preparation.classes, row_numbers=rows + 1)
    return assessment.regression(y, t, target=preparation.target or "", row_numbers=rows + 1)
