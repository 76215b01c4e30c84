"""Plots of an assessment: the confusion matrix; answers over true values, and how the residuals are spread."""

from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from ..display import shortened
from ..plots import BLUE, ORANGE, Panel, finish, side_by_side
from .classes import name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from .classes import ClassificationAssessment
    from .residuals import RegressionAssessment

__all__ = ["plot_confusion", "plot_residuals", "residual_panels"]

_POINTS = 1500
"""More would cover one another, and make a large file: then hexagons say how many."""
_HEXAGONS = 36  # across
_NUMBERED, _NAMED = 12, 40  # classes whose cells, and whose axes, have room for text
_BINS = 50
_TAIL = 0.005
"""Of the residuals on either side, that may lie beyond the histogram if they are far out."""


def plot_confusion(assessment: "ClassificationAssessment", path: str | PathLike[str] | None = None) -> "Figure":
    """See `ClassificationAssessment.plot`."""
    return side_by_side([partial(_draw_confusion, assessment=assessment)], path)


def plot_residuals(assessment: "RegressionAssessment", path: str | PathLike[str] | None = None) -> "Figure":
    """See `RegressionAssessment.plot`."""
    return side_by_side(residual_panels(assessment), path)


def residual_panels(assessment: "RegressionAssessment") -> list[Panel]:
    """What `plot_residuals` draws one beside the other."""
    return [partial(_draw_answers, assessment=assessment), partial(_draw_residuals, assessment=assessment)]


def _draw_confusion(axes: "Axes", assessment: "ClassificationAssessment") -> None:
    matrix = assessment.confusion
    rows = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(rows, 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [name_of(label, 16) for label in assessment.classes]
    if len(names) <= _NUMBERED:
        for (i, j), count in np.ndenumerate(matrix):
            if count:
                colour = "white" if share[i, j] > 0.5 else "black"
                axes.text(j, i, f"{count:,}", ha="center", va="center", color=colour, fontsize="small")
    if len(names) <= _NAMED:
        crowded = len(names) > _NUMBERED or max(map(len, names)) > 3
        axes.set_xticks(range(len(names)), names, rotation=90 if crowded else 0, fontsize="small")
        axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    axes.figure.colorbar(image, ax=axes, label="share of the true class")


def _draw_answers(axes: "Axes", assessment: "RegressionAssessment") -> None:
    y, t = assessment.y, assessment.t
    low, high = float(min(y.min(), t.min())), float(max(y.max(), t.max()))
    margin = 0.03 * (high - low) or abs(high) or 1.0
    low, high = low - margin, high + margin
    if len(t) <= _POINTS:
        axes.plot(t, y, color=BLUE, linestyle="none", marker="o", markersize=3.5, markeredgewidth=0, alpha=0.6)
    else:
        _draw_hexagons(axes, t, y, (low, high))
    axes.plot([low, high], [low, high], color=ORANGE, linewidth=1.2, label="answer = true")
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        _shorten_ticks(axis)
    name = _label(assessment.target)
    axes.set_xlabel(f"true {name}")
    finish(axes, f"predicted {name}")
    axes.legend(loc="upper left", frameon=False)


def _draw_hexagons(axes: "Axes", t: np.ndarray, y: np.ndarray, limits: tuple[float, float]) -> None:
    """How many rows lie where; transparent where there are few, so that it does on a dark page as well."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    steps = [step for power in range(9) for step in (10**power, 3 * 10**power)]
    levels = [step for step in steps if step <= len(t) / 20] or [1]
    shades = [(BLUE, 0.2 + 0.8 * (k + 1) / len(levels)) for k in range(len(levels))]
    cells = axes.hexbin(
        t,
        y,
        gridsize=_HEXAGONS,
        extent=(*limits, *limits),
        mincnt=1,
        cmap=ListedColormap(shades),
        norm=BoundaryNorm([*levels, len(t) + 1], len(levels)),
        edgecolors="none",
    )
    axes.figure.colorbar(cells, ax=axes, label="rows in a cell, at least", ticks=levels)


def _label(target: str) -> str:
    """The target's name where matplotlib can write it: no formula, and letters that its font has."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    name = shortened(target, 30)
    known = name and all(font.get_char_index(ord(letter)) for letter in name)
    return name.replace("$", r"\$") if known else "value"


def _shorten_ticks(axis: "Axis") -> None:
    """Large numbers as 500k and 1.5M: in full they would cover one another."""
    from matplotlib.ticker import EngFormatter

    if 1e4 <= max(map(abs, axis.get_view_interval())) < 1e13:
        axis.set_major_formatter(EngFormatter(sep=""))


def _draw_residuals(axes: "Axes", assessment: "RegressionAssessment") -> None:
    from matplotlib.ticker import MaxNLocator

    residuals = assessment.t - assessment.y
    least, low, high, greatest = np.quantile(residuals, [0, _TAIL, 1 - _TAIL, 1])
    reach = 0.5 * (high - low)  # of what is far out a few are left out: they would press all else into one bin
    limits = (max(least, low - reach), min(greatest, high + reach))
    beyond = int(((residuals < limits[0]) | (residuals > limits[1])).sum())
    size = max(map(abs, limits)) or 1.0
    if limits[1] - limits[0] < 1e-6 * size:  # too narrow to be cut into bins
        limits = (limits[0] - size / 2, limits[1] + size / 2)
    bins = min(_BINS, max(8, round(len(residuals) ** 0.5)))
    axes.hist(residuals, bins=bins, range=limits, color=BLUE, alpha=0.75)
    axes.set_axisbelow(True)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    _shorten_ticks(axes.xaxis)
    axes.axvline(0, color=ORANGE, linewidth=1.2, label="no error")
    axes.set_xlabel("residual, true - predicted" + (f" ({beyond:,} further out)" if beyond else ""))
    finish(axes, "rows")
    axes.legend(loc="upper right", frameon=False)
