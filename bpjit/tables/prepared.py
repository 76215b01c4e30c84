"""From a source to arrays that a network trains with."""

import errno
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import validation as checks
from .columns import Category, Columns
from .errors import DataError, counted, listed, options, shown
from .matrix import Matrix
from .preparation import MISSING, UNKNOWN, Preparation, no_target
from .source import Arrays, Source, Table, memory_share
from .split import Split, split
from .survey import Survey
from .targets import Classes, Target
from .task import Values, find

Samples = tuple[np.ndarray, np.ndarray]

TASKS = ("classification", "regression")


class Prepared:
    """Samples to train with, to validate and to test: pairs (X, t), or None; and how they were made of the rows.

    test_rows: the numbers of the rows to test with in their file, counted from 0; None without a test. preparation: to
    be kept with the network. notes: what a user wants to know about it, in lines. Large arrays lie in a temporary
    folder, which goes with this object, or with `close`.
    """

    def __init__(self, preparation: Preparation, notes: list[str]) -> None:
        self.preparation, self.notes = preparation, notes
        self.train: Samples
        self.validation: Samples | None = None
        self.test: Samples | None = None
        self.test_rows: np.ndarray | None = None
        self._folder: str | None = None

    def close(self) -> None:
        """Removes the temporary folder; arrays that are still in use stay readable."""
        if self._folder is not None:
            self._remove()

    def __enter__(self) -> "Prepared":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make_folder(self, size: int) -> None:
        self._folder = tempfile.mkdtemp(prefix="bpjit-rows-")
        self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        free = shutil.disk_usage(self._folder).free
        if size > free:
            raise DataError(
                f"the prepared rows take {size / 2**30:.3g} GiB, but {tempfile.gettempdir()} has {free / 2**30:.3g} "
                "GiB left: name a folder on a larger disk in the environment variable TMPDIR"
            )

    def _array(self, name: str, shape: tuple[int, int], dtype: np.dtype) -> np.ndarray:
        if self._folder is None:
            return np.empty(shape, dtype)
        path = os.path.join(self._folder, f"{name}.npy")
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate"):
            # The file is a hole as yet: where the disk has no room for it, writing to it would end the process.
            with open(path, "r+b") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
                except OSError as error:
                    if error.errno in (errno.ENOSPC, errno.EDQUOT):  # others: the file system cannot do this
                        raise
        return array


def prepare(
    source: Source,
    target: str | None = None,
    *,
    task: str | None = None,
    missing: str = "error",
    unknown: str = "error",
    ignore: Sequence[str] = (),
    categorical: Sequence[str] = (),
    max_categories: int = 100,
    test: Source | None = None,
    validation: Source | None = None,
    test_fraction: float = 0.2,
    validation_fraction: float = 0.1,
    seed: int | None = 0,
    dtype: Any = "float32",
    scale_target: bool = True,
) -> Prepared:
    """Rows of a source as samples for a network, divided into those that train, validate and test.

    target: the column to be learnt, for a table. task: "classification" or "regression"; None finds it from the target.
    missing: what to do about missing values, "error", "drop" the row, or "fill" in the column's mean, in columns of
    texts a category of its own. unknown: about categories that training did not see, "error" or "ignore". ignore:
    columns to leave out. categorical: columns of numbers that are categories. max_categories: in one column. test,
    validation: sources of rows of their own, instead of a fraction of these. scale_target: whether numbers to be learnt
    are standardised, as a loss for counts, such as "poisson", would not have it.

    Means, deviations and categories are those of the rows that train. Raises DataError for what is wrong with the rows,
    ValueError or TypeError for an argument.

    >>> from bpjit import tables
    >>> rows = tables.open_source({"size": [1.0, 2.0, 3.0, 4.0] * 5, "big": [False, False, True, True] * 5})
    >>> prepared = tables.prepare(rows, "big", seed=0)
    >>> prepared.train[0].shape, prepared.train[1].dtype, prepared.preparation.classes
    ((14, 1), dtype('int64'), [False, True])
    """
    checks.choice(missing, MISSING, "missing")
    checks.choice(unknown, UNKNOWN, "unknown")
    checks.integer(max_categories, "max_categories", low=1)
    number = checks.float_dtype(dtype)
    if task is not None:
        checks.choice(task, TASKS, "task")
    test = source.test if test is None else test
    work = _FromTable if isinstance(source, Table) else _FromArrays
    rows = work(source, target or source.target, missing, list(ignore), list(categorical))
    classes, labels, why = find(rows.values, task, rows.chosen)
    parts = split(
        np.flatnonzero(rows.chosen),
        labels,
        0.0 if test is not None else test_fraction,
        0.0 if validation is not None else validation_fraction,
        seed,
        source.name,
        None if classes is None else classes.names,
    )
    training = np.zeros(len(rows.chosen), bool)
    training[parts.train] = True
    held_out = rows.chosen & ~training
    output: Target = classes or rows.values.quantity(parts.train, scale_target)
    features = rows.features(training, held_out, max_categories)
    preparation = Preparation(features, output, rows.target, missing, unknown, rows.missing_values)
    preparation.check_size()
    prepared = Prepared(preparation, [_found(rows.values.column, output, why), *rows.notes()])
    _fill(prepared, source, parts, {"validation": validation, "test": test}, len(rows.chosen), number)
    return prepared


