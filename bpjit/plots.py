"""Plots of a training run, drawn by matplotlib without a screen and without its global state."""

from collections.abc import Mapping, Sequence
from math import isfinite
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]

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
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError("plots need matplotlib: pip install 'bpjit[plot]'") from error

    losses = {name: values for name, values in history.items() if name in ("loss", "validation_loss") and values}
    scores = {
        name: values
        for name, values in history.items()
        if name.startswith("validation_") and name not in losses and values
    }
    if "loss" not in losses:
        raise ValueError("history has no epoch to plot yet: train first")

    panels = 1 + bool(scores)
    figure = Figure(figsize=(5.0 * panels, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_losses(axes[0], losses)
    if scores:
        _draw_scores(axes[1], scores)
    if path is not None:
        figure.savefig(path)
    return figure


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
    axes.plot(epochs, values, label=f"{label}, last {values[-1]:.4g}", color=colour, marker=marker)


def _finish(axes: "Axes", name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.set_ylabel(name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
