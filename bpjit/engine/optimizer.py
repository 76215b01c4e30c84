"""What every optimiser is: settings that are checked, a kernel that begins a step, and one that steps a gradient tile.

`begin(settings, step, coefficients)` computes once a step, in float64, what all tiles share; steps count from 1.
`update(theta, moments, start, gradient, coefficients)` then steps the parameters theta[start:] whose gradient tile is
complete. `update` makes one of a rule for a single parameter.
"""

from collections.abc import Callable
from dataclasses import MISSING, Field, astuple, field, fields, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numba import types

from .. import validation
from . import jit
from .jit import INDEX, NUMBER, Kernel, matrix, vector

SETTINGS = types.Array(types.float64, 1, "C")

COEFFICIENTS = 16
"""Room for the numbers that `begin` hands to `update`."""

TINY = 1e-37
"""Above the subnormal numbers of float32, and below what any update can feel."""


# --------------------------------------------------------------------------------------------------- kernels


@jit.inline
def flushed(x):
    """x, or 0 where it is tiny: where gradients are 0, as of a dead unit, moments shrink until they are subnormal.

    A CPU takes up to a hundred times as long for those.
    """
    return jit.like(x, 0.0) if abs(x) < jit.like(x, TINY) else x


@jit.inline
def sign(x):
    """1, 0 or -1, of the type of x; NaN stays what it is."""
    zero = jit.like(x, 0.0)
    return jit.like(x, 1.0) if x > zero else (jit.like(x, -1.0) if x < zero else x)


begin = jit.kernel(SETTINGS, NUMBER, vector)
"""Makes the kernel `begin` of a function (settings, step, coefficients)."""


class Update(Kernel):
    """A kernel `update`, and how many moments of each parameter it keeps."""

    def __init__(self, rule: Callable, moments: int, name: str | None = None, made_of: Callable | None = None) -> None:
        """made_of: the function that the rule calls, where that is a user's."""
        name = name or f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"
        super().__init__(_LOOPS[moments](jit.inline(rule)), name, types.void, self._parameters)
        self.moments, self.rule, self.made_of = moments, rule, made_of

    @staticmethod
    def _parameters(number):
        return vector(number), matrix(number), INDEX, vector(number), vector(number)


def update(moments: int) -> Callable[[Callable], Update]:
    """Makes the kernel `update` of a rule for one parameter, whose g is dC/dtheta and whose c are the coefficients.

    rule(theta, g, c) returns the new theta; with moments, rule(theta, m, ..., g, c) returns the new theta and moments.
    It is vectorised if it has no loop and calls nothing that LLVM cannot inline. In the room beyond the last unit g and
    theta are 0, and must stay finite.
    """
    return lambda rule: Update(rule, moments)


def _loop_of_none(rule):
    def loop(theta, moments, start, gradient, coefficients):
        c = _numbers(coefficients)
        theta = theta[start : start + gradient.size]
        for k in range(gradient.size):
            theta[k] = rule(theta[k], gradient[k], c)  # E10

    return loop


def _loop_of_one(rule):
    def loop(theta, moments, start, gradient, coefficients):
        c = _numbers(coefficients)
        theta = theta[start : start + gradient.size]
        m = moments[0, start : start + gradient.size]
        for k in range(gradient.size):
            theta[k], m[k] = rule(theta[k], m[k], gradient[k], c)  # E10

    return loop


def _loop_of_two(rule):
    def loop(theta, moments, start, gradient, coefficients):
        c = _numbers(coefficients)
        theta = theta[start : start + gradient.size]
        m, v = moments[0, start : start + gradient.size], moments[1, start : start + gradient.size]
        for k in range(gradient.size):
            theta[k], m[k], v[k] = rule(theta[k], m[k], v[k], gradient[k], c)  # E10

    return loop


def _loop_of_three(rule):
    def loop(theta, moments, start, gradient, coefficients):
        c = _numbers(coefficients)
        theta = theta[start : start + gradient.size]
        m, v = moments[0, start : start + gradient.size], moments[1, start : start + gradient.size]
        w = moments[2, start : start + gradient.size]
        for k in range(gradient.size):
            theta[k], m[k], v[k], w[k] = rule(theta[k], m[k], v[k], w[k], gradient[k], c)  # E10

    return loop


_LOOPS = (_loop_of_none, _loop_of_one, _loop_of_two, _loop_of_three)


