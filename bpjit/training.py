"""Trainer: mini-batches in their order, the optimiser's state, validation, history, and where a run stands."""

import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from os import PathLike
from typing import Any, NoReturn

import numpy as np

from . import interrupts, lbfgs, parameter_groups, storage
from . import validation as check
from .engine import jit, optimizers
from .engine.epoch import Data, Place, State
from .engine.model import draw_order
from .engine.optimizers import LBFGS, Optimizer
from .engine.plan import Pace
from .history import History
from .network import GRADIENT_BATCH, Network, Parameters
from .progress import Progress, reporter
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
        watched = None if validation is None else self._checked_validation(validation)
        run = self._checked(X, t, epochs, max_steps, checkpoint, checkpoint_every)
        run.watched, run.checkpoint = watched, checkpoint
        run.free = watched is None and checkpoint is None and run.orders is None
        display = reporter(progress)
        self._target, self.net.history = run.target, self.history
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

    def _checked(
        self,
        X: Any,
        t: Any,
        epochs: int | None,
        max_steps: int | None,
        checkpoint: Any,
        checkpoint_every: int | None,
    ) -> Run:
        """The run that these arguments of fit ask for; raises before anything has changed."""
        data, position = self.net._data(X, t), self._position
        samples = len(data.X)
        batch_size = self._checked_batch_size(samples)
        if epochs is None and self._target <= position.epoch:
            raise ValueError("epochs is None, but nothing is left to do: give the number of epochs")
        target = self._target if epochs is None else position.epoch + check.integer(epochs, "epochs", low=1)
        last_update: float = math.inf
        if max_steps is not None:
            last_update = position.updates + check.integer(max_steps, "max_steps", low=1)
        every = sys.maxsize
        if checkpoint_every is not None:
            every = check.integer(checkpoint_every, "checkpoint_every", low=1)
            if checkpoint is None:
                raise ValueError("checkpoint_every needs a file to write: give checkpoint too")
        if checkpoint is not None:
            storage.check_place(checkpoint)
        orders = self._checked_orders(samples, target)
        run = Run(data, batch_size, target, last_update, every, orders)
        if position.step and (samples, run.fingerprint) != (len(self._order), self._fingerprint):
            raise ValueError(
                f"X and t are not those that epoch {position.epoch + 1} began with, which is unfinished: "
                "finish it with the same data, or begin with a new Trainer"
            )
        if not position.step:
            self._order = np.arange(samples)
        run.data = data._replace(order=self._order)
        run.state = self._kept_state()
        run.good = replace(position, updates=self._good_updates)
        return run

    def _checked_batch_size(self, samples: int) -> int:
        if isinstance(self.optimizer, LBFGS):
            lbfgs.minimizer()
            if self._position.step:
                raise ValueError(
                    f"epoch {self._position.epoch + 1} is unfinished, and LBFGS has no mini-batches: finish it with "
                    "another optimiser, or begin with a new Trainer"
                )
            return samples
        batch_size = check.batch_size(self.batch_size, samples)
        if self.optimizer.full_batch and batch_size < samples:
            raise ValueError(
                f"{type(self.optimizer).__name__} needs all {samples} samples in every mini-batch, but batch_size is "
                f"{batch_size}: give batch_size={samples}"
            )
        return batch_size

    def _remember_data(self, run: Run) -> None:
        """Takes the checksum of the data that an unfinished epoch must go on with."""
        self._fingerprint = run.fingerprint if self._position.step else None

    def _kept_state(self) -> State:
        """The state with its last good copy: that of the last fit, unless the parameters were changed since."""
        model, kept = self.net._model, self._state
        if kept is None or self._changes != model.changes:
            self._state = model.state(self.optimizer, self._moments, keep=True, layers=self._optimizers)
            self._good_updates = self._position.updates
        else:
            state = model.state(self.optimizer, self._moments, layers=self._optimizers)
            self._state = state._replace(good_theta=kept.good_theta, good_moments=kept.good_moments)
        return self._state

    @property
    def _optimizers(self) -> dict[int, Optimizer | None]:
        """What steps single layers in the optimiser's place."""
        return parameter_groups.optimizers(self._layers, self.optimizer)

    def _checked_orders(self, samples: int, target: int) -> list[np.ndarray] | None:
        """The order of each epoch where the user gave them."""
        if isinstance(self.shuffle, bool) or isinstance(self.optimizer, LBFGS):
            return None
        if len(self.shuffle) < target:
            raise ValueError(f"shuffle holds {len(self.shuffle)} orders for {target} epochs: give one for each")
        todo = range(self._position.epoch, target)
        return [
            check.permutation(order, samples, f"shuffle[{k}]") if k in todo else order
            for k, order in enumerate(self.shuffle)
        ]

    def _checked_validation(self, validation: Any) -> Data:
        if not isinstance(validation, tuple | list) or len(validation) != 2:
            raise TypeError(f"validation must be a pair (X, t), not {type(validation).__name__}")
        X, t = validation
        return self.net._data(X, t, names=("X of validation", "t of validation"))

    def _compile(self, run: Run) -> None:
        before = jit.seconds_compiling()
        by_rule = not isinstance(self.optimizer, LBFGS)
        at_once = run.batch_size if by_rule else min(run.batch_size, GRADIENT_BATCH)
        plan = self.net._plan(at_once, self.threads, training=True)
        if self._pace is None or self._pace.plan != plan:
            self._pace = Pace(plan)
        self._pace.begin()
        run.pace = self._pace
        asking = None if run.watched is None else self.net._plan_for(run.watched, self.threads)
        self.net._model.compile(self.optimizer if by_rule else None, at_once, plan, asking)
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
        return Place(self._order_seed, position.epoch, position.step, updates, run.batch_size)

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
        losses = np.empty(count)
        started = time.perf_counter()
        done = self.net._model.train(
            run.state, self.optimizer, run.data, self._place(run), losses, plan, draw=self.shuffle is True
        )
        seconds = time.perf_counter() - started
        run.pace.took(plan.threads, count, seconds)
        if done != count:
            self._go_back(run, count, done)
        run.good = replace(position)
        self._good_updates, self._changes = position.updates, self.net._model.changes
        self._account(run, losses, seconds)
        run.steps = max(1, min(10 * count, int(count * self._call_seconds / max(seconds, 1e-9))))
        if position.step:
            done_now = position.step * run.batch_size
            display.update(position.epoch + 1, done_now, position.cost / done_now)

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
            if lbfgs.iterate(self.net, run.data, optimizer, self._optimizers, most, self.threads, done):
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

    def _account(self, run: Run, losses: np.ndarray, seconds: float) -> None:
        """Moves on by losses.size steps; an epoch that they complete enters the history."""
        position, per_epoch = self._position, run.steps_per_epoch
        share = seconds / len(losses)
        start = 0
        while start < len(losses):
            part = losses[start : start + per_epoch - position.step] * run.batch_size
            start += len(part)
            position.step += len(part)
            position.updates += len(part)
            position.seconds += share * len(part)
            if position.step == per_epoch:
                part[-1] *= (len(run.data.X) - run.batch_size * (per_epoch - 1)) / run.batch_size
            # In order, one by one: the same sum however the steps are divided into calls.
            part[0] += position.cost
            position.cost = float(np.add.accumulate(part)[-1])
            if position.step == per_epoch:
                self.history.append({"loss": position.cost / len(run.data.X), "seconds": position.seconds})
                position.epoch, position.step, position.cost, position.seconds = position.epoch + 1, 0, 0.0, 0.0

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
        tensors = _named("", self.net.parameters())
        for k, moment in enumerate(self._moments):
            tensors |= _named(f"moment{k}.", self.net._pairs(moment))
        if self._position.step:
            tensors["order"] = self._order.astype(np.int64)
        if not isinstance(self.shuffle, bool):
            tensors |= {f"shuffle{k}": order.astype(np.int64) for k, order in enumerate(self.shuffle)}
        configuration = {
            "network": self.net.configuration(),
            "network_seed": self.net.seed,
            "optimizer": self.optimizer.configuration(),
            "optimizer_begun": self._begun,
            "layers": [[l, changes] for l, changes in self._layers.items()],
            "batch_size": self.batch_size,
            "seed": self.seed,
            "threads": self.threads,
            "shuffle": self.shuffle if isinstance(self.shuffle, bool) else len(self.shuffle),
            "position": asdict(self._position),
            "target": self._target,
            "fingerprint": self._fingerprint,
            "history": self.history.to_columns(),
            "compile_seconds": self.history.compile_seconds,
        }
        return tensors, configuration

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_state": None}  # its theta is the network's own array: a copy would be another one

    @staticmethod
    def from_state(tensors: Mapping[str, np.ndarray], configuration: Mapping[str, Any]) -> "Trainer":
        """The trainer that `state` describes. Raises ValueError, TypeError or KeyError for an unsound one."""
        tensors = dict(tensors)
        net = Network(**configuration["network"], init="zeros", seed=configuration["network_seed"])
        net.set_parameters(_unnamed("", tensors, net))
        shuffle = configuration["shuffle"]
        if not isinstance(shuffle, bool):
            shuffle = [tensors.pop(f"shuffle{k}") for k in range(check.integer(shuffle, "shuffle", low=0))]
        trainer = Trainer(
            net,
            optimizers.from_configuration(configuration["optimizer"]),
            batch_size=configuration["batch_size"],
            seed=configuration["seed"],
            threads=configuration["threads"],
            shuffle=shuffle,
            layers=dict(configuration.get("layers", [])),  # older files have none
        )
        for k, moment in enumerate(trainer._moments):
            net._model.layout.write_all(moment, _unnamed(f"moment{k}.", tensors, net))
        position = configuration["position"]
        trainer._position = Position(
            *(check.integer(position[name], name, low=0) for name in ("updates", "epoch", "step")),
            *(check.real(position[name], name, low=0) for name in ("cost", "seconds")),
        )
        trainer._begun = check.integer(configuration.get("optimizer_begun", 0), "optimizer_begun", low=0)
        trainer._target = check.integer(configuration["target"], "target", low=0)
        if trainer._position.step:
            order = tensors.pop("order")
            trainer._order = check.permutation(order, len(order), "order").astype(np.intp)
            trainer._fingerprint = check.integer(configuration["fingerprint"], "fingerprint")
        if tensors:
            raise ValueError(f"it holds {sorted(tensors)[0]!r}, which no trainer like this has")
        trainer.history = History.from_columns(configuration["history"], trainer._position.epoch)
        trainer.history.compile_seconds = check.real(configuration["compile_seconds"], "compile_seconds", low=0)
        net.history = trainer.history
        return trainer


def _orders(shuffle: Any) -> bool | list[np.ndarray]:
    if isinstance(shuffle, bool | np.bool_):
        return bool(shuffle)
    if isinstance(shuffle, str) or not isinstance(shuffle, Sequence | np.ndarray):
        raise TypeError(f"shuffle must be True, False, or a sequence of orders, one an epoch, not {shuffle!r}")
    return [np.asarray(order) for order in shuffle]


def _named(prefix: str, parameters: Parameters) -> dict[str, np.ndarray]:
    arrays = {}
    for l, (W, b) in enumerate(parameters, start=1):
        arrays[f"{prefix}W{l}"] = W
        if b is not None:
            arrays[f"{prefix}b{l}"] = b
    return arrays


def _unnamed(prefix: str, tensors: dict[str, np.ndarray], net: Network) -> Parameters:
    """Takes the arrays that `_named` named out of tensors."""
    layers = range(1, len(net.sizes))
    pairs = [(tensors.pop(f"{prefix}W{l}"), tensors.pop(f"{prefix}b{l}") if net.bias else None) for l in layers]
    return check.parameters(pairs, sizes=net.sizes, bias=net.bias, dtype=net.dtype, name=f"{prefix}parameters")
