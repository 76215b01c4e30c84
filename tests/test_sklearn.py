"""bpjit.sklearn against scikit-learn's own estimators, and what theirs do not have."""

import copy
import inspect
import pickle
import warnings
from contextlib import contextmanager
from importlib.util import find_spec

import numpy as np
import pandas
import pytest
import scipy.sparse
import sklearn
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import bpjit
from bpjit import schedules
from bpjit import sklearn as ours

ROUNDING = 1e-11
"""What some dozen steps in float64 make of sums in another order."""
SETTINGS = {"hidden_layer_sizes": (7, 5), "max_iter": 8, "batch_size": 32, "random_state": 0}

rng = np.random.default_rng(0)
X = rng.normal(size=(100, 6))  # the last mini-batch has 4 samples
labels = (X[:, 0] > 0) + (X[:, 1] > X[:, 2]).astype(int)
several = np.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 1], axis=1).astype(int)
numbers = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)
counts = rng.poisson(np.exp(0.5 * X[:, 0]))
weights = rng.uniform(0, 2, len(X))


@contextmanager
def unconverged():
    """Without the warning that a few epochs are too few, and scikit-learn's older ones about an option of SciPy's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "scipy.optimize: The `disp` and `iprint` options", DeprecationWarning)
        yield


def fitted(estimator, X, y, **options):
    with unconverged():
        return estimator.fit(X, y, **options)


def classifier(**settings):
    return ours.MLPClassifier(**SETTINGS | settings)


def regressor(**settings):
    return ours.MLPRegressor(**SETTINGS | settings)


# ------------------------------------------------------------------------------------------------ as theirs

AS_THEIRS = {
    "adam": ("MLPClassifier", labels, {}),
    "weights": ("MLPClassifier", labels, {"weights": True, "alpha": 1.0}),
    "sgd": ("MLPClassifier", labels, {"solver": "sgd", "learning_rate_init": 0.1, "activation": "tanh"}),
    "no nesterov": ("MLPClassifier", labels, {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False}),
    "no momentum": ("MLPClassifier", labels, {"solver": "sgd", "learning_rate_init": 0.1, "momentum": 0}),
    "momentum 1": ("MLPClassifier", labels, {"solver": "sgd", "momentum": 1.0, "shuffle": False}),
    "invscaling": ("MLPClassifier", labels, {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 1}),
    "adaptive": (
        "MLPClassifier", labels,
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1, "learning_rate_init": 0.1,
         "max_iter": 25},
    ),
    "stops": ("MLPClassifier", labels, {"tol": 0.05, "n_iter_no_change": 2, "max_iter": 50}),
    "early stopping": ("MLPClassifier", labels, {"early_stopping": True, "max_iter": 30, "n_iter_no_change": 3}),
    "two classes": ("MLPClassifier", labels > 0, {"activation": "logistic"}),
    "multi-label": ("MLPClassifier", several, {"early_stopping": True}),
    "no hidden layer": ("MLPClassifier", labels, {"hidden_layer_sizes": ()}),
    "one number": ("MLPRegressor", numbers[:, 0], {"activation": "identity", "beta_1": 0.5, "epsilon": 0.1}),
    "several numbers": ("MLPRegressor", numbers, {"weights": True, "early_stopping": True, "alpha": 1.0}),
    "poisson": ("MLPRegressor", counts, {"weights": True, "loss": "poisson"}),
    "lbfgs": ("MLPClassifier", labels, {"solver": "lbfgs", "alpha": 1.0}),
    "lbfgs, several numbers": ("MLPRegressor", numbers, {"solver": "lbfgs", "weights": True}),
    "lbfgs, poisson": ("MLPRegressor", counts, {"solver": "lbfgs", "loss": "poisson", "weights": True}),
}  # fmt: skip


@pytest.mark.parametrize("case", AS_THEIRS)
def test_the_same_fit_as_scikit_learns(case):
    name, y, settings = AS_THEIRS[case]
    settings = dict(settings)
    options = {"sample_weight": weights} if settings.pop("weights", False) else {}
    one, other = (fitted(getattr(module, name)(**SETTINGS | settings), X, y, **options) for module in (ours, theirs))
    for attribute in ("loss_curve_", "validation_scores_"):
        mine, its = (getattr(estimator, attribute, None) for estimator in (one, other))
        np.testing.assert_allclose(mine or [], its or [], rtol=ROUNDING, atol=ROUNDING)
    for attribute in ("loss_", "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "best_loss_"):
        mine, its = (getattr(estimator, attribute, None) for estimator in (one, other))
        assert mine == (pytest.approx(its, rel=ROUNDING) if isinstance(its, float) else its)
    for mine, its in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert mine.dtype == its.dtype
        np.testing.assert_allclose(mine, its, rtol=1e-8, atol=1e-10)  # L-BFGS amplifies rounding most
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-8, atol=1e-10)


def test_float32_data_are_trained_in_float32():
    one, other = (fitted(module.MLPClassifier(**SETTINGS), X.astype("f4"), labels) for module in (ours, theirs))
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=1e-5)
    assert {array.dtype.name for array in (*one.coefs_, *one.intercepts_, one.predict_proba(X[:2]))} == {"float32"}


@pytest.mark.parametrize("name", ours.__all__)
def test_the_parameters_begin_with_scikit_learns(name):
    mine, its = (inspect.signature(getattr(module, name)).parameters for module in (ours, theirs))
    assert [(p.name, p.default, p.kind) for p in mine.values()][: len(its)] == [
        (p.name, p.default, p.kind) for p in its.values()
    ]
    methods = {name for name, _ in inspect.getmembers(getattr(theirs, name)) if not name.startswith("_")}
    assert methods <= {name for name, _ in inspect.getmembers(getattr(ours, name))}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_it_says_what_scikit_learn_says(method, capsys):
    said = []
    for module in (ours, theirs):
        estimator = module.MLPClassifier(**SETTINGS | {"batch_size": 1000, "verbose": True, "early_stopping": True})
        if method == "partial_fit":
            estimator.set_params(early_stopping=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            getattr(estimator, method)(X, labels, **({"classes": [0, 1, 2]} if method == "partial_fit" else {}))
        said.append((capsys.readouterr().out, [(w.category, str(w.message)) for w in caught]))
    assert said[0] == said[1]
    assert said[0][0] and said[0][1]


def test_it_stops_saying_what_scikit_learn_says(capsys):
    said = []
    for module in (ours, theirs):
        settings = {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1, "max_iter": 100}
        module.MLPClassifier(**SETTINGS | settings, verbose=True).fit(X, labels)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert "Setting learning rate to" in said[0] and "Learning rate too small. Stopping." in said[0]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_goes_on_in_another_process(solver):
    """As scikit-learn's does, whose moments are pickled too."""
    estimators = [module.MLPClassifier(**SETTINGS | {"solver": solver}) for module in (ours, theirs)]
    for _ in range(3):
        estimators = [
            pickle.loads(pickle.dumps(one.partial_fit(X, labels, classes=[0, 1, 2, 9]))) for one in estimators
        ]
    one, other = estimators
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=ROUNDING)
    np.testing.assert_allclose(one.predict_log_proba(X), other.predict_log_proba(X), rtol=1e-8)


