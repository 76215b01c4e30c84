"""Files: what is written comes back to the bit, whole or not at all; what is unsound is refused."""

import errno
import json
import os
import pickle
import random
import resource
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

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
import os, random, signal, sys, time
import numpy as np
from bpjit import storage

path, kills = sys.argv[1], int(sys.argv[2])

def write(version):
    text = f'{{"version": {version}}}'
    metadata = {"format": "bpjit", "kind": "checkpoint", "version": "1", "configuration": text}
    storage.write(path, {"a": np.full(300_000, version), "b": np.full(3, version)}, metadata)

write(0)
for kill in range(kills):
    child = os.fork()
    if child == 0:
        version = 1000 * kill
        while True:
            version += 1
            write(version)
    time.sleep(random.uniform(0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    tensors, configuration = storage.read(path, "checkpoint")
    assert all((tensor == configuration["version"]).all() for tensor in tensors.values())
print(configuration["version"])
"""


def test_a_save_that_is_killed_leaves_a_whole_file(tmp_path):
    """Killed at 20 random moments of saving without pause; some of them fall into a save."""
    environment = os.environ | {
        "PYTHONPATH": str(Path(storage.__file__).parents[1]),
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", KILLED, str(tmp_path / "run.ckpt"), "20"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 0
    left = [name for name in os.listdir(tmp_path) if name != "run.ckpt"]
    assert left, "no kill fell into a save: this test has shown nothing"
    assert all(name.startswith(".bpjit-") and name.endswith(".tmp") for name in left)


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
    lacking |= {"stopped", "best", "regularization", "accumulate"}  # as in files of the first version
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
