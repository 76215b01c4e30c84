"""The commands as one Typer application, and the exit code of what it ran."""

import contextlib
import os
import re
import sys
from typing import Annotated

import typer

import bpjit

from . import bench, cache, evaluate, explain, info, predict, train, warmup
from .options import command
from .output import FAILED, INTERRUPTED, WRONG_OPTION, say

_COMMANDS = (train, predict, evaluate, explain, info, bench, warmup, cache)


def run(words: list[str]) -> int:
    """Runs the command that words name, and returns its exit code."""
    if sys.stdout is None:  # as `>&-` has it
        sys.stdout = open(os.devnull, "w")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a letter that a terminal lacks ends no training
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _called(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `bpjit info | head`: nobody reads on
        _print_no_more()
        return FAILED
    except OSError as error:
        say(f"what was found could not be printed: {error.strerror or error}")
        _print_no_more()
        return FAILED


def _print_no_more() -> None:
    """Python would complain again when it flushes at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _called(words: list[str]) -> int:
    try:
        code = typer.main.get_command(application()).main(words or ["--help"], prog_name="bpjit", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        say("stopped by Ctrl-C")
        return INTERRUPTED
    except OSError:
        raise
    except ImportError as error:  # it names what installs the missing library
        say(str(error))
        return FAILED
    except MemoryError:
        say("there is not enough memory for this: take fewer columns or units, or a machine with more")
        return FAILED
    except Exception as error:
        # Every version of typer has this method on its errors of usage; where their class lies has changed.
        if not hasattr(error, "format_message"):
            raise
        message = re.sub(r"^Invalid value(: | for '[^']*': (?=--))", "", error.format_message())
        say(f"{message} (--help lists the options)")
        return WRONG_OPTION
    return int(code or 0)


def application() -> typer.Typer:
    """The commands, their options and their help."""
    commands = typer.Typer(
        help="Trains fully connected networks on a CPU, fast: on CSV, Parquet, NPZ and image files.",
        epilog="Examples:\n\nbpjit train houses.csv --target price --save houses.safetensors",
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
    )
    commands.callback()(_common)
    for module in _COMMANDS:
        commands.command(module.NAME, epilog=module.EXAMPLES)(command(module.Options, module.run))
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
    """Trains fully connected networks on a CPU, fast: on CSV, Parquet, NPZ and image files."""
