"""Samples with targets of every kind, for the estimators of `bpjit.sklearn`."""

import numpy as np

X = np.random.default_rng(0).normal(size=(60, 5))
labels = (X[:, 0] > 0) + (X[:, 1] > 0).astype(int)
words = np.array(["a", "b", "c"])[labels]
several = (X[:, :3] > 0).astype(int)
numbers = 2 * X[:, 0] + X[:, 1]

BASIC = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0}
"""Settings of an estimator that is soon fitted."""
