"""Kernels that are compiled before they are needed: afterwards nothing is."""

import gc

import numba
import numpy as np
import pytest
from runs import classes, python

import bpjit
from bpjit.engine import jit, plan

X, LABELS = classes(100)
WEIGHTS = np.linspace(0.5, 1.5, 100)


def forget():
    """As in a new process: no kernel has an address. Their machine code stays, for whoever has it."""
    for made in gc.get_objects():
        if issubclass(type(made), jit.Kernel):  # isinstance would ask a dead weak reference
            made._addresses.clear()


@pytest.fixture
def new_process():
    yield forget
    forget()


@pytest.fixture
def machine(monkeypatch):
    """One with so many CPUs, on which every step is worth sharing."""

    def of(cpus):
        monkeypatch.setattr(plan, "available_cpus", lambda: cpus)
        monkeypatch.setattr(plan, "launch_seconds", lambda: 0.0)
        monkeypatch.setattr(plan, "LEAST", 0.0)
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)

    return of


SETTINGS = {
    "plain": {},
    "float64, tanh": {"dtype": "float64", "activation": "tanh", "batch_size": 1},
    "some samples left over": {"batch_size": 33, "optimizer": bpjit.SGD(learning_rate=0.1, momentum=0.9)},
    "regularised": {"dropout": 0.1, "input_noise": 0.1, "l1": 1e-4, "l2": {1: 1e-4}, "max_norm": 2.0},
    "clipped": {"clip_value": 1.0, "clip_norm": 1.0},
    "in parts": {"accumulate": 3, "l2": 1e-4, "batch_size": 9, "seed": 3},
    "layers": {"layers": {1: "frozen", 2: {"learning_rate": 1e-3}}, "early_stopping": 2, "shuffle": False},
    "L-BFGS": {"optimizer": bpjit.LBFGS(), "l2": 1e-4},
    "all samples at once": {"optimizer": bpjit.RProp(), "batch_size": 100},
}


def fit_and_ask(settings):
    of_network = {name: value for name, value in settings.items() if name in ("dtype", "activation")}
    rest = {name: value for name, value in settings.items() if name not in of_network}
    for samples in (100, 7):
        net = bpjit.Network([3, 9, 2], **of_network, init="zeros")
        own = rest | ({"batch_size": 7, "accumulate": 1} if samples == 7 else {})
        data = {"validation": (X, LABELS), "sample_weight": WEIGHTS[:samples]}
        net.fit(X[:samples], LABELS[:samples], epochs=2, **own, **data)
        net.fit(X[:samples], LABELS[:samples], epochs=1, **own, validation=(X, LABELS) if samples == 7 else 0.2)
        net.evaluate(X[:samples], LABELS[:samples])
    for rows in (1, 2, 9, 33, 64, 100):
        net.predict(X[:rows])
    net.predict(np.tile(X, (20, 1)))


def assert_nothing_is_compiled(settings):
    forget()
    bpjit.warmup([3, 9, 2], **settings)
    before = jit.kernels_so_far()
    if settings.get("optimizer") == bpjit.RProp():  # needs its batch size
        bpjit.Network([3, 9, 2]).fit(X, LABELS, epochs=1, **settings)
    else:
        fit_and_ask(settings)
    assert jit.kernels_so_far() == before


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_fit_and_predict_compile_nothing_afterwards(settings, new_process, machine):
    machine(1)
    assert_nothing_is_compiled(settings)


SHARED = """
import sys
import bpjit, runs, test_compilation
from bpjit.engine import gradient, jit, plan

plan.available_cpus, plan.launch_seconds, plan.LEAST = lambda: 2, lambda: 0.0, 0.0
plan.Pace.took = lambda *_: None
settings = test_compilation.SETTINGS[sys.argv[1]]
X, labels = runs.classes(1300)

def choose(sizes, batch_size, dtype, limit=None, training=True):
    return plan.Plan(2, piece, "", by_layer, in_chunks and training and batch_size > gradient.CHUNK)

plan.choose = choose
for piece, by_layer, in_chunks in ((8, False, False), (1, True, False), (8, False, True), (1, True, True)):
    test_compilation.assert_nothing_is_compiled(settings)
    test_compilation.forget()
    bpjit.warmup([3, 9, 2], **settings | {"batch_size": 1000})
    before = jit.kernels_so_far()
    history = bpjit.Network([3, 9, 2]).fit(X, labels, epochs=2, **settings | {"batch_size": 1000})
    assert history.plan.threads == 2 and history.plan.in_chunks == in_chunks, history.plan
    assert jit.kernels_so_far() == before
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "clipped", "L-BFGS"])
def test_nor_on_several_threads(name):
    """Whatever plan is chosen: each cut is."""
    python(SHARED, name, NUMBA_NUM_THREADS="2", OMP_WAIT_POLICY="passive")


def test_what_it_returns(new_process, machine):
    machine(1)
    bpjit.warmup([3, 9, 2])
    assert bpjit.warmup([3, 9, 2])[1:] == (0, 0)  # all in use
    new_process()
    seconds, compiled, loaded = bpjit.warmup([3, 9, 2])
    assert seconds > 0
    assert compiled == 0
    assert loaded > 10
    new_process()
    more = bpjit.warmup([3, 9, 2], clip_norm=1.0)
    assert more.compiled + more.loaded > loaded


def test_one_thread_is_warmed_up_for_one(new_process, machine, monkeypatch):
    """What only several threads need takes seconds to compile."""
    machine(2)
    asked = []
    load = jit.Kernel.load
    monkeypatch.setattr(jit.Kernel, "load", lambda kernel, *of: (asked.append(kernel.name), load(kernel, *of))[1])
    new_process()
    bpjit.warmup([3, 9, 2], batch_size=16, threads=1)
    assert "adam.adam" in asked
    assert "epoch.share" not in asked


def test_settings_that_are_none():
    with pytest.raises(TypeError, match="batch_size"):
        bpjit.warmup([3, 2], batchsize=3)
    with pytest.raises(ValueError, match="relu"):
        bpjit.warmup([3, 3, 2], activation="rlu")
    with pytest.raises(ValueError, match="dropout"):
        bpjit.warmup([3, 3, 2], dropout=2.0)
    with pytest.raises(TypeError, match="net"):
        bpjit.warmup([3, 2], net=3)


OTHER = """
import sys, bpjit, runs
from bpjit.engine import jit, plan
plan.available_cpus = lambda: 1
settings = {"activation": "tanh", "optimizer": bpjit.SGD(learning_rate=0.1)}
if sys.argv[1] == "warmup":
    done = bpjit.warmup([3, 4, 2], **settings)
    assert done.compiled and done[1:] == jit.kernels_so_far(), done
else:
    X, t = runs.classes()
    bpjit.Network([3, 4, 2], activation="tanh").fit(X, t, epochs=2, optimizer=settings["optimizer"], validation=(X, t))
    compiled, loaded = jit.kernels_so_far()
    assert compiled == 0 < loaded, (compiled, loaded)
"""


@pytest.mark.slow
def test_another_process_finds_what_was_compiled(tmp_path):
    for part in ("warmup", "fit"):
        python(OTHER, part, BPJIT_CACHE_DIR=str(tmp_path))


@pytest.mark.nojit
def test_plain_python_compiles_nothing():
    if numba.config.DISABLE_JIT:
        assert bpjit.warmup([3, 2])[1:] == (0, 0)
    else:
        assert python("import bpjit; print(bpjit.warmup([3, 2])[1:])", NUMBA_DISABLE_JIT="1") == ["(0, 0)"]
