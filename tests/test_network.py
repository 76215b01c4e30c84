"""Network: what it is made of, what it answers, and which inputs it takes."""

import copy
import json
import math
import pickle
import re
from itertools import product

import numpy as np
import pandas as pd
import polars as pl
import pytest
from runs import bits, classes

import bpjit
from bpjit import network
from bpjit.engine import plan
from bpjit.network import PREDICT_BATCH

LOSSES = {"cross_entropy": "softmax", "binary_cross_entropy": "sigmoid", "squared_error": "identity"}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """The parallel loop, which takes seconds to compile, is the matter of test_training.py."""
    monkeypatch.setattr(plan, "available_cpus", lambda: 1)


def linear(W, b, **options):
    """A network of one layer with these parameters."""
    W = np.array(W, np.float64)
    net = bpjit.Network([W.shape[1], W.shape[0]], dtype="float64", **options)
    net.set_parameters([(W, np.array(b, np.float64))])
    return net


def by_matrix_products(net, X):
    """y of a network of tanh and softmax."""
    *hidden, (W, b) = net.parameters()
    a = X
    for V, c in hidden:
        a = np.tanh(a @ V.T + c)
    powers = np.exp(a @ W.T + b)
    return powers / powers.sum(axis=1, keepdims=True)


# What it is made of


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize(("loss", "output"), LOSSES.items())
def test_the_output_follows_from_the_loss(loss, output):
    net = bpjit.Network([3, 4, 2], loss=loss)
    assert net.output == output
    assert net.loss_name == loss
    assert bpjit.Network([3, 2], loss=loss, output="tanh").output == "tanh"


@pytest.mark.nojit
def test_defaults():
    net = bpjit.Network(np.array([3, 4, 5, 2]))
    assert net.sizes == (3, 4, 5, 2)
    assert net.dtype == np.float32
    assert net.activation_names == ("relu", "relu")
    assert (net.output, net.loss_name, net.bias, net.history) == ("softmax", "cross_entropy", True, None)


@pytest.mark.nojit
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_of_the_parameters(dtype, bias):
    parameters = bpjit.Network([3, 4, 2], dtype=dtype, bias=bias).parameters()
    assert [W.shape for W, _ in parameters] == [(4, 3), (2, 4)]
    assert [b if b is None else b.shape for _, b in parameters] == ([(4,), (2,)] if bias else [None, None])
    assert {W.dtype for W, _ in parameters} == {np.dtype(dtype)}
    assert all(W.flags.c_contiguous and W.flags.owndata for W, _ in parameters)


@pytest.mark.nojit
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation": ["tanh", "sigmoid"], "loss": "binary_cross_entropy"},
        {"output": "tanh", "loss": "squared_error", "bias": False, "dtype": np.float64, "activation": "identity"},
    ],
)
def test_the_configuration_makes_a_network_like_it(options):
    net = bpjit.Network([3, 4, 5, 2], **options, init="zeros", seed=3)
    configuration = json.loads(json.dumps(net.configuration()))
    other = bpjit.Network(**configuration)
    assert other.configuration() == net.configuration() == configuration
    assert "seed" not in configuration and "init" not in configuration
    other.set_parameters(net.parameters())
    assert np.array_equal(other.predict(np.eye(3)), net.predict(np.eye(3)))


def test_representation():
    net = bpjit.Network([3, 4, 5, 2], activation=["tanh", "relu"], dtype="float64")
    assert repr(net) == "Network(3-4-5-2, tanh, relu, softmax, cross_entropy, float64)"
    assert "3-1" in repr(bpjit.Network([3, 1], loss="squared_error"))


# Parameters


@pytest.mark.nojit
def test_parameters_are_copies():
    net = bpjit.Network([3, 4, 2], seed=0)
    before = bits(net)
    for W, b in net.parameters():
        W[:], b[:] = 7, 7
    assert bits(net) == before
    given = [(W + 1, b + 1) for W, b in net.parameters()]
    net.set_parameters(given)
    after = bits(net)
    assert after != before
    for W, b in given:
        W[:], b[:] = 7, 7
    assert bits(net) == after


