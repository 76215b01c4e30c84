"""Backward: E6 at the output, then the recursion E7 from layer L down to layer 2.

A tile holds the sum in E7 for LARGE or SMALL units j of layer l - 1 and one block of samples.
"""

from . import jit, layout, losses, tile
from .jit import call
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
    delta, g = layout.delta(work, layer), layout.sums(work, layer)
    for s in range(s_first, s_end):
        C = layout.block_costs(costs, layer, s)
        C[:] = 0.0
        if cost[0].pair != 0:
            call(cost[0].pair, z[s, :n], y[s, :n], t[s, :n], delta[s, :n], C)
        else:
            call(cost[0].cost, y[s, :n], t[s, :n], C)
            call(cost[0].cost_prime, y[s, :n], t[s, :n], g[s, :n])  # dC_s/dy_i
            call(layer.sigma_prime, z[s, :n], y[s, :n], g[s, :n], delta[s, :n])
        share = jit.like(delta[s, 0, 0], 1.0 / samples)
        for i in range(n):
            for q in range(layer.panel):
                delta[s, i, q] *= share  # E6: delta_i = (1/S) sigma'(z_i) dC_s/dy_i


@jit.kernel(jit.records(layout.LAYER), jit.vector, jit.vector, jit.INDEX, jit.INDEX)
def backward(layers, theta, work, s_first, s_end):
    """E7 through the layers L .. 2 for the blocks of samples s_first .. s_end - 1; writes delta and delta_rows."""
    for l in range(layers.size - 1, 0, -1):
        delta = layout.delta(work, layers[l])
        lay_in_rows(layers[l], delta, layout.delta_rows(work, layers[l]), s_first, s_end)
        if l > 1:
            previous = layers[l - 1]
            sums = layout.sums(work, previous)
            weighted_delta(layers[l], theta, delta, sums, s_first, s_end)
            z, a, n = layout.z(work, previous), layout.a(work, previous), previous.units
            delta = layout.delta(work, previous)
            for s in range(s_first, s_end):
                # E7: delta_j = sigma'(z_j) (sum over i of w_ij delta_i)
                call(previous.sigma_prime, z[s, :n], a[s, :n], sums[s, :n], delta[s, :n])


@jit.inline
def weighted_delta(layer, theta, delta, sums, s_first, s_end):
    """The sum in E7, over the units i of layer l, for every unit j of layer l - 1."""
    W = layout.weights(theta, layer)
    all_rows = layout.tile_rows(layer.inputs)
    panels = max(1, OUTPUT_BLOCK // layer.panel)
    for p in range(0, layer.panels, panels):
        p_end = min(p + panels, layer.panels)
        for j_first in range(0, max(1, all_rows - INPUT_BLOCK + 1), INPUT_BLOCK):
            rest = all_rows - j_first
            rows = INPUT_BLOCK if rest >= 2 * INPUT_BLOCK else rest
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
    for p in range(p_first, p_end):
        i_first = p * layer.panel
        for i in range(i_first, min(i_first + layer.panel, layer.units)):
            t = tile.add_column_products(t, W[p], j, i - i_first, delta, i)  # E7: sum_j += w_ij delta_i
    return t


@jit.inline
def lay_in_rows(layer, delta, rows, s_first, s_end):
    """Copies delta, where samples lie side by side, to where units do: what the gradient needs."""
    for p in range(layer.panels):
        for s in range(s_first, s_end):
            for i in range(0, layer.panel, tile.lanes(delta)):
                for q in range(0, layer.panel, tile.lanes(delta)):
                    tile.transpose(delta[s], layer.units, p * layer.panel + i, q, rows[p], s * layer.panel + q, i)
