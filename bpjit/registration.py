"""A user's own activations, losses and optimisers: made of plain functions, checked, put into the engine's tables."""

import inspect
import keyword
import threading
from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import Any

import numpy as np
from numba import types
from numba.core import config

from . import initializers, validation
from .differences import disagreements, points
from .engine import custom, jit, optimizers
from .engine.activations import ACTIVATIONS
from .engine.entry import find
from .engine.losses import LOSSES
from .engine.optimizer import COEFFICIENTS, Optimizer, positive, real
from .engine.optimizers import OPTIMIZERS
from .errors import require
from .user_function import Function, compile_kernels, described, essence, fingerprints, result_type, taken, takes

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))
POINTS = 2000
"""Points of the range at which a derivative is checked ..."""
POINTS_PLAIN = 200
"""... and without the compiler, when each takes microseconds."""
PAIRS = 20
"""y and t at each of so many points make the pairs at which a loss is checked."""
SAMPLES, OUTPUTS = 60, 4
"""Random samples and outputs at which a loss of whole samples is checked."""
PROBE_STEPS = 100
CLASSES = {"distribution": "one", "class": "one", "unit": "each"}
"""What kind of classifier a loss makes, by its targets."""
NAME_LENGTH = 60

_lock = threading.RLock()
_own: dict[tuple[str, str], Any] = {}
"""(kind, name) -> what the entry was made of."""


# ---------------------------------------------------------------------------------------------- activations


def register_activation(
    name: str,
    sigma: Function,
    sigma_prime: Function,
    over: tuple[float, float] = (-10.0, 10.0),
    initializer: str = "glorot_uniform",
) -> None:
    """Makes an activation of one's own known by a name: sigma of E2 and its derivative, of E6 and E7.

    sigma(z) and sigma_prime(z), or sigma_prime(z, a) with a = sigma(z) to compute less: functions of single numbers
    that Numba can compile (def, lambda, @njit; they may call other such functions and read numbers around them).
    over: the range on which sigma_prime is compared with differences of sigma. initializer: how "auto" draws the
    weights before such a layer.

    Registering a name of one's own again takes its place; networks that exist keep what they were made with.

    Raises ValueError for a name that is built in, or where sigma_prime is not the derivative (with the point and both
    values) or a value is not finite; TypeError for a function of other arguments, that Numba cannot compile, or that
    gives no number; all before anything changes.

    >>> import bpjit
    >>> exp = bpjit.functions.exp
    >>> bpjit.register_activation("bell", lambda z: exp(-z * z), lambda z, a: -2 * z * a)
    >>> bpjit.Network([2, 3, 1], activation="bell", loss="squared_error").activation_names
    ('bell',)
    """
    name = _name(name, ACTIVATIONS, "activation")
    initializer = find(initializers.INITIALIZERS, initializer, "initializer").text
    low, high = _range(over, "over")
    f, _ = taken(sigma, "sigma", ("z",))
    prime, of_a = taken(sigma_prime, "sigma_prime", ("z",), ("z", "a"))
    with _lock:
        made_of = (f, prime, initializer, low, high)
        if _is_registered("activation", name, made_of):
            return
        entry = custom.activation(name, f, prime, of_a, initializer)
        tried = {"sigma": (entry.sigma, f, 1), "sigma_prime": (entry.sigma_prime, prime, 2 if of_a else 1)}
        for dtype in DTYPES:
            compile_kernels(f"activation {name!r}", tried, dtype)
            _check_activation(name, entry, low, high, dtype)
        ACTIVATIONS[name] = entry
        _own["activation", name] = fingerprints(made_of)


def _check_activation(name: str, entry: Any, low: float, high: float, dtype: np.dtype) -> None:
    z = points(low, high, _count(POINTS)).astype(dtype)
    a = custom.values(entry.sigma, z)
    slopes = custom.slopes(entry.sigma_prime, z[:, None], a[:, None])[:, 0]
    for what, found in (("sigma", a), ("sigma_prime", slopes)):
        if not np.isfinite(found).all():
            k = int(np.argmin(np.isfinite(found)))
            raise ValueError(
                f"{what} of activation {name!r} gives {found[k]} at z = {z[k]:.6g} in {dtype}, but must be finite "
                f"from {low:g} to {high:g}: mend it there, or give another range as over=(low, high)"
            )
    if dtype == np.float64:
        wrong, true = disagreements(lambda z: custom.values(entry.sigma, z), slopes, z, low, high)
        if wrong.any():
            k = _worst(wrong, slopes, true)
            raise ValueError(
                f"sigma_prime of activation {name!r} is not the derivative of sigma at z = {z[k]:.6g}: sigma_prime "
                f"gives {slopes[k]:.8g}, differences of sigma {true[k]:.8g} (so at {wrong.sum()} of {len(z)} points "
                f"from {low:g} to {high:g})"
            )


