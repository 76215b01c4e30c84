"""The plan of a run: how many threads, why, and in which pieces; what the machine offers."""

import os
import re

import numba
import numpy as np
import pytest
from runs import python

from bpjit.engine import plan, tile

LARGE = (784, 512, 512, 10)


@pytest.fixture
def machine(monkeypatch):
    """Sets CPUs and the seconds that a parallel region costs."""

    def of(cpus=8, launch=0.0):
        monkeypatch.setattr(plan, "available_cpus", lambda: cpus)
        monkeypatch.setattr(plan, "launch_seconds", lambda: launch)
        monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)

    return of


@pytest.fixture
def files(monkeypatch):
    """Files of the system, by path, with this content; no others."""
    content = {}
    monkeypatch.setattr(plan, "_read", lambda path: content.get(path, ""))
    plan._physical_cores.cache_clear()
    yield content
    plan._physical_cores.cache_clear()


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


def test_no_more_threads_than_pieces(machine):
    machine(cpus=8)
    panel = tile.panel(np.float32)
    for batch_size in (1, panel, 2 * panel, 3 * panel, 4 * panel):
        chosen = plan.choose((4000, 4000), batch_size, np.float32, training=False)
        assert chosen.threads == -(-batch_size // panel)
    assert plan.choose((4000, 4000), 1, np.float32, training=False).reason == "there is one piece"


def test_the_dearer_a_parallel_region_the_fewer_threads(machine):
    counts = []
    for launch in (0.0, 1e-6, 1e-4, 1e-3, 1.0):
        machine(cpus=8, launch=launch)
        counts.append(plan.choose((64, 128, 128, 10), 128, np.float32).threads)
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 1
    assert counts[-1] == 1
    assert plan.choose((64, 128, 128, 10), 128, np.float32).reason.endswith("sharing would not pay")


def test_the_pieces_do_not_depend_on_the_threads(machine):
    for batch_size in (1, 17, 100, 1000, 10_000):
        pieces = set()
        for cpus in (1, 2, 8):
            for launch in (0.0, 1.0):
                machine(cpus, launch)
                pieces |= {plan.choose(LARGE, batch_size, np.float32, limit).piece for limit in (None, 1, 2, 7)}
                pieces |= {plan.choose((3, 2), batch_size, np.float32, limit).piece for limit in (None, 7)}
        assert len(pieces) == 1
        assert 1 <= pieces.pop() <= plan.PIECE


# One thread or the planned number, by measurement


def test_a_plan_of_one_thread_is_not_measured():
    pace = plan.Pace(plan.Plan(1, 4, "alone"))
    for _ in range(200):
        assert pace.threads == 1
        pace.took(1, 10, 1.0)
    assert pace.result() == pace.plan


@pytest.mark.parametrize(("alone", "shared", "better"), [(3e-3, 1e-3, 4), (1e-3, 3e-3, 1)])
def test_the_faster_number_of_threads_is_kept_and_the_other_looked_at_now_and_then(alone, shared, better):
    pace, taken = plan.Pace(plan.Plan(4, 4, "work")), []
    for _ in range(500):
        taken.append(pace.threads)
        pace.took(taken[-1], 5, 5 * (alone if taken[-1] == 1 else shared))
    assert set(taken) == {1, 4}
    assert taken.count(better) >= 0.95 * len(taken)
    assert 5 - better in taken[100:]  # 1 or 4
    result = pace.result()
    assert result.threads == better
    assert result.piece == 4
    if better == 1:
        assert result.reason == "measured a step: 1 ms on 1, 3 ms on 4 threads"


def test_the_pace_follows_a_machine_that_changes():
    pace = plan.Pace(plan.Plan(2, 4, "work"))
    for busy in (False, True, False):
        for _ in range(300):
            threads = pace.threads
            pace.took(threads, 1, 0.01 if threads == 1 else 0.1 if busy else 0.005)
        assert pace.result().threads == (1 if busy else 2)


def test_measurements_that_are_too_short_do_not_count():
    pace = plan.Pace(plan.Plan(2, 4, "work"))
    for _ in range(10):
        assert pace.threads == 2
        pace.took(2, 1, 0.9 * plan.Pace.LEAST)
    assert pace.result() == pace.plan


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


def test_hyper_threads_of_a_core_count_once(files, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 4, 5}, raising=False)
    assert plan.available_cpus() == 4  # a system that does not tell
    plan._physical_cores.cache_clear()
    for cpu in range(8):
        files[f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu % 4},{cpu % 4 + 4}"
    assert plan.available_cpus() == 2
    files["/sys/fs/cgroup/cpu.max"] = "150000 100000"
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
