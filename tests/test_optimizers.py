"""The table of optimisers: settings and their checks, single steps by hand, the way there and back through JSON."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from safetensors.numpy import load_file

import bpjit
from bpjit.engine import optimizers, plan


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads, whose loop takes seconds to compile, are the matter of test_threads.py."""
    monkeypatch.setattr(plan, "available_cpus", lambda: 1)


def test_the_table():
    assert optimizers.OPTIMIZERS == {"SGD": bpjit.SGD, "Adam": bpjit.Adam}
    assert all(issubclass(entry, optimizers.Optimizer) for entry in optimizers.OPTIMIZERS.values())


@pytest.mark.nojit
def test_defaults_are_those_of_pytorch():
    assert bpjit.SGD() == bpjit.SGD(learning_rate=1e-3, momentum=0.0, nesterov=False)
    assert bpjit.Adam() == bpjit.Adam(learning_rate=1e-3, betas=(0.9, 0.999), eps=1e-8)


SETTINGS = [
    bpjit.SGD(),
    bpjit.SGD(learning_rate=np.float32(0.5), momentum=np.float64(0.25)),
    bpjit.SGD(1, 0.9, True),
    bpjit.Adam(),
    bpjit.Adam(learning_rate=3, betas=[0, 0.5], eps=1e-3),
]


@pytest.mark.nojit
@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
def test_the_configuration_makes_an_optimizer_like_it(optimizer):
    configuration = json.loads(json.dumps(optimizer.configuration()))
    assert configuration["name"] == type(optimizer).__name__
    other = optimizers.from_configuration(configuration)
    assert other == optimizer
    assert repr(other) == repr(optimizer)
    assert np.array_equal(other.settings(), optimizer.settings())
    assert eval(repr(optimizer), vars(bpjit)) == optimizer  # the repr is how one writes it


@pytest.mark.nojit
@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
def test_settings_do_not_change(optimizer):
    """They are part of a trainer's state: another rate is another optimiser."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        optimizer.learning_rate = 1.0
    assert type(optimizer.learning_rate) is float
    assert dataclasses.replace(optimizer, learning_rate=0.5).learning_rate == 0.5


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: bpjit.SGD(learning_rate=0), ValueError, "learning_rate must be greater than 0, got 0"),
        (lambda: bpjit.SGD(learning_rate=-0.1), ValueError, "learning_rate must be greater than 0"),
        (lambda: bpjit.SGD(learning_rate=math.nan), ValueError, "learning_rate must be finite"),
        (lambda: bpjit.SGD(learning_rate=math.inf), ValueError, "learning_rate must be finite"),
        (lambda: bpjit.SGD(learning_rate=True), TypeError, "learning_rate must be a real number, got True"),
        (lambda: bpjit.SGD(learning_rate="0.1"), TypeError, "learning_rate must be a real number"),
        (lambda: bpjit.SGD(learning_rate=None), TypeError, "learning_rate must be a real number"),
        (lambda: bpjit.SGD(momentum=1), ValueError, "momentum must be at least 0 and less than 1"),
        (lambda: bpjit.SGD(momentum=-0.1), ValueError, "momentum must be at least 0 and less than 1"),
        (lambda: bpjit.SGD(momentum=math.nan), ValueError, "momentum must be finite"),
        (lambda: bpjit.SGD(momentum=False), TypeError, "momentum must be a real number"),
        (lambda: bpjit.SGD(momentum=0.9, nesterov=1), TypeError, "nesterov must be True or False"),
        (lambda: bpjit.SGD(nesterov=True), ValueError, "nesterov=True needs a momentum above 0"),
        (lambda: bpjit.Adam(learning_rate=0), ValueError, "learning_rate must be greater than 0"),
        (lambda: bpjit.Adam(learning_rate=math.nan), ValueError, "learning_rate must be finite"),
        (lambda: bpjit.Adam(betas=(0.9, 1.0)), ValueError, "betas[1] must be at least 0 and less than 1"),
        (lambda: bpjit.Adam(betas=(-0.1, 0.9)), ValueError, "betas[0] must be at least 0 and less than 1"),
        (lambda: bpjit.Adam(betas=(0.9, True)), TypeError, "betas[1] must be a real number"),
        (lambda: bpjit.Adam(betas=0.9), ValueError, "betas must be two numbers"),
        (lambda: bpjit.Adam(betas=(0.9,)), ValueError, "betas must be two numbers"),
        (lambda: bpjit.Adam(eps=0), ValueError, "eps must be greater than 0"),
        (lambda: bpjit.Adam(eps=-1e-8), ValueError, "eps must be greater than 0"),
        (lambda: optimizers.from_configuration({"name": "Sgd"}), ValueError, "optimizer is 'Sgd'"),
        (lambda: optimizers.from_configuration({"name": "adam"}), ValueError, "must be one of 'SGD', 'Adam'"),
        (lambda: optimizers.from_configuration({}), TypeError, "optimizer must be one of"),
        (lambda: optimizers.from_configuration({"name": "SGD", "rate": 1}), TypeError, "rate"),
    ],
)
def test_settings_that_are_refused(make, error, words):
    with pytest.raises(error, match=re.escape(words)):
        make()


def steps(optimizer, count, dtype="float64"):
    """The weight after each step, from 1: y = w x with x = 1 and t = 0, hence C = w^2 / 2 and dC/dw = w."""
    net = bpjit.Network([1, 1], loss="squared_error", bias=False, dtype=dtype)
    net.set_parameters([([[1.0]], None)])
    trainer = bpjit.Trainer(net, optimizer, batch_size=1)
    weights = []
    for _ in range(count):
        trainer.fit([[1.0]], [0.0], epochs=1)
        weights.append(float(net.parameters()[0][0][0, 0]))
    return weights


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-14), ("float32", 1e-6)])
def test_steps_by_hand(dtype, bound):
    """dtype's rounding, a few times over."""
    assert steps(bpjit.SGD(learning_rate=0.5), 3, dtype) == [0.5, 0.25, 0.125]
    # v = 1, w = 1/2; v = 1/2 + 1/2, w = 0; v = 1/2 + 0, w = -1/4; v = 1/4 - 1/4, w = -1/4
    assert steps(bpjit.SGD(learning_rate=0.5, momentum=0.5), 4, dtype) == [0.5, 0.0, -0.25, -0.25]
    # v = 1, step (1 + 1/2) / 2; v = 1/2 + 1/4, step (1/4 + 3/8) / 2; v = 3/8 - 1/16, step (-1/16 + 5/32) / 2
    wanted = [0.25, -0.0625, -0.0625 - 3 / 64]
    assert steps(bpjit.SGD(learning_rate=0.5, momentum=0.5, nesterov=True), 3, dtype) == wanted
    # The first step of Adam is as long as the rate, but for eps, whatever the gradient: m / (1 - b1) = g, and so on.
    assert steps(bpjit.Adam(learning_rate=0.25, eps=1e-12), 1, dtype) == pytest.approx([0.75], rel=bound)
    # m = 1/2, then 1/4 + 3/8, corrected 5/6; v = 1/4, then 3/16 + 9/64, corrected by 7/16 to 3/4: 5/6 / sqrt(3/4)
    wanted = [0.75, 0.75 - 0.25 * (5 / 6) / math.sqrt(3 / 4)]
    assert steps(bpjit.Adam(0.25, betas=(0.5, 0.75), eps=1e-12), 2, dtype) == pytest.approx(wanted, rel=bound)
    # eps is added to the root, after the correction.
    assert steps(bpjit.Adam(learning_rate=0.25, eps=1.0), 1, dtype) == pytest.approx([0.875], rel=bound)


