"""How many threads a run uses, and why; how a mini-batch is cut into pieces; what the machine offers.

Pieces follow from shapes alone. Threads follow from the work of a step, the CPUs this process may use and the measured
cost of launching a parallel region, so that they never slow a network down. Neither changes a bit of the result.
"""

import math
import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np
from numba import prange

from . import jit, layout, tile

PIECE = 4
"""Blocks of samples in a piece, at most: they share the weights that the first-level cache holds."""
PIECES = 4
"""Pieces that a mini-batch is cut into, where it has that many blocks."""
GAIN = 1.1
"""Threads must promise at least this: an estimate is not worth less."""


@dataclass(frozen=True)
class Plan:
    """What was chosen for a run: threads, blocks of samples in a piece, and the reason in words."""

    threads: int
    piece: int
    reason: str


def choose(sizes: tuple[int, ...], batch_size: int, dtype, limit: int | None = None, training: bool = True) -> Plan:
    """The plan for mini-batches of `batch_size` samples through layers of these sizes, on `limit` threads at most."""
    blocks = -(-batch_size // tile.panel(dtype))
    piece = max(1, min(PIECE, blocks // PIECES))
    pieces = -(-blocks // piece)
    tasks = sum(-(-n // layout.TASK_ROWS) * -(-m // tile.panel(dtype)) for n, m in pairwise(sizes))
    forward = sum(2 * batch_size * n * m for n, m in pairwise(sizes))
    regions = [(2 * forward, pieces), (forward, tasks)] if training else [(forward, pieces)]
    alone = sum(flops for flops, _ in regions) / _flops_per_second(dtype)
    if alone < 10e-6:
        return Plan(1, piece, f"a step is about {_duration(alone)} of work, too little to share")
    cpus = min(available_cpus(), numba.config.NUMBA_NUM_THREADS)
    most = min(cpus, limit or cpus, max(cut for _, cut in regions))
    if most == 1:
        why = (
            "there is one CPU to use" if cpus == 1 else "it is the limit given" if limit == 1 else "there is one piece"
        )
        return Plan(1, piece, f"{why}")

    def seconds(threads: int) -> float:
        shared = sum(flops * math.ceil(cut / threads) / cut for flops, cut in regions) / _flops_per_second(dtype)
        return shared + len(regions) * launch_seconds()

    threads = min(range(2, most + 1), key=seconds)
    work = f"a step is about {_duration(alone)} of work, a parallel region costs {_duration(launch_seconds())}"
    if alone < GAIN * seconds(threads):
        return Plan(1, piece, f"{work}: sharing would not pay")
    return Plan(threads, piece, f"{work}; {cpus} CPUs" + (f", {limit} threads allowed" if limit else ""))


class Pace:
    """Which number of threads is faster in fact, the planned one or one thread: tries both, keeps the better, and looks
    at the other again from time to time. Other programs may want the same CPUs, and threads that wait for a CPU make a
    region many times slower.
    """

    LEAST = 5e-4
    """Seconds that a measurement must last."""
    AGAIN = 50
    """Calls between two looks at the slower one."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._seconds: dict[int, float] = {}
        self._calls = 0

    @property
    def threads(self) -> int:
        """Threads for the next call."""
        if self.plan.threads == 1:
            return 1
        for threads in (self.plan.threads, 1):
            if threads not in self._seconds:
                return threads
        self._calls += 1
        choose = max if self._calls % self.AGAIN == 0 else min
        return choose(self._seconds, key=self._seconds.__getitem__)

    def took(self, threads: int, steps: int, seconds: float) -> None:
        """Tells that so many steps on so many threads took so many seconds."""
        if seconds >= self.LEAST:
            self._seconds[threads] = seconds / steps

    def result(self) -> Plan:
        """The plan, or one thread where that was measured to be faster."""
        if len(self._seconds) < 2 or self._seconds[1] > self._seconds[self.plan.threads]:
            return self.plan
        per_step = ", ".join(f"{_duration(self._seconds[n])} on {n}" for n in sorted(self._seconds))
        return Plan(1, self.plan.piece, f"measured a step: {per_step} threads")


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def _flops_per_second(dtype) -> float:
    """A cautious guess at one core: two multiply-adds of a vector a cycle at 3 GHz, half of which is reached."""
    return 0.5 * 4 * (tile.panel(dtype) / tile.VECTORS) * 3e9


# ------------------------------------------------------------------------------------------------- the machine


def available_cpus() -> int:
    """CPUs this process may keep busy: of its affinity mask, one a physical core, within its container's quota."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    return max(1, min(_physical_cores(frozenset(allowed)), _quota()))


@cache
def _physical_cores(allowed: frozenset[int]) -> int:
    cores = {_read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in allowed}
    return len(cores)


def _quota() -> int:
    """Whole CPUs of the container's quota (cgroup v2, then v1); a very large number where there is none."""
    try:
        limit, period = (_read("/sys/fs/cgroup/cpu.max") or "max 100000").split()
        if limit == "max":
            limit = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or "-1"
            period = _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") or "100000"
        return max(1, int(limit) // int(period)) if int(limit) > 0 else 2**31
    except ValueError:
        return 2**31


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _launches(times, counts):
    for _ in range(times):
        for k in prange(counts.size):
            counts[k] += 1


_parallel_launches = numba.njit(nogil=True, parallel=True, **jit.OPTIONS)(_launches)


_launch_seconds: float | None = None


def launch_seconds() -> float:
    """Seconds that an empty parallel region costs here, measured once: 1 µs with OpenMP, 90 with `workqueue`.

    Infinite while another thread is in a parallel region, and where none may be entered.
    """
    global _launch_seconds
    if _launch_seconds is None:
        _launch_seconds = _measured_launch()
    return math.inf if _launch_seconds is None else _launch_seconds


def _measured_launch() -> float | None:
    counts = np.zeros(available_cpus(), np.int64)
    jit.prepare(_parallel_launches, "plan.launches", None, 1, counts)
    best = math.inf
    with jit.threads(len(counts)) as may_share:
        if not may_share:
            return None
        _parallel_launches(1, counts)  # starts the threads
        stop = time.perf_counter() + 2e-3  # where CPUs are busy with other work, a launch may take milliseconds
        measured = 0
        while measured < 5 or time.perf_counter() < stop:
            started = time.perf_counter()
            _parallel_launches(4, counts)
            best = min(best, (time.perf_counter() - started) / 4)
            measured += 1
    return best


def describe() -> dict[str, str]:
    """What the engine finds on this machine, in words, for `bpjit info`."""
    width, launch = tile.PANEL_MAX // tile.VECTORS, launch_seconds()  # which makes Numba pick its threading layer
    return {
        "CPU": _cpu_name(),
        "compiled for": numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[1],
        "vectors": f"{width} float32 or {width // 2} float64, tiles of {tile.LARGE} × {tile.VECTORS} vectors",
        "CPUs to use": f"{available_cpus()} of {os.cpu_count()}",
        "threading layer": f"{jit.threading_layer()}, {_duration(launch)} a parallel region",
        "compile cache": _cache_facts(),
    }


def _cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or llvmlite.binding.get_host_cpu_name()


def _cache_facts() -> str:
    files = list(jit.cache_folder().glob("*.kernel"))
    return f"{jit.cache_folder()}: {len(files)} kernels, {sum(f.stat().st_size for f in files) / 2**20:.1f} MiB"
