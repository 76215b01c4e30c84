"""The table of losses: C_s of E3 and dC_s/dy of E6, and the pairs that compute both stably from z.

docs/losses.md has the definitions. A kernel works on one block: arrays (n_L, PANEL) in which samples lie side by side,
and `cost` (PANEL,) in float64, to which it adds the terms of C_s. Its last argument is the value of the loss's setting.
Where C_s has a kink, the slope is 0 if a subgradient is, as PyTorch has it.
"""

from dataclasses import dataclass

import numpy as np
from numba import types

from . import jit
from .elementwise import exp, log, log1p, tanh
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
    """What t may hold: one of `validation.TARGETS`."""
    classes: str | None = None
    """Of a classifier: "one", a sample is of one class of n_L, or with one output of that class or not; "each", a
    sample may be of several classes, or of none."""
    threshold: float = 0.5
    """The y from which an output that decides for itself says yes."""


LOSSES: dict[str, Loss] = {}

PAIRS: dict[tuple[str, str], Kernel] = {}
"""(output activation, loss) -> pair(z, y, t, delta, cost, setting): delta_i = dC_s/dz_i and cost_s += C_s, stably."""


def termwise(name: str, output: str, term, term_prime, setting: Setting | None = None, **properties) -> Loss:
    """A loss that is a sum over the outputs, from term(y, t) and term_prime(y, t), its derivative by y.

    With a setting, whose value c has the type of y, they are term(y, t, c) and term_prime(y, t, c).
    """
    properties = {"functions": (term, term_prime)} | properties
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


def _smallest(y):
    """Keeps log(y) and 1 / y finite where an output is rounded to 0."""
    return like(y, 1e-37) if y < like(y, 1e-37) else y


smallest = inline(_smallest)


# Regression. NaN goes through every comparison below.


def squared_error(y, t):
    return like(y, 0.5) * (y - t) * (y - t)


def squared_error_prime(y, t):
    return y - t


def absolute_error(y, t):
    return abs(y - t)


def absolute_error_prime(y, t):
    e = y - t
    return like(y, 1.0) if e > like(y, 0.0) else (like(y, -1.0) if e < like(y, 0.0) else e)


def huber(y, t, delta):
    """Huber (1964), Robust estimation of a location parameter."""
    e, half = abs(y - t), like(y, 0.5)
    return delta * (e - half * delta) if e > delta else half * e * e


def huber_prime(y, t, delta):
    e = y - t
    return delta if e > delta else (-delta if e < -delta else e)


def log_cosh(y, t):
    """log cosh e = |e| + log(1 + exp(-2 |e|)) - log 2, which cancels near 0: there 1/2 log(1 + sinh² e)."""
    e, square, decay = abs(y - t), tanh(y - t) * tanh(y - t), exp(like(y, -2.0) * abs(y - t))
    near = e < like(y, 0.75)
    p = log1p(square / (like(y, 1.0) - square) if near else decay)
    return like(y, 0.5) * p if near else e + (p - like(y, 0.6931471805599453))


def log_cosh_prime(y, t):
    return tanh(y - t)


def quantile(y, t, level):
    """Koenker and Bassett (1978), Regression quantiles."""
    e = t - y
    return level * e if e > like(y, 0.0) else (level - like(y, 1.0)) * e


def quantile_prime(y, t, level):
    e = y - t
    return like(y, 1.0) - level if e > like(y, 0.0) else (-level if e < like(y, 0.0) else e)


def poisson(y, t):
    """-log of the probability of t events where y are expected, without log t!, which y does not change."""
    return y - t * log(smallest(y))


def poisson_prime(y, t):
    ratio = t / smallest(y)
    return like(y, 1.0) - (like(y, 1e37) if ratio > like(y, 1e37) else ratio)


