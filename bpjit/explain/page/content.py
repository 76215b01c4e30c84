"""What the page knows of a trace, as JSON can hold it: the numbers, the equations, the source."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..trace import Trace


def content(trace: "Trace") -> dict[str, Any]:
    """All of it."""
    of = "one sample" if trace.S == 1 else f"{trace.S} samples"
    return {"title": f"Back-propagation of {of} through a network {'-'.join(map(str, trace.sizes))}"}
