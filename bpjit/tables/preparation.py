"""Preparation: how the rows of a file become inputs and targets of a network, and its outputs answers."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ..storage import HEADER_LIMIT
from ..validation import choice, integer, real, switch
from .cells import Cells, Reading
from .columns import Category, Columns, Number
from .errors import DataError, counted, listed, shown
from .matrix import Matrix
from .source import Arrays, Source, Table
from .targets import Classes, Quantity, Target

MISSING = ("error", "drop", "fill")
UNKNOWN = ("error", "ignore")
VERSION = 1
ROOM = HEADER_LIMIT // 2
"""Bytes that a preparation may take in a file."""


class Block(NamedTuple):
    """Some rows, ready for a network. X (rows that are kept, n_0); t (the same,), int64 or float64, or None; kept: a
    mask over all rows of the block, None if all are; columns: a record batch of those to be passed on, or None; first:
    the number of the block's first row in the file, counted from 0."""

    X: np.ndarray
    t: np.ndarray | None
    kept: np.ndarray | None
    columns: Any
    first: int

    @property
    def rows(self) -> np.ndarray:
        """The numbers in the file of the rows that are kept, counted from 0."""
        if self.kept is None:
            return np.arange(self.first, self.first + len(self.X))
        return self.first + np.flatnonzero(self.kept)


