"""The specification: by hand, against central differences, compiled against plain, and copies with errors."""

import ast
import doctest
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from math import log
from pathlib import Path

import numpy as np
import pytest
from numba import config
from twins import (
    ACTIVATIONS,
    HIDDEN,
    LOSSES,
    PLAIN,
    SOURCE,
    central_differences,
    combinations,
    distance,
    numpy_forward,
    plain,
    problem,
    reference_forward,
    reference_gradients,
    softmax_prime,
    specification,
    to_kinks,
)

from bpjit import derivation

pytestmark = pytest.mark.nojit

ROOT = Path(__file__).parent.parent

TOLERANCE = 1e-6  # what is promised; differences of C resolve the gradient to about 1e-9
ROUNDING = 1e-14  # the same few sums of numbers near 1, taken in another order


def test_two_samples_by_hand():
    """2-2-1: sigmoid, then identity; squared error. Multiples of log 3 make every sigmoid a fraction.

    sigmoid(log 3) = 3/4, sigmoid' = 3/16;  sigmoid(0) = 1/2, 1/4;  sigmoid(±2 log 3) = 9/10 or 1/10, 9/100
    """
    W = derivation.by_layer([log(3) * np.array([[1.0, -0.5], [-1.0, 1.0]]), np.array([[2.0, -1.0]])])
    b = derivation.by_layer([log(3) * np.array([1.0, -1.0]), np.array([0.5])])
    x = np.array([[1.0, 2.0], [1.0, 0.0]])
    t = np.array([[1.0], [0.2]])
    sigma, sigma_prime = (
        derivation.activations([ACTIVATIONS["sigmoid"][part], ACTIVATIONS["identity"][part]]) for part in (0, 1)
    )
    cost_of_sample, dC_dy = derivation.loss(*LOSSES["squared_error"])
    close = partial(np.testing.assert_allclose, rtol=ROUNDING, atol=ROUNDING)

    z, a = derivation.forward(x, W, b, sigma, False)
    close(z[1] / log(3), [[1.0, 0.0], [2.0, -2.0]])
    close(a[1], [[0.75, 0.5], [0.9, 0.1]])
    close(a[2], [[1.5], [2.2]])  # 2 · 3/4 - 1/2 + 1/2;  2 · 9/10 - 1/10 + 1/2

    C = derivation.cost(a[2], t, cost_of_sample)
    close(C, 1.0625)  # (1/2 · 0.5² + 1/2 · 2²) / 2

    delta = derivation.output_delta(z, a, t, sigma_prime, dC_dy, False)
    close(delta[2], [[0.25], [1.0]])  # (1.5 - 1) / 2;  (2.2 - 0.2) / 2
    derivation.backward(delta, z, W, sigma_prime)
    close(delta[1], [[0.09375, -0.0625], [0.18, -0.09]])  # 3/16 · 2 · 1/4, 1/4 · -1 · 1/4;  9/100 · 2, 9/100 · -1

    dW, db = derivation.gradient(a, delta)
    close(dW[2], [[1.0875, 0.225]])  # 1/4 · 3/4 + 9/10;  1/4 · 1/2 + 1/10
    close(db[2], [1.25])
    close(dW[1], [[0.27375, 0.1875], [-0.1525, -0.125]])  # first row: 0.09375 + 0.18;  0.09375 · 2
    close(db[1], [0.27375, -0.1525])

    derivation.descend(W, b, dW, db, 0.4)
    close(W[2], [[1.565, -1.09]])  # 2 - 0.4 · 1.0875;  -1 - 0.4 · 0.225
    close(b[2], [0.0])
    close(b[1], [log(3) - 0.1095, -log(3) + 0.061])


def gradient_errors(module, sizes, samples, activations, output, loss) -> Iterator[float]:
    """How far the module's forward pass, gradient and step are from what they should be.

    The module is `bpjit.derivation` or a copy of it: what its own C does when a parameter is moved decides.
    """
    params, x, t = problem(sizes, samples, activations, output, loss)
    W, b, sigma, sigma_prime, is_softmax = specification(params, activations, output, module)
    cost_of_sample, dC_dy = module.loss(*LOSSES[loss])

    def C() -> float:
        _, a = module.forward(x, W, b, sigma, is_softmax)
        return module.cost(a[-1], t, cost_of_sample)

    z, a = module.forward(x, W, b, sigma, is_softmax)
    assert to_kinks(list(z)[1:], activations, output) > 1e-3  # none between theta - h and theta + h
    yield distance([a[-1]], [numpy_forward(params, x, activations, output)])

    value, dW, db = module.gradients(x, t, W, b, sigma, sigma_prime, cost_of_sample, dC_dy, is_softmax)
    yield distance([value], [np.mean([LOSSES[loss][0](*pair) for pair in zip(a[-1], t, strict=True)])])
    theta = [*list(W)[1:], *list(b)[1:]]
    nabla = [*list(dW)[1:], *list(db)[1:]]
    yield distance(nabla, central_differences(C, theta))

    before = [array.copy() for array in theta]
    module.descend(W, b, dW, db, 0.5)
    step = [array - old for array, old in zip(theta, before, strict=True)]
    yield distance(step, [-0.5 * slope for slope in nabla])


