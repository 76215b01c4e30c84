"""Files: what is written comes back to the bit, whole or not at all; what is unsound is refused."""

import errno
import json
import os
import pickle
import random
import resource
import stat
import subprocess
import tracemalloc
import zipfile
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from runs import classes, python

import bpjit
from bpjit import storage, validation

CONFIGURATION = {"sizes": [3, 2, 1], "dtype": "float32", "bias": True, "of": "späte Äpfel"}
TENSORS = {
    "W1": np.arange(6, dtype=np.float32).reshape(2, 3) / 3,
    "b1": np.array([-0.0, 1e-45], np.float32),
    "W2": np.array([[7.5, -2]], np.float32),
    "b2": np.ones(1, np.float32),
}


def metadata(kind="model", configuration=None, **other):
    text = json.dumps(CONFIGURATION if configuration is None else configuration)
    return {"format": "bpjit", "kind": kind, "version": "1", "configuration": text, **other}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def saved(path):
    """The content of a sound file."""
    storage.write(path, TENSORS, metadata())
    return path.read_bytes()


def header_of(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def packed(header, data=b""):
    """A file of this header, an object or the very bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def assert_equal_bits(found, wanted):
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype.newbyteorder("=")
        assert found[name].shape == tensor.shape
        assert found[name].tobytes() == tensor.astype(tensor.dtype.newbyteorder("=")).tobytes()


def assert_refused(path, *parts, kind="model"):
    with pytest.raises(bpjit.storage.FileFormatError) as caught:
        storage.read(path, kind)
    message = str(caught.value)
    assert message.startswith(f"{str(path)!r} is no sound bpjit {kind}: ")
    assert all(part in message for part in parts), message
    assert len(message) < 1000


def only(folder, *names):
    """No temporary file is left."""
    return sorted(os.listdir(folder)) == sorted(names)


# What is written comes back


def test_tensors_and_configuration_come_back(path):
    storage.write(path, TENSORS, metadata())
    tensors, configuration = storage.read(path, "model")
    assert_equal_bits(tensors, TENSORS)
    assert configuration == CONFIGURATION
    assert only(path.parent, path.name)


DTYPES = ["<f4", ">f4", "<f8", ">f8", "i1", "u1", "<i2", ">u2", "<i4", ">u4", "<i8", ">i8", "<u8"]


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=4).filter(lambda name: name != "__metadata__"),
        hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
        max_size=4,
    ),
    st.booleans(),
)
def test_any_tensors_come_back(tmp_path_factory, tensors, turned):
    path = tmp_path_factory.mktemp("any") / "run.ckpt"
    tensors = {name: tensor.T if turned else tensor for name, tensor in tensors.items()}
    storage.write(path, tensors, metadata("checkpoint"))
    assert_equal_bits(storage.read(path, "checkpoint")[0], tensors)


def test_tensors_of_any_order_in_memory(path):
    A = np.arange(24.0).reshape(4, 6)
    tensors = {
        "Fortran": np.asfortranarray(A),
        "reversed": A[::-1, ::-1],
        "strided": A[::2, 1::3],
        "broadcast": np.broadcast_to(A[0], (3, 6)),
        "scalar": np.array(3.5),
        "empty": np.empty((0, 5)),
    }
    storage.write(path, tensors, metadata())
    assert_equal_bits(storage.read(path, "model")[0], tensors)


def test_what_is_read_is_ones_own(path):
    storage.write(path, TENSORS, metadata())
    tensors, _ = storage.read(path, "model")
    for tensor in tensors.values():
        assert tensor.flags.c_contiguous
        assert tensor.flags.aligned
        assert tensor.flags.owndata
        tensor[...] = 0
    assert_equal_bits(storage.read(path, "model")[0], TENSORS)


def test_other_programs_can_read_it(path):
    storage.write(path, TENSORS, metadata())
    assert_equal_bits(safetensors.numpy.load_file(path), TENSORS)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata().keys() == metadata().keys() | {"checksum"}


@pytest.mark.parametrize("framework", ["np", pytest.param("pt", marks=pytest.mark.external)])
def test_the_reference_library_reads_models_and_checkpoints(tmp_path, framework):
    if framework == "pt":
        pytest.importorskip("torch")
    made = trainer()[0]
    made.net.save(tmp_path / "model.safetensors")
    made.checkpoint(tmp_path / "run.ckpt")
    for name, kind in (("model.safetensors", "model"), ("run.ckpt", "checkpoint")):
        wanted = storage.read(tmp_path / name, kind)[0]
        with safetensors.safe_open(tmp_path / name, framework) as file:
            assert file.metadata()["format"] == "bpjit"
            found = {key: np.asarray(file.get_tensor(key)) for key in file.keys()}
        assert_equal_bits(found, wanted)


@pytest.mark.parametrize("dtype", ["?", "f2", "c8", "O", "U3", "M8[s]", "longdouble"])
def test_dtypes_that_have_no_place_in_a_file(saved, path, dtype):
    with pytest.raises(TypeError, match="'a' of dtype"):
        storage.write(path, {"a": np.zeros(2, dtype)}, metadata())
    assert path.read_bytes() == saved
    assert only(path.parent, path.name)


def test_a_header_too_long_to_be_read_is_not_written(saved, path):
    with pytest.raises(ValueError, match="16 MiB"):
        storage.write(path, TENSORS, metadata(configuration={"text": "x" * storage.HEADER_LIMIT}))
    assert path.read_bytes() == saved
    long = {"text": "x" * (storage.HEADER_LIMIT - 2000)}
    storage.write(path, TENSORS, metadata(configuration=long))
    assert storage.read(path, "model")[1] == long


# Paths


@pytest.mark.parametrize("make", [str, Path, os.fspath])
def test_paths(make, path):
    storage.write(make(path), TENSORS, metadata())
    assert storage.read(make(path), "model")[1] == CONFIGURATION


def test_paths_relative_to_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage.write("model", TENSORS, metadata())
    assert storage.read("model", "model")[1] == CONFIGURATION
    assert only(tmp_path, "model")


@pytest.mark.parametrize("bad", [3, None, b"model", True, ["model"], 1.5])
def test_paths_that_are_none(bad):
    with pytest.raises(TypeError, match="path must be"):
        storage.write(bad, TENSORS, metadata())
    with pytest.raises(TypeError, match="path must be"):
        storage.read(bad, "model")


def test_saving_where_no_file_can_be(tmp_path):
    with pytest.raises(FileNotFoundError, match="create it first"):
        storage.write(tmp_path / "missing" / "model", TENSORS, metadata())
    with pytest.raises(IsADirectoryError, match="folder"):
        storage.write(tmp_path, TENSORS, metadata())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="no ordinary file"):
        storage.write(tmp_path / "pipe", TENSORS, metadata())
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    with pytest.raises(OSError) as caught:
        storage.write(tmp_path / ("x" * 300), TENSORS, metadata())
    assert caught.value.errno == errno.ENAMETOOLONG
    assert only(tmp_path, "pipe")


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, file = tmp_path / "latest", tmp_path / "elsewhere" / "model"
    link.symlink_to(file)
    for configuration in ({"n": 1}, {"n": 2}):  # the first time the link points at nothing
        storage.write(link, TENSORS, metadata(configuration=configuration))
        assert link.is_symlink()
        assert storage.read(file, "model")[1] == storage.read(link, "model")[1] == configuration
    assert only(tmp_path, "elsewhere", "latest")
    assert only(tmp_path / "elsewhere", "model")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_of_a_new_file_are_those_of_any(path, umask, mode):
    before = os.umask(umask)
    try:
        storage.write(path, TENSORS, metadata())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_permissions_of_an_old_file_are_kept(saved, path):
    for mode in (0o600, 0o664):
        path.chmod(mode)
        storage.write(path, TENSORS, metadata())
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_write_protected_file_is_kept(saved, path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda name, mode: mode != os.W_OK)  # root may write everywhere
    with pytest.raises(PermissionError, match="write-protected"):
        storage.write(path, {}, metadata())
    assert path.read_bytes() == saved
    assert only(path.parent, path.name)


EVERY = [pytest.param(1, marks=pytest.mark.slow), 53]
"""Bytes between two that are tried."""

# All or nothing


@contextmanager
def largest_file(size):
    """The system refuses to write more, as it does when the disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 100_000])
