"""Arrays as JSON can hold them, in as few bytes as their numbers need."""

import base64
import math
from typing import Any

import numpy as np

EXACT = 20_000
"""An array of more numbers is rounded to float32: seven digits, of which the page shows five."""


def packed(array: np.ndarray) -> dict[str, Any]:
    """Shape, dtype and, in base64, the numbers, little-endian; without them where all are 0.

    >>> packed(np.zeros((2, 3)))
    {'shape': [2, 3], 'dtype': 'f4', 'numbers': ''}
    >>> packed(np.array([0.5])), packed(np.array([0.1]))["dtype"]
    ({'shape': [1], 'dtype': 'f4', 'numbers': 'AAAAPw=='}, 'f8')
    """
    with np.errstate(over="ignore"):
        single = array.astype("<f4")
    is_short = array.size > EXACT or np.array_equal(single.astype(np.float64), array, equal_nan=True)
    numbers = single if is_short else array.astype("<f8")
    some = bool(array.any())
    return {
        "shape": list(array.shape),
        "dtype": "f4" if is_short else "f8",
        "numbers": base64.b64encode(np.ascontiguousarray(numbers).tobytes()).decode() if some else "",
    }


def scalar(value: Any) -> Any:
    """A number, or the name of one that JSON has not: "NaN", "Infinity", "-Infinity"."""
    value = float(value)
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
