"""The table of activation functions: sigma of E2 and what sigma' of E6 and E7 does to a vector.

A kernel works on one block: arrays (units, PANEL) in which samples lie side by side; its last argument is the value of
the entry's setting. Most activations are functions of one unit; `elementwise` makes their kernels of two scalar
functions. Softmax takes all units of a sample together.
"""

from dataclasses import dataclass

from . import jit
from .elementwise import exp
from .elementwise import sigmoid as sigmoid_of
from .elementwise import tanh as tanh_of
from .entry import Entry, Setting
from .jit import NUMBER, Kernel, inline, like, matrix
from .tile import PANEL_MAX


@dataclass(frozen=True, kw_only=True)
class Activation(Entry):
    """One entry of the table."""

    sigma: Kernel
    """sigma(z, a, setting): a = sigma(z); both may be the same place."""
    sigma_prime: Kernel
    """sigma_prime(z, a, delta, setting): g in delta becomes sum over m of g_m da_m/dz_i; unit by unit, sigma'(z) g."""
    needs_z: bool = True
    """Whether sigma_prime looks at z and not only at a: if not, z need not be kept."""
    output_only: bool = False
    initializer: str = "glorot_uniform"
    """How "auto" draws the weights before it."""


ACTIVATIONS: dict[str, Activation] = {}

PART = 512
"""Numbers that `sigma` computes at a time."""


def elementwise(name: str, sigma, sigma_prime, setting: Setting | None = None, **properties) -> Activation:
    """An activation of single units, from sigma(z) and sigma_prime(z, a), which may use the a that sigma gave for z.

    With a setting, whose value c has the type of z, they are sigma(z, c) and sigma_prime(z, a, c).
    """
    sigma_of, sigma_prime_of = inline(sigma), inline(sigma_prime)
    if setting is None:
        sigma_of, sigma_prime_of = _without_setting(sigma_of, sigma_prime_of)

    def forward(z, a, setting):
        c = like(z[0, 0], setting)
        part = jit.scratch(PART, z)
        for first in range(0, z.size, PART):  # through `part`, since z and a may be the same place
            count = min(PART, z.size - first)
            z_part, a_part = jit.shaped(z, first, count), jit.shaped(a, first, count)
            for q in range(count):
                part[q] = sigma_of(z_part[q], c)
            for q in range(count):
                a_part[q] = part[q]

    def backward(z, a, delta, setting):
        c = like(z[0, 0], setting)
        z, a, delta = jit.shaped(z, 0, delta.size), jit.shaped(a, 0, delta.size), jit.shaped(delta, 0, delta.size)
        for q in range(delta.size):
            delta[q] *= sigma_prime_of(z[q], a[q], c)

    kernels = (
        jit.kernel(matrix, matrix, NUMBER, name=f"activations.{name}")(forward),
        jit.kernel(matrix, matrix, matrix, NUMBER, name=f"activations.{name}_prime")(backward),
    )
    return Activation(name=name, setting=setting, sigma=kernels[0], sigma_prime=kernels[1], **properties)


def _without_setting(sigma, sigma_prime):
    return inline(lambda z, c: sigma(z)), inline(lambda z, a, c: sigma_prime(z, a))


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
    return like(a, 0.0) if a <= like(a, 0.0) else like(a, 1.0)


@jit.kernel(matrix, matrix, NUMBER)
def softmax(z, y, setting):
    """y_i = exp(z_i - max z) / sum over m of exp(z_m - max z), for each sample of the block."""
    n, samples = z.shape[0], min(z.shape[1], PANEL_MAX)
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


@jit.kernel(matrix, matrix, matrix, NUMBER)
def softmax_prime(z, y, delta, setting):
    """delta_i = y_i (g_i - sum over m of g_m y_m): g times the Jacobian y_m ([i = m] - y_i); delta holds g at first."""
    n, samples = y.shape[0], min(y.shape[1], PANEL_MAX)
    mean = jit.scratch(PANEL_MAX, y)
    for s in range(samples):
        mean[s] = 0
    for i in range(n):
        for s in range(samples):
            mean[s] += delta[i, s] * y[i, s]
    for i in range(n):
        for s in range(samples):
            delta[i, s] = y[i, s] * (delta[i, s] - mean[s])


def leaky_relu(z, slope):
    return slope * z if z < like(z, 0.0) else z


def leaky_relu_prime(z, a, slope):
    return slope if z < like(z, 0.0) else like(z, 1.0)


def exponential(z):
    return exp(z)


def exponential_prime(z, a):
    return a


for entry in (
    elementwise("identity", identity, identity_prime, needs_z=False),
    elementwise("sigmoid", sigmoid, sigmoid_prime, needs_z=False),
    elementwise("tanh", tanh, tanh_prime, needs_z=False),
    elementwise("relu", relu, relu_prime, needs_z=False, initializer="he_normal"),
    elementwise("leaky_relu", leaky_relu, leaky_relu_prime, Setting("slope", 0.01), initializer="he_normal"),
    elementwise("exp", exponential, exponential_prime, needs_z=False),
    Activation(name="softmax", sigma=softmax, sigma_prime=softmax_prime, needs_z=False, output_only=True),
):
    ACTIVATIONS[entry.name] = entry
