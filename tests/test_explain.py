"""Traces and terms: what is shown is what the code says, and what the code computes is what the engine computes."""

import ast
import re
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest
from runs import bits, classes
from test_derivation import MUTATIONS
from twins import ACTIVATIONS, HIDDEN, LOSSES, SOURCE, distance, loss_of, problem, reference_gradients

import bpjit
from bpjit.engine.optimizers import OPTIMIZERS
from bpjit.explain import Trace, mathml, specification
from bpjit.explain.expression import Symbol, evaluate
from bpjit.explain.statements import read
from bpjit.explain.text import number, text
from bpjit.explain.update import Update

pytestmark = pytest.mark.usefixtures("one_thread", "own_entries")

ROUNDING = 1e-11  # of float64: a few sums of numbers near 1, in another order, of functions good to a few ULP
SINGLE = 2e-5  # the same of float32

EQUATIONS = {  # what the ten statements say, as docs/derivation.md has it
    "z": "zᵢˡ = Σⱼ wᵢⱼˡ aⱼˡ⁻¹ + bᵢˡ",
    "a": "aᵢˡ = σₗ(zᵢˡ)",
    "C": "C = (Σₛ Cₛ(yₛ, tₛ)) / S",
    "dC_dw": "∂C/∂wᵢⱼˡ = δᵢˡ · ∂zᵢˡ/∂wᵢⱼˡ",
    "dz_dw": "∂zᵢˡ/∂wᵢⱼˡ = aⱼˡ⁻¹",
    "dz_db": "∂zᵢˡ/∂bᵢˡ = 1",
    "delta": "δᵢˡ = σ′ₗ(zᵢˡ) Σₖ wₖᵢˡ⁺¹ δₖˡ⁺¹",
    "dW": "∂C/∂wᵢⱼˡ = Σₛ δₛᵢˡ aₛⱼˡ⁻¹",
    "db": "∂C/∂bᵢˡ = Σₛ δₛᵢˡ · 1",
    "W": "wᵢⱼˡ ← wᵢⱼˡ − η · ∂C/∂wᵢⱼˡ",
    "b": "bᵢˡ ← bᵢˡ − η · ∂C/∂bᵢˡ",
}
OUTPUT = {
    False: {"a": "aᵢˡ = σₗ(zᵢˡ)", "delta": "δᵢᴸ = σ′_L(zᵢᴸ) · ∂Cₛ/∂yᵢ(aᴸ, t) / S"},
    True: {
        "a": "aᵢᴸ = exp(zᵢᴸ − top) / (Σₘ exp(zₘᴸ − top))",
        "delta": "δᵢᴸ = (Σₘ ∂Cₛ/∂yₘ(aᴸ, t) · aₘᴸ ([m = i] − aᵢᴸ)) / S",
    },
}
MARKS = {"z": 1, "a": 2, "C": 3, "dC_dw": 4, "dz_dw": 5, "delta": 7, "dW": 8, "db": 9, "W": 10, "b": 10}


def network(**options):
    sizes = options.pop("sizes", [3, 4, 5, 2])
    return bpjit.Network(sizes, **({"activation": "tanh", "dtype": "float64", "seed": 0} | options))


def mini_batch(samples=4, outputs=2):
    return classes(samples=samples, outputs=outputs)


# --------------------------------------------------------------------------------------------- equations


@pytest.mark.nojit
def test_the_equations_are_those_of_the_derivation():
    X, t = mini_batch()
    trace = network().trace(X, t)
    indices = dict.fromkeys("lijs", 1)
    takes = {
        "z": "lis",
        "a": "lis",
        "C": "",
        "delta": "lis",
        "dz_db": "lis",
        "db": "li",
        "b": "li",
        "dW": "lij",
        "W": "lij",
    }
    for name, equation in EQUATIONS.items():
        term = trace.term(name, **{letter: indices[letter] for letter in takes.get(name, "lijs")})
        assert term.equation == equation
        file, line = term.source.split(":")
        assert (file, SOURCE.splitlines()[int(line) - 1].strip()) == ("derivation.py", term.code)
        if name in MARKS:
            assert term.marks[0] == f"E{MARKS[name]}" == re.search(r"E\d+", term.code)[0]
    for output, equations in OUTPUT.items():
        trace = network(output="softmax" if output else "sigmoid", loss="squared_error").trace(X, np.eye(2)[t])
        for name, equation in equations.items():
            assert trace.term(name, l=3, i=1, s=0).equation == equation


