"""Processes and threads: several that fit, forks, pools of workers, few CPUs, other libraries' threads.

Each program runs in a process of its own, with a limit of time: what goes wrong here is a crash or a deadlock.
"""

import pytest
from runs import python

TWO = {"NUMBA_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}

# Forks

SHARED = """
import os, sys, threading, time
import numba
import numpy as np
import bpjit, runs
from bpjit.engine import cache, jit, plan
from fitting import at_once, fitted, planned, trained


def in_a_child(work):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, os.waitstatus_to_exitcode(status)
    return os.read(reading, 100).decode()


def compiled(k):
    def shifted(x):
        x[0] += k

    kernel = jit.kernel(jit.vector, name="test.shifted")(shifted)
    assert kernel.address("float32")
    return "compiled"
"""

FORKED = f"""{SHARED}
early = in_a_child(fitted)  # before anything has run
bits = fitted()
assert early == in_a_child(fitted) == in_a_child(lambda: in_a_child(fitted)) == bits
assert fitted() == bits  # the parent still shares its work

# Another thread is compiling, with the compiler's own lock, and a child has no such thread.
compiling = threading.Event()

def slow(kernel, wanted):
    with numba.core.compiler_lock.global_compiler_lock:
        compiling.set()
        time.sleep(0.5)
        return translate(kernel, wanted)

cache.CacheFile.load = lambda file: None
jit.Kernel._translate, translate = slow, jit.Kernel._translate
thread = threading.Thread(target=compiled, args=(1,))
thread.start()
assert compiling.wait(60)
jit.Kernel._translate = translate
assert in_a_child(lambda: compiled(2)) == "compiled"
thread.join()

# It does not wait for ever.
jit.FORK_SECONDS = 0.1
held, done = threading.Event(), threading.Event()

def hold():
    with jit._compile_lock:
        held.set()
        done.wait(60)

thread = threading.Thread(target=hold)
thread.start()
assert held.wait(60)
assert in_a_child(lambda: compiled(3)) == "compiled"
done.set()
thread.join()
assert compiled(4) == "compiled"
"""

FORKED_AFTER_OTHERS = f"""{SHARED}
@numba.njit(parallel=True)
def count(n):
    total = 0
    for _ in numba.prange(n):
        total += 1
    return total

assert count(1000) == 1000  # Numba's threads run, and bpjit knows nothing of it
bits = in_a_child(fitted)
assert fitted() == bits
"""

FORKED_MEANWHILE = f"""{SHARED}
bits = [fitted(seed) for seed in (0, 1)]
net, stop = trained(), threading.Event()

def busy(k):
    while not stop.is_set():
        if k == 0:
            assert fitted(0) == bits[0]
        elif k == 1:
            time.sleep(0.01)
            compiled(time.time())
        else:
            net.predict(np.ones((40, 70)))

def child():
    net.predict(np.ones((40, 70)))
    return fitted(1) + compiled(-1)

threads = [threading.Thread(target=busy, args=(k,)) for k in range(3)]
for thread in threads:
    thread.start()
for _ in range(8):
    time.sleep(0.05)
    assert in_a_child(child) == bits[1] + "compiled"
stop.set()
for thread in threads:
    thread.join()
"""

# GNU's OpenMP runtime, which Numba uses, has been used by another library: in a child it waits for threads left behind.
FORKED_AFTER_OPENMP = f"""
import ctypes
try:
    runtime = ctypes.CDLL("libgomp.so.1")
except OSError:  # then Numba does not use it either
    pass
else:
    nothing = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda data: None)
    runtime.GOMP_parallel(nothing, None, 2, 0)
{SHARED}
bits = in_a_child(fitted)
assert fitted() == bits
"""

# Threads

AT_ONCE = f"""{SHARED}
from fitting import measured_launch_seconds

if sys.argv[1] == "only workqueue":  # what a machine without libgomp and TBB has
    sys.modules["numba.np.ufunc.omppool"] = sys.modules["numba.np.ufunc.tbbpool"] = None

barrier, failures = threading.Barrier(4), []

# The first thing that fits at once do: to measure what a parallel region costs.
def measure(k):
    barrier.wait()
    if not measured_launch_seconds() > 0:
        failures.append("measured")

at_once(4, measure)

alone = [fitted(seed) for seed in range(4)]
together = [None] * 4

def fit(seed):
    barrier.wait()
    for _ in range(5):
        together[seed] = fitted(seed)

at_once(4, fit)
assert together == alone, (together, alone)

# Questions to one network at once
net = bpjit.Network([70, 140, 10], seed=0)
X = runs.classes(600, 70, 10)[0]
y = net.predict(X)

def ask(k):
    barrier.wait()
    for _ in range(20):
        if not np.array_equal(net.predict(X), y):
            failures.append("predicted")

at_once(4, ask)
assert not failures, failures
if sys.argv[1] != "default":
    assert numba.threading_layer() == "workqueue"
    assert in_a_child(fitted) == alone[0]
"""

PROGRAMS = {"forked": FORKED, "forked after other parallel code": FORKED_AFTER_OTHERS, "threads at once": AT_ONCE}


@pytest.mark.parametrize("layer", ["default", "workqueue"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_forks_and_threads(program, layer):
    """OpenMP ends a forked child that uses it, workqueue a process in which two threads do: neither may happen."""
    python(PROGRAMS[program], layer, timeout=90, **TWO | {"NUMBA_THREADING_LAYER": layer})


@pytest.mark.slow
def test_threads_without_openmp():
    python(AT_ONCE, "only workqueue", timeout=90, **TWO)


@pytest.mark.slow
@pytest.mark.parametrize("layer", ["default", "workqueue"])
def test_forks_while_other_threads_work(layer):
    python(FORKED_MEANWHILE, timeout=120, **TWO | {"NUMBA_THREADING_LAYER": layer})


@pytest.mark.slow
def test_a_fork_after_another_library_has_used_openmp():
    python(FORKED_AFTER_OPENMP, timeout=90, **TWO)


DAEMON = f"""{SHARED}
net = bpjit.Network([70, 140, 10], seed=0)
X, t = runs.classes(600, 70, 10)
begun = threading.Event()
work = lambda: net.fit(X, t, epochs=10**6, batch_size=300, callbacks=lambda *_: begun.set())
threading.Thread(target=work, daemon=True).start()
assert begun.wait(60)
print("the end")
"""


@pytest.mark.slow
def test_a_process_ends_while_a_thread_fits():
    assert python(DAEMON, timeout=60, **TWO) == ["the end"]


# Pools of workers

POOL = """
import concurrent.futures, multiprocessing, sys
from fitting import fitted

method = sys.argv[1]
if method == "threads":
    expected = [fitted(seed) for seed in range(3)]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert list(pool.map(fitted, [0, 1, 2, 0])) == [*expected, expected[0]]
    sys.exit()
context = multiprocessing.get_context(method)
for parent_has_fitted in (False, True):
    if parent_has_fitted:
        expected = [fitted(seed) for seed in range(3)]
    with context.Pool(2) as pool:
        found = pool.map(fitted, [0, 1, 2, 0])
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        again = list(pool.map(fitted, [0, 1, 2, 0]))
    if parent_has_fitted:
        assert found == again == before == [*expected, expected[0]]
    before = found
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver", "threads"])
def test_pools_of_workers(method):
    python(POOL, method, timeout=180, **TWO)


JOBLIB = """
import sys
import joblib
from fitting import fitted, planned

expected = [fitted(seed) for seed in range(2)]
backend = sys.argv[1]
options = {"inner_max_num_threads": 1} if backend == "loky" else {}
with joblib.parallel_config(backend, n_jobs=2, **options):
    results = joblib.Parallel()(joblib.delayed(planned)(seed) for seed in (0, 1, 0, 1))
assert [bits for bits, *_ in results] == 2 * expected, results
if backend == "loky":  # as many processes as CPUs: each is to keep to one thread
    for _, threads, reason, threads_started in results:
        assert threads == 1 and "NUMBA_NUM_THREADS" in reason and not threads_started, (threads, reason)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_joblib(backend):
    python(JOBLIB, backend, timeout=180, **TWO)


# Few CPUs

FEW_CPUS = """
import os, sys
from bpjit.engine import plan

available = plan.available_cpus
from fitting import fitted, planned

expected = fitted() if sys.argv[1] == "compare" else None
if sys.argv[1] == "affinity":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
else:
    plan._physical_cores = lambda allowed: [0, 1]
    names = {
        "version 2": {"/sys/fs/cgroup/cpu.max": "100000 100000"},
        "version 1": {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000"},
        "service": {"/proc/self/cgroup": "0::/a.slice/b", "/sys/fs/cgroup/a.slice/cpu.max": "150000 100000"},
        "compare": {},
    }[sys.argv[1]]
    plan._read = lambda path: names.get(path, "")
if not expected:
    plan.available_cpus = available
    assert available() == 1
bits, threads, reason, threads_started = planned()
assert threads_started == (threads > 1)
print(bits, threads, reason)
"""


@pytest.mark.slow
def test_one_cpu():
    """By affinity, or the quota of a container or service: no second thread is started, and the bits are the same."""
    ((bits, threads, _),) = [line.split(" ", 2) for line in python(FEW_CPUS, "compare", **TWO)]
    assert threads == "2"
    for limit in ("affinity", "version 2", "version 1", "service"):
        assert python(FEW_CPUS, limit, **TWO) == [f"{bits} 1 there is one CPU to use"]


# Other libraries' threads

SCIKIT_LEARN = """
import threading
import numpy as np
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info, threadpool_limits
from fitting import X, at_once, fitted, t

rows = np.tile(X, (5, 1))

def cluster():
    with threadpool_limits(2):
        return KMeans(10, random_state=0, n_init=1).fit(rows).inertia_

def boost():
    return HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(X, t).score(X, t)

alone = fitted(), cluster(), boost()
assert any(library["user_api"] == "openmp" for library in threadpool_info())
found = {}

def work(k):
    name, function = [("net", fitted), ("clusters", cluster), ("trees", boost)][k]
    for _ in range(3):
        found[name] = function()

at_once(3, work)
assert found["net"] == alone[0]
assert np.isclose(found["clusters"], alone[1]) and found["trees"] == alone[2], (found, alone)
assert (fitted(), boost()) == (alone[0], alone[2])
"""


@pytest.mark.slow
def test_beside_scikit_learn():
    python(SCIKIT_LEARN, timeout=120, **TWO)


TORCH = """
import os, sys
if sys.argv[1] == "first":
    import torch
from fitting import at_once, fitted
bits = fitted()
import torch

torch.set_num_threads(2)
A = torch.randn(600, 600, generator=torch.Generator().manual_seed(0))
product = (A @ A).sum().item()
assert fitted() == bits
found = {}

def work(k):
    for _ in range(5):
        if k == 0:
            found["net"] = fitted()
        else:
            found["product"] = (A @ A).sum().item()

at_once(2, work)
assert found["net"] == bits and abs(found["product"] - product) <= 1e-3 * abs(product)
child = os.fork()
if not child:
    os._exit(0 if fitted() == bits else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.external
@pytest.mark.parametrize("imported", ["first", "later"])
def test_beside_pytorch(imported):
    """It brings an OpenMP of its own."""
    pytest.importorskip("torch")
    python(TORCH, imported, timeout=120, **TWO)
