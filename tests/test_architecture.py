"""The rules of the house, read from its source: imports, what stays out of the loops, where equations are."""

import ast
import graphlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bpjit"

# Lowest first: a module imports from its own floor or a lower one. A new module is given its floor here.
FLOORS = [
    {"bpjit.derivation", "bpjit.interrupts", "bpjit.differences", "bpjit.display"}
    | {
        "bpjit.validation",
        "bpjit.validation.arrays",
        "bpjit.validation.blocks",
        "bpjit.validation.data",
        "bpjit.validation.settings",
    }
    | {"bpjit.engine", "bpjit.engine.function", "bpjit.engine.cache", "bpjit.engine.jit", "bpjit.engine.compilers"},
    {
        f"bpjit.engine.{name}"
        for name in ("tile", "tile_plain", "layout", "elementwise", "functions", "entry", "optimizer")
    },
    {
        f"bpjit.engine.{name}"
        for name in ("activations", "losses", "optimizers", "scikit_learn", "adam", "adaptive", "groups")
    },
    {f"bpjit.engine.{name}" for name in ("batch", "noise", "forward", "backward", "gradient")},
    {
        f"bpjit.engine.{name}"
        for name in ("epoch", "penalties", "order", "plan", "job", "calls", "ready", "model", "custom", "trace")
    },
    {"bpjit.initializers", "bpjit.metrics", "bpjit.errors", "bpjit.user_function"}
    | {"bpjit.watching", "bpjit.early_stopping", "bpjit.callbacks"}
    | {"bpjit.sources", "bpjit.weights", "bpjit.holdout"}
    | {"bpjit.schedules", "bpjit.schedules.base", "bpjit.schedules.timed", "bpjit.schedules.plateau"},
    {"bpjit.network", "bpjit.registration"},
    {f"bpjit.progress{name}" for name in ("", ".base", ".meter", ".display", ".lines", ".bar", ".notebook")}
    | {f"bpjit.{name}" for name in ("training", "run", "history", "storage", "lbfgs", "parameter_groups")}
    | {f"bpjit.{name}" for name in ("gradient_check", "sweep", "inspection", "diagnosis", "summary", "regularization")}
    | {"bpjit.request", "bpjit.loop", "bpjit.trainer_state", "bpjit.training_set", "bpjit.compilation"},
    {f"bpjit.explain.{name}" for name in ("expression", "notation")},
    {f"bpjit.explain.{name}" for name in ("text", "statements", "update")},
    {f"bpjit.explain.{name}" for name in ("mathml", "term", "formulas", "specification")},
    {f"bpjit.explain.{name}" for name in ("functions", "rules")},
    {"bpjit.explain.equations"},
    {"bpjit.explain.steps"},
    {"bpjit.explain.trace"},
    {f"bpjit.explain.{name}" for name in ("walk", "requests")},
    {"bpjit.explain.page.numbers"},
    {"bpjit.explain.page.tree"},
    {"bpjit.explain.page.rule"},
    {"bpjit.explain.page.content"},
    {"bpjit.explain.page.document"},
    {"bpjit.explain.page"},
    {"bpjit.explain.film_data"},
    {"bpjit.explain.film"},
    {"bpjit.explain"},
    {"bpjit.datasets", "bpjit.plots"}
    | {f"bpjit.assessment{name}" for name in ("", ".answers", ".classes", ".plots", ".residuals")},
    {
        f"bpjit.tables.{name}"
        for name in ("errors", "cells", "source", "csv", "parquet", "idx", "npz", "survey", "columns", "matrix", "task")
    }
    | {f"bpjit.tables.{name}" for name in ("targets", "split", "files", "preparation", "prepared", "model", "output")}
    | {"bpjit.tables"},
    {f"bpjit.sklearn.{name}" for name in ("constraints", "cost", "descent")},
    {"bpjit.sklearn.perceptron", "bpjit.sklearn.callbacks"},
    {"bpjit.sklearn.estimators"},
    {"bpjit.sklearn"},
    {"bpjit"},
    {"bpjit.report"}
    | {"bpjit.bench", "bpjit.bench.cases", "bpjit.bench.peak", "bpjit.bench.report", "bpjit.bench.workers"},
    {"bpjit.bench.peers", "bpjit.bench.chart"},
    {"bpjit.bench.measure"},
    {"bpjit.bench.job"},
    {f"bpjit.cli.{name}" for name in ("values", "completion", "output", "assess", "options")},
    {"bpjit.cli.training_options"},
    {"bpjit.cli.trainer", "bpjit.cli.outcome"},
    {f"bpjit.cli.{name}" for name in ("train", "predict", "evaluate", "explain", "info", "bench", "warmup", "cache")},
    {"bpjit.cli.application"},
    {"bpjit.cli", "bpjit.__main__"},
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}

