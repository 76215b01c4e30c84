"""What passes through a network, sample by sample, as the engine computed it: z, a, delta, and gradients.

Everything here is asked through `Network`, whose methods these functions are.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from . import validation
from .engine.epoch import Data
from .engine.trace import Trace
from .network import PREDICT_BATCH, Network, Parameters

FEWER_ROWS = "give fewer rows of X at a time"


def activations(net: Network, X: Any) -> list[np.ndarray]:
    """[a^0, ..., a^L] (E2): see `Network.activations`."""
    data = _checked(net, net._data(X), sum(net.sizes), "the activations")
    return _collected(net, data, range(len(net.sizes)), Trace.a)


def weighted_inputs(net: Network, X: Any) -> list[np.ndarray]:
    """[z^1, ..., z^L] (E1): see `Network.weighted_inputs`."""
    data = _checked(net, net._data(X), sum(net.sizes[1:]), "the weighted inputs")
    return _collected(net, data, range(1, len(net.sizes)), Trace.z)


def deltas(net: Network, X: Any, t: Any) -> list[np.ndarray]:
    """[delta^1, ..., delta^L] (E6, E7): see `Network.deltas`."""
    data = _checked(net, net._data(X, t), sum(net.sizes[1:]), "the deltas")
    return _collected(net, data, range(1, len(net.sizes)), Trace.delta, backward=True)


def sample_gradients(net: Network, X: Any, t: Any) -> Parameters:
    """[(dC_s/dW^1, dC_s/db^1), ...] (E4, E5): see `Network.sample_gradients`."""
    data = _checked(net, net._data(X, t), parameter_count(net), "the gradients of single samples")
    S = len(data.X)
    shapes = [(S, net.sizes[l], net.sizes[l - 1]) for l in range(1, len(net.sizes))]
    gradients: Parameters = [
        (np.empty(shape, net.dtype), np.empty(shape[:2], net.dtype) if net.bias else None) for shape in shapes
    ]
    for rows, trace in traces(net, data, backward=True):
        for l, (dW, db) in enumerate(gradients, start=1):
            delta = trace.delta(l)
            np.multiply(delta[:, :, None], trace.a(l - 1)[:, None, :], out=dW[rows])  # E4, E5
            if db is not None:
                db[rows] = delta
    return gradients


def parameter_count(net: Network) -> int:
    """Weights and biases."""
    return sum(W.size + (b is not None) * len(W) for W, b in net._pairs(net._model.theta))


def traces(net: Network, data: Data, backward: bool) -> Iterator[tuple[slice, Trace]]:
    """The rows of X in mini-batches, each with what it left in the engine until the next one comes."""
    batch_size = min(len(data.X), PREDICT_BATCH)
    trace, plan = Trace(net._model, batch_size), net._plan(batch_size, training=backward)
    for start in range(0, len(data.X), batch_size):
        rows = slice(start, min(start + batch_size, len(data.X)))
        trace.run(data._replace(order=data.order[rows]), plan, backward)
        yield rows, trace


def _checked(net: Network, data: Data, numbers: int, what: str) -> Data:
    """The data, if so many numbers a sample fit into memory."""
    size = len(data.X) * numbers * net.dtype.itemsize
    validation.fits_memory(size, f"{what} of {len(data.X)} samples", FEWER_ROWS)
    return data


def _collected(net: Network, data: Data, layers: range, read: Any, backward: bool = False) -> list[np.ndarray]:
    found = [np.empty((len(data.X), net.sizes[l]), net.dtype) for l in layers]
    for rows, trace in traces(net, data, backward):
        for l, values in zip(layers, found):
            values[rows] = read(trace, l)
    return found
