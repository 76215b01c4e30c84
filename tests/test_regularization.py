"""Penalties, dropout, noise, limits of weights and gradient, weights of samples: each against a twin in NumPy."""

import json
import re

import numpy as np
import pytest
from noise_twins import key, mask
from numba import config
from regularization_twins import Twin
from runs import bits, classes, line, state_bits, trainer
from twins import distance

import bpjit
from bpjit import storage
from bpjit.engine import plan
from bpjit.engine.epoch import Data, Place
from bpjit.engine.epoch import Regularization as OfEngine
from bpjit.regularization import Regularization

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [70, 21, 18, 3]  # two tasks under layer 1, layers that fill a panel and some of the next
SAMPLES, BATCH = 19, 8  # 8, 8 and 3
SGD, MOMENTUM, ADAM = bpjit.SGD(0.1), bpjit.SGD(0.05, momentum=0.8), bpjit.Adam(0.02)
ROUNDING = 1e-11
"""Of changes of parameters in float64 over some steps: sums of 70 numbers are right to 1e-15, of changes that are a
hundredth of what they change."""
EVERYTHING = {
    "l1": 0.01, "l2": 0.02, "dropout": 0.25, "input_noise": 0.2, "max_norm": 0.9, "clip_value": 0.1, "clip_norm": 0.5,
}  # fmt: skip
OPTIONS = [
    {"l1": 0.03},
    {"l1": {1: 0.02, -1: 0.05}},
    {"l2": 0.1},
    {"l2": {2: 0.3}},
    {"dropout": 0.3},
    {"dropout": {0: 0.2, 1: 0.5}},
    {"dropout": {2: 0.5}},
    {"max_norm": 0.7},
    {"max_norm": {2: 0.5}},
    {"clip_value": 0.05},
    {"clip_norm": 0.3},
    {"l1": 0.02, "l2": {1: 0.1}, "clip_value": 0.06, "clip_norm": 0.4},
]


def flat(pairs):
    return [array for pair in pairs for array in pair if array is not None]


def changes(before, after):
    return [b - a for a, b in zip(flat(before), flat(after), strict=True)]


def data(samples=SAMPLES, sizes=SIZES, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(samples, sizes[0])), draw.normal(size=(samples, sizes[-1]))


def network(activations="tanh", sizes=SIZES, dtype="float64", **options):
    return bpjit.Network(sizes, activations, loss="squared_error", dtype=dtype, seed=0, **options)


def from_the_front(options, layers=3):
    """With layers counted from 1, as the twin takes them."""
    return {
        name: {l if l >= 0 else layers + 1 + l: n for l, n in value.items()} if isinstance(value, dict) else value
        for name, value in options.items()
    }


def compared(optimizer, options, activations=("tanh", "tanh"), frozen=(), bound=ROUNDING, epochs=2, **fit):
    """Trains network and twin; returns both, once losses and parameters are the same."""
    net, (X, t) = network(list(activations)), data()
    before = net.parameters()
    twin = Twin(before, list(activations), optimizer, frozen=frozen, **from_the_front(options))
    layers = dict.fromkeys(frozen, "frozen")
    made = bpjit.Trainer(net, optimizer, BATCH, seed=1, shuffle=False, layers=layers, **options)
    history = made.fit(X, t, epochs=epochs, **fit)
    losses = twin.fit(X, t, epochs, BATCH)
    assert history["loss"] == pytest.approx(losses, rel=bound)
    assert distance(changes(before, net.parameters()), changes(before, twin.params)) <= bound
    return net, twin


def plain(optimizer, activations=("tanh", "tanh")):
    """The twin without any option."""
    twin = Twin(network(list(activations)).parameters(), list(activations), optimizer)
    twin.fit(*data(), 2, BATCH)
    return twin


# Each option and its twin.


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_option_is_what_its_twin_does(options):
    """And it matters: the twin without it ends elsewhere."""
    net, _ = compared(SGD, options)
    assert distance(flat(net.parameters()), flat(plain(SGD).params)) > 1e-3


@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=str)
def test_all_of_them_at_once(optimizer):
    """The quantile of the noise is exact to 1e-7, and Adam divides by small numbers."""
    without = {name: value for name, value in EVERYTHING.items() if name != "input_noise"}
    net, twin = compared(optimizer, without, bound=1e-9)
    assert distance(flat(net.parameters()), flat(plain(optimizer).params)) > 1e-2
    assert min(twin.norms) > 0.5  # so that it is clipped in each step
    compared(MOMENTUM, EVERYTHING, bound=1e-6)


def test_noise_on_the_input():
    """The quantile is exact to 1e-7."""
    net, _ = compared(SGD, {"input_noise": 0.3}, bound=1e-6)
    assert distance(flat(net.parameters()), flat(plain(SGD).params)) > 1e-3
    compared(SGD, {"input_noise": 0.3, "dropout": {0: 0.5}}, bound=1e-6)  # it is added before units are dropped


