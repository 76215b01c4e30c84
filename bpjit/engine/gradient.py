"""The gradient of one task, E8 and E9, and the tile function it goes to.

A tile holds dC/dw_ij for LARGE or SMALL units j of layer l - 1 and one panel of units i of layer l. As soon as a task's
sum over the samples is complete, `apply` (an optimiser's update, or `store`) takes it from the first-level cache: the
gradient never travels to memory unless it is asked for.
"""

from . import jit, layout, tile
from .jit import call
from .layout import TASK_NUMBERS
from .tile import LARGE, SMALL

CHUNK = 512
"""Samples summed in one go; the sums of chunks are added, so that float32 stays accurate over a full batch."""


@jit.kernel(
    jit.records(layout.LAYER), jit.records(layout.TASK), jit.vector, jit.matrix, jit.vector, jit.vector,
    jit.INDEX, jit.INDEX, jit.INDEX,
)  # fmt: skip
def gradient(layers, tasks, theta, moments, work, coefficients, apply, samples, k):
    """E8 and E9 for task k of a mini-batch of `samples`; hands them to the tile function `apply`."""
    task = tasks[k]
    layer = layers[task.l]
    a, delta = layout.a(work, layers[task.l - 1]), layout.delta_rows(work, layer)[task.p]
    numbers = jit.scratch(TASK_NUMBERS, theta)
    dW = jit.shaped(numbers, 0, TASK_NUMBERS // layer.panel, layer.panel)
    rows = layout.tile_rows(task.rows)
    j_large = LARGE * layout.large_tiles(rows)
    for s in range(0, samples, CHUNK):
        s_end = min(s + CHUNK, samples)
        for j in range(0, j_large, LARGE):
            t = add_samples(tile.zeros(LARGE, delta), a, task.j + j, delta, s, s_end)
            tile.store(t if s == 0 else tile.add_rows(t, dW, j), dW, j)
        for j in range(j_large, rows, SMALL):
            t = add_samples(tile.zeros(SMALL, delta), a, task.j + j, delta, s, s_end)
            tile.store(t if s == 0 else tile.add_rows(t, dW, j), dW, j)
    call(
        apply,
        theta,
        moments,
        layout.task_weights(layer, task),
        layout.task_gradient(numbers, layer, task),
        coefficients,
    )
    if task.j == 0 and layer.has_bias:
        db = numbers[: layer.panel]
        sum_samples(db, dW, delta, samples)
        call(apply, theta, moments, layout.task_biases(layer, task), db, coefficients)


@jit.inline
def add_samples(t, a, j, delta, s_first, s_end):
    panel = delta.shape[1]
    for block in range(s_first // panel, (s_end + panel - 1) // panel):
        s_block = block * panel
        for s in range(s_block, min(s_block + panel, s_end)):
            t = tile.add_column_products(t, a[block], j, s - s_block, delta, s)  # E8: dw_ij += delta_i a_j
    return t


@jit.inline
def sum_samples(db, partial, delta, samples):
    """E9: dC/db_i = sum over s of delta_i, as SMALL partial sums (of the samples s modulo SMALL), then their sum."""
    whole = samples // SMALL * SMALL
    t = tile.zeros(SMALL, delta)
    for s in range(0, whole, SMALL):
        t = tile.add_rows(t, delta, s)  # E9: db_i += delta_i
    tile.store(t, partial, 0)
    for r in range(1, SMALL):
        for i in range(db.size):
            db[i] += partial[r, i]
    for s in range(whole, samples):
        for i in range(db.size):
            db[i] += delta[s, i]


@jit.kernel(jit.vector, jit.matrix, jit.INDEX, jit.vector, jit.vector)
def store(theta, gradients, start, gradient, coefficients):
    """The tile function that keeps the gradient instead of applying it."""
    for k in range(gradient.size):
        gradients[0, start + k] = gradient[k]
