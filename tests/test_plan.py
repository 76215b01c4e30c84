"""The plan of a run: how many threads, why, and in which pieces; what the machine offers."""

import math
import os
import re
from itertools import pairwise

import numba
import numpy as np
import pytest
from runs import python

from bpjit.engine import gradient, plan, tile
from bpjit.engine.layout import Layout

LARGE = (784, 512, 512, 10)


@pytest.fixture
def machine(monkeypatch):
    """Sets CPUs and the seconds that a parallel region costs."""

    def of(cpus=8, launch=0.0):
        monkeypatch.setattr(plan, "available_cpus", lambda: cpus)
        monkeypatch.setattr(plan, "launch_seconds", lambda: launch)
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    return of


@pytest.fixture
def files(monkeypatch):
    """Files of the system, by path, with this content; no others."""
    content = {}
    monkeypatch.setattr(plan, "_read", lambda path: content.get(path, ""))
    plan._physical_cores.cache_clear()
    plan._quota.cache_clear()
    yield content
    plan._physical_cores.cache_clear()
    plan._quota.cache_clear()


# How many


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiny_networks_are_not_worth_sharing(machine, dtype):
    machine(cpus=8, launch=0.0)
    for sizes, batch_size in (((1, 1), 1), ((2, 16, 1), 32), ((64, 32, 10), 1)):
        chosen = plan.choose(sizes, batch_size, dtype)
        assert chosen.threads == 1
        assert re.fullmatch(r"a step is about [\d.]+(e-\d+)? µs of work, too little to share", chosen.reason)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
def test_large_networks_take_what_there_is(machine, dtype, training):
    machine(cpus=4, launch=2e-6)
    chosen = plan.choose(LARGE, 512, dtype, training=training)
    assert chosen.threads == 4
    assert "4 CPUs" in chosen.reason and "a parallel region costs 2 µs" in chosen.reason


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_limit_is_kept(machine, limit):
    machine(cpus=8)
    chosen = plan.choose(LARGE, 512, np.float32, limit)
    assert chosen.threads == limit
    assert chosen.reason == "it is the limit given" if limit == 1 else f"{limit} threads allowed" in chosen.reason


def test_no_more_threads_than_cpus_and_than_numba_has(machine, monkeypatch):
    machine(cpus=3)
    assert plan.choose(LARGE, 512, np.float32, 7).threads == 3
    machine(cpus=64)
    assert plan.choose(LARGE, 512, np.float32).threads == 8
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 2)
    assert plan.choose(LARGE, 512, np.float32).threads == 2
    machine(cpus=1)
    chosen = plan.choose(LARGE, 512, np.float32, 7)
    assert (chosen.threads, chosen.reason) == (1, "there is one CPU to use")


def test_no_more_threads_than_parts(machine):
    """Pieces of the mini-batch times panels of units, where it pays to take the layers apart."""
    machine(cpus=8)
    panel = tile.panel(np.float32)
    for units in (1, 2, 3):
        for blocks in (1, 2, 3):
            chosen = plan.choose((4000, units * panel), blocks * panel, np.float32, training=False)
            assert chosen.threads == (5 if units * blocks == 9 else units * blocks)  # 5 finish 9 parts as soon as 8 do
            assert chosen.by_layer == (units > 1) or chosen.threads == 1
            assert ("layer by layer" in chosen.reason) == chosen.by_layer
    assert plan.choose((40_000, panel), 1, np.float32, training=False).reason.endswith("sharing would not pay")


def test_the_gradient_is_cut_in_chunks_where_there_are_few_weights_and_many_samples(machine):
    machine(cpus=8)
    chosen = plan.choose((64, 32), 16 * gradient.CHUNK, np.float32)
    assert chosen.in_chunks and "the gradient in chunks of samples" in chosen.reason
    assert not plan.choose((64, 32), 16 * gradient.CHUNK, np.float32, training=False).in_chunks
    assert not plan.choose((4000, 4000), gradient.CHUNK, np.float32).in_chunks  # there is one chunk


def test_the_dearer_a_parallel_region_the_fewer_threads(machine):
    counts = []
    for launch in (0.0, 1e-6, 1e-4, 1e-3, 1.0):
        machine(cpus=8, launch=launch)
        counts.append(plan.choose((64, 128, 128, 10), 128, np.float32).threads)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1
    assert counts[-1] == 1
    assert plan.choose((64, 128, 128, 10), 128, np.float32).reason.endswith("sharing would not pay")


