"""Descent: epochs of mini-batches on the engine, in orders that the caller draws."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numba.core import config

from .. import watching
from ..engine import epoch
from ..engine.epoch import Place
from ..engine.optimizer import Optimizer
from ..engine.plan import Pace, Plan
from ..engine.ready import Epochs
from ..network import CALL_FLOPS, Network
from ..schedules import Schedule
from ..sources import Dense

CALL_SECONDS = 0.1
"""Length of a compiled call: Ctrl-C waits for its end."""


OF_A_FIT = "source", "state", "pace", "order", "factors", "losses", "penalties", "weights", "_epochs"


class Descent:
    """What an optimiser keeps from one fit to the next, and its steps.

    rule: the optimiser. regularization: as the engine takes it. schedule: of the learning rate, or None. seed: of the
    random numbers of dropout. Pickles, with its moments in an order that any machine can read.
    """

    def __init__(
        self,
        net: Network,
        rule: Optimizer,
        regularization: epoch.Regularization,
        schedule: Schedule | None = None,
        seed: int = 0,
    ) -> None:
        self.rule, self.regularization, self.schedule, self.seed = rule, regularization, schedule, seed
        self.updates = self.epochs = 0
        self.scheduled = {} if schedule is None else schedule.begin()
        self._moments = net._model.moments(rule.moments)
        self._pairs: list[Any] | None = None

    def begin(self, net: Network, source: Dense, batch_size: int, threads: int | None, columns: Sequence[str]) -> None:
        """Makes ready to train net with the samples of source; columns: what `observe` will be told of each epoch.

        Raises ValueError if the schedule watches another one.
        """
        if self.schedule is not None and self.schedule.watched is not None:
            watching.check_column(type(self.schedule).__name__, self.schedule.watched, columns)
        model = net._model
        if self._pairs is not None:
            self._moments = model.moments(len(self._pairs))
            for row, pairs in zip(self._moments, self._pairs):
                model.layout.write_all(row, pairs)
            self._pairs = None
        self.net, self.source, self.batch_size = net, source, batch_size
        self.state = model.state(self.rule, self._moments, regularization=self.regularization)
        self.pace = Pace(net._plan(batch_size, threads, training=True), batch_size)
        steps = source.steps_per_epoch(batch_size)
        self.counts = np.full(steps, float(batch_size))
        self.counts[-1] = len(source) - (steps - 1) * batch_size
        self.losses, self.penalties, self.weights = np.zeros((3, steps))
        flops = 6 * batch_size * sum(n * m for n, m in pairwise(net.sizes))
        self.at_once = max(1, CALL_FLOPS // flops)
        self.is_small = steps <= self.at_once and source.whole and not config.DISABLE_JIT
        self._epochs: Epochs | None = None

    def _ready(self, steps: int) -> Epochs:
        """A whole epoch on one thread as one compiled call, which only the order and the factors change."""
        self.order = np.zeros(len(self.source), np.intp)
        data, _ = self.source.take(self.order, self._place(0), steps)
        self.factors = None if self.schedule is None else np.ones(steps)
        return Epochs(
            self.net._model, self.state, self.rule, data, self._place(0), self.losses, self.pace.alone, self.factors,
            self.weights, self.penalties,
        )  # fmt: skip

    def _place(self, step: int) -> Place:
        return Place(self.seed, self.epochs, step, self.updates, self.batch_size, self.batch_size)

    def epoch(self, order: np.ndarray, rate: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One pass over the samples; the loss of each mini-batch before its update, which includes the penalty, that
        penalty, and what its samples count. rate: the learning rate, or None for the rule's own."""
        steps = len(self.counts)
        if rate is not None:
            self.state.groups.settings[:, self.rule.rate_setting] = rate
        step = 0
        while step < steps:
            plan, _ = self.pace.next()
            if self.is_small and plan.threads == 1:
                count, seconds = self._train_at_once(order, steps)
            else:
                count, seconds = self._train_part(order, step, plan)
            self.pace.took(plan.threads, count, seconds)
            step, self.updates = step + count, self.updates + count
        self.epochs += 1
        return self.losses, self.penalties, self.weights

    def _train_at_once(self, order: np.ndarray, steps: int) -> tuple[int, float]:
        """Trains an epoch of a small network; its steps and seconds."""
        if self._epochs is None:
            self._epochs = self._ready(steps)
        self.order[:] = order
        if self.schedule is not None and self.factors is not None:
            self.factors[:] = self.schedule.factors(self.updates, steps, steps, self.scheduled)
        started = time.perf_counter()
        self._epochs(self.epochs, self.updates)
        return steps, time.perf_counter() - started

    def _train_part(self, order: np.ndarray, step: int, plan: Plan) -> tuple[int, float]:
        """Trains some steps from this one on; how many, and seconds."""
        steps = len(self.counts)
        data, count = self.source.take(order, self._place(step), min(self.at_once, steps - step))
        these = slice(step, step + count)
        factors = None
        if self.schedule is not None:
            factors = self.schedule.factors(self.updates, count, steps, self.scheduled)
        started = time.perf_counter()
        self.net._model.train(
            self.state, self.rule, data, self._place(step), self.losses[these], plan, draw=False, factors=factors,
            weights=self.weights[these], penalties=self.penalties[these],
        )  # fmt: skip
        seconds = time.perf_counter() - started
        if not self.is_small:
            self.at_once = max(1, min(steps, int(count * CALL_SECONDS / max(seconds, 1e-9))))
        return count, seconds

    def observe(self, record: Mapping[str, float]) -> bool:
        """Tells the schedule how the epoch was; whether it ends the training."""
        if self.schedule is None:
            return False
        self.scheduled = self.schedule.observe(self.scheduled, record)
        rate = getattr(self.rule, "learning_rate", 0.0)
        return self.schedule.ended(self.scheduled, rate) is not None

    def end(self) -> None:
        """Lets go of the samples."""
        for name in OF_A_FIT:
            self.__dict__.pop(name, None)

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in (*OF_A_FIT, "net", "_moments")}
        if self._pairs is None and "net" in self.__dict__:
            state["_pairs"] = [self.net._model.layout.read(row) for row in self._moments]
        return state
