"""The instruments: every benchmark uses its parameters, does some work, warms up before, and returns finite numbers.

None of this needs asv: a suite is a class, and a benchmark a method of it that carries one of asv's prefixes.
"""

import ast
import functools
import importlib
import inspect
import json
import pkgutil
import re
import textwrap
import tomllib

import numpy as np
import pytest
import runs
from numba import njit
from packaging.requirements import Requirement
from twins import distance

import benchmarks
import bpjit
from benchmarks import contractions, scaling
from bpjit.engine import jit, layout

PREFIX = re.compile("(time|timeraw|peakmem|track)_")
SUITES = ["compile", "contractions", "convergence", "fit", "imports", "memory", "predict", "scaling", "step"]


def discovered():
    """(class, method) of every benchmark, as asv finds them."""
    for found in pkgutil.iter_modules(benchmarks.__path__):
        module = importlib.import_module(f"benchmarks.{found.name}")
        for suite in vars(module).values():
            if inspect.isclass(suite) and suite.__module__ == module.__name__:
                yield from ((suite, name) for name in vars(suite) if PREFIX.match(name))


BENCHMARKS = list(discovered())
IDS = [f"{suite.__module__.partition('.')[2]}.{suite.__name__}.{name}" for suite, name in BENCHMARKS]


def parts(function, kind):
    """The nodes of a kind in the body of a function."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    return [node for statement in definition.body for node in ast.walk(statement) if isinstance(node, kind)]


def faults_in_source(suite, name):
    """What is wrong with how a benchmark is written."""
    method, names = getattr(suite, name), getattr(suite, "param_names", ())
    functions = [method, suite.setup] if hasattr(suite, "setup") else [method]
    used = {node.id for function in functions for node in parts(function, ast.Name)}
    faults = [f"{parameter} is not used" for parameter in names if parameter not in used]
    if len(names) != len(getattr(suite, "params", ())):
        faults.append("parameters without names")
    if name.startswith(("time_", "peakmem_")) and not parts(method, ast.Call):
        faults.append("calls nothing")
    return faults


def modules_loaded(statement, before="pass"):
    """By a statement in a new process, which has run another one before."""
    lines = f"import sys\n{before}\nbefore = set(sys.modules)\n{statement}\nprint(len(set(sys.modules) - before))"
    return int(runs.python(lines)[-1])


def numbers(result):
    """What a benchmark returned, as an array."""
    if isinstance(result, bpjit.History):
        result = result["loss"]
    elif isinstance(result, bpjit.Trainer):
        result = np.concatenate([array.ravel() for pair in result.net.parameters() for array in pair])
    return np.array([] if result is None else result, float)


@functools.cache
def made_once(suite):
    return suite.setup_cache(suite()) if hasattr(suite, "setup_cache") else None


def faults_of_run(suite, name, monkeypatch):
    """What is wrong with what a benchmark does, with the first of its parameters."""
    bench, made = suite(), made_once(suite)
    arguments = [*([] if made is None else [made]), *(values[0] for values in getattr(suite, "params", ()))]
    kernels: set = set()
    address = jit.Kernel.address
    monkeypatch.setattr(jit.Kernel, "address", lambda self, dtype: kernels.add(self.name) or address(self, dtype))
    if hasattr(bench, "setup"):
        bench.setup(*arguments)
    net = bench.trainer.net if hasattr(bench, "trainer") else None
    warm, before = kernels.copy(), net and runs.bits(net)

    result = getattr(bench, name)(*arguments)
    if name.startswith("timeraw_"):
        return [] if modules_loaded(*[result] if isinstance(result, str) else result) else ["imports nothing"]
    found, faults = numbers(result), []
    if found.size == 0:
        faults.append("returns nothing")
    if not np.isfinite(found).all():
        faults.append("not finite")
    if net and runs.bits(net) == before:
        faults.append("trains nothing")
    if name.startswith("time_"):
        if kernels - warm:
            faults.append("not warm")
        again = numbers(getattr(bench, name)(*arguments))
        if getattr(bench, "number", 0) != 1 and not np.array_equal(found, again, equal_nan=True):
            faults.append("changes state")
    return faults


def test_every_suite_is_there():
    assert {suite.__module__ for suite, _ in BENCHMARKS} == {f"benchmarks.{name}" for name in SUITES}


COMPILING = ("track_empty_cache", "track_filled_cache")
MARKED = [
    pytest.param(*benchmark, marks=[pytest.mark.slow] if benchmark[1] in COMPILING else [], id=name)
    for benchmark, name in zip(BENCHMARKS, IDS, strict=True)
]


@pytest.mark.parametrize(("suite", "name"), MARKED)
def test_a_benchmark(suite, name, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(runs.CHECKOUT))
    monkeypatch.chdir(tmp_path)
    assert faults_in_source(suite, name) + faults_of_run(suite, name, monkeypatch) == []


# Benchmarks that are wrong.


class Sound:
    params = ([1, 2],)
    param_names = ("seed",)
    number = 1

    def setup(self, seed):
        self.trainer, (self.X, self.t) = runs.trainer(seed=seed), runs.classes()
        self.trainer.fit(self.X, self.t, epochs=1)

    def time_it(self, seed):
        return self.trainer.fit(self.X, self.t, epochs=1)


class Unused(Sound):
    params = ([1, 2], ["sgd", "adam"])
    param_names = ("seed", "optimizer")

    def setup(self, seed, optimizer):
        super().setup(seed)

    def time_it(self, seed, optimizer):
        return super().time_it(seed)


class Nameless(Sound):
    param_names = ()


class Empty(Sound):
    def time_it(self, seed):
        """Asv would time this, too."""


class Idle(Sound):
    def time_it(self, seed):
        return self.trainer.net.loss(self.X, self.t)


class ManyCalls(Sound):
    number = 10


class Cold(Sound):
    def time_it(self, seed):
        return self.trainer.fit(self.X, self.t, epochs=1, validation=(self.X, self.t))


class Infinite(Sound):
    def time_it(self, seed):
        return super().time_it(seed)["loss"][-1] * np.inf


class ImportsNothing:
    def timeraw_it(self):
        return "import bpjit", "import bpjit"


@pytest.mark.parametrize(
    ("suite", "faults"),
    [
        (Sound, []),
        (Unused, ["optimizer is not used"]),
        (Nameless, ["parameters without names"]),
        (Empty, ["calls nothing", "returns nothing", "trains nothing"]),
        (Idle, ["trains nothing", "not warm"]),
        (ManyCalls, ["changes state"]),
        (Cold, ["not warm"]),
        (Infinite, ["not finite"]),
        (ImportsNothing, ["imports nothing"]),
    ],
)
def test_a_fault_is_found(suite, faults, monkeypatch):
    name = next(name for name in dir(suite) if PREFIX.match(name))
    assert faults_in_source(suite, name) + faults_of_run(suite, name, monkeypatch) == faults


# What a figure stands for.


@njit(**jit.OPTIONS)
def views(layers, theta, work):
    below, layer = layers[1], layers[2]
    of_theta = layout.weights(theta, layer).copy(), layout.biases(theta, layer).copy()
    by_block = layout.a(work, below).copy(), layout.z(work, layer).copy()
    deltas = layout.delta(work, layer).copy(), layout.delta(work, below).copy()
    return of_theta, by_block, deltas, layout.delta_rows(work, layer).copy()


def test_contractions_compute_the_products():
    """The three kernels; the loops are compared with np.dot below."""
    samples, inputs, units = 35, 37, 19
    kernel = contractions.Kernel(samples, inputs, units)

    def rows(view, count, columns):  # from [p, j, q], row p PANEL + q and column j
        return view.transpose(0, 2, 1).reshape(-1, view.shape[1])[:count, :columns]

    def known():
        (W, b), (a, z), (delta, sums), delta_rows = views(kernel.layers, kernel.theta, kernel.work)
        unit_rows = delta_rows.transpose(1, 0, 2).reshape(delta_rows.shape[1], -1)[:samples, :units]
        below = [rows(view, samples, inputs) for view in (a, sums)]
        above = [rows(view, samples, units) for view in (z, delta)]
        return rows(W, units, inputs), b[:units], *below, *above, unit_rows

    kernel.forward(2)
    W, b, a, _, z, *_ = known()
    assert distance([z], [a @ W.T + b]) < 1e-5
    kernel.recursion(2)
    W, _, a, sums, _, delta, delta_rows = known()
    assert distance([sums], [delta @ W]) < 1e-5
    kernel.gradient(2)
    (dW, db), *_ = views(kernel.layers, kernel.gradients, kernel.work)
    assert distance([rows(dW, units, inputs), db[:units]], [delta_rows.T @ a, delta_rows.sum(axis=0)]) < 1e-5


@pytest.mark.parametrize("contraction", contractions.Contraction.params[0])
def test_the_plain_loop_computes_what_dot_does(contraction):
    loop, dot = (getattr(way(35, 37, 19), contraction)(2) for way in (contractions.PlainLoop, contractions.Dot))
    assert distance([loop], [dot]) < 1e-5


@pytest.mark.parametrize("what", scaling.Work.params[0])
def test_the_work_grows_with_the_parameter(what):
    once, *grown = [scaling.grown(what, times) for times in scaling.Work.params[1]]
    for times, case in zip(scaling.Work.params[1][1:], grown, strict=True):
        assert case.samples // case.batch_size == scaling.STEPS
        assert case.flops / once.flops >= 0.9 * times


@pytest.mark.slow
def test_an_empty_cache_takes_longer_than_a_filled_one(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(runs.CHECKOUT))
    suite = next(suite for suite, _ in BENCHMARKS if suite.__module__ == "benchmarks.compile")
    monkeypatch.chdir(tmp_path)
    made = made_once(suite)
    assert suite().track_empty_cache(made) > 3 * suite().track_filled_cache(made)


# The configuration.


def test_every_dependency_is_in_the_matrix():
    """Wheels are installed without them."""
    text = (runs.CHECKOUT / "asv.conf.json").read_text(encoding="utf-8")
    configuration = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert all("--no-deps" in " ".join(configuration[f"{what}_command"]) for what in ("build", "install"))
    project = tomllib.loads((runs.CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {dependency.name: dependency for dependency in map(Requirement, project["dependencies"])}
    matrix = configuration["matrix"]["req"]
    assert matrix.keys() == wanted.keys()
    assert all(wanted[name].specifier.contains(version) for name in matrix for version in matrix[name])


def test_every_commit_has_a_cache_of_its_own(tmp_path):
    program = "import benchmarks, os; print(os.environ['BPJIT_CACHE_DIR'])"
    folders = [runs.python(program, ASV_ENV_DIR=str(tmp_path), ASV_COMMIT=commit) for commit in ("12ab", "34cd")]
    assert folders == [[str(tmp_path / "kernels" / commit)] for commit in ("12ab", "34cd")]
