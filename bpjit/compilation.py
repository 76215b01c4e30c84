"""Compiling before it is needed: in the making of a container's image, or before the clock runs."""

import time
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from . import validation
from .engine import jit, order
from .engine.optimizers import LBFGS
from .network import GRADIENT_BATCH, PREDICT_BATCH, Network
from .training import Trainer


class Warmup(NamedTuple):
    """What `warmup` has done."""

    seconds: float
    compiled: int
    """Kernels that were compiled, and are in the cache now if it can be written;"""
    loaded: int
    """and those that were there."""


def warmup(sizes: Any, **settings: Any) -> Warmup:
    """Compiles now what `Network(sizes, ...)` and `Trainer(net, ...)` with these settings need to fit and to predict.

    settings: those of `Network` and of `Trainer`, by name, such as activation, loss, dtype, optimizer, batch_size or
    dropout; a seed serves both. It trains nothing and needs no data. A later fit with a validation set, weights and any
    number of samples, predict and evaluate then compile nothing: in this process, and in others that use the same
    compile cache (BPJIT_CACHE_DIR, else the user's own cache folder) on such a CPU with such versions. Your own
    activations, losses and optimisers must be registered before.

    Returns the seconds it took, and how many kernels were compiled and loaded; none are where all were in use before.
    Raises TypeError for a setting that neither has, and what `Network` and `Trainer` raise.

    >>> done = warmup([4, 8, 3], batch_size=16)
    >>> warmup([4, 8, 3], batch_size=16)[1:]  # nothing is left to do
    (0, 0)
    """
    of_network, of_trainer = (set(signature(made).parameters) - {"sizes", "net"} for made in (Network, Trainer))
    for name in settings:
        try:
            validation.choice(name, sorted(of_network | of_trainer), "a setting of warmup")
        except ValueError as error:
            raise TypeError(str(error)) from None
    started, before = time.perf_counter(), jit.kernels_so_far()
    net = Network(sizes, **{name: value for name, value in settings.items() if name in of_network})
    trainer = Trainer(net, **{name: value for name, value in settings.items() if name in of_trainer})
    regularization = trainer.regularization.for_engine(len(net.sizes) - 1)
    state = net._model.state(
        trainer.optimizer, trainer._moments, layers=trainer._optimizers, regularization=regularization,
        in_parts=trainer.accumulate > 1,
    )  # fmt: skip
    rule, at_once = trainer.optimizer, trainer.batch_size
    by_rule = not isinstance(rule, LBFGS)
    net._model.compile_ahead(
        rule if by_rule else None, at_once if by_rule else GRADIENT_BATCH, PREDICT_BATCH, trainer.threads, state
    )
    order.draw_order(np.zeros(1, np.intp), 0, 0)
    compiled, loaded = (now - then for now, then in zip(jit.kernels_so_far(), before, strict=True))
    return Warmup(time.perf_counter() - started, compiled, loaded)
