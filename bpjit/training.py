"""Trainer: mini-batches in their order, the optimiser's state, validation, history, and where a run stands."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, NoReturn

import numpy as np

from . import interrupts, lbfgs, parameter_groups, request, storage, trainer_state
from . import validation as check
from .engine import jit, optimizers
from .engine.epoch import Place, State
from .engine.optimizers import LBFGS, Optimizer
from .engine.order import draw_order
from .engine.plan import Pace
from .history import History
from .network import GRADIENT_BATCH, Network
from .progress import Progress, reporter
from .regularization import Regularization
from .run import Position, Run

CALL_SECONDS = 0.05
"""Length of a compiled call: Ctrl-C, progress and checkpoints wait for its end."""


class DivergenceError(ArithmeticError):
    """The loss or a parameter became NaN or infinite; network and trainer are at the last state whose loss was finite.

    epoch and step (the epoch's mini-batch; both counted from 1) name where it was seen.
    """

    def __init__(self, message: str, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch, self.step = epoch, step

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.epoch, self.step)


class Trainer:
    """Trains a network and keeps what a run needs to go on: optimiser state, order of samples, history.

    net: trained in place. optimizer: None for Adam(). batch_size: samples in a mini-batch; the last one of an epoch may
    be smaller. seed: of the order of samples; None draws one. threads: an upper limit; None plans them (the result has
    the same bits for any number). shuffle: True draws a new order each epoch, False keeps the rows' order, a sequence
    gives each epoch's order as a permutation of range(S). layers: what differs in some layers,
    {number: "frozen" or {setting of the optimiser: value}}, the layers counted from 1, or from the end as -1, -2, ...;
    what chooses the rule itself, such as amsgrad or whether there is momentum, must be alike in all. A frozen layer
    stays as it is; to train it later make a new Trainer.

    Regularisation (docs/regularization.md), each number for all layers or {layer: number} for some:
    l1, l2: the cost has l1 sum |w| + l2/2 sum w^2 added, over the weights, which the history's loss includes; a frozen
    layer has none. dropout: the probability, in [0, 1), with which a unit of a hidden layer is 0 in a mini-batch, the
    others being 1 / (1 - dropout) times as large; layer 0 is the input. input_noise: the standard deviation of normal
    noise that is added to the input. max_norm: the greatest norm of the weights into one unit, which are scaled down to
    it after each update. clip_value, clip_norm: limits of every number of the gradient, penalties included, and then of
    its norm over all layers. accumulate: updates after this many mini-batches of batch_size, with the gradient of their
    mean: the result of a batch size so many times as large, in less memory.

    Raises ValueError or TypeError for a setting that is not possible.

    >>> net = Network([2, 8, 2], seed=0)
    >>> trainer = Trainer(net, SGD(learning_rate=0.1, momentum=0.9), batch_size=2, seed=0)
    >>> X, t = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> trainer.fit(X, t, epochs=2).epochs
    2
    >>> trainer.fit(X, t, epochs=3).epochs  # goes on
    5
    >>> Trainer(net, Adam(), layers={1: "frozen", -1: {"learning_rate": 1e-4}}).layers
    {1: 'frozen', 2: {'learning_rate': 0.0001}}
    """

    def __init__(
        self,
        net: Network,
        optimizer: Optimizer | None = None,
        batch_size: int = 32,
        seed: int | None = None,
        threads: int | None = None,
        shuffle: bool | Sequence[Any] = True,
        layers: Mapping[int, Any] | None = None,
        l1: float | Mapping[int, float] = 0.0,
        l2: float | Mapping[int, float] = 0.0,
        dropout: float | Mapping[int, float] = 0.0,
        input_noise: float = 0.0,
        max_norm: float | Mapping[int, float] | None = None,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        accumulate: int = 1,
    ) -> None:
        if not isinstance(net, Network):
            raise TypeError(f"net must be a bpjit.Network, not {type(net).__name__}")
        self._net = net
        self._batch_size = check.integer(batch_size, "batch_size", low=1)
        seed = check.seed(seed)
        self._seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0]) if seed is None else seed
        self._shuffle = _orders(shuffle)
        self.threads = check.threads(threads)
        self.history = History()
        self._position = Position()
        self._target = 0  # the epoch that the last fit was to reach
        self._state: State | None = None  # with the last good state, which outlives a fit
        self._changes = 0
        self._good_updates = 0
        self._order = np.zeros(0, np.intp)
        self._pace: Pace | None = None
        self._fingerprint: int | None = None  # of the data, while an epoch is unfinished
        self._layers: parameter_groups.Layers = {}
        self._optimizer: Optimizer = optimizers.Adam()
        self._moments = net._model.moments(self._optimizer.moments)
        self._begun = 0  # the update that the optimiser's moments began with
        if optimizer is not None:
            self.optimizer = optimizer
        self._layers = parameter_groups.checked(layers, self.optimizer, len(net.sizes) - 1)
        given = Regularization(l1, l2, dropout, input_noise, max_norm, clip_value, clip_norm)
        self._regularization = given.checked(len(net.sizes) - 1)
        self._accumulate = check.integer(accumulate, "accumulate", low=1)

    @property
    def net(self) -> Network:
        return self._net

    @property
    def batch_size(self) -> int:
        return self._batch_size

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def shuffle(self) -> bool | list[np.ndarray]:
        return self._shuffle

    @property
    def regularization(self) -> Regularization:
        """What is added to the loss or done to units, weights and gradient, by layer."""
        return self._regularization

    @property
    def accumulate(self) -> int:
        """Mini-batches to an update."""
        return self._accumulate

    @property
    def layers(self) -> dict[int, Any]:
        """What is different in some layers: {number from 1: "frozen" or {setting of the optimiser: value}}."""
        return {l: changes if isinstance(changes, str) else dict(changes) for l, changes in self._layers.items()}

    @property
    def optimizer(self) -> Optimizer:
        """The optimiser. Another one may be set between fits: its moments begin at zero, and its steps are counted from
        1, unless it is of the same class and keeps as many."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be one such as bpjit.Adam(), not {optimizer!r}")
        self._layers = parameter_groups.checked(self._layers, optimizer, len(self.net.sizes) - 1)
        if type(self._optimizer) is not type(optimizer) or len(self._moments) != optimizer.moments:
            self._moments, self._state = self.net._model.moments(optimizer.moments), None
            self._begun = self._position.updates
        self._optimizer = optimizer

    # ------------------------------------------------------------------------------------------------ fit

    def fit(
        self,
        X: Any,
        t: Any,
        epochs: int | None = None,
        validation: tuple[Any, Any] | None = None,
        progress: bool | Progress = False,
        max_steps: int | None = None,
        checkpoint: str | PathLike[str] | None = None,
        checkpoint_every: int | None = None,
    ) -> History:
        """Trains for `epochs` more epochs; goes on where the last fit ended.

        X is (S, n_0); t holds labels (S,) or rows (S, n_L), as the loss takes them. An epoch that was left unfinished
        is finished first, and counts; epochs=None does what the last fit left to do. validation: (X, t) whose loss and
        accuracy are taken after every epoch. progress: True shows it on standard error. max_steps: ends after that many
        mini-batches at most. checkpoint: a file for the whole state, written after every epoch and, with
        checkpoint_every, after every so many mini-batches.

        Returns the history of all fits. Raises ValueError or TypeError for data and settings that do not fit, before
        anything changes; DivergenceError, with network and trainer at the last good state; KeyboardInterrupt after
        Ctrl-C, with network, trainer and history as they were after the last complete mini-batch.
        """
        run = request.checked(self, X, t, epochs, validation, max_steps, checkpoint, checkpoint_every)
        display = reporter(progress)
        self._begin(run)
        try:
            with display.compiling():
                self._compile(run)
            self._start(run, display)
            if isinstance(self.optimizer, LBFGS):
                self._iterate(run, display, self.optimizer)
            else:
                while self._position.epoch < run.target and self._position.updates < run.last_update:
                    before = self._position.epoch
                    with interrupts.wait():
                        self._advance(run, display)
                    self._look(run, display, before)
            self.history.plan = run.pace.result()
        finally:
            with interrupts.wait():
                self._remember_data(run)
            display.finish()
        return self.history

    def _begin(self, run: Run) -> None:
        if not self._position.step:
            self._order = np.arange(len(run.data.X))
        run.data = run.data._replace(order=self._order)
        run.state = self._kept_state(run)
        run.good = replace(self._position, updates=self._good_updates)
        self._target, self.net.history = run.target, self.history

    def _remember_data(self, run: Run) -> None:
        """Takes the checksum of the data that an unfinished epoch must go on with."""
        self._fingerprint = run.fingerprint if self._position.step else None

    def _kept_state(self, run: Run) -> State:
        """The state with its last good copy: that of the last fit, unless the parameters were changed since."""
        model, kept = self.net._model, self._state
        if self._changes != model.changes:
            kept = None
        regularization = self._regularization.for_engine(len(self.net.sizes) - 1)
        in_parts = run.at_once < run.batch_size
        state = model.state(self.optimizer, self._moments, kept is None, self._optimizers, regularization, in_parts)
        if kept is None:
            self._good_updates = self._position.updates
        else:
            state = state._replace(good_theta=kept.good_theta, good_moments=kept.good_moments)
        self._state = state
        return state

    @property
    def _optimizers(self) -> dict[int, Optimizer | None]:
        """What steps single layers in the optimiser's place."""
        return parameter_groups.optimizers(self._layers, self.optimizer)

    def _compile(self, run: Run) -> None:
        before = jit.seconds_compiling()
        by_rule = not isinstance(self.optimizer, LBFGS)
        at_once = run.at_once if by_rule else min(run.batch_size, GRADIENT_BATCH)
        plan = self.net._plan(at_once, self.threads, training=True)
        if self._pace is None or self._pace.plan != plan:
            self._pace = Pace(plan)
        self._pace.begin()
        run.pace = self._pace
        asking = None if run.watched is None else self.net._plan_for(run.watched, self.threads)
        weighted = run.data.weights is not None
        self.net._model.compile(self.optimizer if by_rule else None, at_once, plan, asking, run.state, weighted)
        self.history.compile_seconds += jit.seconds_compiling() - before
        self.history.plan = plan

    def _start(self, run: Run, display: Progress) -> None:
        position = self._position
        display.start(
            run.target,
            len(run.data.X),
            run.batch_size,
            done=position.epoch,
            plan=self.history.plan,
            samples_done=position.step * run.batch_size,
        )

    def _place(self, run: Run) -> Place:
        position = self._position
        updates = position.updates - self._begun
        return Place(self._order_seed, position.epoch, position.step, updates, run.batch_size, run.at_once)

    @property
    def _call_seconds(self) -> float:
        """Long enough for the copy of the last good state to cost about 2%, at 3 GB/s; short enough for Ctrl-C."""
        copied = self.net._model.theta.nbytes + self._moments.nbytes
        return min(0.4, max(CALL_SECONDS, 50 * copied / 3e9))

    @property
    def _order_seed(self) -> np.int64:
        """The seed as the engine takes it, an int64."""
        return np.uint64(self.seed).astype(np.int64)

    def _advance(self, run: Run, display: Progress) -> None:
        """One compiled call: as many steps as take about CALL_SECONDS, within what the run allows."""
        position = self._position
        if run.orders is not None and position.step == 0:
            self._order[:] = run.orders[position.epoch]
        plan, look = run.pace.next()
        count = run.steps_now(position, Pace.LOOK / self._call_seconds if look else 1.0)
        losses, weights = np.empty(count), np.empty(count)
        started = time.perf_counter()
        done = self.net._model.train(
            run.state,
            self.optimizer,
            run.data,
            self._place(run),
            losses,
            plan,
            draw=self.shuffle is True,
            weights=weights,
        )
        seconds = time.perf_counter() - started
        run.pace.took(plan.threads, count, seconds)
        if done != count:
            self._go_back(run, count, done)
        run.good = replace(position)
        self._good_updates, self._changes = position.updates, self.net._model.changes
        self._account(run, losses, weights, seconds)
        run.steps = max(1, min(10 * count, int(count * self._call_seconds / max(seconds, 1e-9))))
        if position.step:
            display.update(position.epoch + 1, position.step * run.batch_size, position.mean_cost)

    def _look(self, run: Run, display: Progress, before: int) -> None:
        """After a call: scores and display of the epochs that it completed, from `before` on, and the checkpoint."""
        if self._position.epoch > before and run.watched is not None:
            self.history.amend(self.net._scores(run.watched, self.threads))
        for epoch in range(before, self._position.epoch):
            display.epoch_end(epoch + 1, self.history.record(epoch))
        if run.checkpoint is not None and (self._position.updates % run.every == 0 or not self._position.step):
            self._remember_data(run)
            self.checkpoint(run.checkpoint)

    def _iterate(self, run: Run, display: Progress, optimizer: LBFGS) -> None:
        """Epochs that are iterations of L-BFGS; whatever ends them, the network is as the last complete one left it."""
        position, theta = self._position, self.net._model.theta
        reached = theta.copy()

        def done(loss: float, seconds: float) -> None:
            with interrupts.wait():
                reached[:] = theta
                self.history.append({"loss": loss, "seconds": seconds})
                position.epoch, position.updates = position.epoch + 1, position.updates + 1
            self._look(run, display, position.epoch - 1)

        most = int(min(run.target - position.epoch, run.last_update - position.updates))
        try:
            l2 = self._regularization.l2
            if lbfgs.iterate(self.net, run.data, optimizer, self._optimizers, l2, most, self.threads, done):
                self._target = position.epoch
        except lbfgs.NotFinite:
            raise DivergenceError(
                f"training diverged: the loss or its gradient is no finite number any more at epoch "
                f"{position.epoch + 1}; the network is as it was after {position.updates} updates. Scale the features",
                position.epoch + 1,
                1,
            ) from None
        finally:
            with interrupts.wait():
                theta[:] = reached
                self.net._model.changes += 1

    def _account(self, run: Run, losses: np.ndarray, weights: np.ndarray, seconds: float) -> None:
        """Moves on by losses.size steps; an epoch that they complete enters the history. weights: how much the samples
        of each step count in all."""
        position, per_epoch = self._position, run.steps_per_epoch
        share = seconds / len(losses)
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
            if position.step == per_epoch:
                self.history.append({"loss": position.mean_cost, "seconds": position.seconds})
                position.end_epoch()

    def _go_back(self, run: Run, count: int, done: int) -> NoReturn:
        """Restores the last good state and raises DivergenceError."""
        position = self._position
        steps = position.step + (done if done >= 0 else count - 1)
        epoch, step = position.epoch + steps // run.steps_per_epoch + 1, steps % run.steps_per_epoch + 1
        if done != 0:  # the engine has seen a finite loss of the state that this call began with, and kept it
            run.good = replace(position)
        self.net._model.theta[:] = run.state.good_theta
        self._moments[:] = run.state.good_moments
        self._position = run.good
        self.history.cut(run.good.epoch)
        if run.good.step:
            if run.orders is not None:
                self._order[:] = run.orders[run.good.epoch]
            elif self.shuffle:
                draw_order(self._order, self._order_seed, run.good.epoch)
        what = "the loss" if done >= 0 else "a parameter or a moment of the optimiser"
        raise DivergenceError(
            f"training diverged: {what} is no finite number any more at epoch {epoch}, step {step}; the network is as "
            f"it was after {run.good.updates} updates. Try a smaller learning rate, or scale the features",
            epoch,
            step,
        )

    # --------------------------------------------------------------------------------------- stop and go on

    def checkpoint(self, path: str | PathLike[str]) -> None:
        """Writes the whole state to a file, all or nothing; a trainer resumed from it goes on with the same bits."""
        storage.checkpoint(self, path)

    @staticmethod
    def resume(path: str | PathLike[str]) -> "Trainer":
        """The trainer that `checkpoint` wrote. Raises FileFormatError for a file that is no sound checkpoint.

        `fit` then goes on where the run stood: with epochs=None to what the interrupted fit was to reach. An epoch that
        was unfinished goes on only with the data it began with.
        """
        return storage.resume(path)

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The whole state as named arrays and a description that JSON can hold; `from_state` makes a trainer of it.

        Weights are written as "W1", "b1", ..., moments as "moment0.W1", ..., the order of an unfinished epoch as
        "order", orders that the user gave as "shuffle0", ...
        """
        return trainer_state.describe(self)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_state": None}  # its theta is the network's own array: a copy would be another one

    @staticmethod
    def from_state(tensors: Mapping[str, np.ndarray], configuration: Mapping[str, Any]) -> "Trainer":
        """The trainer that `state` describes. Raises ValueError, TypeError or KeyError for an unsound one."""
        return trainer_state.restore(tensors, configuration)


def _added(total: float, numbers: np.ndarray) -> float:
    """total and the numbers, in order, one by one: the same sum however the steps are divided into calls."""
    return float(np.add.accumulate(np.append(total, numbers))[-1])


def _orders(shuffle: Any) -> bool | list[np.ndarray]:
    if isinstance(shuffle, bool | np.bool_):
        return bool(shuffle)
    if isinstance(shuffle, str) or not isinstance(shuffle, Sequence | np.ndarray):
        raise TypeError(f"shuffle must be True, False, or a sequence of orders, one an epoch, not {shuffle!r}")
    return [np.asarray(order) for order in shuffle]
