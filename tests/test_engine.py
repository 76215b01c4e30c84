"""The engine against the specification: every entry of its tables, widths around every block, any batch."""

import json
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import log

import mutants
import numpy as np
import pytest
import twins
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config, njit
from twins import (
    central_differences,
    combinations,
    distance,
    numpy_forward,
    problem,
    reference_forward,
    reference_gradients,
    to_kinks,
)

import bpjit
from bpjit.engine import backward, batch, forward, gradient, jit, layout, plan, tile
from bpjit.engine.activations import ACTIVATIONS, elementwise
from bpjit.engine.entry import find
from bpjit.engine.epoch import Data, Place
from bpjit.engine.losses import LOSSES
from bpjit.engine.model import Model
from bpjit.engine.optimizers import SGD, Adam
from bpjit.engine.order import draw_order
from bpjit.network import PREDICT_BATCH

DTYPES = ["float32", "float64"]
TABLE = combinations()


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads are the matter of the tests that ask for them: the parallel loop takes seconds to compile."""
    monkeypatch.setattr(plan, "available_cpus", lambda: 1)


def bound(sizes, samples, dtype):
    """What rounding may leave of ||gradient - specification|| / ||specification||.

    u = eps / 2 is one rounding. They are as good as random, so a sum of n numbers is off by about sqrt(n) u (Higham and
    Mary, 2019), and a function, mostly right to 2 ULP, by 4 u. Each number of the gradient has passed a sum and a
    function in each layer forwards, again backwards, and a sum over the samples. Twice that: the specification rounds
    as well.
    """
    u = np.finfo(dtype).eps / 2
    passes = 2 * sum(np.sqrt(n) + 4 for n in sizes) + np.sqrt(samples)
    return 2 * u * passes


def arrays(pairs):
    return [array for pair in pairs for array in pair if array is not None]


def network(params, activations, output, loss, dtype="float64"):
    sizes = [params[0][0].shape[1], *(len(W) for W, _ in params)]
    net = bpjit.Network(sizes, activations, output, loss, dtype, bias=params[0][1] is not None, init="zeros")
    net.set_parameters(params)
    return net


def rounded(params, X, t, dtype):
    """The problem in numbers that the dtype holds, as float64: both sides begin with the very same."""
    exact = [array.astype(dtype).astype(np.float64) for array in (*arrays(params), X, t)]
    return list(zip(exact[:-2:2], exact[1:-2:2], strict=True)), exact[-2], exact[-1]


def check(sizes, samples, activations="tanh", output="tanh", loss="squared_error", dtype="float64", bias=True):
    """Loss and gradients of a network against those of the specification."""
    params, X, t = rounded(*problem(sizes, samples, activations, output, loss), dtype)
    if not bias:
        params = [(W, None) for W, _ in params]
    net = network(params, activations, output, loss, dtype)
    C, wanted = reference_gradients(params, X, t, activations, output, loss)
    found = net.gradients(X, t)
    assert [(W.dtype, b is None) for W, b in found] == [(np.dtype(dtype), not bias)] * len(params)
    limit = bound(sizes, samples, dtype)
    assert abs(net.loss(X, t) - C) <= limit * abs(C)
    assert distance(arrays(found), arrays(wanted)) <= limit


# Every entry of the tables.


@pytest.mark.nojit
def test_every_entry_has_a_twin():
    """And one more with another setting, where there is one."""
    twinned = [find(ACTIVATIONS, text, "twin") for text in twins.ACTIVATIONS]
    assert {entry.name for entry in twinned} == ACTIVATIONS.keys()
    for entry in twinned:
        values = {twin.value for twin in twinned if twin.name == entry.name}
        assert entry.setting is None or {entry.setting.default} < values
    for table in (TABLE, TABLE[::9]):
        assert [{*names} for names in zip(*table, strict=True)] == [{*twins.HIDDEN}, {*twins.ACTIVATIONS}, {*LOSSES}]
    assert LOSSES.keys() == twins.LOSSES.keys()


@pytest.mark.nojit
@pytest.mark.parametrize(("hidden", "output", "loss"), TABLE)
def test_gradients_are_those_of_the_specification(hidden, output, loss):
    check([3, 4, 3], 5, hidden, output, loss)


@pytest.mark.parametrize(("hidden", "output", "loss"), TABLE)
def test_gradients_in_float32(hidden, output, loss):
    check([3, 4, 3], 5, hidden, output, loss, "float32")


# Every ninth has each activation, hidden and at the output, and each loss. All of them are compared with the
# specification above, and that, of the very same problems, with its central differences in test_derivation.py.
@pytest.mark.parametrize(("hidden", "output", "loss"), TABLE[::9])
def test_gradients_are_central_differences_of_the_loss(hidden, output, loss):
    params, X, t = problem([3, 4, 3], 5, hidden, output, loss)
    z = reference_forward(params, X, hidden, output)[0][1:]
    assert to_kinks(z, hidden, output) > 1e-3  # none between theta - h and theta + h
    net = network(params, hidden, output, loss)

    def C():
        net.set_parameters(params)
        return net.loss(X, t)

    slopes = central_differences(C, arrays(params))  # to about 1e-9
    net.set_parameters(params)
    assert distance(arrays(net.gradients(X, t)), slopes) <= 1e-6


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("hidden", "output", "loss"),
    [
        ("relu", "softmax", "cross_entropy"),
        ("tanh", "sigmoid", "binary_cross_entropy"),
        ("sigmoid", "identity", "squared_error"),
        ("identity", "softmax", "squared_error"),
    ],
)
def test_each_activation_in_more_than_one_panel(hidden, output, loss, dtype):
    panel = tile.panel(dtype)
    check([panel + 1, 2 * panel + 3, panel + 2], 2 * panel + 1, hidden, output, loss, dtype)


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("output", "loss", "t", "C"),
    [
        ("softmax", "cross_entropy", [[1.0, 0.0], [1.0, 0.0]], 1000.0),  # z is ±1000: right, wrong by 2000
        ("sigmoid", "binary_cross_entropy", [[1.0, 0.0], [1.0, 0.0]], 1000.0),
    ],
)
def test_pairs_are_exact_at_extreme_z(output, loss, t, C, dtype):
    net = network([(np.array([[1000.0], [-1000.0]]), np.zeros(2))], [], output, loss, dtype)
    X = np.array([[1.0], [-1.0]])
    assert net.loss(X, t) == C
    ((dW, db),) = net.gradients(X, t)
    np.testing.assert_array_equal(dW, [[0.5], [-0.5]])  # (y - t) x / 2 of the sample that is wrong
    np.testing.assert_array_equal(db, [-0.5, 0.5])


@pytest.mark.nojit
def test_the_slope_of_relu_at_zero_is_zero():
    params = [(np.ones((2, 1)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]
    gradients = network(params, "relu", "identity", "squared_error").gradients([[0.0]], [[1.0]])
    np.testing.assert_array_equal(gradients[0][1], [0.0, 0.0])
    np.testing.assert_array_equal(gradients[1][1], [-1.0])


# Activations whose slope takes z, which is then kept apart from a.


def absolute(z):
    return z if z > jit.like(z, 0.0) else -z


def absolute_prime(z, a):
    return jit.like(z, 1.0) if z > jit.like(z, 0.0) else jit.like(z, -1.0)


WITH_Z = {  # sigma(z) and sigma_prime(z, a), and the two of the twin
    "square": (lambda z: z * z, lambda z, a: z + z, lambda z: z * z, lambda z: 2.0 * z),
    "absolute": (absolute, absolute_prime, lambda z: abs(z), lambda z: 1.0 if z > 0.0 else -1.0),
}


def enter(monkeypatch, name, **properties):
    """Puts an activation of WITH_Z into the tables for the time of a test."""
    sigma, sigma_prime, *twin = WITH_Z[name]
    monkeypatch.setitem(ACTIVATIONS, name, elementwise(name, sigma, sigma_prime, **properties))
    monkeypatch.setitem(twins.ACTIVATIONS, name, twin)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", WITH_Z)
def test_an_activation_that_needs_z(name, dtype, monkeypatch):
    """In every layer, and beside layers whose z lies in a's place; for one sample, and more than two blocks of them."""
    enter(monkeypatch, name)
    for samples in (1, 2 * tile.panel(dtype) + 1):
        check([6, 20, 19, 3], samples, name, name, dtype=dtype)
        check([6, 20, 19, 3], samples, [name, "tanh"], "sigmoid", dtype=dtype)
        check([6, 20, 19, 3], samples, ["tanh", name], "softmax", "cross_entropy", dtype)


