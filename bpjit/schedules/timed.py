"""Schedules that are driven by time: curves of the step, x = steps so far over the duration.

A duration is given in epochs, whole or not, or in mini-batch steps; the factor moves on from step to step in either
case. Steps are counted from 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import validation
from .base import Schedule, Timed


@dataclass(frozen=True)
class Constant(Schedule):
    """The optimiser's learning rate throughout, times `factor` (> 0).

    >>> Constant().factors(0, 3, steps_per_epoch=10)
    array([1., 1., 1.])
    """

    factor: float = 1.0

    def __post_init__(self) -> None:
        self._set(factor=validation.real(self.factor, "factor", low=0, low_open=True))

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        return np.full(steps.shape, self.factor)


@dataclass(frozen=True)
class Step(Timed):
    """Multiplies the rate by `gamma` every so many epochs or steps; or, of a list of them, at each.

    PyTorch's StepLR, gamma^floor(x), with `epochs` or `steps` for its step_size; with a list, its MultiStepLR and
    milestones. gamma: in (0, 1]. Raises ValueError or TypeError for anything else.

    >>> Step(epochs=2).factors(0, 6, steps_per_epoch=1)
    array([1.  , 1.  , 0.1 , 0.1 , 0.01, 0.01])
    >>> Step(steps=[1, 4], gamma=0.5).factors(0, 6, steps_per_epoch=1)
    array([1.  , 0.5 , 0.5 , 0.5 , 0.25, 0.25])
    """

    epochs: float | tuple[float, ...] | None = None
    steps: int | tuple[int, ...] | None = None
    gamma: float = 0.1

    def __post_init__(self) -> None:
        self._set(gamma=validation.real(self.gamma, "gamma", low=0, low_open=True, high=1))
        name = "epochs" if self.steps is None else "steps"
        places = getattr(self, name)
        if not isinstance(places, list | tuple) or (self.epochs is not None and self.steps is not None):
            super().__post_init__()
            return
        checked: list[float] = []
        for k, place in enumerate(places):
            if name == "steps":
                checked.append(validation.integer(place, f"steps[{k}]", low=1))
            else:
                checked.append(validation.real(place, f"epochs[{k}]", low=0, low_open=True))
        if not checked or any(b <= a for a, b in pairwise(checked)):
            raise ValueError(f"{name} must be one number or a list that rises, such as [30, 60, 80], not {places!r}")
        self._set(**{name: tuple(checked)})

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        unit, places = (steps_per_epoch, self.epochs) if self.steps is None else (1, self.steps)
        if isinstance(places, tuple):
            passed = np.searchsorted(np.array(places, np.float64) * unit, steps, side="right").astype(np.float64)
        else:
            passed = np.floor(steps / self.duration(steps_per_epoch))
        return self.gamma**passed


@dataclass(frozen=True)
class Exponential(Timed):
    """Multiplies the rate by `gamma` over so many epochs (1 unless said otherwise) or steps, a little in every step.

    gamma^x. With steps=1, and in PerEpoch with epochs=1, PyTorch's ExponentialLR. gamma: in (0, 1]. Raises ValueError
    or TypeError for anything else.

    >>> Exponential(gamma=0.25).factors(0, 5, steps_per_epoch=2)
    array([1.    , 0.5   , 0.25  , 0.125 , 0.0625])
    """

    epochs: float | None = None
    steps: int | None = None
    gamma: float = 0.95

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None:
            self._set(epochs=1.0)
        super().__post_init__()
        self._set(gamma=validation.real(self.gamma, "gamma", low=0, low_open=True, high=1))

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        return self.gamma ** (steps / self.duration(steps_per_epoch))


@dataclass(frozen=True)
class InverseScaling(Timed):
    """The rate over a power of the time: (1 + x)^-power, by default of the steps so far.

    scikit-learn's "invscaling", whose power_t is `power`. Its MLPs count samples and change the rate once an epoch: of
    S samples PerEpoch(InverseScaling(epochs=1 / S)) is that. power: > 0. Raises ValueError or TypeError for anything
    else.

    >>> InverseScaling().factors(0, 4, steps_per_epoch=10)
    array([1.        , 0.70710678, 0.57735027, 0.5       ])
    """

    epochs: float | None = None
    steps: int | None = None
    power: float = 0.5

    def __post_init__(self) -> None:
        if self.epochs is None and self.steps is None:
            self._set(steps=1)
        super().__post_init__()
        self._set(power=validation.real(self.power, "power", low=0, low_open=True))

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        return (1.0 + steps / self.duration(steps_per_epoch)) ** -self.power


@dataclass(frozen=True)
class Polynomial(Timed):
    """From the rate down to `minimum` times it, and no further: minimum + (1 - minimum) (1 - x)^power.

    PyTorch's PolynomialLR, which has no minimum; power 1 is a straight line. power: > 0. minimum: in [0, 1]. Raises
    ValueError or TypeError for anything else.

    >>> Polynomial(steps=4).factors(0, 6, steps_per_epoch=10)
    array([1.  , 0.75, 0.5 , 0.25, 0.  , 0.  ])
    """

    epochs: float | None = None
    steps: int | None = None
    power: float = 1.0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            power=validation.real(self.power, "power", low=0, low_open=True),
            minimum=validation.real(self.minimum, "minimum", low=0, high=1),
        )

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        left = 1.0 - np.minimum(steps / self.duration(steps_per_epoch), 1.0)
        return self.minimum + (1.0 - self.minimum) * left**self.power


@dataclass(frozen=True)
class Cosine(Timed):
    """Half a cosine from the rate down to `minimum` times it: minimum + (1 - minimum) (1 + cos(pi x)) / 2.

    Loshchilov and Hutter (2017), SGDR, equation 5: T_i is the duration, eta_max the optimiser's rate, eta_min `minimum`
    times it. With restarts=True it begins anew after each period, which is `growth` (T_mult) times as long as the one
    before. PyTorch's CosineAnnealingLR and CosineAnnealingWarmRestarts; but without restarts the rate stays at its
    minimum in the end, where PyTorch's rises again.

    minimum: in [0, 1]. growth: >= 1, only with restarts. Raises ValueError or TypeError for anything else.

    >>> Cosine(steps=2).factors(0, 4, steps_per_epoch=10)
    array([1. , 0.5, 0. , 0. ])
    >>> Cosine(steps=2, restarts=True).factors(0, 4, steps_per_epoch=10)
    array([1. , 0.5, 1. , 0.5])
    """

    epochs: float | None = None
    steps: int | None = None
    minimum: float = 0.0
    restarts: bool = False
    growth: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            minimum=validation.real(self.minimum, "minimum", low=0, high=1),
            restarts=validation.switch(self.restarts, "restarts"),
            growth=validation.real(self.growth, "growth", low=1),
        )
        if self.growth > 1 and not self.restarts:
            raise ValueError(f"growth={self.growth:g} makes periods longer, of which there is one: give restarts=True")

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        period = np.full(steps.shape, self.duration(steps_per_epoch))
        if not self.restarts:
            done = np.minimum(steps, period)
        elif self.growth == 1.0:
            done = np.fmod(steps, period)
        else:
            begins, length = [0.0], float(period[0]) if period.size else 1.0
            while begins[-1] + length <= steps.max(initial=0.0):
                begins.append(begins[-1] + length)
                length *= self.growth
            number = np.searchsorted(begins, steps, side="right") - 1
            done, period = steps - np.array(begins)[number], period * self.growth ** number.astype(np.float64)
        return self.minimum + (1.0 - self.minimum) * (1.0 + np.cos(np.pi * (done / period))) / 2.0


@dataclass(frozen=True)
class OneCycle(Timed):
    """Up to the optimiser's rate and down again, to much less than it began with, in the given time.

    Smith and Topin (2018), Super-convergence, in the form of PyTorch's OneCycleLR, whose max_lr is the optimiser's
    rate: from 1 / div_factor to 1 in the share pct_start of the time, then to 1 / (div_factor final_div_factor); with
    three_phase as far down as it began in as much time, and then to the end. Each along half a cosine, or with
    anneal_strategy="linear" a line. The rate stays where it ended, where PyTorch raises an error. Momentum is left as
    it is (PyTorch's cycle_momentum=False): the optimisers' moments are defined for constant coefficients.

    pct_start: in [0, 1], up to 1/2 with three_phase. div_factor, final_div_factor: >= 1. Raises ValueError or TypeError
    for anything else.

    >>> OneCycle(steps=10).factors(0, 10, steps_per_epoch=10).round(2)
    array([0.04, 0.52, 1.  , 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.  ])
    """

    epochs: float | None = None
    steps: int | None = None
    pct_start: float = 0.3
    anneal_strategy: str = "cos"
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    three_phase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            three_phase=validation.switch(self.three_phase, "three_phase"),
            anneal_strategy=validation.choice(self.anneal_strategy, ("cos", "linear"), "anneal_strategy"),
            div_factor=validation.real(self.div_factor, "div_factor", low=1),
            final_div_factor=validation.real(self.final_div_factor, "final_div_factor", low=1),
        )
        share = validation.real(self.pct_start, "pct_start", low=0, high=0.5 if self.three_phase else 1)
        self._set(pct_start=share)

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        total, low = self.duration(steps_per_epoch), 1.0 / self.div_factor
        # PyTorch's: the cycle ends with the last step, and so does its first part with its own.
        ends, levels = [self.pct_start * total - 1], [low, 1.0]
        if self.three_phase:
            ends, levels = [*ends, 2 * self.pct_start * total - 2], [*levels, low]
        last, first = np.array([*ends, total - 1]), np.array([0.0, *ends])
        level = np.array([*levels, low / self.final_div_factor])
        part = np.minimum(np.searchsorted(last, steps), len(last) - 1)
        length = (last - first)[part]
        done = np.clip(np.where(length > 0, (steps - first[part]) / np.where(length > 0, length, 1.0), 1.0), 0.0, 1.0)
        if self.anneal_strategy == "cos":
            done = (1.0 - np.cos(np.pi * done)) / 2.0
        return level[part] + (level[part + 1] - level[part]) * done


@dataclass(frozen=True)
class Range(Schedule):
    """From low to high times the rate, by the same factor in each of `steps` steps: the sweep of a range test.

    Smith (2017), Cyclical learning rates, with rates apart by a factor, not by a difference. 0 < low < high; steps >=
    2. Raises ValueError or TypeError for anything else.

    >>> Range(low=0.001, high=1, steps=4).factors(0, 4, steps_per_epoch=10)
    array([0.001, 0.01 , 0.1  , 1.   ])
    """

    low: float
    high: float
    steps: int

    def __post_init__(self) -> None:
        low = validation.real(self.low, "low", low=0, low_open=True)
        high = validation.real(self.high, "high", low=low, low_open=True)
        self._set(low=low, high=high, steps=validation.integer(self.steps, "steps", low=2))

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        done = np.minimum(steps / (self.steps - 1), 1.0)
        return self.low ** (1.0 - done) * self.high**done


@dataclass(frozen=True)
class Function(Schedule):
    """A function of the user's: of the step, or with unit="epochs" of the epochs so far, step / steps_per_epoch.

    PyTorch's LambdaLR, where it is stepped after every mini-batch. It must give the same factor for the same argument,
    a number that is finite and not negative; it is asked ahead, for all steps of a compiled call. A checkpoint cannot
    keep it.

    >>> Function(lambda step: 0.5**step).factors(1, 3, steps_per_epoch=10)
    array([0.5  , 0.25 , 0.125])
    """

    function: Callable[[Any], float]
    unit: str = "steps"

    @property
    def counts_epochs(self) -> bool:
        return self.unit == "epochs"

    def __post_init__(self) -> None:
        if not callable(self.function) or isinstance(self.function, type | Schedule):
            raise TypeError(f"function must be a function of the step, not {self.function!r}")
        validation.choice(self.unit, ("steps", "epochs"), "unit")

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        places = map(int, steps) if self.unit == "steps" else (float(step) / steps_per_epoch for step in steps)
        values = [self.function(place) for place in places]
        try:
            return np.array([float(value) for value in values])
        except (TypeError, ValueError):
            raise TypeError(f"the schedule's function gave {values[0]!r}, but a factor is one number") from None

    def configuration(self) -> dict[str, Any]:
        raise ValueError(
            f"the schedule is a function ({self.function!r}), which a file cannot keep: use one of bpjit.schedules, "
            "or save the network alone with net.save(path)"
        )
