"""Sweep: the losses of a learning-rate range test, and the rate that they suggest."""

import contextlib
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from . import validation
from .callbacks import Callback
from .errors import DivergenceError
from .schedules import Range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .training import Trainer

SMOOTHING = 1 / 25
"""Width of the smoothing, its standard deviation, as a share of the range that log rate passes through."""
FEWEST = 10
"""Losses below which nothing can be said."""
CERTAIN = 4.0
"""Standard errors that the smoothed loss must fall by; of noise alone the greatest fall is 4 in one sweep of 100."""


class Sweep:
    """Losses of mini-batches that were trained with rates from small to great, as in Smith's (2017) range test.

    rates and losses: (n,), the rates positive and rising. smoothed: (n,), the losses without their noise, by local
    lines over log rate; NaN from where they have diverged. suggestion: the rate at which the smoothed loss falls most
    steeply over log rate, and surely so; None where it does not fall by more than its noise.

    Raises ValueError for other rates, for another number of losses, or for fewer than ten that are finite.

    >>> rates = np.geomspace(1e-5, 1, 51)
    >>> round(Sweep(rates, 1 / (1 + (rates / 1e-2) ** 2)).suggestion, 3)
    0.01
    """

    def __init__(self, rates: Sequence[float] | np.ndarray, losses: Sequence[float] | np.ndarray) -> None:
        self.rates, self.losses = np.array(rates, np.float64), np.array(losses, np.float64)
        if self.rates.ndim != 1 or self.rates.shape != self.losses.shape:
            shapes = f"{self.rates.shape} and {self.losses.shape}"
            raise ValueError(f"rates and losses have shapes {shapes}: give one loss a rate")
        if not (np.isfinite(self.rates).all() and (self.rates > 0).all() and (np.diff(self.rates) > 0).all()):
            raise ValueError("rates must be positive, and rise")
        kept = _before_divergence(self.losses)
        if kept < FEWEST:
            raise ValueError(f"{kept} losses come before training diverges, at least {FEWEST} are needed: begin lower")
        self.smoothed = np.full(len(self.rates), math.nan)
        level, slope, error, slope_error = _local_lines(np.log(self.rates), self.losses[:kept])
        self.smoothed[:kept] = level
        least = int(level.argmin())
        most = int(level[: least + 1].argmax())
        falls = level[most] - level[least] > CERTAIN * math.hypot(error[most], error[least])
        steepest = int((slope + slope_error)[: least + 1].argmin())
        self.suggestion = float(self.rates[steepest]) if falls else None

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """The losses over the rates as a matplotlib figure, saved to path if given (extra `plot`)."""
        from .plots import plot_sweep

        return plot_sweep(self, path)

    def __repr__(self) -> str:
        suggested = "no suggestion" if self.suggestion is None else f"suggestion {self.suggestion:.3g}"
        return f"Sweep({len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}: {suggested})"


class _Losses(Callback):
    def __init__(self) -> None:
        self.all: list[float] = []

    def on_batch_end(self, trainer: "Trainer", loss: float) -> None:
        self.all.append(loss)


def of(trainer: "Trainer", X: Any, t: Any, low: Any, high: Any, steps: Any, options: Mapping[str, Any]) -> Sweep:
    """What `Trainer.find_learning_rate` returns."""
    low = validation.real(low, "low", low=0, low_open=True)
    high = validation.real(high, "high", low=low, low_open=True)
    steps = validation.integer(steps, "steps", low=FEWEST)
    for name in options:
        validation.choice(name, ("validation", "sample_weight", "class_weight"), "an option of find_learning_rate")
    base = trainer.learning_rate
    other = trainer._for_trial(Range(low / base, high / base, steps))
    losses = _Losses()
    with contextlib.suppress(DivergenceError):
        other.fit(X, t, epochs=steps, max_steps=steps, callbacks=losses, **options)
    values = losses.all + [math.inf] * (steps - len(losses.all))
    return Sweep(np.geomspace(low, high, steps), values)


def _before_divergence(losses: np.ndarray) -> int:
    """How many losses come before the first that is not finite, or before they rise above all that came before.

    Medians of five tell, so that one mini-batch does not; rises count after the least of them, and
    none counts that the first few losses reach.
    """
    finite = np.isfinite(losses)
    kept = len(losses) if finite.all() else int(finite.argmin())
    if kept < FEWEST:
        return kept
    medians = np.median(np.lib.stride_tricks.sliding_window_view(np.pad(losses[:kept], 2, mode="edge"), 5), axis=1)
    least = int(medians.argmin())
    above = medians[least:] > losses[: max(least + 1, FEWEST)].max()
    return least + int(above.argmax()) if above.any() else kept


def _local_lines(x: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Level and slope, at the x of each loss, of a line fitted with Gaussian weights, and their standard errors."""
    width = max(SMOOTHING, 1.5 / len(x)) * (x[-1] - x[0])
    x = x[: len(losses)]
    weights = np.exp(-0.5 * ((x[None, :] - x[:, None]) / width) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    centre = weights @ x
    apart = x[None, :] - centre[:, None]
    of_slope = weights * apart / (weights * apart**2).sum(axis=1, keepdims=True)
    of_level = weights + (x - centre)[:, None] * of_slope
    # Differences of neighbours are noise alone, whatever the curve: their median is 0.954 of its standard deviation.
    noise = max(float(np.median(np.abs(np.diff(losses)))) / 0.954, 1e-14 * float(np.abs(losses).max()))  # or rounding
    errors = (noise * np.sqrt((of_value**2).sum(axis=1)) for of_value in (of_level, of_slope))
    return of_level @ losses, of_slope @ losses, *errors