@pytest.mark.nojit
@pytest.mark.parametrize("name", WITH_Z)
def test_an_activation_without_the_z_it_needs_is_found(name, monkeypatch):
    enter(monkeypatch, name, needs_z=False)
    with pytest.raises(AssertionError):
        check([6, 20, 19, 3], 5, name, "tanh")


# By hand.


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_two_samples_by_hand(dtype):
    """2-2-1: sigmoid, then identity; squared error. Multiples of log 3 make every sigmoid a fraction.

    sigmoid(log 3) = 3/4, sigmoid' = 3/16;  sigmoid(0) = 1/2, 1/4;  sigmoid(±2 log 3) = 9/10 or 1/10, 9/100
    """
    params = [
        (log(3) * np.array([[1.0, -0.5], [-1.0, 1.0]]), log(3) * np.array([1.0, -1.0])),
        (np.array([[2.0, -1.0]]), np.array([0.5])),
    ]
    X, t = np.array([[1.0, 2.0], [1.0, 0.0]]), np.array([[1.0], [0.2]])
    net = network(params, "sigmoid", "identity", "squared_error", dtype)

    def close(found, wanted):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=20 * np.finfo(dtype).eps)

    close(net.predict(X), [[1.5], [2.2]])  # 2 · 3/4 - 1/2 + 1/2;  2 · 9/10 - 1/10 + 1/2
    close(net.loss(X, t), 1.0625)  # (1/2 · 0.5² + 1/2 · 2²) / 2
    # delta^2 = 0.25 and 1; delta^1 = (3/16 · 2 · 1/4, 1/4 · -1 · 1/4) and (9/100 · 2, 9/100 · -1)
    (dW_1, db_1), (dW_2, db_2) = net.gradients(X, t)
    close(dW_2, [[1.0875, 0.225]])  # 1/4 · 3/4 + 9/10;  1/4 · 1/2 + 1/10
    close(db_2, [1.25])
    close(dW_1, [[0.27375, 0.1875], [-0.1525, -0.125]])  # first row: 0.09375 + 0.18;  0.09375 · 2
    close(db_1, [0.27375, -0.1525])

    bpjit.Trainer(net, bpjit.SGD(learning_rate=0.4), batch_size=2).fit(X, t, epochs=1)
    (_, b_1), (W_2, b_2) = net.parameters()
    close(W_2, [[1.565, -1.09]])  # 2 - 0.4 · 1.0875;  -1 - 0.4 · 0.225
    close(b_2, [0.0])
    close(b_1, [log(3) - 0.1095, -log(3) + 0.061])


