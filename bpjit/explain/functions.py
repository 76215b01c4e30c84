"""The functions of a network in float64, number by number, as derivation.py takes them; their names and formulas."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..engine import custom, elementwise
from ..engine.activations import Activation
from ..engine.losses import Loss
from .expression import Node, Number, Symbol, mapped
from .formulas import folded, formula, formula_of_outputs
from .text import text

FLOAT64 = np.dtype(np.float64)


@dataclass(frozen=True)
class Shown:
    """How a function is written: its name, as "relu", its formula, "" where there is none to show, its setting, and the
    formula's expression."""

    name: str
    formula: str = ""
    setting: str = ""
    expression: Node | None = None

    def __str__(self) -> str:
        setting = f"({self.setting})" if self.setting else ""
        return f"{self.name}{setting}: {self.formula}" if self.formula else self.name + setting


class Functions:
    """sigma, sigma_prime, cost_of_sample and dC_dy of the entries of the tables that a network uses.

    Their values are those of the engine's kernels in float64.
    """

    def __init__(self, entries: list[Activation], loss: Loss) -> None:
        self.entries, self.loss = entries, loss
        self.softmax = entries[-1].name == "softmax"
        self.sigma: list[Callable[[float], float]] = [_none, *map(_sigma, entries)]
        self.sigma_prime: list[Callable[[float], float]] = [_none, *map(_sigma_prime, entries)]
        self.cost_of_sample, self.dC_dy = _cost(loss), _slope(loss)
        self._shown: dict[tuple[str, int], Shown] = {}

    def shown(self, name: str, l: int = 0) -> Shown:
        """Of "sigma" or "sigma_prime" of layer l, "cost_of_sample" or "dC_dy"."""
        if (name, l) not in self._shown:
            self._shown[name, l] = self._made(name, l)
        return self._shown[name, l]

    def _made(self, name: str, l: int) -> Shown:
        entry: Activation | Loss = self.entries[l - 1] if name in ("sigma", "sigma_prime") else self.loss
        is_slope = name in ("sigma_prime", "dC_dy")
        label = f"{entry.name}{'′' if is_slope else ''}"
        is_default = entry.setting is None or entry.value == entry.setting.default
        setting = "" if is_default or entry.setting is None else f"{entry.setting.name}={entry.value:g}"
        found = formula(entry.functions[is_slope]) if entry.functions else None
        if found is None and entry is self.loss:
            kernel = self.loss.cost_prime if is_slope else self.loss.cost
            names = kernel.function.__code__.co_varnames[: kernel.function.__code__.co_argcount]
            of_outputs = formula_of_outputs(kernel.function, {names[-1]: entry.value})
            return Shown(label, "" if of_outputs is None else text(of_outputs), setting, of_outputs)
        if found is None:
            return Shown(label, setting=setting)
        parameters, node = found
        own = [each for each in parameters if each not in ("z", "a", "y", "t")]

        def set_in(part):
            if isinstance(part, Symbol) and part.name in own and entry.setting is not None:
                return Number(entry.value)
            return mapped(part, set_in)

        node = folded(set_in(node))
        itself = f"{label}(z)"
        if text(node) == itself and (found := formula(getattr(elementwise, label))):  # such as sigmoid
            node = folded(found[1])
        formula_text = text(node)
        if formula_text == itself:  # such as tanh
            return Shown(label, setting=setting)
        if entry is self.loss:
            return Shown(label, f"of each output, {formula_text}", setting, node)
        return Shown(label, formula_text, setting, node)


def _none(z: float) -> float:
    raise ValueError("layer 0 has no activation")


def _sigma(entry: Activation) -> Callable[[float], float]:
    if entry.output_only:
        return _none
    kept: dict[float, float] = {}

    def sigma(z: float) -> float:
        z = float(z)
        if z not in kept:
            kept[z] = float(custom.values(entry.sigma, np.array([z], FLOAT64), entry.value)[0])
        return kept[z]

    return sigma


def _sigma_prime(entry: Activation) -> Callable[[float], float]:
    if entry.output_only:
        return _none
    kept: dict[float, float] = {}

    def sigma_prime(z: float) -> float:
        z = float(z)
        if z not in kept:
            z_s = np.array([z], FLOAT64)
            a_s = custom.values(entry.sigma, z_s, entry.value)
            kept[z] = float(custom.slopes(entry.sigma_prime, z_s[:, None], a_s[:, None], entry.value)[0, 0])
        return kept[z]

    return sigma_prime


def _cost(loss: Loss) -> Callable[[np.ndarray, np.ndarray], float]:
    def cost_of_sample(y: np.ndarray, t: np.ndarray) -> float:
        return float(custom.costs(loss.cost, _row(y), _row(t), loss.value)[0])

    return cost_of_sample


def _slope(loss: Loss) -> Callable[[np.ndarray, np.ndarray, int], float]:
    kept: dict[tuple[bytes, bytes], np.ndarray] = {}

    def dC_dy(y: np.ndarray, t: np.ndarray, i: int) -> float:
        key = _row(y).tobytes(), _row(t).tobytes()
        if key not in kept:
            kept[key] = custom.slopes(loss.cost_prime, _row(y), _row(t), loss.value)[0]
        return float(kept[key][int(i)])

    return dC_dy


def _row(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector, FLOAT64).reshape(1, -1)