# Conveniences of an object, done by a higher floor: imported inside the method, when it is called.
LAZY_UPWARD = {
    ("bpjit.network", "bpjit.training"),  # Network.fit makes a Trainer
    ("bpjit.network", "bpjit.storage"),  # Network.save
    ("bpjit.network", "bpjit.inspection"),  # Network.activations, weighted_inputs, deltas, sample_gradients
    ("bpjit.network", "bpjit.diagnosis"),  # Network.diagnose
    ("bpjit.network", "bpjit.summary"),  # Network.summary
    ("bpjit.network", "bpjit.plots"),  # Network.plot
    ("bpjit.network", "bpjit.explain"),  # Network.trace
    ("bpjit.training", "bpjit.explain"),  # Trainer.trace, Trainer.film
    ("bpjit.explain.trace", "bpjit.explain.walk"),  # Trace.walk
    ("bpjit.explain.trace", "bpjit.explain.page"),  # Trace.html
    ("bpjit.diagnosis", "bpjit.plots"),  # Diagnosis.plot
    ("bpjit.history", "bpjit.plots"),  # History.plot
    ("bpjit.sweep", "bpjit.plots"),  # Sweep.plot
}

EXTRAS = {
    "IPython",
    "jax",
    "matplotlib",
    "optax",
    "pandas",
    "polars",
    "pyarrow",
    "rich",
    "scipy",
    "sklearn",
    "torch",
    "typer",
}

LOOPS = ["engine/forward.py", "engine/backward.py", "engine/gradient.py"]