@pytest.mark.parametrize("batch_size", [1, 17, 100, 1000, 10_000])
def test_the_pieces_are_smaller_only_for_threads(machine, batch_size):
    """One thread takes those that the caches like. What they are changes no bit: test_engine.py."""
    alone = set()
    for cpus in (1, 2, 8):
        for launch in (0.0, 1.0):
            machine(cpus, launch)
            for sizes in (LARGE, (3, 2)):
                for limit in (None, 1, 2, 7):
                    chosen = plan.choose(sizes, batch_size, np.float32, limit)
                    assert 1 <= chosen.piece <= plan.PIECE
                    if chosen.threads == 1:
                        alone.add(chosen.piece)
                        assert not chosen.by_layer and not chosen.in_chunks
    assert len(alone) == 1


@pytest.mark.parametrize(("blocks", "piece"), [(8, 1), (32, 4), (64, 8), (80, 5), (20, 3), (21, 3)])
def test_all_threads_get_as_many_pieces(machine, blocks, piece):
    machine(cpus=8)
    batch_size = blocks * tile.panel(np.float32)
    assert plan.choose((4000, 2), batch_size, np.float32, 1).piece == plan.PIECE
    chosen = plan.choose((40_000, 2), batch_size, np.float32, training=False)
    assert (chosen.threads, chosen.piece, chosen.by_layer) == (-(-blocks // piece) if blocks < 64 else 8, piece, False)


# How the parts of a step fall to 64 cores

CORES, LAUNCH = 64, 5e-6
NETWORKS = {
    "tiny": ((2, 16, 1), 32),
    "chains": ((4, 32, 16, 4), 1024),
    "small": ((784, 32, 10), 32),
    "mnist": ((784, 128, 10), 128),
    "mid": ((784, 512, 512, 10), 128),
    "deep": ((*[64] * 10, 10), 64),
    "large": ((1024, 2048, 2048, 10), 256),
}
STEPS = [(sizes, size) for sizes, batch_size in NETWORKS.values() for size in sorted({batch_size, 128, 4096})]


def cut_in(total, size):
    return [min(size, total - first) for first in range(0, total, size)]


def forward_parts(sizes, batch_size, dtype, training, piece, by_layer):
    """The FLOPs of the parts of each region from the rows of X to delta, in the order in which threads take them."""
    panel = tile.panel(dtype)
    samples = cut_in(batch_size, piece * panel)
    forward = [(n, m) for n, m in pairwise(sizes)]
    backward = [(m, n) for n, m in forward[:0:-1]] if training else []
    if not by_layer:
        return [[2 * s * sum(n * m for n, m in forward + backward) for s in samples]]
    layers = [[2 * s * n * units for units in cut_in(m, panel) for s in samples] for n, m in forward + backward]
    rows_in, rows_out = [0] * len(samples), [0] * len(samples)
    return [rows_in, *layers[: len(forward)], rows_out, *layers[len(forward) :]]


def gradient_parts(sizes, batch_size, dtype, in_chunks):
    """The same for the regions of the gradient."""
    laid, panel = Layout.of(sizes, dtype, batch_size), tile.panel(dtype)
    weights = [task.rows * min(panel, sizes[task.l] - task.p * panel) for task in laid.tasks]
    if not in_chunks:
        return [[2 * batch_size * count for count in weights]]
    return [[2 * s * count for count in weights for s in cut_in(batch_size, gradient.CHUNK)], [0] * len(weights)]


def regions_of(sizes, batch_size, dtype, training, piece, by_layer, in_chunks):
    found = forward_parts(sizes, batch_size, dtype, training, piece, by_layer)
    return found + (gradient_parts(sizes, batch_size, dtype, in_chunks) if training else [])


def region_seconds(parts, threads, rate):
    """Until the last thread has done its share: contiguous, as even in number as can be."""
    busiest = max(sum(share) for share in np.array_split(parts, threads))
    return busiest / rate + (LAUNCH if threads > 1 and len(parts) > 1 else 0)


def least_seconds(sizes, batch_size, dtype, training, rate):
    """What no partition into blocks, panels, tasks and chunks can beat, however its parts are handed out."""

    def shared(regions):
        return sum(sum(parts) / min(CORES, len(parts)) / rate + LAUNCH for parts in regions)

    both = (False, True)
    alone = sum(map(sum, forward_parts(sizes, batch_size, dtype, training, 1, False)))
    least = min(shared(forward_parts(sizes, batch_size, dtype, training, 1, by_layer)) for by_layer in both)
    if training:
        alone += sum(map(sum, gradient_parts(sizes, batch_size, dtype, False)))
        least += min(shared(gradient_parts(sizes, batch_size, dtype, in_chunks)) for in_chunks in both)
    return min(alone / rate, least)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("sizes", "batch_size"), STEPS)
def test_cores_idle_only_where_no_partition_is_much_faster(machine, monkeypatch, sizes, batch_size, training, dtype):
    machine(CORES, LAUNCH)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", CORES)
    rate = plan._flops_per_second(dtype)
    chosen = plan.choose(sizes, batch_size, dtype, training=training)
    cut = sizes, batch_size, dtype, training, chosen.piece, chosen.by_layer, chosen.in_chunks
    regions = regions_of(*cut)
    seconds = sum(region_seconds(parts, chosen.threads, rate) for parts in regions)
    busy = sum(map(sum, regions)) / rate
    if busy < CORES * seconds / 2:
        assert seconds < 2 * least_seconds(sizes, batch_size, dtype, training, rate)
    planned = plan.regions(*cut)
    estimate = sum(region.flops for region in planned) / rate
    if chosen.threads > 1:
        estimate = sum(region.seconds(chosen.threads, rate) for region in planned) + LAUNCH * len(planned)
    # The plan takes all parts of a region for as long as the longest one: an uneven last piece or panel takes less.
    assert estimate == pytest.approx(seconds, rel=0.3)


# One thread or the planned number, by measurement


def test_a_plan_of_one_thread_is_not_measured():
    pace = plan.Pace(plan.Plan(1, 4, "alone"), 32)
    for _ in range(200):
        assert pace.next() == (pace.plan, math.inf)
        pace.took(1, 10, 1.0)
    assert pace.result() == pace.plan


@pytest.mark.parametrize(("alone", "shared", "better"), [(3e-3, 1e-3, 4), (1e-3, 3e-3, 1)])
def test_the_faster_number_of_threads_is_kept_and_the_other_looked_at_now_and_then(alone, shared, better):
    pace, taken = plan.Pace(plan.Plan(4, 4, "work"), 32), []
    for _ in range(500):
        taken.append(pace.next()[0].threads)
        pace.took(taken[-1], 5, 5 * (alone if taken[-1] == 1 else shared))
    assert set(taken) == {1, 4}
    assert taken.count(better) >= 0.95 * len(taken)
    assert 5 - better in taken[100:]  # 1 or 4
    result = pace.result()
    assert result.threads == better
    assert result.piece == (plan.PIECE if better == 1 else 4)
    if better == 1:
        assert result.reason == "measured a step: 1 ms on 1, 3 ms on 4 threads"


def test_the_pace_follows_a_machine_that_changes():
    pace = plan.Pace(plan.Plan(2, 4, "work"), 32)
    for busy in (False, True, False):
        for _ in range(300):
            threads = pace.next()[0].threads
            pace.took(threads, 1, 0.01 if threads == 1 else 0.1 if busy else 0.005)
        assert pace.result().threads == (1 if busy else 2)


def test_calls_that_are_too_short_to_be_measured_are_added_up():
    pace, taken = plan.Pace(plan.Plan(2, 4, "work"), 32), []
    for _ in range(40):
        taken.append(pace.next()[0].threads)
        pace.took(taken[-1], 1, plan.Pace.LEAST * (0.4 if taken[-1] == 2 else 0.3))
    assert taken[:9] == [2, 2, 2, 2, 1, 1, 1, 1, 1]  # of each, the first call does not count
    assert taken[9:].count(1) > taken[9:].count(2) > 0
    assert pace.result().threads == 1


@pytest.mark.parametrize("cold", [1, 2])
def test_the_first_call_of_a_number_of_threads_does_not_count(cold):
    """Threads that are yet to wake made it 1.9 ms where the next ones took 0.08: short fits fell back to one thread."""
    pace, calls = plan.Pace(plan.Plan(2, 4, "work", by_layer=True), 32), {1: 0, 2: 0}
    for _ in range(4):
        threads = pace.next()[0].threads
        calls[threads] += 1
        warm = 8e-5 if threads != cold else 6e-5  # what is slow at first is the faster one in the end
        first = calls[threads] == 1 and threads == cold
        pace.took(threads, *((10, 10 * 1.9e-3) if first else (100, 100 * warm)))
    assert pace.result().threads == cold
    assert pace.next() == (pace.alone if cold == 1 else pace.plan, math.inf)


def test_looks_are_few_and_short_and_what_one_fit_found_holds_for_the_next():
    pace, taken = plan.Pace(plan.Plan(2, 4, "work"), 32), []
    for call in range(400):
        if call % 40 == 0:
            pace.begin()  # the next fit
            begun = set()
        chosen, most_seconds = pace.next()
        first, look = chosen.threads not in begun, chosen.threads == 1 or call < 2
        assert most_seconds == (math.inf if not look else 0 if first else plan.Pace.LOOK)
        begun.add(chosen.threads)
        taken.append(chosen.threads)
        pace.took(chosen.threads, 1, 0.03 if first else 0.01 if chosen.threads == 1 else 0.005)
    assert taken[:4] == [2, 2, 1, 1]
    assert 10 <= taken.count(1) <= 25
    assert pace.step_seconds() == 0.005


def test_a_look_goes_on_until_the_slower_one_is_measured():
    """In fits of a few calls the only call of a look was the first of its threads, which does not count: what one
    disturbance had made the slower one stayed so for good."""
    pace = plan.Pace(plan.Plan(2, 4, "work"), 32)
    seconds = {1: 0.01, 2: 0.1}  # at first
    taken = []
    for fit in range(40):
        pace.begin()
        for _ in range(4):
            threads = pace.next()[0].threads
            pace.took(threads, 1, seconds[threads])
            taken.append(threads)
        if fit == 3:
            assert pace.result().threads == 1
            seconds[2] = 0.005
    assert pace.result().threads == 2
    assert set(taken[-20:]) == {2}


def test_a_first_call_that_is_long_counts():
    pace, taken = plan.Pace(plan.Plan(2, 4, "work"), 32), []
    for _ in range(100):  # fits of one call
        pace.begin()
        taken.append(pace.next()[0].threads)
        pace.took(taken[-1], 10, 1.0 if taken[-1] == 1 else 0.6)
    assert pace.step_seconds() == 0.06
    assert 0 < taken.count(1) < 10


def test_a_short_call_in_the_end_of_a_fit_misleads_nobody():
    pace, call = plan.Pace(plan.Plan(2, 4, "work"), 32), 4e-4
    for _ in range(30):
        pace.begin()
        for steps in (340, 300, 3):
            threads = pace.next()[0].threads
            pace.took(threads, steps, call + steps * (2.4e-4 if threads == 1 else 1.4e-4))
        assert pace.result().threads == 2


def test_a_look_that_is_never_measured_ends():
    pace = plan.Pace(plan.Plan(2, 4, "work"), 32)
    for _ in range(5):
        threads = pace.next()[0].threads
        pace.took(threads, 1, 0.01 if threads == 1 else 0.1)
    assert pace.result().threads == 1
    looks = []
    for _ in range(600):  # fits of one call, which is the first
        pace.begin()
        chosen, _ = pace.next()
        pace.took(chosen.threads, 1, 0.01)
        looks.append(chosen.threads == 2)
    assert 0 < sum(looks[100:]) < 0.2 * 500


# What the machine offers


@pytest.mark.parametrize(
    ("content", "cpus"),
    [
        ({}, 2**31),
        ({"cpu.max": "max 100000"}, 2**31),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "400000 100000"}, 4),
        ({"cpu.max": "350000 100000"}, 3),  # threads that wait for half a CPU hold up the others
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "200000 50000"}, 4),
        ({"cpu.max": "strange"}, 2**31),
        ({"cpu.max": "1 2 3"}, 2**31),
        ({"cpu.max": "100000"}, 1),
        ({"cpu.max": "-1 100000"}, 2**31),
        ({"cpu.max": "100000 0"}, 2**31),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 2**31),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "250000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "10000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "", "cpu/cpu.cfs_period_us": "100000"}, 2**31),
    ],
)
def test_the_quota_of_a_container(files, content, cpus):
    files |= {f"/sys/fs/cgroup/{name}": text for name, text in content.items()}
    assert plan._quota() == cpus


