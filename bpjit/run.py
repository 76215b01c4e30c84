"""One call of fit: what it works with, and where it stands."""

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike

import numpy as np

from .engine.epoch import Data, State
from .engine.plan import Pace


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

    @property
    def mean_cost(self) -> float:
        return self.cost / self.weight if self.weight else 0.0

    def end_epoch(self) -> None:
        self.epoch, self.step, self.cost, self.weight, self.seconds = self.epoch + 1, 0, 0.0, 0.0, 0.0


@dataclass
class Run:
    """What one call of fit works with."""

    data: Data
    batch_size: int
    """Samples to an update,"""
    at_once: int
    """and those of them that are taken at once."""
    target: int
    """The epoch to reach,"""
    last_update: float
    """and the number of updates to stop at."""
    every: int
    """Mini-batches between two checkpoints."""
    orders: list[np.ndarray] | None
    """The order of each epoch, where the user gave them."""
    watched: Data | None = None
    """The validation set."""
    checkpoint: str | PathLike[str] | None = None
    """The file for the state."""
    state: State = field(init=False)
    good: Position = field(init=False)
    """The position of the last good state, which the engine keeps in state."""
    pace: Pace = field(init=False)
    steps: int = 1
    """Steps that take about as long as a compiled call may."""

    @property
    def free(self) -> bool:
        """Whether one compiled call may go on through the ends of epochs."""
        return self.watched is None and self.checkpoint is None and self.orders is None

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.data.X) // self.batch_size)

    def steps_now(self, position: Position, share: float) -> int:
        """How many steps the next compiled call makes, which is to last a share of what a call may."""
        left = (self.target - position.epoch if self.free else 1) * self.steps_per_epoch - position.step
        to_checkpoint = self.every - position.updates % self.every
        return max(1, int(min(self.steps * share, left, to_checkpoint, self.last_update - position.updates)))

    @cached_property
    def fingerprint(self) -> int:
        """A checksum of the data: an epoch goes on only with the data that it began with."""
        checksum = 0
        for array in (self.data.X, self.data.labels, self.data.targets):
            checksum = zlib.crc32(array.reshape(-1).view(np.uint8), checksum)
        return checksum
