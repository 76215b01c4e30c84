"""The progress of a training run: a live bar on a terminal or in a notebook, a line an epoch in a log, or silence."""

import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from math import isnan
from threading import Event, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Protocol, TextIO

from .validation import switch

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["Progress", "reporter"]

_INTERVAL = 0.1  # seconds between two drawings, at least
_LOG_INTERVAL = 0.5  # the same for lines that stay: a log of very short epochs would be endless
_SHARE = 0.005  # of the run's time that drawing may take, however slow the terminal is
_WINDOW = 10.0  # seconds over which the speed is averaged
_CACHED = 1.5  # seconds: kernels that are there sooner came from the cache, which is no news
_COMPILING = "compiling the kernels for this CPU, once ..."


class Plan(Protocol):
    """What is shown of the plan that a run follows."""

    @property
    def threads(self) -> int: ...
    @property
    def reason(self) -> str: ...


class Progress:
    """Receives the progress of a training run, and shows nothing; override what you want to show.

    The order of calls is `start`, then for each epoch any number of `update` and one `epoch_end`, then `stopped` if
    something ends the run before its last epoch, and `finish` in the end, also after an error or Ctrl-C. `compiling`
    may surround any part before `finish`.

    >>> class Losses(Progress):
    ...     def epoch_end(self, epoch, record):
    ...         print(f"{epoch}: {record['loss']:.2f}")
    >>> Losses().epoch_end(1, {"loss": 0.254})
    1: 0.25
    """

    def start(
        self,
        epochs: int,
        samples: int,
        batch_size: int,
        done: int = 0,
        description: str = "",
        plan: Plan | None = None,
        samples_done: int = 0,
    ) -> None:
        """A run up to epoch number `epochs` begins, each over `samples` in mini-batches of `batch_size`.

        `done` epochs lie behind it already, and `samples_done` samples of the next one. `samples` is 0 where nobody
        knows how many there are.
        """

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Surrounds work during which kernels may be compiled."""
        yield

    def update(self, epoch: int, samples_done: int, loss: float) -> None:
        """`samples_done` of epoch number `epoch` (from 1) are trained; `loss` is the mean over them."""

    def epoch_end(self, epoch: int, record: Mapping[str, float]) -> None:
        """Epoch number `epoch` (from 1) is complete; `record` is its entry in the history."""

    def stopped(self, reason: str) -> None:
        """Something has ended the run before its last epoch; `finish` follows."""

    def finish(self) -> None:
        """The run is over, whatever ended it. May be called again."""


def reporter(progress: bool | Progress) -> Progress:
    """The display for a `progress` argument: silent for False, one that suits standard error for True.

    For True: on a terminal a live bar by rich, or one plain line if rich is not installed; in a notebook a bar below
    the cell; elsewhere one line an epoch. A `Progress` is returned as it is. Raises TypeError for anything else.

    >>> type(reporter(False)).__name__
    'Progress'
    """
    if isinstance(progress, Progress):
        return progress
    stream = sys.stderr
    if not switch(progress, "progress"):
        return Progress()
    if _in_notebook():
        return _Notebook()
    if stream is None:
        return Progress()
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return _Log(stream)
    try:
        return _Bar()
    except ModuleNotFoundError:
        return _Line(stream)


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, which shows what it is sent as HTML, and no carriage returns."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


@dataclass
class _Meter:
    """Where a run is, how fast it goes, how long it will take."""

    epochs: int
    samples: int
    epoch: int
    position: int  # samples trained since the first epoch
    now: float
    loss: float | None = None
    score: str = ""
    ended: bool = False

    def __post_init__(self) -> None:
        self.unknown = not self.samples
        self.first = (self.now, self.position)
        self.recent = deque([self.first])

    def advance(self, epoch: int, samples_done: int) -> None:
        self.now, self.epoch = perf_counter(), epoch
        self.position = (epoch - 1) * self.samples + samples_done
        if self.now - self.recent[-1][0] >= _INTERVAL:
            self.recent.append((self.now, self.position))
        while self.now - self.recent[0][0] > _WINDOW and len(self.recent) > 1:
            self.recent.popleft()

    def end_epoch(self, epoch: int) -> None:
        if not self.unknown:
            self.advance(epoch, self.samples)
            return
        done = self.position - (self.epoch - 1) * self.samples  # the epoch has shown how many samples there are
        behind = epoch * done - self.position
        self.samples, self.position = done, epoch * done
        self.first = (self.first[0], self.first[1] + behind)
        self.recent = deque((time, position + behind) for time, position in self.recent)
        self.advance(epoch, done)

    def leave_out(self, seconds: float) -> None:
        """Takes time that was not training out of every rate."""
        self.now += seconds
        self.first = (self.first[0] + seconds, self.first[1])
        self.recent = deque((time + seconds, position) for time, position in self.recent)

    def fraction(self) -> float:
        return min(self.position / (self.epochs * self.samples), 1.0) if self.samples else 0.0

    def title(self) -> str:
        return f"epoch {self.epoch}/{self.epochs}"

    def facts(self) -> list[str]:
        """Loss, validation score, speed and time, each as a short text, as far as they are known."""
        since, position = self.first if self.ended else self.recent[0]
        seconds = self.now - since
        rate = (self.position - position) / seconds if seconds > 0 else 0.0
        facts = [f"loss {self.loss:.4f}"] if self.loss is not None else []
        facts += [self.score] if self.score else []
        facts += [f"{_short(rate)} samples/s"] if rate > 0 else []
        if self.ended:
            facts.append(f"in {seconds:.1f} s" if seconds < 60 else f"in {_clock(seconds)}")
        elif rate > 0 and self.samples:
            facts.append(f"{_clock((self.epochs * self.samples - self.position) / rate)} left")
        return facts


class _Ticker:
    """A thread that calls `tick` ten times a second, after `_CACHED` seconds and until `stop`."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="bpjit-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait = _CACHED
        while not self._stopped.wait(wait):
            self._tick()
            wait = _INTERVAL

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


