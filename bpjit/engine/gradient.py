"""The gradient of one task, E8 and E9, and the tile function it goes to.

A tile holds dC/dw_ij for LARGE or SMALL units j of layer l - 1 and one panel of units i of layer l. As soon as a task's
sum over the samples is complete, `apply` (an optimiser's update, or `store`) takes it from the first-level cache: the
gradient never travels to memory unless it is asked for.
"""

from . import jit, layout, tile
from .jit import call
from .layout import FEW, TASK_NUMBERS
from .tile import LARGE, SMALL

CHUNK = 512
"""Samples summed in one go; the sums of chunks are added, so that float32 stays accurate over a full batch."""


@jit.kernel(
    jit.records(layout.LAYER), jit.records(layout.TASK), jit.vector, jit.matrix, jit.vector, jit.matrix,
    jit.INDEX, jit.INDEX, jit.INDEX,
)  # fmt: skip
def gradient(layers, tasks, theta, moments, work, coefficients, apply, samples, k):
    """E8 and E9 for task k of a mini-batch of `samples`; hands them to the tile function `apply`."""
    numbers = jit.scratch(TASK_NUMBERS, theta)
    if samples <= FEW:
        sum_few(layers, tasks[k], work, numbers, samples)
    else:
        for s in range(0, samples, CHUNK):
            sum_chunk(layers, tasks[k], theta, moments, work, numbers, s, min(s + CHUNK, samples), s > 0)
    finish(layers, tasks, k, theta, moments, work, coefficients, apply, numbers, samples)


@jit.kernel(
    jit.records(layout.LAYER), jit.records(layout.TASK), jit.vector, jit.matrix, jit.vector, jit.matrix,
    jit.INDEX, jit.INDEX,
)  # fmt: skip
def partial_gradient(layers, tasks, theta, moments, work, partials, samples, k):
    """E8 for one chunk of the samples and one task, numbered task by task, into partials[k]."""
    chunks = (samples + CHUNK - 1) // CHUNK
    s = k % chunks * CHUNK
    sum_chunk(layers, tasks[k // chunks], theta, moments, work, partials[k], s, min(s + CHUNK, samples), False)


@jit.kernel(
    jit.records(layout.LAYER), jit.records(layout.TASK), jit.vector, jit.matrix, jit.vector, jit.matrix, jit.matrix,
    jit.INDEX, jit.INDEX, jit.INDEX,
)  # fmt: skip
def combine(layers, tasks, theta, moments, work, partials, coefficients, apply, samples, k):
    """What `gradient` does for task k, from the sums of its chunks: with the same bits, as they are added in order."""
    chunks = (samples + CHUNK - 1) // CHUNK
    first = k * chunks
    numbers = partials[first]
    for chunk in range(1, chunks):
        add(partials[first + chunk], numbers)
    finish(layers, tasks, k, theta, moments, work, coefficients, apply, numbers, samples)


@jit.inline
def sum_chunk(layers, task, theta, moments, work, numbers, s, s_end, more):
    """E8 for the samples s .. s_end - 1, at most CHUNK; added to `numbers` if there are more before them.

    The weights and moments, which the update needs next, are asked for meanwhile.
    """
    layer = layers[task.l]
    a, delta = factors(layers, task, work)
    dW = layout.task_rows(numbers, layer)
    rows = layout.tile_rows(task.rows)
    j_large = LARGE * layout.large_tiles(rows)
    for j in range(0, j_large, LARGE):
        ask_for_rows(LARGE, theta, moments, layer, task, j)
        t = add_samples(tile.zeros(LARGE, delta), a, task.j + j, delta, s, s_end)
        tile.store(tile.add_rows(t, dW, j) if more else t, dW, j)
    for j in range(j_large, rows, SMALL):
        ask_for_rows(SMALL, theta, moments, layer, task, j)
        t = add_samples(tile.zeros(SMALL, delta), a, task.j + j, delta, s, s_end)
        tile.store(tile.add_rows(t, dW, j) if more else t, dW, j)


@jit.inline
def factors(layers, task, work):
    """a_j of layer l - 1, and delta_i of the task's panel."""
    return layout.out(work, layers[task.l - 1]), layout.delta_rows(work, layers[task.l])[task.p]


@jit.inline
def sum_few(layers, task, work, numbers, samples):
    """E8 for up to FEW samples, which leave no time to ask for anything ahead."""
    layer = layers[task.l]
    a, delta = factors(layers, task, work)
    dW, width = layout.task_rows(numbers, layer), tile.width(delta)
    for j in range(0, layout.tile_rows(task.rows), SMALL):
        t = tile.zeros(SMALL, delta)
        for s in range(samples):
            t = tile.add_column_products(t, a[s // width], task.j + j, s % width, delta, s)  # E8: dw_ij += delta_i a_j
        tile.store(t, dW, j)


@jit.inline
def ask_for_rows(rows, theta, moments, layer, task, j):
    for r in range(rows):
        tile.prefetch(layout.rows_of_task(theta, layer, task), j + r)
        for m in range(len(moments)):
            tile.prefetch(layout.rows_of_task(moments[m], layer, task), j + r)


@jit.inline
def finish(layers, tasks, k, theta, moments, work, coefficients, apply, numbers, samples):
    """Hands over the gradient of task k's weights, and with the first task of a panel that of its biases, E9."""
    task = tasks[k]
    layer = layers[task.l]
    dW = layout.task_gradient(numbers, layer, task)
    if layer.penalize != 0:
        call(layer.penalize, layers, task.l, k, layout.of_task(theta, layer, task), dW)
    call(apply, theta, moments, layout.task_weights(layer, task), dW, layout.of_group(coefficients, layer.weight_group))
    if task.j == 0 and layer.has_bias:
        db = jit.shaped(numbers, 0, layer.panel)
        sum_samples(db, layout.task_rows(numbers, layer), layout.delta_rows(work, layer)[task.p], samples)
        if layer.penalize != 0:
            call(layer.penalize, layers, task.l, k, jit.shaped(theta, 0, 0), db)
        call(
            apply, theta, moments, layout.task_biases(layer, task), db, layout.of_group(coefficients, layer.bias_group)
        )


@jit.inline
def add(x, total):
    for q in range(total.size):
        total[q] += x[q]


@jit.inline
def add_samples(t, a, j, delta, s_first, s_end):
    width = tile.width(delta)
    last = s_end // width
    for block in range(s_first // width, last):  # whole blocks apart: LLVM unrolls a loop whose length it knows
        for q in range(width):
            t = tile.add_column_products(t, a[block], j, q, delta, block * width + q)  # E8: dw_ij += delta_i a_j
    for q in range(s_end - last * width):
        t = tile.add_column_products(t, a[last], j, q, delta, last * width + q)  # E8
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


@jit.kernel(jit.vector, jit.matrix, jit.INDEX, jit.vector, jit.vector)
def accumulate(theta, gradients, start, gradient, coefficients):
    """The tile function that adds the gradient to what is kept."""
    for k in range(gradient.size):
        gradients[0, start + k] += gradient[k]
