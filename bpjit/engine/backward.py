"""Backward: E6 at the output, then the recursion E7 from layer L down to layer 2.

A tile holds the sum in E7 for LARGE or SMALL units j of layer l - 1 and one block of samples.
"""

from . import jit, layout, losses, tile
from .forward import drop
from .jit import call
from .layout import of_block
from .losses import COSTS
from .tile import LARGE, SMALL

OUTPUT_BLOCK = 128
INPUT_BLOCK = 48
"""Units i of layer l summed at a time, and units j of layer l - 1 under them: their weights stay in the first-level
cache while the samples pass."""


@jit.kernel(jit.records(layout.LAYER), jit.vector, jit.records(losses.COST), COSTS, jit.INDEX, jit.INDEX, jit.INDEX)
def output_delta(layers, work, cost, costs, s_first, s_end, samples):
    """E3, E6 for the blocks s_first .. s_end - 1 of a mini-batch of `samples`; writes delta^L, and C_s into costs."""
    layer = layers[layers.size - 1]
    n = layer.units
    z, y, t = layout.z(work, layer), layout.a(work, layer), layout.target(work, layer)
    delta = layout.delta(work, layer)
    share = jit.like(delta[0, 0, 0], 1.0 / samples)
    for s in range(s_first, s_end):
        z_s, y_s = of_block(z, s, 0, n), of_block(y, s, 0, n)
        t_s, delta_s = of_block(t, s, 0, n), of_block(delta, s, 0, n)
        C = layout.block_costs(costs, layer, s)
        for q in range(C.size):
            C[q] = 0.0
        if cost[0].pair != 0:
            call(cost[0].pair, z_s, y_s, t_s, delta_s, C, cost[0].setting)
        else:
            call(cost[0].cost, y_s, t_s, C, cost[0].setting)
            call(cost[0].cost_prime, y_s, t_s, delta_s, cost[0].setting)  # dC_s/dy_i
            call(layer.sigma_prime, z_s, y_s, delta_s, layer.setting)
        for i in range(n):
            for q in range(tile.width(delta)):
                delta_s[i, q] *= share  # E6: delta_i = (1/S) sigma'(z_i) dC_s/dy_i


@jit.kernel(jit.records(layout.LAYER), jit.INDEX, jit.vector, jit.vector, jit.INDEX, jit.INDEX, jit.INDEX, jit.INDEX)
def backward(layers, l, theta, work, p_first, p_end, s_first, s_end):
    """E7 and delta_rows of layer l, for the panels p_first .. p_end - 1 of its units, the blocks s_first .. s_end - 1.

    At the output layer delta is there already.
    """
    layer = layers[l]
    delta = layout.delta(work, layer)
    if l < layers.size - 1:
        j_first, j_end = p_first * layer.panel, min(p_end * layer.panel, layer.units)
        weighted_delta(layers[l + 1], theta, layout.delta(work, layers[l + 1]), delta, j_first, j_end, s_first, s_end)
        times_sigma_prime(layer, work, delta, j_first, j_end, s_first, s_end)
    lay_in_rows(layer, delta, layout.delta_rows(work, layer), p_first, p_end, s_first, s_end)


@jit.kernel(jit.records(layout.LAYER), jit.INDEX, jit.vector, jit.vector, jit.INDEX, jit.INDEX, jit.INDEX, jit.INDEX)
def backward_few(layers, l, theta, work, p_first, p_end, s_first, s_end):
    """What `backward` does, for a block with up to FEW samples: its tiles have units side by side, not samples."""
    layer = layers[l]
    delta = layout.delta(work, layer)
    if l < layers.size - 1:
        j_first, j_end = p_first * layer.panel, min(p_end * layer.panel, layer.units)
        above = layout.delta_rows(work, layers[l + 1])
        weighted_delta_few(layers[l + 1], theta, above, delta, j_first, j_end, s_first, s_end)
        times_sigma_prime(layer, work, delta, j_first, j_end, s_first, s_end)
    lay_in_rows(layer, delta, layout.delta_rows(work, layer), p_first, p_end, s_first, s_end)


