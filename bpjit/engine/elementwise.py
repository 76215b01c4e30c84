"""exp, log, tanh, … as short branch-free arithmetic that LLVM vectorises; `math.exp` is a library call a number.

Greatest error found against 40 digits (tests/test_elementwise.py), in units in the last place, rounded up:

    function   float32   float64   how
    exp        2         1         Cody and Waite's reduction; Cephes' polynomial in float32, Taylor's in float64
    tanh       3         3         by exp(2 z) - 1
    sigmoid    3         3         1 / (1 + exp(-z))
    log        1         2         the exponent's share and log1p(m - 1), sqrt(1/2) <= m < sqrt(2)
    log1p      2         2         2 artanh(z / (z + 2)), as a power series

Arguments beyond the range of the result are clamped, so that results stay finite; log and log1p do not look.
NaN goes through.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import config
from numba.extending import intrinsic, overload

from .jit import OPTIONS, WITHOUT_WRAPPERS, like

# Without reassoc: it would undo Cody and Waite's reduction, z - n high - n low, at a cost of hundreds of ULP.
EXACT = OPTIONS | {"fastmath": {"contract", "nsz"}}

inline = numba.njit(**WITHOUT_WRAPPERS | EXACT)


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
        """2^n for a whole number n in floating point, made of the bits of its exponent."""

        def codegen(context, builder, sig, args):
            bits, mantissa, bias = (32, 23, 127) if n.bitwidth == 32 else (64, 52, 1023)
            integer = ir.IntType(bits)
            exponent = builder.add(builder.fptosi(args[0], integer), ir.Constant(integer, bias))
            return builder.bitcast(builder.shl(exponent, ir.Constant(integer, mantissa)), args[0].type)

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
def _clamp(z, low, high):
    z = low if z < low else z
    return high if z > high else z


@inline
def _reduce(z, high, low):
    """n and r with z = n log 2 + r, |r| <= log(2) / 2; log 2 = high + low, high short enough for n high to be exact."""
    n = np.floor(z * like(z, 1.4426950408889634) + like(z, 0.5))
    return n, (z - n * high) - n * low


@inline
def _expm1_32(r):
    """exp(r) - 1 for |r| <= log(2) / 2."""
    p = like(r, 1.9875691500e-4)
    p = p * r + like(r, 1.3981999507e-3)
    p = p * r + like(r, 8.3334519073e-3)
    p = p * r + like(r, 4.1665795894e-2)
    p = p * r + like(r, 1.6666665459e-1)
    p = p * r + like(r, 5.0000001201e-1)
    return p * (r * r) + r


@inline
def _expm1_64(r):
    """exp(r) - 1 for |r| <= log(2) / 2."""
    p = 1.0 / 6227020800.0
    p = p * r + 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    return p * (r * r) + r


@inline
def _reduce_32(z):
    return _reduce(z, like(z, 0.693359375), like(z, -2.12194440e-4))


@inline
def _reduce_64(z):
    return _reduce(z, 6.93145751953125e-1, 1.42860682030941723212e-6)


def _exp_32(z):
    n, r = _reduce_32(_clamp(z, like(z, -87.3365), like(z, 88.3762)))
    return (_expm1_32(r) + like(z, 1.0)) * _power_of_two(n)


def _exp_64(z):
    n, r = _reduce_64(_clamp(z, -708.39, 709.43))
    return (_expm1_64(r) + 1.0) * _power_of_two(n)


@_vectorised(_exp_32, _exp_64)
def exp(z):
    """exp(z) within the range of normal numbers, 2^-126 to 2^127.5 in float32, 2^-1022 to 2^1023.5 in float64."""
    info = np.finfo(z.dtype)
    with np.errstate(over="ignore", under="ignore"):
        return np.minimum(np.maximum(np.exp(z), info.tiny), info.max / 2)


# tanh z = e / (e + 2) with e = exp(2 z) - 1 = 2^n (exp(r) - 1) + (2^n - 1): nothing cancels, small z keep their digits.


def _tanh_32(z):
    n, r = _reduce_32(_clamp(like(z, 2.0) * abs(z), like(z, 0.0), like(z, 20.0)))
    scale = _power_of_two(n)
    e = scale * _expm1_32(r) + (scale - like(z, 1.0))
    return np.copysign(e / (e + like(z, 2.0)), z)


def _tanh_64(z):
    n, r = _reduce_64(_clamp(2.0 * abs(z), 0.0, 40.0))
    scale = _power_of_two(n)
    e = scale * _expm1_64(r) + (scale - 1.0)
    return np.copysign(e / (e + 2.0), z)


@_vectorised(_tanh_32, _tanh_64)
def tanh(z):
    """tanh(z)."""
    return np.tanh(z)


@inline
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
