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


def state_bits(trainer):
    """A hash of all that training changes: parameters, moments, order; and where the run stands, without its times."""
    tensors, configuration = trainer.state()
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].tobytes())
    position = {name: value for name, value in configuration["position"].items() if name != "seconds"}
    columns = {name: values for name, values in configuration["history"].items() if name != "seconds"}
    digest.update(repr((position, columns)).encode())
    return digest.hexdigest()[:16]


def classes(samples=23, columns=3, outputs=2, seed=0):
    """X (S, n_0) and labels (S,) that can be learnt."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(samples, columns))
    return X, (X @ rng.normal(size=(columns, outputs))).argmax(axis=1)


def environment(**changes):
    """The environment of another process that is to find this very package."""
    return os.environ | {"PYTHONPATH": str(CHECKOUT)} | changes


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
