"""Plots of a training run and of a network, drawn by matplotlib without a screen and without its global state."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite, isnan, isqrt
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from .metrics import direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    from .diagnosis import Diagnosis, Spread
    from .network import Network
    from .schedules.base import Schedule
    from .sweep import Sweep

__all__ = ["history_panels", "plot", "plot_diagnosis", "plot_schedules", "plot_sweep", "plot_weights", "side_by_side"]

Panel = Callable[["Axes"], None]
"""Draws on the axes that it is given."""

# Blue and orange stay apart for every kind of colour blindness (Okabe and Ito, "Color Universal Design").
BLUE = "#0072B2"
ORANGE = "#D55E00"
_OTHERS = (ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_PALE = "#B8D6E8"
_SIGNED = "RdBu_r"
"""Red above 0, blue below, white at 0: told apart by all but those who see no colour."""
_CELLS = 400
"""Cells of a heat map along each axis that its pixels can show."""
_IMAGES_ACROSS = 10
_PALE_RATIO = 5
_FINDINGS = 4
_LOG_RATIO = 20  # a loss that falls further than this hides its end on a linear axis


def plot(history: Mapping[str, Sequence[float]], path: str | PathLike[str] | None = None) -> "Figure":
    """The losses of `history` over the epochs and, on panels of their own, its scores and learning rates.

    `history` is what `fit` returns: `loss`, and if there was a validation set `validation_loss` and scores
    such as `validation_accuracy`, one number an epoch; an epoch with NaN is left out. Scores of which the greatest is
    the best share a panel, and so do all others. The figure is saved if `path` is given, as the kind of file that its
    suffix names: `.png`, `.svg`, `.pdf`. Raises ImportError if matplotlib is not installed, ValueError for a suffix
    that it does not write or a history without an epoch.

    >>> figure = plot({"loss": [2.3, 0.7, 0.4], "validation_accuracy": [0.4, 0.8, 0.9]})
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'validation accuracy']
    """
    return side_by_side(history_panels(history), path)


def history_panels(history: Mapping[str, Sequence[float]]) -> list[Panel]:
    """What `plot` draws one beside the other: the losses, scores of a kind, learning rates."""
    measured = {name: values for name, values in history.items() if any(not isnan(value) for value in values)}
    losses = {name: values for name, values in measured.items() if name in ("loss", "validation_loss")}
    if "loss" not in losses:
        raise ValueError("history has no epoch to plot yet: train first")
    scores = {name: values for name, values in measured.items() if name not in (*losses, "seconds", "learning_rate")}
    rising = {name: values for name, values in scores.items() if direction(name) == "max"}
    others = {name: values for name, values in scores.items() if name not in rising}
    rates = measured.get("learning_rate", ())

    panels: list[Panel] = [partial(_draw_losses, losses=losses)]
    panels += [partial(_draw_scores, scores=group) for group in (rising, others) if group]
    return panels + ([partial(_draw_rates, rates=rates)] if rates else [])


def side_by_side(panels: Sequence[Panel], path: str | PathLike[str] | None = None) -> "Figure":
    """A figure of panels, one beside the other; saved if `path` is given."""
    figure, axes = _panels(len(panels))
    for panel, place in zip(panels, axes, strict=True):
        panel(place)
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
    axes.plot(sweep.rates, sweep.losses, label="mini-batches", color=BLUE, alpha=0.35, linewidth=1.0)
    axes.plot(sweep.rates, sweep.smoothed, label="smoothed", color=BLUE)
    if sweep.suggestion is not None:
        axes.axvline(sweep.suggestion, label=f"suggestion, {sweep.suggestion:.3g}", color=ORANGE, linestyle="--")
    _limit(axes, [value for value in sweep.smoothed if isfinite(value)])
    axes.set_xlabel("learning rate")
    finish(axes, "loss")
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
        axes.plot(steps, schedule.factors(0, len(steps), steps_per_epoch), color=BLUE)
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
    _draw(axes, losses["loss"], "training", BLUE)
    if "validation_loss" in losses:
        _draw(axes, losses["validation_loss"], "validation", ORANGE)
    values = [value for series in losses.values() for value in series if isfinite(value)]
    if values and 0.0 < _LOG_RATIO * min(values) < max(values):
        axes.set_yscale("log")
    finish(axes, "loss")
    axes.legend(loc="upper right", frameon=False)


def _draw_scores(axes: "Axes", scores: Mapping[str, Sequence[float]]) -> None:
    for number, (name, values) in enumerate(scores.items()):
        _draw(axes, values, name.replace("_", " "), _OTHERS[number % len(_OTHERS)])
    validated = all(name.startswith("validation_") for name in scores)
    name = next(iter(scores)).replace("_", " ") if len(scores) == 1 else "validation score" if validated else "score"
    finish(axes, name)
    axes.legend(loc="best", frameon=False)


def _draw_rates(axes: "Axes", rates: Sequence[float]) -> None:
    _draw(axes, rates, "learning rate", BLUE)
    if 0 < _LOG_RATIO * float(np.nanmedian(rates)) < float(np.nanmax(rates)):  # most of the run would lie at 0
        axes.set_yscale("log")
    finish(axes, "learning rate")
    axes.legend(loc="best", frameon=False)


def _draw(axes: "Axes", values: Sequence[float], label: str, colour: str) -> None:
    points = {epoch: value for epoch, value in enumerate(values, start=1) if not isnan(value)}
    marker = None
    if len(points) < len(values) or len(values) == 1:  # a line through a single point would not be seen
        marker = "o"
    axes.set_xlabel("epoch")
    last = next(reversed(points.values()))
    axes.plot(list(points), list(points.values()), label=f"{label}, last {last:.4g}", color=colour, marker=marker)


def finish(axes: "Axes", name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    if axes.get_xlabel() == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel(name)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


# ------------------------------------------------------------------------------------------------ diagnosis


def plot_diagnosis(diagnosis: "Diagnosis", path: str | PathLike[str] | None = None) -> "Figure":
    """How z and a spread over the layers, and how many units let no gradient through; with targets how delta and the
    gradient spread, and how large they are. The findings stand below. Saved, and raises, as `plot` does.
    """
    layers, learnt = diagnosis.layers, diagnosis.layers[0].delta is not None
    figure = _figure(max(10.5, 0.8 * len(layers)), 6.6 if learnt else 3.6)
    panels = list(figure.subplots(2 if learnt else 1, 3, squeeze=False).flat)
    _draw_spreads(panels[0], [layer.z for layer in layers], "z, into the activation function", "z", BLUE)
    _draw_spreads(panels[1], [layer.a for layer in layers], "a, out of the activation function", "a", BLUE)
    _draw_flat(panels[2], diagnosis)
    if learnt:
        of_layers = [layer.delta for layer in layers], [layer.gradient for layer in layers]
        _draw_spreads(panels[3], of_layers[0], "δ of single samples", "δ", ORANGE)
        _draw_spreads(panels[4], of_layers[1], "gradient of the weights", "∂C/∂w", ORANGE)
        _draw_norms(panels[5], diagnosis)
    figure.suptitle(f"{diagnosis.network} on {diagnosis.samples:,} samples", fontsize="medium")
    figure.supxlabel(_listed(diagnosis.findings), fontsize="small")
    if path is not None:
        figure.savefig(path)
    return figure


def _listed(findings: Sequence[str]) -> str:
    shown = findings[:_FINDINGS]
    rest = [f"and {len(findings) - len(shown)} more"] if len(findings) > len(shown) else []
    return "\n".join([*shown, *rest]) or "nothing wrong is seen"


def _draw_spreads(axes: "Axes", spreads: "Sequence[Spread | None]", title: str, symbol: str, colour: str) -> None:
    """A thin bar over 90% of the numbers, a thick one over 50%, a dot at the median."""
    for l, spread in enumerate(spreads, start=1):
        assert spread is not None
        low, quarter, median, three_quarters, high = spread.quantiles
        axes.plot([l, l], [low, high], color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot([l, l], [quarter, three_quarters], color=colour, linewidth=6, alpha=0.5, solid_capstyle="butt")
        axes.plot([l], [median], color=colour, marker="o", markersize=4)
    reach = [max(map(abs, spread.quantiles)) for spread in spreads if spread]
    if isfinite(sum(reach)) and max(reach) > _LOG_RATIO * min(reach):
        _stretch(axes, min((r for r in reach if r > 0), default=1.0))
    axes.set_title(title, fontsize="medium")
    _finish_layers(axes, len(spreads), f"{symbol}: median, 50%, 90%")


def _stretch(axes: "Axes", least: float) -> None:
    """A y axis that is logarithmic beyond the power of ten above `least`, on both sides."""
    from matplotlib.ticker import SymmetricalLogLocator

    threshold = 10.0 ** np.ceil(np.log10(least))
    axes.set_yscale("symlog", linthresh=threshold)
    ticks = SymmetricalLogLocator(base=10, linthresh=threshold)
    ticks.set_params(numticks=7)
    axes.yaxis.set_major_locator(ticks)


def _draw_flat(axes: "Axes", diagnosis: "Diagnosis") -> None:
    numbers = range(1, len(diagnosis.layers) + 1)
    flat = [100 * (layer.flat or 0.0) for layer in diagnosis.layers]
    stuck = [100 * (layer.dead or layer.saturated or 0) / layer.units for layer in diagnosis.layers]
    axes.bar(numbers, flat, 0.75, color=_PALE, label="of all z")
    axes.bar(numbers, stuck, 0.4, color=ORANGE, label="of the units, for every z")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False)
    axes.set_title("no gradient passes: dead or saturated", fontsize="medium")
    _finish_layers(axes, len(flat), "share (%)")


def _draw_norms(axes: "Axes", diagnosis: "Diagnosis") -> None:
    numbers = range(1, len(diagnosis.layers) + 1)
    deltas = [layer.delta_norm or np.nan for layer in diagnosis.layers]  # a 0 has no place on a logarithmic axis
    ratios = [layer.gradient_ratio or np.nan for layer in diagnosis.layers]
    axes.plot(numbers, deltas, color=ORANGE, marker="o", label="‖δ‖ of a sample")
    axes.plot(numbers, ratios, color=BLUE, marker="s", linestyle="--", label="‖∂C/∂W‖ / ‖W‖")
    if np.isfinite([*deltas, *ratios]).any():
        axes.set_yscale("log")
    axes.legend(frameon=False)
    axes.set_title("size of what flows back", fontsize="medium")
    _finish_layers(axes, len(numbers), "norm; ratio of norms")


def _finish_layers(axes: "Axes", layers: int, name: str) -> None:
    finish(axes, name)
    axes.set_xlabel("layer")
    axes.set_xlim(0.4, layers + 0.6)


# -------------------------------------------------------------------------------------------------- weights


def plot_weights(net: "Network", path: str | PathLike[str] | None = None, images: bool = False) -> "Figure":
    """The weights of every layer as a heat map, the biases beside them, all on one scale; see `Network.plot`."""
    side = isqrt(net.sizes[0])
    if images and side**2 != net.sizes[0]:
        raise ValueError(
            f"images needs inputs that are the pixels of a square, but there are {net.sizes[0]}: leave it out"
        )
    parameters = net.parameters()
    columns = min(len(parameters), 4)
    rows = -(-len(parameters) // columns)
    figure = _figure(4.2 * columns + 0.8, 3.8 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    scale, beyond = _scale([W for W, _ in parameters])
    for l, axes in enumerate(panels.flat, start=1):
        if l > len(parameters):
            axes.set_visible(False)
            continue
        W, b = parameters[l - 1]
        if images and l == 1:
            _draw_images(axes, W, side, scale)
        else:
            _draw_matrix(axes, W, b, l, scale)
        name = (*net.activation_names, net.output)[l - 1]
        axes.set_title(f"layer {l}: {len(W)} × {W.shape[1]}, {name}", fontsize="medium")
    figure.colorbar(
        panels[0, 0].images[0],
        ax=panels,
        label="weight" + (", bias" if net.bias else ""),
        extend="both" if beyond else "neither",
        aspect=20 * rows,
    )
    if path is not None:
        figure.savefig(path)
    return figure


def _scale(weights: Sequence[np.ndarray]) -> tuple["Normalize", bool]:
    """The colours of all layers, and whether some weights lie beyond: a few far ones would leave all others pale.

    Logarithmic but for its middle where layers differ so much that the weights of some could not be seen.
    """
    from matplotlib.colors import Normalize, SymLogNorm

    most = [float(np.quantile(np.abs(W), 0.995)) for W in weights]
    greatest = max(float(np.abs(W).max()) for W in weights)
    limit = max(most) or greatest or 1.0
    least = min((x for x in most if x > 0), default=limit)
    if limit > _PALE_RATIO * least:
        return SymLogNorm(linthresh=least, vmin=-limit, vmax=limit), greatest > limit
    return Normalize(-limit, limit), greatest > limit


def _draw_matrix(axes: "Axes", W: np.ndarray, b: np.ndarray | None, l: int, scale: "Normalize") -> None:
    from matplotlib.ticker import MaxNLocator

    n, inputs = W.shape
    parts = [(W, -0.5, inputs - 0.5)]
    if b is not None:  # a strip on the right, a gap apart
        first, last = (inputs - 0.5 + part * max(0.5, inputs / 20) for part in (1, 2))
        parts.append((b[:, None], first, last))
        for edge in (inputs - 0.5, first):
            axes.axvline(edge, color="black", linewidth=0.8)
        axes.text((first + last) / 2, -0.02, "b", transform=axes.get_xaxis_transform(), ha="center", va="top")
    for part, first, last in parts:
        where = (first, last, n - 0.5, -0.5)
        axes.imshow(_pooled(part), cmap=_SIGNED, norm=scale, extent=where, aspect="auto", interpolation="nearest")
    axes.set_xlim(-0.5, parts[-1][2])
    axes.set_xlabel(f"unit j of layer {l - 1}")
    axes.set_ylabel(f"unit i of layer {l}")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ticks = MaxNLocator(6, integer=True, min_n_ticks=1).tick_values(0, inputs - 1)
    axes.set_xticks([tick for tick in ticks if 0 <= tick <= inputs - 1])


def _draw_images(axes: "Axes", W: np.ndarray, side: int, scale: "Normalize") -> None:
    """A square of squares, the first units' weights as images."""
    across = min(isqrt(len(W) - 1) + 1, _IMAGES_ACROSS)
    shown = min(len(W), across**2)
    down = -(-shown // across)
    canvas = np.full((down * (side + 1) - 1, across * (side + 1) - 1), np.nan)
    for i in range(shown):
        y, x = (i // across) * (side + 1), (i % across) * (side + 1)
        canvas[y : y + side, x : x + side] = W[i].reshape(side, side)
    axes.imshow(canvas, cmap=_SIGNED, norm=scale, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"units 0 … {shown - 1} of {len(W)}, {side} × {side} inputs each")


def _pooled(W: np.ndarray) -> np.ndarray:
    """W, or where it is finer than the picture, of each cell the number that is furthest from 0."""
    for axis in (0, 1):
        cells = -(-W.shape[axis] // _CELLS)
        if cells > 1:
            starts = np.arange(0, W.shape[axis], cells)
            high, low = (pick.reduceat(W, starts, axis=axis) for pick in (np.maximum, np.minimum))
            W = np.where(high > -low, high, low)
    return W