@jit.kernel(matrix, matrix, COSTS, NUMBER)
def cosine(y, t, cost, setting):
    """1 - cos(y, t) = 1/2 sum over i of (y_i / |y| - t_i / |t|)², where nothing cancels; 1 where y or t is 0."""
    samples = min(y.shape[1], PANEL_MAX)
    per_y, per_t = jit.scratch(PANEL_MAX, y), jit.scratch(PANEL_MAX, y)
    one_over_lengths(y, per_y)
    one_over_lengths(t, per_t)
    half, zero = like(y[0, 0], 0.5), like(y[0, 0], 0.0)
    for s in range(samples):
        cost[s] += (half if per_y[s] == zero else zero) + (half if per_t[s] == zero else zero)
    for i in range(y.shape[0]):
        for s in range(samples):
            e = y[i, s] * per_y[s] - t[i, s] * per_t[s]
            cost[s] += half * e * e


@jit.kernel(matrix, matrix, matrix, NUMBER)
def cosine_prime(y, t, g, setting):
    """dC_s/dy_i = (cos(y, t) y_i / |y| - t_i / |t|) / |y|; 0 where y or t is 0, and so has no direction."""
    samples = min(y.shape[1], PANEL_MAX)
    per_y, per_t, cos = jit.scratch(PANEL_MAX, y), jit.scratch(PANEL_MAX, y), jit.scratch(PANEL_MAX, y)
    one_over_lengths(y, per_y)
    one_over_lengths(t, per_t)
    for s in range(samples):
        cos[s] = 0
    for i in range(y.shape[0]):
        for s in range(samples):
            cos[s] += (y[i, s] * per_y[s]) * (t[i, s] * per_t[s])
    for i in range(y.shape[0]):
        for s in range(samples):
            g[i, s] = (cos[s] * (y[i, s] * per_y[s]) - t[i, s] * per_t[s]) * per_y[s]


def _one_over_lengths(v, per):
    """per_s = 1 / |v_s|, but 0 where |v_s| is 0."""
    samples = min(v.shape[1], PANEL_MAX)
    for s in range(samples):
        per[s] = 0
    for i in range(v.shape[0]):
        for s in range(samples):
            per[s] += v[i, s] * v[i, s]
    for s in range(samples):
        per[s] = like(per[s], 0.0) if per[s] == like(per[s], 0.0) else like(per[s], 1.0) / np.sqrt(per[s])


one_over_lengths = inline(_one_over_lengths)


# Classification


@jit.kernel(matrix, matrix, COSTS, NUMBER)
def cross_entropy(y, t, cost, smoothing):
    """C_s = - sum over i of t_i log y_i, where label smoothing e has made t_i (1 - e) + e / n_L of t_i."""
    keep, spread = like(y[0, 0], 1.0 - smoothing), like(y[0, 0], smoothing / y.shape[0])
    for i in range(y.shape[0]):
        for s in range(min(y.shape[1], PANEL_MAX)):
            cost[s] -= (t[i, s] * keep + spread) * log(smallest(y[i, s]))


@jit.kernel(matrix, matrix, matrix, NUMBER)
def cross_entropy_prime(y, t, g, smoothing):
    keep, spread = like(y[0, 0], 1.0 - smoothing), like(y[0, 0], smoothing / y.shape[0])
    for i in range(y.shape[0]):
        for s in range(min(y.shape[1], PANEL_MAX)):
            g[i, s] = -(t[i, s] * keep + spread) / smallest(y[i, s])


def _smoothed(t, smoothing):
    """Of two classes, t and 1 - t."""
    return t + smoothing * (like(t, 0.5) - t)


smoothed = inline(_smoothed)


def binary_cross_entropy(y, t, smoothing):
    one, t = like(y, 1.0), smoothed(t, smoothing)
    return -t * log(smallest(y)) - (one - t) * log(smallest(one - y))


def binary_cross_entropy_prime(y, t, smoothing):
    one, t = like(y, 1.0), smoothed(t, smoothing)
    return (one - t) / smallest(one - y) - t / smallest(y)


