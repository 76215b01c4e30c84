"""The progress of a training run: a live bar on a terminal or in a notebook, a line an epoch in a log, or silence."""

import os
import sys

from ..validation import switch
from .bar import Bar
from .base import Progress
from .lines import Line, Log
from .notebook import Notebook

__all__ = ["Progress", "reporter"]


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
        return Notebook()
    if stream is None:
        return Progress()
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return Log(stream)
    try:
        return Bar()
    except ModuleNotFoundError:
        return Line(stream)


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, which shows what it is sent as HTML, and no carriage returns."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")
