"""Twins in float64: activations and losses written a second time, and what the specification makes of them.

Nothing here shares code with the engine or its tables. The scalar functions are plain Python that Numba can
compile: `bpjit.derivation` takes them as they stand.

    params = [(W1, b1), (W2, b2)]  # W of shape (n_l, n_(l-1)); b None for a layer without biases
    C, [(dW1, db1), (dW2, db2)] = reference_gradients(params, X, t, "relu", "softmax", "cross_entropy")
"""

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise, product
from math import cosh, erfc, exp, expm1, log, log1p, pi, sinh, sqrt, tanh
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numba.extending import register_jitable

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


def leaky_relu(slope):
    return (lambda z: z if z > 0.0 else slope * z), (lambda z: 1.0 if z > 0.0 else slope)


def relu6(z):
    return min(max(z, 0.0), 6.0)


def relu6_prime(z):
    return 1.0 if 0.0 < z < 6.0 else 0.0


def elu(alpha):
    return (lambda z: z if z > 0.0 else alpha * expm1(z)), (lambda z: 1.0 if z > 0.0 else alpha * exp(z))


def selu(z):
    return 1.0507009873554805 * (z if z > 0.0 else 1.6732632423543772 * expm1(z))


def selu_prime(z):
    return 1.0507009873554805 * (1.0 if z > 0.0 else 1.6732632423543772 * exp(z))


def softsign(z):
    return z / (1.0 + abs(z))


def softsign_prime(z):
    return 1.0 / (1.0 + abs(z)) / (1.0 + abs(z))


def hard_sigmoid(z):
    return min(max(z / 6.0 + 0.5, 0.0), 1.0)


def hard_sigmoid_prime(z):
    return 1.0 / 6.0 if -3.0 < z < 3.0 else 0.0


def hard_swish(z):
    return z * min(max(z / 6.0 + 0.5, 0.0), 1.0)


def hard_swish_prime(z):
    return 0.0 if z <= -3.0 else 1.0 if z >= 3.0 else (2.0 * z + 3.0) / 6.0


def gelu(z):
    return z * erfc(-z / sqrt(2.0)) / 2.0


def gelu_prime(z):
    return erfc(-z / sqrt(2.0)) / 2.0 + z * exp(-z * z / 2.0) / sqrt(2.0 * pi)


def gelu_tanh(z):
    return z * (1.0 + tanh(sqrt(2.0 / pi) * (z + 0.044715 * z * z * z))) / 2.0


def gelu_tanh_prime(z):
    z = min(max(z, -40.0), 40.0)  # where it is 0 and 1 already
    t = tanh(sqrt(2.0 / pi) * (z + 0.044715 * z * z * z))
    return (1.0 + t) / 2.0 + z * (1.0 - t * t) * (1.0 + 0.134145 * z * z) / sqrt(2.0 * pi)


def silu(z):
    return z / (1.0 + exp(-z)) if z > -700.0 else 0.0


def silu_prime(z):
    z = min(max(z, -700.0), 700.0)
    return (1.0 + exp(-z) * (1.0 + z)) / (1.0 + exp(-z)) / (1.0 + exp(-z))


def mish(z):
    return z * tanh(log1p(exp(min(z, 700.0))))


def mish_prime(z):
    z = min(max(z, -700.0), 700.0)
    t = tanh(log1p(exp(z)))
    return t + z * (1.0 - t * t) / (1.0 + exp(-z))


def softplus(z):
    return max(z, 0.0) + log1p(exp(-abs(z)))


def softplus_prime(z):
    return 1.0 / (1.0 + exp(-z)) if z > -700.0 else 0.0


def exp_of(z):
    return exp(min(z, 709.0))


def softmax(z: np.ndarray) -> np.ndarray:
    """Of one sample's vector z (n_L,)."""
    powers = np.exp(z - z.max())
    return powers / powers.sum()


def softmax_prime(z: np.ndarray) -> np.ndarray:
    """The Jacobian (n_L, n_L): dy_m/dz_i in row m, column i."""
    y = softmax(z)
    return np.diag(y) - np.outer(y, y)


# A loss is C_s(y, t) and dC_s/dy_i (y, t, i) of one sample's vectors. A setting is what a function of it closes over.


