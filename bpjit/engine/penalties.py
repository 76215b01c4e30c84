"""What keeps weights and gradients within bounds: penalties, clipping, and limits of norms.

Penalties and clipping by value need one number at a time: `penalize` does them as soon as a task's gradient is there,
and the update follows at once. Where the update needs the whole gradient first, for clipping by norm, or because a
mini-batch is taken in several parts, region (b) keeps the gradient, and regions over the tasks follow:

    penalize_kept   only where there are parts: what `penalize` does, once they are summed;
    advance         the update E10, with the gradient clipped by norm;
    limit           each unit's weights back to the greatest norm, once all tasks of its panel are done.

Sums over tasks are added in their order, so that the number of threads changes no bit.
"""

import math

import numpy as np

from . import jit, layout
from .epoch import JOBS, layers_of, run
from .jit import INDEX, call, like, vector
from .layout import LAYER, TASK, TASK_NUMBERS
from .optimizer import COEFFICIENTS, sign
from .tile import PANEL_MAX

SUMS = 2
"""Of a task's gradient the sum of squares, and of its weights the penalty."""


@jit.kernel(jit.records(LAYER), INDEX, INDEX, vector, vector)
def penalize(layers, l, k, w, g):
    """g <- g + l1 sign(w) + l2 w, clipped by value: the gradient of task k with that of l1 |w| + l2 w^2 / 2.

    w: the weights; of no size for biases, which have no penalty, and whose squares are added to those of the weights.
    """
    layer = layers[l]
    sums = jit.at(layer.sums + k * 8 * SUMS, np.float64, SUMS)
    l1, l2, most = like(g[0], layer.l1), like(g[0], layer.l2), like(g[0], layer.clip_value)
    squares = distances = norm = like(g[0], 0.0)  # each a sum of at most TASK_NUMBERS: float32 will do
    for q in range(w.size):
        g[q] += l1 * sign(w[q]) + l2 * w[q]
    for q in range(w.size):
        distances += abs(w[q])
        squares += w[q] * w[q]
    if layer.clip_value > 0.0:
        for q in range(g.size):
            g[q] = most if g[q] > most else (-most if g[q] < -most else g[q])
    for q in range(g.size):
        norm += g[q] * g[q]
    if w.size > 0:
        sums[0], sums[1] = 0.0, layer.l1 * distances + 0.5 * layer.l2 * squares
    sums[0] += norm if norm * 0.0 == 0.0 else wide_norm(g)


@jit.inline
def wide_norm(g):
    """The sum of squares in float64, which holds those of any float32."""
    total = 0.0
    for q in range(g.size):
        total += np.float64(g[q]) * np.float64(g[q])
    return total


@jit.kernel(JOBS, vector, vector)
def finish_step(jobs, theta, work):
    """What follows once region (b) is done; sets job.penalty."""
    job = jobs[0]
    sums = jit.at(job.sums, np.float64, job.task_count, SUMS)
    if job.penalize_kept != 0:
        run(job.penalize_kept, job.task_count, jobs, theta, work)
    square, job.penalty = 0.0, 0.0
    for k in range(job.task_count):
        square += sums[k, 0]
        job.penalty += sums[k, 1]
    if job.advance != 0:
        norm = math.sqrt(square)
        job.shrink = job.clip_norm / norm if 0.0 < job.clip_norm < norm else 1.0
        run(job.advance, job.task_count, jobs, theta, work)
    if job.limit != 0:
        run(job.limit, job.task_count, jobs, theta, work)


@jit.kernel(JOBS, vector, vector, INDEX)
def penalize_kept(jobs, theta, work, k):
    """`penalize` for task k of a gradient that is kept."""
    job = jobs[0]
    layers, task = layers_of(job), jit.at(job.tasks, TASK, job.task_count)[k]
    layer, g = layers[task.l], jit.at(job.gradients, theta, theta.size)
    call(job.penalize, layers, task.l, k, layout.of_task(theta, layer, task), layout.of_task(g, layer, task))
    if task.j == 0 and layer.has_bias:
        call(job.penalize, layers, task.l, k, jit.shaped(theta, 0, 0), layout.biases_of_task(g, layer, task))


@jit.kernel(JOBS, vector, vector, INDEX)
def advance(jobs, theta, work, k):
    """E10 for task k, with the gradient times job.shrink."""
    job = jobs[0]
    task = jit.at(job.tasks, TASK, job.task_count)[k]
    layer = layers_of(job)[task.l]
    gradients = jit.at(job.gradients, theta, theta.size)
    moments = jit.at(job.moments, theta, job.moment_count, theta.size)
    coefficients = jit.at(job.coefficients, theta, job.group_count, COEFFICIENTS)
    numbers = jit.scratch(TASK_NUMBERS, theta)
    g = layout.task_gradient(numbers, layer, task)
    scaled(layout.of_task(gradients, layer, task), job.shrink, g)
    of_group = layout.of_group(coefficients, layer.weight_group)
    call(job.update_task, theta, moments, layout.task_weights(layer, task), g, of_group)
    if task.j == 0 and layer.has_bias:
        g = jit.shaped(numbers, 0, layer.panel)
        scaled(layout.biases_of_task(gradients, layer, task), job.shrink, g)
        of_group = layout.of_group(coefficients, layer.bias_group)
        call(job.update_task, theta, moments, layout.task_biases(layer, task), g, of_group)


@jit.inline
def scaled(x, factor, y):
    for k in range(y.size):
        y[k] = x[k] * like(x[k], factor)


@jit.kernel(JOBS, vector, vector, INDEX)
def limit(jobs, theta, work, k):
    """w_ij <- w_ij c / |w_i| where |w_i| > c, for the units of a panel, with the first of its tasks.

    Srebro and Shraibman (2005); Srivastava et al. (2014) beside dropout. c = 0 is no limit.
    """
    job = jobs[0]
    task = jit.at(job.tasks, TASK, job.task_count)[k]
    layer = layers_of(job)[task.l]
    if task.j == 0 and layer.max_norm > 0.0:
        W = layout.weights(theta, layer)[task.p]
        squares, factors = jit.scratch(PANEL_MAX, jit.at(job.sums, np.float64, 1)), jit.scratch(PANEL_MAX, theta)
        for q in range(layer.panel):
            squares[q] = 0.0
        for j in range(layer.inputs):
            for q in range(layer.panel):
                squares[q] += np.float64(W[j, q]) * np.float64(W[j, q])
        for q in range(layer.panel):
            norm = math.sqrt(squares[q])
            factors[q] = layer.max_norm / norm if norm > layer.max_norm else 1.0
        for j in range(layer.inputs):
            for q in range(layer.panel):
                W[j, q] *= factors[q]
