"""A fit that takes as many threads as there may be, for programs whose processes import what they run."""

import threading
import warnings

import numba
import runs

import bpjit
from bpjit.engine import plan

# Without measuring whether that is wise.
plan.available_cpus = lambda: 2
plan.launch_seconds, measured_launch_seconds = lambda: 0.0, plan.launch_seconds
plan.Pace.took = lambda *_: None
warnings.simplefilter("ignore")  # newer Pythons warn of forks with threads

X, t = runs.classes(600, 70, 10)


def trained(seed=0, optimizer=None):
    net = bpjit.Network([70, 140, 10], seed=seed)
    net.fit(X, t, epochs=2, batch_size=300, seed=seed, optimizer=optimizer)
    return net


def fitted(seed=0, optimizer=None):
    """The bits of a network that was trained on two threads, if two may be entered."""
    net = trained(seed, optimizer)
    assert net.history.plan.threads == 2, net.history.plan
    return runs.bits(net)


def planned(seed=0):
    """The bits, whatever the plan; the plan, and whether Numba's threads were needed."""
    net = trained(seed)
    return runs.bits(net), net.history.plan.threads, net.history.plan.reason, numba.np.ufunc.parallel._is_initialized


def at_once(count, work):
    """Runs work(0), ..., work(count - 1), each in a thread."""
    threads = [threading.Thread(target=work, args=(k,)) for k in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
