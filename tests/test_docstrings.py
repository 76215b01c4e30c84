"""The examples in the docstrings of all modules run, and show what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import bpjit

PACKAGE = Path(bpjit.__file__).parent
ELSEWHERE = {"bpjit.derivation"}  # compiles its loops: in test_derivation, which needs them anyway


def modules() -> list[str]:
    """Those that have examples."""
    files = sorted(path for path in PACKAGE.rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))
    names = [".".join(("bpjit", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in files]
    return [name.removesuffix(".__init__") for name in names if name not in ELSEWHERE]


@pytest.mark.usefixtures("own_entries")
@pytest.mark.parametrize("name", modules())
def test_the_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