@jit.kernel(matrix, matrix, COSTS, NUMBER)
def hinge(y, t, cost, setting):
    """C_s = max(0, 1 - t y) for one output, t = ±1; for several max(0, 1 + max of y_k, k not the label, - y_label).

    Crammer and Singer (2001), On the algorithmic implementation of multiclass kernel-based vector machines.
    """
    shortfall, rival = jit.scratch(PANEL_MAX, y), jit.scratch(PANEL_MAX, y)
    shortfalls(y, t, shortfall, rival)
    for s in range(min(y.shape[1], PANEL_MAX)):
        zero = like(y[0, 0], 0.0)
        cost[s] += zero if shortfall[s] < zero else shortfall[s]


@jit.kernel(matrix, matrix, matrix, NUMBER)
def hinge_prime(y, t, g, setting):
    """Where C_s > 0: -t for one output; for several -1 at the label, and 1 at its rival, the first of equal ones."""
    samples = min(y.shape[1], PANEL_MAX)
    zero, one = like(y[0, 0], 0.0), like(y[0, 0], 1.0)
    shortfall, rival = jit.scratch(PANEL_MAX, y), jit.scratch(PANEL_MAX, y)
    shortfalls(y, t, shortfall, rival)
    for i in range(y.shape[0]):
        for s in range(samples):
            is_rival = t[i, s] == zero and y[i, s] == rival[s]
            slope = one if is_rival else -t[i, s]
            rival[s] = like(rival[s], np.inf) if is_rival else rival[s]
            g[i, s] = zero if shortfall[s] <= zero else slope


def _shortfalls(y, t, shortfall, rival):
    """shortfall_s = 1 - t y, or 1 + rival - y_label; rival_s = the greatest y of another class than the label's."""
    n, samples = y.shape[0], min(y.shape[1], PANEL_MAX)
    for s in range(samples):
        shortfall[s] = 0
        rival[s] = like(y[0, 0], 0.0 if n == 1 else -np.inf)
    for i in range(n):
        for s in range(samples):
            shortfall[s] -= t[i, s] * y[i, s]
            rival[s] = y[i, s] if t[i, s] == like(y[0, 0], 0.0) and y[i, s] > rival[s] else rival[s]
    for s in range(samples):
        shortfall[s] += rival[s]
        shortfall[s] += like(rival[s], 1.0)


shortfalls = inline(_shortfalls)


# Pairs: C_s and dC_s/dz from z. Products of z and t are taken in float64, where those of float32 cannot overflow.


@jit.kernel(matrix, matrix, matrix, matrix, COSTS, NUMBER)
def softmax_cross_entropy(z, y, t, delta, cost, smoothing):
    """C_s = sum over i of t_i (log sum over m of exp(z_m) - z_i); dC_s/dz_i = y_i sum over m of t_m - t_i.

    t is smoothed as in `cross_entropy`.
    """
    n, samples = z.shape[0], min(z.shape[1], PANEL_MAX)
    keep, spread = like(z[0, 0], 1.0 - smoothing), like(z[0, 0], smoothing / n)
    greatest, largest, weight = jit.scratch(PANEL_MAX, z), jit.scratch(PANEL_MAX, z), jit.scratch(PANEL_MAX, z)
    for s in range(samples):
        greatest[s] = z[0, s]
        largest[s] = y[0, s]
        weight[s] = t[0, s] * keep + spread
    for i in range(1, n):
        for s in range(samples):
            greatest[s] = greatest[s] if z[i, s] < greatest[s] else z[i, s]
            weight[s] += t[i, s] * keep + spread
    # y is softmax(z) already, so the sum over m of exp(z_m - max z) is 1 / max y.
    for i in range(n):
        for s in range(samples):
            t_i = np.float64(t[i, s] * keep + spread)
            behind = np.float64(greatest[s]) - np.float64(z[i, s])
            largest[s] = largest[s] if y[i, s] < largest[s] else y[i, s]
            cost[s] += 0.0 if t_i == 0.0 else t_i * behind
    for s in range(samples):
        cost[s] -= weight[s] * log(largest[s])
    for i in range(n):
        for s in range(samples):
            delta[i, s] = y[i, s] * weight[s] - (t[i, s] * keep + spread)


