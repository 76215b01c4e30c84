"""Twins in float64: activations and losses written a second time, and what the specification makes of them.

Nothing here shares code with the engine or its tables. The scalar functions are plain Python that Numba can
compile: `bpjit.derivation` takes them as they stand.

    params = [(W1, b1), (W2, b2)]  # W of shape (n_l, n_(l-1)); b None for a layer without biases
    C, [(dW1, db1), (dW2, db2)] = reference_gradients(params, X, t, "relu", "softmax", "cross_entropy")
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import cosh, exp, log, log1p, tanh

import numpy as np

from bpjit import derivation

Params = Sequence[tuple[np.ndarray, np.ndarray | None]]


def identity(z):
    return z


def identity_prime(z):
    return 1.0


def sigmoid(z):
    if z >= 0.0:
        return 1.0 / (1.0 + exp(-z))
    return exp(z) / (1.0 + exp(z))


def sigmoid_prime(z):
    return exp(-abs(z)) / (1.0 + exp(-abs(z))) ** 2


def tanh_prime(z):
    return 1.0 / cosh(min(abs(z), 350.0)) ** 2  # beyond, the square would overflow; this is 1e-303


def tanh_of(z):
    return tanh(z)


def relu(z):
    return z if z > 0.0 else 0.0


def relu_prime(z):
    return 1.0 if z > 0.0 else 0.0


def softmax(z: np.ndarray) -> np.ndarray:
    """Of one sample's vector z (n_L,)."""
    powers = np.exp(z - z.max())
    return powers / powers.sum()


def softmax_prime(z: np.ndarray) -> np.ndarray:
    """The Jacobian (n_L, n_L): dy_m/dz_i in row m, column i."""
    y = softmax(z)
    return np.diag(y) - np.outer(y, y)


def squared_error(y, t):
    C_s = 0.0
    for i in range(len(y)):
        C_s += 0.5 * (y[i] - t[i]) ** 2
    return C_s


def squared_error_prime(y, t, i):
    return y[i] - t[i]


def cross_entropy(y, t):
    C_s = 0.0
    for i in range(len(y)):
        if t[i] != 0.0:  # 0 log 0 is 0
            C_s -= t[i] * log(y[i])
    return C_s


def cross_entropy_prime(y, t, i):
    return -t[i] / y[i] if t[i] != 0.0 else 0.0


def binary_cross_entropy(y, t):
    C_s = 0.0
    for i in range(len(y)):
        if t[i] != 0.0:
            C_s -= t[i] * log(y[i])
        if t[i] != 1.0:
            C_s -= (1.0 - t[i]) * log1p(-y[i])
    return C_s


def binary_cross_entropy_prime(y, t, i):
    slope = 0.0
    if t[i] != 0.0:
        slope -= t[i] / y[i]
    if t[i] != 1.0:
        slope += (1.0 - t[i]) / (1.0 - y[i])
    return slope


ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {  # sigma(z), sigma'(z): of one number, but for softmax
    "identity": (identity, identity_prime),
    "sigmoid": (sigmoid, sigmoid_prime),
    "tanh": (tanh_of, tanh_prime),
    "relu": (relu, relu_prime),
    "leaky_relu": (lambda z: z if z > 0.0 else 0.01 * z, lambda z: 1.0 if z > 0.0 else 0.01),
    "exp": (lambda z: exp(z), lambda z: exp(z)),
    "softmax": (softmax, softmax_prime),
}
HIDDEN = [name for name in ACTIVATIONS if name != "softmax"]
OUTPUTS = list(ACTIVATIONS)
LOSSES: dict[str, tuple[Callable, Callable]] = {  # C_s(y, t), dC_s/dy_i (y, t, i): of one sample's vectors
    "squared_error": (squared_error, squared_error_prime),
    "cross_entropy": (cross_entropy, cross_entropy_prime),
    "binary_cross_entropy": (binary_cross_entropy, binary_cross_entropy_prime),
}


def names_by_layer(params: Params, activations: str | Sequence[str], output: str) -> list[str]:
    """The activation of each layer; `activations` is one name, or one for each hidden layer."""
    hidden = [activations] * (len(params) - 1) if isinstance(activations, str) else list(activations)
    assert len(hidden) == len(params) - 1
    return [*hidden, output]


def matrix(values: np.ndarray, outputs: int, loss: str) -> np.ndarray:
    """Targets as the specification takes them, (S, n_L): labels become one-hot, a vector becomes a column."""
    values = np.asarray(values)
    if values.ndim == 1 and loss == "cross_entropy" and values.dtype.kind in "iu":
        return np.eye(outputs)[values]
    return np.array(values.reshape(len(values), outputs), dtype=np.float64, order="C")