@pytest.mark.parametrize(("activation", "output", "loss"), combinations())
def test_gradients_are_central_differences(activation, output, loss):
    """As plain Python: functions do not change what the loops are compiled to, but take long to compile themselves."""
    assert max(gradient_errors(PLAIN, [3, 4, 3], 5, activation, output, loss)) <= TOLERANCE


@pytest.mark.parametrize(
    ("sizes", "samples", "activations", "output"),
    [
        ([3, 2], 4, [], "sigmoid"),
        ([3, 2], 4, [], "softmax"),
        ([1, 1, 1], 1, "tanh", "identity"),
        ([2, 5, 1, 3, 4], 3, ["tanh", "sigmoid", "identity"], "softmax"),
    ],
)
def test_any_depth_and_an_activation_for_each_layer(sizes, samples, activations, output):
    assert max(gradient_errors(derivation, sizes, samples, activations, output, "squared_error")) <= TOLERANCE


@pytest.mark.parametrize("name", HIDDEN)
def test_slopes_of_the_twins_activations(name):
    sigma, sigma_prime = ACTIVATIONS[name]
    points = np.array([-30.0, -2.5, -0.3, 0.2, 1.0, 7.0])
    slopes = np.array([(sigma(z + 1e-6) - sigma(z - 1e-6)) / 2e-6 for z in points])
    np.testing.assert_allclose([sigma_prime(z) for z in points], slopes, atol=1e-9, rtol=1e-9)
    extremes = [sign * most for sign in (-1.0, 1.0) for most in (1e4, 1e30, 1e300)]
    assert np.isfinite([(sigma(z), sigma_prime(z)) for z in extremes]).all()


def test_slopes_of_the_twins_softmax():
    z = np.array([0.5, -1.0, 2.0])
    moved = np.eye(3) * 1e-6
    softmax = ACTIVATIONS["softmax"][0]
    slopes = np.array([(softmax(z + h) - softmax(z - h)) / 2e-6 for h in moved]).T
    np.testing.assert_allclose(softmax_prime(z), slopes, atol=1e-9)


def test_softmax_with_cross_entropy_is_a_difference():
    """E6: with targets that sum to 1, the sum over the Jacobian shrinks to (y - t) / S."""
    params, x, t = problem([4, 3, 5], 6, "tanh", "softmax", "cross_entropy")
    W, b, sigma, sigma_prime, _ = specification(params, "tanh", "softmax")
    _, dC_dy = derivation.loss(*LOSSES["cross_entropy"])
    z, a = derivation.forward(x, W, b, sigma, True)
    delta = derivation.output_delta(z, a, t, sigma_prime, dC_dy, True)
    np.testing.assert_allclose(t.sum(axis=1), 1.0, rtol=ROUNDING)
    assert distance([delta[2]], [(a[2] - t) / 6]) <= ROUNDING


def test_softmax_of_large_numbers_is_finite():
    params = [(np.array([[1000.0], [1001.0], [-1000.0]]), None)]
    _, a = reference_forward(params, np.array([[1.0]]), [], "softmax")
    np.testing.assert_allclose(a[1], [[1 / (1 + np.e), np.e / (1 + np.e), 0.0]], rtol=ROUNDING)


def test_labels_are_one_hot_targets_and_a_missing_bias_is_zero():
    params, X, _ = problem([4, 3, 5], 6, "relu", "softmax", "cross_entropy")
    labels = np.array([0, 4, 2, 2, 1, 3])
    without = [(W, None) for W, _ in params]
    C, gradients = reference_gradients(without, X, labels, "relu", "softmax", "cross_entropy")
    zeros = [(W, np.zeros(len(W))) for W, _ in params]
    same_C, same = reference_gradients(zeros, X, np.eye(5)[labels], "relu", "softmax", "cross_entropy")
    assert C == same_C
    for (dW, db), (same_dW, _) in zip(gradients, same, strict=True):
        assert db is None
        np.testing.assert_array_equal(dW, same_dW)


