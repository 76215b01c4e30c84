"""Diagnosis of a network on given data: how z, a, delta and gradients spread by layer, and what is wrong with them."""

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .display import Table
from .engine.trace import Trace
from .inspection import traces

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .network import Network

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
QUANTILE_SAMPLES = 1024
"""Samples, evenly spread over X, of which quantiles are taken; means and units are those of all."""

FLAT = 0.01
"""A unit lets no gradient through where |sigma'(z)| is smaller: less than a hundredth of delta would pass."""
FEW_SAMPLES = 32
"""Fewer samples say nothing of a unit: a sound one may be off for all of them by chance."""
STUCK_SHARE = 0.25
"""Of a layer's units, from which on dead or saturated ones are named. Narrow relu layers begin with up to a fifth."""
FLAT_SHARE = 0.5
"""Of all sigma'(z) of a layer that is flat on both sides: sound ones work around z = 0, where they are steep."""
VANISHED = 1e-3
"""With so small a part of the largest ‖δ‖, layer 1 moves a thousandth of what others do at the same learning rate. The
initialisers keep ‖δ‖ from layer to layer within a factor of 2, but for sigmoid, where it is 4."""
EXPLODED = 1e3
"""The same the other way: a learning rate that suits layer L is a thousand times too large."""


@dataclass(frozen=True)
class Spread:
    """How numbers spread: mean, standard deviation, least, greatest, and QUANTILES of them."""

    mean: float
    std: float
    low: float
    high: float
    quantiles: tuple[float, ...]


@dataclass(frozen=True)
class LayerDiagnosis:
    """What is known of one layer.

    z, a, delta, gradient: how they spread over samples and units, the gradient dC/dW over the weights. finite: samples
    whose a is finite. flat: share of all sigma'(z) that are below FLAT, and let no gradient through. dead: units where
    that is so for all samples; saturated: the same, where sigma is flat on both sides, as tanh is. delta_norm: root of
    the mean over s of ‖δ_s‖². weight_norm, gradient_norm: ‖W‖ and ‖dC/dW‖.

    None: there are no targets; or of dead and saturated it is the other; or sigma' is not asked for, as the output is
    softmax, or the loss takes z itself.
    """

    layer: int
    units: int
    activation: str
    z: Spread
    a: Spread
    weight_norm: float
    finite: int
    dead: int | None = None
    saturated: int | None = None
    flat: float | None = None
    delta: Spread | None = None
    delta_norm: float | None = None
    gradient: Spread | None = None
    gradient_norm: float | None = None

    @property
    def gradient_ratio(self) -> float | None:
        """‖dC/dW‖ / ‖W‖: times the learning rate, how much of the weights a step of gradient descent changes."""
        if self.gradient_norm is None:
            return None
        return self.gradient_norm / self.weight_norm if self.weight_norm else np.inf


@dataclass(frozen=True)
class Diagnosis:
    """What `Network.diagnose` gives: `layers`, one `LayerDiagnosis` a layer, and `findings` in words, none if all is
    well. It prints as a table, and `plot` draws it.
    """

    network: str
    samples: int
    layers: tuple[LayerDiagnosis, ...]
    findings: tuple[str, ...]

    def table(self) -> Table:
        """One row a layer; findings below."""
        columns = ["layer", "units", "activation", "z", "a", "dead", "saturated", "flat"]
        learnt = self.layers[0].delta is not None
        if learnt:
            columns += ["‖δ‖", "‖∂C/∂W‖ / ‖W‖"]
        rows = [_row(layer) + (_learning(layer) if learnt else ()) for layer in self.layers]
        title = f"{self.network} on {self.samples:,} samples; z and a as mean ± standard deviation"
        return Table(title, columns, rows, ("activation",), self.findings or ("nothing wrong is seen",))

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """The spread of z, a, delta and gradients over the layers, as a matplotlib figure (extra `plot`), saved to path
        if given."""
        from .plots import plot_diagnosis

        return plot_diagnosis(self, path)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table().html()


def diagnose(net: "Network", X: Any, t: Any = None) -> Diagnosis:
    """The diagnosis of a network; see `Network.diagnose`."""
    data = net._data(X, t)
    backward, S = t is not None, len(data.X)
    tallies = [_LayerTally(S) for _ in net.sizes[1:]]
    with np.errstate(all="ignore"):  # a network that diverged is worth a look
        for rows, trace in traces(net, data, backward):
            for l, tally in enumerate(tallies, start=1):
                tally.add(trace, l, rows.start, backward)
        gradients = [dW for dW, _ in net.gradients(X, t)] if backward else [None] * len(tallies)
        ends = Trace(net._model, 2)
        layers = tuple(
            tally.diagnosis(net, l, ends, dW) for l, (tally, dW) in enumerate(zip(tallies, gradients), start=1)
        )
    return Diagnosis(repr(net), S, layers, tuple(_findings(layers, S, net.dtype)))


# -------------------------------------------------------------------------------------------------- the sums


class _Tally:
    """The spread of numbers that come in parts."""

    def __init__(self) -> None:
        self.count, self.sum, self.squares = 0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf
        self.kept: list[np.ndarray] = []

    def add(self, values: np.ndarray, kept: np.ndarray) -> None:
        """values of samples in rows, of which `kept` are to give quantiles."""
        self.count += values.size
        self.sum += float(values.sum(dtype=np.float64))
        self.squares += float(np.square(values, dtype=np.float64).sum())
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.kept.append(np.array(kept))

    def spread(self) -> Spread:
        mean = self.sum / self.count
        variance = max(self.squares / self.count - mean**2, 0.0)
        quantiles = np.quantile(np.concatenate(self.kept), QUANTILES)
        return Spread(mean, variance**0.5, self.low, self.high, tuple(map(float, quantiles)))


