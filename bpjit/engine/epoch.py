"""Mini-batch steps: many in one compiled call, each in two regions whose pieces may run side by side.

    (a) over pieces of the mini-batch: rows of X and t, forward (E1, E2), cost and delta^L (E3, E6), recursion (E7);
    (b) over tasks, which are pieces of the weights: gradient (E8, E9) and update (E10).

Pieces are cut by shapes alone and every sum has a fixed order, so the number of threads does not change a bit. The
kernels are called by address, hence the serial and the parallel loop run the same machine code.
"""

import math
from collections import namedtuple

import numba
import numpy as np
from numba import prange

from . import jit
from .jit import call

KERNELS = np.dtype(
    [
        (name, np.intp)
        for name in (
            "gather", "forward",
            "gather_targets", "output_delta",  # 0: no cost
            "backward", "gradient", "apply", "begin",  # 0: no training
            "scatter",  # 0: no outputs
            "shuffle",  # 0: the order is given
        )
    ],
    align=True,
)  # fmt: skip
"""Addresses of the kernels that a run calls; 0 leaves a part out."""

Network = namedtuple("Network", "layers tasks kernels cost work costs")
"""Where things are: records of LAYER, TASK, KERNELS and COST, the workspace, and a C_s for each sample of a batch."""
State = namedtuple("State", "theta moments good_theta good_moments settings coefficients")
"""What training changes, its last good copy, and the optimiser's settings."""
Data = namedtuple("Data", "X labels targets order y")
"""Rows of X, their labels or targets (the other is empty), the order to take them in, and where outputs go."""
Place = namedtuple("Place", "seed epoch step update batch_size piece")
"""Where a run begins: epoch and step in it (from 0), updates so far; and blocks of PANEL samples in a piece."""


@jit.inline
def samples_piece(network, theta, data, first, samples, s_first, s_end):
    """Region (a) for the blocks s_first .. s_end - 1 of samples of the mini-batch order[first : first + samples]."""
    layers, kernels, work = network.layers, network.kernels[0], network.work
    call(kernels.gather, layers, work, data.X, data.order, first, samples, s_first, s_end)
    call(kernels.forward, layers, theta, work, s_first, s_end)
    if kernels.output_delta != 0:
        call(
            kernels.gather_targets, layers, work, data.labels, data.targets, data.order, first, samples, s_first, s_end
        )
        call(kernels.output_delta, layers, work, network.cost, network.costs, s_first, s_end, samples)
    if kernels.gradient != 0:
        call(kernels.backward, layers, theta, work, s_first, s_end)
    if kernels.scatter != 0:
        call(kernels.scatter, layers, work, data.y, first, samples, s_first, s_end)


def _steps(network, state, data, place, losses):
    """losses.size steps from `place` on, over epochs as they come; writes the loss of each, before its update.

    Returns the number of steps. Stops before the update of a step whose loss is not finite; returns -1 if in the end a
    parameter or a moment is not. What it began with is kept as the last good state once its loss is known to be finite.
    """
    layers, tasks, kernels, work = network.layers, network.tasks, network.kernels[0], network.work
    theta, moments, coefficients = state.theta, state.moments, state.coefficients
    gradient, apply = kernels.gradient, kernels.apply  # a parallel loop takes numbers and arrays, not records
    total, panel, piece = data.order.size, layers[0].panel, place.piece
    epoch, step = place.epoch, place.step
    for n in range(losses.size):
        if step * place.batch_size >= total:
            epoch, step = epoch + 1, 0
        if step == 0 and kernels.shuffle != 0:
            call(kernels.shuffle, data.order, place.seed, epoch)
        first = step * place.batch_size
        samples = min(place.batch_size, total - first)
        blocks = (samples + panel - 1) // panel
        for k in prange((blocks + piece - 1) // piece):
            samples_piece(network, theta, data, first, samples, k * piece, min(k * piece + piece, blocks))
        losses[n] = mean(network.costs, samples) if kernels.output_delta != 0 else 0.0
        if not math.isfinite(losses[n]):
            return n
        if gradient != 0:
            if n == 0:
                keep(state)
            call(kernels.begin, state.settings, float(place.update + n + 1), coefficients)
            for k in prange(tasks.size):
                call(gradient, layers, tasks, theta, moments, work, coefficients, apply, samples, k)
        step += 1
    return losses.size if gradient == 0 or (finite(theta) and finite(moments)) else -1


@jit.inline
def mean(costs, samples):
    """E3: C = (1/S) sum over s of C_s, in float64."""
    C = 0.0
    for s in range(samples):
        C += costs[s]
    return C / samples  # E3


@jit.inline
def keep(state):
    """Copies the state to the last good one (of no size where none is kept)."""
    for k in range(state.good_theta.size):
        state.good_theta[k] = state.theta[k]
    for m in range(state.good_moments.shape[0]):
        for k in range(state.good_theta.size):
            state.good_moments[m, k] = state.moments[m, k]


@jit.inline
def finite(x):
    """Whether no number is NaN or infinite: 0 x is 0, or else NaN."""
    x = jit.shaped(x, 0, x.size)
    total = 0.0
    for k in range(x.size):
        total += x[k] * 0.0
    return total == 0.0


serial = numba.njit(nogil=True, **jit.OPTIONS)(_steps)
parallel = numba.njit(nogil=True, parallel=True, **jit.OPTIONS)(_steps)