def specification(params: Params, activations: str | Sequence[str], output: str, module=derivation):
    """W, b, sigma, sigma_prime and softmax, as the functions of `bpjit.derivation` (or a copy) take them."""
    names = [name for name in names_by_layer(params, activations, output) if name != "softmax"]
    W = module.by_layer([W for W, _ in params])
    b = module.by_layer([np.zeros(len(W)) if b is None else b for W, b in params])
    sigma = module.activations([ACTIVATIONS[name][0] for name in names])
    sigma_prime = module.activations([ACTIVATIONS[name][1] for name in names])
    return W, b, sigma, sigma_prime, output == "softmax"


def reference_forward(params: Params, X: np.ndarray, activations: str | Sequence[str], output: str):
    """z and a of the specification: lists of arrays (S, n_l) by the layer's number; y is the last a."""
    W, b, sigma, _, is_softmax = specification(params, activations, output)
    z, a = derivation.forward(np.array(X, dtype=np.float64, order="C"), W, b, sigma, is_softmax)
    return list(z), list(a)


def reference_gradients(
    params: Params, X: np.ndarray, t: np.ndarray, activations: str | Sequence[str], output: str, loss: str
) -> tuple[float, list[tuple[np.ndarray, np.ndarray | None]]]:
    """C and [(dC/dW^1, dC/db^1), ...] of the specification, in float64; db is None where b is."""
    W, b, sigma, sigma_prime, is_softmax = specification(params, activations, output)
    x = np.array(X, dtype=np.float64, order="C")
    targets = matrix(t, len(params[-1][0]), loss)
    C, dW, db = derivation.gradients(x, targets, W, b, sigma, sigma_prime, *derivation.loss(*LOSSES[loss]), is_softmax)
    return float(C), [(dW[l], None if bias is None else db[l]) for l, (_, bias) in enumerate(params, start=1)]


def numpy_forward(params: Params, X: np.ndarray, activations: str | Sequence[str], output: str):
    """y (S, n_L) by matrix products, without the specification."""
    a = np.asarray(X, dtype=np.float64)
    for (W, b), name in zip(params, names_by_layer(params, activations, output), strict=True):
        z = a @ np.asarray(W, dtype=np.float64).T + (0.0 if b is None else b)
        sigma = ACTIVATIONS[name][0]
        a = np.array([sigma(row) for row in z]) if name == "softmax" else np.vectorize(sigma, otypes=[float])(z)
    return a


def problem(
    sizes: Sequence[int],
    samples: int,
    activations: str | Sequence[str],
    output: str,
    loss: str,
    seed: int = 0,
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, np.ndarray]:
    """Parameters, X (S, n_0) and t (S, n_L) for which the loss is defined: float64, drawn from the seed.

    A cross-entropy needs outputs between 0 and 1. Where the output's activation does not see to that, the
    last layer is scaled so that they lie around a half.
    """
    draw = np.random.default_rng(seed)
    params = [
        (draw.normal(size=(above, below)) / np.sqrt(below), draw.normal(size=above) / 2)
        for below, above in pairwise(sizes)
    ]
    X = draw.normal(size=(samples, sizes[0]))
    if loss != "squared_error" and output not in ("sigmoid", "softmax"):
        W, b = params[-1]
        params[-1] = W, np.zeros_like(b)
        reach = np.abs(numpy_forward(params, X, activations, "identity")).max()
        params[-1] = W * (0.25 / max(reach, 1e-3)), np.full_like(b, 0.5)
    t = draw.normal(size=(samples, sizes[-1]))
    if loss == "cross_entropy":
        t = np.array([softmax(row) for row in t])
    elif loss == "binary_cross_entropy":
        t = 1.0 / (1.0 + np.exp(-t))
    return params, X, t


def central_differences(cost: Callable[[], float], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """(C(theta + h) - C(theta - h)) / 2h for each number in the arrays, which are changed in place and back.

    h balances what the quotient leaves out, h^2, against the rounding of C, 1e-16 / h: both near 1e-10.
    """
    h = 1e-5
    slopes = [np.empty_like(array) for array in arrays]
    for array, slope in zip(arrays, slopes, strict=True):
        for place in np.ndindex(array.shape):
            kept = array[place]
            array[place] = kept + h
            above = cost()
            array[place] = kept - h
            below = cost()
            array[place] = kept
            slope[place] = (above - below) / (2 * h)
    return slopes


def distance(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """||found - wanted|| / ||wanted||, over all arrays together, and infinite when that is no number.

    So no NaN comes near anything, and nothing near zeros: zeros where numbers are wanted are at distance 1.
    """
    for one, other in zip(found, wanted, strict=True):
        assert np.shape(one) == np.shape(other)
    one, other = (np.concatenate([np.ravel(array) for array in arrays]) for arrays in (found, wanted))
    error, scale = np.linalg.norm(np.asarray(one, dtype=np.float64) - other), np.linalg.norm(other)
    return float(error / scale) if np.isfinite(error) and scale > 0.0 else np.inf
