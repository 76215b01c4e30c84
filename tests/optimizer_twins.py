"""Twins of the optimisers, written a second time in NumPy from their papers (and PyTorch's documentation, where it
differs), and the settings that tests try.

A twin is a function (memory, theta, g, n, **settings) that returns the new theta; memory is a dict of its own for each
array, empty before step n = 1.
"""

from collections.abc import Iterator
from itertools import combinations, product
from typing import Any

import numpy as np


def sgd(memory, theta, g, n, learning_rate, momentum, nesterov, dampening, weight_decay):
    g = g + weight_decay * theta
    if momentum:
        v = memory["v"] = g if n == 1 else momentum * memory["v"] + (1 - dampening) * g
        g = g + momentum * v if nesterov else v
    return theta - learning_rate * g


def rmsprop(memory, theta, g, n, learning_rate, alpha, eps, weight_decay, momentum, centered):
    g = g + weight_decay * theta
    v = memory["v"] = alpha * memory.get("v", 0) + (1 - alpha) * g**2
    mean = memory["mean"] = alpha * memory.get("mean", 0) + (1 - alpha) * g
    step = g / (np.sqrt(v - mean**2 if centered else v) + eps)
    step = memory["step"] = momentum * memory.get("step", 0) + step
    return theta - learning_rate * step


def adagrad(memory, theta, g, n, learning_rate, lr_decay, weight_decay, initial_accumulator_value, eps):
    g = g + weight_decay * theta
    total = memory["total"] = memory.get("total", initial_accumulator_value) + g**2
    return theta - learning_rate / (1 + (n - 1) * lr_decay) * g / (np.sqrt(total) + eps)


def adadelta(memory, theta, g, n, learning_rate, rho, eps, weight_decay):
    g = g + weight_decay * theta
    squares = memory["squares"] = rho * memory.get("squares", 0) + (1 - rho) * g**2
    step = np.sqrt(memory.get("steps", 0) + eps) / np.sqrt(squares + eps) * g
    memory["steps"] = rho * memory.get("steps", 0) + (1 - rho) * step**2
    return theta - learning_rate * step


def means(memory, g, n, betas, amsgrad=False):
    """m, m^ and v^ of Adam."""
    m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
    v = memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g**2
    if amsgrad:
        v = memory["largest"] = np.maximum(memory.get("largest", 0), v)
    return m, m / (1 - betas[0] ** n), v / (1 - betas[1] ** n)


def adam(memory, theta, g, n, learning_rate, betas, eps, weight_decay, amsgrad):
    _, m, v = means(memory, g + weight_decay * theta, n, betas, amsgrad)
    return theta - learning_rate * m / (np.sqrt(v) + eps)


def adamw(memory, theta, g, n, learning_rate, betas, eps, weight_decay, amsgrad):
    _, m, v = means(memory, g, n, betas, amsgrad)
    return theta - learning_rate * (m / (np.sqrt(v) + eps) + weight_decay * theta)


def nadam(
    memory, theta, g, n, learning_rate, betas, eps, weight_decay, momentum_decay, decoupled_weight_decay
):  # fmt: skip
    coupled, decoupled = (0, weight_decay) if decoupled_weight_decay else (weight_decay, 0)
    g = g + coupled * theta
    mu = [betas[0] * (1 - 0.5 * 0.96 ** (t * momentum_decay)) for t in range(1, n + 2)]
    m, _, v = means(memory, g, n, betas)
    step = mu[-1] * m / (1 - np.prod(mu)) + (1 - mu[-2]) * g / (1 - np.prod(mu[:-1]))
    return theta - learning_rate * (step / (np.sqrt(v) + eps) + decoupled * theta)


def adamax(memory, theta, g, n, learning_rate, betas, eps, weight_decay):
    g = g + weight_decay * theta
    _, m, _ = means(memory, g, n, betas)
    u = memory["u"] = np.maximum(betas[1] * memory.get("u", 0), np.abs(g) + eps)
    return theta - learning_rate * m / u


def lion(memory, theta, g, n, learning_rate, betas, weight_decay):
    m = memory.get("m", 0)
    step = np.sign(betas[0] * m + (1 - betas[0]) * g)
    memory["m"] = betas[1] * m + (1 - betas[1]) * g
    return theta - learning_rate * (step + weight_decay * theta)