class _FromTable:
    """The rows of a table."""

    def __init__(
        self, source: Source, target: str | None, missing: str, ignore: list[str], categorical: list[str]
    ) -> None:
        assert isinstance(source, Table)
        if target is None:
            raise DataError(
                f"{source.name}: name the column to learn with --target; there are {listed(source.columns)}"
            )
        self.source, self.target, self.missing, self.ignored = source, source.named(target, "target"), missing, ignore
        for name in ignore:
            source.named(name, "ignore")
        for name in categorical:
            source.named(name, "categorical")
        if target in ignore:
            raise DataError(f"{source.name}: column {shown(target)} is the target, and --ignore names it, too")
        self.names = [name for name in source.columns if name != target and name not in ignore]
        if not self.names:
            raise DataError(f"{source.name}: beside the target {shown(target)} there is no column to learn from")
        self.survey = Survey(source, self.names, target, categorical)
        self.chosen = np.ones(self.survey.rows, bool)
        if missing == "drop":
            self.chosen = self.survey.complete & ~self.survey.missing_target
            if not self.chosen.any():
                raise DataError(f"{source.name}: every row lacks a value somewhere: --missing drop leaves none")
        elif missing == "error" and self.survey.gaps:
            name, (row, error) = min(self.survey.gaps.items(), key=lambda gap: gap[1][0])
            raise no_target(source.name, target, row) if name == target else error
        elif self.survey.missing_target.any():
            raise no_target(source.name, target, int(np.argmax(self.survey.missing_target)))
        self.values = Values.of_table(self.survey)
        self.missing_values: tuple[str, ...] | None = source.reading.missing

    def features(self, training: np.ndarray, held_out: np.ndarray, most: int) -> Columns:
        self._training = int(training.sum())
        self._columns, self._unseen = Columns.fit(self.survey, self.names, training, held_out, most)
        return self._columns

    def notes(self) -> list[str]:
        texts = [name for name in self.names if self.survey.kind(name) == "text"]
        numbers = len(self.names) - len(texts)
        inputs = self._columns.width
        lines = [
            f"{counted(numbers, 'column')} of numbers and {len(texts)} of categories make {counted(inputs, 'input')}"
        ]
        if self.ignored:
            lines.append(f"left out: {listed(self.ignored)}")
        if dropped := int((~self.chosen).sum()):
            lines.append(f"{dropped} of {len(self.chosen)} rows lack a value, and are left out")
        elif self.missing == "fill" and self.survey.gaps:
            lines.append(f"missing values are filled in {listed(self.survey.gaps)}")
        for column in self._columns.columns:
            if isinstance(column, Category) and 2 * len(column.categories) > self._training:
                lines.append(
                    f"column {shown(column.name)} has {len(column.categories)} categories in {self._training} rows "
                    f"that train: if they are names, {options('ignore', [column.name])}"
                )
        if self._unseen:
            lines.append(
                f"rows held out have categories in {listed(self._unseen)} that do not train: none of those known"
            )
        return lines


