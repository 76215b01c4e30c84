"""Metrics: scores of what a network answers, by name ("accuracy", "top_k(3)") or as a function of the user's.

`Network.evaluate` and the training loop take them. docs/metrics.md has a table of all.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from . import validation
from .engine.entry import Entry, Setting, find

if TYPE_CHECKING:
    from .engine.losses import Loss

__all__ = ["METRICS", "Answers", "Metric", "choose", "direction"]


@dataclass(frozen=True)
class Answers:
    """What a metric may look at: the outputs y (S, n_L), and t as the loss takes it, labels (S,) or rows (S, n_L).

    C: the mean cost of E3; NaN where no metric asks for it. weights: (S,), how much each sample counts; None for alike.
    """

    t: np.ndarray
    y: np.ndarray
    loss: "Loss"
    C: float = math.nan
    weights: np.ndarray | None = None

    def mean(self, values: np.ndarray, some: np.ndarray | None = None) -> float:
        """The mean over samples, (S,), and outputs, (S, n_L); some: over these samples alone."""
        weights = self.weights
        if some is not None:
            values, weights = values[some], None if weights is None else weights[some]
        if weights is None:
            return float(np.mean(values))
        return float(np.average(values, axis=0, weights=weights).mean())

    @cached_property
    def numbers(self) -> np.ndarray:
        """t as rows of numbers: labels as one-hot ones."""
        return (np.eye(self.y.shape[1])[self.t] if self.t.ndim == 1 else self.t).astype(np.float64)

    @cached_property
    def truth(self) -> np.ndarray:
        """t as labels, like those of `labels`; of a distribution the greatest."""
        return self.t if self.t.ndim == 1 else labels(self.t, self.loss)

    @cached_property
    def answer(self) -> np.ndarray:
        """y as labels."""
        return labels(self.y, self.loss)

    @property
    def of_each(self) -> bool:
        """Whether every one of several outputs decides for itself: labels are (S, n_L)."""
        return self.y.shape[1] > 1 and self.loss.classes == "each"


def labels(y: np.ndarray, loss: "Loss") -> np.ndarray:
    """The labels that outputs (S, n_L) say: (S,), or (S, n_L) where each of several outputs decides for itself."""
    if loss.classes == "one" and y.shape[1] > 1:
        return y.argmax(axis=1)
    decisions = (y >= loss.threshold).astype(np.int64)
    return decisions[:, 0] if y.shape[1] == 1 else decisions


@dataclass(frozen=True, kw_only=True)
class Metric(Entry):
    """One entry of the table."""

    score: Callable[[Answers, float], float]
    """score(answers, value of the setting)."""
    best: str = "max"
    """Whether the greatest or the least is the best."""
    classes: bool = True
    """Whether it compares classes, which only a classifier has."""
    one_class: bool = False
    """Whether each sample must be of one class."""
    scikit_learn: bool = False
    """Whether scikit-learn computes it."""


def accuracy(answers: Answers, value: float) -> float:
    right = answers.answer == answers.truth
    return answers.mean(right if right.ndim == 1 else right.all(axis=1))


def balanced_accuracy(answers: Answers, value: float) -> float:
    """The mean over the classes in t of the share that was found."""
    truth, found = answers.truth, answers.truth == answers.answer
    counts = truth if answers.weights is None else truth[answers.weights > 0]
    return float(np.mean([answers.mean(found, truth == label) for label in np.unique(counts)]))


def top_k(answers: Answers, value: float) -> float:
    """The share of samples with fewer than k outputs before that of their class; of equals the first comes first."""
    y, truth = answers.y, answers.truth[:, None]
    own = np.take_along_axis(y, truth, axis=1)
    before = (y > own) | ((y == own) & (np.arange(y.shape[1]) < truth))
    return answers.mean(before.sum(axis=1) < value)


def f1(answers: Answers, value: float) -> float:
    from sklearn.metrics import f1_score

    several = answers.of_each or answers.y.shape[1] > 2
    average = "macro" if several else "binary"
    return float(
        f1_score(answers.truth, answers.answer, average=average, zero_division=0.0, sample_weight=answers.weights)
    )


def auc(answers: Answers, value: float) -> float:
    from sklearn.metrics import roc_auc_score

    y = answers.y.astype(np.float64)
    if y.shape[1] == 1:
        chances = [(answers.truth == 1, y[:, 0])]
    elif answers.of_each:
        chances = [(answers.truth[:, i] == 1, y[:, i]) for i in range(y.shape[1])]
    elif y.shape[1] == 2:
        chances = [(answers.truth == 1, y[:, 1] - y[:, 0])]
    else:
        chances = [(answers.truth == i, y[:, i]) for i in range(y.shape[1])]
    # Of one class alone there is nothing to tell apart.
    counts = np.ones(len(y), bool) if answers.weights is None else answers.weights > 0
    return float(
        np.mean(
            [
                roc_auc_score(*pair, sample_weight=answers.weights) if len(np.unique(pair[0][counts])) > 1 else math.nan
                for pair in chances
            ]
        )
    )


def mae(answers: Answers, value: float) -> float:
    return answers.mean(np.abs(answers.y - answers.numbers))


def mse(answers: Answers, value: float) -> float:
    return answers.mean((answers.y - answers.numbers) ** 2)


def r2(answers: Answers, value: float) -> float:
    """1 - Σ (y - t)² / Σ (t - mean t)², averaged over the outputs; of a constant t 1 if y is right, else 0."""
    t, weights = answers.numbers, answers.weights
    away, apart = (answers.y - t) ** 2, (t - np.average(t, axis=0, weights=weights)) ** 2
    residual, spread = (x.sum(axis=0) if weights is None else weights @ x for x in (away, apart))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.mean(np.where(spread > 0, 1 - residual / spread, np.where(residual > 0, 0.0, 1.0))))


@dataclass(frozen=True)
class Whole(Setting):
    """A setting that is a whole number."""

    def checked(self, value: float, name: str) -> float:
        value = super().checked(value, name)
        return float(validation.integer(int(value) if value == int(value) else value, name))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="loss", score=lambda answers, value: answers.C, best="min", classes=False),
        Metric(name="accuracy", score=accuracy),
        Metric(name="balanced_accuracy", score=balanced_accuracy, one_class=True),
        Metric(name="top_k", score=top_k, one_class=True, setting=Whole("k", 5, low=1)),
        Metric(name="f1", score=f1, scikit_learn=True),
        Metric(name="auc", score=auc, scikit_learn=True),
        Metric(name="mae", score=mae, best="min", classes=False),
        Metric(name="mse", score=mse, best="min", classes=False),
        Metric(name="r2", score=r2, classes=False),
    )
}


@dataclass(frozen=True)
class Score:
    """A metric that was chosen and fits: of `Answers` one number."""

    function: Callable[[Answers], float]
    of_cost: bool = False
    """Whether it looks at C alone; else at y."""

    def __call__(self, answers: Answers) -> float:
        return self.function(answers)


def choose(metrics: Any, loss: "Loss", outputs: int) -> dict[str, Score]:
    """{name: score} for the metrics that a user names, each sure to fit a network with that loss and number of outputs.

    metrics: a name such as "accuracy" or "top_k(3)", a function f(t, y) -> float, {name: either}, or a list of these.
    A score takes `Answers`; its name is as the user wrote it, or that of the function.

    Raises ValueError for an unknown name, a setting that is not possible, or a metric that does not fit; TypeError for
    anything else; ImportError for one that scikit-learn computes, where it is not installed.

    >>> from bpjit.engine.losses import LOSSES
    >>> list(choose(["top_k(2)", max], LOSSES["cross_entropy"], outputs=3))
    ['top_k(2)', 'max']
    """
    chosen: dict[str, Any] = {}
    for name, metric in _named(metrics):
        if (name in chosen and chosen[name] != metric) or (name == "loss" != metric):
            raise ValueError(f"metrics has another {name!r}: give it a name of its own, as in {{{name + '_2'!r}: ...}}")
        chosen[name] = metric
    return {
        name: _of_user(metric, name) if callable(metric) else _of_table(metric, loss, outputs)
        for name, metric in chosen.items()
    }


def direction(column: str) -> str | None:
    """Whether the greatest or the least of a column of a history is the best, "max" or "min"; None if it is not known.

    >>> direction("validation_top_k(3)"), direction("loss"), direction("profit")
    ('max', 'min', None)
    """
    try:
        return find(METRICS, column.removeprefix("validation_"), "metrics").best
    except ValueError:
        return None


def _named(metrics: Any) -> Iterable[tuple[str, Any]]:
    """(name, text or function) of each."""
    if isinstance(metrics, Mapping):
        for name, metric in metrics.items():
            if not isinstance(name, str):
                raise TypeError(f"metrics has a name that is no string: {name!r}")
            if not (isinstance(metric, str) or callable(metric)):
                raise TypeError(f"metrics has {metric!r} for {name!r}, but a metric is a name or a function f(t, y)")
            yield name, metric
    elif isinstance(metrics, str):
        yield metrics, metrics
    elif callable(metrics):
        name = getattr(metrics, "__name__", "<lambda>")
        if name == "<lambda>":
            raise ValueError("metrics has a function without a name: give it one, as in {'my_score': function}")
        yield name, metrics
    elif isinstance(metrics, Iterable):
        for one in metrics:
            if isinstance(one, Iterable) and not isinstance(one, str | Mapping):
                raise TypeError(f"metrics has {one!r}, but a metric is a name, a function f(t, y), or {{name: either}}")
            yield from _named(one)
    else:
        raise TypeError(f"metrics must be names such as 'accuracy' or functions f(t, y), not {metrics!r}")


def _of_table(text: str, loss: "Loss", outputs: int) -> Score:
    metric = find(METRICS, text, "metrics")
    if metric.classes and loss.classes is None:
        raise ValueError(f"{metric.name} needs a classifier, but the loss is {loss.name!r}: use 'r2', 'mae' or 'mse'")
    if metric.one_class and loss.classes == "each" and outputs > 1:
        raise ValueError(
            f"{metric.name} needs one class a sample, but with {loss.name!r} each of {outputs} outputs decides for "
            "itself: use 'accuracy', 'f1' or 'auc'"
        )
    if metric.name == "top_k" and metric.value >= outputs:
        raise ValueError(
            f"{text!r} is 1 for any answer of {outputs} outputs: give a smaller k, as in 'top_k({max(outputs - 1, 1)})'"
            if outputs > 1
            else f"{text!r} needs an output for each class, but there is one output: use 'accuracy'"
        )
    if metric.scikit_learn:
        try:
            import sklearn.metrics  # noqa: F401
        except ModuleNotFoundError as error:
            raise ImportError(f"the metric {text!r} needs scikit-learn: pip install 'bpjit[sklearn]'") from error
    return Score(lambda answers: metric.score(answers, metric.value), of_cost=metric.name == "loss")


def _of_user(function: Callable[..., Any], name: str) -> Score:
    def score(answers: Answers) -> float:
        more = {}
        if answers.weights is not None and _has_parameter(function, "sample_weight"):
            more["sample_weight"] = _read_only(answers.weights)
        value = function(_read_only(answers.t), _read_only(answers.y), **more)
        try:
            return float(value)
        except (TypeError, ValueError):
            raise TypeError(f"the metric {name!r} gave {value!r}, but a metric gives one number") from None

    return Score(score)


def _has_parameter(function: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):  # of some that are written in C nothing is known
        return False


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
