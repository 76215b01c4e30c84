"""What a call of fit asks for, checked before anything changes."""

import math
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from . import lbfgs, storage, watching
from . import validation as check
from .callbacks import Callbacks
from .engine.optimizers import LBFGS
from .metrics import Score, choose
from .network import Network
from .run import Run
from .schedules import Schedule
from .sources import UNKNOWN, Batches, Dense, Source
from .training_set import sets

if TYPE_CHECKING:
    from .training import Trainer


def checked(
    trainer: "Trainer",
    X: Any,
    t: Any,
    epochs: int | None = None,
    validation: Any = None,
    max_steps: int | None = None,
    max_seconds: float | None = None,
    checkpoint: Any = None,
    checkpoint_every: int | None = None,
    checkpoint_epochs: int = 1,
    validation_every: int = 1,
    metrics: Any = None,
    callbacks: Any = None,
    best: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> Run:
    """The run that these arguments of `Trainer.fit` ask for. Raises ValueError, TypeError or OSError."""
    position = trainer._position
    source, watched = sets(trainer.net, X, t, validation, sample_weight, class_weight, trainer._order_seed)
    is_closed = position.judged == position.epoch  # else an error had come between an epoch and its scores
    if epochs is None and trainer._target <= position.epoch and is_closed:
        raise ValueError("epochs is None, but nothing is left to do: give the number of epochs")
    target = trainer._target if epochs is None else position.epoch + check.integer(epochs, "epochs", low=1)
    last_update = position.updates + _or_no_limit(max_steps, "max_steps")
    if max_seconds is not None:
        check.real(max_seconds, "max_seconds", low=0, low_open=True)
    if checkpoint is None and not (checkpoint_every is None and checkpoint_epochs == 1):
        name = "checkpoint_epochs" if checkpoint_every is None else "checkpoint_every"
        raise ValueError(f"{name} needs a file to write: give checkpoint too")
    every = _or_no_limit(checkpoint_every, "checkpoint_every")
    epochs_apart = check.integer(checkpoint_epochs, "checkpoint_epochs", low=1)
    if checkpoint is not None:
        storage.check_place(checkpoint)
        trainer.schedule.configuration()  # a function has none
    chosen = _metrics(trainer.net, metrics, watched)
    validation_every = check.integer(validation_every, "validation_every", low=1)
    called = Callbacks(callbacks)
    columns = _columns(trainer, chosen, watched, called)
    if best is not None:
        storage.check_place(best)
        if checkpoint is not None and os.path.realpath(best) == os.path.realpath(checkpoint):
            raise ValueError("best and checkpoint are the same file: give each one of its own")
    batch_size = _batch_size(trainer, source, target)
    orders = _orders(trainer, source, target)
    at_once = min(trainer.batch_size, batch_size) if trainer.accumulate > 1 else batch_size
    run = Run(
        source, batch_size, at_once, target, last_update, math.inf if max_seconds is None else max_seconds, orders,
        watched, chosen, validation_every, called,
        free=source.whole and watched is None and checkpoint is None and orders is None and best is None
        and not called.epochs and trainer.schedule.watched is None and trainer.early_stopping is None,
        checkpoint=checkpoint, checkpoint_every=every, checkpoint_epochs=epochs_apart,
        best=best, best_by=_best_by(trainer, columns),
    )  # fmt: skip
    if position.step and (len(source), run.fingerprint) != (len(trainer._order), trainer._fingerprint):
        raise ValueError(
            f"X and t are not those that epoch {position.epoch + 1} began with, which is unfinished: "
            "finish it with the same data, or begin with a new Trainer"
        )
    return run


def _or_no_limit(value: Any, name: str) -> int:
    return sys.maxsize if value is None else check.integer(value, name, low=1)


def _metrics(net: Network, metrics: Any, watched: Dense | None) -> dict[str, Score] | None:
    if metrics is None:
        return None
    if watched is None:
        raise ValueError("metrics are scores of a validation set: give validation too")
    return choose(metrics, net._model.loss, net.sizes[-1])


def _columns(trainer: "Trainer", chosen: Any, watched: Dense | None, callbacks: Callbacks) -> list[str]:
    """The columns of the history that this run fills, by itself. Raises ValueError if one is watched that will not be
    there; what callbacks put there is not known."""
    columns = ["loss", "seconds"]
    if trainer._shows_rate:
        columns.append("learning_rate")
    if watched is not None:
        columns += trainer.net._score_names(chosen)
    for one in (trainer.schedule, trainer.early_stopping):
        watch = getattr(one, "watched" if isinstance(one, Schedule) else "watch", None)
        if watch is not None and not callbacks.epoch_ends:
            watching.check_column(type(one).__name__, watch, columns)
    return columns


def _best_by(trainer: "Trainer", columns: list[str]) -> tuple[str, str]:
    if trainer.early_stopping is not None:
        return trainer.early_stopping.watch, str(trainer.early_stopping.mode)
    return ("validation_loss" if "validation_loss" in columns else "loss"), "min"


def _batch_size(trainer: "Trainer", source: Source, target: int) -> int:
    if isinstance(source, Batches):
        return _first_batch_size(trainer, source, target)
    samples = len(source)
    if isinstance(trainer.optimizer, LBFGS):
        lbfgs.minimizer()
        lbfgs.check_settings(trainer.regularization, trainer.accumulate)
        if trainer._position.step:
            raise ValueError(
                f"epoch {trainer._position.epoch + 1} is unfinished, and LBFGS has no mini-batches: finish it with "
                "another optimiser, or begin with a new Trainer"
            )
        return samples
    name = "batch_size" if trainer.accumulate == 1 else "batch_size * accumulate"
    batch_size = check.batch_size(trainer.batch_size * trainer.accumulate, samples, name)
    if trainer.optimizer.full_batch and batch_size < samples:
        raise ValueError(
            f"{type(trainer.optimizer).__name__} needs all {samples} samples in every mini-batch, but batch_size is "
            f"{batch_size}: give batch_size={samples}"
        )
    return batch_size


def _first_batch_size(trainer: "Trainer", source: Batches, target: int) -> int:
    """Of the first mini-batch, which is drawn and checked."""
    position, optimizer = trainer._position, trainer.optimizer
    if trainer.accumulate > 1:
        raise ValueError("accumulate takes mini-batches of one size together: give X and t, or larger mini-batches")
    if optimizer.full_batch or isinstance(optimizer, LBFGS):
        raise ValueError(f"{type(optimizer).__name__} needs all samples at once, not mini-batches: give X and t")
    if source.once and target - position.epoch > 1:
        raise ValueError(
            f"the batches are an iterator, which ends with the first of {target - position.epoch} epochs: give a list, "
            "an object to iterate over again, or the function that makes the iterator"
        )
    if not isinstance(trainer.shuffle, bool):
        raise ValueError("shuffle holds orders of samples, but mini-batches come in their own: give X and t")
    if trainer.schedule.counts_epochs and source.epoch_steps(1) == UNKNOWN:
        raise ValueError(
            f"{trainer.schedule!r} counts epochs, but how many mini-batches an iterator has is not known: give steps, "
            "or an object that has a length"
        )
    source.ended(position.step)
    return max(1, source.samples)


def _orders(trainer: "Trainer", source: Source, target: int) -> list[np.ndarray] | None:
    """The order of each epoch where the user gave them."""
    if isinstance(trainer.shuffle, bool) or isinstance(trainer.optimizer, LBFGS):
        return None
    samples = len(source)
    if len(trainer.shuffle) < target:
        raise ValueError(f"shuffle holds {len(trainer.shuffle)} orders for {target} epochs: give one for each")
    todo = range(trainer._position.epoch, target)
    return [
        check.permutation(order, samples, f"shuffle[{k}]") if k in todo else order
        for k, order in enumerate(trainer.shuffle)
    ]
