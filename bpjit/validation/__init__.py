"""Every check of a user's input, and every message about it.

A message names the argument, says what is wrong with it and where, and what to do about it.
TypeError is for a wrong kind of object, ValueError for a wrong value of the right kind.
"""

from .arrays import is_ready
from .blocks import BLOCK_BYTES, is_mapped, mapped, rows_in_block, sparse
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
    "BLOCK_BYTES",
    "TARGETS",
    "batch_size",
    "choice",
    "features",
    "fits_memory",
    "float_dtype",
    "integer",
    "is_mapped",
    "is_ready",
    "layer_sizes",
    "mapped",
    "parameters",
    "permutation",
    "physical_memory",
    "real",
    "rows_in_block",
    "sample_weights",
    "seed",
    "sparse",
    "switch",
    "targets",
    "threads",
]
