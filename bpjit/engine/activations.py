"""The table of activation functions: sigma of E2 and what sigma' of E6 and E7 does to a vector.

A kernel works on one block: arrays (units, PANEL) in which samples lie side by side; its last argument is the value of
the entry's setting. Most activations are functions of one unit; `elementwise` makes their kernels of two scalar
functions. Softmax takes all units of a sample together.

Greatest error found against 60 digits (tests/test_activations.py), rounded up. Of sigma in units in the last place; of
sigma' in units of eps, absolute up to 1 and relative above. For a slope that falls to 0 is a difference of numbers near
1 (of tanh: 1 - a^2), and where a slope has a zero (gelu, silu, mish, hard_swish) its digits are lost whatever is done.

    activation     sigma: float32   float64   sigma': float32   float64
    identity              0         0                 0         0
    sigmoid               3         3                 1         1
    tanh                  3         3                 2         2
    softsign              2         2                 1         1
    hard_sigmoid          2         2                 1         1
    relu                  0         0                 0         0
    leaky_relu            1         1                 0         0
    relu6                 0         0                 0         0
    elu                   2         2                 1         1
    selu                  2         3                 2         2
    gelu                  6         5                 2         2
    gelu_tanh             4         4                 2         2
    silu                  3         3                 2         2
    mish                  4         5                 2         2
    hard_swish            3         3                 1         1
    softplus              2         3                 1         1
    exp                   2         2                 1         1

gelu_tanh is off by that times its exponent, 1.6 |z| + 0.07 |z|^3, where that is above 1: it is a product, rounded. What
falls to 0 with exp(z) stays near the smallest normal number instead, z sigmoid(z) at about |z| times that. What grows
stays finite, but for selu, 1.05 z, and leaky_relu with a slope above 1, at the end of the range.
"""

from dataclasses import dataclass

from . import jit
from .elementwise import by_dtype, clamp, exp, expm1, inline, log1p, mills_ratio, normal_cdf, normal_density
from .elementwise import sigmoid as sigmoid_of
from .elementwise import tanh as tanh_of
from .entry import Entry, Setting
from .jit import NUMBER, Kernel, like, matrix
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

    With a setting, whose value c has the type of z, they are sigma(z, c) and sigma_prime(z, a, c). Their sums are
    computed in the order that is written.
    """
    properties = {"functions": (sigma, sigma_prime)} | properties
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


# Where pieces meet, the slope is PyTorch's. A comparison that NaN fails leads to z: so NaN goes through, and divergence
# is seen.


def relu(z):
    return like(z, 0.0) if z < like(z, 0.0) else z


def relu_prime(z, a):
    return like(a, 0.0) if a <= like(a, 0.0) else like(a, 1.0)


def leaky_relu(z, slope):
    return slope * z if z < like(z, 0.0) else z


def leaky_relu_prime(z, a, slope):
    return slope if a <= like(a, 0.0) else like(a, 1.0)


def relu6(z):
    return clamp(z, like(z, 0.0), like(z, 6.0))


def relu6_prime(z, a):
    return like(a, 1.0) if (a > like(a, 0.0)) & (a < like(a, 6.0)) else like(a, 0.0)


def elu(z, alpha):
    return z if z > like(z, 0.0) else alpha * expm1(z)


def elu_prime(z, a, alpha):
    return like(a, 1.0) if a > like(a, 0.0) else a + alpha


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def selu(z):
    return like(z, SELU_SCALE) * z if z > like(z, 0.0) else like(z, SELU_SCALE * SELU_ALPHA) * expm1(z)


def selu_prime(z, a):
    return like(a, SELU_SCALE) if a > like(a, 0.0) else a + like(a, SELU_SCALE * SELU_ALPHA)


def softsign(z):
    return z / (like(z, 1.0) + abs(z))


def softsign_prime(z, a):
    rest = like(a, 1.0) - abs(a)
    return rest * rest


def hard_sigmoid(z):
    return clamp(z + like(z, 3.0), like(z, 0.0), like(z, 6.0)) * like(z, 1.0 / 6.0)


def hard_sigmoid_prime(z, a):
    return like(a, 1.0 / 6.0) if (a > like(a, 0.0)) & (a < like(a, 1.0)) else like(a, 0.0)


def hard_swish(z):
    return z * (clamp(z + like(z, 3.0), like(z, 0.0), like(z, 6.0)) * like(z, 1.0 / 6.0))


def hard_swish_prime(z, a):
    slope = z * like(z, 1.0 / 3.0) + like(z, 0.5)
    slope = like(z, 0.0) if z <= like(z, -3.0) else slope
    return like(z, 1.0) if z >= like(z, 3.0) else slope


def softplus(z):
    return (like(z, 0.0) if z < like(z, 0.0) else z) + log1p(exp(-abs(z)))


def softplus_prime(z, a):
    return -expm1(-a)  # sigmoid(z) = 1 - exp(-log(1 + exp(z)))


def exponential(z):
    return exp(z)


def exponential_prime(z, a):
    return a


# z Phi(z), z sigmoid(z) and the like: z far below 0 is held where the other factor is still a normal number, for its
# product with a larger z would not vanish. The slopes have exp(-|z|), which stays below 1, and no 1 - sigmoid(z).


@inline
def _held(z, single, double):
    limit = by_dtype(z, single, double)
    return -limit if z < -limit else z


@inline
def _product_with_sigmoid(z, u, du):
    """The derivative of z sigmoid(u): sigmoid(u) + z sigmoid(u) sigmoid(-u) u'."""
    one = like(z, 1.0)
    e = exp(-abs(u))
    larger = one / (one + e)
    smaller = e * larger
    return (smaller if u < like(z, 0.0) else larger) + z * (smaller * larger) * du