ROOT_OF = {node.name: node for node in ast.parse(SOURCE).body if isinstance(node, ast.FunctionDef)}


def shown(source, line):
    """The equations of the function that the line is in, as they are shown for all units."""
    name = next(name for name, node in ROOT_OF.items() if node.lineno <= line <= node.end_lineno)
    return equations_of(source, "forward" if name == "softmax_output" else name)


@cache
def equations_of(source, root):
    found = read(source, (root,))
    written = [f"{text(each.target)} {each.relation} {text(each.expression)}" for each in found]
    formulas = [mathml.equation(each.target, each.relation, each.expression) for each in found]
    return written, formulas


def operands(source):
    """Copies of the source in each of which one operand or index of one marked statement is another."""
    changes = [
        ("l - 1", "l"),
        ("l + 1", "l"),
        ("W[", "a["),
        ("a[", "z["),
        ("z[", "a["),
        ("delta[", "z["),
        ("b[l]", "b[1]"),
    ]
    changes += [
        (", i]", ", 0]"),
        (", j]", ", i]"),
        (", k]", ", i]"),
        (" - top", ""),
        ("exp(", "abs("),
        ("/ S", "/ L"),
        ("y[s]", "t[s]"),
    ]
    changes += [
        ("sigma_prime[", "sigma["),
        ("learning_rate *", "2 *"),
        (" * ", " / "),
        ("1.0", "2.0"),
        ("== i", "== 0"),
    ]
    lines = source.splitlines()
    for number_, line in enumerate(lines):
        code, mark, _ = line.partition("  # E")
        if not mark:
            continue
        head, sign, value = re.split(r"( [-+]?= )", code, maxsplit=1)
        for old, new in changes:
            if old in value:
                changed = head + sign + value.replace(old, new, 1) + line[len(code) :]
                yield "\n".join([*lines[:number_], changed, *lines[number_ + 1 :]]), number_ + 1


def still_marked(mutation):
    """The source with the mutation, and the mark that the statement had."""
    lines = mutation.source().splitlines()
    lines[mutation.line - 1] += "  # " + SOURCE.splitlines()[mutation.line - 1].partition("  # ")[2]
    return "\n".join(lines)


STATEMENTS = [mutation for mutation in MUTATIONS if mutation.error != "dropped last"]


@pytest.mark.nojit
def test_whatever_is_changed_in_a_marked_statement_changes_what_is_shown():
    changed = [(still_marked(mutation), mutation.line) for mutation in STATEMENTS] + list(operands(SOURCE))
    assert len(changed) > 100
    for copy, line in changed:
        (written, formulas), (other, other_formulas) = shown(SOURCE, line), shown(copy, line)
        assert len(other) == len(written)
        assert other != written, copy.splitlines()[line - 1]
        assert other_formulas != formulas, copy.splitlines()[line - 1]


@pytest.mark.nojit
def test_a_sum_that_ends_too_soon_is_shown_as_such():
    lines = SOURCE.splitlines()
    sums = [m for m in MUTATIONS if m.error == "dropped last" and re.search(r"sum_\w = 0", lines[m.line - 2])]
    assert len(sums) == 7
    for mutation in sums:
        assert shown(mutation.source(), mutation.line)[0] != shown(SOURCE, mutation.line)[0], mutation


