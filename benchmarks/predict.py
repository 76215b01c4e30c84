"""Prediction: many rows at once, and one row at a time as a server asks."""

import numpy as np

from bpjit.bench.cases import CASES, data, network


class Predict:
    params = (list(CASES),)
    param_names = ("case",)
    timeout = 300  # the first run of all compiles

    def setup(self, case: str) -> None:
        self.net = network(CASES[case])
        self.X, self.t = data(CASES[case])
        self.row = self.X[:1]
        self.net.predict(self.X)
        self.net.predict(self.row)
        self.net.loss(self.X, self.t)

    def time_rows(self, case: str) -> np.ndarray:
        return self.net.predict(self.X)

    def time_100_times_one_row(self, case: str) -> np.ndarray:
        for _ in range(100):  # asv times a single call: one of some microseconds would be lost in that
            y = self.net.predict(self.row)
        return y

    def time_loss(self, case: str) -> float:
        return self.net.loss(self.X, self.t)
