"""Twins of the noise: masks of dropout and Gaussian noise, a second time in NumPy over whole arrays.

SplitMix64 as Steele, Lea and Flood (2014) print it and Wellons' lowbias32 as he does, with half of a key before each of
its multiplications; the normal quantile is SciPy's.
"""

from functools import reduce

import numpy as np
from scipy.special import ndtri


def splitmix(x):
    """The output that follows state x, both uint64 arrays."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key(seed, epoch, step, layer):
    """The key of a layer in a mini-batch, as uint64: of each number in turn, added to what the others before gave."""
    numbers = (np.array([number]).astype(np.uint64) for number in (seed, epoch, step, layer))
    return reduce(lambda state, number: splitmix(state + number), numbers, np.zeros(1, np.uint64))[0]


def bits(key, units, samples):
    """32 random bits, uint32, for each of the given samples (rows) and units (columns)."""
    key = int(key) % 2**64
    low, high = np.uint32(key % 2**32), np.uint32(key >> 32)
    x = np.asarray(units, np.uint32) * np.uint32(0x9E3779B1) + np.asarray(samples, np.uint32)[:, None]
    x = x ^ low
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) + high
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def mask(key, units, samples, rate):
    """What dropout multiplies by, (samples, units): 0 or 1 / (1 - rate)."""
    kept = bits(key, np.arange(units), np.arange(samples)) >= np.uint32(rate * 2**32)
    return kept / (1 - rate)


def normal(key, units, samples):
    """Normal noise (samples, units), of 24 bits, those of the key's complement."""
    whole = bits(~np.uint64(key), np.arange(units), np.arange(samples)) >> np.uint32(8)
    return ndtri((whole + 0.5) / 2**24)
