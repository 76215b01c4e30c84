"""bpjit warmup: compile now what a network will need."""

from dataclasses import dataclass
from typing import Annotated

import typer

import bpjit

from . import values
from .output import print_rows, wrong_options

NAME = "warmup"
EXAMPLES = """Examples:

bpjit warmup

bpjit warmup --activation tanh --optimizer sgd --loss squared_error"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `bpjit warmup`."""

    activation: Annotated[str, typer.Option(help="Of the hidden layers: relu,tanh.")] = "relu"
    output: Annotated[str | None, typer.Option(help="Activation of the output.", show_default="that of the loss")] = (
        None
    )
    loss: Annotated[str, typer.Option(help="What will be minimized.")] = "cross_entropy"
    optimizer: Annotated[str, typer.Option(help="Its name, with settings as in Python if need be.")] = "adam"
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32"


def run(options: Options) -> None:
    """Compile now what the first training would wait for, whatever the widths; kernels are kept in the cache folder."""
    from bpjit.engine.optimizers import OPTIMIZERS

    with wrong_options():
        rows = bpjit.warmup(
            activation=values.names(options.activation),
            output=options.output,
            loss=options.loss,
            optimizer=values.made(options.optimizer, OPTIMIZERS, "optimizer"),
            dtype=options.dtype,
        )
    print_rows(rows)
