"""Model: a network with the preparation of its rows, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from .. import storage
from ..engine.entry import find
from ..engine.losses import LOSSES
from .cells import decoded
from .errors import DataError, shown
from .matrix import Matrix
from .preparation import Preparation
from .source import Arrays, Source, Table
from .targets import Classes, Quantity

if TYPE_CHECKING:
    from ..network import Network

PROBABILITIES = ("softmax", "sigmoid")
"""Outputs that are probabilities."""


class Tested(NamedTuple):
    """Answers beside what is true.

    Classes: y (S, classes), of one output made two columns, and t (S,) the classes' indices; numbers: y and t (S,) in
    the target's units. rows (S,): their numbers in the file, counted from 0.
    """

    y: np.ndarray
    t: np.ndarray
    rows: np.ndarray


class Model:
    """A network and how rows of a file become its inputs.

    Without a preparation, the inputs are columns of numbers in their order, as they are, and classes are 0, 1, ...

    >>> import bpjit
    >>> from bpjit import tables
    >>> model = Model(bpjit.Network([2, 1], loss="squared_error", init="zeros"))
    >>> next(model.predict(tables.open_source({"a": [1, 2], "b": [3, 4]}))).to_pydict()
    {'prediction': [0.0, 0.0]}
    """

    def __init__(self, net: Network, preparation: Preparation | None = None) -> None:
        self.net, self.preparation = net, plain(net) if preparation is None else preparation
        inputs, outputs = self.preparation.features, self.preparation.outputs
        if net.sizes[0] != inputs:
            raise ValueError(f"the network has {net.sizes[0]} inputs, but the preparation makes {inputs}")
        if net.sizes[-1] != outputs and not (net.sizes[-1] == 1 and outputs == 2):
            raise ValueError(f"the network has {net.sizes[-1]} outputs, but the preparation has {outputs}")

    def save(self, path: storage.Path) -> None:
        """Writes both to a file, as `bpjit.Network.save` does; `bpjit.load` reads the network of it."""
        storage.save(self.net, path, self.preparation.configuration())

    @classmethod
    def load(cls, path: storage.Path) -> Model:
        """What `save` wrote, or a network alone; same errors as `bpjit.load`, ValueError for a network that gives a row
        several numbers."""
        net, configuration = storage.load_prepared(path)
        with storage.soundness(path, "model"):
            if configuration is not None:
                return cls(net, Preparation.from_configuration(configuration))
        return cls(net)

    @property
    def has_probabilities(self) -> bool:
        """Whether its answers come with the probability of each class."""
        return self.preparation.classes is not None and self.net.output in PROBABILITIES

    def predict(
        self,
        source: Source,
        keep: Sequence[str] = (),
        missing: str | None = None,
        unknown: str | None = None,
    ) -> Iterator[Any]:
        """Answers for the rows of a source, in their order, as record batches of a few MiB each.

        Their columns: those of the source that `keep` names; "prediction"; and for classes "probability_<class>" each,
        where the network's outputs are that. missing, unknown: instead of what was chosen for training; with
        missing="drop" a row that lacks a value gets a null for an answer.
        """
        if keep and isinstance(source, Arrays):
            raise DataError(f"{source.name} has no names of columns: leave --keep out")
        names = [
            "prediction",
            *(self.preparation.answers(np.zeros((0, self.net.sizes[-1])), 0.5, self.has_probabilities)),
        ]
        for name in keep:
            if name in names:
                raise DataError(
                    f"{source.name}: column {shown(name)} has the name of an answer's column: rename it, or leave it "
                    "out of --keep"
                )
        _once(source)
        blocks = self.preparation.blocks(source, missing=missing, unknown=unknown, keep=keep, dtype=self.net.dtype)
        return (self._answers(block.X, block.kept, block.columns) for block in blocks)

    def _answers(self, X: np.ndarray, kept: np.ndarray | None, columns: Any) -> Any:
        y = self.net.predict(X) if len(X) else np.zeros((0, self.net.sizes[-1]), self.net.dtype)
        threshold = find(LOSSES, self.net.loss_name, "loss").threshold
        answers = self.preparation.answers(y, threshold, self.has_probabilities)
        if kept is not None:
            places = pa.array(np.cumsum(kept) - 1, mask=~kept)
            answers = {name: values.take(places) for name, values in answers.items()}
        # Without dictionaries, which CSV does not know, and which may differ from batch to batch.
        passed = {} if columns is None else {name: decoded(columns.column(name)) for name in columns.schema.names}
        return pa.RecordBatch.from_pydict(passed | answers)

    def test(self, source: Source, missing: str | None = None, unknown: str | None = None) -> Tested:
        """Answers beside targets, for the rows of a source that has both and that are kept."""
        _once(source)
        parts = []
        for block in self.preparation.blocks(source, True, missing, unknown, dtype=self.net.dtype):
            if len(block.X):
                parts.append((*self.outcome(self.net.predict(block.X), block.t), block.rows))
        if not parts:
            raise DataError(f"{source.name}: every row lacks a value somewhere: --missing drop leaves none")
        return Tested(*map(np.concatenate, zip(*parts, strict=True)))

    def outcome(self, y: np.ndarray, t: Any) -> tuple[np.ndarray, np.ndarray]:
        """Outputs (S, n_L) and targets (S,) of the network as `test` gives them."""
        if self.preparation.classes is None:
            return self.preparation.in_units(y), self.preparation.in_units(t)
        return (np.column_stack([1 - y[:, 0], y[:, 0]]) if y.shape[1] == 1 else y), np.asarray(t)


def plain(net: Network) -> Preparation:
    """That of a network alone: columns of numbers as they are; the classes 0, 1, ... if it is a classifier."""
    is_classifier = find(LOSSES, net.loss_name, "loss").classes is not None
    if not is_classifier and net.sizes[-1] > 1:
        raise ValueError(f"the network has {net.sizes[-1]} outputs that are no classes: rows of a file have one target")
    output = Classes(range(max(2, net.sizes[-1]))) if is_classifier else Quantity()
    return Preparation(Matrix(net.sizes[0]), output)


def _once(source: Source) -> None:
    """The rows are asked for once: nothing need be kept."""
    if isinstance(source, Table):
        source.keeps = False
