"""The table of optimisers: E10 and its relatives, applied to a finished gradient tile.

An optimiser is a dataclass of its settings, with two kernels. `begin(settings, step, coefficients)` computes once a
step, in float64, what all tiles share; steps count from 1. `update(theta, moments, start, gradient, coefficients)` then
steps the parameters theta[start:] whose gradient tile is complete.
"""

import math
from dataclasses import astuple, dataclass
from typing import Any, ClassVar

import numpy as np
from numba import types

from .. import validation
from . import jit
from .jit import INDEX, NUMBER, Kernel, matrix, vector

SETTINGS = types.Array(types.float64, 1, "C")

COEFFICIENTS = 8
"""Room for the numbers that `begin` hands to `update`."""


TINY = 1e-37
"""Above the subnormal numbers of float32, and below what any update can feel."""


@jit.inline
def flushed(x):
    """x, or 0 where it is tiny: where gradients are 0, as of a dead unit, moments shrink until they are subnormal.

    A CPU takes up to a hundred times as long for those.
    """
    return jit.like(x, 0.0) if abs(x) < jit.like(x, TINY) else x


@jit.kernel(SETTINGS, NUMBER, vector)
def sgd_begin(settings, step, coefficients):
    learning_rate, momentum, nesterov = settings[0], settings[1], settings[2]
    coefficients[0] = learning_rate
    coefficients[1] = momentum
    coefficients[2] = nesterov
    coefficients[3] = momentum if nesterov else 1.0


@jit.kernel(vector, matrix, INDEX, vector, vector)
def sgd(theta, moments, start, gradient, coefficients):
    """E10: theta <- theta - learning_rate dC/dtheta."""
    learning_rate = coefficients[0]
    theta = theta[start : start + gradient.size]
    for k in range(gradient.size):
        theta[k] -= learning_rate * gradient[k]  # E10


@jit.kernel(vector, matrix, INDEX, vector, vector)
def sgd_momentum(theta, moments, start, gradient, coefficients):
    """v <- momentum v + g; theta <- theta - learning_rate v, or with Nesterov's look ahead (g + momentum v)."""
    learning_rate, momentum, of_gradient, of_velocity = (
        coefficients[0], coefficients[1], coefficients[2], coefficients[3],
    )  # fmt: skip
    theta = theta[start : start + gradient.size]
    velocity = moments[0, start : start + gradient.size]
    for k in range(gradient.size):
        velocity[k] = flushed(momentum * velocity[k] + gradient[k])
        theta[k] -= learning_rate * (of_gradient * gradient[k] + of_velocity * velocity[k])  # E10


@jit.kernel(SETTINGS, NUMBER, vector)
def adam_begin(settings, step, coefficients):
    learning_rate, beta_1, beta_2, eps = settings[0], settings[1], settings[2], settings[3]
    coefficients[0] = beta_1
    coefficients[1] = 1.0 - beta_1
    coefficients[2] = beta_2
    coefficients[3] = 1.0 - beta_2
    coefficients[4] = learning_rate / (1.0 - beta_1**step)
    coefficients[5] = 1.0 / math.sqrt(1.0 - beta_2**step)
    coefficients[6] = eps


@jit.kernel(vector, matrix, INDEX, vector, vector)
def adam(theta, moments, start, gradient, coefficients):
    """m <- beta_1 m + (1 - beta_1) g; v <- beta_2 v + (1 - beta_2) g^2; theta <- theta - rate m^ / (sqrt(v^) + eps)."""
    beta_1, rest_1, beta_2, rest_2 = coefficients[0], coefficients[1], coefficients[2], coefficients[3]
    rate, correction, eps = coefficients[4], coefficients[5], coefficients[6]
    theta = theta[start : start + gradient.size]
    m, v = moments[0, start : start + gradient.size], moments[1, start : start + gradient.size]
    for k in range(gradient.size):
        g = gradient[k]
        m[k] = flushed(beta_1 * m[k] + rest_1 * g)
        v[k] = beta_2 * v[k] + rest_2 * g * g
        theta[k] -= rate * m[k] / (math.sqrt(v[k]) * correction + eps)  # E10


