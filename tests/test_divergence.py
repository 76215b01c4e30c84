"""A loss or a parameter that is no number any more: where it is seen, and the state that is left."""

import math
import pickle

import numpy as np
import pytest
from runs import line, state_bits

import bpjit

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_step_that_throws_the_network_off():
    """The update of step 3 overflows: its rate is 1e38, and only its sample has a gradient above 1."""
    one = line(1e38)
    X, t = np.array([[0.0], [0.0], [1e3], [0.0]]), np.array([0.0, 0.0, 1.0, 0.0])
    with pytest.raises(bpjit.DivergenceError, match=r"epoch 1, step [34].*smaller learning rate") as caught:
        one.fit(X, t, epochs=2)
    assert isinstance(caught.value, ArithmeticError)
    assert caught.value.epoch == 1
    assert caught.value.step in (3, 4)  # the parameter, or the loss that it gives
    assert math.isfinite(one.net.loss(X, t))
    assert one.history.epochs == 0
    one.optimizer = bpjit.SGD(learning_rate=1e-7)
    history = one.fit(X, t)  # what was left to do
    assert history.epochs == 2
    assert history["loss"][1] < history["loss"][0]


def explosion(epochs, **options):
    """The error grows by -1e5 a step, from 1: the loss overflows float32 where it passes 1.8e19, at step 5."""
    one = line((1e5 + 1) / 1e2, **options)  # x^2 + 1 is 100, up to rounding: x is sqrt(99)
    return one, np.full((4 * epochs, 1), math.sqrt(99.0)), np.ones(4 * epochs)


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": [range(8)] * 3}])
@pytest.mark.parametrize("stop", [None, 1, 2, 3])
def test_the_step_of_a_divergence_and_the_state_it_leaves(stop, options):
    one, X, t = explosion(epochs=2, **options)
    if stop is not None:  # the step is the same however the calls are cut
        one.fit(X, t, epochs=3, max_steps=stop)
    with pytest.raises(
        bpjit.DivergenceError, match="the loss is no finite number any more at epoch 1, step 5"
    ) as caught:
        one.fit(X, t, epochs=3)
    assert (caught.value.epoch, caught.value.step) == (1, 5)
    assert math.isfinite(one.net.loss(X, t))
    assert one.history.epochs == 0
    updates = one.state()[1]["position"]["updates"]
    assert 0 <= updates < 4
    if updates:
        same, X, t = explosion(epochs=2, **options)
        same.fit(X, t, epochs=3, max_steps=updates)
        assert state_bits(same) == state_bits(one)
    one.optimizer = bpjit.SGD(learning_rate=1e-3)
    assert one.fit(X, t, epochs=1).epochs == 1


def test_the_first_loss_is_infinite():
    one = line(1e-3, w=1e38)
    X, t = [[1e3], [1e3]], [0.0, 0.0]
    with pytest.raises(bpjit.DivergenceError, match="epoch 1, step 1") as caught:
        one.fit(X, t, epochs=2)
    assert (caught.value.epoch, caught.value.step) == (1, 1)
    assert one.net.parameters()[0][0] == np.float32(1e38)
    one.net.set_parameters([([[0.0]], [0.0])])
    one.fit(X, [1.0, 1.0], epochs=1, max_steps=1)


def test_a_divergence_in_a_later_fit():
    """The update that is too large is the last one of a fit, and the next fit finds out."""
    one, X, t = explosion(epochs=2)
    one.fit(X, t, epochs=3, max_steps=4)
    with pytest.raises(bpjit.DivergenceError) as caught:
        one.fit(X, t, epochs=3)
    assert (caught.value.epoch, caught.value.step) == (1, 5)
    assert math.isfinite(one.net.loss(X, t))
    one.optimizer = bpjit.SGD(learning_rate=1e-3)
    assert one.fit(X, t, epochs=1).epochs == 1


def test_parameters_that_were_set_since_are_not_taken_back():
    one = line(1e-3)
    X, t = [[1e3], [1e3]], [0.0, 0.0]
    one.fit(X, t, epochs=1)
    one.net.set_parameters([([[1e38]], [0.0])])
    with pytest.raises(bpjit.DivergenceError, match="epoch 2, step 1"):
        one.fit(X, t, epochs=1)
    assert one.net.parameters()[0][0] == np.float32(1e38)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("shuffle", [True, [np.roll(np.arange(2), k) for k in range(4)]])
def test_a_divergence_at_the_first_step_of_an_epoch(watched, shuffle, tmp_path):
    """Back in the epoch before, which the history forgets, and in that epoch's order of samples."""
    step_by_step = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 1}
    X, t = np.array([[math.sqrt(99.0)], [math.sqrt(99.0)]]), np.array([1.0, 1.001])
    one = line((1e5 + 1) / 1e2, shuffle=shuffle)
    validation = (X[:1], t[:1]) if watched else None
    with pytest.raises(bpjit.DivergenceError) as caught:
        one.fit(X, t, epochs=4, validation=validation, **step_by_step)
    assert (caught.value.epoch, caught.value.step) == (3, 1)
    assert one.state()[1]["position"]["updates"] == 3
    assert one.history.epochs == 1
    assert all(len(values) == 1 for values in one.history.values())
    same = line((1e5 + 1) / 1e2, shuffle=shuffle)
    same.fit(X, t, epochs=4, validation=validation, max_steps=3)
    assert state_bits(same) == state_bits(one)
    assert one.state()[0]["order"].tolist() == same.state()[0]["order"].tolist()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_divergence_after_many_compiled_calls(momentum, short_calls):
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(200, 1)), np.zeros(200)
    X[170] = 1e25  # x^2 overflows
    one = line(1e-3, w=1.0, momentum=momentum)
    with pytest.raises(bpjit.DivergenceError) as caught:
        one.fit(X, t, epochs=1)
    assert caught.value.epoch == 1
    assert caught.value.step == 171
    updates = one.state()[1]["position"]["updates"]
    assert 0 < updates < 171
    same = line(1e-3, w=1.0, momentum=momentum)
    same.fit(X, t, epochs=1, max_steps=updates)
    assert state_bits(same) == state_bits(one)


def test_moments_that_overflow():
    """The square of the gradient is no float32: Adam would never move this weight again, and say nothing."""
    net = bpjit.Network([1, 1], loss="squared_error", seed=0)
    one = bpjit.Trainer(net, bpjit.Adam(), batch_size=2)
    with pytest.raises(bpjit.DivergenceError, match="scale the features"):
        one.fit([[1e10], [2e10]], [1e11, 2e11], epochs=3)
    tensors, _ = one.state()
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_a_divergence_is_known_to_other_processes():
    error = pickle.loads(pickle.dumps(bpjit.DivergenceError("too fast", 3, 7)))
    assert isinstance(error, bpjit.DivergenceError)
    assert (str(error), error.epoch, error.step) == ("too fast", 3, 7)


@pytest.mark.parametrize("seed", [2**63, 2**64 - 1])
def test_seeds_beyond_63_bits(seed):
    one, X, t = explosion(epochs=2, seed=seed, shuffle=True)
    with pytest.raises(bpjit.DivergenceError):
        one.fit(X, t, epochs=3)
