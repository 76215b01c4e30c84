"""What receives the progress of a training run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol


class Plan(Protocol):
    """What is shown of the plan that a run follows."""

    @property
    def threads(self) -> int: ...
    @property
    def reason(self) -> str: ...


class Progress:
    """Receives the progress of a training run, and shows nothing; override what you want to show.

    The order of calls is `start`, then for each epoch any number of `update` and one `epoch_end`, then `stopped` if
    something ends the run before its last epoch, and `finish` in the end, also after an error or Ctrl-C. `compiling`
    may surround any part before `finish`.

    >>> class Losses(Progress):
    ...     def epoch_end(self, epoch, record):
    ...         print(f"{epoch}: {record['loss']:.2f}")
    >>> Losses().epoch_end(1, {"loss": 0.254})
    1: 0.25
    """

    def start(
        self,
        epochs: int,
        samples: int,
        batch_size: int,
        done: int = 0,
        description: str = "",
        plan: Plan | None = None,
        samples_done: int = 0,
    ) -> None:
        """A run up to epoch number `epochs` begins, each over `samples` in mini-batches of `batch_size`.

        `done` epochs lie behind it already, and `samples_done` samples of the next one. `samples` is 0 where nobody
        knows how many there are.
        """

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Surrounds work during which kernels may be compiled."""
        yield

    def update(self, epoch: int, samples_done: int, loss: float) -> None:
        """`samples_done` of epoch number `epoch` (from 1) are trained; `loss` is the mean over them."""

    def epoch_end(self, epoch: int, record: Mapping[str, float]) -> None:
        """Epoch number `epoch` (from 1) is complete; `record` is its entry in the history."""

    def stopped(self, reason: str) -> None:
        """Something has ended the run before its last epoch; `finish` follows."""

    def finish(self) -> None:
        """The run is over, whatever ended it. May be called again."""
