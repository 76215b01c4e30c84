"""A mini-batch on its way into the engine and out of it: rows of X and t in, rows of y out."""

import numpy as np
from numba import types

from . import jit, layout, tile
from .jit import INDEX, NUMBER, matrix, vector
from .losses import COSTS
from .noise import GOLDEN_GAMMA, splitmix64
from .tile import PANEL_MAX, SMALL, TILE_NUMBERS

ORDER = types.Array(types.intp, 1, "C")


@jit.kernel(jit.records(layout.LAYER), vector, matrix, ORDER, INDEX, INDEX, INDEX, INDEX)
def gather(layers, work, X, order, first, samples, s_first, s_end):
    """a^0 = x: sample s of the mini-batch is row order[first + s] of X.

    Samples side by side are rows of X transposed, a square of vector registers at a time. The room beyond the last
    sample repeats it, or keeps what it had, and is of no matter.
    """
    layer = layers[0]
    x = layout.a(work, layer)
    last, side = first + samples - 1, tile.lanes(x)
    whole = layer.units // side * side
    rows, coming = jit.scratch(PANEL_MAX, order), jit.scratch(PANEL_MAX, order)
    for s in range(s_first, s_end):
        room = min(layer.panel, samples - s * layer.panel)
        for q in range(0, room, side):
            sample = first + s * layer.panel + q
            for k in range(side):
                rows[k] = order[min(sample + k, last)]
                coming[k] = order[min(sample + side + k, order.size - 1)]  # anywhere in memory
            for j in range(0, whole, side):
                tile.prefetch_gather(X, coming, j)
                tile.gather(X, rows, j, x[s], q)
        for q in range(room):
            row = order[first + s * layer.panel + q]
            for j in range(whole, layer.units):
                x[s, j, q] = X[row, j]


@jit.kernel(jit.records(layout.LAYER), vector, ORDER, matrix, ORDER, INDEX, INDEX, INDEX, INDEX)
def gather_targets(layers, work, labels, targets, order, first, samples, s_first, s_end):
    """The targets t of a mini-batch, from labels (S,), one of the two being empty, or from rows (S, n_L)."""
    layer = layers[layers.size - 1]
    t = layout.target(work, layer)
    for s in range(s_first, s_end):
        if labels.size > 0:
            for i in range(layer.units):
                for q in range(tile.width(t)):
                    t[s, i, q] = 0
        for q in range(tile.width(t)):
            row = order[min(first + s * layer.panel + q, first + samples - 1)]
            if labels.size > 0:
                t[s, labels[row], q] = 1
            else:
                for i in range(layer.units):
                    t[s, i, q] = targets[row, i]


@jit.kernel(jit.records(layout.LAYER), vector, COSTS, COSTS, ORDER, NUMBER, INDEX, INDEX, INDEX, INDEX)
def weigh(layers, work, costs, weights, order, share, first, samples, s_first, s_end):
    """C_s w_s in the place of C_s, and delta^L w_s share in that of delta^L, which has the factor 1/S already."""
    layer = layers[layers.size - 1]
    delta = layout.delta(work, layer)
    factors = jit.scratch(PANEL_MAX, work)
    for s in range(s_first, s_end):
        C = layout.block_costs(costs, layer, s)
        for q in range(C.size):
            weight = weights[order[min(first + s * layer.panel + q, first + samples - 1)]]
            factors[q] = weight * share
            C[q] *= weight
        for i in range(layer.units):
            for q in range(tile.width(delta)):
                delta[s, i, q] *= factors[q]


@jit.kernel(jit.records(layout.LAYER), vector, matrix, COSTS, INDEX, INDEX, INDEX, INDEX)
def scatter_outputs(layers, work, y, costs, first, samples, s_first, s_end):
    """Row first + s of y (S, n_L) = a^L of sample s of the mini-batch; its cost is 0, or NaN if its x is not finite."""
    layer = layers[layers.size - 1]
    a = layout.a(work, layer)
    for s in range(s_first, s_end):
        times_zero(layout.a(work, layers[0])[s], layers[0].units, layout.block_costs(costs, layer, s))
        for q in range(min(layer.panel, samples - s * layer.panel)):
            for i in range(layer.units):
                y[first + s * layer.panel + q, i] = a[s, i, q]


@jit.inline
def times_zero(x, units, sums):
    """The sum over j of 0 x_j for each sample of a block."""
    rows = jit.shaped(jit.scratch(TILE_NUMBERS, x), 0, SMALL, x.shape[1])
    t = tile.zeros(SMALL, x)
    tile.store(t, rows, 0)
    whole = units // SMALL * SMALL
    for j in range(0, whole, SMALL):
        t = tile.add_products(t, x, j, rows, 0)
    tile.store(t, rows, 0)
    for q in range(x.shape[1]):
        sums[q] = 0.0
        for r in range(SMALL):
            sums[q] += rows[r, q]
        for j in range(whole, units):
            sums[q] += 0.0 * x[j, q]


@jit.kernel(ORDER, INDEX, INDEX)
def shuffle(order, seed, epoch):
    """Draws the order of an epoch from the seed and the epoch's number alone, so that no state needs to be kept.

    Fisher and Yates' shuffle over SplitMix64 (Steele, Lea and Flood, 2014), with Lemire's (2019) multiplication for
    numbers below i + 1, whose bias of at most i / 2^32 is of no matter here.
    """
    state = np.uint64(seed) * np.uint64(0xDA942042E4DD58B5) + np.uint64(epoch) * np.uint64(0xD1342543DE82EF95)
    for i in range(order.size):
        order[i] = i
    for i in range(order.size - 1, 0, -1):
        k = np.intp(((splitmix64(state) >> np.uint64(32)) * np.uint64(i + 1)) >> np.uint64(32))
        state += GOLDEN_GAMMA
        order[i], order[k] = order[k], order[i]
