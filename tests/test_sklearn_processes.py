"""Estimators in the worker processes of joblib and Dask: their threads, their compile cache, what searches find."""

import os
from functools import cache
from itertools import pairwise

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor
from sklearn import neural_network as theirs
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, RandomizedSearchCV

from bpjit import sklearn as ours
from bpjit.engine import jit

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:n_iterations=:UserWarning"),
]


@pytest.fixture
def fresh_workers():
    """Those of joblib are new ones."""
    get_reusable_executor().shutdown(wait=True)


@cache
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


def without_times(results):
    return {name: values for name, values in results.items() if "_time" not in name}


def assert_equal_results(one, other):
    """But for times; the same bits."""
    one, other = without_times(one.cv_results_), without_times(other.cv_results_)
    assert one.keys() == other.keys() and one["mean_test_score"].min() > 0.2  # a guess is right in 0.1
    for name in one:
        assert list(one[name]) == list(other[name]), name


def threads_started(limits):
    """By fits with these limits, one after another, that would share their steps among two threads if they may."""
    import fitting  # in this process, two CPUs are to be used, and a parallel region costs nothing

    running = [len(os.listdir("/proc/self/task"))]
    for limit in limits:
        net = ours.MLPClassifier((256,), max_iter=2, threads=limit, random_state=0, dtype="float32")
        net.fit(fitting.X, fitting.t)
        running.append(len(os.listdir("/proc/self/task")))
    return [after - before for before, after in pairwise(running)]


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_workers")
@pytest.mark.parametrize(("allowed", "limits", "started"), [(None, [None, 2], [0, 0]), (2, [1, 2, None], [0, 1, 0])])
def test_threads_in_workers(allowed, limits, started, monkeypatch):
    """A worker's share of the CPUs is one thread where there are as many workers as CPUs. It may be given more, which
    the parameter limits in turn."""
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=allowed):
        assert joblib.Parallel()(joblib.delayed(threads_started)(limits) for _ in range(2)) == [started, started]


def kernels(estimator, X, y):
    """What this process has compiled and loaded, in the place of scores."""
    compiled, loaded = jit.kernels_so_far()
    return {"compiled": compiled, "loaded": loaded}


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_workers")
def test_new_workers_compile_nothing():
    X, y = digits()
    grid = {"activation": ["relu", "tanh"], "hidden_layer_sizes": [(16,), (20, 10)], "solver": ["adam", "sgd"]}
    search = GridSearchCV(ours.MLPClassifier(max_iter=3, random_state=0), grid, scoring=kernels, cv=2, refit=False)
    search.fit(X, y)  # here, so that all is in the cache
    results = search.set_params(n_jobs=2).fit(X, y).cv_results_
    assert (results["mean_test_compiled"] == 0).all() and (results["mean_test_loaded"] > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_fit_goes_on_in_another_process(solver):
    """And comes back, with the moments of its optimiser."""
    X, y = digits()
    nets = [
        module.MLPClassifier((16,), solver=solver, random_state=0).partial_fit(X, y, classes=range(10))
        for module in (ours, theirs)
    ]
    nets = joblib.Parallel(n_jobs=2)(joblib.delayed(net.partial_fit)(X, y) for net in nets)
    curves = [net.partial_fit(X, y).loss_curve_ for net in nets]
    assert len(curves[0]) == 3
    np.testing.assert_allclose(*curves, rtol=1e-10)  # some steps in float64


def of_40_settings(module):
    settings = {
        "hidden_layer_sizes": [(8,), (16,), (16, 8), (32,)],
        "activation": ["relu", "tanh", "logistic"],
        "solver": ["adam", "sgd"],
        "alpha": np.logspace(-5, 0, 20),
        "learning_rate_init": np.logspace(-3, -1, 20),
        "batch_size": [32, 64],
    }
    net = module.MLPClassifier(max_iter=8, random_state=0)
    search = HalvingRandomSearchCV(
        net, settings, n_candidates=40, resource="n_samples", min_resources=150, factor=2, cv=3, random_state=0
    )
    return search.fit(*digits())


@pytest.mark.slow
def test_halving_over_40_settings_finds_what_it_finds_with_scikit_learns():
    one, other = of_40_settings(ours), of_40_settings(theirs)
    assert one.n_candidates_ == other.n_candidates_ == [40, 20, 10]
    assert one.best_params_ == other.best_params_ and one.best_score_ > 0.6
    mine, its = without_times(one.cv_results_), without_times(other.cv_results_)
    assert mine["params"] == its["params"]
    # 8 epochs in float64 amplify rounding too little for another answer, but where two classes are as good as tied.
    np.testing.assert_allclose(mine["mean_test_score"], its["mean_test_score"], atol=0.002)


@pytest.mark.external
def test_a_cluster_of_dask_finds_what_one_process_finds():
    from distributed import Client, LocalCluster

    X, y = digits()
    net = ours.MLPClassifier((16,), max_iter=20, random_state=0)
    searches = [
        lambda: RandomizedSearchCV(net, {"alpha": np.logspace(-5, 0, 20), "dropout": [0.0, 0.2]}, n_iter=4, cv=3,
                                   random_state=0),
        lambda: GridSearchCV(net, {"activation": ["relu", "silu"], "batch_size": [32, 64]}, cv=3),
    ]  # fmt: skip
    alone = [make().fit(X, y) for make in searches]
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster),
    ):
        with joblib.parallel_config("dask"):
            together = [make().fit(X, y) for make in searches]
        assert len(cluster.workers) == 2
    for one, other in zip(alone, together, strict=True):
        assert_equal_results(one, other)
