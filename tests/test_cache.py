"""The compile cache: what its files follow from, whom it trusts, how it stays small, full disks, several processes."""

import gc
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import FunctionType, ModuleType

import numba
import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher
from runs import CHECKOUT, environment, python
from test_jit import kernel, only_file, run, shifted
from test_storage import small_disk

from bpjit.engine import cache, jit

ENGINE = CHECKOUT / "bpjit" / "engine"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr(cache, "_tidied", set())
    return tmp_path / "kernels"


def was_loaded():
    """Whether the kernel that is run comes from its file."""
    before = jit.kernels_so_far()
    assert run(kernel()) == [2, 4, 6]
    compiled, loaded = (now - then for now, then in zip(jit.kernels_so_far(), before, strict=True))
    assert compiled + loaded == 1
    return loaded == 1


# What a file's name follows from


def test_any_edit_of_any_file_of_the_engine_is_seen(tmp_path):
    shutil.copytree(ENGINE, tmp_path / "engine", ignore=shutil.ignore_patterns("__pycache__"))
    copy = tmp_path / "engine"
    stamps = {cache.sources_stamp(copy)}
    assert stamps == {cache.STAMP}
    files = sorted(copy.glob("*.py"))
    assert len(files) > 25
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content + b"#")
        stamps.add(cache.sources_stamp(copy))
        path.write_bytes(content)
    assert len(stamps) == 1 + len(files)
    (copy / "more.py").write_text("")
    stamps.add(cache.sources_stamp(copy))
    (copy / "more.py").rename(copy / "other.py")
    stamps.add(cache.sources_stamp(copy))
    (copy / "other.py").unlink()
    (copy / "tile.py").unlink()
    stamps.add(cache.sources_stamp(copy))
    assert len(stamps) == 4 + len(files)


def test_kernels_call_nothing_of_the_package_outside_of_the_engine():
    """Else an edit there would leave stale kernels."""
    for name in ("compilation", "registration", "inspection", "lbfgs"):
        __import__(f"bpjit.{name}")
    jitted = [o for o in gc.get_objects() if issubclass(type(o), Dispatcher)]
    # Not those of the specification, or of benchmarks, which no kernel calls and which are not in the cache.
    functions = [d.py_func for d in jitted if (d.py_func.__module__ or "").startswith("bpjit.engine.")]
    functions += [k.function for k in gc.get_objects() if issubclass(type(k), jit.Kernel)]
    functions = [f for f in functions if (f.__module__ or "").startswith("bpjit.")]
    assert len(functions) > 100
    for function in functions:
        assert function.__module__.startswith(("bpjit.engine.", "bpjit.bench.")), function
        for name in function.__code__.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, FunctionType | Dispatcher | ModuleType | type):
                home = getattr(value, "__module__", None) or value.__name__
                assert not home.startswith("bpjit.") or home.startswith("bpjit.engine"), (function, name)


class Codegen:
    def __init__(self, *cpu):
        self.cpu = cpu

    def magic_tuple(self):
        return self.cpu


def test_versions_flags_and_cpus_have_files_of_their_own(monkeypatch):
    def path(*cpu):
        return cache.CacheFile("name", run, "signature", Codegen(*(cpu or ("x86_64", "znver3", "+avx2")))).path

    paths = [path(), path("x86_64", "znver3", "+avx512f"), path("x86_64", "haswell", "+avx2"), path("arm64", "m1", "")]
    changes = [(numba, "__version__"), (cache.llvmlite, "__version__"), (np, "__version__"), (sys, "version")]
    changes += [(cache.config, name) for name in ("BOUNDSCHECK", "OPT", "LOOP_VECTORIZE", "DEBUGINFO_DEFAULT")]
    changes += [(cache, "STAMP")]
    for module, name in changes:
        with monkeypatch.context() as patch:
            patch.setattr(module, name, "other")
            paths.append(path())
    assert len(set(paths)) == len(paths) == 13
    assert path() == paths[0]


def test_where_the_sources_cannot_be_read_nothing_is_kept(folder, tmp_path, monkeypatch):
    """As in a program that was frozen into one file: two versions of it would look the same."""
    assert cache.sources_stamp(tmp_path) is None
    assert cache.sources_stamp(tmp_path / "missing") is None
    monkeypatch.setattr(cache, "STAMP", None)
    assert not was_loaded()
    assert not folder.exists()


