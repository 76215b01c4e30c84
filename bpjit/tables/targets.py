"""Targets: classes, or numbers standardised."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .cells import Cells
from .columns import standardised
from .errors import DataError, listed, nearest, shown

Class = str | int | bool


class Classes:
    """A target that is one of several classes: texts, whole numbers or booleans, as in the file."""

    task = "classification"

    def __init__(self, classes: Sequence[Class]) -> None:
        self.classes = list(classes)
        self.of_texts = isinstance(self.classes[0], str)
        self._set = pa.array(self.classes, pa.string()) if self.of_texts else np.array(self.classes, np.float64)

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def read(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """The classes' indices as int64, and which are missing. Raises DataError for another class."""
        if self.of_texts:
            missing = pc.is_null(cells.texts).to_numpy(zero_copy_only=False)
            t = pc.fill_null(pc.index_in(cells.texts, self._set), -1).to_numpy(zero_copy_only=False)
        else:
            values = cells.numbers(boolean=True)
            missing = np.isnan(values)
            t = np.minimum(np.searchsorted(self._set, values), len(self._set) - 1)
            t = np.where(self._set[t] == values, t, -1)
        strange = (t < 0) & ~missing
        if strange.any():
            row = int(np.argmax(strange))
            value = cells.value(row)
            near = nearest(value, self.classes) if self.of_texts and isinstance(value, str) else ""  # type: ignore[arg-type]
            raise DataError(
                f"{cells.place(row)} holds {shown(value)}, a class that was not in training{near}; there are "
                f"{listed(self.classes)}: correct it, or leave the row out"
            )
        return t.astype(np.int64), missing

    def answers(self, y: np.ndarray, threshold: float, probabilities: bool) -> dict[str, Any]:
        """Columns: the class that y (S, n_L) says, and what it gives for each; one output is of the second."""
        if y.shape[1] == 1 and len(self.classes) == 2:
            labels, y = (y[:, 0] >= threshold).astype(np.int64), np.column_stack([1 - y[:, 0], y[:, 0]])
        else:
            labels = y.argmax(axis=1)
        columns = {"prediction": pa.array(self.classes).take(pa.array(labels))}
        if probabilities:
            columns |= {f"probability_{name}": pa.array(y[:, k]) for k, name in enumerate(self.names)}
        return columns

    @property
    def names(self) -> list[str]:
        """The classes as texts."""
        return [str(one).lower() if isinstance(one, bool) else str(one) for one in self.classes]

    def configuration(self) -> dict[str, Any]:
        return {"kind": "classes", "classes": self.classes}


class Quantity:
    """A target that is a number: (t - mean) / scale is what the network learns."""

    task = "regression"
    classes = None
    outputs = 1

    def __init__(self, mean: float = 0.0, scale: float = 1.0) -> None:
        self.mean, self.scale = mean, scale

    def read(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """The numbers as the network learns them, and which are missing (NaN)."""
        values = cells.numbers(boolean=True)
        return standardised(values, self.mean, self.scale, cells), np.isnan(values)

    def in_units(self, y: np.ndarray) -> np.ndarray:
        """Answers of the network as the numbers of the file, float64 (S,)."""
        return np.asarray(y, np.float64).reshape(len(y)) * self.scale + self.mean

    def answers(self, y: np.ndarray, threshold: float, probabilities: bool) -> dict[str, Any]:
        return {"prediction": pa.array(self.in_units(y))}

    def configuration(self) -> dict[str, Any]:
        return {"kind": "number", "mean": self.mean, "scale": self.scale}


Target = Classes | Quantity
