"""The same bits on any number of threads, and no more threads than allowed."""

import pytest
from runs import python

THREADS = """
import ctypes, dataclasses, sys, unittest.mock
import numba
import numpy as np
import bpjit, runs
from numba import types
from bpjit.engine import activations, jit, plan

# A plan that takes as many threads as it may, and does not measure whether that was wise.
plan.available_cpus = lambda: 7
plan.launch_seconds = lambda: 0.0
plan.Pace.took = lambda *_: None

# Layers of very different widths, so that a worker is in one layer while another is in the next.
SIZES = [70, 140, 20, 90, 10]
X, t = runs.classes(1800, 70, 10)


def trained(threads, optimizer, dtype="float32", epochs=3, validation=None, **options):
    net = bpjit.Network(SIZES, seed=0, dtype=dtype)
    trainer = bpjit.Trainer(net, optimizer, batch_size=1000, seed=0, threads=threads, **options)  # 1000 and 800
    history = trainer.fit(X, t, epochs=epochs, validation=validation)
    assert history.plan.threads == threads, (threads, history.plan)
    return runs.state_bits(trainer)


for dtype in ("float32", "float64") if sys.argv[1] == "both" else ("float32",):
    for optimizer in (bpjit.SGD(learning_rate=0.1), bpjit.Adam()):
        hashes = [trained(threads, optimizer, dtype) for threads in (1, 2, 3, 7)]
        assert len(set(hashes)) == 1, hashes

# What is driven by results: their bits, too, are the same.
plateau = bpjit.schedules.OnPlateau(patience=0, threshold=0.2, factor=0.5)
stopping = bpjit.EarlyStopping("validation_loss", 2, min_delta=0.1)
options = {"epochs": 12, "validation": (X[:300], t[:300]), "schedule": plateau, "early_stopping": stopping}
hashes = [trained(threads, bpjit.SGD(learning_rate=0.1), **options) for threads in (1, 2)]
assert len(set(hashes)) == 1, hashes

# Who works: kernels of the run that write down the system's number of the thread which runs them.
gettid = ctypes.CDLL(None).gettid
gettid.argtypes, gettid.restype = [], ctypes.c_int
usleep = ctypes.CDLL(None).usleep  # else a worker that wakes late would find nothing left of a region
usleep.argtypes, usleep.restype = [ctypes.c_uint], ctypes.c_int
SEEN = np.zeros((2, 1 << 22), np.int64)  # as many as the system can count


@numba.extending.intrinsic
def pointer(typingctx, address):
    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.intp), codegen


def watched(parameters, function):
    kernel = jit.kernel(*parameters)(function)
    with unittest.mock.patch.object(jit.CacheFile, "save"):  # no other process has these addresses
        kernel.address("float32")
    return kernel


PLACES, MOST = [row.ctypes.data for row in SEEN], SEEN.shape[1]
OF_SIGMA, OF_UPDATE = PLACES


def sigma(z, a, setting):
    numba.carray(pointer(OF_SIGMA), (MOST,), np.int64)[gettid()] += 1
    usleep(1000)
    for i in range(z.shape[0]):
        for s in range(z.shape[1]):
            a[i, s] = max(z[i, s], 0)


def update(theta, moments, start, gradient, coefficients):
    numba.carray(pointer(OF_UPDATE), (MOST,), np.int64)[gettid()] += 1
    usleep(1000)
    for k in range(gradient.size):
        theta[start + k] -= coefficients[0] * gradient[k]


activations.ACTIVATIONS["relu"] = dataclasses.replace(
    activations.ACTIVATIONS["relu"], sigma=watched((jit.matrix, jit.matrix, jit.NUMBER), sigma)
)


class Watched(bpjit.SGD):
    moments = 0
    update = watched((jit.vector, jit.matrix, jit.INDEX, jit.vector, jit.vector), update)


for threads in (1, 2, 7):
    SEEN[:] = 0
    trained(threads, Watched(learning_rate=0.1), epochs=1)
    print(threads, *(np.count_nonzero(row) for row in SEEN))
print(numba.threading_layer())
"""


@pytest.mark.parametrize(("layer", "dtypes"), [("default", "both"), ("workqueue", "one")])
def test_the_same_bits_on_any_number_of_threads(layer, dtypes):
    *workers, found = python(
        THREADS, dtypes, NUMBA_NUM_THREADS="8", NUMBA_THREADING_LAYER=layer, OMP_WAIT_POLICY="passive"
    )
    assert layer in ("default", found)
    seen = {threads: counts for threads, *counts in (map(int, row.split()) for row in workers)}
    assert all(count <= threads for threads, counts in seen.items() for count in counts)
    if found != "tbb":  # whose workers may leave all pieces to the first of them
        assert seen[1] == [1, 1]
        assert seen[2] == [2, 2]  # of pieces of the mini-batch, and of pieces of the gradient
        assert all(count > 2 for count in seen[7])


LIMITED = """
import numba, runs, bpjit
from bpjit.engine import plan
plan.available_cpus = lambda: 2
plan.launch_seconds = lambda: 0.0

X, t = runs.classes(600, 70, 10)
trainer = bpjit.Trainer(bpjit.Network([70, 140, 20, 90, 10], seed=0), batch_size=500, threads=1)
trainer.fit(X, t, epochs=1, validation=(X, t))
assert trainer.history.plan.threads == 1
try:
    print(numba.threading_layer())
except ValueError:  # never entered
    print("none")
"""


def test_threads_are_an_upper_limit_for_validation_too():
    assert python(LIMITED, NUMBA_NUM_THREADS="2") == ["none"]
