"""Initialisers: the statistics of their papers, what "auto" takes, given arrays."""

import math
import re

import numpy as np
import pytest
from runs import bits

import bpjit
from bpjit.engine.activations import ACTIVATIONS
from bpjit.initializers import INITIALIZERS

SIZES = [200, 500, 300, 2]
VARIANCES = {
    "glorot_normal": lambda inputs, units: 2 / (inputs + units),
    "glorot_uniform": lambda inputs, units: 2 / (inputs + units),
    "he_normal": lambda inputs, units: 2 / inputs,
    "he_uniform": lambda inputs, units: 2 / inputs,
    "lecun_normal": lambda inputs, units: 1 / inputs,
    "lecun_uniform": lambda inputs, units: 1 / inputs,
    "orthogonal": lambda inputs, units: 1 / max(inputs, units),
}
CONSTANTS = {"zeros": 0.0, "constant": 0.0}


def first(init, sizes=SIZES, **options):
    return bpjit.Network(sizes, init=init, **{"seed": 1, "dtype": "float64"} | options).parameters()


def test_every_initialiser_is_tested():
    assert {*VARIANCES, *CONSTANTS} == INITIALIZERS.keys()


@pytest.mark.parametrize("init", VARIANCES)
def test_mean_and_variance_are_those_of_the_paper(init):
    for W, b in first(init)[:2]:
        units, inputs = W.shape
        sigma, n = math.sqrt(VARIANCES[init](inputs, units)), W.size
        # Five standard errors, of which the seed's numbers keep well clear: of the mean sigma / sqrt(n); of the
        # variance sigma^2 sqrt(2 / n) for a normal distribution, and less for the others.
        assert abs(W.mean()) < 5 * sigma / math.sqrt(n)
        assert abs(W.var() / sigma**2 - 1) < 5 * math.sqrt(2 / n)
        if init.endswith("uniform"):
            assert 0.999 * math.sqrt(3) * sigma < np.abs(W).max() <= math.sqrt(3) * sigma
        else:
            assert 4 * sigma < np.abs(W).max() < 6 * sigma  # of 100 000 normal numbers
        assert b.shape == (units,) and not b.any()


