"""Whether back-propagation gives the gradient: a network's gradients beside differences of its loss."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import validation
from .engine.epoch import Data
from .network import Network, Parameters

STEPS = (1e-3, 1e-4, 1e-5, 1e-6)
"""Times the larger of a parameter's size and 1: the first where the loss is smooth enough is taken."""
TOLERANCE = {"float64": 1e-6, "float32": 1e-4}
"""Of a gradient's size. Differences in float64 are good to 1e-9 where the loss is smooth; float32 rounds every product
to 6e-8, of which a sum over units and samples makes some 1e-6. A wrong formula is off by far more."""
ROUNDINGS = 30
"""float32 also may be off by so many times what one rounding of parameters, X and t changes: where y and t, or terms
of a sum, nearly cancel, a rounding is no longer small beside what is left."""
WORST = 10
"""Parameters that a report lists of a check that failed; of one that passed, one a layer."""


@dataclass(frozen=True)
class Row:
    """One parameter: W[i, j] of layer l, or with j None b[i] of layer l; its two gradients, and how far apart they are.

    error is the difference as a share of the gradient's size, which is the larger of this gradient and the root mean
    square of the layer's; allowed is what it may be. at_kink: the loss has a kink here, as where a relu's z is 0, so
    that there is no gradient to compare with; such a row counts as passed.
    """

    layer: int
    i: int
    j: int | None
    backpropagation: float
    differences: float
    error: float
    allowed: float
    at_kink: bool

    @property
    def passed(self) -> bool:
        return self.at_kink or self.error <= self.allowed

    @property
    def name(self) -> str:
        return f"b[{self.i}]" if self.j is None else f"W[{self.i}, {self.j}]"


