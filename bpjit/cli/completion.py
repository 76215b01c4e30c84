"""What a shell offers when TAB is pressed behind an option."""

from collections.abc import Callable, Iterable


def known(option: str) -> Callable[[str], list[str]]:
    """The names that this option knows, by how they begin, in any case."""

    def begun(incomplete: str) -> list[str]:
        typed = len(incomplete)  # what is offered must begin with it, and either case will do
        return [incomplete + name[typed:] for name in _names(option) if name.lower().startswith(incomplete.lower())]

    return begun


def _names(option: str) -> Iterable[str]:
    few = {
        "dtype": ("float32", "float64"),
        "missing": ("error", "drop", "fill"),
        "task": ("classification", "regression"),
        "unknown": ("error", "ignore"),
    }
    if option in few:
        return few[option]
    # Imported only where a name of theirs is asked for: that takes most of a second.
    from bpjit import initializers, schedules
    from bpjit.engine import activations, losses, optimizers

    tables: dict[str, Iterable[str]] = {
        "activation": activations.ACTIVATIONS,
        "init": initializers.INITIALIZERS,
        "loss": losses.LOSSES,
        "optimizer": optimizers.OPTIMIZERS,
        "schedule": schedules.SCHEDULES,
    }
    return tables[option]
