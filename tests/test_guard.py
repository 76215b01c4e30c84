"""The guard against slower commits: noise does not trip it, a slowed kernel does, and it says when it cannot tell."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from runs import CHECKOUT

from benchmarks import guard
from benchmarks.guard import AS_FAST, NEAR, NOISY, SLOWER, Tree


class Simulated:
    """A worker whose turns take so long, as on a machine with noise, with outliers, and slower from hour to hour."""

    def __init__(self, rng, seconds, noise):
        self.rng, self.seconds, self.noise, self.turns = rng, seconds, noise, 0

    def turn(self, case, epochs):
        self.turns += 1
        outlier = self.rng.uniform(2, 10) if self.rng.random() < 0.1 else 1
        drift = 1 + 0.02 * self.turns
        return epochs * self.seconds * drift * outlier * np.exp(self.rng.normal(0, self.noise))


def verdicts(copy=1.0, checkout=1.0, noise=0.03):
    """Of 200 comparisons, where the second copy of the parent and the checkout take so many times as long."""
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        three = [Simulated(rng, 0.01 * times, noise) for times in (1.0, copy, checkout)]
        found.append(guard.take_turns(three, "mnist").verdict)
    return found


def test_noise_does_not_trip_it():
    assert verdicts().count(AS_FAST) >= 198
    for noise in (0.1, 0.3, 1.0):
        assert SLOWER not in verdicts(noise=noise)


def test_what_is_slower_by_less_than_the_limit_passes():
    assert SLOWER not in verdicts(checkout=1.1)
    assert verdicts(checkout=1.15).count(SLOWER) <= 4
    assert NEAR in verdicts(checkout=1.15)


def test_what_is_slower_is_seen():
    assert verdicts(checkout=1.3).count(SLOWER) == 200
    assert verdicts(checkout=3.0, noise=0.2).count(SLOWER) >= 190


def test_a_process_that_is_slower_than_its_twin_makes_it_cautious():
    """Where memory lies differs from process to process, and stays so while it runs."""
    assert set(verdicts(copy=1.3, checkout=1.3)) == {NOISY}
    assert SLOWER not in verdicts(copy=1.1, checkout=1.2)


# With real processes.


@pytest.fixture
def short_turns(monkeypatch):
    monkeypatch.setattr(guard, "TURN", 0.02)


@pytest.fixture
def sound():
    """The checkout as it is; the session's cache holds its kernels."""
    return Tree(CHECKOUT, Path(os.environ["BPJIT_CACHE_DIR"]))


def slowed(folder, old, new):
    """A copy of the package with one statement replaced."""
    shutil.copytree(CHECKOUT / "bpjit", folder / "bpjit", ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / "bpjit" / "engine" / "gradient.py"
    source = path.read_text(encoding="utf-8")
    assert source.count(old) == 1
    path.write_text(source.replace(old, new), encoding="utf-8")
    return Tree(folder, folder / "kernels")


@pytest.mark.alone
@pytest.mark.slow
def test_a_slowed_kernel_is_caught(sound, short_turns, tmp_path, capsys):
    once = "            sum_chunk(layers, tasks[k], theta, moments, work, numbers, s, min(s + CHUNK, samples), s > 0)\n"
    tree = slowed(tmp_path, once, f"            for _ in range(8):\n    {once}")
    assert guard.guard(sound, tree, ["deep"]) == 1
    assert capsys.readouterr().out.endswith("Slower than the parent by more than 15%, twice: deep\n")


@pytest.mark.alone
def test_a_tree_is_not_slower_than_itself(sound, short_turns):
    assert guard.guard(sound, sound, ["deep"]) == 0


def test_a_tree_that_does_not_run(sound, tmp_path, capsys):
    empty = Tree(tmp_path, tmp_path / "kernels")
    assert guard.guard(empty, sound, ["deep"]) == 0
    assert "Nothing compared: the parent does not run (it has no bpjit" in capsys.readouterr().out
    with pytest.raises(guard.CannotRunError, match="it has no bpjit"):
        guard.guard(sound, empty, ["deep"])


def test_an_interface_that_was_another(sound, tmp_path, capsys):
    (tmp_path / "bpjit.py").write_text("def train(): ...")
    assert guard.guard(Tree(tmp_path, tmp_path), sound, ["deep"]) == 0
    assert "does not run (AttributeError: module 'bpjit' has no attribute 'Network')" in capsys.readouterr().out


# Which commit is the parent.


def commit(folder, content):
    (folder / "file").write_text(content)
    who = "-c", "user.name=A", "-c", "user.email=a@b.c"
    guard.git(folder, "add", "file")
    guard.git(folder, *who, "commit", "--quiet", "--message", content)


@pytest.fixture
def repository(tmp_path):
    """With two commits."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    folder = tmp_path / "repository"
    folder.mkdir()
    guard.git(folder, "init", "--quiet")
    commit(folder, "first")
    commit(folder, "second")
    return folder


def parent(repository, tmp_path, base=None):
    guard.export(repository, base, tmp_path / "parent")
    return (tmp_path / "parent" / "file").read_text()


def test_the_parent_of_what_is_committed(repository, tmp_path):
    assert parent(repository, tmp_path) == "first"


def test_the_parent_of_what_is_not(repository, tmp_path):
    (repository / "file").write_text("third")
    assert parent(repository, tmp_path) == "second"


def test_the_base_that_is_asked_for(repository, tmp_path):
    commit(repository, "third")
    assert parent(repository, tmp_path, "HEAD~2") == "first"


def test_without_a_parent_nothing_is_compared(repository, tmp_path, capsys):
    shallow = tmp_path / "shallow"
    guard.git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repository}", str(shallow))
    for folder in (shallow, tmp_path):  # the second is no repository
        assert guard.main(["--repository", str(folder)]) == 0
        assert capsys.readouterr().out.startswith("Nothing compared: no parent is here (fatal:")
    assert guard.main(["--repository", str(repository), "--base", "no-such-commit"]) == 2


def test_without_git_nothing_is_compared(monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    assert guard.main([]) == 0
    assert "No such file or directory: 'git'" in capsys.readouterr().out


def test_the_exit_status_is_that_of_the_comparison(repository, monkeypatch):
    for status in (0, 1):
        monkeypatch.setattr(guard, "guard", lambda *_, status=status: status)
        assert guard.main(["--repository", str(repository)]) == status
