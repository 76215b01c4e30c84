"""Cost: the losses that scikit-learn reports, from those that the engine computes."""

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import xlogy
from sklearn.base import is_classifier

from ..network import Network
from ..sources import Dense

if TYPE_CHECKING:
    from .perceptron import Perceptron

__all__ = ["Cost"]


class Cost:
    """The loss as scikit-learn defines it, from what the engine computes; y: as its solvers have it, (S, outputs)."""

    def __init__(self, estimator: "Perceptron", y: np.ndarray, weights: np.ndarray | None) -> None:
        self.weights = None if weights is None else np.asarray(weights, np.float64)
        self.total = float(len(y)) if self.weights is None else float(self.weights.sum())
        self.share, self.offset = 1.0, None
        self.labels = y.argmax(axis=1) if estimator.out_activation_ == "softmax" else None
        self.y = y
        if not is_classifier(estimator):
            if estimator.loss == "poisson":  # its deviance, which is 0 at best
                self.offset = (xlogy(y, y) - y).sum(axis=1)
            elif estimator.loss != "cosine":  # the mean over the outputs, though its gradient is that of the sum
                self.share = 1.0 / y.shape[1]

    def source(self, net: Network, X: Any) -> Dense:
        """The samples as the engine takes them."""
        source = net._source(X if hasattr(X, "tocsr") else np.asarray(X, net.dtype), None, self.weights, finite=False)
        if self.labels is not None:
            data = source.data._replace(labels=self.labels.astype(np.intp))
        else:
            data = source.data._replace(targets=np.ascontiguousarray(self.y, net.dtype))
        return source._like(data, None)

    def of_all(self, C: float) -> float:
        """Of all samples, whose mean cost is C."""
        if self.offset is None:
            return C * self.share
        return C + float(np.average(self.offset, weights=self.weights))

    @np.errstate(all="ignore")  # a loss may be infinite, and its penalty
    def of_epoch(
        self, losses: np.ndarray, penalties: np.ndarray, weights: np.ndarray, counts: np.ndarray, order: np.ndarray
    ) -> float:
        """The mean over the samples of the means over the mini-batches."""
        means = (losses - penalties) * self.share + penalties
        if self.offset is not None:
            offsets = self.offset if self.weights is None else self.offset * self.weights
            starts = np.append(0, np.cumsum(counts[:-1])).astype(np.intp)
            means += np.add.reduceat(offsets[order], starts) / np.where(weights > 0, weights, 1.0)
        return float(means @ counts) / len(order)
