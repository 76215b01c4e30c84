"""bpjit cache: the folder of compiled kernels."""

from dataclasses import dataclass
from typing import Annotated

import typer

from .output import FAILED, print_rows, say

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
    from bpjit.engine import cache

    try:
        files, size = cache.clear_cache() if options.clear else cache.cache_size()
    except OSError as error:
        say(f"{error.filename or cache.cache_folder()} could not be removed: {error.strerror}; all that could are gone")
        raise typer.Exit(FAILED) from None
    done = "removed" if options.clear else "kernels"
    print_rows({"folder": str(cache.cache_folder()), done: f"{files:,} files, {size / 2**20:.1f} MiB"})
