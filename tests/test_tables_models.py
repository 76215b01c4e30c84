"""Models with the preparation of their rows: answers for files to come, files of answers, files of models."""

import copy
import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

import bpjit
from bpjit import storage, tables

ROWS = 60
HOMES = {
    "area": np.linspace(20.0, 140.0, ROWS),
    "town": ["Bern", "Rome", "Oslo"] * (ROWS // 3),
    "garden": [True, False] * (ROWS // 2),
    "rent": np.linspace(900.0, 1500.0, ROWS) + np.arange(ROWS) % 7,
    "kind": ["flat", "house"] * (ROWS // 2),
}
INPUTS = 5  # area, three towns, garden


def prepared(target="kind", **options):
    other = "rent" if target == "kind" else "kind"
    return tables.prepare(tables.open_source(HOMES), target, ignore=[other], **options)


def network(outputs=2, loss="cross_entropy", inputs=INPUTS):
    return bpjit.Network([inputs, 4, outputs], loss=loss, seed=0)


@pytest.fixture(scope="module")
def classifier():
    return tables.Model(network(), prepared().preparation)


@pytest.fixture(scope="module")
def regression():
    return tables.Model(network(1, "squared_error"), prepared("rent").preparation)


def answers(model, rows, **options):
    source = rows if isinstance(rows, tables.Source) else tables.open_source(rows)
    return pa.Table.from_batches(model.predict(source, **options)).to_pydict()


def small_blocks(monkeypatch):
    monkeypatch.setattr("bpjit.validation.blocks.BLOCK_BYTES", 200)
    monkeypatch.setattr("bpjit.tables.csv.BLOCK_BYTES", 400)


# Answers


def test_classes_and_their_probabilities(classifier, monkeypatch, tmp_path):
    X = next(classifier.preparation.blocks(tables.open_source(HOMES))).X
    y = classifier.net.predict(X)
    found = answers(classifier, HOMES)
    assert found["prediction"] == [["flat", "house"][k] for k in y.argmax(axis=1)]
    np.testing.assert_array_equal(found["probability_flat"], y[:, 0])
    np.testing.assert_array_equal(found["probability_house"], y[:, 1])
    # The same in any blocks, from any file, with columns in any order.
    small_blocks(monkeypatch)
    columns = ["kind", "town", "garden", "area"]
    pd.DataFrame(HOMES)[columns].to_csv(tmp_path / "a.csv", index=False)
    batches = list(classifier.predict(tables.open_source(tmp_path / "a.csv"), keep=["area"]))
    assert len(batches) > 3
    again = pa.Table.from_batches(batches).to_pydict()
    assert again.pop("area") == [str(area) for area in HOMES["area"]]
    assert again.keys() == found.keys()
    assert again["prediction"] == found["prediction"]
    np.testing.assert_allclose(again["probability_flat"], found["probability_flat"], rtol=1e-6)


def test_numbers_in_the_units_of_the_target(regression):
    output = regression.preparation.configuration()["output"]
    train = prepared("rent").train[1]
    assert output["scale"] * train.mean() + output["mean"] == pytest.approx(output["mean"], rel=1e-6)
    X = next(regression.preparation.blocks(tables.open_source(HOMES))).X
    y = regression.net.predict(X)[:, 0].astype(float)
    found = answers(regression, HOMES)
    assert list(found) == ["prediction"]
    np.testing.assert_allclose(found["prediction"], y * output["scale"] + output["mean"], rtol=1e-12)


def test_one_output_of_two_classes():
    model = tables.Model(network(1, "binary_cross_entropy"), prepared().preparation)
    X = next(model.preparation.blocks(tables.open_source(HOMES))).X
    p = model.net.predict(X)[:, 0]
    found = answers(model, HOMES)
    assert found["prediction"] == [["flat", "house"][one] for one in (p >= 0.5).astype(int)]
    np.testing.assert_allclose(found["probability_house"], p)
    np.testing.assert_allclose(found["probability_flat"], 1 - p)
    y, t, _ = model.test(tables.open_source(HOMES))
    assert y.shape == (ROWS, 2)
    assert t.tolist() == [0, 1] * (ROWS // 2)


def test_what_is_no_probability_is_not_called_so():
    model = tables.Model(network(1, "hinge"), prepared().preparation)
    y = model.net.predict(next(model.preparation.blocks(tables.open_source(HOMES))).X)
    assert answers(model, HOMES) == {"prediction": [["flat", "house"][one] for one in (y[:, 0] >= 0).astype(int)]}


@pytest.mark.parametrize(
    ("values", "classes", "names"),
    [
        ([True, False], [False, True], ["false", "true"]),
        ([7, -1], [-1, 7], ["-1", "7"]),
        (["true", "FALSE"], [False, True], ["false", "true"]),
    ],
)
def test_answers_have_the_classes_of_the_file(values, classes, names):
    source = tables.open_source({"x": np.arange(60.0), "t": values * 30})
    model = tables.Model(bpjit.Network([1, 2], init="zeros"), tables.prepare(source, "t").preparation)
    found = answers(model, {"x": [1]})
    assert list(found) == ["prediction", *(f"probability_{name}" for name in names)]
    assert found["prediction"] == classes[:1]
    assert type(found["prediction"][0]) is type(classes[0])


def test_what_is_kept(classifier):
    rows = HOMES | {"id": range(ROWS), "note": pa.array(["é"] * ROWS).dictionary_encode()}
    found = answers(classifier, rows, keep=["id", "note", "kind"])
    assert list(found)[:4] == ["id", "note", "kind", "prediction"]
    assert found["id"] == list(range(ROWS))
    assert found["note"] == ["é"] * ROWS
    with pytest.raises(tables.DataError, match=r"--keep names 'idd'.*did you mean 'id'"):
        answers(classifier, rows, keep=["idd"])
    for name in ("prediction", "probability_flat"):
        with pytest.raises(tables.DataError, match=f"column '{name}' has the name of an answer's column"):
            answers(classifier, HOMES | {name: range(ROWS)}, keep=[name])


ONE = {"area": [50.0, 60.0], "town": ["Bern", "Rome"], "garden": [True, False]}


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ({"area": [1.0], "town": ["Bern"]}, ["column 'garden' is missing", "'area', 'town'"]),
        ({"Area": [1.0], "town": ["Bern"], "garden": [True]}, ["column 'area' is missing", "did you mean 'Area'?"]),
        (
            ONE | {"town": ["Bern", "Paris"]},
            ["column 'town', row 2 holds 'Paris'", "'Bern', 'Oslo', 'Rome'", "--unknown"],
        ),
        (ONE | {"town": [1, 2]}, ["column 'town', row 1 holds '1'"]),
        (ONE | {"area": [1.0, None]}, ["column 'area', row 2 has no value", "--missing fill", "--missing drop"]),
        (ONE | {"area": ["1.5", "large"]}, ["column 'area', row 2 holds 'large', which is no number"]),
        (ONE | {"area": [1.0, np.inf]}, ["column 'area', row 2", "infinite"]),
        (ONE | {"area": [1.0, -1e300]}, ["column 'area', row 2", "too large"]),
        (ONE | {"area": pa.array([1, 2], pa.date32())}, ["column 'area' holds date32[day]"]),
        (ONE | {"area": [[1], [2]]}, ["column 'area' holds list"]),
        (ONE | {"town": [b"\xff", b"a"]}, ["column 'town' holds binary"]),
        (ONE | {"garden": ["yes", "no"]}, ["column 'garden', row 1 holds 'yes'"]),
    ],
)
def test_rows_that_do_not_fit(rows, parts, classifier):
    with pytest.raises(tables.DataError) as caught:
        answers(classifier, rows)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_the_row_is_that_of_the_whole_file(classifier, monkeypatch, tmp_path):
    small_blocks(monkeypatch)
    data = pd.DataFrame(HOMES)
    data.loc[50, "town"] = "Paris"
    data.to_csv(tmp_path / "a.csv", index=False)
    for source in (tables.open_source(data), tables.open_source(tmp_path / "a.csv")):
        with pytest.raises(tables.DataError, match="column 'town', row 51 holds 'Paris'"):
            answers(classifier, source)
        with pytest.raises(tables.DataError, match="column 'town', row 51 holds 'Paris'"):
            classifier.test(source)


def test_rows_that_fit_in_another_type(classifier):
    other = ONE | {"area": ["50", "6e1"], "garden": [1, 0], "town": pa.array(["Bern", "Rome"]).dictionary_encode()}
    assert answers(classifier, other) == answers(classifier, ONE)
    assert answers(classifier, ONE | {"garden": ["True", "false"]}) == answers(classifier, ONE)


def test_numbers_too_far_from_those_of_training():
    source = tables.open_source({"x": np.linspace(0, 1e-30, 40), "t": ["a", "b"] * 20})
    model = tables.Model(bpjit.Network([1, 2], init="zeros"), tables.prepare(source, "t").preparation)
    with pytest.raises(tables.DataError, match="column 'x', row 1 holds 1e\\+20, which is too far"):
        answers(model, {"x": [1e20]})


def test_gaps_and_unknown_categories_as_the_user_chooses(classifier):
    rows = {"area": [50.0, None, 60.0], "town": ["Bern", "Rome", None], "garden": [True, False, None], "id": [7, 8, 9]}
    dropped = answers(classifier, rows, missing="drop", keep=["id"])
    whole = answers(classifier, {name: values[:1] for name, values in ONE.items()})
    assert dropped == {"id": [7, 8, 9]} | {name: [*values, None, None] for name, values in whole.items()}
    nothing = {"area": [None], "town": [None], "garden": [None]}
    assert answers(classifier, nothing, missing="drop")["prediction"] == [None]
    blocks = list(classifier.preparation.blocks(tables.open_source(nothing), missing="fill"))
    assert blocks[0].X.tolist() == [[0.0] * INPUTS]
    strange = ONE | {"town": ["Paris", "Rome"]}
    block = next(classifier.preparation.blocks(tables.open_source(strange), unknown="ignore"))
    assert block.X[:, 1:4].tolist() == [[0, 0, 0], [0, 0, 1]]
    # What was chosen for training holds for what comes.
    model = tables.Model(network(), prepared(missing="drop", unknown="ignore").preparation)
    assert answers(model, strange | {"area": [1.0, None]})["prediction"][1] is None
    with pytest.raises(ValueError, match="missing is 'mean'"):
        answers(classifier, ONE, missing="mean")


def test_answers_beside_targets(classifier, regression, monkeypatch):
    small_blocks(monkeypatch)
    y, t, _ = classifier.test(tables.open_source(HOMES))
    assert y.shape == (ROWS, 2)
    assert t.tolist() == [0, 1] * (ROWS // 2)
    y, t, _ = regression.test(tables.open_source(HOMES))
    np.testing.assert_allclose(t, HOMES["rent"], rtol=1e-6)
    np.testing.assert_allclose(y, answers(regression, HOMES)["prediction"], rtol=1e-6)
    with pytest.raises(tables.DataError, match="column 'kind' is missing"):
        classifier.test(tables.open_source(ONE))
    with pytest.raises(tables.DataError, match="column 'rent', row 1 holds 'cheap', which is no number"):
        regression.test(tables.open_source(ONE | {"rent": ["cheap", "1"]}))
    for model, name in ((classifier, "kind"), (regression, "rent")):
        with pytest.raises(tables.DataError, match=f"column '{name}', row 1 has no value, and it is the target"):
            model.test(tables.open_source(ONE | {name: [None, None]}), missing="fill")
    y, t, _ = regression.test(tables.open_source(ONE | {"rent": [None, 5.0]}), missing="drop")
    assert t == pytest.approx([5])
    with pytest.raises(tables.DataError, match="leaves none"):
        regression.test(tables.open_source(ONE | {"rent": [None, None]}), missing="drop")


# A network alone


def test_a_network_without_preparation(tmp_path):
    net = bpjit.Network([2, 3], seed=0)
    net.save(tmp_path / "net.safetensors")
    model = tables.Model.load(tmp_path / "net.safetensors")
    rows = {"b": ["1.5", "2"], "a": [True, False]}
    found = answers(model, rows)
    y = net.predict([[1.5, 1], [2, 0]])
    assert found["prediction"] == y.argmax(axis=1).tolist()
    np.testing.assert_array_equal(found["probability_2"], y[:, 2])
    assert answers(model, rows | {"id": ["u", "v"]}, keep=["id"])["id"] == ["u", "v"]
    with pytest.raises(tables.DataError, match="has 3 columns of numbers, but the network has 2 inputs"):
        answers(model, rows | {"c": [1, 2]})
    outcome = model.test(tables.open_source(rows | {"t": [2, 0]}, target="t"))
    assert outcome[1].tolist() == [2, 0]
    with pytest.raises(tables.DataError, match="--target"):
        model.test(tables.open_source(rows))
    np.savez(tmp_path / "a.npz", X=np.array([[1.5, 1], [2, 0]]), t=[2, 0])
    source = tables.open_source(tmp_path / "a.npz")
    np.testing.assert_array_equal(model.test(source)[0], y)
    with pytest.raises(tables.DataError, match="--keep"):
        answers(model, source, keep=["id"])


def test_images_need_no_names(tmp_path):
    source = tables.open_source("digits")
    model = tables.Model(bpjit.Network([64, 10], init="zeros"), tables.prepare(source).preparation)
    assert len(answers(model, source)["probability_9"]) == 1797
    with pytest.raises(tables.DataError, match=r"without names of columns.*'area', 'town', 'garden'"):
        answers(tables.Model(network(), prepared().preparation), source)


@pytest.mark.parametrize(
    ("net", "part"),
    [
        (bpjit.Network([3, 2]), "3 inputs, but the preparation makes 5"),
        (bpjit.Network([5, 3]), "3 outputs, but the preparation has 2"),
    ],
)
def test_a_network_that_does_not_fit(net, part):
    with pytest.raises(ValueError, match=part):
        tables.Model(net, prepared().preparation)
    with pytest.raises(ValueError, match="outputs that are no classes"):
        tables.Model(bpjit.Network([5, 3], loss="squared_error"))


# Files of models


@pytest.mark.parametrize("kind", ["classifier", "regression"])
def test_a_model_comes_back(kind, request, tmp_path):
    model = request.getfixturevalue(kind)
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = tables.Model.load(path)
    assert answers(again, HOMES) == answers(model, HOMES)
    assert again.preparation.configuration() == model.preparation.configuration()
    assert again.preparation.feature_names == ["area", "town=Bern", "town=Oslo", "town=Rome", "garden"]
    net = bpjit.load(path)
    for one, other in zip(net.parameters(), model.net.parameters(), strict=True):
        assert (one[0] == other[0]).all()
    assert b"pickle" not in path.read_bytes()
    content = bytearray(path.read_bytes())
    place = content.index(b"Bern")
    content[place] ^= 1
    path.write_bytes(content)
    for load in (bpjit.load, tables.Model.load):
        with pytest.raises(bpjit.FileFormatError, match="checksum"):
            load(path)


def places(value, place=()):
    """Every place of a JSON-able value, as the keys that lead there."""
    yield place
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in below:
        yield from places(part, (*place, key))


@pytest.mark.parametrize("kind", ["classifier", "regression", "matrix"])
def test_hostile_preparations_are_refused(kind, request, tmp_path, monkeypatch):
    """Whatever stands anywhere in a preparation: a sound model, or one FileFormatError."""
    if kind == "matrix":
        np.savez(tmp_path / "a.npz", X=np.arange(120.0).reshape(60, 2), t=np.arange(60) % 2)
        preparation = tables.prepare(tables.open_source(tmp_path / "a.npz")).preparation
        model = tables.Model(bpjit.Network([2, 2], init="zeros"), preparation)
    else:
        model = request.getfixturevalue(kind)
    monkeypatch.setattr(storage, "load_prepared", lambda path: (model.net, forged))
    wholly = model.preparation.configuration()
    refused = 0
    for place in places(wholly):
        for value in (None, [], {}, "zz", -1, 0, 1e308, True, [[]], {"kind": "number"}, 10**400, "\ud800", ["a", "a"]):
            forged = copy.deepcopy(wholly)
            at = {"": forged}
            for key in ("", *place)[:-1]:
                at = at[key]
            at[("", *place)[-1]] = value
            forged = value if not place else forged
            if forged is None:
                continue
            try:
                tables.Model.load("forged")
            except bpjit.FileFormatError:
                refused += 1
    assert refused > 150
    for wrong in ({"version": 1}, wholly | {"more": 1}, {**wholly, "version": 2}):
        forged = wrong
        with pytest.raises(bpjit.FileFormatError):
            tables.Model.load("forged")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"version": 1, "version": 1}', "NaN", '"\\ud800"', "7"])
def test_preparations_that_are_no_json(text, classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    tensors, configuration = storage.read(path, "model")
    metadata = {"format": "bpjit", "kind": "model", "version": "1", "configuration": json.dumps(configuration)}
    storage.write(path, tensors, metadata | {"preparation": text})
    with pytest.raises(bpjit.FileFormatError, match="no sound bpjit model"):
        tables.Model.load(path)
    storage.write(path, tensors, metadata | {"preparations": "{}"})
    with pytest.raises(bpjit.FileFormatError, match="'preparations', which a model has not"):
        bpjit.load(path)


# Files of answers

BATCHES = [
    pa.record_batch({"prediction": ["é, è", None], "p": [0.5, 1e-300]}),
    pa.record_batch({"prediction": ['"'], "p": [2.0]}),
]
WRITTEN = {"prediction": ["é, è", None, '"'], "p": [0.5, 1e-300, 2.0]}


@pytest.mark.parametrize("name", ["a.csv", "a.TSV", "a.csv.gz", "a.parquet", "a.pq"])
def test_answers_are_written(name, tmp_path):
    path = tmp_path / name
    path.write_text("what was there")
    assert tables.write(iter(BATCHES), path) == 3
    if path.suffix in (".parquet", ".pq"):
        found = pa.parquet.read_table(path).to_pydict()
    else:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
        options = pa.csv.ParseOptions(delimiter="\t" if "TSV" in name else ",")
        nulls = pa.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
        found = pa.csv.read_csv(pa.BufferReader(content), parse_options=options, convert_options=nulls).to_pydict()
    assert found == WRITTEN
    assert os.listdir(tmp_path) == [name]


def failing():
    yield BATCHES[0]
    raise tables.DataError("row 3 is wrong")


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet"])
@pytest.mark.parametrize(
    ("batches", "error"),
    [
        (failing, tables.DataError),
        (lambda: [], ValueError),
        (lambda: [BATCHES[0], pa.record_batch({"other": [1]})], ValueError),
    ],
)
def test_a_file_of_answers_is_whole_or_as_it_was(name, batches, error, tmp_path):
    path = tmp_path / name
    path.write_text("what was there")
    with pytest.raises(error):
        tables.write(batches(), path)
    assert path.read_text() == "what was there"
    assert os.listdir(tmp_path) == [name]


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"column cannot be written as .csv"):
        tables.write([pa.record_batch({"x": [[1]]})], tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"must end in one of .csv"):
        tables.write(BATCHES, tmp_path / "a.xlsx")
    with pytest.raises(FileNotFoundError):
        tables.write(BATCHES, tmp_path / "none" / "a.csv")
    with pytest.raises(ValueError, match=r"must end in one of .csv"):
        tables.check_output("a.xlsx")
    with pytest.raises(FileNotFoundError):
        tables.check_output(tmp_path / "none" / "a.csv")
    tables.check_output(tmp_path / "a.csv")
    assert os.listdir(tmp_path) == []


def test_standard_output(capfdbinary):
    assert tables.write(BATCHES, "-") == 3
    sys.stdout.flush()
    assert capfdbinary.readouterr().out.decode().splitlines() == ['"prediction","p"', '"é, è",0.5', ",1e-300", '"""",2']
    print("still open")


@pytest.mark.slow
def test_standard_output_that_is_closed():
    program = (
        "import pyarrow as pa; from bpjit import tables;"
        "tables.write((pa.record_batch({'a': range(10_000)}) for _ in range(100)), '-')"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'"a"\n'
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0
