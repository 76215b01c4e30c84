"""The page put together: one file of HTML with its style, its scripts and its data inside."""

import base64
import hashlib
import json
from html import escape
from os import PathLike
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from ... import storage
from ...display import printable
from .content import Place, content

if TYPE_CHECKING:
    from ..trace import Trace

SCRIPTS = (
    "numbers.js", "scope.js", "expression.js", "mathml.js", "term.js", "step.js", "relations.js", "tour.js",
    "elements.js", "address.js", "graph.js", "picture.js", "listing.js", "panel.js", "page.js",
)  # fmt: skip
"""In the order in which they are run."""
FILM = ("plotting.js", "surface.js", "paths.js", "film.js")
"""Before the last of them, where there is a film."""
MOST_WEIGHTS = 5_000_000


def write(path: str | PathLike[str], trace: "Trace", film: Any = None, place: Place | None = None) -> None:
    """Writes the page to a file, whole or not at all; see `html`."""
    storage.check_place(path)
    text = html(trace, film, place)
    with storage.replacing(path) as file:
        file.write(text.encode("utf-8"))


def html(trace: "Trace", film: Any = None, place: Place | None = None) -> str:
    """The page of a trace. film: recorded steps, shown below it. place: l, i, j, s of the weight that it begins with.

    Raises ValueError for a network of more than 5 million weights, which would be too much for a browser.

    >>> import bpjit
    >>> trace = bpjit.Network([2, 1], loss="squared_error", seed=0).trace([1.0, 3.0], [4.0])
    >>> html(trace).startswith("<!DOCTYPE html>")
    True
    """
    weights = sum(W.size for W in trace.W)
    if weights > MOST_WEIGHTS:
        raise ValueError(f"the network has {weights:,} weights: a page holds at most {MOST_WEIGHTS:,}")
    styles, scripts, data = ["page.css"], list(SCRIPTS), content(trace, place)
    if film is not None:
        styles.append("film.css")
        scripts[-1:-1] = FILM
        data["film"] = film.data()
    scripts = [read(name) for name in scripts]
    return Template(read("page.html")).substitute(
        policy=_policy(scripts),
        title=escape(printable(data["title"])),
        style="".join(map(read, styles)),
        data=json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def frame(trace: "Trace", film: Any = None) -> str:
    """The page as an element of another one."""
    return (
        f'<iframe srcdoc="{escape(html(trace, film))}" title="{escape(repr(trace))}" '
        'style="width: 100%; height: 60rem; border: 0"></iframe>'
    )


def _policy(scripts: list[str]) -> str:
    """The browser is told to load nothing, and to run these scripts and no others."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{each}'" for each in hashes)
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src {allowed}; img-src data:"


def read(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
