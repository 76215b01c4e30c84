"""Regularisation: what keeps a network from learning its training data by heart, and its gradient within bounds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np

from . import parameter_groups, validation
from .engine import epoch

__all__ = ["Regularization"]


@dataclass(frozen=True)
class Regularization:
    """Settings, for all layers by one number or for single ones by {layer: number}; see `Trainer`.

    Raises ValueError or TypeError for a number that is not possible. `checked` looks at the layers.

    >>> Regularization(dropout=0.5, l2=1e-4).checked(layers=3)
    Regularization(l2={1: 0.0001, 2: 0.0001, 3: 0.0001}, dropout={1: 0.5, 2: 0.5})
    """

    l1: Any = 0.0
    l2: Any = 0.0
    dropout: Any = 0.0
    input_noise: float = 0.0
    max_norm: Any = None
    clip_value: float | None = None
    clip_norm: float | None = None

    def checked(self, layers: int) -> "Regularization":
        """The same with a dict of layers in the place of each number for all, for a network of so many layers."""
        below_output = range(1, layers)
        rates = _of_layers(self.dropout, "dropout", below_output, layers, _rate, range(layers))
        if layers == 1 and not rates and not isinstance(self.dropout, Mapping) and self.dropout:
            raise ValueError("dropout needs hidden layers, of which there are none: give {0: rate} for the input's")
        return Regularization(
            _of_layers(self.l1, "l1", range(1, layers + 1), layers, _not_negative),
            _of_layers(self.l2, "l2", range(1, layers + 1), layers, _not_negative),
            rates,
            _not_negative(self.input_noise, "input_noise"),
            _of_layers(self.max_norm, "max_norm", range(1, layers + 1), layers, _positive),
            None if self.clip_value is None else _positive(self.clip_value, "clip_value"),
            None if self.clip_norm is None else _positive(self.clip_norm, "clip_norm"),
        )

    def for_engine(self, layers: int) -> epoch.Regularization:
        """The numbers of `checked` settings as the engine takes them."""
        return epoch.Regularization(
            l1=_numbers(self.l1, layers),
            l2=_numbers(self.l2, layers),
            max_norm=_numbers(self.max_norm, layers),
            dropout=_numbers(self.dropout, layers),
            input_noise=self.input_noise,
            clip_value=self.clip_value or 0.0,
            clip_norm=self.clip_norm or 0.0,
        )

    @property
    def in_use(self) -> list[str]:
        """The names of the settings that are."""
        return [name for name, _ in self._used()]

    def configuration(self) -> dict[str, Any]:
        """The settings that are in use, for JSON: {name: number or [[layer, number], ...]}."""
        return {
            name: [list(pair) for pair in value.items()] if isinstance(value, Mapping) else value
            for name, value in self._used()
        }

    @staticmethod
    def from_configuration(configuration: Mapping[str, Any]) -> "Regularization":
        """What `configuration` described. Raises TypeError for names that there are not."""
        settings: dict[str, Any] = {
            name: dict(value) if isinstance(value, list) else value for name, value in configuration.items()
        }
        return Regularization(**settings)

    def settings(self) -> dict[str, Any]:
        """The arguments of a Trainer that these are."""
        return dict(vars(self))

    def _used(self) -> list[tuple[str, Any]]:
        values = [(setting.name, getattr(self, setting.name)) for setting in fields(self)]
        return [(name, value) for name, value in values if value]

    def __repr__(self) -> str:
        return f"Regularization({', '.join(f'{name}={value!r}' for name, value in self._used())})"


_not_negative = partial(validation.real, low=0)
_positive = partial(validation.real, low=0, low_open=True)
_rate = partial(validation.real, low=0, high=1, high_open=True)


def _of_layers(
    value: Any,
    name: str,
    all_layers: range,
    layers: int,
    check: Callable[[Any, str], float],
    possible: range | None = None,
) -> dict[int, float]:
    """{layer: number} of one number, which is for all_layers, or of a dict; without those that are 0."""
    possible = all_layers if possible is None else possible
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        number = check(value, name)
        return dict.fromkeys(all_layers, number) if number else {}
    found: dict[int, float] = {}
    for key, number in value.items():
        l = parameter_groups.layer_number(key, layers, name, possible)
        if l in found:
            raise ValueError(f"{name} names layer {l} twice: by its number and counted from the end")
        found[l] = check(number, f"{name}[{key}]")
    return {l: number for l, number in sorted(found.items()) if number}


def _numbers(setting: Mapping[int, float], layers: int) -> np.ndarray | None:
    return np.array([setting.get(l, 0.0) for l in range(layers + 1)]) if setting else None
