"""Entries of the tables of activations and losses, as users ask for them: "relu", "leaky_relu", "leaky_relu(0.2)"."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from .. import validation

CALL = re.compile(r"\s*(\w+)\s*\(\s*(?:(\w+)\s*=)?\s*([^()=\s]+)\s*\)\s*")
"""name(number) or name(setting=number)."""


@dataclass(frozen=True)
class Setting:
    """The number that an entry takes, such as the slope of leaky_relu, and where it may lie."""

    name: str
    default: float
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def checked(self, value: float, name: str) -> float:
        limits = {"low": self.low, "high": self.high, "low_open": self.low_open, "high_open": self.high_open}
        return validation.real(value, name, **limits)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What every entry has: a name, and perhaps a setting, whose value the kernels get as their last argument."""

    name: str
    setting: Setting | None = None
    value: float = 0.0
    functions: tuple[Callable, ...] = ()
    """The functions of single numbers that the kernels were made of, and those of their derivatives, if any were."""

    @property
    def text(self) -> str:
        """How the entry is written, its setting included unless that is the default."""
        if self.setting is None or self.value == self.setting.default:
            return self.name
        return f"{self.name}({self.setting.name}={self.value!r})"


AnyEntry = TypeVar("AnyEntry", bound=Entry)


def find(table: Mapping[str, AnyEntry], text: Any, argument: str) -> AnyEntry:
    """The entry of a table that `text` asks for, with its setting.

    Raises TypeError unless text is a string; ValueError for an unknown name, a setting that the entry does not have, or
    a number that it does not take. `argument` is what the messages call it.

    >>> from bpjit.engine.activations import ACTIVATIONS
    >>> find(ACTIVATIONS, "leaky_relu(0.20)", "activation").text
    'leaky_relu(slope=0.2)'
    """
    call = CALL.fullmatch(text) if isinstance(text, str) else None
    if call is None:
        entry = table[validation.choice(text, table, argument)]
        return entry if entry.setting is None else replace(entry, value=entry.setting.default)
    name, key, number = call.groups()
    entry = table[validation.choice(name, table, argument)]
    if entry.setting is None:
        raise ValueError(f"{argument} is {text!r}, but {name!r} has no setting: write {name!r}")
    wanted = entry.setting.name
    if key not in (None, wanted):
        raise ValueError(
            f"{argument} is {text!r}, but the setting of {name!r} is {wanted!r}: write '{name}({wanted}={number})'"
        )
    try:
        value = float(number)
    except ValueError:
        raise ValueError(
            f"{argument} is {text!r}, but {number!r} is no number: write for example {entry.setting.default!r}"
        ) from None
    return replace(entry, value=entry.setting.checked(value, f"{wanted} of {argument} {name!r}"))
