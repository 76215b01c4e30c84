"""What is said of a training: before it, after it, and to a script."""

from __future__ import annotations  # or bpjit.Trainer would be imported to show the help

from typing import TYPE_CHECKING, Any

import bpjit

from .training_options import Options

if TYPE_CHECKING:
    from bpjit.assessment import Assessment
    from bpjit.tables import Prepared


def description(options: Options, prepared: Prepared, trainer: bpjit.Trainer) -> dict[str, str]:
    """What trains on what."""
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
        "parameters": f"{parameter_count(net):,}",
        "optimizer": f"{trainer.optimizer}, mini-batches of {trainer.batch_size}",
    }


def scores(prepared: Prepared, net: bpjit.Network, found: Assessment | None) -> dict[str, str]:
    """What the test has found."""
    if found is None or prepared.test is None:
        return {}
    rows = {f"test {name}": value for name, value in found.rows().items()}
    return rows | {"test loss": f"{net.loss(*prepared.test):.4f}"}


def course(prepared: Prepared, trainer: bpjit.Trainer) -> dict[str, str]:
    """How the training went."""
    history = trainer.history
    seconds = sum(history["seconds"]) if history.epochs else 0.0
    epochs = f"{history.epochs}" + (f" ({trainer.stopped})" if trainer.stopped else "")
    rows = {"epochs": epochs, "training": f"{seconds:.2f} s"}
    if seconds:
        rows["speed"] = f"{history.epochs * len(prepared.train[1]) / seconds:,.0f} samples/s"
    if history.plan is not None:
        rows["threads"] = f"{history.plan.threads} ({history.plan.reason})"
    return rows | {"compiling": f"{history.compile_seconds:.1f} s"}


def content(options: Options, prepared: Prepared, trainer: bpjit.Trainer, found: Assessment | None) -> dict[str, Any]:
    """What --json writes."""
    net, history, preparation = trainer.net, trainer.history, prepared.preparation
    parts = {"train": prepared.train, "validation": prepared.validation, "test": prepared.test}
    return {
        "data": str(options.data),
        "target": preparation.target,
        "task": preparation.task,
        "notes": list(prepared.notes),
        "samples": {name: 0 if part is None else len(part[1]) for name, part in parts.items()},
        "network": {**net.configuration(), "parameters": parameter_count(net)},
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


def parameter_count(net: bpjit.Network) -> int:
    return sum(array.size for layer in net.parameters() for array in layer if array is not None)
