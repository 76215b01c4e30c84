"""Metrics: by hand, beside scikit-learn's, through evaluate; what fits which network, and what is refused."""

import functools
import math
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn.metrics as sk

import bpjit
from bpjit import metrics, network
from bpjit.engine.losses import LOSSES
from bpjit.engine.model import Model
from bpjit.metrics import METRICS, Answers, choose

pytestmark = pytest.mark.usefixtures("one_thread")

draw = np.random.default_rng(0)


def identity(outputs, loss, output="identity", dtype="float64"):
    """A network that answers X itself."""
    net = bpjit.Network([outputs, outputs], loss=loss, output=output, dtype=dtype)
    net.set_parameters([(np.eye(outputs), np.zeros(outputs))])
    return net


def score(name, t, y, loss="cross_entropy"):
    """A metric of given outputs."""
    y = np.asarray(y, np.float64)
    (of,) = choose(name, LOSSES[loss], y.shape[1]).values()
    return of(Answers(np.asarray(t), y, LOSSES[loss]))


def test_the_table():
    assert set(METRICS) == {
        "loss", "accuracy", "balanced_accuracy", "top_k", "f1", "auc", "mae", "mse", "r2"
    }  # fmt: skip
    text = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}" not in text] == []
    assert bpjit.metrics is metrics


# By hand


def test_classes_by_hand():
    t, y = [0, 0, 0, 1, 2], np.eye(4)[[0, 0, 1, 1, 1]]
    assert score("accuracy", t, y) == 3 / 5
    assert score("balanced_accuracy", t, y) == pytest.approx((2 / 3 + 1 + 0) / 3, rel=1e-15)  # class 3 is not in t
    assert score("f1", t, y) == pytest.approx((0.8 + 0.5 + 0) / 3, rel=1e-15)
    assert score("accuracy", np.eye(4)[t], y) == 3 / 5


def test_two_classes_by_hand():
    """P = 2/3, R = 1/2; of the 8 pairs of a sample of each class 5 are in order, and one is equal."""
    t, y = np.array([1, 1, 1, 1, 0, 0]), np.array([0.9, 0.6, 0.4, 0.1, 0.7, 0.4])
    chances = np.stack([1 - y, y], axis=1)
    for labels, of, loss in ((t, chances, "cross_entropy"), (t[:, None], y[:, None], "binary_cross_entropy")):
        assert score("f1", labels, of, loss) == pytest.approx(2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2), rel=1e-15)
        assert score("auc", labels, of, loss) == pytest.approx((2 + 1 + 0.5) / 8, rel=1e-15)
    assert score("auc", 2 * t[:, None] - 1, y[:, None] - 0.5, "hinge") == pytest.approx(3.5 / 8, rel=1e-15)


def test_the_first_of_equal_outputs_counts():
    y = [[1, 1, 0, 1], [0, 2, 2, 1], [3, 3, 3, 3]]
    assert [score(f"top_k({k})", [1, 2, 2], y) for k in (1, 2, 3)] == [0, 2 / 3, 1]
    assert score("top_k(1)", [0, 1, 0], y) == score("accuracy", [0, 1, 0], y) == 1


def test_numbers_by_hand():
    t, y = [[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]], [[1.0, 0.0], [2.0, 3.0], [5.0, 0.0]]
    assert score("mae", t, y, "squared_error") == (2 + 3) / 6
    assert score("mse", t, y, "squared_error") == (4 + 9) / 6
    assert score("r2", t, y, "squared_error") == ((1 - 4 / 2) + 0) / 2
    labels = [0, 1, 1]
    assert score("mae", labels, y) == (0 + 0 + 2 + 2 + 5 + 1) / 6  # beside one-hot rows


# Beside scikit-learn


def test_classes_as_scikit_learn():
    """Relative: sums of 200 numbers in another order."""
    y, t = draw.dirichlet(np.ones(6), 200), draw.integers(0, 6, 200)
    guess = y.argmax(axis=1)
    wanted = {
        "accuracy": sk.accuracy_score(t, guess),
        "balanced_accuracy": sk.balanced_accuracy_score(t, guess),
        "f1": sk.f1_score(t, guess, average="macro"),
        "auc": sk.roc_auc_score(t, y, multi_class="ovr", average="macro"),
        "mae": sk.mean_absolute_error(np.eye(6)[t], y),
    } | {f"top_k({k})": sk.top_k_accuracy_score(t, y, k=k) for k in (1, 2, 5)}
    wanted["top_k"] = wanted["top_k(5)"]
    for loss in ("cross_entropy", "hinge"):
        assert {name: score(name, t, y, loss) for name in wanted} == pytest.approx(wanted, rel=1e-13)
    few = t < 3  # fewer classes than outputs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the guesses have more classes
        balanced = sk.balanced_accuracy_score(t[few], guess[few])
    assert score("balanced_accuracy", t[few], y[few]) == pytest.approx(balanced, rel=1e-13)
    assert score("f1", t[few], y[few]) == pytest.approx(sk.f1_score(t[few], guess[few], average="macro"), rel=1e-13)


