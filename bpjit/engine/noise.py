"""Noise of a training step: dropout, and Gaussian noise on the input.

A random number is a function of a key, which follows from the seed, the epoch, the mini-batch and the layer, and of the
places of sample and unit: there is no state to keep, and any number of threads, or a resumed run, finds the same ones.
"""

import numpy as np
from llvmlite import ir
from numba import types

from . import jit, layout, tile
from .elementwise import log
from .jit import INDEX, NUMBER, like, matrix, vector
from .layout import of_block
from .tile import PANEL_MAX

# Normal quantiles: Wichura (1988), Algorithm AS 241, PPND7, of 7 digits. Its branch for p < 1e-11 is not needed here.
CENTRE = 5.9109374720e1, 1.5929113202e2, 5.0434271938e1, 3.3871327179
CENTRE_BELOW = 6.7187563600e1, 7.8757757664e1, 1.7895169469e1, 1.0
TAIL = 1.7023821103e-1, 1.3067284816, 2.7568153900, 1.4234372777
TAIL_BELOW = 0.0, 1.2021132975e-1, 7.3700164250e-1, 1.0

GOLDEN_GAMMA = np.uint64(0x9E3779B97F4A7C15)


@jit.kernel(jit.records(layout.LAYER), INDEX, INDEX, INDEX, INDEX)
def draw_keys(layers, seed, epoch, step, before):
    """The key of each layer for a mini-batch, of which `before` samples are done already.

    SplitMix64 (Steele, Lea and Flood, 2014) over the numbers that it stands for, one after the other.
    """
    state = splitmix64(splitmix64(splitmix64(np.uint64(seed)) + np.uint64(epoch)) + np.uint64(step))
    for l in range(layers.size):
        layers[l].key = np.int64(splitmix64(state + np.uint64(l)))
        layers[l].before = before


@jit.inline
def splitmix64(state):
    """The next number after a state, which goes on by GOLDEN_GAMMA from one number to the next."""
    x = np.uint64(state) + GOLDEN_GAMMA
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


WORD = 0xFFFFFFFF


def _random_bits_plain(key, i, s):
    x = (int(i) * 0x9E3779B1 + int(s) ^ int(key)) & WORD
    x = (x ^ x >> 16) * 0x7FEB352D & WORD
    x = (x ^ x >> 15) + (int(key) >> 32) & WORD
    x = x * 0x846CA68B & WORD
    return np.uint32(x ^ x >> 16)


@jit.operation(_random_bits_plain)
def random_bits(typingctx, key, i, s):
    """32 random bits for unit i of sample s: Wellons' hash lowbias32 (2018) with half of the key before each of its
    multiplications. In LLVM's words: Numba would widen products of 32 bits to 64, and a vector holds half as many.
    """

    def codegen(context, builder, sig, args):
        word = ir.IntType(32)
        low, i, s = (builder.trunc(arg, word) for arg in args)
        high = builder.trunc(builder.lshr(args[0], ir.Constant(args[0].type, 32)), word)
        x = builder.xor(builder.add(builder.mul(i, word(0x9E3779B1)), s), low)
        x = builder.mul(builder.xor(x, builder.lshr(x, word(16))), word(0x7FEB352D))
        x = builder.add(builder.xor(x, builder.lshr(x, word(15))), high)
        x = builder.mul(x, word(0x846CA68B))
        return builder.xor(x, builder.lshr(x, word(16)))

    return types.uint32(types.intp, types.intp, types.intp), codegen


@jit.kernel(matrix, matrix, INDEX, INDEX, INDEX, NUMBER)
def drop(x, y, key, i_first, s_first, rate):
    """y_i = x_i / (1 - rate), or 0 with probability `rate`, for units from i_first and samples from s_first on.

    Srivastava et al. (2014), Dropout, inverted: the expectation stays, and a network that answers needs no factor.
    """
    limit = np.uint32(rate * 4294967296.0)
    scale = like(x[0, 0], 1.0 / (1.0 - rate))
    row = jit.scratch(PANEL_MAX, x)  # x and y may be the same array, which keeps a loop over both from being vectorised
    for i in range(x.shape[0]):
        for q in range(tile.width(x)):
            row[q] = x[i, q]
        for q in range(tile.width(x)):
            kept = random_bits(key, i_first + i, s_first + q) >= limit
            row[q] = row[q] * scale if kept else like(scale, 0.0)
        for q in range(tile.width(x)):
            y[i, q] = row[q]


@jit.kernel(jit.records(layout.LAYER), vector, NUMBER, INDEX, INDEX)
def add_noise(layers, work, deviation, s_first, s_end):
    """x_j + deviation N, with N normal, for the blocks s_first .. s_end - 1."""
    layer = layers[0]
    key = ~layer.key  # dropout has the other
    for s in range(s_first, s_end):
        x = of_block(layout.a(work, layer), s, 0, layer.units)
        c = like(x[0, 0], deviation)
        for j in range(x.shape[0]):
            for q in range(tile.width(x)):
                bits = random_bits(key, j, layer.before + s * layer.panel + q)
                x[j, q] += c * normal(like(c, np.int32(bits >> np.uint32(8)) - 8388607.5) * like(c, 2.0**-24))


@jit.inline
def normal(q):
    """The number that a normal one stays below with probability q + 1/2."""
    half, side = like(q, 0.5), abs(q)
    r = like(q, 0.180625) - q * q
    centre = q * ratio(r, CENTRE, CENTRE_BELOW)
    r = np.sqrt(-log(half - side)) - like(q, 1.6)
    tail = ratio(r, TAIL, TAIL_BELOW)
    return centre if side <= like(q, 0.425) else (tail if q > like(q, 0.0) else -tail)


@jit.inline
def ratio(r, above, below):
    return cubic(r, above) / cubic(r, below)


@jit.inline
def cubic(r, c):
    return ((like(r, c[0]) * r + like(r, c[1])) * r + like(r, c[2])) * r + like(r, c[3])