def test_a_warm_start_goes_on():
    one, other = (module.MLPRegressor(**SETTINGS | {"warm_start": True}) for module in (ours, theirs))
    for _ in range(2):
        fitted(one, X, numbers), fitted(other, X, numbers)
    assert len(one.loss_curve_) == 16
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=ROUNDING)


def test_parameters_may_be_assigned():
    net = fitted(regressor(hidden_layer_sizes=(2,)), X, numbers[:, 0])
    net.coefs_ = [np.ones((6, 2)), np.ones((2, 1))]
    net.intercepts_ = [np.zeros(2), np.zeros(1)]
    np.testing.assert_allclose(net.predict(X), 2 * np.maximum(X.sum(axis=1), 0))
    net.coefs_[1][0] = 3
    net.intercepts_[1][:] = 5
    np.testing.assert_allclose(net.predict(X), 4 * np.maximum(X.sum(axis=1), 0) + 5)


def test_an_interruption_keeps_what_was_learned(monkeypatch):
    def interrupt(estimator, record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match="Training interrupted by user"):
        net = classifier(callbacks=interrupt).fit(X, labels)
    np.testing.assert_array_equal(net.coefs_[0], fitted(classifier(max_iter=3), X, labels).coefs_[0])


def test_a_run_that_diverges_is_an_error():
    with unconverged(), pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
        regressor(solver="sgd", learning_rate_init=1e6, activation="identity").fit(1e3 * X, numbers)


# -------------------------------------------------------------------------------------------------- more


def test_an_optimizer_of_ours_trains_as_a_trainer_does():
    rule, schedule = bpjit.RMSProp(learning_rate=0.01), schedules.Cosine(epochs=8)
    settings = {"activation": ["tanh", "leaky_relu(0.2)"], "solver": rule, "alpha": 0, "shuffle": False}
    first = classifier(**settings, schedule=lambda step: 0.0).partial_fit(X, labels, classes=[0, 1, 2])
    net = bpjit.Network([6, 7, 5, 3], settings["activation"], dtype="float64")
    net.set_parameters([(W.T, b) for W, b in zip(first.coefs_, first.intercepts_)])
    trainer = bpjit.Trainer(net, rule, batch_size=32, shuffle=False, schedule=schedule)
    history = trainer.fit(X, labels, epochs=8)
    estimator = fitted(classifier(**settings, schedule=schedule), X, labels)
    np.testing.assert_allclose(estimator.loss_curve_, history["loss"], rtol=ROUNDING)
    np.testing.assert_allclose(estimator.predict_proba(X), net.predict(X), rtol=1e-8)


