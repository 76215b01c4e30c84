"""bpjit explain: back-propagation derived, with the numbers of a model and of a sample of its data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import values
from .options import Cells, Reading, Reported, panel, target_of
from .output import FAILED, check_outputs, is_standard_output, say, write, write_json, wrong_options

if TYPE_CHECKING:
    import numpy as np

    from bpjit.explain import Film, Term, Trace
    from bpjit.tables import Model, Source

NAME = "explain"
EXAMPLES = """Examples:

bpjit explain digits.safetensors --data digits --sample 3

bpjit explain houses.safetensors --data sold.csv --sample 0,5,9 --layer 2 --unit 0 --weight 5 --optimizer adam

bpjit explain digits.safetensors --data digits --sample 3 --steps 20 --html three.html"""

_what, _step, _output = panel("What is explained?"), panel("The step"), panel("Output")
_film = panel("Watch it learn")
MOST_ROWS = 10_000
"""Rows of the data that a film takes."""


@dataclass(frozen=True, kw_only=True)
class Options(Reported, Reading):
    """Options of `bpjit explain`."""

    model: Annotated[Path, typer.Argument(help="A file that bpjit train --save or net.save wrote.")]
    data: Annotated[Path, _what("Samples with their targets, as those it was trained on: a file, or digits.")]
    sample: Annotated[str, _what("Its row, counted from 0; several, as 0,5,9, make a mini-batch.")] = "0"
    layer: Annotated[int | None, _what("Of the weight, from 1.", show_default="the last hidden one")] = None
    unit: Annotated[
        int | None, _what("Of that layer, from 0, which the weight leads to.", show_default="of the largest gradient")
    ] = None
    weight: Annotated[
        int | None,
        _what("The unit of the layer below that it comes from, from 0.", show_default="of the largest gradient"),
    ] = None
    optimizer: Annotated[str, _step("With its settings, as in Python: adam(learning_rate=0.01), ...")] = (
        "sgd(learning_rate=0.1)"
    )
    html: Annotated[Path | None, _output("Write a page to step and click through, which opens offline: .html.")] = None
    steps: Annotated[
        int | None,
        _film("Train a copy of the model by so many mini-batches of the data, and show each step.", min=1),
    ] = None
    batch_size: Annotated[int, _film("Samples in a mini-batch.", min=1)] = 32
    seed: Annotated[int, _film("Of the order of samples.", min=0, max=2**32 - 1)] = 0
    target: Annotated[str | None, Cells.option(Cells.TARGET, show_default="as in training")] = None
    missing: Annotated[str | None, Cells.option(Cells.MISSING, show_default="as in training")] = None
    unknown: Annotated[str | None, Cells.option(Cells.UNKNOWN, show_default="as in training")] = None


def run(options: Options) -> None:
    """Derive back-propagation with a model's own numbers, each equation beside the line of code that computes it."""
    from bpjit import tables
    from bpjit.engine.optimizers import OPTIMIZERS
    from bpjit.explain import page

    with wrong_options():
        check_outputs({"--json": options.json, "--html": options.html}, options.model, options.data, options.config)
        rows = _rows(options.sample)
        _check_steps(options)
        optimizer = values.made(options.optimizer, OPTIMIZERS, "optimizer")
        model = tables.Model.load(options.model)
        source = options.open(options.data, target_of(model, options.target))
        x, t = _samples(model, source, rows, options)
        trace = model.net.trace(x, t, optimizer)
        place = _place(trace, options)
        text = trace.walk(*place)
        film = None if options.steps is None else _recorded(model, source, optimizer, options)
    if not is_standard_output(options.json):
        print(text if film is None else f"{text}\n\n{film.table()}")
    if options.html is not None:
        with wrong_options():  # a network may be too large for a page
            write("--html", options.html, lambda path: page.write(path, trace, film, place))
        say(f"the page is in {options.html}")
    if options.json is not None:
        content = {"model": str(options.model), "data": str(options.data), "samples": rows, "notes": list(trace.notes)}
        write_json(options.json, content | _content(trace, *place) | _of_film(film))


def _rows(text: str) -> list[int]:
    rows = values.widths(text, "--sample")
    if not rows or min(rows) < 0:
        raise ValueError(f"--sample must be rows, counted from 0, as 3 or 0,5,9, got {text!r}")
    return rows


