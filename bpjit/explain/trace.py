"""Trace: back-propagation on a network's own numbers, each with the statement of derivation.py that computes it."""

from os import PathLike
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import validation
from ..engine.losses import PAIRS
from ..network import Network, Parameters
from .equations import Explained, explained, explained_entry
from .expression import evaluate
from .functions import Functions
from .specification import Specification
from .statements import Equation
from .steps import step_term
from .term import Term
from .update import Update

if TYPE_CHECKING:
    from ..gradient_check import GradientReport

Layers = list[np.ndarray]

OF_UNIT = ("z", "a", "delta", "db", "b", "dz_db")
OF_WEIGHT = ("dW", "W", "dz_dw", "dC_dw")
OF_SAMPLE = ("z", "a", "delta", "dz_dw", "dC_dw", "dz_db")
STEPS = ("W", "b")
NAMES = ("z", "a", "C", "delta", "dz_dw", "dz_db", "dC_dw", "dW", "db", "W", "b")
"""What a term may be: see `Trace.term`."""
SATURATED = (
    "an output is rounded to 0 or 1, where the quotients of E6 have lost their digits: the engine, which computes C "
    "and delta of the last layer from z for this output and loss, has other numbers here"
)
MOST_WORK = 2 * 10**8
"""Products of a trace, which plain Python takes a minute or so for."""


