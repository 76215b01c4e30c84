"""The step that follows the gradient: E10 as derivation.py has it, or what another optimiser does in its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..engine import custom
from ..engine.optimizer import COEFFICIENTS, Optimizer
from ..engine.optimizers import SGD
from ..engine.tile import PANEL_MAX

Layers = list[np.ndarray]
"""By the layer's own number; slot 0 is empty."""


@dataclass
class Update:
    """One step of an optimiser: its number, from 1, the factor on its learning rate, what steps single layers in its
    place (None for nothing), its moments before: [(mW, mb) by layer] for each; and the penalties (l1, l2) of the
    weights of single layers, whose slopes are added to the gradient.
    """

    optimizer: Optimizer
    step: int = 1
    factor: float = 1.0
    layers: Mapping[int, Optimizer | None] = field(default_factory=dict)
    moments: list[tuple[Layers, Layers]] = field(default_factory=list)
    penalties: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    def of(self, l: int, bias: bool) -> Optimizer | None:
        """What steps the weights or biases of a layer."""
        optimizer = self.layers.get(l, self.optimizer)
        return optimizer.for_biases() if bias and optimizer is not None else optimizer

    def rate(self, l: int, bias: bool) -> float:
        """The learning rate, with the schedule's factor."""
        return getattr(self.of(l, bias), "learning_rate", 0.0) * self.factor

    def is_descent(self, l: int, bias: bool) -> bool:
        """Whether the step is E10 itself."""
        optimizer = self.of(l, bias)
        if any(self.penalty(l, bias)):
            return False
        return type(optimizer) is SGD and optimizer.momentum == 0.0 and optimizer.weight_decay == 0.0

    def moments_of(self, l: int, bias: bool) -> list[np.ndarray]:
        """The moments before the step, each shaped as what they belong to."""
        return [pair[bias][l] for pair in self.moments]

    def penalty(self, l: int, bias: bool) -> tuple[float, float]:
        """(l1, l2) of the weights or biases of a layer."""
        return (0.0, 0.0) if bias else self.penalties.get(l, (0.0, 0.0))

    def apply(self, theta: np.ndarray, g: np.ndarray, l: int, bias: bool) -> "Applied":
        """The kernels of the engine, in float64, on an array of parameters and their gradient."""
        optimizer, moments = self.of(l, bias), self.moments_of(l, bias)
        if optimizer is None:
            return Applied(theta.copy(), moments, np.zeros(COEFFICIENTS))
        settings = optimizer.settings()
        if optimizer.rate_setting >= 0:
            settings[optimizer.rate_setting] *= self.factor
        l1, l2 = self.penalty(l, bias)
        w, gradient = _in_blocks(theta), _in_blocks(g + l1 * np.sign(theta) + l2 * theta)
        kept = np.zeros((len(moments), w.size))
        for row, moment in zip(kept, moments):
            row[: moment.size] = moment.ravel()
        coefficients = custom.step(optimizer.begin, optimizer.update, settings, self.step, (w, gradient, kept))
        after = [row[: theta.size].reshape(theta.shape) for row in kept]
        return Applied(w.reshape(-1)[: theta.size].reshape(theta.shape), after, coefficients)


@dataclass(frozen=True)
class Applied:
    """theta and the moments after a step, and the coefficients that its rule was given."""

    theta: np.ndarray
    moments: list[np.ndarray]
    coefficients: np.ndarray


def _in_blocks(numbers: np.ndarray) -> np.ndarray:
    blocks = max(1, -(-numbers.size // PANEL_MAX))
    padded = np.zeros(blocks * PANEL_MAX)
    padded[: numbers.size] = numbers.ravel()
    return padded.reshape(blocks, 1, PANEL_MAX)