@pytest.mark.nojit
@pytest.mark.parametrize("softmax", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_what_is_shown_is_what_a_changed_copy_computes(tmp_path, softmax):
    """The tree that is shown, evaluated, beside what the function of the copy gave: also where that is wrong."""
    output = {"output": "softmax"} if softmax else {"output": "tanh", "loss": "squared_error"}
    net = network(sizes=[3, 3, 3], **output)
    X, t = classes(samples=3, outputs=3)
    t = t if softmax else np.eye(3)[t]
    sound = numbers_of(Trace(net, X, t, Update(bpjit.SGD())))
    found = 0
    of_values = [mutation for mutation in STATEMENTS if not depends_on_order(mutation)]
    for k, mutation in enumerate(of_values):
        copy = tmp_path / f"copy{k}.py"
        copy.write_text(still_marked(mutation), encoding="utf-8")
        with np.errstate(all="ignore"):
            try:
                trace = Trace(net, X, t, Update(bpjit.SGD()), path=copy)
            except (ArithmeticError, ValueError):  # no number comes out at all
                found += 1
                continue
            found += numbers_of(trace) != sound
            for name in ("z", "a", "delta", "dW", "db", "W", "b"):
                assert_evaluates(trace, name)
    assert found >= len(of_values) * 0.6  # the others are in the branch that this output does not take


def numbers_of(trace):
    return [trace.C, *(array.tolist() for array in (*trace.updated_W, *trace.updated_b))]


def depends_on_order(mutation):
    """Whether it sets other entries, or reads those of other samples: which may be there later."""
    lines = SOURCE.splitlines()[mutation.line - 1], mutation.replacement
    sound, other = (re.split(r" [-+]?= ", line.strip())[0] for line in lines)
    return sound != other or lines[0].count("[s, ") != lines[1].count("[s, ")


def assert_evaluates(trace, name):
    for l in (1, 2):
        place = {"l": l, "i": 1, "j": 2, "s": 0}
        scope = trace.scope | place | {"learning_rate": 1e-3}
        equation = trace.specification.equation(name, scope)
        for where in equation.where:
            scope[where.name] = evaluate(where.expression, scope)
        np.testing.assert_allclose(evaluate(equation.expression, scope), trace.value(name, place), rtol=1e-12)


def test_every_term_is_what_its_equation_gives():
    X, t = mini_batch()
    trace = network().trace(X, t)
    for name in ("z", "a", "delta", "dW", "db", "W", "b"):
        assert_evaluates(trace, name)


# -------------------------------------------------------------------------------------------------- values


@pytest.mark.nojit
def test_the_network_that_is_worked_by_hand():
    """Of docs/derivation.md."""
    log_3 = np.log(3)
    net = network(sizes=[2, 2, 1], activation="sigmoid", loss="squared_error")
    net.set_parameters([(log_3 * np.array([[1, -0.5], [-1, 1]]), log_3 * np.array([1, -1])), ([[2, -1]], [0.5])])
    trace = net.trace([1, 2], [1], bpjit.SGD(0.5))
    assert trace.term("a", l=2, i=0).value == pytest.approx(1.5, rel=ROUNDING)
    assert trace.C == pytest.approx(1 / 8, rel=ROUNDING)
    for i, delta in enumerate([3 / 16, -1 / 8]):
        assert trace.term("delta", l=1, i=i).value == pytest.approx(delta, rel=ROUNDING)
    np.testing.assert_allclose(trace.dW[2], [[3 / 8, 1 / 4]], rtol=ROUNDING)
    np.testing.assert_allclose(trace.dW[1], [[3 / 16, 3 / 8], [-1 / 8, -1 / 4]], rtol=ROUNDING)
    assert trace.term("W", l=2, i=0, j=0).value == pytest.approx(2 - 0.5 * 3 / 8, rel=ROUNDING)
    assert str(trace.term("delta", l=1, i=0)).splitlines()[1:] == [
        "    δ₀¹ = σ′₁(z₀¹) Σₖ wₖ₀² δₖ²",
        "        = sigmoid′(1.099) × 2 × 0.5",
        "        = 0.1875",
        "    where σ′₁(z₀¹) = sigmoid′(1.099) = 0.1875",
        "          sigmoid′(z) with a = sigmoid(z) is a (1 − a)",
    ]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_numbers_are_the_engines(dtype):
    X, t = mini_batch()
    net = network(dtype=dtype)
    before = bits(net)
    trace = net.trace(X, t)
    tolerance = SINGLE if dtype == "float32" else ROUNDING
    assert bits(net) == before
    assert trace.C == pytest.approx(net.loss(X, t), rel=tolerance)
    assert distance(trace.z[1:], net.weighted_inputs(X)) <= tolerance
    assert distance(trace.a, net.activations(X)) <= tolerance
    assert distance(trace.delta[1:], [delta / len(X) for delta in net.deltas(X, t)]) <= tolerance
    for (dW, db), (engine_dW, engine_db) in zip(trace.gradients(), net.gradients(X, t), strict=True):
        assert distance([dW, db], [engine_dW, engine_db]) <= tolerance


def entries():
    """Each activation in a hidden layer, each output and each loss once or more."""
    yield from ((name, "identity", "squared_error") for name in HIDDEN)
    yield from (("tanh", output, "squared_error") for output in ACTIVATIONS if output != "identity")
    yield from (
        ("tanh", "sigmoid", loss) for loss in (*LOSSES, "huber(delta=0.25)", "cross_entropy(label_smoothing=0.25)")
    )
    yield "tanh", "softmax", "cross_entropy"


@pytest.mark.nojit
@pytest.mark.slow
def test_every_entry_of_the_tables_beside_the_twins():
    for activation, output, loss in entries():
        params, X, t = problem([3, 4, 3], 2, activation, output, loss)
        net = network(sizes=[3, 4, 3], activation=activation, output=output, loss=loss)
        net.set_parameters(params)
        trace = net.trace(X, t)
        C, gradients = reference_gradients(params, X, t, activation, output, loss)
        assert trace.C == pytest.approx(C, rel=1e-10), (activation, output, loss)
        for found, wanted in zip(trace.gradients(), gradients, strict=True):
            assert distance(found, wanted) <= 1e-9, (activation, output, loss)  # gelu's slope: 1e-13 near its zero
        assert loss_of(loss)
        for name in ("z", "a", "delta"):
            for l in (1, 2):
                term = trace.term(name, l=l, i=1, s=1)
                assert str(term) and ElementTree.fromstring(term.mathml) is not None
                ElementTree.fromstring(term.substituted_mathml)


@pytest.mark.slow
def test_users_own_entries_are_shown_by_their_formulas():
    bpjit.register_activation("cubic", lambda z: z * z * z / 3, lambda z: z * z)

    def cost(y, t):
        return (y - t) ** 4 / 4

    bpjit.register_loss("fourth", cost, lambda y, t: (y - t) ** 3)
    trace = network(activation="cubic", loss="fourth").trace([0.5, 1.0, -1.0], [0.5, 1.0])
    assert "cubic(z) is z z z / 3" in str(trace.term("a", l=1, i=0))
    assert "fourth is of each output, (y − t)⁴ / 4" in str(trace.term("C"))
    assert trace.check().passed


# --------------------------------------------------------------------------------------------------- steps

OPTIONS = {"SGD": [{}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}], "Adam": [{}, {"amsgrad": True}]}
STEPPING = [
    pytest.param(optimizer, marks=[] if repr(optimizer).startswith(("SGD", "Adam(")) else pytest.mark.slow)
    for name in OPTIMIZERS
    if name != "LBFGS"
    for optimizer in (OPTIMIZERS[name](**settings) for settings in OPTIONS.get(name, [{}]))
]


