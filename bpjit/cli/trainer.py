"""The trainer that options ask for, or the one of their checkpoint."""

from __future__ import annotations  # or bpjit.Trainer would be imported to show the help

import hashlib
import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpjit

from . import values
from .training_options import Options

if TYPE_CHECKING:
    from bpjit.tables import Preparation, Prepared

_RATES = {"Adam": 2e-3, "SGD": 0.1}
"""With either, 30 epochs of the digits suffice; the others have their own defaults."""

_SHORTCUTS = ("learning_rate", "momentum", "nesterov", "weight_decay")
_AS_THEY_ARE = ("batch_size", "seed", "threads", "shuffle", "input_noise", "clip_value", "clip_norm", "accumulate")
_SAME = {
    "network": "widths, activations, loss or dtype",
    "network_seed": "seed",
    "optimizer": "optimizer settings",
    "regularization": "regularization",
    "accumulate": "accumulate",
    "batch_size": "batch_size",
    "seed": "seed",
    "shuffle": "shuffle",
    "schedule": "schedule",
    "early_stopping": "early_stopping",
    "label": "data, target, cells or split",
}
"""What of a checkpoint must be as it was asked for, and the options that say so."""

LOSSES_OF_COUNTS = ("poisson",)
_LOSSES = {"classification": "cross_entropy", "regression": "squared_error"}


def make(options: Options, preparation: Preparation) -> bpjit.Trainer:
    of_layers = layers(options)
    loss, outputs = _loss(options.loss, preparation)
    net = bpjit.Network(
        [preparation.features, *of_layers["hidden"], outputs],
        activation=of_layers["activation"],
        output=options.output,
        loss=loss,
        dtype=options.dtype,
        bias=options.bias,
        init=of_layers["init"],
        seed=options.seed,
    )
    return bpjit.Trainer(net, **settings(options))


def resumed(path: Path, begun: bpjit.Trainer) -> bpjit.Trainer:
    """The trainer of a checkpoint, if it is one of the same training as `begun`. Raises ValueError."""
    trainer = bpjit.Trainer.resume(path)
    asked, found = begun.state()[1], trainer.state()[1]
    for part, options in _SAME.items():
        if asked[part] != found.get(part):
            raise ValueError(
                f"--checkpoint {path} is of a training with other {options}: give those that it began with, "
                "or leave --resume out"
            )
    return trainer


def checksum(prepared: Prepared) -> str:
    """Of the rows' preparation, whose means and categories other rows would not have, and of the targets."""
    content = json.dumps(prepared.preparation.configuration()).encode() + prepared.train[1].tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def layers(options: Options) -> dict[str, Any]:
    """The settings of the network that say what its layers are."""
    return {
        "hidden": values.widths(options.hidden, "hidden"),
        "activation": values.names(options.activation),
        "init": values.names(options.init),
    }


def settings(options: Options) -> dict[str, Any]:
    from bpjit.schedules import SCHEDULES

    return {
        "optimizer": _optimizer(options),
        "schedule": None if options.schedule is None else values.made(options.schedule, SCHEDULES, "schedule"),
        "early_stopping": _early_stopping(options.early_stopping),
        "l1": values.of_layers(options.l1, "l1"),
        "l2": values.of_layers(options.l2, "l2"),
        "dropout": values.of_layers(options.dropout, "dropout"),
        "max_norm": None if options.max_norm is None else values.of_layers(options.max_norm, "max_norm"),
    } | {name: getattr(options, name) for name in _AS_THEY_ARE}


def _loss(name: str | None, preparation: Preparation) -> tuple[str, int]:
    """The loss, and how many outputs it needs. Raises ValueError for one that does not fit the task."""
    from bpjit import validation
    from bpjit.engine.losses import LOSSES

    loss = name or _LOSSES[preparation.task]
    loss_name = validation.choice(loss.partition("(")[0].strip(), LOSSES, "loss")
    of_classes = LOSSES[loss_name].classes is not None
    if preparation.classes is not None:
        classes = len(preparation.classes)
        if loss_name not in ("cross_entropy", "binary_cross_entropy"):
            raise ValueError(
                f"loss {loss} gives no probabilities of classes: take cross_entropy or binary_cross_entropy"
            )
        if loss_name == "cross_entropy":
            return loss, classes
        if classes != 2:
            raise ValueError(f"loss {loss} is for two classes, but there are {classes}: take cross_entropy")
    elif of_classes:
        raise ValueError(
            f"loss {loss} is for classes, but the task is a regression: take squared_error, or --task classification"
        )
    return loss, 1


def _optimizer(options: Options) -> Any:
    """The optimiser with its settings, some of which have options of their own."""
    from bpjit.engine.optimizers import OPTIMIZERS

    name, arguments, settings = values.call(options.optimizer, OPTIMIZERS, "optimizer")
    known = inspect.signature(OPTIMIZERS[name]).parameters
    for setting in _SHORTCUTS:
        value = getattr(options, setting)
        if value is None:
            continue
        if setting not in known:
            having = [each for each in OPTIMIZERS if setting in inspect.signature(OPTIMIZERS[each]).parameters]
            raise ValueError(f"{name} has no {setting}, which belongs to {', '.join(having)}: leave it out")
        if setting in settings:
            raise ValueError(f"{setting} is given twice: in --optimizer, and as --{setting.replace('_', '-')}")
        settings[setting] = value
    if name in _RATES and not arguments:
        settings.setdefault("learning_rate", _RATES[name])
    return values.build(name, arguments, settings, OPTIMIZERS)


def _early_stopping(text: str | None) -> Any:
    if text is None:
        return None
    if text.strip().isdecimal():
        return bpjit.EarlyStopping(patience=int(text))
    return values.made(text, {"EarlyStopping": bpjit.EarlyStopping}, "early_stopping")


def class_weight(text: str | None, classes: list[Any] | None) -> Any:
    if text is None:
        return None
    from bpjit import validation

    if classes is None:
        raise ValueError("--class-weight is for classes, but the task is a regression: leave it out")
    if text == "balanced":
        return text
    labels = [str(each).lower() if isinstance(each, bool) else str(each) for each in classes]
    weights = values.by_key(text, "class_weight")
    return {labels.index(validation.choice(name, labels, "class_weight")): weight for name, weight in weights.items()}
