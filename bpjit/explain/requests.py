"""What a network or a trainer is asked for: a trace, with the step that it would make."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine.optimizer import Optimizer
from ..engine.optimizers import LBFGS, SGD
from ..network import Network
from .trace import Trace
from .update import Layers, Update

if TYPE_CHECKING:
    from ..training import Trainer

LEFT_OUT = {
    "l1": "the penalty l1 is in the update of this trace, but neither in C nor in the gradients",
    "l2": "the penalty l2 is in the update of this trace, but neither in C nor in the gradients",
    "dropout": "dropout is not in this trace: every unit is kept, as in predict",
    "input_noise": "no noise is added to the input of this trace",
    "max_norm": "the update of this trace is before max_norm scales weights down",
    "clip_value": "the gradient of this trace is not clipped by clip_value",
    "clip_norm": "the gradient of this trace is not clipped by clip_norm",
}
"""What a trainer does beyond the ten equations."""


def of_network(net: Network, x: Any, t: Any, optimizer: Optimizer | None = None) -> Trace:
    """See `Network.trace`."""
    optimizer = SGD() if optimizer is None else optimizer
    _check(optimizer)
    zeros = net._model.moments(optimizer.moments)
    return Trace(net, x, t, Update(optimizer, moments=_moments(net, zeros)), _notes(net))


def of_trainer(trainer: "Trainer", x: Any, t: Any) -> Trace:
    """See `Trainer.trace`."""
    net, optimizer = trainer.net, trainer.optimizer
    update = None
    notes = _notes(net)
    if isinstance(optimizer, LBFGS):
        notes += ("LBFGS searches along a line, on all data: this trace has no update",)
    else:
        steps = -(-max(len(trainer._order), 1) // (trainer.batch_size * trainer.accumulate))
        factors = trainer._factors(trainer._position, 1, steps)
        update = Update(
            optimizer,
            trainer.updates - trainer._begun + 1,
            1.0 if factors is None else float(factors[0]),
            trainer._optimizers,
            _moments(net, trainer._moments),
            penalties_of(trainer),
        )
    notes += _left_out(trainer)
    if trainer.accumulate > 1:
        notes += (f"the trainer would add the gradients of {trainer.accumulate} mini-batches before its update",)
    return Trace(net, x, t, update, notes)


def of_step(
    trainer: "Trainer", net: Network, x: Any, t: Any, updates: int, factor: float, moments: np.ndarray
) -> Trace:
    """The step that a trainer makes after so many updates, from the whole of its mini-batch: that of a `Film`.

    net: the network as it is then. factor: on the learning rate. moments: before the step, as the trainer keeps them.
    """
    step = updates - trainer._begun + 1
    update = Update(trainer.optimizer, step, factor, trainer._optimizers, _moments(net, moments), penalties_of(trainer))
    return Trace(net, x, t, update, _notes(net) + _left_out(trainer))


def _left_out(trainer: "Trainer") -> tuple[str, ...]:
    return tuple(
        f"{LEFT_OUT[name]} (the trainer has {name}={value})"
        for name, value in trainer.regularization._used()
        if name in LEFT_OUT
    )


def penalties_of(trainer: "Trainer") -> dict[int, tuple[float, float]]:
    """(l1, l2) of the layers that have penalties."""
    given = trainer.regularization
    return {l: (given.l1.get(l, 0.0), given.l2.get(l, 0.0)) for l in {*given.l1, *given.l2}}


def _check(optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one such as bpjit.Adam(), not {optimizer!r}")
    if isinstance(optimizer, LBFGS):
        raise ValueError("optimizer is LBFGS(), which searches along a line on all data: give one of single steps")


def _notes(net: Network) -> tuple[str, ...]:
    return () if net.bias else ("the network has no biases: every b is 0, and stays",)


def _moments(net: Network, moments: np.ndarray) -> list[tuple[Layers, Layers]]:
    """The moments by layer, for weights and biases, in float64."""
    found = []
    for moment in moments:
        pairs = net._model.layout.read(moment)
        weights = [np.zeros((0, 0)), *(W.astype(np.float64) for W, _ in pairs)]
        biases = [np.zeros(0), *(np.zeros(len(W)) if b is None else b.astype(np.float64) for W, b in pairs)]
        found.append((weights, biases))
    return found
