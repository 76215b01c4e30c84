"""What a call of fit asks for, checked before anything changes."""

import math
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from . import lbfgs, storage
from . import validation as check
from .engine.epoch import Data
from .engine.optimizers import LBFGS
from .network import Network
from .run import Run

if TYPE_CHECKING:
    from .training import Trainer


def checked(
    trainer: "Trainer",
    X: Any,
    t: Any,
    epochs: int | None,
    validation: Any,
    max_steps: int | None,
    checkpoint: Any,
    checkpoint_every: int | None,
) -> Run:
    """The run that these arguments of `Trainer.fit` ask for. Raises ValueError, TypeError or OSError."""
    position = trainer._position
    watched = None if validation is None else _validation(trainer.net, validation)
    data = trainer.net._data(X, t)
    samples = len(data.X)
    batch_size = _batch_size(trainer, samples)
    if epochs is None and trainer._target <= position.epoch:
        raise ValueError("epochs is None, but nothing is left to do: give the number of epochs")
    target = trainer._target if epochs is None else position.epoch + check.integer(epochs, "epochs", low=1)
    last_update: float = math.inf
    if max_steps is not None:
        last_update = position.updates + check.integer(max_steps, "max_steps", low=1)
    every = sys.maxsize
    if checkpoint_every is not None:
        every = check.integer(checkpoint_every, "checkpoint_every", low=1)
        if checkpoint is None:
            raise ValueError("checkpoint_every needs a file to write: give checkpoint too")
    if checkpoint is not None:
        storage.check_place(checkpoint)
    at_once = min(trainer.batch_size, batch_size) if trainer.accumulate > 1 else batch_size
    orders = _orders(trainer, samples, target)
    run = Run(data, batch_size, at_once, target, last_update, every, orders, watched, checkpoint)
    if position.step and (samples, run.fingerprint) != (len(trainer._order), trainer._fingerprint):
        raise ValueError(
            f"X and t are not those that epoch {position.epoch + 1} began with, which is unfinished: "
            "finish it with the same data, or begin with a new Trainer"
        )
    return run


def _batch_size(trainer: "Trainer", samples: int) -> int:
    if isinstance(trainer.optimizer, LBFGS):
        lbfgs.minimizer()
        lbfgs.check_regularization(trainer.regularization)
        if trainer._position.step:
            raise ValueError(
                f"epoch {trainer._position.epoch + 1} is unfinished, and LBFGS has no mini-batches: finish it with "
                "another optimiser, or begin with a new Trainer"
            )
        return samples
    batch_size = check.batch_size(trainer.batch_size * trainer.accumulate, samples)
    if trainer.optimizer.full_batch and batch_size < samples:
        raise ValueError(
            f"{type(trainer.optimizer).__name__} needs all {samples} samples in every mini-batch, but batch_size is "
            f"{batch_size}: give batch_size={samples}"
        )
    return batch_size


def _orders(trainer: "Trainer", samples: int, target: int) -> list[np.ndarray] | None:
    """The order of each epoch where the user gave them."""
    if isinstance(trainer.shuffle, bool) or isinstance(trainer.optimizer, LBFGS):
        return None
    if len(trainer.shuffle) < target:
        raise ValueError(f"shuffle holds {len(trainer.shuffle)} orders for {target} epochs: give one for each")
    todo = range(trainer._position.epoch, target)
    return [
        check.permutation(order, samples, f"shuffle[{k}]") if k in todo else order
        for k, order in enumerate(trainer.shuffle)
    ]


def _validation(net: Network, validation: Any) -> Data:
    if not isinstance(validation, tuple | list) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (X, t), not {type(validation).__name__}")
    X, t = validation
    return net._data(X, t, names=("X of validation", "t of validation"))
