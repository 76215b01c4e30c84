"""A network as the engine runs it: theta, where its numbers lie, the kernels it calls, its workspaces."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
from numba.core import config

from . import calls, epoch, jit, losses, noise, plan
from .activations import ACTIVATIONS
from .calls import Calls
from .compilers import compile_all
from .entry import find
from .epoch import Data, Network, Place, Regularization, State
from .gradient import CHUNK
from .groups import Groups
from .jit import Kernel
from .job import DONE, address, dropped_layers, prepared, record
from .layout import FEW, TASK_NUMBERS, Layout, aligned
from .optimizer import COEFFICIENTS, Optimizer
from .optimizers import SGD
from .penalties import SUMS
from .plan import Plan
from .ready import Answer

UNREGULARIZED = Regularization()
KEPT_WORKSPACES = 4
KEPT_ANSWERS = 8

_workspaces = threading.Lock()
"""For the lists of workspaces of all models; one lock, since a forked child must have a new one."""


def _after_fork() -> None:
    global _workspaces
    _workspaces = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Model:
    """theta and all that runs on it; the arithmetic itself is in the kernels, which hold no state."""

    def __init__(self, sizes: tuple[int, ...], activations: tuple[str, ...], loss: str, dtype: np.dtype, bias: bool):
        """activations: as users write them, for layers 1 .. L."""
        self.sizes, self.dtype, self.bias = sizes, dtype, bias
        self.activations = [find(ACTIVATIONS, text, "activations") for text in activations]
        self.loss = find(losses.LOSSES, loss, "loss")
        self.layout = Layout.of(sizes, dtype, FEW + 1, bias)  # no mini-batch has more tasks
        self.theta = aligned(self.layout.theta_size, dtype)
        self.changes = 0
        """Counts the runs and writes that have changed theta."""
        self._workspaces: list[tuple[tuple[int, tuple[int, ...]], Network]] = []
        self._addresses: dict[tuple, list[int]] = {}
        self._answers: dict[int, Answer] = {}

    def state(
        self,
        optimizer: Optimizer,
        moments: np.ndarray,
        keep: bool = False,
        layers: Mapping[int, Optimizer | None] | None = None,
        regularization: Regularization = UNREGULARIZED,
        in_parts: bool = False,
    ) -> State:
        """What a run changes, theta and the optimiser's moments; keep: with room for the last good state; layers: what
        steps a layer in the optimiser's place, or None for nothing; in_parts: for mini-batches that are."""
        good = (self.theta.copy(), moments.copy()) if keep else (self.theta[:0], moments[:0])
        groups = Groups.of(optimizer, layers or {}, len(self.activations))
        coefficients = np.zeros((len(groups.settings), COEFFICIENTS), self.dtype)
        gradients = self.moments(1) if in_parts or regularization.clip_norm else None
        sums = np.zeros((len(self.layout.tasks), SUMS))
        return State(self.theta, moments, *good, groups, coefficients, regularization, sums, gradients, in_parts)

    def moments(self, count: int) -> np.ndarray:
        """`count` arrays of zeros like theta."""
        return aligned(count * self.layout.theta_size, self.dtype).reshape(count, self.layout.theta_size)

    def train(
        self,
        state: State,
        optimizer: Optimizer,
        data: Data,
        place: Place,
        losses: np.ndarray,
        plan: Plan,
        draw: bool,
        factors: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        penalties: np.ndarray | None = None,
    ) -> int:
        """losses.size steps of the optimiser from `place` on; returns how many had a finite loss, or -1 (see epoch).

        draw: whether the engine draws the order of every epoch, or takes the one in data. factors: of the learning
        rates in each step. weights: takes the sum over the samples of each mini-batch of what they count. penalties:
        takes what of each loss is penalties, where there are any.
        """
        self.changes += 1
        wanted = _weighted(calls.step(optimizer, draw) + calls.regularized(state, optimizer), data)
        return self._run(
            wanted, state, data, place, losses, plan, factors=factors, weights=weights, penalties=penalties
        )

    def write(self, parameters: list) -> None:
        """Takes [(W, b or None), ...], W of shape (n_l, n_(l-1)), as the parameters."""
        self.changes += 1
        self.layout.write_all(self.theta, parameters)

    def gradient(self, data: Data, plan: Plan) -> tuple[float, np.ndarray]:
        """The loss of data and its gradient, in the layout of theta, from one mini-batch."""
        gradients, losses = self.moments(1), np.zeros(1)
        state = self.state(SGD(), gradients)
        self._run(_weighted(calls.GRADIENT, data), state, data, Place(0, 0, 0, 0, len(data.order)), losses, plan)
        return float(losses[0]), gradients[0]

    def losses(self, data: Data, batch_size: int, plan: Plan) -> np.ndarray:
        """The mean cost of each mini-batch of data in turn."""
        losses = np.full(-(-len(data.order) // batch_size), np.nan)
        self._run(_weighted(calls.LOSS, data), None, data, Place(0, 0, 0, 0, batch_size), losses, plan)
        return losses

    def answers(self, data: Data, batch_size: int, plan: Plan) -> np.ndarray:
        """Writes y of every row of data.X, all finite, into data.y; returns what `losses` does, from the same pass."""
        losses = np.full(-(-len(data.order) // batch_size), np.nan)
        if self._run(_weighted(calls.ANSWERS, data), None, data, Place(0, 0, 0, 0, batch_size), losses, plan) < len(
            losses
        ):
            self.predict(data, batch_size, plan)  # it ends where a loss is not finite
        return losses

    def predict(self, data: Data, batch_size: int, plan: Plan) -> bool:
        """Writes y of every row of data.X into data.y; False, with y unfinished, if a number in X is not finite."""
        losses = np.zeros(-(-len(data.order) // batch_size))
        return self._run(calls.PREDICT, None, data, Place(0, 0, 0, 0, batch_size), losses, plan) == len(losses)

    def answer(self, X: np.ndarray, choose: Callable[[int], Plan]) -> np.ndarray | None:
        """y for a few rows of X, of the network's dtype; None where `predict` must do it, or X be checked."""
        rows = len(X)
        answer = self._answers.get(rows)
        if answer is None:
            plan = choose(rows)
            if plan.threads > 1 or config.DISABLE_JIT:
                return None
            if len(self._answers) >= KEPT_ANSWERS:
                self._answers.clear()
            answer = self._answers[rows] = Answer(self, rows, plan)
        return answer(X)

    def compile(
        self,
        optimizer: Optimizer | None,
        batch_size: int,
        training: Plan,
        asking: Plan | None,
        limit: int | None = None,
        state: State | None = None,
        weighted: bool = False,
    ) -> None:
        """Compiles what training calls, and what questions about many rows do if any are asked, or loads it.

        optimizer: None for what `gradient` calls. limit: of the CPUs that compile. weighted: whether samples have
        weights.
        """
        wanted = calls.step(optimizer, draw=True) if optimizer else calls.GRADIENT
        if optimizer and state:
            wanted += calls.regularized(state, optimizer)
        if weighted:
            wanted += calls.WEIGH
        kernels = [epoch.steps, *self._planned(wanted, batch_size, training, training.threads > 1).values()]
        if asking:
            kernels += self._planned(calls.ANSWERS, FEW + 1, asking, asking.threads > 1).values()
        compile_all(kernels + self._functions(dropped_layers(state)), self.dtype, plan.usable_cpus(limit))

    def _functions(self, dropped: tuple[int, ...]) -> list[Kernel]:
        """The kernels that the records of the layers and the cost name; dropped: the layers with dropout."""
        of_cost = losses.kernels(self.loss, self.activations[-1].name)
        with_prime = self.activations[: -1 if "pair" in of_cost else None]
        functions = [*(entry.sigma for entry in self.activations), *(entry.sigma_prime for entry in with_prime)]
        return [*functions, *of_cost.values(), *([noise.drop] if dropped else [])]

    def compile_ahead(
        self, optimizer: Optimizer | None, batch_size: int, asked: int, limit: int | None, state: State
    ) -> None:
        """Compiles whatever `compile` and questions about up to `asked` rows may need, on whatever plan is chosen once
        the machine is measured, on `limit` threads at most."""
        for most, training in ((batch_size, True), (asked, False)):
            sharing = plan.may_share(self.sizes, most, self.dtype, limit, training)
            if sharing:
                plan.launch_seconds()
            chosen = Plan(1 + sharing, plan.PIECE, "", by_layer=sharing, in_chunks=sharing and most > CHUNK)
            for size in (most, 1, FEW + 1):  # there may be fewer samples
                if training:
                    self.compile(optimizer, size, chosen, None, limit, state, weighted=True)
                else:
                    kernels = self._planned(calls.ANSWERS, size, chosen, sharing).values()
                    compile_all(kernels, self.dtype, plan.usable_cpus(limit))

    def _run(
        self,
        wanted: Calls,
        state: State | None,
        data: Data,
        place: Place,
        losses: np.ndarray,
        plan: Plan,
        within: Network | None = None,
        factors: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        penalties: np.ndarray | None = None,
    ) -> int:
        """Calls `steps`; within: a workspace of the caller's."""
        place = place._replace(at_once=place.at_once or place.batch_size)
        weights = np.empty(len(losses)) if weights is None else weights
        workspace = nullcontext(within) if within else self._workspace(place.at_once, dropped_layers(state))
        with workspace as network, jit.threads(plan.threads) as may_share:
            if state:
                network = prepared(network, state)
            kernels = self._kernels(wanted, place.at_once, plan, may_share)
            chunks = len(network.tasks) * -(-place.at_once // CHUNK) if plan.in_chunks else 0
            partials = np.empty((chunks, TASK_NUMBERS), self.dtype)
            sums = weights, penalties
            job = record(self.theta, losses, network, kernels, state, data, partials, place, plan, factors, sums)
            with np.errstate(all="ignore") if config.DISABLE_JIT else nullcontext():
                epoch.steps(address(job), self.theta)
            return int(job[DONE])

    def _kernels(self, wanted: Calls, batch_size: int, plan: Plan, may_share: bool) -> list[int]:
        """The addresses of `wanted` kernels and of what the plan and few samples need; 0 for the others."""
        key = wanted, self._few(wanted, batch_size), may_share, plan.by_layer, plan.in_chunks
        if key not in self._addresses:
            names = self._planned(wanted, batch_size, plan, may_share)
            self._addresses[key] = [names[name].address(self.dtype) if name in names else 0 for name in epoch.KERNELS]
        return self._addresses[key]

    def _planned(self, wanted: Calls, batch_size: int, plan: Plan, may_share: bool) -> Mapping[str, Kernel]:
        """`wanted` kernels by name, and what the plan and few samples need."""
        return calls.planned(wanted, plan, may_share, *self._few(wanted, batch_size))

    def _few(self, wanted: Calls, batch_size: int) -> tuple[bool, bool]:
        """Whether a block has few samples, and whether all have."""
        training = any(name == "gradient" for name, _ in wanted)
        only_few = batch_size <= FEW  # a question's last block, of many, is not worth the compile time
        return only_few or (training and 0 < batch_size % self.layout.layers[0].panel <= FEW), only_few

    @contextmanager
    def _workspace(self, capacity: int, dropped: tuple[int, ...]) -> Iterator[Network]:
        """A workspace for mini-batches of up to `capacity` samples that no other thread uses meanwhile; dropped: the
        layers with dropout."""
        key = capacity, dropped
        with _workspaces:
            found = next((w for w in self._workspaces if w[0] == key), None)
            if found:
                self._workspaces.remove(found)
        network = found[1] if found else self._make_workspace(capacity, dropped=dropped)
        try:
            yield network
        finally:
            with _workspaces:
                self._workspaces = [(key, network), *self._workspaces[: KEPT_WORKSPACES - 1]]

    def layout_for(self, capacity: int, keep_z: bool = False, dropped: tuple[int, ...] = ()) -> Layout:
        """Where numbers lie for mini-batches of up to `capacity` samples; keep_z: with a place for every z."""
        L = len(self.activations)  # whose z the loss looks at
        needs_z = [l for l, entry in enumerate(self.activations, start=1) if keep_z or l == L or entry.needs_z]
        return Layout.of(self.sizes, self.dtype, capacity, self.bias, needs_z, dropped)

    def _make_workspace(self, capacity: int, keep_z: bool = False, dropped: tuple[int, ...] = ()) -> Network:
        L, layout = len(self.activations), self.layout_for(capacity, keep_z, dropped)
        if dropped:
            layout.layers["drop"][list(dropped)] = noise.drop.address(self.dtype)
        layout.layers["setting"][1:] = [entry.value for entry in self.activations]
        layout.layers["sigma"][1:] = [entry.sigma.address(self.dtype) for entry in self.activations]
        for l, entry in enumerate(self.activations, start=1):
            if l < L or (entry.name, self.loss.name) not in losses.PAIRS:
                layout.layers["sigma_prime"][l] = entry.sigma_prime.address(self.dtype)
        cost = losses.addresses(self.loss, self.activations[-1].name, self.dtype)
        work, costs = aligned(layout.work_size, self.dtype), np.zeros(layout.blocks * layout.layers[0].panel)
        return Network(layout.layers, layout.tasks, cost, work, costs, 1)


def _weighted(wanted: Calls, data: Data) -> Calls:
    return wanted if data.weights is None else wanted + calls.WEIGH