CITATIONS = {
    "derivation.py": range(1, 11),
    "engine/forward.py": (1, 2),
    "engine/backward.py": (6, 7),
    "engine/gradient.py": (8, 9),
    "engine/optimizer.py": (10,),
    "engine/optimizers.py": (10,),
}


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    lazy: bool  # inside a function: not run when the module is imported


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources() -> dict[str, str]:
    """Every module of the package by its dotted name."""
    return {module_name(path): path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


ImportStatement = ast.Import | ast.ImportFrom


def import_statements(node: ast.AST, lazy: bool = False) -> Iterator[tuple[ImportStatement, bool]]:
    """Every import and whether it is lazy; those for the type checker alone never run, and are left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ImportStatement):
            yield child, lazy
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from import_statements(child, lazy or isinstance(child, ast.FunctionDef))


def imports(modules: dict[str, str]) -> set[Import]:
    """Every import of one module of the package by another."""
    packages = {name.rpartition(".")[0] for name in modules} - {""}
    found = set()
    for importer, source in modules.items():
        for statement, lazy in import_statements(ast.parse(source)):
            if isinstance(statement, ast.Import):
                targets = [alias.name for alias in statement.names]
            else:
                base = statement.module or ""
                if statement.level:
                    inside = importer if importer in packages else importer.rpartition(".")[0]
                    above = inside.split(".")[: len(inside.split(".")) - statement.level + 1]
                    base = ".".join([*above, base]).rstrip(".")
                # `from package import name`: the module of that name if there is one, else the package.
                members = (f"{base}.{alias.name}" for alias in statement.names)
                targets = [member if member in modules else base for member in members]
            for target in targets:
                if target.partition(".")[0] == "bpjit" and target != importer:
                    found.add(Import(importer, target, lazy))
    return found


def upward(modules: dict[str, str]) -> set[tuple[str, str]]:
    """Imports from a higher floor, but for the lazy ones that are meant."""
    return {
        (found.importer, found.imported)
        for found in imports(modules)
        if FLOOR[found.imported] > FLOOR[found.importer]
        and not (found.lazy and (found.importer, found.imported) in LAZY_UPWARD)
    }


def assert_no_circle(modules: dict[str, str]) -> None:
    """Raises graphlib.CycleError if importing a module would come back to it."""
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for found in imports(modules):
        if not found.lazy:
            graph[found.importer].add(found.imported)
    graphlib.TopologicalSorter(graph).prepare()


def test_every_module_has_one_floor():
    assert sum(map(len, FLOORS)) == len(FLOOR)
    assert set(sources()) == set(FLOOR)


def test_imports_go_down():
    assert upward(sources()) == set()


def test_no_circles():
    assert_no_circle(sources())


def test_every_allowed_exception_is_in_use():
    found = {(found.importer, found.imported) for found in imports(sources()) if found.lazy}
    assert found >= LAZY_UPWARD


@pytest.mark.parametrize(
    "statement",
    [
        "import bpjit.network",
        "from bpjit import Network",
        "from bpjit.network import Network",
        "from ..network import Network",
        "from .. import network",
        "from . import epoch",
        "def later():\n    from bpjit.training import Trainer",
        "if True:\n    import bpjit.engine.epoch",
    ],
)
def test_an_upward_import_is_found(statement):
    modules = dict.fromkeys(FLOOR, "") | {"bpjit.engine.forward": statement}
    assert {importer for importer, _ in upward(modules)} == {"bpjit.engine.forward"}


def test_a_lazy_exception_must_be_lazy():
    modules = dict.fromkeys(FLOOR, "") | {"bpjit.network": "from bpjit.storage import save"}
    assert upward(modules) == {("bpjit.network", "bpjit.storage")}


def test_a_circle_is_found():
    modules = dict.fromkeys(FLOOR, "") | {
        "bpjit.engine.forward": "import bpjit.engine.backward",
        "bpjit.engine.backward": "from .forward import layer",
    }
    with pytest.raises(graphlib.CycleError):
        assert_no_circle(modules)


def test_the_specification_stands_alone():
    assert not [found for found in imports(sources()) if found.importer == "bpjit.derivation"]


def packages_loaded_by(statement: str) -> set[str]:
    """Top-level packages that a new process has loaded after the statement; every extra is installed here."""
    program = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {name.partition(".")[0] for name in json.loads(output)}


def test_import_loads_no_extra():
    loaded = packages_loaded_by("import bpjit")
    assert "bpjit" in loaded
    # Numba looks whether SciPy is there by importing it: what the dependencies load by themselves is theirs.
    assert loaded & EXTRAS <= packages_loaded_by("import numba, numpy, safetensors.numpy")


ADDRESSING = re.compile(r"offset|stride|pointer|(^|_)ptr|address|ctypes|carray|byref|itemsize", re.IGNORECASE)


def identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield value


def addressing(source: str) -> list[str]:
    """What computes where a number lies: names of pointers and strides, and products inside an index."""
    tree = ast.parse(source)
    names = [name for name in identifiers(tree) if ADDRESSING.search(name)]
    indices = [node.slice for node in ast.walk(tree) if isinstance(node, ast.Subscript)]
    products = [ast.unparse(i) for i in indices if any(isinstance(part, ast.Mult) for part in ast.walk(i))]
    return names + products


@pytest.mark.parametrize("path", LOOPS)
def test_the_loops_know_nothing_of_addresses(path):
    assert addressing((PACKAGE / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ["w[s * n + j]", "w[p, 32 * i :]", "w.strides", "w_ptr", "row_offset = 1", "from numba import carray"],
)
def test_addressing_is_found(line):
    assert addressing(line)


@pytest.mark.parametrize(("path", "numbers"), CITATIONS.items(), ids=CITATIONS)
def test_equations_are_cited_where_they_are_computed(path, numbers):
    """Outside the module's docstring: the citation stands at the loop, not only in the introduction."""
    source = (PACKAGE / path).read_text(encoding="utf-8")
    first = ast.parse(source).body[0]
    assert isinstance(first, ast.Expr), "every module begins with its docstring"
    below = "\n".join(source.splitlines()[first.end_lineno :])
    assert [f"E{number}" for number in numbers if not re.search(rf"\bE{number}\b", below)] == []
