"""L-BFGS: SciPy's iterations on the engine's loss and gradient, in the place of mini-batches."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .engine.epoch import Data
from .engine.optimizer import Optimizer
from .engine.optimizers import LBFGS
from .network import Network
from .regularization import Regularization
from .sources import Dense

UNLIMITED = 2**31 - 1


class NotFinite(ArithmeticError):
    """A loss or a gradient is NaN or infinite."""


def check_settings(regularization: Regularization, accumulate: int) -> None:
    """Raises ValueError for what makes the loss noisy, or has no gradient that a line search could follow."""
    for name in [*regularization.in_use, *(["accumulate"] if accumulate > 1 else [])]:
        if name != "l2":
            raise ValueError(f"LBFGS takes l2, but not {name}: leave it out, or take another optimiser")


def minimizer() -> Callable[..., Any]:
    """SciPy's `minimize`. Raises ImportError where there is no SciPy."""
    try:
        from scipy.optimize import minimize
    except ModuleNotFoundError as error:
        raise ImportError("LBFGS needs SciPy: pip install 'bpjit[scipy]'") from error
    return minimize


def iterate(
    net: Network,
    data: Data | Dense,
    optimizer: LBFGS,
    layers: Mapping[int, Optimizer | None],
    l2: Mapping[int, float],
    most: int,
    threads: int | None,
    done: Callable[[float, float], bool],
) -> bool:
    """At most `most` iterations; returns whether it ended before, as nothing was left to gain.

    layers: settings of single layers, None for a frozen one. l2: the factor of each layer's penalty. done(loss,
    seconds) is called after each iteration, with the parameters that it has reached in net, and returns whether to go
    on. Between two such calls they are what the line search tries, and stay so when an exception ends it. Raises
    NotFinite.
    """
    trained, decay, factors = parameters(net, optimizer, layers, l2)
    theta = net._model.theta
    started, ended = time.perf_counter(), False

    def penalty(x: np.ndarray, of: np.ndarray) -> float:
        return 0.5 * float(of @ (x * x))

    def take(x: np.ndarray) -> None:
        theta[trained] = x
        net._model.changes += 1

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        take(x)
        C, gradient = net._loss_and_gradient(data, threads)
        if not (math.isfinite(C) and np.isfinite(gradient).all()):
            raise NotFinite
        return C + penalty(x, decay + factors), gradient[trained] + (decay + factors) * x

    def after(intermediate_result: Any) -> None:
        nonlocal started, ended
        x, seconds = intermediate_result.x, time.perf_counter() - started
        take(x)
        # As with other optimisers weight decay is no part of the loss.
        ended = not done(float(intermediate_result.fun) - penalty(x, decay), seconds)
        if ended:
            raise StopIteration
        started = time.perf_counter()

    options = {
        "maxcor": optimizer.history, "maxls": optimizer.max_line_search, "maxiter": most, "maxfun": UNLIMITED,
        "gtol": optimizer.tolerance, "ftol": 0.0,
    }  # fmt: skip
    x = theta[trained].astype(np.float64)
    found = minimizer()(objective, x, method="L-BFGS-B", jac=True, callback=after, options=options)
    return bool(found.nit < most) and not ended


def parameters(
    net: Network, optimizer: LBFGS, layers: Mapping[int, Optimizer | None], l2: Mapping[int, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where in theta the parameters lie that are trained; the weight decay and the penalty's factor of each of them."""
    layout = net._model.layout
    is_trained, decay, factors = (np.zeros(layout.theta_size) for _ in range(3))
    for l in range(1, len(net.sizes)):
        own = layers.get(l, optimizer)
        if isinstance(own, LBFGS):
            W, b = np.ones((net.sizes[l], net.sizes[l - 1])), np.ones(net.sizes[l])
            layout.write(is_trained, l, W, b * net.bias)
            layout.write(decay, l, W * own.weight_decay, b * (own.weight_decay if own.decay_biases else 0.0))
            layout.write(factors, l, W * l2.get(l, 0.0), 0.0 * b)
    trained = np.flatnonzero(is_trained)
    return trained, decay[trained], factors[trained]
