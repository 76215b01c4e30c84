"""A network as the engine runs it: theta, where its numbers lie, the kernels it calls, its workspaces."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
from numba.core import config

from . import epoch, jit, losses, noise, penalties, plan
from .activations import ACTIVATIONS
from .backward import backward, backward_few, output_delta
from .batch import gather, gather_targets, scatter_outputs, shuffle, weigh
from .entry import find
from .epoch import Data, Network, Place, Regularization, State
from .forward import FEW, forward, forward_few
from .gradient import CHUNK, accumulate, combine, gradient, partial_gradient, store
from .groups import Groups
from .layout import TASK_NUMBERS, Layout, aligned
from .optimizer import COEFFICIENTS, Optimizer
from .optimizers import SGD
from .penalties import SUMS
from .plan import Plan

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
        self.layout = Layout.of(sizes, dtype, 1, bias)
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
        wanted = _weighted(_train(optimizer, draw) + _regular(state, optimizer), data)
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
        self._run(_weighted(GRADIENT, data), state, data, Place(0, 0, 0, 0, len(data.order)), losses, plan)
        return float(losses[0]), gradients[0]

    def losses(self, data: Data, batch_size: int, plan: Plan) -> np.ndarray:
        """The mean cost of each mini-batch of data in turn."""
        losses = np.full(-(-len(data.order) // batch_size), np.nan)
        self._run(_weighted(LOSS, data), None, data, Place(0, 0, 0, 0, batch_size), losses, plan)
        return losses

    def answers(self, data: Data, batch_size: int, plan: Plan) -> np.ndarray:
        """Writes y of every row of data.X, all finite, into data.y; returns what `losses` does, from the same pass."""
        losses = np.full(-(-len(data.order) // batch_size), np.nan)
        if self._run(_weighted(ANSWERS, data), None, data, Place(0, 0, 0, 0, batch_size), losses, plan) < len(losses):
            self.predict(data, batch_size, plan)  # it ends where a loss is not finite
        return losses

    def predict(self, data: Data, batch_size: int, plan: Plan) -> bool:
        """Writes y of every row of data.X into data.y; False, with y unfinished, if a number in X is not finite."""
        losses = np.zeros(-(-len(data.order) // batch_size))
        return self._run(PREDICT, None, data, Place(0, 0, 0, 0, batch_size), losses, plan) == len(losses)

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
        state: State | None = None,
        weighted: bool = False,
    ) -> None:
        """Compiles what training calls, and what questions about many rows do if any are asked, or loads it.

        optimizer: None for what `gradient` calls. weighted: whether samples have weights.
        """
        wanted = _train(optimizer, draw=True) if optimizer else GRADIENT
        if optimizer and state:
            wanted += _regular(state, optimizer)
        if weighted:
            wanted += WEIGH
        self._kernels(wanted, batch_size, training, training.threads > 1)
        if asking:
            self._kernels(ANSWERS, FEW + 1, asking, asking.threads > 1)
        self._make_workspace(1, dropped=_dropped(state))
        epoch.steps.address(self.dtype)

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
                    self.compile(optimizer, size, chosen, None, state, weighted=True)
                else:
                    self._kernels(ANSWERS, size, chosen, sharing)

    def _run(
        self,
        wanted: tuple,
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
        workspace = nullcontext(within) if within else self._workspace(place.at_once, _dropped(state))
        with workspace as network, jit.threads(plan.threads) as may_share:
            if state:
                network = _grouped(network, state.groups)
                _regularize(network, state)
            kernels = self._kernels(wanted, place.at_once, plan, may_share)
            chunks = len(network.tasks) * -(-place.at_once // CHUNK) if plan.in_chunks else 0
            partials = np.empty((chunks, TASK_NUMBERS), self.dtype)
            sums = weights, penalties
            job = _job(self.theta, losses, network, kernels, state, data, partials, place, plan, factors, sums)
            with np.errstate(all="ignore") if config.DISABLE_JIT else nullcontext():
                epoch.steps(_address(job), self.theta)
            return int(job[DONE])

    def _kernels(self, wanted: tuple, batch_size: int, plan: Plan, may_share: bool) -> list[int]:
        """The addresses of `wanted` kernels and of what the plan and few samples need; 0 for the others."""
        training = any(name == "gradient" for name, _ in wanted)
        only_few = batch_size <= FEW  # a question's last block, of many, is not worth the compile time
        few = only_few or (training and 0 < batch_size % self.layout.layers[0].panel <= FEW)
        key = wanted, few, only_few, may_share, plan.by_layer, plan.in_chunks
        if key not in self._addresses:
            names = dict(wanted)
            if may_share:
                names["share"] = epoch.share
            if few:
                names |= {f"{name}_few": kernel for name, kernel in FOR_FEW.items() if name in names}
            if only_few:
                names = {name: kernel for name, kernel in names.items() if name not in FOR_FEW}
            if plan.by_layer:
                names |= BY_LAYER
            if plan.in_chunks and training:
                names |= IN_CHUNKS
            self._addresses[key] = [names[name].address(self.dtype) if name in names else 0 for name in epoch.KERNELS]
        return self._addresses[key]

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
        for l in dropped:
            layout.layers[l].drop = noise.drop.address(self.dtype)
        for l, entry in enumerate(self.activations, start=1):
            layout.layers[l].sigma, layout.layers[l].setting = entry.sigma.address(self.dtype), entry.value
            if l < L or (entry.name, self.loss.name) not in losses.PAIRS:
                layout.layers[l].sigma_prime = entry.sigma_prime.address(self.dtype)
        cost = losses.addresses(self.loss, self.activations[-1].name, self.dtype)
        work, costs = aligned(layout.work_size, self.dtype), np.zeros(layout.blocks * layout.layers[0].panel)
        return Network(layout.layers, layout.tasks, cost, work, costs, 1)


def _grouped(network: Network, groups: Groups) -> Network:
    """The network with the groups of its layers, less the tasks of those that are frozen."""
    network.layers.weight_group, network.layers.bias_group = groups.weights, groups.biases
    trained = groups.trained
    if trained[1:].all():
        return network
    tasks = network.tasks[trained[network.tasks.l]]
    return network._replace(tasks=tasks, lowest=int(np.argmax(trained)))


def _dropped(state: State | None) -> tuple[int, ...]:
    """The layers with dropout."""
    rates = state.regularization.dropout if state else None
    return () if rates is None else tuple(int(l) for l in np.flatnonzero(rates))


def _penalizes(given: Regularization) -> bool:
    """Whether a step changes the gradient before the update."""
    has_penalty = given.l1 is not None or given.l2 is not None or given.alpha > 0
    return has_penalty or given.clip_value > 0 or given.clip_norm > 0


def _regularize(network: Network, state: State) -> None:
    """Writes into the records of the layers what kernels look for there."""
    given, layers = state.regularization, network.layers
    layers.penalize = 0
    if _penalizes(given):
        for field, numbers in (("l1", given.l1), ("l2", given.l2)):
            layers[field] = 0.0 if numbers is None else numbers
        layers.clip_value, layers.sums = given.clip_value, _address(state.sums)
        if not state.in_parts:
            layers.penalize = penalties.penalize.address(state.theta.dtype)
    layers.max_norm = 0.0 if given.max_norm is None else given.max_norm
    layers.rate = 0.0 if given.dropout is None else given.dropout


NAMES = list(epoch.JOB.names or ())
STEP, DONE, ROWS, FIRST, CLIP = map(NAMES.index, ("step", "done", "X", "first", "clip_norm"))
EPOCH, UPDATE = NAMES.index("epoch"), NAMES.index("update")
PREDICT = (
    ("gather", gather), ("forward", forward), ("scatter", scatter_outputs), ("piece", epoch.piece),
)  # fmt: skip
LOSS = (
    ("gather", gather), ("forward", forward), ("gather_targets", gather_targets), ("output_delta", output_delta),
    ("piece", epoch.piece),
)  # fmt: skip
ANSWERS = (*LOSS, ("scatter", scatter_outputs))
"""The kernels that a question needs, ANSWERS those of both; training needs those of `_train`."""


def _train(optimizer: type[Optimizer] | Optimizer, draw: bool, apply: jit.Kernel | None = None) -> tuple:
    wanted = (
        *LOSS, ("backward", backward), ("gradient", gradient), ("apply", apply or optimizer.update),
        ("begin", optimizer.begin), ("task", epoch.task),
    )  # fmt: skip
    return (*wanted, ("shuffle", shuffle)) if draw else wanted


def _weighted(wanted: tuple, data: Data) -> tuple:
    return wanted if data.weights is None else wanted + WEIGH


def _regular(state: State, optimizer: Optimizer) -> tuple:
    """What a step calls besides, or in the place of kernels of `_train`."""
    given = state.regularization
    wanted: list[tuple[str, jit.Kernel]] = []
    if given.input_noise or given.dropout is not None:
        wanted.append(("draw_keys", noise.draw_keys))
    if given.input_noise:
        wanted.append(("add_noise", noise.add_noise))
    if _penalizes(given):
        wanted.append(("penalize", penalties.penalize))
        if state.in_parts:
            wanted.append(("penalize_kept", penalties.penalize_kept))
    if state.gradients is not None:
        wanted += [("apply", store), ("store", store), ("advance", penalties.advance)]
        wanted += [("accumulate", accumulate), ("update_task", optimizer.update)]
    if given.max_norm is not None:
        wanted.append(("limit", penalties.limit))
    if _penalizes(given) or state.gradients is not None or given.max_norm is not None:
        wanted.append(("finish_step", penalties.finish_step))
    return tuple(wanted)


WEIGH = (("weigh", weigh),)
FOR_FEW = {"forward": forward_few, "backward": backward_few}
"""What takes the place of a kernel where a block has few samples."""
BY_LAYER = {
    "layer_by_layer": epoch.layer_by_layer, "take_part": epoch.take_part, "forward_part": epoch.forward_part,
    "output_part": epoch.output_part, "backward_part": epoch.backward_part,
}  # fmt: skip
IN_CHUNKS = {
    "chunk_by_chunk": epoch.chunk_by_chunk, "chunk": epoch.chunk, "combined": epoch.combined,
    "partial_gradient": partial_gradient, "combine": combine,
}  # fmt: skip
GRADIENT = _train(SGD, draw=False, apply=store)


def _job(
    theta: np.ndarray,
    losses: np.ndarray,
    network: Network,
    kernels: list[int],
    state: State | None,
    data: Data,
    partials: np.ndarray,
    place: Place,
    plan: Plan,
    factors: np.ndarray | None,
    sums: tuple[np.ndarray, np.ndarray | None],
) -> np.ndarray:
    """The record of JOB that `steps` takes, as numbers. It holds addresses: the arrays must outlive the call.

    sums: what `steps` writes of each step, the weights of its samples and, if asked for, its penalties.
    """
    weights, penalties = sums
    numbers = [
        _address(theta), theta.size, _address(losses), losses.size, *_places(network), *kernels,
        *(_of_state(state) if state else (0,) * 13), 0 if factors is None else _address(factors),
        _address(data.X), len(data.X), _address(data.labels), data.labels.size,
        _address(data.targets), len(data.targets),
        _address(data.order), data.order.size, _address(data.y), len(data.y),
        0 if data.weights is None else _address(data.weights), _address(weights),
        0 if penalties is None else _address(penalties),
        _address(partials), len(partials), data.before, *place, plan.piece, *(0,) * (len(NAMES) - FIRST),
    ]  # fmt: skip
    job = np.array(numbers, np.intp)
    if state:
        given = state.regularization
        job[CLIP : CLIP + 3].view(np.float64)[:] = given.clip_norm, given.input_noise, given.alpha
    return job


def _of_state(state: State) -> tuple[int, ...]:
    return (
        _address(state.moments), len(state.moments), _address(state.good_theta), _address(state.good_moments),
        int(state.good_theta.size > 0), _address(state.groups.settings), state.groups.settings.shape[1],
        state.groups.rate, _address(state.coefficients), len(state.coefficients),
        *_of_gradients(state),
    )  # fmt: skip


def _of_gradients(state: State) -> tuple[int, ...]:
    """What region (b) writes, and where sums over it go."""
    kept = state.moments if state.gradients is None else state.gradients
    return _address(kept), len(kept), _address(state.sums)


def _places(network: Network) -> tuple[int, ...]:
    """What a job says of the network."""
    layers, tasks, cost, work, costs, lowest = network
    return (
        _address(work), work.size, layers.ctypes.data, len(layers), tasks.ctypes.data, len(tasks),
        cost.ctypes.data, _address(costs), lowest,
    )  # fmt: skip


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]  # in a third of the time of array.ctypes.data


class Answer:
    """Outputs for a few rows of X at a time, with everything made ready once: else that is most of the time.

    >>> model = Model((2, 1), ("identity",), "squared_error", np.dtype("float32"), True)
    >>> Answer(model, 1, Plan(1, 1, "one thread"))(np.ones((1, 2), np.float32))
    array([[0.]], dtype=float32)
    """

    def __init__(self, model: Model, rows: int, plan: Plan):
        self.X, self.y = aligned(rows * model.sizes[0], model.dtype), np.empty((rows, model.sizes[-1]), model.dtype)
        self.X = self.X.reshape(rows, -1)
        labels, targets = np.zeros(0, np.intp), np.zeros((0, model.sizes[-1]), model.dtype)
        data = Data(self.X, labels, targets, np.arange(rows), self.y)
        partials = np.empty((0, 0), model.dtype)
        network, kernels = model._make_workspace(rows), model._kernels(PREDICT, rows, plan, False)
        weights, place = np.zeros(1), Place(0, 0, 0, 0, rows, rows)
        self._arrays = model.theta, np.zeros(1), network, data, partials, weights  # the job holds their addresses alone
        losses = self._arrays[1]
        job = _job(model.theta, losses, network, kernels, None, data, partials, place, plan, None, (weights, None))
        self._job, self._address, self._theta = job, _address(job), model.theta
        self._lock = threading.Lock()

    def __call__(self, X: np.ndarray) -> np.ndarray | None:
        """y of X; None if a number in X is not finite, or another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if not (X.flags.c_contiguous and X.flags.aligned):
                self.X[:] = X
                X = self.X
            self._job[STEP], self._job[ROWS] = 0, _address(X)
            epoch.steps(self._address, self._theta)
            return self.y.copy() if self._job[DONE] else None
        finally:
            self._lock.release()


