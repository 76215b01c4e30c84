"""Whether a function is the derivative of another one, by differences of that one's values in float64."""

from collections.abc import Callable

import numpy as np

STEPS = (1e-2, 1e-3, 1e-4, 1e-5)
"""Times 1 + |x|. Long ones serve a function that is computed inexactly, short ones one that bends within them."""
RELATIVE = 1e-4
"""What a slope may be off: a constant of five digits passes, another formula does not."""
ABSOLUTE = 1e-7
"""The same where the slope is nearly 0, in units of the steepest (but at most 1): a tail may be cut off."""
ROUNDING = 16 * np.finfo(np.float64).eps
"""Of a value; half a dozen of them make a difference."""


def disagreements(
    f: Callable[[np.ndarray], np.ndarray], slopes: np.ndarray, x: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Where `slopes` are not those of f at the points x (S,): booleans (S,), and the slopes that f has (S,), or NaN
    where differences give no clear answer.

    f takes and returns (S,), number by number; it is asked for no argument outside [low, high], and not judged at the
    very ends. A slope is right if a central difference or, as beside a bend, one of either side agrees with it at one
    of several steps; at a bend, where the two sides differ however short the step, anything between the two will do.

    >>> x = np.array([-1.0, 0.0, 1.0])
    >>> wrong, slopes = disagreements(np.abs, np.array([-1.0, 0.0, 2.0]), x, -2.0, 2.0)
    >>> wrong, slopes.round(6)
    (array([False, False,  True]), array([-1.,  0.,  1.]))
    """
    with np.errstate(all="ignore"):
        f_0, scale = f(x), np.minimum(1 + np.abs(x), (high - low) / 8)
        tables = [_estimates(f, f_0, x, (x + step * scale) - x, low, high) for step in STEPS]
        central = np.array([table[0] for table in tables])
        steepest = np.max(np.abs(central), initial=0.0, where=np.isfinite(central))
        right, bent = np.zeros(len(x), bool), np.ones(len(x), bool)
        for *estimates, noise in tables:
            for estimate in estimates:
                right |= np.abs(slopes - estimate) <= _bound(slopes, estimate, steepest) + noise
            _, left, ahead = estimates
            bent &= np.abs(left - ahead) > 10 * _bound(left, ahead, steepest) + noise
        least, greatest = np.minimum(left, ahead), np.maximum(left, ahead)  # of the shortest step
        right |= bent & (least <= slopes) & (slopes <= greatest)
        ends = (x - low < 2 * STEPS[-1] * scale) | (high - x < 2 * STEPS[-1] * scale)
        return ~(right | ends), _steadiest(central, steepest)


def _steadiest(estimates: np.ndarray, steepest: float) -> np.ndarray:
    """Of the estimates (steps, S) those that the next step changes least; NaN where it changes all of them."""
    change = np.abs(np.diff(estimates, axis=0))
    change = np.where(np.isfinite(change), change, np.inf)
    best, each = change.argmin(axis=0), np.arange(estimates.shape[1])
    chosen = estimates[best + 1, each]
    return np.where(change[best, each] <= 10 * _bound(chosen, chosen, steepest), chosen, np.nan)


def _bound(one: np.ndarray, other: np.ndarray, steepest: float) -> np.ndarray:
    return RELATIVE * np.maximum(np.abs(one), np.abs(other)) + ABSOLUTE * min(1.0, steepest)


def _estimates(f, f_0, x, h, low, high):
    """Slopes by the five-point central and the three-point one-sided formulas (NaN where one leaves the range), and
    how far rounding may move them."""
    inside_below, inside_above = x - 2 * h >= low, x + 2 * h <= high
    below, above = (np.where(inside_below, h, 0.0), np.where(inside_above, h, 0.0))
    f_1, f_2, f_m1, f_m2 = f(x + above), f(x + 2 * above), f(x - below), f(x - 2 * below)
    central = (8 * (f_1 - f_m1) - (f_2 - f_m2)) / (12 * h)
    left, ahead = (3 * f_0 - 4 * f_m1 + f_m2) / (2 * h), (-3 * f_0 + 4 * f_1 - f_2) / (2 * h)
    noise = ROUNDING * np.max(np.abs([f_0, f_1, f_2, f_m1, f_m2]), axis=0) / h
    both = inside_below & inside_above
    return (
        np.where(both, central, np.nan),
        np.where(inside_below, left, np.nan),
        np.where(inside_above, ahead, np.nan),
        noise,
    )


def points(low: float, high: float, count: int) -> np.ndarray:
    """`count` points all over [low, high], and those at which a function is likely to bend: its ends, whole and half
    numbers, and powers of ten around 0.

    >>> [float(x) for x in points(0.0, 1.0, 0)[[0, 1, -2, -1]]]
    [0.0, 1e-06, 0.5, 1.0]
    """
    cells = np.linspace(low, high, count + 1)
    spread = cells[:-1] + np.random.default_rng(0).random(count) * np.diff(cells)
    small = np.logspace(-6, 0, 7)
    halves = np.arange(-20, 21) / 2
    chosen = np.concatenate([spread, small, -small, halves, [low, high]])
    return np.unique(chosen[(low <= chosen) & (chosen <= high)])
