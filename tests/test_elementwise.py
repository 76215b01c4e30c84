"""exp, tanh, log, the normal distribution, … against decimal arithmetic of 40 digits, in units in the last place."""

import decimal
import re
from decimal import Decimal

import numpy as np
import pytest
from numba import njit

from bpjit.engine import elementwise, jit

pytestmark = pytest.mark.variants

DTYPES = ["float32", "float64"]

# The table of the module's docstring is what is promised: {"exp": (float32, float64), ...}
PROMISED = {
    name: (int(single), int(double))
    for name, single, double in re.findall(r"^ +(\w+) +(\d+) +(\d+) ", elementwise.__doc__, re.MULTILINE)
}

# Where exp is a normal number below 2^127 or 2^1023, and so is not clamped.
RANGE = {"float32": (-87.3, 88.0), "float64": (-708.3, 709.0)}


# How far the functions of the normal distribution go, in float32 and float64; the tail itself is normal to 13.
FAR = {"normal_density": (13.13, 37.6), "mills_ratio": (13.13, 37.6), "normal_cdf": (12.9, 37.5)}

# What a search of all mantissas (float32) and of 10^8 numbers (float64) found to be the hardest, with FMA and without.
HARD = {
    "exp": [-5.8778844, 70.4031, 80.75177764892578, 12.198318483252725],
    "expm1": [0.37417057, 0.37944002408578825],
    "normal_density": [12.2185297, 35.84374999999999],
    "mills_ratio": [0.343904376, 0.3493285723496846],
    "normal_cdf": [-0.0018368830, -0.00017309675424055057],
    "tanh": [0.0077671753, 0.06200009, 0.2050442691808301, 0.2177262332984575],
    "sigmoid": [-16.635704, -36.739896703393754],
    "log": [0.6401046, 0.7065256, 1.0038618, 0.7054840254189355, 0.7057308182394894, 0.7066627326885021],
    "log1p": [0.003861785, 0.63925254, 0.6450528, 0.007837448054599294, 0.6461817195231163, 0.6466486778893741],
}


def over(function):
    @njit(**jit.OPTIONS)
    def each(z, y):
        for q in range(z.size):
            y[q] = function(z[q])

    return each


FUNCTIONS = {name: over(getattr(elementwise, name)) for name in PROMISED}


def values(name, z):
    y = np.empty_like(z)
    with np.errstate(all="ignore"):  # of no effect but under NUMBA_DISABLE_JIT
        FUNCTIONS[name](z, y)
    return y


PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")


def mills_ratio(z: Decimal) -> Decimal:
    """Phi(-z) / phi(z) for z >= 0, of 1/2 less the series of Phi(z) - 1/2, or Laplace's continued fraction."""
    if z < 6:
        k, term, total = 1, z, z
        while term > total * Decimal(10) ** -50:
            k += 2
            term *= z * z / k
            total += term
        return (2 * PI).sqrt() * (z * z / 2).exp() / 2 - total
    fraction = z
    for k in range(200, 0, -1):
        fraction = z + k / fraction
    return 1 / fraction


def exact(name, z: float) -> Decimal:
    """The function of the very number z. 50 digits are enough for what is lost near 0, and by Mills' ratio."""
    z = Decimal(z)
    if name == "mills_ratio":
        return mills_ratio(z)
    density = (-z * z / 2).exp() / (2 * PI).sqrt()
    if name == "normal_density":
        return density
    if name == "normal_cdf":
        return 1 - density * mills_ratio(z) if z > 0 else density * mills_ratio(-z)
    if name == "expm1":
        return z + z * z / 2 if abs(z) < 1e-20 else z.exp() - 1
    if name == "exp":
        return z.exp()
    if name == "sigmoid":
        return 1 / (1 + (-z).exp())
    if name == "log":
        return z.ln()
    if name == "log1p":
        return z - z * z / 2 if z < 1e-13 else (1 + z).ln()
    return ((2 * z).exp() - 1) / ((2 * z).exp() + 1)


def units_in_the_last_place(name, z):
    """|found - exact| for each z, in spacings of the floating-point numbers at the exact value."""
    with decimal.localcontext(decimal.Context(prec=50)):
        errors = []
        for z_q, y_q in zip(z, values(name, z), strict=True):
            wanted = exact(name, float(z_q))
            spacing = np.spacing(np.abs(z.dtype.type(float(wanted))))
            errors.append(float(abs(Decimal(float(y_q)) - wanted) / Decimal(float(spacing))))
    return np.array(errors)


