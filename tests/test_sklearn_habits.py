"""What users of scikit-learn's estimators are used to do, and to get wrong: the same answers, errors and messages."""

import copy
import warnings

import numpy as np
import pandas
import polars
import pytest
import scipy.sparse
import sklearn
from samples import BASIC, X, labels, numbers, several, words
from sklearn import neural_network as theirs
from sklearn.base import clone
from sklearn.ensemble import AdaBoostRegressor, BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_validate, learning_curve
from sklearn.multioutput import ClassifierChain
from sklearn.utils import get_tags

from bpjit import sklearn as ours

pytestmark = pytest.mark.slow

rng = np.random.default_rng(1)
RARELY = np.where(rng.uniform(size=X.shape) < 0.5, X, 0)


def classifier(module, **settings):
    return module.MLPClassifier(**BASIC | settings)


def regressor(module, **settings):
    return module.MLPRegressor(**BASIC | settings)


def outcome(work, module):
    """What work(module) returns or raises, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "scipy.optimize: The `disp` and `iprint` options", DeprecationWarning)
        try:
            result = work(module)
        except Exception as error:
            result = type(error), str(error)
    return result, [(warning.category, str(warning.message)) for warning in caught]


def assert_alike(mine, its):
    """To rounding: in float64 of some steps, in float32 of sums in another order."""
    if isinstance(mine, list | tuple):
        assert len(mine) == len(its)
        for one, other in zip(mine, its):
            assert_alike(one, other)
    elif isinstance(mine, np.ndarray) and mine.dtype.kind == "f":
        assert mine.dtype == its.dtype
        rounding = 1e-4 if mine.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(mine, its, rtol=rounding, atol=rounding)
    elif isinstance(mine, float):
        assert mine == pytest.approx(its, rel=1e-6)
    else:
        assert np.array_equal(mine, its)


def learnt(estimator, X=X):
    return [*getattr(estimator, "loss_curve_", []), estimator.n_iter_, estimator.t_, estimator.predict(X)]


# ------------------------------------------------------------------------------------------------- data

OF_X = {
    "list": X.tolist(), "float16": X.astype("f2"), "integers": (9 * X).astype(int), "bool": X > 0,
    "objects": X.astype(object), "Fortran": np.asfortranarray(X), "strided": np.repeat(X, 2, axis=0)[::2, ::-1],
    "big-endian": X.astype(">f4"), "masked": np.ma.array(X, mask=X > 2), "one feature": X[:, :1],
    "frame": pandas.DataFrame(X, columns=list("abcde")), "Float64": pandas.DataFrame(X).astype("Float64"),
    "mixed names": pandas.DataFrame(X, columns=["a", 1, 2, 3, 4]), "sparse frame": pandas.DataFrame(X).astype("Sparse"),
    "polars": polars.DataFrame(X), "NaN": np.where(X > 2, np.nan, X), "infinite": np.where(X > 2, np.inf, X),
    "strings": np.full((60, 5), "a"), "complex": X.astype(complex), "a line": X[:, 0], "a cube": X[:, :, None],
    "no rows": X[:0], "no columns": X[:, :0], "too few": X[:9], "None": None, "text": "abc",
    "sparse NaN": scipy.sparse.csr_array(np.where(X > 2, np.nan, RARELY)),
    "sparse integers": scipy.sparse.csc_array(several),
}  # fmt: skip
OF_X |= {f"{name} {kind}": getattr(scipy.sparse, f"{name}_{kind}")(RARELY)
         for name in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr") for kind in ("array", "matrix")}  # fmt: skip


@pytest.mark.parametrize("kind", OF_X)
def test_any_data(kind):
    given = OF_X[kind]
    y = several[:, 0] if kind == "sparse integers" else labels
    mine, its = (outcome(lambda module: learnt(classifier(module).fit(given, y), given), module)
                 for module in (ours, theirs))  # fmt: skip
    assert_alike(mine[0], its[0])
    assert mine[1] == its[1]


def test_data_are_left_as_they_are():
    given, y = X.copy(), labels.copy()
    given.flags.writeable = y.flags.writeable = False
    with pytest.warns(ConvergenceWarning):
        classifier(ours).fit(given, y)
    assert (given == X).all() and (y == labels).all()


OF_Y = {
    "words": words, "gaps": np.array([-5, 3, 1000])[labels], "bool": labels > 0, "whole floats": labels * 1.0,
    "objects": labels.astype(object), "list": labels.tolist(), "small": labels.astype("u1"), "column": labels[:, None],
    "category": pandas.Series(words).astype("category"), "string": pandas.Series(words).astype("string"),
    "Int64": pandas.Series(labels).astype("Int64"), "polars": polars.Series(labels), "one class": np.full(60, "a"),
    "several": several, "several, frame": pandas.DataFrame(several), "several, list": several.tolist(),
    "several, sparse": scipy.sparse.csr_array(several), "mixed": np.array([1, "a"] * 30, dtype=object),
    "numbers": numbers, "NaN": np.where(labels > 1, np.nan, labels),
    "multi-class several": several + 3 * (X[:, :1] > 1),
    "too few": labels[:9], "a cube": np.zeros((60, 2, 2)), "None": None, "a number": 3,
}  # fmt: skip


@pytest.mark.parametrize("kind", OF_Y)
def test_any_labels(kind):
    def work(module):
        estimator = classifier(module).fit(X, OF_Y[kind])
        return [*learnt(estimator), estimator.classes_, estimator.predict_log_proba(X), estimator.score(X, OF_Y[kind])]

    if kind == "several, sparse":  # whose predictions are sparse, too

        def work(module):
            return classifier(module).fit(X, OF_Y[kind]).predict(X).toarray()

    (mine, said), (its, also) = outcome(work, ours), outcome(work, theirs)
    assert_alike(mine, its)
    assert said == also


@pytest.mark.parametrize(
    "settings",
    [
        {"max_iter": 0}, {"max_iter": 1}, {"max_iter": 2.5}, {"batch_size": 0}, {"batch_size": 1}, {"batch_size": 99},
        {"n_iter_no_change": np.inf, "tol": 1e5}, {"tol": -1}, {"random_state": "a"}, {"hidden_layer_sizes": ()},
        {"hidden_layer_sizes": 5}, {"hidden_layer_sizes": np.array([5, 4])}, {"hidden_layer_sizes": None},
        {"hidden_layer_sizes": (5.5,)}, {"hidden_layer_sizes": (-1,)}, {"alpha": -1}, {"alpha": 1e5}, {"shuffle": 0},
        {"learning_rate_init": 0}, {"validation_fraction": 1.0}, {"early_stopping": True, "validation_fraction": 0.01},
        {"early_stopping": 1}, {"momentum": 1.1}, {"beta_1": 1}, {"epsilon": 0}, {"verbose": "a"}, {"max_fun": 0},
        {"solver": "lbfgs", "max_iter": 1}, {"solver": "lbfgs", "max_fun": 3},
        {"solver": "sgd", "nesterovs_momentum": 0},
    ],
    ids=str,
)  # fmt: skip
def test_settings_at_their_limits(settings):
    (mine, said), (its, also) = (
        outcome(lambda module: learnt(regressor(module, **settings).fit(X, numbers)), m) for m in (ours, theirs)
    )
    assert_alike(mine, its)
    assert said == also


def test_a_class_that_is_too_rare_to_be_held_out():
    rare = np.r_[0, np.ones(59, int)]
    (mine, _), (its, _) = (
        outcome(lambda m: classifier(m, early_stopping=True).fit(X, rare), m) for m in (ours, theirs)
    )
    assert mine == its and mine[0] is ValueError


# -------------------------------------------------------------------------------------------- one after another


def fitted_anew(module):
    estimator = classifier(module).fit(X, labels)
    first = learnt(estimator)
    return first, learnt(estimator.set_params(solver="sgd", hidden_layer_sizes=(3, 3)).fit(X[:, :2], words), X[:, :2])


def warm_with_another_solver(module):
    estimator = classifier(module, warm_start=True).fit(X, labels)
    return learnt(estimator.set_params(solver="sgd", early_stopping=True).fit(X, labels))


def warm_with_other_classes(module):
    return classifier(module, warm_start=True).fit(X, labels).fit(X, labels > 0)


def warm_with_other_columns(module):
    return regressor(module, warm_start=True).fit(X, numbers).fit(X[:, :3], numbers)


def parts_of_many_sizes(module):
    estimator = classifier(module, batch_size=7).partial_fit(X, labels, classes=[0, 1, 2])
    for size in (10, 1, 33, 3):
        estimator.partial_fit(X[:size], labels[:size])
    return learnt(estimator)


def parts_with_other_settings(module):
    """Of which some take effect at once, and some belong to the optimiser that goes on."""
    estimator = classifier(module, solver="sgd").partial_fit(X, labels, classes=[0, 1, 2])
    settings = {"alpha": 10.0, "batch_size": 7, "shuffle": False, "learning_rate_init": 0.5, "momentum": 0.1}
    return learnt(estimator.set_params(**settings, activation="tanh").partial_fit(X, labels))


def a_fit_then_a_part(module):
    return learnt(regressor(module).fit(X, numbers).partial_fit(X, numbers))


def parts_without_classes(module):
    return classifier(module).partial_fit(X, labels)


def parts_with_a_new_class(module):
    return classifier(module).partial_fit(X, labels, classes=[0, 1])


def parts_that_hold_some_out(module):
    return regressor(module, early_stopping=True).partial_fit(X, numbers)


def parts_of_lbfgs(module):
    return classifier(module, solver="lbfgs").partial_fit(X, labels, classes=[0, 1, 2])


def a_refit_that_fails(module):
    estimator = regressor(module).fit(X, numbers)
    with pytest.raises(ValueError):
        estimator.set_params(alpha=-1).fit(X, numbers)
    return learnt(estimator)


def one_generator_for_two_fits(module):
    generator = np.random.RandomState(1)
    estimator = classifier(module, random_state=generator, early_stopping=True)
    return learnt(estimator.fit(X, labels)), learnt(estimator.fit(X, labels)), generator.randint(10**6)


def the_global_generator(module):
    np.random.seed(3)  # noqa: NPY002
    return learnt(regressor(module, random_state=None).fit(X, numbers)), np.random.randint(10**6)  # noqa: NPY002


def a_copy_stands_alone(module):
    estimator = classifier(module).fit(X, labels)
    twin = copy.deepcopy(estimator)
    estimator.coefs_[0][:] = 0
    return twin.predict_proba(X), estimator.predict_proba(X), copy.copy(estimator).fit(X, labels > 0).predict_proba(X)


def kept_results_stay(module):
    estimator = regressor(module).fit(X, numbers)
    coefs, predicted = estimator.coefs_, estimator.predict(X)
    estimator.fit(X, -numbers)
    return coefs, predicted


def a_subclass_with_a_constructor_of_its_own(module):
    class Small(module.MLPClassifier):
        def __init__(self, units=3, random_state=None):
            super().__init__(hidden_layer_sizes=(units,), max_iter=4, random_state=random_state)
            self.units = units

    estimator = clone(Small(4, random_state=0)).fit(X, labels)
    return learnt(estimator), estimator.get_params()


def parameters_of_another_shape(module):
    estimator = regressor(module).fit(X, numbers)
    estimator.coefs_ = tuple(np.asfortranarray(c) for c in estimator.coefs_)
    estimator.intercepts_ = [b.tolist() for b in estimator.intercepts_]
    return estimator.predict(X)


def other_columns_in_predict(module):
    return classifier(module).fit(X, labels).predict(X[:, :3])


def a_row_in_predict(module):
    return classifier(module).fit(X, labels).predict(X[0])


def unfitted(module):
    return regressor(module).score(X, numbers)


def names_in_another_order(module):
    frame = pandas.DataFrame(X, columns=list("abcde"))
    return regressor(module).fit(frame, numbers).predict(frame[list("edcba")])


def names_of_polars(module):
    frame = polars.DataFrame(X, schema=list("abcde"))
    estimator = regressor(module).fit(frame, numbers)
    return list(estimator.feature_names_in_), estimator.predict(frame), estimator.predict(X)


def boosted(module):
    return AdaBoostRegressor(regressor(module), n_estimators=3, random_state=0).fit(X, numbers).predict(X)


def bagged(module):
    return BaggingClassifier(classifier(module), n_estimators=2, random_state=0).fit(X, words).predict_proba(X)


def chained(module):
    return ClassifierChain(classifier(module)).fit(X, several).predict_proba(X)


def learning_curves(module):
    return learning_curve(
        classifier(module), X, labels, cv=3, exploit_incremental_learning=True, train_sizes=[0.5, 1.0]
    )


def routed_weights(module):
    with sklearn.config_context(enable_metadata_routing=True):
        asked = classifier(module).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        return cross_validate(asked, X, labels, cv=3, params={"sample_weight": np.arange(1.0, 61)})["test_score"]


def weights_that_nobody_asked_for(module):
    with sklearn.config_context(enable_metadata_routing=True):
        return cross_validate(classifier(module), X, labels, cv=3, params={"sample_weight": np.arange(1.0, 61)})


def tags(module):
    return [repr(get_tags(kind(module))) for kind in (classifier, regressor)]


HABITS = [
    fitted_anew, warm_with_another_solver, warm_with_other_classes, warm_with_other_columns, parts_of_many_sizes,
    parts_with_other_settings, a_fit_then_a_part, parts_without_classes, parts_with_a_new_class,
    parts_that_hold_some_out, parts_of_lbfgs, a_refit_that_fails, one_generator_for_two_fits, the_global_generator,
    a_copy_stands_alone, kept_results_stay, parameters_of_another_shape, other_columns_in_predict, a_row_in_predict,
    a_subclass_with_a_constructor_of_its_own,
    unfitted, names_in_another_order, names_of_polars, boosted, bagged, chained, learning_curves, routed_weights,
    weights_that_nobody_asked_for, tags,
]  # fmt: skip


@pytest.mark.parametrize("work", HABITS, ids=lambda work: work.__name__)
def test_habits(work):
    (mine, said), (its, also) = outcome(work, ours), outcome(work, theirs)
    assert_alike(mine, its)
    assert said == also
