"""The script and the notebook in examples/ run, and show the numbers of the network that they train."""

import re
import subprocess
import sys

import numpy as np
import pytest
from runs import CHECKOUT, environment

import bpjit

EXAMPLES = CHECKOUT / "examples"


@pytest.mark.slow
def test_the_script(tmp_path):
    command = [sys.executable, str(EXAMPLES / "explain.py"), "."]
    done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    printed = done.stdout
    assert float(re.search(r"'accuracy': ([\d.]+)", printed)[1]) > 0.9
    assert re.search(r"^E7  δᵢˡ = .*derivation\.py:\d+$", printed, re.MULTILINE)
    whole = re.search(r"^ += (−?[\d.]+)$", printed, re.MULTILINE)[1].replace("−", "-")
    slope = re.search(r"σ′₁\(z₃¹\) = .* = ([\d.]+)$", printed, re.MULTILINE)[1]
    parts = [float(value) for value in re.findall(r"^ +(-?[\d.]+)  w\S+ δ\S+ = ", printed, re.MULTILINE)]
    assert len(parts) == 6 and parts == sorted(parts, key=lambda part: -abs(part))
    assert float(slope) * sum(parts) == pytest.approx(float(whole), rel=1e-3)
    for page in ("trace.html", "film.html"):
        assert (tmp_path / page).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "passed: 85 of 85 parameters agree" in printed and "of Adam(learning_rate=0.02)" in printed


@pytest.mark.external
@pytest.mark.filterwarnings("ignore")  # those of Jupyter's own packages
def test_the_notebook(tmp_path):
    import nbclient
    import nbformat

    notebook = nbformat.read(EXAMPLES / "derivation.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells), "outputs are not kept"
    assert re.findall(r"\\tag\{E(\d+)\}", str(notebook)) == [str(number) for number in range(1, 11)]
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    printed = "".join(output.get("text", "") for cell in cells for output in cell.outputs)

    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    t = np.array([[0.0], [1.0], [1.0], [0.0]])
    net = bpjit.Network([2, 3, 1], activation="tanh", loss="binary_cross_entropy", dtype="float64", seed=0)
    trace = net.trace(x, t, bpjit.SGD(learning_rate=0.5))
    terms = [trace.term(name, 1, 0, s=1) for name in ("z", "a", "delta")]
    terms += [trace.term(name, 1, 0, 1, 1) for name in ("dz_dw", "dC_dw")]
    terms += [trace.term("C"), trace.term("delta", 2, 0, s=1)]
    terms += [trace.term("dW", 1, 0, 1), trace.term("db", 1, 0), trace.term("W", 1, 0, 1)]
    for term in terms:
        assert str(term) in printed
    assert trace.check().verdict in printed and trace.check().passed
    results = [output.data for cell in cells for output in cell.outputs if output.output_type == "execute_result"]
    page, z = results
    assert "<iframe" in page["text/html"]
    assert float(re.search(r"-?\d+\.\d+", z["text/plain"])[0]) == pytest.approx(trace.z[1][1, 0])
    first, last = map(float, re.search(r"loss: (\S+) at first, (\S+) in the end", printed).groups())
    assert first == pytest.approx(trace.C) and last < 0.05