@pytest.mark.nojit
def test_parameters_come_back_as_they_were_set():
    rng = np.random.default_rng(0)
    net = bpjit.Network([40, 33, 2], dtype="float64")  # wider than one panel, and than a whole number of them
    given = [(rng.normal(size=(33, 40)), rng.normal(size=33)), (rng.normal(size=(2, 33)), rng.normal(size=2))]
    net.set_parameters(given)
    for (W, b), (V, c) in zip(net.parameters(), given, strict=True):
        assert np.array_equal(W, V) and np.array_equal(b, c)
    net.set_parameters([(np.asfortranarray(W), b.tolist()) for W, b in given])
    assert np.array_equal(net.parameters()[0][0], given[0][0])


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("last", "error", "words"),
    [
        ((np.ones((2, 3)), np.ones(2)), ValueError, "W of layer 2 has shape (2, 3), but must have (2, 4)"),
        ((np.ones((2, 4)), np.ones(3)), ValueError, "b of layer 2"),
        ((np.ones((2, 4)), [1, math.nan]), ValueError, "b of layer 2 holds nan"),
        ((np.full((2, 4), 1e39), np.ones(2)), ValueError, "overflows float32"),
        ((np.ones((2, 4)), None), ValueError, "b of layer 2 must be an array"),
        (np.ones((2, 4)), TypeError, "layer 2 must be a pair"),
        (None, TypeError, "layer 2 must be a pair"),
    ],
)
def test_parameters_are_all_checked_before_one_changes(last, error, words):
    net = bpjit.Network([3, 4, 2], seed=0)
    before = bits(net)
    with pytest.raises(error, match=re.escape(words)):
        net.set_parameters([(np.ones((4, 3)), np.ones(4)), last])
    with pytest.raises(ValueError, match="has 1 layers, but the network has 2"):
        net.set_parameters([(np.ones((4, 3)), np.ones(4))])
    assert bits(net) == before


# Seeds


@pytest.mark.nojit
def test_seeds():
    nets = [bpjit.Network([3, 4, 2], seed=seed) for seed in (0, 0, 1, 2**64 - 1, np.int8(0), None, None)]
    hashes = [bits(net) for net in nets]
    assert hashes[0] == hashes[1] == hashes[4]
    assert len(set(hashes)) == 5
    assert nets[3].seed == 2**64 - 1


@pytest.mark.nojit
def test_a_seed_means_the_same_in_both_dtypes():
    single, double = (bpjit.Network([3, 4, 2], seed=0, dtype=dtype) for dtype in ("float32", "float64"))
    for (W, _), (V, _) in zip(single.parameters(), double.parameters(), strict=True):
        assert np.array_equal(W, V.astype(np.float32))


