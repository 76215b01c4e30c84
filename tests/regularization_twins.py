"""A twin of regularised training in NumPy and float64: one matrix product after the other, an option a line.

Squared error on an identity output; masks and noise are those of noise_twins, activations those of twins.
"""

from dataclasses import dataclass, field

import noise_twins
import numpy as np
from optimizer_twins import stepped
from twins import ACTIVATIONS


def of_layers(value, layers):
    """A number for all layers or {layer: number}, as {layer: number}."""
    return value if isinstance(value, dict) else dict.fromkeys(layers, value or 0.0)


@dataclass
class Twin:
    """Trains [(W, b), ...]; the options are those of bpjit.Trainer, layers counted from 1."""

    params: list
    activations: list  # of the hidden layers
    optimizer: object  # of bpjit: its name and settings
    seed: int = 1
    l1: object = 0.0
    l2: object = 0.0
    dropout: object = 0.0
    input_noise: float = 0.0
    max_norm: object = None
    clip_value: float = np.inf
    clip_norm: float = np.inf
    frozen: tuple = ()
    rates: dict = field(default_factory=dict)  # of the layers that have their own
    updates: int = 0

    def __post_init__(self):
        L = len(self.params)
        self.params = [(W.copy(), b.copy()) for W, b in self.params]
        self.l1, self.l2, self.max_norm = (
            of_layers(value, range(1, L + 1)) for value in (self.l1, self.l2, self.max_norm)
        )
        self.dropout = of_layers(self.dropout, range(1, L))
        self.memory = [({}, {}) for _ in self.params]
        self.norms, self.losses = [], []

    def masks(self, samples, epoch, step):
        """What each layer's a is multiplied by; the last one's, of the output, by 1."""
        units = [self.params[0][0].shape[1], *(len(W) for W, _ in self.params)]
        return [
            noise_twins.mask(noise_twins.key(self.seed, epoch, step, l), units[l], samples, self.dropout.get(l, 0.0))
            for l in range(len(units))
        ]

    def gradients(self, X, t, epoch, step, u=None):
        """C, and (dC/dW, dC/db) of each layer, without penalties; u: weights of the samples."""
        u = np.ones(len(X)) if u is None else u
        u = u / (u.sum() or 1.0)
        drop = self.masks(len(X), epoch, step)
        key = noise_twins.key(self.seed, epoch, step, 0)
        seen = [(X + self.input_noise * noise_twins.normal(key, X.shape[1], len(X))) * drop[0]]
        slopes = []
        for l, (W, b) in enumerate(self.params, start=1):
            sigma, sigma_prime = (np.vectorize(f, otypes=[float]) for f in ACTIVATIONS[self.name(l)])
            z = seen[-1] @ W.T + b
            slopes.append(drop[l] * sigma_prime(z))
            seen.append(drop[l] * sigma(z))
        C = u @ ((seen[-1] - t) ** 2).sum(axis=1) / 2
        delta, found = u[:, None] * (seen[-1] - t), []
        for l in range(len(self.params), 0, -1):
            found.insert(0, (delta.T @ seen[l - 1], delta.sum(axis=0)))
            if l > 1:
                delta = (delta @ self.params[l - 1][0]) * slopes[l - 2]
        return C, found

    def name(self, l):
        return [*self.activations, "identity"][l - 1]

    def step(self, X, t, epoch, step, u=None, factor=1.0):
        """One update: penalties, clipping by value, by norm, the optimiser, the limit of the norms."""
        C, gradients = self.gradients(X, t, epoch, step, u)
        trained = [l for l in range(1, len(self.params) + 1) if l not in self.frozen]
        for l in trained:
            W, (dW, db) = self.params[l - 1][0], gradients[l - 1]
            l1, l2 = self.l1.get(l, 0.0), self.l2.get(l, 0.0)
            C += l1 * np.abs(W).sum() + l2 / 2 * (W**2).sum()
            dW = dW + l1 * np.sign(W) + l2 * W
            gradients[l - 1] = tuple(np.clip(g, -self.clip_value, self.clip_value) for g in (dW, db))
        norm = np.sqrt(sum((g**2).sum() for l in trained for g in gradients[l - 1]))
        self.norms.append(norm)
        self.updates += 1
        name, settings = type(self.optimizer).__name__, vars(self.optimizer)
        for l in trained:
            rate = factor * self.rates.get(l, settings["learning_rate"])
            W, b = (
                stepped(
                    name,
                    settings | {"learning_rate": rate},
                    memory,
                    theta,
                    g * min(1, self.clip_norm / norm),
                    self.updates,
                )
                for memory, theta, g in zip(self.memory[l - 1], self.params[l - 1], gradients[l - 1], strict=True)
            )
            c = self.max_norm.get(l, 0.0)
            if c:
                W = W * np.minimum(1, c / np.linalg.norm(W, axis=1))[:, None]
            self.params[l - 1] = W, b
        self.losses.append(C)
        return C

    def fit(self, X, t, epochs, batch_size, orders=None, u=None, factors=None):
        """The loss of each epoch: the mean over its samples, weighted if they are."""
        history = []
        for epoch in range(epochs):
            order = np.arange(len(X)) if orders is None else orders[epoch]
            total = weight = 0.0
            for step, first in enumerate(range(0, len(X), batch_size)):
                rows = order[first : first + batch_size]
                of_rows = None if u is None else u[rows]
                counts = len(rows) if u is None else of_rows.sum()
                factor = 1.0 if factors is None else factors[self.updates]
                total += counts * self.step(X[rows], t[rows], epoch, step, of_rows, factor)
                weight += counts
            history.append(total / weight)
        return history
