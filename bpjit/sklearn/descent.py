"""Descent: epochs of mini-batches on the engine, in orders that the caller draws."""

import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import watching
from ..engine import epoch
from ..engine.epoch import Place
from ..engine.optimizer import Optimizer
from ..engine.plan import Pace
from ..network import CALL_FLOPS, Network
from ..schedules import Schedule
from ..sources import Dense

CALL_SECONDS = 0.1
"""Length of a compiled call: Ctrl-C waits for its end."""


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
        self.pace = Pace(net._plan(batch_size, threads, training=True))
        steps = source.steps_per_epoch(batch_size)
        self.counts = np.full(steps, float(batch_size))
        self.counts[-1] = len(source) - (steps - 1) * batch_size
        flops = 6 * batch_size * sum(n * m for n, m in pairwise(net.sizes))
        self.at_once = max(1, CALL_FLOPS // flops)

    def epoch(self, order: np.ndarray, rate: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One pass over the samples; the loss of each mini-batch before its update, which includes the penalty, that
        penalty, and what its samples count. rate: the learning rate, or None for the rule's own."""
        steps, source = len(self.counts), self.source
        losses, penalties, weights = np.empty(steps), np.zeros(steps), np.empty(steps)
        if rate is not None:
            self.state.groups.settings[:, self.rule.rate_setting] = rate
        step = 0
        while step < steps:
            plan, _ = self.pace.next()
            place = Place(self.seed, self.epochs, step, self.updates, self.batch_size, self.batch_size)
            data, count = source.take(order, place, min(self.at_once, steps - step))
            these = slice(step, step + count)
            factors = None
            if self.schedule is not None:
                factors = self.schedule.factors(self.updates, count, steps, self.scheduled)
            started = time.perf_counter()
            self.net._model.train(
                self.state, self.rule, data, place, losses[these], plan, draw=False, factors=factors,
                weights=weights[these], penalties=penalties[these],
            )  # fmt: skip
            seconds = time.perf_counter() - started
            self.pace.took(plan.threads, count, seconds)
            self.at_once = max(1, min(steps, int(count * CALL_SECONDS / max(seconds, 1e-9))))
            step, self.updates = step + count, self.updates + count
        self.epochs += 1
        return losses, penalties, weights

    def observe(self, record: Mapping[str, float]) -> bool:
        """Tells the schedule how the epoch was; whether it ends the training."""
        if self.schedule is None:
            return False
        self.scheduled = self.schedule.observe(self.scheduled, record)
        rate = getattr(self.rule, "learning_rate", 0.0)
        return self.schedule.ended(self.scheduled, rate) is not None

    def end(self) -> None:
        """Lets go of the samples."""
        del self.source, self.state, self.pace

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        net = state.pop("net", None)
        for name in ("source", "state", "pace", "_moments"):
            state.pop(name, None)
        if self._pairs is None and net is not None:
            state["_pairs"] = [net._model.layout.read(row) for row in self._moments]
        return state
