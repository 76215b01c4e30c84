"""Options: the fields of a dataclass as typer's options, and a file that gives them."""

from __future__ import annotations

import difflib
import inspect
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from bpjit.tables import Model, Source


def command(options: type, run: Callable[[Any], None]) -> Callable[..., None]:
    """run(options) as a function whose parameters are the fields, for typer to read; those inherited come last."""
    own = vars(options)["__annotations__"]
    hints = get_type_hints(options, include_extras=True)

    def called(**values: Any) -> None:
        run(options(**values))

    called.__doc__ = run.__doc__
    called.__annotations__ = hints
    called.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=hints[field.name],
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
            )
            for field in sorted(fields(options), key=lambda field: field.name not in own)
        ]
    )
    return called


def panel(name: str) -> Callable[..., Any]:
    """typer.Option with its help first, under this heading."""

    def option(help: str, *names: str, **settings: Any) -> Any:
        return typer.Option(*names, help=help, rich_help_panel=name, metavar="", **settings)

    return option


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Makes the entries of a TOML file the command's defaults. Raises typer.BadParameter if it has no such option."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            entries = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"is no TOML: {error}"
        raise typer.BadParameter(f"--config {path}: {reason}") from None
    known = {str(each.name): each for each in context.command.params if each.name not in ("config", "help")}
    defaults = {}
    for key, value in entries.items():
        name = key.replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise typer.BadParameter(f"--config {path}: {key} is no option of {context.info_name}{hint}")
        try:
            defaults[name] = _as_given(value, many=known[name].multiple if hasattr(known[name], "multiple") else False)
        except TypeError:
            raise typer.BadParameter(f"--config {path}: {key} is {value!r}, which no option takes") from None
    context.default_map = defaults
    return path


def _as_given(value: Any, many: bool) -> Any:
    """A value of TOML as it would stand on the command line."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int | float):
        return [str(value)] if many else str(value)
    if isinstance(value, list):
        words = [_as_given(each, many=False) for each in value]
        return words if many else ",".join(map(str, words))
    if isinstance(value, dict) and not many:
        return ",".join(f"{key}:{_as_given(each, many=False)}" for key, each in value.items())
    raise TypeError(type(value).__name__)


_output = panel("Output")
_cells = panel("Cells of the table")


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What every command that computes something can write."""

    json: Annotated[
        Path | None, _output("Write what is printed, and more, to this file as JSON; - prints it instead.")
    ] = None
    config: Annotated[
        Path | None,
        _output(
            "Read options from this TOML file, as hidden = [128, 64]; those given here go first.",
            is_eager=True,
            callback=read_config,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a table's file is read."""

    missing_values: Annotated[
        list[str] | None,
        _cells("A text that stands for a missing value, besides empty, NA, NaN, null and the like; may be repeated."),
    ] = None
    encoding: Annotated[str, _cells("Of a CSV file.")] = "utf-8"
    delimiter: Annotated[
        str | None,
        _cells("Between the cells of a CSV file: ; or tab or another sign.", show_default="found in the file"),
    ] = None
    decimal: Annotated[str, _cells("The sign before decimals in a CSV file: . or a comma.")] = "."

    def open(self, path: Path, target: str | None = None) -> Source:
        """The rows of a file. Raises what `tables.open_source` does, ValueError for a name that means two things."""
        from bpjit import datasets, tables

        name = str(path)
        if name in datasets.LOADERS and path.is_dir():  # whether ./ stood before it is not known any more
            raise ValueError(
                f"{name} is a folder here, and a data set that comes with bpjit: give the folder's whole path, "
                f"{path.resolve()}, or go elsewhere for the other"
            )
        return tables.open_source(
            name,
            target=target,
            missing_values=self.missing_values or (),
            encoding=self.encoding,
            delimiter="\t" if self.delimiter in ("tab", "\\t") else self.delimiter,
            decimal=self.decimal,
        )


class Cells:
    """Options that train and predict share have one text."""

    MISSING = "Of missing values: error, drop the row, or fill (a number's mean; for a text, a category of its own)."
    UNKNOWN = "Of categories that training has not seen: error, or ignore them."
    TARGET = "The column of what the answers should be, for a model without names."
    option = staticmethod(_cells)


def target_of(model: Model, asked: str | None) -> str | None:
    """The column of the targets: what the model has learnt, or for a model without names what --target says."""
    learnt = model.preparation.target
    if asked is not None and learnt is not None and asked != learnt:
        raise ValueError(f"--target is {asked}, but the model has learnt {learnt}: leave --target out")
    return learnt or asked