# --------------------------------------------------------------------------------------------------- losses


def register_loss(
    name: str,
    cost: Function,
    cost_prime: Function,
    output: str = "identity",
    targets: str = "any",
    per_output: bool = True,
    over: Any = None,
) -> None:
    """Makes a loss of one's own known by a name: C_s of E3 and dC_s/dy_i of E6.

    per_output=True: cost(y, t) and cost_prime(y, t), its derivative by y, of single numbers; C_s is their sum over the
    outputs. per_output=False: cost(y, t) of a sample's whole vectors (n_L,) and cost_prime(y, t, i), its derivative by
    y_i: the functions that `bpjit.derivation` takes; y and t are float64 whatever the network's dtype. Either are
    functions that Numba can compile (def, lambda, @njit; they may call other such functions and read numbers around
    them). output: the output activation unless the network is given another. targets: what t may hold, "any" numbers,
    a "unit" interval 0 ... 1 for each class, or a "distribution" over the classes, which make a classifier; or another
    kind that a built-in loss has. over:
    ranges of y and t to check on, one (low, high) or a pair of them; None takes what the output activation makes of
    -5 ... 5.

    Registering a name of one's own again takes its place; networks that exist keep what they were made with.

    Raises ValueError for a name that is built in, or where cost_prime is not the derivative (with the point and both
    values) or a value is not finite; TypeError for a function of other arguments, that Numba cannot compile, or that
    gives no number; all before anything changes.

    >>> import bpjit
    >>> bpjit.register_loss("fourth_power", lambda y, t: (y - t) ** 4 / 4, lambda y, t: (y - t) ** 3)
    >>> net = bpjit.Network([1, 1], loss="fourth_power", init="zeros")
    >>> net.loss([[1.0]], [2.0])
    4.0
    """
    name = _name(name, LOSSES, "loss")
    output = validation.choice(output, ACTIVATIONS, "output")
    targets = validation.choice(targets, dict.fromkeys(("any", *(e.targets for e in LOSSES.values()))), "targets")
    per_output = validation.switch(per_output, "per_output")
    ranges = _ranges(over, output, targets)
    C_s, _ = taken(cost, "cost", ("y", "t"))
    prime, _ = taken(cost_prime, "cost_prime", ("y", "t") if per_output else ("y", "t", "i"))
    with _lock:
        made_of = (C_s, prime, output, targets, per_output, ranges)
        if _is_registered("loss", name, made_of):
            return
        make = custom.loss_of_outputs if per_output else custom.loss_of_samples
        entry = make(name, output, C_s, prime, targets=targets, classes=CLASSES.get(targets))
        tried = {"cost": (entry.cost, C_s, 2), "cost_prime": (entry.cost_prime, prime, 2 if per_output else 3)}
        y, t = (_pairs if per_output else _samples)(*ranges, targets)
        for dtype in DTYPES:
            compile_kernels(f"loss {name!r}", tried, dtype, vectors=not per_output)
            _check_loss(name, entry, y.astype(dtype), t.astype(dtype), ranges[0])
        LOSSES[name] = entry
        _own["loss", name] = fingerprints(made_of)