@pytest.mark.parametrize(
    ("groups", "content", "cpus"),
    [
        ("0::/user.slice/job", {"user.slice/job/cpu.max": "100000 100000"}, 1),  # systemd-run -p CPUQuota=100%
        ("0::/user.slice/job", {"user.slice/cpu.max": "200000 100000"}, 2),  # of a group around it
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000", "cpu.max": "800000 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "400000 100000"}, 3),
        ("0::/other", {"user.slice/job/cpu.max": "100000 100000"}, 2**31),
        ("0::/../../b", {"cpu.max": "200000 100000"}, 2),  # outside of what a container sees
        ("4:memory:/m\n3:cpu,cpuacct:/docker/1f\n0::/", {"cpu/docker/1f/cpu.cfs_quota_us": "200000"}, 2),
        ("3:cpuacct,cpu:/docker/1f", {"cpu/docker/cpu.cfs_quota_us": "300000"}, 3),
        ("3:cpuset:/docker/1f", {"cpu/docker/1f/cpu.cfs_quota_us": "200000"}, 2**31),
        ("3:cpu:/docker/1f", {"cpu/cpu.cfs_quota_us": "200000"}, 2),  # the container's own is at the top
        ("nonsense\n::\n\n7", {"cpu.max": "200000 100000"}, 2),
        ("0::/a:b", {"a:b/cpu.max": "200000 100000"}, 2),
    ],
)
def test_the_quota_of_a_control_group(files, groups, content, cpus):
    files |= {f"/sys/fs/cgroup/{name}": text for name, text in content.items()}
    files["/proc/self/cgroup"] = groups
    assert plan._quota() == cpus


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, 8),
        ({"OMP_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "3,2"}, 3),  # what nested regions take
        ({"OMP_NUM_THREADS": " 2 "}, 2),
        ({"OMP_NUM_THREADS": "64"}, 8),
        ({"OMP_NUM_THREADS": ""}, 8),
        ({"OMP_NUM_THREADS": "0"}, 8),
        ({"OMP_NUM_THREADS": "many"}, 8),
        ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "8"}, 8),
    ],
)
def test_threads_that_the_environment_allows(machine, monkeypatch, environment, threads):
    machine(cpus=8, launch=2e-6)
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    chosen = plan.choose((1024, 2048, 2048, 10), 2048, np.float32)
    assert chosen.threads == threads
    if threads == 1:
        assert "OMP_NUM_THREADS" in chosen.reason