class Preparation:
    """What was found from the rows that trained: means, deviations, categories, classes; applied to any rows.

    features: the inputs. output: the target. target: its name in tables. missing, unknown: what is done about missing
    values ("error", "drop" the row, "fill" in the mean or a category of its own) and unknown categories ("error",
    "ignore": none of them). missing_values: texts that stand for a missing value; None leaves that to the file.

    >>> from bpjit import tables
    >>> rows = tables.open_source({"rooms": [1, 2, 3, 4] * 5, "town": ["Rome", "Bern"] * 10, "rent": [1.5, 2.5] * 10})
    >>> preparation = tables.prepare(rows, "rent", seed=0).preparation
    >>> preparation.task, preparation.feature_names
    ('regression', ['rooms', 'town=Bern', 'town=Rome'])
    """

    def __init__(
        self,
        features: Columns | Matrix,
        output: Target,
        target: str | None = None,
        missing: str = "error",
        unknown: str = "error",
        missing_values: Sequence[str] | None = None,
    ) -> None:
        self._features, self._output, self.target = features, output, target
        self.missing, self.unknown = choice(missing, MISSING, "missing"), choice(unknown, UNKNOWN, "unknown")
        self._missing_values = None if missing_values is None else tuple(missing_values)

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self._output.task

    @property
    def classes(self) -> list[str | int | bool] | None:
        """The classes, as in the file; None of a regression."""
        return None if self._output.classes is None else list(self._output.classes)

    @property
    def features(self) -> int:
        """Inputs of the network."""
        return self._features.width

    @property
    def outputs(self) -> int:
        """Outputs of the network, one a class; 1 of a regression."""
        return self._output.outputs

    @property
    def columns(self) -> list[str]:
        """Names of the columns that a table must have; none where any columns of numbers will do."""
        return self._features.names

    @property
    def feature_names(self) -> list[str]:
        """One name an input: that of the column, and of the category as in "town=Rome"."""
        return self._features.feature_names

    def blocks(
        self,
        source: Source,
        target: bool = False,
        missing: str | None = None,
        unknown: str | None = None,
        keep: Sequence[str] = (),
        dtype: Any = "float32",
    ) -> Iterator[Block]:
        """The rows of a source in blocks of a few MiB, with t where `target` is set.

        missing, unknown: instead of what was chosen for training. With missing="drop" a block leaves rows out.
        keep: columns to be passed on. Raises DataError for rows that do not fit.
        """
        missing = choice(self.missing if missing is None else missing, MISSING, "missing")
        unknown = choice(self.unknown if unknown is None else unknown, UNKNOWN, "unknown")
        names = list(dict.fromkeys(source.named(name, "keep") for name in keep))
        column = self._target_column(source) if target else self._left_out(source)
        extra = list(dict.fromkeys([*([] if column is None else [column]), *names]))
        reading = self._reading(source)
        rows = self._features.blocks(
            source, missing=missing, unknown=unknown, extra=extra, dtype=np.dtype(dtype), reading=reading
        )
        for first, X, whole, batch in rows:
            t = None
            if target:
                if isinstance(source, Arrays):
                    assert source.t is not None
                    cells = Cells(pa.array(source.t[first : first + len(X)]), "t", first, reading)
                else:
                    cells = Cells(batch.column(column), str(column), first, reading)
                t, gaps = self._output.read(cells)
                if missing != "drop" and gaps.any():
                    raise no_target(cells.reading.name, cells.column, first + int(np.argmax(gaps)))
                whole = whole & ~gaps
            columns = batch.select(names) if names else None
            if missing == "drop" and not whole.all():
                yield Block(X[whole], None if t is None else t[whole], whole, columns, first)
            else:
                yield Block(X, t, None, columns, first)

    def _reading(self, source: Source) -> Reading:
        if self._missing_values is None or not isinstance(source, Table):
            return source.reading
        return Reading.of(source.name, self._missing_values, source.reading.given, source.reading.decimal)

    def _target_column(self, source: Source) -> str | None:
        """The column of a table that holds the targets."""
        if isinstance(source, Arrays):
            if source.t is None:
                raise DataError(f"{source.name} holds no targets: name an array t, or put the labels beside the images")
            return None
        name = self.target or source.target
        if name is None:
            raise DataError(f"{source.name}: which column holds the targets? Name it with --target")
        return source.named(name)

    def _left_out(self, source: Source) -> str | None:
        """A column of targets that is not asked for, and is no input either."""
        name = source.target or self.target
        return name if isinstance(self._features, Matrix) and name in source.columns else None

    def rows(self) -> dict[str, str]:
        """It in words, for a table: what is learnt from what, and what is done about gaps.

        >>> Preparation(Matrix(3), Classes(["no", "yes"])).rows()
        {'task': "classification into 2 classes ('no', 'yes')", 'inputs': '3', 'missing': 'error', 'unknown': 'error'}
        """
        of = "" if self.target is None else f" of {self.target}"
        if isinstance(self._output, Classes):
            into = f" into {counted(self.outputs, 'class', 'classes')} ({listed(self._output.names)})"
        else:
            into = f" (mean {self._output.mean:.6g}, deviation {self._output.scale:.6g} in training)"
        rows = {"task": f"{self.task}{of}{into}"}
        if self.columns:
            rows["columns"] = listed(self.columns)
        return rows | {"inputs": f"{self.features:,}", "missing": self.missing, "unknown": self.unknown}

    def answers(self, y: np.ndarray, threshold: float = 0.5, probabilities: bool = True) -> dict[str, Any]:
        """Outputs (S, n_L) as columns (pyarrow arrays): "prediction", the class or the number in the target's units,
        and for classes "probability_<class>" each. With one output, that of the second class, threshold decides.

        >>> Preparation(Matrix(1), Quantity(mean=3.0, scale=2.0)).answers(np.array([[0.5]]))["prediction"].to_pylist()
        [4.0]
        """
        return self._output.answers(y, threshold, probabilities)

    def in_units(self, y: np.ndarray) -> np.ndarray:
        """Outputs or targets of a regression as numbers in the target's own units, float64 (S,)."""
        if isinstance(self._output, Classes):
            raise ValueError("classes have no units: in_units is for regression")
        return self._output.in_units(y)

    # ------------------------------------------------------------------------------------------ as JSON

    def configuration(self) -> dict[str, Any]:
        """All of it as JSON has it; `from_configuration` makes a preparation of it."""
        return {
            "version": VERSION,
            "features": self._features.configuration(),
            "output": self._output.configuration(),
            "target": self.target,
            "missing": self.missing,
            "unknown": self.unknown,
            "missing_values": None if self._missing_values is None else list(self._missing_values),
        }

    @classmethod
    def from_configuration(cls, configuration: Any) -> "Preparation":
        """What `configuration` described; ValueError or TypeError for anything else.

        >>> same = Preparation.from_configuration(Preparation(Matrix(3), Classes(["no", "yes"])).configuration())
        >>> same.features, same.classes
        (3, ['no', 'yes'])
        """
        fields = _fields(
            configuration, "version", "features", "output", "target", "missing", "unknown", "missing_values"
        )
        if fields["version"] != VERSION or fields["version"] is True:
            raise ValueError(f"this bpjit reads version {VERSION} of a preparation, not {shown(fields['version'])}")
        target, missing_values = fields["target"], fields["missing_values"]
        if target is not None:
            _text(target)
        features = _features(fields["features"])
        if target in features.names:
            raise ValueError("a preparation's target is one of its features")
        if missing_values is not None:
            missing_values = _texts(missing_values)
        return cls(features, _output(fields["output"]), target, fields["missing"], fields["unknown"], missing_values)

    def check_size(self) -> None:
        """Raises DataError if a model's file has no room for it."""
        size = len(json.dumps(json.dumps(self.configuration())))
        if size > ROOM:
            raise DataError(
                f"the names and categories of {len(self.columns)} columns would take {size >> 20} MiB of the model's "
                f"file, where {ROOM >> 20} are allowed: leave columns out with --ignore, or lower --max-categories"
            )


