"""A live bar on a terminal, by rich."""

import sys
from typing import TYPE_CHECKING

from .display import COMPILING, Display
from .meter import Meter, fitted

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live


class Bar(Display):
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

    def draw(self, meter: Meter) -> None:
        width, facts = fitted(meter, self._console.width - 1)
        row = self._rich.table.Table.grid(padding=(0, 1, 0, 0))
        row.add_row(
            self._rich.text.Text(meter.title(), style="bold", no_wrap=True),
            self._rich.progress_bar.ProgressBar(total=1.0, completed=meter.fraction(), width=width),
            self._rich.text.Text("  ".join(facts), no_wrap=True),
        )
        self._render(row)

    def draw_compiling(self, seconds: float) -> None:
        self._render(f"{COMPILING} {seconds:.1f} s")

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
