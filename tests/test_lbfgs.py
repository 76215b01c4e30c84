"""L-BFGS: where it ends, what an epoch is, and what is left when something ends it."""

import signal
import sys

import numpy as np
import pytest
from runs import classes, state_bits

import bpjit
from bpjit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


def flat(pairs):
    return [array for pair in pairs for array in pair if array is not None]


def linear(samples=40, dtype="float64", seed=0):
    """A linear network of two outputs, X and t that it cannot fit exactly."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, 3))
    net = bpjit.Network([3, 2], loss="squared_error", dtype=dtype, seed=0)
    return net, X, X @ rng.normal(size=(3, 2)) + 1 + 0.1 * rng.normal(size=(samples, 2))


def small(optimizer=None, sizes=(3, 4, 2), **options):
    net = bpjit.Network(sizes, "tanh", dtype="float64", seed=0)
    return bpjit.Trainer(net, optimizer or bpjit.LBFGS(), **options)


def with_ones(X):
    return np.hstack([X, np.ones((len(X), 1))])


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-6), ("float32", 1e-3)])
def test_it_finds_least_squares(dtype, bound):
    """As near as a gradient of 1e-7, or of float32's rounding, tells."""
    net, X, t = linear(dtype=dtype)
    history = net.fit(X, t, epochs=100, optimizer=bpjit.LBFGS(tolerance=1e-7))
    assert 3 < history.epochs < 30  # it ends by itself
    wanted = np.linalg.lstsq(with_ones(X), t, rcond=None)[0].T
    ((W, b),) = net.parameters()
    assert np.abs(np.column_stack([W, b]) - wanted).max() < bound
    assert history["loss"][-1] == pytest.approx(net.loss(X, t), rel=10 * bound**2 if dtype == "float64" else 1e-5)
    assert all(after <= before for before, after in zip(history["loss"], history["loss"][1:]))
    assert all(seconds > 0 for seconds in history["seconds"])


@pytest.mark.parametrize("decay_biases", [True, False])
def test_weight_decay_is_that_of_ridge_regression(decay_biases):
    net, X, t = linear()
    optimizer = bpjit.LBFGS(tolerance=1e-8, weight_decay=0.3, decay_biases=decay_biases)
    history = net.fit(X, t, epochs=100, optimizer=optimizer)
    A, decay = with_ones(X), 0.3 * np.diag([1, 1, 1, float(decay_biases)])
    wanted = np.linalg.solve(A.T @ A / len(X) + decay, A.T @ t / len(X)).T
    ((W, b),) = net.parameters()
    assert np.abs(np.column_stack([W, b]) - wanted).max() < 1e-6
    assert history["loss"][-1] == pytest.approx(net.loss(X, t), rel=1e-12)  # without the penalty


def test_layers_have_their_own_decay_and_frozen_ones_stay():
    X, t = classes(60)
    one = small(bpjit.LBFGS(tolerance=1e-7), (3, 4, 5, 2), layers={1: "frozen", -1: {"weight_decay": 0.1}})
    before = one.net.parameters()
    one.fit(X, t, epochs=500)
    assert one.history.epochs < 500
    after, gradients = one.net.parameters(), one.net.gradients(X, t)
    assert all(np.array_equal(x, y) for x, y in zip(before[0], after[0]))
    assert np.abs(np.concatenate([g.ravel() for g in gradients[1]])).max() < 1e-7
    for g, theta in zip(gradients[2], after[2]):
        assert np.abs(g).max() > 1e-3
        assert np.abs(g + 0.1 * theta).max() < 1e-7


def test_an_epoch_is_an_iteration():
    """SciPy's on the same loss and gradient, in plain NumPy: softmax regression."""
    from scipy.optimize import minimize

    X, labels = classes(50, 3, 4)
    net = bpjit.Network([3, 4], dtype="float64", seed=0)
    trainer = bpjit.Trainer(net, bpjit.LBFGS(history=3), batch_size=7)
    A, T = with_ones(X), np.eye(4)[labels]

    def objective(x):
        z = A @ x.reshape(4, 4).T
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return -np.log((p * T).sum(axis=1)).mean(), ((p - T).T @ A / len(A)).ravel()

    ((W, b),) = net.parameters()
    seen = []
    minimize(
        objective, np.column_stack([W, b]).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 6, "maxcor": 3},
        callback=lambda intermediate_result: seen.append(intermediate_result),
    )  # fmt: skip
    history = trainer.fit(X, labels, epochs=6, validation=(X, labels))
    assert history["loss"] == pytest.approx([result.fun for result in seen], rel=1e-9)
    assert history["validation_loss"] == pytest.approx(history["loss"], rel=1e-12)
    ((W, b),) = net.parameters()
    assert np.column_stack([W, b]).ravel() == pytest.approx(seen[-1].x, rel=1e-6)


def test_many_samples_count_alike():
    """More than the gradient takes at once; the sum is taken in parts."""
    X, t = classes(5000)
    one, other = small(), small(bpjit.LBFGS())
    one.fit(X, t, epochs=3)
    order = np.random.default_rng(0).permutation(5000)
    other.fit(X[order], t[order], epochs=3)
    assert one.history["loss"] == pytest.approx(other.history["loss"], rel=1e-9)
    assert one.history["loss"][-1] == pytest.approx(one.net.loss(X, t), rel=1e-12)