def termwise(term, slope):
    """A loss that is a sum over the outputs, from C_s(y_i, t_i) and its slope."""
    term, slope = register_jitable(term), register_jitable(slope)

    def cost(y, t):
        C_s = 0.0
        for i in range(len(y)):
            C_s += term(y[i], t[i])
        return C_s

    return cost, lambda y, t, i: slope(y[i], t[i])


@register_jitable
def sign(e):
    return 1.0 if e > 0.0 else -1.0 if e < 0.0 else 0.0


def huber(delta=1.0):
    return termwise(
        lambda y, t: (y - t) ** 2 / 2.0 if abs(y - t) <= delta else delta * abs(y - t) - delta**2 / 2.0,
        lambda y, t: y - t if abs(y - t) <= delta else delta * sign(y - t),
    )


def log_cosh_of(y, t):
    e = y - t
    if abs(e) < 0.1:  # cosh e = 1 + 2 sinh(e / 2)^2
        return log1p(2.0 * sinh(e / 2.0) ** 2)
    return abs(e) + log((1.0 + exp(-2.0 * abs(e))) / 2.0)


def quantile(level=0.5):
    return termwise(
        lambda y, t: max(level * (t - y), (level - 1.0) * (t - y)),
        lambda y, t: -level if y < t else 1.0 - level if y > t else 0.0,
    )


def cross_entropy(label_smoothing=0.0):
    def cost(y, t):
        C_s = 0.0
        for i in range(len(y)):
            t_i = (1.0 - label_smoothing) * t[i] + label_smoothing / len(t)
            if t_i != 0.0:  # 0 log 0 is 0
                C_s -= t_i * log(y[i])
        return C_s

    def slope(y, t, i):
        t_i = (1.0 - label_smoothing) * t[i] + label_smoothing / len(t)
        return -t_i / y[i] if t_i != 0.0 else 0.0

    return cost, slope


def binary_cross_entropy(label_smoothing=0.0):
    def term(y, t):
        t = (1.0 - label_smoothing) * t + label_smoothing / 2.0
        C = 0.0
        if t != 0.0:
            C -= t * log(y)
        if t != 1.0:
            C -= (1.0 - t) * log1p(-y)
        return C

    def slope(y, t):
        t = (1.0 - label_smoothing) * t + label_smoothing / 2.0
        slope = 0.0
        if t != 0.0:
            slope -= t / y
        if t != 1.0:
            slope += (1.0 - t) / (1.0 - y)
        return slope

    return termwise(term, slope)


@register_jitable
def rival_of(y, t):
    """The class with the greatest output but for the one that t names; the first of several such."""
    rival = -1
    for k in range(len(y)):
        if t[k] != 1.0 and (rival < 0 or y[k] > y[rival]):
            rival = k
    return rival


def hinge(y, t):
    if len(y) == 1:
        return max(0.0, 1.0 - t[0] * y[0])
    y_label = 0.0
    for k in range(len(y)):
        y_label += y[k] if t[k] == 1.0 else 0.0
    return max(0.0, 1.0 + y[rival_of(y, t)] - y_label)


def hinge_prime(y, t, i):
    if hinge_cost(y, t) == 0.0:
        return 0.0
    if len(y) == 1:
        return -t[0]
    return -1.0 if t[i] == 1.0 else 1.0 if i == rival_of(y, t) else 0.0


hinge_cost = register_jitable(hinge)


@register_jitable
def scalar_product(u, v):
    total = 0.0
    for i in range(len(u)):
        total += u[i] * v[i]
    return total


def cosine(y, t):
    lengths = sqrt(scalar_product(y, y)) * sqrt(scalar_product(t, t))
    return 1.0 - scalar_product(y, t) / lengths if lengths > 0.0 else 1.0


def cosine_prime(y, t, i):
    of_y, of_t = sqrt(scalar_product(y, y)), sqrt(scalar_product(t, t))
    if of_y == 0.0 or of_t == 0.0:
        return 0.0
    return scalar_product(y, t) * y[i] / (of_y**3 * of_t) - t[i] / (of_y * of_t)


