"""Training steps of bpjit and its peers, measured in turns, once they are found to do the same work."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from .cases import Case, network
from .peak import peak
from .peers import Parameters, Peer, Run
from .report import Row, plural
from .workers import Worker, WorkerError

ROUNDS = 5
SETTLE = 0.2
"""Seconds between turns of several threads: OpenMP's wait so long for more work, awake."""


class MeasurementError(RuntimeError):
    """What a library did is not what was to be measured: case and library are named."""


class Training:
    """A library's run of one case, in a process of its own."""

    def __init__(self, peer: Peer, threads: int) -> None:
        self._peer, self._threads = peer, threads
        self._run: Run | None = None

    def prepare(self, case: Case, optimizer: str) -> Parameters:
        """A new run; its parameters after an epoch in the order of the rows."""
        self._run = None  # its memory is free before the next takes any
        self._steps = case.steps
        self._run = self._peer.run(case, optimizer, self._threads)
        self._run.train(1, False)
        after = self._run.parameters()
        self._seconds_an_epoch = 0.0
        self.turn(0.0)  # what a new order needs is compiled, too
        return after

    def turn(self, seconds: float) -> float:
        """Seconds a step of as many epochs as take so long, but at least one."""
        assert self._run is not None
        epochs = max(1, round(seconds / self._seconds_an_epoch)) if self._seconds_an_epoch else 1
        begun = time.perf_counter()
        self._run.train(epochs, True)
        self._seconds_an_epoch = (time.perf_counter() - begun) / epochs
        return self._seconds_an_epoch / self._steps

    def parameters(self) -> Parameters:
        assert self._run is not None
        return self._run.parameters()


class Ceiling:
    """The core's peak, which takes its turns with the libraries."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype

    def turn(self, seconds: float) -> float:
        """FLOP/s."""
        return peak(self._dtype, seconds)


def rows(
    cases: Mapping[str, Case],
    optimizers: Sequence[str],
    threads: Sequence[int],
    peers: Mapping[str, Peer],
    seconds: float,
    show: Callable[[str, str], object],
) -> Iterator[Row]:
    """A row for each number of threads, case and optimiser.

    cases: all of one dtype. peers: "bpjit" and those to compare it with. seconds: of a measurement, in all its rounds.
    show: is told which row is measured and what is done for it. A library that cannot be prepared for a case is left
    out of its row. Raises MeasurementError where bpjit fails, where another fails in its turn, and where the parameters
    of a library are not finite, did not change, or show that it does other work than bpjit.
    """
    (dtype,) = {case.dtype for case in cases.values()}
    for count in threads:
        with ExitStack() as processes:
            ceiling = processes.enter_context(Worker(count, Ceiling, dtype))
            workers = {
                library: processes.enter_context(Worker(count, Training, peer, count))
                for library, peer in peers.items()
            }
            for (name, case), optimizer in product(cases.items(), optimizers):
                title = f"{name}, {optimizer}, {plural(count, 'thread')}"
                told = partial(show, title)
                try:
                    left_out = _prepare(workers, case, optimizer, told)
                    taking_part = {library: worker for library, worker in workers.items() if library not in left_out}
                    peaks, times = _turns(ceiling, taking_part, seconds, SETTLE if count > 1 else 0.0, told)
                except MeasurementError as error:
                    raise MeasurementError(f"{title}: {error}") from error
                yield Row(
                    case=name,
                    network=case.notation,
                    optimizer=optimizer,
                    threads=count,
                    dtype=case.dtype,
                    flops=case.flops,
                    peak=max(peaks),
                    seconds=times,
                    left_out=left_out,
                )


def _prepare(
    workers: Mapping[str, Worker], case: Case, optimizer: str, show: Callable[[str], object]
) -> dict[str, str]:
    """Has every library train an epoch on the same batches and compares where that led; {library left out: why}."""
    begun = network(case).parameters()
    left_out: dict[str, str] = {}
    wanted: Parameters | None = None
    for library, worker in workers.items():
        show(f"{library} is prepared")
        try:
            found = _ask(library, worker, "prepare", case, optimizer)
        except MeasurementError as error:
            if library == "bpjit":
                raise
            left_out[library] = str(error.__cause__)
            continue
        wanted = wanted or found
        check_epoch(library, begun, found, wanted, case.steps)
    return left_out


def _turns(
    ceiling: Worker, workers: Mapping[str, Worker], seconds: float, settle: float, show: Callable[[str], object]
) -> tuple[list[float], dict[str, list[float]]]:
    """The peak, and {library: seconds a step}, one for each round."""
    peaks: list[float] = []
    times: dict[str, list[float]] = {library: [] for library in workers}
    begun = {library: _ask(library, worker, "parameters") for library, worker in workers.items()}
    for number in range(1, ROUNDS + 1):
        show(f"round {number} of {ROUNDS}")
        peaks.append(_ask("peak", ceiling, "turn", seconds / ROUNDS))
        for library, worker in workers.items():
            time.sleep(settle)
            times[library].append(_ask(library, worker, "turn", seconds / ROUNDS))
    for library, worker in workers.items():
        check_change(library, begun[library], _ask(library, worker, "parameters"))
    return peaks, times


def _ask(library: str, worker: Worker, method: str, *arguments: Any) -> Any:
    try:
        return worker.call(method, *arguments)
    except WorkerError as error:
        raise MeasurementError(f"{library}: {error}") from error


def check_change(library: str, before: Parameters, after: Parameters) -> None:
    """Raises MeasurementError unless training changed the parameters, to finite ones.

    >>> check_change("lazy", [(np.ones((1, 1)), np.ones(1))], [(np.ones((1, 1)), np.ones(1))])
    Traceback (most recent call last):
        ...
    bpjit.bench.measure.MeasurementError: lazy: training changed no parameter
    """
    theta, begun = _flat(after), _flat(before)
    if not np.isfinite(theta).all():
        raise MeasurementError(f"{library}: a parameter is not finite after training")
    if np.array_equal(theta, begun):
        raise MeasurementError(f"{library}: training changed no parameter")


def check_epoch(library: str, begun: Parameters, found: Parameters, wanted: Parameters, steps: int) -> None:
    """Raises MeasurementError unless an epoch of so many steps led from `begun` to `wanted`, in dtype and value.

    Roundings, and the place of Adam's epsilon, make up to 1e-3 of the way; a step left out makes 1 / steps or more.
    """
    check_change(library, begun, found)
    kinds = [[(array.shape, array.dtype) for pair in parameters for array in pair] for parameters in (found, wanted)]
    if kinds[0] != kinds[1]:
        raise MeasurementError(f"{library}: its parameters have other shapes or another dtype than bpjit's")
    way = np.linalg.norm(_flat(wanted) - _flat(begun))
    error = np.linalg.norm(_flat(found) - _flat(wanted)) / way
    if error > 0.5 / steps:
        raise MeasurementError(
            f"{library}: after an epoch of the same mini-batches its parameters are {error:.2%} of the way from where "
            f"bpjit's are: it does not do the same work"
        )


def _flat(parameters: Parameters) -> np.ndarray:
    return np.concatenate([array.ravel() for pair in parameters for array in pair])
