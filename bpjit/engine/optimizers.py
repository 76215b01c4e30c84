"""The table of optimisers: E10 and its relatives, applied to a finished gradient tile. Here also those without a scale
of the gradient: gradient descent, and what looks at its sign alone.

In the rules g is dC/dtheta of one parameter, and c what `begin` has computed for the step.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from .. import validation
from . import jit
from .adam import Adam, Adamax, AdamW, NAdam
from .adaptive import Adadelta, Adagrad, RMSProp
from .jit import Kernel
from .optimizer import (
    COEFFICIENTS,
    Optimizer,
    Update,
    begin,
    flushed,
    fraction,
    nonnegative,
    pair,
    positive,
    sign,
    switch,
    update,
    whole,
)

__all__ = [
    "COEFFICIENTS", "LBFGS", "OPTIMIZERS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam",
    "Optimizer", "RMSProp", "RProp", "from_configuration",
]  # fmt: skip


# ------------------------------------------------------------------------------------------- gradient descent


@begin
def sgd_begin(settings, step, coefficients):
    learning_rate, momentum, nesterov, dampening, weight_decay = (
        settings[0], settings[1], settings[2], settings[3], settings[4],
    )  # fmt: skip
    coefficients[0] = learning_rate
    coefficients[1] = weight_decay
    coefficients[2] = momentum
    coefficients[3] = 1.0 if step == 1.0 else 1.0 - dampening
    coefficients[4] = 1.0 if nesterov else 0.0
    coefficients[5] = momentum if nesterov else 1.0


@update(moments=0)
def sgd(theta, g, c):
    """E10: theta <- theta - learning_rate (dC/dtheta + weight_decay theta)."""
    learning_rate, weight_decay = c[:2]
    return theta - learning_rate * (g + weight_decay * theta)  # E10


@update(moments=1)
def sgd_momentum(theta, v, g, c):
    """v <- momentum v + (1 - dampening) g; theta <- theta - learning_rate v, or Nesterov's (g + momentum v)."""
    learning_rate, weight_decay, momentum, of_new, of_gradient, of_velocity = c[:6]
    g = g + weight_decay * theta
    v = flushed(momentum * v + of_new * g)
    return theta - learning_rate * (of_gradient * g + of_velocity * v), v  # E10


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent (E10), with momentum (Polyak, 1964) and Nesterov's variant, as in PyTorch's SGD.

    With g = dC/dtheta + weight_decay theta: v <- momentum v + (1 - dampening) g, but v = g in the first step, and
    theta <- theta - learning_rate v; with `nesterov` theta <- theta - learning_rate (g + momentum v). The learning rate
    stands outside v, so that a new one takes effect at once.

    learning_rate: eta of E10, > 0. momentum: in [0, 1). nesterov: needs momentum > 0 and no dampening. dampening: in
    [0, 1), needs momentum > 0. weight_decay: lambda of the L2 penalty lambda/2 |theta|^2, >= 0. decay_biases: whether
    it applies to biases too. Raises ValueError or TypeError for anything else.

    >>> SGD(learning_rate=0.1, momentum=0.9)
    SGD(learning_rate=0.1, momentum=0.9)
    """

    learning_rate: float = positive(1e-3)
    momentum: float = fraction(0.0)
    nesterov: bool = switch(False)
    dampening: float = fraction(0.0)
    weight_decay: float = nonnegative()
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = sgd_begin

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum above 0: give for example momentum=0.9")
        if self.dampening and self.momentum == 0:
            raise ValueError("dampening needs a momentum above 0: give for example momentum=0.9")
        if self.nesterov and self.dampening:
            raise ValueError(f"nesterov=True goes with dampening=0 alone, not {self.dampening}")

    @property
    def update(self) -> Update:
        return sgd_momentum if self.momentum else sgd


# -------------------------------------------------------------------------------------------- signs of gradients


@begin
def lion_begin(settings, step, coefficients):
    learning_rate, beta_1, beta_2, weight_decay = settings[0], settings[1], settings[2], settings[3]
    coefficients[0] = learning_rate
    coefficients[1] = beta_1
    coefficients[2] = 1.0 - beta_1
    coefficients[3] = beta_2
    coefficients[4] = 1.0 - beta_2
    coefficients[5] = learning_rate * weight_decay


@update(moments=1)
def lion(theta, m, g, c):
    """theta <- theta - eta (sign(beta_1 m + (1 - beta_1) g) + lambda theta); m <- beta_2 m + (1 - beta_2) g."""
    learning_rate, beta_1, rest_1, beta_2, rest_2, shrink = c[:6]
    direction = sign(beta_1 * m + rest_1 * g)
    return theta - (learning_rate * direction + shrink * theta), flushed(beta_2 * m + rest_2 * g)


@dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Lion (Chen et al., 2023, algorithm 2): steps of one length, in the direction of the sign of the momentum.

    The paper's eta is `learning_rate`, beta_1 and beta_2 are `betas`, lambda is `weight_decay`, which is decoupled:
    theta <- theta - eta (sign(beta_1 m + (1 - beta_1) g) + lambda theta), then m <- beta_2 m + (1 - beta_2) g. The
    defaults are those of the authors' code. The paper advises a learning rate of a third to a tenth of AdamW's, and a
    weight decay that is larger by as much.

    learning_rate: > 0. betas: two numbers in [0, 1). weight_decay: >= 0. decay_biases: whether it applies to biases
    too. Raises ValueError or TypeError for anything else.

    >>> Lion(weight_decay=0.1)
    Lion(learning_rate=0.0001, weight_decay=0.1)
    """

    learning_rate: float = positive(1e-4)
    betas: tuple[float, float] = pair((0.9, 0.99))
    weight_decay: float = nonnegative()
    decay_biases: bool = switch(True)

    begin: ClassVar[Kernel] = lion_begin
    rule: ClassVar[Update] = lion