@dataclass(frozen=True)
class LayerSummary:
    """Of layer l: how many of its parameters were checked, how many of these lie at kinks, how many failed; the
    largest error; |difference| / |differences|, norms over those that are not at a kink."""

    layer: int
    activation: str
    parameters: int
    checked: int
    kinks: int
    failed: int
    error: float
    distance: float

    @property
    def passed(self) -> bool:
        return self.failed == 0 and self.kinks < self.checked


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` has found; print it, or ask `passed`, which is also its truth value.

    rows: a `Row` for every checked parameter, layer by layer. layers: a `LayerSummary` for each layer.
    """

    network: str
    rows: tuple[Row, ...]
    layers: tuple[LayerSummary, ...]
    loss: str

    @property
    def passed(self) -> bool:
        return all(layer.passed for layer in self.layers)

    def __bool__(self) -> bool:
        return self.passed

    @property
    def verdict(self) -> str:
        """In a sentence, and if a check failed where the fault should be looked for."""
        failed = [layer for layer in self.layers if layer.failed]
        if failed:
            top = failed[-1]
            above = "" if top.layer == len(self.layers) else ", since the layers above it are right"
            suspect = f"the derivative of {top.activation!r}"
            if top.layer == len(self.layers):
                suspect += f" or of the loss {self.loss!r}"
            which = ", ".join(str(layer.layer) for layer in failed)
            return f"failed in layer {which}: look at {suspect}, layer {top.layer}{above}"
        if not all(math.isfinite(row.differences) for row in self.rows):
            return "undecided: the loss is not finite for these parameters and data"
        if not self.passed:
            which = ", ".join(str(layer.layer) for layer in self.layers if not layer.passed)
            return f"undecided: all that was checked of layer {which} lies at kinks; try other data or parameters"
        return f"passed: {len(self.rows)} of {sum(layer.parameters for layer in self.layers)} parameters agree"

    def __str__(self) -> str:
        lines = [f"Gradients of {self.network}", self.verdict, ""]
        lines.append("layer  activation      checked of       at kinks  failed  largest error  norm of difference")
        for layer in self.layers:
            lines.append(
                f"{layer.layer:>5}  {layer.activation:<14.14}  {layer.checked:>7} {layer.parameters:<8}  "
                f"{layer.kinks:>8}  {layer.failed:>6}  {layer.error:>13.1e}  {layer.distance:>18.1e}"
            )
        worst = self._worst()
        if worst:
            lines += ["", "layer  parameter       back-propagation   differences of C  error (allowed)"]
        for row in worst:
            lines.append(
                f"{row.layer:>5}  {row.name:<14}  {row.backpropagation:>16.8g}  {row.differences:>17.8g}  "
                f"{row.error:.1e} ({row.allowed:.0e}){'' if row.passed else '  failed'}"
            )
        return "\n".join(lines)

    def _worst(self) -> list[Row]:
        judged = sorted((row for row in self.rows if not row.at_kink), key=lambda row: -row.error / row.allowed)
        failed = [row for row in judged if not row.passed][:WORST]
        return failed or [row for l in self.layers for row in [r for r in judged if r.layer == l.layer][:1]]


def check_gradients(net: Network, X: Any, t: Any, per_layer: int = 100, seed: int | None = 0) -> GradientReport:
    """Compares the gradients of a network, at its parameters and for these data, with differences of its loss.

    net stays as it is. X is (S, n_0), t as the loss takes it; some tens of samples are enough. per_layer: weights, and
    biases, that are checked of each layer, drawn at random from `seed` (None: others each time); all if there are no
    more.

    The differences are (C(theta + h) - C(theta - h)) / (2 h) at two h, extrapolated, of a copy of the network in
    float64, hence good to 1e-9; those of a float32 network are allowed what float32 rounds off. A parameter at which
    the loss has a kink is reported as such. Whatever is found is in the report: no error is raised for it.

    Raises TypeError or ValueError for a net, X or t as `Network.gradients` does, or a per_layer below 1.

    >>> import bpjit
    >>> net = bpjit.Network([4, 5, 3], activation="tanh", seed=0)
    >>> report = bpjit.check_gradients(net, [[0.5, 1.0, -1.0, 2.0], [0.0, -0.5, 1.5, 1.0]], [0, 2])
    >>> report.passed, len(report.rows)
    (True, 43)
    >>> print(report.verdict)
    passed: 43 of 43 parameters agree
    """
    if not isinstance(net, Network):
        raise TypeError(f"net must be a bpjit.Network, not {type(net).__name__}")
    return compared(net, X, t, net.gradients(X, t), per_layer, seed)


def compared(net: Network, X: Any, t: Any, found: Parameters, per_layer: int, seed: int | None) -> GradientReport:
    """`check_gradients` of gradients that were found in another way."""
    per_layer = validation.integer(per_layer, "per_layer", low=1)
    rng = np.random.default_rng(validation.seed(seed))
    twin = _Twin(net, net._data(X, t))
    roundings = twin.roundings(rng) if net.dtype == np.float32 else None
    rows: list[Row] = []
    layers = []
    for l, (W, b) in enumerate(found, start=1):
        noise = 0.0 if roundings is None else _size(roundings[l - 1])
        noise = noise if math.isfinite(noise) else 0.0  # as where a loss takes no t below 0
        of_layer = _rows(twin, l, W, b, per_layer, rng, TOLERANCE[net.dtype.name], noise)
        count = W.size + (0 if b is None else b.size)
        layers.append(_summary(l, (*net.activation_names, net.output)[l - 1], count, of_layer))
        rows += of_layer
    return GradientReport(repr(net), tuple(rows), tuple(layers), net.loss_name)


class _Twin:
    """A copy of a network in float64, with the very same entries of the tables, whose parameters move one by one."""

    def __init__(self, net: Network, data: Data):
        self.net = Network(**net.configuration() | {"dtype": "float64"}, init="zeros")
        self.net._model.activations, self.net._model.loss = net._model.activations, net._model.loss
        self.net._model.write([(W, b) for W, b in net.parameters()])
        self.data = data._replace(X=data.X.astype(np.float64), targets=data.targets.astype(np.float64))
        self.C = self.loss()

    def loss(self) -> float:
        return self.net._loss(self.data, threads=1)

    def place(self, l: int, i: int, j: int | None) -> tuple[np.ndarray, tuple[int, ...]]:
        """A view of theta, and where in it a parameter stands."""
        layout, theta = self.net._model.layout, self.net._model.theta
        if j is None:
            return layout.bias(theta, l), (i,)
        panels = layout.weight(theta, l)
        return panels, (i // panels.shape[2], j, i % panels.shape[2])

    def moved(self, l: int, i: int, j: int | None, h: float) -> float:
        """C where one parameter is larger by h."""
        view, place = self.place(l, i, j)
        before = view[place]
        view[place] = before + h
        try:
            return self.loss()
        finally:
            view[place] = before

    def roundings(self, rng: np.random.Generator) -> Parameters:
        """By how much the gradients change when parameters, X and t do by a rounding of float32."""
        unit = float(np.finfo(np.float32).eps)

        def rounded(x: np.ndarray) -> np.ndarray:
            return x + unit * rng.uniform(-1, 1, x.shape) * np.abs(x)

        targets = self.data.targets if len(self.data.targets) else np.eye(self.net.sizes[-1])[self.data.labels]
        y = self.net._predict(self.data, threads=1)
        size = np.maximum(np.abs(y), np.abs(targets)).max(axis=1, keepdims=True)
        exact, parameters = self.gradients(self.data), self.net.parameters()
        self.net._model.write([(rounded(W), None if b is None else rounded(b)) for W, b in parameters])
        moved = self.gradients(
            self.data._replace(
                X=rounded(self.data.X),
                labels=np.zeros(0, np.intp),
                targets=targets + unit * rng.uniform(-1, 1, targets.shape) * size,
            )
        )
        self.net._model.write(parameters)
        return [(V - W, None if c is None or b is None else c - b) for (V, c), (W, b) in zip(moved, exact, strict=True)]

    def gradients(self, data: Data) -> Parameters:
        plan = self.net._plan(len(data.X), 1, training=True)
        return self.net._pairs(self.net._model.gradient(data, plan)[1])


def _size(pair: tuple[np.ndarray, np.ndarray | None]) -> float:
    """The root mean square of a layer's numbers."""
    numbers = np.concatenate([part.ravel().astype(np.float64) for part in pair if part is not None])
    return float(np.sqrt(np.mean(numbers**2)))


def _rows(
    twin: _Twin,
    l: int,
    W: np.ndarray,
    b: np.ndarray | None,
    per_layer: int,
    rng: np.random.Generator,
    tolerance: float,
    noise: float,
) -> list[Row]:
    """noise: what a rounding changes in the layer's gradients."""
    chosen: list[tuple[int, int | None]] = [divmod(int(k), W.shape[1]) for k in _sample(W.size, per_layer, rng)]
    chosen += [] if b is None else [(int(i), None) for i in _sample(b.size, per_layer, rng)]
    size = _size((W, b))
    measured = [_slope(twin, l, i, j, tolerance * size) for i, j in chosen]
    size = max(size, math.sqrt(sum(slope**2 for slope, _, _ in measured) / len(measured)))
    rows = []
    for (i, j), (slope, at_kink, rounding) in zip(chosen, measured, strict=True):
        given = float(W[i, j] if j is not None else b[i])  # type: ignore[index]
        scale = max(size, abs(slope))
        difference = abs(given - slope)
        if scale == 0:
            scale = 1.0
        allowed = float(tolerance + (ROUNDINGS * noise + rounding) / scale)
        rows.append(Row(l, i, j, given, slope, difference / scale, allowed, at_kink))
    return rows


def _sample(count: int, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))


def _slope(twin: _Twin, l: int, i: int, j: int | None, bound: float) -> tuple[float, bool, float]:
    """dC/dtheta of one parameter, whether C has a kink there, and how far rounding may move the slope.

    C has none where, at one of the steps, the slopes of both sides meet as h shrinks, and the central difference stays
    where it is: both to within `bound`, or a like share of the slope.
    """
    view, place = twin.place(l, i, j)
    size = max(1.0, abs(float(view[place])))
    slope = math.nan
    for step in STEPS:
        h = step * size
        far, near = ([twin.moved(l, i, j, s) for s in (d, -d)] for d in (h, h / 2))
        wide, narrow = (far[0] - far[1]) / (2 * h), (near[0] - near[1]) / h
        jump_wide, jump_narrow = (far[0] + far[1] - 2 * twin.C) / h, (near[0] + near[1] - 2 * twin.C) / (h / 2)
        slope = (4 * narrow - wide) / 3
        rounding = 20 * np.finfo(np.float64).eps * max(map(abs, (*far, *near, twin.C))) / h
        limit = max(bound, 1e-6 * abs(slope)) + rounding
        # Of a smooth C, h C''/2 is the jump, which halves with h, and h^2 C'''/6 the change of the central difference.
        if abs(2 * jump_narrow - jump_wide) <= limit and abs(narrow - wide) <= 1e3 * limit:
            return slope, False, rounding
    return slope, True, 0.0


def _summary(l: int, activation: str, parameters: int, rows: list[Row]) -> LayerSummary:
    judged = [row for row in rows if not row.at_kink]
    difference = math.hypot(*(row.backpropagation - row.differences for row in judged))
    whole = math.hypot(*(row.differences for row in judged))
    return LayerSummary(
        layer=l,
        activation=activation,
        parameters=parameters,
        checked=len(rows),
        kinks=len(rows) - len(judged),
        failed=sum(not row.passed for row in rows),
        error=max((row.error for row in judged), default=0.0),
        distance=difference / whole if whole else difference,
    )
