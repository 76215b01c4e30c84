"""bpjit explain: the walk through the derivation, for samples of a file and one weight of a model."""

import json
import re

import numpy as np
import pytest

import bpjit
from bpjit import tables

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def model(tmp_path):
    """A network for the digits, as it is before it is trained."""
    path = tmp_path / "digits.safetensors"
    bpjit.Network([64, 6, 5, 10], activation=["relu", "tanh"], seed=0).save(path)
    return path


def test_the_walk(run, model):
    code, out, _ = run(
        "explain", model, "--data", "digits", "--sample", 3, "--layer", 2, "--unit", 0, "--weight", 5,
        "--optimizer", "sgd(learning_rate=0.5)",
    )  # fmt: skip
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    headings = re.findall(r"^(.*)\n─+$", out, re.MULTILINE)
    assert headings == [
        "Forward: from the input to the cost", "The output", "One weight, two factors", "Backward: the last layer",
        "Backward: every other layer", "The gradient", "The step",
    ]  # fmt: skip
    X, t = bpjit.datasets.digits()
    gradient = bpjit.load(model).gradients(X[3:4], t[3:4])[1][0][0, 5]
    line = next(line for line in out[out.index("E8") :].splitlines() if re.fullmatch(r" += \S+", line))
    found = float(
        line.split()[1].replace("−", "-").replace("×10", "e").translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    )
    assert found == pytest.approx(gradient, rel=1e-4)  # of float32
    assert "derivation.py:" in out and "∂C/∂w₀,₅²" in out


def test_a_mini_batch_as_json(run, model):
    code, out, _ = run("explain", model, "--data", "digits", "--sample", "3,9,4", "--json", "-")
    content = json.loads(out)
    assert code == 0 and content["samples"] == [3, 9, 4]
    X, t = bpjit.datasets.digits()
    net = bpjit.load(model)
    assert content["loss"] == pytest.approx(net.loss(X[[3, 9, 4]], t[[3, 9, 4]]), rel=1e-6)
    terms = {term["name"]: term for section in content["sections"] for term in section["terms"]}
    dW = net.gradients(X[[3, 9, 4]], t[[3, 9, 4]])[1][0]
    l, i, j = (content[name] for name in ("layer", "unit", "weight"))
    assert l == 2 and abs(dW[i, j]) == pytest.approx(np.abs(dW).max(), rel=1e-4)  # what is left out is chosen
    assert terms["dW"]["value"] == pytest.approx(dW[i, j], rel=1e-4)
    assert len(terms["dW"]["parts"]) == 3


def test_a_file_is_read_as_by_the_other_commands(run, tmp_path):
    net = bpjit.Network([2, 3, 1], loss="squared_error", seed=0)
    net.save(tmp_path / "net.safetensors")  # of no columns that have names
    (tmp_path / "rows.csv").write_text("a\tb\tc\n0,5\t1,5\t2,5\n1,0\t2,0\t-1,5\n")
    where = (tmp_path / "net.safetensors", "--data", tmp_path / "rows.csv", "--sample", 1, "--json", "-")
    code, out, err = run("explain", *where, "--target", "c", "--decimal", ",", "--delimiter", "tab")
    assert code == 0, err
    assert json.loads(out)["loss"] == pytest.approx(net.loss([[1.0, 2.0]], [[-1.5]]), rel=1e-6)
    code, _, err = run("explain", *where, "--decimal", ",", "--delimiter", "tab")
    assert code == 1 and "--target" in err, err


def test_steps_are_recorded(run, model):
    options = ("--steps", 3, "--batch-size", 200, "--seed", 4, "--optimizer", "adam(learning_rate=0.01)")
    code, out, _ = run("explain", model, "--data", "digits", *options)
    trainer = bpjit.Trainer(bpjit.load(model), bpjit.Adam(learning_rate=0.01), batch_size=200, seed=4)
    film = trainer.film(*bpjit.datasets.digits(), 3)
    assert code == 0 and out.endswith(film.table() + "\n") and max(map(len, out.splitlines())) <= 80
    code, out, _ = run("explain", model, "--data", "digits", *options, "--json", "-")
    content = json.loads(out)["film"]
    assert code == 0 and content["steps"] == film.records() and content["loss"] == film.loss[0]
    assert content["samples"] == 1797


def test_a_film_diverges_at_its_first_step(run, tmp_path):
    net = bpjit.Network([64, 10], seed=0)
    net.set_parameters([(np.full((10, 64), 3e38), np.zeros(10))])  # as sums, infinite in float32
    net.save(tmp_path / "huge.safetensors")
    code, _, err = run("explain", tmp_path / "huge.safetensors", "--data", "digits", "--steps", 2)
    assert code == 1 and "training diverged" in err and len(err.splitlines()) == 1


def test_a_page_plays_the_steps(run, model, tmp_path):
    where = ("explain", model, "--data", "digits", "--html", tmp_path / "page.html", "--steps")
    code, _, err = run(*where, 2)
    assert code == 0 and "page.html" in err
    data = json.loads(re.search(r' id="data">(.*?)</script>', (tmp_path / "page.html").read_text(encoding="utf-8"))[1])
    assert data["film"]["steps"] == 2 and data["film"]["samples"] == 1797
    code, _, err = run(*where, 1001)
    assert code == 2 and "--steps is 1001, and a page plays 1000" in err


