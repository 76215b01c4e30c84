"""The command line: `bpjit train digits`, `bpjit info`, `bpjit bench`."""

from __future__ import annotations  # the options are read only when typer is known to be there

import platform
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import bpjit
from bpjit import validation
from bpjit.datasets import LOADERS, Samples
from bpjit.validation import choice, real

try:
    import typer
except ModuleNotFoundError:
    typer = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import numpy as np

__all__ = ["application", "main"]

_FAILED, _WRONG_OPTION, _INTERRUPTED = 1, 2, 130  # exit codes; 130 is the shell's 128 + SIGINT
_RATES = {"adam": 2e-3, "sgd": 0.1}  # with either, 30 epochs of the digits suffice


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command that `arguments` (by default the process's own) name, and exits.

    Exit codes: 0 done, 1 the work failed, 2 a wrong option, 130 Ctrl-C. What is wrong is said in one line.
    """
    if typer is None or find_spec("rich") is None:
        _say("the command line needs typer and rich: pip install 'bpjit[cli]'")
        sys.exit(_FAILED)
    words = sys.argv[1:] if arguments is None else arguments
    command = typer.main.get_command(application())
    try:
        code = command.main(words or ["--help"], prog_name="bpjit", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except Exception as error:
        # Every version of typer has this method on its errors of usage; where their class lies has changed.
        if not hasattr(error, "format_message"):
            raise
        _say(f"{error.format_message().removeprefix('Invalid value: ')} (--help lists the options)")
        code = _WRONG_OPTION
    sys.exit(code or 0)


def application() -> typer.Typer:
    """The commands, their options and their help as a Typer application."""
    commands = typer.Typer(
        help="Fast training of fully connected networks on a CPU.",
        add_completion=False,
        rich_markup_mode=None,
    )
    commands.callback()(_common)
    commands.command()(train)
    commands.command()(info)
    commands.command()(bench)
    return commands


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"bpjit {bpjit.__version__}")
        raise typer.Exit


def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Options that stand before the command."""


def train(
    data: Annotated[str, typer.Argument(help="Name of a data set that comes with bpjit: digits.")],
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers, as 128,64; or none.")] = "256",
    activation: Annotated[str, typer.Option(help="Of all hidden layers, or one for each: relu,tanh.")] = "relu",
    optimizer: Annotated[str, typer.Option(help="sgd or adam.")] = "adam",
    learning_rate: Annotated[
        float | None, typer.Option(help="Size of a step.", show_default="0.002 for adam, 0.1 for sgd")
    ] = None,
    momentum: Annotated[float | None, typer.Option(help="Of sgd: 0 <= momentum < 1.")] = None,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum, for sgd.")] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training samples.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in a mini-batch.")] = 32,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of split, parameters and order.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="An upper limit.", show_default="planned for this machine")
    ] = None,
    test_fraction: Annotated[float, typer.Option(help="Of all samples: kept for the test in the end.")] = 0.2,
    validation_fraction: Annotated[float, typer.Option(help="Of the rest: watched meanwhile; may be 0.")] = 0.1,
    save: Annotated[Path | None, typer.Option(help="Write the trained network to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the losses: .png, .svg or .pdf.")] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Train a network, then test it on samples it has not seen."""
    with _wrong_options():
        _check_outputs({"--save": save, "--plot": plot})
        X, t = _load(data)
        parts = _split(X, t, test_fraction, validation_fraction, seed)
        rule = _optimizer(optimizer, learning_rate, momentum, nesterov)
        net = bpjit.Network(
            [X.shape[1], *_widths(hidden), int(t.max()) + 1],
            activation=_names(activation),
            dtype=dtype,
            seed=seed,
        )
        trainer = bpjit.Trainer(net, optimizer=rule, batch_size=batch_size, seed=seed, threads=threads)
    _print_rows(_description(data, parts, trainer, seed))
    try:
        with _warnings_in_one_line():
            history = trainer.fit(*parts.train, epochs=epochs, validation=parts.validation, progress=progress)
    except KeyboardInterrupt:
        _write("--save", save, net.save)
        kept = f"; {save} holds the network as it was then" if save else ""
        _say(f"stopped by Ctrl-C after {trainer.history.epochs} epochs{kept}")
        raise typer.Exit(_INTERRUPTED) from None
    except bpjit.DivergenceError as error:
        _say(f"{error} (--learning-rate was {rule.learning_rate:g})")
        raise typer.Exit(_FAILED) from None
    _write("--save", save, net.save)
    _write("--plot", plot, history.plot)
    _print_rows(_summary(net, history, parts, save, plot))


def info(
    network: Annotated[
        str | None, typer.Option(help="Widths of all layers, as 784-128-10: how would it be trained?")
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "--batch", min=1, help="Samples in a mini-batch of it.")
    ] = 32,
    dtype: Annotated[str, typer.Option(help="Of its numbers: float32 or float64.")] = "float32",
    threads: Annotated[int | None, typer.Option(help="At most; left out: as many as pay.")] = None,
) -> None:
    """Show versions, CPU, threads and compile cache; or how a network would be trained here, and why."""
    from bpjit.engine import plan

    rows = {"bpjit": bpjit.__version__, "python": platform.python_version()}
    rows |= {name: version(name) for name in ("numba", "llvmlite", "numpy", "safetensors")}
    with _wrong_options():
        if network is not None:
            number = validation.float_dtype(dtype)
            sizes = validation.layer_sizes(_layer_widths(network), number.itemsize, "network")
            limit = validation.threads(threads)
            rows = plan.describe_step(sizes, batch_size, number, limit)
        else:
            rows |= plan.describe()
    _print_rows(rows)


def bench(
    cases: Annotated[
        str | None,
        typer.Option(help="Their names, or networks such as 784-64x3-10@128.", show_default="all that have a name"),
    ] = None,
    peers: Annotated[
        str | None,
        typer.Option(help="Libraries to compare with: pytorch,jax; or none.", show_default="all that are installed"),
    ] = None,
    optimizer: Annotated[str, typer.Option(help="sgd, adam, or sgd,adam.")] = "adam",
    threads: Annotated[str, typer.Option(help="Of every library; 1,2 measures both.")] = "1",
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    seconds: Annotated[float, typer.Option(help="Of each measurement, in 5 rounds.")] = 1.5,
    json: Annotated[Path | None, typer.Option(help="Write what was measured to this file; - prints it.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a bar chart: .png, .svg or .pdf.")] = None,
) -> None:
    """Measure training steps beside other libraries and the CPU's peak, interleaved in one run."""
    from bpjit.bench.chart import chart
    from bpjit.bench.job import Job
    from bpjit.bench.measure import MeasurementError
    from bpjit.bench.report import Report

    printed = json == Path("-")
    with _wrong_options():
        _check_outputs({"--json": None if printed else json, "--plot": plot})
        job = Job.parse(cases, peers, optimizer, threads, dtype, seconds)
        if plot is not None and not job.others:
            raise ValueError("--plot compares with other libraries, and there is none")
    report = Report(job.environment(), [])
    interrupted = False
    try:
        job.run(report, sys.stderr if printed else sys.stdout, _say)
    except KeyboardInterrupt:
        interrupted = True
        _say(f"stopped by Ctrl-C: {len(report.rows)} of {job.count} rows are complete")
    except MeasurementError as error:
        _say(str(error))
        raise typer.Exit(_FAILED) from None
    if report.rows:
        _write("--json", None if printed else json, lambda path: path.write_text(report.to_json(), encoding="utf-8"))
        _write("--plot", plot, lambda path: chart(report, path))
    if printed:
        print(report.to_json())
    if interrupted:
        raise typer.Exit(_INTERRUPTED)


