"""The table of initialisers: how weights are drawn before training. Biases begin at zero."""

import math
from collections.abc import Callable

import numpy as np

Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def _normal(variance: Callable[[int, int], float]) -> Draw:
    return lambda rng, inputs, units: rng.normal(0.0, math.sqrt(variance(inputs, units)), (units, inputs))


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, inputs: int, units: int) -> np.ndarray:
        limit = math.sqrt(3.0 * variance(inputs, units))
        return rng.uniform(-limit, limit, (units, inputs))

    return draw


def _glorot(inputs: int, units: int) -> float:
    return 2.0 / (inputs + units)


def _he(inputs: int, units: int) -> float:
    return 2.0 / inputs


INITIALIZERS: dict[str, Draw] = {
    "glorot_normal": _normal(_glorot),
    "glorot_uniform": _uniform(_glorot),
    "he_normal": _normal(_he),
    "he_uniform": _uniform(_he),
    "zeros": lambda rng, inputs, units: np.zeros((units, inputs)),
}
"""Name -> draw(rng, n_(l-1), n_l), which gives W of shape (n_l, n_(l-1)) in float64. Variance of a weight:
Glorot and Bengio (2010) 2 / (n_(l-1) + n_l), He et al. (2015) 2 / n_(l-1). "auto" is the one that an activation's entry
in the table of activations names."""