def test_a_full_disk_keeps_the_old_file(saved, path, size):
    with pytest.raises(OSError) as caught, largest_file(size):
        storage.write(path, {"a": np.zeros(50_000)}, metadata())
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == saved
    assert only(path.parent, path.name)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "disk full"), KeyboardInterrupt()])
def test_an_error_at_any_step_keeps_the_old_file(saved, path, monkeypatch, step, error):
    def fail(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with pytest.raises(type(error)) as caught:
            storage.write(path, {}, metadata())
    assert caught.value is error
    assert path.read_bytes() == saved
    assert only(path.parent, path.name)


def test_the_content_is_on_the_disk_before_it_has_the_name(path, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace

    def record_fsync(handle):
        steps.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def record_replace(source, target):
        assert os.path.dirname(source) == os.path.dirname(target)  # a rename within one file system
        steps.append("name")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(os, "replace", record_replace)
    storage.write(path, TENSORS, metadata())
    assert steps == ["file", "name", "folder"]


KILLED = """
import io, os, resource, signal, sys
import numpy as np
import bpjit, runs
from bpjit import storage
from bpjit.engine import plan

plan.available_cpus = lambda: 1
folder = sys.argv[1]
path, best = f"{folder}/file", f"{folder}/best"
X, t = runs.classes(23)
calls = die_at = 0


def counted(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)  # before it
        result = function(*arguments, **options)
        calls += 1
        if calls == die_at:
            os.kill(os.getpid(), signal.SIGKILL)  # after it
        return result
    return call


def watch():
    for name in ("open", "chmod", "fsync", "replace", "unlink", "close"):
        setattr(os, name, counted(getattr(os, name)))
    storage.open = lambda of, mode, **more: io.BufferedWriter(Raw(of, mode)) if mode == "wb" else open(of, mode, **more)


class Raw(io.FileIO):
    # What is written, as the system sees it.
    def write(self, content):
        return counted(super().write)(content)

    def close(self):
        counted(super().close)()


def network(seed):
    return bpjit.Network([3, 4, 2], seed=seed)


def saving(version):
    network(version).save(path)


def checkpointing(version):
    bpjit.Trainer(network(version), seed=version).checkpoint(path)


def fitting(version):
    net = network(0)
    options = {"best": best, "checkpoint_every": 3} if version else {}
    bpjit.Trainer(net, batch_size=5, seed=version, threads=1).fit(X, t, epochs=1, checkpoint=path, **options)


def state(path):
    if not os.path.exists(path):
        return None
    try:
        return runs.bits(bpjit.load(path))
    except bpjit.FileFormatError:
        return runs.state_bits(bpjit.Trainer.resume(path))


def run(work, k):
    global calls, die_at
    child = os.fork()
    if not child:
        watch()
        calls, die_at = 0, k
        work(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def begin_again():
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    with open(path, "wb") as file:
        file.write(old)


for work in map(globals().get, sys.argv[2:]):
    work(1)  # all is compiled then
    # Every state that the file may be found in: that before, and each that is written.
    states, replace = {path: set(), best: {None}}, os.replace

    def noted(source, target):
        replace(source, target)
        states[target].add(state(target))

    os.replace = noted
    work(0)
    states[path] = {state(path)}
    with open(path, "rb") as file:
        old = file.read()
    work(1)
    os.replace = replace
    k = left = 0
    while True:
        begin_again()
        k += 1
        status = run(work, k)
        assert state(path) in states[path] and state(best) in states[best], (work, k)
        left += len([name for name in os.listdir(folder) if name.endswith(".tmp")])
        if status == 0:
            break
        assert status == -signal.SIGKILL, status
    assert k > 12 and left >= 3, (work, k, left)

    # In the middle of a write: after so many bytes the system ends the process.
    size = os.path.getsize(path)
    for limit in range(0, size, size // 7):
        begin_again()
        child = os.fork()
        if not child:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work(1)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert state(path) in states[path] and state(best) in states[best], (work, limit)
        assert status == -signal.SIGXFSZ, (status, limit)
    print(k)
"""


def test_a_save_that_is_killed_anywhere_leaves_a_whole_file(tmp_path):
    """Before and after every call that opens, writes, closes or renames, and in the middle of what is written."""
    assert len(python(KILLED, tmp_path, "saving", timeout=60)) == 1


@pytest.mark.slow
def test_a_fit_that_is_killed_anywhere_leaves_whole_files(tmp_path):
    once, in_a_fit = map(int, python(KILLED, tmp_path, "checkpointing", "fitting", timeout=120))
    assert in_a_fit > 2 * once  # it writes several times, and looks for what others left once


@contextmanager
def small_disk(folder, size):
    """A file system that holds so many bytes, where this account may mount one; else no file may be larger."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True)
    try:
        with nullcontext() if mounted.returncode == 0 else largest_file(size):
            yield
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_that_is_full_keeps_the_old_files(tmp_path):
    path, best = tmp_path / "run.ckpt", tmp_path / "best.safetensors"
    X, t = classes(23)
    failed = 0
    for room in range(8, 80, 4):  # KiB; a checkpoint has about 26, and the network 9
        net = bpjit.Network([3, 300, 2], seed=0)
        with small_disk(tmp_path, room * 1024):
            kept = bpjit.Trainer(bpjit.Network([3, 4, 2], seed=1), batch_size=5, seed=1)
            kept.checkpoint(path)
            kept.net.save(best)
            before = path.read_bytes(), best.read_bytes()
            trainer = bpjit.Trainer(net, batch_size=5, seed=0)
            for write, file in ((trainer.checkpoint, path), (net.save, best)):
                try:
                    write(file)
                except OSError as error:
                    assert error.errno in (errno.ENOSPC, errno.EFBIG)
                    assert file.read_bytes() == before[file is best]
                    failed += 1
            try:
                trainer.fit(X, t, epochs=2, checkpoint=path, checkpoint_every=2, best=best)
            except OSError:
                failed += 1
            assert net.predict(X).shape == (23, 2)
            assert bpjit.Trainer.resume(path).net.sizes in ((3, 4, 2), (3, 300, 2))
            assert bpjit.load(best).sizes in ((3, 4, 2), (3, 300, 2))
            assert only(tmp_path, path.name, best.name)
            path.unlink(), best.unlink()
    assert failed > 5


@pytest.mark.parametrize("apart", EVERY)
@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_a_file_size_limit_at_every_byte(tmp_path, kind, apart):
    path = tmp_path / "file"
    old, new = (bpjit.Trainer(bpjit.Network([3, 4, 2], seed=seed), seed=seed) for seed in (0, 1))

    def write(one):
        one.net.save(path) if kind == "model" else one.checkpoint(path)

    write(new)
    size = path.stat().st_size
    write(old)
    before = path.read_bytes()
    for limit in [*range(0, size, apart), size - 1]:
        with pytest.raises(OSError), largest_file(limit):
            write(new)
        assert path.read_bytes() == before
    assert only(tmp_path, "file")
    with largest_file(size):
        write(new)
    assert path.read_bytes() != before


def test_what_killed_saves_have_left_is_removed(saved, path):
    """By a later save in that folder, once nobody can be at it."""
    abandoned, at_work, another = (path.parent / name for name in (".bpjit-1f.tmp", ".bpjit-2e.tmp", "other.tmp"))
    for one in (abandoned, at_work, another):
        one.write_bytes(b"half")
    day_ago = path.stat().st_mtime - 86400
    for one in (abandoned, another):
        os.utime(one, (day_ago, day_ago))
    storage._tidied.clear()
    storage.write(path, TENSORS, metadata())
    assert only(path.parent, path.name, at_work.name, another.name)
    os.utime(at_work, (day_ago, day_ago))
    storage.write(path, TENSORS, metadata())
    assert at_work.exists()  # once a folder and process is enough: it may have very many files


# What is unsound is refused


def test_a_missing_file_is_no_format_error(path):
    with pytest.raises(FileNotFoundError):
        storage.read(path, "model")


@pytest.mark.timeout(20)
def test_what_is_no_file(tmp_path):
    assert_refused(tmp_path, "folder")
    os.mkfifo(tmp_path / "pipe")
    assert_refused(tmp_path / "pipe", "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    assert_refused(tmp_path / "link", "pipe")
    assert_refused("/dev/zero", "device")


@pytest.mark.timeout(20)
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(stat, "S_ISREG", lambda mode: True)  # as it was when the file was looked at
    assert_refused(tmp_path / "pipe")


def test_truncated_at_every_byte(saved, path):
    for length in range(len(saved)):
        path.write_bytes(saved[:length])
        assert_refused(path)


def test_every_flipped_bit_is_found(saved, path):
    content = bytearray(saved)
    with open(path, "r+b", buffering=0) as file:
        for place in range(len(content)):
            for bit in range(8):
                file.seek(place)
                file.write(bytes([content[place] ^ (1 << bit)]))
                with pytest.raises(storage.FileFormatError):
                    storage.read(path, "model")
            file.seek(place)
            file.write(content[place : place + 1])
    assert_equal_bits(storage.read(path, "model")[0], TENSORS)


def test_bytes_to_spare(saved, path):
    for more in (b"\0", b" ", b"x" * 100, saved):
        path.write_bytes(saved + more)
        assert_refused(path, "bytes to spare")


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
META = metadata() | {"checksum": "0" * 64}

BAD_HEADERS = {
    "not UTF-8": b'{"\xff": 1}',
    "not JSON": b"{dtype}",
    "nothing": b"",
    "a number": b"3",
    "a list": b"[1]",
    "null": b"null",
    "NaN": b'{"__metadata__": NaN}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and complete": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "two objects": b"{}{}",
    "long integer": b'{"a":' + b"9" * 10_000 + b"}",
    "a key twice": json.dumps({"__metadata__": META, "a": ENTRY}).encode()[:-1] + b', "a": 1}',
    "a metadata key twice": b'{"__metadata__": {"format": "bpjit", "format": "bpjit"}}',
    "no metadata": {"a": ENTRY},
    "metadata not an object": {"__metadata__": "bpjit", "a": ENTRY},
    "another format": {"__metadata__": META | {"format": "pt"}, "a": ENTRY},
    "unknown version": {"__metadata__": META | {"version": "2"}, "a": ENTRY},
    "version a number": {"__metadata__": META | {"version": 1}, "a": ENTRY},
    "unknown kind": {"__metadata__": META | {"kind": "zoo"}, "a": ENTRY},
    "configuration not a text": {"__metadata__": META | {"configuration": {}}, "a": ENTRY},
    "no checksum": {"__metadata__": metadata(), "a": ENTRY},
    "more metadata": {"__metadata__": META | {"x": "y"}, "a": ENTRY},
    "wrong checksum": {"__metadata__": META, "a": ENTRY},
    "surrogates": json.dumps({"__metadata__": META | {"kind": "\ud800"}, "\udfff": ENTRY}).encode(),
}

BAD_ENTRIES = {
    "not an object": [0, 8],
    "no dtype": {"shape": [2], "data_offsets": [0, 8]},
    "more than needed": ENTRY | {"x": 1},
    "unknown dtype": ENTRY | {"dtype": "F33"},
    "dtype not a text": ENTRY | {"dtype": ["F32"]},
    "shape not a list": ENTRY | {"shape": 2},
    "shape of a boolean": ENTRY | {"shape": [True, 2]},
    "shape of a float": ENTRY | {"shape": [2.0]},
    "negative shape": ENTRY | {"shape": [-1, -2]},
    "shape overflow": ENTRY | {"shape": [2**63, 2]},
    "shape wraps to the right size": ENTRY | {"shape": [2**62 + 2]},  # times 4 bytes, modulo 2**64: 8
    "shape wraps as a product": ENTRY | {"shape": [2**32 + 1, 2**33 - 2**32 + 2]},
    "too many dimensions": ENTRY | {"shape": [1] * 100 + [2]},
    "shape smaller than its place": ENTRY | {"shape": [1]},
    "out of range": ENTRY | {"data_offsets": [0, 16], "shape": [4]},
    "far out of range": ENTRY | {"data_offsets": [0, 2**63], "shape": [2**61]},
    "starts late": ENTRY | {"data_offsets": [4, 8], "shape": [1]},
    "ends early": ENTRY | {"data_offsets": [0, 4], "shape": [1]},
    "backwards": ENTRY | {"data_offsets": [8, 0]},
    "negative offsets": ENTRY | {"data_offsets": [-8, 0]},
    "three offsets": ENTRY | {"data_offsets": [0, 8, 8]},
    "offsets not a list": ENTRY | {"data_offsets": "08"},
}


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_bad_headers(path, header):
    path.write_bytes(packed(header, bytes(8)))
    assert_refused(path)


@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_bad_entries(path, entry):
    path.write_bytes(packed({"__metadata__": META, "a": entry}, bytes(8)))
    with pytest.raises(storage.FileFormatError, match=r"tensor 'a'|its tensors end at byte"):
        storage.read(path, "model")


@pytest.mark.parametrize("shape", [[0, 2**70], [2**62, 2**62, 0], [0] + [2**62] * 7])
def test_no_numbers_in_a_huge_shape(path, shape):
    path.write_bytes(packed({"__metadata__": META, "a": ENTRY | {"shape": shape, "data_offsets": [0, 0]}}))
    assert_refused(path)


@pytest.mark.parametrize(
    ("first", "second"),
    [([0, 8], [0, 8]), ([0, 8], [4, 12]), ([0, 4], [8, 16]), ([0, 16], [8, 16]), ([0, 16], [16, 24])],
)
def test_overlaps_and_gaps(path, first, second):
    entries = {
        name: {"dtype": "U8", "shape": [offsets[1] - offsets[0]], "data_offsets": offsets}
        for name, offsets in (("a", first), ("b", second))
    }
    path.write_bytes(packed({"__metadata__": META} | entries, bytes(16)))
    assert_refused(path)


@pytest.mark.parametrize("length", [1, 100, 2**24 + 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_header_said_to_be_longer_than_the_file(path, length):
    path.write_bytes(length.to_bytes(8, "little"))
    assert_refused(path, "cut short")


@pytest.mark.parametrize("content", [b"", b"\0", b"\0" * 7])
def test_shorter_than_the_length_of_a_header(path, content):
    path.write_bytes(content)
    assert_refused(path, f"{len(content)} bytes")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"a": 1, "a": 1}', '{"a": NaN}', "[" * 100_000])
def test_bad_configurations(path, text):
    """With a checksum that is right."""
    storage.write(path, TENSORS, metadata() | {"configuration": text})
    assert_refused(path)


def test_metadata_that_the_version_does_not_know(path):
    storage.write(path, TENSORS, metadata(author="x"))
    assert_refused(path, "metadata")


def test_files_of_other_formats_under_our_suffix(path):
    safetensors.numpy.save_file(TENSORS, path)
    assert_refused(path, "another program")
    safetensors.numpy.save_file(TENSORS, path, {"format": "np"})
    assert_refused(path, "another program")
    path.write_bytes(pickle.dumps(TENSORS))
    assert_refused(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a", "b")
    assert_refused(path)
    np.savez(path.with_suffix(".npz"), **TENSORS)
    assert_refused(path.with_suffix(".npz"))
    path.write_text(json.dumps(CONFIGURATION))
    assert_refused(path)


def test_the_other_kind(path):
    storage.write(path, TENSORS, metadata("checkpoint"))
    assert_refused(path, "bpjit.Trainer.resume reads it")
    storage.write(path, TENSORS, metadata("model"))
    assert_refused(path, "bpjit.load reads it", kind="checkpoint")


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes(tmp_path_factory, content, with_length):
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(packed(content) if with_length else content)
    assert_refused(path)


@given(st.randoms(use_true_random=False))
def test_any_damage(tmp_path_factory, chance: random.Random):
    """Bytes replaced, removed and doubled."""
    path = tmp_path_factory.mktemp("any") / "x"
    storage.write(path, TENSORS, metadata())
    content = sound = path.read_bytes()
    for _ in range(chance.randint(1, 3)):
        first = chance.randrange(len(content))
        last = min(len(content), first + chance.randint(0, 20))
        middle = chance.choice([b"", chance.randbytes(last - first), content[first:last] * 2])
        content = content[:first] + middle + content[last:]
    path.write_bytes(content)
    if content != sound:
        assert_refused(path)


def test_memory_is_bounded_by_the_file(path):
    """Sparse files, which take no room on the disk, and headers that promise much."""
    huge = 2 * validation.physical_memory() // 8 * 8
    sparse = packed({"__metadata__": META, "a": {"dtype": "U8", "shape": [huge], "data_offsets": [0, huge]}})
    contents = {
        "a tensor that is not there": (sparse, 0),
        "a tensor beyond the memory": (sparse, len(sparse) + huge),
        "a header beyond the limit": ((2**30).to_bytes(8, "little"), 2**31),
    }
    for content, size in contents.values():
        path.write_bytes(content)
        if size:
            os.truncate(path, size)
        tracemalloc.start()
        try:
            assert_refused(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2**20


# Networks


NETWORKS = {
    "float32": {"sizes": [5, 7, 3]},
    "float64": {"sizes": [5, 7, 3], "dtype": "float64"},
    "one layer": {"sizes": [4, 1], "loss": "squared_error"},
    "without bias": {"sizes": [33, 40, 2], "bias": False, "activation": "tanh"},
    "deep": {"sizes": [2, 3, 4, 5, 2], "activation": ["relu", "tanh", "sigmoid"]},
    "binary": {"sizes": [3, 4, 2], "loss": "binary_cross_entropy"},
}


def network(sizes=(3, 2, 1), **more):
    return bpjit.Network(sizes, seed=0, **({"loss": "squared_error"} | more))


def model(path, tensors=None, **configuration):
    """A file with a right checksum, of a sound network changed in this way; a tensor of None is left out."""
    net = network()
    parts = {f"{name}{l}": A for l, pair in enumerate(net.parameters(), 1) for name, A in zip("Wb", pair)}
    parts = {name: A for name, A in (parts | (tensors or {})).items() if A is not None}
    storage.write(path, parts, metadata(configuration=net.configuration() | configuration))


def bits(net):
    return [None if A is None else (A.dtype, A.shape, A.tobytes()) for pair in net.parameters() for A in pair]


@pytest.mark.parametrize("options", NETWORKS.values(), ids=NETWORKS)
def test_a_network_comes_back(path, options):
    net = bpjit.Network(**options, seed=1)
    storage.save(net, path)
    loaded = storage.load(path)
    assert loaded.configuration() == net.configuration()
    assert bits(loaded) == bits(net)
    X = np.random.default_rng(0).normal(size=(9, net.sizes[0]))
    assert loaded.predict(X).tobytes() == net.predict(X).tobytes()


def test_the_methods_and_the_names_of_the_package(path):
    net = network()
    net.save(str(path))
    assert bits(bpjit.load(str(path))) == bits(net)
    assert bpjit.FileFormatError is storage.FileFormatError
    assert issubclass(bpjit.FileFormatError, ValueError)


def test_the_tensors_are_named_by_layer(path):
    net = network()
    net.save(path)
    tensors = safetensors.numpy.load_file(path)
    assert sorted(tensors) == ["W1", "W2", "b1", "b2"]
    for l, (W, b) in enumerate(net.parameters(), 1):
        assert_equal_bits({"W": tensors[f"W{l}"], "b": tensors[f"b{l}"]}, {"W": W, "b": b})


UNSOUND_MODELS = {
    "a tensor missing": {"tensors": {"b2": None}},
    "a layer missing": {"tensors": {"W2": None, "b2": None}},
    "a tensor more": {"tensors": {"b3": np.ones(1, np.float32)}},
    "another name": {"tensors": {"b2": None, "c2": np.ones(1, np.float32)}},
    "no tensors": {"tensors": dict.fromkeys(["W1", "b1", "W2", "b2"])},
    "layers that do not chain": {"tensors": {"W2": np.ones((1, 5), np.float32)}},
    "transposed": {"tensors": {"W1": np.ones((3, 2), np.float32)}},
    "bias of another length": {"tensors": {"b1": np.ones(3, np.float32)}},
    "bias of another shape": {"tensors": {"b1": np.ones((2, 1), np.float32)}},
    "another dtype": {"tensors": {"b1": np.ones(2)}},
    "integers": {"tensors": {"b1": np.ones(2, np.int32)}},
    "NaN": {"tensors": {"W1": np.full((2, 3), np.nan, np.float32)}},
    "infinity": {"tensors": {"b1": np.array([0, np.inf], np.float32)}},
    "sizes of another network": {"sizes": [3, 4, 1]},
    "one size": {"sizes": [3]},
    "no sizes": {"sizes": []},
    "sizes not a list": {"sizes": 3},
    "sizes a text": {"sizes": "321"},
    "sizes below 1": {"sizes": [3, 0, 1]},
    "sizes of floats": {"sizes": [3.0, 2.0, 1.0]},
    "sizes of booleans": {"sizes": [3, 2, True]},
    "sizes beyond the memory": {"sizes": [2**31, 2**31, 1]},
    "sizes beyond 64 bits": {"sizes": [3, 10**30, 1]},
    "sizes null": {"sizes": None},
    "very many layers": {"sizes": [1] * 100_000},
    "unknown dtype": {"dtype": "float16"},
    "dtype of another": {"dtype": "float64"},
    "dtype a number": {"dtype": 32},
    "bias a number": {"bias": 1},
    "bias without tensors": {"bias": False},
    "unknown activation": {"activation": "rleu"},
    "unknown output": {"output": "os.system"},
    "unknown loss": {"loss": "cost"},
    "too many activations": {"activation": ["relu"] * 5},
    "an argument that is none": {"command": "ls"},
}


@pytest.mark.parametrize("change", UNSOUND_MODELS.values(), ids=UNSOUND_MODELS)
def test_models_that_are_unsound_though_their_checksum_is_right(path, change):
    model(path, **change)
    with pytest.raises(bpjit.FileFormatError, match="no sound bpjit model"):
        bpjit.load(path)


def test_the_models_are_unsound_for_their_change_alone(path):
    model(path)
    assert bits(bpjit.load(path)) == bits(network())


def test_a_model_without_configuration(path):
    storage.write(path, TENSORS, metadata(configuration={}))
    with pytest.raises(bpjit.FileFormatError, match="sizes"):
        bpjit.load(path)


def test_a_network_that_is_not_finite_is_not_saved(path):
    class Diverged(bpjit.Network):
        def parameters(self):
            return [(W * np.nan, b) for W, b in super().parameters()]

    network().save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="W of layer 1 holds nan"):
        storage.save(Diverged([3, 2], seed=0), path)
    assert path.read_bytes() == before


# Whatever is unsound, against both readers


def refused(path, most_bytes=2**20):
    """`load` and `resume` raise one FileFormatError each, with bounded memory."""
    for read in (bpjit.load, bpjit.Trainer.resume):
        tracemalloc.start()
        try:
            with pytest.raises(bpjit.FileFormatError) as caught:
                read(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert type(caught.value) is bpjit.FileFormatError
        assert str(caught.value).startswith(f"{str(path)!r} is no sound bpjit ")
        assert len(str(caught.value)) < 1000
        assert peak < most_bytes + 40 * len(str(path)), peak


@pytest.mark.parametrize("header", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_load_and_resume_refuse_bad_headers(path, header):
    for kind in ("model", "checkpoint"):
        if isinstance(header, dict) and "kind" in (meta := header.get("__metadata__", {})) and meta["kind"] == "model":
            header = header | {"__metadata__": meta | {"kind": kind}}
        content = packed(header, bytes(8))
        path.write_bytes(content)
        refused(path, 2**21 + 60 * len(content))  # Python's objects take up to so many times the JSON


@pytest.mark.parametrize("kind", ["model", "checkpoint"])
@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_load_and_resume_refuse_bad_entries(path, entry, kind):
    path.write_bytes(packed({"__metadata__": META | {"kind": kind}, "a": entry}, bytes(8)))
    refused(path)


@pytest.mark.parametrize("apart", EVERY)
@pytest.mark.parametrize("kind", ["model", "checkpoint"])
def test_load_and_resume_refuse_what_is_damaged_or_no_file(path, kind, apart):
    made = trainer()[0]
    write = made.net.save if kind == "model" else made.checkpoint
    read = bpjit.load if kind == "model" else bpjit.Trainer.resume
    write(path)
    sound = path.read_bytes()
    chance = random.Random(0)

    def assert_refused(content):
        path.write_bytes(content)
        with pytest.raises(bpjit.FileFormatError):
            read(path)

    for place in range(0, len(sound), apart):  # cut at, and with a flipped bit in, every byte
        assert_refused(sound[:place])
        flipped = sound[place] ^ (1 << chance.randrange(8))
        assert_refused(sound[:place] + bytes([flipped]) + sound[place + 1 :])
    assert_refused(sound + b"\0")
    for content in (b"", bytes(7), (2**64 - 1).to_bytes(8, "little"), (2**30).to_bytes(8, "little") + sound[8:]):
        path.write_bytes(content)
        refused(path)
    path.unlink()
    path.mkdir()
    refused(path)
    path.rmdir()
    os.mkfifo(path)
    refused(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(path)


def test_load_and_resume_refuse_sizes_beyond_the_memory(path):
    huge = 2 * validation.physical_memory() // 8 * 8
    for kind in ("model", "checkpoint"):
        entry = {"dtype": "U8", "shape": [huge], "data_offsets": [0, huge]}
        path.write_bytes(content := packed({"__metadata__": META | {"kind": kind}, "a": entry}))
        os.truncate(path, len(content) + huge)
        refused(path)


# Trainers


def trainer(path=None):
    """One that has stopped in the midst of its second epoch, and its data."""
    rng = np.random.default_rng(0)
    X, t = rng.normal(size=(23, 3)), rng.normal(size=(23, 1))
    made = bpjit.Trainer(network(), optimizer=bpjit.Adam(), batch_size=4, seed=1, threads=1)
    made.fit(X, t, epochs=2, max_steps=8)
    return made, X, t


def test_a_trainer_comes_back(tmp_path):
    whole, X, t = trainer()
    whole.checkpoint(tmp_path / "run.ckpt")
    resumed = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    (tensors, configuration), (found, found_configuration) = whole.state(), resumed.state()
    assert_equal_bits(found, tensors)
    assert json.dumps(found_configuration) == json.dumps(configuration)
    for one in (whole, resumed):
        one.fit(X, t, epochs=2)
    assert_equal_bits(resumed.state()[0], whole.state()[0])


def test_checkpoints_that_are_unsound_though_their_checksum_is_right(path):
    tensors, configuration = trainer()[0].state()
    storage.write(path, tensors, metadata("checkpoint", configuration))
    storage.resume(path)
    changes = [(tensors, {}), ({}, configuration), (tensors | {"W9": np.ones(2)}, configuration)]
    changes += [({k: v for k, v in tensors.items() if k != name}, configuration) for name in tensors]
    lacking = {"layers", "optimizer_begun", "judged", "schedule", "schedule_state", "early_stopping", "stopping_state"}
    lacking |= {"stopped", "best", "regularization", "accumulate", "label"}  # as in files of the first version
    needed = configuration.keys() - lacking
    changes += [(tensors, {k: v for k, v in configuration.items() if k != name}) for name in sorted(needed)]
    changes += [(tensors | {"W1": W}, configuration) for W in (np.ones((9, 9), np.float32), tensors["W1"] * np.nan)]
    for changed, its_configuration in changes:
        storage.write(path, changed, metadata("checkpoint", its_configuration))
        with pytest.raises(bpjit.FileFormatError, match="no sound bpjit checkpoint"):
            bpjit.Trainer.resume(path)


def test_checkpoints_of_the_first_version(path):
    tensors, configuration = trainer()[0].state()
    optimizer = {name: configuration["optimizer"][name] for name in ("name", "learning_rate", "betas", "eps")}
    old = {name: value for name, value in configuration.items() if name not in ("layers", "optimizer_begun")}
    storage.write(path, tensors, metadata("checkpoint", old | {"optimizer": optimizer}))
    assert bpjit.Trainer.resume(path).state()[1] == configuration


def test_checkpoints_of_any_configuration(path):
    """Each entry replaced by something strange gives a trainer or a FileFormatError, never another error."""
    tensors, configuration = trainer()[0].state()
    for name in configuration:
        for value in (None, [], {}, "x", -1, 10**30, 1e308, True, [1, 2], {"name": "SGD"}, {"loss": [{}]}):
            storage.write(path, tensors, metadata("checkpoint", configuration | {name: value}))
            try:
                resumed = bpjit.Trainer.resume(path)
            except bpjit.FileFormatError:
                continue
            assert isinstance(resumed, bpjit.Trainer)
            resumed.state()


def test_a_checkpoint_of_a_network_beyond_its_tensors_costs_no_memory(path):
    tensors, configuration = trainer()[0].state()
    forged = configuration | {"network": configuration["network"] | {"sizes": [5000, 5000, 1]}}
    storage.write(path, tensors, metadata("checkpoint", forged))
    tracemalloc.start()
    try:
        with pytest.raises(bpjit.FileFormatError, match="W of layer 1 has shape"):
            bpjit.Trainer.resume(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_model_is_no_checkpoint(path):
    network().save(path)
    with pytest.raises(bpjit.FileFormatError, match=r"bpjit\.load reads it"):
        bpjit.Trainer.resume(path)
