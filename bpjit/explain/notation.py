"""How names of the code are written in a formula: W is w, delta is δ, dW is ∂C/∂w, beta_1 is β with an index."""

from .expression import Node, Number, Operation, SampleNumber, Sum, Symbol

GLYPHS = {
    "W": "w", "delta": "δ", "sigma": "σ", "sigma_prime": "σ′", "cost_of_sample": "C_s", "learning_rate": "η",
    "beta_1": "β_1", "beta_2": "β_2", "weight_decay": "λ", "eps": "ε", "alpha": "α", "theta": "θ", "rho": "ρ",
    "l1": "λ_1", "l2": "λ_2",
}  # fmt: skip
"""Other names are written as they are."""

FRACTIONS = {
    "dW": ("C", "w", slice(0, 0), slice(0, 2)),
    "db": ("C", "b", slice(0, 0), slice(0, 1)),
    "dC_dw": ("C", "w", slice(0, 0), slice(0, 2)),
    "dz_dw": ("z", "w", slice(0, 1), slice(0, 2)),
    "dz_db": ("z", "b", slice(0, 1), slice(0, 1)),
    "dy_dz": ("y", "z", slice(1, 2), slice(0, 1)),
    "dC_dy": ("C", "y", slice(0, 0), slice(0, 1)),
}
"""What is written above and below, and which of the indices there."""

FUNCTIONS = ("sigma", "sigma_prime", "n")
"""One for each layer, whose number stands below; n is its number of units."""

SAMPLES = ("x", "z", "a", "delta", "t", "y")
"""Arrays whose first index is the sample, which is written only where samples are summed."""


def glyph(name: str) -> str:
    """The letter of a name."""
    return GLYPHS.get(name, name)


def fraction_of(name: str) -> tuple[str, str, slice, slice] | None:
    """C and w of a derivative ∂C/∂w, and the indices of either."""
    return FRACTIONS.get(name)


def is_function_of_layer(name: str) -> bool:
    return name in FUNCTIONS


def sample_first(node: Symbol, bound: frozenset[str]) -> tuple[Node, ...]:
    """The indices that are written: without the sample's, unless samples are summed."""
    if node.name in SAMPLES and node.indices and _is_free_sample(node.indices[0], bound):
        return node.indices[1:]
    return node.indices


def _is_free_sample(index: Node, bound: frozenset[str]) -> bool:
    return isinstance(index, SampleNumber) or (index == Symbol("s") and "s" not in bound)


def whole_range(node: Sum) -> bool:
    """Whether a sum runs over all there are of its index, so that its limits need not be written."""
    if node.first != Number(0):
        return False
    if node.index == "s":
        return node.end == Symbol("S")
    end = node.end
    if not isinstance(end, Symbol) or end.name != "n" or end.layer is None:
        return False
    if isinstance(end.layer, Number):  # indices are put in: the general equation has shown what it runs over
        return True
    wanted: dict[str, Node] = {
        "i": Symbol("L"),
        "j": Operation("-", Symbol("l"), Number(1)),
        "k": Operation("+", Symbol("l"), Number(1)),
        "m": Symbol("L"),
    }
    return end.layer == wanted.get(node.index)
