"""Mini-batch steps: many in one compiled call, each in regions whose pieces may run side by side.

    (a) over pieces of the mini-batch: rows of X and t, forward (E1, E2), cost and delta^L (E3, E6), recursion (E7);
    (b) over tasks, which are pieces of the weights: gradient (E8, E9) and update (E10).

Where there are more CPUs than pieces, region (a) is taken apart: each layer is a region of its own, over pieces of the
mini-batch times panels of units. Where there are fewer tasks than CPUs, so is region (b): over tasks times chunks of
the samples, then over tasks, which add their chunks.

Every sum has a fixed order wherever pieces are cut, so neither that nor the number of threads changes a bit. Kernels
and regions are called by address, hence one thread and many run the same machine code.
"""

from collections import namedtuple

import numpy as np
from numba import prange

from . import forward, jit, layout, losses
from .gradient import CHUNK
from .jit import INDEX, call, vector
from .layout import FEW, LAYER, TASK, TASK_NUMBERS
from .optimizer import COEFFICIENTS

KERNELS = (
    "gather", "forward", "forward_few",  # 0: no block of many samples, none of few
    "gather_targets", "output_delta",  # 0: no cost
    "backward", "backward_few", "gradient", "apply", "begin",  # 0: no training
    "weigh",  # 0: samples count alike
    "draw_keys",  # 0: nothing is random
    "add_noise",  # 0: none
    "scatter",  # 0: no outputs
    "shuffle",  # 0: the order is given
    "piece", "task",  # the regions
    "share",  # 0: on one thread
    "layer_by_layer", "take_part", "forward_part", "output_part", "backward_part",  # 0: region (a) in pieces
    "chunk_by_chunk", "chunk", "combined", "partial_gradient", "combine",  # 0: region (b) in tasks
    "store", "accumulate", "advance", "update_task",  # 0: the gradient is not kept
    "finish_step", "penalize", "penalize_kept", "limit",  # 0: no penalties; no limit
)  # fmt: skip
"""Addresses of the kernels that a run calls; 0 leaves a part out."""

JOB = np.dtype(
    [
        (name, np.intp)
        for name in (
            "theta", "theta_size", "losses", "loss_count", "work", "work_size",
            "layers", "layer_count", "tasks", "task_count", "cost", "costs",  # where the network lies
            "lowest",  # the lowest layer that is trained: the recursion ends there
            *KERNELS,
            "moments", "moment_count", "good_theta", "good_moments", "keep",  # keep: 1, or 0 for no good state
            "settings", "setting_count", "rate_setting", "coefficients", "group_count",
            "gradients", "gradient_count",  # what region (b) writes: moments, or a gradient that is kept
            "sums",  # for each task, its share of the gradient's square norm and of the penalties
            "factors",  # of the learning rate in each step; 0: none
            "X", "rows", "labels", "label_count", "targets", "target_count", "order", "total", "y", "output_count",
            "weights", "weight_sums",  # of the samples, 0: none; of the steps, written
            "penalties",  # of the steps, written; 0: nobody asks for them
            "partials", "partial_count",
            "before",  # samples of the epoch that come before those of `order`
            "seed", "epoch", "step", "update", "batch_size", "at_once", "piece_blocks", "threads",
            "first", "samples", "whole", "l",  # of the step at hand; set as it goes
            "count",  # samples of the whole mini-batch, of which `samples` are at hand
            "done",  # the outcome, set in the end
        )
    ]
    + [
        (name, np.float64)
        for name in (
            "clip_norm", "noise",
            "alpha",  # the factor of the penalty that each mini-batch divides by its weight, or 0
            "weight",  # of the mini-batch: the sum over its samples, or 1
            "penalty",  # its sum over all parameters
            "shrink",  # the factor that gives the gradient its greatest norm
        )
    ],
    align=True,
)  # fmt: skip
"""What a call of `steps` is to do: addresses, counts, kernels, and where it begins."""

