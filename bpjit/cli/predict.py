"""bpjit predict: a model's answers to new samples, as a table."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .options import Cells, Reading, Reported, panel
from .output import check_outputs, is_standard_output, print_rows, write, write_json, wrong_options

NAME = "predict"
EXAMPLES = """Examples:

bpjit predict houses.safetensors new.csv --output predicted.csv --keep id

bpjit predict people.safetensors new.parquet --unknown ignore | head"""

_files = panel("Output")


@dataclass(frozen=True, kw_only=True)
class Options(Reported, Reading):
    """Options of `bpjit predict`."""

    model: Annotated[Path, typer.Argument(help="A file that bpjit train --save wrote.")]
    data: Annotated[Path, typer.Argument(help="Samples as those it was trained on; a target is not needed.")]
    missing: Annotated[str | None, Cells.option(Cells.MISSING, show_default="as in training")] = None
    unknown: Annotated[str | None, Cells.option(Cells.UNKNOWN, show_default="as in training")] = None
    keep: Annotated[list[str] | None, _files("A column to copy into the answers; may be repeated.")] = None
    output: Annotated[Path, _files("A .csv or .parquet file for the answers; - prints CSV.")] = Path("-")


def run(options: Options) -> None:
    """Write a model's answers to new samples: classes with their probabilities, or numbers."""
    from bpjit import tables

    with wrong_options():
        if is_standard_output(options.output) and is_standard_output(options.json):
            raise ValueError("--json - and the answers would both be printed: name a file with --output")
        check_outputs({"--output": options.output, "--json": options.json}, options.model, options.data, options.config)
        model = tables.Model.load(options.model)
        source = options.open(options.data)
        answers = model.predict(source, keep=options.keep or (), missing=options.missing, unknown=options.unknown)
        began = time.perf_counter()
        rows = write("--output", options.output, lambda path: tables.write(answers, path))
        seconds = time.perf_counter() - began
    if not is_standard_output(options.output) and not is_standard_output(options.json):
        print_rows({"answers": f"{rows:,} in {options.output}", "time": f"{seconds:.2f} s"})
    content = {"model": str(options.model), "data": str(options.data), "output": str(options.output)}
    write_json(options.json, content | {"rows": rows, "seconds": seconds})
