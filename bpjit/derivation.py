"""Back-propagation, derived: equations E1 to E10 as plain loops over l, i, j, k, m and s.

This module is the specification that the fast engine is tested against. It imports nothing else of the
project and can be read by itself; docs/derivation.md sets each equation beside its loop.

    l      a layer, 1 ... L; 0 is the input      W[l][i, j]      weight from unit j of layer l-1 to unit i
    i, j   a unit of layer l, of layer l-1       b[l][i]         bias of unit i
    k      a unit of layer l+1                   z[l][s, i]      what goes into the activation function
    m      a unit of layer L, under softmax      a[l][s, i]      what comes out; a[0] = x, a[L] = y
    s, S   a sample, how many there are          delta[l][s, i]  dC/dz[l][s, i]

Every list is indexed by the layer's own number; slot 0 of `W` and `b` is an empty array. A statement that
computes a value of an equation ends with the equation's number. A name such as `sum_j` is the sum over j.

What a network is made of comes as arguments: `sigma[l](z)` and `sigma_prime[l](z)`, functions of one number;
`cost_of_sample(y, t)`, C_s of one sample's vectors; and `dC_dy(y, t, i)`, its slope along output i. Softmax
takes the whole layer L at once, so it is written out here, and chosen with `softmax=True`.

    >>> import numpy as np
    >>> W = by_layer([np.array([[0.5, -0.25]]), np.array([[2.0]])])  # 2 inputs, 1 hidden unit, 1 output
    >>> b = by_layer([np.array([0.25]), np.array([-1.0])])
    >>> sigma = activations([lambda z: max(z, 0.0), lambda z: z])  # relu, then identity
    >>> sigma_prime = activations([lambda z: 1.0 if z > 0.0 else 0.0, lambda z: 1.0])
    >>> C_s, dC_dy = loss(lambda y, t: 0.5 * (y[0] - t[0]) ** 2, lambda y, t, i: y[i] - t[i])
    >>> x, t = np.array([[1.0, 2.0]]), np.array([[0.0]])
    >>> C, dW, db = gradients(x, t, W, b, sigma, sigma_prime, C_s, dC_dy)
    >>> float(C), dW[1].tolist(), db[2].tolist()
    (0.125, [[-1.0, -2.0]], [-0.5])
    >>> descend(W, b, dW, db, 0.25)
    >>> W[1].tolist()
    [[0.75, 0.25]]

x and t are float64 arrays in C order with a row a sample; shapes are not checked. The loops are compiled when
they are first called. With NUMBA_DISABLE_JIT=1 in the environment they run as the Python that stands here.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import exp
from typing import Any

import numpy as np
from numba import cfunc, config, float64, intp, njit, prange
from numba.typed import List

Array = np.ndarray
Layers = Sequence[Array]
Functions = Sequence[Callable[[float], float]]


@njit(parallel=True)
def forward(x: Array, W: Layers, b: Layers, sigma: Functions, softmax: bool = False) -> tuple[Layers, Layers]:
    """E1 and E2: from the input x (S, n_0) to every z and a; the last a is the output y (S, n_L)."""
    S, L = len(x), len(W) - 1
    z, a = List(), List()
    z.append(np.empty((S, 0)))
    a.append(x)
    for l in range(1, L + 1):
        z.append(np.empty((S, len(b[l]))))
        a.append(np.empty((S, len(b[l]))))
    for s in prange(S):
        for l in range(1, L + 1):
            for i in range(len(b[l])):
                sum_j = 0.0
                for j in range(a[l - 1].shape[1]):
                    sum_j += W[l][i, j] * a[l - 1][s, j]  # E1
                z[l][s, i] = sum_j + b[l][i]  # E1
            if softmax and l == L:
                softmax_output(z, a, L, s)
            else:
                for i in range(len(b[l])):
                    a[l][s, i] = sigma[l](z[l][s, i])  # E2
    return z, a


@njit
def softmax_output(z: Layers, a: Layers, L: int, s: int) -> None:
    """E2 for softmax, which couples the units of layer L: writes a[L][s, :]."""
    n_L = z[L].shape[1]
    # What is taken off every z cancels in the quotient; with the largest taken off, exp cannot overflow.
    top = z[L][s, 0]
    for m in range(n_L):
        top = max(top, z[L][s, m])
    sum_m = 0.0
    for m in range(n_L):
        sum_m += exp(z[L][s, m] - top)  # E2
    for i in range(n_L):
        a[L][s, i] = exp(z[L][s, i] - top) / sum_m  # E2


@njit
def cost(y: Array, t: Array, cost_of_sample: Callable[[Array, Array], float]) -> float:
    """E3: the cost C, the mean over the samples of what output y[s] costs where t[s] was wanted."""
    S = len(y)
    sum_s = 0.0
    for s in range(S):
        sum_s += cost_of_sample(y[s], t[s])  # E3
    C = sum_s / S  # E3
    return C


@njit
def output_delta(
    z: Layers,
    a: Layers,
    t: Array,
    sigma_prime: Functions,
    dC_dy: Callable[[Array, Array, int], float],
    softmax: bool = False,
) -> Layers:
    """E6: delta[L], where the way back begins; the other slots are memory for `backward` to fill."""
    S, L = len(t), len(z) - 1
    delta = List()
    for l in range(L + 1):
        delta.append(np.empty_like(z[l]))
    n_L = z[L].shape[1]
    for s in range(S):
        for i in range(n_L):
            if softmax:
                sum_m = 0.0
                for m in range(n_L):
                    dy_dz = a[L][s, m] * ((m == i) - a[L][s, i])  # E6
                    sum_m += dC_dy(a[L][s], t[s], m) * dy_dz  # E6
                delta[L][s, i] = sum_m / S  # E6
            else:
                delta[L][s, i] = sigma_prime[L](z[L][s, i]) * dC_dy(a[L][s], t[s], i) / S  # E6
    return delta


@njit(parallel=True)
def backward(delta: Layers, z: Layers, W: Layers, sigma_prime: Functions) -> None:
    """E7: from delta[L] down to delta[1], each layer from the one above it; writes them into `delta`."""
    S, L = len(z[0]), len(z) - 1
    for s in prange(S):
        for l in range(L - 1, 0, -1):
            for i in range(z[l].shape[1]):
                sum_k = 0.0
                for k in range(z[l + 1].shape[1]):
                    sum_k += W[l + 1][k, i] * delta[l + 1][s, k]  # E7
                delta[l][s, i] = sigma_prime[l](z[l][s, i]) * sum_k  # E7


@njit(parallel=True)
def gradient(a: Layers, delta: Layers) -> tuple[Layers, Layers]:
    """E4, E5, E8, E9: dC/dW and dC/db, shaped as W and b, from what the two passes left behind."""
    S, L = len(a[0]), len(a) - 1
    dW, db = List(), List()
    dW.append(np.empty((0, 0)))
    db.append(np.empty(0))
    for l in range(1, L + 1):
        dW.append(np.empty((a[l].shape[1], a[l - 1].shape[1])))
        db.append(np.empty(a[l].shape[1]))
    for l in range(1, L + 1):
        for i in prange(a[l].shape[1]):
            for j in range(a[l - 1].shape[1]):
                sum_s = 0.0
                for s in range(S):
                    dz_dw = a[l - 1][s, j]  # E5
                    dC_dw = delta[l][s, i] * dz_dw  # E4
                    sum_s += dC_dw  # E8
                dW[l][i, j] = sum_s  # E8
            sum_s = 0.0
            for s in range(S):
                dz_db = 1.0  # E5
                sum_s += delta[l][s, i] * dz_db  # E9
            db[l][i] = sum_s  # E9
    return dW, db


@njit
def descend(W: Layers, b: Layers, dW: Layers, db: Layers, learning_rate: float) -> None:
    """E10: one step of gradient descent, in place.

    A network without biases has zeros in `b`; set `db` to zeros before this step, and they stay.
    """
    for l in range(1, len(W)):
        for i in range(len(b[l])):
            for j in range(W[l].shape[1]):
                W[l][i, j] -= learning_rate * dW[l][i, j]  # E10
            b[l][i] -= learning_rate * db[l][i]  # E10


def gradients(
    x: Array,
    t: Array,
    W: Layers,
    b: Layers,
    sigma: Functions,
    sigma_prime: Functions,
    cost_of_sample: Callable[[Array, Array], float],
    dC_dy: Callable[[Array, Array, int], float],
    softmax: bool = False,
) -> tuple[float, Layers, Layers]:
    """The whole way there and back: C, dC/dW and dC/db of a mini-batch x (S, n_0) with targets t (S, n_L)."""
    z, a = forward(x, W, b, sigma, softmax)
    C = cost(a[-1], t, cost_of_sample)
    delta = output_delta(z, a, t, sigma_prime, dC_dy, softmax)
    backward(delta, z, W, sigma_prime)
    dW, db = gradient(a, delta)
    return C, dW, db


def by_layer(arrays: Layers) -> Layers:
    """The arrays of layers 1, 2, ... as a list that is indexed by the layer's own number: float64 copies."""
    copies = List()
    copies.append(np.empty((0,) * arrays[0].ndim))
    for array in arrays:
        copies.append(np.array(array, dtype=np.float64, order="C"))
    return copies


def activations(functions: Functions) -> Functions:
    """The activation functions of layers 1, 2, ..., or their derivatives, as a list indexed likewise.

    Each is written with def or lambda. With softmax at the output, those of the hidden layers alone.
    """
    by_number = List()
    for function in (unused, *functions):
        by_number.append(compiled(function, float64(float64)))
    return by_number


def loss(
    cost_of_sample: Callable[[Array, Array], float], dC_dy: Callable[[Array, Array, int], float]
) -> tuple[Any, Any]:
    """The two functions of a loss: C_s(y, t) and dC_dy(y, t, i), of one sample's vectors y and t (n_L,)."""
    vector = float64[::1]
    return compiled(cost_of_sample, float64(vector, vector)), compiled(dC_dy, float64(vector, vector, intp))


def unused(z: float) -> float:
    """Fills slot 0, since a list cannot hold nothing."""
    return z


@cache  # also keeps the machine code alive: a list holds its address alone
def compiled(function: Any, signature: Any) -> Any:
    """The function compiled for one signature: so the loops compile once, whatever functions they get."""
    function = getattr(function, "py_func", function)
    return function if config.DISABLE_JIT else cfunc(signature, error_model="numpy")(function)
