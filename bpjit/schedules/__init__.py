"""Schedules of the learning rate: a factor on the optimiser's rate for every mini-batch step.

A duration is given in epochs, whole or not, or in mini-batch steps; the factor moves on from step to step in either
case, and `PerEpoch` holds it through an epoch, as PyTorch does where a scheduler is stepped once an epoch.
docs/schedules.md shows the curves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation
from .base import Schedule, State, Timed
from .plateau import Adaptive, OnPlateau
from .timed import Constant, Cosine, Exponential, Function, InverseScaling, OneCycle, Polynomial, Range, Step

__all__ = [
    "SCHEDULES",
    "Adaptive",
    "Constant",
    "Cosine",
    "Exponential",
    "Function",
    "InverseScaling",
    "OnPlateau",
    "OneCycle",
    "PerEpoch",
    "Polynomial",
    "Range",
    "Schedule",
    "Step",
    "WarmUp",
    "from_configuration",
    "schedule",
]


@dataclass(frozen=True)
class Wrapping(Schedule):
    """A schedule around another, whose results it passes on."""

    @property
    def inner(self) -> Schedule:
        raise NotImplementedError

    @property
    def watched(self) -> str | None:
        return self.inner.watched

    @property
    def counts_epochs(self) -> bool:
        return self.inner.counts_epochs

    def begin(self) -> State:
        return self.inner.begin()

    def observe(self, state: Mapping[str, Any], record: Mapping[str, float]) -> State:
        return self.inner.observe(state, record)

    def ended(self, state: Mapping[str, Any], learning_rate: float) -> str | None:
        return self.inner.ended(state, learning_rate)

    def restored(self, state: Mapping[str, Any]) -> State:
        return self.inner.restored(state)


@dataclass(frozen=True)
class PerEpoch(Wrapping):
    """Another schedule in stairs: an epoch has the factor of its first step.

    That is how PyTorch's schedulers run when they are stepped once an epoch, and Keras' LearningRateScheduler.

    >>> PerEpoch(Polynomial(epochs=4)).factors(0, 6, steps_per_epoch=2)
    array([1.  , 1.  , 0.75, 0.75, 0.5 , 0.5 ])
    """

    of: Any

    def __post_init__(self) -> None:
        self._set(of=schedule(self.of, "of"))

    @property
    def inner(self) -> Schedule:
        return self.of

    @property
    def counts_epochs(self) -> bool:
        return True

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        first, of_each = np.unique(steps // steps_per_epoch * steps_per_epoch, return_inverse=True)
        return self.of.values(first, steps_per_epoch, state)[of_each]


@dataclass(frozen=True)
class WarmUp(Timed, Wrapping):
    """A straight line from `start` times the rate up to it, and then another schedule, whose time begins there.

    Goyal et al. (2017), Accurate, large minibatch SGD. PyTorch's SequentialLR of LinearLR, whose start_factor is
    `start` and whose default is 1/3, and another. Results that drive the other one count from the first epoch on.

    then: a schedule or a function of the step; None for a constant one. start: in [0, 1]. Raises ValueError or
    TypeError for anything else.

    >>> WarmUp(steps=2, start=0.5, then=Polynomial(steps=4)).factors(0, 6, steps_per_epoch=10)
    array([0.5 , 0.75, 1.  , 0.75, 0.5 , 0.25])
    """

    epochs: float | None = None
    steps: int | None = None
    then: Any = None
    start: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(then=schedule(self.then, "then"), start=validation.real(self.start, "start", low=0, high=1))

    @property
    def inner(self) -> Schedule:
        return self.then

    @property
    def counts_epochs(self) -> bool:
        return self.epochs is not None or self.then.counts_epochs

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        duration = self.duration(steps_per_epoch)
        ramp = self.start + (1.0 - self.start) * np.minimum(steps / duration, 1.0)
        return ramp * self.then.values(np.maximum(steps - np.ceil(duration), 0.0), steps_per_epoch, state)


SCHEDULES: dict[str, type[Schedule]] = {
    entry.__name__: entry
    for entry in (
        Constant, Step, Exponential, InverseScaling, Polynomial, Cosine, OneCycle, WarmUp, PerEpoch, OnPlateau,
        Adaptive, Range, Function,
    )
}  # fmt: skip


def schedule(value: Any, name: str = "schedule") -> Schedule:
    """value as a schedule: one of them as it is, a function of the step as a `Function`, None as a constant one.

    Raises TypeError or ValueError for anything else; `name` is what the message calls it.

    >>> schedule(None)
    Constant(factor=1.0)
    """
    if isinstance(value, Schedule):
        return value
    if value is None:
        return Constant()
    if isinstance(value, str):
        known = validation.choice(value, SCHEDULES, name)
        raise TypeError(f"{name} must be a schedule with its settings, not its name: give bpjit.schedules.{known}(...)")
    if isinstance(value, type) or not callable(value):
        example = f"{value.__name__}(...)" if value in SCHEDULES.values() else "Cosine(epochs=30)"
        raise TypeError(
            f"{name} must be one such as bpjit.schedules.{example}, or a function of the step, not {value!r}"
        )
    return Function(value)


def from_configuration(configuration: Mapping[str, Any]) -> Schedule:
    """The schedule that `Schedule.configuration` described. Raises ValueError or TypeError for an unsound one.

    >>> from_configuration(WarmUp(steps=500, then=Cosine(epochs=30)).configuration()).then.epochs
    30.0
    """
    settings = dict(configuration)
    name = validation.choice(settings.pop("name", None), SCHEDULES, "schedule")
    inner = {key: from_configuration(value) for key, value in settings.items() if isinstance(value, Mapping)}
    return SCHEDULES[name](**settings | inner)
