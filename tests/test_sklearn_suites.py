"""scikit-learn's own tests and checks of estimators, run on those of bpjit.sklearn."""

import inspect
from unittest import SkipTest

import pytest
from sklearn.neural_network.tests import test_mlp
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


@parametrize_with_checks(
    [MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)], expected_failed_checks=lambda _: EXPECTED_TO_FAIL
)
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


def tests_of_scikit_learn() -> dict[str, object]:
    """Those of its file, with the import changed and nothing else."""
    source = inspect.getsource(test_mlp)
    assert source.count(IMPORT) == 1
    names: dict[str, object] = {"__name__": __name__}
    exec(
        compile(source.replace(IMPORT, IMPORT.replace("sklearn.neural_network", "bpjit.sklearn")), __file__, "exec"),
        names,
    )
    return {name: test for name, test in names.items() if name.startswith("test_") and name not in PRIVATE}


globals().update(tests_of_scikit_learn())
