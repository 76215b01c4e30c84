"""Optimisers that scale each parameter's gradient by its past squares: Adagrad, Adadelta, RMSProp."""

import math
from dataclasses import dataclass
from typing import ClassVar

from . import jit
from .jit import Kernel
from .optimizer import TINY, Optimizer, Update, begin, flushed, fraction, nonnegative, positive, switch, update

# ---------------------------------------------------------------------------------------------------- Adagrad


@begin
def adagrad_begin(settings, step, coefficients):
    learning_rate, lr_decay, weight_decay, initial, eps = (
        settings[0], settings[1], settings[2], settings[3], settings[4],
    )  # fmt: skip
    coefficients[0] = learning_rate / (1.0 + (step - 1.0) * lr_decay)
    coefficients[1] = weight_decay
    coefficients[2] = initial if step == 1.0 else 0.0
    coefficients[3] = max(eps, TINY)  # in float32 a smaller one might be 0, and 0 / 0 follow


@update(moments=1)
def adagrad(theta, total, g, c):
    """G <- G + g^2; theta <- theta - rate g / (sqrt(G) + eps)."""
    rate, weight_decay, initial, eps = c[:4]
    g = g + weight_decay * theta
    total = flushed(total + initial + g * g)
    return theta - rate * g / (math.sqrt(total) + eps), total


@dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011, figure 1, with a diagonal matrix), as in PyTorch.

    The paper's eta is `learning_rate`, delta is `eps`: G <- G + g^2, which begins at `initial_accumulator_value`, and
    at step t theta <- theta - eta / (1 + (t - 1) lr_decay) g / (sqrt(G) + delta), where
    g = dC/dtheta + weight_decay theta.

    learning_rate and eps: > 0. lr_decay, weight_decay, initial_accumulator_value: >= 0. decay_biases: whether weight
    decay applies to biases too. Raises ValueError or TypeError for anything else.

    >>> Adagrad(learning_rate=0.1)
    Adagrad(learning_rate=0.1)
    """

    learning_rate: float = positive(1e-2)
    lr_decay: float = nonnegative()
    weight_decay: float = nonnegative()
    initial_accumulator_value: float = nonnegative()
    eps: float = positive(1e-10)
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = adagrad_begin
    rule: ClassVar[Update] = adagrad


# --------------------------------------------------------------------------------------------------- Adadelta


@begin
def adadelta_begin(settings, step, coefficients):
    learning_rate, rho, eps, weight_decay = settings[0], settings[1], settings[2], settings[3]
    coefficients[0] = learning_rate
    coefficients[1] = rho
    coefficients[2] = 1.0 - rho
    coefficients[3] = max(eps, TINY)
    coefficients[4] = weight_decay


@update(moments=2)
def adadelta(theta, v, u, g, c):
    """v <- rho v + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(v + eps) g; u <- rho u + (1 - rho) d^2."""
    learning_rate, rho, rest, eps, weight_decay = c[:5]
    g = g + weight_decay * theta
    v = flushed(rho * v + rest * g * g)
    d = math.sqrt((u + eps) / (v + eps)) * g
    return theta - learning_rate * d, v, flushed(rho * u + rest * d * d)


@dataclass(frozen=True, repr=False)
class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012, algorithm 1), as in PyTorch, which multiplies the step by a learning rate.

    The paper's rho and epsilon are `rho` and `eps`: E[g^2] <- rho E[g^2] + (1 - rho) g^2,
    d = sqrt(E[d^2] + epsilon) / sqrt(E[g^2] + epsilon) g, E[d^2] <- rho E[d^2] + (1 - rho) d^2, and
    theta <- theta - learning_rate d, where g = dC/dtheta + weight_decay theta.

    learning_rate and eps: > 0. rho: in [0, 1). weight_decay: >= 0. decay_biases: whether it applies to biases too.
    Raises ValueError or TypeError for anything else.

    >>> Adadelta(rho=0.95)
    Adadelta(learning_rate=1.0, rho=0.95)
    """

    learning_rate: float = positive(1.0)
    rho: float = fraction(0.9)
    eps: float = positive(1e-6)
    weight_decay: float = nonnegative()
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = adadelta_begin
    rule: ClassVar[Update] = adadelta