# sigma(z), sigma'(z): of one number, but for softmax. What has a setting is here twice: its default, and another value.
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "identity": (identity, identity_prime),
    "sigmoid": (sigmoid, sigmoid_prime),
    "tanh": (tanh_of, tanh_prime),
    "softsign": (softsign, softsign_prime),
    "hard_sigmoid": (hard_sigmoid, hard_sigmoid_prime),
    "relu": (relu, relu_prime),
    "leaky_relu": leaky_relu(0.01),
    "leaky_relu(0.3)": leaky_relu(0.3),
    "relu6": (relu6, relu6_prime),
    "elu": elu(1.0),
    "elu(0.4)": elu(0.4),
    "selu": (selu, selu_prime),
    "gelu": (gelu, gelu_prime),
    "gelu_tanh": (gelu_tanh, gelu_tanh_prime),
    "silu": (silu, silu_prime),
    "mish": (mish, mish_prime),
    "hard_swish": (hard_swish, hard_swish_prime),
    "softplus": (softplus, softplus_prime),
    "exp": (exp_of, exp_of),
    "softmax": (softmax, softmax_prime),
}
KINKS = {  # where the slope jumps
    "relu": [0.0],
    "leaky_relu": [0.0],
    "leaky_relu(0.3)": [0.0],
    "relu6": [0.0, 6.0],
    "elu(0.4)": [0.0],
    "selu": [0.0],
    "hard_sigmoid": [-3.0, 3.0],
    "hard_swish": [-3.0, 3.0],
}
HIDDEN = [name for name in ACTIVATIONS if name != "softmax"]
OUTPUTS = list(ACTIVATIONS)
LOSSES: dict[str, tuple[Callable, Callable]] = {
    "squared_error": termwise(lambda y, t: (y - t) ** 2 / 2.0, lambda y, t: y - t),
    "absolute_error": termwise(lambda y, t: abs(y - t), lambda y, t: sign(y - t)),
    "huber": huber(),
    "log_cosh": termwise(log_cosh_of, lambda y, t: tanh(y - t)),
    "quantile": quantile(),
    "poisson": termwise(lambda y, t: y - t * log(y), lambda y, t: 1.0 - t / y),
    "cosine": (cosine, cosine_prime),
    "cross_entropy": cross_entropy(),
    "binary_cross_entropy": binary_cross_entropy(),
    "hinge": (hinge, hinge_prime),
}
WITH_SETTING: dict[str, dict[str, tuple[Callable, Callable]]] = {  # the losses that take one, with others than default
    "huber": {f"huber(delta={delta})": huber(delta) for delta in (0.25, 2.0)},
    "quantile": {f"quantile(level={level})": quantile(level) for level in (0.125, 0.75)},
    "cross_entropy": {"cross_entropy(label_smoothing=0.25)": cross_entropy(0.25)},
    "binary_cross_entropy": {"binary_cross_entropy(label_smoothing=0.25)": binary_cross_entropy(0.25)},
}


def loss_of(text: str) -> tuple[Callable, Callable]:
    """The twin of a loss as users write it, from one of the tables."""
    return LOSSES[text] if text in LOSSES else WITH_SETTING[text.partition("(")[0]][text]


def combinations() -> list[tuple[str, str, str]]:
    """Every output with every loss, and each with another activation of the hidden layers in turn."""
    pairs = product(OUTPUTS, LOSSES)
    return [(HIDDEN[k % len(HIDDEN)], output, loss) for k, (output, loss) in enumerate(pairs)]


def names_by_layer(params: Params, activations: str | Sequence[str], output: str) -> list[str]:
    """The activation of each layer; `activations` is one name, or one for each hidden layer."""
    hidden = [activations] * (len(params) - 1) if isinstance(activations, str) else list(activations)
    assert len(hidden) == len(params) - 1
    return [*hidden, output]


def matrix(values: np.ndarray, outputs: int, loss: str) -> np.ndarray:
    """Targets as the specification takes them, (S, n_L): labels become one-hot, a vector becomes a column."""
    values = np.asarray(values)
    takes_labels = loss.startswith("cross_entropy") or (loss == "hinge" and outputs > 1)
    if values.ndim == 1 and takes_labels and values.dtype.kind in "iu":
        return np.eye(outputs)[values]
    return np.array(values.reshape(len(values), outputs), dtype=np.float64, order="C")


SOURCE = Path(derivation.__file__).read_text(encoding="utf-8")