@jit.inline
def times_sigma_prime(layer, work, delta, j_first, j_end, s_first, s_end):
    z, a = layout.z(work, layer), layout.a(work, layer)
    for s in range(s_first, s_end):
        z_s, a_s = of_block(z, s, j_first, j_end), of_block(a, s, j_first, j_end)
        delta_s = of_block(delta, s, j_first, j_end)
        call(layer.sigma_prime, z_s, a_s, delta_s, layer.setting)  # E7: delta_j = sigma'(z_j) (sum of w_ij delta_i)
        if layer.drop != 0:
            drop(layer, delta_s, delta_s, j_first, s)


@jit.inline
def weighted_delta_few(layer, theta, delta, sums, j_first, j_end, s_first, s_end):
    """The sum in E7 as PANEL partial sums, of the units i modulo PANEL, for SMALL units j of layer l - 1 at a time."""
    W = layout.weights(theta, layer)
    for j in range(j_first, j_end, SMALL):
        for s in range(s_first * layer.panel, min(s_end * layer.panel, layer.capacity)):
            t = tile.zeros(SMALL, delta)
            for p in range(layer.panels):
                t = tile.add_products(t, W[p], j, delta[p], s)  # E7: sum_j += w_ij delta_i
            tile.store_sums(t, sums[s // layer.panel], j, s % layer.panel)


@jit.inline
def weighted_delta(layer, theta, delta, sums, j_begin, j_end, s_first, s_end):
    """The sum in E7, over the units i of layer l, for the units j_begin .. j_end - 1 of layer l - 1."""
    W = layout.weights(theta, layer)
    all_rows = layout.tile_rows(j_end - j_begin)
    panels = max(1, OUTPUT_BLOCK // layer.panel)
    for p in range(0, layer.panels, panels):
        p_end = min(p + panels, layer.panels)
        for block in range(0, max(1, all_rows - INPUT_BLOCK + 1), INPUT_BLOCK):
            rest = all_rows - block
            rows = INPUT_BLOCK if rest >= 2 * INPUT_BLOCK else rest
            j_first = j_begin + block
            j_large = j_first + LARGE * layout.large_tiles(rows)
            for s in range(s_first, s_end):
                for j in range(j_first, j_large, LARGE):
                    t = tile.zeros(LARGE, sums) if p == 0 else tile.load(LARGE, sums[s], j)
                    tile.store(add_outputs(t, W, j, delta[s], layer, p, p_end), sums[s], j)
                for j in range(j_large, j_first + rows, SMALL):
                    t = tile.zeros(SMALL, sums) if p == 0 else tile.load(SMALL, sums[s], j)
                    tile.store(add_outputs(t, W, j, delta[s], layer, p, p_end), sums[s], j)


@jit.inline
def add_outputs(t, W, j, delta, layer, p_first, p_end):
    width = tile.width(delta)
    last = min(p_end, layer.units // width)
    for p in range(p_first, last):  # whole panels apart: LLVM unrolls a loop whose length it knows
        for q in range(width):
            t = tile.add_column_products(t, W[p], j, q, delta, p * width + q)  # E7: sum_j += w_ij delta_i
    for p in range(last, p_end):
        for q in range(layer.units - p * width):
            t = tile.add_column_products(t, W[p], j, q, delta, p * width + q)  # E7
    return t


@jit.inline
def lay_in_rows(layer, delta, rows, p_first, p_end, s_first, s_end):
    """Copies delta, where samples lie side by side, to where units do: what the gradient needs."""
    for p in range(p_first, p_end):
        for s in range(s_first, s_end):
            for i in range(0, layer.panel, tile.lanes(delta)):
                for q in range(0, layer.panel, tile.lanes(delta)):
                    tile.transpose(delta[s], layer.units, p * layer.panel + i, q, rows[p], s * layer.panel + q, i)
