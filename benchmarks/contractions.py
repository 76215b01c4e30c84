"""The sums of products in E1, E7 and E8: the engine's kernel, the plain loop and np.dot, each on one thread.

A time is that of 2^26 multiply-adds, whatever the shape. The kernels do a little more than the sum: that of E1 adds the
biases, that of E7 multiplies by sigma' (here 1) and lays delta out for the gradient, that of E8 computes E9 as well.
"""

from math import prod

import numba
import numpy as np

from bpjit.engine import backward, forward, gradient, jit, layout
from bpjit.engine.activations import ACTIVATIONS
from bpjit.engine.jit import call
from bpjit.engine.plan import PIECE

MULTIPLY_ADDS = 2**26
DTYPE = np.dtype(np.float32)
SHAPES = {  # samples, inputs, units of the layer
    "64 x 64 x 64": (64, 64, 64),
    "1024 x 32 x 16": (1024, 32, 16),
    "128 x 1024 x 128": (128, 1024, 128),
}


class Kernel:
    """Layer 2 of a network in the engine's layout, full of random numbers."""

    def __init__(self, samples: int, inputs: int, units: int) -> None:
        laid_out = layout.Layout.of((1, inputs, units), DTYPE, samples)
        self.samples, self.layers, self.tasks = samples, laid_out.layers, laid_out.tasks
        self.layers[1].sigma_prime = ACTIVATIONS["identity"].sigma_prime.address(DTYPE)
        self.theta, self.work, self.gradients = (
            layout.aligned(size, DTYPE) for size in (laid_out.theta_size, laid_out.work_size, laid_out.theta_size)
        )
        rng = np.random.default_rng(0)
        self.theta[:], self.work[:] = rng.standard_normal(self.theta.size), rng.standard_normal(self.work.size)

    def forward(self, times: int) -> np.ndarray:
        layer_kernel(forward.forward.address(DTYPE), self.layers, 2, self.theta, self.work, times)
        return self.work

    def recursion(self, times: int) -> np.ndarray:
        layer_kernel(backward.backward.address(DTYPE), self.layers, 1, self.theta, self.work, times)
        return self.work

    def gradient(self, times: int) -> np.ndarray:
        kernels = gradient.gradient.address(DTYPE), gradient.store.address(DTYPE)
        gradients = self.gradients.reshape(1, -1)
        gradient_kernel(kernels, self.layers, self.tasks, self.theta, gradients, self.work, self.samples, times)
        return self.gradients


@numba.njit(**jit.OPTIONS)
def layer_kernel(kernel, layers, l, theta, work, times):
    for _ in range(times):
        for s in range(0, layers[l].blocks, PIECE):
            call(kernel, layers, l, theta, work, 0, layers[l].panels, s, min(s + PIECE, layers[l].blocks))


@numba.njit(**jit.OPTIONS)
def gradient_kernel(kernels, layers, tasks, theta, gradients, work, samples, times):
    for _ in range(times):
        for k in range(tasks.size):
            if tasks[k].l == 2:
                call(kernels[0], layers, tasks, theta, gradients, work, gradients[:0], kernels[1], samples, k)


class Arrays:
    """W, a and delta of the layer as NumPy has them, row by row."""

    def __init__(self, samples: int, inputs: int, units: int) -> None:
        rng = np.random.default_rng(0)
        shapes = (units, inputs), (samples, inputs), (samples, units)
        self.W, self.a, self.delta = (rng.standard_normal(shape, DTYPE) for shape in shapes)
        self.z, self.sums, self.dW = (np.empty(shape, DTYPE) for shape in (shapes[2], shapes[1], shapes[0]))


class PlainLoop(Arrays):
    def forward(self, times: int) -> np.ndarray:
        for _ in range(times):
            forward_loop(self.W, self.a, self.z)
        return self.z

    def recursion(self, times: int) -> np.ndarray:
        for _ in range(times):
            recursion_loop(self.W, self.delta, self.sums)
        return self.sums

    def gradient(self, times: int) -> np.ndarray:
        for _ in range(times):
            gradient_loop(self.delta, self.a, self.dW)
        return self.dW


@numba.njit(**jit.OPTIONS)
def forward_loop(W, a, z):
    for s in range(len(a)):
        for i in range(len(W)):
            sum_j = DTYPE.type(0)
            for j in range(a.shape[1]):
                sum_j += W[i, j] * a[s, j]  # E1
            z[s, i] = sum_j


@numba.njit(**jit.OPTIONS)
def recursion_loop(W, delta, sums):
    for s in range(len(delta)):
        for j in range(W.shape[1]):
            sum_i = DTYPE.type(0)
            for i in range(len(W)):
                sum_i += W[i, j] * delta[s, i]  # E7
            sums[s, j] = sum_i


@numba.njit(**jit.OPTIONS)
def gradient_loop(delta, a, dW):
    for i in range(len(dW)):
        for j in range(dW.shape[1]):
            sum_s = DTYPE.type(0)
            for s in range(len(a)):
                sum_s += delta[s, i] * a[s, j]  # E8
            dW[i, j] = sum_s


class Dot(Arrays):
    def forward(self, times: int) -> np.ndarray:
        for _ in range(times):
            np.dot(self.a, self.W.T, out=self.z)
        return self.z

    def recursion(self, times: int) -> np.ndarray:
        for _ in range(times):
            np.dot(self.delta, self.W, out=self.sums)
        return self.sums

    def gradient(self, times: int) -> np.ndarray:
        for _ in range(times):
            np.dot(self.delta.T, self.a, out=self.dW)
        return self.dW


WAYS = {"kernel": Kernel, "plain loop": PlainLoop, "np.dot": Dot}


class Contraction:
    params = (["forward", "recursion", "gradient"], list(SHAPES), list(WAYS))
    param_names = ("contraction", "shape", "way")
    timeout = 300  # the first run of all compiles

    def setup(self, contraction: str, shape: str, way: str) -> None:
        layer = WAYS[way](*SHAPES[shape])
        self.contract = getattr(layer, contraction)
        self.times = MULTIPLY_ADDS // prod(SHAPES[shape])
        self.contract(1)

    def time_contract(self, contraction: str, shape: str, way: str) -> np.ndarray:
        return self.contract(self.times)
