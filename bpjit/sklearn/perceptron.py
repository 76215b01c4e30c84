"""What both estimators share: scikit-learn's checks, labels and stopping rules on the engine's training."""

import math
import time
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.optimize import minimize
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network._multilayer_perceptron import BaseMultilayerPerceptron
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, BaseOptimizer, SGDOptimizer
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, validate_data

from .. import lbfgs, schedules
from ..engine import epoch, scikit_learn
from ..engine.optimizers import LBFGS, Optimizer
from ..network import Network, hidden_activations
from ..regularization import Regularization
from .callbacks import CallbackSupportMixin, Events, functions, with_callbacks
from .constraints import CONSTRAINTS
from .cost import Cost
from .descent import Descent

SPARSE = ["csr", "csc"]
NAMES = {"logistic": "sigmoid"}
"""What the engine calls an activation by another name than scikit-learn."""

ENDED_BY_CALLBACK = 99
"""SciPy's status of a minimisation that a callback has ended."""


class Perceptron(CallbackSupportMixin, BaseMultilayerPerceptron):
    """A multi-layer perceptron of scikit-learn's, trained and asked on the engine.

    The constructor, the checks of data, labels and parameters, the split for early stopping and the rules for stopping
    are scikit-learn's own code; `_fit` and `_forward_pass_fast` are in the place of its arithmetic.
    """

    loss_curve_: list[float]
    validation_loss_curve_: Any
    validation_scores_: Any

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseMultilayerPerceptron._parameter_constraints,
        **CONSTRAINTS,
    }

    def _keep(self, parameters: Mapping[str, Any]) -> None:
        """The parameters of the constructor, as they are; a subclass may have others."""
        for name, value in parameters.items():
            if name != "self":
                setattr(self, name, value)

    # ------------------------------------------------------------------------------------------------- fit

    @with_callbacks
    def _fit(
        self, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False, validation: Any = None
    ) -> "Perceptron":
        """What fit and partial_fit do; validation: (X, y) of the user's, or None."""
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes, dtype=object)).tolist()
        if np.any(np.array(sizes) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
        self._check_settings(len(sizes), incremental)
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        given = {"X": X, "y": y, "metadata": {} if sample_weight is None else {"sample_weight": sample_weight}}
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if getattr(getattr(y, "dtype", None), "kind", "O") not in "biuf" or hasattr(y, "tocsr"):
            raise TypeError(f"y must be an array of numbers, not {y!r:.100}")
        X = X if self.dtype is None else X.astype(self.dtype, copy=False)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        if not first_pass:
            self._check_goes_on(len(sizes), y.shape[1])
        self.n_outputs_ = y.shape[1]
        validation = None if validation is None else self._validation_set(*validation)
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize(y, [X.shape[1], *sizes, y.shape[1]], X.dtype)
            self._descent = None
            self.validation_loss_curve_ = None
        if validation is not None:
            self.validation_loss_curve_ = getattr(self, "validation_loss_curve_", None) or []
            if first_pass or getattr(self, "validation_scores_", None) is None:
                self.validation_scores_ = []
        events = Events(self, given, validation)
        train = self._fit_stochastic if self._is_stochastic else self._fit_lbfgs
        train(X, y, sample_weight, incremental, events)
        events.end()
        if not all(np.isfinite(w).all() for w in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _check_settings(self, hidden: int, incremental: bool) -> None:
        """Raises ValueError or TypeError for settings that the constraints of single parameters let pass."""
        hidden_activations(self._activations(hidden), hidden)
        Regularization(dropout=self.dropout).checked(hidden + 1)
        schedules.schedule(self.schedule)
        functions(self.callbacks)
        if not self._is_stochastic and (self.dropout or self.schedule is not None):
            raise ValueError("dropout and schedule go with solvers that take mini-batches, not with L-BFGS")
        if incremental and isinstance(getattr(self, "class_weight", None), str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit: give {label: weight}, for example of "
                "sklearn.utils.compute_class_weight"
            )

    def _check_goes_on(self, hidden: int, outputs: int) -> None:
        """Raises ValueError for a network that is not the one that coefs_ has the parameters of."""
        if len(self.coefs_) != hidden + 1:
            raise ValueError(
                f"the network that training goes on with has {len(self.coefs_) - 1} hidden layers, but "
                f"hidden_layer_sizes={self.hidden_layer_sizes}: call fit with warm_start=False to begin anew"
            )
        if self.coefs_[-1].shape[1] != outputs:
            raise ValueError(
                f"the network that training goes on with has {self.coefs_[-1].shape[1]} outputs, but y has {outputs}: "
                "call fit with warm_start=False to begin anew"
            )

    def _activations(self, hidden: int) -> list[str]:
        """What the engine calls the activations of the hidden layers."""
        names = [self.activation] * hidden if isinstance(self.activation, str) else list(self.activation)
        return [NAMES.get(name, name) for name in names]

    def _validation_set(self, X: Any, y: Any) -> tuple[Any, np.ndarray]:
        """X and y of the user's validation set, y as that of the training set is then."""
        X, y = validate_data(
            self, X, y, accept_sparse=SPARSE, multi_output=True, reset=False,
            y_numeric=not is_classifier(self), dtype=(np.float64, np.float32),
        )  # fmt: skip
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        labels = is_classifier(self) and not self._label_binarizer.y_type_.startswith("multilabel")
        columns, wanted = 1 if y.ndim == 1 else y.shape[1], 1 if labels else self.n_outputs_
        if columns != wanted:
            raise ValueError(f"y_val must have as many columns as y, {wanted}, but has {columns}")
        return X, y

    def _initialize(self, y: np.ndarray, layer_units: list[int], dtype: Any) -> None:
        super()._initialize(y, layer_units, dtype)
        if self._is_stochastic and not isinstance(self.solver, str):
            self.loss_curve_, self._no_improvement_count = [], 0
            self.best_loss_ = None if self.early_stopping else np.inf
            self.validation_scores_ = [] if self.early_stopping else None
            self.best_validation_score_ = -np.inf if self.early_stopping else None

    @property
    def _is_stochastic(self) -> bool:
        return not (self.solver == "lbfgs" or isinstance(self.solver, LBFGS))

    def _check_solver(self) -> bool:
        return True if isinstance(self.solver, Optimizer) and self._is_stochastic else bool(super()._check_solver())

    # ----------------------------------------------------------------------------------------- mini-batches

    def _fit_stochastic(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, incremental: bool, events: Events
    ) -> None:
        """Epochs of mini-batches, as scikit-learn's method of this name has them."""
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        watched: tuple[Any, ...] = (None, None, None)
        if self.early_stopping:
            X, y, sample_weight, watched = self._split(X, y, sample_weight, events)
        batch_size = self._batch_size(X.shape[0])
        net = self._network()
        cost = Cost(self, y, self._with_class_weight(y, sample_weight))
        source = cost.source(net, X)
        rates = self._rates(incremental)
        descent: Descent | None = getattr(self, "_descent", None)
        if not incremental or descent is None:
            descent = self._descent = self._new_descent(net)
        else:
            descent.regularization = self._regularization(net)
        descent.begin(net, source, batch_size, self.threads, events.columns)
        order, deadline = np.arange(X.shape[0]), self._deadline
        try:
            self.n_iter_ = 0
            for _ in range(self.max_iter):
                if self.shuffle:
                    order = order[self._draw_order(len(order))]
                rate = rates.learning_rate if self.solver == "sgd" else None
                self.t_ += len(order)
                self._close_epoch(cost.of_epoch(*descent.epoch(order, rate), descent.counts, order))
                if self.early_stopping or events:
                    self._read(net)
                self._update_no_improvement_count(self.early_stopping, *watched)
                rates.iteration_ends(self.t_)
                record = events.record(net)
                ended = descent.observe(record), events.epoch_ends(record)
                if self._is_stopped(rates) or incremental or any(ended):
                    break
                if self.n_iter_ == self.max_iter or time.perf_counter() >= deadline:
                    self._warn_not_converged()
                    break
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        descent.end()
        self._read(net)
        if self.early_stopping:
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts

    def _close_epoch(self, loss: float) -> None:
        self.n_iter_ += 1
        self.loss_ = loss
        self.loss_curve_.append(loss)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {loss:.8f}")

    def _is_stopped(self, rates: BaseOptimizer) -> bool:
        """Whether there were too many epochs without improvement, and a smaller learning rate is not to be tried."""
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        if rates.trigger_stopping(self._no_improvement_message(), self.verbose):
            return True
        self._no_improvement_count = 0
        return False

    @property
    def _deadline(self) -> float:
        return math.inf if self.max_seconds is None else time.perf_counter() + self.max_seconds

    def _split(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, events: Events
    ) -> tuple[Any, np.ndarray, np.ndarray | None, tuple[Any, ...]]:
        """What trains, and (X, y, sample_weight) of what decides when to stop."""
        if events.validation is not None:
            return X, y, sample_weight, (*events.validation, None)
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        arrays = [X, y] if sample_weight is None else [X, y, sample_weight]
        parts = train_test_split(
            *arrays, random_state=self._random_state, test_size=self.validation_fraction, stratify=stratify
        )
        X, X_val, y, y_val = parts[:4]
        if X_val.shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        if is_classifier(self):
            y_val = self._label_binarizer.inverse_transform(y_val)
        weights, weights_val = parts[4:] if sample_weight is not None else (None, None)
        return X, y, weights, (X_val, y_val, weights_val)

    def _batch_size(self, n_samples: int) -> int:
        needs_all = getattr(self.solver, "full_batch", False)
        if self.batch_size == "auto":
            return n_samples if needs_all else min(200, n_samples)
        if needs_all and self.batch_size < n_samples:
            name = type(self.solver).__name__
            raise ValueError(f"{name} needs all samples in every mini-batch, but batch_size is {self.batch_size}")
        if self.batch_size > n_samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2
            )
        return int(np.clip(self.batch_size, 1, n_samples))

    def _draw_order(self, n_samples: int) -> np.ndarray:
        """The draw of sklearn.utils.shuffle."""
        order = np.arange(n_samples)
        self._random_state.shuffle(order)
        return order

    def _rates(self, incremental: bool) -> BaseOptimizer:
        """scikit-learn's own optimiser, for its learning rates and its messages; it has no parameters."""
        if not incremental or not hasattr(self, "_optimizer"):
            if self.solver == "sgd":
                rate, kind, power = self.learning_rate_init, self.learning_rate, self.power_t
                self._optimizer = SGDOptimizer([], rate, kind, self.momentum, self.nesterovs_momentum, power)
            elif self.solver == "adam":
                self._optimizer = AdamOptimizer([], self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)
            else:
                self._optimizer = BaseOptimizer(getattr(self.solver, "learning_rate", 1.0))
        return self._optimizer

    def _new_descent(self, net: Network) -> Descent:
        rule = self.solver
        if self.solver == "sgd":
            nesterov = bool(self.nesterovs_momentum and self.momentum > 0)
            rule = scikit_learn.SGD(self.learning_rate_init, momentum=self.momentum, nesterov=nesterov)
        elif self.solver == "adam":
            rule = scikit_learn.Adam(self.learning_rate_init, (self.beta_1, self.beta_2), self.epsilon)
        given = self._regularization(net)
        # Only where something is random is a seed drawn: else all draws are scikit-learn's.
        seed = 0 if given.dropout is None else int(self._random_state.randint(np.iinfo(np.int32).max))
        schedule = None if self.schedule is None else schedules.schedule(self.schedule)
        return Descent(net, rule, given, schedule, seed)

    def _regularization(self, net: Network) -> epoch.Regularization:
        layers = len(net.sizes) - 1
        return Regularization(dropout=self.dropout).checked(layers).for_engine(layers)._replace(alpha=float(self.alpha))

    def _with_class_weight(self, y: np.ndarray, sample_weight: np.ndarray | None) -> np.ndarray | None:
        """sample_weight times the weight of each sample's class."""
        if getattr(self, "class_weight", None) is None:
            return sample_weight
        labels, given = self._label_binarizer.inverse_transform(y.astype(float)), self.class_weight
        if isinstance(given, Mapping) and labels.ndim == 1:  # of all classes, whether or not these samples have them
            of_each = compute_class_weight(given, classes=self.classes_, y=labels)
            of_class = of_each[np.searchsorted(self.classes_, labels)]
        else:
            of_class = compute_sample_weight(given, labels)
        return np.asarray(of_class if sample_weight is None else of_class * sample_weight)

    def _no_improvement_message(self) -> str:
        what = "Validation score" if self.early_stopping else "Training loss"
        return f"{what} did not improve more than tol={self.tol:f} for {int(self.n_iter_no_change)} consecutive epochs."

    def _warn_not_converged(self, solver: str = "Stochastic Optimizer") -> None:
        if self.n_iter_ == self.max_iter:
            what = f"Maximum iterations ({self.max_iter}) reached"
        else:
            what = f"max_seconds={self.max_seconds} are over"
        warnings.warn(f"{solver}: {what} and the optimization hasn't converged yet.", ConvergenceWarning, stacklevel=2)

    # ------------------------------------------------------------------------------------------------ L-BFGS

    def _fit_lbfgs(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, incremental: bool, events: Events
    ) -> None:
        """Iterations on all samples, in float64 as SciPy has them."""
        net = self._network(np.float64)
        cost = Cost(self, y, self._with_class_weight(y, sample_weight))
        source, theta, deadline = cost.source(net, X), net._model.theta, self._deadline
        settings = self.solver if isinstance(self.solver, LBFGS) else LBFGS(tolerance=self.tol)
        alphas = dict.fromkeys(range(1, len(net.sizes)), self.alpha / cost.total)
        trained, _, factors = lbfgs.parameters(net, settings, {}, alphas)

        def take(x: np.ndarray) -> None:
            theta[trained] = x
            net._model.changes += 1

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            take(x)
            C, gradient = net._loss_and_gradient(source, self.threads)
            return cost.of_all(C) + 0.5 * float(factors @ (x * x)), gradient[trained] + factors * x

        def after(intermediate_result: Any) -> None:
            self.n_iter_, self.loss_ = self.n_iter_ + 1, float(intermediate_result.fun)
            if events:
                take(intermediate_result.x)
                self._read(net)
            if events.epoch_ends(events.record(net)):
                raise StopIteration
            if time.perf_counter() >= deadline:
                self._warn_not_converged("lbfgs")
                raise StopIteration

        options = {"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": settings.tolerance}
        options |= {"maxcor": settings.history, "maxls": settings.max_line_search}
        callback = {"callback": after} if events or self.max_seconds is not None else {}
        self.n_iter_ = 0
        found = minimize(objective, theta[trained].copy(), method="L-BFGS-B", jac=True, options=options, **callback)
        stopped = found.status == ENDED_BY_CALLBACK
        self.n_iter_ = found.nit if stopped else _check_optimize_result("lbfgs", found, self.max_iter)
        self.loss_ = found.fun
        take(found.x)
        self._read(net)

    # ----------------------------------------------------------------------------------------------- predict

    def _forward_pass_fast(self, X: Any, check_input: bool = True) -> np.ndarray:
        """y of the rows of X."""
        if check_input:
            X = validate_data(self, X, accept_sparse=SPARSE, reset=False)
        return self._network().predict(X)

    def _score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The accuracy or R2 that decides when to stop, NaN where the network has diverged."""
        y_pred = self._predict(X, check_input=False)
        if y_pred.dtype.kind == "f" and not np.isfinite(y_pred).all():
            return math.nan
        if not is_classifier(self):
            return float(r2_score(y, y_pred, sample_weight=sample_weight))
        right = y_pred == y  # scikit-learn's accuracy_score takes longer than a small network's epoch
        return float(np.average(right if right.ndim == 1 else right.all(axis=1), weights=sample_weight))

    # --------------------------------------------------------------------------------------------- the network

    def _network(self, dtype: Any = None) -> Network:
        """The network with the parameters that coefs_ and intercepts_ hold at present."""
        coefs = [np.asarray(c) for c in self.coefs_]
        dtype = dtype or (np.float32 if all(c.dtype == np.float32 for c in coefs) else np.float64)
        settings = {
            "sizes": [len(coefs[0]), *(c.shape[1] for c in coefs)],
            "activation": self._activations(len(coefs) - 1),
            "output": NAMES.get(self.out_activation_, self.out_activation_),
            "loss": self._engine_loss(),
            "dtype": np.dtype(dtype).name,
        }
        if getattr(self, "_made", None) != settings:
            self._net, self._made = Network(**settings, init="zeros"), settings
        self._net._model.write([(c.T, np.ravel(b)) for c, b in zip(coefs, self.intercepts_)])
        return self._net

    def _engine_loss(self) -> str:
        """What the engine calls the loss."""
        name = str(self.loss)
        if not name.startswith("log_loss"):
            return name
        family = "cross_entropy" if self.out_activation_ == "softmax" else "binary_cross_entropy"
        return name.replace("log_loss", family, 1)

    def _read(self, net: Network) -> None:
        """Takes the parameters of net as coefs_ and intercepts_."""
        pairs = net.parameters()
        self.coefs_ = [np.ascontiguousarray(W.T) for W, _ in pairs]
        self.intercepts_ = [b for _, b in pairs]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_net", None)  # made anew from coefs_
        state.pop("_made", None)
        return state
