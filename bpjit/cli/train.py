"""bpjit train: a network for a table, images or arrays, tested on samples it has not seen."""

from __future__ import annotations  # or bpjit.Trainer would be imported to show the help

import hashlib
import inspect
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bpjit

from . import values
from .assess import assess
from .completion import known
from .options import Cells, Reading, Reported, panel
from .output import (
    FAILED,
    INTERRUPTED,
    check_outputs,
    is_standard_output,
    print_rows,
    say,
    warnings_in_one_line,
    width,
    write,
    write_json,
    wrong_options,
)

if TYPE_CHECKING:
    from bpjit.assessment import Assessment
    from bpjit.tables import Model, Preparation, Prepared

NAME = "train"
EXAMPLES = """Examples:

bpjit train digits

bpjit train houses.csv --target price --hidden 128,64 --save houses.safetensors --report houses.html

bpjit train people.parquet --target income --missing fill --unknown ignore --early-stopping 10

bpjit train fashion-mnist/ --hidden 256,128 --optimizer "AdamW(weight_decay=0.01)" --schedule "Cosine(epochs=30)" """

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

_LOSSES_OF_COUNTS = ("poisson",)
_LOSSES = {"classification": "cross_entropy", "regression": "squared_error"}

_data, _network, _training = panel("Data"), panel("Network"), panel("Training")
_regular, _files = panel("Regularization"), panel("Output")