@begin
def rprop_begin(settings, step, coefficients):
    learning_rate, eta_minus, eta_plus, least, most = settings[0], settings[1], settings[2], settings[3], settings[4]
    coefficients[0] = learning_rate if step == 1.0 else 0.0
    coefficients[1] = eta_minus
    coefficients[2] = eta_plus
    coefficients[3] = least
    coefficients[4] = most


@update(moments=2)
def rprop(theta, previous, size, g, c):
    """Longer steps while the sign of g stays, shorter ones where it changes, and none in the step that sees that."""
    first, eta_minus, eta_plus, least, most = c[:5]
    zero = jit.like(g, 0.0)
    agreement = sign(g) * sign(previous)  # of signs: the product of two small gradients may be 0
    factor = eta_plus if agreement > zero else (eta_minus if agreement < zero else jit.like(g, 1.0))
    size = min(max((size + first) * factor, least), most)
    g = zero if agreement < zero else g
    return theta - sign(g) * size, g, size


@dataclass(frozen=True, repr=False)
class RProp(Optimizer):
    """Resilient propagation (Riedmiller and Braun, 1993), as iRprop- (Igel and Hüsken, 2000), as in PyTorch.

    Each parameter has a step size Delta, which grows by eta+ while the sign of its gradient stays and shrinks by eta-
    when it changes, in which case the parameter rests and the gradient counts as 0 in the next step:
    theta <- theta - sign(g) Delta. Gradients of parts of the data change their signs by chance, hence it needs all
    samples in every mini-batch: batch_size=len(X).

    learning_rate: Delta_0, the first step size, > 0. etas: (eta-, eta+), in (0, 1) and above 1. step_sizes:
    (Delta_min, Delta_max), > 0. Raises ValueError or TypeError for anything else.

    >>> RProp(step_sizes=(1e-6, 1.0))
    RProp(learning_rate=0.01, step_sizes=(1e-06, 1.0))
    """

    learning_rate: float = positive(1e-2)
    etas: tuple[float, float] = pair((0.5, 1.2), "on both sides of 1", low=0, low_open=True)
    step_sizes: tuple[float, float] = pair((1e-6, 50.0), "above 0", low=0, low_open=True)

    begin: ClassVar[Kernel] = rprop_begin
    rule: ClassVar[Update] = rprop
    full_batch: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.etas[0] < 1 < self.etas[1]:
            raise ValueError(f"etas must be a number below 1 and one above, such as (0.5, 1.2), not {self.etas}")
        if self.step_sizes[0] > self.step_sizes[1]:
            raise ValueError(f"step_sizes must be (smallest, largest), such as (1e-06, 50.0), not {self.step_sizes}")


# ------------------------------------------------------------------------------------------------- second order


@dataclass(frozen=True, repr=False)
class LBFGS(Optimizer):
    """L-BFGS (Liu and Nocedal, 1989) by SciPy's `minimize`, method L-BFGS-B (extra `scipy`), on all samples at once.

    An epoch is an iteration: a direction from the last `history` changes of parameters and gradient, and a line search
    along it, which asks for a few losses and gradients of the whole data; the history's "loss" is that after the
    iteration. batch_size and shuffle play no part. A fit ends early where no gradient exceeds `tolerance`, or where
    the line search finds no smaller loss, which is the rounding's limit. What it remembers of the curvature is not kept
    between fits, nor in a checkpoint: a resumed run goes on from the same parameters, but not with the same bits.

    history: changes remembered, the paper's m, >= 1. max_line_search: losses asked for in a line search at most,
    >= 1. tolerance: of the largest dC/dtheta, >= 0. weight_decay: lambda of the penalty lambda/2 |theta|^2, >= 0, which
    the history's losses leave out. decay_biases: whether it applies to biases too. Raises ValueError or TypeError for
    anything else.

    >>> LBFGS(history=20)
    LBFGS(history=20)
    """

    history: int = whole(10)
    max_line_search: int = whole(20)
    tolerance: float = nonnegative(1e-5)
    weight_decay: float = nonnegative()
    decay_biases: bool = switch(True)

    @property
    def moments(self) -> int:
        return 0

    def alike(self, other: Optimizer) -> bool:
        if not isinstance(other, LBFGS):
            return False
        return replace(other, weight_decay=self.weight_decay, decay_biases=self.decay_biases) == self


# --------------------------------------------------------------------------------------------------- the table

OPTIMIZERS: dict[str, type[Optimizer]] = {
    entry.__name__: entry for entry in (SGD, RMSProp, Adagrad, Adadelta, Adam, AdamW, NAdam, Adamax, Lion, RProp, LBFGS)
}


def from_configuration(configuration: dict[str, Any]) -> Optimizer:
    """The optimiser that `Optimizer.configuration` described."""
    settings = dict(configuration)
    name = validation.choice(settings.pop("name", None), OPTIMIZERS, "optimizer")
    return OPTIMIZERS[name](**settings)
