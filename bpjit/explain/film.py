"""Film: the updates of a training, recorded one by one, to be watched and explained."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import validation
from ..callbacks import Callback
from ..engine.optimizers import LBFGS
from ..errors import DivergenceError
from ..network import Network, Parameters
from .requests import of_step
from .term import WIDTH, _wrapped
from .text import number, scripted
from .trace import Trace

if TYPE_CHECKING:
    from ..training import Trainer

MARGIN = 0.15
"""Of the samples' range, around them on a surface."""
LISTED = 40
"""Steps of which a table has each; of more it has as many, evenly chosen."""
ROWS = 4
"""Rows of a mini-batch that a table names."""


@dataclass(frozen=True)
class Surface:
    """What a network of two inputs answers everywhere around its samples, at every moment of a film.

    x (G,), y (G,): the values of input 0 and input 1. values (N + 1, G, G, n_L): the outputs after k updates, where
    values[k, p, q] belongs to the inputs x[q], y[p].
    """

    x: np.ndarray
    y: np.ndarray
    values: np.ndarray


@dataclass(frozen=True)
class Change:
    """The change of one parameter in a step: W[l][i, j], or b[l][i], where j is None."""

    value: float
    l: int
    i: int
    j: int | None

    @property
    def name(self) -> str:
        """As it is written: w₀₁², b₃¹.

        >>> Change(0.5, 2, 0, 1).name, Change(0.5, 1, 3, None).name
        ('w₀,₁²', 'b₃¹')
        """
        letter, below = ("b", []) if self.j is None else ("w", [str(self.j)])
        return scripted(letter, str(self.l), [str(self.i), *below])