class _Parts(NamedTuple):
    train: Samples
    validation: Samples | None
    test: Samples


def _load(data: str) -> Samples:
    if data not in LOADERS:
        known = ", ".join(LOADERS)
        raise ValueError(f"no data set is named {data!r}; known: {known}. Readers for other data are not there yet")
    return LOADERS[data]()


def _split(X: np.ndarray, t: np.ndarray, test: float, validation: float, seed: int) -> _Parts:
    """The test part first, so that it is the same however the rest is used."""
    from sklearn.model_selection import train_test_split

    def split(X: np.ndarray, t: np.ndarray, fraction: float) -> tuple[Samples, Samples]:
        X, X_apart, t, t_apart = train_test_split(X, t, test_size=fraction, stratify=t, random_state=seed)
        return (X, t), (X_apart, t_apart)

    real(test, "test_fraction", low=0.0, high=1.0, low_open=True, high_open=True)
    real(validation, "validation_fraction", low=0.0, high=1.0, high_open=True)
    rest, apart = split(X, t, test)
    if validation == 0.0:
        return _Parts(rest, None, apart)
    return _Parts(*split(*rest, validation), apart)


def _layer_widths(network: str) -> list[int]:
    try:
        return [int(width) for width in network.split("-")]
    except ValueError:
        raise ValueError(f"network must be whole numbers with dashes between them, got {network!r}") from None


