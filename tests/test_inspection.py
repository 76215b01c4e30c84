"""What passes through a network, sample by sample: against the specification, and against what the network answers."""

import doctest
from pathlib import Path

import numpy as np
import pytest
import twins
from runs import bits, classes

import bpjit
from bpjit import validation
from bpjit.engine.plan import Plan
from bpjit.network import PREDICT_BATCH

pytestmark = pytest.mark.usefixtures("one_thread")

# Sums over up to 70 products, rounded to 2^-24 or 2^-53 each, add up like a walk: some 10 roundings, over 3 layers.
TOLERANCE = {"float32": 3e-6, "float64": 1e-14}

CASES = {  # sizes, samples, hidden activations, output, loss, dtype, bias
    "one sample": ([5, 8, 3], 1, ["relu"], "softmax", "cross_entropy", "float64", True),
    "few samples": ([7, 4, 70, 1], 9, ["tanh", "leaky_relu"], "sigmoid", "squared_error", "float32", False),
    "one layer": ([6, 2], 40, [], "sigmoid", "binary_cross_entropy", "float32", True),
    "a thin layer": ([40, 1, 33, 3], 50, ["tanh", "sigmoid"], "softmax", "squared_error", "float64", True),
    "many samples": ([5, 40, 33, 3], PREDICT_BATCH + 7, ["relu", "tanh"], "softmax", "cross_entropy", "float64", True),
}
nojit = ("one sample", "few samples")


def case(name):
    """A network, its parameters as the twins take them, X, t, and its tolerance."""
    sizes, samples, hidden, output, loss, dtype, bias = CASES[name]
    params, X, t = twins.problem(sizes, samples, hidden, output, loss)
    params = [(W, b if bias else None) for W, b in params]
    net = bpjit.Network(sizes, activation=hidden, output=output, loss=loss, dtype=dtype, bias=bias)
    net.set_parameters(params)
    return net, params, X, t, TOLERANCE[dtype]


def reference_deltas(params, X, t, hidden, output, loss):
    """delta^1 ... delta^L of the specification, as they are for each sample alone."""
    derivation = twins.quicker(params, X)
    W, b, sigma, sigma_prime, is_softmax = twins.specification(params, hidden, output, derivation)
    z, a = derivation.forward(np.array(X, order="C"), W, b, sigma, is_softmax)
    targets = twins.matrix(t, len(params[-1][0]), loss)
    _, dC_dy = derivation.loss(*twins.LOSSES[loss])
    delta = derivation.output_delta(z, a, targets, sigma_prime, dC_dy, is_softmax)
    derivation.backward(delta, z, W, sigma_prime)
    return [len(X) * d for d in list(delta)[1:]]


def marked(names):
    return [pytest.param(name, marks=pytest.mark.nojit if name in nojit else ()) for name in names]


@pytest.mark.parametrize("name", marked(CASES))
def test_z_a_and_delta_are_those_of_the_specification(name):
    net, params, X, t, tolerance = case(name)
    hidden, output, loss = CASES[name][2:5]
    z, a = twins.reference_forward(params, X, hidden, output)
    found = net.activations(X), net.weighted_inputs(X), net.deltas(X, t)
    for values, wanted in zip(found, (a, z[1:], reference_deltas(params, X, t, hidden, output, loss)), strict=True):
        assert {x.dtype for x in values} == {net.dtype}
        # Layer by layer: a wrong one must not hide behind larger numbers of another.
        apart = [twins.distance([x], [y]) for x, y in zip(values, wanted, strict=True)]
        assert max(apart) < tolerance


@pytest.mark.parametrize("name", marked(CASES))
def test_the_gradients_of_samples_are_products_of_delta_and_a_and_their_mean_is_the_gradient(name):
    net, _, X, t, tolerance = case(name)
    samples, whole = net.sample_gradients(X, t), net.gradients(X, t)
    deltas, a = net.deltas(X, t), net.activations(X)
    for l, ((dW, db), (mean_dW, mean_db)) in enumerate(zip(samples, whole, strict=True), start=1):
        assert dW.shape == (len(X), net.sizes[l], net.sizes[l - 1]) and dW.dtype == net.dtype
        assert np.array_equal(dW, deltas[l - 1][:, :, None] * a[l - 1][:, None, :])  # E4, E5: one rounding in both
        assert twins.distance([dW.mean(axis=0, dtype=np.float64)], [mean_dW]) < tolerance
        assert (db is None) == (not net.bias)
        if db is not None:
            assert np.array_equal(db, deltas[l - 1])
            assert twins.distance([db.mean(axis=0, dtype=np.float64)], [mean_db]) < tolerance


def test_the_gradient_of_a_sample_is_that_of_its_row():
    net, _, X, t, tolerance = case("many samples")
    samples = net.sample_gradients(X, t)
    for s in (0, PREDICT_BATCH - 1, PREDICT_BATCH, len(X) - 1):  # at both ends of both mini-batches
        for (dW, db), (dW_s, db_s) in zip(samples, net.gradients(X[s : s + 1], t[s : s + 1]), strict=True):
            assert twins.distance([dW[s], db[s]], [dW_s, db_s]) < tolerance


@pytest.mark.nojit
def test_a_0_is_a_copy_of_x_and_a_L_has_the_bits_of_predict():
    net, _, X, _, _ = case("few samples")
    X = X.astype(np.float32)
    a = net.activations(X)
    assert np.array_equal(a[0], X) and not np.shares_memory(a[0], X)
    assert np.array_equal(a[-1], net.predict(X))
    assert [x.shape for x in a] == [(9, n) for n in net.sizes]


