"""Assessments: the scores beside scikit-learn's own, what is shown of them, and tests in which something is missing."""

import json
import math
import sys

import numpy as np
import pytest
from sklearn import metrics

from bpjit import assessment, display

NAMES = ["setosa", "versicolor", "virginica"]


def answers(samples, classes, seed=0, clear=2.0, dtype=np.float32):
    """Probabilities as softmax gives them, right more often than not, and the true classes."""
    random = np.random.default_rng(seed)
    t = random.integers(0, classes, samples)
    z = random.normal(size=(samples, classes))
    z[np.arange(samples), t] += clear
    y = np.exp(z)
    return (y / y.sum(axis=1, keepdims=True)).astype(dtype), t


def sizes(text):
    return [len(line) for line in text.splitlines()]


# ------------------------------------------------------------------------------------------- classification


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_scores_of_classes_are_those_of_scikit_learn(classes, dtype):
    y, t = answers(500, classes, dtype=dtype)
    found = assessment.classification(y, t, list(range(classes)))
    p = y / y.sum(axis=1, dtype=np.float64, keepdims=True)
    answer = y.argmax(axis=1)
    expected = {
        "accuracy": metrics.accuracy_score(t, answer),
        "balanced_accuracy": metrics.balanced_accuracy_score(t, answer),
        "macro_f1": metrics.f1_score(t, answer, average="macro"),
        "log_loss": metrics.log_loss(t, p),
        "baseline_accuracy": np.bincount(t).max() / 500,
        "baseline_class": int(np.bincount(t).argmax()),
    }
    if classes == 2:
        expected["roc_auc"] = metrics.roc_auc_score(t, p[:, 1])
    shown = found.to_dict()
    assert {name: shown[name] for name in expected} == pytest.approx(expected, rel=1e-12)  # sums in another order
    assert (shown["roc_auc"] is None) == (classes > 2)
    assert np.array_equal(found.confusion, metrics.confusion_matrix(t, answer))
    assert shown["confusion_matrix"] == found.confusion.tolist()
    assert found.errors == (answer != t).sum()


def test_one_output_says_what_two_say():
    y, t = answers(300, 2, dtype=np.float64)
    one, two = (assessment.classification(part, t, ["no", "yes"]).to_dict() for part in (y[:, 1], y))
    assert json.dumps(one).count("0.") > 10
    approximately = pytest.approx(one.pop("log_loss"), rel=1e-12), pytest.approx(one.pop("roc_auc"), rel=1e-12)
    assert (two.pop("log_loss"), two.pop("roc_auc")) == approximately
    surest = [[mistake.pop("probability") for mistake in part["mistakes"]] for part in (one, two)]
    assert surest[0] == pytest.approx(surest[1], rel=1e-12)
    assert one == two
    column = assessment.classification(y[:, 1:], t == 1, np.array(["no", "yes"]))
    assert column.rows() == assessment.classification(y, t, ["no", "yes"]).rows()


def test_scores_that_are_no_probabilities():
    found = assessment.classification([-1.5, -0.2, 0.3, 2.0], [0, 1, 1, 1], [False, True], threshold=0.0)
    assert (found.accuracy, found.roc_auc, found.log_loss, found.mistakes) == (0.75, 1.0, None, ())
    assert found.notes == (
        "no more accurate than always answering true",
        "no log loss: the answers are scores, not probabilities",
    )
    assert "log loss" not in found.rows()
    margins = assessment.classification([[3.0, -1.0, 0.0], [0.0, 0.1, 0.0]], [0, 2], NAMES)
    assert (margins.accuracy, margins.log_loss) == (0.5, None)


def test_a_probability_of_0_costs_what_the_smallest_number_does():
    found = assessment.classification([[1.0, 0.0]], [1], ["a", "b"])
    assert found.log_loss == -math.log(np.finfo(np.float64).eps)


