"""What bpjit.sklearn does where scikit-learn's estimators fail or keep silent, and around parameters of its own."""

import copy
import os
import pickle
import signal
import threading

import numpy as np
import pytest
import scipy.sparse
from samples import BASIC, X, labels, numbers, several, words
from sklearn import neural_network as theirs
from sklearn.base import clone

import bpjit
from bpjit import sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(1)


def classifier(**settings):
    return ours.MLPClassifier(**BASIC | settings)


def regressor(**settings):
    return ours.MLPRegressor(**BASIC | settings)


def test_a_subclass_has_only_the_parameters_that_it_takes():
    class Small(ours.MLPClassifier):
        def __init__(self, units=3, random_state=None):
            super().__init__(hidden_layer_sizes=(units,), max_iter=4, random_state=random_state)
            self.units = units

    net = clone(Small(4, random_state=0)).fit(X, labels)
    assert net.get_params() == {"units": 4, "random_state": 0}
    assert net.loss_curve_ == classifier(hidden_layer_sizes=(4,)).fit(X, labels).loss_curve_


def test_a_warm_start_of_another_network_says_so():
    """scikit-learn's ends with errors of NumPy's."""
    net = regressor(warm_start=True).fit(X, numbers)
    with pytest.raises(
        ValueError, match=r"has 1 hidden layers, but hidden_layer_sizes=\(6, 6\): call fit with warm_start"
    ):
        net.set_params(hidden_layer_sizes=(6, 6)).fit(X, numbers)
    with pytest.raises(ValueError, match="has 1 outputs, but y has 2"):
        net.set_params(hidden_layer_sizes=(6,)).fit(X, X[:, :2])
    net.fit(X, numbers)


def test_a_warm_start_keeps_the_best_epoch():
    """scikit-learn's trains the arrays on that it has kept as the best."""
    net = regressor(warm_start=True, early_stopping=True, learning_rate_init=0.01, max_iter=40).fit(X, numbers)
    best, predicted = net.best_validation_score_, net.predict(X)
    net.set_params(learning_rate_init=10.0, max_iter=1).fit(X, numbers)
    assert net.validation_scores_[-1] < net.best_validation_score_ == best
    np.testing.assert_array_equal(net.predict(X), predicted)


@pytest.mark.parametrize(
    ("y", "y_val", "message"),
    [
        (labels, several, "y_val must have as many columns as y, 1, but has 3"),
        (several, labels, "y_val must have as many columns as y, 3, but has 1"),
        (words, labels, "y_val has classes that y does not have"),
        (labels, labels[:3], "inconsistent numbers of samples"),
    ],
)
def test_a_validation_set_of_another_kind(y, y_val, message):
    with pytest.raises(ValueError, match=message):
        classifier().fit(X, y, X_val=X, y_val=y_val)


@pytest.mark.parametrize("answer", [True, np.bool_(True)])
def test_a_callback_may_end_the_training_in_the_way_of_numpy(answer):
    assert classifier(callbacks=lambda estimator, record: answer).fit(X, labels).n_iter_ == 1


def test_a_callback_may_ask_and_copy_the_estimator():
    copies = []

    def look(estimator, record):
        estimator.predict(3 * X)
        copies.append(pickle.dumps(copy.deepcopy(estimator).set_params(callbacks=None)))

    net = classifier(callbacks=look).fit(X, labels)
    assert net.loss_curve_ == classifier().fit(X, labels).loss_curve_
    assert (pickle.loads(copies[-1]).predict_proba(X) == net.predict_proba(X)).all()


def test_class_weights_of_classes_that_a_part_does_not_have():
    settings = {"class_weight": {0: 2.0, 1: 3.0}}
    net = classifier(**settings).partial_fit(X, labels, classes=[0, 1, 2])
    net.partial_fit(X[labels == 2], labels[labels == 2])
    same = classifier().partial_fit(X, labels, [2.0, 3.0, 1.0] @ (labels == np.arange(3)[:, None]), [0, 1, 2])
    same.partial_fit(X[labels == 2], labels[labels == 2])
    assert net.loss_curve_ == pytest.approx(same.loss_curve_)
    with pytest.raises(ValueError, match="are not in class_weight"):
        classifier(class_weight={7: 2.0}).fit(X, labels)


