"""Where numbers lie: nothing lies twice, nothing beside an array is written to, no padding comes into a result."""

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import margins
import numpy as np
import pytest
from numba import njit
from twins import distance, numpy_forward, problem, reference_gradients

from bpjit.engine import jit, layout, tile
from bpjit.engine.epoch import Data, Place, Regularization
from bpjit.engine.layout import Layout
from bpjit.engine.model import UNREGULARIZED, Model
from bpjit.engine.optimizers import SGD, Adam
from bpjit.engine.plan import Plan

DTYPES = ["float32", "float64"]
SHAPES = [(1, 1), (3, 2, 1), (33, 7, 100, 4), (5, 64, 65, 31), (130, 1, 200), (16, 16, 16), (2, 70, 3)]
SERIAL = Plan(1, 2, "as the test wants it")
FINE = Plan(1, 1, "as the test wants it", by_layer=True, in_chunks=True)


@njit(**jit.OPTIONS)
def places(numbers, l):
    """The views of a layer as copies: of arrays of 0, 1, 2, ... they hold where each number lies."""
    layers, theta, work = numbers
    layer = layers[l]
    in_theta = layout.weights(theta, layer).copy(), layout.biases(theta, layer).copy()
    by_block = layout.a(work, layer).copy(), layout.z(work, layer).copy(), layout.delta(work, layer).copy()
    return in_theta, by_block, layout.delta_rows(work, layer).copy()


@njit(**jit.OPTIONS)
def places_of_data(numbers):
    layers, _, work = numbers
    return layout.a(work, layers[0]).copy(), layout.target(work, layers[-1]).copy()


def plain(function):
    """The Python of a function that is compiled for others that are."""
    return getattr(function, "py_func", function)


def laid_out(sizes, dtype, capacity, needs_z=()):
    laid = Layout.of(sizes, dtype, capacity, needs_z=needs_z)
    return laid, (laid.layers, np.arange(laid.theta_size), np.arange(laid.work_size))


def work_places(sizes, dtype, capacity, needs_z):
    """{(view, layer, block of samples): where it lies in the workspace}."""
    laid, numbers = laid_out(sizes, dtype, capacity, needs_z)
    panel = tile.panel(dtype)
    x, target = places_of_data(numbers)
    found = {("a", 0, s): x[s] for s in range(laid.blocks)}
    found |= {("target", len(sizes) - 1, s): target[s] for s in range(laid.blocks)}
    for l in range(1, len(sizes)):
        _, (a, z, delta), rows = places(numbers, l)
        for s in range(laid.blocks):
            found["a", l, s], found["z", l, s] = a[s], z[s]
            found["delta", l, s] = delta[s]
            found["delta_rows", l, s] = rows[:, s * panel : (s + 1) * panel]
    return laid, {key: value.ravel() for key, value in found.items()}


def needing_z(sizes):
    """No layer, every layer, and every other one."""
    return [(), range(1, len(sizes)), range(1, len(sizes), 2)]


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES)
def test_no_two_views_overlap(sizes, dtype):
    """But where they are meant to: z lies in a's place unless it is needed, delta in that of the next layer but one."""
    for needs_z in needing_z(sizes):
        laid, views = work_places(sizes, dtype, 2 * tile.panel(dtype) + 1, needs_z)
        assert laid.blocks == 3
        owners = np.zeros(laid.work_size, int)
        for (view, l, s), where in views.items():
            assert len(set(where)) == len(where)
            if view == "z" and l not in needs_z:
                np.testing.assert_array_equal(where, views["a", l, s])
            elif view == "delta" and l > 2:
                np.testing.assert_array_equal(where, views["delta", l - 2, s])
            else:
                owners[where] += 1
        assert owners.max() == 1


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES)
def test_blocks_of_samples_share_nothing(sizes, dtype):
    """Two threads may be at different layers, each for a block of its own."""
    for needs_z in needing_z(sizes):
        laid, views = work_places(sizes, dtype, 2 * tile.panel(dtype) + 1, needs_z)
        of_block = [{p for key, where in views.items() if key[2] == s for p in where} for s in range(laid.blocks)]
        assert len(set.union(*of_block)) == sum(len(block) for block in of_block)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tiles_of_a_whole_panel_end_with_it(dtype):
    """Two threads may be at neighbouring panels of a layer."""
    panel = tile.panel(dtype)
    assert plain(layout.tile_rows)(panel) == panel


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES)
def test_parameters_lie_apart_and_on_cache_lines(sizes, dtype):
    laid, numbers = laid_out(sizes, dtype, 1)
    owners = np.zeros(laid.theta_size, int)
    for l in range(1, len(sizes)):
        W, b = places(numbers, l)[0]
        np.add.at(owners, np.concatenate([W.ravel(), b]), 1)
        assert W.shape[0] * W.shape[2] == len(b) >= sizes[l] and W.shape[1] >= sizes[l - 1]
        assert W[0, 0, 0] * np.dtype(dtype).itemsize % 64 == b[0] * np.dtype(dtype).itemsize % 64 == 0
    assert owners.max() == 1


