"""The command line in hands that are unlucky or hostile: nothing of the user's is lost, one line says what is wrong."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet
import pytest
import table_files as files
from commands import row

import bpjit

QUICK = ["--hidden", "4", "--epochs", "2", "--no-progress"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table, and a model of it."""
    folder = tmp_path_factory.mktemp("misuse")
    files.houses(folder / "houses.csv", rows=60)
    lines = (folder / "houses.csv").read_text().splitlines()
    (folder / "comma.csv").write_text("\n".join(line.replace(",", ";").replace(".", ",") for line in lines))
    from bpjit import cli

    with pytest.raises(SystemExit) as exit:
        cli.main(["train", str(folder / "houses.csv"), "--target", "price", "--save", str(folder / "net"), *QUICK])
    assert exit.value.code == 0
    return folder


def refused(run, *words):
    """The one line that a command says, which fails before it prints anything."""
    code, output, errors = run(*words)
    assert code in (1, 2) and output == "" and errors.count("\n") == 1 and errors.startswith("bpjit: "), errors
    return errors


@pytest.mark.parametrize(
    "words",
    [
        "train houses.csv --target price --save houses.csv",
        "train houses.csv --target price --report ./houses.html --checkpoint ../{folder}/houses.csv",
        "train houses.csv --target price --test comma.csv --json comma.csv",
        "predict net houses.csv --output houses.csv",
        "predict net houses.csv --output answers.csv --json net",
        "evaluate net houses.csv --json houses.csv",
        "info net --json net",
    ],
)
def test_what_is_read_is_not_replaced(run, folder, monkeypatch, words):
    monkeypatch.chdir(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    errors = refused(run, *words.format(folder=folder.name).split())
    assert "would replace a file that is read" in errors
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--test houses.csv", "--test is the file that trains"),
        ("--test comma.csv --test-fraction 0.3", "leave --test-fraction out"),
        ("--checkpoint-epochs 3", "--checkpoint"),
        ("--report page.png", "must end in .html"),
        ("--loss hinge", "is for classes"),
        ("--loss nonsense", "'huber'"),
        ("--loss huberr", "did you mean 'huber'"),
        ("--class-weight balanced", "is for classes"),
    ],
)
def test_options_that_would_do_nothing_or_no_good(run, folder, monkeypatch, words, said):
    monkeypatch.chdir(folder)
    code, _, errors = run("train", "houses.csv", "--target", "price", *QUICK, *words.split())
    assert code == 2 and said in errors and errors.count("\n") == 1


def test_decimal_commas(run, folder, monkeypatch):
    """The way out that the error names."""
    monkeypatch.chdir(folder)
    assert "--decimal ," in refused(run, "train", "comma.csv", "--target", "price")
    code, output, errors = run("predict", "net", "comma.csv", "--decimal", ",")
    assert (code, errors) == (0, "")
    assert output == run("predict", "net", "houses.csv")[1]
    code, _, errors = run("train", "comma.csv", "--target", "price", "--decimal", ",", *QUICK)
    assert (code, errors) == (0, "")
    assert run("evaluate", "net", "comma.csv", "--decimal", ",", "--delimiter", ";")[0] == 0


