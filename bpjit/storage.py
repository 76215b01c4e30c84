"""Models and checkpoints as safetensors files: written whole or not at all, read checked to the last bit.

A file holds the length of its header (8 bytes, little-endian), the header (JSON: name, dtype, shape and place
of each tensor, and metadata) and the numbers. Nothing in it is executable. The metadata are

    format         "bpjit"
    kind           "model": W1, b1, W2, ... and what makes the network; "checkpoint": the state of a Trainer
    version        "1"
    configuration  JSON
    preparation    JSON: how rows of a file become the network's inputs; only in some models
    checksum       SHA-256 of the other metadata and of every tensor's name, dtype, shape and bytes; it finds
                   accidents: whoever means to can forge it, so that every reader checks all else as well
"""

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader, BufferedWriter
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from . import validation
from .errors import FileFormatError, NotRegisteredError, require

if TYPE_CHECKING:
    from .network import Network
    from .training import Trainer

FORMAT = "bpjit"
VERSION = "1"
KINDS = {"model": "bpjit.load", "checkpoint": "bpjit.Trainer.resume"}
METADATA = {"format", "kind", "version", "configuration", "checksum"}
OPTIONAL = {"model": {"preparation"}}

# Room for a hundred thousand tensors, or for a history of as many epochs. Python's objects take up to 30
# times the size of the JSON they come from: a hostile header costs half a gigabyte at the very most.
HEADER_LIMIT = 16 * 2**20
MOST_DIMENSIONS = 8

UNFINISHED = re.compile(r"\.bpjit-[0-9a-f]+\.tmp")
ABANDONED_SECONDS = 3600
"""A temporary file that nothing was written to for so long never takes its name: its writer was killed."""

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
}

Path = str | os.PathLike[str]
Tensors = dict[str, np.ndarray]


# Models and checkpoints


def save(net: "Network", path: Path, preparation: Mapping[str, Any] | None = None) -> None:
    """Writes the network to a file: a file of that name is replaced when the new one is complete, or kept.

    preparation: what JSON can hold, to be kept with it.

    The parameters keep their dtype, float32 or float64, and every bit. Raises OSError where the file cannot
    be written, ValueError for parameters that are not finite, TypeError for a path that is none.

    >>> import bpjit, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(bpjit.Network([4, 3]), f"{folder}/model.safetensors")
    """
    configuration = net.configuration()
    pairs = validation.parameters(net.parameters(), sizes=net.sizes, bias=net.bias, dtype=net.dtype)
    tensors: Tensors = {}
    for l, (W, b) in enumerate(pairs, start=1):
        tensors[f"W{l}"] = W
        if b is not None:
            tensors[f"b{l}"] = b
    metadata = _metadata("model", configuration)
    if preparation is not None:
        metadata["preparation"] = json.dumps(preparation, allow_nan=False)
    write(path, tensors, metadata)


def load(path: Path) -> "Network":
    """The network that `save` wrote, with the same bits.

    Raises FileFormatError for any file that is not a sound model, NotRegisteredError for one that uses an activation
    or loss of your own which is not registered in this process, OSError (FileNotFoundError, ...) for one
    that cannot be read, TypeError for a path that is none.

    >>> import bpjit, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bpjit.Network([4, 3]).save(f"{folder}/model.safetensors")
    ...     load(f"{folder}/model.safetensors").sizes
    (4, 3)
    """
    return load_prepared(path)[0]


def load_prepared(path: Path) -> tuple["Network", Any]:
    """The network that `save` wrote, and the preparation that it was given, or None; errors as those of `load`.

    >>> import bpjit, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(bpjit.Network([4, 3]), f"{folder}/model.safetensors", {"columns": 4})
    ...     load_prepared(f"{folder}/model.safetensors")[1]
    {'columns': 4}
    """
    from .network import Network

    tensors, configuration, more = _read(path, "model")
    with soundness(path, "model"):
        parameters = _parameters(tensors, configuration)
        require(configuration)
        net = Network(**configuration)
        net.set_parameters(parameters)
        preparation = _json(more["preparation"]) if "preparation" in more else None
    return net, preparation