@pytest.mark.nojit
def test_momentum_of_zero_is_plain_descent():
    assert bpjit.SGD().moments == 0
    assert (bpjit.SGD(momentum=0.9).moments, bpjit.Adam().moments) == (1, 2)
    almost = steps(bpjit.SGD(learning_rate=0.1, momentum=1e-300), 5)
    assert steps(bpjit.SGD(learning_rate=0.1), 5) == pytest.approx(almost, rel=1e-15)


@pytest.mark.nojit
def test_biases_are_stepped_like_weights():
    """y = b with b = 1 and t = 0: the steps of the weight above."""
    net = bpjit.Network([1, 1], loss="squared_error", dtype="float64", seed=0)
    net.set_parameters([([[0.0]], [1.0])])
    trainer = bpjit.Trainer(net, bpjit.SGD(learning_rate=0.5, momentum=0.5), batch_size=1)
    trainer.fit([[0.0]], [0.0], epochs=3)
    ((W, b),) = net.parameters()
    assert (W[0, 0], b[0]) == (0.0, -0.25)


@pytest.mark.parametrize("optimizer", [bpjit.SGD(0.1, momentum=0.9), bpjit.Adam()], ids=["momentum", "adam"])
def test_moments_become_zero_and_not_subnormal(optimizer, tmp_path):
    """Of weights whose gradient stays 0: 0.9^1000 = 2e-46 is below every number of float32, 0.9^900 only just."""
    net = bpjit.Network([2, 1], loss="squared_error", seed=0)
    trainer = bpjit.Trainer(net, optimizer, batch_size=1)
    X, t = np.ones((1, 2), np.float32), np.ones((1, 1), np.float32)
    trainer.fit(X, t, epochs=1)
    X[0, 1] = 0  # from now on the second input is dead
    for epochs in range(800, 1000, 10):
        trainer.fit(X, t, epochs=epochs - trainer.history.epochs)
        trainer.checkpoint(tmp_path / "run")
        moment = load_file(tmp_path / "run")["moment0.W1"][0, 1]
        assert moment == 0 or abs(moment) >= np.finfo(np.float32).tiny
    assert moment == 0