class _Display(Progress):
    """What the displays share: the meter, the ticker while kernels compile, and how often to draw."""

    interval = _INTERVAL
    within_epochs = True

    def __init__(self) -> None:
        self._meter: _Meter | None = None
        self._ticker: _Ticker | None = None
        self._next = 0.0
        self._lost = False
        self._reason = ""

    def note(self, text: str) -> None:
        """Writes a line that stays."""
        raise NotImplementedError

    def draw(self, meter: _Meter) -> None:
        """Shows where the run is."""
        raise NotImplementedError

    def draw_compiling(self, seconds: float) -> None:
        """Shows that kernels have been compiling for so long."""
        raise NotImplementedError

    def close(self) -> None:
        """Gives the terminal back, with what was drawn last above the cursor."""

    def start(
        self,
        epochs: int,
        samples: int,
        batch_size: int,
        done: int = 0,
        description: str = "",
        plan: Plan | None = None,
        samples_done: int = 0,
    ) -> None:
        self._meter = _Meter(epochs, samples, done, done * samples + samples_done, perf_counter())
        self._next = 0.0
        if description:
            self._try(lambda: self.note(description))
        if plan is not None:
            text = f"{plan.threads} thread{'s' if plan.threads != 1 else ''}: {plan.reason}"
            self._try(lambda: self.note(text))

    @contextmanager
    def compiling(self) -> Iterator[None]:
        if self._ticker is not None:
            yield
            return
        began = perf_counter()
        self._ticker = _Ticker(lambda: self._try(lambda: self.draw_compiling(perf_counter() - began)))
        try:
            yield
        finally:
            self._stop_ticker()
            seconds = perf_counter() - began
            if self._meter is not None:
                self._meter.leave_out(seconds)
        if seconds >= _CACHED:
            self._try(lambda: self.note(f"compiled the kernels for this CPU in {seconds:.1f} s"))

    def update(self, epoch: int, samples_done: int, loss: float) -> None:
        if self._meter is not None:
            self._meter.advance(epoch, samples_done)
            self._meter.loss = loss
            if self.within_epochs:
                self._refresh(self._meter)

    def epoch_end(self, epoch: int, record: Mapping[str, float]) -> None:
        if self._meter is not None:
            self._meter.end_epoch(epoch)
            self._meter.loss = record.get("loss", self._meter.loss)
            self._meter.score = _score(record) or self._meter.score
            self._refresh(self._meter)

    def stopped(self, reason: str) -> None:
        self._reason = reason

    def finish(self) -> None:
        self._stop_ticker()
        meter, self._meter = self._meter, None
        if meter is not None and meter.loss is not None:
            meter.ended = True
            self._try(lambda: self.draw(meter))
        self._try(self.close)
        reason, self._reason = self._reason, ""
        if reason:
            self._try(lambda: self.note(f"stopped: {reason}"))

    def _refresh(self, meter: _Meter) -> None:
        if meter.now >= self._next and self._ticker is None:
            self._try(lambda: self.draw(meter))
            self._next = meter.now + max(self.interval, (perf_counter() - meter.now) / _SHARE)

    def _stop_ticker(self) -> None:
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.stop()

    def _try(self, show: Callable[[], None]) -> None:
        """Shows something, unless the terminal has gone: that must not end a long training run."""
        if not self._lost:
            try:
                show()
            except (OSError, ValueError):  # ValueError: the stream is closed, or cannot encode
                self._lost = True


class _Log(_Display):
    """Lines that stay, one an epoch, for a file or a pipe."""

    interval = _LOG_INTERVAL
    within_epochs = False

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def draw(self, meter: _Meter) -> None:
        if meter.ended or meter.epoch < meter.epochs:  # the last epoch's line waits for the run's time
            self.note("  ".join([meter.title(), *meter.facts()]))

    def draw_compiling(self, seconds: float) -> None:
        if seconds < _CACHED + _INTERVAL:  # once
            self.note(_COMPILING)