def test_the_surest_mistakes_by_their_rows():
    y = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.2, 0.8]])
    found = assessment.classification(y, [0, 0, 0, 1, 0], ["a", "b"], row_numbers=[10, 20, 30, 40, 50])
    assert [(one.row, one.true, one.predicted) for one in found.mistakes] == [
        (30, "a", "b"),  # of equals the first
        (50, "a", "b"),
        (40, "b", "a"),
        (20, "a", "b"),
    ]
    assert [one.row for one in assessment.classification(y, [0, 0, 0, 1, 0], ["a", "b"]).mistakes] == [3, 5, 4, 2]
    assert "surest of 4 mistakes" in found.text()


def test_classes_that_are_missing():
    y = np.array([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.9, 0.1, 0.0]])
    found = assessment.classification(y, [0, 0, 1], NAMES)
    setosa, versicolor, virginica = found.per_class
    assert (setosa.precision, setosa.recall, setosa.f1) == (0.5, 0.5, 0.5)
    assert math.isnan(versicolor.precision) and (versicolor.recall, versicolor.f1) == (0, 0)
    assert math.isnan(virginica.recall) and (virginica.precision, virginica.f1) == (0, 0)
    assert found.balanced_accuracy == 0.25  # of the two that occur
    assert found.notes[1:] == ("in none of these rows: virginica", "never answered: versicolor")
    assert "virginica       0.000       -  0.000     0" in found.text()
    assert found.to_dict()["per_class"][2]["recall"] is None


def test_one_row():
    found = assessment.classification([[0.2, 0.8]], [1], ["a", "b"])
    assert (found.accuracy, found.macro_f1, found.roc_auc, found.baseline) == (1.0, 1.0, None, 1.0)
    assert found.notes == ("in none of these rows: a", "ROC AUC is not defined: all rows are of one class")
    assert "mistake" not in found.text()


def test_the_matrix_in_a_terminal():
    y, t = answers(90, 3)
    found = assessment.classification(y, t, NAMES)
    rows = found.text().splitlines()[1:5]
    assert rows[0].split() == NAMES
    assert [line.split()[0] for line in rows[1:]] == NAMES
    shown = [[int(cell.replace(".", "0")) for cell in line.split()[1:]] for line in rows[1:]]
    assert shown == found.confusion.tolist()
    assert max(sizes(found.text())) <= 80


def test_columns_are_numbered_where_names_would_not_fit():
    names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
    text = assessment.classification(*answers(5000, 10), names).text()
    lines = text.splitlines()
    assert lines[1].split() == [str(number) for number in range(1, 11)]
    assert lines[2].startswith(" 1 T-shirt/top  ") and lines[11].startswith("10 Ankle boot   ")
    assert max(sizes(text)) <= 80
    assert "T-shirt/top  Trouser" in assessment.classification(*answers(5000, 10), names).text(width=120)


def test_of_many_classes_the_worst_are_shown():
    names = [f"a class whose name is long, number {number}" for number in range(300)]
    found = assessment.classification(*answers(3000, 300, clear=4.0), names)
    text = found.text()
    assert max(sizes(text)) <= 80 and len(text.splitlines()) < 45
    assert "confused most often (300 classes are too many for a matrix in 80 columns)" in text
    assert "the 10 classes with the lowest F1, of 300" in text
    off_diagonal = found.confusion - np.diag(found.confusion.diagonal())
    assert found.confused(1)[0].count == off_diagonal.max()
    assert [one.count for one in found.confused(10)] == sorted(off_diagonal.ravel())[:-11:-1]
    weakest = found.weakest(10)
    assert weakest[0].f1 == min(one.f1 for one in found.per_class)
    assert [one.f1 for one in weakest] == sorted(one.f1 for one in found.per_class)[:10]
    shown = found.to_dict()
    assert shown["confusion_matrix"] is None and len(shown["confusions"]) == 20 and len(shown["per_class"]) == 300
    right = assessment.classification(np.eye(50), range(50), range(50))
    assert "no row of 50 was confused" in right.text(width=40)


