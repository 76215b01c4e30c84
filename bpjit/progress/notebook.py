"""A bar below a notebook's cell."""

from html import escape

from .display import COMPILING, Display
from .meter import Meter


class Notebook(Display):
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

    def draw(self, meter: Meter) -> None:
        facts = "  ".join(meter.facts())
        self._text = f"{meter.title()}  {facts}"
        self._bar = (
            f'<b>{meter.title()}</b> <progress value="{meter.fraction():.4f}" style="width: 14em; margin: 0 0.5em">'
            f"</progress> {escape(facts)}"
        )
        self._show()

    def draw_compiling(self, seconds: float) -> None:
        self._bar = self._text = f"{COMPILING} {seconds:.1f} s"
        self._show()

    def _show(self) -> None:
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        lines = "".join(f"<div>{escape(line)}</div>" for line in self._lines)
        html = f'<div style="font-variant-numeric: tabular-nums">{lines}<div>{self._bar}</div></div>'
        return {"text/html": html, "text/plain": "\n".join([*self._lines, self._text]).strip()}
