"""A job for the compiled steps: what they are to do and where everything is, as one record of numbers."""

import numpy as np

from . import epoch, penalties
from .epoch import Data, Network, Place, Regularization, State
from .groups import Groups
from .plan import Plan

NAMES = list(epoch.JOB.names or ())
STEP, DONE, ROWS, FIRST, CLIP = map(NAMES.index, ("step", "done", "X", "first", "clip_norm"))
EPOCH, UPDATE = NAMES.index("epoch"), NAMES.index("update")
"""Places in a record of what is read and changed from here."""


def record(
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
    of_weights, of_penalties = sums
    numbers = [
        address(theta), theta.size, address(losses), losses.size, *_places(network), *kernels,
        *(_of_state(state) if state else (0,) * 13), 0 if factors is None else address(factors),
        address(data.X), len(data.X), address(data.labels), data.labels.size,
        address(data.targets), len(data.targets),
        address(data.order), data.order.size, address(data.y), len(data.y),
        0 if data.weights is None else address(data.weights), address(of_weights),
        0 if of_penalties is None else address(of_penalties),
        address(partials), len(partials), data.before, *place, plan.piece, plan.threads, *(0,) * (len(NAMES) - FIRST),
    ]  # fmt: skip
    job = np.array(numbers, np.intp)
    if state:
        given = state.regularization
        job[CLIP : CLIP + 3].view(np.float64)[:] = given.clip_norm, given.input_noise, given.alpha
    return job


def _of_state(state: State) -> tuple[int, ...]:
    return (
        address(state.moments), len(state.moments), address(state.good_theta), address(state.good_moments),
        int(state.good_theta.size > 0), address(state.groups.settings), state.groups.settings.shape[1],
        state.groups.rate, address(state.coefficients), len(state.coefficients),
        *_of_gradients(state),
    )  # fmt: skip


def _of_gradients(state: State) -> tuple[int, ...]:
    """What region (b) writes, and where sums over it go."""
    kept = state.moments if state.gradients is None else state.gradients
    return address(kept), len(kept), address(state.sums)


def _places(network: Network) -> tuple[int, ...]:
    """What a job says of the network."""
    layers, tasks, cost, work, costs, lowest = network
    return (
        address(work), work.size, layers.ctypes.data, len(layers), tasks.ctypes.data, len(tasks),
        cost.ctypes.data, address(costs), lowest,
    )  # fmt: skip


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]  # in a third of the time of array.ctypes.data


def prepared(network: Network, state: State) -> Network:
    """The network with what kernels look for in the records of its layers: groups, penalties, rates of dropout."""
    _regularize(network.layers, state)
    return _grouped(network, state.groups)


def _grouped(network: Network, groups: Groups) -> Network:
    """The network with the groups of its layers, less the tasks of those that are frozen."""
    network.layers.weight_group, network.layers.bias_group = groups.weights, groups.biases
    trained = groups.trained
    if trained[1:].all():
        return network
    tasks = network.tasks[trained[network.tasks.l]]
    return network._replace(tasks=tasks, lowest=int(np.argmax(trained)))


def _regularize(layers: np.recarray, state: State) -> None:
    given = state.regularization
    layers.penalize = 0
    if penalizes(given):
        for field, numbers in (("l1", given.l1), ("l2", given.l2)):
            layers[field] = 0.0 if numbers is None else numbers
        layers.clip_value, layers.sums = given.clip_value, address(state.sums)
        if not state.in_parts:
            layers.penalize = penalties.penalize.address(state.theta.dtype)
    layers.max_norm = 0.0 if given.max_norm is None else given.max_norm
    layers.rate = 0.0 if given.dropout is None else given.dropout


def penalizes(given: Regularization) -> bool:
    """Whether a step changes the gradient before the update."""
    has_penalty = given.l1 is not None or given.l2 is not None or given.alpha > 0
    return has_penalty or given.clip_value > 0 or given.clip_norm > 0


def dropped_layers(state: State | None) -> tuple[int, ...]:
    """The layers with dropout."""
    rates = state.regularization.dropout if state else None
    return () if rates is None else tuple(int(l) for l in np.flatnonzero(rates))