def checkpoint(trainer: "Trainer", path: Path) -> None:
    """Writes the whole state of the trainer and its network to a file; as `save` in everything else.

    >>> import bpjit, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint(bpjit.Trainer(bpjit.Network([4, 3])), f"{folder}/run.ckpt")
    """
    tensors, configuration = trainer.state()
    write(path, tensors, _metadata("checkpoint", configuration))


def resume(path: Path) -> "Trainer":
    """The trainer that `checkpoint` wrote, which goes on with the same bits; errors as those of `load`.

    >>> import bpjit, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     checkpoint(bpjit.Trainer(bpjit.Network([4, 3])), f"{folder}/run.ckpt")
    ...     trainer = resume(f"{folder}/run.ckpt")
    """
    from .training import Trainer

    tensors, configuration = read(path, "checkpoint")
    with soundness(path, "checkpoint"):
        # A forged size must not cost memory: the parameters are compared before a network is made.
        weights = {name: tensor for name, tensor in tensors.items() if re.fullmatch("[Wb][0-9]+", name)}
        _parameters(weights, configuration["network"])
        require(configuration["network"], configuration["optimizer"])
        trainer = Trainer.from_state(tensors, configuration)
    return trainer


def _metadata(kind: str, configuration: Mapping[str, Any]) -> dict[str, str]:
    text = json.dumps(configuration, allow_nan=False)
    return {"format": FORMAT, "kind": kind, "version": VERSION, "configuration": text}


