"""How kernels are compiled and kept: a disk cache that never harms."""

import hashlib
import os
import pickle
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import numpy as np
import pytest
from runs import CHECKOUT, environment, python

from bpjit.engine import cache, jit

# One kernel, in a folder of its own


def scaled(x, factor):
    for k in range(x.size):
        x[k] *= factor


def shifted(x, factor):
    for k in range(x.size):
        x[k] += factor


@numba.njit
def _run(address, x, factor):
    jit.call(address, x, factor)


def run(kernel, dtype=np.float64):
    """What a kernel makes of 1, 2, 3 and the factor 2."""
    x = np.arange(1, 4, dtype=dtype)
    _run(kernel.address(dtype), x, 2.0)
    return x.tolist()


def kernel(function=scaled):
    """As in a new process: nothing of it is in memory."""
    return jit.kernel(jit.vector, jit.NUMBER, name="test.kernel")(function)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    return tmp_path / "kernels"


def only_file(folder):
    (name,) = os.listdir(folder)
    return folder / name


def test_a_kernel_is_compiled_once_for_a_dtype(folder):
    before = jit.seconds_compiling()
    one = kernel()
    assert run(one) == [2, 4, 6]
    address, spent = one.address("float64"), jit.seconds_compiling()
    assert spent > before
    assert one.address(np.float64) == one.address(np.dtype("float64")) == address
    assert jit.seconds_compiling() == spent
    assert run(one, np.float32) == [2, 4, 6]
    assert one.address(np.float32) != address
    assert len(os.listdir(folder)) == 2


def test_a_kernel_is_loaded_from_its_file(folder):
    assert run(kernel()) == [2, 4, 6]
    path = only_file(folder)
    assert re.fullmatch(r"test\.kernel-[0-9a-f]{32}\.kernel", path.name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.stat()
    assert run(kernel()) == [2, 4, 6]
    after = only_file(folder).stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)  # not written again


def with_checksum(content):
    return hashlib.sha256(content).digest() + content


def with_key(content, pickled):
    """What a process with the right key wrote, but for what was pickled."""
    return with_checksum(content[32:64] + pickled)