def _widths(hidden: str) -> list[int]:
    if hidden.strip().lower() in ("", "none"):
        return []
    try:
        return [int(width) for width in hidden.split(",")]
    except ValueError:
        raise ValueError(f"hidden must be whole numbers with commas between them, got {hidden!r}") from None


def _names(activation: str) -> str | list[str]:
    names = [name.strip() for name in activation.split(",")]
    return names if len(names) > 1 else names[0]


def _optimizer(
    name: str, learning_rate: float | None, momentum: float | None, nesterov: bool
) -> bpjit.SGD | bpjit.Adam:
    rate = _RATES[choice(name, _RATES, "optimizer")] if learning_rate is None else learning_rate
    if name == "sgd":
        return bpjit.SGD(learning_rate=rate, momentum=momentum or 0.0, nesterov=nesterov)
    if momentum is not None or nesterov:
        raise ValueError("momentum and nesterov belong to sgd: add --optimizer sgd, or leave them out")
    return bpjit.Adam(learning_rate=rate)


def _check_outputs(paths: Mapping[str, Path | None]) -> None:
    """What cannot be written is said before the training, not after it."""
    for option, path in paths.items():
        if path is None:
            continue
        if path.exists() and not path.is_file():
            raise ValueError(f"{option} {path} is a folder or a device: name a file")
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{option} {path}: there is no folder {path.absolute().parent}")
    plot = paths["--plot"]
    if plot is not None:
        if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
            raise ValueError(f"--plot {plot} must end in .png, .svg or .pdf")
        if find_spec("matplotlib") is None:
            raise ValueError("--plot needs matplotlib: pip install 'bpjit[plot]'")


def _write(option: str, path: Path | None, write: Callable[[Path], object]) -> None:
    if path is not None:
        try:
            write(path)
        except OSError as error:
            _say(f"{option} {path} could not be written: {error.strerror or error}")
            raise typer.Exit(_FAILED) from None


def _description(data: str, parts: _Parts, trainer: bpjit.Trainer, seed: int) -> dict[str, str]:
    counts = [f"{len(parts.train[1]):,} samples to train on"]
    if parts.validation is not None:
        counts.append(f"{len(parts.validation[1]):,} to validate")
    counts.append(f"{len(parts.test[1]):,} to test in the end")
    net = trainer.net
    arrays = [array for layer in net.parameters() for array in layer if array is not None]
    kinds = dict.fromkeys([*net.activation_names, net.output])
    return {
        "data": f"{data}: {net.sizes[0]} features, {net.sizes[-1]} classes",
        "split": f"{', '.join(counts)}; stratified, seed {seed}",
        "network": f"{' → '.join(map(str, net.sizes))}, {', '.join(kinds)}, {net.loss_name}, {net.dtype}",
        "parameters": f"{sum(array.size for array in arrays):,}",
        "optimizer": f"{trainer.optimizer}, mini-batches of {trainer.batch_size}",
    }


def _summary(
    net: bpjit.Network, history: bpjit.History, parts: _Parts, save: Path | None, plot: Path | None
) -> dict[str, str]:
    epochs, seconds, plan = history.epochs, sum(history["seconds"]), history.plan
    rows = {
        "test accuracy": f"{net.evaluate(*parts.test, metrics=['accuracy'])['accuracy']:.4f}",
        "test loss": f"{net.loss(*parts.test):.4f}",
        "epochs": f"{epochs}",
        "training": f"{seconds:.2f} s",
        "speed": f"{epochs * len(parts.train[1]) / seconds:,.0f} samples/s",
        "threads": f"{plan.threads} ({plan.reason})" if plan else "",
        "compiling": f"{history.compile_seconds:.1f} s",
    }
    rows |= {"network saved": str(save)} if save else {}
    rows |= {"plot saved": str(plot)} if plot else {}
    return rows


def _print_rows(rows: Mapping[str, str]) -> None:
    """A table on a terminal; elsewhere one line a row, however long, for whoever searches them."""
    if not sys.stdout.isatty():
        width = max(map(len, rows))
        print("\n".join(f"{name:{width}}  {value}" for name, value in rows.items()), flush=True)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    Console(highlight=False, markup=False).print(table)


def _say(text: str) -> None:
    """One line on standard error."""
    print("bpjit:", " ".join(text.split()), file=sys.stderr)


@contextmanager
def _wrong_options() -> Iterator[None]:
    """What the library finds wrong with an option is an error of usage."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: _say(str(message))
        yield
