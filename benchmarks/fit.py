"""A whole fit, as a user calls it: a new network trained on bundled data; and what every fit costs, however short."""

import warnings

import bpjit
from bpjit.bench.cases import CASES, data, trainer


class Digits:
    """Ten epochs on the digits from a new network on, with and without taking validation scores after each."""

    params = (["nothing", "validation"],)
    param_names = ("after_an_epoch",)
    number = 1  # as a user has it: once
    timeout = 300  # the first run of all compiles

    def setup(self, after_an_epoch: str) -> None:
        X, t = bpjit.datasets.digits()
        self.training = X[:1500], t[:1500]
        self.validation = (X[1500:], t[1500:]) if after_an_epoch == "validation" else None
        self.time_fit(after_an_epoch)

    def time_fit(self, after_an_epoch: str) -> bpjit.History:
        net = bpjit.Network([64, 128, 10], seed=0)
        return net.fit(*self.training, epochs=10, batch_size=32, validation=self.validation, threads=1)


class Estimator:
    """Ten epochs on the digits as scikit-learn's users have them: its checks, labels and stopping rules included."""

    params = (["float32", "float64"], ["nothing", "score"])
    param_names = ("dtype", "after_an_epoch")
    number = 1
    timeout = 300

    def setup(self, dtype: str, after_an_epoch: str) -> None:
        try:
            from bpjit.sklearn import MLPClassifier
        except ImportError:  # a commit without it, or an environment without scikit-learn
            raise NotImplementedError from None
        X, self.y = bpjit.datasets.digits()
        self.X = X.astype(dtype)
        settings = {"batch_size": 32, "max_iter": 10, "random_state": 0, "early_stopping": after_an_epoch == "score"}
        self.estimator = MLPClassifier((128,), **settings, threads=1)
        self.time_fit(dtype, after_an_epoch)

    def time_fit(self, dtype: str, after_an_epoch: str) -> list[float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            return self.estimator.fit(self.X, self.y).loss_curve_


class OneStep:
    """Fits of a single mini-batch: what a call costs beside its arithmetic."""

    params = (["tiny", "mnist"],)
    param_names = ("case",)
    number = 1  # a call changes the parameters
    timeout = 300

    def setup(self, case: str) -> None:
        X, t = data(CASES[case])
        self.X, self.t = X[: CASES[case].batch_size], t[: CASES[case].batch_size]
        self.trainer = trainer(CASES[case], "adam", threads=1)
        self.trainer.fit(self.X, self.t, epochs=1)

    def time_100_fits(self, case: str) -> bpjit.History:
        for _ in range(100):
            history = self.trainer.fit(self.X, self.t, epochs=1)
        return history
