"""Schedule: what every schedule of the learning rate is, and how its durations are given."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import validation

State = dict[str, Any]
"""What a schedule that is driven by results remembers; JSON can hold it."""


@dataclass(frozen=True)
class Schedule:
    """A factor on the learning rate for every mini-batch step. A layer with a rate of its own keeps its proportion.

    A schedule never changes. Those that are driven by time are functions of the step; those that are driven by results
    read the factor from a state, which begins as `begin()`, and which `observe` replaces after every epoch.
    """

    def factors(
        self, first_step: int, count: int, steps_per_epoch: int, state: Mapping[str, Any] | None = None
    ) -> np.ndarray:
        """The factors of the steps first_step, first_step + 1, ..., counted from 0: float64 (count,).

        They do not depend on where a run is cut into calls. Raises ValueError for one of a user's function that is
        negative or no finite number.
        """
        steps = np.arange(first_step, first_step + count, dtype=np.float64)
        with np.errstate(over="ignore"):
            factors = self.values(steps, steps_per_epoch, self.begin() if state is None else state)
        wrong = ~(np.isfinite(factors) & (factors >= 0))
        if wrong.any():
            k = int(wrong.argmax())
            raise ValueError(
                f"the schedule gives the factor {factors[k]} for step {first_step + k}, but a factor on the learning "
                f"rate is finite and not negative: {self!r}"
            )
        return factors

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        """The factors at these steps, each for itself."""
        raise NotImplementedError

    @property
    def watched(self) -> str | None:
        """The column of the history that drives it; None for one that is driven by time."""
        return None

    @property
    def counts_epochs(self) -> bool:
        """Whether its factors depend on how many steps an epoch has."""
        return False

    def begin(self) -> State:
        """The state before the first epoch."""
        return {}

    def observe(self, state: Mapping[str, Any], record: Mapping[str, float]) -> State:
        """The state after an epoch, whose entries in the history are `record`. NaN there says: not measured.

        Raises ValueError if record does not have what the schedule watches.
        """
        return dict(state)

    def ended(self, state: Mapping[str, Any], learning_rate: float) -> str | None:
        """Why training should stop after this epoch, or None; learning_rate is the optimiser's."""
        return None

    def restored(self, state: Mapping[str, Any]) -> State:
        """The state that a checkpoint kept. Raises ValueError or TypeError for one that this schedule cannot have."""
        if state:
            raise ValueError(f"the state of {type(self).__name__} is empty, not {dict(state)!r}")
        return {}

    def configuration(self) -> dict[str, Any]:
        """{"name": ..., setting: value, ...} for JSON; `schedules.from_configuration` makes the schedule of it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"name": type(self).__name__} | {
            name: value.configuration() if isinstance(value, Schedule) else value for name, value in values.items()
        }

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Timed(Schedule):
    """A schedule with a duration, in epochs or in mini-batch steps."""

    epochs: Any = None
    steps: Any = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if (self.epochs is None) == (self.steps is None):
            what = "both" if self.steps is not None else "neither"
            raise ValueError(f"{name} has {what} of epochs and steps: give its duration by one of them")
        if self.epochs is not None:
            self._set(epochs=validation.real(self.epochs, "epochs", low=0, low_open=True))
        else:
            self._set(steps=validation.integer(self.steps, "steps", low=1))

    @property
    def counts_epochs(self) -> bool:
        return self.epochs is not None

    def duration(self, steps_per_epoch: int) -> float:
        """In steps."""
        return float(self.steps if self.epochs is None else self.epochs * steps_per_epoch)
