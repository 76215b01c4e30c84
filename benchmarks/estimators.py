"""bpjit.sklearn beside scikit-learn's estimators: whole fits, a search over many settings, test scores.

    python -m benchmarks.estimators [fits] [search] [scores] [--quick] [--rounds N] [--seeds N] [--data FOLDER]

The same settings for both. Fits take turns in one new process for each row, the best of the rounds counts; in float64
both end with the same loss, in float32 with one that is close. The search is scikit-learn's HalvingRandomSearchCV with
two worker processes, and takes turns, too. Scores are accuracies of test sets over seeds, mean and spread. --quick only
shows that all of it runs.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn import neural_network as theirs
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from bpjit import sklearn as ours
from bpjit.bench.peers import environment, installed
from bpjit.bench.report import conditions, plural
from bpjit.bench.workers import fresh
from bpjit.engine import plan
from bpjit.tables import idx

MODULES = {"bpjit": ours, "scikit-learn": theirs}
BUNDLED = {"digits": load_digits, "breast cancer": load_breast_cancer}
FASHION = "Fashion-MNIST"

SETTINGS: dict[str, dict[str, Any]] = {
    "digits": {"hidden_layer_sizes": (100,), "max_iter": 50},
    "breast cancer": {"hidden_layer_sizes": (100,), "max_iter": 50},
    FASHION: {"hidden_layer_sizes": (256, 128), "batch_size": 128, "max_iter": 3},
}
"""Of the estimators; the rest is as both have it by default."""

SEARCHED = {
    "hidden_layer_sizes": [(50,), (100,), (50, 50), (100, 50)],
    "activation": ["relu", "tanh", "logistic"],
    "solver": ["adam", "sgd"],
    "alpha": np.logspace(-6, 0, 25),
    "learning_rate_init": np.logspace(-3.5, -1, 25),
    "batch_size": [32, 64, 128],
}


class Data(NamedTuple):
    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


class Options(NamedTuple):
    rounds: int
    seeds: int
    rows: int | None
    """Of the training data, at most; None for all."""
    epochs: int | None
    """At most; None for those of SETTINGS."""
    folder: Path


def data(name: str, dtype: str, options: Options) -> Data:
    """Standardised features, or pixels in [0, 1], and labels."""
    if name == FASHION:
        source = idx.folder(options.folder)
        (X, y), (X_test, y_test) = ((part.X / part.unit, part.t) for part in (source, source.test))
    else:
        X, y = BUNDLED[name](return_X_y=True)
        X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    return Data(X[: options.rows].astype(dtype), y[: options.rows], X_test.astype(dtype), y_test)


def classifier(library: str, name: str, options: Options, seed: int = 0) -> Any:
    settings = SETTINGS[name] | ({} if options.epochs is None else {"max_iter": options.epochs})
    return MODULES[library].MLPClassifier(**settings, random_state=seed)


def quietly(fit: Callable[..., Any], *arguments: Any) -> Any:
    """The epochs are as many as they are: too few to converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit(*arguments)


def in_turns(work: Callable[[str], Any], rounds: int) -> dict[str, tuple[float, Any]]:
    """{library: (seconds of the best round, what work gave)}; each does it once before that counts."""
    times: dict[str, list[float]] = {library: [] for library in MODULES}
    found = {library: work(library) for library in MODULES}
    for _ in range(rounds):
        for library in MODULES:
            time.sleep(0.02)  # the threads of the one before may wait for more work, awake
            begun = time.perf_counter()
            found[library] = work(library)
            times[library].append(time.perf_counter() - begun)
    return {library: (min(times[library]), found[library]) for library in MODULES}


def fit_times(name: str, dtype: str, threads: int, options: Options) -> dict[str, tuple[float, float]]:
    """{library: (seconds, last loss)}."""
    X, y, _, _ = data(name, dtype, options)
    with threadpool_limits(threads):
        return in_turns(lambda it: quietly(classifier(it, name, options).fit, X, y).loss_, options.rounds)