def test_names_cannot_take_over_the_terminal():
    text = assessment.classification(*answers(20, 3), ["\x1b[2J", "two\nlines", ""]).text()
    assert "\x1b" not in text and r"\x1b[2J" in text and r"two\nlines" in text and "''" in text


def test_wide_letters_keep_their_columns():
    text = assessment.classification(np.eye(3), range(3), ["東京", "Kyōto", "大阪市" * 10]).text()
    lines = text.splitlines()[1:5]
    assert "大阪…" in lines[0] and lines[3].startswith("大阪市")
    assert {display.columns(line) for line in lines} == {display.columns(lines[0])}


@pytest.mark.parametrize(
    ("y", "t", "classes", "error", "message"),
    [
        ([], [], ["a", "b"], ValueError, "y has no rows"),
        (np.empty((0, 2)), [], ["a", "b"], ValueError, "y has no rows"),
        ([[0.5, 0.5]], [0], ["a"], ValueError, "for 1 classes: give a column for each class"),
        ([0.5], [0], ["a", "b", "c"], ValueError, "for 3 classes"),
        ([[[0.5]]], [0], ["a", "b"], ValueError, "shape"),
        ([[0.5, 0.5]], [[1.0, 0.0]], ["a", "b"], ValueError, r"t has shape \(1, 2\)"),
        ([[0.5, 0.5]], [0, 1], ["a", "b"], ValueError, "t has 2 rows for 1 samples"),
        ([[0.5, 0.5]], [2], ["a", "b"], ValueError, "must lie in 0 … 1"),
        ([[0.5, math.nan]], [0], ["a", "b"], ValueError, "y holds nan at row 0, column 1"),
        ([[0.5, 0.5]], [0.0], ["a", "b"], TypeError, "t holds floats"),
        ([["a", "b"]], [0], ["a", "b"], TypeError, "y holds strings"),
    ],
)
def test_what_cannot_be_assessed_is_said(y, t, classes, error, message):
    with pytest.raises(error, match=message):
        assessment.classification(y, t, classes)


def test_row_numbers_are_checked():
    with pytest.raises(ValueError, match="must be 2 integers"):
        assessment.regression([1.0, 2.0], [1.0, 2.0], row_numbers=[1, 2, 3])


def test_a_missing_scikit_learn_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(ImportError, match=r"pip install 'bpjit\[sklearn\]'"):
        assessment.regression([1.0], [1.0])


# ----------------------------------------------------------------------------------------------- regression


@pytest.fixture(scope="module")
def prices():
    random = np.random.default_rng(1)
    t = random.normal(100, 50, 400)
    return (t + random.normal(size=400) * 10).astype(np.float32), t


def test_errors_are_those_of_scikit_learn(prices):
    y, t = prices
    found = assessment.regression(y.reshape(-1, 1), t, target="price")
    y = y.astype(np.float64)
    expected = {
        "root_mean_squared_error": metrics.root_mean_squared_error(t, y),
        "mean_absolute_error": metrics.mean_absolute_error(t, y),
        "median_absolute_error": metrics.median_absolute_error(t, y),
        "r2": metrics.r2_score(t, y),
        "baseline_error": metrics.root_mean_squared_error(t, np.full(400, t.mean())),
        "baseline_answer": t.mean(),
    }
    shown = found.to_dict()
    assert {name: shown[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    residuals = t - y
    assert found.quantiles["median"] == pytest.approx(np.median(residuals), rel=1e-12)
    assert (found.quantiles["least"], found.quantiles["greatest"]) == (residuals.min(), residuals.max())
    furthest = int(np.abs(residuals).argmax())
    largest = found.largest[0]
    assert (largest.row, largest.true, largest.predicted) == (furthest + 1, t[furthest], y[furthest])
    assert largest.residual == residuals[furthest]
    assert abs(largest.residual) >= abs(found.largest[4].residual) and len(found.largest) == 5
    assert found.rows()["baseline error"] == f"{t.std():.2f} (always {t.mean():.2f}, the mean)"
    assert found.notes == ()


def test_quantiles_stand_below_each_other_where_the_terminal_is_narrow(prices):
    found = assessment.regression(*prices)
    assert max(sizes(found.text())) <= 80 and max(sizes(found.text(width=40))) <= 40
    assert "median" in found.text(width=40)


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1e200])
def test_very_large_and_small_numbers_are_measured_as_others(size, prices):
    y, t = (numbers.astype(np.float64) for numbers in prices)
    usual, found = assessment.regression(y, t), assessment.regression(y * size, t * size)
    assert found.r2 == pytest.approx(usual.r2, rel=1e-9)
    assert (found.rmse, found.baseline) == pytest.approx((usual.rmse * size, usual.baseline * size), rel=1e-9)
    assert max(sizes(found.text())) <= 80


