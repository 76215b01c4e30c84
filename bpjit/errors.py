"""Errors about training, files and pickles, and the check that what a file names is there."""

from collections.abc import Mapping
from typing import Any

from .engine.activations import ACTIVATIONS
from .engine.losses import LOSSES
from .engine.optimizers import OPTIMIZERS

SHOWN = 60
"""Letters of a name in a message."""


class FileFormatError(ValueError):
    """A file that is no sound model or checkpoint: corrupt, cut short, or of another kind or program."""


class NotRegisteredError(FileFormatError):
    """A model, checkpoint or pickle that uses an activation, a loss or an optimiser of the user's own, which must be
    registered in this process before it is read."""


class DataError(ValueError):
    """What is wrong with the rows of a user's file: one line that names file, column and row, and the way out.

    Rows are counted from 1, without a header.
    """


class DivergenceError(ArithmeticError):
    """The loss or a parameter became NaN or infinite; network and trainer are at the last state whose loss was finite.

    epoch and step (the epoch's mini-batch; both counted from 1) name where it was seen.
    """

    def __init__(self, message: str, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch, self.step = epoch, step

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.epoch, self.step)


def require(network: Mapping[str, Any], optimizer: Any = None) -> None:
    """Raises NotRegisteredError if a configuration of a network, or of an optimiser, has a name that nothing has."""
    activations = network.get("activation", ())
    wanted: list[tuple[str, Mapping[str, Any], Any]]
    wanted = [("activation", ACTIVATIONS, text) for text in (activations if isinstance(activations, list) else ())]
    wanted += [("activation", ACTIVATIONS, network.get("output")), ("loss", LOSSES, network.get("loss"))]
    if isinstance(optimizer, Mapping):
        wanted.append(("optimizer", OPTIMIZERS, optimizer.get("name")))
    for kind, table, text in wanted:
        name = text.partition("(")[0].strip() if isinstance(text, str) else ""
        short = repr(name[:SHOWN])
        if name.isidentifier() and name not in table:
            raise NotRegisteredError(
                f"the {kind} {short} is neither built in nor registered in this process; if it is one of your own, "
                f"call bpjit.register_{kind}({short}, ...) here first, with the functions that it had"
            )