def fits(options: Options) -> Iterator[str]:
    yield "| fit | dtype | threads | bpjit, ms | scikit-learn, ms | times as fast | loss of bpjit | of scikit-learn |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|"
    cores = plan.available_cpus()
    cases = [(name, dtype, 1) for name in SETTINGS for dtype in ("float64", "float32")]
    cases += [(FASHION, dtype, cores) for dtype in ("float64", "float32") if cores > 1]
    for name, dtype, threads in cases:
        if name == FASHION and not options.folder.is_dir():
            continue
        found = fresh(threads, fit_times, name, dtype, threads, options)
        (mine, loss), (its, of_theirs) = found["bpjit"], found["scikit-learn"]
        at_most = str(threads) if threads == 1 else f"each its own choice, up to {threads}"
        columns = f"{1e3 * mine:.0f} | {1e3 * its:.0f} | {its / mine:.2f} | {loss:.6f} | {of_theirs:.6f}"
        yield f"| {name} | {dtype} | {at_most} | {columns} |"


def search(options: Options) -> Iterator[str]:
    yield "| search over 40 settings, digits | bpjit, s | scikit-learn, s | times as fast | of | best score | with |"
    yield "|---|---:|---:|---:|---|---:|---|"
    for dtype in ("float64", "float32"):
        X, y, _, _ = data("digits", dtype, options)

        def work(library: str, X: np.ndarray = X, y: np.ndarray = y) -> HalvingRandomSearchCV:
            net = MODULES[library].MLPClassifier(max_iter=options.epochs or 200, random_state=0)
            found = HalvingRandomSearchCV(net, SEARCHED, n_candidates=40, cv=3, n_jobs=2, random_state=0, refit=False)
            return quietly(found.fit, X, y)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of scikit-learn's: how many rounds there will be
            found = in_turns(work, options.rounds)
        mine, its = (found[library][0] for library in MODULES)
        columns = f"{mine:.1f} | {its:.1f} | {its / mine:.2f}"
        for library, (_, done) in found.items():
            yield f"| {dtype} | {columns} | {library} | {done.best_score_:.4f} | {done.best_params_} |"
            columns = " |" * 2


def accuracies(library: str, name: str, dtype: str, options: Options) -> list[float]:
    """Of the test set, a seed each."""
    X, y, X_test, y_test = data(name, dtype, options)
    seeds = range(options.seeds)
    return [quietly(classifier(library, name, options, seed).fit, X, y).score(X_test, y_test) for seed in seeds]


def scores(options: Options) -> Iterator[str]:
    who = [("bpjit", "float64"), ("bpjit", "float32"), ("scikit-learn", "float64")]
    yield f"| test accuracy, {plural(options.seeds, 'seed')} | {' | '.join(' '.join(one) for one in who)} |"
    yield f"|---|{'---:|' * len(who)}"
    for name in SETTINGS:
        if name == FASHION and not options.folder.is_dir():
            continue
        cells = []
        for library, dtype in who:
            found = fresh(plan.available_cpus(), accuracies, library, name, dtype, options)
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            cells.append(f"{statistics.mean(found):.4f} ± {spread:.4f} ({min(found):.4f} … {max(found):.4f})")
        yield f"| {name} | {' | '.join(cells)} |"


PARTS = {"fits": fits, "search": search, "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"{', '.join(PARTS)}; or all")
    parser.add_argument("--rounds", type=int, default=5, help="of fits and searches")
    parser.add_argument("--seeds", type=int, default=5, help="of scores")
    parser.add_argument("--rows", type=int, help="of the training data, at most")
    parser.add_argument("--epochs", type=int, help="at most")
    parser.add_argument("--quick", action="store_true", help="one round, two seeds, 300 rows, two epochs")
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    given = parser.parse_args()
    options = Options(given.rounds, given.seeds, given.rows, given.epochs, given.data)
    if given.quick:
        options = options._replace(rounds=1, seeds=2, rows=300, epochs=2)
    print(conditions(environment(installed({"scikit-learn": ["scikit-learn"]}))))
    if not given.data.is_dir():
        print(f"\nWithout {FASHION}: no folder {given.data} (Debian's dataset-fashion-mnist has it; or give --data)")
    for part in given.parts or PARTS:
        print()
        for line in PARTS[part](options):
            print(line, flush=True)


if __name__ == "__main__":
    main()
