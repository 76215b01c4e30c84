"""What was measured: as a table while it grows, as Markdown, and as JSON.

The JSON is {"environment": environment, "rows": [row, ...]}. environment is {"versions": {name: version}, "cpu": its
name, "cores": how many there are to use, "date": YYYY-MM-DD}. A row has the fields of `Row`. Rates are in FLOP/s, times
in seconds.
"""

import json
import math
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}

Columns = Mapping[str, Callable[["Row"], str]]
"""What a table shows of a row, by the column's title."""


@dataclass(frozen=True)
class Row:
    """A training step of one case, measured in rounds for bpjit and others."""

    case: str
    """Its name, or the text that describes it."""
    network: str
    """Widths, and after an @ the mini-batch: 784-128-10@128."""
    optimizer: str
    threads: int
    dtype: str
    flops: int
    """Of a step."""
    peak: float
    """FLOP/s of one core, the best of the rounds."""
    seconds: dict[str, list[float]]
    """A step's, {library: [one a round]}."""
    left_out: dict[str, str]
    """{library: why}."""

    def best(self, library: str = "bpjit") -> float:
        """Seconds of the fastest round."""
        return min(self.seconds[library])

    @property
    def spread(self) -> float:
        """How much longer bpjit's slowest round took than its fastest, as a share."""
        return max(self.seconds["bpjit"]) / self.best() - 1

    @property
    def rate(self) -> float:
        """FLOP/s of bpjit."""
        return self.flops / self.best()

    @property
    def share(self) -> float:
        """Of the peak of as many cores as there are threads."""
        return self.rate / (self.threads * self.peak)

    def ratio(self, library: str) -> float:
        """How many times as fast as another library bpjit is; NaN where that was left out."""
        return self.best(library) / self.best() if library in self.seconds else math.nan


@dataclass(frozen=True)
class Report:
    """The rows of a run and their circumstances.

    >>> Report({"cpu": "Z80"}, []).to_json()[:18]
    '{"environment": {"'
    """

    environment: dict[str, Any]
    rows: list[Row]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @staticmethod
    def read(path: str | PathLike[str]) -> "Report":
        """What `to_json` gave. Raises ValueError, KeyError or TypeError for a file of another kind."""
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        return Report(content["environment"], [Row(**row) for row in content["rows"]])

    @property
    def libraries(self) -> list[str]:
        """All but bpjit, in the order in which they were measured."""
        return [name for name in dict.fromkeys(name for row in self.rows for name in row.seconds) if name != "bpjit"]

    @property
    def peaks(self) -> str:
        """What the hardware could do, in a line."""
        rates = [row.peak / 1e9 for row in self.rows]
        return f"a core's peak, measured beside each row: {min(rates):.0f} to {max(rates):.0f} GFLOP/s"

    @property
    def caption(self) -> str:
        """What was measured, where and when, in a line."""
        optimizers, threads, dtypes = (
            list(dict.fromkeys(getattr(row, name) for row in self.rows)) for name in ("optimizer", "threads", "dtype")
        )
        return f"{settings(optimizers, threads, dtypes[0])}; {conditions(self.environment)}; {self.peaks}"


def conditions(environment: dict[str, Any]) -> str:
    """A line that says what was measured, where and when."""
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items())
    return f"{environment['cpu']}, {plural(environment['cores'], 'core')} to use; {versions}; {environment['date']}"


def settings(optimizers: Iterable[str], threads: Iterable[int], dtype: str) -> str:
    """What is the same for all libraries.

    >>> settings(["sgd", "adam"], [1, 2], "float32")
    'SGD and Adam, 1 thread and 2 threads, float32'
    """
    rules = " and ".join(OPTIMIZERS[name] for name in optimizers)
    return f"{rules}, {' and '.join(plural(count, 'thread') for count in threads)}, {dtype}"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count > 1 else ''}"