@pytest.mark.parametrize("dtype", ["float32", np.float32, np.dtype("float32")])
def test_dtypes_by_any_name(dtype):
    assert classifier(dtype=dtype).fit(X, labels).coefs_[0].dtype == np.float32


def test_a_diverged_run_is_one_error_without_warnings():
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        regressor(solver="sgd", learning_rate_init=1e8, activation="identity").fit(X * 1e5, labels)


def test_ctrl_c_ends_the_training():
    def interrupt_soon(estimator, record):
        if record["epoch"] == 1:  # all is compiled
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        net = classifier(max_iter=10**9, n_iter_no_change=np.inf, callbacks=interrupt_soon).fit(X, labels)
    assert net.n_iter_ == len(net.loss_curve_) >= 1
    net.predict(X)


def test_one_estimator_answers_in_several_threads():
    net = regressor(solver="lbfgs", max_iter=200, tol=0.1).fit(X, numbers)
    expected, wrong = net.predict(X), []

    def ask():
        wrong.extend(not np.array_equal(net.predict(X), expected) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [False] * 200


def test_the_diagram_of_a_notebook():
    """With the parameters, and without a link to scikit-learn's page of another class."""
    net = classifier(solver=bpjit.Adam(learning_rate=0.5)).fit(X, labels)
    page = net._repr_html_()
    assert "MLPClassifier" in page and "Adam(learning_rate=0.5)" in page and "Fitted" in page
    link = "sklearn.neural_network.MLPClassifier.html"
    assert link not in page and link in theirs.MLPClassifier()._repr_html_()


@pytest.mark.parametrize(
    "y", [words, np.arange(60).astype("M8[D]"), scipy.sparse.csr_array(several)], ids=["words", "dates", "sparse"]
)
def test_what_a_regressor_cannot_learn(y):
    with pytest.raises(TypeError, match="y must be an array of numbers, not "):
        regressor().fit(X, y)


def test_weights_that_are_refused_and_a_mini_batch_without_any():
    with pytest.raises(ValueError, match="a weight must be non-negative"):
        classifier().fit(X, labels, sample_weight=np.r_[-1, np.ones(59)])
    settings = {"batch_size": 10, "shuffle": False, "solver": "sgd", "momentum": 0, "alpha": 0}
    weights = (np.arange(60) >= 10) * 1.0
    net, same = regressor(**settings).fit(X, numbers, weights), regressor(**settings).fit(X[10:], numbers[10:])
    for one, other in zip(net.coefs_, same.coefs_):
        np.testing.assert_allclose(one, other, rtol=1e-12)  # the first mini-batch of an epoch changes nothing


def test_logarithms_of_probabilities_are_finite():
    net = classifier(solver="lbfgs", max_iter=300, alpha=0).fit(X, labels)
    assert -709 < net.predict_log_proba(1e4 * X).min() < -700


@pytest.mark.slow
@pytest.mark.usefixtures("own_entries")
def test_an_activation_of_ones_own():
    exp = bpjit.functions.exp
    with pytest.raises(ValueError, match="The 'activation' parameter of MLPClassifier must be a str among"):
        classifier(activation="bell").fit(X, labels)
    bpjit.register_activation("bell", lambda z: exp(-z * z), lambda z, a: -2 * z * a)
    net = classifier(activation="bell").fit(X, labels)
    hidden = np.exp(-((X @ net.coefs_[0] + net.intercepts_[0]) ** 2))
    odds = np.exp(hidden @ net.coefs_[1] + net.intercepts_[1])
    np.testing.assert_allclose(net.predict_proba(X), odds / odds.sum(axis=1, keepdims=True), rtol=1e-10)
