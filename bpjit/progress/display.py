"""What the displays share."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from time import perf_counter

from .base import Plan, Progress
from .meter import INTERVAL, Meter, score

SHARE = 0.005
"""Of the run's time that drawing may take, however slow the terminal is."""
CACHED = 1.5
"""Seconds: kernels that are there sooner came from the cache, which is no news."""
COMPILING = "compiling the kernels for this CPU, once ..."


class Ticker:
    """A thread that calls `tick` ten times a second, after `CACHED` seconds and until `stop`."""

    def __init__(self, tick: Callable[[], None]) -> None:
        self._tick = tick
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="bpjit-progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        wait = CACHED
        while not self._stopped.wait(wait):
            self._tick()
            wait = INTERVAL

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


class Display(Progress):
    """What the displays share: the meter, the ticker while kernels compile, and how often to draw."""

    interval = INTERVAL
    within_epochs = True

    def __init__(self) -> None:
        self._meter: Meter | None = None
        self._ticker: Ticker | None = None
        self._next = 0.0
        self._lost = False
        self._reason = ""

    def note(self, text: str) -> None:
        """Writes a line that stays."""
        raise NotImplementedError

    def draw(self, meter: Meter) -> None:
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
        self._meter = Meter(epochs, samples, done, done * samples + samples_done, perf_counter())
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
        self._ticker = Ticker(lambda: self._try(lambda: self.draw_compiling(perf_counter() - began)))
        try:
            yield
        finally:
            self._stop_ticker()
            seconds = perf_counter() - began
            if self._meter is not None:
                self._meter.leave_out(seconds)
        if seconds >= CACHED:
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
            self._meter.score = score(record) or self._meter.score
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

    def _refresh(self, meter: Meter) -> None:
        if meter.now >= self._next and self._ticker is None:
            self._try(lambda: self.draw(meter))
            self._next = meter.now + max(self.interval, (perf_counter() - meter.now) / SHARE)

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
