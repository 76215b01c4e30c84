"""Weights of samples: those that are given, times those of their classes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import validation
from .engine.epoch import Data

if TYPE_CHECKING:
    from .engine.losses import Loss

FLOAT64 = np.dtype("float64")


def classes(data: Data, loss: "Loss") -> np.ndarray | None:
    """The label of each sample (S,), numbered as `classify` does; None where samples are not of one class each.

    >>> from bpjit.engine.losses import LOSSES
    >>> t = np.array([[-1.0], [1.0]])
    >>> classes(Data(t, np.zeros(0, np.intp), t, np.arange(2), t), LOSSES["hinge"])
    array([0, 1])
    """
    t = data.targets
    if data.labels.size:
        return data.labels
    if loss.classes is None or (loss.classes == "each" and t.shape[1] > 1):
        return None
    if t.shape[1] == 1:
        low = -1 if loss.targets == "class" else 0
        return (t[:, 0] == 1).astype(np.intp) if ((t == low) | (t == 1)).all() else None
    return t.argmax(axis=1) if (t.max(axis=1) == 1).all() and (np.count_nonzero(t, axis=1) == 1).all() else None


def of_samples(given: Any, samples: int, name: str = "sample_weight") -> np.ndarray | None:
    """sample_weight (S,) in float64, none negative; None for none.

    Raises ValueError for other numbers or another length, TypeError for what are no numbers.
    """
    return None if given is None else validation.sample_weights(given, samples=samples, dtype=FLOAT64, name=name)


def some(weights: np.ndarray | None, name: str) -> np.ndarray | None:
    """The weights; raises ValueError where all are zero."""
    if weights is not None and not weights.any():
        raise ValueError(f"{name} is zero for every sample: give at least one a positive weight")
    return weights


def of_classes(class_weight: Any, labels: np.ndarray | None, outputs: int) -> np.ndarray | None:
    """The weight of each sample's class (S,): that in a mapping {label: weight}, 1 for labels that it leaves out.

    "balanced" is scikit-learn's S / (number of classes in t * samples of the class): all classes count alike, and the
    mean over the samples is 1. Raises ValueError for unknown labels, and where samples are not of one class each.

    >>> of_classes("balanced", np.array([0, 0, 0, 2]), 3).tolist()
    [0.6666666666666666, 0.6666666666666666, 0.6666666666666666, 2.0]
    >>> of_classes({2: 5}, np.array([0, 0, 0, 2]), 3).tolist()
    [1.0, 1.0, 1.0, 5.0]
    """
    if class_weight is None:
        return None
    if labels is None:
        raise ValueError(
            "class_weight needs samples of one class each, given as labels, rows of one 1 and zeros, or with one "
            "output 0 and 1: weigh the samples by sample_weight"
        )
    count = max(outputs, 2)
    if isinstance(class_weight, str):
        validation.choice(class_weight, ["balanced"], "class_weight")
        sizes = np.bincount(labels, minlength=count)
        of_class = len(labels) / (np.count_nonzero(sizes) * np.maximum(sizes, 1))
    elif isinstance(class_weight, Mapping):
        of_class = np.ones(count)
        for label, weight in class_weight.items():
            label = validation.integer(label, "a label in class_weight", low=0, high=count - 1)
            of_class[label] = validation.real(weight, f"class_weight of {label}", low=0)
    else:
        raise TypeError(f"class_weight must be 'balanced' or {{label: weight}}, not {class_weight!r}")
    return of_class[labels]


def product(of_sample: np.ndarray | None, of_class: np.ndarray | None) -> np.ndarray | None:
    """Both in one; None where there are none."""
    if of_sample is None or of_class is None:
        return of_class if of_sample is None else of_sample
    return of_sample * of_class
