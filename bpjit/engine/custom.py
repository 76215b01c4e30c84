"""Kernels made of a user's own functions, and what such kernels give, asked from Python."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import literal_unroll, types
from numba.core import config
from numba.core.errors import TypingError
from numba.extending import intrinsic
from numba.np.unsafe.ndarray import to_fixed_tuple

from . import activations, jit, losses
from .elementwise import inline
from .jit import NUMBER, call, like, matrix, vector
from .losses import COSTS
from .optimizer import COEFFICIENTS, SETTINGS, Update, flushed
from .tile import PANEL_MAX

MOMENTS = 3
"""Moments that an update may keep."""

if config.DISABLE_JIT:

    def number(value):
        return value

    def first(numbers, count):
        return tuple(numbers[:count])

else:
    first = to_fixed_tuple

    @intrinsic
    def number(typingctx, value):
        """value, if it is one: an optional, a tuple or a complex number must not get into a kernel."""
        if not isinstance(value, types.Integer | types.Float | types.Boolean):
            raise TypingError(f"this is no number, but {value}")
        return value(value), lambda context, builder, sig, args: args[0]


def compilable(function: Callable) -> Callable:
    """The function as part of a kernel: with the arithmetic that is written in it, but for fused multiply and add."""
    return _finished(function) if config.DISABLE_JIT else inline(function)


def _finished(function: Callable) -> Callable:
    """What compiled code does where Python raises an error: infinity, or NaN."""

    def calculate(*arguments):
        try:
            return function(*arguments)
        except OverflowError:
            return np.inf
        except (ValueError, ZeroDivisionError):
            return np.nan

    calculate.py_func = function  # type: ignore[attr-defined]
    return calculate


# ------------------------------------------------------------------------------------------ entries of the tables


def activation(name: str, sigma: Callable, sigma_prime: Callable, of_a: bool, initializer: str):
    """An activation from sigma(z) and sigma_prime(z), or with of_a sigma_prime(z, a)."""
    sigma_of, prime_of = compilable(sigma), compilable(sigma_prime)

    def forward(z):
        return number(sigma_of(z))

    def slope(z, a):
        return number(prime_of(z, a)) if of_a else number(prime_of(z))

    def slope_of_z(z, a):
        return number(prime_of(z))

    slope_of = slope if of_a else slope_of_z
    return activations.elementwise(name, forward, slope_of, initializer=initializer, functions=(sigma, sigma_prime))


def loss_of_outputs(name: str, output: str, cost: Callable, cost_prime: Callable, **properties):
    """A loss that is a sum of cost(y, t) over the outputs."""
    cost_of, prime_of = compilable(cost), compilable(cost_prime)
    return losses.termwise(
        name, output, lambda y, t: number(cost_of(y, t)), lambda y, t: number(prime_of(y, t)),
        functions=(cost, cost_prime), **properties,
    )  # fmt: skip


def loss_of_samples(name: str, output: str, cost: Callable, cost_prime: Callable, **properties):
    """A loss from cost(y, t) and cost_prime(y, t, i) of the whole vectors of a sample, which are float64 as in the
    specification; their memory is taken once a call, for a block of samples."""
    cost_of, prime_of = compilable(cost), compilable(cost_prime)

    def add_costs(y, t, cost, setting):
        y_s, t_s = np.empty(y.shape[0]), np.empty(y.shape[0])
        for s in range(min(y.shape[1], PANEL_MAX)):
            for i in range(y.shape[0]):
                y_s[i], t_s[i] = y[i, s], t[i, s]
            cost[s] += number(cost_of(y_s, t_s))

    def write_slopes(y, t, g, setting):
        y_s, t_s = np.empty(y.shape[0]), np.empty(y.shape[0])
        for s in range(min(y.shape[1], PANEL_MAX)):
            for i in range(y.shape[0]):
                y_s[i], t_s[i] = y[i, s], t[i, s]
            for i in range(y.shape[0]):
                g[i, s] = number(prime_of(y_s, t_s, i))

    return losses.Loss(
        name=name,
        output=output,
        cost=jit.kernel(matrix, matrix, COSTS, NUMBER, name=f"losses.{name}")(add_costs),
        cost_prime=jit.kernel(matrix, matrix, matrix, NUMBER, name=f"losses.{name}_prime")(write_slopes),
        **properties,
    )


def update_kernel(name: str, update: Callable, moments: int, count: int) -> Update:
    """The kernel of update(w, g, moments ..., numbers ...), with `count` numbers, the first coefficients."""
    update_of = compilable(update)

    def without_moments(w, g, c):
        return number(update_of(w, g, *c[:count]))

    def with_one(w, m, g, c):
        w, new_m = update_of(w, g, m, *c[:count])
        return number(w), flushed(like(m, number(new_m)))

    def with_two(w, m, v, g, c):
        w, new_m, new_v = update_of(w, g, m, v, *c[:count])
        return number(w), flushed(like(m, number(new_m))), flushed(like(v, number(new_v)))

    def with_three(w, m, v, u, g, c):
        w, new_m, new_v, new_u = update_of(w, g, m, v, u, *c[:count])
        m, v, u = like(m, number(new_m)), like(v, number(new_v)), like(u, number(new_u))
        return number(w), flushed(m), flushed(v), flushed(u)

    rule = (without_moments, with_one, with_two, with_three)[moments]
    return Update(rule, moments, f"optimizers.{name}", made_of=update)


def begin_kernel(name: str, begin: Callable | None, has_step: bool, count: int) -> jit.Kernel:
    """The coefficients of a step: begin(step, settings ...), or the step if it is wanted and the `count` settings."""
    begin_of = None if begin is None else compilable(begin)

    def hand_over(settings, step, coefficients):
        if has_step:
            coefficients[0] = step
        for k in range(count):
            coefficients[k + has_step] = settings[k]

    def calculate(settings, step, coefficients):
        k = 0
        for x in literal_unroll(begin_of(step, *first(settings, count))):
            coefficients[k] = number(x)
            k += 1

    function = hand_over if begin is None else calculate
    return jit.kernel(SETTINGS, NUMBER, vector, name=f"optimizers.{name}_begin")(function)


# --------------------------------------------------------------------------------------------- asking a kernel

QUESTION = np.dtype(
    [
        (name, np.intp)
        for name in ("kernel", "kind", "x", "y", "out", "costs", "settings", "moments", "count", "units", "blocks")
    ]
    + [("step", np.float64), ("setting", np.float64)],
    align=True,
)
SIGMA, SLOPE, COST, BEGIN, UPDATE = range(5)


@jit.entry
def ask(address, like):
    """Calls the kernel of a QUESTION as the engine would, block by block."""
    question = jit.at(address, QUESTION, 1)[0]
    n, blocks = question.units, question.blocks
    x = jit.at(question.x, like, blocks, n, PANEL_MAX)
    y = jit.at(question.y, like, blocks, n, PANEL_MAX)
    out = jit.at(question.out, like, blocks, n, PANEL_MAX)
    costs = jit.at(question.costs, np.float64, blocks, PANEL_MAX)
    if question.kind == BEGIN:
        settings = jit.at(question.settings, np.float64, question.count)
        call(question.kernel, settings, question.step, jit.shaped(out, 0, COEFFICIENTS))
    elif question.kind == UPDATE:
        moments = jit.at(question.moments, like, question.count, blocks * n * PANEL_MAX)
        coefficients = jit.shaped(out, 0, COEFFICIENTS)
        call(question.kernel, jit.shaped(x, 0, x.size), moments, 0, jit.shaped(y, 0, y.size), coefficients)
    else:
        for s in range(blocks):
            if question.kind == SIGMA:
                call(question.kernel, x[s], out[s], question.setting)
            elif question.kind == SLOPE:
                call(question.kernel, x[s], y[s], out[s], question.setting)
            else:
                call(question.kernel, x[s], y[s], costs[s], question.setting)
    return 1


def _ask(
    kernel: jit.Kernel,
    dtype: np.dtype,
    kind: int,
    x: np.ndarray,
    step: float = 0.0,
    setting: float = 0.0,
    **arrays: Any,
):
    """x: (blocks, units, PANEL_MAX); arrays: of the question, by name."""
    question = np.zeros(1, QUESTION)
    question["kernel"], question["kind"], question["step"] = kernel.address(dtype), kind, step
    question["setting"] = setting
    question["blocks"], question["units"] = x.shape[:2]
    for name, array in {"x": x, "y": x, "out": x, **arrays}.items():
        question[name] = array.ctypes.data
    question["count"] = len(arrays.get("settings", arrays.get("moments", ())))
    with np.errstate(all="ignore"):
        ask(question.ctypes.data, x)


def values(kernel: jit.Kernel, z: np.ndarray, setting: float = 0.0) -> np.ndarray:
    """What the sigma of an activation makes of z (S,), in its dtype."""
    x = _laid(z.reshape(-1, 1))
    a = np.empty_like(x)
    _ask(kernel, z.dtype, SIGMA, x, setting=setting, out=a)
    return _rows(a, len(z))[:, 0]


def slopes(kernel: jit.Kernel, x: np.ndarray, y: np.ndarray, setting: float = 0.0) -> np.ndarray:
    """What sigma_prime makes of z and a, or cost_prime of y and t, all (S, n)."""
    out = np.ones_like(_laid(x))
    _ask(kernel, x.dtype, SLOPE, _laid(x), setting=setting, y=_laid(y), out=out)
    return _rows(out, len(x))


def costs(kernel: jit.Kernel, y: np.ndarray, t: np.ndarray, setting: float = 0.0) -> np.ndarray:
    """C_s (S,) of outputs and targets (S, n)."""
    x = _laid(y)
    total = np.zeros((len(x), PANEL_MAX))
    _ask(kernel, y.dtype, COST, x, setting=setting, y=_laid(t), costs=total)
    return total.reshape(-1)[: len(y)]


def step(begin: jit.Kernel, update: jit.Kernel, settings: np.ndarray, number: int, state: Any) -> np.ndarray:
    """One update, in place, of state = (w, gradient, moments), w and gradient (blocks, 1, PANEL_MAX); coefficients."""
    w, gradient, moments = state
    coefficients = np.zeros((1, 1, PANEL_MAX), w.dtype)
    _ask(begin, w.dtype, BEGIN, coefficients, step=float(number), settings=settings, out=coefficients)
    _ask(update, w.dtype, UPDATE, w, y=gradient, out=coefficients, moments=moments)
    return coefficients.reshape(-1)[:COEFFICIENTS]


def _laid(x: np.ndarray) -> np.ndarray:
    """x (S, n) in blocks of samples side by side; the last sample fills the last block."""
    blocks = -(-len(x) // PANEL_MAX)
    padded = np.pad(x, ((0, blocks * PANEL_MAX - len(x)), (0, 0)), mode="edge")
    return np.ascontiguousarray(padded.reshape(blocks, PANEL_MAX, -1).transpose(0, 2, 1))


def _rows(blocks: np.ndarray, count: int) -> np.ndarray:
    return blocks.transpose(0, 2, 1).reshape(-1, blocks.shape[1])[:count]
