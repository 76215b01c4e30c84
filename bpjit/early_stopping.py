"""EarlyStopping: ends a training whose scores improve no more."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from . import validation, watching

State = dict[str, Any]
"""What it remembers of the epochs so far; JSON can hold it."""


@dataclass(frozen=True)
class EarlyStopping:
    """Ends the training after `patience` epochs in a row without a better score, and goes back to the best epoch.

    Keras' EarlyStopping: a score is better if it is below best - min_delta, or, where the greatest is the best, above
    best + min_delta. Epochs in which it was not measured do not count. Prechelt (1998), Early stopping - but when?

    watch: a column of the history, "loss", "validation_loss" or of a metric, as "validation_accuracy". patience:
    epochs; 0 is as 1. min_delta: >= 0. mode: whether the least or the greatest is the best, "min" or "max"; None where
    the metric says so itself. restore_best: whether the network, in the end of a training that this has ended, gets the
    parameters that it had after the best epoch; that takes a copy of them. Raises ValueError or TypeError for anything
    else.

    >>> stopping = EarlyStopping(patience=2)
    >>> state = stopping.begin()
    >>> for epoch, loss in enumerate((1.0, 0.8, 0.9, 0.85), start=1):
    ...     state = stopping.observe(state, {"validation_loss": loss}, epoch)
    >>> stopping.ended(state)
    'validation loss has not improved for 2 epochs; the best was epoch 2'
    """

    watch: str = "validation_loss"
    patience: int = 10
    min_delta: float = 0.0
    mode: str | None = None
    restore_best: bool = True

    def __post_init__(self) -> None:
        checked = {
            "mode": watching.mode(self.watch, self.mode),
            "patience": validation.integer(self.patience, "patience", low=0),
            "min_delta": validation.real(self.min_delta, "min_delta", low=0),
            "restore_best": validation.switch(self.restore_best, "restore_best"),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def begin(self) -> State:
        """The state before the first epoch."""
        return {"best": None, "best_epoch": 0, "waited": 0}

    def observe(self, state: Mapping[str, Any], record: Mapping[str, float], epoch: int) -> State:
        """The state after epoch number `epoch`, whose entries in the history are `record`.

        Raises ValueError if record does not have what is watched.
        """
        score = watching.score(type(self).__name__, self.watch, str(self.mode), record)
        if score is None:
            return dict(state)
        best = math.inf if state["best"] is None else state["best"]
        if score < best - self.min_delta and math.isfinite(score):
            return {"best": score, "best_epoch": epoch, "waited": 0}
        return dict(state) | {"waited": state["waited"] + 1}

    def ended(self, state: Mapping[str, Any]) -> str | None:
        """Why training should stop after this epoch, or None."""
        if state["waited"] < max(self.patience, 1):
            return None
        what, epochs = self.watch.replace("_", " "), state["waited"]
        best = f"; the best was epoch {state['best_epoch']}" if state["best_epoch"] else ""
        return f"{what} has not improved for {epochs} epoch{'s' if epochs > 1 else ''}{best}"

    def restored(self, state: Mapping[str, Any]) -> State:
        """The state that a checkpoint kept. Raises ValueError or TypeError for one that this cannot have."""
        return watching.restored(type(self).__name__, self.begin(), state)

    def configuration(self) -> dict[str, Any]:
        """The keyword arguments that make one like this."""
        return asdict(self)


def early_stopping(value: Any) -> EarlyStopping | None:
    """value as an EarlyStopping: True is the default one, an integer its patience, False and None are none.

    Raises TypeError or ValueError for anything else.

    >>> early_stopping(3)
    EarlyStopping(watch='validation_loss', patience=3, min_delta=0.0, mode='min', restore_best=True)
    """
    if value is None or isinstance(value, EarlyStopping):
        return value
    if isinstance(value, bool):
        return EarlyStopping() if value else None
    try:
        patience = validation.integer(value, "early_stopping", low=0)
    except TypeError:
        raise TypeError(
            f"early_stopping must be True, a number of epochs, or one such as bpjit.EarlyStopping(patience=5), "
            f"not {value!r}"
        ) from None
    return EarlyStopping(patience=patience)
