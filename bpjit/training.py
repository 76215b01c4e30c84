"""Trainer: mini-batches in their order, the optimiser's state, validation, history, and where a run stands."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from . import interrupts, parameter_groups, request, schedules, storage, sweep, trainer_state
from . import validation as check
from .early_stopping import EarlyStopping
from .early_stopping import early_stopping as stopping_of
from .engine import optimizers
from .engine.epoch import State
from .engine.optimizers import Optimizer
from .engine.plan import Pace
from .errors import DivergenceError
from .history import History
from .loop import Loop
from .network import Network
from .progress import Progress, reporter
from .regularization import Regularization
from .run import Path, Position, Run
from .schedules import Constant, Schedule
from .sweep import Sweep

if TYPE_CHECKING:
    from .explain import Film, Trace

__all__ = ["DivergenceError", "Trainer"]

UNSCHEDULED = Constant()


class Trainer:
    """Trains a network and keeps what a run needs to go on: optimiser state, order of samples, history.

    net: trained in place. optimizer: None for Adam(). batch_size: samples in a mini-batch; the last one of an epoch may
    be smaller. seed: of the order of samples; None draws one. threads: an upper limit; None plans them (the result has
    the same bits for any number). shuffle: True draws a new order each epoch, False keeps the rows' order, a sequence
    gives each epoch's order as a permutation of range(S). layers: what differs in some layers,
    {number: "frozen" or {setting of the optimiser: value}}, the layers counted from 1, or from the end as -1, -2, ...;
    what chooses the rule itself, such as amsgrad or whether there is momentum, must be alike in all. A frozen layer
    stays as it is; to train it later make a new Trainer. schedule: of the learning rate, one of `bpjit.schedules` or a
    function of the step, whose factors multiply the rate in each step; the history then has the rate in the end of
    each epoch. early_stopping: ends a training whose scores improve no more, and goes back to the best epoch; an
    `EarlyStopping`, a number of epochs, its patience, or True.

    Regularisation (docs/regularization.md), each number for all layers or {layer: number} for some:
    l1, l2: the cost has l1 sum |w| + l2/2 sum w^2 added, over the weights, which the history's loss includes; a frozen
    layer has none. dropout: the probability, in [0, 1), with which a unit of a hidden layer is 0 in a mini-batch, the
    others being 1 / (1 - dropout) times as large; layer 0 is the input. input_noise: the standard deviation of normal
    noise that is added to the input. max_norm: the greatest norm of the weights into one unit, which are scaled down to
    it after each update. clip_value, clip_norm: limits of every number of the gradient, penalties included, and then of
    its norm over all layers. accumulate: updates after this many mini-batches of batch_size, with the gradient of their
    mean: the result of a batch size so many times as large, in less memory.

    The attribute `label`, a text or None, is yours: checkpoints carry it, as to say of which data they are.

    Raises ValueError or TypeError for a setting that is not possible.

    >>> import bpjit
    >>> net = bpjit.Network([2, 8, 2], seed=0)
    >>> trainer = bpjit.Trainer(net, bpjit.SGD(learning_rate=0.1, momentum=0.9), batch_size=2, seed=0)
    >>> X, t = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> trainer.fit(X, t, epochs=2).epochs
    2
    >>> trainer.fit(X, t, epochs=3).epochs  # goes on
    5
    >>> bpjit.Trainer(net, bpjit.Adam(), layers={1: "frozen", -1: {"learning_rate": 1e-4}}).layers
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
        schedule: Any = None,
        early_stopping: EarlyStopping | bool | int | None = None,
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
        self.threads = threads
        self.history = History()
        self.label: str | None = None
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
        self._schedule: Schedule = UNSCHEDULED
        self._run: Run | None = None  # of the fit that is running
        self._stopped: str | None = None
        self._kept: tuple[str, str, float] | None = None  # the file for the best network, the column, and its score
        self._begun = 0  # the update that the optimiser's moments began with
        if optimizer is not None:
            self.optimizer = optimizer
        self._layers = parameter_groups.checked(layers, self.optimizer, len(net.sizes) - 1)
        given = Regularization(l1, l2, dropout, input_noise, max_norm, clip_value, clip_norm)
        self._regularization = given.checked(len(net.sizes) - 1)
        self._accumulate = check.integer(accumulate, "accumulate", low=1)
        self.schedule = schedules.schedule(schedule)
        self._early_stopping = stopping_of(early_stopping)
        if self._early_stopping is not None:
            self._position.stopping = self._early_stopping.begin()

    @property
    def net(self) -> Network:
        return self._net

    @property
    def threads(self) -> int | None:
        """The upper limit of threads, which may be set; None for as many as pay."""
        return self._threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        self._threads = check.threads(threads)

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
        1, unless it is of the same class and keeps as many. A callback may set such a one only."""
        return self._optimizer

    @optimizer.setter
    def optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be one such as bpjit.Adam(), not {optimizer!r}")
        layers = parameter_groups.checked(self._layers, optimizer, len(self.net.sizes) - 1)
        _check_schedule(self._schedule, optimizer)
        anew = type(self._optimizer) is not type(optimizer) or len(self._moments) != optimizer.moments
        if anew and self._run is not None:
            raise ValueError(
                f"fit is running with {self._optimizer!r}: a callback may set other settings, but not {optimizer!r}, "
                "which keeps other moments"
            )
        before, after = (getattr(one, "learning_rate", None) for one in (self._optimizer, optimizer))
        if self._position.updates and before is not None and before != after:
            self.history.fill("learning_rate", before)
        self._layers = layers
        if anew:
            self._moments, self._state = self.net._model.moments(optimizer.moments), None
            self._begun = self._position.updates
        self._optimizer = optimizer
        if self._run is not None:
            self._run.stale = True

    @property
    def learning_rate(self) -> float:
        """The optimiser's learning rate, which the schedule's factors multiply. It may be set between fits and in
        callbacks; layers with a rate of their own keep it. Raises ValueError where the optimiser has none."""
        rate = getattr(self._optimizer, "learning_rate", None)
        if rate is None:
            raise ValueError(f"{type(self._optimizer).__name__} has no learning rate")
        return float(rate)

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        _ = self.learning_rate
        self.optimizer = replace(self._optimizer, learning_rate=rate)  # type: ignore[type-var]

    @property
    def schedule(self) -> Schedule:
        """The schedule of the learning rate. Another one, a function of the step or None may be set between fits; one
        that is driven by results begins anew then, while steps are those of the trainer, from its first on."""
        return self._schedule

    @schedule.setter
    def schedule(self, schedule: Any) -> None:
        if self._run is not None:
            raise RuntimeError("fit is running: set a schedule before or after it; a callback may set learning_rate")
        checked = schedules.schedule(schedule)
        _check_schedule(checked, self._optimizer)
        self._schedule, self._position.schedule = checked, checked.begin()

    @property
    def early_stopping(self) -> EarlyStopping | None:
        return self._early_stopping

    @property
    def updates(self) -> int:
        """Updates so far, in all fits: one for each mini-batch, or for `accumulate` of them."""
        return self._position.updates

    @property
    def stopped(self) -> str | None:
        """What has ended the last fit before its last epoch; None if nothing did, or an error."""
        return self._stopped

    # ------------------------------------------------------------------------------------------------ fit

    def fit(
        self,
        X: Any,
        t: Any = None,
        epochs: int | None = None,
        validation: Any = None,
        progress: bool | Progress = False,
        max_steps: int | None = None,
        checkpoint: Path | None = None,
        checkpoint_every: int | None = None,
        validation_every: int = 1,
        metrics: Any = None,
        callbacks: Any = None,
        max_seconds: float | None = None,
        checkpoint_epochs: int = 1,
        best: Path | None = None,
        sample_weight: Any = None,
        class_weight: Any = None,
    ) -> History:
        """Trains for `epochs` more epochs; goes on where the last fit ended.

        X is (S, n_0): an array, which may lie in a file (np.memmap), or a sparse matrix of SciPy's; t holds labels (S,)
        or rows (S, n_L), as the loss takes them. Or X is an iterable of mini-batches (X, t) or (X, t, sample_weight),
        or a function that returns one; then t is None, and a pass over them is an epoch. sample_weight: (S,), how much
        each sample counts in the loss. class_weight: {label: weight}, or "balanced", for each sample of a class; both
        multiply. An epoch that was left unfinished is finished first, and counts; epochs=None does what the last fit
        left to do.

        validation: (X, t) or (X, t, sample_weight), or the fraction of the samples that is held out, of each class
        alike; its loss and accuracy are taken after every epoch, or only after every epoch whose number is a multiple
        of validation_every, and the last one. metrics: in the place of the accuracy, as in
        `Network.evaluate`; their columns are "validation_" and the name. progress: True shows it: on a terminal, in a
        notebook, in a log. callbacks: a `Callback`, a function f(trainer, record) for the end of every epoch, or a
        list of these.

        max_steps: ends after that many mini-batches at most. max_seconds: ends with the compiled call that passes this
        time, a tenth of a second or so each; validation and callbacks count, compiling does not. checkpoint: a file for
        the whole state, written after every `checkpoint_epochs` epochs, with checkpoint_every after every so many
        mini-batches too, and in the end. best: a file for the network, as `Network.save` writes it, with the best score
        so far: the least validation loss, or loss without a validation set, or the best of what early stopping
        watches.

        Returns the history of all fits; `stopped` says what has ended this one before its last epoch. Raises ValueError
        or TypeError for data and settings that do not fit, before anything changes; DivergenceError, with network and
        trainer at the last good state; KeyboardInterrupt after Ctrl-C, with network, trainer and history as they were
        after the last complete mini-batch; and what a callback raises, likewise.
        """
        if self._run is not None:
            raise RuntimeError("fit is running: a callback cannot call fit of the same trainer; stop(reason) ends it")
        run = request.checked(
            self, X, t, epochs, validation, max_steps=max_steps, max_seconds=max_seconds, checkpoint=checkpoint,
            checkpoint_every=checkpoint_every, checkpoint_epochs=checkpoint_epochs, validation_every=validation_every,
            metrics=metrics, callbacks=callbacks, best=best, sample_weight=sample_weight, class_weight=class_weight,
        )  # fmt: skip
        display = reporter(progress)
        self._begin(run)
        try:
            Loop(self, run, display).train()
        except BaseException:
            self._stopped = None
            raise
        finally:
            with interrupts.wait():
                self._fingerprint, self._run = self._checksum, None
            display.finish()
        return self.history

    def _begin(self, run: Run) -> None:
        position = self._position
        if not position.step:
            self._order = np.arange(len(run.source))
        if self.early_stopping is not None and self.early_stopping.ended(position.stopping):
            position.stopping, position.best = self.early_stopping.begin(), None
        run.state = self._kept_state(run)
        run.good = replace(position, updates=self._good_updates)
        self._run, self._stopped = run, None
        self._target, self.net.history = run.target, self.history

    def stop(self, reason: str = "stop was called") -> None:
        """Ends the fit that is running, after the mini-batch or epoch at hand: for callbacks. A further fit goes on.

        Raises RuntimeError if none is running, TypeError for a reason that is no text.
        """
        if self._run is None:
            raise RuntimeError("stop ends a fit that is running, and none is: call it in a callback")
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a string, not {reason!r}")
        self._stopped = self._stopped or reason

    def restore_best(self) -> int:
        """Gives the network the parameters of the best epoch that early stopping has seen; returns its number.

        A training that early stopping ends does so by itself. Raises ValueError where nothing was kept.
        """
        position = self._position
        if position.best is None:
            raise ValueError("no epoch's parameters are kept: train with early_stopping=EarlyStopping(...) first")
        self.net._model.theta[:] = position.best
        self.net._model.changes += 1
        return int(position.stopping["best_epoch"])

    def trace(self, x: Any, t: Any) -> "Trace":
        """The step that the trainer would make next from these samples, as `Network.trace` has it: with its optimiser,
        moments, number of the step, schedule, and settings of single layers. Its `notes` say what the trainer does that
        is not in the trace, such as dropout. Nothing changes.

        Raises what `Network.trace` raises.

        >>> trainer = Trainer(Network([2, 8, 2], seed=0), optimizers.Adam(), batch_size=4, seed=0)
        >>> history = trainer.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=2)
        >>> trainer.trace([0, 1], 1).update.step
        3
        """
        from .explain import of_trainer

        return of_trainer(self, x, t)

    def film(self, X: Any, t: Any, steps: int = 20) -> "Film":
        """The next `steps` updates that `fit(X, t)` would make, recorded one by one on a copy: network and trainer stay
        as they are. The film has parameters, gradient and mini-batch of each step, explains each by its equations
        (`film.trace`), and draws what the network learns. Early stopping does not end it.

        X (S, n_0), t: an array and its labels or targets, as in `fit`. steps: as memory allows; a page shows up to
        1,000. Training that diverges ends the film early, and its `notes` say so.

        Raises ValueError or TypeError for data and settings that do not fit, and for LBFGS, which has no mini-batches;
        DivergenceError where the first step diverges.

        >>> X, t = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
        >>> trainer = Trainer(Network([2, 3, 2], seed=0), optimizers.SGD(learning_rate=0.5), batch_size=2, seed=0)
        >>> film = trainer.film(X, t, steps=20)
        >>> film.loss.shape, film.trace(7).updated_W[1].shape, film.surface(size=30).values.shape
        ((21,), (3, 2), (21, 30, 30, 2))
        """
        from .explain import Film

        return Film(self, X, t, steps)

    def find_learning_rate(
        self, X: Any, t: Any = None, low: float = 1e-6, high: float = 1.0, steps: int = 100, **options: Any
    ) -> Sweep:
        """The losses of so many mini-batches that are trained with rates from low to high, and the rate they suggest.

        Smith's range test, on a copy: network and trainer stay as they are. It ends where training diverges. low, high:
        learning rates; a layer with a rate of its own keeps its proportion. options: validation (of which only a
        fraction matters), sample_weight and class_weight, as in `fit`; orders that were given as shuffle are not used.
        Raises ValueError or TypeError for what cannot be; ValueError too if training diverges within the first ten
        steps.

        >>> X, t = np.random.default_rng(0).normal(size=(200, 4)), np.arange(200) % 3
        >>> trainer = Trainer(Network([4, 8, 3], seed=0), seed=0)
        >>> sweep = trainer.find_learning_rate(X, t, high=10.0)
        >>> len(sweep.losses), trainer.updates
        (100, 0)
        """
        return sweep.of(self, X, t, low, high, steps, options)

    def _for_trial(self, schedule: Schedule) -> "Trainer":
        """A copy that trains a copy of the network as this one would, with another schedule, from step 0 on."""
        other = copy.deepcopy(self)
        other._shuffle = self._shuffle is not False  # orders that were given end sooner
        other._begun -= other._position.updates
        other._position, other._early_stopping = Position(), None
        other.schedule = schedule
        return other

    def _kept_state(self, run: Run) -> State:
        """The state with its last good copy: that of the last fit, unless the parameters were changed since."""
        model, kept = self.net._model, self._state
        if self._changes != model.changes:
            kept = None
        regularization = self._regularization.for_engine(len(self.net.sizes) - 1)
        in_parts = run.at_once < run.batch_size
        state = model.state(self.optimizer, self._moments, kept is None, self._optimizers, regularization, in_parts)
        if kept is None:
            self._good_updates, self._changes = self._position.updates, model.changes
        else:
            state = state._replace(good_theta=kept.good_theta, good_moments=kept.good_moments)
        self._state = state
        return state

    @property
    def _optimizers(self) -> dict[int, Optimizer | None]:
        """What steps single layers in the optimiser's place."""
        return parameter_groups.optimizers(self._layers, self.optimizer)

    @property
    def _checksum(self) -> int | None:
        """Of the data that an unfinished epoch must go on with."""
        if not self._position.step:
            return None
        return self._fingerprint if self._run is None else self._run.fingerprint

    @property
    def _order_seed(self) -> np.int64:
        """The seed as the engine takes it, an int64."""
        return np.uint64(self.seed).astype(np.int64)

    @property
    def _shows_rate(self) -> bool:
        """Whether the history has the learning rate: it is not always the same."""
        return self.schedule != UNSCHEDULED or "learning_rate" in self.history

    @property
    def _watched(self) -> list[str]:
        """The columns that the schedule and early stopping need."""
        stopping = self.early_stopping.watch if self.early_stopping else None
        return [column for column in (self.schedule.watched, stopping) if column is not None]

    def _factors(self, position: Position, count: int, steps_per_epoch: int) -> np.ndarray | None:
        """The factors on the learning rate in the next steps; None for 1."""
        if self.schedule == UNSCHEDULED:
            return None
        return self.schedule.factors(position.updates, count, steps_per_epoch, position.schedule)

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
        # The state's theta is the network's own array: a copy would be another one.
        return self.__dict__ | {"_state": None, "_run": None, "_fingerprint": self._checksum}

    @staticmethod
    def from_state(tensors: Mapping[str, np.ndarray], configuration: Mapping[str, Any]) -> "Trainer":
        """The trainer that `state` describes. Raises ValueError, TypeError or KeyError for an unsound one."""
        return trainer_state.restore(tensors, configuration)


def _check_schedule(schedule: Schedule, optimizer: Optimizer) -> None:
    if schedule != UNSCHEDULED and not hasattr(optimizer, "learning_rate"):
        name = type(optimizer).__name__
        raise ValueError(f"schedule is {schedule!r}, but {name} has no learning rate: set schedule=None")


def _orders(shuffle: Any) -> bool | list[np.ndarray]:
    if isinstance(shuffle, bool | np.bool_):
        return bool(shuffle)
    if isinstance(shuffle, str) or not isinstance(shuffle, Sequence | np.ndarray):
        raise TypeError(f"shuffle must be True, False, or a sequence of orders, one an epoch, not {shuffle!r}")
    return [np.asarray(order) for order in shuffle]
