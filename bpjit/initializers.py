"""The table of initialisers: how weights are drawn before training. Biases begin at zero."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import validation
from .engine.entry import Entry, Setting, find

Draw = Callable[[np.random.Generator, int, int, float], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Initializer(Entry):
    """One entry of the table."""

    draw: Draw
    """draw(rng, n_(l-1), n_l, setting): W of shape (n_l, n_(l-1)) in float64."""


def parameters(
    init: Any, of_activation: Sequence[str], sizes: Sequence[int], bias: bool, dtype: np.dtype, seed: int | None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """(W^l, b^l) of the layers 1, 2, ... in turn, as `init` wants them; what is wrong with it is said at once.

    init: a name of the table, with its setting; "auto", which takes the names `of_activation`, one a layer; or a list
    with (W, b), or an array W alone, for each layer. Raises TypeError or ValueError as `find` and
    `validation.parameters` do.

    >>> [(W, b)] = parameters("constant(0.5)", ["he_normal"], (2, 1), True, np.dtype("float32"), seed=0)
    >>> W, b
    (array([[0.5, 0.5]]), array([0.]))
    """
    if isinstance(init, list | tuple):
        pairs = [_with_biases(layer, bias) for layer in init]
        return iter(validation.parameters(pairs, sizes=sizes, bias=bias, dtype=dtype, name="init"))
    if not isinstance(init, str):
        raise TypeError(
            "init must be a name such as 'auto', or a list with (W, b), or an array W, for each layer, "
            f"not {type(init).__name__}"
        )
    chosen = find({"auto": AUTO, **INITIALIZERS}, init, "init")
    if abs(chosen.value) > float(np.finfo(dtype).max):
        raise ValueError(f"init is {init!r}, which overflows {dtype}: choose a smaller number")
    entries = [find(INITIALIZERS, name, "init") if chosen is AUTO else chosen for name in of_activation]
    return _drawn(entries, sizes, bias, np.random.default_rng(seed))


def _with_biases(layer: Any, bias: bool) -> Any:
    """(W, b) of what may be W alone."""
    if getattr(layer, "ndim", None) != 2:
        return layer
    return layer, np.zeros(len(layer)) if bias else None


def _drawn(
    entries: Sequence[Initializer], sizes: Sequence[int], bias: bool, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    for entry, inputs, units in zip(entries, sizes[:-1], sizes[1:], strict=True):
        yield entry.draw(rng, inputs, units, entry.value), np.zeros(units) if bias else None


def _normal(variance: Callable[[int, int], float]) -> Draw:
    return lambda rng, inputs, units, _: rng.normal(0.0, math.sqrt(variance(inputs, units)), (units, inputs))


def _uniform(variance: Callable[[int, int], float]) -> Draw:
    def draw(rng: np.random.Generator, inputs: int, units: int, _: float) -> np.ndarray:
        limit = math.sqrt(3.0 * variance(inputs, units))
        return rng.uniform(-limit, limit, (units, inputs))

    return draw


def _glorot(inputs: int, units: int) -> float:
    return 2.0 / (inputs + units)


def _he(inputs: int, units: int) -> float:
    return 2.0 / inputs


def _lecun(inputs: int, units: int) -> float:
    return 1.0 / inputs


def _orthogonal(rng: np.random.Generator, inputs: int, units: int, gain: float) -> np.ndarray:
    """Q of A = Q R for normally distributed A. With R's diagonal made positive, every such Q is as likely."""
    Q, R = np.linalg.qr(rng.normal(size=(max(units, inputs), min(units, inputs))))
    Q *= gain * np.where(np.diag(R) < 0.0, -1.0, 1.0)
    return Q if units >= inputs else Q.T


def _constant(rng: np.random.Generator, inputs: int, units: int, value: float) -> np.ndarray:
    return np.full((units, inputs), value)


AUTO = Initializer(name="auto", draw=_constant)  # replaced by what each activation names

INITIALIZERS = {
    entry.name: entry
    for entry in (
        Initializer(name="glorot_normal", draw=_normal(_glorot)),
        Initializer(name="glorot_uniform", draw=_uniform(_glorot)),
        Initializer(name="he_normal", draw=_normal(_he)),
        Initializer(name="he_uniform", draw=_uniform(_he)),
        Initializer(name="lecun_normal", draw=_normal(_lecun)),
        Initializer(name="lecun_uniform", draw=_uniform(_lecun)),
        Initializer(name="orthogonal", draw=_orthogonal, setting=Setting("gain", 1.0, low=0.0, low_open=True)),
        Initializer(name="constant", draw=_constant, setting=Setting("value", 0.0)),
        Initializer(name="zeros", draw=_constant),
    )
}
"""Variance of a weight: Glorot and Bengio (2010) 2 / (n_(l-1) + n_l), He et al. (2015) 2 / n_(l-1), LeCun et al. (1998)
1 / n_(l-1). Orthogonal, Saxe et al. (2014): rows, or columns where there are fewer of them, of length `gain` at right
angles. "auto" is the one that an activation's entry in the table of activations names."""
