"""Columns of arrays as inputs of a network: standardised, or divided by a unit."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..validation import rows_in_block
from .cells import LARGEST, Cells, Reading
from .columns import Rows
from .errors import DataError
from .source import Arrays, Source, Table


class Matrix:
    """The columns of arrays as the network's inputs: (x - mean) / scale, column by column, or x / unit.

    A table will do, too, if it has that many columns of numbers.
    """

    def __init__(self, width: int, mean: np.ndarray | None = None, scale: np.ndarray | float = 1.0) -> None:
        self.width, self.mean, self.scale = width, mean, scale

    @property
    def names(self) -> list[str]:
        return []

    @property
    def feature_names(self) -> list[str]:
        return [f"x{j}" for j in range(self.width)]

    def blocks(
        self,
        source: Source,
        *,
        missing: str,
        unknown: str,
        extra: Sequence[str] = (),
        dtype: Any = "float32",
        reading: Reading | None = None,
    ) -> Iterator[Rows]:
        """Blocks of rows, as those of `Columns`."""
        step, first = rows_in_block(self.width, np.dtype(np.float64)), 0
        if isinstance(source, Arrays):
            self._check(source, source.X.shape[1])
            for first in range(0, len(source.X), step):
                X = source.X[first : first + step]
                X, whole = self._scaled(X, first, source.name, np.dtype(dtype))
                if missing == "error" and not whole.all():
                    row = first + int(np.argmin(whole)) + 1
                    raise DataError(
                        f"{source.name}: X has NaN in row {row}: fill it in, or choose --missing fill (the mean of the "
                        "column) or --missing drop (leave such rows out)"
                    )
                yield first, X, whole, None
            return
        assert isinstance(source, Table)
        names = [name for name in source.columns if name not in extra]
        self._check(source, len(names))
        for large in source.batches([*names, *extra]):
            for start in range(0, len(large), step):
                batch = large.slice(start, step)
                cells = [Cells(batch.column(name), name, first, reading or source.reading) for name in names]
                X = np.column_stack([one.numbers(boolean=True) for one in cells])
                gaps = np.isnan(X)
                if missing == "error" and gaps.any():
                    column = int(np.argmax(gaps.any(axis=0)))
                    raise cells[column].missing_value(int(np.argmax(gaps[:, column])))
                X, whole = self._scaled(X, first, source.name, np.dtype(dtype))
                yield first, X, whole, batch
                first += len(batch)

    def _check(self, source: Source, width: int) -> None:
        if width != self.width:
            raise DataError(f"{source.name} has {width} columns of numbers, but the network has {self.width} inputs")

    def _scaled(self, X: np.ndarray, first: int, name: str, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        """The rows as inputs, 0 where one is missing, and which have no gap."""
        whole = np.ones(len(X), bool)
        if self.mean is None and X.dtype.kind in "bu" and X.dtype.itemsize <= 2:
            return X.astype(dtype) / dtype.type(self.scale), whole  # an image's bytes need no more
        if X.dtype.kind == "f":
            gaps = np.isnan(X)
            whole = ~gaps.any(axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = ((X - (0.0 if self.mean is None else self.mean)) / self.scale).astype(dtype)
            wrong = np.isinf(scaled)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"{name}: X holds {X[row, column]} in row {first + row + 1}, column {column + 1}, which is too large "
                "or too far from what was seen in training: correct it"
            )
        if not whole.all():
            scaled[gaps] = 0
        return scaled, whole

    def configuration(self) -> dict[str, Any]:
        scale = self.scale.tolist() if isinstance(self.scale, np.ndarray) else self.scale
        return {
            "kind": "matrix",
            "width": self.width,
            "mean": None if self.mean is None else self.mean.tolist(),
            "scale": scale,
        }

    @classmethod
    def fit(cls, source: Arrays, training: np.ndarray) -> "Matrix":
        """Means and deviations of the rows in the mask `training`, unless the source has a unit."""
        width = source.X.shape[1]
        if source.unit is not None:
            return cls(width, None, source.unit)
        from sklearn.preprocessing import StandardScaler

        scaler, step = StandardScaler(), rows_in_block(width, np.dtype(np.float64))
        for first in range(0, len(source.X), step):
            X = source.X[first : first + step]
            _check_size(X, first, source.name)
            X = X[training[first : first + step]]
            if len(X):
                scaler.partial_fit(X.astype(np.float64))
        mean = np.nan_to_num(scaler.mean_)
        return cls(width, mean, np.where(np.isnan(scaler.scale_), 1.0, scaler.scale_))


def _check_size(X: np.ndarray, first: int, name: str) -> None:
    if X.dtype.kind != "f":
        return
    wrong = np.abs(X.astype(np.float64)) > LARGEST
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"{name}: X holds {X[row, column]} in row {first + row + 1}, column {column + 1}, which is infinite or too "
            "large for a network's numbers (float32): correct it"
        )
