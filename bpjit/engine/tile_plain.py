"""The tile's operations in plain NumPy: what each means, and what runs under NUMBA_DISABLE_JIT=1."""

import numpy as np


def zeros(rows, like):
    return np.zeros((rows, like.shape[-1]), like.dtype)


def rows_of(rows, b, i):
    return np.repeat(b[i : i + rows, None], 1, axis=1)


def load(rows, x, i):
    return x[i : i + rows].copy()


def store(t, x, i):
    x[i : i + len(t)] = t


def add_row_products(t, w, j, i, a, k):
    return t + w[j, i : i + len(t), None] * a[k]


def add_column_products(t, w, j, i, a, k):
    return t + w[j : j + len(t), i, None] * a[k]


def add_products(t, w, j, a, k):
    return t + w[j : j + len(t)] * a[k]


def add_rows(t, x, i):
    return t + x[i : i + len(t)]


def add_panels(t, w, p, j, a, s):
    return t + w[p : p + len(t), j] * a[j, s]


def store_sums(t, x, i, c):
    x[i : i + len(t), c] = t.sum(axis=1)


def lanes(x):
    return x.shape[-1] // 2


def width(x):
    return x.shape[-1]


def transpose(x, rows, i, j, y, r, c):
    side = lanes(y)
    square = np.zeros((side, side), x.dtype)
    inside = max(0, min(side, rows - i))
    square[:inside] = x[i : i + inside, j : j + side]
    y[r : r + side, c : c + side] = square.T


def gather(x, rows, j, y, c):
    side = lanes(y)
    y[j : j + side, c : c + side] = x[rows[:side], j : j + side].T


def prefetch(x, i):
    pass


def prefetch_gather(x, rows, j):
    pass