def test_after_an_upgrade_a_running_process_keeps_nothing(folder, monkeypatch):
    """It has the old engine in memory: what it compiles must not be taken for the new one's."""
    with monkeypatch.context() as patch:
        patch.setattr(cache, "ENGINE", CHECKOUT / "tests")  # sources that are others now
        assert not was_loaded()
        assert not folder.exists()
    assert not was_loaded()
    assert was_loaded()


UPGRADED = """
import os
from bpjit.engine import activations, cache, elementwise
with open(elementwise.__file__, "a") as file:
    file.write("# a new version")
activations.ACTIVATIONS["sigmoid"].sigma.address("float64")
assert not cache.cache_folder().exists()
"""


@pytest.mark.slow
def test_an_upgrade_while_a_process_runs(tmp_path):
    shutil.copytree(CHECKOUT / "bpjit", tmp_path / "bpjit", ignore=shutil.ignore_patterns("__pycache__"))
    python(UPGRADED, cwd=tmp_path, PYTHONPATH=str(tmp_path), BPJIT_CACHE_DIR=str(tmp_path / "kernels"))


# Whom it trusts


def test_a_sound_file_is_loaded(folder):
    assert not was_loaded()
    assert was_loaded()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_may_write_is_not_read(folder, mode):
    run(kernel())
    path = only_file(folder)
    path.chmod(mode)
    assert not was_loaded()
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600  # written again
    assert was_loaded()


def test_a_file_of_another_user_is_not_read(folder, monkeypatch):
    run(kernel())
    owner = only_file(folder).stat().st_uid
    for user, trusted in ((owner + 1, owner == 0), (owner, True)):  # root may do all there is, its files are trusted
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda user=user: user)
            assert (cache.CacheFile.load(file_of(kernel())) is not None) == trusted
    fstat = os.fstat

    def of_a_stranger(handle):
        facts = list(fstat(handle))
        facts[stat.ST_UID] = 12345
        return os.stat_result(facts)

    monkeypatch.setattr(os, "fstat", of_a_stranger)
    assert file_of(kernel()).load() is None


def file_of(made):
    wanted = jit.signature(made.result, *made.parameters(numba.float64))
    return cache.CacheFile(made.name, made.function, wanted, jit.cpu_target.target_context.codegen())


@pytest.mark.timeout(60)
def test_links_pipes_and_large_files_are_not_read(folder, tmp_path):
    run(kernel())
    path = only_file(folder)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert not was_loaded()
    assert not path.is_symlink()
    path.unlink()
    os.mkfifo(path)
    assert not was_loaded()
    assert was_loaded()
    os.truncate(path, cache.LARGEST + 1)
    assert not was_loaded()


def test_a_kernel_under_anothers_name_is_not_run(folder):
    """Whoever may rename files in the folder, cannot exchange kernels."""
    run(kernel())
    first = only_file(folder)
    assert run(kernel(shifted)) == [3, 4, 5]
    (second,) = set(folder.iterdir()) - {first}
    second.write_bytes(first.read_bytes())
    assert run(kernel(shifted)) == [3, 4, 5]


def test_a_folder_that_others_use_too(folder):
    folder.mkdir()
    folder.chmod(0o777)
    assert not was_loaded()
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600
    assert was_loaded()


# How it stays small


def aged(path, seconds, content=b"x" * 100):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def a_kernel(folder, k, seconds, content=b"x" * 100):
    return aged(folder / f"f.g-{k:032x}.kernel", seconds, content)


def test_what_nobody_uses_is_removed(folder):
    """By the first kernel that a process keeps: old versions', other CPUs', of writers that were killed."""
    old = a_kernel(folder, 1, cache.UNUSED_SECONDS + 100)
    used = a_kernel(folder, 2, cache.UNUSED_SECONDS - 100)
    killed = aged(folder / ".bpjit-abc.tmp", cache.ABANDONED_SECONDS + 100)
    at_work = aged(folder / ".bpjit-abd.tmp", 10)
    foreign = [aged(folder / name, 10**9) for name in ("thesis.txt", "f.kernel", "g-12.kernel", ".bpjit", "x.tmp")]
    assert not was_loaded()
    assert not old.exists() and not killed.exists()
    assert used.exists() and at_work.exists() and all(path.exists() for path in foreign)
    again = a_kernel(folder, 3, 10**9)
    run(kernel(shifted))
    assert again.exists()  # once a process


def test_its_size_has_a_limit(folder, monkeypatch):
    monkeypatch.setattr(cache, "MOST_BYTES", 1000)
    kernels = [a_kernel(folder, k, 10 * k, b"x" * 300) for k in (3, 1, 5, 2, 4)]
    run(kernel())
    assert [path.exists() for path in kernels] == [True, True, False, True, False]


