"""The picture of a report: how many times as fast as each other library bpjit is."""

import textwrap
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from .report import OPTIMIZERS, Report, Row, plural, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#56B4E9", "#E69F00", "#009E73", "#CC79A7")  # apart for every kind of colour blindness


def chart(report: Report, path: str | PathLike[str] | None = None) -> "Figure":
    """A panel for each optimiser and number of threads, a group of bars for each case, a bar for each library.

    The figure is saved if path is given, as the kind of file that its suffix names: `.png`, `.svg`, `.pdf`. Raises
    ValueError for a report without another library, ImportError where matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    if not report.libraries:
        raise ValueError("there is nothing to draw: no other library was measured")
    threads = list(dict.fromkeys(row.threads for row in report.rows))
    optimizers = list(dict.fromkeys(row.optimizer for row in report.rows))
    cases = {row.case: row.network for row in report.rows}
    bars = len(cases) * (len(report.libraries) + 1)
    width, height = 2.0 + 3.6 * len(optimizers), 1.2 + (0.5 + 0.125 * bars) * len(threads)
    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    panels = figure.subplots(len(threads), len(optimizers), squeeze=False, sharex=True, sharey=True)
    for line, count in zip(panels, threads):
        for axes, optimizer in zip(line, optimizers):
            rows = {row.case: row for row in report.rows if (row.threads, row.optimizer) == (count, optimizer)}
            _draw(axes, [rows.get(case) for case in cases], report.libraries)
            axes.set_title(f"{OPTIMIZERS[optimizer]}, {plural(count, 'thread')}", fontsize="medium")
    names = [case if case == network else f"{case}\n{network}" for case, network in cases.items()]
    panels[0, 0].set_yticks(range(len(cases)), names)
    panels[0, 0].invert_yaxis()  # of all: they share it
    for axes in panels[-1]:
        axes.set_xlabel("bpjit is this many times as fast", fontsize="small")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.supxlabel(textwrap.fill(report.caption, int(24 * width), break_on_hyphens=False), fontsize=5.5, color="0.4")
    if path is not None:
        figure.savefig(path)
    return figure


def _draw(axes: "Axes", rows: Sequence[Row | None], libraries: Sequence[str]) -> None:
    """A group of bars for each row, side by side around its number."""
    height = 1 / (len(libraries) + 1)
    for number, library in enumerate(libraries):
        ratios = {place: row.ratio(library) for place, row in enumerate(rows) if row and library in row.seconds}
        places = [place + (number - (len(libraries) - 1) / 2) * height for place in ratios]
        lengths = [ratio - 1 for ratio in ratios.values()]
        bars = axes.barh(places, lengths, height, left=1, label=library, color=COLOURS[number])
        axes.bar_label(bars, [significant(ratio) for ratio in ratios.values()], padding=2, fontsize=6)
    axes.axvline(1, color="0.2", linewidth=0.8)
    axes.tick_params(labelsize="small")
    axes.tick_params(axis="y", length=0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right", "left"]].set_visible(False)
