"""Adam and what came of it: a mean of gradients, scaled by a mean of their squares or by their largest."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from . import jit
from .jit import Kernel
from .optimizer import TINY, Optimizer, Update, begin, flushed, nonnegative, pair, positive, switch, update


@jit.inline
def means(coefficients, beta_1, beta_2, step, eps):
    """The coefficients that all of them share, from number 1 on."""
    coefficients[1] = beta_1
    coefficients[2] = 1.0 - beta_1
    coefficients[3] = beta_2
    coefficients[4] = 1.0 - beta_2
    coefficients[5] = 1.0 / math.sqrt(1.0 - beta_2**step)
    coefficients[6] = max(eps, TINY)  # in float32 a smaller one might be 0, and 0 / 0 follow


@begin
def adam_begin(settings, step, coefficients):
    learning_rate, beta_1, beta_2, eps, weight_decay = settings[0], settings[1], settings[2], settings[3], settings[4]
    means(coefficients, beta_1, beta_2, step, eps)
    coefficients[0] = learning_rate / (1.0 - beta_1**step)
    coefficients[7] = weight_decay
    coefficients[8] = 0.0


@begin
def adamw_begin(settings, step, coefficients):
    learning_rate, beta_1, beta_2, eps, weight_decay = settings[0], settings[1], settings[2], settings[3], settings[4]
    means(coefficients, beta_1, beta_2, step, eps)
    coefficients[0] = learning_rate / (1.0 - beta_1**step)
    coefficients[7] = 0.0
    coefficients[8] = learning_rate * weight_decay


@update(moments=2)
def adam(theta, m, v, g, c):
    """m <- beta_1 m + (1 - beta_1) g; v <- beta_2 v + (1 - beta_2) g^2; theta <- theta - rate m^ / (sqrt(v^) + eps)."""
    rate, beta_1, rest_1, beta_2, rest_2, correction, eps, weight_decay, shrink = c[:9]
    g = g + weight_decay * theta
    m = flushed(beta_1 * m + rest_1 * g)
    v = flushed(beta_2 * v + rest_2 * g * g)
    return theta - (rate * m / (math.sqrt(v) * correction + eps) + shrink * theta), m, v  # E10


@update(moments=3)
def amsgrad(theta, m, v, largest, g, c):
    """Adam with the largest v so far in the place of v."""
    rate, beta_1, rest_1, beta_2, rest_2, correction, eps, weight_decay, shrink = c[:9]
    g = g + weight_decay * theta
    m = flushed(beta_1 * m + rest_1 * g)
    v = flushed(beta_2 * v + rest_2 * g * g)
    largest = max(largest, v)
    return theta - (rate * m / (math.sqrt(largest) * correction + eps) + shrink * theta), m, v, largest


class _Adam(Optimizer):
    """What Adam and AdamW have in common."""

    amsgrad: bool

    @property
    def update(self) -> Update:
        return amsgrad if self.amsgrad else adam


@dataclass(frozen=True, repr=False)
class Adam(_Adam):
    """Adam (Kingma and Ba, 2015, algorithm 1), with bias correction, as in PyTorch: eps is added after the correction.

    The paper's alpha is `learning_rate`, beta_1 and beta_2 are `betas`, epsilon is `eps`:
    m <- beta_1 m + (1 - beta_1) g, v <- beta_2 v + (1 - beta_2) g^2, and at step t
    theta <- theta - alpha m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon), where
    g = dC/dtheta + weight_decay theta. With `amsgrad` (AMSGrad: Reddi, Kale and Kumar, 2018) the largest v so far takes
    the place of v, before its correction.

    learning_rate and eps: > 0. betas: two numbers in [0, 1). weight_decay: lambda of the L2 penalty
    lambda/2 |theta|^2, >= 0; AdamW decouples it. decay_biases: whether it applies to biases too. Raises ValueError or
    TypeError for anything else.

    >>> Adam(learning_rate=3e-3)
    Adam(learning_rate=0.003)
    """

    learning_rate: float = positive(1e-3)
    betas: tuple[float, float] = pair((0.9, 0.999))
    eps: float = positive(1e-8)
    weight_decay: float = nonnegative()
    amsgrad: bool = switch(False)
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = adam_begin


@dataclass(frozen=True, repr=False)
class AdamW(_Adam):
    """AdamW (Loshchilov and Hutter, 2019, algorithm 2): Adam whose weight decay does not pass through the moments.

    As in PyTorch the decay is multiplied by the learning rate: the paper's lambda is `weight_decay`, alpha
    `learning_rate` with eta_t = 1, and theta <- theta - alpha (m^ / (sqrt(v^) + epsilon) + lambda theta), with m^ and
    v^ as in Adam and g = dC/dtheta.

    Settings and errors are those of Adam; weight_decay is 0.01 unless given.

    >>> AdamW(weight_decay=0.1)
    AdamW(learning_rate=0.001, weight_decay=0.1)
    """

    learning_rate: float = positive(1e-3)
    betas: tuple[float, float] = pair((0.9, 0.999))
    eps: float = positive(1e-8)
    weight_decay: float = nonnegative(1e-2)
    amsgrad: bool = switch(False)
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = adamw_begin


# ------------------------------------------------------------------------------------------------------- NAdam


@jit.inline
def mu(beta_1, step, momentum_decay):
    return beta_1 * (1.0 - 0.5 * 0.96 ** (step * momentum_decay))


@begin
def nadam_begin(settings, step, coefficients):
    learning_rate, beta_1, beta_2, eps, weight_decay, momentum_decay, decoupled = (
        settings[0], settings[1], settings[2], settings[3], settings[4], settings[5], settings[6],
    )  # fmt: skip
    # The product of mu_1 .. mu_step follows from the settings: the notes only spare computing it anew in every step.
    # Each loop ends once the product is 0, which also keeps the compiler from reordering the factors.
    done, product = settings[NOTES], settings[NOTES + 1]
    if not 0.0 < done <= step:
        done, product = 0.0, 1.0
    while done < step and product > 0.0:
        done += 1.0
        product *= mu(beta_1, done, momentum_decay)
    settings[NOTES], settings[NOTES + 1] = step, product
    following = mu(beta_1, step + 1.0, momentum_decay)
    means(coefficients, beta_1, beta_2, step, eps)
    coefficients[0] = learning_rate * (1.0 - mu(beta_1, step, momentum_decay)) / (1.0 - product)
    coefficients[7] = learning_rate * following / (1.0 - product * following)
    coefficients[8] = 0.0 if decoupled else weight_decay
    coefficients[9] = learning_rate * weight_decay if decoupled else 0.0


NOTES = 8
"""Where the settings of NAdam have room for a step and the product of mu up to it."""


@update(moments=2)
def nadam(theta, m, v, g, c):
    """m and v as in Adam; theta <- theta - (of_g g + of_m m) / (sqrt(v^) + eps)."""
    of_g, beta_1, rest_1, beta_2, rest_2, correction, eps, of_m, weight_decay, shrink = c[:10]
    g = g + weight_decay * theta
    m = flushed(beta_1 * m + rest_1 * g)
    v = flushed(beta_2 * v + rest_2 * g * g)
    return theta - ((of_g * g + of_m * m) / (math.sqrt(v) * correction + eps) + shrink * theta), m, v


@dataclass(frozen=True, repr=False)
class NAdam(Optimizer):
    """NAdam (Dozat, 2016): Adam with Nesterov's look ahead, with the schedule of mu of the paper, as in PyTorch.

    The paper's alpha is `learning_rate`, mu and nu are `betas`, epsilon is `eps`. With
    mu_t = beta_1 (1 - 0.96^(t psi) / 2), psi being `momentum_decay`, and m, v as in Adam, theta <- theta -
    alpha ((1 - mu_t) g / (1 - mu_1 ... mu_t) + mu_(t+1) m / (1 - mu_1 ... mu_(t+1))) / (sqrt(v^) + epsilon), where
    v^ = v / (1 - beta_2^t), and g = dC/dtheta + weight_decay theta. With `decoupled_weight_decay` theta shrinks by
    alpha weight_decay theta instead, as in AdamW.

    learning_rate and eps: > 0. betas: two numbers in [0, 1). weight_decay and momentum_decay: >= 0. decay_biases:
    whether weight decay applies to biases too. Raises ValueError or TypeError for anything else.

    >>> NAdam(momentum_decay=0.0)
    NAdam(learning_rate=0.002, momentum_decay=0.0)
    """

    learning_rate: float = positive(2e-3)
    betas: tuple[float, float] = pair((0.9, 0.999))
    eps: float = positive(1e-8)
    weight_decay: float = nonnegative()
    momentum_decay: float = nonnegative(4e-3)
    decoupled_weight_decay: bool = switch(False)
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = nadam_begin
    rule: ClassVar[Update] = nadam

    def settings(self) -> np.ndarray:
        return np.append(super().settings(), [0.0, 0.0])


# ------------------------------------------------------------------------------------------------------ Adamax


@begin
def adamax_begin(settings, step, coefficients):
    learning_rate, beta_1, beta_2, eps, weight_decay = settings[0], settings[1], settings[2], settings[3], settings[4]
    means(coefficients, beta_1, beta_2, step, eps)
    coefficients[0] = learning_rate / (1.0 - beta_1**step)
    coefficients[7] = weight_decay


@update(moments=2)
def adamax(theta, m, u, g, c):
    """m as in Adam; u <- max(beta_2 u, |g| + eps); theta <- theta - rate m^ / u."""
    rate, beta_1, rest_1, beta_2, _, _, eps, weight_decay = c[:8]
    g = g + weight_decay * theta
    m = flushed(beta_1 * m + rest_1 * g)
    u = max(beta_2 * u, abs(g) + eps)
    return theta - rate * m / u, m, u


@dataclass(frozen=True, repr=False)
class Adamax(Optimizer):
    """Adamax (Kingma and Ba, 2015, algorithm 2), as in PyTorch: eps is added to |g|.

    The paper's alpha is `learning_rate`, beta_1 and beta_2 are `betas`: m <- beta_1 m + (1 - beta_1) g,
    u <- max(beta_2 u, |g| + eps), and at step t theta <- theta - alpha m / (1 - beta_1^t) / u, where
    g = dC/dtheta + weight_decay theta.

    learning_rate and eps: > 0. betas: two numbers in [0, 1). weight_decay: >= 0. decay_biases: whether it applies to
    biases too. Raises ValueError or TypeError for anything else.

    >>> Adamax()
    Adamax(learning_rate=0.002)
    """

    learning_rate: float = positive(2e-3)
    betas: tuple[float, float] = pair((0.9, 0.999))
    eps: float = positive(1e-8)
    weight_decay: float = nonnegative()
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = adamax_begin
    rule: ClassVar[Update] = adamax