def test_outputs_that_decide_for_themselves_as_scikit_learn():
    y, t = draw.random((100, 3)), draw.integers(0, 2, (100, 3)).astype(float)
    guess = (y >= 0.5).astype(int)
    wanted = {
        "accuracy": sk.accuracy_score(t.astype(int), guess),
        "f1": sk.f1_score(t.astype(int), guess, average="macro"),
        "auc": sk.roc_auc_score(t.astype(int), y),
    }
    assert {name: score(name, t, y, "binary_cross_entropy") for name in wanted} == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize("outputs", [1, 3])
def test_numbers_as_scikit_learn(outputs):
    t = draw.normal(size=(100, outputs))
    t[:, -1] = 1.0 if outputs > 1 else t[:, -1]  # one that is constant
    y = t + draw.normal(size=t.shape)
    others = {"mae": sk.mean_absolute_error, "mse": sk.mean_squared_error, "r2": sk.r2_score}
    for name, other in others.items():
        assert score(name, t, y, "squared_error") == pytest.approx(other(t, y), rel=1e-13)
        assert score(name, t, t, "squared_error") == other(t, t)


def test_what_is_not_defined():
    """One class alone has no area under its curve; a class that nobody asks for or names has no F1."""
    y = np.eye(3)[[0, 1, 1]]
    assert math.isnan(score("auc", [0, 1, 1], y))  # class 2 is missing
    assert math.isnan(score("auc", [1, 1, 1], y[:, :2]))
    assert math.isnan(score("auc", [[0.0], [0.0], [0.0]], y[:, :1], "binary_cross_entropy"))
    assert score("f1", [[0.0], [0.0]], [[0.1], [0.2]], "binary_cross_entropy") == 0
    assert score("f1", [0, 1, 1], y) == 1


# Through evaluate


ALL = ["loss", "accuracy", "balanced_accuracy", "top_k(2)", "f1", "auc", "mae", "mse", "r2"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_of_them_from_one_pass(dtype, monkeypatch):
    """The loss to its bits; y as predict gives it. More rows than one batch of questions has."""
    rows = 2 * network.PREDICT_BATCH + 7
    X, t = draw.normal(size=(rows, 4)), draw.integers(0, 4, rows)
    net = identity(4, "cross_entropy", "softmax", dtype)
    alone = {name: net.evaluate(X, t, [name])[name] for name in ALL}
    y, passes, run = net.predict(X), [], Model._run
    monkeypatch.setattr(Model, "_run", lambda *arguments: passes.append(1) or run(*arguments))
    seen = []
    scores = net.evaluate(X, t, [*ALL, {"mine": lambda t, y: seen.append((t, y)) or 1}])
    assert len(passes) == 1
    assert scores == alone | {"mine": 1.0}
    assert list(scores) == [*ALL, "mine"]
    assert {type(value) for value in scores.values()} == {float}
    assert scores["loss"] == net.loss(X, t)
    assert np.array_equal(seen[0][1], y) and seen[0][1].dtype == dtype
    assert np.array_equal(seen[0][0], t)


def test_a_loss_that_is_infinite_leaves_the_outputs():
    """The square of 1e200 is more than float64 has: the answers behind that mini-batch are there all the same."""
    net, X = identity(1, "squared_error"), np.zeros((3 * network.PREDICT_BATCH, 1))
    X[0], X[-1] = 1e200, 1
    t = X.copy()
    t[0] = 0
    scores = net.evaluate(X, t, ["loss", "mae", {"greatest": lambda t, y: y.max()}, {"last": lambda t, y: y[-1, 0]}])
    assert not math.isfinite(scores.pop("loss"))
    assert scores == {"mae": 1e200 / len(X), "greatest": 1e200, "last": 1.0}


def test_what_a_function_gets():
    net = identity(2, "squared_error")
    X, t = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])

    def greatest(t, y):
        assert t.shape == y.shape == (2, 2)
        assert not t.flags.writeable and not y.flags.writeable
        return np.abs(t - y).max()

    assert net.evaluate(X, t, greatest) == {"greatest": 3.0}
    assert net.evaluate(X, t, {"error": sk.mean_absolute_error, "mae": "mae"}) == {"error": 1.5, "mae": 1.5}
    assert net.evaluate(X, t, []) == {}
    assert identity(1, "squared_error").evaluate([[1.0], [2.0]], [1.0, 0.0], greatest_of_one) == {
        "greatest_of_one": 2.0
    }
    with pytest.raises(TypeError, match="the metric 'greatest' gave None, but a metric gives one number"):
        net.evaluate(X, t, {"greatest": lambda t, y: None})
    with pytest.raises(ValueError, match="read-only"):
        net.evaluate(X, t, {"greedy": lambda t, y: y.sort()})
    with pytest.raises(ZeroDivisionError):
        net.evaluate(X, t, {"broken": lambda t, y: 1 / 0})