def test_a_kernel_that_is_loaded_is_in_use(folder):
    run(kernel())
    path = only_file(folder)
    for age, touched in ((3600, False), (cache.DAY + 60, True)):
        then = time.time() - age
        os.utime(path, (then, then))
        assert was_loaded()
        assert (path.stat().st_mtime > then + 60) == touched


def test_size_and_clearing(folder):
    assert cache.cache_size() == cache.clear_cache() == (0, 0)  # no folder yet
    sizes = [len(a_kernel(folder, k, 0, b"x" * k).read_bytes()) for k in (10, 20)]
    killed = aged(folder / ".bpjit-abc.tmp", cache.ABANDONED_SECONDS + 100, b"x" * 7)
    at_work = aged(folder / ".bpjit-abd.tmp", 10, b"x" * 5)
    foreign = [aged(folder / name, 10**9) for name in ("thesis.txt", "f.kernel", "g-12.kernel", "0" * 32 + ".kernel")]
    (folder / f"f-{5:032x}.kernel").mkdir()
    (folder / f"f-{6:032x}.kernel").symlink_to(foreign[0])
    assert cache.cache_size() == (4, sum(sizes) + 12)
    assert cache.clear_cache() == (3, sum(sizes) + 7)
    assert not killed.exists() and at_work.exists() and all(path.exists() for path in foreign)
    assert cache.clear_cache() == (0, 0)


def test_clearing_where_files_cannot_be_removed(folder, monkeypatch):
    paths = [a_kernel(folder, k, 0) for k in range(3)]
    unlink = Path.unlink

    def refuse(path, *options):
        if path == paths[1]:
            raise PermissionError(13, "read-only", str(path))
        unlink(path, *options)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(PermissionError):
        cache.clear_cache()
    assert [path.exists() for path in paths] == [False, True, False]


def test_others_files_stay(folder, monkeypatch):
    path = a_kernel(folder, 1, 10**9)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert cache.cache_size() == cache.clear_cache() == (0, 0)
    run(kernel())
    assert path.exists()


# Disks and processes


@pytest.mark.parametrize("room", [1024, 4096, 8192])
def test_a_full_disk(folder, room):
    folder.mkdir()
    with small_disk(folder, room):
        if room > 4096:
            (folder / "ballast").write_bytes(bytes(4096))
        assert run(kernel()) == [2, 4, 6]
        assert [p for p in os.listdir(folder) if p != "ballast"] == []
    assert not was_loaded()
    assert was_loaded()


def test_homes(tmp_path, monkeypatch):
    program = "from bpjit.engine import cache; print(cache.cache_folder())"
    (found,) = python(program, BPJIT_CACHE_DIR="~/kernels", HOME=str(tmp_path))
    assert found == str(tmp_path / "kernels")
    (found,) = python(program, BPJIT_CACHE_DIR="kernels", cwd=tmp_path)
    assert found == str(tmp_path / "kernels")
    monkeypatch.setattr(cache, "AppDirs", lambda *_, **__: type("Dirs", (), {"user_cache_dir": "~/.cache/bpjit"}))
    monkeypatch.delenv("BPJIT_CACHE_DIR")
    nowhere = cache.cache_folder.__wrapped__()
    assert nowhere.is_absolute()
    assert nowhere.name == f"bpjit-{os.geteuid()}"


CLEARING = """
import os, sys, time
from bpjit.engine import activations, cache, jit
if sys.argv[1] == "clear":
    deadline = time.time() + 60
    while not os.path.exists(sys.argv[2]) and time.time() < deadline:
        cache.clear_cache()
else:
    for name in ("relu", "tanh", "sigmoid"):
        activations.ACTIVATIONS[name].sigma.address("float64")
    open(sys.argv[2], "w").close()
    print(jit.kernels_so_far())
"""


@pytest.mark.slow
def test_clearing_while_others_compile(tmp_path):
    done, options = tmp_path / "done", environment(BPJIT_CACHE_DIR=str(tmp_path / "kernels"))
    command = [sys.executable, "-c", CLEARING]
    clearing = subprocess.Popen([*command, "clear", str(done)], env=options)
    try:
        assert python(CLEARING, "compile", done, BPJIT_CACHE_DIR=str(tmp_path / "kernels")) == ["(3, 0)"]
        assert clearing.wait(timeout=90) == 0
    finally:
        clearing.kill()
    assert not [name for name in os.listdir(tmp_path / "kernels") if name.endswith(".tmp")]
