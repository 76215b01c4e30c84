"""bpjit info: the machine; how a network would be trained on it; what a model's file holds."""

import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

import bpjit

from . import values
from .options import panel
from .output import check_outputs, is_standard_output, print_rows, write_json, wrong_options

NAME = "info"
EXAMPLES = """Examples:

bpjit info

bpjit info --network 784-128-10 --batch-size 128

bpjit info houses.safetensors"""

_network, _output = panel("How would this network be trained here?"), panel("Output")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `bpjit info`."""

    model: Annotated[Path | None, typer.Argument(help="A file that bpjit train --save or net.save wrote.")] = None
    network: Annotated[str | None, _network("Widths of all layers, as 784-128-10.")] = None
    batch_size: Annotated[int, _network("Samples in a mini-batch.", "--batch-size", "--batch", min=1)] = 32
    dtype: Annotated[str, _network("float32 or float64.")] = "float32"
    threads: Annotated[int | None, _network("At most; left out: as many as pay.")] = None
    json: Annotated[Path | None, _output("Write it to this file as JSON, too; - prints that instead.")] = None


def run(options: Options) -> None:
    """Show versions, CPU, threads and compile cache; or what a model is; or how a network would be trained, and why."""
    with wrong_options():
        check_outputs({"--json": options.json}, options.model)
        if options.model is not None and options.network is not None:
            raise ValueError("give a model's file or --network, not both")
        if options.model is not None:
            rows = _model(options.model)
        elif options.network is not None:
            rows = _plan(options.network, options)
        else:
            rows = _machine()
    if not is_standard_output(options.json):
        print_rows(rows)
    write_json(options.json, rows)


def _machine() -> dict[str, str]:
    from bpjit.engine import plan

    rows = {"bpjit": bpjit.__version__, "python": platform.python_version()}
    rows |= {name: version(name) for name in ("numba", "llvmlite", "numpy", "safetensors")}
    return rows | plan.describe()


def _plan(network: str, options: Options) -> dict[str, str]:
    from bpjit import validation
    from bpjit.engine import plan

    number = validation.float_dtype(options.dtype)
    sizes = validation.layer_sizes(values.widths(network, "network", between="-"), number.itemsize, "network")
    return plan.describe_step(sizes, options.batch_size, number, validation.threads(options.threads))


def _model(path: Path) -> dict[str, str]:
    from bpjit import storage

    net, configuration = storage.load_prepared(path)
    kinds = ", ".join(dict.fromkeys([*net.activation_names, net.output]))
    rows = {
        "file": f"{path}, {path.stat().st_size:,} bytes",
        "network": f"{' → '.join(map(str, net.sizes))}, {kinds}, {net.loss_name}, {net.dtype}",
    }
    if configuration is None:
        return rows | {"preparation": "none: the inputs are columns of numbers as they are, in their order"}
    from bpjit.tables import Model

    preparation = Model.load(path).preparation
    rows["task"] = preparation.task
    if preparation.target is not None:
        rows["target"] = preparation.target
    if preparation.classes:
        rows["classes"] = ", ".join(
            str(one).lower() if isinstance(one, bool) else str(one) for one in preparation.classes
        )
    rows["inputs"] = ", ".join(preparation.feature_names)
    return rows | {"missing values": preparation.missing, "unknown categories": preparation.unknown}
