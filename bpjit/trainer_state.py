"""The whole state of a trainer as named arrays and a description for JSON, and the trainer that they describe."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import schedules
from . import validation as check
from .early_stopping import EarlyStopping
from .engine import optimizers
from .history import History
from .network import Network, Parameters
from .regularization import Regularization
from .run import Position

if TYPE_CHECKING:
    from .training import Trainer


COUNTS, SUMS = ("updates", "epoch", "step"), ("cost", "weight", "seconds", "rate")
"""What is written of a position as integers, and as numbers."""


def describe(trainer: "Trainer") -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `Trainer.state` returns."""
    tensors = _named("", trainer.net.parameters())
    for k, moment in enumerate(trainer._moments):
        tensors |= _named(f"moment{k}.", trainer.net._pairs(moment))
    position = trainer._position
    if position.best is not None:
        tensors |= _named("best.", trainer.net._pairs(position.best))
    if position.step:
        tensors["order"] = trainer._order.astype(np.int64)
    if not isinstance(trainer.shuffle, bool):
        tensors |= {f"shuffle{k}": order.astype(np.int64) for k, order in enumerate(trainer.shuffle)}
    configuration = {
        "network": trainer.net.configuration(),
        "network_seed": trainer.net.seed,
        "optimizer": trainer.optimizer.configuration(),
        "optimizer_begun": trainer._begun,
        "layers": [[l, changes] for l, changes in trainer._layers.items()],
        "regularization": trainer.regularization.configuration(),
        "accumulate": trainer.accumulate,
        "batch_size": trainer.batch_size,
        "seed": trainer.seed,
        "threads": trainer.threads,
        "shuffle": trainer.shuffle if isinstance(trainer.shuffle, bool) else len(trainer.shuffle),
        "position": {name: getattr(position, name) for name in (*COUNTS, *SUMS)},
        "judged": position.judged,
        "schedule": trainer.schedule.configuration(),
        "schedule_state": position.schedule,
        "early_stopping": trainer.early_stopping.configuration() if trainer.early_stopping else None,
        "stopping_state": position.stopping,
        "stopped": trainer.stopped,
        "label": trainer.label,
        "best": trainer._kept,
        "target": trainer._target,
        "fingerprint": trainer._checksum,
        "history": trainer.history.to_columns(),
        "compile_seconds": trainer.history.compile_seconds,
    }
    return tensors, configuration


def restore(tensors: Mapping[str, np.ndarray], configuration: Mapping[str, Any]) -> "Trainer":
    """The trainer that `describe` described. Raises ValueError, TypeError or KeyError for an unsound one."""
    from .training import Trainer

    tensors = dict(tensors)
    net = Network(**configuration["network"], init="zeros", seed=configuration["network_seed"])
    net.set_parameters(_unnamed("", tensors, net))
    shuffle = configuration["shuffle"]
    if not isinstance(shuffle, bool):
        shuffle = [tensors.pop(f"shuffle{k}") for k in range(check.integer(shuffle, "shuffle", low=0))]
    trainer = Trainer(
        net,
        optimizers.from_configuration(configuration["optimizer"]),
        batch_size=configuration["batch_size"],
        seed=configuration["seed"],
        threads=configuration["threads"],
        shuffle=shuffle,
        layers=dict(configuration.get("layers", [])),  # older files lack this, and what is asked for with `get`
        accumulate=configuration.get("accumulate", 1),
        **Regularization.from_configuration(configuration.get("regularization", {})).settings(),
        schedule=schedules.from_configuration(configuration["schedule"]) if "schedule" in configuration else None,
        early_stopping=EarlyStopping(**stopping) if (stopping := configuration.get("early_stopping")) else None,
    )
    for k, moment in enumerate(trainer._moments):
        net._model.layout.write_all(moment, _unnamed(f"moment{k}.", tensors, net))
    trainer._position = _position(configuration, tensors, trainer)
    trainer._begun = check.integer(configuration.get("optimizer_begun", 0), "optimizer_begun", low=0)
    trainer._target = check.integer(configuration["target"], "target", low=0)
    if trainer._position.step:
        order = tensors.pop("order")
        trainer._order = check.permutation(order, len(order), "order").astype(np.intp)
        trainer._fingerprint = check.integer(configuration["fingerprint"], "fingerprint")
    if tensors:
        raise ValueError(f"it holds {sorted(tensors)[0]!r}, which no trainer like this has")
    trainer.history = History.from_columns(configuration["history"], trainer._position.epoch)
    trainer._stopped = _text(configuration.get("stopped"), "stopped")
    trainer.label = _text(configuration.get("label"), "label")
    if (kept := configuration.get("best")) is not None:
        path, column, score = kept
        trainer._kept = str(path), str(column), check.real(score, "best")
    trainer.history.compile_seconds = check.real(configuration["compile_seconds"], "compile_seconds", low=0)
    net.history = trainer.history
    return trainer


def _position(configuration: Mapping[str, Any], tensors: dict[str, np.ndarray], trainer: "Trainer") -> Position:
    found = configuration["position"]
    updates, epoch, step = (check.integer(found[name], name, low=0) for name in COUNTS)
    position = Position(
        updates,
        epoch,
        step,
        cost=check.real(found["cost"], "cost"),
        weight=check.real(found.get("weight", step * trainer.batch_size), "weight", low=0),
        seconds=check.real(found["seconds"], "seconds", low=0),
        rate=check.real(found.get("rate", 0.0), "rate", low=0),
    )
    position.judged = check.integer(configuration.get("judged", position.epoch), "judged", low=0, high=position.epoch)
    position.schedule = trainer.schedule.restored(configuration.get("schedule_state", {}))
    if trainer.early_stopping is not None:
        position.stopping = trainer.early_stopping.restored(configuration["stopping_state"])
        if "best.W1" in tensors:
            position.best = trainer.net._model.moments(1)[0]
            trainer.net._model.layout.write_all(position.best, _unnamed("best.", tensors, trainer.net))
    return position


def _text(value: Any, name: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")
    return value


def _named(prefix: str, parameters: Parameters) -> dict[str, np.ndarray]:
    arrays = {}
    for l, (W, b) in enumerate(parameters, start=1):
        arrays[f"{prefix}W{l}"] = W
        if b is not None:
            arrays[f"{prefix}b{l}"] = b
    return arrays


def _unnamed(prefix: str, tensors: dict[str, np.ndarray], net: Network) -> Parameters:
    """Takes the arrays that `_named` named out of tensors."""
    layers = range(1, len(net.sizes))
    pairs = [(tensors.pop(f"{prefix}W{l}"), tensors.pop(f"{prefix}b{l}") if net.bias else None) for l in layers]
    return check.parameters(pairs, sizes=net.sizes, bias=net.bias, dtype=net.dtype, name=f"{prefix}parameters")