def gelu(z):
    return _held(z, 13.14, 37.61) * normal_cdf(z)


def gelu_prime(z, a):
    """Phi(z) + z phi(z); for z < 0, phi(t) (M(t) - t) with t = -z and Mills' ratio M."""
    t = clamp(abs(z), like(z, 0.0), by_dtype(z, 13.14, 37.61))
    below = normal_density(t) * (mills_ratio(t) - t)
    return below if z < like(z, 0.0) else like(z, 1.0) - below


GELU_RATE, GELU_CUBE = 1.5957691216057308, 0.044715
"""tanh(u) with u = sqrt(2 / pi) (z + 0.044715 z^3), as 2 sigmoid(2 u) - 1; GELU_RATE = 2 sqrt(2 / pi)."""


def gelu_tanh(z):
    z = _held(z, 9.98, 21.14)
    return z * sigmoid_of(like(z, GELU_RATE) * z * (like(z, 1.0) + like(z, GELU_CUBE) * (z * z)))


def gelu_tanh_prime(z, a):
    limit = by_dtype(z, 9.98, 21.14)
    z = clamp(z, -limit, limit)
    square = like(z, GELU_CUBE) * (z * z)
    u = like(z, GELU_RATE) * z * (like(z, 1.0) + square)
    return _product_with_sigmoid(z, u, like(z, GELU_RATE) * (like(z, 1.0) + like(z, 3.0) * square))


def silu(z):
    z = _held(z, 87.0, 708.0)
    return z * sigmoid_of(z)


def silu_prime(z, a):
    limit = by_dtype(z, 87.0, 708.0)
    z = clamp(z, -limit, limit)
    return _product_with_sigmoid(z, z, like(z, 1.0))


@inline
def _tanh_of_softplus(z):
    """tanh(log(1 + exp(z))) = n / (n + m), and the n and m, both positive, and e = exp(-|z|) that make it."""
    one, two = like(z, 1.0), like(z, 2.0)
    e = exp(-abs(z))
    n = e * (e + two) if z < like(z, 0.0) else one + two * e
    m = two if z < like(z, 0.0) else two * (e * e)
    return n / (n + m), n, m, e


def mish(z):
    z = _held(z, 87.0, 708.0)
    return z * _tanh_of_softplus(z)[0]


def mish_prime(z, a):
    """T + z (1 - T^2) sigmoid(z) with T = n / (n + m), 1 - T^2 = m (2 n + m) / (n + m)^2."""
    one, limit = like(z, 1.0), by_dtype(z, 87.0, 708.0)
    z = clamp(z, -limit, limit)
    T, n, m, e = _tanh_of_softplus(z)
    d = n + m
    sigmoid_z = (e if z < like(z, 0.0) else one) / (one + e)
    return T + z * (m * (n + d) / (d * d)) * sigmoid_z


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


for entry in (
    elementwise("identity", identity, identity_prime, needs_z=False),
    elementwise("sigmoid", sigmoid, sigmoid_prime, needs_z=False),
    elementwise("tanh", tanh, tanh_prime, needs_z=False),
    elementwise("softsign", softsign, softsign_prime, needs_z=False),  # Glorot and Bengio (2010) try theirs with it
    elementwise("hard_sigmoid", hard_sigmoid, hard_sigmoid_prime, needs_z=False),
    # He's 2 / n_(l-1) makes up for the half of the units that are off; the smooth ones are nearly off there.
    elementwise("relu", relu, relu_prime, needs_z=False, initializer="he_normal"),
    elementwise(
        "leaky_relu", leaky_relu, leaky_relu_prime, Setting("slope", 0.01, low=0.0), needs_z=False,
        initializer="he_normal",
    ),
    elementwise("relu6", relu6, relu6_prime, needs_z=False, initializer="he_normal"),
    elementwise("elu", elu, elu_prime, Setting("alpha", 1.0, low=0.0), needs_z=False, initializer="he_normal"),
    # Klambauer et al. (2017): its fixed point of mean 0 and variance 1 asks for weights of variance 1 / n_(l-1).
    elementwise("selu", selu, selu_prime, needs_z=False, initializer="lecun_normal"),
    elementwise("gelu", gelu, gelu_prime, initializer="he_normal"),
    elementwise("gelu_tanh", gelu_tanh, gelu_tanh_prime, initializer="he_normal"),
    elementwise("silu", silu, silu_prime, initializer="he_normal"),
    elementwise("mish", mish, mish_prime, initializer="he_normal"),
    elementwise("hard_swish", hard_swish, hard_swish_prime, initializer="he_normal"),
    elementwise("softplus", softplus, softplus_prime, needs_z=False, initializer="he_normal"),
    # Its a grows with the variance of z, whatever that is: Glorot's is the smaller of the usual ones.
    elementwise("exp", exponential, exponential_prime, needs_z=False),
    Activation(name="softmax", sigma=softmax, sigma_prime=softmax_prime, needs_z=False, output_only=True),
):  # fmt: skip
    ACTIVATIONS[entry.name] = entry