def _check_loss(name: str, entry: Any, y: np.ndarray, t: np.ndarray, y_range: tuple[float, float]) -> None:
    """y and t: (S, n)."""
    C, slopes = custom.costs(entry.cost, y, t), custom.slopes(entry.cost_prime, y, t)
    for what, found in (("cost", C), ("cost_prime", slopes.min(axis=1) + slopes.max(axis=1))):
        if not np.isfinite(found).all():
            k = int(np.argmin(np.isfinite(found)))
            raise ValueError(
                f"{what} of loss {name!r} is not finite at y = {_shown(y[k])}, t = {_shown(t[k])} in {y.dtype}: mend "
                "it there, or give the ranges of y and t as over=((low, high), (low, high))"
            )
    for i in range(y.shape[1] if y.dtype == np.float64 else 0):

        def C_of(y_i: np.ndarray, i: int = i) -> np.ndarray:
            moved = y.copy()
            moved[:, i] = y_i
            return custom.costs(entry.cost, moved, t)

        wrong, true = disagreements(C_of, slopes[:, i], y[:, i], *y_range)
        if wrong.any():
            k = _worst(wrong, slopes[:, i], true)
            which = "" if y.shape[1] == 1 else f" for i = {i}"
            raise ValueError(
                f"cost_prime of loss {name!r} is not the derivative of cost by y at y = {_shown(y[k])}, "
                f"t = {_shown(t[k])}{which}: cost_prime gives {slopes[k, i]:.8g}, differences of cost {true[k]:.8g} "
                f"(so at {wrong.sum()} of {len(y)} points)"
            )


