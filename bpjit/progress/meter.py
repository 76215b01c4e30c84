"""Where a run is and how fast it goes, as texts of a display."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from time import perf_counter

INTERVAL = 0.1
"""Seconds between two drawings, at least."""
WINDOW = 10.0
"""Seconds over which the speed is averaged."""


@dataclass
class Meter:
    """Where a run is, how fast it goes, how long it will take."""

    epochs: int
    samples: int
    epoch: int
    position: int  # samples trained since the first epoch
    now: float
    loss: float | None = None
    score: str = ""
    ended: bool = False

    def __post_init__(self) -> None:
        self.unknown = not self.samples
        self.first = (self.now, self.position)
        self.recent = deque([self.first])

    def advance(self, epoch: int, samples_done: int) -> None:
        self.now, self.epoch = perf_counter(), epoch
        self.position = (epoch - 1) * self.samples + samples_done
        if self.now - self.recent[-1][0] >= INTERVAL:
            self.recent.append((self.now, self.position))
        while self.now - self.recent[0][0] > WINDOW and len(self.recent) > 1:
            self.recent.popleft()

    def end_epoch(self, epoch: int) -> None:
        if not self.unknown:
            self.advance(epoch, self.samples)
            return
        done = self.position - (self.epoch - 1) * self.samples  # the epoch has shown how many samples there are
        behind = epoch * done - self.position
        self.samples, self.position = done, epoch * done
        self.first = (self.first[0], self.first[1] + behind)
        self.recent = deque((time, position + behind) for time, position in self.recent)
        self.advance(epoch, done)

    def leave_out(self, seconds: float) -> None:
        """Takes time that was not training out of every rate."""
        self.now += seconds
        self.first = (self.first[0] + seconds, self.first[1])
        self.recent = deque((time + seconds, position) for time, position in self.recent)

    def fraction(self) -> float:
        return min(self.position / (self.epochs * self.samples), 1.0) if self.samples else 0.0

    def title(self) -> str:
        return f"epoch {self.epoch}/{self.epochs}"

    def facts(self) -> list[str]:
        """Loss, validation score, speed and time, each as a short text, as far as they are known."""
        since, position = self.first if self.ended else self.recent[0]
        seconds = self.now - since
        rate = (self.position - position) / seconds if seconds > 0 else 0.0
        facts = [f"loss {self.loss:.4f}"] if self.loss is not None else []
        facts += [self.score] if self.score else []
        facts += [f"{_short(rate)} samples/s"] if rate > 0 else []
        if self.ended:
            facts.append(f"in {seconds:.1f} s" if seconds < 60 else f"in {_clock(seconds)}")
        elif rate > 0 and self.samples:
            facts.append(f"{_clock((self.epochs * self.samples - self.position) / rate)} left")
        return facts


def fitted(meter: Meter, columns: int) -> tuple[int, list[str]]:
    """The width of the bar and the facts that have room beside it, the dearest kept longest."""
    facts = meter.facts()
    while True:
        room = columns - len(meter.title()) - 1 - sum(len(fact) + 2 for fact in facts)
        if room >= 5 or not facts:
            return max(min(room, 40), 1), facts
        facts.pop(-2 if len(facts) > 2 else -1)


def score(record: Mapping[str, float]) -> str:
    """The first validation score of an epoch; the validation loss where there is no score, nothing where there is none
    of this epoch."""
    names = [name for name in record if name.startswith("validation_") and not isnan(record[name])]
    names.sort(key=lambda name: name == "validation_loss")
    return f"val {names[0].removeprefix('validation_')} {record[names[0]]:.4f}" if names else ""


def _short(number: float) -> str:
    """Three digits and a unit: 12.3k."""
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}G"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