class _Line(_Display):
    """One line, written over again and again, for a terminal without rich."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._length = 0  # of what stands on the line

    def note(self, text: str) -> None:
        self._write(text, end="\n")

    def draw(self, meter: _Meter) -> None:
        columns = shutil.get_terminal_size().columns - 1
        width, facts = _fit(meter, columns - 2)
        filled = round(meter.fraction() * width)
        bar = f"[{'#' * filled}{'.' * (width - filled)}]"
        self._write("  ".join([f"{meter.title()} {bar}", *facts])[:columns])

    def draw_compiling(self, seconds: float) -> None:
        self._write(f"{_COMPILING} {seconds:.1f} s")

    def close(self) -> None:
        if self._length:
            self._length = 0
            print(file=self._stream, flush=True)

    def _write(self, text: str, end: str = "") -> None:
        # Blanks, not an escape sequence, cover what stood there: they work on every terminal.
        self._stream.write(f"\r{text.ljust(self._length)}{end}")
        self._stream.flush()
        self._length = 0 if end else len(text)


class _Bar(_Display):
    """A live bar drawn by rich. Raises ModuleNotFoundError if rich is not installed."""

    def __init__(self) -> None:
        super().__init__()
        import rich.console
        import rich.live
        import rich.progress_bar
        import rich.table
        import rich.text

        self._rich = rich
        self._console = rich.console.Console(stderr=True)
        self._live: Live | None = None

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def draw(self, meter: _Meter) -> None:
        width, facts = _fit(meter, self._console.width - 1)
        row = self._rich.table.Table.grid(padding=(0, 1, 0, 0))
        row.add_row(
            self._rich.text.Text(meter.title(), style="bold", no_wrap=True),
            self._rich.progress_bar.ProgressBar(total=1.0, completed=meter.fraction(), width=width),
            self._rich.text.Text("  ".join(facts), no_wrap=True),
        )
        self._render(row)

    def draw_compiling(self, seconds: float) -> None:
        self._render(f"{_COMPILING} {seconds:.1f} s")

    def close(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _render(self, what: "RenderableType") -> None:
        if self._live is None:
            # A standard output that goes elsewhere must not be caught for the terminal.
            shared = sys.stdout is not None and sys.stdout.isatty()
            # auto_refresh would start a thread that draws however busy the CPU is with training.
            self._live = self._rich.live.Live(console=self._console, auto_refresh=False, redirect_stdout=shared)
            self._live.start()
        self._live.update(what, refresh=True)


class _Notebook(_Display):
    """A bar below a notebook's cell, with the lines that stay above it; text where HTML is not shown."""

    interval = 0.2  # each drawing is a message to a browser

    def __init__(self) -> None:
        super().__init__()
        from IPython.display import display

        self._lines: list[str] = []
        self._bar = self._text = ""
        # In the thread of the cell: what another one sends first may end up below another cell.
        self._handle = display(self._bundle(), raw=True, display_id=True)

    def note(self, text: str) -> None:
        self._lines.append(text)
        self._show()

    def draw(self, meter: _Meter) -> None:
        facts = "  ".join(meter.facts())
        self._text = f"{meter.title()}  {facts}"
        self._bar = (
            f'<b>{meter.title()}</b> <progress value="{meter.fraction():.4f}" style="width: 14em; margin: 0 0.5em">'
            f"</progress> {escape(facts)}"
        )
        self._show()

    def draw_compiling(self, seconds: float) -> None:
        self._bar = self._text = f"{_COMPILING} {seconds:.1f} s"
        self._show()

    def _show(self) -> None:
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        lines = "".join(f"<div>{escape(line)}</div>" for line in self._lines)
        html = f'<div style="font-variant-numeric: tabular-nums">{lines}<div>{self._bar}</div></div>'
        return {"text/html": html, "text/plain": "\n".join([*self._lines, self._text]).strip()}


def _fit(meter: _Meter, columns: int) -> tuple[int, list[str]]:
    """The width of the bar and the facts that have room beside it, the dearest kept longest."""
    facts = meter.facts()
    while True:
        room = columns - len(meter.title()) - 1 - sum(len(fact) + 2 for fact in facts)
        if room >= 5 or not facts:
            return max(min(room, 40), 1), facts
        facts.pop(-2 if len(facts) > 2 else -1)


def _score(record: Mapping[str, float]) -> str:
    """The first validation score of an epoch; the validation loss where there is no score, nothing where there is none
    of this epoch."""
    names = [name for name in record if name.startswith("validation_") and not isnan(record[name])]
    names.sort(key=lambda name: name == "validation_loss")
    return f"val {names[0].removeprefix('validation_')} {record[names[0]]:.4f}" if names else ""


def _short(number: float) -> str:
    """Three digits and a unit: 12.3k."""
    for unit in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}G"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
