"""bpjit evaluate: a model's answers beside targets that are known."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .assess import assess
from .options import Cells, Reading, Reported, panel, target_of
from .output import check_outputs, is_standard_output, print_rows, width, write, write_json, wrong_options

NAME = "evaluate"
EXAMPLES = """Examples:

bpjit evaluate houses.safetensors sold.csv --report sold.html

bpjit evaluate people.safetensors test.parquet --json -"""

_files = panel("Output")


@dataclass(frozen=True, kw_only=True)
class Options(Reported, Reading):
    """Options of `bpjit evaluate`."""

    model: Annotated[Path, typer.Argument(help="A file that bpjit train --save wrote.")]
    data: Annotated[
        Path, typer.Argument(help="Samples with their targets; of images or arrays with a test part, that part.")
    ]
    target: Annotated[str | None, Cells.option(Cells.TARGET, show_default="as in training")] = None
    missing: Annotated[str | None, Cells.option(Cells.MISSING, show_default="as in training")] = None
    unknown: Annotated[str | None, Cells.option(Cells.UNKNOWN, show_default="as in training")] = None
    report: Annotated[Path | None, _files("Write a page with results and plots: .html.")] = None


def run(options: Options) -> None:
    """Compare a model's answers with targets that are known: confusion matrix, or residuals."""
    from bpjit import tables

    with wrong_options():
        check_outputs({"--json": options.json, "--report": options.report}, options.model, options.data, options.config)
        model = tables.Model.load(options.model)
        source = options.open(options.data, target_of(model, options.target))
        source = source.test or source  # those that train are no test
        y, t, rows_tested = model.test(source, missing=options.missing, unknown=options.unknown)
        found = assess(model.preparation, y, t, rows_tested)
    rows = {"model": str(options.model), "data": f"{source.name}: {len(t):,} samples", **found.rows()}
    if options.report is not None:
        from bpjit import report

        name = model.preparation.target or "Classes"
        write(
            "--report",
            options.report,
            lambda path: report.write(
                path,
                title=f"{name} of {options.data.name}",
                rows=rows,
                assessment=found,
                net=model.net,
                features=model.preparation.feature_names,
            ),
        )
    if not is_standard_output(options.json):
        print_rows(rows)
        print("\n" + found.text(width()))
    write_json(options.json, {"model": str(options.model), "data": source.name, "samples": len(t), **found.to_dict()})