@pytest.mark.parametrize("optimizer", STEPPING, ids=str)
def test_the_step_is_the_one_that_the_trainer_makes(optimizer):
    X, t = mini_batch(5)
    net = network(sizes=[3, 4, 2])
    trainer = bpjit.Trainer(net, optimizer, batch_size=5, shuffle=False, seed=0)
    trainer.fit(X, t, epochs=3)
    trace = trainer.trace(X, t)
    term, before = trace.term("W", l=1, i=2, j=1), net.parameters()
    trainer.fit(X, t, epochs=1)
    assert trace.update.step == 4
    for l, (W, b) in enumerate(net.parameters(), start=1):
        assert distance([W - before[l - 1][0]], [trace.updated_W[l] - before[l - 1][0]]) <= 1e-9
        np.testing.assert_allclose(trace.updated_b[l], b, rtol=ROUNDING, atol=ROUNDING)
    assert term.value == pytest.approx(net.parameters()[0][0][2, 1], rel=ROUNDING)
    assert f"= {number(term.value, 7)}" in [line.strip() for line in str(term).splitlines()]
    assert "not of a form" not in str(term)
    if term.parts:
        assert sum(part.value for part in term.parts) == pytest.approx(term.value, rel=ROUNDING)


@pytest.mark.slow
def test_a_function_with_a_condition_that_cannot_be_shown_has_its_value():
    def outside(z):
        return z if z > 0.0 or z < -1.0 else 0.5 * z

    bpjit.register_activation("outside", outside, lambda z: 1.0 if z > 0.0 or z < -1.0 else 0.5)
    net = bpjit.Network([1, 1], activation=[], output="outside", loss="squared_error", init=[([[1.0]], [0.0])])
    term = net.trace([-0.5], [0.0]).term("a", l=1, i=0)
    assert term.value == -0.25 and term.substituted == "outside(−0.5)"


