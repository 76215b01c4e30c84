"""For the whole session: a compile cache of its own, no skips in CI, no deadline for Hypothesis, turns of processes."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis
import pytest

_folders: list[str] = []
"""What the session has made, and removes at its end."""


def _folder() -> str:
    _folders.append(tempfile.mkdtemp(prefix="bpjit-tests-"))
    return _folders[-1]


# Set before the first test module imports bpjit. The workers of pytest-xdist and the processes that tests start inherit
# it, so that every kernel is compiled once a session, and the user's own cache is neither used nor filled.
if not os.environ.get("BPJIT_CACHE_DIR"):
    os.environ["BPJIT_CACHE_DIR"] = _folder()

os.environ.pop("OMP_NUM_THREADS", None)  # tests of plans say themselves how many threads there may be
os.environ.setdefault("MPLBACKEND", "Agg")  # plots are drawn to files: no screen is needed

# The first example of a property compiles, which takes seconds; in CI the same examples every time.
_in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
hypothesis.settings.register_profile("bpjit", deadline=None, derandomize=_in_ci)
hypothesis.settings.load_profile("bpjit")


def pytest_unconfigure() -> None:
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)


_turns: list[str] = []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called for each worker of pytest-xdist before it starts; all of them get one folder for their locks."""
    if not _turns:
        _turns.append(_folder())
    node.workerinput["turns"] = _turns[0]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):  # type: ignore[no-untyped-def]
    folder = getattr(item.config, "workerinput", {}).get("turns")
    if folder is None:
        return (yield)
    with _turn(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@contextmanager
def _turn(folder: str, alone: bool) -> Iterator[None]:
    """While a test runs alone, no worker runs another."""
    import fcntl

    with open(f"{folder}/queue", "w") as queue, open(f"{folder}/running", "w") as running:
        fcntl.flock(queue, fcntl.LOCK_EX)  # who waits to be alone is not passed by
        fcntl.flock(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(running, fcntl.LOCK_UN)


def _refuse_skip(report: Any) -> Any:
    """In CI a skip is a failure: what a test needs is installed there, so a skip hides something."""
    if _in_ci and report.skipped and not hasattr(report, "wasxfail"):
        path, line, reason = report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{path}:{line}: skipped, and in CI nothing may be: {reason}"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport():  # type: ignore[no-untyped-def]
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report():  # type: ignore[no-untyped-def]
    return _refuse_skip((yield))


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, whose loop takes seconds to compile, are the matter of test_threads.py."""
    monkeypatch.setattr("bpjit.engine.plan.available_cpus", lambda: 1)


@pytest.fixture
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiled call makes one step or a few."""
    monkeypatch.setattr("bpjit.loop.CALL_SECONDS", 1e-7)


@pytest.fixture
def own_entries() -> Any:
    """The tables are afterwards as they were; other tests know nothing of what one has registered."""
    from bpjit import registration
    from bpjit.engine import activations, losses, optimizers

    tables = activations.ACTIVATIONS, losses.LOSSES, optimizers.OPTIMIZERS, registration._own
    before = [dict(table) for table in tables]  # type: ignore[call-overload]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()  # type: ignore[attr-defined]
        table.update(entries)  # type: ignore[attr-defined]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command of `bpjit` in this process: its exit code, and what it printed on both outputs."""

    def run(*words: object) -> tuple[int, str, str]:
        from bpjit import cli

        with pytest.raises(SystemExit) as exit:
            cli.main(list(map(str, words)))
        captured = capsys.readouterr()
        return exit.value.code, captured.out, captured.err

    return run
