"""Rows of a file as samples: the same numbers as pandas and scikit-learn make of them, whatever their number."""

import errno
import gc

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import bpjit
from bpjit import tables

S = 150
TOWNS = ["Bern", "Oslo, N", "Zürich", 'a "b"', "two\nlines"]


def frame(rows=S, seed=0):
    """Numbers of several kinds, texts that CSV must quote, and targets of each kind."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "rooms": rng.integers(1, 9, rows),
            "town": rng.choice(TOWNS, rows),
            "area": rng.normal(80, 20, rows) * 10.0 ** rng.integers(-3, 9, rows),
            "garden": rng.random(rows) < 0.5,
            "constant": 7.25,
            "rent": rng.normal(900, 100, rows),
            "kind": rng.choice(["flat", "house", "loft"], rows),
            "stars": rng.integers(1, 6, rows),
        }
    )


def stored(data, folder, suffix):
    path = folder / f"homes{suffix}"
    if suffix == ".parquet":
        data.to_parquet(path)
    else:
        data.to_csv(path, index=False, sep="\t" if ".tsv" in suffix else ",")
    return path


@pytest.fixture
def small_blocks(monkeypatch):
    """A file of several blocks, none of which is kept, and rows made ready few at a time."""
    monkeypatch.setattr("bpjit.tables.csv.BLOCK_BYTES", 4096)
    monkeypatch.setattr("bpjit.tables.parquet.BATCH_ROWS", 60)
    monkeypatch.setattr("bpjit.validation.blocks.BLOCK_BYTES", 2000)
    monkeypatch.setattr("bpjit.tables.source.physical_memory", lambda: 1000)


def reference(data, train, parts, numbers):
    """X of the parts by pandas and scikit-learn: statistics of the rows `train`, and "town" one-hot."""
    kinds = {name: StandardScaler() for name in numbers} | {"town": OneHotEncoder(handle_unknown="ignore")}
    steps = [(name, kinds[name], [name]) for name in data.columns if name in kinds]
    columns = ColumnTransformer(steps, sparse_threshold=0).fit(data.iloc[train])
    return [columns.transform(data.iloc[rows]) for rows in parts]


def parts_of(rows, labels, seed):
    """The numbers of the rows that train, validate and test, by scikit-learn alone."""
    rest, test = train_test_split(np.arange(rows), test_size=0.2, stratify=labels, random_state=seed)
    left = None if labels is None else labels[rest]
    train, validation = train_test_split(rest, test_size=0.1, stratify=left, random_state=seed)
    return train, validation, test


NUMBERS = ["rooms", "area", "garden", "constant"]
UNUSED = {"rent": ["kind", "stars"], "kind": ["rent", "stars"], "stars": ["rent", "kind"]}


@pytest.mark.parametrize(
    ("suffix", "target", "small"),
    [(".csv", "rent", True), (".tsv.gz", "kind", False), (".parquet", "stars", True), ("frame", "kind", False)],
)
def test_the_samples_are_those_of_scikit_learn(suffix, target, small, tmp_path, request):
    if small:
        request.getfixturevalue("small_blocks")
    data = frame()
    source = tables.open_source(data if suffix == "frame" else stored(data, tmp_path, suffix))
    prepared = tables.prepare(source, target, ignore=UNUSED[target], seed=3)
    classes = sorted(data[target].unique().tolist())
    labels = None if target == "rent" else np.searchsorted(classes, data[target])
    train, validation, test = parts_of(S, labels, 3)
    wanted = reference(data, train, [train, validation, test], NUMBERS)
    for (X, t), expected, rows in zip(
        (prepared.train, prepared.validation, prepared.test), wanted, (train, validation, test), strict=True
    ):
        assert X.dtype == np.float32
        np.testing.assert_allclose(X, expected, rtol=1e-5, atol=1e-6)  # float32 has 7 digits
        if labels is None:
            mean, scale = data.rent.iloc[train].mean(), data.rent.iloc[train].std(ddof=0)
            assert t.dtype == np.float32
            np.testing.assert_allclose(t, (data.rent.iloc[rows] - mean) / scale, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(prepared.preparation.in_units(t), data.rent.iloc[rows], rtol=1e-6)
        else:
            assert t.dtype == np.int64
            assert (t == labels[rows]).all()
    assert prepared.preparation.task == ("regression" if labels is None else "classification")
    assert prepared.preparation.classes == (None if labels is None else classes)
    assert prepared.preparation.outputs == (1 if labels is None else len(classes))


def test_large_samples_lie_in_files(small_blocks, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    data = frame()
    with tables.prepare(tables.open_source(data), "kind") as prepared:
        assert isinstance(prepared.train[0], np.memmap)
        assert len(list(tmp_path.iterdir())) == 1
        assert any("lie in files" in note for note in prepared.notes)
        mapped = [np.array(X) for X, _ in (prepared.train, prepared.validation, prepared.test)]
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    in_memory = tables.prepare(tables.open_source(data), "kind")
    assert type(in_memory.train[0]) is np.ndarray
    for X, (Y, _) in zip(mapped, (in_memory.train, in_memory.validation, in_memory.test), strict=True):
        np.testing.assert_allclose(X, Y, rtol=1e-6, atol=1e-7)  # means of other blocks


def test_no_room_for_large_samples(small_blocks, monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            tables.prepare(tables.open_source(frame()), "kind")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(tables.DataError, match="TMPDIR"):
        tables.prepare(tables.open_source(frame()), "kind")
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_digits_are_split_as_ever():
    X, t = bpjit.datasets.digits()
    rest, X_test, t_rest, t_test = train_test_split(X, t, test_size=0.2, stratify=t, random_state=0)
    X_train, X_validation, t_train, t_validation = train_test_split(
        rest, t_rest, test_size=0.1, stratify=t_rest, random_state=0
    )
    prepared = tables.prepare(tables.open_source("digits"), seed=0)
    for (found, labels), expected, known in (
        (prepared.train, X_train, t_train),
        (prepared.validation, X_validation, t_validation),
        (prepared.test, X_test, t_test),
    ):
        assert (found == expected).all()
        assert (labels == known).all()
    assert prepared.preparation.classes == list(range(10))


def test_arrays_are_standardised(tmp_path):
    rng = np.random.default_rng(1)
    X, t = rng.normal(3, 2, (200, 2, 3)), rng.normal(size=200)
    np.savez(tmp_path / "a.npz", X=X, t=t)
    prepared = tables.prepare(tables.open_source(tmp_path / "a.npz"), seed=1, dtype="float64")
    train, validation, test = parts_of(200, None, 1)
    scaler = StandardScaler().fit(X.reshape(200, 6)[train])
    for (found, _), rows in zip((prepared.train, prepared.validation, prepared.test), (train, validation, test)):
        np.testing.assert_allclose(found, scaler.transform(X.reshape(200, 6)[rows]), rtol=1e-12, atol=1e-12)


# What is found


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["yes", "no"], "classification", ["no", "yes"]),
        (["true", "false"], "classification", [False, True]),
        ([True, False], "classification", [False, True]),
        ([3, 1, 2], "classification", [1, 2, 3]),
        ([3.0, 1.0], "classification", [1, 3]),
        (["3", "-1"], "classification", [-1, 3]),
        ([0.5, 1, 2], "regression", None),
        (list(range(21)), "regression", None),
        (list(range(20)), "classification", list(range(20))),
        (pd.Categorical([2, 1, 2]), "classification", ["1", "2"]),
    ],
)
def test_the_task_follows_from_the_target(values, task, classes):
    data = pd.DataFrame({"x": np.arange(300.0), "t": [values[k % len(values)] for k in range(300)]})
    if isinstance(values, pd.Categorical):
        data["t"] = data["t"].astype("category")
    prepared = tables.prepare(tables.open_source(data), "t")
    assert (prepared.preparation.task, prepared.preparation.classes) == (task, classes)
    assert prepared.notes[0].startswith(f"{task} of t")
    types = {type(one) for one in classes or []}
    assert types <= {type(classes[0])} if classes else True


def test_few_rows_of_whole_numbers_are_a_regression():
    source = tables.open_source({"x": range(30), "t": [k % 15 for k in range(30)]})
    assert tables.prepare(source, "t").preparation.task == "regression"
    assert tables.prepare(source, "t", task="regression").preparation.task == "regression"


def test_the_task_that_the_user_wants():
    source = tables.open_source({"x": range(60), "t": [k % 3 for k in range(60)]})
    wanted = tables.prepare(source, "t", task="regression")
    assert wanted.preparation.task == "regression"
    assert wanted.notes[0] == "regression of t, since --task says so"
    assert wanted.train[1].std() == pytest.approx(1, abs=1e-5)
    counts = tables.prepare(source, "t", task="regression", scale_target=False)
    assert set(np.unique(counts.train[1])) == {0, 1, 2}


def test_numbers_that_are_categories():
    data = {"zip": [10, 9, 9] * 20, "t": ["a", "b"] * 30}
    assert tables.prepare(tables.open_source(data), "t").preparation.feature_names == ["zip"]
    prepared = tables.prepare(tables.open_source(data), "t", categorical=["zip"])
    assert prepared.preparation.feature_names == ["zip=10", "zip=9"]
    with pytest.raises(tables.DataError, match=r"more than 1 different texts.*--ignore zip.*--max-categories"):
        tables.prepare(tables.open_source(data), "t", categorical=["zip"], max_categories=1)


def test_codes_keep_their_zeros(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("zip,t\n" + "007,1.5\n7,2.5\n" * 20)
    prepared = tables.prepare(tables.open_source(path), "t", categorical=["zip"])
    assert prepared.preparation.feature_names == ["zip=007", "zip=7"]


# Gaps


def gaps():
    data = frame(200)
    data.loc[[5, 17, 60], "area"] = np.nan
    data.loc[[17, 90], "town"] = None
    return data


def test_a_missing_value_is_an_error_with_its_place(tmp_path):
    for source in (tables.open_source(gaps()), tables.open_source(stored(gaps(), tmp_path, ".csv"))):
        with pytest.raises(
            tables.DataError, match=r"column 'area', row 6 has no value: .*--missing fill.*--missing drop"
        ):
            tables.prepare(source, "kind")


def test_rows_with_gaps_are_dropped(tmp_path, small_blocks):
    data = gaps()
    prepared = tables.prepare(tables.open_source(stored(data, tmp_path, ".parquet")), "rent", missing="drop", seed=2)
    assert "4 of 200 rows lack a value, and are left out" in prepared.notes
    whole = data.drop(index=[5, 17, 60, 90]).reset_index(drop=True)
    again = tables.prepare(tables.open_source(stored(whole, tmp_path, ".csv")), "rent", seed=2)
    for one, other in ((prepared.train, again.train), (prepared.test, again.test)):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(one[1], other[1], rtol=1e-6, atol=1e-7)


def test_gaps_are_filled(tmp_path):
    data = gaps()[["area", "town", "rent"]]
    prepared = tables.prepare(tables.open_source(stored(data, tmp_path, ".csv")), "rent", missing="fill", seed=0)
    rows = parts_of(200, None, 0)
    data["town"] = data["town"].astype(object).where(data["town"].notna(), "~")  # sorted behind all others
    columns = ColumnTransformer(
        [("area", make_pipeline(SimpleImputer(), StandardScaler()), ["area"]), ("town", OneHotEncoder(), ["town"])],
        sparse_threshold=0,
    ).fit(data.iloc[rows[0]])
    expected = [columns.transform(data.iloc[part]) for part in rows]
    # A filled column's deviation is that of the values that are there, not of the means among them.
    factor = np.nanstd(data.area.iloc[rows[0]]) / np.std(data.area.iloc[rows[0]].fillna(data.area.iloc[rows[0]].mean()))
    for (X, _), wanted in zip((prepared.train, prepared.validation, prepared.test), expected, strict=True):
        wanted[:, 0] /= factor
        np.testing.assert_allclose(X, wanted, rtol=1e-5, atol=1e-6)
    assert prepared.preparation.feature_names[-1] == "town="
    assert "missing values are filled in 'area', 'town'" in prepared.notes


def test_a_row_without_a_target():
    data = {"x": range(40), "t": [None, *["a", "b", "c"] * 13]}
    with pytest.raises(tables.DataError, match=r"column 't', row 1 has no value, and it is the target.*--missing drop"):
        tables.prepare(tables.open_source(data), "t", missing="fill")
    prepared = tables.prepare(tables.open_source(data), "t", missing="drop")
    assert sum(len(t) for _, t in (prepared.train, prepared.validation, prepared.test)) == 39


def test_a_category_that_is_held_out_alone():
    """Whoever has one rare category need not see the training fail for it."""
    towns = np.array(["a", "b"] * 30, object)
    _, _, test = parts_of(60, None, 0)
    towns[test[0]] = "rare"
    source = tables.open_source({"town": towns, "t": np.linspace(0, 1, 60)})
    prepared = tables.prepare(source, "t", seed=0)
    assert prepared.preparation.feature_names == ["town=a", "town=b"]
    assert (prepared.test[0][0] == 0).all()
    assert any("'town' that do not train" in note for note in prepared.notes)


def test_names_are_called_so():
    source = tables.open_source({"name": [f"n{k}" for k in range(50)], "t": ["a", "b"] * 25})
    notes = tables.prepare(source, "t").notes
    assert "column 'name' has 36 categories in 36 rows that train: if they are names, --ignore name" in notes


def test_gaps_in_arrays(tmp_path):
    X, t = np.arange(120.0).reshape(60, 2), np.arange(60) % 2
    X[7, 1] = np.nan
    np.savez(tmp_path / "a.npz", X=X, t=t)
    source = tables.open_source(tmp_path / "a.npz")
    with pytest.raises(tables.DataError, match="NaN in row 8"):
        tables.prepare(source)
    dropped = tables.prepare(source, missing="drop")
    assert sum(len(t) for _, t in (dropped.train, dropped.validation, dropped.test)) == 59
    filled = tables.prepare(source, missing="fill", test_fraction=0, validation_fraction=0)
    assert filled.test is filled.validation is None
    assert np.count_nonzero(filled.train[0] == 0) == 1


# Sources of their own for validation and test


def test_rows_of_their_own_are_not_drawn(tmp_path, small_blocks):
    data, other = frame(100, 1), frame(50, 2)
    paths = [stored(part, tmp_path, suffix) for part, suffix in ((data, ".csv"), (other, ".parquet"))]
    source, test = map(tables.open_source, paths)
    prepared = tables.prepare(source, "kind", test=test, validation=test, seed=0)
    assert [len(t) for _, t in (prepared.train, prepared.validation, prepared.test)] == [100, 50, 50]
    both = pd.concat([data, other])
    expected = reference(both, range(100), [range(100, 150)], [*NUMBERS, "rent", "stars"])[0]
    np.testing.assert_allclose(prepared.test[0], expected, rtol=1e-5, atol=1e-6)
    assert (prepared.validation[0] == prepared.test[0]).all()


def test_what_a_test_file_must_have():
    source = tables.open_source({"x": range(40), "c": ["a", "b"] * 20, "t": ["u", "v"] * 20})

    def prepare(**columns):
        return tables.prepare(source, "t", test=tables.open_source(columns))

    with pytest.raises(tables.DataError, match=r"column 'c', row 2 holds 'z', a category that was not in training"):
        prepare(x=[1, 2], c=["a", "z"], t=["u", "v"])
    with pytest.raises(
        tables.DataError, match=r"column 't', row 1 holds 'V', a class that was not in training; did you"
    ):
        prepare(x=[1, 2], c=["a", "b"], t=["V", "v"])
    with pytest.raises(tables.DataError, match=r"column 'x' is missing.*there are 'c', 't'"):
        prepare(c=["a"], t=["u"])
    assert len(prepare(t=["u"], more=[3], c=["a"], x=[1]).test[0]) == 1


# What cannot be used


@pytest.mark.parametrize(
    ("columns", "options", "parts"),
    [
        ({"t": "ab"}, {"target": "t"}, ["no column to learn from"]),
        ({"x": "ab", "price": "ab"}, {"target": "prise"}, ["--target", "'prise'", "did you mean 'price'?"]),
        ({"x": "ab", "t": "ab"}, {"target": None}, ["--target", "'x', 't'"]),
        ({"x": "ab", "t": "aa"}, {}, ["column 't'", "'a' alone"]),
        ({"x": [1, 2, 3], "t": [5, 5, 5]}, {"task": "regression"}, ["column 't'", "is 5 in every row"]),
        ({"x": "ab", "t": "ab"}, {"task": "regression"}, ["holds texts", "--task regression"]),
        ({"x": "ab", "t": [1.5, 2]}, {"task": "classification"}, ["not whole", "--categorical t"]),
        ({"x": [1, 2], "t": "ab"}, {"ignore": ["y"]}, ["--ignore names 'y'", "'x', 't'"]),
        ({"x": [1, 2], "t": "ab"}, {"ignore": ["t"]}, ["'t' is the target", "--ignore"]),
        ({"x": [1, 2], "t": "ab"}, {"categorical": ["y"]}, ["--categorical names 'y'"]),
        ({"x": [None, None], "t": "ab"}, {"missing": "fill"}, ["'x' holds no value", "--ignore x"]),
        ({"x": [1, None], "t": ["a", None]}, {"missing": "drop"}, ["'a' alone"]),
        ({"x": [None, 1], "t": ["a", None]}, {"missing": "drop"}, ["every row lacks a value"]),
        ({"x": [[1], [2]], "t": "ab"}, {}, ["'x' holds lists", "--ignore x"]),
        ({"x": [b"1", b"2"], "t": "ab"}, {}, ["'x' holds lists, records or bytes"]),
        ({"x": [1, np.inf], "t": "ab"}, {}, ["column 'x', row 2 holds inf, which is infinite"]),
        ({"x": [1, 1e39], "t": "ab"}, {}, ["column 'x', row 2 holds 1e+39, which is too large"]),
        ({"x": ["1", "2", "3", "many"], "t": "abab"}, {}, ["column 'x', row 4 holds 'many'", "--missing-values many"]),
        ({"x": ["1,5", "2,5"], "t": "ab"}, {}, ["'x' holds numbers with commas", "--decimal ,"]),
        ({"x": ["1,500", "2,500.5"], "t": "ab"}, {}, ["'x' holds numbers with commas"]),
    ],
)
def test_what_is_refused(columns, options, parts):
    source = tables.open_source({name: list(values) * 20 for name, values in columns.items()})
    with pytest.raises(tables.DataError) as caught:
        tables.prepare(source, **({"target": "t"} | options))
    assert all(part in str(caught.value) for part in parts), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "form",
    ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S.000Z", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y %H:%M", "%H:%M", "%b %d, %Y", None],
)
def test_dates_are_refused_with_advice(form, tmp_path):
    days = pd.Series(pd.date_range("2026-01-05", periods=60, freq="3h"))
    written = days if form is None else days.dt.strftime(form)
    data = pd.DataFrame({"from": written, "x": range(60), "to": written, "t": ["a", "b", "c"] * 20})
    path = stored(data, tmp_path, ".csv" if form else ".parquet")
    with pytest.raises(
        tables.DataError, match=r"columns 'from', 'to' hold dates.*days since.*--ignore from --ignore to"
    ):
        tables.prepare(tables.open_source(path), "t")
    prepared = tables.prepare(tables.open_source(path), "t", ignore=["from", "to"])
    assert prepared.preparation.feature_names == ["x"]
    assert "left out: 'from', 'to'" in prepared.notes


def test_the_target_is_no_date():
    source = tables.open_source({"x": range(40), "day": pd.date_range("2026-01-01", periods=40)})
    with pytest.raises(tables.DataError, match=r"'day' holds dates or times.*'day' is the target"):
        tables.prepare(source, "day")


@pytest.mark.parametrize(
    ("rows", "options", "part"),
    [
        (2, {}, "too few for 3 parts"),
        (13, {}, "class 'c' has one row, but each part (training, validation and test)"),
        (13, {"validation_fraction": 0}, "class 'c' has one row, but each part (training, and another)"),
        (60, {"test_fraction": 0.99}, "--test-fraction 0.99"),
        (60, {"validation_fraction": 0.01}, "--validation-fraction 0.01"),
    ],
)
def test_rows_that_do_not_suffice(rows, options, part):
    labels = ["a", "b"] * 6 + ["c"] if rows == 13 else ["a", "b", "c"] * 20
    source = tables.open_source({"x": range(rows), "t": labels[:rows]})
    with pytest.raises(tables.DataError) as caught:
        tables.prepare(source, "t", **options)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"missing": "mean"}, "missing is 'mean'"),
        ({"unknown": "drop"}, "unknown is 'drop'"),
        ({"task": "clustering"}, "task is 'clustering'"),
        ({"test_fraction": 1.0}, "test_fraction must be"),
        ({"validation_fraction": -0.1}, "validation_fraction must be"),
        ({"max_categories": 0}, "max_categories must be"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_arguments_out_of_range(options, part):
    source = tables.open_source({"x": range(20), "t": ["a", "b"] * 10})
    with pytest.raises(ValueError, match=part) as caught:
        tables.prepare(source, "t", **options)
    assert not isinstance(caught.value, tables.DataError)


def test_too_many_names_for_a_file(monkeypatch):
    monkeypatch.setattr("bpjit.tables.preparation.ROOM", 500)
    source = tables.open_source({"x" * 400: range(20), "t": ["a", "b"] * 10})
    with pytest.raises(tables.DataError, match="--ignore, or lower --max-categories"):
        tables.prepare(source, "t")


def test_the_rows_of_the_test_are_known_by_their_numbers():
    """A column that counts the rows says which they are; those that lack a value are passed over, not renumbered."""
    numbers = np.arange(40.0)
    gaps = [None if k % 7 == 3 else float(k % 5) for k in range(40)]
    rows = tables.open_source({"number": numbers, "gaps": gaps, "t": numbers**1.5})
    own = tables.open_source({"number": numbers[:9], "gaps": gaps[:9], "t": numbers[:9] ** 1.5})
    for options in ({}, {"test": own}):
        prepared = tables.prepare(rows, "t", missing="drop", seed=0, dtype="float64", **options)
        X, _ = prepared.test
        train = numbers[[k for k in range(40) if k % 7 != 3]]
        everywhere = np.concatenate([prepared.train[0][:, 0], prepared.validation[0][:, 0], X[:, 0]])
        assert prepared.test_rows.shape == (len(X),) and not np.any(prepared.test_rows % 7 == 3)
        slope, offset = np.polyfit(prepared.test_rows, X[:, 0], 1)
        assert np.allclose(X[:, 0], slope * prepared.test_rows + offset, atol=1e-12)
        if not options:
            assert np.allclose(np.sort(everywhere), slope * train + offset, atol=1e-12)
