"""Displays that write to a stream of text: lines that stay, and one that does not."""

import shutil
from typing import TextIO

from .display import CACHED, COMPILING, Display
from .meter import INTERVAL, Meter, fitted


class Log(Display):
    """Lines that stay, one an epoch, for a file or a pipe."""

    interval = 0.5  # a log of very short epochs would be endless
    within_epochs = False

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def note(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def draw(self, meter: Meter) -> None:
        if meter.ended or meter.epoch < meter.epochs:  # the last epoch's line waits for the run's time
            self.note("  ".join([meter.title(), *meter.facts()]))

    def draw_compiling(self, seconds: float) -> None:
        if seconds < CACHED + INTERVAL:  # once
            self.note(COMPILING)


class Line(Display):
    """One line, written over again and again, for a terminal without rich."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._length = 0  # of what stands on the line

    def note(self, text: str) -> None:
        self._write(text, end="\n")

    def draw(self, meter: Meter) -> None:
        columns = shutil.get_terminal_size().columns - 1
        width, facts = fitted(meter, columns - 2)
        filled = round(meter.fraction() * width)
        bar = f"[{'#' * filled}{'.' * (width - filled)}]"
        self._write("  ".join([f"{meter.title()} {bar}", *facts])[:columns])

    def draw_compiling(self, seconds: float) -> None:
        self._write(f"{COMPILING} {seconds:.1f} s")

    def close(self) -> None:
        if self._length:
            self._length = 0
            print(file=self._stream, flush=True)

    def _write(self, text: str, end: str = "") -> None:
        # Blanks, not an escape sequence, cover what stood there: they work on every terminal.
        self._stream.write(f"\r{text.ljust(self._length)}{end}")
        self._stream.flush()
        self._length = 0 if end else len(text)
