"""Classification: accuracy and its kin, the confusion matrix, the surest mistakes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..display import Table, columns, printable, shortened
from ..validation import targets
from ..validation.arrays import as_numbers
from .answers import EXAMPLES, finite, json_number, listed_rows, numbered, scikit_learn, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LISTED = 10
"""Classes, and pairs of them, where a matrix would be too large."""
_MATRIX_LIMIT = 100
"""Classes of which `to_dict` writes the matrix out: 10,000 numbers."""
_PAIRS = 20
_NAME = 24
"""Characters of a class's name in a terminal."""
_SUM_TOLERANCE = 1e-3
"""How far probabilities in float32 may be from 1 in all."""

Label = str | int | float | bool


@dataclass(frozen=True)
class ClassScores:
    """Of one class, NaN where it is not defined: precision without an answer of it, recall without a row, F1 without
    either. samples: rows of this class."""

    label: Label
    precision: float
    recall: float
    f1: float
    samples: int


@dataclass(frozen=True)
class Confusion:
    """How many rows of one class were taken for another."""

    true: Label
    predicted: Label
    count: int


@dataclass(frozen=True)
class Mistake:
    """A row that was taken for another class, and how probable the network held that."""

    row: int
    true: Label
    predicted: Label
    probability: float


@dataclass(frozen=True, eq=False)
class ClassificationAssessment:
    """What `classification` gives.

    balanced_accuracy: mean recall of the classes that occur. macro_f1: mean F1 of those that occur or were answered.
    log_loss: mean of -log of the true class's probability, none below 2.2e-16; None for scores that are no
    probabilities. roc_auc: of two classes; None for more, or if all rows are of one class. baseline: the accuracy of
    always answering baseline_class, the most frequent one here. mistakes: the surest first.
    """

    classes: tuple[Label, ...]
    samples: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float | None
    roc_auc: float | None
    baseline: float
    baseline_class: Label
    per_class: tuple[ClassScores, ...]
    mistakes: tuple[Mistake, ...]
    pairs: np.ndarray = field(repr=False)
    """(true class, predicted class, rows) as integers, (P, 3), for all pairs that occur."""

    @property
    def errors(self) -> int:
        """Rows that were taken for another class."""
        return sum(count for true, answer, count in self.pairs.tolist() if true != answer)

    @cached_property
    def confusion(self) -> np.ndarray:
        """The confusion matrix, (classes, classes) integers: a row for each true class, a column for each answer."""
        matrix = np.zeros((len(self.classes),) * 2, np.int64)
        matrix[self.pairs[:, 0], self.pairs[:, 1]] = self.pairs[:, 2]
        return matrix

    def confused(self, most: int) -> list[Confusion]:
        """The pairs of classes that were taken for each other most often, the most frequent first."""
        wrong = self.pairs[self.pairs[:, 0] != self.pairs[:, 1]]
        order = np.argsort(-wrong[:, 2], kind="stable")[:most]
        return [Confusion(self.classes[true], self.classes[answer], n) for true, answer, n in wrong[order].tolist()]

    def weakest(self, most: int) -> list[ClassScores]:
        """The classes with the lowest F1, of those that have one, the lowest first."""
        return sorted((one for one in self.per_class if not math.isnan(one.f1)), key=lambda one: one.f1)[:most]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the numbers should know, one line each."""
        notes = []
        if self.accuracy <= self.baseline < 1:
            notes.append(f"no more accurate than always answering {name_of(self.baseline_class, _NAME)}")
        absent = [name_of(one.label) for one in self.per_class if not one.samples]
        unanswered = [name_of(one.label) for one in self.per_class if one.samples and math.isnan(one.precision)]
        if absent:
            notes.append(f"in none of these rows: {_enumerated(absent)}")
        if unanswered:
            notes.append(f"never answered: {_enumerated(unanswered)}")
        if len(self.classes) == 2 and self.roc_auc is None:
            notes.append("ROC AUC is not defined: all rows are of one class")
        if self.log_loss is None:
            notes.append("no log loss: the answers are scores, not probabilities")
        return tuple(notes)

    def rows(self) -> dict[str, str]:
        """The scores, by their names."""
        rows = {
            "accuracy": f"{self.accuracy:.4f}",
            "baseline accuracy": f"{self.baseline:.4f} (always {name_of(self.baseline_class, _NAME)})",
            "balanced accuracy": f"{self.balanced_accuracy:.4f}",
            "macro F1": f"{self.macro_f1:.4f}",
        }
        rows |= {} if self.log_loss is None else {"log loss": f"{self.log_loss:.4f}"}
        rows |= {} if self.roc_auc is None else {"ROC AUC": f"{self.roc_auc:.4f}"}
        return rows | {"rows tested": f"{self.samples:,}"}

    def text(self, width: int = 80) -> str:
        """The confusion matrix and the classes for a terminal of that many columns; of many classes, the worst."""
        parts = [self._matrix_text(width)]
        if len(self.classes) <= _LISTED:
            parts.append(str(self.class_table("classes", self.per_class)))
        else:
            listed = self.weakest(_LISTED)
            title = f"the {len(listed)} classes with the lowest F1, of {len(self.classes):,}"
            parts.append(str(self.class_table(title, listed)))
        if self.mistakes:
            parts.append(str(self.mistake_table()))
        if self.notes:
            parts.append(wrapped(self.notes, width))
        return "\n\n".join(parts)

    def _matrix_text(self, width: int) -> str:
        title = "confusion matrix: a row for each true class, a column for each answer"
        names = [name_of(label, _NAME) for label in self.classes]
        numbers = [str(number) for number in range(1, len(names) + 1)]
        numbered = [f"{number:>{len(numbers[-1])}} {name}" for number, name in zip(numbers, names, strict=True)]
        for heads, firsts in ((names, names), (numbers, numbered)):
            # A column is at least 3 wide: what cannot fit is not even made.
            if max(map(columns, firsts)) + 3 * len(heads) > width:
                continue
            cells = [[str(n) if n else "." for n in row] for row in self.confusion.tolist()]
            body = [(first, *row) for first, row in zip(firsts, cells, strict=True)]
            text = str(Table(title, ("", *heads), body, left=("",)))
            if max(map(columns, text.splitlines()[1:])) <= width:
                return text
        pairs = self.confused(_LISTED)
        title = f"confused most often ({len(names):,} classes are too many for a matrix in {width} columns)"
        return str(self.pair_table(title, pairs)) if pairs else f"no row of {self.samples:,} was confused"

    def class_table(self, title: str, listed: Sequence[ClassScores], name: int = _NAME) -> Table:
        """A row for each class."""
        body = [
            (name_of(one.label, name), *map(_share, (one.precision, one.recall, one.f1)), f"{one.samples:,}")
            for one in listed
        ]
        return Table(title, ("class", "precision", "recall", "F1", "rows"), body, left=("class",))

    def pair_table(self, title: str, pairs: Sequence[Confusion], name: int = _NAME) -> Table:
        """A row for each pair of classes."""
        body = [(name_of(one.true, name), name_of(one.predicted, name), f"{one.count:,}") for one in pairs]
        return Table(title, ("true class", "answer", "rows"), body, left=("true class", "answer"))

    def mistake_table(self, name: int = _NAME) -> Table:
        """A row for each mistake that is named."""
        body = [
            (f"{one.row:,}", name_of(one.true, name), name_of(one.predicted, name), f"{one.probability:.3f}")
            for one in self.mistakes
        ]
        columns = ("row", "true class", "answer", "probability")
        title = f"surest of {self.errors:,} mistakes" if self.errors > 1 else "the only mistake"
        return Table(title, columns, body, left=("true class", "answer"))

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON knows; None is what is not defined. The matrix up to 100 classes, else None."""
        matrix = self.confusion.tolist() if len(self.classes) <= _MATRIX_LIMIT else None
        return {
            "task": "classification",
            "samples": self.samples,
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "roc_auc": self.roc_auc,
            "baseline_accuracy": self.baseline,
            "baseline_class": self.baseline_class,
            "classes": list(self.classes),
            "per_class": [
                {"class": one.label, "samples": one.samples}
                | {name: json_number(getattr(one, name)) for name in ("precision", "recall", "f1")}
                for one in self.per_class
            ],
            "confusion_matrix": matrix,
            "confusions": [vars(one) for one in self.confused(_PAIRS)],
            "mistakes": [vars(one) for one in self.mistakes],
            "notes": list(self.notes),
        }

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """The confusion matrix as a heat map of shares of the true classes; saved, and raises, as
        `History.plot` does."""
        from .plots import plot_confusion

        return plot_confusion(self, path)

    def __str__(self) -> str:
        return f"{listed_rows(self.rows())}\n\n{self.text()}"