@jit.kernel(matrix, matrix, matrix, matrix, COSTS, NUMBER)
def sigmoid_binary_cross_entropy(z, y, t, delta, cost, smoothing):
    """C_s = sum over i of log(1 + exp(z_i)) - t_i z_i; dC_s/dz_i = y_i - t_i, t smoothed."""
    c = like(z[0, 0], smoothing)
    for i in range(z.shape[0]):
        for s in range(min(z.shape[1], PANEL_MAX)):
            zero, t_i = like(z[i, s], 0.0), smoothed(t[i, s], c)
            positive = zero if z[i, s] < zero else z[i, s]
            cost[s] += positive - t_i * z[i, s] + log1p(exp(-abs(z[i, s])))
            delta[i, s] = y[i, s] - t_i


@jit.kernel(matrix, matrix, matrix, matrix, COSTS, NUMBER)
def exp_poisson(z, y, t, delta, cost, setting):
    """C_s = sum over i of exp(z_i) - t_i z_i; dC_s/dz_i = y_i - t_i."""
    for i in range(z.shape[0]):
        for s in range(min(z.shape[1], PANEL_MAX)):
            cost[s] += np.float64(y[i, s]) - np.float64(t[i, s]) * np.float64(z[i, s])
            delta[i, s] = y[i, s] - t[i, s]


PAIRS["softmax", "cross_entropy"] = softmax_cross_entropy
PAIRS["sigmoid", "binary_cross_entropy"] = sigmoid_binary_cross_entropy
PAIRS["exp", "poisson"] = exp_poisson

SMOOTHING = Setting("label_smoothing", 0.0, low=0, high=1, high_open=True)
DELTA = Setting("delta", 1.0, low=0, low_open=True)
LEVEL = Setting("level", 0.5, low=0, high=1, low_open=True, high_open=True)

for entry in (
    termwise("squared_error", "identity", squared_error, squared_error_prime),
    termwise("absolute_error", "identity", absolute_error, absolute_error_prime),
    termwise("huber", "identity", huber, huber_prime, DELTA),
    termwise("log_cosh", "identity", log_cosh, log_cosh_prime),
    termwise("quantile", "identity", quantile, quantile_prime, LEVEL),
    termwise("poisson", "exp", poisson, poisson_prime, targets="count"),
    Loss(name="cosine", output="identity", cost=cosine, cost_prime=cosine_prime),
    Loss(
        name="cross_entropy", output="softmax", cost=cross_entropy, cost_prime=cross_entropy_prime,
        setting=SMOOTHING, targets="distribution", classes="one",
    ),
    termwise(
        "binary_cross_entropy", "sigmoid", binary_cross_entropy, binary_cross_entropy_prime, SMOOTHING,
        targets="unit", classes="each",
    ),
    Loss(
        name="hinge", output="identity", cost=hinge, cost_prime=hinge_prime,
        targets="class", classes="one", threshold=0.0,
    ),
):  # fmt: skip
    LOSSES[entry.name] = entry


def kernels(loss: Loss, output: str) -> dict[str, Kernel]:
    """What a loss calls after an output activation, by their names in the record of COST."""
    if (output, loss.name) in PAIRS:
        return {"pair": PAIRS[output, loss.name]}
    return {"cost": loss.cost, "cost_prime": loss.cost_prime}


def addresses(loss: Loss, output: str, dtype) -> np.ndarray:
    """The record of COST for a loss after an output activation."""
    record = np.zeros(1, COST).view(np.recarray)
    record[0].setting = loss.value
    for name, kernel in kernels(loss, output).items():
        record[0][name] = kernel.address(dtype)
    return record