@dataclass(frozen=True, kw_only=True)
class Options(Reported, Reading):
    """Options of `bpjit train`, under the names that they have in Python."""

    data: Annotated[
        Path,
        typer.Argument(help="A CSV, Parquet or NPZ file, a folder of IDX images (as MNIST's), or the name digits."),
    ]
    target: Annotated[str | None, _data("The column to predict; images and arrays have theirs beside them.")] = None
    task: Annotated[
        str | None,
        _data("classification or regression.", show_default="found from the target", autocompletion=known("task")),
    ] = None
    test: Annotated[
        Path | None, _data("A file with samples for the test in the end.", show_default="a part of DATA")
    ] = None
    validation: Annotated[Path | None, _data("A file to watch while training.", show_default="a part of DATA")] = None
    test_fraction: Annotated[float, _data("Of all samples: kept for the test in the end; may be 0.")] = 0.2
    validation_fraction: Annotated[float, _data("Of the rest: watched meanwhile; may be 0.")] = 0.1
    hidden: Annotated[str, _network("Widths of the hidden layers, as 128,64; or none.")] = "256"
    activation: Annotated[
        str, _network("Of all hidden layers, or one for each: relu,tanh.", autocompletion=known("activation"))
    ] = "relu"
    output: Annotated[
        str | None,
        _network("Activation of the output.", show_default="that of the loss", autocompletion=known("activation")),
    ] = None
    loss: Annotated[
        str | None,
        _network(
            "What is minimized.",
            show_default="cross_entropy, or squared_error for a regression",
            autocompletion=known("loss"),
        ),
    ] = None
    init: Annotated[str, _network("How parameters begin.", autocompletion=known("init"))] = "auto"
    bias: Annotated[bool, _network("Biases in all layers.")] = True
    dtype: Annotated[str, _network("float32 or float64.", autocompletion=known("dtype"))] = "float32"
    seed: Annotated[int, _network("Of split, parameters and order.", min=0, max=2**32 - 1)] = 0

    optimizer: Annotated[
        str,
        _training(
            'Its name; all its settings as in Python: "Adam(betas=(0.9, 0.95))".', autocompletion=known("optimizer")
        ),
    ] = "adam"
    learning_rate: Annotated[
        float | None, _training("Size of a step.", show_default="0.002 for Adam, 0.1 for SGD, else the library's")
    ] = None
    momentum: Annotated[float | None, _training("Of the optimizer.")] = None
    nesterov: Annotated[bool | None, _training("Nesterov's momentum, for SGD.", "--nesterov")] = None
    weight_decay: Annotated[float | None, _training("Of the optimizer.")] = None
    schedule: Annotated[
        str | None,
        _training(
            'Of the learning rate: "WarmUp(epochs=2, then=Cosine(epochs=28))".', autocompletion=known("schedule")
        ),
    ] = None
    epochs: Annotated[int, _training("Passes over the training samples.", min=1)] = 30
    batch_size: Annotated[int, _training("Samples in a mini-batch.", min=1)] = 32
    accumulate: Annotated[int, _training("Mini-batches whose gradients make one step.", min=1)] = 1
    shuffle: Annotated[bool, _training("Another order in each epoch.")] = True
    max_seconds: Annotated[float | None, _training("Stop after these.")] = None
    max_steps: Annotated[int | None, _training("Stop after as many mini-batches.", min=1)] = None
    early_stopping: Annotated[
        str | None,
        _training("Epochs without a better validation loss; or \"EarlyStopping(watch='validation_accuracy')\"."),
    ] = None
    class_weight: Annotated[str | None, _training("balanced, or CLASS:WEIGHT,CLASS:WEIGHT.")] = None
    metrics: Annotated[str | None, _training("Scores of the validation samples, as accuracy,auc.")] = None
    validation_every: Annotated[int, _training("Epochs from one validation to the next.", min=1)] = 1
    threads: Annotated[int | None, _training("An upper limit.", min=1, show_default="planned for this machine")] = None

    l1: Annotated[str, _regular("Penalty on |w|; as all of these: a number, or 1:0.1,2:0.2 by layer.")] = "0"
    l2: Annotated[str, _regular("Penalty on w².")] = "0"
    dropout: Annotated[str, _regular("Of the hidden layers; layer 0 is the input.")] = "0"
    input_noise: Annotated[float, _regular("Standard deviation of noise on the features.")] = 0.0
    max_norm: Annotated[str | None, _regular("The greatest norm of a unit's weights.")] = None
    clip_value: Annotated[float | None, _regular("The greatest element of a gradient.")] = None
    clip_norm: Annotated[float | None, _regular("The greatest norm of the gradient.")] = None

    ignore: Annotated[list[str] | None, Cells.option("A column to leave out; may be repeated.")] = None
    categorical: Annotated[
        list[str] | None, Cells.option("A column of numbers that are categories; may be repeated.")
    ] = None
    missing: Annotated[str, Cells.option(Cells.MISSING, autocompletion=known("missing"))] = "error"
    unknown: Annotated[str, Cells.option(Cells.UNKNOWN, autocompletion=known("unknown"))] = "error"
    max_categories: Annotated[int, Cells.option("Of a column: more are an error.", min=1)] = 100

    save: Annotated[Path | None, _files("Write the trained network, and how to prepare data for it, to this file.")] = (
        None
    )
    checkpoint: Annotated[Path | None, _files("Write the whole state of the training to this file while it runs.")] = (
        None
    )
    checkpoint_epochs: Annotated[int, _files("Epochs from one checkpoint to the next.", min=1)] = 1
    resume: Annotated[bool, _files("Go on from the file of --checkpoint, if it is there.", "--resume")] = False
    report: Annotated[Path | None, _files("Write a page with results and plots: .html.")] = None
    plot: Annotated[Path | None, _files("Draw the losses: .png, .svg or .pdf.")] = None
    progress: Annotated[bool, _files("Show a progress bar.")] = True


def run(options: Options) -> None:
    """Train a network, then test it on samples it has not seen."""
    from bpjit.tables import Model

    with wrong_options():
        _check(options)
        with _prepared(options) as prepared:
            trainer = _trainer(options, prepared.preparation)
            trainer.label = _checksum(prepared)
            if options.resume and options.checkpoint and options.checkpoint.exists():
                trainer = _resumed(options.checkpoint, trainer)
            model = Model(trainer.net, prepared.preparation)
            begun = _description(options, prepared, trainer)
            if not is_standard_output(options.json):
                notes = {f"note {k}" if k > 1 else "note": note for k, note in enumerate(prepared.notes, start=1)}
                print_rows(begun | notes)
            _fit(options, prepared, trainer, model)
            write("--save", options.save, model.save)
            _finish(options, prepared, trainer, model, begun)