class Epochs:
    """An epoch on one thread again and again, with everything made ready once: else that takes longer than a few steps
    of a small network.

    Arguments are those of `Model.train`; their arrays are read and written anew each time.
    """

    def __init__(
        self,
        model: Model,
        state: State,
        optimizer: Optimizer,
        data: Data,
        place: Place,
        losses: np.ndarray,
        plan: Plan,
        factors: np.ndarray | None,
        weights: np.ndarray,
        penalties: np.ndarray,
    ):
        network = model._make_workspace(place.at_once, dropped=_dropped(state))
        network = _grouped(network, state.groups)
        _regularize(network, state)
        wanted = _weighted(_train(optimizer, draw=False) + _regular(state, optimizer), data)
        kernels, partials = model._kernels(wanted, place.at_once, plan, False), np.empty((0, 0), model.dtype)
        sums = weights, penalties
        job = _job(model.theta, losses, network, kernels, state, data, partials, place, plan, factors, sums)
        self._arrays = losses, network, state, data, partials, factors, sums  # the job holds their addresses alone
        self._model, self._job, self._address = model, job, _address(job)

    def __call__(self, number: int, updates: int) -> None:
        """Trains epoch `number`, which begins after so many updates."""
        self._model.changes += 1
        self._job[STEP], self._job[EPOCH], self._job[UPDATE] = 0, number, updates
        epoch.steps(self._address, self._model.theta)