def no_target(name: str, column: str, row: int) -> DataError:
    """What is said about a row, counted from 0, without a target."""
    return DataError(
        f"{name}: column {shown(column)}, row {row + 1} has no value, and it is the target: fill it in, or leave such "
        "rows out with --missing drop"
    )


def _fields(configuration: Any, *names: str) -> Mapping[str, Any]:
    if not isinstance(configuration, Mapping) or configuration.keys() != set(names):
        raise ValueError(f"a part of a preparation has not the fields {', '.join(names)}")
    return configuration


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a name in a preparation is {shown(value)}, no text")
    value.encode()  # half a pair of surrogates has no place in a file: UnicodeEncodeError is a ValueError
    return value


def _texts(values: Any) -> list[str]:
    return _unique([_text(value) for value in _list(values)])


def _list(values: Any) -> list[Any]:
    if not isinstance(values, list):
        raise TypeError(f"a preparation has {shown(values)} where a list belongs")
    return values


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("a preparation has a name, category or class twice")
    return values


def _scale(value: Any) -> float:
    return real(value, "scale", low=0, low_open=True)


def _features(configuration: Any) -> Columns | Matrix:
    kind = configuration.get("kind") if isinstance(configuration, Mapping) else None
    if kind == "matrix":
        fields = _fields(configuration, "kind", "width", "mean", "scale")
        width = integer(fields["width"], "width", low=1, high=2**31)
        if fields["mean"] is None:
            return Matrix(width, None, _scale(fields["scale"]))
        mean = np.array([real(value, "mean") for value in _list(fields["mean"])])
        scale = np.array([_scale(value) for value in _list(fields["scale"])])
        if len(mean) != width or len(scale) != width:
            raise ValueError(f"a preparation has {len(mean)} means and {len(scale)} scales for {width} features")
        return Matrix(width, mean, scale)
    columns = [_column(column) for column in _list(_fields(configuration, "kind", "columns")["columns"])]
    if kind != "columns" or not columns:
        raise ValueError(f"a preparation's features are of the kind {shown(kind)}, or none")
    _unique([column.name for column in columns])
    return Columns(columns)


def _column(configuration: Any) -> Number | Category:
    kind = configuration.get("kind") if isinstance(configuration, Mapping) else None
    if kind == "category":
        fields = _fields(configuration, "kind", "name", "categories", "missing")
        column = Category(_text(fields["name"]), _texts(fields["categories"]), switch(fields["missing"], "missing"))
        if not column.categories:
            raise ValueError("a preparation has a column without categories")
        return column
    fields = _fields(configuration, "kind", "name", "mean", "scale")
    choice(kind, ("number", "boolean"), "kind")
    return Number(_text(fields["name"]), real(fields["mean"], "mean"), _scale(fields["scale"]), kind == "boolean")


def _output(configuration: Any) -> Target:
    kind = configuration.get("kind") if isinstance(configuration, Mapping) else None
    if kind == "number":
        fields = _fields(configuration, "kind", "mean", "scale")
        return Quantity(real(fields["mean"], "mean"), _scale(fields["scale"]))
    classes = _unique(_list(_fields(configuration, "kind", "classes")["classes"]))
    if kind != "classes" or len(classes) < 2:
        raise ValueError(f"a preparation's target is of the kind {shown(kind)}, or has one class")
    if {type(one) for one in classes} == {str}:
        return Classes(_texts(classes))
    if len({type(one) for one in classes}) > 1 or type(classes[0]) not in (int, bool):
        raise TypeError("a preparation's classes are neither texts, nor whole numbers, nor booleans")
    if any(not math.isfinite(float(one)) or abs(one) > 2**53 for one in classes) or sorted(classes) != classes:
        raise ValueError("a preparation's classes are too large, or not in order")
    return Classes(classes)