class Shown(Progress):
    def __init__(self):
        self.calls = []

    def start(self, epochs, samples, batch_size, done=0, **_):
        self.calls.append(("start", epochs, samples, batch_size, done))

    def epoch_end(self, epoch, record):
        self.calls.append((epoch, record["loss"], record["validation_accuracy"]))

    def finish(self):
        self.calls.append("finish")


def test_progress_and_the_steps_that_are_left():
    X, t = classes()
    one, shown = small(batch_size=5), Shown()
    one.fit(X, t, epochs=4, max_steps=3, validation=(X, t), progress=shown)
    losses, accuracies = one.history["loss"], one.history["validation_accuracy"]
    assert shown.calls == [
        ("start", 4, 23, 23, 0), *zip((1, 2, 3), losses, accuracies, strict=True), "finish"
    ]  # fmt: skip
    one.fit(X, t, validation=(X, t))  # what the last one left
    assert one.history.epochs == 4


def test_nothing_is_left_where_it_ends_by_itself():
    net, X, t = linear()
    trainer = bpjit.Trainer(net, bpjit.LBFGS())
    epochs = trainer.fit(X, t, epochs=1000).epochs
    with pytest.raises(ValueError, match="nothing is left to do"):
        trainer.fit(X, t)
    assert trainer.fit(X, t, epochs=5).epochs == epochs  # no iteration gains anything
    trainer.optimizer = bpjit.SGD(0.1)
    assert trainer.fit(X, t, epochs=2).epochs == epochs + 2


def test_a_checkpoint_between_fits(tmp_path):
    """The memory begins anew with every fit, in the same process or in another one."""
    X, t = classes()
    one = small(bpjit.LBFGS(history=4, weight_decay=0.01))
    one.fit(X, t, epochs=3, checkpoint=tmp_path / "run")
    resumed = bpjit.Trainer.resume(tmp_path / "run")
    assert resumed.optimizer == one.optimizer
    for trainer in (one, resumed):
        trainer.fit(X, t, epochs=3)
    assert state_bits(one) == state_bits(resumed)
    assert one.history.epochs == 6


def test_ctrl_c_leaves_whole_iterations():
    X, t = classes()

    class Interrupting(Progress):
        def epoch_end(self, epoch, record):
            if epoch == 3:
                signal.raise_signal(signal.SIGINT)

    one, same = small(), small()
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, t, epochs=10, progress=Interrupting())
    same.fit(X, t, epochs=10, max_steps=3)
    assert state_bits(one) == state_bits(same)


@pytest.mark.parametrize("call", [1, 2, 4, 9])
def test_ctrl_c_in_a_line_search_leaves_whole_iterations(call, monkeypatch):
    X, t = classes()
    one, calls = small(), 0
    losses = one.net._loss_and_gradient

    def interrupted(*arguments):
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return losses(*arguments)

    monkeypatch.setattr(one.net, "_loss_and_gradient", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.fit(X, t, epochs=10)
    same = small()
    if one.history.epochs:
        same.fit(X, t, epochs=one.history.epochs)
    assert one.history.epochs < 10 and (call < 4 or one.history.epochs > 0)
    for found, wanted in zip(flat(one.net.parameters()), flat(same.net.parameters()), strict=True):
        assert np.array_equal(found, wanted)


def test_divergence_leaves_the_last_iteration():
    """Here none: the loss overflows at once."""
    net = bpjit.Network([1, 1], loss="squared_error", bias=False)
    net.set_parameters([([[1e19]], None)])  # whose square is the largest of float32
    before = net.parameters()[0][0]
    trainer = bpjit.Trainer(net, bpjit.LBFGS())
    with pytest.raises(bpjit.DivergenceError, match="epoch 1; the network is as it was after 0 updates") as error:
        trainer.fit([[1e3]], [0.0], epochs=2)
    assert (error.value.epoch, error.value.step) == (1, 1)
    assert np.array_equal(net.parameters()[0][0], before)
    assert trainer.history.epochs == 0


def test_divergence_in_a_line_search(monkeypatch):
    X, t = classes()
    one, calls = small(), 0
    losses = one.net._loss_and_gradient

    def overflowing(*arguments):
        nonlocal calls
        calls += 1
        C, gradient = losses(*arguments)
        return (np.inf if calls == 5 else C), gradient

    monkeypatch.setattr(one.net, "_loss_and_gradient", overflowing)
    with pytest.raises(bpjit.DivergenceError) as error:
        one.fit(X, t, epochs=10)
    assert error.value.epoch == one.history.epochs + 1 > 1
    assert one.net.loss(X, t) == pytest.approx(one.history["loss"][-1], rel=1e-12)


def test_an_epoch_of_mini_batches_is_finished_first():
    X, t = classes()
    one = small(bpjit.SGD(0.1), batch_size=5)
    one.fit(X, t, epochs=2, max_steps=7)
    one.optimizer = bpjit.LBFGS()
    before = state_bits(one)
    with pytest.raises(ValueError, match="epoch 2 is unfinished, and LBFGS has no mini-batches"):
        one.fit(X, t, epochs=1)
    assert state_bits(one) == before


def test_without_scipy(monkeypatch):
    X, t = classes()
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    one = small()
    with pytest.raises(ImportError, match=r"LBFGS needs SciPy: pip install 'bpjit\[scipy\]'"):
        one.fit(X, t, epochs=1)
    assert one.net.history is None
