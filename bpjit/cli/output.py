"""What the commands print and write, and how they end."""

import json
import math
import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from bpjit.display import printable

FAILED, WRONG_OPTION, INTERRUPTED = 1, 2, 130  # exit codes; 130 is the shell's 128 + SIGINT
PICTURES, PAGES = (".png", ".svg", ".pdf"), (".html", ".htm")


def say(text: str) -> None:
    """One line on standard error."""
    print("bpjit:", printable(" ".join(text.split())), file=sys.stderr)


def print_rows(rows: Mapping[str, str]) -> None:
    """A table on a terminal; elsewhere one line a row, however long, for whoever searches them."""
    if not rows:
        return
    rows = {printable(name): printable(value) for name, value in rows.items()}
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


def width() -> int:
    """Of a line, in characters."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 100


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Writes it to a file; to standard output for `-`; nowhere for None. NaN, which JSON has not, is null."""
    if path is None:
        return
    printed = is_standard_output(path)
    encoding = sys.stdout.encoding if printed else "utf-8"
    text = json.dumps(_plain(content), indent=1, ensure_ascii=False, allow_nan=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:  # the terminal's letters are few, or a file's name is no text
        text = json.dumps(_plain(content), indent=1, allow_nan=False)
    if printed:
        print(text, flush=True)
    else:
        write("--json", path, lambda place: place.write_text(text + "\n", encoding="utf-8"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_standard_output(path: Path | None) -> bool:
    return path == Path("-")


def check_outputs(paths: Mapping[str, Path | None], *inputs: Path | None) -> None:
    """What cannot be written, or replace what is read, is said before the work. Raises ValueError."""
    from bpjit import storage

    seen: dict[Path, str] = {}
    read = {path.resolve() for path in inputs if path is not None}
    for option, path in paths.items():
        if path is None or is_standard_output(path):
            continue
        try:
            storage.check_place(path)
        except OSError as error:
            raise ValueError(f"{option} {path}: {error.strerror}") from None
        if not os.access(path.resolve().parent, os.W_OK):
            raise ValueError(f"{option} {path}: the folder is write-protected: name a file elsewhere")
        if path.resolve() in read:
            raise ValueError(f"{option} {path} would replace a file that is read: give another name")
        other = seen.setdefault(path.resolve(), option)
        if other != option:
            raise ValueError(f"{other} and {option} are the same file: give each one of its own")
    for option, endings in (("--plot", PICTURES), ("--report", PAGES), ("--html", PAGES)):
        path = paths.get(option)
        if path is not None and path.suffix.lower() not in endings:
            raise ValueError(f"{option} {path} must end in {' or '.join(endings)}")
    for option in ("--plot", "--report"):
        if paths.get(option) is not None and find_spec("matplotlib") is None:
            raise ValueError(f"{option} needs matplotlib: pip install 'bpjit[plot]'")


def write(option: str, path: Path | None, write: Callable[[Path], Any]) -> Any:
    """write(path), if the option named one; ends the command in one line where that fails."""
    if path is not None:
        try:
            return write(path)
        except BrokenPipeError:
            raise
        except OSError as error:
            say(f"{option} {path} could not be written: {error.strerror or error}")
            raise typer.Exit(FAILED) from None


@contextmanager
def wrong_options() -> Iterator[None]:
    """What the library finds wrong with an option is an error of usage; with a file's content, a failure."""
    import bpjit

    try:
        yield
    except (bpjit.FileFormatError, bpjit.DataError, ImportError) as error:  # ImportError: what an extra installs
        say(str(error))
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as error:
        raise typer.BadParameter(_named(error)) from error
    except OSError as error:  # a disk that is full or broken is nobody's option
        say(_named(error))
        raise typer.Exit(FAILED) from None
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def _named(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_, **__: say(str(message))
        yield