Network = namedtuple("Network", "layers tasks cost work costs lowest")
"""Where things are: records of LAYER, TASK and COST, the workspace, and a C_s for each sample of a batch; the lowest
layer that is trained."""
Regularization = namedtuple(
    "Regularization",
    "l1 l2 max_norm dropout input_noise clip_value clip_norm alpha",
    defaults=(None, None, None, None, 0.0, 0.0, 0.0, 0.0),
)
"""Of each layer 0 .. L the factors of the penalties, the greatest norm of a unit's weights (0: any) and the rate of
dropout, or None where no layer has one; the deviation of noise on the input; limits of the gradient (0: none); what,
divided by how much the samples of a mini-batch count, takes the place of l2 in all layers (0: nothing)."""
State = namedtuple(
    "State",
    "theta moments good_theta good_moments groups coefficients regularization sums gradients in_parts",
)
"""What training changes, its last good copy, and the settings of the optimiser for each group of parameters; what
regularises it, with room for sums over each task; and for a gradient, where the update has to wait for all of it, and
whether mini-batches are in several parts."""
Data = namedtuple("Data", "X labels targets order y weights before", defaults=(None, 0))
"""Rows of X, their labels or targets (the other is empty), the order to take them in, where outputs go; how much each
row counts (float64, None for alike), and how many samples of the epoch come before those of the order."""
Place = namedtuple("Place", "seed epoch step update batch_size at_once", defaults=(0,))
"""Where a run begins: epoch and step in it (from 0), updates so far; and how many samples of a mini-batch are in the
workspace at once (0: all)."""

JOBS = jit.records(JOB)

UNITS = 256
"""Units of a layer that blocks of samples pass at a time: their sums, to which both passes return, stay in the
second-level cache."""
APART = 8
"""Numbers in a cache line: threads that count in the same line slow each other down."""
THREADS_MAX = 256
TURNS = THREADS_MAX * APART


@jit.inline
def layers_of(job):
    return jit.at(job.layers, LAYER, job.layer_count)


@jit.inline
def blocks_of(job, piece):
    """The blocks first .. end - 1 of samples that a piece of the mini-batch holds."""
    panel = layers_of(job)[0].panel
    blocks = (job.samples + panel - 1) // panel
    return piece * job.piece_blocks, min((piece + 1) * job.piece_blocks, blocks)


@jit.inline
def pieces_of(job):
    size = job.piece_blocks * layers_of(job)[0].panel
    return (job.samples + size - 1) // size


@jit.inline
def whole_blocks(job):
    """The blocks of the mini-batch, less the last where it has so few samples that other kernels take it."""
    panel = layers_of(job)[0].panel
    blocks = (job.samples + panel - 1) // panel
    if job.forward == 0:
        return 0
    return blocks - 1 if job.forward_few != 0 and 0 < job.samples % panel <= FEW else blocks


@jit.inline
def over_blocks(kernel, kernel_few, job, layers, l, theta, work, p_first, p_end, s_first, s_end):
    """Calls `kernel` for the whole blocks from s_first to s_end - 1, and `kernel_few` for one with few samples."""
    s_whole = max(s_first, min(job.whole, s_end))
    panels = UNITS // layers[0].panel
    for p in range(p_first, p_end, panels):
        if s_first < s_whole:
            call(kernel, layers, l, theta, work, p, min(p + panels, p_end), s_first, s_whole)
        if s_whole < s_end:
            call(kernel_few, layers, l, theta, work, p, min(p + panels, p_end), s_whole, s_end)


@jit.inline
def forward_blocks(job, layers, l, theta, work, p_first, p_end, s_first, s_end):
    over_blocks(job.forward, job.forward_few, job, layers, l, theta, work, p_first, p_end, s_first, s_end)


@jit.inline
def backward_blocks(job, layers, l, theta, work, p_first, p_end, s_first, s_end):
    over_blocks(job.backward, job.backward_few, job, layers, l, theta, work, p_first, p_end, s_first, s_end)


@jit.inline
def take(job, layers, work, s_first, s_end):
    """x and t of the blocks s_first .. s_end - 1."""
    last = layers[job.layer_count - 1]
    order = jit.at(job.order, np.intp, job.total)
    X = jit.at(job.X, work, job.rows, layers[0].units)
    call(job.gather, layers, work, X, order, job.first, job.samples, s_first, s_end)
    if job.add_noise != 0:
        call(job.add_noise, layers, work, job.noise, s_first, s_end)
    if layers[0].drop != 0:
        x = layout.a(work, layers[0])
        for s in range(s_first, s_end):
            x_s = layout.of_block(x, s, 0, layers[0].units)
            forward.drop(layers[0], x_s, x_s, 0, s)
    if job.output_delta != 0:
        labels = jit.at(job.labels, np.intp, job.label_count)
        targets = jit.at(job.targets, work, job.target_count, last.units)
        call(job.gather_targets, layers, work, labels, targets, order, job.first, job.samples, s_first, s_end)


