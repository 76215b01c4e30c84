"""Forward: E1 and E2, from x = a^0 to y = a^L.

A tile holds z_i for LARGE or SMALL units i and one block of samples; the sum over j is the loop that adds to it.
"""

from . import jit, layout, tile
from .jit import call
from .tile import LARGE, SMALL

INPUT_BLOCK = 128
"""Input units j summed at a time: their weights (one panel) and activations stay in the first-level cache."""


@jit.kernel(jit.records(layout.LAYER), jit.vector, jit.vector, jit.INDEX, jit.INDEX)
def forward(layers, theta, work, s_first, s_end):
    """E1 and E2 through all layers for the blocks of samples s_first .. s_end - 1; writes z and a of every layer."""
    for l in range(1, layers.size):
        n = layers[l].units
        a_previous, z, a = layout.a(work, layers[l - 1]), layout.z(work, layers[l]), layout.a(work, layers[l])
        weighted_input(layers[l], theta, a_previous, z, s_first, s_end)
        for s in range(s_first, s_end):
            call(layers[l].sigma, z[s, :n], a[s, :n])  # E2: a_i = sigma(z_i)


@jit.inline
def weighted_input(layer, theta, a, z, s_first, s_end):
    """E1: z_i = sum over j of w_ij a_j + b_i; a is that of layer l - 1."""
    W, b = layout.weights(theta, layer), layout.biases(theta, layer)
    for j in range(0, layer.inputs, INPUT_BLOCK):
        j_end = min(j + INPUT_BLOCK, layer.inputs)
        for p in range(layer.panels):
            i_first = p * layer.panel
            rows = layout.tile_rows(min(layer.panel, layer.units - i_first))
            i_large = i_first + LARGE * layout.large_tiles(rows)
            for s in range(s_first, s_end):
                for i in range(i_first, i_large, LARGE):
                    t = tile.rows_of(LARGE, b, i) if j == 0 else tile.load(LARGE, z[s], i)
                    tile.store(add_inputs(t, W[p], i - i_first, a[s], j, j_end), z[s], i)
                for i in range(i_large, i_first + rows, SMALL):
                    t = tile.rows_of(SMALL, b, i) if j == 0 else tile.load(SMALL, z[s], i)
                    tile.store(add_inputs(t, W[p], i - i_first, a[s], j, j_end), z[s], i)


@jit.inline
def add_inputs(z, W, i, a, j_first, j_end):
    for j in range(j_first, j_end):
        z = tile.add_row_products(z, W, j, i, a, j)  # E1: z_i += w_ij a_j
    return z
