"""Training: an epoch of few mini-batch steps, shuffled."""

import bpjit
from bpjit.bench.cases import CASES, OPTIMIZERS, data, trainer


class Epoch:
    """One thread, and as many as are planned: the second must never be the slower one."""

    params = (list(CASES), list(OPTIMIZERS), ["one", "planned"])
    param_names = ("case", "optimizer", "threads")
    number = 1  # a call changes the parameters
    timeout = 300  # the first run of all compiles

    def setup(self, case: str, optimizer: str, threads: str) -> None:
        self.X, self.t = data(CASES[case])
        self.trainer = trainer(CASES[case], optimizer, 1 if threads == "one" else None)
        self.trainer.fit(self.X, self.t, epochs=1)

    def time_fit(self, case: str, optimizer: str, threads: str) -> bpjit.History:
        return self.trainer.fit(self.X, self.t, epochs=1)
