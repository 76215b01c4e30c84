"""scikit-learn's own tests and checks of estimators, run on those of bpjit.sklearn."""

import inspect
from unittest import SkipTest

import numpy as np
import polars
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network.tests import test_mlp
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from bpjit.sklearn import MLPClassifier, MLPRegressor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

EXPECTED_TO_FAIL: dict[str, str] = {}
"""None; a check that scikit-learn's own estimators pass must not come here."""
NOT_FOR_US = {
    "SCIPY_ARRAY_API is not set: not checking array_api input": "the environment decides that, before SciPy is loaded",
    "MLPClassifier does not have a decision_function method.": "nor has scikit-learn's",
}
"""What the checks leave out for any estimator, and for scikit-learn's own of these names."""


CHECKS = parametrize_with_checks(
    [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)], expected_failed_checks=lambda _: EXPECTED_TO_FAIL
)


# As a list: that of scikit-learn before 1.9 is a generator, which pytest is to refuse one day.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_check(estimator, check):
    try:
        check(estimator)
    except SkipTest as skipped:
        assert str(skipped) in NOT_FOR_US


@pytest.fixture
def global_random_seed():
    """Of scikit-learn's own conftest."""
    return 0


IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
PRIVATE = {"test_gradient": "looks at the gradient that scikit-learn's own private functions compute"}


def scikit_learns_tests() -> dict[str, object]:
    """Those of its file, with the import changed and nothing else."""
    source = inspect.getsource(test_mlp)
    assert source.count(IMPORT) == 1
    names: dict[str, object] = {"__name__": __name__}
    exec(
        compile(source.replace(IMPORT, IMPORT.replace("sklearn.neural_network", "bpjit.sklearn")), __file__, "exec"),
        names,
    )
    return {name: test for name, test in names.items() if name.startswith("test_") and name not in PRIVATE}


globals().update(scikit_learns_tests())

X, y = load_iris(return_X_y=True, as_frame=True)
names = np.array(["setosa", "versicolor", "virginica"])[y]


def small(**settings):
    return MLPClassifier((8,), solver="lbfgs", random_state=0, **settings)


def test_a_search_in_two_processes_finds_the_same():
    found = [
        GridSearchCV(small(), {"alpha": [1e-4, 1.0], "activation": ["tanh", "silu"]}, cv=3, n_jobs=jobs).fit(X, names)
        for jobs in (1, 2)
    ]
    assert found[0].best_params_ == found[1].best_params_
    np.testing.assert_array_equal(*(one.cv_results_["mean_test_score"] for one in found))
    assert found[0].best_score_ > 0.9


SCALED = ColumnTransformer([("scaled", StandardScaler(), [0, 1, 2, 3])]).set_output(transform="pandas")


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(SCALED, small()),
        VotingClassifier([("one", small()), ("other", small(activation="tanh"))], voting="soft"),
        CalibratedClassifierCV(small(), cv=3),
    ],
    ids=["ColumnTransformer", "VotingClassifier", "CalibratedClassifierCV"],
)  # fmt: skip
def test_it_is_a_part_of(estimator):
    assert estimator.fit(X, names).score(X, names) > 0.9


def test_partial_dependence_and_permutation_importance():
    net = small().fit(X, names)
    assert partial_dependence(net, X, ["petal width (cm)"], kind="average")["average"].shape[0] == 3
    importance = permutation_importance(net, X, names, random_state=0, n_repeats=3).importances_mean
    assert importance.argmax() >= 2  # the petals tell the species apart


def test_polars_and_the_diagram():
    frame = polars.DataFrame({name: X[name] for name in X})
    net = small().fit(frame, names)
    assert (net.predict(frame) == small().fit(X, names).predict(X)).all()
    assert "MLPClassifier" in net._repr_html_()