class _FromArrays:
    """The rows of arrays."""

    target = missing_values = None

    def __init__(
        self, source: Source, target: str | None, missing: str, ignore: list[str], categorical: list[str]
    ) -> None:
        assert isinstance(source, Arrays)
        for option, names in (("target", [target] if target else []), ("ignore", ignore), ("categorical", categorical)):
            if names:
                raise DataError(f"{source.name} has no names of columns: leave --{option} out")
        if source.t is None:
            raise DataError(f"{source.name} holds no targets: name an array t, or put the labels beside the images")
        self.source = source
        self.values = Values.of_arrays(source)
        self.chosen = np.ones(len(source.X), bool)
        gaps = self.values.missing
        if missing == "drop":
            for first in range(0, len(source.X), 4096):
                X = source.X[first : first + 4096]
                self.chosen[first : first + 4096] = ~np.isnan(X).any(axis=1) if X.dtype.kind == "f" else True
            self.chosen &= ~gaps
        elif gaps.any():
            raise no_target(source.name, "t", int(np.argmax(gaps)))

    def features(self, training: np.ndarray, held_out: np.ndarray, most: int) -> Matrix:
        return Matrix.fit(self.source, training)

    def notes(self) -> list[str]:
        dropped = int((~self.chosen).sum())
        return [f"{dropped} of {len(self.chosen)} rows lack a value, and are left out"] if dropped else []


def _found(column: str, output: Target, why: str) -> str:
    other = TASKS[output.task == TASKS[0]]
    if isinstance(output, Classes):
        what = f"classification of {column} into {len(output.classes)} classes ({listed(output.names)})"
    else:
        what = f"regression of {column}"
    way = f"; --task {other} changes that" if why.startswith("it has") else ""
    return f"{what}, since {why}{way}"


def _fill(
    prepared: Prepared, source: Source, parts: Split, others: dict[str, Source | None], rows: int, dtype: np.dtype
) -> None:
    """Writes every row to its part."""
    width = prepared.preparation.features
    drawn = {name: numbers for name, numbers in parts._asdict().items() if numbers is not None}
    sizes = {name: len(numbers) for name, numbers in drawn.items()}
    sizes |= {name: other.rows for name, other in others.items() if other is not None}
    total = sum(sizes.values()) * width * dtype.itemsize
    if total > memory_share():
        prepared._make_folder(total)
        prepared.notes.append(f"the prepared rows, {total / 2**20:,.0f} MiB, lie in files in {tempfile.gettempdir()}")
    samples = {name: prepared._array(name, (size, width), dtype) for name, size in sizes.items()}
    t_dtype = np.dtype(np.int64) if prepared.preparation.classes is not None else dtype
    targets = {name: np.empty(size, t_dtype) for name, size in sizes.items()}
    part, place = np.full(rows, -1, np.int8), np.zeros(rows, np.int64)
    for code, numbers in enumerate(drawn.values()):
        part[numbers], place[numbers] = code, np.arange(len(numbers))
    missing = prepared.preparation.missing
    # A rare category may be found in rows that do not train alone: it is none of the known ones there.
    for block in prepared.preparation.blocks(source, target=True, unknown="ignore", dtype=dtype):
        numbers = block.rows
        for code, name in enumerate(drawn):
            mine = part[numbers] == code
            samples[name][place[numbers[mine]]] = block.X[mine]
            targets[name][place[numbers[mine]]] = block.t[mine]  # type: ignore[index]
    for name, other in others.items():
        if other is None:
            continue
        end, kept = 0, []
        for block in prepared.preparation.blocks(other, target=True, dtype=dtype):
            kept.append(block.rows)
            samples[name][end : end + len(block.X)] = block.X
            targets[name][end : end + len(block.X)] = block.t
            end += len(block.X)
        samples[name], targets[name] = samples[name][:end], targets[name][:end]
        if end == 0:
            raise DataError(f"{other.name}: every row lacks a value somewhere: --missing drop leaves none")
        if missing == "drop" and end < sizes[name]:
            prepared.notes.append(f"{sizes[name] - end} of {sizes[name]} rows of {other.name} are left out")
        drawn[name] = np.concatenate(kept)
    prepared.test_rows = drawn.get("test")
    for name in sizes:
        setattr(prepared, name, (samples[name], targets[name]))
