"""A network as the engine runs it: theta, where its numbers lie, the kernels it calls, its workspaces."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from . import epoch, jit, losses
from .activations import ACTIVATIONS
from .backward import backward, output_delta
from .batch import gather, gather_targets, scatter_outputs, shuffle
from .epoch import Data, Network, Place, State
from .forward import forward
from .gradient import gradient, store
from .layout import Layout, aligned
from .optimizers import COEFFICIENTS, SGD, Optimizer
from .plan import Plan

KEPT_WORKSPACES = 4


class Model:
    """theta and all that runs on it; the arithmetic itself is in the kernels, which hold no state."""

    def __init__(self, sizes: tuple[int, ...], activations: tuple[str, ...], loss: str, dtype: np.dtype, bias: bool):
        """activations: the names for layers 1 .. L."""
        self.sizes, self.activations, self.loss, self.dtype, self.bias = sizes, activations, loss, dtype, bias
        self.layout = Layout.of(sizes, dtype, 1, bias)
        self.theta = aligned(self.layout.theta_size, dtype)
        self.changes = 0
        """Counts the runs and writes that have changed theta."""
        self._workspaces: list[tuple[int, Network]] = []
        self._kernel_records: dict[tuple, np.ndarray] = {}
        self._lock = threading.Lock()

    def state(self, optimizer: Optimizer | None = None, moments: np.ndarray | None = None, keep: bool = False) -> State:
        """What a run changes, theta and the optimiser's moments; keep: with room for the last good state."""
        if optimizer is None or moments is None:
            optimizer, moments = SGD(), np.zeros((0, 0), self.dtype)
        good = (self.theta.copy(), moments.copy()) if keep else (self.theta[:0], moments[:0])
        return State(self.theta, moments, *good, optimizer.settings(), np.zeros(COEFFICIENTS, self.dtype))

    def moments(self, count: int) -> np.ndarray:
        """`count` arrays of zeros like theta."""
        return aligned(count * self.layout.theta_size, self.dtype).reshape(count, self.layout.theta_size)

    def train(
        self, state: State, optimizer: Optimizer, data: Data, place: Place, losses: np.ndarray, threads: int, draw: bool
    ) -> int:
        """losses.size steps of the optimiser from `place` on; returns how many had a finite loss, or -1 (see epoch).

        draw: whether the engine draws the order of every epoch, or takes the one in data.
        """
        kernels = self._kernels(cost=True, apply=optimizer.update, begin=optimizer.begin, draw=draw)
        self.changes += 1
        return self._run(kernels, state, data, place, losses, threads)

    def write(self, parameters: list) -> None:
        """Takes [(W, b or None), ...], W of shape (n_l, n_(l-1)), as the parameters."""
        self.changes += 1
        self.layout.write_all(self.theta, parameters)

    def gradient(self, data: Data, plan: Plan) -> tuple[float, np.ndarray]:
        """The loss of data and its gradient, in the layout of theta, from one mini-batch."""
        gradients, losses = self.moments(1), np.zeros(1)
        kernels = self._kernels(cost=True, apply=store, begin=SGD.begin)
        state = self.state(SGD(), gradients)
        self._run(kernels, state, data, Place(0, 0, 0, 0, len(data.order), plan.piece), losses, plan.threads)
        return float(losses[0]), gradients[0]

    def losses(self, data: Data, batch_size: int, plan: Plan) -> np.ndarray:
        """The mean cost of each mini-batch of data in turn."""
        losses = np.full(-(-len(data.order) // batch_size), np.nan)
        self._run(
            self._kernels(cost=True),
            self.state(),
            data,
            Place(0, 0, 0, 0, batch_size, plan.piece),
            losses,
            plan.threads,
        )
        return losses

    def predict(self, data: Data, batch_size: int, plan: Plan) -> None:
        """Writes y of every row of data.X into data.y."""
        losses = np.zeros(-(-len(data.order) // batch_size))
        self._run(self._kernels(), self.state(), data, Place(0, 0, 0, 0, batch_size, plan.piece), losses, plan.threads)

    def compile(self, state: State, optimizer: Optimizer, data: Data, place: Place, share: bool) -> None:
        """Compiles what training calls, or loads it from the cache; share: also what runs on several threads."""
        with self._workspace(place.batch_size) as network:
            network = network._replace(kernels=self._kernels(True, optimizer.update, optimizer.begin, draw=True))
            self._kernels()  # predict
            jit.prepare(epoch.serial, "epoch.serial", self.dtype, network, state, data, place, np.zeros(1))
            if share:
                jit.prepare(epoch.parallel, "epoch.parallel", self.dtype, network, state, data, place, np.zeros(1))

    def _run(self, kernels, state: State, data: Data, place: Place, losses: np.ndarray, threads: int) -> int:
        with self._workspace(place.batch_size) as network, jit.threads(threads) as may_share:
            run, name = (epoch.parallel, "parallel") if may_share else (epoch.serial, "serial")
            arguments = (network._replace(kernels=kernels), state, data, place, losses)
            jit.prepare(run, f"epoch.{name}", self.dtype, *arguments)
            with np.errstate(all="ignore"):  # of no effect but without compiling
                return int(run(*arguments))

    def _kernels(self, cost=False, apply=None, begin=None, draw=False) -> np.ndarray:
        """The addresses of what a run calls: predict, or with a cost loss, or with a tile function `apply` training."""
        wanted = (cost, apply, begin, draw)
        if wanted not in self._kernel_records:
            self._kernel_records[wanted] = self._addresses(*wanted)
        return self._kernel_records[wanted]

    def _addresses(self, cost, apply, begin, draw) -> np.ndarray:
        record = np.zeros(1, epoch.KERNELS).view(np.recarray)
        record.gather, record.forward = gather.address(self.dtype), forward.address(self.dtype)
        if cost:
            record.gather_targets = gather_targets.address(self.dtype)
            record.output_delta = output_delta.address(self.dtype)
        else:
            record.scatter = scatter_outputs.address(self.dtype)
        if apply is not None:
            record.backward, record.gradient = backward.address(self.dtype), gradient.address(self.dtype)
            record.apply, record.begin = apply.address(self.dtype), begin.address(self.dtype)
        if draw:
            record.shuffle = shuffle.address(self.dtype)
        return record

    @contextmanager
    def _workspace(self, capacity: int) -> Iterator[Network]:
        """A workspace for mini-batches of up to `capacity` samples that no other thread uses meanwhile."""
        with self._lock:
            found = next((w for w in self._workspaces if w[0] == capacity), None)
            if found:
                self._workspaces.remove(found)
        network = found[1] if found else self._make_workspace(capacity)
        try:
            yield network
        finally:
            with self._lock:
                self._workspaces = [(capacity, network), *self._workspaces[: KEPT_WORKSPACES - 1]]

    def _make_workspace(self, capacity: int) -> Network:
        layout = Layout.of(self.sizes, self.dtype, capacity, self.bias)
        for l, name in enumerate(self.activations, start=1):
            layout.layers[l].sigma = ACTIVATIONS[name].sigma.address(self.dtype)
            if l < len(self.sizes) - 1 or (name, self.loss) not in losses.PAIRS:
                layout.layers[l].sigma_prime = ACTIVATIONS[name].sigma_prime.address(self.dtype)
        return Network(
            layout.layers,
            layout.tasks,
            np.zeros(1, epoch.KERNELS).view(np.recarray),
            losses.addresses(self.loss, self.activations[-1], self.dtype),
            aligned(layout.work_size, self.dtype),
            np.zeros(layout.blocks * layout.layers[0].panel),
        )


def draw_order(order: np.ndarray, seed: int | np.int64, epoch: int) -> None:
    """Writes the order that the engine draws for an epoch."""
    with np.errstate(over="ignore"):
        shuffle.function(order, seed, epoch)
