"""Processes of their own for what is measured: libraries do not meet there, and each is given the same threads."""

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from bpjit.engine import plan

_SPAWN = multiprocessing.get_context("spawn")  # a fork would inherit what the parent has loaded
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@contextmanager
def limited(threads: int) -> Iterator[None]:
    """Processes that are started inside have so many threads, on one CPU of a core each.

    Libraries read these settings when they are imported, so the process must have them from its beginning.
    """
    settings = dict.fromkeys(_THREADS, str(threads)) | {"JAX_PLATFORMS": "cpu", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    if threads == 1:
        settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cpus:
        os.sched_setaffinity(0, plan.cores()[:threads])
    try:
        yield
    finally:
        if cpus:
            os.sched_setaffinity(0, cpus)
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


def fresh(threads: int, function: Callable, *arguments: Any) -> Any:
    """function(*arguments) in a new process with so many threads."""
    with limited(threads), ProcessPoolExecutor(1, mp_context=_SPAWN) as process:
        return process.submit(function, *arguments).result()


class WorkerError(RuntimeError):
    """What went wrong in a worker's process, in one line."""


class Worker:
    """An object in a process of its own, with so many threads.

    `worker.call("append", 3)` is make(*arguments).append(3) there, and raises WorkerError where that raises. The
    process ends with the block, whatever it is doing.

    >>> with Worker(1, list, "ab") as worker:
    ...     worker.call("index", "b")
    1
    """

    def __init__(self, threads: int, make: Callable[..., object], *arguments: Any) -> None:
        self._connection, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        with limited(threads), _ctrl_c_ignored():
            self._process.start()
        theirs.close()

    def call(self, method: str, *arguments: Any) -> Any:
        try:
            self._connection.send((method, arguments))
            answer, error = self._connection.recv()
        except (EOFError, OSError):
            self._process.join()
            raise WorkerError(f"its process ended with exit code {self._process.exitcode}") from None
        if error is not None:
            raise WorkerError(error)
        return answer

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exception: object) -> None:
        pid = self._process.pid
        if sys.platform != "win32" and pid is not None and self._process.exitcode is None:
            with suppress(ProcessLookupError):  # it has not made its group yet
                os.killpg(pid, signal.SIGKILL)  # with the compilers that it has started
        self._process.kill()
        self._process.join()
        self._connection.close()


def _serve(connection: Connection, make: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    if sys.platform != "win32":
        os.setpgid(0, 0)
    warnings.simplefilter("ignore")
    subject = None
    while True:
        try:
            method, its_arguments = connection.recv()
        except EOFError:  # the parent is no more
            return
        try:
            subject = make(*arguments) if subject is None else subject
            connection.send((getattr(subject, method)(*its_arguments), None))
        except Exception as error:
            first_line = str(error).strip().partition("\n")[0]
            connection.send((None, f"{type(error).__name__}: {first_line}"))


@contextmanager
def _ctrl_c_ignored() -> Iterator[None]:
    """Processes that are started inside ignore Ctrl-C for good: their parent ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
