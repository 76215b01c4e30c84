"""Peak memory of training: the data and the parameters times (2 + moments). Another copy of either shows."""

import bpjit
from bpjit.bench.cases import Case, data, trainer

CASES = {
    "data": Case((784, 32, 10), 128, 51200),  # X is 160 MB, the parameters 0.1 MB
    "parameters": Case((1024, 2048, 2048, 10), 256, 256),  # X is 1 MB, the parameters 25 MB
}


class Fit:
    """Compiled in a process of its own, whose memory is not counted: LLVM's would hide everything else."""

    params = (list(CASES), ["sgd", "adam"])
    param_names = ("case", "optimizer")
    timeout = 300

    def setup_cache(self) -> None:
        for optimizer in ("sgd", "adam"):
            small = Case((32, 32, 10), 32, 64)
            trainer(small, optimizer).fit(*data(small), epochs=1)

    setup_cache.timeout = 300  # type: ignore[attr-defined]

    def setup(self, case: str, optimizer: str) -> None:
        self.X, self.t = data(CASES[case])

    def peakmem_before(self, case: str, optimizer: str) -> bpjit.Trainer:
        """What is there before it trains: to be subtracted."""
        return trainer(CASES[case], optimizer)

    def peakmem_fit(self, case: str, optimizer: str) -> bpjit.History:
        return trainer(CASES[case], optimizer).fit(self.X, self.t, epochs=1)