def plain(source: str) -> SimpleNamespace:
    """The specification in that source as plain Python, where memory that was not written to holds NaN."""
    names: dict = {}
    exec(compile(re.sub(r"^@njit.*$", "", source, flags=re.MULTILINE), "a copy", "exec"), names)
    memory = SimpleNamespace(
        array=np.array,
        float64=np.float64,
        empty=lambda shape: np.full(shape, np.nan),
        empty_like=lambda array: np.full_like(array, np.nan),
    )
    names |= {"np": memory, "prange": range, "List": list, "config": SimpleNamespace(DISABLE_JIT=1)}
    return SimpleNamespace(**names)


PLAIN = plain(SOURCE)


def quicker(params: Params, X: np.ndarray):
    """The specification: compiled where there is much to do, else plain, since functions take long to compile."""
    return derivation if len(X) * sum(W.size for W, _ in params) > 3000 else PLAIN


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
    module = quicker(params, X)
    W, b, sigma, _, is_softmax = specification(params, activations, output, module)
    z, a = module.forward(np.array(X, dtype=np.float64, order="C"), W, b, sigma, is_softmax)
    return list(z), list(a)


def reference_gradients(
    params: Params, X: np.ndarray, t: np.ndarray, activations: str | Sequence[str], output: str, loss: str, module=None
) -> tuple[float, list[tuple[np.ndarray, np.ndarray | None]]]:
    """C and [(dC/dW^1, dC/db^1), ...] of the specification, in float64; db is None where b is."""
    module = module or quicker(params, X)
    W, b, sigma, sigma_prime, is_softmax = specification(params, activations, output, module)
    x = np.array(X, dtype=np.float64, order="C")
    targets = matrix(t, len(params[-1][0]), loss)
    C, dW, db = module.gradients(x, targets, W, b, sigma, sigma_prime, *module.loss(*loss_of(loss)), is_softmax)
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

    Cross-entropies need outputs between 0 and 1, Poisson's loss positive ones, and a cosine several other than 0. Where
    the output's activation does not see to that, the last layer is scaled so that they lie around a half.
    """
    draw = np.random.default_rng(seed)
    params = [
        (draw.normal(size=(above, below)) / np.sqrt(below), draw.normal(size=above) / 2)
        for below, above in pairwise(sizes)
    ]
    X = draw.normal(size=(samples, sizes[0]))
    kind = loss.partition("(")[0]
    around_half = kind in ("cross_entropy", "binary_cross_entropy", "poisson", "cosine")
    if around_half and output not in ("sigmoid", "softmax"):
        W, b = params[-1]
        params[-1] = W, np.zeros_like(b)
        reach = np.abs(numpy_forward(params, X, activations, "identity")).max()
        params[-1] = W * (0.25 / max(reach, 1e-3)), np.full_like(b, where_half(ACTIVATIONS[output][0]))
    t = draw.normal(size=(samples, sizes[-1]))
    if kind == "cross_entropy":
        t = np.array([softmax(row) for row in t])
    elif kind == "binary_cross_entropy":
        t = 1.0 / (1.0 + np.exp(-t))
    elif kind == "poisson":
        t = np.floor(np.exp(t))
    elif kind == "hinge":
        t = np.where(t < 0.0, -1.0, 1.0) if sizes[-1] == 1 else np.eye(sizes[-1])[t.argmax(axis=1)]
    return params, X, t


@cache
def where_half(sigma: Callable) -> float:
    """The z at which sigma(z) is nearest to a half; of equal ones the nearest to 0."""
    points = sorted(np.arange(-400, 401) / 100.0, key=abs)
    return float(min(points, key=lambda z: round(abs(sigma(z) - 0.5), 9)))


def to_kinks(z: Sequence[np.ndarray], activations: str | Sequence[str], output: str) -> float:
    """How near a z of the layers 1, 2, ... comes to a place where the slope of the layer's activation jumps."""
    hidden = [activations] * (len(z) - 1) if isinstance(activations, str) else activations
    gaps = [
        np.abs(z_l - kink).min() for z_l, name in zip(z, [*hidden, output], strict=True) for kink in KINKS.get(name, [])
    ]
    return min(gaps, default=np.inf)


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
