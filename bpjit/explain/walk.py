"""The whole derivation with the numbers of a trace, for one weight, in the order of docs/derivation.md, as text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .term import WIDTH, Term, _wrapped
from .text import number

if TYPE_CHECKING:
    from .trace import Trace

LISTED = 5
"""Terms of a sum that are listed, and units of a layer."""


def written(
    trace: "Trace", l: int | None = None, i: int | None = None, j: int | None = None, s: int | None = None
) -> str:
    """Forward, the two factors of dC/dw, delta of the last layer, the recursion, the gradient, the step.

    l, i, j: the weight whose gradient is derived; what is left out is chosen so that the gradient is large. s: the
    sample that is followed, the first one unless given. Raises ValueError or TypeError for what there is not.
    """
    l, i, j, s = chosen(trace, l, i, j, s)
    lines = [*_title(trace, l, i, j, s), *_notes(trace)]
    for heading, terms, text in sections(trace, l, i, j, s):
        lines += ["", heading, "─" * len(heading), *_wrapped(text, WIDTH, "", "")]
        for term in terms:
            lines += ["", *term.lines(WIDTH, LISTED)]
    return "\n".join(lines)


def chosen(
    trace: "Trace",
    l: int | None = None,
    i: int | None = None,
    j: int | None = None,
    s: int | None = None,
    names: tuple[str, str, str, str] = ("l", "i", "j", "s"),
) -> tuple[int, int, int, int]:
    """The weight and the sample, checked; what is left out is chosen. names: what messages call them."""
    s = trace._checked(0 if s is None else s, names[3], 0, trace.S - 1, "the trace has samples")
    l = trace._checked(max(1, trace.L - 1) if l is None else l, names[0], 1, trace.L, "the network has layers")
    if i is not None:
        i = trace._checked(i, names[1], 0, trace.sizes[l] - 1, f"layer {l} has units")
    if j is not None:
        j = trace._checked(j, names[2], 0, trace.sizes[l - 1] - 1, f"layer {l - 1} has units")
    size = np.abs(trace.dW[l])
    size = np.where(np.isfinite(size), size, -1.0)
    if i is None:
        i = int(np.argmax(size.max(axis=1) if j is None else size[:, j]))
    return l, i, int(np.argmax(size[i])) if j is None else j, s


def _title(trace: "Trace", l: int, i: int, j: int, s: int) -> list[str]:
    of = "one sample" if trace.S == 1 else f"a mini-batch of {trace.S} samples, of which sample {s} is followed"
    weight = f"the weight from unit {j} of layer {l - 1} to unit {i} of layer {l}"
    if l == 1:
        weight = f"the weight from input {j} to unit {i} of layer 1"
    shape = "-".join(map(str, trace.sizes))
    return [*_wrapped(f"Back-propagation of {of} through a network {shape}: {weight}", WIDTH, "", "")]


def _notes(trace: "Trace") -> Iterator[str]:
    for note in trace.notes:
        yield from _wrapped(note, WIDTH, "  ", "  ")


TEXTS = {
    "forward": (
        "Forward: from the input to the cost",
        "What unit {i} of layer {l} receives, and what it passes on.",
    ),
    "output": ("The output", "So on up to layer {L}. Outputs: {outputs}; targets: {targets}."),
    "cost": ("The cost", "Outputs: {outputs}; targets: {targets}."),
    "factors": (
        "One weight, two factors",
        "The weight reaches the cost through what its unit receives. The second factor is known from the forward pass; "
        "the first one is δ, which the backward pass finds.",
    ),
    "last": (
        "Backward: the last layer",
        "How the cost answers to what unit {top} of layer {L} receives. All δ of the layer: {deltas}.",
    ),
    "recursion": (
        "Backward: every other layer",
        "A unit further down acts on the cost through all units of the layer above.",
    ),
    "recursions": (
        "Backward: every other layer",
        "A unit further down acts on the cost through all units of the layer above, by way of the unit of each layer "
        "that counts most for it.",
    ),
    "gradient": (
        "The gradient",
        "The product of what the forward pass left at the weight's lower end and the backward pass at its upper end.",
    ),
    "gradients": (
        "The gradient",
        "The product of what the forward pass left at the weight's lower end and the backward pass at its upper end, "
        "summed over the samples.",
    ),
    "step": ("The step", "Against the gradient, by a small amount."),
}
"""Heading and text of each section."""


def sections(trace: "Trace", l: int, i: int, j: int, s: int) -> Iterator[tuple[str, list[Term], str]]:
    """(heading, terms, text) of each step of the derivation, for the weight W[l][i, j] and sample s."""
    L = trace.L
    top = int(np.argmax(np.abs(trace.delta[L][s]))) if l < L else i
    known: dict[str, int | str] = {"l": l, "i": i, "L": L, "top": top}
    vectors = {"outputs": trace.a[L][s], "targets": trace.t[s], "deltas": trace.delta[L][s]}
    known |= {name: _vector(vector) for name, vector in vectors.items()}

    def section(name: str, *terms: Term) -> tuple[str, list[Term], str]:
        heading, text = TEXTS[name]
        return heading, list(terms), text.format(**known)

    yield section("forward", trace.term("z", l, i, s=s), trace.term("a", l, i, s=s))
    if l < L:
        yield section("output", trace.term("z", L, top, s=s), trace.term("a", L, top, s=s), trace.term("C"))
    else:
        yield section("cost", trace.term("C"))
    yield section("factors", trace.term("dC_dw", l, i, j, s), trace.term("dz_dw", l, i, j, s))
    yield section("last", trace.term("delta", L, top, s=s))
    if l < L:
        yield section("recursions" if l < L - 1 else "recursion", *_recursion(trace, l, i, s))
    biases = trace.net.bias
    gradient = [trace.term("dW", l, i, j), *([trace.term("db", l, i)] if biases else [])]
    yield section("gradients" if trace.S > 1 else "gradient", *gradient)
    if trace.update is not None:
        yield section("step", trace.term("W", l, i, j), *([trace.term("b", l, i)] if biases else []))


def _recursion(trace: "Trace", l: int, i: int, s: int) -> Iterator[Term]:
    """From the layer below the last one down: of each layer between the unit that counts most for the chosen one."""
    path = [(l, i)]
    while path[-1][0] + 1 < trace.L:
        below, unit = path[-1]
        share = np.abs(trace.W[below + 1][:, unit] * trace.delta[below + 1][s])
        path.append((below + 1, int(np.argmax(share))))
    for layer, unit in reversed(path):
        yield trace.term("delta", layer, unit, s=s)


def _vector(numbers: np.ndarray) -> str:
    """The numbers of a layer: all of a few, else the largest."""
    if len(numbers) <= 2 * LISTED:
        return ", ".join(number(float(value), 3) for value in numbers)
    order = np.argsort(-np.abs(numbers), kind="stable")[:LISTED]
    shown = ", ".join(f"{number(float(numbers[k]), 3)} ({k})" for k in order)
    return f"{shown}, and {len(numbers) - LISTED} smaller ones"
