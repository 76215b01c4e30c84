"""What is said about a file's content: one line that names file, column and row, and the way out."""

import difflib
import shlex
from collections.abc import Iterable, Sequence

from ..errors import DataError

__all__ = ["DataError", "listed", "nearest", "options", "shown"]

SHOWN = 40
"""Letters of a text of the file in a message."""
LISTED = 8
"""Names in a message."""


def shown(value: object) -> str:
    """A value of the file for a message, in one line and cut short.

    >>> shown("a" * 100)
    "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…'"
    """
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[:SHOWN] + "…")
    return str(value)[:SHOWN]


def listed(values: Iterable[object]) -> str:
    """Names for a message, the first ones if there are many.

    >>> listed("ab")
    "'a', 'b'"
    """
    several = list(values)
    more = f", … ({len(several)} in all)" if len(several) > LISTED else ""
    return ", ".join(map(shown, several[:LISTED])) + more


def counted(number: int, what: str, several: str | None = None) -> str:
    """A number of things.

    >>> counted(1, "column"), counted(2000, "column")
    ('1 column', '2,000 columns')
    """
    return f"{number:,} {what if number == 1 else several or what + 's'}"


def nearest(name: str, known: Sequence[str]) -> str:
    """A question about the name that was meant, or nothing.

    >>> nearest("pirce", ["price", "rooms"])
    "; did you mean 'price'?"
    """
    lower = {other.lower(): other for other in reversed(known)}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1, cutoff=0.5)
    return f"; did you mean {shown(lower[near[0]])}?" if near else ""


def options(option: str, names: Iterable[str]) -> str:
    """How an option is given for these columns.

    >>> options("ignore", ["id", "day of birth"])
    "--ignore id --ignore 'day of birth'"
    """
    several = list(names)
    words = [f"--{option} {shlex.quote(name)}" for name in several[:LISTED]]
    return " ".join(words) + (" …" if len(several) > LISTED else "")
