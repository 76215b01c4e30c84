"""The argument `layers` of a Trainer: which layers are frozen, and which have other settings of the optimiser."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from . import validation
from .engine.optimizer import Optimizer

FROZEN = "frozen"

Layers = dict[int, str | dict[str, Any]]
"""{layer: FROZEN or {setting: value}}, layers counted from 1."""


def checked(layers: Any, optimizer: Optimizer, count: int) -> Layers:
    """layers, checked for a network of `count` layers: numbers from 1, settings as the optimiser keeps them.

    Raises TypeError for another kind of object; ValueError for a layer or a setting that there is not, for settings
    that the optimiser refuses or that must be alike in all layers, and if no layer is left to train.

    >>> from bpjit import SGD
    >>> checked({1: "frozen", -1: {"learning_rate": 1}}, SGD(), 3)
    {1: 'frozen', 3: {'learning_rate': 1.0}}
    """
    if layers is None:
        return {}
    if not isinstance(layers, Mapping):
        raise TypeError(f"layers must be a dict such as {{1: 'frozen', -1: {{'learning_rate': 1e-4}}}}, not {layers!r}")
    found: Layers = {}
    for key, value in layers.items():
        l = layer_number(key, count, "layers", range(1, count + 1))
        if l in found:
            raise ValueError(f"layers names layer {l} twice: by its number and counted from the end")
        found[l] = _changes(value, optimizer, f"layers[{key}]")
    if all(found.get(l) == FROZEN for l in range(1, count + 1)):
        raise ValueError("layers freezes all layers: leave one to train")
    return dict(sorted(found.items()))


def optimizers(layers: Layers, optimizer: Optimizer) -> dict[int, Optimizer | None]:
    """What steps each of these layers in the place of `optimizer`; None for those that are frozen."""
    return {
        l: None if isinstance(changes, str) else replace(optimizer, **changes)  # type: ignore[type-var]
        for l, changes in layers.items()
    }


def layer_number(key: Any, count: int, name: str, possible: range) -> int:
    """key as the number of a layer, 0 .. count, which may be counted from the end as -1, -2, ...

    Raises TypeError for another kind of object, ValueError for a layer that is not possible.
    """
    given = validation.integer(key, f"a layer's number in {name}")
    l = given if given >= 0 else count + 1 + given
    if l not in possible or given < -count:
        first, last = possible[0], possible[-1]
        from_end = f", or {last - count - 1} to {max(first, 1) - count - 1} from the end" if last > 0 else ""
        raise ValueError(f"{name} names layer {given}, but there are {first} to {last}{from_end}")
    return l


def _changes(value: Any, optimizer: Optimizer, name: str) -> str | dict[str, Any]:
    if isinstance(value, str) and value == FROZEN:
        return FROZEN
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be {FROZEN!r} or a dict of settings of the optimiser, not {value!r}")
    known: list[str] = [setting.name for setting in fields(optimizer)] if is_dataclass(optimizer) else []
    names = [validation.choice(setting, known, f"a setting in {name}") for setting in value]
    try:
        other = replace(optimizer, **value)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    if not other.alike(optimizer):
        raise ValueError(
            f"{name} is {dict(value)!r}, which asks for another rule than that of {optimizer!r} in the other layers: "
            f"{', '.join(names)} must be alike in all layers here"
        )
    return {setting: getattr(other, setting) for setting in names}