@jit.inline
def _numbers(c):
    """The coefficients as numbers that stay in registers."""
    return (
        c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10], c[11], c[12], c[13], c[14], c[15],
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------- settings


def real(default: float, **limits: Any) -> Any:
    """A field of a number; the limits are those of `validation.real`."""
    return field(default=default, metadata={"check": partial(validation.real, **limits)})


def positive(default: float) -> Any:
    """A field of a number above 0."""
    return real(default, low=0, low_open=True)


def fraction(default: float) -> Any:
    """A field of a number in [0, 1)."""
    return real(default, low=0, high=1, high_open=True)


def nonnegative(default: float = 0.0) -> Any:
    """A field of a number of at least 0."""
    return real(default, low=0)


def switch(default: bool) -> Any:
    """A field of a bool."""
    return field(default=default, metadata={"check": validation.switch})


def whole(default: int) -> Any:
    """A field of an integer of at least 1."""
    return field(default=default, metadata={"check": partial(validation.integer, low=1)})


def pair(default: tuple[float, float], where: str = "in [0, 1)", **limits: Any) -> Any:
    """A field of two numbers; the limits are those of `validation.real`, [0, 1) unless given."""
    limits = limits or {"low": 0, "high": 1, "high_open": True}

    def check(value: Any, name: str) -> tuple[float, ...]:
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise ValueError(f"{name} must be two numbers {where}, such as {default}, not {value!r}")
        return tuple(validation.real(number, f"{name}[{k}]", **limits) for k, number in enumerate(value))

    return field(default=default, metadata={"check": check})


class Optimizer:
    """Settings of an optimiser. The entries of the table are subclasses: frozen dataclasses, whose fields are checked
    as `real`, `pair`, ... above say, with `begin`, `update` and `moments`.
    """

    begin: ClassVar[Kernel]
    full_batch: ClassVar[bool] = False
    """Whether it makes sense only where a mini-batch holds all samples."""

    rule: ClassVar[Update]
    """The kernel `update`, unless the settings choose it."""

    @property
    def update(self) -> Update:
        return self.rule

    @property
    def moments(self) -> int:
        """Arrays of the size of theta that it keeps; all are zero before the first step."""
        return self.update.moments

    def alike(self, other: "Optimizer") -> bool:
        """Whether one may step some layers and the other one the rest: both must have the same kernels."""
        return type(self) is type(other) and self.update is other.update

    def settings(self) -> np.ndarray:
        """The settings as `begin` reads them: float64, in the order of the fields; more where `begin` takes notes."""
        return np.array(_flat(astuple(self)), np.float64)  # type: ignore[call-overload]

    @property
    def rate_setting(self) -> int:
        """Which of `settings` is the learning rate; -1 if none is."""
        names = [setting.name for setting in self._fields()]
        if "learning_rate" not in names:
            return -1
        before = names[: names.index("learning_rate")]
        return len(_flat([getattr(self, name) for name in before]))

    def for_biases(self) -> "Optimizer":
        """The optimiser that steps the biases: without weight decay where decay_biases is False."""
        if getattr(self, "decay_biases", True) or not getattr(self, "weight_decay", 0.0):
            return self
        return replace(self, weight_decay=0.0)  # type: ignore[type-var]

    def configuration(self) -> dict[str, Any]:
        """{"name": ..., setting: value, ...}; `from_configuration` makes the optimiser of it."""
        return {"name": type(self).__name__} | dict(vars(self))

    def __post_init__(self) -> None:
        for setting in self._fields():
            if "check" in setting.metadata:
                value = setting.metadata["check"](getattr(self, setting.name), setting.name)
                object.__setattr__(self, setting.name, value)

    def __repr__(self) -> str:
        """How one writes it: the learning rate, and what is not as it is by default."""
        shown = [
            f"{setting.name}={getattr(self, setting.name)!r}"
            for setting in self._fields()
            if setting.name == "learning_rate" or setting.default in (MISSING, None)
            or getattr(self, setting.name) != setting.default
        ]  # fmt: skip
        return f"{type(self).__name__}({', '.join(shown)})"

    def _fields(self) -> tuple[Field[Any], ...]:
        return fields(self)  # type: ignore[arg-type]


def _flat(values) -> list[float]:
    return [float(x) for value in values for x in (value if isinstance(value, tuple) else (value,))]
