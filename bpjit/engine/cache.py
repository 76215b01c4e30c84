"""The compile cache: what kernels were compiled to, a file each. Where it is lacking or damaged, they are compiled.

A file's name ends in a hash of all that its machine code follows from: the function, its types, the sources of the
engine, the versions of what compiles it, the CPU. What a machine, a version or an edit leaves behind is therefore never
read by another; it is removed when nobody has used it for long.

A file is a pickle, and holds machine code: whoever writes it runs it. So a file counts only if it belongs to this user
or to root, and nobody else may write to it; in whose folder it lies does not matter then.
"""

import contextlib
import hashlib
import importlib.machinery
import os
import pickle
import re
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import config
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys
from numba.misc.appdirs import AppDirs

from .function import fingerprint

UNUSED_SECONDS = 60 * 86400
"""A kernel that no process has loaded for so long is removed, by the next process that keeps one."""
MOST_BYTES = 2**28
"""All kernels together; beyond, those go that were not used for longest. One kind of training needs about 1 MiB."""
ABANDONED_SECONDS = 3600
"""A file that was not finished within this time never will be: its writer was killed."""
LARGEST = 2**26
"""Bytes of a kernel; the greatest there is has some hundred thousand."""
DAY = 86400

KERNEL = re.compile(r".+-[0-9a-f]{32}\.kernel")
UNFINISHED = re.compile(r"\.bpjit-.+\.tmp")


@dataclass(frozen=True)
class Compiled:
    """Machine code and the symbol to enter it by; `prepare` starts what it relies on, such as Numba's threads.

    Loading it needs neither the function's types nor Numba's typing of NumPy, whose import takes as long as the rest.
    """

    library: Any
    symbol: str
    prepare: list[Callable]

    @property
    def address(self) -> int:
        return self.library.get_pointer_to_function(self.symbol)


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: BPJIT_CACHE_DIR, else the user's own cache folder."""
    if chosen := os.environ.get("BPJIT_CACHE_DIR"):
        return Path(os.path.abspath(os.path.expanduser(chosen)))
    folder = Path(AppDirs("bpjit", appauthor=False).user_cache_dir)
    if folder.is_absolute():
        return folder
    return Path(tempfile.gettempdir()) / f"bpjit-{_user()}"  # a user without a home folder, as in some containers


def cache_size() -> tuple[int, int]:
    """The number of files in the compile cache, and their bytes.

    >>> files, size = cache_size()
    """
    try:
        found = [facts.st_size for _, facts in _own_files()]
    except OSError:
        return 0, 0
    return len(found), sum(found)


def clear_cache() -> tuple[int, int]:
    """Removes all kernels of the compile cache, and no other files; returns how many files, and their bytes.

    Processes that run go on, this one too: they have their kernels in memory, and what they compile from now on is
    kept again. Raises OSError if a file cannot be removed, after all others are.
    """
    files = size = 0
    failed: OSError | None = None
    for path, facts in _own_files():
        if UNFINISHED.fullmatch(path.name) and _age(facts) < ABANDONED_SECONDS:
            continue  # another process is at it
        try:
            path.unlink()
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as error:
            failed = failed or error
            continue
        files, size = files + 1, size + facts.st_size
    if failed:
        raise failed
    return files, size


def can_keep() -> bool:
    """Whether kernels can be written to the cache folder."""
    try:
        cache_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache_folder()).close()
    except OSError:
        return False
    return STAMP is not None


def sources_stamp(folder: Path) -> str | None:
    """Changes with any source file in the folder; None where there are none to read, as in a frozen program."""
    digest = hashlib.sha256()
    try:
        paths = sorted(folder.glob("*.py"))
        for path in paths:
            content = path.read_bytes()
            digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    except OSError:
        return None
    return digest.hexdigest() if paths else None


ENGINE = Path(__file__).parent
STAMP = sources_stamp(ENGINE)
"""Of the engine that this process runs, taken as it is imported: its files may be edited or upgraded later.

Numba keys its own cache by the file of a function and not by the functions it calls, so that an edit of tile.py would
leave a stale forward.py.
"""


