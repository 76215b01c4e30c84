"""Options of `bpjit train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .completion import known
from .options import Cells, Reading, Reported, panel

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