def classification(
    y: Any,
    t: Any,
    classes: Sequence[Label],
    *,
    threshold: float = 0.5,
    row_numbers: Sequence[int] | np.ndarray | None = None,
) -> ClassificationAssessment:
    """Assesses answers y to samples whose true classes are t.

    y: probabilities (S, n_L), a column for each class, or (S, 1) or (S,), the probability of the second of two classes;
    other scores will do, too, if the greatest is the answer, with one column the second class from `threshold` on.
    t: (S,) integers, places in `classes`. row_numbers: (S,), what a row is called where one is named; without it they
    are counted from 1.

    Raises ValueError for no rows, shapes that do not fit, NaN and labels out of range; TypeError for what are no
    numbers; ImportError where scikit-learn is not installed.

    >>> y = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]
    >>> result = classification(y, [0, 1, 1, 0], ["cat", "dog"])
    >>> print(result.text())
    confusion matrix: a row for each true class, a column for each answer
         cat  dog
    cat    2    .
    dog    1    1
    <BLANKLINE>
    classes
    class  precision  recall     F1  rows
    cat        0.667   1.000  0.800     2
    dog        1.000   0.500  0.667     2
    <BLANKLINE>
    the only mistake
    row  true class  answer  probability
      3  dog         cat           0.600
    >>> result.rows()["baseline accuracy"]
    '0.5000 (always cat)'
    """
    metrics = scikit_learn()
    labels: tuple[Label, ...] = tuple(_plain(label) for label in classes)
    y = finite(y, "y")
    y = y.reshape(-1, 1) if y.ndim == 1 else y
    needed = 2 if y.shape[1:] == (1,) else math.prod(y.shape[1:])
    if y.ndim != 2 or len(labels) != needed:
        raise ValueError(
            f"y has shape {y.shape} for {len(labels)} classes: give a column for each class, or of two classes the "
            "probability of the second"
        )
    t = as_numbers(t, "t")
    if t.ndim != 1:
        raise ValueError(f"t has shape {t.shape}, but must be the classes' places, ({len(y)},)")
    t = targets(t, kind="distribution", outputs=len(labels), samples=len(y), dtype=y.dtype)
    named = numbered(row_numbers, len(y))

    answer = (y[:, 0] >= threshold).astype(np.int64) if y.shape[1] == 1 else y.argmax(axis=1)
    right = answer == t
    scores = metrics.precision_recall_fscore_support(t, answer, labels=np.arange(len(labels)), zero_division=np.nan)
    per_class = tuple(
        ClassScores(label, float(precision), float(recall), float(f1), int(count))
        for label, precision, recall, f1, count in zip(labels, *scores, strict=True)
    )
    codes, counts = np.unique(t * len(labels) + answer, return_counts=True)
    support = np.asarray(scores[3])
    log_loss, mistakes = None, []
    if _are_probabilities(y):
        log_loss = float(-np.log(np.maximum(_probability(y, t), np.finfo(np.float64).eps)).mean())
        sure, wrong = _probability(y, answer), np.flatnonzero(~right)
        mistakes = [
            Mistake(int(named[s]), labels[t[s]], labels[answer[s]], float(sure[s]))
            for s in wrong[np.argsort(-sure[wrong], kind="stable")[:EXAMPLES]]
        ]
    roc_auc = None
    if len(labels) == 2 and support.all():
        roc_auc = float(metrics.roc_auc_score(t, y[:, 0] if y.shape[1] == 1 else y[:, 1].astype(np.float64) - y[:, 0]))
    return ClassificationAssessment(
        labels,
        len(t),
        float(right.mean()),
        float(np.asarray(scores[1])[support > 0].mean()),
        float(np.nanmean(scores[2])),
        log_loss,
        roc_auc,
        float(support.max() / len(t)),
        labels[int(support.argmax())],
        per_class,
        tuple(mistakes),
        np.stack([codes // len(labels), codes % len(labels), counts], axis=1),
    )


def _are_probabilities(y: np.ndarray) -> bool:
    if y.min() < 0 or y.max() > 1 + _SUM_TOLERANCE:
        return False
    return y.shape[1] == 1 or bool((np.abs(y.sum(axis=1, dtype=np.float64) - 1) <= _SUM_TOLERANCE).all())


def _probability(y: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Of the chosen class of each row, as float64, all classes' sum being 1."""
    if y.shape[1] == 1:
        second = y[:, 0].astype(np.float64)
        return np.where(chosen == 1, second, 1 - second)
    return y[np.arange(len(y)), chosen] / y.sum(axis=1, dtype=np.float64)


def _plain(label: Any) -> Label:
    """A class's label as Python has it, and as JSON knows it."""
    plain = label.item() if isinstance(label, np.generic) else label
    return plain if isinstance(plain, str | int | float | bool) else str(plain)


def name_of(label: Label, width: int | None = None) -> str:
    """A class's name for people, in at most so many columns of a terminal.

    >>> name_of(3), name_of(True), name_of(""), name_of("a very long name", 8)
    ('3', 'true', "''", 'a very …')
    """
    text = printable(str(label).lower() if isinstance(label, bool) else str(label)) or "''"
    return text if width is None else shortened(text, width)


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _enumerated(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(shortened(name, _NAME) for name in names[:most])
    return shown + (f" and {len(names) - most:,} more classes" if len(names) > most else "")