class _LayerTally:
    """What is summed up of a layer over the samples."""

    def __init__(self, samples: int) -> None:
        self.samples, self.every = samples, -(-samples // QUANTILE_SAMPLES)
        self.z, self.a, self.delta = _Tally(), _Tally(), _Tally()
        self.flat: np.ndarray | None = None
        self.finite = 0

    def add(self, trace: Trace, l: int, start: int, backward: bool) -> None:
        """Layer l of a mini-batch whose first sample is number `start`."""
        kept = slice(-start % self.every, None, self.every)
        z, a = trace.z(l), trace.a(l)
        self.z.add(z, z[kept])
        self.a.add(a, a[kept])
        self.finite += int(np.isfinite(a).all(axis=1).sum())
        if backward:
            delta = trace.delta(l)
            self.delta.add(delta, delta[kept])
        if trace.has_slope(l):
            flat = (abs(trace.slope(l)) < FLAT).sum(axis=0)
            self.flat = flat if self.flat is None else self.flat + flat

    def diagnosis(self, net: "Network", l: int, ends: Trace, dW: np.ndarray | None) -> LayerDiagnosis:
        W = net.parameters()[l - 1][0]
        found: dict[str, Any] = {}
        if self.flat is not None:
            stuck = "saturated" if ends.flat_ends(l, FLAT) == 2 else "dead"
            found[stuck] = int((self.flat == self.samples).sum())
            found["flat"] = float(self.flat.sum() / (self.samples * len(self.flat)))
        if dW is not None:
            gradient = _Tally()
            gradient.add(dW, dW)
            found |= {"delta": self.delta.spread(), "delta_norm": (self.delta.squares / self.samples) ** 0.5}
            found |= {"gradient": gradient.spread(), "gradient_norm": gradient.squares**0.5}
        return LayerDiagnosis(
            layer=l,
            units=len(W),
            activation=(*net.activation_names, net.output)[l - 1],
            z=self.z.spread(),
            a=self.a.spread(),
            weight_norm=float(np.square(W, dtype=np.float64).sum() ** 0.5),
            finite=self.finite,
            **found,
        )


# -------------------------------------------------------------------------------------------------- the words


def _row(layer: LayerDiagnosis) -> tuple[str, ...]:
    def number(count: int | None) -> str:
        return "" if count is None else f"{count:,}"

    flat = "" if layer.flat is None else f"{layer.flat:.0%}"
    spreads = (f"{spread.mean:.3g} ± {spread.std:.3g}" for spread in (layer.z, layer.a))
    stuck = (number(layer.dead), number(layer.saturated), flat)
    return (str(layer.layer), f"{layer.units:,}", layer.activation, *spreads, *stuck)


def _learning(layer: LayerDiagnosis) -> tuple[str, str]:
    return f"{layer.delta_norm:.3g}", f"{layer.gradient_ratio:.3g}"


def _findings(layers: tuple[LayerDiagnosis, ...], samples: int, dtype: np.dtype) -> Iterator[str]:
    """What is wrong, in words. Where numbers overflow, nothing else is looked at."""
    for layer in layers:
        if layer.finite < samples:
            yield (
                f"layer {layer.layer}: a is not finite for {samples - layer.finite} of {samples} samples: "
                f"{dtype} overflows; scale X, or draw the parameters anew"
            )
            return
    for layer in layers:
        yield from _stuck(layer, samples)
    if layers[0].delta_norm is not None:
        yield from _flow([layer.delta_norm or 0.0 for layer in layers])


def _stuck(layer: LayerDiagnosis, samples: int) -> Iterator[str]:
    """What is wrong with the units of a layer."""
    word, count = ("dead", layer.dead) if layer.saturated is None else ("saturated", layer.saturated)
    if count is None or layer.flat is None or samples < FEW_SAMPLES:
        return
    if count >= STUCK_SHARE * layer.units:
        yield (
            f"layer {layer.layer}: {count} of {layer.units} units are {word}: {layer.activation} lets no gradient "
            f"through for any of {samples} samples"
        )
    elif layer.saturated is not None and layer.flat >= FLAT_SHARE:
        yield (
            f"layer {layer.layer}: {layer.activation} is saturated for {layer.flat:.0%} of its z, and lets no gradient "
            "through there: scale X, or make the weights smaller"
        )


def _flow(norms: list[float]) -> Iterator[str]:
    """What is wrong with ‖δ‖ on its way from the last layer to the first."""
    first, (most, greatest), (least, smallest) = norms[0], _extreme(max, norms), _extreme(min, norms)
    if first == 0 < greatest:
        lost = max(l for l, norm in enumerate(norms, start=1) if norm == 0)
        yield f"no gradient reaches layer {lost}{' and those below' if lost > 1 else ''}: δ is 0 there"
    elif first < VANISHED * greatest:
        yield f"gradients vanish towards the input: ‖δ‖ of layer 1 is {first / greatest:.1g} of layer {most}'s"
    elif first > EXPLODED * smallest:
        yield f"gradients explode towards the input: ‖δ‖ of layer 1 is {first / smallest:.1g} times layer {least}'s"


def _extreme(choose: Any, norms: list[float]) -> tuple[int, float]:
    """The number of the layer with the greatest or smallest norm, and that norm."""
    return choose(enumerate(norms, start=1), key=lambda entry: entry[1])
