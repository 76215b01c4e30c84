"""Gradient descent and Adam as scikit-learn has them: the engine's update kernels, with coefficients of their own."""

import math
from dataclasses import dataclass
from typing import ClassVar

from . import optimizers
from .jit import Kernel
from .optimizer import TINY, Update, begin, real

__all__ = ["SGD", "Adam"]


@begin
def sgd_begin(settings, step, coefficients):
    """v <- momentum v + eta g; theta <- theta - v, or Nesterov's theta - (momentum v + eta g): eta inside v."""
    learning_rate, momentum, nesterov = settings[0], settings[1], settings[2]
    coefficients[0] = 1.0
    coefficients[1] = 0.0
    coefficients[2] = momentum
    coefficients[3] = learning_rate
    coefficients[4] = learning_rate if nesterov else 0.0
    coefficients[5] = momentum if nesterov else 1.0


@dataclass(frozen=True, repr=False)
class SGD(optimizers.SGD):
    """Gradient descent whose velocity keeps the learning rates that it was made with, as scikit-learn's.

    v <- momentum v - learning_rate g and theta <- theta + v; with `nesterov` theta <- theta + momentum v -
    learning_rate g. It is PyTorch's rule as long as the rate stays the same; once a schedule lowers it, what the
    velocity has gathered goes on at the old one. The sign of v that is kept is the other one.

    momentum: in [0, 1], as scikit-learn admits. The other settings are those of `bpjit.SGD`; of them only learning_rate
    and nesterov matter here.

    >>> SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    SGD(learning_rate=0.1, momentum=0.9, nesterov=True)
    """

    momentum: float = real(0.0, low=0, high=1)

    begin: ClassVar[Kernel] = sgd_begin

    @property
    def update(self) -> Update:
        return optimizers.sgd_momentum


@begin
def adam_begin(settings, step, coefficients):
    """Adam with epsilon added to sqrt(v) itself, before the correction that is taken into the rate."""
    learning_rate, beta_1, beta_2, eps = settings[0], settings[1], settings[2], settings[3]
    coefficients[0] = learning_rate * math.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    coefficients[1] = beta_1
    coefficients[2] = 1.0 - beta_1
    coefficients[3] = beta_2
    coefficients[4] = 1.0 - beta_2
    coefficients[5] = 1.0
    coefficients[6] = max(eps, TINY)
    coefficients[7] = 0.0
    coefficients[8] = 0.0


@dataclass(frozen=True, repr=False)
class Adam(optimizers.Adam):
    """Adam in the form at the end of section 2 of Kingma and Ba (2015), as scikit-learn has it.

    theta <- theta - learning_rate sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + eps): `bpjit.Adam` with
    eps / sqrt(1 - beta_2^t) in the place of eps. The settings are those of `bpjit.Adam`; weight_decay plays no part.

    >>> Adam()
    Adam(learning_rate=0.001)
    """

    begin: ClassVar[Kernel] = adam_begin
