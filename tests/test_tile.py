"""The register tile: each of its operations against its twin in plain NumPy, and nothing written beside it.

Numbers are small integers, so that every sum of products is exact and the twins agree in every bit, with or without
fused multiply-add.
"""

from functools import cache
from types import FunctionType

import numpy as np
import pytest
from numba import njit

from bpjit.engine import jit, tile, tile_plain
from bpjit.engine.tile import LARGE, SMALL

pytestmark = [pytest.mark.variants, pytest.mark.nojit]

DTYPES = ["float32", "float64"]
BESIDE = 12345.0  # lies where nothing is to be written


@cache
def by_rows(rows):
    """A function that does every operation of a tile of `rows` rows, each into an array of its own."""

    def operations(x, x_panels, w, b, i, j, k, out):
        t = tile.load(rows, x, i)
        tile.store(tile.zeros(rows, x), out[0], i)
        tile.store(tile.rows_of(rows, b, i), out[1], i)
        tile.store(t, out[2], i)
        tile.store(tile.add_column_products(t, w, i, j, x, k), out[3], i)
        tile.store(tile.add_rows(t, x, k), out[4], i)
        tile.store(tile.add_products(t, w, i, x, k), out[5], i)
        tile.store(tile.add_panels(t, x_panels, 1, k, w, j), out[6], i)
        tile.store_sums(t, out[7], i, j)

    return operations


@cache
def along_a_row(rows):
    """A tile as a value that a loop carries: z = W a, with W as the engine keeps it."""

    def operations(w, i, a, out):
        z = tile.zeros(rows, a)
        for j in range(len(a)):
            z = tile.add_row_products(z, w, j, i, a, j)
        tile.store(z, out, 0)

    return operations


def transpose(x, rows, i, j, r, c, out):
    tile.transpose(x, rows, i, j, out, r, c)


def gather(X, rows, j, c, out):
    tile.gather(X, rows, j, out, c)


@njit(**jit.OPTIONS)
def lanes(x):
    return tile.lanes(x)


compiled = cache(njit(**jit.OPTIONS))


def plain(operations):
    """The same function, with the operations of tile_plain."""
    names = globals() | {"tile": tile_plain}
    return FunctionType(operations.__code__, names, closure=operations.__closure__)


def both(operations, arguments, shape, dtype):
    """What the operations write into an array of that shape: compiled, and as plain NumPy."""
    found, wanted = (np.full(shape, BESIDE, dtype) for _ in range(2))
    compiled(operations)(*arguments, found)
    plain(operations)(*arguments, wanted)
    return found, wanted


def integers(dtype, *shape):
    return np.random.default_rng(len(shape)).integers(-9, 9, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [LARGE, SMALL])
def test_operations(rows, dtype):
    panel = tile.panel(dtype)
    high = 2 * rows + 3
    x, w, b = integers(dtype, high, panel), integers(dtype, high, panel), integers(dtype, high)
    x_panels = integers(dtype, rows + 2, high, panel)
    for i, j, k in [(0, 0, 0), (2, 1, rows), (high - rows, panel - 1, 3)]:
        found, wanted = both(by_rows(rows), (x, x_panels, w, b, i, j, k), (8, high, panel), dtype)
        np.testing.assert_array_equal(found, wanted)
        written = np.isin(np.arange(high), np.arange(i, i + rows))
        assert (found[:, ~written] == BESIDE).all() and (found[:-1, written] != BESIDE).all()
        assert (found[-1, written] != BESIDE).sum(axis=0).tolist() == [rows * (q == j) for q in range(panel)]
        np.testing.assert_array_equal(found[3, written], x[written] + np.outer(w[written, j], x[k]))


@pytest.mark.parametrize(
    ("rows", "dtype"), [(rows, d) for rows in (LARGE, SMALL) for d in DTYPES if rows <= tile.panel(d)]
)
def test_a_tile_is_carried_through_a_loop(rows, dtype):
    panel = tile.panel(dtype)
    w, a = integers(dtype, 5, panel), integers(dtype, 5, panel)
    for i in {0, (panel - rows) // 2, panel - rows}:
        found, wanted = both(along_a_row(rows), (w, i, a), (rows + 1, panel), dtype)
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(found[:rows], w[:, i : i + rows].T @ a)
        assert (found[rows] == BESIDE).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(dtype):
    panel, side = tile.panel(dtype), tile.panel(dtype) // 2
    x = integers(dtype, side + 3, panel)
    x[-1] = np.nan  # beyond the last row that counts
    for rows, i, j, r, c in [(side, 0, 0, 0, 0), (side + 2, 3, side, 1, side), (2, 0, 0, 0, side), (1, 2, 0, 0, 0)]:
        found, wanted = both(transpose, (x, rows, i, j, r, c), (side + 2, panel), dtype)
        np.testing.assert_array_equal(found, wanted)
        square = np.zeros((side, side), dtype)
        inside = min(max(rows - i, 0), side)
        square[:inside] = x[i : i + inside, j : j + side]
        np.testing.assert_array_equal(found[r : r + side, c : c + side], square.T)
        assert (found == BESIDE).sum() == found.size - side**2


@pytest.mark.parametrize("dtype", DTYPES)
def test_gather(dtype):
    panel, side = tile.panel(dtype), tile.panel(dtype) // 2
    X = integers(dtype, 40, 2 * side + 1)
    for seed, (j, c) in enumerate([(0, 0), (side + 1, side), (1, 0), (0, side)]):
        rows = np.random.default_rng(seed).integers(0, 40, panel)
        found, wanted = both(gather, (X, rows, j, c), (2 * side + 2, panel), dtype)
        np.testing.assert_array_equal(found, wanted)
        for k in range(side):
            np.testing.assert_array_equal(found[j : j + side, c + k], X[rows[k], j : j + side])
        assert (found == BESIDE).sum() == found.size - side**2


@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes(dtype):
    assert lanes(np.zeros((1, tile.panel(dtype)), dtype)) == tile.panel(dtype) // tile.VECTORS


def test_the_shapes_fill_the_vector_registers():
    """Sums, one row of a and a broadcast number: no more registers than there are."""
    registers = 32 if tile.MANY_REGISTERS else 16
    assert LARGE * tile.VECTORS + tile.VECTORS + 1 <= registers
    assert tile.panel("float32") == 2 * tile.panel("float64") == tile.PANEL_MAX
    assert tile.panel("float32") * 4 == tile.VECTORS * tile.VECTOR_BYTES
    assert SMALL <= tile.panel("float64")