def _check(options: Options) -> None:
    """What can be known to be wrong before the data are read."""
    outputs = ("json", "save", "checkpoint", "report", "plot")
    inputs = options.data, options.test, options.validation, options.config
    check_outputs({f"--{name}": getattr(options, name) for name in outputs}, *inputs)
    if options.resume and options.checkpoint is None:
        raise ValueError("--resume goes on from a checkpoint: name its file with --checkpoint")
    if options.checkpoint_epochs != Options.checkpoint_epochs and options.checkpoint is None:
        raise ValueError("--checkpoint-epochs is for checkpoints: name their file with --checkpoint")
    for name in ("test", "validation"):
        path = getattr(options, name)
        if path is not None and path.resolve() == options.data.resolve():
            raise ValueError(
                f"--{name} is the file that trains, too: leave it out, and a part of the rows is kept for it"
            )
        if path is not None and getattr(options, f"{name}_fraction") != getattr(Options, f"{name}_fraction"):
            raise ValueError(f"--{name} brings rows of its own: leave --{name}-fraction out")
    _trainer_settings(options)
    _layers(options)


def _prepared(options: Options) -> Prepared:
    from bpjit import tables

    def source(path: Path | None) -> Any:
        return None if path is None else options.open(path, options.target)

    return tables.prepare(
        source(options.data),
        options.target,
        task=options.task,
        missing=options.missing,
        unknown=options.unknown,
        ignore=options.ignore or (),
        categorical=options.categorical or (),
        max_categories=options.max_categories,
        test=source(options.test),
        validation=source(options.validation),
        test_fraction=options.test_fraction,
        validation_fraction=options.validation_fraction,
        seed=options.seed,
        dtype=options.dtype,
        scale_target=(options.loss or "").partition("(")[0].strip() not in _LOSSES_OF_COUNTS,
    )


# ------------------------------------------------------------------------------------------------ what trains


def _layers(options: Options) -> dict[str, Any]:
    """The settings of the network that say what its layers are."""
    return {
        "hidden": values.widths(options.hidden, "hidden"),
        "activation": values.names(options.activation),
        "init": values.names(options.init),
    }


def _trainer(options: Options, preparation: Preparation) -> bpjit.Trainer:
    layers = _layers(options)
    loss, outputs = _loss(options.loss, preparation)
    net = bpjit.Network(
        [preparation.features, *layers["hidden"], outputs],
        activation=layers["activation"],
        output=options.output,
        loss=loss,
        dtype=options.dtype,
        bias=options.bias,
        init=layers["init"],
        seed=options.seed,
    )
    return bpjit.Trainer(net, **_trainer_settings(options))


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


def _trainer_settings(options: Options) -> dict[str, Any]:
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


def _class_weight(text: str | None, classes: list[Any] | None) -> Any:
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


def _checksum(prepared: Prepared) -> str:
    """Of the rows' preparation, whose means and categories other rows would not have, and of the targets."""
    content = json.dumps(prepared.preparation.configuration()).encode() + prepared.train[1].tobytes()
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _resumed(path: Path, begun: bpjit.Trainer) -> bpjit.Trainer:
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


# ---------------------------------------------------------------------------------------------- the training


def _fit(options: Options, prepared: Prepared, trainer: bpjit.Trainer, model: Model) -> None:
    """Trains; Ctrl-C saves what --save named."""
    epochs = options.epochs - trainer.history.epochs
    # A budget that was spent, max_steps or max_seconds, leaves a resumed training something to do.
    is_over = trainer.stopped is not None and not trainer.stopped.startswith("max_")
    if epochs <= 0 or is_over:
        return
    try:
        with warnings_in_one_line():
            trainer.fit(
                *prepared.train,
                epochs=epochs,
                validation=prepared.validation,
                progress=options.progress,
                max_steps=options.max_steps,
                max_seconds=options.max_seconds,
                class_weight=_class_weight(options.class_weight, prepared.preparation.classes),
                metrics=None if options.metrics is None else [*map(str.strip, options.metrics.split(","))],
                validation_every=options.validation_every,
                checkpoint=options.checkpoint,
                checkpoint_epochs=options.checkpoint_epochs if options.checkpoint else 1,
            )
    except KeyboardInterrupt:
        write("--save", options.save, model.save)
        write("--checkpoint", options.checkpoint, trainer.checkpoint)
        kept = f"; {options.save} holds the network as it was then" if options.save else ""
        kept += f"; --resume goes on from {options.checkpoint}" if options.checkpoint else ""
        say(f"stopped by Ctrl-C after {trainer.history.epochs} epochs{kept}")
        raise typer.Exit(INTERRUPTED) from None
    except bpjit.DivergenceError as error:
        say(f"{error} (--learning-rate was {getattr(trainer.optimizer, 'learning_rate', math.nan):g})")
        raise typer.Exit(FAILED) from None


