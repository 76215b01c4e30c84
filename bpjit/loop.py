"""The loop of a fit: compiled calls of many steps, and between them whatever looks at the results."""

import math
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from . import interrupts, lbfgs, watching
from .callbacks import amendments
from .early_stopping import EarlyStopping
from .engine import jit
from .engine.epoch import Place
from .engine.optimizers import LBFGS
from .engine.order import draw_order
from .engine.plan import Pace
from .errors import DivergenceError
from .network import GRADIENT_BATCH
from .progress import Progress
from .run import Path, Position, Run
from .sources import Batches, Dense

if TYPE_CHECKING:
    from .training import Trainer

CALL_SECONDS = 0.05
"""Length of a compiled call: Ctrl-C, progress and checkpoints wait for its end."""


class Loop:
    """Trains as a run says, from where the trainer's position is; what it changes is the trainer's."""

    def __init__(self, trainer: "Trainer", run: Run, display: Progress) -> None:
        self.trainer, self.run, self.display = trainer, run, display
        self.net, self.history = trainer.net, trainer.history
        self.deadline, self.first_update = run.max_seconds, trainer.updates

    @property
    def position(self) -> Position:
        return self.trainer._position

    def train(self) -> None:
        """Trains until the run's end, a budget's, or until something stops it. Raises DivergenceError."""
        run, trainer = self.run, self.trainer
        with self.display.compiling():
            self._compile()
        self._start()
        self.deadline += time.perf_counter()
        with run.callbacks.around(trainer):
            if self.position.judged < self.position.epoch:  # the last fit was interrupted while it looked
                self._close_epochs(self.position.judged)
            if isinstance(trainer.optimizer, LBFGS):
                self._iterate()
            else:
                self._descend()
            self._finish()
        self.history.plan = run.pace.result()

    # ----------------------------------------------------------------------------------------------- begin

    def _compile(self) -> None:
        trainer, run = self.trainer, self.run
        before = jit.seconds_compiling()
        by_rule = not isinstance(trainer.optimizer, LBFGS)
        at_once = run.at_once if by_rule else min(run.batch_size, GRADIENT_BATCH)
        plan = self.net._plan(at_once, trainer.threads, training=True)
        if trainer._pace is None or (trainer._pace.plan, trainer._pace.batch_size) != (plan, run.batch_size):
            trainer._pace = Pace(plan, run.batch_size)
        trainer._pace.begin()
        run.pace = trainer._pace
        run.step_seconds = run.pace.step_seconds()
        run.most_steps = 1 if run.step_seconds == math.inf else math.inf
        asking = None if run.watched is None else self.net._plan_for(run.watched, trainer.threads)
        rule, weighted = trainer.optimizer if by_rule else None, run.source.has_weights
        self.net._model.compile(rule, at_once, plan, asking, trainer.threads, run.state, weighted)
        self.history.compile_seconds += jit.seconds_compiling() - before
        self.history.plan = plan

    def _start(self) -> None:
        position, run = self.position, self.run
        self.display.start(
            run.target,
            len(run.source),
            run.batch_size,
            done=position.epoch,
            plan=self.history.plan,
            samples_done=run.source.done(position.step, run.batch_size),
        )

    # --------------------------------------------------------------------------------------------- descend

    def _descend(self) -> None:
        """Mini-batch steps."""
        run, trainer = self.run, self.trainer
        while self._goes_on():
            if not self.position.step:
                run.callbacks.on_epoch_start(trainer)
                if trainer.stopped:
                    break
            before = self.position.epoch
            if not run.source.ended(self.position.step):
                with interrupts.wait():
                    loss = self._advance()
                run.callbacks.on_batch_end(trainer, loss)
            if self.position.step and run.source.ended(self.position.step):
                with interrupts.wait():
                    self._end_epoch()
            self._look(before)

    def _goes_on(self) -> bool:
        """Whether anything is left to do, and time and steps to do it."""
        run, trainer, position = self.run, self.trainer, self.position
        if trainer.stopped or position.epoch >= run.target:
            return False
        if position.updates >= run.last_update:
            run.cut, trainer._stopped = True, "max_steps mini-batches are done"
        elif time.perf_counter() >= self.deadline and position.updates > self.first_update:
            run.cut, trainer._stopped = True, f"max_seconds are over: {run.max_seconds:g}"
        return not run.cut

    @property
    def _place(self) -> Place:
        position, trainer = self.position, self.trainer
        updates = position.updates - trainer._begun
        run = self.run
        return Place(trainer._order_seed, position.epoch, position.step, updates, run.batch_size, run.at_once)

    @property
    def _call_seconds(self) -> float:
        """Long enough for the copy of the last good state to cost about 2%, at 3 GB/s; short enough for Ctrl-C."""
        copied = self.net._model.theta.nbytes + self.trainer._moments.nbytes
        return min(0.4, max(CALL_SECONDS, 50 * copied / 3e9))

    def _advance(self) -> float:
        """One compiled call: as many steps as take about CALL_SECONDS, within what the run allows; the last loss."""
        trainer, run, position = self.trainer, self.run, self.position
        if trainer._changes != self.net._model.changes:  # a callback has set parameters
            run.good, run.stale = replace(position), True
        if run.stale:
            run.state, run.stale = trainer._kept_state(run), False
        if position.step == 0:
            if run.orders is not None:
                trainer._order[:] = run.orders[position.epoch]
            elif trainer.shuffle and not run.source.whole:
                draw_order(trainer._order, trainer._order_seed, position.epoch)
        if isinstance(run.source, Batches) and run.source.samples > run.batch_size:
            run.batch_size = run.at_once = run.source.samples
            self._compile()
        plan, most_seconds = run.pace.next()
        count = run.steps_now(position, min(most_seconds, self._call_seconds))
        place = self._place
        began = time.perf_counter()
        data, count = run.source.take(trainer._order, place, count)
        factors = trainer._factors(position, count, run.source.epoch_steps(run.batch_size))
        losses, weights = np.empty(count), np.empty(count)
        started = time.perf_counter()
        done = self.net._model.train(
            run.state, trainer.optimizer, data, place, losses, plan,
            draw=trainer.shuffle is True and run.source.whole, factors=factors, weights=weights,
        )  # fmt: skip
        ended = time.perf_counter()
        run.pace.took(plan.threads, count, ended - started)
        seconds = ended - began  # rows that are made dense take time, too
        if done != count:
            self._go_back(count, done)
        run.good = replace(position)
        trainer._good_updates, trainer._changes = position.updates, self.net._model.changes
        self._account(losses, weights, seconds, factors)
        if most_seconds > 0 or run.step_seconds == math.inf:  # else threads have had to wake
            run.step_seconds = max(seconds, 1e-9) / count
        run.most_steps = max(run.most_steps, 10 * count)
        if position.step:
            self.display.update(position.epoch + 1, run.source.done(position.step, run.batch_size), position.loss)
        return float(losses[-1])

    def _account(self, losses: np.ndarray, weights: np.ndarray, seconds: float, factors: np.ndarray | None) -> None:
        """Moves on by losses.size steps; an epoch that they complete enters the history. weights: how much the samples
        of each step count in all."""
        position, per_epoch = self.position, self.run.steps_per_epoch
        share = seconds / len(losses)
        rate = getattr(self.trainer.optimizer, "learning_rate", 0.0)
        start = 0
        while start < len(losses):
            these = slice(start, start + per_epoch - position.step)
            part = losses[these] * weights[these]
            start += len(part)
            position.step += len(part)
            position.updates += len(part)
            position.seconds += share * len(part)
            position.cost = _added(position.cost, part)
            position.weight = _added(position.weight, weights[these])
            position.rate = rate * (1.0 if factors is None else float(factors[start - 1]))
            if position.step == per_epoch:
                self._end_epoch()

    def _end_epoch(self) -> None:
        position = self.position
        record = {"loss": position.loss, "seconds": position.seconds}
        if self.trainer._shows_rate:
            record["learning_rate"] = position.rate
        self.history.append(record)
        position.end_epoch()
        if self.run.free:
            position.judged = position.epoch

    def _go_back(self, count: int, done: int) -> NoReturn:
        """Restores the last good state and raises DivergenceError."""
        trainer, run, position = self.trainer, self.run, self.position
        steps = position.step + (done if done >= 0 else count - 1)
        epoch, step = position.epoch + steps // run.steps_per_epoch + 1, steps % run.steps_per_epoch + 1
        if done != 0:  # the engine has seen a finite loss of the state that this call began with, and kept it
            run.good = replace(position)
        self.net._model.theta[:] = run.state.good_theta
        trainer._moments[:] = run.state.good_moments
        trainer._position = run.good
        self.history.cut(run.good.epoch)
        if run.good.step:
            if run.orders is not None:
                trainer._order[:] = run.orders[run.good.epoch]
            elif trainer.shuffle:
                draw_order(trainer._order, trainer._order_seed, run.good.epoch)
        what = "the loss" if done >= 0 else "a parameter or a moment of the optimiser"
        raise DivergenceError(
            f"training diverged: {what} is no finite number any more at epoch {epoch}, step {step}; the network is as "
            f"it was after {run.good.updates} updates. Try a smaller learning rate, or scale the features",
            epoch,
            step,
        )

    # --------------------------------------------------------------------------------------------- iterate

    def _iterate(self) -> None:
        """Epochs that are iterations of L-BFGS; whatever ends them, the network is as the last complete one left it."""
        trainer, run, position, model = self.trainer, self.run, self.position, self.net._model
        reached = model.theta.copy()
        changed = False
        assert isinstance(run.source, Dense)

        def done(loss: float, seconds: float) -> bool:
            nonlocal changed
            with interrupts.wait():
                reached[:] = model.theta
                self.history.append({"loss": loss, "seconds": seconds})
                position.epoch, position.updates = position.epoch + 1, position.updates + 1
                if run.free:
                    position.judged = position.epoch
            before = model.changes, trainer.optimizer
            try:
                run.callbacks.on_batch_end(trainer, loss)
                self._look(position.epoch - 1)
                goes_on = self._goes_on()
                if goes_on:
                    run.callbacks.on_epoch_start(trainer)
            finally:
                changed = before != (model.changes, trainer.optimizer)
                reached[:] = model.theta
            return goes_on and not trainer.stopped and not changed

        try:
            if self._goes_on():
                run.callbacks.on_epoch_start(trainer)
            while self._goes_on():
                changed = False
                most = int(min(run.target - position.epoch, run.last_update - position.updates))
                settings = trainer.optimizer
                assert isinstance(settings, LBFGS)
                layers, l2 = trainer._optimizers, trainer.regularization.l2
                if lbfgs.iterate(self.net, run.source, settings, layers, l2, most, trainer.threads, done):
                    run.over, trainer._stopped = True, "no step of L-BFGS lowers the loss any more"
                    trainer._target = position.epoch
        except lbfgs.NotFinite:
            raise DivergenceError(
                f"training diverged: the loss or its gradient is no finite number any more at epoch "
                f"{position.epoch + 1}; the network is as it was after {position.updates} updates. Scale the features",
                position.epoch + 1,
                1,
            ) from None
        finally:
            with interrupts.wait():
                model.theta[:] = reached
                model.changes += 1

    # ------------------------------------------------------------------------------------------------ look

    def _look(self, before: int) -> None:
        """After a call: closes the epochs that it completed, from `before` on, and writes the checkpoint."""
        run, position = self.run, self.position
        self._close_epochs(before)
        goes_on = not self.trainer.stopped and position.epoch < run.target  # else the checkpoint is written in the end
        at_epoch = not position.step and position.epoch % run.checkpoint_epochs == 0
        if run.checkpoint is not None and goes_on and (at_epoch or position.updates % run.checkpoint_every == 0):
            self.trainer.checkpoint(run.checkpoint)

    def _close_epochs(self, first: int) -> None:
        """The results of the epochs from `first` on, and their display; only a run that is free has more than one."""
        if self.position.judged < self.position.epoch:
            self._close_epoch()
        for epoch in range(first, self.position.epoch):
            self.display.epoch_end(epoch + 1, self.history.record(epoch))

    def _close_epoch(self) -> None:
        """Scores, callbacks, and what follows from them: the schedule, early stopping, the best network."""
        run, epoch = self.run, self.position.epoch
        if run.watched is not None and run.validates(epoch):
            self._validate(run.watched)
        elif run.watched is not None:  # the columns are there from the first epoch on
            self.history.amend(dict.fromkeys(self.net._score_names(run.metrics), math.nan))
        before = self.history.record(epoch - 1)
        record = dict(before)
        try:
            run.callbacks.on_epoch_end(self.trainer, record)
        except BaseException:  # what it has not put into the record counts as not measured
            self._conclude(dict.fromkeys(self.trainer._watched, math.nan) | before, record, before)
            raise
        wrong = self._conclude(before, record, before)
        if wrong:
            raise TypeError(wrong)

    def _conclude(
        self, known: Mapping[str, float], record: Mapping[str, float], before: Mapping[str, float]
    ) -> str | None:
        """Closes the epoch, of which `known` is known, and what callbacks have changed in its record; returns what is
        wrong with that."""
        with interrupts.wait():
            more, wrong = amendments(record, before)
            self.history.amend(more)
            entries = {**known, **more}
            self._judge(entries)
            try:
                if self.run.best is not None:
                    self._keep_best(self.run.best, entries)
                if self.run.over:
                    self._validate_late()
            finally:
                if self.run.over:
                    self._end_training()
        return wrong

    def _validate_late(self) -> None:
        """The scores of an epoch that turns out to be the last one, of which the rest is judged already."""
        run, stopping = self.run, self.trainer.early_stopping
        if run.watched is None or run.validates(self.position.epoch):
            return
        self._validate(run.watched)
        record = self.history.record(self.position.epoch - 1)
        if stopping is not None and stopping.watch.startswith("validation_"):
            self._observe(stopping, record)
        if run.best is not None and run.best_by[0].startswith("validation_"):
            self._keep_best(run.best, record)

    def _validate(self, watched: Dense) -> None:
        self.history.amend(self.net._scores(watched, self.trainer.threads, self.run.metrics))

    def _judge(self, record: Mapping[str, float]) -> None:
        """What the schedule and early stopping make of the epoch."""
        trainer, position = self.trainer, self.position
        position.judged = position.epoch
        position.schedule = trainer.schedule.observe(position.schedule, record)
        rate = getattr(trainer.optimizer, "learning_rate", 0.0)
        ended = trainer.schedule.ended(position.schedule, rate)
        if trainer.early_stopping is not None:
            ended = self._observe(trainer.early_stopping, record) or ended
        if ended:
            self.run.over, trainer._stopped = True, trainer.stopped or ended

    def _observe(self, stopping: EarlyStopping, record: Mapping[str, float]) -> str | None:
        """Early stopping's verdict; keeps the parameters of its best epoch."""
        position = self.position
        position.stopping = stopping.observe(position.stopping, record, position.epoch)
        if stopping.restore_best and position.stopping["best_epoch"] == position.epoch:
            position.best = self.net._model.theta.copy()
        return stopping.ended(position.stopping)

    def _keep_best(self, file: Path, record: Mapping[str, float]) -> None:
        """Writes the network to the file for the best one if the epoch's score is better than any before it."""
        trainer, (column, best) = self.trainer, self.run.best_by
        score = watching.score("best", column, best, {column: math.nan, **record})
        path = os.path.abspath(os.fspath(file))
        kept = trainer._kept
        is_known = kept is not None and kept[:2] == (path, column) and os.path.exists(path)
        if score is not None and (kept is None or not is_known or score < kept[2]):
            self.net.save(path)
            trainer._kept = path, column, score

    def _end_training(self) -> None:
        """Nothing is left to do: the results have ended the training."""
        trainer, position = self.trainer, self.position
        trainer._target = position.epoch
        stopping = trainer.early_stopping
        if stopping is not None and stopping.ended(position.stopping) and position.best is not None:
            trainer.restore_best()

    # -------------------------------------------------------------------------------------------------- end

    def _finish(self) -> None:
        """In the end of a training that nothing has interrupted: the scores of its last epoch, the checkpoint."""
        trainer, run, position = self.trainer, self.run, self.position
        if not (run.cut or run.over) and position.epoch > 0 and not position.step:
            with interrupts.wait():
                self._validate_late()
        if run.checkpoint is not None:
            trainer.checkpoint(run.checkpoint)
        if trainer.stopped:
            self.display.stopped(trainer.stopped)


def _added(total: float, numbers: np.ndarray) -> float:
    """total and the numbers, in order, one by one: the same sum however the steps are divided into calls."""
    return float(np.add.accumulate(np.append(total, numbers))[-1])
