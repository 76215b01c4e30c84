"""bpjit bench: training steps beside other libraries and the CPU's peak."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .options import panel
from .output import FAILED, INTERRUPTED, check_outputs, is_standard_output, say, write, wrong_options

NAME = "bench"
EXAMPLES = """Examples:

bpjit bench

bpjit bench --cases 784-300-100-10@64 --peers pytorch,jax --threads 1,2"""

_output = panel("Output")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `bpjit bench`."""

    cases: Annotated[
        str | None,
        typer.Option(help="Their names, or networks such as 784-64x3-10@128.", show_default="all that have a name"),
    ] = None
    peers: Annotated[
        str | None,
        typer.Option(help="Libraries to compare with: pytorch,jax; or none.", show_default="all that are installed"),
    ] = None
    optimizer: Annotated[str, typer.Option(help="sgd, adam, or sgd,adam.")] = "adam"
    threads: Annotated[str, typer.Option(help="Of every library; 1,2 measures both.")] = "1"
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32"
    seconds: Annotated[float, typer.Option(help="Of each measurement, in 5 rounds.")] = 1.5
    json: Annotated[Path | None, _output("Write what was measured to this file; - prints it.")] = None
    plot: Annotated[Path | None, _output("Draw a bar chart: .png, .svg or .pdf.")] = None


def run(options: Options) -> None:
    """Measure training steps beside other libraries and the CPU's peak, interleaved in one run."""
    from bpjit.bench.chart import chart
    from bpjit.bench.job import Job
    from bpjit.bench.measure import MeasurementError
    from bpjit.bench.report import Report

    printed = is_standard_output(options.json)
    with wrong_options():
        check_outputs({"--json": options.json, "--plot": options.plot})
        job = Job.parse(
            options.cases, options.peers, options.optimizer, options.threads, options.dtype, options.seconds
        )
        if options.plot is not None and not job.others:
            raise ValueError("--plot compares with other libraries, and there is none")
    report = Report(job.environment(), [])
    interrupted = False
    try:
        job.run(report, sys.stderr if printed else sys.stdout, say)
    except KeyboardInterrupt:
        interrupted = True
        say(f"stopped by Ctrl-C: {len(report.rows)} of {job.count} rows are complete")
    except MeasurementError as error:
        say(str(error))
        raise typer.Exit(FAILED) from None
    if report.rows:
        as_file = None if printed else options.json
        write("--json", as_file, lambda path: path.write_text(report.to_json(), encoding="utf-8"))
        write("--plot", options.plot, lambda path: chart(report, path))
    if printed:
        print(report.to_json())
    if interrupted:
        raise typer.Exit(INTERRUPTED)
