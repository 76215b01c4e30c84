"""How many threads a run uses, and why; how a mini-batch is cut into pieces; what the machine offers.

Pieces follow from shapes alone. Threads follow from the work of a step, the CPUs this process may use and the measured
cost of launching a parallel region, so that they never slow a network down. Neither changes a bit of the result.
"""

import math
import os
import platform
import time
from dataclasses import dataclass
from functools import cache as once
from itertools import pairwise
from pathlib import Path

import llvmlite.binding
import numba
import numpy as np

from . import cache, epoch, gradient, jit, layout, tile
from .jit import INDEX, call, vector

PIECE = 8
"""Blocks of samples in a piece, at most: they share the weights that the first-level cache holds."""
GAIN = 1.1
"""Threads, and finer cuts, must promise at least this: an estimate is not worth less."""
LEAST = 10e-6
"""Seconds of work in a step below which it is not worth sharing anywhere."""


@dataclass(frozen=True)
class Plan:
    """What was chosen for a run: threads, how a step is cut for them, and the reason in words."""

    threads: int
    piece: int
    """Blocks of samples in a piece of the mini-batch."""
    reason: str
    by_layer: bool = False
    """Whether each layer is a region of its own, cut into pieces times panels of units, instead of all layers one."""
    in_chunks: bool = False
    """Whether chunks of the samples are summed apart in the gradient."""


@dataclass(frozen=True)
class Region:
    """A parallel region: how many parts it has, and the FLOPs of all and of the largest."""

    parts: int
    flops: float
    largest: float

    def seconds(self, threads: int, rate: float) -> float:
        return math.ceil(self.parts / threads) * self.largest / rate


