"""What a fixed amount of training reaches: a change that makes a step faster must not make it worth less."""

from statistics import fmean

import bpjit

OPTIMIZERS = {
    "sgd": bpjit.SGD(learning_rate=0.1),
    "momentum": bpjit.SGD(learning_rate=0.05, momentum=0.9),
    "adam": bpjit.Adam(learning_rate=2e-3),
}
SEEDS = range(5)


class Digits:
    """Five epochs on the digits, means over some seeds: the loss of training, and the share of errors in the test."""

    params = (list(OPTIMIZERS),)
    param_names = ("optimizer",)
    timeout = 300  # the first run of all compiles

    def setup(self, optimizer: str) -> None:
        X, t = bpjit.datasets.digits()
        self.training, self.test = (X[:1500], t[:1500]), (X[1500:], t[1500:])
        self.nets = [bpjit.Network([64, 128, 10], seed=seed) for seed in SEEDS]
        for net in self.nets:
            net.fit(*self.training, epochs=5, batch_size=32, optimizer=OPTIMIZERS[optimizer], threads=1)

    def track_loss(self, optimizer: str) -> float:
        return fmean(net.loss(*self.training) for net in self.nets)

    def track_errors(self, optimizer: str) -> float:
        return 1 - fmean(net.evaluate(*self.test)["accuracy"] for net in self.nets)

    track_loss.unit = "cross-entropy"
    track_errors.unit = "share"