@jit.inline
def output(job, layers, theta, work, s_first, s_end):
    """E2 at the output layer, all of whose units softmax takes together; y to where it is wanted; E3 and E6."""
    L = job.layer_count - 1
    forward.activate(layers[L], work, 0, layers[L].units, s_first, s_end)
    if job.scatter != 0:  # before the cost, which takes the place of what it writes there
        y = jit.at(job.y, work, job.output_count, layers[L].units)
        costs = jit.at(job.costs, np.float64, layers[0].blocks * layers[0].panel)
        call(job.scatter, layers, work, y, costs, job.first, job.samples, s_first, s_end)
    if job.output_delta != 0:
        cost = jit.at(job.cost, losses.COST, 1)
        costs = jit.at(job.costs, np.float64, layers[0].blocks * layers[0].panel)
        call(job.output_delta, layers, work, cost, costs, s_first, s_end, job.count)
        if job.weigh != 0:
            weights, order = jit.at(job.weights, np.float64, job.rows), jit.at(job.order, np.intp, job.total)
            share = job.count / job.weight
            call(job.weigh, layers, work, costs, weights, order, share, job.first, job.samples, s_first, s_end)
    if job.gradient != 0:
        backward_blocks(job, layers, L, theta, work, 0, layers[L].panels, s_first, s_end)


@jit.kernel(JOBS, vector, vector, INDEX)
def piece(jobs, theta, work, k):
    """Region (a) for piece k of the mini-batch."""
    job = jobs[0]
    layers = layers_of(job)
    s_first, s_end = blocks_of(job, k)
    take(job, layers, work, s_first, s_end)
    for l in range(1, layers.size):
        forward_blocks(job, layers, l, theta, work, 0, layers[l].panels, s_first, s_end)
    output(job, layers, theta, work, s_first, s_end)
    if job.gradient != 0:
        for l in range(layers.size - 2, job.lowest - 1, -1):
            backward_blocks(job, layers, l, theta, work, 0, layers[l].panels, s_first, s_end)


@jit.kernel(JOBS, vector, vector, INDEX)
def task(jobs, theta, work, k):
    """Region (b) for task k."""
    job = jobs[0]
    tasks = jit.at(job.tasks, TASK, job.task_count)
    gradients = jit.at(job.gradients, theta, job.gradient_count, theta.size)
    coefficients = jit.at(job.coefficients, theta, job.group_count, COEFFICIENTS)
    call(job.gradient, layers_of(job), tasks, theta, gradients, work, coefficients, job.apply, job.samples, k)


@jit.inline
def partials_of(job, like):
    return jit.at(job.partials, like, job.partial_count, TASK_NUMBERS)


@jit.kernel(JOBS, vector, vector, INDEX)
def chunk(jobs, theta, work, k):
    """Part k of region (b): one chunk of the samples for one task."""
    job = jobs[0]
    tasks = jit.at(job.tasks, TASK, job.task_count)
    gradients = jit.at(job.gradients, theta, job.gradient_count, theta.size)
    partials = partials_of(job, theta)
    call(job.partial_gradient, layers_of(job), tasks, theta, gradients, work, partials, job.samples, k)


@jit.kernel(JOBS, vector, vector, INDEX)
def combined(jobs, theta, work, k):
    """Task k, once its chunks are summed."""
    job = jobs[0]
    tasks = jit.at(job.tasks, TASK, job.task_count)
    gradients = jit.at(job.gradients, theta, job.gradient_count, theta.size)
    coefficients = jit.at(job.coefficients, theta, job.group_count, COEFFICIENTS)
    partials = partials_of(job, theta)
    call(job.combine, layers_of(job), tasks, theta, gradients, work, partials, coefficients, job.apply, job.samples, k)


@jit.kernel(JOBS, vector, vector, INDEX)
def take_part(jobs, theta, work, k):
    """x and t of piece k of the mini-batch."""
    s_first, s_end = blocks_of(jobs[0], k)
    take(jobs[0], layers_of(jobs[0]), work, s_first, s_end)


