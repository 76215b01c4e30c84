"""What happens after each epoch of an estimator's fit: scores of a validation set, and whatever users want done."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier

from ..network import Network
from .cost import Cost

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ModuleNotFoundError:  # scikit-learn before 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Nothing: this scikit-learn has no callbacks."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        return method


if TYPE_CHECKING:
    from .perceptron import Perceptron

__all__ = ["CallbackSupportMixin", "Events", "with_callbacks"]


def functions(given: Any) -> list[Callable[..., Any]]:
    """The parameter `callbacks` as a list. Raises TypeError for what is no function.

    >>> functions(print)
    [<built-in function print>]
    """
    listed = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for function in listed:
        if not callable(function):
            raise TypeError(f"callbacks must be functions f(estimator, record), not {function!r}")
    return listed


class Events:
    """The ends of the epochs of one fit.

    given: the arguments of fit, as callbacks get them. validation: (X, y) of the user's, or None. Functions
    f(estimator, record) come from the parameter `callbacks`; those of scikit-learn's own kind from `set_callbacks`.
    False where nothing looks at the network between epochs.
    """

    def __init__(self, estimator: "Perceptron", given: dict[str, Any], validation: tuple[Any, Any] | None) -> None:
        self.functions = functions(estimator.callbacks)
        self.estimator, self.given, self.validation = estimator, given, validation
        self.context = None
        if getattr(estimator, "_skl_callbacks", None):  # a search without any leaves its own context
            self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
            self._task(self.context.call_on_fit_task_begin)
            self._begin_epoch()
        self._targets: np.ndarray | None = None
        self._score = "validation_accuracy" if is_classifier(estimator) else "validation_r2"
        scored = estimator.early_stopping or validation is not None
        self.columns = [
            "epoch",
            "loss",
            *(["validation_loss"] if validation else []),
            *([self._score] if scored else []),
        ]
        """What a record has."""

    def __bool__(self) -> bool:
        return bool(self.functions) or self.validation is not None or self.context is not None

    def record(self, net: Network) -> dict[str, float]:
        """What is known of the epoch number n_iter_; takes the scores of the validation set."""
        estimator = self.estimator
        record = {"epoch": estimator.n_iter_, "loss": float(estimator.loss_)}
        if self.validation is not None:
            record["validation_loss"] = self._validate(net, *self.validation)
        if self._score in self.columns:
            record[self._score] = estimator.validation_scores_[-1]
        return record

    def epoch_ends(self, record: dict[str, float]) -> bool:
        """Calls the callbacks; whether one of them wants the training to end."""
        estimator = self.estimator
        answers = [function(estimator, record) for function in self.functions]
        stops = [isinstance(answer, bool | np.bool) and bool(answer) for answer in answers]
        if self.context is not None:
            stops.append(self._task(self._epoch.call_on_fit_task_end))
            if estimator.n_iter_ < estimator.max_iter and not any(stops):
                self._begin_epoch()
        return any(stops)

    def end(self) -> None:
        """The fit is done."""
        if self.context is not None:
            self._task(self.context.call_on_fit_task_end)

    def _begin_epoch(self) -> None:
        assert self.context is not None
        self._epoch = self.context.subcontext(task_name="epoch")
        self._task(self._epoch.call_on_fit_task_begin)

    def _task(self, hook: Callable[..., Any]) -> bool:
        return bool(hook(estimator=self.estimator, **self.given, reconstruction_attributes=dict))

    def _validate(self, net: Network, X: Any, y: Any) -> float:
        """The loss of the validation set; it and the score go to the estimator's curves."""
        estimator = self.estimator
        if self._targets is None:
            self._targets = _targets(estimator, y)
        cost = Cost(estimator, self._targets, None)
        loss = cost.of_all(net._loss(cost.source(net, X), estimator.threads))
        estimator.validation_loss_curve_.append(loss)
        if not (estimator.early_stopping and estimator._is_stochastic):  # which has its score already
            estimator.validation_scores_.append(estimator._score(X, y))
        return loss


def _targets(estimator: "Perceptron", y: Any) -> np.ndarray:
    """y as the solvers have it. Raises ValueError for classes that training does not know."""
    if not is_classifier(estimator):
        return y.reshape(len(y), -1)
    if y.ndim == 1:  # labels, not a matrix of 0 and 1
        unknown = np.setdiff1d(y, estimator.classes_)
        if len(unknown):
            raise ValueError(f"y_val has classes that y does not have: {unknown}")
    return np.asarray(estimator._label_binarizer.transform(y), dtype=bool).reshape(len(y), -1)
