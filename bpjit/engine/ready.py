"""Runs that are made ready once and repeated: else that takes longer than a few steps of a small network."""

import threading
from typing import TYPE_CHECKING

import numpy as np

from . import calls, epoch
from .epoch import Data, Place, State
from .job import DONE, EPOCH, ROWS, STEP, UPDATE, address, dropped_layers, prepared, record
from .layout import aligned
from .optimizer import Optimizer
from .plan import Plan

if TYPE_CHECKING:
    from .model import Model


COPIED = 4096
"""Bytes of X up to which a copy takes less time than asking NumPy where it lies."""


class Answer:
    """Outputs for a few rows of X at a time, with everything made ready once: else that is most of the time.

    >>> from bpjit.engine.model import Model
    >>> model = Model((2, 1), ("identity",), "squared_error", np.dtype("float32"), True)
    >>> Answer(model, 1, Plan(1, 1, "one thread"))(np.ones((1, 2), np.float32))
    array([[0.]], dtype=float32)
    """

    def __init__(self, model: "Model", rows: int, plan: Plan):
        self.X, self.y = aligned(rows * model.sizes[0], model.dtype), np.empty((rows, model.sizes[-1]), model.dtype)
        self.X = self.X.reshape(rows, -1)
        labels, targets = np.zeros(0, np.intp), np.zeros((0, model.sizes[-1]), model.dtype)
        data = Data(self.X, labels, targets, np.arange(rows), self.y)
        partials = np.empty((0, 0), model.dtype)
        network, kernels = model._make_workspace(rows), model._kernels(calls.PREDICT, rows, plan, False)
        weights, place = np.zeros(1), Place(0, 0, 0, 0, rows, rows)
        self._arrays = model.theta, np.zeros(1), network, data, partials, weights  # the job holds their addresses alone
        losses = self._arrays[1]
        job = record(model.theta, losses, network, kernels, None, data, partials, place, plan, None, (weights, None))
        self._job, self._address, self._theta = job, address(job), model.theta
        self._own_rows = address(self.X)
        self._lock = threading.Lock()

    def __call__(self, X: np.ndarray) -> np.ndarray | None:
        """y of X; None if a number in X is not finite, or another thread is at it."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if X.nbytes <= COPIED or not (X.flags.c_contiguous and X.flags.aligned):
                self.X[:] = X
                self._job[ROWS] = self._own_rows
            else:
                self._job[ROWS] = address(X)
            self._job[STEP] = 0
            epoch.steps(self._address, self._theta)
            return self.y.copy() if self._job[DONE] else None
        finally:
            self._lock.release()


class Epochs:
    """An epoch on one thread again and again, with everything made ready once: else that takes longer than a few steps
    of a small network.

    Arguments are those of `Model.train`; their arrays are read and written anew each time.
    """

    def __init__(
        self,
        model: "Model",
        state: State,
        optimizer: Optimizer,
        data: Data,
        place: Place,
        losses: np.ndarray,
        plan: Plan,
        factors: np.ndarray | None,
        weights: np.ndarray,
        penalties: np.ndarray,
    ):
        network = prepared(model._make_workspace(place.at_once, dropped=dropped_layers(state)), state)
        wanted = calls.step(optimizer, draw=False) + calls.regularized(state, optimizer)
        wanted += () if data.weights is None else calls.WEIGH
        kernels, partials = model._kernels(wanted, place.at_once, plan, False), np.empty((0, 0), model.dtype)
        sums = weights, penalties
        job = record(model.theta, losses, network, kernels, state, data, partials, place, plan, factors, sums)
        self._arrays = losses, network, state, data, partials, factors, sums  # the job holds their addresses alone
        self._model, self._job, self._address = model, job, address(job)

    def __call__(self, number: int, updates: int) -> None:
        """Trains epoch `number`, which begins after so many updates."""
        self._model.changes += 1
        self._job[STEP], self._job[EPOCH], self._job[UPDATE] = 0, number, updates
        epoch.steps(self._address, self._model.theta)