def _versions() -> tuple:
    """What else the machine code follows from, but for the CPU."""
    flags = ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "USING_SVML", "DEBUGINFO_DEFAULT")
    settings = tuple((name, repr(getattr(config, name, None))) for name in flags)
    binary_interface = importlib.machinery.EXTENSION_SUFFIXES[0]  # tells a free-threaded or debug Python from others
    return numba.__version__, llvmlite.__version__, np.__version__, sys.version, binary_interface, settings


class CacheFile:
    """What a kernel was compiled to, in one file; whatever is wrong with it, the kernel is compiled again."""

    def __init__(self, name: str, function: Callable, signature: Any, codegen: Any):
        content = fingerprint(function)
        key = repr((STAMP, _versions(), name, content, str(signature), codegen.magic_tuple()))
        self.key = hashlib.sha256(key.encode()).digest()
        self.path = cache_folder() / f"{name}-{self.key.hex()[:32]}.kernel"
        self.codegen = codegen
        self.reliable = content is not None and STAMP is not None
        """Whether another function cannot have the same key: else nothing is kept."""

    def load(self) -> Compiled | None:
        if not self.reliable:
            return None
        try:
            content = _trusted(self.path)
            if hashlib.sha256(content[32:]).digest() != content[:32] or content[32:64] != self.key:
                return None
            library, symbol, prepare = pickle.loads(content[64:])
            rtsys.initialize(cpu_target.target_context)
            for function in prepare:
                function()
            return Compiled(self.codegen.unserialize_library(library), symbol, prepare)
        except Exception:  # unreadable, foreign, truncated: no reason not to train
            return None

    def save(self, compiled: Compiled) -> None:
        if not self.reliable or sources_stamp(ENGINE) != STAMP:  # edited since: which of the two was compiled?
            return
        temporary = None
        try:
            library = compiled.library.serialize_using_object_code()
            content = self.key + pickle.dumps((library, compiled.symbol, compiled.prepare))
            folder = self.path.parent
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _tidy_once(folder)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".bpjit-", suffix=".tmp", delete=False) as file:
                temporary = file.name
                file.write(hashlib.sha256(content).digest() + content)
            os.replace(temporary, self.path)
            temporary = None
        except OSError:  # no place to write: train without a cache
            pass
        finally:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)


def _trusted(path: Path) -> bytes:
    """The content of a file that only this user, or root, can have written."""
    flags = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    with open(os.open(path, flags), "rb") as file:
        facts = os.fstat(file.fileno())
        others_write = os.name == "posix" and facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(facts.st_mode) or others_write or facts.st_uid not in (0, _user()):
            raise PermissionError(f"{path} may be another user's work")
        if facts.st_size > LARGEST:
            raise ValueError(f"{path} is no kernel")
        if _age(facts) > DAY:  # it is in use: see UNUSED_SECONDS
            with contextlib.suppress(OSError):
                os.utime(path)
        return file.read()


def _user() -> int:
    """This user's number; 0, as files have it, on systems without."""
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _age(facts: os.stat_result) -> float:
    return time.time() - facts.st_mtime


def _own_files() -> Iterator[tuple[Path, os.stat_result]]:
    """This user's files in the cache folder that this module has written. Raises OSError if it cannot be read."""
    try:
        names = os.listdir(cache_folder())
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if KERNEL.fullmatch(name) or UNFINISHED.fullmatch(name):
            path = cache_folder() / name
            try:
                facts = path.lstat()
            except OSError:  # gone meanwhile
                continue
            if stat.S_ISREG(facts.st_mode) and facts.st_uid == _user():
                yield path, facts


_tidied: set[Path] = set()


def _tidy_once(folder: Path) -> None:
    """Once a process, which is about to keep a kernel: removes what nobody has used for long, or will ever finish."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    left = []
    for path, facts in _own_files():
        unused = UNUSED_SECONDS if KERNEL.fullmatch(path.name) else ABANDONED_SECONDS
        if _age(facts) > unused:
            path.unlink(missing_ok=True)
        else:
            left.append((facts.st_mtime, facts.st_size, path))
    excess = sum(size for _, size, _ in left) - MOST_BYTES
    for _, size, path in sorted(left):
        if excess <= 0:
            break
        path.unlink(missing_ok=True)
        excess -= size