def results() -> list:
    """C and all gradients of one network that ends in softmax and one that does not."""
    shown = []
    for activations, output, loss in (
        (["relu", "tanh"], "softmax", "cross_entropy"),
        ("sigmoid", "tanh", "squared_error"),
    ):
        params, X, t = problem([5, 4, 6, 3], 7, activations, output, loss)
        C, gradients = reference_gradients(params, X, t, activations, output, loss, derivation)
        shown.append([C, [[dW.tolist(), db.tolist()] for dW, db in gradients]])
    return shown


def test_compiled_equals_plain_python():
    """This process and one with the other setting of NUMBA_DISABLE_JIT."""
    program = f"import json, sys; sys.path[:0] = {[str(ROOT), str(ROOT / 'tests')]}; import test_derivation as t; "
    program += "print(json.dumps([t.config.DISABLE_JIT, t.results()]))"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": str(1 - config.DISABLE_JIT)}
    command = [sys.executable, "-W", "error", "-c", program]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    disabled, other = json.loads(output)
    assert disabled != config.DISABLE_JIT
    for (C, gradients), (other_C, other_gradients) in zip(results(), other, strict=True):
        assert abs(C - other_C) <= ROUNDING * abs(C)
        for found, wanted in zip(gradients, other_gradients, strict=True):
            assert distance([np.array(v) for v in found], [np.array(v) for v in wanted]) <= ROUNDING


# Tests of the tests: a copy with one error must not pass.


def marks(line: str) -> list[str]:
    return re.findall(r"\bE\d+\b", line.partition("  # ")[2])


MARKED = {number for number, line in enumerate(SOURCE.splitlines(), start=1) if marks(line)}


@dataclass(frozen=True)
class Mutation:
    line: int
    error: str
    replacement: str

    def source(self) -> str:
        lines = SOURCE.splitlines()
        old = lines[self.line - 1]
        lines[self.line - 1] = old[: len(old) - len(old.lstrip())] + self.replacement
        return "\n".join(lines)


def swapped(statement: ast.stmt) -> Iterator[str]:
    """The statement with the two indices of one array in the other order, for each array in it."""
    text = ast.unparse(statement)
    for found in re.finditer(r"\[(\w+), (\w+)\]", text):
        yield f"{text[: found.start()]}[{found[2]}, {found[1]}]{text[found.end() :]}"


def mutations() -> Iterator[Mutation]:
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Assign | ast.AugAssign) and node.lineno in MARKED:
            value = ast.unparse(node.value)
            left = ast.unparse(node).removesuffix(value)
            yield Mutation(node.lineno, "zeroed", f"{left}0.0")
            yield Mutation(node.lineno, "sign", f"{left}-({value})")
            for text in swapped(node):
                yield Mutation(node.lineno, "transposed", text)
        elif isinstance(node, ast.For) and MARKED & set(range(node.lineno, node.end_lineno + 1)):
            last = ast.unparse(node.iter)[:-1]  # range(n) without its bracket; a loop downwards ends with 0, -1
            shorter = last.removesuffix("0, -1") + "1, -1" if last.endswith(", -1") else f"{last} - 1"
            yield Mutation(node.lineno, "dropped last", f"for {node.target.id} in {shorter}):")


MUTATIONS = list(mutations())


def passes(source: str) -> bool:
    """Whether a copy of the specification does what the tests above ask of it.

    Every array is 3 by 3, so that swapped indices stay inside.
    """
    copy = plain(source)
    cases = [("tanh", "softmax", "cross_entropy"), ("sigmoid", "tanh", "squared_error")]
    try:
        return all(max(gradient_errors(copy, [3, 3, 3], 3, *case)) <= TOLERANCE for case in cases)
    except (ArithmeticError, RuntimeWarning, ValueError):  # no number comes out at all
        return False


def test_the_unchanged_copy_passes():
    assert passes(SOURCE)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.line}-{m.error}-{m.replacement}")
def test_an_error_in_a_copy_is_found(mutation):
    assert mutation.source() != SOURCE
    assert not passes(mutation.source())


def test_every_marked_statement_is_tried():
    assert {m.line for m in MUTATIONS if m.error == "zeroed"} == MARKED
    assert {m.line for m in MUTATIONS if m.error == "sign"} == MARKED
    assert {m.error for m in MUTATIONS} == {"zeroed", "sign", "transposed", "dropped last"}


def test_every_equation_is_marked():
    found = {mark for line in SOURCE.splitlines() for mark in marks(line)}
    assert found == {f"E{number}" for number in range(1, 11)}


