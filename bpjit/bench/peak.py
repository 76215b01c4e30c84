"""What the hardware can do: the rate of the engine's register tile on data that never leaves the first-level cache."""

import time

import numba
import numpy as np

from bpjit.engine import jit, layout, tile
from bpjit.engine.tile import LARGE

DEPTH = 128  # 128 rows of a panel and of samples take 16 KB with AVX2, and the sums stay in registers throughout


@numba.njit(**jit.OPTIONS)
def _multiply(W: np.ndarray, a: np.ndarray, z: np.ndarray, times: int) -> None:
    for _ in range(times):
        t = tile.zeros(LARGE, z)
        for j in range(DEPTH):
            t = tile.add_row_products(t, W, j, 0, a, j)
        tile.store(t, z, 0)


def peak(dtype: str = "float32", seconds: float = 0.3) -> float:
    """FLOP/s of one core: the best of many short runs."""
    panel = tile.panel(np.dtype(dtype))
    W, a, z = (layout.aligned(rows * panel, dtype).reshape(rows, panel) for rows in (DEPTH, DEPTH, LARGE))
    rng = np.random.default_rng(0)
    W[:], a[:] = rng.standard_normal(W.shape), rng.standard_normal(a.shape)
    _multiply(W, a, z, 1)
    assert np.allclose(z, W[:, :LARGE].T @ a, atol=1e-3)
    best, stop = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begun = time.perf_counter()
        _multiply(W, a, z, 1000)
        best = min(best, time.perf_counter() - begun)
    return 2 * LARGE * panel * DEPTH * 1000 / best
