"""What stands behind an option: widths, names, numbers by layer, an object of the library with its settings."""

import ast
import inspect
from collections.abc import Mapping
from typing import Any


def widths(text: str, name: str, between: str = ",") -> list[int]:
    """Whole numbers, of which there may be none.

    >>> widths("128,64", "hidden"), widths("none", "hidden")
    ([128, 64], [])
    """
    if text.strip().lower() in ("", "none"):
        return []
    try:
        return [int(width) for width in text.split(between)]
    except ValueError:
        mark = "commas" if between == "," else "dashes"
        raise ValueError(f"{name} must be whole numbers with {mark} between them, got {text!r}") from None


def names(text: str) -> str | list[str]:
    """One name, or several with commas between them that stand outside brackets.

    >>> names("relu"), names("relu, leaky_relu(0.2)")
    ('relu', ['relu', 'leaky_relu(0.2)'])
    """
    found = [name.strip() for name in text.split(",")]
    return found if len(found) > 1 else found[0]


def by_key(text: str, name: str) -> dict[str, float]:
    """Numbers by the name before each.

    >>> by_key("yes:2,no:0.5", "class_weight")
    {'yes': 2.0, 'no': 0.5}
    """
    try:
        pairs = [entry.rpartition(":") for entry in text.split(",")]
        if not all(key.strip() for key, _, _ in pairs):
            raise ValueError
        return {key.strip(): float(value) for key, _, value in pairs}
    except ValueError:
        raise ValueError(f"{name} must be NAME:NUMBER with commas between them, got {text!r}") from None


def of_layers(text: str, name: str) -> float | dict[int, float]:
    """One number, or one for each of some layers.

    >>> of_layers("0.5", "dropout"), of_layers("0:0.2,1:0.5", "dropout")
    (0.5, {0: 0.2, 1: 0.5})
    """
    try:
        if ":" not in text:
            return float(text)
        return {int(layer): value for layer, value in by_key(text, name).items()}
    except ValueError:
        raise ValueError(f"{name} must be a number, or LAYER:NUMBER with commas between them, got {text!r}") from None


def call(text: str, known: Mapping[str, Any], name: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The name, in the letters of `known`, and the settings of an object written as in Python, which is not executed.

    >>> call("adam(betas=(0.9, 0.95))", {"Adam": dict}, "optimizer")
    ('Adam', [], {'betas': (0.9, 0.95)})
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        return _call(node, {each.lower(): each for each in known}, known, name)
    except (SyntaxError, RecursionError, MemoryError):
        example = next(iter(known))
        raise ValueError(
            f"{name} must be a name, or a name with its settings as {example}(...), got {text!r}"
        ) from None


def _call(node: ast.expr, lower: Mapping[str, str], known: Mapping[str, Any], name: str) -> tuple[str, list, dict]:
    arguments, keywords = (node.args, node.keywords) if isinstance(node, ast.Call) else ([], [])
    named = node.func if isinstance(node, ast.Call) else node
    if not isinstance(named, ast.Name) or not all(keyword.arg for keyword in keywords):
        raise SyntaxError
    from bpjit import validation

    chosen = lower[validation.choice(named.id.lower(), lower, name)]

    def value(inner: ast.expr) -> Any:
        if isinstance(inner, ast.Call | ast.Name):
            return build(*_call(inner, lower, known, name), known)
        try:
            return ast.literal_eval(inner)
        except ValueError:
            raise SyntaxError from None

    return chosen, [value(each) for each in arguments], {str(each.arg): value(each.value) for each in keywords}


def build(chosen: str, arguments: list[Any], settings: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """The object; a setting that it does not have is named with those that it has."""
    make = known[chosen]
    signature = inspect.signature(make)
    try:
        signature.bind(*arguments, **settings)
    except TypeError as error:
        raise ValueError(f"{chosen}: {error}; its settings are {', '.join(signature.parameters)}") from None
    return make(*arguments, **settings)


def made(text: str, known: Mapping[str, Any], name: str) -> Any:
    """The object that is written as in Python.

    >>> made("complex(real=2, imag=1)", {"complex": complex}, "number")
    (2+1j)
    """
    return build(*call(text, known, name), known)
