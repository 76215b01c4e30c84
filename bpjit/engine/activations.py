"""The table of activation functions: sigma of E2 and what sigma' of E6 and E7 does to a vector.

A kernel works on one block: arrays (units, PANEL) in which samples lie side by side. Most activations are functions of
one unit; `elementwise` makes their kernels of two scalar functions. Softmax takes all units of a sample together.
"""

from dataclasses import dataclass

from . import jit
from .elementwise import exp
from .elementwise import sigmoid as sigmoid_of
from .elementwise import tanh as tanh_of
from .jit import Kernel, inline, like, matrix
from .tile import PANEL_MAX


@dataclass(frozen=True)
class Activation:
    """One entry of the table."""

    name: str
    sigma: Kernel
    """sigma(z, a): a = sigma(z)."""
    sigma_prime: Kernel
    """sigma_prime(z, a, g, delta): delta_i = sum over m of g_m da_m/dz_i; unit by unit delta = sigma'(z) g."""
    output_only: bool = False
    initializer: str = "glorot_uniform"
    """How "auto" draws the weights before it."""


ACTIVATIONS: dict[str, Activation] = {}


def elementwise(name: str, sigma, sigma_prime, **properties) -> Activation:
    """An activation of single units, from sigma(z) and sigma_prime(z, a), which may use the a that sigma gave for z."""
    sigma_of, sigma_prime_of = inline(sigma), inline(sigma_prime)

    def forward(z, a):
        z, a = jit.shaped(z, 0, z.size), jit.shaped(a, 0, a.size)
        for q in range(z.size):
            a[q] = sigma_of(z[q])

    def backward(z, a, g, delta):
        z, a, g, delta = (
            jit.shaped(z, 0, z.size),
            jit.shaped(a, 0, z.size),
            jit.shaped(g, 0, z.size),
            jit.shaped(delta, 0, z.size),
        )
        for q in range(z.size):
            delta[q] = sigma_prime_of(z[q], a[q]) * g[q]

    kernels = (
        jit.kernel(matrix, matrix, name=f"activations.{name}")(forward),
        jit.kernel(matrix, matrix, matrix, matrix, name=f"activations.{name}_prime")(backward),
    )
    return Activation(name, *kernels, **properties)


def identity(z):
    return z


def identity_prime(z, a):
    return like(z, 1.0)


def sigmoid(z):
    return sigmoid_of(z)


def sigmoid_prime(z, a):
    return a * (like(z, 1.0) - a)


def tanh(z):
    return tanh_of(z)


def tanh_prime(z, a):
    return like(z, 1.0) - a * a


def relu(z):
    return like(z, 0.0) if z < like(z, 0.0) else z  # in this order NaN goes through, and divergence is seen


def relu_prime(z, a):
    return like(z, 0.0) if z <= like(z, 0.0) else like(z, 1.0)


@jit.kernel(matrix, matrix)
def softmax(z, y):
    """y_i = exp(z_i - max z) / sum over m of exp(z_m - max z), for each sample of the block."""
    n, samples = z.shape
    greatest, total = jit.scratch(PANEL_MAX, z), jit.scratch(PANEL_MAX, z)
    for s in range(samples):
        greatest[s] = z[0, s]
        total[s] = 0
    for i in range(1, n):
        for s in range(samples):
            greatest[s] = greatest[s] if z[i, s] < greatest[s] else z[i, s]
    for i in range(n):
        for s in range(samples):
            y[i, s] = exp(z[i, s] - greatest[s])
            total[s] += y[i, s]
    for i in range(n):
        for s in range(samples):
            y[i, s] /= total[s]


@jit.kernel(matrix, matrix, matrix, matrix)
def softmax_prime(z, y, g, delta):
    """delta_i = y_i (g_i - sum over m of g_m y_m): g times the Jacobian dy_m/dz_i = y_m ([i = m] - y_i)."""
    n, samples = y.shape
    mean = jit.scratch(PANEL_MAX, y)
    for s in range(samples):
        mean[s] = 0
    for i in range(n):
        for s in range(samples):
            mean[s] += g[i, s] * y[i, s]
    for i in range(n):
        for s in range(samples):
            delta[i, s] = y[i, s] * (g[i, s] - mean[s])


for entry in (
    elementwise("identity", identity, identity_prime),
    elementwise("sigmoid", sigmoid, sigmoid_prime),
    elementwise("tanh", tanh, tanh_prime),
    elementwise("relu", relu, relu_prime, initializer="he_normal"),
    Activation("softmax", softmax, softmax_prime, output_only=True),
):
    ACTIVATIONS[entry.name] = entry
