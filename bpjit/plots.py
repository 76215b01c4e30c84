"""Plots of a training run, drawn by matplotlib without a screen and without its global state."""

from collections.abc import Mapping, Sequence
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .schedules.base import Schedule
    from .sweep import Sweep

__all__ = ["plot", "plot_schedules", "plot_sweep"]

# Blue and orange stay apart for every kind of colour blindness (Okabe and Ito, "Color Universal Design").
_TRAIN = "#0072B2"
_VALIDATION = "#D55E00"
_LOG_RATIO = 20  # a loss that falls further than this hides its end on a linear axis


def plot(history: Mapping[str, Sequence[float]], path: str | PathLike[str] | None = None) -> "Figure":
    """The losses of `history` over the epochs and, on a second panel, its validation scores.

    `history` is what `fit` returns: `loss`, and if there was a validation set `validation_loss` and scores
    such as `validation_accuracy`, one number an epoch. The figure is saved if `path` is given, as the kind
    of file that its suffix names: `.png`, `.svg`, `.pdf`. Raises ImportError if matplotlib is not installed,
    ValueError for a suffix that it does not write or a history without an epoch.

    >>> figure = plot({"loss": [2.3, 0.7, 0.4], "validation_accuracy": [0.4, 0.8, 0.9]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'validation accuracy']
    """
    losses = {name: values for name, values in history.items() if name in ("loss", "validation_loss") and values}
    scores = {
        name: values
        for name, values in history.items()
        if name.startswith("validation_") and name not in losses and values
    }
    if "loss" not in losses:
        raise ValueError("history has no epoch to plot yet: train first")

    panels = 1 + bool(scores)
    figure, axes = _panels(panels)
    _draw_losses(axes[0], losses)
    if scores:
        _draw_scores(axes[1], scores)
    if path is not None:
        figure.savefig(path)
    return figure


def plot_sweep(sweep: "Sweep", path: str | PathLike[str] | None = None) -> "Figure":
    """The losses of a learning-rate range test, smoothed too, over the rates; the rate that is suggested is marked.

    The figure is saved if `path` is given. Raises ImportError if matplotlib is not installed.

    >>> from bpjit.sweep import Sweep
    >>> rates = [10.0 ** (k / 10) for k in range(-50, 1)]
    >>> figure = plot_sweep(Sweep(rates, [1 / (1 + 100 * rate) for rate in rates]))
    >>> figure.axes[0].get_xscale()
    'log'
    """
    figure, (axes,) = _panels(1)
    axes.set_xscale("log")
    axes.plot(sweep.rates, sweep.losses, label="mini-batches", color=_TRAIN, alpha=0.35, linewidth=1.0)
    axes.plot(sweep.rates, sweep.smoothed, label="smoothed", color=_TRAIN)
    if sweep.suggestion is not None:
        axes.axvline(sweep.suggestion, label=f"suggestion, {sweep.suggestion:.3g}", color=_VALIDATION, linestyle="--")
    _limit(axes, [value for value in sweep.smoothed if isfinite(value)])
    axes.set_xlabel("learning rate")
    _finish(axes, "loss")
    axes.legend(loc="best", frameon=False)
    if path is not None:
        figure.savefig(path)
    return figure


def plot_schedules(
    schedules: Mapping[str, "Schedule"],
    epochs: int,
    steps_per_epoch: int = 100,
    path: str | PathLike[str] | None = None,
) -> "Figure":
    """The factors of schedules that are driven by time, {label: schedule}, over so many epochs, a panel for each.

    The figure is saved if `path` is given. Raises ImportError if matplotlib is not installed.

    >>> from bpjit.schedules import Cosine, Step
    >>> figure = plot_schedules({"step": Step(epochs=3), "cosine": Cosine(epochs=10)}, epochs=10)
    >>> [axes.get_title() for axes in figure.axes]
    ['step', 'cosine']
    """
    wide = min(4, len(schedules))
    rows = -(-len(schedules) // wide)
    figure = _figure(2.2 * wide, 1.7 * rows)
    figure.subplots(rows, wide, squeeze=False, sharex=True, sharey=True)
    steps = [step / steps_per_epoch for step in range(epochs * steps_per_epoch)]
    for axes, (label, schedule) in zip(figure.axes, schedules.items()):
        axes.plot(steps, schedule.factors(0, len(steps), steps_per_epoch), color=_TRAIN)
        axes.set_title(label, fontsize="small")
        axes.tick_params(labelsize="small")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in figure.axes[len(schedules) :]:
        axes.set_visible(False)
    figure.supxlabel("epoch", fontsize="small")
    figure.supylabel("factor on the learning rate", fontsize="small")
    if path is not None:
        figure.savefig(path)
    return figure


def _panels(count: int) -> "tuple[Figure, Sequence[Axes]]":
    figure = _figure(5.0 * count, 3.6)
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError("plots need matplotlib: pip install 'bpjit[plot]'") from error

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _limit(axes: "Axes", values: Sequence[float]) -> None:
    """Leaves out how far a loss that diverges rises."""
    low, high = min(values), max(values)
    margin = 0.2 * (high - low) or 1.0
    axes.set_ylim(low - margin, high + margin)


def _draw_losses(axes: "Axes", losses: Mapping[str, Sequence[float]]) -> None:
    _draw(axes, losses["loss"], "training", _TRAIN)
    if "validation_loss" in losses:
        _draw(axes, losses["validation_loss"], "validation", _VALIDATION)
    values = [value for series in losses.values() for value in series if isfinite(value)]
    if values and 0.0 < _LOG_RATIO * min(values) < max(values):
        axes.set_yscale("log")
    _finish(axes, "loss")
    axes.legend(loc="upper right", frameon=False)


def _draw_scores(axes: "Axes", scores: Mapping[str, Sequence[float]]) -> None:
    for number, (name, values) in enumerate(scores.items()):
        _draw(axes, values, name.replace("_", " "), _VALIDATION if number == 0 else f"C{number}")
    name = "validation accuracy" if list(scores) == ["validation_accuracy"] else "validation score"
    _finish(axes, name)
    axes.legend(loc="lower right", frameon=False)


def _draw(axes: "Axes", values: Sequence[float], label: str, colour: str) -> None:
    epochs = range(1, len(values) + 1)
    # A line through a single point would not be seen.
    marker = "o" if len(values) == 1 else None
    axes.set_xlabel("epoch")
    axes.plot(epochs, values, label=f"{label}, last {values[-1]:.4g}", color=colour, marker=marker)


def _finish(axes: "Axes", name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    if axes.get_xlabel() == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
