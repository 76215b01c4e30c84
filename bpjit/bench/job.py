"""What `bpjit bench` is asked for, and what it prints while it does it."""

import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TextIO

from bpjit import validation
from bpjit.engine import plan

from . import cases as cases_
from .measure import rows
from .peers import PEERS, environment, installed
from .report import Report, Text, columns, conditions, settings


@dataclass(frozen=True)
class Job:
    """What is to be measured."""

    cases: dict[str, cases_.Case]
    others: list[str]
    """Libraries to compare bpjit with."""
    missing: list[str]
    """Libraries that would be compared with it, but are not installed."""
    optimizers: list[str]
    threads: list[int]
    seconds: float

    @staticmethod
    def parse(cases: str | None, peers: str | None, optimizer: str, threads: str, dtype: str, seconds: float) -> "Job":
        """The job that options describe, in which commas divide. Raises ValueError for what is not known.

        >>> Job.parse("tiny,20-8-2@16", "none", "sgd", "1", "float32", 1.5).count
        2
        """
        others, missing = _libraries(peers)
        return Job(
            {name: cases_.case(name, dtype) for name in (cases_.CASES if cases is None else _words(cases))},
            others,
            missing,
            [validation.choice(name, cases_.OPTIMIZERS, "optimizer") for name in _words(optimizer)],
            [_threads(word) for word in _words(threads)],
            validation.real(seconds, "seconds", low=0.0, low_open=True),
        )

    @property
    def dtype(self) -> str:
        return next(iter(self.cases.values())).dtype

    @property
    def count(self) -> int:
        """Rows to come."""
        return len(self.cases) * len(self.optimizers) * len(self.threads)

    def environment(self) -> dict[str, Any]:
        """For the report: PyTorch and torch.compile have one version."""
        packages: dict[tuple[str, ...], str] = {}
        for name in ["bpjit", *self.others]:
            packages.setdefault(PEERS[name].packages, name)
        return environment(installed({name: several for several, name in packages.items()}))

    def run(self, report: Report, out: TextIO, say: Callable[[str], object]) -> None:
        """Adds each row to the report and prints it to `out` as soon as it is measured. What is left out is said.

        Raises what `measure.rows` raises.
        """
        if self.missing:
            say(f"not installed, so left out: {', '.join(self.missing)} (pip install 'bpjit[peers]')")
        width = shutil.get_terminal_size().columns if out.isatty() else sys.maxsize
        shown = columns(self.others, self.optimizers, self.threads)
        text = Text(shown, {name: case.notation for name, case in self.cases.items()}, width)
        heading = f"{conditions(report.environment)}; {settings(self.optimizers, self.threads, self.dtype)}."
        if self.others:
            heading += " Last columns: how many times as fast as these libraries bpjit is."
        print(textwrap.fill(heading, width, break_on_hyphens=False), text.header(), sep="\n\n", file=out, flush=True)
        peers = {name: PEERS[name] for name in ["bpjit", *self.others]}
        try:
            for row in rows(self.cases, self.optimizers, self.threads, peers, self.seconds, _show):
                report.rows.append(row)
                _show()
                print(text.line(row), file=out, flush=True)
                for library, reason in row.left_out.items():
                    say(f"{library} is left out of {row.case}: {reason}")
        finally:
            _show()
        print(f"\n{report.peaks}", file=out)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(word.strip() for word in text.split(",")))


def _libraries(peers: str | None) -> tuple[list[str], list[str]]:
    """Those that are installed, and those that are not."""
    known = {name.lower(): name for name in PEERS if name != "bpjit"} | {"none": ""}
    words = list(known) if peers is None else _words(peers.lower())
    names = [name for word in words if (name := known[validation.choice(word, known, "peers")])]
    there = installed({name: PEERS[name].packages for name in names})
    missing = [name for name in names if name not in there]
    if missing and peers is not None:
        raise ValueError(f"peers: {', '.join(missing)} is not installed here: pip install 'bpjit[peers]'")
    return list(there), missing


def _threads(word: str) -> int:
    if not word.isdecimal() or not 1 <= int(word) <= plan.available_cpus():
        cores = plan.available_cpus()
        raise ValueError(f"threads must be whole numbers from 1 to {cores}, the cores to use here, got {word!r}")
    return int(word)


def _show(title: str = "", text: str = "") -> None:
    """The line on the terminal that says what is done now; without arguments it is cleared."""
    if sys.stderr.isatty():
        print(f"\r{title}: {text}\x1b[K" if title else "\r\x1b[K", end="", file=sys.stderr, flush=True)
