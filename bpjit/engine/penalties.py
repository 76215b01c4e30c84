"""Steps that need the whole gradient before a parameter moves: penalties, clipping, and a mini-batch in several parts.

Region (b) keeps the gradient then, and three regions over the tasks follow:

    penalize   g <- g + l1 sign(w) + l2 w for weights, clipped by value, and its share of |g|^2 and of the penalty;
    advance    the update E10 with the gradient, clipped by norm;
    limit      each unit's weights back to the greatest norm, once all tasks of its panel are done.

The shares are added in the order of the tasks, so that the number of threads changes no bit.
"""

import math

import numpy as np

from . import jit, layout
from .epoch import JOBS, layers_of, run
from .jit import INDEX, call, like, vector
from .layout import TASK, TASK_NUMBERS
from .optimizer import COEFFICIENTS, sign
from .tile import PANEL_MAX

SHARES = 2
"""Of |g|^2 and of the penalty."""


@jit.kernel(JOBS, vector, vector)
def penalized_step(jobs, theta, work):
    """The update, once the gradient of the whole mini-batch is kept; sets job.penalty."""
    job = jobs[0]
    sums = jit.at(job.sums, np.float64, job.task_count, SHARES)
    run(job.penalize, job.task_count, jobs, theta, work)
    square, job.penalty = 0.0, 0.0
    for k in range(job.task_count):
        square += sums[k, 0]
        job.penalty += sums[k, 1]
    norm = math.sqrt(square)
    job.shrink = job.clip_norm / norm if 0.0 < job.clip_norm < norm else 1.0
    run(job.advance, job.task_count, jobs, theta, work)
    if job.limit != 0:
        run(job.limit, job.task_count, jobs, theta, work)


@jit.kernel(JOBS, vector, vector, INDEX)
def penalize(jobs, theta, work, k):
    """The gradient of task k with that of the penalties l1 |w| + l2 w^2 / 2 of its weights, clipped by value."""
    job = jobs[0]
    task = jit.at(job.tasks, TASK, job.task_count)[k]
    layer = layers_of(job)[task.l]
    sums = jit.at(job.sums, np.float64, job.task_count, SHARES)
    gradients = jit.at(job.gradients, theta, 1, theta.size)[0]
    W, g = layout.rows_of_task(theta, layer, task), layout.rows_of_task(gradients, layer, task)
    l1, l2 = like(theta[0], layer.l1), like(theta[0], layer.l2)
    penalty = 0.0
    for j in range(task.rows):
        for q in range(layer.panel):
            w = W[j, q]
            g[j, q] += l1 * sign(w) + l2 * w
            penalty += layer.l1 * abs(w) + 0.5 * layer.l2 * w * w
    square = clip(layout.of_task(gradients, layer, task), job.clip_value)
    if task.j == 0 and layer.has_bias:
        square += clip(layout.biases_of_task(gradients, layer, task), job.clip_value)
    sums[k, 0], sums[k, 1] = square, penalty


@jit.inline
def clip(g, limit):
    """Clips the numbers of g to -limit .. limit, if there is one; returns the sum of their squares."""
    square = 0.0
    most = like(g[0], limit)
    for k in range(g.size):
        if limit > 0.0:
            g[k] = most if g[k] > most else (-most if g[k] < -most else g[k])
        square += np.float64(g[k]) * np.float64(g[k])
    return square


@jit.kernel(JOBS, vector, vector, INDEX)
def advance(jobs, theta, work, k):
    """E10 for task k, with the gradient times job.shrink."""
    job = jobs[0]
    task = jit.at(job.tasks, TASK, job.task_count)[k]
    layer = layers_of(job)[task.l]
    gradients = jit.at(job.gradients, theta, 1, theta.size)[0]
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
