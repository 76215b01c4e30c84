"""What a step leaves in its workspace, for those who look inside: z, a, delta and sigma'(z) of every layer."""

from itertools import count

import numpy as np

from . import epoch, jit, layout
from .batch import gather
from .calls import GRADIENT
from .epoch import Data, Place, layers_of
from .forward import forward
from .jit import call
from .layout import of_block
from .model import Model
from .optimizers import SGD
from .plan import Plan

FORWARD = ("gather", gather), ("forward", forward), ("piece", epoch.piece)

FAR = 50.0
"""A z on the flat end of whatever has one: there sigma' is below 0.0004 for sigmoid, tanh, softsign and arctan."""


class Trace:
    """z, a and delta of one mini-batch after another, in a workspace with a place for every z.

    The arrays are overwritten by the next `run`: copy what is to be kept.

    >>> from bpjit.engine.model import Model
    >>> model = Model((2, 1), ("identity",), "squared_error", np.dtype("float32"), True)
    >>> trace, X = Trace(model, 2), np.ones((2, 2), np.float32)
    >>> trace.run(Data(X, np.zeros(0, np.intp), X[:, :1], np.arange(2), X[:0, :1]), Plan(1, 1, "one thread"), True)
    >>> trace.a(1).tolist(), trace.delta(1).tolist()
    ([[0.0], [0.0]], [[-1.0], [-1.0]])
    """

    def __init__(self, model: Model, capacity: int):
        self.model, self._rows = model, 0
        self._samples = next(2**k for k in count() if 2**k >= capacity)
        network = model._make_workspace(self._samples, keep_z=True)
        self._network = network._replace(tasks=network.tasks[:0])  # no gradient (E8, E9) and no update after delta

    def run(self, data: Data, plan: Plan, backward: bool) -> None:
        """E1 and E2 for the samples data.order, at most `capacity`; and with `backward` E6 and E7.

        The engine's delta has the factor 1/S. With the last sample repeated until S is a power of two, taking that
        factor out again rounds nothing; and all mini-batches call the same kernels.
        """
        self._rows = len(data.order)
        data = data._replace(order=np.pad(data.order, (0, self._samples - self._rows), "edge"))
        state = self.model.state(SGD(), self.model.moments(0)) if backward else None
        place, wanted = Place(0, 0, 0, 0, self._samples), GRADIENT if backward else FORWARD
        self.model._run(wanted, state, data, place, np.zeros(1), plan, within=self._network)

    def a(self, l: int) -> np.ndarray:
        """a^l (S, n_l); a^0 is x."""
        return layout.read_block(self._network.work, self._network.layers[l], "a")[: self._rows]

    def z(self, l: int) -> np.ndarray:
        """z^l (S, n_l)."""
        return layout.read_block(self._network.work, self._network.layers[l], "z")[: self._rows]

    def delta(self, l: int) -> np.ndarray:
        """delta^l (S, n_l) of single samples: dC_s/dz^l, without the factor 1/S."""
        delta = layout.read_delta_rows(self._network.work, self._network.layers[l])[: self._rows]
        return delta * delta.dtype.type(self._samples)

    def has_slope(self, l: int) -> bool:
        """Whether layer l has a sigma' of single units: not softmax, nor an output whose loss takes z itself."""
        return bool(self._network.layers[l].sigma_prime) and not self.model.activations[l - 1].output_only

    def slope(self, l: int) -> np.ndarray:
        """sigma'(z^l) (S, n_l), of a layer that has one."""
        job = np.zeros(1, epoch.JOB)
        layers, work = self._network.layers, self._network.work
        job["layers"], job["layer_count"] = layers.ctypes.data, len(layers)
        job["work"], job["work_size"] = work.ctypes.data, work.size
        job["l"], job["samples"] = l, self._rows
        slopes(job.ctypes.data, work)
        return layout.read_block(work, layers[l], "delta")[: self._rows]

    def flat_ends(self, l: int, below: float) -> int:
        """On how many sides, very small z and very large z, |sigma'| of layer l is below a number; changes z and a."""
        self._rows = 2
        for q, z in zip(range(2), (-FAR, FAR)):
            layout.block_view(self._network.work, self._network.layers[l], "z")[0, :, q] = z
        return int((abs(self.slope(l)[:, 0]) < below).sum())


@jit.entry
def slopes(address, like):
    """a = sigma(z) once more, and in the place of delta sigma'(z), for layer job.l of job.samples samples."""
    job = jit.at(address, epoch.JOB, 1)[0]
    work = jit.at(job.work, like, job.work_size)
    layer = layers_of(job)[job.l]
    z, a, delta = layout.z(work, layer), layout.a(work, layer), layout.delta(work, layer)
    for s in range((job.samples + layer.panel - 1) // layer.panel):
        z_s, a_s = of_block(z, s, 0, layer.units), of_block(a, s, 0, layer.units)
        delta_s = of_block(delta, s, 0, layer.units)
        call(layer.sigma, z_s, a_s, layer.setting)
        for i in range(layer.units):
            for q in range(layer.panel):
                delta_s[i, q] = 1
        call(layer.sigma_prime, z_s, a_s, delta_s, layer.setting)
    return 1