def test_targets_that_are_all_alike():
    found = assessment.regression([1.0, 3.0], [0.1, 0.1])
    assert (found.r2, found.baseline, found.baseline_answer) == (None, 0.0, 0.1)
    assert found.rows()["R²"] == "not defined"
    assert "note: R² is not defined: all targets are alike" in found.text()
    assert found.to_dict()["r2"] is None


def test_one_row_and_none():
    found = assessment.regression([3.0], [2.0])
    assert (found.rmse, found.mae, found.median_error, found.r2) == (1.0, 1.0, 1.0, None)
    assert found.notes == ("R² is not defined: there is one row",)
    with pytest.raises(ValueError, match="y has no rows"):
        assessment.regression([], [])


def test_what_is_no_better_than_the_mean_says_so():
    assert assessment.regression([3.0, 1.0], [1.0, 3.0]).notes == ("no better than always answering the mean",)


def test_numbers_that_do_not_fit():
    with pytest.raises(ValueError, match="t has 2 rows for 1 answers"):
        assessment.regression([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match=r"y has shape \(1, 2\)"):
        assessment.regression([[1.0, 2.0]], [1.0])
    with pytest.raises(ValueError, match="t holds nan at row 0"):
        assessment.regression([1.0], [math.nan])


# ----------------------------------------------------------------------------------------------------- both


@pytest.mark.parametrize(
    "found",
    [
        assessment.classification(*answers(50, 3), np.array([1, 2, 3])),
        assessment.classification([0.2], [0], [np.True_, np.False_]),
        assessment.regression([1.0, 2.0], [1.0, 1.0]),
        assessment.regression(np.float32([1e30, -1e30]), [1e-30, 1]),
    ],
)
def test_json_has_all_of_it(found):
    shown = found.to_dict()
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    assert "rows tested" in str(found) and str(found).endswith(found.text())


def test_plots(tmp_path, prices):
    y, t = prices
    found = assessment.classification(*answers(60, 3), NAMES)
    axes = found.plot(tmp_path / "confusion.png").axes[0]
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert [label.get_text() for label in axes.get_yticklabels()] == NAMES
    shown = {tuple(map(int, text.get_position()))[::-1]: int(text.get_text()) for text in axes.texts}
    assert shown == {(i, j): count for (i, j), count in np.ndenumerate(found.confusion) if count}

    shares = found.confusion / found.confusion.sum(axis=1, keepdims=True)
    assert np.array_equal(axes.images[0].get_array(), shares)

    few, histogram = assessment.regression(y, t, target="price, $").plot().axes
    points = few.lines[0]
    assert np.array_equal(points.get_xdata(), t) and np.array_equal(points.get_ydata(), y)
    assert (few.get_xlabel(), few.get_ylabel()) == (r"true price, \$", r"predicted price, \$")
    assert sum(bar.get_height() for bar in histogram.patches) == 400
    far = assessment.regression([*np.tile(y, 5), 1e9], [*np.tile(t, 5), 0.0])
    many, histogram, *_ = far.plot().axes
    assert many.collections[0].get_array().sum() == 2001
    assert histogram.get_xlabel() == "residual, true - predicted (1 further out)"
    assert sum(bar.get_height() for bar in histogram.patches) == 2000