def regions(
    sizes: tuple[int, ...], batch_size: int, dtype, training: bool, piece: int, by_layer: bool, in_chunks: bool
) -> list[Region]:
    """The regions of a step that is cut in this way."""
    panel = tile.panel(dtype)
    blocks = -(-batch_size // panel)
    pieces = -(-blocks // piece)
    rows = piece * panel  # of a piece; the last may have fewer
    pairs = list(pairwise(sizes))

    def even(flops: float, parts: int, largest: float) -> Region:
        return Region(parts, flops, min(flops, largest))

    if by_layer:
        cut = [even(2 * batch_size * n * m, pieces * -(-m // panel), 2 * rows * n * panel) for n, m in pairs]
        if training:
            cut += [
                even(2 * batch_size * n * m, pieces * -(-n // panel), 2 * rows * m * panel) for n, m in pairs[:0:-1]
            ]
        cut += [Region(pieces, 0.0, 0.0)] * 2  # the rows of X, and the output layer
    else:
        work = sum(n * m for n, m in pairs) + (sum(n * m for n, m in pairs[1:]) if training else 0)
        cut = [even(2 * batch_size * work, pieces, 2 * rows * work)]
    if training:
        task_rows = layout.task_rows_for(batch_size)
        tasks = sum(-(-n // task_rows) * -(-m // panel) for n, m in pairs)
        flops = 2 * batch_size * sum(n * m for n, m in pairs)
        of_task = max(min(n, task_rows) * min(m, panel) for n, m in pairs)
        if in_chunks:
            chunks = -(-batch_size // gradient.CHUNK)
            cut += [even(flops, tasks * chunks, 2 * gradient.CHUNK * of_task), Region(tasks, 0.0, 0.0)]
        else:
            cut += [even(flops, tasks, 2 * batch_size * of_task)]
    return cut


def choose(sizes: tuple[int, ...], batch_size: int, dtype, limit: int | None = None, training: bool = True) -> Plan:
    """The plan for mini-batches of `batch_size` samples through layers of these sizes, on `limit` threads at most."""
    blocks = -(-batch_size // tile.panel(dtype))
    rate = _flops_per_second(dtype)
    alone = sum(region.flops for region in regions(sizes, batch_size, dtype, training, PIECE, False, False)) / rate
    if alone < LEAST:
        return Plan(1, PIECE, f"a step is about {_duration(alone)} of work, too little to share")
    available, asked = available_cpus(), _asked_threads()
    cpus = min(available, asked)
    most = min(cpus, limit or cpus)
    if most == 1:
        of_environment = "the environment asks for one thread (NUMBA_NUM_THREADS or OMP_NUM_THREADS)"
        reason = "it is the limit given" if cpus > 1 else of_environment if available > 1 else "there is one CPU to use"
        return Plan(1, PIECE, reason)
    launch = launch_seconds()
    best, finest, seconds = None, 0, alone / GAIN
    for threads in range(2, most + 1):
        for fineness, cut in enumerate(_cuts(batch_size, _even_piece(blocks, threads), training)):
            parts = regions(sizes, batch_size, dtype, training, *cut)
            found = sum(region.seconds(threads, rate) for region in parts) + len(parts) * launch
            if found < seconds * (1 if best is None or fineness <= finest else 1 / GAIN):
                best, finest, seconds = (threads, cut), fineness, found
    work = f"a step is about {_duration(alone)} of work, a parallel region costs {_duration(launch)}"
    if best is None:
        return Plan(1, PIECE, f"{work}: sharing would not pay")
    threads, (piece, by_layer, in_chunks) = best
    how = "layer by layer" if by_layer else "in pieces of the mini-batch"
    reason = f"{work}; {cpus} CPUs, {how}" + (", the gradient in chunks of samples" if in_chunks else "")
    return Plan(threads, piece, reason + (f", {limit} threads allowed" if limit else ""), by_layer, in_chunks)


def may_share(sizes: tuple[int, ...], batch_size: int, dtype, limit: int | None, training: bool) -> bool:
    """Whether `choose` might take several threads, if a parallel region cost nothing."""
    work = sum(region.flops for region in regions(sizes, batch_size, dtype, training, PIECE, False, False))
    enough = work / _flops_per_second(dtype) >= LEAST
    return enough and usable_cpus(limit) > 1


def _even_piece(blocks: int, threads: int) -> int:
    """Blocks in a piece, such that all threads get as many pieces."""
    pieces_each = -(-blocks // (threads * PIECE))
    return -(-blocks // (threads * pieces_each))


def _cuts(batch_size: int, piece: int, training: bool) -> list[tuple[int, bool, bool]]:
    """(piece, by_layer, in_chunks), from the coarsest, whose parts keep most in cache, to the finest."""
    chunks = [False, True] if training and batch_size > gradient.CHUNK else [False]
    return [
        (size, by_layer, in_chunks)
        for in_chunks in chunks
        for size, by_layer in dict.fromkeys([(piece, False), (1, False), (1, True)])
    ]


class Pace:
    """Which number of threads is faster in fact, the planned one or one thread: tries both, keeps the better, and looks
    at the other again from time to time. Other programs may want the same CPUs, and threads that wait for a CPU make a
    region many times slower. It knows the seconds of a step: of one network, in mini-batches of `batch_size`.
    """

    LEAST = 5e-3
    """Seconds that a measurement must last; shorter calls are added up. What a call costs beside its steps, up to half
    a millisecond, made one of three steps, the last of a fit, seem slower than those of one thread."""
    LOOK = 1e-2
    """Seconds that a look should last."""
    LONG = 4e-2
    """Seconds of a call in which it does not matter that threads have to wake."""
    AGAIN = 50
    """Calls between two looks at the slower one, in the end; fewer at first, when one disturbance could mislead."""
    TRIES = 6
    """Calls of a look at most: the first of a fit does not count, and short ones are added up."""

    def __init__(self, plan: Plan, batch_size: int) -> None:
        self.plan, self.batch_size, self.alone = plan, batch_size, Plan(1, PIECE, "one thread was faster")
        self._begun: set[int] = set()
        self._seconds: dict[int, float] = {}
        self._adding_up: dict[int, tuple[int, float]] = {}
        self._calls, self._again = 0, 1

    def begin(self) -> None:
        """Tells that a fit begins: the first call of a number of threads wakes them, and finds nothing in any cache."""
        self._begun.clear()

    def step_seconds(self) -> float:
        """Seconds of a step as last measured; infinite if it never was."""
        return min(self._seconds.values(), default=math.inf)

    def next(self) -> tuple[Plan, float]:
        """The plan of the next call, and how many seconds that should last at most: none, which is a step, to wake
        threads for a look."""
        plan, seconds = self._chosen()
        return plan, 0.0 if seconds < math.inf and plan.threads not in self._begun else seconds

    def _chosen(self) -> tuple[Plan, float]:
        if self.plan.threads == 1:
            return self.plan, math.inf
        for plan in (self.plan, self.alone):
            if plan.threads not in self._seconds:
                return plan, self.LOOK
        faster, slower = sorted((self.plan, self.alone), key=lambda plan: self._seconds[plan.threads])
        self._calls += 1
        if self._calls <= self._again:
            return faster, math.inf
        if self._calls == self._again + self.TRIES:
            self._end_look()
        return slower, self.LOOK

    def _end_look(self) -> None:
        self._calls, self._again = 0, min(2 * self._again, self.AGAIN)

    def took(self, threads: int, steps: int, seconds: float) -> None:
        """Tells that so many steps on so many threads took so many seconds."""
        if threads not in self._begun:
            self._begun.add(threads)
            if seconds < self.LONG:
                return
        before = self._adding_up.pop(threads, (0, 0.0))
        steps, seconds = before[0] + steps, before[1] + seconds
        if seconds >= self.LEAST:
            self._seconds[threads] = seconds / steps
            if self._calls > self._again:
                self._end_look()
        else:
            self._adding_up[threads] = steps, seconds

    def result(self) -> Plan:
        """The plan, or one thread where that was measured to be faster."""
        if len(self._seconds) < 2 or self._seconds[1] > self._seconds[self.plan.threads]:
            return self.plan
        per_step = ", ".join(f"{_duration(self._seconds[n])} on {n}" for n in sorted(self._seconds))
        return Plan(1, PIECE, f"measured a step: {per_step} threads")


def _duration(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs" if seconds < 1e-3 else f"{seconds * 1e3:.3g} ms"


def _flops_per_second(dtype) -> float:
    """A cautious guess at one core: two multiply-adds of a vector a cycle at 3 GHz, 70% of which is reached."""
    return 0.7 * 4 * (tile.panel(dtype) / tile.VECTORS) * 3e9


# ------------------------------------------------------------------------------------------------- the machine


def available_cpus() -> int:
    """CPUs this process may keep busy: of its affinity mask, one a physical core, within its container's quota."""
    return max(1, min(len(cores()), _quota()))


def usable_cpus(limit: int | None = None) -> int:
    """CPUs that may be kept busy here: those available, as far as the environment and `limit` allow."""
    return min(available_cpus(), _asked_threads(), limit or available_cpus())


def cores() -> list[int]:
    """One CPU of each physical core that this process's affinity mask allows."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    return _physical_cores(frozenset(allowed))


@once
def _physical_cores(allowed: frozenset[int]) -> list[int]:
    first: dict[str, int] = {}
    for cpu in sorted(allowed):
        siblings = _read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        first.setdefault(siblings or str(cpu), cpu)
    return list(first.values())


@once
def _quota() -> int:
    """Whole CPUs that the quotas of the process's control groups leave it; a very large number where there are none.

    A quota may be set for its own group (as in a container, whose own group is at the top of what it sees) or for any
    that this one is part of (as systemd does for a service or a user).
    """
    quotas = [2**31]
    for line in [*_read("/proc/self/cgroup").splitlines(), "0::/", "1:cpu:/"]:
        _, controllers, path = [*line.split(":", 2), "", "/"][:3]
        version_2 = controllers == ""
        if not (version_2 or "cpu" in controllers.split(",")) or ".." in path:
            continue
        for folder in _groups_of(path):
            quotas.append(_quota_of(f"/sys/fs/cgroup{folder}", version_2))
    return min(quotas)


def _groups_of(path: str) -> list[str]:
    """A control group and those around it."""
    parts = [part for part in path.split("/") if part]
    return ["".join(f"/{part}" for part in parts[:n]) for n in range(len(parts), -1, -1)]


def _quota_of(folder: str, version_2: bool) -> int:
    """Whole CPUs of the quota that is set for one control group."""
    if version_2:
        limit, _, period = _read(f"{folder}/cpu.max").partition(" ")
    else:
        folder = folder.replace("/sys/fs/cgroup", "/sys/fs/cgroup/cpu", 1)
        limit, period = (_read(f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
    try:
        microseconds, of = int(limit), int(period or "100000")
    except ValueError:  # there is none: "max", or no such file
        return 2**31
    return max(1, microseconds // of) if microseconds > 0 and of > 0 else 2**31


def _asked_threads() -> int:
    """Threads that the environment allows: NUMBA_NUM_THREADS, or where nobody has set that, OMP_NUM_THREADS.

    It is how pools of worker processes share a machine: joblib sets both, Dask and batch systems the second.
    """
    most = int(numba.config.NUMBA_NUM_THREADS)
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if "NUMBA_NUM_THREADS" in os.environ or not (first.isascii() and first.isdigit() and int(first) > 0):
        return most
    return min(most, int(first))


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


@jit.kernel(epoch.JOBS, vector, vector, INDEX)
def nothing(jobs, theta, work, k): ...


@jit.entry
def launches(address, like):
    """As many empty regions as the job says steps, of job.samples parts."""
    jobs = jit.at(address, epoch.JOB, 1)
    nowhere = jit.at(0, like, 0)
    for _ in range(jobs[0].step):
        call(jobs[0].share, jobs[0].task, jobs[0].samples, jobs, nowhere, nowhere)
    return 1


PROMPT = 2e-5
"""Seconds below which a launch is as fast as it should be. A longer one may be due to CPUs that are busy just now, with
threads of another program's that wait for work, or to a slow threading layer."""
PATIENCE, AGAIN = 2e-2, 2.0
"""Seconds to go on measuring a launch that seems slow; and until it is measured again, when it is asked for."""

_launch_seconds, _measure_after = math.inf, -math.inf


def launch_seconds() -> float:
    """Seconds that an empty parallel region costs here, as measured: 1 µs with OpenMP, 90 with `workqueue`.

    Infinite while another thread is in a parallel region, and where none may be entered.
    """
    global _launch_seconds, _measure_after
    if _launch_seconds > PROMPT and time.monotonic() >= _measure_after:
        _launch_seconds = min(_launch_seconds, _measured_launch())
        if _launch_seconds < math.inf:
            _measure_after = time.monotonic() + AGAIN
    return _launch_seconds


def _measured_launch() -> float:
    job, like, count = np.zeros(1, epoch.JOB), np.zeros(0, np.float32), available_cpus()
    job["share"], job["task"] = epoch.share.address(like.dtype), nothing.address(like.dtype)
    job["samples"], job["threads"], job["step"] = count, count, (times := 4)
    best = math.inf
    with jit.threads(count) as may_share:
        if not may_share:
            return math.inf
        launches(job.ctypes.data, like)  # starts the threads
        began, measured = time.perf_counter(), 0
        while measured < 2 or time.perf_counter() < began + (PATIENCE if best > PROMPT else 2e-3):
            started = time.perf_counter()
            launches(job.ctypes.data, like)
            best = min(best, (time.perf_counter() - started) / times)
            measured += 1
    return best


def describe() -> dict[str, str]:
    """What the engine finds on this machine, in words, for `bpjit info`."""
    width, launch = tile.PANEL_MAX // tile.VECTORS, launch_seconds()  # which makes Numba pick its threading layer
    return {
        "CPU": cpu_name(),
        "compiled for": numba.core.registry.cpu_target.target_context.codegen().magic_tuple()[1],
        "vectors": f"{width} float32 or {width // 2} float64, tiles of {tile.LARGE} × {tile.VECTORS} vectors",
        "CPUs to use": f"{available_cpus()} of {os.cpu_count()}",
        "threading layer": f"{jit.threading_layer()}, {_duration(launch)} a parallel region",
        "compile cache": _cache_facts(),
    }


def describe_step(sizes: tuple[int, ...], batch_size: int, dtype, limit: int | None = None) -> dict[str, str]:
    """What a training step of such a network would be cut into and why, in words, for `bpjit info`."""
    plan = choose(sizes, batch_size, dtype, limit)
    cut = regions(sizes, batch_size, dtype, True, plan.piece, plan.by_layer, plan.in_chunks)
    parts = ", ".join(str(region.parts) for region in cut)
    samples = min(plan.piece * tile.panel(dtype), batch_size)
    return {
        "network": f"{'-'.join(map(str, sizes))}, {sum((n + 1) * m for n, m in pairwise(sizes)):,} parameters",
        "mini-batch": f"{batch_size} samples, {sum(region.flops for region in cut) / 1e6:.4g} MFLOP a step",
        "threads": f"{plan.threads} ({plan.reason})",
        "cut into": f"pieces of up to {samples} samples; {len(cut)} parallel regions, of {parts} parts",
    }


def cpu_name() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or llvmlite.binding.get_host_cpu_name()


def _cache_facts() -> str:
    files, size = cache.cache_size()
    return f"{cache.cache_folder()}: {files} kernels, {size / 2**20:.1f} MiB"