class Film:
    """Every update that a trainer makes next, mini-batch by mini-batch: `Trainer.film` records it, on a copy.

    The updates are the engine's own: after k of them, its parameters have the bits that `fit` gives. steps: N, their
    number. X (S, n_0), t: the samples. rows: N arrays, the samples of each mini-batch by their place in X.
    batch_loss (N,): C of the mini-batch before its update, penalties included, as the history of a training counts it.
    loss (N + 1,): C of all samples after k updates. learning_rate (N,): with the schedule's factor. epoch (N,): from 1.
    notes: what else is to be known, such as where training has diverged.

    What the page and the table call things may be set: row_numbers (S,), an array, their places in X at first;
    features, names of the inputs, and classes, or None.

    >>> import bpjit
    >>> X, t = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> trainer = bpjit.Trainer(bpjit.Network([2, 3, 2], seed=0), bpjit.SGD(learning_rate=0.5), batch_size=2, seed=0)
    >>> film = trainer.film(X, t, steps=10)
    >>> film.steps, trainer.updates, film.rows[0].size, film.epoch.tolist()
    (10, 0, 2, [1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    >>> W, b = film.parameters(10)[0]
    >>> history = trainer.fit(X, t, epochs=5)
    >>> bool((W == trainer.net.parameters()[0][0]).all())
    True
    """

    def __init__(self, trainer: "Trainer", X: Any, t: Any, steps: int) -> None:
        steps = validation.integer(steps, "steps", low=1)
        if isinstance(trainer.optimizer, LBFGS):
            raise ValueError(
                "a film shows steps of mini-batches, but LBFGS searches along a line on all data: take another one"
            )
        data = trainer.net._data(X, t)
        if not (len(data.labels) or len(data.targets)):
            raise TypeError("t is None: a film needs the target of each sample")
        size = (steps + 1) * (trainer.net._model.theta.nbytes + trainer._moments.nbytes)
        validation.fits_memory(size, f"{steps} steps of this network", "give fewer steps")
        self.X, self.t = data.X.copy(), (data.labels if len(data.labels) else data.targets).copy()
        self.row_numbers = np.arange(len(self.X))
        self.features: list[str] | None = None
        self.classes: list[str] | None = None
        self.notes: tuple[str, ...] = ()
        self._trainer = copy.deepcopy(trainer)  # as it begins
        self._record(_trial(trainer), steps)

    def _record(self, trainer: "Trainer", steps: int) -> None:
        camera = _Camera(trainer, len(self.X))
        per_epoch = -(-len(self.X) // camera.batch_size)
        epochs = -(-(trainer._position.step + steps) // per_epoch)
        try:
            trainer.fit(self.X, self.t, epochs=epochs, max_steps=steps, callbacks=camera)
        except DivergenceError as error:
            if not camera.rows:
                raise
            self.notes += (f"the film ends here: {str(error).partition(';')[0]}",)
        self.steps, self.rows = len(camera.rows), camera.rows
        self._theta, self._moments = np.array(camera.theta), camera.moments
        self.batch_loss, self.learning_rate = np.array(camera.losses), np.array(camera.rates)
        self.epoch = np.array(camera.epochs)
        self.loss = np.array([net.loss(self.X, self.t) for net in self._networks()])

    # --------------------------------------------------------------------------------------------- moments

    def network(self, k: int) -> Network:
        """A network as it was after k updates, 0 … N. Raises ValueError for others."""
        return self._with(_like(self._trainer.net), self._checked(k, self.steps))

    def parameters(self, k: int) -> Parameters:
        """[(W^1, b^1), ...] after k updates, as `Network.parameters` gives them. Raises what `network` raises."""
        return self._pairs(self._theta[self._checked(k, self.steps)])

    def gradients(self, k: int) -> Parameters:
        """[(dC/dW^1, dC/db^1), ...] of the mini-batch of the step that follows k updates, 0 … N − 1, without
        penalties: as the engine computes them (E8, E9). Raises ValueError for others.
        """
        rows = self.rows[self._checked(k, self.steps - 1)]
        return self.network(k).gradients(self.X[rows], self.t[rows])

    def trace(self, k: int) -> Trace:
        """The step that follows k updates, 0 … N − 1, number by number: its mini-batch's `Trace`, with the moments that
        the optimiser had then. Its updated_W and updated_b are parameters(k + 1), but for rounding, and for what
        its notes say.

        Raises ValueError for others, and for a mini-batch that is too large to follow in plain Python.

        >>> import bpjit
        >>> net = bpjit.Network([2, 1], loss="squared_error", init=[([[2.0, 1.0]], [0.5])])
        >>> film = bpjit.Trainer(net, bpjit.SGD(learning_rate=0.1), batch_size=1, seed=0).film([[1.0, 3.0]], [4.0], 1)
        >>> film.trace(0).term("W", l=1, i=0, j=1).substituted, film.parameters(1)[0][0].tolist()
        ('1 − 0.1 × 4.5', [[1.850000023841858, 0.550000011920929]])
        """
        k = self._checked(k, self.steps - 1)
        begun, rows = self._trainer, self.rows[k]
        rate = getattr(begun.optimizer, "learning_rate", 0.0)
        factor = float(self.learning_rate[k]) / rate if rate else 1.0
        at = begun.updates + k, factor, self._moments[k]
        return of_step(begun, self.network(k), self.X[rows], self.t[rows], *at)

    def _checked(self, k: Any, most: int) -> int:
        k = validation.integer(k, "k")
        if not 0 <= k <= most:
            raise ValueError(f"k is {k}, but the film has {'updates' if most == self.steps else 'steps'} 0 … {most}")
        return k

    def _networks(self) -> Iterator[Network]:
        """One network, as it was after 0 … N updates."""
        net = _like(self._trainer.net)
        for k in range(self.steps + 1):
            yield self._with(net, k)

    def _with(self, net: Network, k: int) -> Network:
        net._model.theta[:] = self._theta[k]
        net._model.changes += 1
        return net

    def _pairs(self, theta: np.ndarray) -> Parameters:
        return self._trainer.net._pairs(theta)

    # ----------------------------------------------------------------------------------- what can be drawn

    @property
    def sizes(self) -> tuple[int, ...]:
        """(n_0, ..., n_L), the units of each layer."""
        return self._trainer.net.sizes

    @property
    def optimizer(self) -> Any:
        """The trainer's, with its settings."""
        return self._trainer.optimizer

    @property
    def net(self) -> Network:
        """The network as it was before the first step."""
        return self.network(0)

    @cached_property
    def index(self) -> np.ndarray:
        """(P, 3): l, i, j of each parameter in the columns of `paths`; j is −1 for a bias."""
        found = []
        for l, (W, b) in enumerate(self.parameters(0), start=1):
            i, j = np.indices(W.shape)
            found.append(np.column_stack([np.full(W.size, l), i.ravel(), j.ravel()]))
            if b is not None:
                units = np.arange(len(b))
                found.append(np.column_stack([np.full(len(b), l), units, np.full(len(b), -1)]))
        return np.concatenate(found)

    @cached_property
    def paths(self) -> np.ndarray:
        """(N + 1, P): every parameter after k updates; `index` says which is in which column."""
        return np.array([_flat(self._pairs(theta)) for theta in self._theta])

    @cached_property
    def gradient_paths(self) -> np.ndarray:
        """(N, P): the gradient of every parameter in each step, as `gradients` has it."""
        found = []
        for net, rows in zip(self._networks(), self.rows):
            found.append(_flat(net.gradients(self.X[rows], self.t[rows])))
        return np.array(found)

    @property
    def gradient_norms(self) -> np.ndarray:
        """(N,): the Euclidean norm of each step's gradient over all parameters."""
        return np.sqrt((self.gradient_paths.astype(np.float64) ** 2).sum(axis=1))

    def largest_change(self, k: int) -> Change:
        """The parameter that the step after k updates has changed most. Raises ValueError for a step there is not."""
        k = self._checked(k, self.steps - 1)
        changes = self.paths[k + 1] - self.paths[k]
        most = int(np.abs(changes).argmax())
        l, i, j = map(int, self.index[most])
        return Change(float(changes[most]), l, i, None if j < 0 else j)

    def surface(self, size: int = 40) -> Surface:
        """The outputs on a grid of size x size around the samples, after each update.

        Raises ValueError for a network of other than two inputs, or a surface that exceeds the memory.
        """
        size = validation.integer(size, "size", low=2)
        if self.sizes[0] != 2:
            raise ValueError(f"a surface has two inputs, but the network has {self.sizes[0]}")
        shape = (self.steps + 1, size, size, self.sizes[-1])
        bytes_needed = float(np.prod(shape)) * self.X.itemsize
        validation.fits_memory(bytes_needed, f"the surface after {self.steps} steps", "give a smaller size")
        x, y = (_around(column, size) for column in self.X.T)
        grid = np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
        values = np.array([net.predict(grid) for net in self._networks()]).reshape(shape)
        return Surface(x, y, values)

    # ----------------------------------------------------------------------------------------------- shown

    def records(self) -> list[dict[str, Any]]:
        """What each step is, for programs: its number from 1, epoch, rows, losses, learning rate, gradient's norm and
        the parameter that it changes most."""
        found = []
        norms = self.gradient_norms
        for k, rows in enumerate(self.rows):
            change = self.largest_change(k)
            found.append(
                {
                    "step": k + 1, "epoch": int(self.epoch[k]), "rows": self.row_numbers[rows].tolist(),
                    "batch_loss": float(self.batch_loss[k]), "loss": float(self.loss[k + 1]),
                    "learning_rate": float(self.learning_rate[k]), "gradient_norm": float(norms[k]),
                    "largest_change": {
                        "value": change.value, "layer": change.l, "unit": change.i, "weight": change.j,
                    },
                }
            )  # fmt: skip
        return found

    def table(self) -> str:
        """The steps as a table of 80 columns: of each its mini-batch, the losses, and the weight that changed most."""
        S, batch = len(self.X), max(map(len, self.rows))
        heading = f"{self.steps} step{'s' * (self.steps > 1)} of {self.optimizer!r}"
        said = (
            f"Mini-batches of {batch} of {S} samples. Each has its loss before the step; beside it is that of all "
            f"samples after the step, which is {_aligned(self.loss[0])} before the first one."
        )
        lines = [heading, "─" * min(len(heading), WIDTH), *_wrapped(said, WIDTH, "", ""), ""]
        lines.append(f"{'step':>5} {'epoch':>5}  {'rows':<26} {'loss':>9} {'of all':>9}  largest change")
        lines += [self._row(k) for k in sorted({*np.linspace(0, self.steps - 1, min(self.steps, LISTED)).astype(int)})]
        if self.steps > LISTED:
            lines += ["", *_wrapped(f"These are {LISTED} of the {self.steps} steps, evenly chosen.", WIDTH, "", "")]
        for note in self.notes:
            lines += ["", *_wrapped(note[:1].upper() + note[1:], WIDTH, "", "")]
        return "\n".join(lines)

    def _row(self, k: int) -> str:
        rows, change = self.row_numbers[self.rows[k]], self.largest_change(k)
        named = ", ".join(map(str, rows[:ROWS])) + (", …" if len(rows) > ROWS else "")
        named = named if len(named) <= 26 else named[:25] + "…"
        losses = (f"{_aligned(value):>9}" for value in (self.batch_loss[k], self.loss[k + 1]))
        by = f"{change.name} by {number(change.value, 3)}"
        return f"{k + 1:>5} {self.epoch[k]:>5}  {named:<26} {' '.join(losses)}  {by}"

    def html(self, path: str | PathLike[str], k: int = 0) -> None:
        """Writes a page that plays the film, below the trace of the step that follows k updates: one file of HTML that
        needs no network. Raises ValueError for more steps than a page holds, and what `trace` raises; OSError.
        """
        from .page import write

        write(path, self.trace(k), self)

    def _repr_html_(self) -> str:
        """What notebooks show: the page of its first step, in a frame."""
        from .page import frame

        return frame(self.trace(0), self)

    def data(self) -> dict[str, Any]:
        """What the page plays, for JSON. Raises ValueError for more steps than a page holds."""
        from .film_data import content

        return content(self)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return f"Film({self.steps} steps of {self.optimizer!r}, {self._trainer.net!r})"


class _Camera(Callback):
    """What each mini-batch step of a fit leaves."""

    def __init__(self, trainer: "Trainer", samples: int) -> None:
        self.batch_size = min(trainer.batch_size * trainer.accumulate, samples)
        self.theta, self.moments = [trainer.net._model.theta.copy()], [trainer._moments.copy()]
        self.rows: list[np.ndarray] = []
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.epochs: list[int] = []
        self._place = trainer._position.epoch, trainer._position.step

    def on_batch_end(self, trainer: "Trainer", loss: float) -> None:
        epoch, step = self._place
        self._place = trainer._position.epoch, trainer._position.step
        self.rows.append(trainer._order[step * self.batch_size : (step + 1) * self.batch_size].copy())
        self.losses.append(loss)
        self.rates.append(trainer._position.rate)
        self.epochs.append(epoch + 1)
        self.theta.append(trainer.net._model.theta.copy())
        self.moments.append(trainer._moments.copy())


def _trial(trainer: "Trainer") -> "Trainer":
    """A copy that goes on as the trainer would, and that nothing ends early."""
    other = copy.deepcopy(trainer)
    other._early_stopping = None
    return other


def _like(net: Network) -> Network:
    return Network(**net.configuration(), init="zeros")


def _aligned(loss: float) -> str:
    """With four digits, zeros too: a column of them is read easily."""
    return f"{loss:#.4g}".replace("-", "−")


def _flat(pairs: Parameters) -> np.ndarray:
    return np.concatenate([array.ravel() for pair in pairs for array in pair if array is not None])


def _around(column: np.ndarray, size: int) -> np.ndarray:
    """As many values from below the least to above the greatest."""
    low, high = float(column.min()), float(column.max())
    margin = MARGIN * (high - low) or 1.0
    most = float(np.finfo(column.dtype).max)
    return np.linspace(max(low - margin, -most), min(high + margin, most), size).astype(column.dtype)


__all__ = ["Change", "Film", "Surface"]