@pytest.mark.nojit
@pytest.mark.parametrize("units", [*range(1, 40), 63, 64, 65, 1000, 1024])
def test_rows_are_odd_and_hold_the_tiles(units):
    stored = Layout.of((units, units), np.float64, 1).layers[1]
    rows = plain(layout.tile_rows)(units)
    large = plain(layout.large_tiles)(rows)
    assert stored.unit_rows == stored.weight_rows and stored.weight_rows % 2 == 1
    assert units <= rows <= stored.weight_rows
    assert large >= 0 and (rows - large * tile.LARGE) % tile.SMALL == 0 <= rows - large * tile.LARGE
    assert rows <= tile.panel("float64") or large > 0  # most of the work is done by large tiles


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES)
@pytest.mark.parametrize("capacity", [1, layout.FEW, layout.FEW + 1])
def test_tasks_hold_every_weight_once(sizes, dtype, capacity):
    laid = Layout.of(sizes, dtype, capacity)
    panel = tile.panel(dtype)
    taken, biases = np.zeros(laid.theta_size, int), Counter()
    for task in laid.tasks:
        layer = laid.layers[task.l]
        assert 1 <= task.rows <= (layout.TASK_ROWS_OF_FEW if capacity <= layout.FEW else layout.TASK_ROWS)
        assert plain(layout.tile_rows)(int(task.rows)) * panel <= layout.TASK_NUMBERS
        start = plain(layout.task_weights)(layer, task)
        taken[start : start + task.rows * panel] += 1
        biases[plain(layout.task_biases)(layer, task)] += task.j == 0
    wanted = np.zeros(laid.theta_size, int)
    for l in range(1, len(sizes)):
        laid.weight(wanted, l)[:] = 1
        start = laid.layers[l].biases
        assert [biases.pop(start + p * panel) for p in range(laid.layers[l].panels)] == [1] * laid.layers[l].panels
    np.testing.assert_array_equal(taken, wanted)
    assert not biases


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES)
def test_parameters_come_back_as_they_were_written(sizes, dtype):
    laid, numbers = laid_out(sizes, dtype, 1)
    theta = layout.aligned(laid.theta_size, dtype)
    assert theta.ctypes.data % 64 == 0 and not theta.any()
    params = [(W.astype(dtype), b.astype(dtype)) for W, b in problem(sizes, 1, "tanh", "tanh", "squared_error")[0]]
    for l, (W, b) in enumerate(params, start=1):
        laid.write(theta, l, W, b)
    for l, ((W, b), (W_read, b_read)) in enumerate(zip(params, laid.read(theta), strict=True), start=1):
        np.testing.assert_array_equal(W_read, W)
        np.testing.assert_array_equal(b_read, b)
        assert not np.shares_memory(W_read, theta) and not np.shares_memory(b_read, theta)
        (W_places, b_places), *_ = places(numbers, l)
        panel = tile.panel(dtype)
        for i, j in {(0, 0), (sizes[l] - 1, 0), (0, sizes[l - 1] - 1), (sizes[l] - 1, sizes[l - 1] - 1)}:
            assert theta[W_places[i // panel, j, i % panel]] == W[i, j]
            assert theta[b_places[i]] == b[i]
    written = np.concatenate([array.ravel() for pair in params for array in pair])
    assert np.count_nonzero(theta) == np.count_nonzero(written)  # what fills up the panels is zero


# Margins.


def posed(sizes, samples, dtype, activations, loss):
    params, X, t = problem(sizes, samples, "tanh", activations[-1], loss)
    order = np.random.default_rng(samples).permutation(samples)
    X, t = X.astype(dtype), t.astype(dtype)
    return params, Data(X, np.zeros(0, np.intp), t, order, np.zeros((samples, sizes[-1]), dtype))


def regularized(sizes, samples):
    """All that may regularise, in every layer where it may be; weights of the samples."""
    of_layers = np.append(0.0, np.full(len(sizes) - 1, 0.01))
    rates = np.append(np.full(len(sizes) - 1, 0.25), 0.0)
    weights = np.random.default_rng(samples).uniform(0.5, 2.0, samples)
    return Regularization(of_layers, of_layers, 50 * of_layers, rates, 0.1, 0.05, 0.5), weights


def results(model, params, data, batch_size, optimizer, plan=SERIAL, regularization=UNREGULARIZED, parts=1):
    """All that a model computes from data: the gradient, two epochs of training from params, outputs, losses."""
    for l, (W, b) in enumerate(params, start=1):
        model.layout.write(model.theta, l, W, b)
    alike = data._replace(weights=None)
    C, gradient = model.gradient(alike, plan)
    moments = model.moments(optimizer.moments)
    losses = np.zeros(2 * -(-len(data.X) // batch_size))
    place = Place(3, 0, 0, 0, batch_size, -(-batch_size // parts))
    state = model.state(optimizer, moments, True, None, regularization, parts > 1)
    assert model.train(state, optimizer, data, place, losses, plan, draw=True) == len(losses)
    model.predict(data, batch_size, plan)
    arrays = gradient, model.theta, moments, losses, data.y, model.losses(alike, batch_size, plan), state.good_theta
    return C, [array.copy() for array in arrays]


@pytest.mark.parametrize("dtype", DTYPES)
def test_nothing_beside_an_array_is_read_or_written(dtype):
    """All widths from 1 to 70 at the input, hidden and output, with batches of any size and a smaller last one.

    The workspace begins as NaN, and is compared with one of zeros: no padding comes into a result.
    """
    panel = tile.panel(dtype)
    bound = 1e-12 if dtype == "float64" else 1e-5  # a few roundings of 1e-16 or 6e-8, in sums of up to 100 numbers
    for width in range(1, 71):
        sizes = (width, 71 - width, (width * 29) % 71 or 1)
        batch_size = 1 + (width * 7) % (2 * panel + 3)
        samples = batch_size + 1 + (width * 5) % batch_size
        activations, loss = ("tanh", "tanh"), "squared_error"
        if width % 2 and sizes[2] > 1:
            activations, loss = ("relu", "softmax"), "cross_entropy"
        optimizer = (Adam(0.01), SGD(0.1), SGD(0.1, momentum=0.5))[width % 3]
        bias = width % 5 != 0
        params, data = posed(sizes, samples, dtype, activations, loss)
        if not bias:
            params = [(W, 0 * b) for W, b in params]
        options = {"optimizer": optimizer}
        if width % 4 == 3:
            options["regularization"], weights = regularized(sizes, samples)
            data = data._replace(weights=weights)
            options["parts"] = 1 + width % 3
        guard = margins.Margins()
        model = margins.Model(guard, sizes, activations, loss, np.dtype(dtype), bias)
        plan = FINE if width % 3 else SERIAL
        C, arrays = results(model, params, guard.data(data), batch_size, plan=plan, **options)
        assert guard.unchanged(), sizes
        assert all(np.isfinite(array).all() for array in arrays), sizes

        same_C, same = results(
            Model(sizes, activations, loss, np.dtype(dtype), bias), params, data, batch_size, **options
        )
        assert C == same_C
        for array, other in zip(arrays, same, strict=True):
            np.testing.assert_array_equal(array, other, err_msg=str(sizes))

        rounded = [(W.astype(dtype), b.astype(dtype) if bias else None) for W, b in params]
        wanted_C, wanted = reference_gradients(rounded, data.X, data.targets, activations[0], activations[1], loss)
        assert abs(C - wanted_C) <= bound * abs(wanted_C)
        found = [g for pair in model.layout.read(arrays[0]) for g in (pair if bias else pair[:1])]
        assert distance(found, [g for pair in wanted for g in pair if g is not None]) <= bound, sizes
        y = numpy_forward(model.layout.read(model.theta), data.X[data.order], activations[0], activations[1])
        assert distance([arrays[4]], [y]) <= bound, sizes


def at_the_end_of_memory(dtype):
    """As above, with arrays that end where memory does."""
    brink = margins.Brink()
    for width in (1, 3, 8, 16, 33, 64, 70):
        sizes = (width, 71 - width, width)
        activations, loss = ("tanh", "tanh"), "squared_error"
        params, data = posed(sizes, 2 * width + 1, dtype, activations, loss)
        model = margins.Model(brink, sizes, activations, loss, np.dtype(dtype), True)
        plan, regularization = FINE if width % 3 else SERIAL, UNREGULARIZED
        if width in (3, 33):
            regularization, weights = regularized(sizes, len(data.X))
            data = data._replace(weights=weights)
        _, arrays = results(model, params, brink.data(data), width + 1, Adam(0.01), plan, regularization)
        assert all(np.isfinite(array).all() for array in arrays), sizes


def ended(statement):
    """How a process ends that runs a statement with this module."""
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_layout as t; {statement}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)


def test_nothing_beyond_the_end_of_memory_is_read():
    ran = ended("[t.at_the_end_of_memory(dtype) for dtype in t.DTYPES]")
    assert ran.returncode == 0, ran.stderr


def test_a_read_beyond_the_end_of_memory_is_seen():
    read = "a = t.margins.Brink().empty(10, 'float64'); end = a.ctypes.data + 80; of = t.margins.ctypes.string_at"
    ran = ended(f"{read}; of(end - 1, 1); print('inside', flush=True); of(end, 1); print('beyond', flush=True)")
    assert (ran.returncode, ran.stdout) == (-signal.SIGSEGV, "inside\n")


def test_a_write_beside_an_array_is_seen():
    for place in (-1, 10, -margins.MARGIN // 8, 10 + margins.MARGIN // 8 - 1):
        guard = margins.Margins()
        guard.zeros(10, np.float64)
        assert guard.unchanged()
        room, inside = guard._kept[0]
        room[inside.start + place] = 0
        assert not guard.unchanged()
