"""MLPClassifier and MLPRegressor: scikit-learn's estimators of these names on the engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from sklearn import neural_network
from sklearn.base import _fit_context
from sklearn.utils._param_validation import StrOptions

from ..engine.losses import LOSSES
from ..engine.optimizers import Optimizer
from ..schedules import Schedule
from .constraints import Entries
from .perceptron import Perceptron

__all__ = ["MLPClassifier", "MLPRegressor"]

CLASSIFIER_LOSSES = {"log_loss": LOSSES["cross_entropy"]}
REGRESSOR_LOSSES = {name: loss for name, loss in LOSSES.items() if loss.classes is None}


class MLPClassifier(Perceptron, neural_network.MLPClassifier):
    """scikit-learn's MLPClassifier, trained and asked by bpjit's engine: with the same random_state the same fit.

    The parameters up to max_fun, the attributes and the methods are those of `sklearn.neural_network.MLPClassifier`,
    whose documentation describes them; docs/sklearn.md says what is more, and what differs. Besides:

    activation: "logistic" and every activation of bpjit, a user's own included, by one name or a list of one a hidden
    layer. solver: "sgd", "adam", "lbfgs", or an optimiser such as `bpjit.AdamW(learning_rate=3e-3)`, whose settings
    then take the place of learning_rate, momentum, beta_1, ... loss: "log_loss", or
    "log_loss(label_smoothing=0.1)". dropout: the probability with which a unit of a hidden layer is 0 in a mini-batch,
    or {layer: probability}, layer 0 being the input. class_weight: {label: weight}, or "balanced". schedule: of the
    learning rate, one of `bpjit.schedules`, or a function of the step. callbacks: functions f(estimator, record), one
    or a list, called after every epoch with {"epoch": ..., "loss": ..., ...}; the training ends where one returns True.
    max_seconds: training ends with the epoch that passes this time. dtype: "float32" or "float64"; None for that of X.
    threads: an upper limit; None plans them.

    Further attributes: validation_loss_curve_, the losses of the validation set that `fit` was given, or None.

    Raises what scikit-learn's raises.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier([16], solver="lbfgs", random_state=0).fit(X, y)
    >>> classifier.predict(X[:3])
    array([0, 0, 0])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Perceptron._parameter_constraints,
        "loss": [Entries(CLASSIFIER_LOSSES)],
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
    }

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        loss: str = "log_loss",
        dropout: float | Mapping[int, float] = 0.0,
        class_weight: Mapping[Any, float] | str | None = None,
        schedule: Schedule | Callable[[int], float] | None = None,
        callbacks: Any = None,
        max_seconds: float | None = None,
        dtype: Any = None,
        threads: int | None = None,
    ) -> None:
        self._keep(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> "MLPClassifier":
        """Trains on X (n_samples, n_features), dense or sparse, and y, labels or a matrix of 0 and 1.

        sample_weight: (n_samples,), how much each counts. X_val, y_val: a validation set, whose losses and scores go to
        validation_loss_curve_ and validation_scores_; with early_stopping it decides in the place of a share of X.
        Returns the estimator.
        """
        return self._fit(X, y, sample_weight=sample_weight, validation=_both(X_val, y_val))


class MLPRegressor(Perceptron, neural_network.MLPRegressor):
    """scikit-learn's MLPRegressor, trained and asked by bpjit's engine: with the same random_state the same fit.

    The parameters up to max_fun, the attributes and the methods are those of `sklearn.neural_network.MLPRegressor`,
    whose documentation describes them; docs/sklearn.md says what is more, and what differs. Besides:

    loss: "squared_error", "poisson", and every loss of bpjit for numbers, as "huber(delta=0.5)" or "quantile(0.9)".
    activation, solver, dropout, schedule, callbacks, max_seconds, dtype, threads: as in `MLPClassifier`.

    Further attributes: validation_loss_curve_, the losses of the validation set that `fit` was given, or None.

    Raises what scikit-learn's raises.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> regressor = MLPRegressor(hidden_layer_sizes=[16], solver="lbfgs", random_state=0, tol=0.05)
    >>> regressor.fit(X, y / y.std()).predict(X[:3]).shape
    (3,)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Perceptron._parameter_constraints,
        "loss": [Entries(REGRESSOR_LOSSES)],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str | Sequence[str] = "relu",
        *,
        solver: str | Optimizer = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        dropout: float | Mapping[int, float] = 0.0,
        schedule: Schedule | Callable[[int], float] | None = None,
        callbacks: Any = None,
        max_seconds: float | None = None,
        dtype: Any = None,
        threads: int | None = None,
    ) -> None:
        self._keep(locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None) -> "MLPRegressor":
        """Trains on X (n_samples, n_features), dense or sparse, and y, (n_samples,) or (n_samples, n_outputs).

        sample_weight: (n_samples,), how much each counts. X_val, y_val: a validation set, whose losses and scores (R2)
        go to validation_loss_curve_ and validation_scores_; with early_stopping it decides in the place of a share of
        X. Returns the estimator.
        """
        return self._fit(X, y, sample_weight=sample_weight, validation=_both(X_val, y_val))


def _both(X_val: Any, y_val: Any) -> tuple[Any, Any] | None:
    """The validation set, if there is one. Raises ValueError for half of one."""
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val go together: give both, or neither")
    return None if X_val is None else (X_val, y_val)