def test_a_function_is_shown_by_what_it_computes_not_by_its_own_name():
    def where(activation):
        return [
            line.equation for line in network(activation=activation).trace(*mini_batch()).term("a", 1, 0, s=0).where
        ]

    assert where("sigmoid")[-1] == "sigmoid(z) is 1 / (1 + exp(−z))"
    assert where("tanh") == []


def test_bias_correction_and_moments_are_shown():
    X, t = mini_batch()
    term = network().trace(X, t, bpjit.Adam(learning_rate=0.1)).term("W", l=2, i=0, j=0)
    assert term.equation == "wᵢⱼˡ ← wᵢⱼˡ − (rate m / (√v correction + ε) + shrink wᵢⱼˡ)"
    lines = {line.equation: line for line in term.where}
    assert lines["rate = η / (1 − β₁^step)"].value == pytest.approx(0.1 / (1 - 0.9))
    assert lines["correction = 1 / √(1 − β₂^step)"].value == pytest.approx(1 / np.sqrt(1 - 0.999))
    assert lines["m ← β₁ m + rest₁ g"].substituted.startswith("0.9 × 0 + 0.1 × ")
    assert term.source.startswith("adam.py:") and "return theta" in term.code


@pytest.mark.slow
def test_an_optimizer_of_ones_own():
    def update(w, g, v, learning_rate=0.01, momentum=0.9):
        v = momentum * v + g
        return w - learning_rate * v, v

    Heavy = bpjit.register_optimizer("Heavy", update, moments=1)
    X, t = mini_batch()
    term = network().trace(X, t, Heavy(learning_rate=0.5)).term("b", l=1, i=0)
    assert term.equation == "bᵢˡ ← bᵢˡ − η v"
    assert term.source.startswith("test_explain.py:")


def test_layers_schedules_and_what_a_trainer_does_besides():
    X, t = mini_batch(8)
    trainer = bpjit.Trainer(
        network(), bpjit.SGD(0.1), batch_size=4, seed=0, layers={1: "frozen", 2: {"learning_rate": 0.02}},
        schedule=lambda step: 0.5, l2=0.01, dropout=0.5, accumulate=2,
    )  # fmt: skip
    trace = trainer.trace(X, t)
    frozen = trace.term("W", l=1, i=0, j=0)
    assert frozen.value == trace.W[1][0, 0] and "frozen" in str(frozen)
    for l, rate in ((2, 0.01), (3, 0.05)):
        term = trace.term("W", l=l, i=0, j=1)
        g = trace.dW[l][0, 1] + 0.01 * trace.W[l][0, 1]
        assert term.value == pytest.approx(trace.W[l][0, 1] - rate * g, rel=ROUNDING)
        assert "g ← g + λ₁ sign(θ) + λ₂ θ" in str(term) and "penalties.py:" in str(term)
    said = " ".join(trace.notes)
    assert "l2" in said and "dropout" in said and "2 mini-batches" in said
    assert all(note.split()[0] in trace.walk().replace("\n ", "") for note in trace.notes)


