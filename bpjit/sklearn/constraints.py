"""What the parameters may be, in scikit-learn's terms: its own constraints, widened."""

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..engine.activations import ACTIVATIONS
from ..engine.entry import find
from ..engine.optimizers import Optimizer
from ..schedules import Schedule


class Entries(StrOptions):
    """Names of a table of the engine's, with a setting where they have one, and further names."""

    def __init__(self, table: Mapping[str, Any], *further: str) -> None:
        self.table, self.further = table, set(further)
        super().__init__({*table, *further})

    def is_satisfied_by(self, val: Any) -> bool:
        if not isinstance(val, str):
            return False
        if val in self.further:
            return True
        try:
            find(self.table, val, "parameter")
        except (TypeError, ValueError):
            return False
        return True


class Activations(Entries):
    """The table of activations as it is now: a user's own may come to it at any time."""

    def __init__(self) -> None:
        super().__init__({name: entry for name, entry in ACTIVATIONS.items() if not entry.output_only}, "logistic")
        self.table = ACTIVATIONS

    def is_satisfied_by(self, val: Any) -> bool:
        return val == "logistic" or (
            super().is_satisfied_by(val) and not find(ACTIVATIONS, val, "activation").output_only
        )


CONSTRAINTS: dict[str, Any] = {
    "activation": [Activations(), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"}), Optimizer],
    "dropout": [Interval(Real, 0, 1, closed="left"), dict],
    "schedule": [Schedule, callable, None],
    "callbacks": [callable, list, tuple, None],
    "max_seconds": [Interval(Real, 0, None, closed="neither"), None],
    "dtype": [
        StrOptions({"float32", "float64"}),
        Options(type, {np.float32, np.float64}),
        Options(np.dtype, {np.dtype(np.float32), np.dtype(np.float64)}),
        None,
    ],
    "threads": [Interval(Integral, 1, None, closed="left"), None],
}
"""Of the parameters that are ours, or that take more than scikit-learn's."""