# Names and sizes that are wrong


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("options", "names", "nearest"),
    [
        ({"activation": "rleu"}, ["relu", "tanh", "sigmoid", "identity"], "relu"),
        ({"activation": ["tanh", "sigmiod"]}, ["relu", "tanh", "sigmoid", "identity"], "sigmoid"),
        ({"output": "soft_max"}, ["softmax", "identity"], "softmax"),
        ({"loss": "crossentropy"}, list(LOSSES), "cross_entropy"),
        ({"init": "he-normal"}, ["auto", "he_normal", "glorot_uniform", "zeros"], "he_normal"),
        ({"dtype": "float23"}, ["float32", "float64"], "float32"),
    ],
)
def test_unknown_names_are_answered_with_the_known(options, names, nearest):
    with pytest.raises(ValueError, match=f"{next(iter(options))}.* did you mean '{nearest}'") as caught:
        bpjit.Network([3, 4, 5, 2], **options)
    assert all(repr(name) in str(caught.value) for name in names)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"activation": "softmax"}, ValueError, "activation is 'softmax'"),  # couples units: at the output only
        ({"activation": ["relu"]}, ValueError, "activation has 1 names for 2 hidden layers"),
        ({"activation": []}, ValueError, "activation has 0 names for 2 hidden layers"),
        ({"activation": ["relu", "relu", "softmax"]}, ValueError, "3 names for 2 hidden layers"),
        ({"activation": ["relu", 3]}, TypeError, "activation"),
        ({"activation": None}, TypeError, "activation must be a name or a list of names"),
        ({"activation": max}, TypeError, "activation must be a name or a list of names"),
        ({"output": 3}, TypeError, "output must be one of"),
        ({"loss": None}, TypeError, "loss must be one of"),
        ({"dtype": "float16"}, ValueError, "dtype is 'float16'"),
        ({"dtype": np.int64}, ValueError, "dtype is 'int64'"),
        ({"bias": 1}, TypeError, "bias must be True or False"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": True}, TypeError, "seed must be an integer"),
        ({"seed": 1.0}, TypeError, "seed must be an integer"),
    ],
)
def test_options_that_are_refused(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        bpjit.Network([3, 4, 5, 2], **options)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ([], ValueError),
        ([3], ValueError),
        ([3, 0, 2], ValueError),
        ([3, -4, 2], ValueError),
        ([3, 2.0], TypeError),
        ([3, True], TypeError),
        ("32", TypeError),
        (None, TypeError),
        ([2**40, 2**40], ValueError),  # more bytes than 64 bits count
        ([2**21, 2**21], ValueError),  # more than any machine's memory
    ],
)
def test_sizes_that_are_refused(sizes, error):
    with pytest.raises(error, match="sizes"):
        bpjit.Network(sizes)


# What it answers


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize(("dtype", "bound"), [("float32", 1e-5), ("float64", 1e-13)])
def test_predict(dtype, bound):
    """A softmax of sums of a few numbers near 1: some ten roundings, of 6e-8 and 1e-16."""
    net = bpjit.Network([3, 5, 4, 2], activation="tanh", seed=0, dtype=dtype)
    X = np.random.default_rng(0).normal(size=(9, 3))
    y = net.predict(X)
    assert y.shape == (9, 2)
    assert y.dtype == dtype
    assert y.flags.owndata and y.flags.writeable
    assert np.abs(y - by_matrix_products(net, X)).max() < bound


@pytest.mark.nojit
def test_one_row():
    net = bpjit.Network([3, 4, 2], activation="tanh", seed=0)
    X = np.random.default_rng(0).normal(size=(9, 3))
    assert np.array_equal(net.predict(X[:1]), net.predict(X)[:1])
    assert np.array_equal(net.predict([X[4].tolist()]), net.predict(X)[4:5])
    with pytest.raises(ValueError, match=re.escape("X.reshape(1, -1) if it is one sample")):
        net.predict(X[0])


@pytest.mark.nojit
@pytest.mark.parametrize("ask", ["predict", "classify", "loss", "evaluate", "gradients", "fit"])
@pytest.mark.parametrize("columns", [2, 4])
def test_another_number_of_columns(ask, columns):
    net = bpjit.Network([3, 4, 2], seed=0)
    arguments = [np.ones((5, columns)), *([np.zeros(5, int)] if ask not in ("predict", "classify") else [])]
    with pytest.raises(ValueError, match=f"X has {columns} columns, but the network has 3 inputs"):
        getattr(net, ask)(*arguments)


