"""Every check of a user's input, and every message about it.

A message names the argument, says what is wrong with it and where, and what to do about it.
TypeError is for a wrong kind of object, ValueError for a wrong value of the right kind.
"""

from .data import TARGETS, features, parameters, permutation, sample_weights, targets
from .settings import (
    batch_size,
    choice,
    fits_memory,
    float_dtype,
    integer,
    layer_sizes,
    physical_memory,
    real,
    seed,
    switch,
    threads,
)

__all__ = [
    "TARGETS",
    "batch_size",
    "choice",
    "features",
    "fits_memory",
    "float_dtype",
    "integer",
    "layer_sizes",
    "parameters",
    "permutation",
    "physical_memory",
    "real",
    "sample_weights",
    "seed",
    "switch",
    "targets",
    "threads",
]
