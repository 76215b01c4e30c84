"""Whether the checkout trains slower than its parent commit, on a machine where others are at work too.

    python -m benchmarks.guard [--base COMMIT] [--repository FOLDER] [CASE ...]

The parent is HEAD~1, or HEAD while something is not committed. It runs in two processes and the checkout in a third,
each tree with a compile cache of its own. They take turns of about a tenth of a second, on one thread; what counts is
the CPU time of a turn beside the other two of its round. A case is slower if it takes over 15% longer than either copy
of the parent, and that by more than these differ, and does so again in three new processes. Where the copies differ by
15% themselves, the machine is too noisy to tell, which is said and fails nothing; nor does it where there is no parent.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median

from bpjit.bench.cases import CASES

CHECKOUT = Path(__file__).resolve().parents[1]
TELLING = ("tiny", "deep", "mnist")  # what a step costs however small, all parts of one alike, mostly products
LIMIT = 1.15
ROUNDS, MOST_ROUNDS = 20, 60  # at first; and while a case is near the limit, or noisy
TURN = 0.1  # seconds
SLOWER, AS_FAST, NEAR, NOISY = "SLOWER", "as fast", "near the limit", "too noisy to tell"


@dataclass(frozen=True)
class Tree:
    """A folder with a bpjit in it, and where its kernels are kept."""

    folder: Path
    cache: Path


class CannotRunError(Exception):
    """A tree does not do what the worker asks of it."""

    def __init__(self, tree: Tree, reason: str) -> None:
        super().__init__(reason)
        self.tree = tree


class Worker:
    """A process that trains the bpjit of a tree, a turn at a time."""

    def __init__(self, tree: Tree, cases: Sequence[str]) -> None:
        wanted = {name: (c.sizes, c.loss, c.batch_size, c.samples) for name, c in CASES.items() if name in cases}
        self.tree, self.errors = tree, tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-P", Path(__file__).with_name("worker.py"), json.dumps(wanted)],
            env=os.environ | {"PYTHONPATH": str(tree.folder), "BPJIT_CACHE_DIR": str(tree.cache)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def wait(self) -> None:
        """Until it has compiled."""
        ran = self.answer()
        if not Path(ran).is_relative_to(self.tree.folder):
            raise CannotRunError(self.tree, f"it has no bpjit: {ran} ran in its place")
        self.answer()

    def turn(self, case: str, epochs: int) -> float:
        """Seconds of so many epochs."""
        print(case, epochs, file=self.process.stdin, flush=True)
        return float(self.answer())

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            raise CannotRunError(self.tree, ["it ended", *self.errors.read().splitlines()][-1])
        return line.strip()


@contextmanager
def workers(parent: Tree, checkout: Tree, cases: Sequence[str]) -> Iterator[list[Worker]]:
    """Two of the parent and one of the checkout."""
    with ExitStack() as stack:
        first, own = (stack.enter_context(Worker(tree, cases)) for tree in (parent, checkout))
        first.wait()  # both compile at once
        own.wait()
        second = stack.enter_context(Worker(parent, cases))
        second.wait()
        yield [first, second, own]


@dataclass(frozen=True)
class Comparison:
    """Of a case, the seconds of every turn: a row a round, of both copies of the parent and of the checkout."""

    case: str
    rounds: list[list[float]]

    @property
    def noise(self) -> float:
        """How many times as long as the other one copy of the parent may take."""
        low, high = interval([second / first for first, second, _ in self.rounds])
        return max(high, 1 / low)

    @property
    def verdict(self) -> str:
        lows, highs = zip(*(interval([row[2] / row[copy] for row in self.rounds]) for copy in (0, 1)))
        if min(lows) > LIMIT * self.noise:
            return SLOWER
        if self.noise > LIMIT:
            return NOISY
        return AS_FAST if max(highs) <= LIMIT else NEAR

    def __str__(self) -> str:
        ratio = median(2 * own / (first + second) for first, second, own in self.rounds)
        return f"{self.case:6} {ratio:17.2f} {self.noise:19.2f}   {self.verdict} ({len(self.rounds)} rounds)"


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """Where the median lies with 98% confidence, whatever the distribution (sign test): an outlier weighs nothing."""
    ordered = sorted(ratios)
    k = int((len(ordered) - 2.33 * sqrt(len(ordered))) / 2)
    return ordered[k], ordered[-1 - k]


def take_turns(three: list[Worker], case: str) -> Comparison:
    comparison = Comparison(case, [])
    epochs = max(1, round(TURN / three[0].turn(case, 1)))
    rounds = 0
    while rounds < ROUNDS or (rounds < MOST_ROUNDS and comparison.verdict in (NEAR, NOISY)):
        order = [(rounds + n) % 3 for n in range(3)]  # none is always the first
        seconds = {n: three[n].turn(case, epochs) for n in order}
        comparison.rounds.append([seconds[n] for n in range(3)])
        rounds += 1
    return comparison


def compare(parent: Tree, checkout: Tree, cases: Sequence[str]) -> list[str]:
    """Prints a line for every case and returns those that are slower. Raises CannotRunError."""
    print("case   checkout / parent   parent / its copy")
    with workers(parent, checkout, cases) as three:
        comparisons = [take_turns(three, case) for case in cases]
    print(*comparisons, sep="\n", flush=True)
    return [comparison.case for comparison in comparisons if comparison.verdict == SLOWER]


def git(repository: Path, *command: str) -> str:
    done = subprocess.run(["git", "-C", repository, *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def export(repository: Path, base: str | None, folder: Path) -> None:
    """Writes the parent's files into a folder."""
    base = base or ("HEAD" if git(repository, "status", "--porcelain") else "HEAD~1")
    commit = git(repository, "rev-parse", "--verify", f"{base}^{{commit}}")
    print("The parent:", git(repository, "log", "-1", "--format=%h %s", commit), flush=True)
    git(repository, "archive", f"--output={folder}.tar", commit)
    with tarfile.open(f"{folder}.tar") as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # which Python 3.11.2 has not
        archive.extractall(folder)


def guard(parent: Tree, checkout: Tree, cases: Sequence[str]) -> int:
    """The exit status for two trees."""
    try:
        slower = compare(parent, checkout, cases)
        if slower:
            print("Once more, in new processes:")
            slower = compare(parent, checkout, slower)
    except CannotRunError as error:
        if error.tree == checkout:
            raise
        print(f"Nothing compared: the parent does not run ({error})")
        return 0
    if slower:
        print(f"Slower than the parent by more than {LIMIT - 1:.0%}, twice: {', '.join(slower)}")
    return 1 if slower else 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; else {', '.join(TELLING)}")
    parser.add_argument("--base", help="the commit to compare with")
    parser.add_argument("--repository", type=Path, default=CHECKOUT, help="where that commit is")
    chosen = parser.parse_args(arguments)
    if unknown := set(chosen.cases) - set(CASES):
        parser.error(f"no such case: {', '.join(unknown)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try:
            export(chosen.repository, chosen.base, folder / "parent")
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", None) or str(error)
            print(f"Nothing compared: no parent is here ({reason.strip()}). In a shallow clone: git fetch --deepen=1")
            return 2 if chosen.base else 0
        parent, checkout = Tree(folder / "parent", folder / "parent kernels"), Tree(CHECKOUT, folder / "kernels")
        return guard(parent, checkout, chosen.cases or TELLING)


if __name__ == "__main__":
    sys.exit(main())
