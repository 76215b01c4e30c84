"""Sources: where the samples of mini-batches come from, and how they get into the engine.

An array that is as the engine takes it is handed over as it is (`Dense`). Of a sparse matrix, and of an array in a file
that the engine could not read, a block of rows is made ready for each compiled call (`Blocks`). Mini-batches may also
come one by one from an iterator (`Batches`).
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

import numpy as np

from . import validation
from .engine.epoch import Data, Place

UNKNOWN = sys.maxsize
"""The mini-batches of an epoch, as long as nobody knows how many there are."""

End = object()


class Dense:
    """Samples that lie in an array of the network's dtype; rows: which of them it is about, None for all.

    >>> X = np.zeros((3, 2))
    >>> source = Dense(Data(X, np.array([0, 1, 0]), X[:0], np.arange(3), X[:0]))
    >>> len(source), len(source.chosen(np.array([0, 2]))), source.chosen(np.array([0, 1])).t.tolist()
    (3, 2, [0, 1])
    """

    def __init__(self, data: Data, rows: np.ndarray | None = None) -> None:
        self.X, self.data, self.rows = data.X, data, rows

    def __len__(self) -> int:
        return self.X.shape[0] if self.rows is None else len(self.rows)

    @property
    def whole(self) -> bool:
        """Whether the engine may draw orders itself, and go on from one epoch to the next."""
        return self.rows is None

    @property
    def t(self) -> np.ndarray:
        """The labels or targets of its samples."""
        t = self.data.labels if self.data.labels.size else self.data.targets
        return t if self.rows is None else t[self.rows]

    @property
    def weights(self) -> np.ndarray | None:
        """The weights of its samples."""
        weights = self.data.weights
        return weights if self.rows is None or weights is None else weights[self.rows]

    @property
    def has_weights(self) -> bool:
        return self.data.weights is not None

    def weighted(self, weights: np.ndarray | None) -> "Dense":
        """The same with weights for all rows, whether it is about them or not."""
        return self._like(self.data._replace(weights=weights), self.rows)

    def chosen(self, rows: np.ndarray) -> "Dense":
        """The same samples, but these alone; none is copied."""
        return self._like(self.data, rows)

    def _like(self, data: Data, rows: np.ndarray | None) -> "Dense":
        return type(self)(data, rows)

    # questions: the samples in their order

    def rows_at_once(self, batch_size: int) -> int:
        """How many samples, a multiple of batch_size, a part may have."""
        return UNKNOWN // batch_size * batch_size

    def part(self, first: int, end: int) -> Data:
        """Its samples first .. end - 1."""
        return self.data._replace(order=(self.data.order if self.rows is None else self.rows)[first:end])

    # training: the samples in the order of an epoch

    def ended(self, step: int) -> bool:
        """Whether the epoch has no mini-batch number `step`, which only an iterator does not know in advance."""
        return False

    def steps_per_epoch(self, batch_size: int) -> int:
        return -(-len(self) // batch_size)

    def epoch_steps(self, batch_size: int) -> int:
        """The mini-batches of an epoch as a schedule counts them."""
        return self.steps_per_epoch(batch_size)

    def done(self, step: int, batch_size: int) -> int:
        """How many samples the first `step` mini-batches of the epoch have."""
        return min(step * batch_size, len(self))

    def take(self, order: np.ndarray, place: Place, count: int) -> tuple[Data, int]:
        """What the engine needs for mini-batches from `place` on, and how many of them that is: `count` or fewer.

        order: that of the epoch, over the numbers of its samples; where `whole`, the engine may write to it.
        """
        if self.rows is None:
            return self.data._replace(order=order), count
        before = place.step * place.batch_size
        count = min(count, self.steps_per_epoch(place.batch_size) - place.step)
        return self.data._replace(
            order=self.rows[order[before : before + count * place.batch_size]], before=before
        ), count

    def fingerprint(self) -> int:
        """A checksum: an epoch goes on only with the data that it began with."""
        return _checksum(0, self.X, *self._beside())

    def _beside(self) -> list[np.ndarray]:
        labels, targets, weights = self.data.labels, self.data.targets, self.data.weights
        return [labels, targets, *([] if weights is None else [weights])]


class Blocks(Dense):
    """Samples of a matrix X that is CSR, or lies in a file in another form: rows are made ready block by block.

    data: their t and weights; its X has no rows. ready: makes an array as the engine takes it of some rows of X.
    """

    def __init__(self, X: Any, data: Data, rows: np.ndarray | None = None) -> None:
        super().__init__(data, rows)
        self.X = X

    @property
    def whole(self) -> bool:
        return False

    def _like(self, data: Data, rows: np.ndarray | None) -> "Blocks":
        return type(self)(self.X, data, rows)

    def rows_at_once(self, batch_size: int) -> int:
        return max(1, self._block_rows // batch_size) * batch_size

    @property
    def _block_rows(self) -> int:
        """Rows of a block, which for a moment is there in the dtype of the file, too."""
        wider = max(self.X.dtype, self.data.X.dtype, key=lambda dtype: dtype.itemsize)
        return validation.rows_in_block(self.X.shape[1], wider)

    def part(self, first: int, end: int) -> Data:
        return self._some(slice(first, end) if self.rows is None else self.rows[first:end])

    def take(self, order: np.ndarray, place: Place, count: int) -> tuple[Data, int]:
        before = place.step * place.batch_size
        count = min(count, self.rows_at_once(place.batch_size) // place.batch_size)
        count = min(count, self.steps_per_epoch(place.batch_size) - place.step)
        some = order[before : before + count * place.batch_size]
        return self._some(some if self.rows is None else self.rows[some])._replace(before=before), count

    def _some(self, rows: slice | np.ndarray) -> Data:
        X, data = self._ready(rows), self.data
        return data._replace(
            X=X,
            labels=data.labels[rows] if data.labels.size else data.labels,
            targets=data.targets[rows] if len(data.targets) else data.targets,
            weights=None if data.weights is None else data.weights[rows],
            order=np.arange(len(X)),
        )

    def _ready(self, rows: slice | np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):  # the engine sees what becomes infinite
            return np.ascontiguousarray(self.X[rows], self.data.X.dtype)

    def fingerprint(self) -> int:
        checksum, rows = 0, self._block_rows
        for first in range(0, self.X.shape[0], rows):
            checksum = _checksum(checksum, self._ready(slice(first, first + rows)))
        return _checksum(checksum, *self._beside())


class Sparse(Blocks):
    """Samples of a CSR matrix."""

    def _ready(self, rows: slice | np.ndarray) -> np.ndarray:
        return self.X[rows].toarray()

    def fingerprint(self) -> int:
        return _checksum(0, self.X.data, self.X.indices, self.X.indptr, *self._beside())


class Batches:
    """Mini-batches that come one by one: `each pass` over them is an epoch, of which the end shows how long it was.

    batches: an object that may be iterated over again and again; a function without arguments that returns one, such as
    a generator function; or an iterator, which serves for one pass. Each item is (X, t) or (X, t, sample_weight).
    checked: makes of such an item, whose number it is given, what the engine takes, or raises.

    >>> one = Data(np.zeros((3, 2)), *[np.zeros(0)] * 4)
    >>> source = Batches([(0, 0), (1, 1)], lambda item, number: one)
    >>> [source.ended(step) for step in (0, 1, 2)]
    [False, False, True]
    """

    whole = False

    def __init__(
        self, batches: Iterable[Any] | Callable[[], Iterable[Any]], checked: Callable[[Any, int], Data]
    ) -> None:
        self._batches, self._checked = batches, checked
        self._pass: Iterator[Any] | None = None
        self._number = -1  # of the item at hand, in its pass
        self._item: Data | None = None
        self._done = 0

    def __len__(self) -> int:
        return 0

    @property
    def once(self) -> bool:
        """Whether there is one pass only."""
        return isinstance(self._batches, Iterator)

    def ended(self, step: int) -> bool:
        """Whether the pass has no item number `step`; draws it, and those before it, from a new pass if need be.

        What the iterator raises is passed on. Raises ValueError or TypeError for an item that is no mini-batch, and
        ValueError for a pass that has none, or fewer than were trained before.
        """
        if self._pass is None or step < self._number:
            self._pass, self._number, self._done = self._new_pass(), -1, 0
        while self._number < step:
            item = next(self._pass, End)
            if item is End:
                self._item = None
                self._check_length(self._number + 1, step)
            else:
                self._item = self._checked(item, self._number + 1) if self._number + 1 == step else None
            self._number += 1
        return self._item is None

    def _check_length(self, length: int, step: int) -> None:
        if length == 0:
            raise ValueError("the batches hold no mini-batch: give an object that yields pairs (X, t)")
        if length < step:
            raise ValueError(
                f"the batches end after {length} mini-batches, but {step} of the epoch that is unfinished are done: "
                "give those that it began with"
            )

    def _new_pass(self) -> Iterator[Any]:
        if isinstance(self._batches, Iterable):
            return iter(self._batches)
        made = self._batches()
        if not isinstance(made, Iterable):
            raise TypeError(f"the function that makes the batches returned {made!r}, which cannot be iterated over")
        return iter(made)

    @property
    def has_weights(self) -> bool:
        """Whether the mini-batch at hand has."""
        return self._item is not None and self._item.weights is not None

    @property
    def samples(self) -> int:
        """In the mini-batch at hand."""
        return 0 if self._item is None else len(self._item.X)

    def steps_per_epoch(self, batch_size: int) -> int:
        return UNKNOWN

    def epoch_steps(self, batch_size: int) -> int:
        """What the object says that it holds, if it does; its end is found, not believed."""
        return max(1, len(self._batches)) if isinstance(self._batches, Sized) else UNKNOWN

    def done(self, step: int, batch_size: int) -> int:
        """The samples of this pass that were taken."""
        return self._done

    def take(self, order: np.ndarray, place: Place, count: int) -> tuple[Data, int]:
        """The mini-batch at hand."""
        assert self._item is not None
        self._done += len(self._item.X)
        return self._item._replace(before=place.step * place.batch_size), 1

    def fingerprint(self) -> int:
        """None of them: whether they are the same cannot be known."""
        return 0


Source = Dense | Batches


def of(data: Data | Dense) -> Dense:
    """Samples as a source."""
    return data if isinstance(data, Dense) else Dense(data)


def _checksum(checksum: int, *arrays: np.ndarray) -> int:
    for array in arrays:
        checksum = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, checksum)
    return checksum