def test_steps_name_the_rows_of_the_file(run, tmp_path, monkeypatch):
    rows = {"a": [row % 5 for row in range(30)], "b": [row % 3 for row in range(30)], "kind": ["x", "y"] * 15}
    prepared = tables.prepare(tables.open_source(rows), "kind", seed=0)
    tables.Model(bpjit.Network([2, 3, 2], seed=0), prepared.preparation).save(tmp_path / "net.safetensors")
    lines = ["a,b,kind", *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))]
    lines[2] = ",1,y"  # row 1 lacks a value
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    where = (tmp_path / "net.safetensors", "--data", tmp_path / "rows.csv", "--missing", "drop", "--json", "-")
    code, out, err = run("explain", *where, "--steps", 3, "--batch-size", 10)
    assert code == 0, err
    steps = json.loads(out)["film"]["steps"]
    assert sorted(row for step in steps for row in step["rows"]) == [0, *range(2, 30)]
    monkeypatch.setattr("bpjit.cli.explain.MOST_ROWS", 20)
    _, out, _ = run("explain", *where, "--steps", 2, "--batch-size", 10)
    film = json.loads(out)["film"]
    assert film["samples"] == 20 and film["notes"] == [
        f"the film takes the first 20 rows of {tmp_path / 'rows.csv'}, which has more"
    ]


@pytest.mark.slow
def test_a_model_with_its_preparation(run, tmp_path):
    rows = {"rooms": [1.0, 2.0, 3.0, 4.0] * 5, "town": ["Rome", "Bern"] * 10, "rent": [1.5, 2.5, 3.5, 4.75] * 5}
    prepared = tables.prepare(tables.open_source(rows), "rent", seed=0)
    net = bpjit.Network([prepared.preparation.features, 3, 1], loss="squared_error", seed=0)
    tables.Model(net, prepared.preparation).save(tmp_path / "rents.safetensors")
    lines = ["rooms,town,rent", *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True)), ",Rome,2.0"]
    (tmp_path / "rents.csv").write_text("\n".join(lines) + "\n")
    where = ("explain", tmp_path / "rents.safetensors", "--data", tmp_path / "rents.csv", "--sample")
    code, out, _ = run(*where, 2, "--layer", 1, "--missing", "fill")
    block = next(prepared.preparation.blocks(tables.open_source(rows), True))
    trace = net.trace(block.X[2], block.t[2], bpjit.SGD(learning_rate=0.1))
    assert code == 0 and out.strip() == trace.walk(1)
    code, _, err = run(*where, 20, "--missing", "drop")
    assert code == 1 and "row 21 (--sample 20) lacks a value" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--sample", 1797), "--sample is 1797, but digits has rows 0 … 1796"),
        (("--sample", "-1"), "--sample must be rows, counted from 0"),
        (("--sample", "three"), "--sample must be whole numbers"),
        (("--layer", 4), "--layer is 4, but the network has layers 1 … 3"),
        (("--layer", 1, "--unit", 6), "--unit is 6, but layer 1 has units 0 … 5"),
        (("--layer", 2, "--weight", -1), "--weight is -1, but layer 1 has units 0 … 5"),
        (("--optimizer", "adm"), "did you mean 'adam'?"),
        (("--optimizer", "lbfgs"), "LBFGS"),
        (("--steps", 0), "--steps"),
        (("--steps", 2, "--batch-size", 0), "--batch-size"),
    ],
)
def test_bad_requests_are_named_with_their_range(run, model, options, message):
    code, out, err = run("explain", model, "--data", "digits", *options)
    assert (code, out) == (2, "")
    assert message in err and len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.usefixtures("own_entries")
def test_a_model_with_an_activation_that_is_not_registered(run, tmp_path):
    bpjit.register_activation("doubled", lambda z: 2 * z, lambda z: 2.0)
    bpjit.Network([64, 3, 10], activation="doubled", seed=0).save(tmp_path / "own.safetensors")
    from bpjit.engine.activations import ACTIVATIONS

    del ACTIVATIONS["doubled"]
    code, _, err = run("explain", tmp_path / "own.safetensors", "--data", "digits")
    assert code == 1
    assert "the activation 'doubled' is neither built in nor registered" in err and len(err.splitlines()) == 1


def test_a_page(run, model, tmp_path):
    path = tmp_path / "three.html"
    code, out, err = run("explain", model, "--data", "digits", "--sample", 3, "--unit", 0, "--html", path)
    assert code == 0 and "derivation.py:" in out and err == f"bpjit: the page is in {path}\n"
    text = path.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert data["chosen"]["i"] == 0 and data["network"]["sizes"] == [64, 6, 5, 10]
    code, out, err = run("explain", model, "--data", "digits", "--html", tmp_path / "three.txt")
    assert (code, out) == (2, "") and "must end in .html" in err