def test_class_weights_are_weights_of_samples():
    names = np.array(["a", "b", "c"])[labels]
    of_class = fitted(classifier(class_weight={"a": 2.0, "c": 0.5}), X, names, sample_weight=weights)
    of_sample = fitted(classifier(), X, names, sample_weight=weights * np.array([2.0, 1.0, 0.5])[labels])
    np.testing.assert_allclose(of_class.loss_curve_, of_sample.loss_curve_, rtol=ROUNDING)
    balanced = fitted(classifier(class_weight="balanced"), X, names)
    assert balanced.loss_curve_ != fitted(classifier(), X, names).loss_curve_
    with pytest.raises(ValueError, match="'balanced' is not supported for partial_fit"):
        classifier(class_weight="balanced").partial_fit(X, names, classes=["a", "b", "c"])


def test_dropout_follows_from_random_state():
    curves = [fitted(classifier(dropout=0.5, random_state=seed), X, labels).loss_curve_ for seed in (0, 0, 1)]
    assert curves[0] == curves[1] != curves[2]
    assert curves[0] != fitted(classifier(), X, labels).loss_curve_


def test_a_validation_set_has_curves_of_its_own():
    names = np.array(["a", "b", "c"])[labels]
    net = fitted(classifier(), X[:80], names[:80], X_val=X[80:], y_val=names[80:])
    assert len(net.validation_loss_curve_) == len(net.validation_scores_) == net.n_iter_ == 8
    chosen = net.predict_proba(X[80:])[np.arange(20), labels[80:]]
    assert net.validation_loss_curve_[-1] == pytest.approx(-np.log(chosen).mean())
    assert net.validation_scores_[-1] == net.score(X[80:], names[80:])
    with pytest.raises(ValueError, match="y_val has classes that y does not have: \\['d'\\]"):
        fitted(classifier(), X, names, X_val=X[:2], y_val=["a", "d"])
    with pytest.raises(ValueError, match="X_val and y_val go together"):
        classifier().fit(X, names, X_val=X)


def test_a_validation_set_may_stop_the_training():
    options = {"X_val": X[80:], "y_val": numbers[80:]}
    net = regressor(early_stopping=True, max_iter=400, learning_rate_init=0.01, n_iter_no_change=3)
    net.fit(X[:80], numbers[:80], **options)
    assert net.n_iter_ < 400
    assert max(net.validation_scores_) == net.best_validation_score_ == net.score(*options.values())


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_see_every_epoch_and_may_end_the_training(solver):
    records, coefs = [], []

    def look(estimator, record):
        records.append(record)
        coefs.append(estimator.coefs_[0])
        return record["epoch"] == 4

    net = regressor(solver=solver, callbacks=look)
    net.fit(X, numbers, X_val=X, y_val=numbers)
    assert [record["epoch"] for record in records] == [1, 2, 3, 4]
    assert [record["validation_loss"] for record in records] == net.validation_loss_curve_
    assert records[-1]["validation_r2"] == net.score(X, numbers)
    assert not (coefs[2] == coefs[3]).all() and (coefs[3] == net.coefs_[0]).all()


if find_spec("sklearn.callback"):  # from scikit-learn 1.9 on

    @pytest.mark.parametrize("solver", ["adam", "lbfgs"])
    def test_callbacks_of_scikit_learn(solver):
        names = np.array(["a", "b", "c"])[labels]
        seen = []

        class Watch:
            def setup(self, estimator, context):
                seen.append("setup")

            def teardown(self, estimator, context):
                seen.append("teardown")

            def on_fit_task_begin(self, estimator, context):
                pass

            def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
                assert y is names and metadata["sample_weight"] is weights
                seen.append((context.task_name, fitted_estimator.predict_log_proba(X).sum()))
                return len(seen) == 4

        net = fitted(classifier(solver=solver).set_callbacks(Watch()), X, names, sample_weight=weights)
        assert net.n_iter_ == 3
        assert [one if isinstance(one, str) else one[0] for one in seen] == ["setup", *["epoch"] * 3, "fit", "teardown"]
        assert seen[-2][1] == seen[-3][1] == net.predict_log_proba(X).sum() != seen[1][1]


def test_a_time_budget_ends_the_training():
    with pytest.warns(ConvergenceWarning, match="max_seconds=1e-09 are over"):
        assert regressor(max_seconds=1e-9).fit(X, numbers).n_iter_ == 1