def test_hyper_threads_of_a_core_count_once(files, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 4, 5}, raising=False)
    assert plan.available_cpus() == 4  # a system that does not tell
    plan._physical_cores.cache_clear()
    plan._quota.cache_clear()
    for cpu in range(8):
        files[f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu % 4},{cpu % 4 + 4}"
    assert plan.available_cpus() == 2
    files["/sys/fs/cgroup/cpu.max"] = "150000 100000"
    plan._quota.cache_clear()
    assert plan.available_cpus() == 1


def test_systems_without_affinity(files, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert plan.available_cpus() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert plan.available_cpus() == 1


BOUND = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np
from bpjit.engine import plan
print(plan.available_cpus())
chosen = plan.choose((784, 512, 512, 10), 512, np.float32)
print(chosen.threads, chosen.reason)
"""


def test_a_process_bound_to_one_cpu():
    assert python(BOUND) == ["1", "1 there is one CPU to use"]


def test_a_launch_that_seems_slow_is_measured_again(monkeypatch):
    """What a busy moment costs does not decide for the rest of the process."""
    measured = iter([6e-4, 2e-6])
    monkeypatch.setattr(plan, "_measured_launch", lambda: next(measured))
    monkeypatch.setattr(plan, "_launch_seconds", math.inf)
    monkeypatch.setattr(plan, "_measure_after", -math.inf)
    assert [plan.launch_seconds() for _ in range(2)] == [6e-4, 6e-4]  # not at once
    monkeypatch.setattr(plan, "_measure_after", -math.inf)
    assert [plan.launch_seconds() for _ in range(2)] == [2e-6, 2e-6]


def test_a_parallel_region_is_measured():
    """Once. Where the CPUs are busy with other work it may take milliseconds."""
    seconds = plan.launch_seconds()
    assert 1e-8 < seconds
    assert plan.launch_seconds() == seconds


def test_description():
    facts = plan.describe()
    assert list(facts) == ["CPU", "compiled for", "vectors", "CPUs to use", "threading layer", "compile cache"]
    assert all(facts.values())
    assert facts["CPUs to use"] == f"{plan.available_cpus()} of {os.cpu_count()}"
    assert facts["compile cache"].startswith(os.environ["BPJIT_CACHE_DIR"])