def columns(libraries: Iterable[str], optimizers: Sequence[str], threads: Sequence[int]) -> Columns:
    """All that there is to show; what is the same in every row is left out."""
    shown: dict[str, Callable[[Row], str]] = {
        "case": lambda row: row.case,
        "network": lambda row: row.network if row.network != row.case else "",
    }
    if len(optimizers) > 1:
        shown["optimiser"] = lambda row: row.optimizer
    if len(threads) > 1:
        shown["threads"] = lambda row: str(row.threads)
    shown |= {
        "µs a step": lambda row: f"{row.best() * 1e6:.1f}",
        "spread": lambda row: f"{row.spread:.0%}",
        "GFLOP/s": lambda row: f"{row.rate / 1e9:.1f}",
        "of peak": lambda row: f"{row.share:.0%}",
    }
    for library in libraries:
        shown[library] = lambda row, library=library: significant(row.ratio(library))  # type: ignore[misc]
    return shown


def significant(ratio: float) -> str:
    """Three figures, or all that are before the point; a dash for NaN.

    >>> [significant(ratio) for ratio in (0.5, 23.456, 1234.5, math.nan)]
    ['0.50', '23.5', '1234', '–']
    """
    if math.isnan(ratio):
        return "–"
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"


class Text:
    """The lines of a table that grows row by row, so that its widths are chosen in advance.

    cases: {name: network} of the rows to come. width: characters of a line; where it is too small for all columns, the
    networks are left out first, then the spread.
    """

    def __init__(self, columns: Columns, cases: Mapping[str, str], width: int) -> None:
        self._widths = {title: max(map(len, [*_halves(title), "12345.6"])) for title in columns}
        self._widths["case"] = max(map(len, ["case", *cases]))
        self._widths["network"] = max(map(len, ["network", *cases.values()]))
        for spare in ("network", "spread"):
            if sum(self._widths.values()) + 2 * len(self._widths) - 2 > width:
                del self._widths[spare]
        self._columns = columns

    def header(self) -> str:
        """Two lines."""
        halves = {title: _halves(title) for title in self._widths}
        return "\n".join(self._line({title: half[n] for title, half in halves.items()}) for n in (0, 1))

    def line(self, row: Row) -> str:
        return self._line({title: self._columns[title](row) for title in self._widths})

    def _line(self, cells: Mapping[str, str]) -> str:
        left = ("case", "network", "optimiser")
        return "  ".join(
            f"{cell:{'<' if title in left else '>'}{self._widths[title]}}" for title, cell in cells.items()
        ).rstrip()


def _halves(title: str) -> tuple[str, str]:
    """Two lines of a header: broken after the first hyphen or point, or at the first space."""
    first, *second = re.split(r"(?<=[-.])| ", title, maxsplit=1)
    return (first, *second) if second else ("", first)  # type: ignore[return-value]


def markdown(report: Report) -> str:
    """The conditions, and a table of all rows."""
    shown = columns(
        report.libraries,
        sorted({row.optimizer for row in report.rows}),
        sorted({row.threads for row in report.rows}),
    )
    lines = [f"| {' | '.join(cell(row) for cell in shown.values())} |" for row in report.rows]
    rule = "".join("---|" if title in ("case", "network", "optimiser") else "---:|" for title in shown)
    return "\n".join([f"{report.caption}.\n", f"| {' | '.join(shown)} |", f"|{rule}", *lines])


def summary(report: Report) -> str:
    """The conditions, and a table of how many times as fast as the others bpjit is: the median of the rows, and their
    range."""
    threads = sorted({row.threads for row in report.rows})
    titles = [plural(count, "thread") for count in threads]
    lines = [f"| bpjit is as many times as fast as | {' | '.join(titles)} |", f"|---|{'---:|' * len(threads)}"]
    for library in report.libraries:
        cells = []
        for count in threads:
            ratios = [row.ratio(library) for row in report.rows if row.threads == count and library in row.seconds]
            figures = (statistics.median(ratios), min(ratios), max(ratios)) if ratios else [math.nan] * 3
            cells.append("{} ({} … {})".format(*map(significant, figures)))
        lines.append(f"| {library} | {' | '.join(cells)} |")
    return "\n".join([f"{report.caption}.\n", *lines])
