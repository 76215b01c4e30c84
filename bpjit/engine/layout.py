"""Where every number lies: the only module that knows orders, padding and offsets. The kernels see named views.

    n_l      units of layer l            P    panels of layer l: ceil(n_l / PANEL)
    PANEL    numbers in a tile's row     Q    blocks of PANEL samples in a mini-batch

    view                     shape                 [...] holds
    weights(theta, layer)    (P, rows, PANEL)      [p, j, q] = w_ij, i = p PANEL + q
    biases(theta, layer)     (P PANEL,)            [i] = b_i
    a(work, layer)           (Q, rows, PANEL)      [s // PANEL, i, s % PANEL] = a_i of sample s
    out(work, layer)         like a, and the same place but where dropout makes of a what the next layer sees
    z(work, layer)           like a, and the same place where nothing needs z once a is known
    delta(work, layer)       like a; a layer has the place of the next but one: the recursion needs no more
    delta_rows(work, layer)  (P, Q PANEL, PANEL)   [p, s, q] = delta_i of sample s, i = p PANEL + q
    target(work, layers)     (Q, rows, PANEL)      [.., i, ..] = t_i

Samples lie side by side in a and delta, so forward (E1) and recursion (E7) run the same way whatever the widths, and
units lie side by side in delta_rows and the weights, as the gradient (E8) needs them. `rows` leaves room for a tile
that reaches beyond the last unit, and is odd: at power-of-two widths even strides would fall into the same cache sets.
What lies in the room beyond n_l and beyond the last sample is never read into a result; the former is finite.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from . import jit, tile

LAYER = np.dtype(
    [
        (name, np.intp)
        for name in (
            "inputs",  # n_(l-1)
            "units",  # n_l
            "panels",  # P
            "weight_rows",
            "unit_rows",
            "widest_rows",
            "weights",  # where the views begin: in theta
            "biases",
            "a",  # and in the workspace
            "out",
            "z",
            "delta",
            "delta_rows",
            "target",
            "sigma",  # addresses of the activation and its derivative
            "sigma_prime",
            "blocks",  # Q
            "capacity",  # samples that there is room for
            "panel",
            "has_bias",
            "weight_group",  # the row of coefficients that steps them
            "bias_group",
            "drop",  # address of dropout's kernel, or 0
            "key",  # of its random numbers in this mini-batch
            "before",  # samples of the mini-batch that come before those at hand
            "penalize",  # address of the kernel that penalises and clips a gradient, or 0
            "sums",  # where it puts its sums, SUMS for each task
        )
    ]
    # setting: of the activation; rate: of dropout; the factors of the penalties; the greatest number of a gradient, and
    # the greatest norm of a unit's weights (0: any)
    + [(name, np.float64) for name in ("setting", "rate", "l1", "l2", "clip_value", "max_norm")],
    align=True,
)

TASK = np.dtype([(name, np.intp) for name in ("l", "p", "j", "rows")], align=True)
"""One piece of the gradient: layer, panel of units, first input unit and how many."""

FEW = 2 * tile.SMALL
"""Samples of a mini-batch up to which other kernels and larger tasks are faster."""

TASK_ROWS = 64
"""Input units in a task: 64 x PANEL weights and their gradient stay in the first-level cache."""
TASK_ROWS_OF_FEW = 128
"""The same for a mini-batch of up to FEW samples, whose activations take no room there."""

TASK_NUMBERS = (TASK_ROWS_OF_FEW + tile.SMALL) * tile.PANEL_MAX
"""Room for the gradient of any task."""


@jit.inline
def weights(theta, layer):
    return jit.shaped(theta, layer.weights, layer.panels, layer.weight_rows, layer.panel)


@jit.inline
def biases(theta, layer):
    return jit.shaped(theta, layer.biases, layer.panels * layer.panel)


@jit.inline
def bias_rows(theta, layer):
    """The biases in rows of PANEL, one a panel."""
    return jit.shaped(theta, layer.biases, layer.panels, layer.panel)


@jit.inline
def a(work, layer):
    return jit.shaped(work, layer.a, layer.blocks, layer.unit_rows, layer.panel)


@jit.inline
def out(work, layer):
    return jit.shaped(work, layer.out, layer.blocks, layer.unit_rows, layer.panel)


@jit.inline
def z(work, layer):
    return jit.shaped(work, layer.z, layer.blocks, layer.unit_rows, layer.panel)


@jit.inline
def delta(work, layer):
    return jit.shaped(work, layer.delta, layer.blocks, layer.widest_rows, layer.panel)


@jit.inline
def delta_rows(work, layer):
    return jit.shaped(work, layer.delta_rows, layer.panels, layer.blocks * layer.panel, layer.panel)


@jit.inline
def target(work, layer):
    return jit.shaped(work, layer.target, layer.blocks, layer.unit_rows, layer.panel)


@jit.inline
def task_weights(layer, task):
    """Where the weights of a task begin in theta; its task.rows rows of PANEL follow one another."""
    return layer.weights + (task.p * layer.weight_rows + task.j) * layer.panel


@jit.inline
def rows_of_task(x, layer, task):
    """The weights of a task in theta, or what one of the moments has for them, in rows of PANEL."""
    return jit.shaped(x, task_weights(layer, task), task.rows, layer.panel)


@jit.inline
def of_task(x, layer, task):
    """The same numbers, one after the other."""
    return jit.shaped(x, task_weights(layer, task), task.rows * layer.panel)


@jit.inline
def biases_of_task(x, layer, task):
    """The biases of a task's panel in theta, or what one of the moments has for them."""
    return jit.shaped(x, task_biases(layer, task), layer.panel)