@pytest.mark.variants
@pytest.mark.nojit
def test_classify():
    X = [[1, 0], [0, 1], [-3, 2], [0.5, 0]]
    softmax = linear([[1, 0], [0, 1], [0, 0]], [0, 0, 0.25])
    assert softmax.classify(X).tolist() == [0, 1, 1, 0]
    assert softmax.classify(X).shape == (4,)
    sigmoid = linear([[1, -1]], [0], loss="binary_cross_entropy")
    assert sigmoid.classify([*X, [1, 1]]).tolist() == [1, 0, 0, 1, 1]  # z = 0 is y = 1/2, which is reached
    both = linear([[1, 0], [0, 1]], [-0.1, -0.1], loss="binary_cross_entropy")
    assert both.classify(X).tolist() == [[1, 0], [0, 1], [0, 1], [1, 0]]
    with pytest.raises(ValueError, match="classify needs a classifier, but the loss is 'squared_error'"):
        linear([[1, 0]], [0], loss="squared_error").classify(X)


@pytest.mark.nojit
def test_the_loss_is_the_mean_over_samples_of_the_sum_over_outputs():
    X, rng = np.array([[1.0, 0.0], [0.0, 1.0], [-3.0, 2.0]]), np.random.default_rng(0)
    W, b = rng.normal(size=(2, 2)), rng.normal(size=2)
    z = X @ W.T + b
    t = np.array([[0.5, -1.0], [2.0, 0.0], [0.0, 0.0]])
    wanted = (0.5 * ((z - t) ** 2).sum(axis=1)).mean()
    assert linear(W, b, loss="squared_error").loss(X, t) == pytest.approx(wanted, rel=1e-14)

    y, t = 1 / (1 + np.exp(-z)), np.array([[0, 1], [1, 1], [0.25, 0]])
    wanted = -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(axis=1).mean()
    assert linear(W, b, loss="binary_cross_entropy").loss(X, t) == pytest.approx(wanted, rel=1e-14)

    y, labels = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True), [1, 0, 1]
    wanted = -np.log(y[range(3), labels]).mean()
    for t in (labels, np.eye(2)[labels]):
        assert linear(W, b).loss(X, t) == pytest.approx(wanted, rel=1e-14)
    t = np.array([[0.5, 0.5], [0.25, 0.75], [1, 0]])
    assert linear(W, b).loss(X, t) == pytest.approx(-(t * np.log(y)).sum(axis=1).mean(), rel=1e-14)


@pytest.mark.nojit
def test_one_output_takes_a_vector_or_a_column():
    net = linear([[1, 2]], [0], loss="squared_error")
    X, t = [[1, 0], [0, 1]], np.array([0.0, 1.0])
    assert net.loss(X, t) == net.loss(X, t[:, None]) == 0.5 * (1 + 1) / 2


@pytest.mark.nojit
def test_evaluate():
    X = [[1, 0], [0, 1], [-3, 2], [0.5, 0]]
    softmax = linear([[1, 0], [0, 1]], [0, 0])
    assert softmax.evaluate(X, [0, 1, 0, 0]) == {"accuracy": 0.75}
    assert softmax.evaluate(X, np.eye(2)[[0, 1, 0, 0]]) == {"accuracy": 0.75}
    scores = softmax.evaluate(X, [0, 1, 0, 0], metrics=("loss", "accuracy"))
    assert scores == {"loss": softmax.loss(X, [0, 1, 0, 0]), "accuracy": 0.75}
    sigmoid = linear([[1, -1]], [0], loss="binary_cross_entropy")
    assert sigmoid.evaluate(X, [1, 0, 1, 1])["accuracy"] == 0.75
    assert sigmoid.evaluate(X, [[1], [0], [1], [1]])["accuracy"] == 0.75
    both = linear([[1, 0], [0, 1]], [-0.1, -0.1], loss="binary_cross_entropy")
    assert both.evaluate(X, [[1, 0], [1, 1], [0, 1], [1, 0]])["accuracy"] == 0.75  # a sample is right as a whole


