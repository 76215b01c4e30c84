"""The table of losses: C_s of E3 and dC_s/dy of E6, and the pairs that compute both stably from z.

A kernel works on one block: arrays (n_L, PANEL) in which samples lie side by side, and `cost` (PANEL,) in float64, to
which it adds the terms of C_s. Its last argument is the value of the loss's setting.
"""

from dataclasses import dataclass

import numpy as np
from numba import types

from . import jit
from .elementwise import exp, log, log1p
from .entry import Entry, Setting
from .jit import NUMBER, Kernel, inline, like, matrix
from .tile import PANEL_MAX

COSTS = types.Array(types.float64, 1, "C")


COST = np.dtype([*((name, np.intp) for name in ("pair", "cost", "cost_prime")), ("setting", np.float64)], align=True)
"""Addresses of the kernels of a loss, as `output_delta` calls them; pair is 0 where there is no stable pair."""


@dataclass(frozen=True, kw_only=True)
class Loss(Entry):
    """One entry of the table."""

    output: str
    """The output activation that goes with it unless the user says otherwise."""
    cost: Kernel
    """cost(y, t, cost, setting): cost_s += C_s."""
    cost_prime: Kernel
    """cost_prime(y, t, g, setting): g_i = dC_s/dy_i."""
    targets: str = "any"
    """"distribution": labels, or rows that sum to 1; "unit": numbers from 0 to 1; "any": any numbers."""


LOSSES: dict[str, Loss] = {}

PAIRS: dict[tuple[str, str], Kernel] = {}
"""(output activation, loss) -> pair(z, y, t, delta, cost, setting): delta_i = dC_s/dz_i and cost_s += C_s, stably."""


def termwise(name: str, output: str, term, term_prime, setting: Setting | None = None, **properties) -> Loss:
    """A loss that is a sum over the outputs, from term(y, t) and term_prime(y, t), its derivative by y.

    With a setting, whose value c has the type of y, they are term(y, t, c) and term_prime(y, t, c).
    """
    term_of, term_prime_of = inline(term), inline(term_prime)
    if setting is None:
        term_of, term_prime_of = _without_setting(term_of), _without_setting(term_prime_of)

    def cost(y, t, cost, setting):
        c = like(y[0, 0], setting)
        for i in range(y.shape[0]):
            for s in range(min(y.shape[1], PANEL_MAX)):
                cost[s] += term_of(y[i, s], t[i, s], c)

    def cost_prime(y, t, g, setting):
        c = like(y[0, 0], setting)
        for i in range(y.shape[0]):
            for s in range(min(y.shape[1], PANEL_MAX)):
                g[i, s] = term_prime_of(y[i, s], t[i, s], c)

    kernels = (
        jit.kernel(matrix, matrix, COSTS, NUMBER, name=f"losses.{name}")(cost),
        jit.kernel(matrix, matrix, matrix, NUMBER, name=f"losses.{name}_prime")(cost_prime),
    )
    return Loss(name=name, output=output, setting=setting, cost=kernels[0], cost_prime=kernels[1], **properties)


def _without_setting(function):
    return inline(lambda y, t, c: function(y, t))


def squared_error(y, t):
    return like(y, 0.5) * (y - t) * (y - t)


def squared_error_prime(y, t):
    return y - t


def _smallest(y):
    """Keeps log(y) and 1 / y finite where an output is rounded to 0."""
    return like(y, 1e-37) if y < like(y, 1e-37) else y


smallest = inline(_smallest)


def cross_entropy(y, t):
    return -t * log(smallest(y))


def cross_entropy_prime(y, t):
    return -t / smallest(y)


def binary_cross_entropy(y, t):
    one = like(y, 1.0)
    return -t * log(smallest(y)) - (one - t) * log(smallest(one - y))


def binary_cross_entropy_prime(y, t):
    one = like(y, 1.0)
    return (one - t) / smallest(one - y) - t / smallest(y)


@jit.kernel(matrix, matrix, matrix, matrix, COSTS, NUMBER)
def softmax_cross_entropy(z, y, t, delta, cost, setting):
    """C_s = sum over i of t_i (log sum over m of exp(z_m) - z_i); dC_s/dz_i = y_i sum over m of t_m - t_i."""
    n, samples = z.shape[0], min(z.shape[1], PANEL_MAX)
    greatest, largest, weight = jit.scratch(PANEL_MAX, z), jit.scratch(PANEL_MAX, z), jit.scratch(PANEL_MAX, z)
    for s in range(samples):
        greatest[s] = z[0, s]
        largest[s] = y[0, s]
        weight[s] = t[0, s]
    for i in range(1, n):
        for s in range(samples):
            greatest[s] = greatest[s] if z[i, s] < greatest[s] else z[i, s]
            weight[s] += t[i, s]
    # y is softmax(z) already, so the sum over m of exp(z_m - max z) is 1 / max y.
    for i in range(n):
        for s in range(samples):
            largest[s] = largest[s] if y[i, s] < largest[s] else y[i, s]
            cost[s] += t[i, s] * (greatest[s] - z[i, s])
    for s in range(samples):
        cost[s] -= weight[s] * log(largest[s])
    for i in range(n):
        for s in range(samples):
            delta[i, s] = y[i, s] * weight[s] - t[i, s]


@jit.kernel(matrix, matrix, matrix, matrix, COSTS, NUMBER)
def sigmoid_binary_cross_entropy(z, y, t, delta, cost, setting):
    """C_s = sum over i of log(1 + exp(z_i)) - t_i z_i; dC_s/dz_i = y_i - t_i."""
    for i in range(z.shape[0]):
        for s in range(min(z.shape[1], PANEL_MAX)):
            zero = like(z[i, s], 0.0)
            positive = zero if z[i, s] < zero else z[i, s]
            cost[s] += positive - t[i, s] * z[i, s] + log1p(exp(-abs(z[i, s])))
            delta[i, s] = y[i, s] - t[i, s]


for entry in (
    termwise("squared_error", "identity", squared_error, squared_error_prime),
    termwise("cross_entropy", "softmax", cross_entropy, cross_entropy_prime, targets="distribution"),
    termwise("binary_cross_entropy", "sigmoid", binary_cross_entropy, binary_cross_entropy_prime, targets="unit"),
):
    LOSSES[entry.name] = entry
PAIRS["softmax", "cross_entropy"] = softmax_cross_entropy
PAIRS["sigmoid", "binary_cross_entropy"] = sigmoid_binary_cross_entropy


def addresses(loss: Loss, output: str, dtype) -> np.ndarray:
    """The record of COST for a loss after an output activation."""
    record = np.zeros(1, COST).view(np.recarray)
    record[0].setting = loss.value
    if (output, loss.name) in PAIRS:
        record[0].pair = PAIRS[output, loss.name].address(dtype)
    else:
        record[0].cost = loss.cost.address(dtype)
        record[0].cost_prime = loss.cost_prime.address(dtype)
    return record