# Shapes.


def around(*numbers):
    return {n + d for n in numbers for d in (-1, 0, 1)} - {0}


def widths(dtype):
    panel = tile.panel(dtype)
    return sorted(around(tile.SMALL, tile.LARGE, panel, 2 * panel, 3 * panel) | {2, 7, 31, 32, 33, 100})


def samples_for(k, dtype):
    """Batches of one sample, about one block, a few blocks: taken in turn."""
    panel = tile.panel(dtype)
    return (1, panel - 1, panel, panel + 1, 2 * panel + 3)[k % 5]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["input", "hidden", "output"])
def test_widths_around_every_tile_and_panel(place, dtype):
    for k, width in enumerate(widths(dtype)):
        sizes = [5, 6, 3]
        sizes[place] = width
        check(sizes, samples_for(k, dtype), dtype=dtype)


BLOCKS = [
    *([n, 5, 3] for n in around(forward.INPUT_BLOCK, 2 * forward.INPUT_BLOCK)),  # E1 in parts
    *([3, n, 4] for n in around(backward.INPUT_BLOCK, 2 * backward.INPUT_BLOCK, 3 * backward.INPUT_BLOCK)),  # E7
    *([3, 9, n] for n in around(backward.OUTPUT_BLOCK, 2 * backward.OUTPUT_BLOCK)),  # E7 in parts
    *([n, 3] for n in around(layout.TASK_ROWS, 2 * layout.TASK_ROWS)),  # E8 in tasks
    [1000, 7, 3],
    [7, 1000, 3],
    [3, 7, 1000],
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_widths_around_every_block(dtype):
    for k, sizes in enumerate(BLOCKS):
        check(sizes, samples_for(k, dtype), dtype=dtype)


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
def test_batches_around_every_block(dtype):
    panel, chunk = tile.panel(dtype), gradient.CHUNK
    for samples in sorted(around(panel, 2 * panel, plan.PIECE * panel, chunk, 2 * chunk)):
        check([3, 5, 2], samples, dtype=dtype)
    for samples in range(1, panel + layout.FEW + 2):
        check([3, panel + 2, panel + 5, 2], samples, "tanh", dtype=dtype)


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("sizes", "activations"),
    [
        ([1, 2], []),
        ([33, 40], []),
        ([6, 9, 2], ["sigmoid"]),
        ([7, 33, 1, 20, 17, 4], ["tanh", "identity", "sigmoid", "tanh"]),
    ],
)
def test_any_depth_with_and_without_biases(sizes, activations, bias, dtype):
    check(sizes, 2 * tile.panel(dtype) + 1, activations, dtype=dtype, bias=bias)