@jit.kernel(JOBS, vector, vector, INDEX)
def output_part(jobs, theta, work, k):
    """The output layer for piece k of the mini-batch, once its z is known."""
    s_first, s_end = blocks_of(jobs[0], k)
    output(jobs[0], layers_of(jobs[0]), theta, work, s_first, s_end)


@jit.inline
def part_of(job, k):
    """The blocks s_first .. s_end - 1 and the panel of units in part k of a layer."""
    s_first, s_end = blocks_of(job, k % pieces_of(job))
    return s_first, s_end, k // pieces_of(job)


@jit.kernel(JOBS, vector, vector, INDEX)
def forward_part(jobs, theta, work, k):
    s_first, s_end, p = part_of(jobs[0], k)
    forward_blocks(jobs[0], layers_of(jobs[0]), jobs[0].l, theta, work, p, p + 1, s_first, s_end)


@jit.kernel(JOBS, vector, vector, INDEX)
def backward_part(jobs, theta, work, k):
    s_first, s_end, p = part_of(jobs[0], k)
    backward_blocks(jobs[0], layers_of(jobs[0]), jobs[0].l, theta, work, p, p + 1, s_first, s_end)


@jit.kernel(INDEX, INDEX, JOBS, vector, vector, parallel=True)
def share(region, count, jobs, theta, work):
    """The only parallel loop: calls a region for k = 0 .. count - 1, divided over the threads.

    A thread works through its own part, which is the same in every step and stays in its cache, then through what is
    left of others': one that starts late, or on a slower core, has less to do.
    """
    threads = min(jobs[0].threads, THREADS_MAX)
    turns = jit.scratch(TURNS, jit.at(0, np.intp, 0))
    for part in range(threads):
        turns[part * APART] = part * count // threads
    for thread in prange(threads):
        for other in range(threads):
            part = (thread + other) % threads
            end = (part + 1) * count // threads
            k = jit.take_turn(turns, part * APART)
            while k < end:
                call(region, jobs, theta, work, k)
                k = jit.take_turn(turns, part * APART)


@jit.inline
def run(region, count, jobs, theta, work):
    if jobs[0].share != 0 and count > 1:
        call(jobs[0].share, region, count, jobs, theta, work)
    else:
        for k in range(count):
            call(region, jobs, theta, work, k)


@jit.kernel(JOBS, vector, vector)
def layer_by_layer(jobs, theta, work):
    """Region (a) in regions of one layer."""
    job = jobs[0]
    layers, pieces = layers_of(job), pieces_of(job)
    run(job.take_part, pieces, jobs, theta, work)
    for l in range(1, layers.size):
        job.l = l
        run(job.forward_part, pieces * layers[l].panels, jobs, theta, work)
    run(job.output_part, pieces, jobs, theta, work)
    if job.gradient != 0:
        for l in range(layers.size - 2, job.lowest - 1, -1):
            job.l = l
            run(job.backward_part, pieces * layers[l].panels, jobs, theta, work)


