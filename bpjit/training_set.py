"""The training set of a call of fit, and its validation set: of arrays, of a share of them, or of mini-batches."""

import numbers
from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np

from . import holdout, weights
from . import validation as check
from .engine.epoch import Data
from .network import Network
from .sources import Batches, Dense, Source

T_IS_MISSING = (
    "t is missing: give the targets of X, or in the place of X mini-batches (X, t), as a list, an object to iterate "
    "over, or a function that returns one"
)
OF_VALIDATION = ("X of validation", "t of validation", "sample_weight of validation")


def sets(
    net: Network,
    X: Any,
    t: Any = None,
    validation: Any = None,
    sample_weight: Any = None,
    class_weight: Any = None,
    seed: int | np.int64 = 0,
) -> tuple[Source, Dense | None]:
    """The samples that train and those that validate, from the arguments of `Trainer.fit`.

    seed: of the share of the samples that is held out, where validation is a fraction. Raises ValueError or TypeError.

    >>> X, t = np.eye(4), [0, 1, 0, 1]
    >>> training, validation = sets(Network([4, 2]), X, t, validation=0.5)
    >>> len(training), len(validation)
    (2, 2)
    """
    if t is None:
        return _batches(net, X, validation, sample_weight, class_weight), _validation_set(net, validation)
    fraction = None
    if _is_number(validation):
        fraction = check.real(validation, "validation", low=0, high=1, low_open=True, high_open=True)
    watched = None if fraction is not None else _validation_set(net, validation)
    source = net._source(X, t, sample_weight)
    labels = None
    if fraction is not None or class_weight is not None:
        labels = weights.classes(source.data, net._model.loss)
    if fraction is not None:
        rows, held_out = holdout.split(len(source), fraction, labels, seed)
        watched, source = source.chosen(held_out), source.chosen(rows)
        weights.some(source.weights, "sample_weight of what is left to train")
        weights.some(watched.weights, "sample_weight of what is held out to validate")
        labels = labels if labels is None else labels[rows]
    of_class = weights.of_classes(class_weight, labels, net.sizes[-1])
    if of_class is not None:
        own = weights.product(source.weights, of_class)
        weights.some(own, "class_weight, or its product with sample_weight,")
        source = source.weighted(own if source.rows is None else _spread(own, source))
    return source, watched


def _spread(own: np.ndarray | None, source: Dense) -> np.ndarray:
    """Weights of the rows that a source is about, as weights of all rows."""
    of_rows = np.zeros(source.X.shape[0])
    of_rows[source.rows] = own
    return of_rows


def _validation_set(net: Network, validation: Any) -> Dense | None:
    if validation is None:
        return None
    if _is_number(validation):
        raise ValueError("validation is a fraction, but of mini-batches none can be held out: give validation=(X, t)")
    if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
        raise TypeError(
            "validation must be a pair (X, t), or (X, t, sample_weight), or a fraction, not "
            f"{type(validation).__name__}"
        )
    X, t, *more = validation
    return net._source(X, t, more[0] if more else None, OF_VALIDATION)


def _is_number(validation: Any) -> bool:
    return isinstance(validation, numbers.Real) and validation is not True and validation is not False


def _batches(net: Network, batches: Any, validation: Any, sample_weight: Any, class_weight: Any) -> Batches:
    """The mini-batches; the first one is drawn and checked when it is asked for."""
    array = hasattr(batches, "__array__") or hasattr(batches, "tocsr") or isinstance(batches, str | bytes | dict)
    if array or not (isinstance(batches, Iterable) or callable(batches)):
        raise TypeError(T_IS_MISSING)
    if sample_weight is not None:
        raise ValueError("sample_weight goes with arrays: let each mini-batch be (X, t, sample_weight)")
    if isinstance(class_weight, str):
        check.choice(class_weight, ["balanced"], "class_weight")
        raise ValueError("class_weight='balanced' needs to know all t: give {label: weight} with mini-batches")
    return Batches(batches, partial(_mini_batch, net, class_weight))


def _mini_batch(net: Network, class_weight: Any, item: Any, number: int) -> Data:
    """What the engine takes, of an item (X, t) or (X, t, sample_weight)."""
    if not isinstance(item, tuple | list) or len(item) not in (2, 3):
        raise TypeError(
            f"mini-batch {number} must be a pair (X, t), or (X, t, sample_weight), not {type(item).__name__}"
            + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
        )
    X, t, *more = item
    if _is_number(X):
        raise TypeError(T_IS_MISSING)
    of_this = f"of mini-batch {number}"
    if hasattr(X, "tocsr"):
        X = X.toarray()
    data = net._data(X, t, (f"X {of_this}", f"t {of_this}"))
    of_sample = weights.of_samples(more[0] if more else None, len(data.X), f"sample_weight {of_this}")
    of_class = weights.of_classes(class_weight, weights.classes(data, net._model.loss), net.sizes[-1])
    return data._replace(weights=weights.product(of_sample, of_class))