@pytest.mark.parametrize(("init", "value"), [*CONSTANTS.items(), ("constant(0.1)", 0.1), ("constant(value=-2)", -2.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constants(init, value, dtype):
    for W, b in first(init, [3, 40, 2], dtype=dtype):
        np.testing.assert_array_equal(W, np.full_like(W, value))
        assert not b.any()


@pytest.mark.parametrize(("init", "gain"), [("orthogonal", 1.0), ("orthogonal(1.5)", 1.5)])
def test_orthogonal(init, gain):
    """Rows, or columns where they are fewer, at right angles; to the rounding of sums of up to 500 numbers."""
    for W, _ in first(init, [200, 500, 300, 300, 1]):
        product = W @ W.T if W.shape[0] <= W.shape[1] else W.T @ W
        np.testing.assert_allclose(product, gain**2 * np.eye(len(product)), atol=1e-14)


def test_every_orthogonal_matrix_is_as_likely():
    """QR alone gives Householder's signs: of 2 by 2, a first entry that is never positive.

    Of 1000 draws at most 5 standard errors from half of them have a positive determinant, or first entry.
    """
    drawn = np.array([first("orthogonal", [2, 2], seed=seed)[0][0] for seed in range(1000)])
    for share in (np.mean(np.linalg.det(drawn) > 0), np.mean(drawn[:, 0, 0] > 0)):
        assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(1000)
    angles = np.sort(np.arctan2(drawn[:, 1, 0], drawn[:, 0, 0])) / (2 * np.pi) + 0.5
    # Kolmogorov and Smirnov's distance to the uniform distribution stays below 1.95 / sqrt(n) in 99.9% of all cases
    assert np.abs(angles - (np.arange(1000) + 0.5) / 1000).max() < 1.95 / math.sqrt(1000)


# "auto"


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_auto_draws_what_the_activation_names(name):
    """As an output, and in hidden layers."""
    init = ACTIVATIONS[name].initializer
    assert init in INITIALIZERS
    (auto,), (named,) = (first(each, [30, 40], output=name, loss="squared_error") for each in ("auto", init))
    np.testing.assert_array_equal(auto[0], named[0])
    if not ACTIVATIONS[name].output_only:
        auto, named = (first(each, [30, 40, 50, 3], activation=name) for each in ("auto", init))
        for (W, _), (V, _) in list(zip(auto, named, strict=True))[:-1]:
            np.testing.assert_array_equal(W, V)


def test_auto_looks_at_each_layer():
    wanted = {"relu": "he_normal", "leaky_relu(0.3)": "he_normal", "selu": "lecun_normal", "sigmoid": "glorot_uniform"}
    parameters = first("auto", [300, 300, 300, 300, 300, 300], activation=list(wanted))
    for (W, _), init in zip(parameters, [*wanted.values(), "glorot_uniform"], strict=True):  # the last is softmax
        assert abs(W.var() / VARIANCES[init](300, 300) - 1) < 5 * math.sqrt(2 / W.size)
        assert (np.abs(W).max() > 0.11) == init.endswith("normal")  # uniform numbers end at 0.1


# Given arrays


@pytest.mark.parametrize("bias", [True, False])
def test_given_arrays(bias):
    net = bpjit.Network([3, 4, 2], seed=0, bias=bias)
    net.set_parameters([(W + 1, b + 2 if bias else None) for W, b in net.parameters()])
    same = bpjit.Network([3, 4, 2], init=net.parameters(), bias=bias)
    assert bits(same) == bits(net)
    given = [W for W, _ in net.parameters()]
    weights = bpjit.Network([3, 4, 2], init=given, bias=bias)
    for (W, b), V in zip(weights.parameters(), given, strict=True):
        np.testing.assert_array_equal(W, V)
        assert b is None if not bias else not b.any()
    given[0][:] = 7
    assert weights.parameters()[0][0].max() < 7


def test_pairs_and_arrays_may_be_mixed_and_pairs_be_lists():
    (W, b), (V, c) = first([([[1, 2, 3]], [4]), np.array([[5.0], [6.0]])], [3, 1, 2])
    np.testing.assert_array_equal(W, [[1, 2, 3]])
    np.testing.assert_array_equal(b, [4])
    np.testing.assert_array_equal(V, [[5], [6]])
    np.testing.assert_array_equal(c, [0, 0])


@pytest.mark.parametrize(
    ("init", "error", "words"),
    [
        ("he-normal", ValueError, "init is 'he-normal', but must be one of 'auto', 'glorot_normal'"),
        ("he_normal(2)", ValueError, "'he_normal' has no setting"),
        ("auto(2)", ValueError, "'auto' has no setting"),
        ("constant(nan)", ValueError, "value of init 'constant' must be finite"),
        ("constant(1e39)", ValueError, "init is 'constant(1e39)', which overflows float32"),
        ("orthogonal(0)", ValueError, "gain of init 'orthogonal' must be"),
        (3, TypeError, "init must be a name such as 'auto', or a list"),
        (np.ones((4, 3)), TypeError, "init must be a name such as 'auto', or a list"),
        ([np.ones((4, 3))], ValueError, "init has 1 layers, but the network has 2"),
        ([np.ones((4, 3)), np.ones((2, 3))], ValueError, "W of layer 2 has shape (2, 3), but must have (2, 4)"),
        ([np.ones((4, 3)), np.full((2, 4), np.nan)], ValueError, "W of layer 2 holds nan"),
        ([np.ones((4, 3)), (np.ones((2, 4)), None)], ValueError, "b of layer 2 must be an array"),
        (["he_normal", "zeros"], TypeError, "init of layer 1 must be a pair (W, b), got 'he_normal'"),
    ],
)
def test_what_cannot_be(init, error, words):
    with pytest.raises(error, match=re.escape(words)):
        bpjit.Network([3, 4, 2], init=init)