def test_labels_and_rows_as_targets_give_the_same():
    net = bpjit.Network([3, 4, 2], seed=0)
    X, t = classes()
    for one, other in zip(net.deltas(X, t), net.deltas(X, np.eye(2)[t]), strict=True):
        assert np.array_equal(one, other)


def test_a_hand_worked_example():
    """relu(x_1 - x_2) = 1 and 0, y = 2 a - 1 = 1 and -1, t = 0: delta^2 = 1 and -1, delta^1 = 2 and 0."""
    net = bpjit.Network([2, 1, 1], loss="squared_error", dtype="float64")
    net.set_parameters([([[1.0, -1.0]], [0.0]), ([[2.0]], [-1.0])])
    X, t = [[3.0, 2.0], [1.0, 2.0]], [0.0, 0.0]
    assert [z.tolist() for z in net.weighted_inputs(X)] == [[[1.0], [-1.0]], [[1.0], [-1.0]]]
    assert [a.tolist() for a in net.activations(X)] == [X, [[1.0], [0.0]], [[1.0], [-1.0]]]
    assert [delta.tolist() for delta in net.deltas(X, t)] == [[[2.0], [0.0]], [[1.0], [-1.0]]]
    (dW_1, db_1), (dW_2, db_2) = net.sample_gradients(X, t)
    assert dW_1.tolist() == [[[6.0, 4.0]], [[0.0, 0.0]]] and db_1.tolist() == [[2.0], [0.0]]
    assert dW_2.tolist() == [[[1.0]], [[0.0]]] and db_2.tolist() == [[1.0], [-1.0]]


def test_layer_by_layer_gives_the_same_bits(monkeypatch):
    net, _, X, t, _ = case("few samples")
    found = net.activations(X), net.deltas(X, t)
    monkeypatch.setattr(bpjit.Network, "_plan", lambda *_, **__: Plan(1, 1, "as the test wants it", by_layer=True))
    again = net.activations(X), net.deltas(X, t)
    assert all(np.array_equal(x, y) for one, other in zip(found, again) for x, y in zip(one, other, strict=True))


def test_looking_changes_nothing():
    X, t = classes()

    def trained(look):
        net = bpjit.Network([3, 4, 2], activation="tanh", seed=0, dtype="float64")
        trainer = bpjit.Trainer(net, batch_size=5, seed=1)
        for _ in range(2):
            trainer.fit(X, t, epochs=1)
            if look:
                before = bits(net)
                kept = net.activations(X), net.weighted_inputs(X), net.deltas(X, t), net.sample_gradients(X, t)
                copies = [x.copy() for x in kept[0]]
                net.diagnose(X, t)
                net.predict(X[:5])
                assert bits(net) == before
                assert all(np.array_equal(x, y) for x, y in zip(kept[0], copies))
        return bits(net)

    assert trained(look=True) == trained(look=False)


@pytest.mark.parametrize("name", ["activations", "weighted_inputs", "deltas", "sample_gradients"])
def test_bad_data_give_the_usual_errors(name):
    net = bpjit.Network([3, 4, 2], seed=0)
    ask, targets = getattr(net, name), ([0],) if name in ("deltas", "sample_gradients") else ()
    with pytest.raises(ValueError, match="X has 2 columns"):
        ask([[1.0, 2.0]], *targets)
    with pytest.raises(ValueError, match="X holds nan at row 0, column 1"):
        ask([[1.0, np.nan, 2.0]], *targets)
    if targets:
        with pytest.raises(ValueError, match="t"):
            ask([[1.0, 2.0, 3.0]], [0, 1])


@pytest.mark.parametrize(
    ("name", "size"),
    [("activations", 23 * 9), ("weighted_inputs", 23 * 6), ("deltas", 23 * 6), ("sample_gradients", 23 * (16 + 10))],
)
def test_what_would_exceed_the_memory_is_refused_before_it_is_computed(monkeypatch, name, size):
    net, (X, t) = bpjit.Network([3, 4, 2], seed=0), classes()
    data = (X, t) if name in ("deltas", "sample_gradients") else (X,)
    monkeypatch.setattr(validation.settings, "physical_memory", lambda: 4 * size)
    getattr(net, name)(*data)
    monkeypatch.setattr(validation.settings, "physical_memory", lambda: 4 * size - 1)
    with pytest.raises(ValueError, match=r"of 23 samples would take .* GiB, but this machine has .*fewer rows of X"):
        getattr(net, name)(*data)


def test_numbers_that_overflow_are_shown_as_they_are():
    net = bpjit.Network([2, 2, 1], loss="squared_error", activation="identity")
    net.set_parameters([([[3e38, 3e38], [1.0, 0.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])])
    a = net.activations([[1.0, 1.0], [0.0, 0.0]])
    assert a[1].tolist() == [[np.inf, 1.0], [0.0, 0.0]]
    assert net.deltas([[1.0, 1.0], [0.0, 0.0]], [1.0, 1.0])[1].tolist() == [[np.inf], [-1.0]]


def test_the_examples_of_the_document(tmp_path, monkeypatch):
    page = Path(__file__).parents[1] / "docs" / "inspection.md"
    monkeypatch.chdir(tmp_path)
    assert doctest.testfile(str(page), module_relative=False, encoding="utf-8").failed == 0
    assert (tmp_path / "deep.png").stat().st_size > 10_000