def _finish(options: Options, prepared: Prepared, trainer: bpjit.Trainer, model: Model, begun: dict[str, str]) -> None:
    """Tests the network, and says and writes what was found."""
    net, history = trainer.net, trainer.history
    found = None
    if prepared.test is not None and prepared.test_rows is not None:
        X, t = prepared.test
        found = assess(prepared.preparation, *model.outcome(net.predict(X), t), prepared.test_rows)
    write("--plot", options.plot, history.plot)
    rows = _course(options, prepared, trainer)
    if options.report is not None:
        from bpjit import report

        write(
            "--report",
            options.report,
            lambda path: report.write(
                path,
                title=f"{options.target or 'Classes'} of {options.data.name}",
                rows=begun | rows,
                history=history,
                assessment=found,
                net=net,
                features=prepared.preparation.feature_names,
                notes=prepared.notes,
            ),
        )
    if not is_standard_output(options.json):
        if found is None or prepared.test is None:
            print_rows(rows)
        else:
            scores = {f"test {name}": value for name, value in found.rows().items()}
            print_rows(scores | {"test loss": f"{net.loss(*prepared.test):.4f}"} | rows)
            print("\n" + found.text(width()))
    write_json(options.json, _content(options, prepared, trainer, found))


def _description(options: Options, prepared: Prepared, trainer: bpjit.Trainer) -> dict[str, str]:
    counts = [f"{len(prepared.train[1]):,} samples to train on"]
    if prepared.validation is not None:
        counts.append(f"{len(prepared.validation[1]):,} to validate")
    if prepared.test is not None:
        counts.append(f"{len(prepared.test[1]):,} to test in the end")
    net, preparation = trainer.net, prepared.preparation
    kinds = dict.fromkeys([*net.activation_names, net.output])
    of_what = f"{len(preparation.classes)} classes" if preparation.classes else "a number"
    return {
        "data": f"{options.data}: {net.sizes[0]} features, {of_what}",
        "split": f"{', '.join(counts)}; seed {options.seed}",
        "network": f"{' → '.join(map(str, net.sizes))}, {', '.join(kinds)}, {net.loss_name}, {net.dtype}",
        "parameters": f"{_parameter_count(net):,}",
        "optimizer": f"{trainer.optimizer}, mini-batches of {trainer.batch_size}",
    }


def _parameter_count(net: bpjit.Network) -> int:
    return sum(array.size for layer in net.parameters() for array in layer if array is not None)


def _course(options: Options, prepared: Prepared, trainer: bpjit.Trainer) -> dict[str, str]:
    """How the training went."""
    history = trainer.history
    seconds = sum(history["seconds"]) if history.epochs else 0.0
    epochs = f"{history.epochs}" + (f" ({trainer.stopped})" if trainer.stopped else "")
    rows = {"epochs": epochs, "training": f"{seconds:.2f} s"}
    if seconds:
        rows["speed"] = f"{history.epochs * len(prepared.train[1]) / seconds:,.0f} samples/s"
    if history.plan is not None:
        rows["threads"] = f"{history.plan.threads} ({history.plan.reason})"
    rows["compiling"] = f"{history.compile_seconds:.1f} s"
    kept = {"network saved": options.save, "report saved": options.report, "plot saved": options.plot}
    return rows | {name: str(path) for name, path in kept.items() if path}


def _content(options: Options, prepared: Prepared, trainer: bpjit.Trainer, found: Assessment | None) -> dict[str, Any]:
    """What --json writes."""
    net, history, preparation = trainer.net, trainer.history, prepared.preparation
    parts = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    return {
        "data": str(options.data),
        "target": preparation.target,
        "task": preparation.task,
        "notes": list(prepared.notes),
        "samples": {name: 0 if part is None else len(part[1]) for name, part in parts.items()},
        "network": {**net.configuration(), "parameters": _parameter_count(net)},
        "optimizer": str(trainer.optimizer),
        "batch_size": trainer.batch_size,
        "seed": options.seed,
        "epochs": history.epochs,
        "stopped": trainer.stopped,
        "compile_seconds": history.compile_seconds,
        "threads": history.plan.threads if history.plan else None,
        "history": history.to_columns(),
        "test": found and prepared.test and {"loss": net.loss(*prepared.test), **found.to_dict()},
        "saved": str(options.save) if options.save else None,
    }
