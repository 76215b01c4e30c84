"""How the time of training grows with the mini-batch and with the network's width and depth, and falls with threads."""

import bpjit
from bpjit.bench.cases import Case, data, trainer

STEPS = 100  # beside them, what every fit costs is little


def grown(part: str, times: int) -> Case:
    """64-128-128-10 and mini-batches of 32 samples, of which one is so many times as large."""
    factor = {"batch": 1, "width": 1, "depth": 1} | {part: times}
    batch_size, hidden = 32 * factor["batch"], [128 * factor["width"]] * 2 * factor["depth"]
    return Case((64, *hidden, 10), batch_size, STEPS * batch_size)


class Work:
    """A hundred steps on one thread."""

    params = (["batch", "depth", "width"], [1, 2, 4, 8])
    param_names = ("grows", "times")
    number = 1  # a call changes the parameters
    timeout = 300  # the first run of all compiles

    def setup(self, grows: str, times: int) -> None:
        case = grown(grows, times)
        self.X, self.t = data(case)
        self.trainer = trainer(case, "sgd", threads=1)
        self.trainer.fit(self.X, self.t, epochs=1)

    def time_steps(self, grows: str, times: int) -> bpjit.History:
        return self.trainer.fit(self.X, self.t, epochs=1)


class Threads:
    """Ten steps, large enough to be shared, on up to so many threads: on those that the machine has."""

    params = ([1, 2, 4, 8],)
    param_names = ("threads",)
    number = 1
    timeout = 300

    def setup(self, threads: int) -> None:
        case = Case((1024, 1024, 1024, 10), 256, 10 * 256)
        self.X, self.t = data(case)
        self.trainer = trainer(case, "sgd", threads)
        self.trainer.fit(self.X, self.t, epochs=1)

    def time_steps(self, threads: int) -> bpjit.History:
        return self.trainer.fit(self.X, self.t, epochs=1)