@pytest.mark.nojit
def test_r2():
    net = linear([[1, 0], [0, 2]], [0, 0], loss="squared_error")
    X, t = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]]), np.array([[0.0, 2.0], [2.0, 0.0], [1.0, 4.0]])
    of_outputs = [1 - (0 + 1 + 1) / (1 + 1 + 0), 1 - 0 / 8]
    assert net.evaluate(X, t, ["r2"])["r2"] == pytest.approx(np.mean(of_outputs), rel=1e-14)
    assert net.evaluate(X, net.predict(X), ["r2", "loss"]) == {"r2": 1.0, "loss": 0.0}
    constant = linear([[0, 0]], [1], loss="squared_error")
    assert constant.evaluate(X, [1, 1, 1], ["r2"])["r2"] == 1.0
    assert constant.evaluate(X, [2, 2, 2], ["r2"])["r2"] == 0.0


@pytest.mark.nojit
def test_metrics_that_are_refused():
    net = linear([[1, 0]], [0], loss="squared_error")
    with pytest.raises(ValueError, match=r"metrics is 'acuracy', but must be one of .*did you mean 'accuracy'"):
        net.evaluate([[1, 0]], [1], metrics=["acuracy"])
    with pytest.raises(ValueError, match="accuracy needs a classifier"):
        net.evaluate([[1, 0]], [1])
    assert net.evaluate([[1, 0]], [1], metrics="loss") == {"loss": 0.0}  # a lone name is a list of one


@pytest.mark.variants
@pytest.mark.nojit
def test_gradients_are_those_of_the_loss():
    net = bpjit.Network([3, 4, 2], activation="tanh", seed=0, dtype="float64")
    X, t = classes(7)
    before, gradients = net.parameters(), net.gradients(X, t)
    assert [(W.shape, b.shape) for W, b in gradients] == [(W.shape, b.shape) for W, b in before]
    h = 1e-5  # what the difference leaves out is h^2, and the rounding of C is 1e-16 / h: both near 1e-10
    for l, k, place in ((0, 0, (2, 1)), (0, 1, (3,)), (1, 0, (0, 3)), (1, 1, (1,))):
        costs = []
        for change in (h, -h):
            changed = [[array.copy() for array in pair] for pair in before]
            changed[l][k][place] += change
            net.set_parameters(changed)
            costs.append(net.loss(X, t))
        assert gradients[l][k][place] == pytest.approx((costs[0] - costs[1]) / (2 * h), rel=1e-7, abs=1e-9)


@pytest.mark.nojit
@pytest.mark.nojit
def test_gradients_of_a_loss_that_is_not_finite():
    net = bpjit.Network([1, 1], loss="squared_error", init="constant(1e30)")
    assert net.loss([[1e10]], [0.0]) == math.inf
    assert not any(np.isfinite(g).any() for pair in net.gradients([[1e10]], [0.0]) for g in pair)


def test_gradients_change_nothing_and_have_no_biases_where_there_are_none():
    net = bpjit.Network([3, 4, 2], bias=False, seed=0)
    before = bits(net)
    gradients = net.gradients(*classes(7))
    assert [b for _, b in gradients] == [None, None]
    assert {W.dtype for W, _ in gradients} == {np.dtype("float32")}
    assert bits(net) == before


def test_questions_about_more_rows_than_pass_together():
    net = bpjit.Network([3, 4, 2], activation="tanh", seed=0, dtype="float64")
    assert network.PREDICT_BATCH < network.GRADIENT_BATCH
    X, t = classes(network.GRADIENT_BATCH + 301)
    y = net.predict(X)
    assert np.abs(y - by_matrix_products(net, X)).max() < 1e-13
    assert net.loss(X, t) == pytest.approx(-np.log(y[range(len(t)), t]).mean(), rel=1e-13)
    assert net.evaluate(X, t)["accuracy"] == np.mean(y.argmax(axis=1) == t)
    parts = [slice(0, network.GRADIENT_BATCH), slice(network.GRADIENT_BATCH, None), slice(0, 1000), slice(1000, None)]
    (one, two, three, four), whole = (net.gradients(X[part], t[part]) for part in parts), net.gradients(X, t)
    for first, second, rows in ((one, two, network.GRADIENT_BATCH), (three, four, 1000)):
        share = rows / len(X)
        for a, b, c in zip(first, second, whole, strict=True):
            for k in (0, 1):  # sums of thousands of numbers in another order
                assert np.allclose(share * a[k] + (1 - share) * b[k], c[k], rtol=1e-10, atol=1e-14)