def test_a_schedule_is_driven_by_the_validation_set():
    schedule = schedules.OnPlateau("validation_accuracy", factor=1e-30, patience=0)
    net = fitted(classifier(schedule=schedule, max_iter=30), X, labels, X_val=X, y_val=labels)
    assert net.loss_curve_[-1] == pytest.approx(net.loss_curve_[-2], rel=1e-9)
    with pytest.raises(ValueError, match="OnPlateau watches 'validation_accuracy', which the history does not have"):
        classifier(schedule=schedule).fit(X, labels)


def test_losses_of_ours():
    net = fitted(regressor(loss="quantile(0.9)", max_iter=300, learning_rate_init=0.01), X, numbers[:, 0])
    assert np.mean(net.predict(X) > numbers[:, 0]) == pytest.approx(0.9, abs=0.05)
    smooth = fitted(classifier(loss="log_loss(label_smoothing=0.5)", solver="lbfgs", max_iter=200), X, labels)
    assert smooth.predict_proba(X).max() < 0.8


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "rely"}, "The 'activation' parameter of MLPClassifier must be a str among"),
        ({"activation": "softmax"}, "The 'activation' parameter"),
        ({"activation": ["relu"]}, "activation has 1 names for 2 hidden layers"),
        ({"solver": "rprop"}, "The 'solver' parameter"),
        ({"loss": "hinge"}, "The 'loss' parameter"),
        ({"dropout": 1.0}, "The 'dropout' parameter"),
        ({"solver": bpjit.RProp()}, "RProp needs all samples in every mini-batch, but batch_size is 32"),
        ({"solver": "lbfgs", "dropout": 0.5}, "dropout and schedule go with solvers that take mini-batches"),
        ({"callbacks": [1]}, "callbacks must be functions"),
        ({"schedule": "cosine"}, "The 'schedule' parameter"),
        ({"dropout": {3: 0.5}}, "dropout names layer 3"),
        ({"hidden_layer_sizes": (3, 0)}, r"hidden_layer_sizes must be > 0, got \[3, 0\]"),
    ],
)
def test_bad_settings(settings, message):
    net = classifier(**settings)
    with pytest.raises((ValueError, TypeError), match=message):
        net.fit(X, labels)
    if "RProp" not in message:
        assert not hasattr(net, "coefs_")


def test_a_fit_that_is_cut_into_calls(monkeypatch):
    """As where an epoch takes long."""
    monkeypatch.setattr("bpjit.sklearn.descent.CALL_FLOPS", 1)
    monkeypatch.setattr("bpjit.sklearn.descent.CALL_SECONDS", 1e-9)
    settings = {"solver": bpjit.Adam(), "schedule": schedules.Cosine(epochs=8), "dropout": 0.2}
    cut = fitted(classifier(**settings), X, labels, sample_weight=weights)
    monkeypatch.undo()
    assert cut.loss_curve_ == fitted(classifier(**settings), X, labels, sample_weight=weights).loss_curve_


# ------------------------------------------------------------------------------- within scikit-learn


def test_data_of_other_kinds():
    names = np.array(["a", "b", "c"])[labels]
    dense = fitted(classifier(), X, names)
    sparse = fitted(classifier(), scipy.sparse.csr_array(X), names)
    np.testing.assert_allclose(sparse.loss_curve_, dense.loss_curve_, rtol=ROUNDING)
    frame = pandas.DataFrame(X, columns=list("uvwxyz"))
    framed = fitted(classifier(), frame, pandas.Series(names))
    assert (framed.predict(frame) == dense.predict(X)).all()
    assert list(framed.feature_names_in_) == list("uvwxyz")
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        framed.predict(X)
    with pytest.raises(ValueError, match="The feature names should match those that were passed during fit"):
        framed.predict(frame[list("zyxwvu")])
    with pytest.raises(ValueError, match="Input X contains NaN"):
        framed.predict(frame * np.nan)
    with pytest.raises(NotFittedError):
        classifier().predict(X)


def test_copies():
    net = fitted(classifier(schedule=schedules.Cosine(epochs=8)), X, labels)
    for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(copied.predict_proba(X), net.predict_proba(X))
    fresh = clone(net)
    assert fresh.get_params() == net.get_params() and not hasattr(fresh, "coefs_")


def test_metadata_are_routed():
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier().set_fit_request(sample_weight=True, X_val=False, y_val=False)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        piped = fitted(make_pipeline(scaler, net), X, labels, sample_weight=weights)[-1]
    alone = fitted(classifier(), StandardScaler().fit_transform(X), labels, sample_weight=weights)
    assert piped.loss_curve_ == alone.loss_curve_
