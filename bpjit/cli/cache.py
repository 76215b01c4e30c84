"""bpjit cache: the folder of compiled kernels."""

from dataclasses import dataclass
from typing import Annotated

import typer

from .output import print_rows

NAME = "cache"
EXAMPLES = """Examples:

bpjit cache

bpjit cache --clear"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of `bpjit cache`."""

    clear: Annotated[bool, typer.Option("--clear", help="Remove the compiled kernels.")] = False


def run(options: Options) -> None:
    """Show where compiled kernels are kept and what they take, or remove them."""
    from bpjit.engine import jit

    files, size = jit.clear_cache() if options.clear else jit.cache_size()
    print_rows(
        {
            "folder": str(jit.cache_folder()),
            "removed" if options.clear else "kernels": f"{files:,} files, {size / 1e6:.1f} MB",
        }
    )