@pytest.mark.parametrize("activations", [("sigmoid", "gelu"), ("relu", "sigmoid"), ("gelu", "relu")], ids=str)
def test_dropout_of_layers_of_any_activation(activations):
    """Slopes are taken at a or at z as they were before units were dropped."""
    optimizer = bpjit.SGD(0.02)  # with more, relu's run away
    net, _ = compared(optimizer, {"dropout": {0: 0.2, 1: 0.4, 2: 0.3}}, activations)
    assert distance(flat(net.parameters()), flat(plain(optimizer, activations).params)) > 1e-3


def test_a_frozen_layer_has_neither_penalty_nor_limit():
    """Nor is its gradient a part of the norm; units of it are dropped as ever."""
    options = {"l1": 0.03, "l2": 0.1, "max_norm": 0.5, "clip_norm": 0.3, "dropout": 0.2}
    for frozen in ((1,), (2,)):
        net, _ = compared(SGD, options, frozen=frozen)
        for l in frozen:
            for found, wanted in zip(net.parameters()[l - 1], network().parameters()[l - 1], strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_without_biases():
    net, (X, t) = network(bias=False), data()
    before = net.parameters()
    twin = Twin([(W, np.zeros(len(W))) for W, _ in before], ["tanh"] * 2, SGD, l2=0.1, clip_norm=0.3, dropout=0.2)
    gradients = twin.gradients(X[:BATCH], t[:BATCH], 0, 0)[1]
    norm = np.sqrt(sum(((dW + 0.1 * W) ** 2).sum() for (dW, _), (W, _) in zip(gradients, before, strict=True)))
    made = bpjit.Trainer(net, SGD, BATCH, seed=1, shuffle=False, l2=0.1, clip_norm=0.3, dropout=0.2)
    made.fit(X, t, epochs=1, max_steps=1)
    for (W, _), (V, _), (dW, _) in zip(before, net.parameters(), gradients, strict=True):
        np.testing.assert_allclose(W - V, 0.1 * (dW + 0.1 * W) * min(1, 0.3 / norm), rtol=1e-9, atol=1e-15)


def test_in_mini_batches_of_several_blocks():
    """With a last block of a few samples, which other kernels take."""
    net, (X, t) = network(), data(60)
    twin = Twin(net.parameters(), ["tanh"] * 2, SGD, **EVERYTHING)
    made = bpjit.Trainer(net, SGD, 50, seed=1, shuffle=False, **EVERYTHING)
    assert made.fit(X, t, epochs=2)["loss"] == pytest.approx(twin.fit(X, t, 2, 50), rel=1e-6)
    before = network().parameters()
    assert distance(changes(before, net.parameters()), changes(before, twin.params)) < 1e-6


def test_two_trainers_of_one_network_keep_their_settings_apart():
    """They take turns in the same workspaces, between which the network answers."""
    X, t = data()
    options = [{"dropout": 0.3, "l2": 0.1}, {"dropout": 0.5, "max_norm": 0.8}, {}]
    net = network()
    made = [bpjit.Trainer(net, SGD, SAMPLES, seed=1, shuffle=False, **one) for one in options]
    twins = [Twin(net.parameters(), ["tanh"] * 2, SGD, **one) for one in options]
    for epoch in range(2):
        for one, twin in zip(made, twins, strict=True):
            before = net.parameters()
            twin.params = list(before)
            one.fit(X, t, epochs=1)
            net.predict(X)
            twin.step(X, t, epoch, 0)
            assert distance(changes(before, net.parameters()), changes(before, twin.params)) < ROUNDING


def test_in_float32():
    """After four steps: a rounding of 6e-8 in sums of 70, and the biggest part of it in the noise and in clipping."""
    net, (X, t) = network(dtype="float32"), data()
    before = [(W.astype(float), b.astype(float)) for W, b in net.parameters()]
    twin = Twin(before, ["tanh"] * 2, MOMENTUM, **EVERYTHING)
    made = bpjit.Trainer(net, MOMENTUM, 10, seed=1, shuffle=False, **EVERYTHING)
    losses = made.fit(X, t, epochs=2)["loss"]
    X, t = X.astype("float32").astype(float), t.astype("float32").astype(float)
    assert losses == pytest.approx(twin.fit(X, t, 2, 10), rel=1e-5)
    assert distance(changes(before, net.parameters()), changes(before, twin.params)) < 1e-4


@pytest.mark.nojit
def test_as_plain_python():
    """A network as small as can be, with everything: the kernels as they are written."""
    sizes, options = [3, 4, 3, 2], EVERYTHING | {"max_norm": 0.5}
    u = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0, 0.25])
    for parts in (1, 2):
        net, (X, t) = network(sizes=sizes), data(7, sizes)
        before = net.parameters()
        twin = Twin(before, ["tanh"] * 2, MOMENTUM, **options)
        made = bpjit.Trainer(net, MOMENTUM, 4 // parts, seed=1, shuffle=False, accumulate=parts, **options)
        assert made.fit(X, t, epochs=2, sample_weight=u)["loss"] == pytest.approx(twin.fit(X, t, 2, 4, u=u), rel=1e-6)
        assert distance(changes(before, net.parameters()), changes(before, twin.params)) < 1e-6


# By hand.


@pytest.mark.nojit
def test_one_step_by_hand():
    """w = 2, b = 1, x = 1, t = 0: y = 3, C = 4.5, dC/dw = dC/db = 3; a rate of 0.1."""
    cases = [
        ({"l1": 0.5}, 4.5 + 1.0, 2 - 0.1 * 3.5, 0.7),
        ({"l2": 0.1}, 4.5 + 0.2, 2 - 0.1 * 3.2, 0.7),
        ({"clip_value": 2.0}, 4.5, 1.8, 0.8),
        ({"clip_value": 5.0}, 4.5, 1.7, 0.7),
        ({"clip_norm": 1.0}, 4.5, 2 - 0.1 / np.sqrt(2), 1 - 0.1 / np.sqrt(2)),
        ({"clip_norm": 5.0}, 4.5, 1.7, 0.7),
        ({"l2": 0.5, "clip_value": 3.5}, 5.5, 2 - 0.35, 0.7),  # the penalty before the limit
        ({"l2": 0.5, "clip_norm": 2.5}, 5.5, 2 - 0.1 * 4 * 0.5, 1 - 0.1 * 3 * 0.5),  # a norm of 5 to 2.5
        ({"clip_value": 2.0, "clip_norm": 1.0}, 4.5, 2 - 0.1 / np.sqrt(2), 1 - 0.1 / np.sqrt(2)),
        ({"max_norm": 1.2}, 4.5, 1.2, 0.7),
        ({"max_norm": 1.8}, 4.5, 1.7, 0.7),
    ]
    for options, loss, w, b in cases:
        made = line(0.1, 2.0, "float64", **options)
        made.net.set_parameters([([[2.0]], [1.0])])
        assert made.fit([[1.0]], [[0.0]], epochs=1)["loss"] == pytest.approx([loss], rel=1e-15), options
        ((W, found),) = made.net.parameters()
        assert (W[0, 0], found[0]) == pytest.approx((w, b), rel=1e-15), options


@pytest.mark.nojit
def test_l1_of_a_weight_that_is_0_and_of_one_below_it():
    for w, slope in [(0.0, 0.0), (-2.0, -0.5), (2.0, 0.5)]:
        made = line(0.1, w, "float64", l1=0.5)
        history = made.fit([[0.0]], [[0.0]], epochs=1)
        assert history["loss"] == [0.5 * abs(w)] and made.net.parameters()[0][0][0, 0] == w - 0.1 * slope


@pytest.mark.nojit
def test_a_negative_gradient_is_clipped_too():
    made = line(0.1, 0.0, "float64", clip_value=2.0)
    made.fit([[1.0]], [[5.0]], epochs=1)
    assert made.net.parameters()[0][0][0, 0] == pytest.approx(0.2, rel=1e-15)


@pytest.mark.nojit
def test_a_gradient_whose_square_is_beyond_float32():
    """It is scaled as any other: 1e20 by 1e20, which is 1 and, of the bias, 1e-10."""
    made = line(1.0, 1.0, "float32", clip_norm=0.5)
    made.fit([[1e10]], [[0.0]], epochs=1)
    ((W, b),) = made.net.parameters()
    assert (W[0, 0], b[0]) == pytest.approx((0.5, -0.5e-10), rel=1e-6)


# l1 and l2


def test_l2_is_the_weight_decay_of_sgd():
    """The same step but for rounding; the history's loss has the penalty."""
    nets = [network(), network()]
    X, t = data()
    settings = {"learning_rate": 0.1, "momentum": 0.8}
    decay = bpjit.Trainer(nets[0], bpjit.SGD(**settings, weight_decay=0.1, decay_biases=False), SAMPLES, seed=3)
    l2 = bpjit.Trainer(nets[1], bpjit.SGD(**settings), SAMPLES, seed=3, l2=0.1)
    before = [W for W, _ in nets[0].parameters()]
    first = [made.fit(X, t, epochs=1)["loss"][0] for made in (decay, l2)]
    assert first[1] - first[0] == pytest.approx(0.05 * sum((W**2).sum() for W in before), rel=1e-12)
    for made in (decay, l2):
        made.fit(X, t, epochs=3)
    assert distance(flat(nets[0].parameters()), flat(nets[1].parameters())) < ROUNDING


def test_minimum_of_a_penalised_linear_network():
    """Gradient descent ends where ridge regression is; so does L-BFGS, and its loss has the penalty, too."""
    draw = np.random.default_rng(0)
    X = draw.normal(size=(40, 3))
    t = X @ draw.normal(size=(3, 2)) + 1 + 0.1 * draw.normal(size=(40, 2))
    A, decay = np.hstack([X, np.ones((40, 1))]), 0.3 * np.diag([1.0, 1.0, 1.0, 0.0])
    wanted = np.linalg.solve(A.T @ A / 40 + decay, A.T @ t / 40).T
    for optimizer, epochs in [(bpjit.SGD(0.5), 400), (bpjit.LBFGS(tolerance=1e-9), 100)]:
        net = network([], [3, 2])
        history = bpjit.Trainer(net, optimizer, 40, l2=0.3).fit(X, t, epochs=epochs)
        ((W, b),) = net.parameters()
        assert np.abs(np.column_stack([W, b]) - wanted).max() < 1e-7
        assert history["loss"][-1] == pytest.approx(net.loss(X, t) + 0.15 * (W**2).sum(), rel=1e-7)


def test_lbfgs_takes_l2_by_layer():
    """Against SciPy on a function that is written out."""
    from scipy.optimize import minimize

    X, t = data(30, [3, 4, 2])
    net = network(sizes=[3, 4, 2])
    shapes = [array.shape for array in flat(net.parameters())]

    def unpacked(theta):
        ends = np.cumsum([np.prod(shape) for shape in shapes])
        arrays = [part.reshape(shape) for part, shape in zip(np.split(theta, ends[:-1]), shapes, strict=True)]
        return list(zip(arrays[::2], arrays[1::2], strict=True))

    def objective(theta):
        (W1, b1), (W2, b2) = unpacked(theta)
        a = np.tanh(X @ W1.T + b1)
        delta = (a @ W2.T + b2 - t) / len(X)
        below = delta @ W2 * (1 - a**2)
        C = len(X) * (delta**2).sum() / 2 + 0.01 * (W1**2).sum() / 2 + 0.05 * (W2**2).sum() / 2
        arrays = below.T @ X + 0.01 * W1, below.sum(axis=0), delta.T @ a + 0.05 * W2, delta.sum(axis=0)
        return C, np.concatenate([g.ravel() for g in arrays])

    theta = np.concatenate([array.ravel() for array in flat(net.parameters())])
    found = minimize(objective, theta, jac=True, method="L-BFGS-B", options={"gtol": 1e-8, "ftol": 0, "maxiter": 500})
    history = bpjit.Trainer(net, bpjit.LBFGS(tolerance=1e-8), 30, l2={1: 0.01, 2: 0.05}).fit(X, t, epochs=500)
    assert history["loss"][0] < objective(theta)[0]
    assert history["loss"][-1] == pytest.approx(found.fun, rel=1e-9)
    assert objective(np.concatenate([a.ravel() for a in flat(net.parameters())]))[0] == pytest.approx(
        found.fun, rel=1e-9
    )


@pytest.mark.parametrize("name", [*(name for name in EVERYTHING if name != "l2"), "accumulate"])
def test_lbfgs_refuses_the_rest(name):
    made = bpjit.Trainer(network(), bpjit.LBFGS(), **{name: (EVERYTHING | {"accumulate": 2})[name]})
    before = state_bits(made)
    with pytest.raises(ValueError, match=f"LBFGS takes l2, but not {name}: leave it out, or take another optimiser"):
        made.fit(*data(), epochs=1)
    assert state_bits(made) == before


# Dropout


def test_the_expectation_is_the_output_without():
    """Of a linear network. The step of the output's bias is the mean of y over the samples, which are 64 times the same
    one; over 300 steps with masks of their own it is what `predict` gives, within six deviations (2e-9)."""
    draw, rate = np.random.default_rng(1), 1e-9
    net = bpjit.Network([5, 8, 1], "identity", loss="squared_error", dtype="float64", seed=0)
    X, t = np.repeat(draw.normal(size=(1, 5)), 64, axis=0), np.zeros((64, 1))
    wanted = net.predict(X)[0, 0]
    made = bpjit.Trainer(net, bpjit.SGD(rate), 64, seed=0, dropout={0: 0.3, 1: 0.5})
    b = [0.0]
    for _ in range(300):
        made.fit(X, t, epochs=1)
        b.append(net.parameters()[1][1][0])
    means = -np.diff(b) / rate
    assert means.std() > 0
    assert abs(means.mean() - wanted) < 6 * means.std() / np.sqrt(len(means))
    assert net.predict(X)[0, 0] == pytest.approx(wanted, rel=1e-5)  # nothing is dropped


def test_nothing_is_dropped_but_in_training():
    """Not in the answers that validation takes between epochs, nor those that follow, nor in gradients."""
    X, t = data()
    net, other = network(), network()
    made = bpjit.Trainer(net, SGD, BATCH, seed=1, dropout=0.5, input_noise=1.0)
    history = made.fit(X, t, epochs=3, validation=(X, t))
    other.set_parameters(net.parameters())
    assert history["validation_loss"][-1] == other.loss(X, t) == net.loss(X, t)
    assert net.evaluate(X, t, metrics="mse") == other.evaluate(X, t, metrics="mse")
    np.testing.assert_array_equal(net.predict(X), other.predict(X))
    for found, wanted in zip(flat(net.gradients(X, t)), flat(other.gradients(X, t)), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_nothing_flows_to_units_that_are_dropped():
    """With one sample: what leads into a dropped unit and out of it stays as it is, and all else moves."""
    X, t = data(1)
    net = network()
    before = net.parameters()
    bpjit.Trainer(net, SGD, 1, seed=5, dropout={0: 0.5, 1: 0.5, 2: 0.5}).fit(X, t, epochs=1)
    kept = [mask(key(5, 0, 0, l), SIZES[l], 1, 0.5)[0] > 0 for l in range(3)] + [np.ones(3, bool)]
    assert all(0 < k.sum() < len(k) for k in kept[:3])
    for l, ((W, b), (V, c)) in enumerate(zip(before, net.parameters(), strict=True), start=1):
        np.testing.assert_array_equal(W != V, np.outer(kept[l], kept[l - 1]))
        np.testing.assert_array_equal(b != c, kept[l])


def test_masks_are_others_in_each_step_epoch_and_run():
    """The loss of each of 12 steps that change nothing."""
    X, t = data(BATCH)

    def losses(seed):
        made = bpjit.Trainer(network(), bpjit.SGD(1e-300), BATCH // 2, seed=seed, shuffle=False, dropout=0.5)
        X_twice = np.concatenate([X[:4], X[:4]])
        found = []
        for _ in range(6):
            for _ in range(2):
                before = made._position.cost
                made.fit(X_twice, np.concatenate([t[:4], t[:4]]), epochs=1, max_steps=1)
                found.append(
                    made._position.cost - before if made._position.step else 8 * made.history["loss"][-1] - before
                )
        return found

    once, again, other = losses(1), losses(1), losses(2)
    assert once == again
    assert len({round(loss, 9) for loss in once + other}) == 24


# max_norm


def test_norms_after_a_step():
    """At most c and a rounding or so; where they were below, nothing changed."""
    X, t = data()
    for dtype in ("float64", "float32"):
        net, free = network(dtype=dtype), network(dtype=dtype)
        c = float(np.median(np.linalg.norm(net.parameters()[0][0], axis=1)))
        for one, options in ((net, {"max_norm": {1: c, 3: 0.3}}), (free, {"clip_value": 1e9})):
            bpjit.Trainer(one, SGD, SAMPLES, seed=1, shuffle=False, **options).fit(X, t, epochs=1)
        for l, ((W, b), (V, free_b)) in enumerate(zip(net.parameters(), free.parameters(), strict=True), start=1):
            limit, norms = {1: c, 3: 0.3}.get(l, np.inf), np.linalg.norm(V.astype(float), axis=1)
            over = norms > limit
            assert over.any() == (l != 2) and (l != 1 or not over.all())
            np.testing.assert_array_equal(W[~over], V[~over])
            np.testing.assert_array_equal(b, free_b)
            eps = np.finfo(dtype).eps
            np.testing.assert_allclose(np.linalg.norm(W.astype(float), axis=1)[over], limit, rtol=2 * eps)
            np.testing.assert_allclose(W[over] * (norms[over] / limit)[:, None], V[over], rtol=4 * eps)


# accumulate


@pytest.mark.parametrize("k", [2, 4, 3])
def test_mini_batches_in_parts_are_one(k):
    """Losses, parameters, masks: those of the batch size k times as large, but for sums in another order."""
    X, t = data(29)
    for options in ({}, {"dropout": {0: 0.2, 1: 0.4}, "input_noise": 0.1}, EVERYTHING):
        nets = [network(), network()]
        u = np.random.default_rng(1).uniform(0, 2, 29) if options else None
        made = [
            bpjit.Trainer(nets[0], MOMENTUM, 12, seed=1, **options),
            bpjit.Trainer(nets[1], MOMENTUM, 12 // k, seed=1, accumulate=k, **options),
        ]
        one, parts = (trainer.fit(X, t, epochs=2, sample_weight=u)["loss"] for trainer in made)  # 12, 12 and 5
        assert parts == pytest.approx(one, rel=ROUNDING)
        assert distance(*(changes(network().parameters(), net.parameters()) for net in nets)) < ROUNDING
        assert [trainer._position.updates for trainer in made] == [6, 6]


def test_parts_of_a_mini_batch_that_is_all_samples():
    with pytest.warns(UserWarning, match="batch_size"):
        made = bpjit.Trainer(network(), SGD, 8, seed=1, accumulate=5).fit(*data(), epochs=1)
    assert made["loss"] == pytest.approx([network().loss(*data())], rel=1e-14)


def test_a_later_part_that_is_not_finite(short_calls):
    """The good state is kept with the position it belongs to: after what update the network is is known."""
    X, t = np.array([[1.0], [1.0], [1.0], [1.0], [1.0], [1e30]]), np.zeros((6, 1))
    made = line(0.1, 1.0, batch_size=1, accumulate=2)
    made.fit(X, t, epochs=1, max_steps=1)
    first = bits(made.net)
    made.fit(X, t, epochs=1, max_steps=1)
    with pytest.raises(bpjit.DivergenceError) as raised:
        made.fit(X, t, epochs=1)
    assert (raised.value.epoch, raised.value.step) == (1, 3)
    assert made.updates == 1 and bits(made.net) == first


# Weights of samples


def test_weights_are_those_of_the_twin():
    """The mean over a mini-batch divides by its own weights; that of the epoch, by all of them."""
    X, t = data()
    u = np.random.default_rng(2).uniform(0, 3, SAMPLES)
    for options in ({}, {"dropout": 0.3, "l2": 0.05}):
        net = network()
        twin = Twin(net.parameters(), ["tanh"] * 2, ADAM, **options)
        made = bpjit.Trainer(net, ADAM, BATCH, seed=1, shuffle=False, **options)
        history = made.fit(X, t, epochs=2, sample_weight=u)
        assert history["loss"] == pytest.approx(twin.fit(X, t, 2, BATCH, u=u), rel=ROUNDING)
        assert (
            distance(changes(network().parameters(), net.parameters()), changes(network().parameters(), twin.params))
            < 1e-9
        )


def engine_steps(u, rows=SAMPLES, batch=SAMPLES, optimizer=SGD, epochs=1, before=None):
    """parameters, losses and sums of weights after steps of the engine itself."""
    net, (X, t) = network(), data()
    model = net._model
    moments = model.moments(optimizer.moments)
    if before is not None:
        moments[:] = before
    steps = epochs * -(-rows // batch)
    losses, sums = np.full(steps, np.nan), np.full(steps, np.nan)
    given = Data(X[:rows], np.zeros(0, np.intp), t[:rows], np.arange(rows), np.zeros((0, 0)), u)
    alone = plan.Plan(1, 1, "as the test wants it")
    state = model.state(optimizer, moments, regularization=OfEngine(clip_value=1e9))
    assert model.train(state, optimizer, given, Place(1, 0, 0, 0, batch), losses, alone, False, weights=sums) == steps
    return net.parameters(), losses, sums


def test_a_weight_of_0_leaves_a_sample_out():
    u = np.ones(SAMPLES)
    u[12:] = 0
    found, losses, sums = engine_steps(u)
    wanted, alone, _ = engine_steps(None, rows=12)
    assert distance(flat(found), flat(wanted)) < 1e-14 and losses == pytest.approx(alone, rel=1e-14)
    assert sums == [12.0]


def test_weights_of_1_are_no_weights_and_scale_does_not_matter():
    wanted, losses, sums = engine_steps(None, batch=8, epochs=2)
    assert sums.tolist() == [8, 8, 3] * 2
    for scale in (1.0, 1e-8, 1e12):
        found, weighted, total = engine_steps(np.full(SAMPLES, scale), batch=8, epochs=2)
        assert distance(flat(found), flat(wanted)) < 1e-13 and weighted == pytest.approx(losses, rel=1e-13)
        assert total == pytest.approx(scale * sums, rel=1e-14)


def test_a_mini_batch_without_weight_moves_nothing():
    """But what momentum carries on."""
    before = flat(network().parameters())
    found, losses, sums = engine_steps(np.zeros(SAMPLES))
    assert losses.tolist() == sums.tolist() == [0.0]
    for array, wanted in zip(flat(found), before, strict=True):
        np.testing.assert_array_equal(array, wanted)
    velocity = np.ones(network()._model.layout.theta_size)
    found, _, _ = engine_steps(np.zeros(SAMPLES), optimizer=MOMENTUM, before=velocity)
    for array, wanted in zip(flat(found), before, strict=True):
        np.testing.assert_allclose(array - wanted, -0.05 * 0.8, rtol=1e-12)


# Factors of the learning rate


@pytest.mark.parametrize(
    "optimizer", [SGD, MOMENTUM, ADAM, bpjit.AdamW(0.02, weight_decay=0.3), bpjit.NAdam(0.02)], ids=str
)
def test_factors_are_learning_rates_set_by_hand(optimizer):
    """Before each step, in the twin; a layer with a rate of its own keeps its proportion."""
    factors = np.array([1.0, 0.5, 2.0, 0.0, 1e-3, 0.7])
    net, (X, t) = network(), data()
    twin = Twin(net.parameters(), ["tanh"] * 2, optimizer, rates={2: 0.004})
    layers = {2: {"learning_rate": 0.004}}
    made = bpjit.Trainer(net, optimizer, BATCH, seed=1, shuffle=False, layers=layers, schedule=lambda n: factors[n])
    history = made.fit(X, t, epochs=2)
    assert history["loss"] == pytest.approx(twin.fit(X, t, 2, BATCH, factors=factors), rel=1e-9)
    assert (
        distance(changes(network().parameters(), net.parameters()), changes(network().parameters(), twin.params)) < 1e-9
    )


# The same bits.


def run_with_all(optimizer=ADAM, epochs=3, **fit):
    """A trainer of a network with everything random on, and two chunks of samples in a mini-batch."""
    X, labels = classes(900, SIZES[0], 3)
    net = bpjit.Network(SIZES, "tanh", seed=0)
    made = bpjit.Trainer(net, optimizer, 250, seed=2, accumulate=3, **EVERYTHING)
    u = np.random.default_rng(0).uniform(0, 2, 900)
    made.fit(X, labels, epochs=epochs, sample_weight=u, **fit)
    return made, X, labels, u


def test_the_same_bits_however_a_step_is_cut(monkeypatch):
    found = set()
    for piece, *cut in [(4, False, False), (1, False, False), (3, True, False), (2, False, True), (1, True, True)]:
        chosen = plan.Plan(1, piece, "as the test wants it", *cut)
        monkeypatch.setattr(plan, "choose", lambda *_, chosen=chosen: chosen)
        found.add(state_bits(run_with_all()[0]))
    assert len(found) == 1


@pytest.mark.parametrize("optimizer", [SGD, ADAM], ids=str)
def test_limits_that_nothing_reaches_change_no_bit(optimizer):
    """Though the update then waits for the whole gradient."""
    X, t = data(30)
    found = set()
    for options in ({}, {"clip_value": 1e30}, {"clip_norm": 1e30}, {"max_norm": 1e30}):
        net = network(dtype="float32")
        bpjit.Trainer(net, optimizer, BATCH, seed=1, **options).fit(X, t, epochs=2)
        found.add(bits(net))
    assert len(found) == 1


def test_the_same_bits_from_a_sparse_matrix():
    """Which is trained block by block: masks follow from a sample's place in the whole mini-batch."""
    from scipy.sparse import csr_array

    X, t = data(300)
    X[np.abs(X) < 1] = 0
    found = set()
    for form in (X.astype("float32"), csr_array(X.astype("float32"))):
        made = bpjit.Trainer(network(dtype="float32"), ADAM, 32, seed=1, accumulate=2, **EVERYTHING)
        made.fit(form, t, epochs=3)
        found.add(bits(made.net))
    assert len(found) == 1


def test_the_same_bits_on_two_threads(monkeypatch):
    found = set()
    monkeypatch.setattr(plan.Pace, "took", lambda *_: None)
    two = min(2, config.NUMBA_NUM_THREADS)
    for threads, *cut in [(1, False, False), (two, False, False), (two, True, True)]:
        chosen = plan.Plan(threads, 1, "as the test wants it", *cut)
        monkeypatch.setattr(plan, "choose", lambda *_, chosen=chosen: chosen)
        found.add(state_bits(run_with_all()[0]))
    assert len(found) == 1


def test_the_same_bits_after_a_pause_in_an_epoch(tmp_path, short_calls):
    """Resumed from a checkpoint after each step; in two fits; in calls of one step."""
    whole = state_bits(run_with_all()[0])
    made, X, labels, u = run_with_all(max_steps=1)
    path = tmp_path / "state"
    while made.history.epochs < 3:
        made.checkpoint(path)
        made = bpjit.Trainer.resume(path)
        made.fit(X, labels, sample_weight=u, max_steps=1)
    assert state_bits(made) == whole
    made, X, labels, u = run_with_all(epochs=1)
    made.fit(X, labels, epochs=2, sample_weight=u)
    assert made.regularization.in_use == list(EVERYTHING)
    assert bits(made.net) == bits(run_with_all()[0].net)


# What is refused, and what is kept.


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"l1": -0.1}, ValueError, "l1 must be at least 0, got -0.1"),
        ({"l2": np.nan}, ValueError, "l2 must be finite, got nan"),
        ({"l2": "much"}, TypeError, "l2 must be a real number, got 'much'"),
        ({"l2": True}, TypeError, "l2 must be a real number, got True"),
        ({"l2": {0: 0.1}}, ValueError, "l2 names layer 0, but there are 1 to 3, or -1 to -3 from the end"),
        ({"l1": {4: 0.1}}, ValueError, "l1 names layer 4, but there are 1 to 3, or -1 to -3 from the end"),
        ({"l1": {1: 0.1, -3: 0.1}}, ValueError, "l1 names layer 1 twice: by its number and counted from the end"),
        ({"l1": {1: -0.1}}, ValueError, "l1[1] must be at least 0, got -0.1"),
        ({"l1": {"1": 0.1}}, TypeError, "a layer's number in l1 must be an integer, got '1'"),
        ({"l1": [0.1, 0.2, 0.1]}, TypeError, "l1 must be a real number, got [0.1, 0.2, 0.1]"),
        ({"dropout": 1.0}, ValueError, "dropout must be at least 0 and less than 1, got 1.0"),
        ({"dropout": -0.1}, ValueError, "dropout must be at least 0 and less than 1, got -0.1"),
        ({"dropout": {3: 0.5}}, ValueError, "dropout names layer 3, but there are 0 to 2, or -2 to -3 from the end"),
        ({"dropout": {-1: 0.5}}, ValueError, "dropout names layer -1, but there are 0 to 2"),
        ({"dropout": {1: 1}}, ValueError, "dropout[1] must be at least 0 and less than 1, got 1"),
        ({"dropout": True}, TypeError, "dropout must be a real number, got True"),
        ({"input_noise": -1}, ValueError, "input_noise must be at least 0, got -1"),
        ({"input_noise": {0: 0.1}}, TypeError, "input_noise must be a real number, got {0: 0.1}"),
        ({"max_norm": 0}, ValueError, "max_norm must be greater than 0, got 0"),
        ({"max_norm": {2: 0}}, ValueError, "max_norm[2] must be greater than 0, got 0"),
        ({"max_norm": np.inf}, ValueError, "max_norm must be finite, got inf"),
        ({"clip_value": 0.0}, ValueError, "clip_value must be greater than 0, got 0.0"),
        ({"clip_norm": -1.0}, ValueError, "clip_norm must be greater than 0, got -1.0"),
        ({"clip_norm": "1"}, TypeError, "clip_norm must be a real number, got '1'"),
        ({"accumulate": 0}, ValueError, "accumulate must be at least 1, got 0"),
        ({"accumulate": 2.0}, TypeError, "accumulate must be an integer, got 2.0"),
    ],
)
def test_settings_that_are_not_possible(options, error, message):
    net = network()
    with pytest.raises(error, match=re.escape(message)):
        bpjit.Trainer(net, **options)
    assert bits(net) == bits(network())


def test_dropout_without_hidden_layers():
    net = network([], [3, 2])
    with pytest.raises(ValueError, match=r"dropout needs hidden layers.*\{0: rate\}"):
        bpjit.Trainer(net, dropout=0.5)
    assert bpjit.Trainer(net, dropout={0: 0.5}).regularization.dropout == {0: 0.5}
    assert bpjit.Trainer(net, dropout=0.0).regularization.in_use == []
    for value, error in [(True, TypeError), ("half", TypeError), (np.nan, ValueError), (1.5, ValueError)]:
        with pytest.raises(error, match="dropout must be"):
            bpjit.Trainer(net, dropout=value)


def test_zeros_and_none_switch_off():
    off = {name: None if name[:3] in ("max", "cli") else 0.0 for name in EVERYTHING}
    made = bpjit.Trainer(network(), **off)
    assert made.regularization.in_use == [] and repr(made.regularization) == "Regularization()"
    assert bpjit.Trainer(network(), l1={1: 0.0, 2: 0.5}).regularization.l1 == {2: 0.5}
    assert bpjit.Trainer(network(), dropout=None, l1=None).regularization == made.regularization


def test_settings_are_shown_and_kept(tmp_path):
    options = EVERYTHING | {"dropout": {0: 0.1, -2: 0.5}, "l1": {1: 0.25}, "accumulate": 3}
    made = bpjit.Trainer(network(), ADAM, BATCH, seed=1, **options)
    assert made.regularization.dropout == {0: 0.1, 2: 0.5} and made.regularization.l2 == {1: 0.02, 2: 0.02, 3: 0.02}
    assert "dropout={0: 0.1, 2: 0.5}" in repr(made.regularization)
    _, configuration = made.state()
    for name in ("regularization", "accumulate"):
        assert json.loads(json.dumps(configuration[name])) == configuration[name]
    made.checkpoint(tmp_path / "state")
    again = bpjit.Trainer.resume(tmp_path / "state")
    assert (again.regularization, again.accumulate) == (made.regularization, 3)
    assert Regularization.from_configuration(made.regularization.configuration()).checked(3) == made.regularization


def test_checkpoints_of_before(tmp_path):
    made = trainer()
    made.fit(*classes(), epochs=1)
    tensors, configuration = made.state()
    old = {name: value for name, value in configuration.items() if name not in ("regularization", "accumulate")}
    details = {"format": "bpjit", "kind": "checkpoint", "version": "1", "configuration": json.dumps(old)}
    storage.write(tmp_path / "state", tensors, details)
    again = bpjit.Trainer.resume(tmp_path / "state")
    assert again.regularization.in_use == [] and again.accumulate == 1
    assert state_bits(again) == state_bits(made)


# PyTorch


@pytest.mark.external
@pytest.mark.parametrize("optimizer", [MOMENTUM, ADAM], ids=str)
def test_penalties_and_clipping_are_those_of_pytorch(optimizer):
    """l1 added to its loss, l2 as the weight decay of a group, clip_grad_value_ and clip_grad_norm_, which divides by
    the norm and 1e-6; the norm is of all parameters."""
    import torch

    options = {"l1": 0.01, "l2": 0.1, "clip_value": 0.15, "clip_norm": 0.5}
    net, (X, t) = network(), data()
    theta = [torch.tensor(array, requires_grad=True) for array in flat(net.parameters())]
    made = bpjit.Trainer(net, optimizer, SAMPLES, shuffle=False, **options)
    settings = {"lr": optimizer.learning_rate} | ({"momentum": 0.8} if optimizer is MOMENTUM else {})
    theirs = getattr(torch.optim, type(optimizer).__name__)(theta, **settings)
    losses = []
    for _ in range(5):
        a = torch.tensor(X)
        for l in range(0, 6, 2):
            a = a @ theta[l].T + theta[l + 1]
            a = torch.tanh(a) if l < 4 else a
        C = ((a - torch.tensor(t)) ** 2).sum() / (2 * SAMPLES)
        C = C + sum(0.01 * W.abs().sum() + 0.05 * (W**2).sum() for W in theta[::2])
        losses.append(C.item())
        theirs.zero_grad()
        C.backward()
        torch.nn.utils.clip_grad_value_(theta, 0.15)
        norm = torch.nn.utils.clip_grad_norm_(theta, 0.5)
        assert norm > 0.6
        theirs.step()
    assert made.fit(X, t, epochs=5)["loss"] == pytest.approx(losses, rel=1e-5)
    assert distance(flat(net.parameters()), [array.detach().numpy() for array in theta]) < 1e-5


@pytest.mark.external
def test_dropout_has_the_moments_of_pytorch():
    """Mean and variance of what becomes of 1: exactly those of its module, in expectation."""
    import torch

    torch.manual_seed(0)
    theirs = torch.nn.Dropout(0.3)(torch.ones(1 << 18, dtype=torch.float64)).numpy()
    ours = mask(key(0, 0, 0, 1), 512, 512, 0.3)
    np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-15)
    assert abs(ours.mean() - theirs.mean()) < 6 * np.sqrt(2 * 0.3 / 0.7 / theirs.size)
