"""Network: sizes, parameters, and what can be asked of a network without a training run."""

import math
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from itertools import pairwise
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from . import initializers, sources, validation, weights
from .engine import plan
from .engine.activations import ACTIVATIONS, Activation
from .engine.entry import find
from .engine.epoch import Data
from .engine.losses import LOSSES
from .engine.model import Model
from .errors import require
from .metrics import Answers, Score, choose, labels
from .sources import Blocks, Dense, Sparse

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .diagnosis import Diagnosis
    from .engine.optimizers import Optimizer
    from .explain import Trace
    from .history import History
    from .summary import Summary

Parameters = list[tuple[np.ndarray, np.ndarray | None]]

PREDICT_BATCH = 512
"""Samples that pass through the network together when nothing is trained: their activations stay in cache."""
FEW_NUMBERS = 2**16
"""Numbers in X up to which making a call ready takes as long as the call."""
CALL_FLOPS = 10**10
"""Work of one compiled call, about a fifth of a second."""
GRADIENT_BATCH = 4096
"""The same for `gradients`, whose sums over samples are added batch by batch."""


class Network:
    """A fully connected network y = f(x; theta) and its parameters.

    sizes: (n_0, n_1, ..., n_L), units of the input and of each layer. activation: of the hidden layers, one name or one
    a layer: "identity", "sigmoid", "tanh", "softsign", "hard_sigmoid", "relu", "leaky_relu", "relu6", "elu", "selu",
    "gelu", "gelu_tanh", "silu", "mish", "hard_swish", "softplus" or "exp". output: activation of the last layer, also
    "softmax"; None takes the one that goes with the loss. loss: "cross_entropy", "binary_cross_entropy", "hinge",
    "squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson" or "cosine". A setting goes with the
    name, as in "leaky_relu(0.2)" or "huber(delta=0.5)". dtype: "float32" or "float64". bias: whether layers have one.
    init: of the weights, "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal",
    "lecun_uniform", "orthogonal", "constant(0.1)" or "zeros", drawn from seed (None: another each time); "auto" takes
    what suits each activation. Biases begin at zero. Or the first parameters themselves: [(W^1, b^1), ...] as
    `parameters` gives them, or arrays [W^1, ...].

    docs/activations.md and docs/losses.md have the definitions.

    Raises ValueError for an unknown name or a size that is not possible, TypeError for another kind of value.

    >>> net = Network([4, 8, 3], seed=0)
    >>> net.predict([[0.5, 1.0, -1.0, 2.0]]).shape
    (1, 3)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        output: str | None = None,
        loss: str = "cross_entropy",
        dtype: Any = "float32",
        bias: bool = True,
        init: str | Sequence[Any] = "auto",
        seed: int | None = None,
    ) -> None:
        self.dtype = validation.float_dtype(dtype)
        self.sizes = validation.layer_sizes(sizes, self.dtype.itemsize)
        cost = find(LOSSES, loss, "loss")
        last = find(ACTIVATIONS, cost.output if output is None else output, "output")
        entries = *hidden_activations(activation, len(self.sizes) - 2), last
        self.loss_name, self.output = cost.text, last.text
        self.activation_names = tuple(entry.text for entry in entries[:-1])
        self.bias = validation.switch(bias, "bias")
        self.seed = validation.seed(seed)
        suited = [entry.initializer for entry in entries]
        first = initializers.parameters(init, suited, self.sizes, self.bias, self.dtype, self.seed)
        self.history: History | None = None
        self._model = Model(self.sizes, (*self.activation_names, self.output), self.loss_name, self.dtype, self.bias)
        for l, (W, b) in enumerate(first, start=1):
            self._model.layout.write(self._model.theta, l, W, np.zeros(len(W)) if b is None else b)

    # ------------------------------------------------------------------------------------------ parameters

    def parameters(self) -> Parameters:
        """[(W^1, b^1), ..., (W^L, b^L)] as copies: W^l of shape (n_l, n_(l-1)), b^l (n_l,), or None without biases.

        >>> [W.shape for W, b in Network([4, 8, 3]).parameters()]
        [(8, 4), (3, 8)]
        """
        return self._pairs(self._model.theta)

    def set_parameters(self, parameters: Parameters) -> None:
        """Takes parameters as `parameters` gives them; all are checked before the first one changes.

        Raises ValueError for a wrong number of layers, a wrong shape or a number that is not finite.

        >>> net = Network([2, 1], loss="squared_error")
        >>> net.set_parameters([([[1.0, 2.0]], [0.5])])
        >>> net.predict([[1.0, 1.0]])
        array([[3.5]], dtype=float32)
        """
        checked = validation.parameters(parameters, sizes=self.sizes, bias=self.bias, dtype=self.dtype)
        self._model.write(checked)

    def configuration(self) -> dict[str, Any]:
        """The keyword arguments that make a network like this one, seed and initialiser left out.

        >>> Network(**Network([2, 1]).configuration()).sizes
        (2, 1)
        """
        return {
            "sizes": list(self.sizes),
            "activation": list(self.activation_names),
            "output": self.output,
            "loss": self.loss_name,
            "dtype": self.dtype.name,
            "bias": self.bias,
        }

    def _pairs(self, theta: np.ndarray) -> Parameters:
        return [(W, b if self.bias else None) for W, b in self._model.layout.read(theta)]

    # ------------------------------------------------------------------------------------------- questions

    def predict(self, X: Any) -> np.ndarray:
        """y = a^L for the rows of X (S, n_0): an array (S, n_L) of the network's dtype.

        X may also be a sparse matrix of SciPy's, or lie in a file (np.memmap): it is made ready block by block. Raises
        ValueError or TypeError for an X that is not finite numbers of that many columns.
        """
        if type(X) is np.ndarray and X.dtype == self.dtype and X.ndim == 2 and 0 < X.size <= FEW_NUMBERS:
            y = self._model.answer(X, self._plan) if X.shape[1] == self.sizes[0] else None
            if y is not None:
                return y
        return self._predict(self._source(X, finite=False))  # the compiled code sees what is not

    def classify(self, X: Any) -> np.ndarray:
        """Class labels (S,) for the rows of X: that of the greatest output; with one output 1 where y reaches 1/2
        (0 for hinge), else 0; with several outputs of a binary cross-entropy 0 or 1 for each, (S, n_L).

        Raises ValueError where the loss is not that of a classifier.
        """
        if not self._is_classifier:
            raise ValueError(f"classify needs a classifier, but the loss is {self.loss_name!r}: use predict")
        return labels(self.predict(X), self._model.loss)

    def _predict(self, data: Data | Dense, threads: int | None = None) -> np.ndarray:
        source = sources.of(data)
        y = np.empty((len(source), self.sizes[-1]), self.dtype)
        batch_size = min(len(y), PREDICT_BATCH)
        for part in self._parts(source, y):
            if not self._model.predict(part, batch_size, self._plan(batch_size, threads)):
                self._source(source.X)  # raises ValueError, and says where
        return y

    def loss(self, X: Any, t: Any, sample_weight: Any = None) -> float:
        """C(theta), the mean cost over the rows of X (E3), or the weighted mean with sample_weight (S,).

        X is (S, n_0); t holds labels (S,) or rows (S, n_L), as the loss takes them. Raises ValueError or TypeError for
        data that do not fit.
        """
        return self._loss(self._source(X, t, sample_weight))

    def evaluate(self, X: Any, t: Any, metrics: Any = ("accuracy",), sample_weight: Any = None) -> dict[str, float]:
        """{metric: score} for the rows of X and their t, from one pass through the network.

        metrics: a list of names, which are "loss", "mae", "mse" and "r2", and for classifiers "accuracy", "f1", "auc",
        "balanced_accuracy" and "top_k(5)" (docs/metrics.md defines them); of functions f(t, y) -> float, which get t as
        the loss takes it, labels (S,) or rows (S, n_L), and y (S, n_L); or of {name: either}. sample_weight: (S,), how
        much each sample counts, in every metric by name, and in functions that have a parameter `sample_weight`.

        Raises ValueError for an unknown metric, or one that does not fit the loss; TypeError for what is none;
        ImportError for "f1" and "auc" without scikit-learn.

        >>> net = Network([2, 3], loss="squared_error", init="zeros")
        >>> net.evaluate([[1, 2]], [[3, 4, 5]], ["mae", {"worst": lambda t, y: abs(t - y).max()}])
        {'mae': 4.0, 'worst': 5.0}
        """
        source = self._source(X, t, sample_weight)
        return self._score(source, choose(metrics, self._model.loss, self.sizes[-1]))

    def _score(self, data: Data | Dense, chosen: dict[str, Score], threads: int | None = None) -> dict[str, float]:
        """{name: score}; the network is asked once, for what these scores need."""
        source = sources.of(data)
        C, y = math.nan, np.zeros((0, self.sizes[-1]), self.dtype)
        needs = {score.of_cost for score in chosen.values()}
        if needs == {True, False}:
            C, y = self._loss_and_answers(source, threads)
        elif needs == {True}:
            C = self._loss(source, threads)
        elif needs == {False}:
            y = self._predict(source, threads)
        answers = Answers(source.t, y, self._model.loss, C, source.weights)
        return {name: score(answers) for name, score in chosen.items()}

    def _scores(
        self, data: Data | Dense, threads: int | None, chosen: dict[str, Score] | None = None
    ) -> dict[str, float]:
        """What the history has of a validation set: the loss, and what was chosen, or else a classifier's accuracy."""
        scores = self._score(data, self._score_choice(chosen), threads)
        return {f"validation_{name}": score for name, score in scores.items()}

    def _score_names(self, chosen: dict[str, Score] | None) -> list[str]:
        """The names of what `_scores` gives."""
        return [f"validation_{name}" for name in self._score_choice(chosen)]

    def _score_choice(self, chosen: dict[str, Score] | None) -> dict[str, Score]:
        if chosen is None:
            chosen = choose(["accuracy"] if self._is_classifier else [], self._model.loss, self.sizes[-1])
        return choose("loss", self._model.loss, self.sizes[-1]) | chosen

    def _plan_for(self, data: Data | Dense, limit: int | None) -> plan.Plan:
        """How the scores of these data are computed."""
        return self._plan(min(len(sources.of(data)), PREDICT_BATCH), limit)

    def gradients(self, X: Any, t: Any, sample_weight: Any = None) -> Parameters:
        """[(dC/dW^1, dC/db^1), ..., (dC/dW^L, dC/db^L)] for the rows of X (E8, E9), shaped like `parameters`.

        sample_weight: (S,), as in `loss`, whose gradient it is.
        """
        return self._pairs(self._loss_and_gradient(self._source(X, t, sample_weight))[1].astype(self.dtype))

    def _loss_and_gradient(self, data: Data | Dense, threads: int | None = None) -> tuple[float, np.ndarray]:
        """C and its gradient, in float64 and laid out as theta."""
        source = sources.of(data)
        C, total = 0.0, np.zeros(self._model.theta.shape)
        whole = _weight(source.weights, len(source))
        for start in range(0, len(source), GRADIENT_BATCH):
            part = source.part(start, min(start + GRADIENT_BATCH, len(source)))
            share = _weight(None if part.weights is None else part.weights[part.order], len(part.order)) / whole
            loss, gradient = self._model.gradient(part, self._plan(len(part.order), threads, training=True))
            C += share * loss
            total += share * gradient
        return C, total

    # ------------------------------------------------------------------------------------------ looking inside

    def activations(self, X: Any) -> list[np.ndarray]:
        """[a^0, a^1, ..., a^L] for the rows of X (E2): a^l is (S, n_l), a^0 = X, and a^L what `predict` gives.

        Raises ValueError or TypeError for an X that does not fit, ValueError too for a result that exceeds the memory.

        >>> [a.shape for a in Network([4, 8, 3], seed=0).activations([[0.5, 1.0, -1.0, 2.0]])]
        [(1, 4), (1, 8), (1, 3)]
        """
        from . import inspection

        return inspection.activations(self, X)

    def weighted_inputs(self, X: Any) -> list[np.ndarray]:
        """[z^1, ..., z^L] for the rows of X (E1), z^l of shape (S, n_l): what the activation functions are given.

        Raises what `activations` raises.

        >>> net = Network([2, 1], loss="squared_error")
        >>> net.set_parameters([([[1.0, 2.0]], [0.5])])
        >>> net.weighted_inputs([[1.0, 1.0]])
        [array([[3.5]], dtype=float32)]
        """
        from . import inspection

        return inspection.weighted_inputs(self, X)

    def deltas(self, X: Any, t: Any) -> list[np.ndarray]:
        """[delta^1, ..., delta^L] for the rows of X (E6, E7): delta^l, of shape (S, n_l), is dC_s/dz^l of each sample.

        These are not divided by S, as the delta of the equations are, so that they do not depend on the other rows.
        Raises ValueError or TypeError for data that do not fit, ValueError too for a result that exceeds the memory.

        >>> net = Network([2, 1], loss="squared_error")
        >>> net.set_parameters([([[1.0, 2.0]], [0.5])])
        >>> net.deltas([[1.0, 1.0], [0.0, 0.0]], [3.0, 3.0])
        [array([[ 0.5],
               [-2.5]], dtype=float32)]
        """
        from . import inspection

        return inspection.deltas(self, X, t)

    def sample_gradients(self, X: Any, t: Any) -> Parameters:
        """[(dC_s/dW^1, dC_s/db^1), ..., (dC_s/dW^L, dC_s/db^L)]: the gradient of each sample's own cost (E4, E5).

        dC_s/dW^l is (S, n_l, n_(l-1)), dC_s/db^l (S, n_l), or None without biases; their means over s are `gradients`.
        Raises what `deltas` raises: S times the size of the parameters may be much.

        >>> [dW.shape for dW, db in Network([4, 8, 3]).sample_gradients([[0.5, 1.0, -1.0, 2.0]], [2])]
        [(1, 8, 4), (1, 3, 8)]
        """
        from . import inspection

        return inspection.sample_gradients(self, X, t)

    def trace(self, x: Any, t: Any, optimizer: "Optimizer | None" = None) -> "Trace":
        """One step of back-propagation with every number of it: z, a, C, delta, gradient and update, in float64, each
        with the statement of `bpjit.derivation` that computes it. `print` it, or ask for a `term`.

        x: one sample (n_0,) or a mini-batch (S, n_0); t: its target, or the targets, as the loss takes them. optimizer:
        of the step, whose moments begin at zero; None for SGD(), E10 itself. The network stays as it is, and the trace
        as it was made.

        Raises ValueError or TypeError for data that do not fit, ValueError too for more samples than plain Python can
        follow, or an optimiser whose step is not of single parameters (LBFGS).

        >>> net = Network([2, 1], loss="squared_error")
        >>> net.set_parameters([([[2.0, 1.0]], [0.5])])
        >>> trace = net.trace([1.0, 3.0], [4.0])
        >>> trace.C, trace.delta[1].tolist(), trace.dW[1].tolist()
        (1.125, [[1.5]], [[1.5, 4.5]])
        """
        from .explain import of_network

        return of_network(self, x, t, optimizer)

    def diagnose(self, X: Any, t: Any = None) -> "Diagnosis":
        """How z, a and with targets t delta and the gradient spread, layer by layer, over the rows of X, and what is
        wrong: dead and saturated units, gradients that vanish or explode. `print` it, or `plot` it.

        Raises ValueError or TypeError for data that do not fit.

        >>> net = Network([4, 8, 3], seed=0)
        >>> net.set_parameters([(0 * W, b - 1) for W, b in net.parameters()])
        >>> for finding in net.diagnose(np.eye(4).repeat(10, axis=0)).findings:
        ...     print(finding)
        layer 1: 8 of 8 units are dead: relu lets no gradient through for any of 40 samples
        """
        from .diagnosis import diagnose

        return diagnose(self, X, t)

    def summary(self, batch_size: int = 32, optimizer: "Optimizer | None" = None) -> "Summary":
        """A table of the layers and parameters, the FLOPs of a training step, and the memory that training takes.

        batch_size: samples in a mini-batch. optimizer: None for all, by how much they keep. Raises ValueError or
        TypeError for others than these.

        >>> print(Network([4, 8, 3]).summary(batch_size=16))  # doctest: +ELLIPSIS
        Network(4-8-3, relu, softmax, cross_entropy, float32)
        layer  units  activation  weights  biases  parameters
            0      4  input
            1      8  relu             32       8          40
            2      3  softmax          24       3          27
        67 parameters
        4.352 kFLOP a training step with 16 samples
        memory in training: ... KiB with SGD, ... KiB with momentum, ... KiB with Adam
        """
        from .summary import summarize

        return summarize(self, batch_size, optimizer)

    def plot(self, path: str | PathLike[str] | None = None, images: bool = False) -> "Figure":
        """The weights and biases of every layer as heat maps on one scale, as a matplotlib figure (extra `plot`).

        Saved to path if given. images: draws the weights into each unit of layer 1 as an image, for inputs that are
        the pixels of a square; ValueError if there is no such square. ImportError without matplotlib.
        """
        from .plots import plot_weights

        return plot_weights(self, path, images)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.summary()._repr_html_()

    # -------------------------------------------------------------------------------------------- training

    def fit(self, X: Any, t: Any = None, epochs: int = 10, **options: Any) -> "History":
        """Trains the network with a new `Trainer` and returns its history.

        options: those of `Trainer`, such as optimizer, batch_size, schedule or early_stopping, and those of
        `Trainer.fit`, such as validation, progress or callbacks: `help(bpjit.Trainer)` and `help(bpjit.Trainer.fit)`
        have them all, with their meaning and errors. The seed is the network's unless given. Optimiser state is not
        kept: use a Trainer to go on with it. Raises TypeError for an option that neither has.

        >>> net = Network([2, 8, 2], seed=0)
        >>> history = net.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=2, batch_size=4)
        >>> len(history["loss"])
        2
        """
        from .training import Trainer

        makes, trains = (_options(function) for function in (Trainer, Trainer.fit))
        for name in options:
            try:
                validation.choice(name, sorted({*makes, *trains}), "an option of fit")
            except ValueError as error:
                raise TypeError(str(error)) from None
        settings = {name: value for name, value in options.items() if name in makes}
        if settings.get("seed") is None:
            settings["seed"] = self.seed
        rest = {name: value for name, value in options.items() if name in trains}
        return Trainer(self, **settings).fit(X, t, epochs=epochs, **rest)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the network to a safetensors file, all or nothing; `bpjit.load` reads it."""
        from . import storage

        storage.save(self, path)

    # --------------------------------------------------------------------------------------------- the rest

    @property
    def _is_classifier(self) -> bool:
        return self._model.loss.classes is not None

    def _features(self, X: Any, name: str = "X", finite: bool = True) -> np.ndarray:
        return validation.features(X, dtype=self.dtype, columns=self.sizes[0], name=name, finite=finite)

    def _data(self, X: Any, t: Any = None, names: tuple[str, str] = ("X", "t")) -> Data:
        """X and t as the engine takes them, checked, and X as one array."""
        return self._with_targets(self._features(X, names[0]), len(X), t, names[1])

    def _source(
        self,
        X: Any,
        t: Any = None,
        sample_weight: Any = None,
        names: tuple[str, str, str] = ("X", "t", "sample_weight"),
        finite: bool = True,
    ) -> Dense:
        """X, t and weights, checked; finite: whether for numbers that are not finite too. X may be sparse, or an array
        in a file, which is then made ready by blocks of rows."""
        dtype, columns, name = self.dtype, self.sizes[0], names[0]
        if hasattr(X, "tocsr"):
            X = validation.sparse(X, dtype=dtype, columns=columns, name=name)
        elif validation.is_mapped(X):
            X = validation.mapped(X, dtype=dtype, columns=columns, name=name, finite=finite)
        else:
            X = self._features(X, name, finite)
        rows = X.shape[0]
        ready = isinstance(X, np.ndarray) and validation.is_ready(X, dtype)
        data = self._with_targets(X if ready else np.zeros((0, columns), dtype), rows, t, names[1])
        data = data._replace(weights=weights.some(weights.of_samples(sample_weight, rows, names[2]), names[2]))
        return Dense(data) if ready else Blocks(X, data) if isinstance(X, np.ndarray) else Sparse(X, data)

    def _with_targets(self, X: np.ndarray, samples: int, t: Any, name: str) -> Data:
        labels, targets = np.zeros(0, np.intp), np.zeros((0, self.sizes[-1]), self.dtype)
        if t is not None:
            kind, outputs = self._model.loss.targets, self.sizes[-1]
            t = validation.targets(t, kind=kind, outputs=outputs, samples=samples, dtype=self.dtype, name=name)
            if t.ndim == 1:
                labels = t.astype(np.intp, copy=False)
            else:
                targets = t
        return Data(X, labels, targets, np.arange(samples), np.zeros((0, 0), self.dtype))

    def _plan(self, batch_size: int, limit: int | None = None, training: bool = False) -> plan.Plan:
        return plan.choose(self.sizes, batch_size, self.dtype, limit, training)

    def _loss(self, data: Data | Dense, threads: int | None = None) -> float:
        source = sources.of(data)
        return self._mean_loss(self._model.losses, self._parts(source), source, threads)

    def _loss_and_answers(self, source: Dense, threads: int | None) -> tuple[float, np.ndarray]:
        y = np.empty((len(source), self.sizes[-1]), self.dtype)
        return self._mean_loss(self._model.answers, self._parts(source, y), source, threads), y

    def _mean_loss(
        self, ask: Callable[..., np.ndarray], parts: Iterator[Data], source: Dense, threads: int | None
    ) -> float:
        batch_size = min(len(source), PREDICT_BATCH)
        losses, counts = [], []
        for part in parts:
            losses.append(ask(part, batch_size, self._plan(batch_size, threads)))
            starts = np.arange(0, len(part.order), batch_size)
            weights = np.ones(len(part.order)) if part.weights is None else part.weights[part.order]
            counts.append(np.add.reduceat(weights, starts))
        # In one sum, which is the same however the samples are divided into parts.
        total = (np.concatenate(losses) * np.concatenate(counts)).sum()
        return float(total) / _weight(source.weights, len(source))

    def _parts(self, source: Dense, y: np.ndarray | None = None) -> Iterator[Data]:
        """The samples in parts, each for one compiled call: Ctrl-C waits for its end; y: where their outputs go."""
        flops = sum(2 * n * m for n, m in pairwise(self.sizes))
        rows = PREDICT_BATCH * max(1, CALL_FLOPS // (flops * PREDICT_BATCH))
        rows = min(rows, source.rows_at_once(PREDICT_BATCH))
        for start in range(0, len(source), rows):
            part = source.part(start, min(start + rows, len(source)))
            yield part if y is None else part._replace(y=y[start : start + rows])

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys((*self.activation_names, self.output)))
        return f"Network({'-'.join(map(str, self.sizes))}, {names}, {self.loss_name}, {self.dtype})"

    def __getstate__(self) -> dict[str, Any]:
        state = {"configuration": self.configuration(), "parameters": self.parameters()}
        return state | {"seed": self.seed, "history": self.history}

    def __setstate__(self, state: dict[str, Any]) -> None:
        require(state["configuration"])
        self.__init__(**state["configuration"], init="zeros", seed=state["seed"])  # type: ignore[misc]
        self.set_parameters(state["parameters"])
        self.history = state["history"]


def _options(function: Callable[..., Any]) -> list[str]:
    """What may be given by name, but for what `Network.fit` gives itself."""
    return [name for name in signature(function).parameters if name not in ("self", "net", "X", "t", "epochs")]


def _weight(weights: np.ndarray | None, samples: int) -> float:
    """What the samples count together."""
    return float(samples if weights is None else weights.sum())


def hidden_activations(activation: str | Sequence[str], hidden: int) -> tuple[Activation, ...]:
    """The entries of as many hidden layers. Raises ValueError for others than these, TypeError for no names."""
    known = {name: entry for name, entry in ACTIVATIONS.items() if not entry.output_only}
    if isinstance(activation, str):
        return (find(known, activation, "activation"),) * hidden
    if not isinstance(activation, list | tuple):
        raise TypeError(f"activation must be a name or a list of names, one a hidden layer, not {activation!r}")
    if len(activation) != hidden:
        raise ValueError(f"activation has {len(activation)} names for {hidden} hidden layers: give one a layer")
    return tuple(find(known, name, f"activation[{l}]") for l, name in enumerate(activation))
