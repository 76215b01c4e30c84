"""The command line: train, predict, evaluate, info, bench, warmup, cache. `main` is its entry.

Each command is a module, whose options are the fields of a dataclass (`options.py` makes them typer's).
"""

import sys
from importlib.util import find_spec
from typing import NoReturn

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command that `arguments` (by default the process's own) name, and exits.

    Exit codes: 0 done, 1 the work failed (a file's content, a training that diverged, a full disk), 2 a wrong option,
    130 Ctrl-C. What is wrong is said in one line on standard error.
    """
    try:
        missing = not find_spec("typer") or not find_spec("rich")
    except ValueError:  # one that sys.modules shuts out
        missing = True
    if missing:
        print("bpjit: the command line needs typer and rich: pip install 'bpjit[cli]'", file=sys.stderr)
        sys.exit(1)
    from .application import run

    sys.exit(run(sys.argv[1:] if arguments is None else arguments))
