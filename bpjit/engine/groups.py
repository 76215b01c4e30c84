"""Groups of parameters: which settings of the optimiser step the weights, and which the biases, of each layer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .optimizer import Optimizer

FROZEN = -1


@dataclass(frozen=True)
class Groups:
    """Settings, a row a group, and the number of the row that each layer uses, 0 .. L; FROZEN where nothing does.

    rate: which of the settings is the learning rate, which a schedule changes.
    """

    settings: np.ndarray
    weights: np.ndarray
    biases: np.ndarray
    rate: int

    @staticmethod
    def of(optimizer: Optimizer, layers: Mapping[int, Optimizer | None], L: int) -> "Groups":
        """layers: what steps a layer in the optimiser's place, or None for nothing."""
        kinds: list[Optimizer] = []
        rows = np.zeros((2, L + 1), np.intp)
        for l in range(1, L + 1):
            own = layers.get(l, optimizer)
            for row, kind in zip(rows, (own, None if own is None else own.for_biases())):
                if kind is not None and kind not in kinds:
                    kinds.append(kind)
                row[l] = FROZEN if kind is None else kinds.index(kind)
        return Groups(np.array([kind.settings() for kind in kinds]), rows[0], rows[1], optimizer.rate_setting)

    @property
    def trained(self) -> np.ndarray:
        """Whether anything steps a layer, 0 .. L."""
        return np.append(False, self.weights[1:] != FROZEN)