# ---------------------------------------------------------------------------------------------------- RMSProp


@begin
def rmsprop_begin(settings, step, coefficients):
    learning_rate, alpha, eps, weight_decay, momentum = settings[0], settings[1], settings[2], settings[3], settings[4]
    coefficients[0] = learning_rate
    coefficients[1] = alpha
    coefficients[2] = 1.0 - alpha
    coefficients[3] = max(eps, TINY)
    coefficients[4] = weight_decay
    coefficients[5] = momentum


@update(moments=1)
def rmsprop(theta, v, g, c):
    """v <- alpha v + (1 - alpha) g^2; theta <- theta - rate g / (sqrt(v) + eps)."""
    learning_rate, alpha, rest, eps, weight_decay = c[:5]
    g = g + weight_decay * theta
    v = flushed(alpha * v + rest * g * g)
    return theta - learning_rate * g / (math.sqrt(v) + eps), v


@update(moments=2)
def rmsprop_momentum(theta, v, b, g, c):
    """b <- momentum b + g / (sqrt(v) + eps); theta <- theta - rate b."""
    learning_rate, alpha, rest, eps, weight_decay, momentum = c[:6]
    g = g + weight_decay * theta
    v = flushed(alpha * v + rest * g * g)
    b = flushed(momentum * b + g / (math.sqrt(v) + eps))
    return theta - learning_rate * b, v, b


@update(moments=2)
def rmsprop_centered(theta, v, mean, g, c):
    """With the variance v - mean^2 in the place of v; rounding must not make it negative."""
    learning_rate, alpha, rest, eps, weight_decay = c[:5]
    g = g + weight_decay * theta
    v = flushed(alpha * v + rest * g * g)
    mean = flushed(alpha * mean + rest * g)
    return theta - learning_rate * g / (math.sqrt(max(v - mean * mean, jit.like(v, 0.0))) + eps), v, mean


@update(moments=3)
def rmsprop_centered_momentum(theta, v, mean, b, g, c):
    learning_rate, alpha, rest, eps, weight_decay, momentum = c[:6]
    g = g + weight_decay * theta
    v = flushed(alpha * v + rest * g * g)
    mean = flushed(alpha * mean + rest * g)
    b = flushed(momentum * b + g / (math.sqrt(max(v - mean * mean, jit.like(v, 0.0))) + eps))
    return theta - learning_rate * b, v, mean, b


RMSPROP = {
    (False, False): rmsprop,
    (False, True): rmsprop_momentum,
    (True, False): rmsprop_centered,
    (True, True): rmsprop_centered_momentum,
}
"""(centered, with momentum)"""


@dataclass(frozen=True, repr=False)
class RMSProp(Optimizer):
    """RMSProp (Tieleman and Hinton, 2012, lecture 6e), centered as in Graves (2013), as in PyTorch: eps is added to the
    root.

    v <- alpha v + (1 - alpha) g^2 and theta <- theta - learning_rate g / (sqrt(v) + eps), where
    g = dC/dtheta + weight_decay theta. With `centered` a mean m of g is kept like v, and v - m^2 takes its place. With
    momentum b <- momentum b + g / (sqrt(v) + eps) and theta <- theta - learning_rate b.

    learning_rate and eps: > 0. alpha and momentum: in [0, 1). weight_decay: >= 0. decay_biases: whether it applies to
    biases too. Raises ValueError or TypeError for anything else.

    >>> RMSProp(alpha=0.9, centered=True)
    RMSProp(learning_rate=0.01, alpha=0.9, centered=True)
    """

    learning_rate: float = positive(1e-2)
    alpha: float = fraction(0.99)
    eps: float = positive(1e-8)
    weight_decay: float = nonnegative()
    momentum: float = fraction(0.0)
    centered: bool = switch(False)
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = rmsprop_begin

    @property
    def update(self) -> Update:
        return RMSPROP[self.centered, self.momentum > 0]