def arguments(name, dtype, count):
    """Numbers over the whole range, of every magnitude, and close to where the formulas change."""
    draw, info = np.random.default_rng(5), np.finfo(dtype)
    if name == "log":  # of normal numbers, up to 2^126 or 2^1022
        powers = 2.0 ** np.arange(info.minexp, info.maxexp - 1)
        beside = [powers[1:] * (1 - info.eps / 2), powers[:-1] * (1 + info.eps)]
        halfway = np.sqrt(0.5) * powers[1:] * (1 + info.eps * draw.integers(-3, 4, len(powers) - 1))
        around_1 = 1 + draw.choice([-1.0, 1.0], count) * 2.0 ** draw.uniform(-info.nmant - 1, -1, count)
        magnitudes = 2.0 ** draw.uniform(info.minexp, info.maxexp - 2, count)
        return np.concatenate([powers, *beside, halfway, around_1, magnitudes, HARD[name]]).astype(dtype)
    if name == "log1p":
        magnitudes = 2.0 ** draw.uniform(info.minexp, 0, count)
        return np.concatenate([draw.uniform(0, 1, count), magnitudes, HARD[name], [0, info.tiny, 1]]).astype(dtype)
    if name in FAR:
        far = FAR[name][DTYPES.index(dtype)]
        low = 0.0 if name == "mills_ratio" else -far
        magnitudes = 10.0 ** draw.uniform(-6, np.log10(far), count)
        steps = np.arange(0, far, 1 / 32)
        steps *= 1 + info.eps * draw.integers(-3, 4, len(steps))
        signs = draw.choice([-1.0, 1.0], count) if low < 0 else 1.0
        z = np.concatenate([draw.uniform(low, far, count), signs * magnitudes, steps, [low], HARD[name]])
        return z[z <= far].astype(dtype)
    low, high = RANGE[dtype]
    if name == "sigmoid":  # 1 + exp(-z) is to be finite
        low, high = -high, -low
    small = draw.choice([-1.0, 1.0], count) * 10.0 ** draw.uniform(-6, 1.3, count)
    near = [n * np.log(2) / 2 + draw.uniform(-1e-3, 1e-3) for n in range(-25, 26)]
    edges = [low, high, 0.625, 0.6249999, -0.625, 7.9, 7.91, 9.01, -9.01, 20.0, 1.0, -1.0, 0.0]
    return np.concatenate([draw.uniform(low, high, count), small, near, edges, HARD[name]]).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_as_exact_as_the_docstring_says(name, dtype):
    errors = units_in_the_last_place(name, arguments(name, dtype, 700))
    assert errors.max() <= PROMISED[name][DTYPES.index(dtype)]


def test_the_docstring_promises_for_every_function():
    assert PROMISED.keys() == FUNCTIONS.keys()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_stay_finite_beyond_the_range(dtype):
    most = np.finfo(dtype).max
    z = np.array([-np.inf, -most, -1e4, 1e4, most, np.inf], dtype)
    y = values("exp", z)
    assert np.isfinite(y).all()
    assert (y > 0).all() and (y[:3] <= 2 * np.finfo(dtype).tiny).all() and (y[3:] >= most / 4).all()
    np.testing.assert_allclose(values("tanh", z), np.sign(z), rtol=PROMISED["tanh"][0] * np.finfo(dtype).eps)
    y = values("sigmoid", z)
    assert (y[:3] >= 0).all() and (y[:3] <= 8 * np.finfo(dtype).tiny).all()
    assert (y[3:] == 1).all()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_goes_through(name, dtype):
    z = np.array([0.5, np.nan, 0.75] * 11, dtype)
    assert (np.isnan(values(name, z)) == np.isnan(z)).all()


@pytest.mark.nojit
def test_zero_and_symmetry():
    for dtype in DTYPES:
        z = np.linspace(0, 30, 1000).astype(dtype)
        assert values("exp", z[:1]) == 1 and values("tanh", z[:1]) == 0 and values("sigmoid", z[:1]) == 0.5
        np.testing.assert_array_equal(values("tanh", -z), -values("tanh", z))
        assert values("log1p", z[:1]) == 0 and values("log", np.ones(1, dtype)) == 0
