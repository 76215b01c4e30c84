"""For the whole session: a compile cache of its own, no skips in CI, no deadline for Hypothesis."""

import os
import shutil
import tempfile
from typing import Any

import hypothesis
import pytest

# Set before the first test module imports bpjit. The processes that tests start inherit it, so that every
# kernel is compiled once a session, and the user's own cache is neither used nor filled.
_own_cache = None
if not os.environ.get("BPJIT_CACHE_DIR"):
    _own_cache = os.environ["BPJIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="bpjit-tests-")

os.environ.setdefault("MPLBACKEND", "Agg")  # plots are drawn to files: no screen is needed

# The first example of a property compiles, which takes seconds; in CI the same examples every time.
_in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
hypothesis.settings.register_profile("bpjit", deadline=None, derandomize=_in_ci)
hypothesis.settings.load_profile("bpjit")


def pytest_unconfigure() -> None:
    if _own_cache is not None:
        shutil.rmtree(_own_cache, ignore_errors=True)


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
