"""Compiling many kernels at once: other processes compile beside this one, and hand over through the cache.

Numba and LLVM compile one kernel at a time in a process. It is a matter of time alone: whatever another process does
not deliver is compiled here.
"""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib import import_module

import numpy as np

from . import cache, jit
from .jit import Kernel

MOST = 3
"""Other processes at most: one kernel takes a sixth of the time that all of a first fit's take."""
KERNELS_EACH = 5
"""Kernels to compile for each process, at least: its start takes as long as two or three."""
PATIENCE = 30.0
"""Seconds to wait for what others still compile when there is nothing left to do here."""

PROGRAM = "import sys; sys.path[:] = {path!r}; from {module} import serve; serve()"


def compile_all(kernels: Iterable[Kernel], dtype, cpus: int) -> None:
    """Compiles kernels for a dtype on so many CPUs, or loads them from the cache. The longest should come first."""
    missing = [kernel for kernel in dict.fromkeys(kernels) if not kernel.load(dtype)]
    others = min(MOST, cpus - 1, len(missing) // KERNELS_EACH - 1)
    if others > 0 and cache.can_keep() and (python := _python()):
        _share(missing, np.dtype(dtype), others, python)
    for kernel in missing:
        kernel.address(dtype)


def _share(kernels: list[Kernel], dtype: np.dtype, others: int, python: str) -> None:
    """Compiles kernels here and in other processes: each takes the next when it is done with one."""
    queue = deque(kernels)
    with ThreadPoolExecutor(others) as pool, ExitStack() as processes:  # ends the processes, then who waits for them
        # There may be no memory for another process, and no other thread as Python ends; errors of kernels come again.
        with suppress(OSError, TimeoutError, RuntimeError):
            compilers = [processes.enter_context(Compiler(python)) for _ in range(others)]
            compiled = [pool.submit(compiler.take_from, queue, dtype) for compiler in compilers]
            for kernel in _taken(queue):
                kernel.address(dtype)
            with jit.compiling():  # the wait counts
                for kernel in [kernel for future in compiled for kernel in future.result(timeout=PATIENCE)]:
                    kernel.load(dtype, elsewhere=True)


def _taken(queue: deque[Kernel]) -> Iterator[Kernel]:
    """One after the other, while others take from the queue, too."""
    with suppress(IndexError):
        while True:
            yield queue.popleft()


class Compiler:
    """A process that compiles the engine's kernels by their names."""

    def __init__(self, python: str) -> None:
        program = PROGRAM.format(path=sys.path, module=__name__)
        self._process = subprocess.Popen(
            [python, "-c", program],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def take_from(self, queue: deque[Kernel], dtype: np.dtype) -> list[Kernel]:
        """Compiles kernels until none is left or the process ends; returns those that it has put into the cache."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests and answers
        compiled: list[Kernel] = []
        with requests, answers:
            for kernel in _taken(queue):
                with suppress(OSError):
                    print(kernel.name, dtype.name, file=requests, flush=True)
                answer = answers.readline()
                if not answer:
                    break
                if answer == f"{kernel.name}\n":
                    compiled.append(kernel)
        return compiled


def serve() -> None:
    """What such a process does: compiles the kernels that it is told, and answers with their names."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends this one
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import_module(".model", __package__)
    for request in sys.stdin:
        name, dtype = request.split()
        kernel = jit.named.get(name)
        if kernel:
            kernel.address(dtype)
        print(name if kernel else "", file=answers, flush=True)


def _python() -> str | None:
    """The Python that runs this, if another process of it can be started: not so in a program that embeds it."""
    name = os.path.basename(sys.executable or "").lower()
    return sys.executable if name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False) else None
