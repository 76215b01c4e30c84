"""One call of fit: what it works with, and where it stands."""

import math
import sys
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from .callbacks import Callbacks
from .engine.epoch import State
from .engine.plan import Pace
from .metrics import Score
from .sources import Dense, Source

Path = str | PathLike[str]


@dataclass
class Position:
    """Where a run stands, between two mini-batches."""

    updates: int = 0
    epoch: int = 0
    """Epochs complete."""
    step: int = 0
    """Steps done in the epoch at hand,"""
    cost: float = 0.0
    """the sum of their costs over samples,"""
    weight: float = 0.0
    """how much those samples count in all,"""
    seconds: float = 0.0
    """and their time."""
    rate: float = 0.0
    """The learning rate of the last step."""
    judged: int = 0
    """Epochs that are closed: their scores are taken, callbacks called, and what follows from both is known."""
    schedule: dict[str, Any] = field(default_factory=dict)
    """What the schedule has counted,"""
    stopping: dict[str, Any] = field(default_factory=dict)
    """and early stopping,"""
    best: np.ndarray | None = None
    """with the parameters of its best epoch, as theta."""

    @property
    def loss(self) -> float:
        """The mean cost in the epoch at hand; NaN as long as no sample counts."""
        return self.cost / self.weight if self.weight else math.nan

    def end_epoch(self) -> None:
        self.epoch, self.step, self.cost, self.weight, self.seconds = self.epoch + 1, 0, 0.0, 0.0, 0.0


@dataclass
class Run:
    """What one call of fit works with."""

    source: Source
    batch_size: int
    """Samples to an update,"""
    at_once: int
    """and those of them that are taken at once."""
    target: int
    """The epoch to reach,"""
    last_update: float
    """the number of updates to stop at,"""
    max_seconds: float
    """and the time."""
    orders: list[np.ndarray] | None
    """The order of each epoch, where the user gave them."""
    watched: Dense | None
    """The validation set,"""
    metrics: dict[str, Score] | None
    """its scores, where the user chose them,"""
    validation_every: int
    """and the epochs between two looks at it."""
    callbacks: Callbacks
    free: bool
    """Whether one compiled call may go on through the ends of epochs."""
    checkpoint: Path | None = None
    """The file for the state,"""
    checkpoint_every: int = sys.maxsize
    """and the mini-batches,"""
    checkpoint_epochs: int = 1
    """or epochs, between two of them."""
    best: Path | None = None
    """The file for the network of the best epoch,"""
    best_by: tuple[str, str] = ("loss", "min")
    """by this column, of which the least or the greatest is the best."""
    state: State = field(init=False)
    good: Position = field(init=False)
    """The position of the last good state, which the engine keeps in state."""
    pace: Pace = field(init=False)
    stale: bool = False
    """Whether state is no more that of the trainer's optimiser and parameters."""
    step_seconds: float = math.inf
    """Seconds that a step takes, as far as is known,"""
    most_steps: float = 1
    """and how many a call may have until more is known."""
    cut: bool = False
    """Whether steps or time are used up before the training is complete."""
    over: bool = False
    """Whether its results have ended the training: nothing is left to do."""

    @property
    def steps_per_epoch(self) -> int:
        return self.source.steps_per_epoch(self.batch_size)

    def steps_now(self, position: Position, seconds: float) -> int:
        """How many steps the next compiled call makes, which is to last so many seconds at most."""
        if self.callbacks.batches:
            return 1
        left = (self.target - position.epoch if self.free else 1) * self.steps_per_epoch - position.step
        to_checkpoint = self.checkpoint_every - position.updates % self.checkpoint_every
        allowed = min(left, to_checkpoint, self.last_update - position.updates)
        return max(1, int(min(seconds / self.step_seconds, self.most_steps, allowed)))

    def validates(self, epoch: int) -> bool:
        """Whether a validation set is looked at after epoch number `epoch`."""
        return epoch % self.validation_every == 0 or epoch >= self.target

    @cached_property
    def fingerprint(self) -> int:
        """A checksum of the data: an epoch goes on only with the data that it began with."""
        return self.source.fingerprint()
