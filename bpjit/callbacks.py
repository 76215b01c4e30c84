"""Callback: what a user wants done while a network trains."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .training import Trainer

Record = dict[str, float]
"""An epoch's entries in the history."""


class Callback:
    """Is called while `Trainer.fit` trains; override what you need.

    The order of calls is `on_train_start`, then for each epoch `on_epoch_start`, any number of `on_batch_end` and
    `on_epoch_end`, and `on_train_end` in the end, also after an error or Ctrl-C. An epoch that a fit finds unfinished
    began in the fit before.

    Between two mini-batches everything may be read, and this be changed: the parameters (trainer.net.set_parameters),
    trainer.learning_rate, trainer.optimizer (for one of its class), the record of the epoch. `trainer.stop(reason)`
    ends the training. An exception ends it too, and leaves network, trainer and history as they were after the
    mini-batch or epoch that was the last; a further fit goes on from there.

    >>> class Decay(Callback):
    ...     def on_epoch_end(self, trainer, record):
    ...         trainer.learning_rate *= 0.9
    """

    def on_train_start(self, trainer: "Trainer") -> None:
        """A fit begins; its arguments are sound."""

    def on_epoch_start(self, trainer: "Trainer") -> None:
        """An epoch begins: number trainer.history.epochs + 1."""

    def on_batch_end(self, trainer: "Trainer", loss: float) -> None:
        """A mini-batch is trained; `loss` is its mean cost before its update. Overridden, it makes training slower:
        otherwise many mini-batches are one call of compiled code."""

    def on_epoch_end(self, trainer: "Trainer", record: Record) -> None:
        """An epoch is complete; `record` is its entry in the history, {"loss": ..., ...}. Numbers that are put into
        it enter the history, and can be watched."""

    def on_train_end(self, trainer: "Trainer") -> None:
        """The fit is over, whatever ended it; trainer.stopped says what did, unless it was an error."""


class _AtEpochEnd(Callback):
    def __init__(self, function: Callable[["Trainer", Record], Any]) -> None:
        self.function = function

    def on_epoch_end(self, trainer: "Trainer", record: Record) -> None:
        self.function(trainer, record)


class Callbacks:
    """The callbacks of a fit, in their order.

    callbacks: None, a `Callback`, a function f(trainer, record) for the end of every epoch, or a list of these. Raises
    TypeError for anything else.
    """

    def __init__(self, callbacks: Any = None) -> None:
        listed = callbacks if isinstance(callbacks, list | tuple) else [] if callbacks is None else [callbacks]
        self._all = [_callback(one) for one in listed]
        self.batches = self._overridden("on_batch_end")
        """Whether any looks at mini-batches,"""
        self.epoch_ends = self._overridden("on_epoch_end")
        """at the ends of epochs,"""
        self.epochs = self.batches or self.epoch_ends or self._overridden("on_epoch_start")
        """at anything within a fit."""

    def _overridden(self, name: str) -> bool:
        return any(getattr(getattr(one, name), "__func__", None) is not getattr(Callback, name) for one in self._all)

    @contextmanager
    def around(self, trainer: "Trainer") -> Iterator[None]:
        """Start and end of the training; those that have seen its start see its end, whatever happens."""
        with ExitStack() as stack:
            for one in self._all:
                one.on_train_start(trainer)
                stack.callback(one.on_train_end, trainer)
            yield

    def on_epoch_start(self, trainer: "Trainer") -> None:
        for one in self._all:
            one.on_epoch_start(trainer)

    def on_batch_end(self, trainer: "Trainer", loss: float) -> None:
        for one in self._all:
            one.on_batch_end(trainer, loss)

    def on_epoch_end(self, trainer: "Trainer", record: Record) -> None:
        for one in self._all:
            one.on_epoch_end(trainer, record)


def _callback(one: Any) -> Callback:
    if isinstance(one, Callback):
        return one
    if isinstance(one, type) or not callable(one):
        example = f"{one.__name__}()" if isinstance(one, type) and issubclass(one, Callback) else "bpjit.Callback()"
        raise TypeError(f"callbacks must be such as {example}, or functions f(trainer, record), not {one!r}")
    return _AtEpochEnd(one)


def amendments(record: Mapping[Any, Any], before: Mapping[str, float]) -> tuple[Record, str | None]:
    """What callbacks have put into the record of an epoch that was as `before`, and what is wrong with the rest."""
    found: Record = {}
    wrong = None
    for name, value in record.items():
        if name in before and value is before[name]:
            continue
        if not isinstance(name, str):
            wrong = f"a callback named a number of the record {name!r}: a name is a string"
            continue
        try:
            found[name] = float(value)
        except (TypeError, ValueError):
            wrong = f"a callback put {value!r} into the record as {name!r}: the history holds numbers"
    return found, wrong