def _pairs(y_range: tuple[float, float], t_range: tuple[float, float], targets: str) -> tuple[np.ndarray, np.ndarray]:
    """Every y beside every t of some points, and y = t wherever both may be."""
    y, t = points(*y_range, _count(POINTS) // PAIRS), points(*t_range, PAIRS)
    same = y[(t_range[0] <= y) & (y <= t_range[1])]
    grid = np.array([(a, b) for a in y for b in t] + [(a, a) for a in same])
    return grid[:, :1], grid[:, 1:]


def _samples(y_range: tuple[float, float], t_range: tuple[float, float], targets: str) -> tuple[np.ndarray, np.ndarray]:
    """Random vectors y and t; with a distribution the rows of t, and in half of them one entry is 1."""
    rng = np.random.default_rng(0)
    y, t = rng.uniform(*y_range, (SAMPLES, OUTPUTS)), rng.uniform(*t_range, (SAMPLES, OUTPUTS))
    if targets == "distribution":
        t = rng.dirichlet(np.ones(OUTPUTS), SAMPLES)
        t[::2] = np.eye(OUTPUTS)[rng.integers(OUTPUTS, size=len(t[::2]))]
    elif targets == "unit":
        t[::2] = rng.integers(2, size=t[::2].shape)
    return y, t


def _ranges(over: Any, output: str, targets: str) -> tuple[tuple[float, float], tuple[float, float]]:
    if over is None:
        if ACTIVATIONS[output].output_only:
            y = (0.0067, 0.9933)
        else:
            entry = ACTIVATIONS[output]
            a = custom.values(entry.sigma, np.linspace(-5.0, 5.0, 101)) if entry.setting is None else np.array([-5, 5])
            y = (float(a.min()), float(a.max()))
        return y, y if targets == "any" else (0.0, 1.0)
    if isinstance(over, tuple | list) and len(over) == 2 and all(isinstance(part, tuple | list) for part in over):
        return _range(over[0], "over[0]"), _range(over[1], "over[1]")
    return (_range(over, "over"),) * 2


# ------------------------------------------------------------------------------------------------ optimisers


def register_optimizer(name: str, update: Function, moments: int = 0, begin: Function | None = None) -> type[Optimizer]:
    """Makes an optimiser of one's own of a function of single numbers; returns its class, to be used as bpjit.Adam is.

    update(w, g, m, ..., setting=default, ...) gives the new value of a parameter w whose gradient is g, or with
    `moments` (up to 3), numbers that it keeps for every parameter, a tuple of the new w and the new moments; they begin
    at 0. A parameter `step` after the moments gets the number of the step, from 1. What has a default is a setting of
    the optimiser, a number; `learning_rate` must be above 0.

    begin: what is the same for all parameters of a step, computed once, in float64: begin(step, setting=default, ...)
    gives a tuple of up to 16 numbers, and update(w, g, m, ..., number, ...) gets these instead of the settings.

    Registering a name of one's own again takes its place; trainers keep the optimiser that they have.

    Raises ValueError for a name that is taken, or where a try of some steps gives a number that is not finite;
    TypeError for functions of other arguments or results, or that Numba cannot compile; all before anything changes.

    >>> import bpjit
    >>> def update(w, g, v, learning_rate=0.01, momentum=0.9):
    ...     v = momentum * v + g
    ...     return w - learning_rate * v, v
    >>> Heavy = bpjit.register_optimizer("Heavy", update, moments=1)
    >>> Heavy(learning_rate=0.1)
    Heavy(learning_rate=0.1)
    """
    name = _name(name, OPTIMIZERS, "optimizer")
    moments = validation.integer(moments, "moments", low=0, high=custom.MOMENTS)
    update_of, _ = taken(update, "update")
    begin_of = None if begin is None else taken(begin, "begin")[0]
    settings, has_step, count = _signature(update_of, begin_of, moments)
    with _lock:
        made_of = (update_of, begin_of, moments)
        if _is_registered("optimizer", name, made_of):
            return OPTIMIZERS[name]
        if begin_of is not None:
            count = _returned(begin_of, len(settings))
            if not takes(update_of, 2 + moments + count):
                raise TypeError(
                    f"update takes {inspect.signature(update_of)}, but is called with w, g, {moments} moments and the "
                    f"{count} numbers of begin"
                )
        kernels = {
            "begin": custom.begin_kernel(name, begin_of, has_step, len(settings)),
            "update": custom.update_kernel(name, update_of, moments, count),
        }
        tried = {"update": (kernels["update"], update_of, 2 + moments + count)}
        if begin_of is not None:
            tried["begin"] = (kernels["begin"], begin_of, 1 + len(settings))
        entry = _class(name, update_of, settings, kernels)
        for dtype in DTYPES:
            compile_kernels(f"optimizer {name!r}", tried, dtype, results=1 + moments)
            _check_steps(name, entry(), moments, dtype)
        OPTIMIZERS[name] = entry
        _own["optimizer", name] = fingerprints(made_of)
    return entry


def _signature(update: Function, begin: Function | None, moments: int) -> tuple[dict[str, float], bool, int]:
    """The settings and their defaults, whether update wants the step, how many numbers it gets after the moments."""
    parameters = list(inspect.signature(begin or update).parameters.values())
    before = 1 if begin else 2 + moments
    settings = {p.name: p.default for p in parameters if p.default is not p.empty}
    taken = [name for name in settings if hasattr(Optimizer, name) or name == "name"]
    if taken:
        raise ValueError(f"a setting is called {taken[0]!r}, as a part of every optimiser is: choose another name")
    others = [p.name for p in parameters if p.default is p.empty]
    if begin:
        if others != ["step"]:
            raise TypeError(f"begin takes ({', '.join(others)}), but must take (step, setting=default, ...)")
        return _checked(settings), False, 0
    has_step = others[before:] == ["step"]
    if len(others) != before + has_step:
        wanted = ("w", "g", *(f"moment {k}" for k in range(1, moments + 1)))
        raise TypeError(
            f"update takes ({', '.join(others)}) without defaults, but with moments={moments} must take "
            f"({', '.join(wanted)}), perhaps step, and then its settings, each with a default"
        )
    count = has_step + len(settings)
    if count > COEFFICIENTS:
        raise ValueError(f"update has {count} settings, its step included, but {COEFFICIENTS} is the most there can be")
    return _checked(settings), has_step, count


def _checked(settings: Mapping[str, Any]) -> dict[str, float]:
    return {name: _setting(name, value) for name, value in settings.items()}


def _setting(name: str, value: Any) -> float:
    if name == "learning_rate":
        return validation.real(value, name, low=0, low_open=True)
    return validation.real(value, name)


def _returned(begin: Function, settings: int) -> int:
    """How many numbers begin gives."""
    if config.DISABLE_JIT:
        found = begin(1.0)
        count = len(found) if isinstance(found, tuple) else -1
    else:
        try:
            found = result_type(begin, (types.float64,) * (1 + settings))
        except Exception as error:
            raise TypeError(f"Numba cannot compile begin: {essence(error)}") from error
        count = len(found) if isinstance(found, types.BaseTuple) else -1
    if count < 0:
        raise TypeError(f"begin gives {described(found)}, but must give a tuple of numbers")
    if count > COEFFICIENTS:
        raise ValueError(f"begin gives {count} numbers, but {COEFFICIENTS} is the most there can be")
    return count


def _class(name: str, update: Function, settings: dict[str, float], kernels: dict[str, jit.Kernel]) -> type[Optimizer]:
    namespace = {
        "__doc__": inspect.getdoc(update) or f"{name}: an optimiser of the user's own.",
        "__reduce__": lambda self: (_restored, (self.configuration(),)),
        "begin": kernels["begin"],
        "rule": kernels["update"],
    }
    fields = [
        (setting, float, positive(value) if setting == "learning_rate" else real(value))
        for setting, value in settings.items()
    ]
    made = make_dataclass(name, fields, bases=(Optimizer,), frozen=True, repr=False, namespace=namespace)
    made.__module__ = update.__module__
    return made


def _restored(configuration: dict[str, Any]) -> Optimizer:
    require({}, configuration)
    return optimizers.from_configuration(configuration)


def _check_steps(name: str, optimizer: Optimizer, moments: int, dtype: np.dtype) -> None:
    """Steps of parameters of all sizes; one is 0 and has no gradient, as in the room beyond the last unit."""
    rng = np.random.default_rng(0)
    size = np.logspace(-6, 2, custom.PANEL_MAX).astype(dtype)
    w = (size * rng.normal(size=size.shape)).astype(dtype).reshape(1, 1, -1)
    w[..., 0] = 0
    kept = np.zeros((moments, w.size), dtype)
    for number in range(1, PROBE_STEPS + 1):
        before = w.copy()
        gradient = (size * rng.normal(size=w.shape)).astype(dtype)
        gradient[..., :4] = 0
        gradient[..., 4:8] *= number % 2
        custom.step(optimizer.begin, optimizer.update, optimizer.settings(), number, (w, gradient, kept))
        bad = ~(np.isfinite(w[0, 0]) & np.isfinite(kept).all(axis=0))
        if bad.any():
            k = int(np.argmax(bad))
            raise ValueError(
                f"update of optimizer {name!r} gives a number that is not finite in {dtype}, in step {number} for "
                f"w = {before[0, 0, k]:.6g}, g = {gradient[0, 0, k]:.6g}: mend it there"
                + (", since gradients of 0 are common" if gradient[0, 0, k] == 0 else "")
            )


# ---------------------------------------------------------------------------------------------------- arguments


def _name(name: Any, table: Mapping[str, Any], kind: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, such as 'my_{kind}', not {name!r}")
    if not (name.isascii() and name.isidentifier()) or keyword.iskeyword(name) or len(name) > NAME_LENGTH:
        raise ValueError(
            f"name is {name[:NAME_LENGTH]!r}, but must be a word of up to {NAME_LENGTH} letters, digits and "
            f"underscores, such as 'my_{kind}'"
        )
    if name in table and (kind, name) not in _own:
        raise ValueError(f"name is {name!r}, but that {kind} is built in: choose another name")
    return name


def _range(values: Any, name: str) -> tuple[float, float]:
    if not isinstance(values, tuple | list) or len(values) != 2:
        raise TypeError(f"{name} must be a pair (low, high), not {values!r}")
    low, high = (validation.real(value, f"{name}[{k}]") for k, value in enumerate(values))
    if not low < high:
        raise ValueError(f"{name} is ({low:g}, {high:g}), but its low end must be below its high end")
    return low, high


def _is_registered(kind: str, name: str, made_of: tuple) -> bool:
    """Whether the name stands for these very functions already."""
    prints = fingerprints(made_of)
    return prints is not None and _own.get((kind, name)) == prints


def _count(points: int) -> int:
    return points // 10 if config.DISABLE_JIT else points


def _worst(wrong: np.ndarray, slopes: np.ndarray, true: np.ndarray) -> int:
    """Of the points where slopes are wrong, one where they are by the largest share."""
    with np.errstate(all="ignore"):
        share = np.abs(slopes - true) / np.maximum(np.abs(slopes), np.abs(true))
    return int(np.argmax(np.where(wrong, np.nan_to_num(share, nan=0.0), -1.0).round(3)))


def _shown(vector: np.ndarray) -> str:
    return f"{vector[0]:.6g}" if len(vector) == 1 else f"({', '.join(f'{v:.6g}' for v in vector)})"
