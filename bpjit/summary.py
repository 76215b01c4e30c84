"""Summary of a network: layers, parameters, the FLOPs of a training step, the memory that training takes."""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from . import validation
from .display import Table, size_text
from .engine import plan
from .engine.optimizers import SGD, Adam, Optimizer

if TYPE_CHECKING:
    from .network import Network

EXAMPLES: dict[str, Optimizer] = {"SGD": SGD(), "momentum": SGD(momentum=0.9), "Adam": Adam()}
"""One that keeps nothing, one a moment, one two: so do the others."""


@dataclass(frozen=True)
class LayerSummary:
    """One row of the table: the layer's number, its units, how it is activated, its weights and biases."""

    layer: int
    units: int
    activation: str
    weights: int
    biases: int

    @property
    def parameters(self) -> int:
        return self.weights + self.biases


@dataclass(frozen=True)
class Summary:
    """What `Network.summary` gives; shown as a table, by `print` and in a notebook.

    layers: one `LayerSummary` a layer. flops: of the products in a training step (E1, E7, E8), multiplications and
    additions both. workspace: bytes that a mini-batch takes. memory: {optimiser: bytes that training takes}, which are
    the parameters and what the optimiser keeps for each, both twice, since the last good state is kept too, and the
    workspace; data and compiled code are not counted.
    """

    network: str
    batch_size: int
    inputs: int
    layers: tuple[LayerSummary, ...]
    flops: float
    workspace: int
    memory: dict[str, int]

    @property
    def parameters(self) -> int:
        """Weights and biases of all layers."""
        return sum(layer.parameters for layer in self.layers)

    def table(self) -> Table:
        """One row a layer, the totals below."""
        rows: list[tuple[str, ...]] = [("0", f"{self.inputs:,}", "input", "", "", "")]
        for one in self.layers:
            counts = (f"{n:,}" for n in (one.weights, one.biases, one.parameters))
            rows.append((str(one.layer), f"{one.units:,}", one.activation, *counts))
        notes = (
            f"{self.parameters:,} parameters",
            f"{flops_text(self.flops)} a training step with {self.batch_size} samples",
            "memory in training: " + ", ".join(f"{size_text(size)} with {name}" for name, size in self.memory.items()),
        )
        columns = ("layer", "units", "activation", "weights", "biases", "parameters")
        return Table(self.network, columns, rows, left=("activation",), notes=notes)

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table().html()


def summarize(net: "Network", batch_size: int = 32, optimizer: Optimizer | None = None) -> Summary:
    """The summary of a network; see `Network.summary`."""
    batch_size = validation.integer(batch_size, "batch_size", low=1)
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one such as bpjit.Adam(), not {optimizer!r}")
    chosen = EXAMPLES if optimizer is None else {type(optimizer).__name__: optimizer}
    model, steps = net._model, plan.regions(net.sizes, batch_size, net.dtype, True, plan.PIECE, False, False)
    workspace, theta = model.layout_for(batch_size).work_size, model.layout.theta_size
    layers = [
        LayerSummary(l, above, name, above * below, above if net.bias else 0)
        for l, ((below, above), name) in enumerate(
            zip(pairwise(net.sizes), (*net.activation_names, net.output), strict=True), start=1
        )
    ]
    return Summary(
        repr(net),
        batch_size,
        net.sizes[0],
        tuple(layers),
        sum(region.flops for region in steps),
        workspace * net.dtype.itemsize,
        {name: (2 * (1 + one.moments) * theta + workspace) * net.dtype.itemsize for name, one in chosen.items()},
    )


def flops_text(flops: float) -> str:
    """A number of FLOPs in the unit that suits it.

    >>> flops_text(3456789.0)
    '3.457 MFLOP'
    """
    for unit in ("FLOP", "kFLOP", "MFLOP"):
        if flops < 1000:
            return f"{flops:.4g} {unit}"
        flops /= 1000
    return f"{flops:.4g} GFLOP"