@jit.inline
def task_biases(layer, task):
    """Where the biases of a task's panel begin in theta."""
    return layer.biases + task.p * layer.panel


@jit.inline
def task_rows(numbers, layer):
    """`numbers`, with room for a task, in rows of PANEL."""
    return jit.shaped(numbers, 0, numbers.size // layer.panel, layer.panel)


@jit.inline
def task_gradient(numbers, layer, task):
    """The part of `numbers` that the weights of a task fill, in the order of theta."""
    return jit.shaped(numbers, 0, task.rows * layer.panel)


@jit.inline
def of_group(coefficients, group):
    """The coefficients that `group` steps its parameters with."""
    return jit.shaped(coefficients, group * coefficients.shape[1], coefficients.shape[1])


@jit.inline
def of_block(x, s, i_first, i_end):
    """x[s, i_first:i_end]: what a, z, delta or target has of some units and the samples of block s."""
    return jit.shaped(x, (s * x.shape[1] + i_first) * x.shape[2], i_end - i_first, x.shape[2])


@jit.inline
def block_costs(costs, layer, s):
    """C of the samples of block s."""
    return jit.shaped(costs, s * layer.panel, layer.panel)


@jit.inline
def tile_rows(units):
    """Rows of the tiles that cover this many units."""
    return max(tile.SMALL, (units + tile.ROW_STEP - 1) // tile.ROW_STEP * tile.ROW_STEP)


@jit.inline
def large_tiles(rows):
    """How many of `rows` rows large tiles take so that small ones take the rest without a remainder."""
    large = rows // tile.LARGE
    if (rows - large * tile.LARGE) % tile.SMALL != 0:
        large -= 1
    return large


def block_view(work: np.ndarray, layer, name: str) -> np.ndarray:
    """a, z or delta of a layer, by that name, as Python sees it: a view (Q, n_l, PANEL) of the workspace."""
    rows, start = (layer.widest_rows if name == "delta" else layer.unit_rows), layer[name]
    blocks = work[start : start + layer.blocks * rows * layer.panel].reshape(layer.blocks, rows, layer.panel)
    return blocks[:, : layer.units]


def read_block(work: np.ndarray, layer, name: str) -> np.ndarray:
    """a, z or delta of a layer, by that name, as an array (Q PANEL, n_l) with a row a sample."""
    return block_view(work, layer, name).transpose(0, 2, 1).reshape(-1, layer.units)


def read_delta_rows(work: np.ndarray, layer) -> np.ndarray:
    """delta of a layer as an array (Q PANEL, n_l), from where it lies for the gradient."""
    size = layer.panels * layer.blocks * layer.panel * layer.panel
    panels = work[layer.delta_rows : layer.delta_rows + size].reshape(layer.panels, -1, layer.panel)
    return panels.transpose(1, 0, 2).reshape(panels.shape[1], -1)[:, : layer.units]


def aligned(size: int, dtype) -> np.ndarray:
    """Zeros that begin at a cache line."""
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(size * itemsize + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size * itemsize].view(dtype)


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a network lie, for mini-batches of up to `capacity` samples."""

    layers: np.ndarray  # records of LAYER, slot 0 for the input
    tasks: np.ndarray  # records of TASK
    theta_size: int
    work_size: int
    blocks: int

    @staticmethod
    def of(
        sizes: tuple[int, ...],
        dtype,
        capacity: int,
        bias: bool = True,
        needs_z: Sequence[int] = (),
        dropped: Sequence[int] = (),
    ) -> "Layout":
        """needs_z: the layers whose z is wanted once their a is known. dropped: those with dropout."""
        panel = tile.panel(dtype)
        blocks = -(-capacity // panel)
        place, records = _Places(), []
        for l, units in enumerate(sizes):
            panels, unit_rows = -(-units // panel), _stored_rows(units)
            of_units = blocks * unit_rows * panel
            layer = {"units": units, "panels": panels, "unit_rows": unit_rows, "a": place.work(of_units)}
            layer["out"] = layer["a"]
            if l > 0:
                if l in dropped:  # sigma' looks at a
                    layer["out"] = place.work(of_units)
                layer |= {"inputs": sizes[l - 1], "weight_rows": _stored_rows(sizes[l - 1])}
                layer["weights"] = place.theta(panels * layer["weight_rows"] * panel)
                layer["biases"] = place.theta(panels * panel)
                layer["z"] = place.work(of_units) if l in needs_z else layer["a"]
                layer["delta_rows"] = place.work(panels * blocks * panel * panel)
            records.append(layer)
        layers = np.zeros(len(sizes), LAYER).view(np.recarray)
        for name in records[-1]:
            layers[name] = [record.get(name, 0) for record in records]
        layers["panel"], layers["blocks"], layers["capacity"], layers["has_bias"] = panel, blocks, capacity, bias
        # Layers take turns, each piece of the mini-batch in its own time: a block has one place whatever the layer.
        widest = max(layers["unit_rows"][1:])
        layers["widest_rows"] = widest
        layers["delta"] = np.resize([place.work(blocks * widest * panel) for _ in range(2)], len(layers))
        layers["target"] = place.work(blocks * layers["unit_rows"][-1] * panel)
        tasks = _tasks(sizes, layers["panels"], task_rows_for(capacity))
        return Layout(layers, tasks, place.theta_size, place.work_size, blocks)

    @cached_property
    def _numbers(self) -> list[tuple[int, ...]]:
        """What `weight` and `bias` need of each layer: a field of a record takes a microsecond and more."""
        return self.layers[["weights", "panels", "weight_rows", "panel", "inputs", "biases", "units"]].tolist()

    def weight(self, theta: np.ndarray, l: int) -> np.ndarray:
        """W of layer l as a view (P, n_(l-1), PANEL) of theta."""
        start, panels, rows, panel, inputs, _, _ = self._numbers[l]
        return theta[start : start + panels * rows * panel].reshape(panels, rows, panel)[:, :inputs]

    def bias(self, theta: np.ndarray, l: int) -> np.ndarray:
        """b of layer l as a view (n_l,) of theta."""
        start, units = self._numbers[l][-2:]
        return theta[start : start + units]

    def read(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """[(W, b), ...] as copies, W of shape (n_l, n_(l-1))."""
        parameters = []
        for l in range(1, len(self.layers)):
            panels = self.weight(theta, l)
            W = panels.transpose(0, 2, 1).reshape(-1, panels.shape[1])[: self._numbers[l][-1]]
            parameters.append((np.array(W, order="C"), self.bias(theta, l).copy()))
        return parameters

    def write_all(self, theta: np.ndarray, parameters: list) -> None:
        """Puts [(W, b or None), ...] into theta."""
        for l, (W, b) in enumerate(parameters, start=1):
            self.write(theta, l, W, np.zeros(len(W)) if b is None else b)

    def write(self, theta: np.ndarray, l: int, W: np.ndarray, b: np.ndarray) -> None:
        """Puts W (n_l, n_(l-1)) and b (n_l,) of layer l into theta."""
        panels = self.weight(theta, l)
        padded = np.zeros((panels.shape[0] * panels.shape[2], panels.shape[1]), theta.dtype)
        padded[: len(W)] = W
        panels[:] = padded.reshape(panels.shape[0], panels.shape[2], -1).transpose(0, 2, 1)
        self.bias(theta, l)[:] = b


class _Places:
    """Hands out places in theta and in the workspace, each on a cache line of its own."""

    def __init__(self) -> None:
        self.theta_size = self.work_size = 0

    def theta(self, size: int) -> int:
        start, self.theta_size = self.theta_size, self.theta_size + _whole_lines(size)
        return start

    def work(self, size: int) -> int:
        start, self.work_size = self.work_size, self.work_size + _whole_lines(size)
        return start


def _whole_lines(size: int) -> int:
    return int(-(-size // 16) * 16)


def _stored_rows(units: int) -> int:
    """Odd, and room for a last tile: its rows are at most SMALL - 1 more than what is left."""
    return (units + tile.SMALL - 1) | 1


def task_rows_for(capacity: int) -> int:
    """Input units in a task of mini-batches with up to `capacity` samples."""
    return TASK_ROWS if capacity > FEW else TASK_ROWS_OF_FEW


def _tasks(sizes: tuple[int, ...], panels: np.ndarray, rows: int) -> np.ndarray:
    """The gradient cut into tasks of up to so many input units: panels run under the same of them, which stay in
    cache."""
    tasks = [
        (l, p, j, j_end - j)
        for l in range(1, len(sizes))
        for j, j_end in pairwise(_even_cuts(sizes[l - 1], rows))
        for p in range(panels[l])
    ]
    return np.array(tasks, TASK).view(np.recarray)


def _even_cuts(units: int, rows: int) -> list[int]:
    """Where to cut so many units into parts of up to `rows`, as even as whole tiles allow."""
    parts = -(-units // rows)
    return [min(units, round(k * units / parts / tile.ROW_STEP) * tile.ROW_STEP) for k in range(parts)] + [units]
