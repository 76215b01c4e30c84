"""docs/derivation.md and its Chinese twin: the same equations, code and numbers; the numbers are right; the figures."""

import re
import subprocess
import sys
from math import log

import numpy as np
import pytest
from runs import CHECKOUT

import bpjit

DOCS = CHECKOUT / "docs"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("derivation.md", "derivation.zh.md")}
MARKER = re.compile(r"^<!-- (.*) -->$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
ROUNDING = 1e-14  # of float64: the same few sums of numbers near 1, taken in another order
SINGLE = 1e-6  # the same of float32


def skeleton(page):
    """What does not depend on the language, in its order."""
    return re.findall(r"\\tag\{E\d+\}|^<!-- .* -->$|^#+ |^```|^!\[|^\$\$$|^\|", page, re.MULTILINE)


def test_both_languages_have_the_same_parts():
    english, chinese = PAGES.values()
    assert skeleton(english) == skeleton(chinese)
    assert len(re.findall("^#+ ", english, re.MULTILINE)) > 15
    assert FENCE.findall(english) == FENCE.findall(chinese)
    formulas = [
        [f.replace("其中", "where") for f in re.findall(r"^\$\$$(.*?)^\$\$$", page, re.M | re.S)]
        for page in PAGES.values()
    ]
    assert formulas[0] == formulas[1]
    assert "](derivation.zh.md)" in english.splitlines()[2] and "](derivation.md)" in chinese.splitlines()[2]


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_each_equation_stands_beside_both_loops_and_its_numbers(page):
    assert re.findall(r"\\tag\{(E\d+)\}", page) == [f"E{number}" for number in range(1, 11)]
    sections = re.split(r"\\tag\{E\d+\}", page)[1:]
    sections[3:5] = [sections[3] + sections[4]]  # E5 follows E4 at once
    for section in sections:
        places = [marker.split()[1] for marker in MARKER.findall(section) if marker.startswith("code: ")]
        assert places[0] == "bpjit/derivation.py" and any(place.startswith("bpjit/engine/") for place in places)
        assert "<!-- session -->" in section


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_github_sees_the_formulas(page):
    """$ begins a formula after white space alone, and ends it before anything but a letter or digit."""
    prose = re.sub(r"`[^`\n]+`", "", FENCE.sub("", page))
    prose = re.sub(r"^\$\$$.*?^\$\$$", "", prose, flags=re.MULTILINE | re.DOTALL)
    for line in prose.splitlines():
        pieces = line.split("$")
        assert len(pieces) % 2 == 1, line
        for before, formula, after in zip(pieces[::2], pieces[1::2], pieces[2::2]):
            assert before == "" or before[-1].isspace(), line
            assert formula == formula.strip() and not after[:1].isalnum(), line
    assert not re.search(r"\\[,;:!\\]", prose)  # which Markdown takes for escaped signs


def number(formula):
    """What a formula of the page's tables comes to; those of a vector as a tuple."""
    python = re.sub(r"\\frac\{(\d+)\}\{(\d+)\}", r"(\1/\2)", formula.strip().strip("$"))
    for old, new in (("\\cdot", "*"), ("\\enspace", ""), ("2 \\log 3", "2*log(3)"), ("\\log 3", "log(3)"), ("^", "**")):
        python = python.replace(old, new)
    python = re.sub(r"\) \(", ")*(", python)
    return eval(
        re.sub(r"^log\(3\) \* \(", "log3(", python), {"log": log, "log3": lambda *z: tuple(log(3) * np.array(z))}
    )


def rows(page):
    """{("E1", "$z^1$"): the cells beside them} of the tables of numbers; both sides of an equation must be equal."""
    found = {}
    for equation, name, *cells in re.findall(r"^\| (E\d.*?) \| (.*?) \| (.*?) \|(?: (.*?) \|)?$", page, re.MULTILINE):
        values = []
        for formula in re.findall(r"\$([^$]+)\$", " ".join(cells)):
            sides = [np.array(number(side), float) for side in formula.split(" = ")]
            for side in sides:
                np.testing.assert_allclose(side, sides[-1], rtol=ROUNDING, atol=ROUNDING)
            values.append(sides[-1])
        found[equation, name] = values
    return found


X, T = [[1.0, 2.0], [1.0, 0.0]], [[1.0], [0.2]]


def example(dtype="float64"):
    """The network that the page follows."""
    net = bpjit.Network([2, 2, 1], activation="sigmoid", loss="squared_error", dtype=dtype)
    net.set_parameters([([[log(3), -log(3) / 2], [-log(3), log(3)]], [log(3), -log(3)]), ([[2.0, -1.0]], [0.5])])
    return net


@pytest.mark.parametrize("page", PAGES.values(), ids=list(PAGES))
def test_the_fractions_are_those_of_the_trace(page):
    trace = example().trace(X, T, bpjit.SGD(learning_rate=0.4))
    cost = [0.5 * (y[0] - wanted[0]) ** 2 for y, wanted in zip(trace.a[2], T, strict=True)]
    expected = {
        "E1": trace.z[1], "E2": trace.a[1], "E1, E2": trace.a[2], "E3": [*cost, trace.C], "E6": trace.delta[2],
        "E7": trace.delta[1], "E8": [trace.dW[2][0], *trace.dW[1]], "E9": [trace.db[2], trace.db[1]],
        "E10": [trace.updated_W[2][0], trace.updated_b[2]],
    }  # fmt: skip
    shown = {}
    for (equation, _), values in rows(page).items():
        shown.setdefault(equation, []).extend(values)
    assert shown.keys() == expected.keys()
    for equation, values in expected.items():
        for value, one in zip(values, shown[equation], strict=True):
            np.testing.assert_allclose(np.ravel(one), np.ravel(value), rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 10 * ROUNDING), ("float32", SINGLE)])
@pytest.mark.usefixtures("one_thread")
def test_the_engine_has_the_same_numbers(dtype, tolerance):
    gradients = example(dtype).gradients(X, T)
    for (dW, db), (own_dW, own_db) in zip(example().trace(X, T).gradients(), gradients, strict=True):
        np.testing.assert_allclose(own_dW, dW, rtol=tolerance)
        np.testing.assert_allclose(own_db, db, rtol=tolerance)


def test_the_figures_are_as_they_are_drawn(tmp_path):
    script = tmp_path / "figures.py"
    script.write_bytes((DOCS / "figures.py").read_bytes())
    subprocess.run([sys.executable, str(script)], check=True)
    drawn = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.svg")}
    assert drawn == {name: (DOCS / name).read_text(encoding="utf-8") for name in ("derivation.svg", "tiles.svg")}
    for name, picture in drawn.items():
        assert all(f"]({name})" in page for page in PAGES.values())
        assert "prefers-color-scheme: dark" in picture
        assert re.findall(r"https?://[^\"]*", picture) == ["http://www.w3.org/2000/svg"]
