"""Schedules that are driven by results: they lower the rate when the scores of the epochs improve no more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import validation, watching
from .base import Schedule, State


@dataclass(frozen=True)
class Watching(Schedule):
    """A schedule that watches a column of the history."""

    watch: str
    mode: str | None

    def __post_init__(self) -> None:
        self._set(mode=watching.mode(self.watch, self.mode))

    @property
    def watched(self) -> str:
        return self.watch

    def values(self, steps: np.ndarray, steps_per_epoch: int, state: Mapping[str, Any]) -> np.ndarray:
        return np.full(steps.shape, self.factor_of(state))

    def factor_of(self, state: Mapping[str, Any]) -> float:
        raise NotImplementedError

    def observe(self, state: Mapping[str, Any], record: Mapping[str, float]) -> State:
        score = watching.score(type(self).__name__, self.watch, str(self.mode), record)
        return dict(state) if score is None else self.judged(dict(state), score)

    def judged(self, state: State, score: float) -> State:
        """The state after an epoch with this score, of which less is better."""
        raise NotImplementedError

    def restored(self, state: Mapping[str, Any]) -> State:
        return watching.restored(type(self).__name__, self.begin(), state)


@dataclass(frozen=True)
class OnPlateau(Watching):
    """Multiplies the rate by `factor` after more than `patience` epochs without a better score.

    PyTorch's ReduceLROnPlateau, with its defaults; `minimum`, in the place of its min_lr, is a factor on the
    optimiser's rate, and its eps is left out. A score is better if it is below best (1 - threshold), or with
    threshold_mode "abs" below best - threshold; where the greatest is the best, above best (1 + threshold) or best +
    threshold. Nothing is counted in the `cooldown` epochs after a reduction.

    watch: a column of the history, "loss", "validation_loss" or of a metric, as "validation_accuracy". mode: whether
    the least or the greatest is the best, "min" or "max"; None where the metric says so itself. factor: in (0, 1).
    patience and cooldown: epochs. threshold: >= 0. Raises ValueError or TypeError for anything else.

    >>> schedule = OnPlateau(factor=0.5, patience=0)
    >>> state = schedule.begin()
    >>> for loss in (1.0, 0.9, 0.9):
    ...     state = schedule.observe(state, {"validation_loss": loss})
    >>> schedule.factors(30, 2, steps_per_epoch=10, state=state)
    array([0.5, 0.5])
    """

    watch: str = "validation_loss"
    mode: str | None = None
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    threshold_mode: str = "rel"
    cooldown: int = 0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            factor=validation.real(self.factor, "factor", low=0, low_open=True, high=1, high_open=True),
            patience=validation.integer(self.patience, "patience", low=0),
            threshold=validation.real(self.threshold, "threshold", low=0),
            threshold_mode=validation.choice(self.threshold_mode, ("rel", "abs"), "threshold_mode"),
            cooldown=validation.integer(self.cooldown, "cooldown", low=0),
            minimum=validation.real(self.minimum, "minimum", low=0, high=1),
        )

    def begin(self) -> State:
        return {"best": None, "bad": 0, "cooldown": 0, "factor": 1.0}

    def factor_of(self, state: Mapping[str, Any]) -> float:
        return float(state["factor"])

    def judged(self, state: State, score: float) -> State:
        if self._better(score, state["best"]):
            state |= {"best": score, "bad": 0}
        else:
            state["bad"] += 1
        if state["cooldown"] > 0:
            state |= {"cooldown": state["cooldown"] - 1, "bad": 0}
        if state["bad"] > self.patience:
            factor = max(state["factor"] * self.factor, self.minimum)
            state |= {"factor": factor, "cooldown": self.cooldown, "bad": 0}
        return state

    def _better(self, score: float, best: float | None) -> bool:
        if best is None:
            return math.isfinite(score)
        if self.threshold_mode == "abs":
            return score < best - self.threshold
        # Of scores of which the greatest is the best, and which are negated here: score > best (1 + threshold).
        return score < best * (1 - self.threshold if self.mode == "min" else 1 + self.threshold)

    def restored(self, state: Mapping[str, Any]) -> State:
        state = super().restored(state)
        validation.real(state["factor"], "factor", low=0, high=1)
        return state


@dataclass(frozen=True)
class Adaptive(Watching):
    """Divides the rate by `divisor` each time `patience` epochs in a row fail to better the best score by `tol`.

    scikit-learn's learning_rate="adaptive" as it is documented: 5, two epochs, tol of its MLPs. Its code waits for
    n_iter_no_change + 1 epochs: patience=11 with its default. It ends the training when it would divide a rate that is
    1e-6 or less already (`stop_below`; 0 for never).

    watch: a column of the history, "loss", that of the training set, or for example "validation_accuracy". mode:
    whether the least or the greatest is the best, "min" or "max"; None where the metric says so itself. tol: >= 0.
    divisor: > 1. Raises ValueError or TypeError for anything else.

    >>> schedule = Adaptive()
    >>> state = schedule.begin()
    >>> for loss in (1.0, 0.9, 0.95, 0.9):
    ...     state = schedule.observe(state, {"loss": loss})
    >>> schedule.factors(40, 2, steps_per_epoch=10, state=state)
    array([0.2, 0.2])
    """

    watch: str = "loss"
    mode: str | None = None
    tol: float = 1e-4
    patience: int = 2
    divisor: float = 5.0
    stop_below: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(
            tol=validation.real(self.tol, "tol", low=0),
            patience=validation.integer(self.patience, "patience", low=1),
            divisor=validation.real(self.divisor, "divisor", low=1, low_open=True),
            stop_below=validation.real(self.stop_below, "stop_below", low=0),
        )

    def begin(self) -> State:
        return {"best": None, "failed": 0, "divisions": 0}

    def factor_of(self, state: Mapping[str, Any]) -> float:
        return float(self.divisor ** -state["divisions"])

    def judged(self, state: State, score: float) -> State:
        best = math.inf if state["best"] is None else state["best"]
        state["failed"] = state["failed"] + 1 if score > best - self.tol or math.isinf(score) else 0
        if score < best and math.isfinite(score):
            state["best"] = score
        if state["failed"] >= self.patience:
            state |= {"failed": 0, "divisions": state["divisions"] + 1}
        return state

    def ended(self, state: Mapping[str, Any], learning_rate: float) -> str | None:
        if state["divisions"] == 0 or learning_rate * self.factor_of(state) * self.divisor > self.stop_below:
            return None
        what = "the training loss" if self.watch == "loss" else self.watch.replace("_", " ")
        return f"{what} improves no more, at a learning rate of {self.stop_below:g} or less"
