"""Holdout: the share of the samples that validates and does not train."""

import math

import numpy as np

from .engine.order import draw_order

EPOCH = 2**62
"""The number of an epoch that never comes: the order drawn for it is of use here alone."""


def split(
    samples: int, fraction: float, labels: np.ndarray | None, seed: int | np.int64
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that train and those that validate, both rising; drawn from the seed alone.

    fraction * samples rows are held out, rounded; with labels (S,) of each class its share, so that every class
    still trains. Raises ValueError where one of the two would be empty, or a class has one sample alone.

    >>> train, held_out = split(8, 0.25, np.array([0, 0, 0, 0, 1, 1, 1, 1]), seed=0)
    >>> len(train), len(held_out), np.bincount(held_out // 4).tolist()
    (6, 2, [1, 1])
    """
    count = math.floor(fraction * samples + 0.5)
    if not 0 < count < samples:
        raise ValueError(
            f"validation={fraction:g} of {samples} samples leaves {count or 'none'} to validate and "
            f"{samples - count or 'none'} to train: give another fraction, or validation=(X, t)"
        )
    order = np.zeros(samples, np.intp)
    draw_order(order, seed, EPOCH)
    if labels is None:
        held_out = order[:count]
    else:
        drawn, shares = labels[order], _shares(np.bincount(labels), fraction, count)
        held_out = np.concatenate([order[drawn == label][:share] for label, share in enumerate(shares)])
    is_held_out = np.zeros(samples, bool)
    is_held_out[held_out] = True
    return np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)


def _shares(sizes: np.ndarray, fraction: float, count: int) -> list[int]:
    """How many of each class: fraction of its size, rounded so that the sum is count, the greatest remainders up."""
    classes = np.count_nonzero(sizes)
    if (sizes == 1).any():
        raise ValueError(
            f"label {int(np.argmax(sizes == 1))} has one sample alone, which cannot both train and validate: leave it "
            "out, or give validation=(X, t)"
        )
    if min(count, sizes.sum() - count) < classes:
        raise ValueError(
            f"validation={fraction:g} of {sizes.sum()} samples are {count}, but each of {classes} classes should have "
            "one of them, and one of the others: give another fraction, or validation=(X, t)"
        )
    exact = fraction * sizes
    shares = np.floor(exact).astype(np.intp)
    for label in np.argsort(shares - exact, kind="stable"):
        if shares.sum() < count and shares[label] + 1 < sizes[label]:
            shares[label] += 1
    return shares.tolist()
