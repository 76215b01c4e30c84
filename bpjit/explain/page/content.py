"""What the page knows of a trace, as JSON can hold it: the numbers, the equations, the source."""

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..equations import LISTED, MOST
from ..functions import Functions
from ..notation import FRACTIONS, GLYPHS, SAMPLES
from ..notation import FUNCTIONS as OF_LAYER
from ..statements import Equation
from ..term import LONG
from ..trace import LOCALS, OF_SAMPLE, OF_UNIT, OF_WEIGHT, STEPS
from ..walk import LISTED as UNITS
from ..walk import TEXTS, chosen
from .numbers import packed
from .rule import rules
from .tree import tree

if TYPE_CHECKING:
    from ..trace import Trace


Place: TypeAlias = tuple[int, int, int, int]
"""l, i, j, s: a weight, and the sample that is followed."""


def content(trace: "Trace", place: Place | None = None) -> dict[str, Any]:
    """All of it. place: what is shown first."""
    equations, which = _equations(trace)
    return {
        "title": _title(trace),
        "network": {
            "sizes": list(trace.sizes),
            "layers": _layers(trace),
            "loss": str(_named(trace.functions, "cost_of_sample", 0)),
            "bias": trace.net.bias,
            "softmax": trace.functions.softmax,
        },
        "notes": list(trace.notes),
        "numbers": _numbers(trace),
        "equations": equations,
        "which": which,
        "input": _input(trace),
        "functions": _functions(trace),
        "rules": rules(trace),
        "source": _source(trace),
        "chosen": dict(zip("lijs", place or chosen(trace))),
        "texts": TEXTS,
        "notation": {
            "glyphs": GLYPHS,
            "fractions": {
                name: [above, below, _range(upper), _range(lower)]
                for name, (above, below, upper, lower) in FRACTIONS.items()
            },
            "functions": list(OF_LAYER),
            "samples": list(SAMPLES),
        },
        "terms": {"unit": OF_UNIT, "weight": OF_WEIGHT, "sample": OF_SAMPLE, "step": STEPS},
        "limits": {"written": MOST, "listed": LISTED, "long": LONG, "units": UNITS},
    }  # fmt: skip


def _title(trace: "Trace") -> str:
    of = "one sample" if trace.S == 1 else f"{trace.S} samples"
    return f"Back-propagation of {of} through a network {'-'.join(map(str, trace.sizes))}"


def _layers(trace: "Trace") -> list[str]:
    """The activation of each layer by name; the input has none."""
    return ["", *(_named(trace.functions, "sigma", l) for l in range(1, trace.L + 1))]


def _named(functions: Functions, name: str, l: int) -> str:
    shown = functions.shown(name, l)
    return shown.name + (f"({shown.setting})" if shown.setting else "")


def _numbers(trace: "Trace") -> dict[str, Any]:
    """Arrays by name, or lists of them by layer. `moved` is what the step adds to a large array of weights."""
    of = trace.functions
    hidden = [l for l in range(1, trace.L + 1) if not (of.softmax and l == trace.L)]
    slopes = [
        np.vectorize(of.sigma_prime[l], otypes=[float])(trace.z[l]) if l in hidden else np.zeros((trace.S, 0))
        for l in range(1, trace.L + 1)
    ]
    outputs = range(trace.sizes[-1])
    pairs = list(zip(trace.a[-1], trace.t))
    return {
        "x": packed(trace.x), "t": packed(trace.t), "C": packed(np.array([trace.C])),
        "z": _packed(trace.z), "a": _packed(trace.a), "delta": _packed(trace.delta), "W": _packed(trace.W),
        "b": _packed(trace.b), "db": _packed(trace.db), "sigma_prime": _packed([trace.z[0], *slopes]),
        "cost_of_sample": packed(np.array([of.cost_of_sample(y, t) for y, t in pairs])),
        "dC_dy": packed(np.array([[of.dC_dy(y, t, i) for i in outputs] for y, t in pairs])),
        "moved_W": None if trace.updated_W is None else _packed([new - W for new, W in zip(trace.updated_W, trace.W)]),
        "updated_b": None if trace.updated_b is None else _packed(trace.updated_b),
    }  # fmt: skip


def _packed(arrays: list[np.ndarray]) -> list[dict[str, Any]]:
    return [packed(array) for array in arrays]


def _equations(trace: "Trace") -> tuple[list[dict[str, Any]], dict[str, list[int]]]:
    """The equations that this network's numbers come from, and by name which of them is that of a layer."""
    found: list[Equation] = []
    which: dict[str, list[int]] = {}
    for name in (*OF_UNIT, *OF_WEIGHT, "C"):
        which[name] = []
        for l in range(trace.L + 1):
            scope = {"l": l, "L": trace.L, "softmax": trace.functions.softmax}
            try:
                equation = trace.specification.equation(name, scope)
            except KeyError:
                which[name].append(-1)
                continue
            if equation not in found:
                found.append(equation)
            which[name].append(found.index(equation))
    return [_equation(trace, each) for each in found], which


def _equation(trace: "Trace", equation: Equation) -> dict[str, Any]:
    before = [
        {"name": other.name, "expression": tree(other.expression)}
        for other in trace.specification.equations
        if other.function == equation.function and other.line < equation.line and other.name in LOCALS
        and (other.name == "dz_db" or equation.name in OF_WEIGHT)
    ]  # fmt: skip
    return {
        "target": tree(equation.target), "relation": equation.relation, "expression": tree(equation.expression),
        "where": [{"target": tree(each.target), "expression": tree(each.expression)} for each in equation.where],
        "before": before if equation.name in LOCALS else [],
        "function": equation.function, "line": equation.line, "lines": list(equation.lines),
        "marks": list(equation.marks),
    }  # fmt: skip


def _input(trace: "Trace") -> dict[str, Any]:
    """The statement that makes the input a[0]."""
    line, target, expression = trace.specification.input_statement
    return {
        "target": tree(target), "relation": "=", "expression": tree(expression), "where": [], "before": [],
        "function": "forward", "line": line, "lines": [line], "marks": [],
    }  # fmt: skip


def _functions(trace: "Trace") -> dict[str, Any]:
    """How the functions are written: by layer, or of the loss."""

    def shown(name: str, l: int = 0) -> dict[str, Any]:
        found = trace.functions.shown(name, l)
        return {
            "name": found.name, "formula": found.formula, "setting": found.setting,
            "expression": tree(found.expression),
        }  # fmt: skip

    by_layer = {name: [None, *(shown(name, l) for l in range(1, trace.L + 1))] for name in ("sigma", "sigma_prime")}
    return by_layer | {name: shown(name) for name in ("cost_of_sample", "dC_dy")}


def _source(trace: "Trace") -> dict[str, Any]:
    """derivation.py: the lines of each function whose statements are cited."""
    specification = trace.specification
    lines = specification.source.splitlines()
    functions = {}
    for node in ast.parse(specification.source).body:
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            functions[node.name] = {"first": node.lineno, "lines": lines[node.lineno - 1 : node.end_lineno]}
    used = {each.function for each in specification.equations}
    return {
        "file": Path(specification.path).name,
        "functions": {name: functions[name] for name in functions if name in used},
    }


def _range(part: slice) -> list[int]:
    return [part.start, part.stop]
