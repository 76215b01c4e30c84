"""exp, tanh and sigmoid as short branch-free arithmetic that LLVM vectorises; `math.exp` is a library call a number.

Greatest error found against 40 digits (tests/test_elementwise.py), in units in the last place:

    function   float32   float64   how
    exp        1         1         Cody and Waite's reduction; Cephes' polynomial in float32, Taylor's in float64
    tanh       2         2         Cephes' two ranges
    sigmoid    2         2         1 / (1 + exp(-z))

Arguments beyond the range of the result are clamped, so that results stay finite; NaN goes through.
"""

import numba
import numpy as np
from llvmlite import ir
from numba.core import config
from numba.extending import intrinsic, overload

from .jit import OPTIONS, like

# Without reassoc: it would undo Cody and Waite's reduction, z - n high - n low, at a cost of hundreds of ULP.
EXACT = OPTIONS | {"fastmath": {"contract", "nsz"}}

inline = numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **EXACT)


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


@inline
def _clamp(z, low, high):
    z = low if z < low else z
    return high if z > high else z


@inline
def _reduce(z, high, low):
    """n and r with z = n log 2 + r, |r| <= log(2) / 2; log 2 = high + low, high short enough for n high to be exact."""
    n = np.floor(z * like(z, 1.4426950408889634) + like(z, 0.5))
    return n, (z - n * high) - n * low


def _exp_32(z):
    z = _clamp(z, like(z, -87.3365), like(z, 88.3762))
    n, r = _reduce(z, like(z, 0.693359375), like(z, -2.12194440e-4))
    p = like(z, 1.9875691500e-4)
    p = p * r + like(z, 1.3981999507e-3)
    p = p * r + like(z, 8.3334519073e-3)
    p = p * r + like(z, 4.1665795894e-2)
    p = p * r + like(z, 1.6666665459e-1)
    p = p * r + like(z, 5.0000001201e-1)
    return (p * (r * r) + r + like(z, 1.0)) * _power_of_two(n)


def _exp_64(z):
    z = _clamp(z, -708.39, 709.43)
    n, r = _reduce(z, 6.93145751953125e-1, 1.42860682030941723212e-6)
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
    return (p * (r * r) + r + 1.0) * _power_of_two(n)


@_vectorised(_exp_32, _exp_64)
def exp(z):
    """exp(z) within the range of normal numbers, 2^-126 to 2^127.5 in float32, 2^-1022 to 2^1023.5 in float64."""
    info = np.finfo(z.dtype)
    with np.errstate(over="ignore", under="ignore"):
        return np.minimum(np.maximum(np.exp(z), info.tiny), info.max / 2)


def _tanh_32(z):
    magnitude = abs(z)
    large = like(z, 1.0) - like(z, 2.0) / (exp(like(z, 2.0) * magnitude) + like(z, 1.0))
    s = z * z
    p = like(z, -5.70498872745e-3)
    p = p * s + like(z, 2.06390887954e-2)
    p = p * s + like(z, -5.37397155531e-2)
    p = p * s + like(z, 1.33314422036e-1)
    p = p * s + like(z, -3.33332819422e-1)
    return z + z * (s * p) if magnitude < like(z, 0.625) else np.copysign(large, z)


def _tanh_64(z):
    magnitude = np.abs(z)
    large = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0)
    s = z * z
    p = (-9.64399179425052238628e-1 * s - 9.92877231001918586564e1) * s - 1.61468768441708447952e3
    q = ((s + 1.12811678491632931402e2) * s + 2.23548839060100448583e3) * s + 4.84406305325125486048e3
    small = z + z * (s * (p / q))
    return small if magnitude < 0.625 else np.copysign(large, z)


@_vectorised(_tanh_32, _tanh_64)
def tanh(z):
    """tanh(z)."""
    return np.tanh(z)


@inline
def sigmoid(z):
    """1 / (1 + exp(-z))."""
    one = like(z, 1.0)
    return one / (one + exp(-z))
