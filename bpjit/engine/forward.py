"""Forward: E1 and E2, from x = a^0 to y = a^L.

A tile holds z_i for LARGE or SMALL units i and one block of samples; the sum over j is the loop that adds to it.
"""

from . import jit, layout, tile
from .jit import call
from .layout import of_block
from .tile import LARGE, SMALL, TILE_NUMBERS

INPUT_BLOCK = 128
"""Input units j summed at a time: their weights (one panel) and activations stay in the first-level cache."""


@jit.kernel(jit.records(layout.LAYER), jit.INDEX, jit.vector, jit.vector, jit.INDEX, jit.INDEX, jit.INDEX, jit.INDEX)
def forward(layers, l, theta, work, p_first, p_end, s_first, s_end):
    """E1 and E2 of layer l for the panels p_first .. p_end - 1 of its units and the blocks s_first .. s_end - 1.

    E2 of the output layer waits until all of its units are known: softmax takes them together.
    """
    layer = layers[l]
    weighted_input(layer, theta, layout.out(work, layers[l - 1]), layout.z(work, layer), p_first, p_end, s_first, s_end)
    if l < layers.size - 1:
        i_first, i_end = p_first * layer.panel, min(p_end * layer.panel, layer.units)
        activate(layer, work, i_first, i_end, s_first, s_end)


@jit.kernel(jit.records(layout.LAYER), jit.INDEX, jit.vector, jit.vector, jit.INDEX, jit.INDEX, jit.INDEX, jit.INDEX)
def forward_few(layers, l, theta, work, p_first, p_end, s_first, s_end):
    """What `forward` does, for a block with up to FEW samples, with the same bits.

    A block is mostly empty then, so units lie side by side in a tile: weights that come from far are read once.
    """
    layer = layers[l]
    W, b = layout.weights(theta, layer), layout.bias_rows(theta, layer)
    a, z = layout.out(work, layers[l - 1]), layout.z(work, layer)
    rows = jit.shaped(jit.scratch(TILE_NUMBERS, theta), 0, LARGE, layer.panel)
    p_one = p_first
    if layer.capacity == 1:
        p_one += (p_end - p_first) // SMALL * SMALL
        weighted_input_of_one(W, b, a[0], z[0], layer, rows, p_first, p_one)
    for s in range(s_first, s_end):
        samples = min(layer.panel, layer.capacity - s * layer.panel)
        weighted_input_of_few(W, b, a[s], z[s], layer, rows, p_one, p_end, samples)
    if l < layers.size - 1:
        activate(layer, work, p_first * layer.panel, min(p_end * layer.panel, layer.units), s_first, s_end)


@jit.inline
def weighted_input_of_few(W, b, a, z, layer, rows, p_first, p_end, samples):
    """E1 of a block's first samples, a tile being one panel of units by LARGE or SMALL samples."""
    all_rows = layout.tile_rows(samples)
    s_large = LARGE * layout.large_tiles(all_rows)
    for p in range(p_first, p_end):
        for s in range(0, s_large, LARGE):
            begin_with_biases(rows, b, p)
            tile.store(add_inputs(tile.load(LARGE, rows, 0), a, s, W[p], 0, layer.inputs), rows, 0)
            lay_in_block(rows, LARGE, z, layer, p, s)
        for s in range(s_large, all_rows, SMALL):
            begin_with_biases(rows, b, p)
            tile.store(add_inputs(tile.load(SMALL, rows, 0), a, s, W[p], 0, layer.inputs), rows, 0)
            lay_in_block(rows, SMALL, z, layer, p, s)


@jit.inline
def begin_with_biases(rows, b, p):
    for r in range(LARGE):
        for q in range(tile.width(rows)):
            rows[r, q] = b[p, q]


@jit.inline
def lay_in_block(rows, count, z, layer, p, s):
    """Copies what a tile has of the units of panel p, side by side, to where samples are: from number s on."""
    i_first = p * layer.panel
    for q in range(min(layer.panel, layer.units - i_first)):
        for r in range(count):
            z[i_first + q, s + r] = rows[r, q]


@jit.inline
def weighted_input_of_one(W, b, a, z, layer, rows, p_first, p_end):
    """E1 of a single sample, a tile being SMALL panels of units."""
    for p in range(p_first, p_end, SMALL):
        t = tile.load(SMALL, b, p)
        for j in range(layer.inputs):
            t = tile.add_panels(t, W, p, j, a, 0)  # E1: z_i += w_ij a_j
        tile.store(t, rows, 0)
        for r in range(SMALL):
            i_first = (p + r) * layer.panel
            for q in range(min(layer.panel, layer.units - i_first)):
                z[i_first + q, 0] = rows[r, q]


@jit.inline
def activate(layer, work, i_first, i_end, s_first, s_end):
    """E2 for the units i_first .. i_end - 1, and dropout."""
    z, a = layout.z(work, layer), layout.a(work, layer)
    for s in range(s_first, s_end):
        z_s, a_s = of_block(z, s, i_first, i_end), of_block(a, s, i_first, i_end)
        call(layer.sigma, z_s, a_s, layer.setting)  # E2: a_i = sigma(z_i)
        if layer.drop != 0:
            drop(layer, a_s, of_block(layout.out(work, layer), s, i_first, i_end), i_first, s)


@jit.inline
def drop(layer, x, y, i_first, s):
    """y = x with some units dropped, for units from i_first on and the samples of block s."""
    call(layer.drop, x, y, layer.key, i_first, layer.before + s * layer.panel, layer.rate)


@jit.inline
def weighted_input(layer, theta, a, z, p_first, p_end, s_first, s_end):
    """E1: z_i = sum over j of w_ij a_j + b_i; a is that of layer l - 1."""
    W, b = layout.weights(theta, layer), layout.biases(theta, layer)
    for j in range(0, layer.inputs, INPUT_BLOCK):
        j_end = min(j + INPUT_BLOCK, layer.inputs)
        for p in range(p_first, p_end):
            i_first = p * layer.panel
            rows = layout.tile_rows(min(layer.panel, layer.units - i_first))
            i_large = i_first + LARGE * layout.large_tiles(rows)
            for s in range(s_first, s_end):
                if p + 1 < p_end:
                    ask_for_share(W[p + 1], j, j_end, s - s_first, s_end - s_first)
                for i in range(i_first, i_large, LARGE):
                    t = tile.rows_of(LARGE, b, i) if j == 0 else tile.load(LARGE, z[s], i)
                    tile.store(add_inputs(t, W[p], i - i_first, a[s], j, j_end), z[s], i)
                for i in range(i_large, i_first + rows, SMALL):
                    t = tile.rows_of(SMALL, b, i) if j == 0 else tile.load(SMALL, z[s], i)
                    tile.store(add_inputs(t, W[p], i - i_first, a[s], j, j_end), z[s], i)


@jit.inline
def ask_for_share(W, j_first, j_end, k, shares):
    """Asks for the k-th share of the rows j_first .. j_end - 1, which come from far where the weights are many."""
    rows = (j_end - j_first) // shares
    for j in range(j_first + k * rows, j_first + (k + 1) * rows):
        tile.prefetch(W, j)


@jit.inline
def add_inputs(z, W, i, a, j_first, j_end):
    for j in range(j_first, j_end):
        z = tile.add_row_products(z, W, j, i, a, j)  # E1: z_i += w_ij a_j
    return z
