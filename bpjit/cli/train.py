"""bpjit train: a network for a table, images or arrays, tested on samples it has not seen."""

from __future__ import annotations  # or bpjit.Trainer would be imported to show the help

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

import bpjit

from . import outcome
from . import trainer as trainers
from .assess import assess
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
from .training_options import Options

if TYPE_CHECKING:
    from bpjit.tables import Model, Prepared

NAME = "train"
EXAMPLES = """Examples:

bpjit train digits

bpjit train houses.csv --target price --hidden 128,64 --save houses.safetensors --report houses.html

bpjit train people.parquet --target income --missing fill --unknown ignore --early-stopping 10

bpjit train fashion-mnist/ --hidden 256,128 --optimizer "AdamW(weight_decay=0.01)" --schedule "Cosine(epochs=30)" """


def run(options: Options) -> None:
    """Train a network, then test it on samples it has not seen."""
    from bpjit.tables import Model

    with wrong_options():
        _check(options)
        with _prepared(options) as prepared:
            trainer = trainers.make(options, prepared.preparation)
            trainer.label = trainers.checksum(prepared)
            if options.resume and options.checkpoint and options.checkpoint.exists():
                trainer = trainers.resumed(options.checkpoint, trainer)
            model = Model(trainer.net, prepared.preparation)
            begun = outcome.description(options, prepared, trainer)
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
    trainers.settings(options)
    trainers.layers(options)


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
        scale_target=(options.loss or "").partition("(")[0].strip() not in trainers.LOSSES_OF_COUNTS,
    )


def _fit(options: Options, prepared: Prepared, trainer: bpjit.Trainer, model: Model) -> None:
    """Trains; Ctrl-C and a full disk save what --save named."""
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
                class_weight=trainers.class_weight(options.class_weight, prepared.preparation.classes),
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
    except OSError as error:
        if options.checkpoint is None:
            raise
        write("--save", options.save, model.save)
        kept = f"; {options.save} holds the network as it was then" if options.save else ""
        say(f"--checkpoint {options.checkpoint} could not be written: {error.strerror or error}{kept}")
        raise typer.Exit(FAILED) from None
    except bpjit.DivergenceError as error:
        say(f"{error} (--learning-rate was {getattr(trainer.optimizer, 'learning_rate', math.nan):g})")
        raise typer.Exit(FAILED) from None


def _finish(options: Options, prepared: Prepared, trainer: bpjit.Trainer, model: Model, begun: dict[str, str]) -> None:
    """Tests the network, and says what was found before it writes it: a disk may be full."""
    net, found = trainer.net, None
    if prepared.test is not None and prepared.test_rows is not None:
        X, t = prepared.test
        found = assess(prepared.preparation, *model.outcome(net.predict(X), t), prepared.test_rows)
    scores, course = outcome.scores(prepared, net, found), outcome.course(prepared, trainer)
    if not is_standard_output(options.json):
        print_rows(scores | course)
        if found is not None:
            print("\n" + found.text(width()))
    write("--plot", options.plot, trainer.history.plot)
    if options.report is not None:
        from bpjit import report

        page: dict[str, Any] = {
            "title": f"{options.target or 'Classes'} of {options.data.name}",
            "rows": begun | course,
            "history": trainer.history,
            "assessment": found,
            "net": net,
            "features": prepared.preparation.feature_names,
            "notes": prepared.notes,
        }
        write("--report", options.report, lambda path: report.write(path, **page))
    if not is_standard_output(options.json):
        kept = {"network saved": options.save, "report saved": options.report, "plot saved": options.plot}
        print_rows({name: str(path) for name, path in kept.items() if path})
    write_json(options.json, outcome.content(options, prepared, trainer, found))
