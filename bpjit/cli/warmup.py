"""bpjit warmup: compile now what a network will need."""

from dataclasses import dataclass
from typing import Annotated

import typer

import bpjit

from . import values
from .completion import known
from .output import print_rows, wrong_options

NAME = "warmup"
EXAMPLES = """Examples:

bpjit warmup 64-256-10

bpjit warmup 784-300-10 --activation tanh --optimizer "SGD(momentum=0.9)" --batch-size 128"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `bpjit warmup`."""

    network: Annotated[str, typer.Argument(help="Widths of all layers, as 784-128-10.")] = "64-256-10"
    activation: Annotated[
        str, typer.Option(help="Of all hidden layers, or one for each.", autocompletion=known("activation"))
    ] = "relu"
    output: Annotated[
        str | None,
        typer.Option(
            help="Activation of the output.", show_default="that of the loss", autocompletion=known("activation")
        ),
    ] = None
    loss: Annotated[str, typer.Option(help="What will be minimized.", autocompletion=known("loss"))] = "cross_entropy"
    optimizer: Annotated[
        str, typer.Option(help="Its name, with settings as in Python if need be.", autocompletion=known("optimizer"))
    ] = "adam"
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in a mini-batch.")] = 32
    dropout: Annotated[str, typer.Option(help="Of the hidden layers: a number, or 0:0.1,1:0.2 by layer.")] = "0"
    dtype: Annotated[str, typer.Option(help="float32 or float64.", autocompletion=known("dtype"))] = "float32"


def run(options: Options) -> None:
    """Compile now what the first training of such a network would wait for, and keep it in the compile cache."""
    from bpjit.engine.optimizers import OPTIMIZERS

    with wrong_options():
        done = bpjit.warmup(
            values.widths(options.network, "network", between="-"),
            activation=values.names(options.activation),
            output=options.output,
            loss=options.loss,
            optimizer=values.made(options.optimizer, OPTIMIZERS, "optimizer"),
            batch_size=options.batch_size,
            dropout=values.of_layers(options.dropout, "dropout"),
            dtype=options.dtype,
        )
    kernels = f"{done.compiled} compiled, {done.loaded} that were there"
    print_rows({"kernels": kernels, "time": f"{done.seconds:.1f} s"})