@settings(max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 70), min_size=2, max_size=6),
    samples=st.integers(1, 70),
    hidden=st.sampled_from(["tanh", "sigmoid", "identity"]),  # relu: see below
    pair=st.sampled_from([("identity", "squared_error"), ("softmax", "cross_entropy")]),
    dtype=st.sampled_from(DTYPES),
    bias=st.booleans(),
)
def test_random_shapes(sizes, samples, hidden, pair, dtype, bias):
    """Where delta^L is a plain difference: the slope of a saturated output would magnify its rounding."""
    if pair[0] == "softmax":
        sizes[-1] += 1  # one unit alone is always 1: there is no gradient to compare
    check(sizes, samples, hidden, *pair, dtype, bias)


@pytest.mark.parametrize("sizes", [[20, 30, 10], [100, 33, 40, 5]])
def test_relu_in_float32_away_from_its_kink(sizes):
    """A z that rounds to the other side of 0 changes a gradient by far more than rounding: there are none here."""
    params, X, _ = problem(sizes, 19, "relu", "softmax", "cross_entropy")
    assert min(np.abs(z).min() for z in reference_forward(params, X, "relu", "softmax")[0][1:]) > 1e-5
    check(sizes, 19, "relu", "softmax", "cross_entropy", "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_labels_are_one_hot_targets(dtype):
    panel = tile.panel(dtype)
    params, X, _ = problem([4, 9, panel + 3], 2 * panel + 1, "tanh", "softmax", "cross_entropy")
    labels = np.random.default_rng(0).integers(0, panel + 3, 2 * panel + 1)
    net = network(params, "tanh", "softmax", "cross_entropy", dtype)
    rows = np.eye(panel + 3)[labels]
    assert net.loss(X, labels) == net.loss(X, rows)
    for found, wanted in zip(arrays(net.gradients(X, labels)), arrays(net.gradients(X, rows)), strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_over_many_batches(dtype):
    """More rows than pass together, the last of them alone; one row; the same rows in other company."""
    params, X, t = rounded(*problem([5, 17, 3], 2 * PREDICT_BATCH + 1, "tanh", "tanh", "squared_error"), dtype)
    net = network(params, "tanh", "tanh", "squared_error", dtype)
    y = numpy_forward(params, X, "tanh", "tanh")
    limit = bound([5, 17, 3], 1, dtype)
    assert distance([net.predict(X)], [y]) <= limit
    assert distance([net.predict(X[-1:])], [y[-1:]]) <= limit
    C = np.mean(((y - t) ** 2).sum(axis=1)) / 2
    assert abs(net.loss(X, t) - C) <= limit * C
    parts = [net.predict(part) for part in np.split(X, [3, 700])]
    np.testing.assert_array_equal(net.predict(X), np.concatenate(parts))


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
def test_outputs_of_few_rows(dtype):
    """They pass another kernel, with the same bits, whether X is of the network's dtype or must be converted."""
    panel = tile.panel(dtype)
    params, X, _ = rounded(*problem([5, panel + 2, 3], 50, "tanh", "tanh", "squared_error"), dtype)
    net = network(params, "tanh", "tanh", "squared_error", dtype)
    y = net.predict(X)
    for rows in range(1, layout.FEW + 2):
        for few in (X[:rows], X[:rows].astype("float32"), X[:rows].astype(dtype)):
            wanted = y[:rows] if dtype == "float32" or few.dtype == np.float64 else net.predict(np.r_[few, X])[:rows]
            np.testing.assert_array_equal(net.predict(few), wanted, err_msg=f"{rows} rows of {few.dtype}")


@pytest.mark.parametrize("rows", [1, 3, 20])
def test_few_rows_wherever_they_lie(rows):
    net = bpjit.Network([7, 20, 3], seed=0)
    X = np.random.default_rng(0).standard_normal((rows, 7)).astype(np.float32)
    y = net.predict(X)
    read_only, beside = X.copy(), np.frombuffer(bytearray(X.nbytes + 1), np.uint8)[1:].view(np.float32).reshape(X.shape)
    read_only.flags.writeable, beside[:] = False, X
    assert not beside.flags.aligned
    for same in (np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], read_only, beside, X.astype(">f4"), X.tolist()):
        np.testing.assert_array_equal(net.predict(same), y)
    assert not np.shares_memory(net.predict(X), net.predict(X))
    X[-1, 3] = np.nan
    with pytest.raises(ValueError, match=f"X holds nan at row {rows - 1}, column 3"):
        net.predict(X)


def test_few_rows_follow_the_parameters_and_are_asked_for_by_several_threads():
    net, other = bpjit.Network([7, 20, 3], seed=0), bpjit.Network([7, 20, 3], seed=1)
    X = np.random.default_rng(0).standard_normal((4, 7)).astype(np.float32)
    net.predict(X)
    net.set_parameters(other.parameters())
    wanted = other.predict(X)
    with ThreadPoolExecutor(4) as threads:
        for y in threads.map(net.predict, [X] * 400):
            np.testing.assert_array_equal(y, wanted)


# The same bits.


def as_planned(threads=1, piece=1, by_layer=False, in_chunks=False):
    return plan.Plan(threads, piece, "as the test wants it", by_layer, in_chunks)


def trained(model, params, data, optimizer, batch_size, chosen):
    """theta, moments and losses of one epoch from params on; seed 7 draws the order."""
    for l, (W, b) in enumerate(params, start=1):
        model.layout.write(model.theta, l, W, b)
    moments = model.moments(optimizer.moments)
    losses = np.zeros(-(-len(data.X) // batch_size))
    place = Place(7, 0, 0, 0, batch_size)
    done = model.train(model.state(optimizer, moments), optimizer, data, place, losses, chosen, draw=True)
    assert done == len(losses)
    return model.theta.copy(), moments, losses


def engine_data(X, t, dtype):
    labels, order, y = np.zeros(0, np.intp), np.arange(len(X)), np.zeros((0, 0), dtype)
    return Data(X.astype(dtype), labels, t.astype(dtype), order, y)


TWO = min(2, config.NUMBA_NUM_THREADS)
CUTS = list(product((False, True), (False, True)))  # by_layer, in_chunks
PLANS = [as_planned(threads, piece, *cut) for threads in (1, TWO) for piece in (1, 3) for cut in CUTS]


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("sizes", "batch_size"),
    [
        # Layers of very different widths: threads are at different layers at a time. The last chunk is not whole.
        ((20, 150, 9, 120, 11), 2 * gradient.CHUNK + 76),
        ((70, 40), gradient.CHUNK + 1),
        ((5, 70, 7), 1),
    ],
)
def test_plans_change_no_bit(sizes, batch_size, dtype):
    samples = batch_size + batch_size // 3 + 1  # a smaller mini-batch, of fewer chunks, follows
    params, X, t = problem(sizes, samples, "tanh", "tanh", "squared_error")
    model = Model(sizes, ("tanh",) * (len(sizes) - 1), "squared_error", np.dtype(dtype), True)
    data = engine_data(X, t, dtype)
    first = trained(model, params, data, Adam(0.01), batch_size, PLANS[0])
    blocks = -(-batch_size // tile.panel(dtype))
    uneven = [as_planned(TWO, piece) for piece in (blocks, *[blocks * 2 // 3 or 1] * 5)]
    for chosen in PLANS[1:] + uneven:
        again = trained(model, params, data, Adam(0.01), batch_size, chosen)
        for found, wanted in zip(again, first, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=str(chosen))


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sizes", "samples"), [((20, 150, 9, 120, 11), 600), ((70, 40), 600), ((5, 70, 7), 1)])
def test_plans_change_no_bit_of_an_answer(sizes, samples, dtype):
    """Outputs, losses and the gradient itself, in mini-batches the last of which is smaller."""
    params, X, t = problem(sizes, samples, "tanh", "tanh", "squared_error")
    model = Model(sizes, ("tanh",) * (len(sizes) - 1), "squared_error", np.dtype(dtype), True)
    model.write(params)
    data = engine_data(X, t, dtype)._replace(y=np.zeros(t.shape, dtype))
    first = None
    for chosen in PLANS:
        data.y[:] = np.nan
        model.predict(data, 250, chosen)
        C, dC = model.gradient(data, chosen)
        answers = data.y.copy(), model.losses(data, 250, chosen), C, dC
        first = first or answers
        for found, wanted in zip(answers, first, strict=True):
            np.testing.assert_array_equal(found, wanted, err_msg=str(chosen))
    assert distance([first[0]], [numpy_forward(params, X, "tanh", "tanh")]) <= bound(sizes, 1, dtype)


@pytest.mark.parametrize("name", WITH_Z)
def test_plans_keep_the_z_that_is_needed(name, monkeypatch):
    enter(monkeypatch, name)
    sizes, samples = (6, 40, 35, 3), 20
    params, X, t = problem(sizes, samples, name, "tanh", "squared_error")
    _, wanted = reference_gradients(params, X, t, name, "tanh", "squared_error")
    model = Model(sizes, (name, name, "tanh"), "squared_error", np.dtype("float64"), True)
    model.write(params)
    for chosen in PLANS:
        _, found = model.gradient(engine_data(X, t, "float64"), chosen)
        assert distance(arrays(model.layout.read(found)), arrays(wanted)) <= bound(sizes, samples, "float64")


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_step_takes_the_rows_that_the_order_names(dtype):
    """Two mini-batches, the second one smaller, by SGD with the gradient of the specification."""
    sizes, samples, batch_size = (4, 5, 3), 11, 7
    params, X, t = rounded(*problem(sizes, samples, "tanh", "tanh", "squared_error"), dtype)
    model = Model(sizes, ("tanh", "tanh"), "squared_error", np.dtype(dtype), True)
    data = engine_data(X, t, dtype)
    theta, _, losses = trained(model, params, data, SGD(0.5), batch_size, as_planned())
    order = np.zeros(samples, np.intp)
    draw_order(order, np.int64(7), 0)
    np.testing.assert_array_equal(data.order, order)
    for n, rows in enumerate((order[:batch_size], order[batch_size:])):
        C, gradients = reference_gradients(params, X[rows], t[rows], "tanh", "tanh", "squared_error")
        assert abs(losses[n] - C) <= bound(sizes, samples, dtype) * C
        params = [(W - 0.5 * dW, b - 0.5 * db) for (W, b), (dW, db) in zip(params, gradients, strict=True)]
    assert distance(arrays(model.layout.read(theta)), arrays(params)) <= 2 * bound(sizes, samples, dtype)


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("unit", [0, 1, 2])
@pytest.mark.parametrize("overflows", [True, False])
def test_a_parameter_that_overflows_is_seen(overflows, unit, dtype):
    """One weight alone is infinite after the step; the loss before it is finite, and what was before is kept."""
    large = float(np.finfo(dtype).max) ** 0.5
    t = np.zeros((1, 3))
    t[0, unit] = large / 1e3
    model = Model((2, 3), ("identity",), "squared_error", np.dtype(dtype), True)
    data = engine_data(np.array([[0.0, 1e9]]), t, dtype)
    optimizer = SGD(large if overflows else 1e-3)
    state = model.state(optimizer, model.moments(0), keep=True)
    state.good_theta[:] = 5.0
    losses = np.zeros(1)
    done = model.train(state, optimizer, data, Place(0, 0, 0, 0, 1), losses, as_planned(), draw=False)
    assert np.isfinite(losses).all() and not state.good_theta.any()
    ((W, _),) = model.layout.read(model.theta)
    assert np.count_nonzero(~np.isfinite(model.theta)) == np.isinf(W[unit, 1]) == overflows
    assert done == (-1 if overflows else 1)


# The order of samples.


@njit(**jit.OPTIONS)
def compiled_shuffle(address, order, seed, epoch):
    jit.call(address, order, seed, epoch)


def orders(count, seeds, epochs):
    drawn = np.zeros((len(seeds) * len(epochs), count), np.intp)
    address = batch.shuffle.address("float32")
    with np.errstate(over="ignore"):  # plain Python minds that integers wrap
        for k, (seed, epoch) in enumerate((seed, epoch) for seed in seeds for epoch in epochs):
            compiled_shuffle(address, drawn[k], np.int64(seed), epoch)
    return drawn


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("count", [1, 2, 3, 100, 1000])
def test_an_order_is_a_permutation(count):
    np.testing.assert_array_equal(np.sort(orders(count, [0, 1, -1, 2**62], [0, 5])), [np.arange(count)] * 8)


@pytest.mark.nojit
def test_orders_differ_by_epoch_and_seed():
    seeds = [0, 1, 2, -1, -2, 2**32, 2**62]
    drawn = orders(50, seeds, range(20))
    assert len({tuple(order) for order in drawn}) == len(drawn)
    np.testing.assert_array_equal(drawn, orders(50, seeds, range(20)))


def test_the_compiled_order_is_that_of_plain_python():
    for seed, epoch in [(0, 0), (3, 1), (-5, 70), (2**62, 1000)]:
        order = np.zeros(20, np.intp)
        draw_order(order, np.int64(seed), epoch)
        np.testing.assert_array_equal(orders(20, [seed], [epoch])[0], order)


def test_every_permutation_is_as_likely():
    """Of 4 samples there are 24; chi square of 23 degrees of freedom stays below 50 in 99.9% of all cases."""
    drawn = orders(4, range(40), range(120))
    counts = np.unique(drawn, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 50
    # nor do two epochs, or two seeds, know of each other
    first = drawn[:, 0].reshape(40, 120)
    for one, other in [(first[:, :-1], first[:, 1:]), (first[:-1], first[1:])]:
        pairs = np.unique(4 * one + other, return_counts=True)[1]
        assert ((pairs - one.size / 16) ** 2 / (one.size / 16)).sum() < 38  # 15 degrees of freedom


# Tests of the tests, and tiles of other CPUs: both as plain Python.


def run_mutants(*arguments, **environment):
    command = [sys.executable, mutants.__file__, *arguments]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", **environment}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.fixture(scope="module")
def passed(tmp_path_factory):
    """{name of a mutant: whether the check finds nothing}"""
    return run_mutants(str(tmp_path_factory.mktemp("mutants")), "all")


@pytest.mark.slow
@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_an_error_in_the_engine_is_found(mutant, passed):
    assert passed["sound"]
    assert not passed[mutant.name]


def test_every_statement_of_an_equation_is_tried():
    """Zeroed and with the wrong sign; and there are transposed indices and dropped rows."""
    assert len({mutant.name for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS)
    for path in sorted((mutants.PACKAGE / "engine").glob("*.py")):
        changed = [(mutant.kind, mutant.lines()) for mutant in mutants.MUTANTS if mutant.file == path.name]
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            if re.search(r"\S  # E\d", line):
                tried = {kind for kind, lines in changed if n in lines}
                assert {"zeroed", "sign"} <= tried, f"{path.name}: {line.strip()}"
    for file in ("forward.py", "backward.py", "gradient.py"):
        kinds = {mutant.kind for mutant in mutants.MUTANTS if mutant.file == file}
        assert {"zeroed", "sign", "transposed", "dropped last"} <= kinds


X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.mark.parametrize("cpu", ["x86-64", "haswell", "skylake-avx512"] if X86 else ["generic"])
def test_tiles_of_other_cpus(cpu, tmp_path):
    """The shapes of tiles follow from the CPU; without compiling, any CPU's will do."""
    assert run_mutants(str(tmp_path), NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES="") == {"sound": True}