def test_nothing_of_the_project_is_imported():
    imported = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imported}
    assert not any(getattr(node, "level", 0) for node in imported)
    assert {name.partition(".")[0] for name in names} == {
        "collections",
        "functools",
        "math",
        "numba",
        "numpy",
        "typing",
    }


def test_the_example_of_the_docstring():
    assert doctest.testmod(derivation).failed == 0
    assert doctest.testmod(derivation).attempted > 5


# The code in the documents.


def include(*arguments: str, root: Path = ROOT) -> subprocess.CompletedProcess:
    command = [sys.executable, str(root / "docs" / "include.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_documents_show_the_source_as_it_is():
    ran = include("--check")
    assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "")


def test_the_derivation_shows_every_equation():
    page = (ROOT / "docs" / "derivation.md").read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert {line.strip() for line in SOURCE.splitlines() if marks(line)} <= {line.strip() for line in code.splitlines()}
    for number in range(1, 11):
        assert f"\\tag{{E{number}}}" in page


SUMS = '''
class Sum:
    @staticmethod
    def of(x):
        """What the values of x add up to, and half of it."""
        total = 0
        for v in x:
            half = v / 2
            total += v  # E1
            total += half  # E2
        return total
'''


@pytest.fixture
def copied(tmp_path):
    """A small project with one page of each kind."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "include.py").write_bytes((ROOT / "docs" / "include.py").read_bytes())
    (tmp_path / "sums.py").write_text(SUMS)
    fence = "-->\n```python\n```\n"
    (tmp_path / "README.md").write_text(f"before\n<!-- code: sums.py Sum.of {fence}after\n")
    (tmp_path / "docs" / "sums.md").write_text(f"<!-- code: sums.py Sum.of E1 {fence}")
    return tmp_path


def test_blocks_are_written_and_drift_is_found(copied):
    assert include("--check", root=copied).returncode == 1
    assert include(root=copied).returncode == 0
    assert include("--check", root=copied).returncode == 0
    whole = "@staticmethod\ndef of(x):\n    total = 0\n    for v in x:\n        half = v / 2\n"
    whole += "        total += v  # E1\n        total += half  # E2\n    return total\n"
    marker = "<!-- code: sums.py Sum.of -->"
    assert (copied / "README.md").read_text() == f"before\n{marker}\n```python\n{whole}```\nafter\n"
    part = "for v in x:\n    half = v / 2\n    total += v  # E1\n"
    assert (copied / "docs" / "sums.md").read_text() == f"<!-- code: sums.py Sum.of E1 -->\n```python\n{part}```\n"

    (copied / "sums.py").write_text((copied / "sums.py").read_text().replace("v / 2", "v / 3"))
    drifted = include("--check", root=copied)
    assert drifted.returncode == 1
    assert drifted.stdout.split() == "README.md: differs from the source docs/sums.md: differs from the source".split()


def test_a_block_may_be_cut_by_a_name(copied):
    page = copied / "README.md"
    page.write_text("<!-- code: sums.py Sum.of half -->\n```python\n```\n")
    assert include(root=copied).returncode == 0
    assert page.read_text().splitlines()[2:-1] == ["for v in x:", "    half = v / 2", "    total += half  # E2"]


def test_sessions_are_answered_and_go_on(copied):
    page = copied / "README.md"
    first = "<!-- session -->\n```python\n>>> def half(x):\n...     return x / 2\n...\n>>> x = 3\n\n>>> half(x)\n"
    second = "<!-- session -->\n```python\n>>> print(x, half(8))\n"
    page.write_text(f"{first}7\n```\nbetween\n{second}```\n")
    assert include("--check", root=copied).returncode == 1
    assert include(root=copied).returncode == 0
    assert page.read_text() == f"{first}1.5\n```\nbetween\n{second}3 4.0\n```\n"
    assert include("--check", root=copied).returncode == 0


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        ("<!-- code: sums.py Sum.off -->", "no function Sum.off"),
        ("<!-- code: sums.py Sum.of E3 -->", "no statement of Sum.of is marked or names E3"),
        ("<!-- code: sums.py Sum.of w half -->", "no statement of Sum.of is marked or names w"),
        ("<!-- code: lost.py f -->", "lost.py"),
        ("<!-- code: sums.py -->", "marker"),
        ("<!-- session -->\n", "marker"),
    ],
)
def test_a_marker_that_names_nothing_is_refused(copied, marker, complaint):
    (copied / "README.md").write_text(f"{marker}\n```python\n```\n")
    for arguments in ([], ["--check"]):
        ran = include(*arguments, root=copied)
        assert ran.returncode == 1
        assert "README.md" in ran.stderr
        assert complaint in ran.stderr
