"""What the tests of training runs share: the bits of a network, small data, programs in processes of their own."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import bpjit

CHECKOUT = Path(bpjit.__file__).parents[1]


def bits(net):
    """A hash of all parameters: equal for equal bits only."""
    digest = hashlib.sha256()
    for array in (array for pair in net.parameters() for array in pair if array is not None):
        digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def state_bits(trainer, scores=True):
    """A hash of all that training changes: parameters, moments, order; where the run stands, and what its results have
    led to; and the history, without its times, and if asked to without scores of validation.
    """
    tensors, configuration = trainer.state()
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    position = {name: value for name, value in configuration["position"].items() if name != "seconds"}
    left_out = ("seconds",) if scores else ("seconds", "validation_loss", "validation_accuracy")
    columns = {name: values for name, values in configuration["history"].items() if name not in left_out}
    results = [configuration[name] for name in ("judged", "schedule_state", "stopping_state") if scores]
    digest.update(repr((position, columns, *results)).encode())
    return digest.hexdigest()[:16]


def classes(samples=23, columns=3, outputs=2, seed=0):
    """X (S, n_0) and labels (S,) that can be learnt."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, columns))
    return X, (X @ rng.normal(size=(columns, outputs))).argmax(axis=1)


def trainer(optimizer=None, seed=0, **options):
    """Of a small network in float64; 5 mini-batches make an epoch of the 23 samples of `classes`."""
    net = bpjit.Network([3, 4, 2], activation="tanh", seed=seed, dtype="float64")
    return bpjit.Trainer(net, optimizer or bpjit.Adam(learning_rate=0.1), **({"batch_size": 5, "seed": 1} | options))


def line(rate, w=0.0, dtype="float32", momentum=0.0, **options):
    """y = w x + b with squared error: without momentum a step multiplies the error y - t by 1 - rate (x^2 + 1)."""
    net = bpjit.Network([1, 1], loss="squared_error", dtype=dtype)
    net.set_parameters([([[w]], [0.0])])
    return bpjit.Trainer(
        net,
        bpjit.SGD(learning_rate=rate, momentum=momentum),
        **({"batch_size": 1, "seed": 0, "shuffle": False} | options),
    )


def environment(**changes):
    """The environment of another process that is to find this very package, and this module."""
    return os.environ | {"PYTHONPATH": f"{CHECKOUT}{os.pathsep}{Path(__file__).parent}"} | changes


def python(program, *arguments, timeout=120, cwd=None, **changes):
    """What a program prints in a process of its own, line by line."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=environment(**changes),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()