def rprop(memory, theta, g, n, learning_rate, etas, step_sizes):
    """The table of Igel and Huesken for iRprop-."""
    size, before = memory.get("size", np.full(g.shape, learning_rate)), memory.get("g", np.zeros(g.shape))
    factor = np.select([g * before > 0, g * before < 0], [etas[1], etas[0]], 1.0)
    g = np.where(g * before < 0, 0.0, g)
    memory["size"], memory["g"] = np.clip(size * factor, *step_sizes), g
    return theta - np.sign(g) * memory["size"]


TWINS = {
    "SGD": sgd, "RMSProp": rmsprop, "Adagrad": adagrad, "Adadelta": adadelta, "Adam": adam, "AdamW": adamw,
    "NAdam": nadam, "Adamax": adamax, "Lion": lion, "RProp": rprop,
}  # fmt: skip

DECAY = {"weight_decay": [0.0, 0.2], "decay_biases": [True, False]}
ADAM = {"learning_rate": [1e-3, 0.05], "betas": [(0.9, 0.999), (0.6, 0.8)], "eps": [1e-8, 1e-2]}
VALUES: dict[str, dict[str, list[Any]]] = {
    "SGD": {
        "learning_rate": [1e-3, 0.02], "momentum": [0.0, 0.9], "nesterov": [False, True], "dampening": [0.0, 0.4],
        **DECAY,
    },
    "RMSProp": {
        "learning_rate": [1e-2, 0.05], "alpha": [0.99, 0.7], "eps": [1e-8, 1e-2], "momentum": [0.0, 0.9],
        "centered": [False, True], **DECAY,
    },
    "Adagrad": {
        "learning_rate": [1e-2, 0.3], "lr_decay": [0.0, 0.5], "initial_accumulator_value": [0.0, 0.1],
        "eps": [1e-10, 1e-2], **DECAY,
    },
    "Adadelta": {"learning_rate": [1.0, 0.3], "rho": [0.9, 0.5], "eps": [1e-6, 1e-2], **DECAY},
    "Adam": {**ADAM, "amsgrad": [False, True], **DECAY},
    "AdamW": {**ADAM, "amsgrad": [False, True], **DECAY, "weight_decay": [1e-2, 0.5]},
    "NAdam": {
        **ADAM, "learning_rate": [2e-3, 0.1], "momentum_decay": [4e-3, 0.5], "decoupled_weight_decay": [False, True],
        **DECAY,
    },
    "Adamax": {**ADAM, **DECAY, "learning_rate": [2e-3, 0.1]},
    "Lion": {"learning_rate": [1e-4, 0.03], "betas": [(0.9, 0.99), (0.5, 0.7)], **DECAY},
    "RProp": {
        "learning_rate": [1e-2, 0.1], "etas": [(0.5, 1.2), (0.3, 2.0)], "step_sizes": [(1e-6, 50.0), (5e-3, 0.12)],
    },
}  # fmt: skip
"""Two values of every setting of each optimiser, the default first: such that training does not run away, which would
make much of a rounding."""


def possible(settings: dict[str, Any]) -> bool:
    """Whether the settings of SGD go together."""
    momentum, nesterov, dampening = (settings.get(name) for name in ("momentum", "nesterov", "dampening"))
    return not ((nesterov or dampening) and not momentum) and not (nesterov and dampening)


def in_pairs(name: str) -> Iterator[dict[str, Any]]:
    """Settings in which every two values that go together meet."""
    values, seen = VALUES[name], set()
    for row in product(*values.values()):
        pairs = {(a, row[a], b, row[b]) for a, b in combinations(range(len(row)), 2)}
        settings = dict(zip(values, row))
        if possible(settings) and not pairs <= seen:
            seen |= pairs
            yield settings


def stepped(name: str, settings: dict[str, Any], memory: dict, theta: np.ndarray, g: np.ndarray, n: int) -> np.ndarray:
    """theta after step n; it is a bias where it has one dimension."""
    settings = dict(settings)
    if not settings.pop("decay_biases", True) and theta.ndim == 1:
        settings["weight_decay"] = 0.0
    return TWINS[name](memory, theta, g, n, **settings)