@jit.kernel(JOBS, vector, vector)
def chunk_by_chunk(jobs, theta, work):
    """Region (b) in two: the sums of chunks of the samples, and what is made of them."""
    job = jobs[0]
    run(job.chunk, job.task_count * ((job.samples + CHUNK - 1) // CHUNK), jobs, theta, work)
    run(job.combined, job.task_count, jobs, theta, work)


@jit.entry
def steps(address, like):
    """Steps as the job at `address` says, over epochs as they come; writes the loss of each, before its update.

    Done is the number of steps. Stops before the update of a step whose loss is not finite, if a good state is kept;
    done is -1 if in the end a parameter or a moment is not. What it began with is kept as that state once its loss is
    known to be finite.
    """
    jobs = jit.at(address, JOB, 1)
    job = jobs[0]
    theta, work = jit.at(job.theta, like, job.theta_size), jit.at(job.work, like, job.work_size)
    losses = jit.at(job.losses, np.float64, job.loss_count)
    weight_sums = jit.at(job.weight_sums, np.float64, job.loss_count)
    order = jit.at(job.order, np.intp, job.total)
    moments = jit.at(job.moments, theta, job.moment_count * theta.size)
    for n in range(losses.size):
        if job.step * job.batch_size - job.before >= job.total:
            job.epoch, job.step = job.epoch + 1, 0
        if job.step == 0 and job.shuffle != 0:
            call(job.shuffle, order, job.seed, job.epoch)
        losses[n], weight_sums[n], part = 0.0, begin_step(job), 0
        while part < job.count:
            forward_and_back(jobs, theta, work, part)
            losses[n] += mean(jit.at(job.costs, np.float64, job.samples), job.weight)
            if losses[n] * 0.0 != 0.0 and (job.keep != 0 or job.gradient == 0):
                job.done = n
                return 1
            if n == 0 and part + job.at_once >= job.count and job.keep != 0:  # nothing has changed until then
                copy(theta, jit.at(job.good_theta, theta, theta.size))
                copy(moments, jit.at(job.good_moments, theta, moments.size))
            if job.gradient != 0:
                if part == 0:
                    begin_update(job, n, theta)
                update(jobs, theta, work, part)
            part += job.at_once
        if job.finish_step != 0:
            call(job.finish_step, jobs, theta, work)
            losses[n] += job.penalty
            if job.penalties != 0:
                jit.at(job.penalties, np.float64, losses.size)[n] = job.penalty
        job.step += 1
    job.done = losses.size if job.gradient == 0 or (finite(theta) and finite(moments)) else -1
    return 1


@jit.inline
def begin_step(job):
    """How many samples the mini-batch has; returns how much they count in all."""
    first = job.step * job.batch_size - job.before
    job.count = min(job.batch_size, job.total - first)
    total = float(job.count)
    if job.weigh != 0:
        weights, order = jit.at(job.weights, np.float64, job.rows), jit.at(job.order, np.intp, job.total)
        total = 0.0
        for s in range(first, first + job.count):
            total += weights[order[s]]
    job.weight = total if total > 0.0 else 1.0  # where none counts the cost is 0
    if job.alpha > 0.0:
        layers = layers_of(job)
        for l in range(1, layers.size):
            layers[l].l2 = job.alpha / job.weight
    return total


@jit.inline
def forward_and_back(jobs, theta, work, part):
    """Region (a) for the samples of the mini-batch from number `part` on that are in the workspace at once."""
    job = jobs[0]
    job.first = job.step * job.batch_size - job.before + part
    job.samples = min(job.at_once, job.count - part)
    job.whole = whole_blocks(job)
    if job.draw_keys != 0:
        call(job.draw_keys, layers_of(job), job.seed, job.epoch, job.step, part)
    if job.layer_by_layer != 0:
        call(job.layer_by_layer, jobs, theta, work)
    else:
        run(job.piece, pieces_of(job), jobs, theta, work)


@jit.inline
def begin_update(job, n, like):
    """What all tasks share in step n of this call, for each group of parameters."""
    settings = jit.at(job.settings, np.float64, job.group_count, job.setting_count)
    coefficients = jit.at(job.coefficients, like, job.group_count, COEFFICIENTS)
    for group in range(job.group_count):
        if job.factors == 0:
            call(job.begin, settings[group], float(job.update + n + 1), coefficients[group])
        else:
            rate = settings[group, job.rate_setting]
            settings[group, job.rate_setting] = rate * jit.at(job.factors, np.float64, job.loss_count)[n]
            call(job.begin, settings[group], float(job.update + n + 1), coefficients[group])
            settings[group, job.rate_setting] = rate


@jit.inline
def update(jobs, theta, work, part):
    """Region (b): the update, or where that has to wait the gradient."""
    job = jobs[0]
    if job.store != 0:
        job.apply = job.store if part == 0 else job.accumulate
    if job.chunk_by_chunk != 0:
        call(job.chunk_by_chunk, jobs, theta, work)
    else:
        run(job.task, job.task_count, jobs, theta, work)


@jit.inline
def mean(costs, weight):
    """E3: C = (1/S) sum over s of C_s, in float64; where samples have weights their sum is in the place of S."""
    C = 0.0
    for s in range(costs.size):
        C += costs[s]
    return C / weight  # E3


@jit.inline
def copy(x, y):
    for k in range(x.size):
        y[k] = x[k]


@jit.inline
def finite(x):
    """Whether no number is NaN or infinite: 0 x is 0, or else NaN. (LLVM's reassociation makes 0 of x - x.)"""
    total = 0.0
    for k in range(x.size):
        total += x[k] * 0.0
    return total == 0.0
