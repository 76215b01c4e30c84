"""Training, predicting and evaluating on files of the user's own, from the command line."""

import csv
import io
import json
import signal
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest
import table_files as files
from commands import digits_split, row
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

import bpjit

QUICK = ["--hidden", "16", "--epochs", "20", "--no-progress"]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """The folder of a table with texts, and a model of it that the command line trained."""
    folder = tmp_path_factory.mktemp("people")
    files.people(folder / "people.csv", gaps=5)
    words = ["people.csv", "--target", "income", "--ignore", "id", "--missing", "fill", "--save", "net", *QUICK]
    command = [sys.executable, "-m", "bpjit", "train", *words, "--json", "trained.json", "--report", "page.html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder / "printed").write_text(done.stdout)
    return folder


def test_a_table_with_texts_end_to_end(run, people, monkeypatch):
    monkeypatch.chdir(people)
    printed = (people / "printed").read_text()
    assert "classification of income into 2 classes ('high', 'low')" in row(printed, "note")
    assert "2 columns of numbers and 2 of categories make 9 inputs" in printed and "left out: 'id'" in printed
    assert float(row(printed, "test accuracy")) > 0.9
    assert "confusion matrix" in printed

    trained = json.loads((people / "trained.json").read_text())
    assert trained["task"] == "classification" and trained["target"] == "income"
    assert trained["samples"] == {"train": 288, "validation": 32, "test": 80}
    assert len(trained["history"]["loss"]) == trained["epochs"] == 20
    assert f"{trained['test']['accuracy']:.4f}" == row(printed, "test accuracy")
    assert "<html" in (people / "page.html").read_text()

    code, output, errors = run("predict", "net", "people.csv", "--keep", "id", "--keep", "income")
    assert (code, errors) == (0, "")
    answers = list(csv.DictReader(io.StringIO(output)))
    assert list(answers[0]) == ["id", "income", "prediction", "probability_high", "probability_low"]
    assert [each["id"] for each in answers] == list(map(str, range(400)))
    right = np.mean([each["prediction"] == each["income"] for each in answers])
    assert right > 0.9
    for each in answers:
        high, low = float(each["probability_high"]), float(each["probability_low"])
        assert high + low == pytest.approx(1, abs=1e-6)
        assert (each["prediction"] == "high") == (high > low)

    code, output, _ = run("evaluate", "net", "people.csv", "--json", "-")
    assert code == 0
    found = json.loads(output)
    assert found["accuracy"] == pytest.approx(right) and found["samples"] == 400
    for mistake in found["mistakes"]:  # by the numbers that errors have, too: from 1
        answer = answers[mistake["row"] - 1]
        assert (answer["income"], answer["prediction"]) == (mistake["true"], mistake["predicted"])

    code, output, _ = run("info", "net")
    assert code == 0 and row(output, "target") == "income" and "age, " in row(output, "inputs")
    assert bpjit.load("net").sizes == (9, 16, 2)


def test_answers_as_parquet(run, people, monkeypatch):
    monkeypatch.chdir(people)
    code, output, _ = run("predict", "net", "people.csv", "--output", "answers.parquet", "--json", "said.json")
    assert code == 0 and row(output, "answers") == "400 in answers.parquet"
    table = pyarrow.parquet.read_table("answers.parquet")
    assert table.column_names == ["prediction", "probability_high", "probability_low"] and table.num_rows == 400
    assert json.loads((people / "said.json").read_text())["rows"] == 400


def test_a_regression_in_the_units_of_the_file(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.houses(tmp_path / "houses.csv")
    words = ["--target", "price", "--save", "net", "--json", "-", *QUICK, "--epochs", 60]
    code, output, errors = run("train", "houses.csv", *words)
    assert (code, errors) == (0, "")
    test = json.loads(output)["test"]
    assert test["r2"] > 0.97 and 5e3 < test["root_mean_squared_error"] < 3e4
    run("predict", "net", "houses.csv", "--keep", "price", "--output", "answers.csv")
    answers = list(csv.DictReader((tmp_path / "answers.csv").read_text().splitlines()))
    price, predicted = (np.array([float(each[name]) for each in answers]) for name in ("price", "prediction"))
    assert np.corrcoef(price, predicted)[0, 1] > 0.98
    assert abs(np.mean(price - predicted)) < 2e4


def test_options_from_a_file(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.people(tmp_path / "people.csv", rows=100)
    (tmp_path / "options.toml").write_text(
        'target = "income"\nignore = ["id"]\nhidden = [8, 4]\nactivation = "tanh"\nepochs = 7\nprogress = false\n'
        'unknown = "ignore"\nbatch-size = 10\noptimizer = "SGD(momentum=0.9, nesterov=True)"\nl2 = {1 = 0.01}\n'
    )
    code, output, _ = run("train", "people.csv", "--config", "options.toml", "--epochs", 3, "--json", "-")
    assert code == 0
    found = json.loads(output)
    assert found["network"]["sizes"][1:] == [8, 4, 2] and found["network"]["activation"] == ["tanh", "tanh"]
    assert found["epochs"] == 3 and found["batch_size"] == 10
    assert found["optimizer"].startswith("SGD(learning_rate=0.1, momentum=0.9, nesterov=True")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("hiden = 8", "hiden is no option"),
        ("hidden = ", "no TOML"),
        ("hidden = 2024-01-01", "hidden is"),
        ("epochs = 'many'", "--epochs"),
    ],
)
def test_a_file_of_options_that_is_wrong(run, tmp_path, content, named):
    (tmp_path / "options.toml").write_text(content)
    code, output, errors = run("train", "digits", "--config", tmp_path / "options.toml")
    assert (code, output, errors.count("\n")) == (2, "", 1) and named in errors


def test_options_of_the_library_in_its_own_words(run, tmp_path, monkeypatch):
    """A network that the command line trains has the bits of one trained in Python with the same words."""
    monkeypatch.chdir(tmp_path)
    words = "--hidden 16,8 --dropout 1:0.2 --l2 1e-4 --max-norm 3 --class-weight 3:2.5 --early-stopping 2 --save net"
    schedule = "WarmUp(epochs=1, then=Cosine(epochs=5))"
    optimizer = "adamw(betas=(0.8, 0.99), weight_decay=0.02)"
    code, *_ = run(
        "train", "digits", *words.split(), "--schedule", schedule, "--optimizer", optimizer,
        "--learning-rate", 0.01, "--epochs", 6, "--no-progress",
    )  # fmt: skip
    assert code == 0
    X, X_test, t, _ = digits_split()
    X, X_seen, t, t_seen = train_test_split(X, t, test_size=0.1, stratify=t, random_state=0)
    net = bpjit.Network([64, 16, 8, 10], seed=0)
    rule = bpjit.AdamW(learning_rate=0.01, betas=(0.8, 0.99), weight_decay=0.02)
    plan = bpjit.schedules.WarmUp(epochs=1, then=bpjit.schedules.Cosine(epochs=5))
    trainer = bpjit.Trainer(net, rule, seed=0, schedule=plan, early_stopping=2, dropout={1: 0.2}, l2=1e-4, max_norm=3.0)
    trainer.fit(X, t, epochs=6, validation=(X_seen, t_seen), class_weight={3: 2.5})
    assert np.array_equal(bpjit.load("net").predict(X_test), net.predict(X_test))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("--optimizer Adam(betas=0.9)", "betas"),
        ("--optimizer Adam(speed=3)", "its settings are learning_rate"),
        ("--optimizer Adam(", "as SGD(...)"),
        ("--optimizer __import__('os')", "one of"),
        ("--optimizer lbfgs --learning-rate 0.1", "LBFGS has no learning_rate"),
        ("--optimizer sgd(momentum=0.5) --momentum 0.5", "momentum is given twice"),
        ("--schedule Cosin(epochs=3)", "did you mean 'cosine'"),
        ("--early-stopping soon", "early_stopping"),
        ("--dropout half", "dropout must be a number"),
        ("--dropout 9:0.5", "dropout"),
        ("--class-weight 77:2", "class_weight"),
        ("--class-weight 3", "class_weight must be NAME:NUMBER"),
        ("--loss squared_error", "no probabilities"),
        ("--loss binary_cross_entropy", "two classes, but there are 10"),
        ("--task regression --loss cross_entropy", "is for classes"),
        ("--metrics acuracy", "'accuracy'"),
        ("--resume", "--checkpoint"),
        ("--report page.html --save page.html", "the same file"),
        ("--missing maybe", "'fill'"),
        ("--target price", "--target"),
    ],
)
def test_wrong_options_get_one_line(run, words, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, errors = run("train", "digits", *words.split(), "--epochs", 1, "--no-progress")
    assert code in (1, 2) and errors.count("\n") == 1 and errors.startswith("bpjit: ")
    assert named in errors
    assert not list(tmp_path.iterdir())


def test_what_is_wrong_with_a_file_is_said_in_one_line(run, people, monkeypatch):
    monkeypatch.chdir(people)
    code, output, errors = run("train", "people.csv", "--target", "incme")
    assert (code, output) == (1, "") and "'income'" in errors and errors.count("\n") == 1
    code, output, errors = run("train", "people.csv", "--target", "income")
    assert (code, output) == (1, "") and "'age', row 1 " in errors and "--missing fill" in errors
    code, output, errors = run("train", "none.csv", "--target", "income")
    assert (code, output) == (2, "") and "no file 'none.csv'" in errors
    code, output, errors = run("predict", "people.csv", "people.csv")
    assert (code, output) == (1, "") and "people.csv" in errors and errors.count("\n") == 1


def test_resuming_ends_where_one_run_does(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.houses(tmp_path / "houses.csv", rows=100)
    words = ["train", "houses.csv", "--target", "price", *QUICK, "--dropout", "0.1"]
    assert run(*words, "--save", "whole")[0] == 0
    half = [*words, "--checkpoint", "run.ckpt", "--resume", "--save", "resumed"]
    assert run(*half, "--max-steps", 17)[0] == 0
    assert bpjit.Trainer.resume("run.ckpt").updates == 17
    code, output, errors = run(*half)
    assert code == 0 and row(output, "epochs") == "20"
    resumed, whole = (bpjit.load(name).parameters() for name in ("resumed", "whole"))
    assert all(np.array_equal(W, V) and np.array_equal(b, c) for (W, b), (V, c) in zip(resumed, whole, strict=True))
    code, output, errors = run(*half, "--learning-rate", 0.5)
    assert code == 2 and "run.ckpt is of a training with other optimizer settings" in errors
    assert run(*half)[0] == 0  # nothing is left to do but to test it again


def test_ctrl_c_saves_the_model_with_its_preparation(tmp_path):
    files.houses(tmp_path / "houses.csv")
    words = ["houses.csv", "--target", "price", "--epochs", "10000000", "--save", "net", "--checkpoint", "run.ckpt"]
    errors = ""
    command = [sys.executable, "-m", "bpjit", "train", *words]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("epoch") and "epoch" not in errors:
                process.send_signal(signal.SIGINT)
            errors += line
    assert process.returncode == 130
    assert "net holds the network as it was then; --resume goes on from run.ckpt" in errors
    from bpjit import tables

    model = tables.Model.load(tmp_path / "net")
    assert model.preparation.target == "price"
    assert bpjit.Trainer.resume(tmp_path / "run.ckpt").updates >= 1


def test_nobody_reads_on(people):
    command = f"{sys.executable} -m bpjit predict net people.csv | head -n 1"
    done = subprocess.run(command, shell=True, cwd=people, capture_output=True, text=True)
    assert "prediction" in done.stdout and done.stderr == ""


def test_diabetes_as_well_as_a_linear_regression(run, tmp_path, monkeypatch):
    """Ten numbers, little to learn from: the mean of three seeds on the same rows, to half a standard error."""
    monkeypatch.chdir(tmp_path)
    data = load_diabetes(scaled=False)
    with open("diabetes.csv", "w", newline="") as file:
        csv.writer(file).writerows([[*data.feature_names, "progression"], *np.column_stack([data.data, data.target])])
    words = "train diabetes.csv --target progression --hidden 16 --epochs 100 --early-stopping 15 --l2 0.01 --json -"
    ours, linear = [], []
    for seed in range(3):
        code, output, _ = run(*words.split(), "--seed", seed, "--no-progress")
        assert code == 0
        ours.append(json.loads(output)["test"]["r2"])
        X, X_test, t, t_test = train_test_split(data.data, data.target, test_size=0.2, random_state=seed)
        linear.append(LinearRegression().fit(X, t).score(X_test, t_test))
    assert np.mean(ours) > np.mean(linear) - 0.05