@pytest.mark.variants
@pytest.mark.parametrize("batch", [1, 7, 512])
def test_answers_do_not_depend_on_how_many_rows_pass_together(batch, monkeypatch):
    net = bpjit.Network([3, 40, 2], seed=0)
    X, t = classes(700)
    y, C, gradients, scores = net.predict(X), net.loss(X, t), net.gradients(X, t), net.evaluate(X, t)
    monkeypatch.setattr(network, "PREDICT_BATCH", batch)
    monkeypatch.setattr(network, "GRADIENT_BATCH", 10 * batch)
    monkeypatch.setattr(network, "CALL_FLOPS", 1)  # every batch is a compiled call of its own
    assert np.array_equal(net.predict(X), y)
    assert net.evaluate(X, t) == scores
    assert net.loss(X, t) == pytest.approx(C, rel=1e-13)  # the costs are the same, and added in float64
    for pair, wanted in zip(net.gradients(X, t), gradients, strict=True):
        for k in (0, 1):  # float32 sums of 700 numbers below 1, divided by 700: 700 roundings of 6e-8 at the worst
            assert np.abs(pair[k] - wanted[k]).max() < 700 * 6e-8


@pytest.mark.nojit
def test_extreme_inputs_have_finite_answers():
    """z of 1e6 saturates sigmoid and softmax; the costs are computed from z."""
    X = [[1e6, 0], [-1e6, 0]]
    softmax = linear([[1, 0], [0, 0]], [0, 0])
    assert np.abs(softmax.predict(X) - [[1, 0], [0, 1]]).max() < 1e-300  # the engine's exp ends at the smallest number
    assert softmax.loss(X, [1, 0]) == 1e6
    sigmoid = linear([[1, 0]], [0], loss="binary_cross_entropy")
    assert np.abs(sigmoid.predict(X) - [[1], [0]]).max() < 1e-300
    assert sigmoid.loss(X, [0, 1]) == 1e6


# Copies


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies(make):
    net = bpjit.Network([3, 4, 2], activation="tanh", bias=False, seed=3)
    X, t = classes()
    net.fit(X, t, epochs=1, batch_size=8)
    other = make(net)
    assert other.configuration() == net.configuration()
    assert other.seed == net.seed
    assert other.history["loss"] == net.history["loss"]
    assert bits(other) == bits(net)
    assert np.array_equal(other.predict(X), net.predict(X))
    before = bits(net)
    other.fit(X, t, epochs=1, batch_size=8)
    assert bits(other) != before
    assert bits(net) == before


# Inputs that must simply work


def unaligned(A):
    memory = np.zeros(A.nbytes + 1, np.uint8)
    B = memory[1:].view(A.dtype).reshape(A.shape)
    B[:] = A
    assert not B.flags.aligned
    return B


def read_only(A):
    A = A.copy()
    A.setflags(write=False)
    return A


def mapped(A, folder, mode="r"):
    path = folder / "A.npy"
    np.save(path, A)
    return np.load(path, mmap_mode=mode)


