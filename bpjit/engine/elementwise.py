"""exp, log, tanh, … as short branch-free arithmetic that LLVM vectorises; `math.exp` is a library call a number.

Greatest error found against 40 digits (tests/test_elementwise.py), in units in the last place, rounded up:

    function         float32   float64   how
    exp              2         2         Cody and Waite's reduction; a polynomial through Chebyshev's points
    expm1            2         2         2^n (exp(r) - 1) + (2^n - 1)
    tanh             3         3         by exp(2 z) - 1
    sigmoid          3         3         1 / (1 + exp(-z))
    log              1         2         the exponent's share and log1p(m - 1), sqrt(1/2) <= m < sqrt(2)
    log1p            2         2         2 artanh(z / (z + 2)), as a power series
    normal_density   3         3         by exp, of -z^2 / 2 as a sum of two numbers: one alone would cost 80 ULP
    mills_ratio      4         4         polynomial in (t - K) / (t + K), over 1 + t / 2
    normal_cdf       6         5         normal_density times mills_ratio

Arguments beyond the range of the result are clamped, so that results stay finite; log and log1p do not look.
NaN goes through. erf(z) = 2 normal_cdf(sqrt(2) z) - 1, which nothing here asks for: it has no digits of small tails.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import config
from numba.extending import intrinsic, overload

from .jit import OPTIONS, WITHOUT_WRAPPERS, like

# Without reassoc: it would undo Cody and Waite's reduction, z - n high - n low, at a cost of hundreds of ULP.
EXACT = OPTIONS | {"fastmath": {"contract", "nsz"}}

inline = numba.njit(forceinline=True, **WITHOUT_WRAPPERS | EXACT)


def by_dtype(z, single, double):
    """`single` in the type of z if that is float32, else `double`: a limit that depends on the range of numbers."""
    return like(z, single if z.dtype == np.float32 else double)


@overload(by_dtype, inline="always")
def _by_dtype(z, single, double):
    if z.bitwidth == 32:
        return lambda z, single, double: like(z, single)
    return lambda z, single, double: like(z, double)


def _vectorised(float32, float64):
    """Makes a function stand for one of two implementations, by the type of its argument."""

    def decorate(function):
        def choose(z):
            return float32 if z.bitwidth == 32 else float64

        overload(function, jit_options=EXACT)(choose)
        return function

    return decorate


if not config.DISABLE_JIT:

    @intrinsic
    def _power_of_two(typingctx, n):
        """2^n for a whole number n in floating point, made of the bits of its exponent.

        The last bits of 1.5 2^23 + (n + bias) are those of n + bias: a conversion to integers takes longer, and has no
        vector form for float64 below AVX-512.
        """

        def codegen(context, builder, sig, args):
            bits, mantissa, bias = (32, 23, 127) if n.bitwidth == 32 else (64, 52, 1023)
            integer = ir.IntType(bits)
            shifted = builder.fadd(args[0], ir.Constant(args[0].type, 1.5 * 2.0**mantissa + bias))
            exponent = builder.shl(builder.bitcast(shifted, integer), ir.Constant(integer, mantissa))
            return builder.bitcast(exponent, args[0].type)

        return n(n), codegen

    @intrinsic
    def _exponent(typingctx, z):
        """The whole number n, in floating point, with sqrt(1/2) 2^n <= z < sqrt(2) 2^n, read from the bits of z."""

        def codegen(context, builder, sig, args):
            bits, mantissa, half = (32, 23, 0x3F3504F3) if z.bitwidth == 32 else (64, 52, 0x3FE6A09E667F3BCD)
            integer = ir.IntType(bits)
            above = builder.sub(builder.bitcast(args[0], integer), ir.Constant(integer, half))
            return builder.sitofp(builder.ashr(above, ir.Constant(integer, mantissa)), args[0].type)

        return z(z), codegen


@inline
def clamp(z, low, high):
    """z, or the nearest number between low and high; NaN stays."""
    z = low if z < low else z
    return high if z > high else z


@inline
def _round(z, step):
    """The nearest multiple of `step`, a power of two, to z: what is below is lost beside 1.5 2^23 steps."""
    shift = by_dtype(z, 1.5 * 2.0**23, 1.5 * 2.0**52) * like(z, step)
    return (z + shift) - shift


@inline
def _reduce(z, rest, high, low):
    """n and r with z + rest = n log 2 + r, |r| <= log(2) / 2, for a small rest.

    log 2 = high + low, high short enough for n high to be exact.
    """
    n = _round((z + rest) * like(z, 1.4426950408889634), 1.0)
    return n, ((z - n * high) - n * low) + rest


# p(r) = (exp(r) - 1 - r) / r^2 for |r| <= log(2) / 2, interpolated at Chebyshev's points: one term less than Cephes'
# polynomial and two less than Taylor's, for a tenth of an ULP. exp(r) - 1 is p r^2 + r, exp(r) in fewer steps Horner's.


@inline
def _series_32(r):
    p = like(r, 1.392621347e-3)
    p = p * r + like(r, 8.363202972e-3)
    p = p * r + like(r, 4.166655444e-2)
    p = p * r + like(r, 1.666657685e-1)
    return p * r + like(r, 0.5)


@inline
def _series_64(r):
    p = 2.5100424157005067e-08
    p = p * r + 2.7620138719733994e-07
    p = p * r + 2.7557268378684192e-06
    p = p * r + 2.480152119021773e-05
    p = p * r + 0.00019841269863105968
    p = p * r + 0.0013888888917281794
    p = p * r + 0.008333333333330051
    p = p * r + 0.04166666666662399
    p = p * r + 0.16666666666666669
    return p * r + 0.5


@inline
def _exp_near_0(r, series):
    return (series * r + like(r, 1.0)) * r + like(r, 1.0)


@inline
def _expm1_near_0(r, series):
    return series * (r * r) + r


@inline
def _reduce_32(z, rest):
    return _reduce(z, rest, like(z, 0.693359375), like(z, -2.12194440e-4))


@inline
def _reduce_64(z, rest):
    return _reduce(z, rest, 6.93145751953125e-1, 1.42860682030941723212e-6)


def _exp_32(z):
    n, r = _reduce_32(clamp(z, like(z, -87.3365), like(z, 88.3762)), like(z, 0.0))
    return _exp_near_0(r, _series_32(r)) * _power_of_two(n)


def _exp_64(z):
    n, r = _reduce_64(clamp(z, -708.39, 709.43), 0.0)
    return _exp_near_0(r, _series_64(r)) * _power_of_two(n)


@_vectorised(_exp_32, _exp_64)
def exp(z):
    """exp(z) within the range of normal numbers, 2^-126 to 2^127.5 in float32, 2^-1022 to 2^1023.5 in float64."""
    info = np.finfo(z.dtype)
    with np.errstate(over="ignore", under="ignore"):
        return np.minimum(np.maximum(np.exp(z), info.tiny), info.max / 2)


def _expm1_whole_32(z):
    n, r = _reduce_32(clamp(z, like(z, -87.3365), like(z, 88.3762)), like(z, 0.0))
    scale = _power_of_two(n)
    return scale * _expm1_near_0(r, _series_32(r)) + (scale - like(z, 1.0))


def _expm1_whole_64(z):
    n, r = _reduce_64(clamp(z, -708.39, 709.43), 0.0)
    scale = _power_of_two(n)
    return scale * _expm1_near_0(r, _series_64(r)) + (scale - 1.0)


@_vectorised(_expm1_whole_32, _expm1_whole_64)
def expm1(z):
    """exp(z) - 1, up to 2^127.5 in float32 and 2^1023.5 in float64."""
    with np.errstate(over="ignore"):
        return np.minimum(np.expm1(z), np.finfo(z.dtype).max / 2)


# tanh z = e / (e + 2) with e = exp(2 z) - 1 = 2^n (exp(r) - 1) + (2^n - 1): nothing cancels, small z keep their digits.


def _tanh_32(z):
    n, r = _reduce_32(clamp(like(z, 2.0) * abs(z), like(z, 0.0), like(z, 20.0)), like(z, 0.0))
    scale = _power_of_two(n)
    e = scale * _expm1_near_0(r, _series_32(r)) + (scale - like(z, 1.0))
    return np.copysign(e / (e + like(z, 2.0)), z)


def _tanh_64(z):
    n, r = _reduce_64(clamp(2.0 * abs(z), 0.0, 40.0), 0.0)
    scale = _power_of_two(n)
    e = scale * _expm1_near_0(r, _series_64(r)) + (scale - 1.0)
    return np.copysign(e / (e + 2.0), z)


@_vectorised(_tanh_32, _tanh_64)
def tanh(z):
    """tanh(z)."""
    return np.tanh(z)


# By exp(-z), with the minus in what multiplies and adds, where it costs nothing.


def _sigmoid_32(z):
    n, r = _reduce_32(clamp(z, like(z, -88.3762), like(z, 87.3365)), like(z, 0.0))
    return like(z, 1.0) / (like(z, 1.0) + _exp_near_0(-r, _series_32(-r)) * _power_of_two(-n))


def _sigmoid_64(z):
    n, r = _reduce_64(clamp(z, -709.43, 708.39), 0.0)
    return 1.0 / (1.0 + _exp_near_0(-r, _series_64(-r)) * _power_of_two(-n))


@_vectorised(_sigmoid_32, _sigmoid_64)
def sigmoid(z):
    """1 / (1 + exp(-z))."""
    one = like(z, 1.0)
    return one / (one + exp(-z))


# log(1 + z) = 2 artanh(s) with s = z / (z + 2), and 2 s = z - s z: z is exact, and what is rounded is small beside it.


def _log1p_32(z):
    s = z / (z + like(z, 2.0))
    square = s * s
    p = like(z, 0.0)
    for k in range(15, 1, -2):  # 2 artanh(s) = s (2 + p)
        p = (p + like(z, 2.0 / k)) * square
    return z - s * (z - p)


def _log1p_64(z):
    s = z / (z + 2.0)
    square = s * s
    p = 0.0
    for k in range(35, 1, -2):
        p = (p + 2.0 / k) * square
    return z - s * (z - p)


@_vectorised(_log1p_32, _log1p_64)
def log1p(z):
    """log(1 + z) for 0 <= z <= 1."""
    return np.log1p(z)


def _log_32(z):
    n = _exponent(z)
    small = log1p(z * _power_of_two(-n) - like(z, 1.0))
    return n * like(z, 0.693359375) + (n * like(z, -2.12194440e-4) + small)


def _log_64(z):
    n = _exponent(z)
    small = log1p(z * _power_of_two(-n) - 1.0)
    return n * 6.93145751953125e-1 + (n * 1.42860682030941723212e-6 + small)


@_vectorised(_log_32, _log_64)
def log(z):
    """log(z) for normal numbers 0 < z <= 2^126 in float32, 2^1022 in float64."""
    return np.log(z)


# The normal distribution. phi(z) = exp(-z^2 / 2) / sqrt(2 pi) where z^2 / 2 = h^2 / 2 + (|z| - h) (|z| + h) / 2 with a
# short h, whose square is exact. Mills' ratio M(t) = Phi(-t) / phi(t) falls from sqrt(pi / 2) like 1 / t, so that
# (1 + t / 2) M(t) is smooth in (t - K) / (t + K): interpolated there at Chebyshev's points.


@inline
def _halves_of_square(t):
    """-t^2 / 2 for t up to 64, as two numbers, the first of them exact."""
    h = _round(t, 0.0625)
    half = like(t, -0.5)
    return half * h * h, half * ((t - h) * (t + h))


def _normal_density_32(z):
    z, rest = _halves_of_square(clamp(abs(z), like(z, 0.0), like(z, 13.14)))
    n, r = _reduce_32(z, rest)
    return _exp_near_0(r, _series_32(r)) * _power_of_two(n) * like(z, 0.39894228)


def _normal_density_64(z):
    z, rest = _halves_of_square(clamp(abs(z), 0.0, 37.61))
    n, r = _reduce_64(z, rest)
    return _exp_near_0(r, _series_64(r)) * _power_of_two(n) * 0.3989422804014327


@_vectorised(_normal_density_32, _normal_density_64)
def normal_density(z):
    """phi(z) = exp(-z^2 / 2) / sqrt(2 pi) for |z| up to 13.14 in float32, 37.61 in float64; then constant."""
    t = np.minimum(np.abs(z), by_dtype(z, 13.14, 37.61))
    return np.exp(like(z, -0.5) * t * t) * like(z, 0.3989422804014327)


def _mills_ratio_32(z):
    t = clamp(z, like(z, 0.0), like(z, 13.14))
    q = (t - like(t, 4.5)) / (t + like(t, 4.5))
    p = like(t, -3.6601504e-4)
    p = p * q + like(t, -1.7102029e-4)
    p = p * q + like(t, 3.0895576e-3)
    p = p * q + like(t, -7.979111e-3)
    p = p * q + like(t, 8.110055e-3)
    p = p * q + like(t, 1.2692059e-2)
    p = p * q + like(t, -7.370689e-2)
    p = p * q + like(t, 1.812148e-1)
    p = p * q + like(t, -3.1382975e-1)
    p = p * q + like(t, 6.908544e-1)
    return p / (like(t, 0.5) * t + like(t, 1.0))


def _mills_ratio_64(z):
    t = clamp(z, 0.0, 37.61)
    q = (t - 5.0) / (t + 5.0)
    p = 2.6914329936702425e-09
    p = p * q + 3.71849273908423e-09
    p = p * q + -2.8038304079327984e-08
    p = p * q + -4.0670191644776366e-08
    p = p * q + 1.93677903692809e-07
    p = p * q + 2.5052501771005066e-07
    p = p * q + -1.3320264478740305e-06
    p = p * q + -9.30168297344132e-07
    p = p * q + 9.76254668767691e-06
    p = p * q + -4.077025507813582e-06
    p = p * q + -6.598226274814394e-05
    p = p * q + 0.000152787769656336
    p = p * q + 0.00017805638674780926
    p = p * q + -0.001825479189502133
    p = p * q + 0.005192676376536572
    p = p * q + -0.0077442842616684444
    p = p * q + 0.0014075504292934793
    p = p * q + 0.026888989174112542
    p = p * q + -0.08883681720520704
    p = p * q + 0.18436148227251578
    p = p * q + -0.29454115124316244
    p = p * q + 0.6748283665036051
    return p / (0.5 * t + 1.0)


@_vectorised(_mills_ratio_32, _mills_ratio_64)
def mills_ratio(z):
    """M(z) = Phi(-z) / phi(z) for 0 <= z <= 13.14 in float32, 37.61 in float64; then constant."""
    return _mills_ratio_32(z) if z.dtype == np.float32 else _mills_ratio_64(z)


@inline
def normal_cdf(z):
    """Phi(z) = (1 + erf(z / sqrt(2))) / 2; far below 0 it stays near the smallest normal number."""
    tail = normal_density(z) * mills_ratio(abs(z))
    return tail if z < like(z, 0.0) else like(z, 1.0) - tail
