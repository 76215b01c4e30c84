"""A training run or a test as one HTML page: it needs no net, no script and no other file.

Plots are drawn by matplotlib (extra `plot`) and stand in the page as SVG, in the page's own colours, light or dark.
"""

import io
import math
import platform
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from importlib.metadata import version
from os import PathLike
from pathlib import Path

from bpjit import __version__, plots, storage
from bpjit.assessment import ClassificationAssessment, RegressionAssessment
from bpjit.assessment.classes import name_of
from bpjit.assessment.plots import residual_panels
from bpjit.display import Table, printable, shortened
from bpjit.network import Network

__all__ = ["page", "write"]

Assessment = ClassificationAssessment | RegressionAssessment

_NAME = 60
"""Characters of a class's name, or of a feature's."""
_MATRIX, _UPRIGHT = 40, 4
"""Classes of a confusion matrix; of more, the pairs that were confused most often. Characters of a name that stands
above its column as it is."""
_DENSE, _TOP = 18, 10
"""Classes of a matrix with large cells; pairs of them that stand beside it."""
_CLASSES, _PAIRS, _FEATURES, _NOTES = 50, 30, 500, 50
"""Of each, that many are listed: a page stays below 2 MB."""
_FAR = 1e300
"""Of such numbers even the differences that a plot takes overflow."""
_LIBRARIES = {"numpy": "numpy", "numba": "numba", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}
_COLOURS = {
    "#000000": "currentColor",
    plots.BLUE.lower(): "var(--blue)",
    plots.ORANGE.lower(): "var(--orange)",
    "#009e73": "var(--green)",
    "#b0b0b0": "var(--grid)",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The browser is told to load and run nothing, whatever were in the page."""


def write(
    path: str | PathLike[str],
    *,
    title: str,
    rows: Mapping[str, str],
    history: Mapping[str, Sequence[float]] | None = None,
    assessment: Assessment | None = None,
    net: Network | None = None,
    features: Sequence[str] | None = None,
    notes: Iterable[str] = (),
) -> None:
    """Writes the page to a file, whole or not at all.

    rows: what is said of the run, by name. history: what `fit` returned, for the learning curves. assessment: of a
    test. net: the network, whose layers are listed. features: the names of its inputs. notes: a line each.

    Raises ImportError where matplotlib is needed and not installed, TypeError for an assessment that is none, OSError,
    with an old file whole, where the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/run.html", title="digits", rows={"epochs": "30"})
    """
    storage.check_place(path)
    text = page(title=title, rows=rows, history=history, assessment=assessment, net=net, features=features, notes=notes)
    with storage.replacing(path) as file:
        file.write(text.encode("utf-8"))


def page(
    *,
    title: str,
    rows: Mapping[str, str],
    history: Mapping[str, Sequence[float]] | None = None,
    assessment: Assessment | None = None,
    net: Network | None = None,
    features: Sequence[str] | None = None,
    notes: Iterable[str] = (),
) -> str:
    """The page that `write` writes.

    >>> page(title="digits & letters", rows={}).count("digits &amp; letters")
    2
    """
    if assessment is not None and not isinstance(assessment, Assessment):
        raise TypeError(f"assessment must be what bpjit.assessment gives, not {assessment!r}")
    drawing = _Drawing()
    parts = [_header(assessment), _rows(rows), _notes([*(assessment.notes if assessment else ()), *notes])]
    if history is not None:
        parts.append(_curves(history, drawing))
    if isinstance(assessment, ClassificationAssessment):
        parts += [_confusion(assessment), _classes(assessment)]
    elif assessment is not None:
        parts.append(_residuals(assessment, drawing))
    parts.append(_network(net, features))
    style = (Path(__file__).parent / "data" / "report.css").read_text(encoding="utf-8")
    heading = _text(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{heading}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{heading}</h1>\n"
        + "\n".join(part for part in parts if part)
        + f"\n</main>\n<footer>{_origin()}</footer>\n</body>\n</html>\n"
    )


# ------------------------------------------------------------------------------------------------- sections


def _header(assessment: Assessment | None) -> str:
    """The scores, as large as they are important."""
    if assessment is None:
        return ""
    scores = {name: value.partition(" (") for name, value in assessment.rows().items()}
    tiles = []
    for name, (value, _, more) in scores.items():
        small = f"<small>{_text(more.removesuffix(')'))}</small>" if more else ""
        tiles.append(f"<div><dt>{_text(name)}{small}</dt><dd>{_text(value)}</dd></div>")
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _rows(rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    body = "".join(f'<tr><th scope="row">{_text(name)}</th><td>{_text(rows[name])}</td></tr>' for name in rows)
    return f'<h2>Summary</h2>\n<table class="rows">{body}</table>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    rest = [f"and {len(notes) - _NOTES:,} more notes"] if len(notes) > _NOTES else []
    body = "".join(f"<li>{_text(note)}</li>" for note in [*notes[:_NOTES], *rest])
    return f'<h2>Notes</h2>\n<ul class="notes">{body}</ul>'


def _curves(history: Mapping[str, Sequence[float]], drawing: "_Drawing") -> str:
    if not any(math.isfinite(value) for value in history.get("loss", ())):
        return ""  # not one epoch was completed
    drawn = drawing.figures(plots.history_panels(history), "Learning curves over the epochs")
    return f"<h2>Learning curves</h2>\n{drawn}"


def _confusion(assessment: ClassificationAssessment) -> str:
    count = len(assessment.classes)
    if count <= _MATRIX:
        said = (
            "A row for each true class, a column for each answer. Blue is right, orange is wrong; the stronger the "
            "colour, the larger the share of the true class."
        )
        beside = ""
        if count > 2 and (pairs := assessment.confused(_TOP)):
            beside = _scrolled(assessment.pair_table("confused most often", pairs, _NAME))
        return (
            f'<h2>Confusion matrix</h2>\n<p class="dim">{said}</p>\n'
            f'<div class="beside">{_matrix(assessment)}{beside}</div>'
        )
    pairs = assessment.confused(_PAIRS)
    said = f"{count:,} classes are too many for a matrix: these were taken for another most often."
    table = assessment.pair_table("", pairs, _NAME)
    return f'<h2>Confused classes</h2>\n<p class="dim">{said}</p>\n{_scrolled(table)}' if pairs else ""


def _matrix(assessment: ClassificationAssessment) -> str:
    names = [_text(name_of(label, _NAME)) for label in assessment.classes]
    short = [_text(name_of(label, 16)) for label in assessment.classes]
    upright = ' class="upright"' if max(len(name_of(label)) for label in assessment.classes) > _UPRIGHT else ""
    dense = " dense" if len(names) > _DENSE else ""
    head = "".join(f'<th scope="col"{upright}><span>{name}</span></th>' for name in short)
    body = []
    for i, (name, counts) in enumerate(zip(names, assessment.confusion.tolist(), strict=True)):
        total = sum(counts)
        cells = "".join(
            f'<td class="{"right" if i == j else "wrong"}" style="--s:{count / total:.3f}">{count:,}</td>'
            if count
            else '<td class="none">0</td>'
            for j, count in enumerate(counts)
        )
        body.append(f'<tr><th scope="row">{name}</th>{cells}<td class="sum">{total:,}</td></tr>')
    head = f'<tr><td class="sum"></td>{head}<th scope="col">rows</th></tr>'
    table = f'<table class="matrix{dense}"><thead>{head}</thead><tbody>{"".join(body)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _classes(assessment: ClassificationAssessment) -> str:
    listed, said = list(assessment.per_class), ""
    if len(listed) > _CLASSES:
        listed = assessment.weakest(_CLASSES)
        said = f" Those {len(listed)} of {len(assessment.classes):,} classes with the lowest F1 are listed."
    table = assessment.class_table("", listed, _NAME)
    parts = [
        '<h2>Classes</h2>\n<p class="dim">Precision: the share of the answers of this class that were right. Recall: '
        f"the share of the class's rows that were found. F1 combines both.{said}</p>\n{_scrolled(table)}"
    ]
    if assessment.mistakes:
        parts.append(f"<h2>Mistakes</h2>\n{_scrolled(assessment.mistake_table(_NAME))}")
    return _side(parts)


def _residuals(assessment: RegressionAssessment, drawing: "_Drawing") -> str:
    parts = ["<h2>Residuals</h2>"]
    if max(abs(values).max() for values in (assessment.y, assessment.t)) < _FAR:
        parts.append(drawing.figures(residual_panels(assessment), "Answers over true values, and their residuals"))
    tables = (assessment.quantile_table(across=False), assessment.largest_table())
    parts.append(_side([_scrolled(table) for table in tables]))
    return "\n".join(parts)


def _network(net: Network | None, features: Sequence[str] | None) -> str:
    parts = []
    if net is not None:
        parts.append(_scrolled(net.summary().table()))
    if features is not None:
        names = ", ".join(_text(shortened(str(name), _NAME)) for name in features[:_FEATURES])
        more = f" and {len(features) - _FEATURES:,} more" if len(features) > _FEATURES else ""
        parts.append(f"<details><summary>{len(features):,} inputs</summary><p>{names}{more}</p></details>")
    return "\n".join(["<h2>Network</h2>", *parts]) if parts else ""


def _origin() -> str:
    versions = [f"{name} {version(name)}" for module, name in _LIBRARIES.items() if module in sys.modules]
    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    now = datetime.now().astimezone()
    return f"{now:%Y-%m-%d %H:%M} (UTC{now:%z}), bpjit {__version__}: {_text(', '.join([*versions, system]))}"


# -------------------------------------------------------------------------------------------------- pieces


def _text(text: str) -> str:
    return escape(printable(text))


def _side(parts: Sequence[str]) -> str:
    """Side by side where there is room."""
    return '<div class="side">' + "".join(f"<section>{part}</section>" for part in parts) + "</div>"


def _scrolled(table: Table) -> str:
    return f'<div class="scroll">{table.html()}</div>'


class _Drawing:
    """Plots as SVG for one page, where an id may stand only once."""

    def __init__(self) -> None:
        self.drawn = 0

    def figures(self, panels: Sequence[plots.Panel], label: str) -> str:
        """A figure for each panel, so that they stand below one another where there is little room."""
        figures = "".join(f"<figure>{self._svg(panel, label)}</figure>" for panel in panels)
        return f'<div class="plots">{figures}</div>'

    def _svg(self, panel: plots.Panel, label: str) -> str:
        figure = plots.side_by_side([panel])
        self.drawn += 1
        file = io.BytesIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
        return inline(file.getvalue().decode("utf-8"), f"p{self.drawn}-", label)


def inline(svg: str, prefix: str, label: str) -> str:
    """matplotlib's SVG as an element of a page: ids with a prefix, colours of the page, no comments, no metadata.

    >>> inline('<?xml?><svg viewBox="0 0 9 9"><!-- x --><path id="a" d="M 1.234 2" fill="#000000"/></svg>', "p-", "x")
    '<svg viewBox="0 0 9 9" role="img" aria-label="x"><path id="p-a" d="M 1.23 2" fill="currentColor"/></svg>'
    """
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box is not None
    body = svg[svg.index(">", box.end()) + 1 :]
    body = re.sub(r'\bid="', f'id="{prefix}', body)
    body = re.sub(r'xlink:href="#', f'href="#{prefix}', body).replace("xlink:href=", "href=")
    body = body.replace("url(#", f"url(#{prefix}")
    # Hundredths of a point are finer than any screen.
    body = re.sub(r'\b(d|x|y)="[^"]*"', lambda found: re.sub(r"(\.\d\d)\d+", r"\1", found[0]), body)
    body = re.sub(r"#[0-9a-f]{6}\b", lambda found: _COLOURS.get(found[0], found[0]), body)
    body = re.sub(r"\s*\n\s*", " ", body).strip()
    return f'<svg viewBox="{box[1]}" role="img" aria-label="{escape(label)}">{body}'
