"""Regression: errors in the target's units, quantiles of the residuals, the largest of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..display import Table, printable
from .answers import EXAMPLES, finite, json_number, listed_rows, numbered, numbers, scikit_learn, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUANTILES = {"least": 0.0, "5%": 0.05, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "greatest": 1.0}


@dataclass(frozen=True)
class Residual:
    """A row with its answer; the residual is true - predicted."""

    row: int
    true: float
    predicted: float
    residual: float


@dataclass(frozen=True, eq=False)
class RegressionAssessment:
    """What `regression` gives, in the target's units.

    rmse, mae, median_error: root mean squared, mean absolute and median absolute error. r2: None if all targets are
    alike. baseline: the rmse of always answering baseline_answer, the mean of t. quantiles: of the residuals, by name.
    largest: the rows that are furthest off, the furthest first.
    """

    samples: int
    rmse: float
    mae: float
    median_error: float
    r2: float | None
    baseline: float
    baseline_answer: float
    quantiles: dict[str, float]
    largest: tuple[Residual, ...]
    target: str
    y: np.ndarray = field(repr=False)
    t: np.ndarray = field(repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know, one line each."""
        if self.r2 is None:
            which = "there is one row" if self.samples == 1 else "all targets are alike"
            return (f"R² is not defined: {which}",)
        return ("no better than always answering the mean",) if self.r2 <= 0 else ()

    def rows(self) -> dict[str, str]:
        """The scores, by their names."""
        rmse, mae, median, baseline = numbers([self.rmse, self.mae, self.median_error, self.baseline])
        return {
            "root mean squared error": rmse,
            "baseline error": f"{baseline} (always {numbers([self.baseline_answer])[0]}, the mean)",
            "mean absolute error": mae,
            "median absolute error": median,
            "R²": "not defined" if self.r2 is None else f"{self.r2:.4f}",
            "rows tested": f"{self.samples:,}",
        }

    def text(self, width: int = 80) -> str:
        """Quantiles of the residuals and the largest of them for a terminal."""
        parts = [str(self.quantile_table()), str(self.largest_table())]
        if max(map(len, parts[0].splitlines())) > width:
            parts[0] = str(self.quantile_table(across=False))
        if self.notes:
            parts.append(wrapped(self.notes, width))
        return "\n\n".join(parts)

    def quantile_table(self, across: bool = True) -> Table:
        """One row with all quantiles, or a row for each."""
        cells = numbers(list(self.quantiles.values()))
        title = "residuals, true - predicted"
        if across:
            return Table(title, tuple(self.quantiles), [cells])
        rows = list(zip(self.quantiles, cells, strict=True))
        return Table(title, ("quantile", "residual"), rows, left=("quantile",))

    def largest_table(self) -> Table:
        """A row for each of the largest residuals."""
        count = len(self.largest)
        values = numbers([one.true for one in self.largest] + [one.predicted for one in self.largest])
        columns = [f"{one.row:,}" for one in self.largest], values[:count], values[count:]
        cells = zip(*columns, numbers([one.residual for one in self.largest]), strict=True)
        return Table("largest residuals", ("row", "true", "predicted", "residual"), list(cells))

    def to_dict(self) -> dict[str, Any]:
        """All scores as what JSON knows; None is what is not defined."""
        return {
            "task": "regression",
            "target": self.target,
            "samples": self.samples,
            "root_mean_squared_error": json_number(self.rmse),
            "mean_absolute_error": json_number(self.mae),
            "median_absolute_error": json_number(self.median_error),
            "r2": self.r2,
            "baseline_error": json_number(self.baseline),
            "baseline_answer": json_number(self.baseline_answer),
            "residual_quantiles": {name: json_number(value) for name, value in self.quantiles.items()},
            "largest_residuals": [
                {name: json_number(value) if name != "row" else value for name, value in vars(one).items()}
                for one in self.largest
            ],
            "notes": list(self.notes),
        }

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """Answers over true values, and a histogram of the residuals; saved, and raises, as `History.plot` does."""
        from .plots import plot_residuals

        return plot_residuals(self, path)

    def __str__(self) -> str:
        return f"{listed_rows(self.rows())}\n\n{self.text()}"


def regression(
    y: Any,
    t: Any,
    *,
    target: str = "",
    row_numbers: Sequence[int] | np.ndarray | None = None,
) -> RegressionAssessment:
    """Assesses answers y to samples whose true values are t, both (S,) or (S, 1) and in the same units.

    target: what the values are called, for the plots. row_numbers and what is raised: as for `classification`.

    >>> result = regression([1.0, 2.0, 3.5], [1.0, 2.0, 3.0])
    >>> print(result.text())
    residuals, true - predicted
      least       5%      25%  median     75%     95%  greatest
    -0.5000  -0.4500  -0.2500  0.0000  0.0000  0.0000    0.0000
    <BLANKLINE>
    largest residuals
    row   true  predicted  residual
      3  3.000      3.500   -0.5000
      1  1.000      1.000    0.0000
      2  2.000      2.000    0.0000
    >>> result.rows()["R²"]
    '0.8750'
    """
    metrics = scikit_learn()
    y, t = (_one_column(finite(values, name).astype(np.float64), name) for values, name in ((y, "y"), (t, "t")))
    if len(y) != len(t):
        raise ValueError(f"t has {len(t)} rows for {len(y)} answers: give each sample one target")
    named = numbered(row_numbers, len(y))

    # Exact, by a power of 2: squares of very large or small numbers neither overflow nor vanish.
    scale = 2.0 ** min(max(math.frexp(max(float(np.abs(y).max()), float(np.abs(t).max())))[1] - 1, -1000), 1000)
    a, b = y / scale, t / scale
    away = b - a
    mean = float(b.mean())
    alike = bool((t == t[0]).all())
    quantiles = dict(zip(_QUANTILES, np.quantile(away, list(_QUANTILES.values())), strict=True))
    largest = np.argsort(-np.abs(away), kind="stable")[:EXAMPLES]
    return RegressionAssessment(
        samples=len(t),
        rmse=scale * float(metrics.root_mean_squared_error(b, a)),
        mae=scale * float(metrics.mean_absolute_error(b, a)),
        median_error=scale * float(metrics.median_absolute_error(b, a)),
        r2=None if alike else float(metrics.r2_score(b, a)),
        baseline=0.0 if alike else scale * float(b.std()),
        baseline_answer=float(t[0]) if alike else scale * mean,
        quantiles={name: scale * float(value) for name, value in quantiles.items()},
        largest=tuple(Residual(int(named[s]), float(t[s]), float(y[s]), scale * float(away[s])) for s in largest),
        target=printable(target),
        y=y,
        t=t,
    )


def _one_column(A: np.ndarray, name: str) -> np.ndarray:
    if A.shape[1:] not in ((), (1,)):
        raise ValueError(f"{name} has shape {A.shape}, but must be one number a row: assess each column by itself")
    return A.reshape(-1)
