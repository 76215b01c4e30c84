"""Which kernels a run calls: pairs of a name in the job and a kernel."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from . import epoch, jit, noise, penalties
from .backward import backward, backward_few, output_delta
from .batch import gather, gather_targets, scatter_outputs, shuffle, weigh
from .epoch import State
from .forward import forward, forward_few
from .gradient import accumulate, combine, gradient, partial_gradient, store
from .job import penalizes
from .optimizer import Optimizer
from .optimizers import SGD
from .plan import Plan

Calls: TypeAlias = tuple[tuple[str, Any], ...]

PREDICT: Calls = (
    ("gather", gather), ("forward", forward), ("scatter", scatter_outputs), ("piece", epoch.piece),
)  # fmt: skip
LOSS: Calls = (
    ("gather", gather), ("forward", forward), ("gather_targets", gather_targets), ("output_delta", output_delta),
    ("piece", epoch.piece),
)  # fmt: skip
ANSWERS: Calls = (*LOSS, ("scatter", scatter_outputs))
"""For both, outputs and their loss."""
WEIGH: Calls = (("weigh", weigh),)
"""Besides, where samples have weights."""

FOR_FEW = {"forward": forward_few, "backward": backward_few}
"""What takes the place of a kernel where a block has few samples."""
BY_LAYER = {
    "layer_by_layer": epoch.layer_by_layer, "take_part": epoch.take_part, "forward_part": epoch.forward_part,
    "output_part": epoch.output_part, "backward_part": epoch.backward_part,
}  # fmt: skip
IN_CHUNKS = {
    "chunk_by_chunk": epoch.chunk_by_chunk, "chunk": epoch.chunk, "combined": epoch.combined,
    "partial_gradient": partial_gradient, "combine": combine,
}  # fmt: skip


def step(optimizer: type[Optimizer] | Optimizer, draw: bool, apply: jit.Kernel | None = None) -> Calls:
    """A step of an optimiser; draw: whether the engine draws the order of every epoch."""
    wanted = (
        *LOSS, ("backward", backward), ("gradient", gradient), ("apply", apply or optimizer.update),
        ("begin", optimizer.begin), ("task", epoch.task),
    )  # fmt: skip
    return (*wanted, ("shuffle", shuffle)) if draw else wanted


GRADIENT = step(SGD, draw=False, apply=store)


def regularized(state: State, optimizer: Optimizer) -> Calls:
    """What a step calls besides, or in the place of its own."""
    given = state.regularization
    wanted: list[tuple[str, Any]] = []
    if given.input_noise or given.dropout is not None:
        wanted.append(("draw_keys", noise.draw_keys))
    if given.input_noise:
        wanted.append(("add_noise", noise.add_noise))
    if penalizes(given):
        wanted.append(("penalize", penalties.penalize))
        if state.in_parts:
            wanted.append(("penalize_kept", penalties.penalize_kept))
    if state.gradients is not None:
        wanted += [("apply", store), ("store", store), ("advance", penalties.advance)]
        wanted += [("accumulate", accumulate), ("update_task", optimizer.update)]
    if given.max_norm is not None:
        wanted.append(("limit", penalties.limit))
    if penalizes(given) or state.gradients is not None or given.max_norm is not None:
        wanted.append(("finish_step", penalties.finish_step))
    return tuple(wanted)


def planned(wanted: Calls, plan: Plan, may_share: bool, few: bool, only_few: bool) -> Mapping[str, Any]:
    """The kernels by name, with those that the plan takes; few: whether a block has few samples; only_few: all."""
    names = dict(wanted)
    if may_share:
        names["share"] = epoch.share
    if few:
        names |= {f"{name}_few": kernel for name, kernel in FOR_FEW.items() if name in names}
    if only_few:
        names = {name: kernel for name, kernel in names.items() if name not in FOR_FEW}
    if plan.by_layer:
        names |= BY_LAYER
    if plan.in_chunks and "gradient" in names:
        names |= IN_CHUNKS
    return names