class Optimizer:
    """Settings of an optimiser; the subclasses are the entries of the table."""

    begin: ClassVar[Kernel]

    @property
    def update(self) -> Kernel:
        raise NotImplementedError

    @property
    def moments(self) -> int:
        """Arrays of the size of theta that it keeps."""
        raise NotImplementedError

    def settings(self) -> np.ndarray:
        """The settings as `begin` reads them: float64, in the order of the fields."""
        return np.array(_flat(astuple(self)), np.float64)  # type: ignore[call-overload]

    def configuration(self) -> dict[str, Any]:
        """{"name": ..., setting: value, ...}; `from_configuration` makes the optimiser of it."""
        return {"name": type(self).__name__} | dict(vars(self))


def _flat(values) -> list[float]:
    return [float(x) for value in values for x in (value if isinstance(value, tuple) else (value,))]


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent (E10), with momentum (Polyak, 1964) and Nesterov's variant, as in PyTorch's SGD.

    v <- momentum v + g, and theta <- theta - learning_rate v; with `nesterov`
    theta <- theta - learning_rate (g + momentum v). The first step takes v = g.

    learning_rate: eta of E10, > 0. momentum: in [0, 1). nesterov: needs momentum > 0.
    Raises ValueError or TypeError for anything else.

    >>> SGD(learning_rate=0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=False)
    """

    learning_rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False

    begin: ClassVar[Kernel] = sgd_begin

    def __post_init__(self) -> None:
        _set(self, learning_rate=validation.real(self.learning_rate, "learning_rate", low=0, low_open=True))
        _set(self, momentum=validation.real(self.momentum, "momentum", low=0, high=1, high_open=True))
        _set(self, nesterov=validation.switch(self.nesterov, "nesterov"))
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0: give for example momentum=0.9")

    @property
    def update(self) -> Kernel:
        return sgd_momentum if self.momentum else sgd

    @property
    def moments(self) -> int:
        return 1 if self.momentum else 0


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1), with bias correction, as in PyTorch: eps is added after the correction.

    The paper's alpha is `learning_rate`, beta_1 and beta_2 are `betas`, epsilon is `eps`:
    m <- beta_1 m + (1 - beta_1) g, v <- beta_2 v + (1 - beta_2) g^2, and at step t
    theta <- theta - alpha m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon).

    learning_rate and eps: > 0. betas: two numbers in [0, 1). Raises ValueError or TypeError for anything else.

    >>> Adam(learning_rate=3e-3)
    Adam(learning_rate=0.003, betas=(0.9, 0.999), eps=1e-08)
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    begin: ClassVar[Kernel] = adam_begin

    def __post_init__(self) -> None:
        _set(self, learning_rate=validation.real(self.learning_rate, "learning_rate", low=0, low_open=True))
        _set(self, eps=validation.real(self.eps, "eps", low=0, low_open=True))
        if not isinstance(self.betas, tuple | list) or len(self.betas) != 2:
            raise ValueError(f"betas must be two numbers in [0, 1), such as (0.9, 0.999), not {self.betas!r}")
        betas = tuple(
            validation.real(beta, f"betas[{k}]", low=0, high=1, high_open=True) for k, beta in enumerate(self.betas)
        )
        _set(self, betas=betas)

    @property
    def update(self) -> Kernel:
        return adam

    @property
    def moments(self) -> int:
        return 2


def _set(optimizer: Optimizer, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(optimizer, name, value)


OPTIMIZERS: dict[str, type[Optimizer]] = {entry.__name__: entry for entry in (SGD, Adam)}


def from_configuration(configuration: dict[str, Any]) -> Optimizer:
    """The optimiser that `Optimizer.configuration` described."""
    settings = dict(configuration)
    name = validation.choice(settings.pop("name", None), OPTIMIZERS, "optimizer")
    return OPTIMIZERS[name](**settings)