def _check_steps(options: Options) -> None:
    from bpjit.explain import film_data

    if options.html is not None and (options.steps or 0) > film_data.STEPS:
        raise ValueError(f"--steps is {options.steps}, and a page plays {film_data.STEPS}: give fewer, or no --html")


def _samples(model: "Model", source: "Source", rows: list[int], options: Options) -> tuple["np.ndarray", "np.ndarray"]:
    """X and t of these rows, as training would have them."""
    import numpy as np

    from bpjit import DataError

    found: dict[int, tuple[np.ndarray, Any]] = {}
    wanted = set(rows)
    for block in model.preparation.blocks(source, True, options.missing, options.unknown, dtype=model.net.dtype):
        numbers, t = block.rows, np.asarray(block.t)
        for k in np.flatnonzero(np.isin(numbers, rows)):
            found[int(numbers[k])] = block.X[k], t[k]
        if wanted <= found.keys():
            break
    for row in rows:
        if row not in found and row >= source.rows:
            raise ValueError(f"--sample is {row}, but {source.name} has rows 0 … {source.rows - 1}")
        if row not in found:
            raise DataError(
                f"{source.name}: row {row + 1} (--sample {row}) lacks a value: choose another, or --missing fill"
            )
    return np.array([found[row][0] for row in rows]), np.array([found[row][1] for row in rows])


def _recorded(model: "Model", source: "Source", optimizer: Any, options: Options) -> "Film":
    """The film of a training with the first rows of the data."""
    import numpy as np

    import bpjit

    assert options.steps is not None
    parts, kept = [], 0
    for block in model.preparation.blocks(source, True, options.missing, options.unknown, dtype=model.net.dtype):
        if kept >= MOST_ROWS:
            kept += len(block.X)
            break
        parts.append((block.X, np.asarray(block.t), block.rows))
        kept += len(block.X)
    X, t, rows = (np.concatenate(each)[:MOST_ROWS] for each in zip(*parts))
    if not len(X):
        raise bpjit.DataError(f"{source.name}: every row lacks a value somewhere: --missing drop leaves none")
    trainer = bpjit.Trainer(model.net, optimizer, batch_size=min(options.batch_size, len(X)), seed=options.seed)
    try:
        film = trainer.film(X, t, options.steps)
    except bpjit.DivergenceError as error:
        say(str(error))
        raise typer.Exit(FAILED) from None
    film.row_numbers, film.features = rows, model.preparation.feature_names
    if model.preparation.classes is not None:
        film.classes = list(map(str, model.preparation.classes))
    if kept > len(X):
        film.notes += (f"the film takes the first {len(X)} rows of {source.name}, which has more",)
    return film


def _of_film(film: "Film | None") -> dict[str, Any]:
    """The steps for programs."""
    if film is None:
        return {}
    of = {"optimizer": repr(film.optimizer), "samples": len(film.X), "loss": float(film.loss[0])}
    return {"film": of | {"steps": film.records(), "notes": list(film.notes)}}


def _place(trace: "Trace", options: Options) -> tuple[int, int, int, int]:
    """The weight and the sample, with messages that name the options."""
    from bpjit.explain import walk

    return walk.chosen(
        trace, options.layer, options.unit, options.weight, 0, names=("--layer", "--unit", "--weight", "--sample")
    )


def _content(trace: "Trace", l: int, i: int, j: int, s: int) -> dict[str, Any]:
    """The walk for programs."""
    from bpjit.explain import walk

    sections = [
        {"heading": heading, "text": text, "terms": [_term(term) for term in terms]}
        for heading, terms, text in walk.sections(trace, l, i, j, s)
    ]
    return {"layer": l, "unit": i, "weight": j, "sample": s, "loss": trace.C, "sections": sections}


def _term(term: "Term") -> dict[str, Any]:
    return {
        "name": term.name, "index": term.index, "equation": term.equation, "here": term.here,
        "substituted": term.substituted, "value": term.value, "source": term.source, "code": term.code,
        "marks": list(term.marks), "notes": list(term.notes),
        "parts": [{"value": part.value, "equation": part.equation, "others": part.others} for part in term.parts],
        "where": [{"equation": line.equation, "value": line.value} for line in term.where],
    }  # fmt: skip
