"""Prediction: many rows at once, and one row at a time as a server asks."""

from bpjit.bench.cases import CASES, data, network


class Predict:
    params = tuple(CASES)
    param_names = ("case",)
    timeout = 300  # the first run of all compiles

    def setup(self, case: str) -> None:
        self.net = network(CASES[case])
        self.X, self.t = data(CASES[case])
        self.row = self.X[:1]
        self.net.predict(self.X)
        self.net.predict(self.row)
        self.net.loss(self.X, self.t)

    def time_rows(self, case: str) -> None:
        self.net.predict(self.X)

    def time_one_row(self, case: str) -> None:
        self.net.predict(self.row)

    def time_loss(self, case: str) -> None:
        self.net.loss(self.X, self.t)
