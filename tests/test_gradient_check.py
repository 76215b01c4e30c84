"""check_gradients: right gradients pass, wrong ones are found and named, kinks are told from faults."""

import math

import numpy as np
import pytest
from runs import bits, classes

import bpjit
from bpjit.engine import activations, custom, losses

pytestmark = pytest.mark.usefixtures("one_thread", "own_entries")

X, t = classes(samples=20)


def network(**options):
    return bpjit.Network([3, 5, 4, 2], **({"activation": "tanh", "seed": 0} | options))


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_gradients_pass(dtype):
    net = network(dtype=dtype)
    before = bits(net)
    report = bpjit.check_gradients(net, X, t)
    assert report and report.passed and bits(net) == before
    assert len(report.rows) == 5 * 4 + 4 * 6 + 2 * 5
    assert [layer.activation for layer in report.layers] == ["tanh", "tanh", "softmax"]
    # Differences are good to 1e-9 of a gradient's size; float32 is where it rounds.
    assert all(row.error < (1e-8 if dtype == "float64" else 1e-5) for row in report.rows)
    assert "passed: 54 of 54 parameters agree" in str(report)


def test_the_gradients_shown_are_those_of_the_network():
    net = network(dtype="float64", bias=False)
    gradients = net.gradients(X, t)
    rows = bpjit.check_gradients(net, X, t).rows
    assert len(rows) == 5 * 3 + 4 * 5 + 2 * 4
    for row in rows:
        assert row.backpropagation == gradients[row.layer - 1][0][row.i, row.j]


def test_a_sample_of_a_large_layer():
    net = bpjit.Network([3, 50, 2], seed=0)
    first, again, other = (bpjit.check_gradients(net, X, t, per_layer=10, seed=seed) for seed in (0, 0, 1))
    assert [layer.checked for layer in first.layers] == [20, 12]
    assert first == again
    assert [row.name for row in first.rows] != [row.name for row in other.rows]


def test_a_trained_network_passes():
    """Where y and t nearly cancel, float32 has few digits left: the error allowed follows from that."""
    net = network()
    net.fit(X, t, epochs=300, batch_size=5, optimizer=bpjit.Adam(0.02))
    assert net.loss(X, t) < 1e-3
    assert bpjit.check_gradients(net, X, t)


def scaled(factor):
    """tanh with a derivative that is wrong by a factor."""
    return custom.activation("scaled", lambda z: math.tanh(z), lambda z, a: factor * (1.0 - a * a), True, "he_normal")


@pytest.mark.parametrize(("factor", "dtype"), [(0.0, "float32"), (-1.0, "float64"), (1.01, "float32")])
def test_a_wrong_derivative_is_found(factor, dtype):
    activations.ACTIVATIONS["scaled"] = scaled(factor)
    report = bpjit.check_gradients(network(activation=["tanh", "scaled"], dtype=dtype), X, t)
    assert not report and not report.passed
    assert [layer.passed for layer in report.layers] == [False, False, True]
    assert report.verdict == (
        "failed in layer 1, 2: look at the derivative of 'scaled', layer 2, since the layers above it are right"
    )
    worst = max(report.rows, key=lambda row: row.error / row.allowed)
    line = next(line for line in str(report).splitlines() if worst.name in line.split("  "))
    assert f"{worst.backpropagation:.8g}" in line and f"{worst.differences:.8g}" in line and "failed" in line


def test_a_wrong_loss_is_found():
    losses.LOSSES["wrong"] = custom.loss_of_outputs(
        "wrong", "identity", lambda y, t: (y - t) * (y - t), lambda y, t: y - t, targets="any"
    )
    report = bpjit.check_gradients(network(loss="wrong", dtype="float64"), X, np.eye(2)[t])
    assert (
        report.verdict
        == "failed in layer 1, 2, 3: look at the derivative of 'identity' or of the loss 'wrong', layer 3"
    )


def test_kinks_are_not_faults():
    """The unit whose z is exactly 0 has a slope on either side; relu's derivative there is 0 by convention."""
    net = bpjit.Network([2, 2, 1], activation="relu", loss="squared_error", bias=False, dtype="float64")
    net.set_parameters([([[1.0, -1.0], [1.0, 1.0]], None), ([[1.0, 2.0]], None)])
    report = bpjit.check_gradients(net, [[1.0, 1.0]], [0.0])
    assert report
    assert [(row.name, row.at_kink) for row in report.rows if row.layer == 1] == [
        ("W[0, 0]", True), ("W[0, 1]", True), ("W[1, 0]", False), ("W[1, 1]", False),
    ]  # fmt: skip
    assert report.layers[0].kinks == 2
    net.set_parameters([([[1.0, -1.0], [1.0, -1.0]], None), ([[1.0, 2.0]], None)])
    report = bpjit.check_gradients(net, [[1.0, 1.0]], [1.0])
    assert not report
    assert report.verdict.startswith("undecided: all that was checked of layer 1 lies at kinks")


def test_a_kink_nearby_is_stepped_around():
    net = bpjit.Network([1, 1, 1], activation="relu", loss="squared_error", dtype="float64")
    for z in (1e-3, 1e-4, 1e-5, -1e-5):
        net.set_parameters([([[1.0]], [z - 1.0]), ([[1.0]], [1.0])])
        report = bpjit.check_gradients(net, [[1.0]], [0.0])
        assert report and not any(row.at_kink for row in report.rows)


def test_a_loss_that_is_not_finite_is_said():
    net = bpjit.Network([1, 1], loss="squared_error")
    net.set_parameters([([[1e30]], [0.0])])
    report = bpjit.check_gradients(net, [[1e30]], [0.0])
    assert not report


@pytest.mark.nojit
def test_bad_input():
    net = network()
    with pytest.raises(TypeError, match=r"net must be a bpjit\.Network, not list"):
        bpjit.check_gradients([], X, t)
    with pytest.raises(ValueError, match="X has 2 columns, but the network has 3 inputs"):
        bpjit.check_gradients(net, X[:, :2], t)
    with pytest.raises(ValueError, match="t has 19 rows for 20 samples"):
        bpjit.check_gradients(net, X, t[1:])
    with pytest.raises(ValueError, match="per_layer must be at least 1"):
        bpjit.check_gradients(net, X, t, per_layer=0)
    with pytest.raises(TypeError, match="seed must be an integer"):
        bpjit.check_gradients(net, X, t, seed=0.5)