def _parameters(tensors: Tensors, configuration: dict[str, Any]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """The tensors as [(W^1, b^1), ...], if they are those that the configuration calls for, and no others."""
    sizes, bias = (
        validation.layer_sizes(configuration["sizes"]),
        validation.switch(configuration["bias"], "bias"),
    )
    dtype = validation.float_dtype(configuration["dtype"])
    if len(tensors) != (count := (len(sizes) - 1) * (1 + bias)):
        raise ValueError(f"it has {len(tensors)} tensors, but its layers need {count}")
    names = [(f"W{l}", f"b{l}" if bias else None) for l in range(1, len(sizes))]
    wanted = {name for pair in names for name in pair if name}
    if tensors.keys() != wanted:
        raise ValueError(f"its layers need {min(wanted - tensors.keys())}, but it has {min(tensors.keys() - wanted)}")
    for name, tensor in tensors.items():
        if tensor.dtype != dtype:
            raise ValueError(f"{name} is {tensor.dtype} in a network of {dtype}")
    pairs = [(tensors[W], tensors[b] if b else None) for W, b in names]
    return validation.parameters(pairs, sizes=sizes, bias=bias, dtype=dtype)


# Writing


def write(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Writes tensors (integers and floats, any order in memory) and metadata, and their checksum, to a file.

    The new content goes to a temporary file in the same folder, which takes the name once it is safe on the
    disk: whatever happens, the name stands for the old content or for the new. Links are followed; an
    existing file's permissions are kept. Raises OSError, with the old file whole, where it cannot be written,
    TypeError for a dtype that files do not hold, ValueError for metadata beyond the header's limit.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/counts.safetensors", {"n": np.arange(3)}, _metadata("model", {"of": "sheep"}))
    """
    place = _target(path)
    plain = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    content = safetensors.numpy.save(plain, {**metadata, "checksum": _checksum(plain, metadata)})
    if int.from_bytes(content[:8], "little") > HEADER_LIMIT:
        raise ValueError(f"the configuration is too long for a file: over {HEADER_LIMIT >> 20} MiB in JSON")
    with _replacing(*place) as file:
        file.write(content)


def replacing(path: Path) -> contextlib.AbstractContextManager[BufferedWriter]:
    """A file to write, which takes the name if the block ends without an error: otherwise all stays as it was.

    Raises OSError or TypeError, before the block, where there is no place for it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/answer.txt") as file:
    ...         written = file.write(b"42")
    ...     os.listdir(folder)
    ['answer.txt']
    """
    return _replacing(*_target(path))


@contextlib.contextmanager
def _replacing(target: str, mode: int | None) -> Iterator[BufferedWriter]:
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".bpjit-{secrets.token_hex(8)}.tmp")
    try:
        # Not tempfile.mkstemp, whose files are their owner's alone: 0o666 less the umask, as for any file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        with open(os.open(temporary, flags, 0o666), "wb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync(folder)
    with contextlib.suppress(OSError):
        _tidy_once(folder, os.stat(target).st_mtime)


def check_place(path: Path) -> None:
    """Raises OSError or TypeError where `write` could not write a file of that name."""
    _target(path)


def _target(path: Path) -> tuple[str, int | None]:
    """The file to replace, behind all links, and its permissions if it exists."""
    target = os.path.realpath(_name(path))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "no such folder to save in: create it first", folder)
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return target, None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "this is a folder: add a file's name to save in it", target)
    if not stat.S_ISREG(mode):
        raise FileExistsError(errno.EEXIST, "this is no ordinary file, and stays: save elsewhere", target)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected: save elsewhere", target)
    return target, stat.S_IMODE(mode)


def _plain(name: str, tensor: np.ndarray) -> np.ndarray:
    """The tensor little-endian and in C order: safetensors writes memory as it lies, whatever the strides."""
    plain = np.asarray(tensor, dtype=tensor.dtype.newbyteorder("<"), order="C")
    if plain.dtype.str not in DTYPES.values():
        raise TypeError(f"tensor {name!r} of dtype {tensor.dtype} has no place in a file: {', '.join(DTYPES)}")
    return plain


def _sync(folder: str) -> None:
    # Makes the new name last. The content has done so, and not every system can do this with a folder.
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_tidied: set[str] = set()


def _tidy_once(folder: str, now: float) -> None:
    """Once a process and folder: removes what saves that were killed have left there. now: by the clock of the folder's
    machine, which may be another one."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    with os.scandir(folder) as entries:
        for entry in entries:
            if (
                UNFINISHED.fullmatch(entry.name)
                and now - entry.stat(follow_symlinks=False).st_mtime > ABANDONED_SECONDS
            ):
                os.unlink(entry.path)


def _checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Of little-endian tensors in C order and of the metadata, whatever order they come in."""
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(json.dumps([name, tensor.dtype.str, tensor.shape]).encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: np.ndarray) -> memoryview:
    return tensor.reshape(-1).view(np.uint8).data


# Reading


def read(path: Path, kind: str) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the configuration of a file of this kind, "model" or "checkpoint".

    Memory is taken for the tensors once the header, at most 16 MiB, is known to agree with the file's length.
    Raises FileFormatError for whatever is unsound, OSError for what cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/counts.safetensors", {"n": np.arange(3)}, _metadata("model", {"of": "sheep"}))
    ...     read(f"{folder}/counts.safetensors", "model")
    ({'n': array([0, 1, 2])}, {'of': 'sheep'})
    """
    return _read(path, kind)[:2]


def _read(path: Path, kind: str) -> tuple[Tensors, dict[str, Any], dict[str, str]]:
    """The tensors, the configuration, and the metadata as they are."""
    name = _name(path)
    with soundness(path, kind):
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise ValueError("it is a folder, a pipe or a device")
        with open(name, "rb", opener=_without_waiting) as file:
            return _content(file, kind)


def _content(file: BufferedReader, kind: str) -> tuple[Tensors, dict[str, Any], dict[str, str]]:
    size = os.fstat(file.fileno()).st_size
    header, length = _header(file, size)
    metadata = _checked_metadata(header.pop("__metadata__", None), kind)
    places = _places(header, size - 8 - length)
    if size > validation.physical_memory():
        raise ValueError(f"its {size} bytes exceed this machine's memory")
    tensors = {name: _tensor(file, dtype, shape) for name, dtype, shape in places}
    if metadata.pop("checksum") != _checksum(tensors, metadata):
        raise ValueError("its checksum is wrong, so that some of its content is damaged")
    configuration = _json(metadata["configuration"])
    if not isinstance(configuration, dict):
        raise ValueError("its configuration is not a JSON object")
    tensors = {name: t.astype(t.dtype.newbyteorder("="), copy=False) for name, t in tensors.items()}
    return tensors, configuration, metadata


def _header(file: BufferedReader, size: int) -> tuple[dict[str, Any], int]:
    """The header and its length in bytes."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8:
        raise ValueError(f"its {size} bytes are less than a header's")
    if length > size - 8:
        raise ValueError(f"it is cut short or no safetensors file: {length} bytes of header in {size}")
    if length > HEADER_LIMIT:
        raise ValueError(f"its header of {length} bytes exceeds {HEADER_LIMIT}")
    header = _json(file.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header, length


def _checked_metadata(metadata: Any, kind: str) -> dict[str, str]:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ValueError("it is a safetensors file of another program")
    if metadata.get("version") != VERSION:
        raise ValueError(f"this bpjit reads version {VERSION!r} of the format, not {metadata.get('version')!r}")
    if not metadata.keys() >= METADATA or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError(f"its metadata are not the texts {', '.join(sorted(METADATA))}")
    if metadata["kind"] != kind:
        reader = KINDS.get(metadata["kind"])
        raise ValueError(f"it is of kind {metadata['kind']!r}" + (f": {reader} reads it" if reader else ""))
    if more := metadata.keys() - METADATA - OPTIONAL.get(kind, set()):
        raise ValueError(f"its metadata have {min(more)[:40]!r}, which a {kind} has not")
    return metadata


def _places(header: dict[str, Any], size: int) -> list[tuple[str, np.dtype, tuple[int, ...]]]:
    """Name, dtype and shape of the tensors in the file's order, if they fill size bytes without overlap."""
    found = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
            raise ValueError(f"tensor {name!r} lacks one of dtype, shape, data_offsets, or has more")
        code, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(code, str) or code not in DTYPES:
            raise ValueError(f"tensor {name!r} has the unknown dtype {code!r}")
        if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2:
            raise ValueError(f"tensor {name!r} has no sound shape and offsets")
        found.append((offsets, name, np.dtype(DTYPES[code]), tuple(shape)))
    found.sort(key=lambda place: place[0])
    end = 0
    for (first, last), name, dtype, shape in found:
        if first != end or last - first != dtype.itemsize * math.prod(shape):
            raise ValueError(f"tensor {name!r} of shape {shape} does not fit its place {first} … {last}")
        end = last
    if end != size:
        raise ValueError(f"its tensors end at byte {end} of {size}: it is cut short, or has bytes to spare")
    return [(name, dtype, shape) for _, name, dtype, shape in found]


def _tensor(file: BufferedReader, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The next tensor of the file, in memory of its own."""
    tensor = np.empty(shape, dtype)
    if file.readinto(_bytes(tensor)) != tensor.nbytes:
        raise ValueError("it was cut short while it was read")
    return tensor


def _json(text: str) -> Any:
    """Strict JSON: a key twice, NaN and Infinity are errors, as is nesting too deep for Python."""
    return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(unique := dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice in its JSON")
    return unique


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _are_counts(values: Any) -> bool:
    few = isinstance(values, list) and len(values) <= MOST_DIMENSIONS
    return few and all(type(value) is int and value >= 0 for value in values)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))  # should a pipe have taken the file's place


def _name(path: Path) -> str:
    name = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(name, str):
        raise TypeError(f"path must be a string or a path object, got {path!r}")
    return name


@contextlib.contextmanager
def soundness(path: Path, kind: str) -> Iterator[None]:
    """Makes of whatever a file's content provokes a FileFormatError; what the system reports passes."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError | TypeError) else repr(error)
        kept = NotRegisteredError if isinstance(error, NotRegisteredError) else FileFormatError
        # Cut, since it may quote the file.
        raise kept(f"{_name(path)!r} is no sound bpjit {kind}: {reason[:500]}") from error