FORMS = {
    "C order": lambda A, _: A,
    "C order, float32": lambda A, _: A.astype(np.float32),
    "Fortran order": lambda A, _: np.asfortranarray(A),
    "Fortran order, float32": lambda A, _: np.asfortranarray(A, np.float32),
    "transposed": lambda A, _: A.T.copy().T,
    "reversed": lambda A, _: A[::-1, ::-1].copy()[::-1, ::-1],
    "strided": lambda A, _: np.repeat(np.repeat(A, 2, axis=0), 3, axis=1)[::2, ::3],
    "strided, float32": lambda A, _: np.repeat(A.astype(np.float32), 2, axis=1)[:, ::2],
    "read-only": lambda A, _: read_only(A),
    "read-only, float32": lambda A, _: read_only(A.astype(np.float32)),
    "memory-mapped": mapped,
    "memory-mapped, float32": lambda A, folder: mapped(A.astype(np.float32), folder),
    "memory-mapped, to be written": lambda A, folder: mapped(A.astype(np.float32), folder, "r+"),
    "big-endian": lambda A, _: A.astype(">f4"),
    "unaligned": lambda A, _: unaligned(A),
    "unaligned, float32": lambda A, _: unaligned(A.astype(np.float32)),
    "float16": lambda A, _: A.astype(np.float16),
    "long double": lambda A, _: A.astype(np.longdouble),
    "integers": lambda A, _: A.astype(np.int64),
    "small integers": lambda A, _: A.astype(np.int8),
    "numbers as objects": lambda A, _: A.astype(int).astype(object),
    "pandas": lambda A, _: pd.DataFrame(A),
    "pandas, mixed": lambda A, _: pd.DataFrame(A).astype({0: "int32", 1: "Float64", 2: "float32"}),
    "polars": lambda A, _: pl.DataFrame(A, schema=["a", "b", "c"]),
    "lists": lambda A, _: A.tolist(),
    "tuples of arrays": lambda A, _: tuple(A),
}


def small_integers(samples=37):
    """Numbers that every form can hold, and their classes."""
    X = np.random.default_rng(0).integers(-8, 9, size=(samples, 3)).astype(np.float64)
    return X, (X.sum(axis=1) > 0).astype(np.int64)


def trained(X, t, **options):
    net = bpjit.Network([3, 4, 2], seed=0, **options)
    net.fit(X, t, epochs=2, batch_size=8)
    return bits(net)


@pytest.mark.parametrize("form", FORMS)
def test_features_of_any_form_train_to_the_same_bits(form, tmp_path):
    X, t = small_integers()
    assert trained(FORMS[form](X, tmp_path), t) == trained(np.ascontiguousarray(X, np.float32), t)


@pytest.mark.variants
@pytest.mark.parametrize("form", ["C order", "Fortran order", "strided", "reversed", "unaligned"])
def test_features_of_any_form_train_to_the_same_bits_in_float64(form, tmp_path):
    X, t = small_integers()
    X /= 3
    wanted = trained(np.ascontiguousarray(X), t, dtype="float64")
    assert trained(FORMS[form](X, tmp_path), t, dtype="float64") == wanted


def test_booleans_and_broadcast_rows_train_to_the_same_bits():
    X, t = small_integers()
    wanted = trained((X > 0).astype(np.float32), t)
    assert trained(X > 0, t) == trained((X > 0).astype(object), t) == wanted
    same = np.broadcast_to(X[0], X.shape)
    assert same.strides[0] == 0
    assert trained(same, t) == trained(same.copy(), t)


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.astype(np.uint8),
        lambda t: t.astype(">i4"),
        lambda t: np.repeat(t, 2)[::2],
        lambda t: t[::-1].copy()[::-1],
        lambda t: unaligned(t),
        lambda t: read_only(t),
        lambda t: t.astype(object),
        lambda t: t.astype(bool),
        lambda t: t.tolist(),
        lambda t: pd.Series(t, dtype="Int64"),
        lambda t: pl.Series(t),
    ],
)
def test_labels_of_any_form_train_to_the_same_bits(make):
    X, t = small_integers()
    assert trained(X, make(t)) == trained(X, t)