def test_penalties_are_in_the_step_that_the_trainer_makes():
    X, t = mini_batch(5)
    net = network(sizes=[3, 4, 2])
    trainer = bpjit.Trainer(net, bpjit.Adam(0.1), batch_size=5, shuffle=False, seed=0, l1=0.02, l2={1: 0.3})
    trainer.fit(X, t, epochs=2)
    trace = trainer.trace(X, t)
    term = trace.term("W", l=1, i=2, j=1)
    trainer.fit(X, t, epochs=1)
    for l, (W, b) in enumerate(net.parameters(), start=1):
        np.testing.assert_allclose(trace.updated_W[l], W, rtol=1e-9)
        np.testing.assert_allclose(trace.updated_b[l], b, rtol=1e-9)
    assert "λ₂ θ = " in str(term)


def test_what_has_no_step_says_so():
    X, t = mini_batch()
    with pytest.raises(ValueError, match="LBFGS"):
        network().trace(X, t, bpjit.LBFGS())
    trace = bpjit.Trainer(network(), bpjit.LBFGS()).trace(X, t)
    with pytest.raises(ValueError, match="has no step"):
        trace.term("W", l=1, i=0, j=0)
    assert "The step" not in trace.walk()


# ---------------------------------------------------------------------------------------------------- terms


@pytest.mark.nojit
def test_the_terms_of_a_sum_add_up():
    X, t = mini_batch()
    trace = network().trace(X, t)
    for term in (trace.term("z", l=2, i=3, s=1), trace.term("dW", l=1, i=2, j=0)):
        values = [part.value for part in term.parts]
        assert sum(values) == pytest.approx(term.value, rel=ROUNDING)
        assert values == sorted(values, key=lambda value: -abs(value))
    parts = trace.term("z", l=2, i=3, s=1).parts
    assert {part.equation for part in parts} == {f"w₃,{'₀₁₂₃'[j]}² a{'₀₁₂₃'[j]}¹" for j in range(4)} | {"b₃²"}
    assert {part.equation for part in trace.term("dW", l=1, i=2, j=0).parts} == {
        f"δ{digit},₂¹ a{digit},₀⁰" for digit in "₀₁₂₃"
    }


def test_a_long_sum_shows_its_largest_terms_and_the_rest_as_one():
    net = bpjit.Network([5000, 2], seed=0)
    x = np.random.default_rng(0).normal(size=5000)
    term = net.trace(x, 1).term("z", l=1, i=0)
    assert "[4994 others]" in term.substituted and term.substituted.count("×") == 6
    assert sum(part.value for part in term.parts) == pytest.approx(term.value, rel=ROUNDING)
    assert sum(part.others or 1 for part in term.parts) == 5001
    numbers = term.substituted.replace("−", "-").replace("×10⁻²", "e-2").replace("×", "*")
    shown_sum = eval(re.sub(r"\[\d+ others\]", "", numbers))
    assert shown_sum == pytest.approx(term.value, abs=0.01)  # four digits of each


def test_check_puts_differences_beside_each_gradient():
    X, t = mini_batch()
    trace = network(bias=False, activation=["relu", "tanh"]).trace(X, t)
    report = trace.check()
    assert report.passed and len(report.rows) == 3 * 4 + 4 * 5 + 5 * 2
    assert {row.backpropagation for row in report.rows if row.layer == 1} == set(trace.dW[1].ravel())
    trace.dW[2][0, 0] += 1.0
    assert not trace.check().passed


@pytest.mark.slow
def test_outputs_that_are_rounded_to_0_or_1_are_spoken_of():
    net = network(sizes=[1, 1], output="sigmoid", loss="binary_cross_entropy")
    net.set_parameters([([[50.0]], [0.0])])
    assert "rounded to 0 or 1" in " ".join(net.trace([1.0], [0.0]).notes)
    assert net.trace([1.0], [1.0]).notes == net.trace([0.1], [0.0]).notes == ()


