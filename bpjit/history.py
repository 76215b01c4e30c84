"""History: what a training run left behind, one entry an epoch."""

import math
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import TYPE_CHECKING

from .display import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from .engine.plan import Plan

_EPOCHS_SHOWN = 5
"""In a notebook, of the first and of the last epochs."""


class History(Mapping[str, list[float]]):
    """Lists with one number an epoch: "loss", "seconds", with a validation set "validation_loss" and, for a classifier,
    "validation_accuracy" or the metrics that were chosen, "learning_rate" if it is not always the same, and what
    callbacks have put there. An epoch without one of them holds NaN there.

    loss: mean over the samples of the epoch, each as it was before the update of its mini-batch. seconds: spent
    training, without compiling and validation. learning_rate: in the last step of the epoch. compile_seconds: spent
    compiling kernels. plan: threads, and why.

    >>> history = History()
    >>> history.append({"loss": 0.5, "seconds": 0.1})
    >>> history["loss"]
    [0.5]
    """

    def __init__(self, columns: Mapping[str, list[float]] | None = None) -> None:
        self._columns = {name: list(values) for name, values in (columns or {}).items()}
        self.compile_seconds = 0.0
        self.plan: Plan | None = None

    @property
    def epochs(self) -> int:
        """Complete epochs."""
        return len(self._columns.get("loss", ()))

    def append(self, record: Mapping[str, float]) -> None:
        """Adds an epoch."""
        before = self.epochs
        for name in record:
            self._columns.setdefault(name, [math.nan] * before)
        for name, values in self._columns.items():
            values.append(record.get(name, math.nan))

    def amend(self, record: Mapping[str, float]) -> None:
        """Adds scores to the last epoch."""
        for name, value in record.items():
            self._columns.setdefault(name, [math.nan] * self.epochs)[-1] = value

    def fill(self, name: str, value: float) -> None:
        """Adds a column with this value in every epoch, unless there is one of that name."""
        self._columns.setdefault(name, [value] * self.epochs)

    def record(self, epoch: int) -> dict[str, float]:
        """The entries of an epoch, counted from 0."""
        return {name: values[epoch] for name, values in self._columns.items()}

    def cut(self, epochs: int) -> None:
        """Forgets all but the first epochs."""
        for values in self._columns.values():
            del values[epochs:]

    def to_columns(self) -> dict[str, list[float | str]]:
        """The columns for JSON, which has no NaN and no infinity: they are written as strings."""
        return {name: [x if math.isfinite(x) else str(x) for x in values] for name, values in self._columns.items()}

    @classmethod
    def from_columns(cls, columns: Mapping[str, list[float | str]], epochs: int) -> "History":
        """The history that `to_columns` wrote. Raises ValueError unless all have an entry an epoch."""
        history = cls({name: [float(x) for x in values] for name, values in columns.items()})
        if history.epochs != epochs or any(len(values) != epochs for values in history._columns.values()):
            raise ValueError(f"the history does not have {epochs} epochs")
        return history

    def to_frame(self) -> "DataFrame":
        """The history as a pandas DataFrame: a column each, a row an epoch, whose number is the index "epoch".

        Raises ImportError where pandas is not installed.

        >>> History({"loss": [0.5, 0.25], "seconds": [0.1, 0.1]}).to_frame().loc[2, "loss"]
        np.float64(0.25)
        """
        try:
            from pandas import DataFrame, RangeIndex
        except ModuleNotFoundError as error:
            raise ImportError("to_frame needs pandas: pip install 'bpjit[pandas]'") from error
        return DataFrame(self._columns, index=RangeIndex(1, self.epochs + 1, name="epoch"), dtype="float64")

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """The losses, scores and learning rates over the epochs as a matplotlib figure, saved to path if given (extra
        `plot`)."""
        from .plots import plot

        return plot(self, path)

    def _repr_html_(self) -> str:
        """What a notebook shows: the first and the last epochs."""
        shown = [*range(self.epochs)]
        if self.epochs > 2 * _EPOCHS_SHOWN:
            shown = [*shown[:_EPOCHS_SHOWN], -1, *shown[-_EPOCHS_SHOWN:]]
        rows = [
            ("…",) * (1 + len(self)) if k < 0 else (str(k + 1), *(f"{x:.4g}" for x in self.record(k).values()))
            for k in shown
        ]
        return Table(f"{self.epochs} epochs", ("epoch", *(name.replace("_", " ") for name in self)), rows).html()

    def __getitem__(self, name: str) -> list[float]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self._columns.items() if values)
        return f"History({self.epochs} epochs{': ' + last if last else ''})"