@pytest.mark.parametrize(
    "form", ["Fortran order", "strided", "reversed", "read-only", "big-endian", "float16", "lists"]
)
def test_targets_of_any_form_train_to_the_same_bits(form, tmp_path):
    X, t = small_integers()
    t = np.eye(2)[t]
    wanted = trained(X, np.ascontiguousarray(t, np.float32), loss="binary_cross_entropy")
    assert trained(X, FORMS[form](t, tmp_path), loss="binary_cross_entropy") == wanted


def test_what_is_asked_about_data_does_not_change_them():
    X, t = (read_only(array) for array in small_integers())
    net = bpjit.Network([3, 4, 2], seed=0, dtype="float64")
    X32, t = X.astype(np.float32), t.copy()
    kept = X32.tobytes(), t.tobytes()
    single = bpjit.Network([3, 4, 2], seed=0)
    single.fit(X32, t, epochs=2, batch_size=8, validation=(X32, t))
    single.gradients(X32, t), single.evaluate(X32, t), single.predict(X32)
    assert (X32.tobytes(), t.tobytes()) == kept
    net.fit(X, t, epochs=1)  # an array that may not be written to is taken as it is
    assert not X.flags.writeable


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("X", "t", "error", "words"),
    [
        ([[0, math.nan, 0]], [0], ValueError, "X holds nan at row 0, column 1"),
        ([[0, 1e39, 0]], [0], ValueError, "overflows float32"),
        (np.zeros((0, 3)), [], ValueError, "X has no rows"),
        (np.zeros((2, 3, 1)), [0, 1], ValueError, "X is 3-d"),
        ([["a", "b", "c"]], [0], TypeError, "X holds strings"),
        ([[1j, 0, 0]], [0], TypeError, "X holds complex numbers"),
        (np.zeros((2, 3)), [0], ValueError, "t has 1 rows for 2 samples"),
        (np.zeros((2, 3)), [0, 2], ValueError, "t holds 2 at row 1"),
        (np.zeros((2, 3)), [0, -1], ValueError, "t holds -1 at row 1"),
        (np.zeros((2, 3)), [0.0, 1.0], TypeError, "t holds floats"),
        (np.zeros((2, 3)), np.zeros((2, 3)), ValueError, "t has shape (2, 3)"),
    ],
)
@pytest.mark.parametrize("ask", ["loss", "evaluate", "gradients", "fit"])
def test_data_that_are_refused(ask, X, t, error, words):
    net = bpjit.Network([3, 4, 2], seed=0)
    before = bits(net)
    with pytest.raises(error, match=re.escape(words)):
        getattr(net, ask)(X, t)
    assert bits(net) == before
    assert net.history is None


@pytest.mark.nojit
def test_fit_takes_the_seed_of_the_network():
    X, t = classes()
    hashes = []
    for options in ({}, {"seed": 3}, {"seed": 4}):
        net = bpjit.Network([3, 4, 2], seed=3)
        history = net.fit(X, t, epochs=1, batch_size=4, **options)
        assert net.history is history
        hashes.append(bits(net))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inputs", [1, 3, 70])
def test_predict_sees_every_number_that_is_not_finite(inputs, dtype):
    """The compiled code looks for them, while it reads X: in any place of few rows, and of more than a mini-batch."""
    net = bpjit.Network([inputs, 2], loss="squared_error", dtype=dtype, seed=0)
    for rows in (1, 5, PREDICT_BATCH + 3):
        X = np.full((rows, inputs), np.finfo(dtype).max, dtype)
        X[::2] *= -1
        assert net.predict(X).shape == (rows, 2)
        for value, row, column in product((math.nan, math.inf, -math.inf), {0, rows - 1}, {0, inputs // 2, inputs - 1}):
            bad = X.copy()
            bad[row, column] = value
            with pytest.raises(ValueError, match=f"X holds {value} at row {row}, column {column}"):
                net.predict(bad)