def test_a_trace_stays_as_it_was_made():
    X, t = mini_batch()
    net = network()
    trace = net.trace(X, t)
    before = str(trace)
    net.fit(X, t, epochs=1, batch_size=4)
    assert str(trace) == before
    assert trace.check().passed


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (("w", 1, 0), "name is 'w', but must be one of 'z', 'a'"),
        (("z", 4, 0), "l is 4, but 'z' has layers 1 … 3"),
        (("z", 0, 0), "l is 0, but 'z' has layers 1 … 3"),
        (("delta", 1, 4), "i is 4, but layer 1 has units 0 … 3"),
        (("delta", 1, -1), "i is -1, but layer 1 has units 0 … 3"),
        (("dW", 2, 0, 4), "j is 4, but layer 1 has units 0 … 3"),
        (("dW", 2, 0), "j is missing: layer 1 has units 0 … 3"),
        (("z", 2, 0, None, 9), "s is 9, but the trace has samples 0 … 3"),
        (("z", 2, 0), "s is missing: the trace has samples 0 … 3"),
        (("z", 2, 0, 1, 0), "j is 1, but 'z' takes l, i, s: leave j out"),
        (("C", 1), "l is 1, but 'C' takes no index: leave l out"),
    ],
)
def test_what_there_is_not_is_named_with_its_range(request_, message):
    X, t = mini_batch()
    with pytest.raises(ValueError, match=re.escape(message)):
        network().trace(X, t).term(*request_)


def test_other_bad_requests():
    net, (X, t) = network(), mini_batch()
    trace = net.trace(X, t)
    with pytest.raises(TypeError, match="i must be an integer"):
        trace.term("z", l=1, i=0.5, s=0)
    with pytest.raises(ValueError, match="x has 2 columns, but the network has 3 inputs"):
        net.trace([0.5, 1.0], 1)
    with pytest.raises(ValueError, match="t has 1 rows for 4 samples"):
        net.trace(X, t[:1])
    with pytest.raises(TypeError, match="optimizer must be one such as"):
        net.trace(X, t, "adam")
    with pytest.raises(TypeError, match="t is None"):
        net.trace(X, None)
    with pytest.raises(ValueError, match="no biases"):
        network(bias=False).trace(X, t).term("db", l=1, i=0)
    with pytest.raises(ValueError, match="give fewer samples"):
        bpjit.Network([1000, 300, 2]).trace(np.zeros((1000, 1000)), np.zeros(1000, int))
    with pytest.raises(ValueError, match=r"1 sample of this network .* take a smaller network"):  # E6 of softmax
        bpjit.Network([1, 20_000]).trace([1.0], 3)


# ---------------------------------------------------------------------------------------------------- shown


@pytest.mark.nojit
def test_numbers_and_names_as_they_are_shown():
    assert [number(value) for value in (0.0, -0.0, 1e-8, -2.5e12, 3.0, float("nan"), -float("inf"))] == [
        "0", "0", "10⁻⁸", "−2.5×10¹²", "3", "nan", "−∞",
    ]  # fmt: skip
    assert mathml.mathml(Symbol("<b>")) == "<mi>&lt;b&gt;</mi>"
    assert mathml.number(-1.5e-7) == (
        '<mo form="prefix">−</mo><mn>1.5</mn><mo>×</mo><msup><mn>10</mn><mn>−7</mn></msup>'
    )


@pytest.mark.nojit
def test_the_walk_has_all_of_it_in_order_and_fits_a_terminal():
    X, t = mini_batch()
    trace = network().trace(X, t, bpjit.Adam())
    for place in ((1, 2, 0, 3), (3, 1, 4, 0), ()):
        walk = trace.walk(*place)
        assert max(map(len, walk.splitlines())) <= 80
        marks = re.findall(r"^E\d+", walk, re.MULTILINE)
        order = ["E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "E10"]
        first = [marks.index(mark) for mark in order if mark != "E7" or place[:1] != (3,)]
        assert first == sorted(first)
    assert trace.walk(1, 2, 0, 3).count("E7") == 2  # layer 2 on the way, and layer 1
    assert specification.Specification.of() is specification.Specification.of()