def test_points_beside_decimal_commas_are_not_guessed(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("\n".join(["x;y", *(f"{k}.234;{k},5" for k in range(60))]))
    errors = refused(run, "train", "table.csv", "--target", "y", "--decimal", ",")
    assert "column 'x', row 1 holds '0.234'" in errors and "--ignore x" in errors


def test_standard_output_may_be_closed(folder, run, monkeypatch):
    from bpjit.cli.application import run as called

    monkeypatch.setattr(sys, "stdout", None)
    assert called(["info", str(folder / "net")]) == 0
    sys.stdout.close()


def test_a_tab_is_a_word(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tabs.txt").write_text((folder / "houses.csv").read_text().replace(",", "\t"))
    for word in ("tab", r"\t"):
        assert run("predict", folder / "net", "tabs.txt", "--delimiter", word)[0] == 0


def test_a_folder_with_the_name_of_a_data_set(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    for name in ("digits", "./digits", "digits/"):
        assert str(tmp_path / "digits") in refused(run, "train", name)
    assert "without IDX files" in refused(run, "train", tmp_path / "digits")


def test_an_unknown_entry_of_a_config_file_is_guessed(run, folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    (tmp_path / "options.toml").write_text("hiden = 3")
    errors = refused(run, "train", "houses.csv", "--config", tmp_path / "options.toml")
    assert "hiden is no option of train; did you mean hidden?" in errors and errors.count("--config") == 1


def test_a_checkpoint_of_other_data_is_refused(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--target", "price", "--hidden", 4, "--no-progress", "--checkpoint", "run.ckpt", "--resume"]
    assert run("train", folder / "houses.csv", *words, "--epochs", 2)[0] == 0
    assert len(bpjit.Trainer.resume("run.ckpt").label) == 32
    files.houses(tmp_path / "others.csv", rows=60, seed=9)
    code, _, errors = run("train", "others.csv", *words, "--epochs", 3)
    assert code == 2 and "is of a training with other data" in errors and errors.count("\n") == 1
    code, _, errors = run("train", folder / "houses.csv", *words, "--epochs", 3, "--test-fraction", 0.3)
    assert code == 2 and "is of a training with other data" in errors  # what it trained on would be tested on
    code, output, errors = run("train", folder / "houses.csv", *words, "--epochs", 3)
    assert (code, row(output, "epochs")) == (0, "3"), errors


def test_a_disk_that_is_full_of_checkpoints_leaves_the_network(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def failing(trainer, path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bpjit.Trainer, "checkpoint", failing)
    words = ["train", folder / "houses.csv", "--target", "price", "--checkpoint", "run.ckpt", *QUICK]
    for more, kept in (([], False), (["--save", "net"], True)):
        code, _, errors = run(*words, *more)
        assert code == 1 and "--checkpoint run.ckpt could not be written: No space left" in errors
        assert errors.count("\n") == 1 and ("net holds the network" in errors) == kept
    assert bpjit.load("net").sizes == (2, 4, 1)


def test_a_folder_that_cannot_be_written_is_known_before(run, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.W_OK)
    assert "write-protected" in refused(run, "train", "houses.csv", "--target", "price", "--save", "new")


def test_names_of_a_file_do_not_command_the_terminal(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{k},{'red' if k % 2 else chr(27) + '[31mred'}" for k in range(60)]
    (tmp_path / "table.csv").write_text("\n".join([f"{chr(27)}]0;x,t", *rows]))
    code, output, errors = run("train", "table.csv", "--target", "t", "--save", "net", *QUICK)
    assert (code, errors) == (0, "") and "\33" not in output
    for words in (["info", "net"], ["evaluate", "net", "table.csv"], ["info", "\33[31m"]):
        assert "\33" not in "".join(run(*words)[1:])


@pytest.fixture
def switch(tmp_path, monkeypatch):
    """A table whose target is true or false, of which a row lacks it, and the folder."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=60)
    lines = [f"{value:.3f},{str(value > 0.5).lower()}" for value in values]
    (tmp_path / "table.csv").write_text("\n".join(["x,large", *lines]))
    (tmp_path / "gap.csv").write_text("\n".join(["x,large", "1,", *lines]))
    return tmp_path


def test_true_and_false_are_named_as_in_the_file(run, switch):
    code, _, errors = run("train", "table.csv", "--target", "large", "--class-weight", "maybe:2", *QUICK)
    assert code == 2 and "'false', 'true'" in errors
    assert run("train", "table.csv", "--target", "large", "--save", "net", *QUICK)[0] == 0
    assert row(run("info", "net")[1], "classes") == "false, true"
    assert "always false" in row(run("evaluate", "net", "table.csv")[1], "baseline accuracy")


def test_ways_out_can_be_gone(run, switch):
    for words in ([], ["--missing", "fill"]):  # neither fills a target
        errors = refused(run, "train", "gap.csv", "--target", "large", *words)
        assert "it is the target" in errors and "--ignore" not in errors and "--missing drop" in errors
    for encoding in ("rot13", "base64", "none"):
        assert "is not known" in refused(run, "train", "table.csv", "--encoding", encoding)
    errors = refused(run, "train", "table.csv", "--target", "large", "--test-fraction", "0.999")
    assert "a row of each of the 2 classes: give another --test-fraction" in errors


def test_numbers_that_cannot_be_told_apart_are_no_classes(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{k},{2**53 + k % 2}" for k in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["x,key", *rows]))
    errors = refused(run, "train", "table.csv", "--target", "key", *QUICK)
    assert "--categorical key" in errors
    code, output, errors = run("train", "table.csv", "--target", "key", "--categorical", "key", *QUICK)
    assert (code, errors) == (0, "") and "('9007199254740992', '9007199254740993')" in output


def test_networks_without_preparation(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("a,b,t\n1,2,0\n3,4,1\n5,6,1\n")
    bpjit.Network([2, 2], seed=0).save("net")
    bpjit.Network([2, 3], loss="squared_error", seed=0).save("several")
    assert "numbers as they are" in row(run("info", "several")[1], "preparation")
    assert "3 outputs that are no classes" in refused(run, "predict", "several", "table.csv")
    assert "--target" in refused(run, "evaluate", "net", "table.csv")
    code, output, errors = run("evaluate", "net", "table.csv", "--target", "t")
    assert (code, errors) == (0, "") and row(output, "rows tested") == "3"


def test_arrays_with_a_test_part_are_evaluated_by_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bpjit.Network([2, 2], seed=0).save("net")
    X, t = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    np.savez("table.npz", x_train=X, y_train=t, x_test=X[:4], y_test=t[:4])
    code, output, errors = run("evaluate", "net", "table.npz")
    assert (code, errors) == (0, "") and row(output, "data") == "table.npz (x_test): 4 samples"


def test_texts_of_every_kind_are_kept(run, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = pyarrow.array(["é", "b"], pyarrow.string_view())
    pyarrow.parquet.write_table(pyarrow.table({"area": [50.0, 60], "rooms": [2, 3], "name": names}), "new.parquet")
    code, output, errors = run("predict", folder / "net", "new.parquet", "--keep", "name")
    assert (code, errors) == (0, "") and output.splitlines()[1].startswith('"é",')


def command(*words, environment=None, **settings):
    words = [sys.executable, "-m", "bpjit", *map(str, words)]
    environment = {**os.environ, **(environment or {})}
    return subprocess.run(words, stderr=subprocess.PIPE, text=True, env=environment, **settings)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has it")
def test_a_full_disk_behind_standard_output(folder):
    with open("/dev/full", "w") as full:
        for words in (["info", folder / "net"], ["predict", folder / "net", folder / "houses.csv"]):
            done = command(*words, stdout=full)
            assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
            assert "No space left on device" in done.stderr


@pytest.mark.slow
def test_letters_that_a_terminal_lacks(folder):
    done = command(
        "info", folder / "net", "--json", "-", stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0 and "→" in json.loads(done.stdout)["network"]
    done = command("info", folder / "net", stdout=subprocess.PIPE, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and r"\u2192" in done.stdout


@pytest.mark.slow
def test_nobody_reads_what_is_printed(folder):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = command("info", folder / "net", stdout=pipe)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize(("library", "name"), [("pyarrow", "pyarrow"), ("sklearn", "scikit-learn")])
@pytest.mark.parametrize("words", ["train digits", "predict net houses.csv", "evaluate net houses.csv"])
def test_a_library_that_is_missing_is_named(run, folder, monkeypatch, words, library, name):
    monkeypatch.chdir(folder)
    from bpjit import tables

    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, "bpjit.tables")
    monkeypatch.delattr(bpjit, "tables")
    assert f"need {name}: pip install" in refused(run, *words.split())
    assert tables is not sys.modules.get("bpjit.tables")


def test_too_little_memory_is_one_line(run, folder, monkeypatch):
    from bpjit import tables

    def failing(path):
        raise MemoryError

    monkeypatch.setattr(tables.Model, "load", failing)
    assert "not enough memory" in refused(run, "info", folder / "net")