class Trace:
    """All numbers of one step on a mini-batch, in float64: `Network.trace` and `Trainer.trace` make it.

    Lists are indexed by the layer's own number; S is the number of samples. x (S, n_0), t (S, n_L): the mini-batch.
    z[l], a[l], delta[l] (S, n_l): E1, E2, E6, E7; slot 0 of z and delta is empty, a[0] is x. C: E3. W[l], b[l], dW[l],
    db[l]: parameters and their gradient, E8, E9. updated_W[l], updated_b[l]: parameters after the step, E10, or None
    without one. update: the step's optimiser, number, factor on the learning rate and moments. notes: what is not in
    the trace.

    These numbers are what the functions of derivation.py give; delta has the factor 1/S, as E6 has it.

    >>> import bpjit
    >>> net = bpjit.Network([2, 1], loss="squared_error")
    >>> net.set_parameters([([[2.0, 1.0]], [0.5])])
    >>> trace = net.trace([1.0, 3.0], [4.0])
    >>> print(trace.term("z", l=1, i=0))
    E1  zᵢˡ = Σⱼ wᵢⱼˡ aⱼˡ⁻¹ + bᵢˡ                                   derivation.py:67
        z₀¹ = Σⱼ w₀ⱼ¹ aⱼ⁰ + b₀¹
            = 2 × 1 + 1 × 3 + 0.5
            = 5.5
    >>> trace.term("dW", l=1, i=0, j=1).value
    4.5
    """

    def __init__(
        self,
        net: Network,
        x: Any,
        t: Any,
        update: Update | None = None,
        notes: tuple[str, ...] = (),
        path: str | PathLike[str] | None = None,
    ) -> None:
        """path: of a copy of derivation.py."""
        self.specification = Specification.of(path)
        self.net, self.update, self.notes = _snapshot(net), update, notes
        self.sizes, self.L = net.sizes, len(net.sizes) - 1
        self.x, self.t = _samples(net, x, t)
        self.S = len(self.x)
        pairs = zip(self.sizes, (*self.sizes[1:], self.sizes[-1] if net.output == "softmax" else 0))  # E6 of softmax
        work = self.S * sum(below * above for below, above in pairs)
        if work > MOST_WORK:
            raise ValueError(
                f"a trace of {self.S} sample{'s' * (self.S > 1)} of this network would take {work:.1g} products in "
                f"plain Python: {'give fewer samples' if self.S > 1 else 'take a smaller network'}"
            )
        self.functions = Functions(net._model.activations, net._model.loss)
        self._run()
        if self._is_saturated():
            self.notes += (SATURATED,)

    def _run(self) -> None:
        """The functions of derivation.py, one after the other."""
        run: SimpleNamespace = self.specification.run
        of, softmax = self.functions, self.functions.softmax
        pairs = self.net.parameters()
        self.W = [np.empty((0, 0)), *(W for W, _ in pairs)]
        self.b = [np.empty(0), *(np.zeros(len(W)) if b is None else b for W, b in pairs)]
        self.z, self.a = map(list, run.forward(self.x, self.W, self.b, of.sigma, softmax))
        self.C = float(run.cost(self.a[-1], self.t, of.cost_of_sample))
        self.delta = list(run.output_delta(self.z, self.a, self.t, of.sigma_prime, of.dC_dy, softmax))
        run.backward(self.delta, self.z, self.W, of.sigma_prime)
        self.dW, self.db = map(list, run.gradient(self.a, self.delta))
        self.updated_W: Layers | None = None
        self.updated_b: Layers | None = None
        self.updated_moments: dict[tuple[int, bool], list[np.ndarray]] = {}
        self.coefficients: dict[tuple[int, bool], np.ndarray] = {}
        if self.update is not None:
            self._step(run, self.update)

    def _is_saturated(self) -> bool:
        """Whether the quotients of E6 have lost their digits, where the engine computes C and delta^L from z."""
        if (self.net.output, self.functions.loss.name) not in PAIRS:
            return False
        y = self.a[-1]
        return bool(((y == 0) & (self.t != 0) | (y == 1) & (self.t != 1) & (not self.functions.softmax)).any())

    def _step(self, run: SimpleNamespace, update: Update) -> None:
        """E10 where it is that, and else what the optimiser does; biases that the network has not stay 0."""
        after = [W.copy() for W in self.W], [b.copy() for b in self.b]
        empty: Layers = [np.empty((0, 0)), np.empty(0)]
        for l in range(1, self.L + 1):
            for bias, (theta, g) in enumerate(((self.W[l], self.dW[l]), (self.b[l], self.db[l]))):
                if bias and not self.net.bias:
                    continue
                if update.is_descent(l, bool(bias)):
                    W, b = (empty[0], after[0][l]), (empty[1], after[1][l])
                    dW, db = (empty[0], g if not bias else 0 * W[1]), (empty[1], g if bias else 0 * b[1])
                    run.descend(W, b, dW, db, update.rate(l, bool(bias)))
                    continue
                applied = update.apply(theta, g, l, bool(bias))
                after[bias][l] = applied.theta
                self.updated_moments[l, bool(bias)] = applied.moments
                self.coefficients[l, bool(bias)] = applied.coefficients
        self.updated_W, self.updated_b = after

    # ---------------------------------------------------------------------------------------------- terms

    def term(
        self, name: str, l: int | None = None, i: int | None = None, j: int | None = None, s: int | None = None
    ) -> Term:
        """One number with its equation, the numbers in it and its source; `print` it.

        name: "z", "a" (layer 0 is the input), "delta"; "C"; "dW", "db", the gradient; "W", "b", a parameter after the
        step; and the factors of a weight's gradient for one sample: "dz_dw" and "dz_db", what the forward pass left,
        and "dC_dw". l: the layer; i: a unit of it; j: of the layer below, for weights; s: the sample, for what each
        sample has; it may be left out where there is one.

        Raises ValueError for one that does not exist, with the range; TypeError for other than integers.
        """
        name = validation.choice(name, NAMES, "name")
        index = self._index(name, l, i, j, s)
        if name in ("b", "db", "dz_db") and not self.net.bias:
            raise ValueError(f"name is {name!r}, but the network has no biases (bias=False)")
        if name in STEPS:
            if self.update is None:
                raise ValueError(f"name is {name!r}, but this trace has no step: give net.trace an optimizer")
            return step_term(self, name, index)
        return self._term(name, index)

    def _term(self, name: str, index: dict[str, int]) -> Term:
        if name == "a" and index["l"] == 0:
            return self._input(index)
        scope = self.scope | index
        equation = self.specification.equation(name, {**scope, "l": index.get("l", self.L)})
        if name in LOCALS:
            scope |= self._set_before(equation, scope)
        found = explained(equation, scope, self.functions, self._constants(index))
        return self.finished(name, index, found, self.value(name, index))

    def finished(self, name: str, index: dict[str, int], found: Explained, value: float) -> Term:
        """A term of what an equation of derivation.py says."""
        line = found.line
        return Term(
            name, found.equation, found.here, found.substituted, value, self.specification.citation(line),
            self.specification.code(line), found.marks, found.parts, found.where, found.notes, found.mathml,
            found.substituted_mathml, index,
        )  # fmt: skip

    def _input(self, index: dict[str, int]) -> Term:
        line, target, expression = self.specification.input_statement
        return self.finished(
            "a", index, explained_entry(line, target, expression, self.scope | index), self.value("a", index)
        )

    def value(self, name: str, index: dict[str, int]) -> float:
        """What derivation.py computed."""
        l, i, j, s = (index.get(letter, 0) for letter in "lijs")
        match name:
            case "C":
                return self.C
            case "z" | "a" | "delta":
                return float(getattr(self, name)[l][s, i])
            case "dW":
                return float(self.dW[l][i, j])
            case "db":
                return float(self.db[l][i])
            case "W" | "b":
                assert self.updated_W is not None and self.updated_b is not None
                return float(self.updated_W[l][i, j] if name == "W" else self.updated_b[l][i])
        return float(self._local(name, index))

    def _local(self, name: str, index: dict[str, int]) -> float:
        """A name that a statement sets in passing: for one sample and one weight, the statement itself."""
        scope: dict[str, Any] = self.scope | index
        equation = self.specification.equation(name, scope)
        return float(evaluate(equation.expression, scope | self._set_before(equation, scope)))

    def _set_before(self, equation: Equation, scope: dict[str, Any]) -> dict[str, Any]:
        """The names that the statements before it have set for one sample and one weight."""
        return {
            other.name: _Always(float(evaluate(other.expression, scope)))
            for other in self.specification.equations
            if other.function == equation.function and other.line < equation.line and other.name in LOCALS
            and (other.name == "dz_db" or "j" in scope)
        }  # fmt: skip

    def _index(self, name: str, l: Any, i: Any, j: Any, s: Any) -> dict[str, int]:
        """The indices of a term, checked."""
        index: dict[str, int] = {}
        if name != "C":
            lowest = 0 if name == "a" else 1
            index["l"] = self._checked(l, "l", lowest, self.L, f"{name!r} has layers")
            index["i"] = self._checked(i, "i", 0, self.sizes[index["l"]] - 1, f"layer {index['l']} has units")
        if name in OF_WEIGHT:
            below = index["l"] - 1
            index["j"] = self._checked(j, "j", 0, self.sizes[below] - 1, f"layer {below} has units")
        if name in OF_SAMPLE:
            s = 0 if s is None and self.S == 1 else s
            index["s"] = self._checked(s, "s", 0, self.S - 1, "the trace has samples")
        for letter, given in (("l", l), ("i", i), ("j", j), ("s", s)):
            if given is not None and letter not in index and not (letter == "s" and given == 0 and self.S == 1):
                needed = ", ".join(index) or "no index"
                raise ValueError(f"{letter} is {given}, but {name!r} takes {needed}: leave {letter} out")
        return index

    def _checked(self, value: Any, letter: str, low: int, high: int, what: str) -> int:
        range_text = f"{what} {low} … {high}" if high > low else f"{what} {low} alone"
        if value is None:
            raise ValueError(f"{letter} is missing: {range_text}")
        value = validation.integer(value, letter)
        if not low <= value <= high:
            raise ValueError(f"{letter} is {value}, but {range_text}")
        return value

    # ---------------------------------------------------------------------------------------------- the rest

    @property
    def scope(self) -> dict[str, Any]:
        """What the names of derivation.py stand for."""
        of = self.functions
        return {
            "x": self.x, "t": self.t, "z": self.z, "a": self.a, "y": self.a[-1], "delta": self.delta, "W": self.W,
            "b": self.b, "dW": self.dW, "db": self.db, "C": self.C, "S": self.S, "L": self.L, "n": self.sizes,
            "sigma": of.sigma, "sigma_prime": of.sigma_prime, "cost_of_sample": of.cost_of_sample, "dC_dy": of.dC_dy,
            "softmax": of.softmax, "exp": np.exp, "max": max,
        }  # fmt: skip

    def _constants(self, index: dict[str, int]) -> dict[str, int]:
        """Indices that are put in."""
        return {"L": self.L, **index}

    def gradients(self) -> Parameters:
        """[(dC/dW^1, dC/db^1), ...] as `Network.gradients` gives them, in float64."""
        return [(self.dW[l], self.db[l] if self.net.bias else None) for l in range(1, self.L + 1)]

    def check(self, per_layer: int = 100, seed: int | None = 0) -> "GradientReport":
        """Central differences of C beside each gradient: `bpjit.check_gradients` of these samples in float64, with this
        trace's gradients; per_layer and seed as there.

        >>> import bpjit
        >>> trace = bpjit.Network([4, 5, 3], activation="tanh", seed=0).trace([0.5, 1.0, -1.0, 2.0], 2)
        >>> print(trace.check().verdict)
        passed: 43 of 43 parameters agree
        """
        from .. import gradient_check

        return gradient_check.compared(self.net, self.x, self.t, self.gradients(), per_layer, seed)

    def walk(self, l: int | None = None, i: int | None = None, j: int | None = None, s: int | None = None) -> str:
        """The whole derivation with these numbers, for one weight, as text of 80 columns; see `walk.written`."""
        from .walk import written

        return written(self, l, i, j, s)

    def html(self, path: str | PathLike[str]) -> None:
        """Writes the trace as one page of HTML that opens offline, by itself: the network as a graph, and each
        equation with its numbers, where they come from and where they go, beside the line of source that computes it.

        A file of that name is replaced when the new one is complete, or kept. Raises OSError where it cannot be
        written, ValueError for a network of more than 5 million weights, which would be too much for a browser.

        >>> import bpjit, pathlib, tempfile
        >>> trace = bpjit.Network([4, 5, 3], seed=0).trace([0.5, 1.0, -1.0, 2.0], 2)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trace.html(f"{folder}/trace.html")
        ...     pathlib.Path(folder, "trace.html").read_text(encoding="utf-8")[:15]
        '<!DOCTYPE html>'
        """
        from . import page

        page.write(path, self)

    def _repr_html_(self) -> str:
        """What notebooks show: the page, in a frame."""
        from . import page

        return page.frame(self)

    def __str__(self) -> str:
        return self.walk()

    def __repr__(self) -> str:
        of = "1 sample" if self.S == 1 else f"{self.S} samples"
        return f"Trace({of}, {self.net!r})"


LOCALS = ("dz_dw", "dz_db", "dC_dw")


class _Always:
    """A number that any index leads to: a name that is set anew for each."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __getitem__(self, index: Any) -> Any:
        return self if not isinstance(index, tuple) else self.value


def _snapshot(net: Network) -> Network:
    """The network as it is now, in float64, with the very same entries of the tables."""
    copy = Network(**net.configuration() | {"dtype": "float64"}, init="zeros")
    copy._model.activations, copy._model.loss = net._model.activations, net._model.loss
    copy._model.write([(W, b) for W, b in net.parameters()])
    return copy


def _samples(net: Network, x: Any, t: Any) -> tuple[np.ndarray, np.ndarray]:
    """x (S, n_0) and t (S, n_L) in float64, of one sample or of several."""
    if np.ndim(x) == 1:
        x, t = np.asarray(x)[None, :], np.asarray(t)[None]
    if t is None:
        raise TypeError("t is None: a trace needs the target of each sample")
    data = net._data(x, t, names=("x", "t"))
    targets = data.targets if len(data.targets) else np.eye(net.sizes[-1])[data.labels]
    return np.array(data.X, np.float64, order="C"), np.array(targets, np.float64, order="C")


__all__ = ["NAMES", "Trace"]