DAMAGES = {
    "empty": lambda content: b"",
    "cut in the checksum": lambda content: content[:17],
    "the checksum alone": lambda content: content[:32],
    "cut": lambda content: content[: len(content) // 2],
    "cut by a byte": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "a flipped bit": lambda content: content[:99] + bytes([content[99] ^ 4]) + content[100:],
    "garbage": lambda content: np.random.default_rng(0).bytes(len(content)),
    "garbage with a right checksum": lambda content: with_checksum(b"garbage"),
    "of another key": lambda content: with_checksum(bytes(32) + content[64:]),
    "garbage with a right key": lambda content: with_key(content, b"garbage"),
    "another program's pickle": lambda content: pickle.dumps({"a": 1}),
    "a pickle of something else": lambda content: with_key(content, pickle.dumps({"a": 1})),
    "a pickle of nothing": lambda content: with_key(content, pickle.dumps(None)),
    "a pickle of what is not here": lambda content: with_key(content, b"cno_such_module\nthing\n."),
    "no machine code": lambda content: with_key(content, pickle.dumps((("x", "object", (b"", b"")), "f", []))),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_and_written_again(folder, damage):
    assert run(kernel()) == [2, 4, 6]
    path = only_file(folder)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert run(kernel()) == [2, 4, 6]
    content = only_file(folder).read_bytes()
    assert hashlib.sha256(content[32:]).digest() == content[:32]
    before = path.stat().st_mtime_ns
    assert run(kernel()) == [2, 4, 6]
    assert path.stat().st_mtime_ns == before


def test_a_folder_in_a_kernels_place(folder):
    assert run(kernel()) == [2, 4, 6]
    path = only_file(folder)
    path.unlink()
    path.mkdir()
    assert run(kernel()) == [2, 4, 6]
    assert only_file(folder) == path  # and no temporary file


def test_a_kernel_of_the_same_name_is_another_one(folder):
    assert run(kernel(scaled)) == [2, 4, 6]
    assert run(kernel(shifted)) == [3, 4, 5]
    assert run(kernel(scaled)) == [2, 4, 6]


@pytest.mark.parametrize("step", ["mkdir", "write", "replace"])
@pytest.mark.parametrize("error", [PermissionError(13, "read-only"), OSError(28, "no space left")])
def test_without_a_place_to_write_it_runs_all_the_same(folder, monkeypatch, step, error):
    """The account that tests run under may be allowed to write everywhere: the system's answers are played."""
    folder.mkdir()

    def refuse(*args, **kwargs):
        raise error

    if step == "mkdir":
        monkeypatch.setattr(Path, "mkdir", refuse)
    elif step == "replace":
        monkeypatch.setattr(os, "replace", refuse)
    else:
        make = tempfile.NamedTemporaryFile

        def full(*args, **kwargs):
            file = make(*args, **kwargs)
            file.write = refuse
            return file

        monkeypatch.setattr(tempfile, "NamedTemporaryFile", full)
    assert run(kernel()) == [2, 4, 6]
    assert os.listdir(folder) == []


def test_an_error_in_a_kernel_reaches_the_caller(folder):
    def strict(x, factor):
        if factor != 3.0:
            raise ValueError("the factor is not 3")

    with pytest.raises(ValueError, match="the factor is not 3"):
        run(kernel(strict))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # where Python shows the error itself
def test_an_error_below_what_python_calls_is_raised(folder):
    @jit.entry
    def strict(address, like):
        if address != 3:
            raise ValueError("the address is not 3")
        return 1

    strict(3, np.zeros(1))
    with pytest.raises(RuntimeError, match="strict called raised an error"):
        strict(4, np.zeros(1))


def test_the_flags_keep_nan_and_infinity():
    """With nnan or ninf the compiler would delete the tests that find a divergence."""
    assert not jit.OPTIONS["fastmath"] & {"fast", "nnan", "ninf"}

    def is_finite(x, found):
        found[0] = 1.0 if np.isfinite(x) and x == x and abs(x) < np.inf else 0.0

    compiled = numba.njit(**jit.OPTIONS)(is_finite)
    for value, wanted in ((1.0, 1.0), (np.nan, 0.0), (np.inf, 0.0), (-np.inf, 0.0)):
        found = np.full(1, -1.0)
        compiled(value, found)
        assert found[0] == wanted


def test_where_kernels_are_kept(tmp_path):
    program = "from bpjit.engine import cache; print(cache.cache_folder())"
    assert python(program, BPJIT_CACHE_DIR=str(tmp_path / "chosen")) == [str(tmp_path / "chosen")]
    assert not (tmp_path / "chosen").exists()  # until something is compiled
    (found,) = python(program, BPJIT_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path / "own"), HOME=str(tmp_path))
    assert Path(found).is_relative_to(tmp_path)
    assert Path(found).name == "bpjit"


# Whole networks, in processes of their own

FIT = """
import numpy as np
import bpjit, runs
from bpjit.engine import jit, plan
plan.available_cpus = lambda: 1

X, t = runs.classes()
net = bpjit.Network([3, 4, 2], activation="tanh", dtype="float64", seed=0)
net.fit(X, t, epochs=2, batch_size=5)
print(runs.bits(net), net.history.compile_seconds)
"""


def kernels(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.fixture(scope="module")
def bits():
    """What FIT ends with; its kernels are in the session's cache then."""
    return python(FIT)[0].split()[0]


@pytest.fixture
def copied(bits, tmp_path):
    """A copy of the session's kernels, to which no other test adds; but for files that are being written."""
    return shutil.copytree(os.environ["BPJIT_CACHE_DIR"], tmp_path / "kernels", ignore=shutil.ignore_patterns(".*"))


def test_a_new_process_compiles_nothing_that_is_in_the_cache(bits, copied):
    before = kernels(copied)
    again, _ = python(FIT, BPJIT_CACHE_DIR=str(copied))[0].split()
    assert again == bits
    assert kernels(copied) == before


def test_a_fit_with_damaged_kernels(bits, copied):
    names = r"(activations\.tanh-|batch\.gather_targets-|adam\.adam-)"
    damaged = [path for path in copied.iterdir() if re.match(names, path.name)]
    assert len(damaged) >= 3
    for k, path in enumerate(damaged):
        content = path.read_bytes()
        path.write_bytes(content[: k * len(content) // len(damaged)])
    again, _ = python(FIT, BPJIT_CACHE_DIR=str(copied))[0].split()
    assert again == bits
    contents = [path.read_bytes() for path in damaged]
    mended = [content for content in contents if hashlib.sha256(content[32:]).digest() == content[:32]]
    assert len(mended) >= 3  # those that this fit needs


TRAIN = """
import bpjit
net = bpjit.Network([1, 1], loss="squared_error", dtype="float64", seed=0)
history = net.fit([[1.0], [2.0]], [1.0, 2.0], epochs=20, batch_size=2, optimizer=bpjit.SGD(learning_rate=0.1))
assert history["loss"][-1] < 0.1 * history["loss"][0]
"""


@pytest.mark.slow
def test_a_fit_without_a_folder_for_kernels(tmp_path):
    (tmp_path / "file").write_text("in its place")
    python(TRAIN, BPJIT_CACHE_DIR=str(tmp_path / "file" / "kernels"))
    assert os.listdir(tmp_path) == ["file"]


COMPILING = """
import numpy as np
from bpjit.engine import activations, optimizers
for name in ("relu", "tanh", "sigmoid"):
    activations.ACTIVATIONS[name].sigma.address(np.float64)
optimizers.Adam.begin.address(np.float64)
"""


@pytest.mark.slow
def test_processes_that_compile_at_once(tmp_path):
    folder = tmp_path / "kernels"
    processes = [
        subprocess.Popen([sys.executable, "-c", COMPILING], env=environment(BPJIT_CACHE_DIR=str(folder)))
        for _ in range(3)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    found = kernels(folder)
    assert len(found) == 4  # and no temporary file
    assert all(hashlib.sha256(content[32:]).digest() == content[:32] for content in found.values())


PREDICT = """
import bpjit
net = bpjit.Network([1, 1], loss="binary_cross_entropy", dtype="float64")
net.set_parameters([([[1.0]], [0.0])])
print(bpjit.__file__, net.predict([[1.0]])[0, 0])
"""


@pytest.mark.slow
def test_an_edit_of_the_engine_is_followed(tmp_path):
    """Also by the kernels of files that only import from the one that was edited."""
    shutil.copytree(CHECKOUT / "bpjit", tmp_path / "bpjit", ignore=shutil.ignore_patterns("__pycache__"))
    edited = tmp_path / "bpjit" / "engine" / "elementwise.py"

    def predicted():
        place, y = python(PREDICT, cwd=tmp_path, PYTHONPATH=str(tmp_path))[0].split()
        assert Path(place).parents[1] == tmp_path
        return float(y)

    assert predicted() == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-15)
    source = edited.read_text()
    edited.write_text(source + "\n\n@inline\ndef sigmoid(z):\n    return 0.0 * z + 0.125\n")
    assert predicted() == 0.125
    edited.write_text(source)
    assert predicted() == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-15)


PLAIN = """
import sys
import numpy as np
import bpjit, runs
from bpjit.engine import plan
plan.available_cpus = lambda: 1

X, t = runs.classes()
for options in ({}, {"loss": "binary_cross_entropy", "activation": "relu"}, {"loss": "squared_error", "bias": False}):
    net = bpjit.Network([3, 20, 2], dtype="float64", seed=0, **({"activation": "tanh"} | options))
    history = net.fit(X, t if not options else np.eye(2)[t], epochs=2, batch_size=5)
    W = np.concatenate([W.ravel() for W, _ in net.parameters()])
    print(*history["loss"], W.sum(), np.abs(W).sum())
"""


def test_plain_python_trains_alike():
    """To float64 rounding: the same loops, whose sums the compiler may take in another order."""
    compiled, plain = python(PLAIN), python(PLAIN, NUMBA_DISABLE_JIT="1")
    assert len(compiled) == len(plain) == 3
    for row, other in zip(compiled, plain, strict=True):
        assert list(map(float, other.split())) == pytest.approx(list(map(float, row.split())), rel=1e-12)