def greatest_of_one(t, y):
    assert t.shape == y.shape == (2, 1)  # no (2,) that would be spread to (2, 2)
    return (y - t).max()


# What is refused


def test_scikit_learn_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    net = identity(2, "cross_entropy", "softmax")
    for name in ("f1", "auc"):
        with pytest.raises(ImportError, match=rf"'{name}' needs scikit-learn: pip install 'bpjit\[sklearn\]'"):
            net.evaluate([[1, 0]], [1], [name])
    others = [name for name in METRICS if name not in ("f1", "auc", "top_k")]
    assert set(net.evaluate([[1, 0]], [1], [*others, "top_k(1)"])) == {*others, "top_k(1)"}


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "top_k(1)", "f1", "auc"])
def test_what_compares_classes_needs_a_classifier(name):
    plain = name.partition("(")[0]
    with pytest.raises(
        ValueError, match=f"{plain} needs a classifier, but the loss is 'huber': use 'r2', 'mae' or 'mse'"
    ):
        identity(2, "huber(2)").evaluate([[1, 0]], [[1, 0]], [name])


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("acuracy", ValueError, "metrics is 'acuracy', but must be one of 'loss', 'accuracy'"),
        ("top_k(n=2)", ValueError, "the setting of 'top_k' is 'k': write 'top_k(k=2)'"),
        ("top_k(2.5)", TypeError, "k of metrics 'top_k' must be an integer, got 2.5"),
        ("top_k(0)", ValueError, "k of metrics 'top_k' must be at least 1, got 0"),
        ("top_k(3)", ValueError, "'top_k(3)' is 1 for any answer of 3 outputs: give a smaller k, as in 'top_k(2)'"),
        ("auc(2)", ValueError, "'auc' has no setting: write 'auc'"),
        (None, TypeError, "metrics must be names such as 'accuracy' or functions f(t, y), not None"),
        ([3], TypeError, "metrics must be names such as 'accuracy' or functions f(t, y), not 3"),
        ([["mae", "mse"]], TypeError, "but a metric is a name, a function f(t, y), or {name: either}"),
        ({"mine": 3}, TypeError, "metrics has 3 for 'mine', but a metric is a name or a function f(t, y)"),
        ({3: "mae"}, TypeError, "metrics has a name that is no string: 3"),
        (lambda t, y: 1.0, ValueError, "metrics has a function without a name: give it one, as in {'my_score'"),
        ([functools.partial(max, 1)], ValueError, "metrics has a function without a name"),
        ([{"a": max}, {"a": min}], ValueError, "metrics has another 'a': give it a name of its own, as in {'a_2'"),
        ({"loss": max}, ValueError, "metrics has another 'loss'"),
    ],
)  # fmt: skip
def test_metrics_that_are_refused(given, error, words):
    with pytest.raises(error, match=re.escape(words)):
        identity(3, "cross_entropy", "softmax").evaluate([[1, 0, 0]], [1], given)


def test_what_needs_one_class_a_sample():
    net = identity(2, "binary_cross_entropy", "sigmoid")
    for name in ("balanced_accuracy", "top_k(1)"):
        with pytest.raises(
            ValueError, match="needs one class a sample, but with 'binary_cross_entropy' each of 2 outputs"
        ):
            net.evaluate([[1, 0]], [[1, 1]], [name])
    one = identity(1, "binary_cross_entropy", "sigmoid")
    assert one.evaluate([[1], [-1], [2]], [1, 0, 0], "balanced_accuracy") == {"balanced_accuracy": 0.75}
    with pytest.raises(ValueError, match=r"'top_k\(1\)' needs an output for each class, but there is one output"):
        one.evaluate([[1]], [1], "top_k(1)")


def test_the_same_twice_is_no_other():
    net = identity(3, "cross_entropy", "softmax")
    assert net.evaluate([[1, 0, 0]], [0], ["accuracy", "accuracy", {"hits": "accuracy"}]) == {
        "accuracy": 1.0,
        "hits": 1.0,
    }


# In a history


def test_directions():
    known = {
        column: metrics.direction(column) for column in ("loss", "validation_loss", "mae", "validation_auc", "top_k(3)")
    }
    assert known == {"loss": "min", "validation_loss": "min", "mae": "min", "validation_auc": "max", "top_k(3)": "max"}
    assert metrics.direction("seconds") is metrics.direction("auc(3)") is metrics.direction("") is None


def test_scores_of_a_validation_set():
    """The form in which the training loop asks for them."""
    X, t = draw.normal(size=(30, 3)), draw.integers(0, 3, 30)
    net = identity(3, "cross_entropy", "softmax")
    scores = net._scores(net._data(X, t), None, choose(["f1", {"mine": len_of}], LOSSES["cross_entropy"], 3))
    wanted = net.evaluate(X, t, ["loss", "f1"])
    assert scores == {"validation_loss": wanted["loss"], "validation_f1": wanted["f1"], "validation_mine": 30.0}


def len_of(t, y):
    return len(t)
