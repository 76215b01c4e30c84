"""The command line as a user meets it: what is printed where, files, exit codes."""

import errno
import os
import re
import signal
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
from commands import digits_split, row
from terminal import run_on_terminal
from typer.testing import CliRunner

import bpjit
from bpjit.cli.application import application

SHORT = ["train", "digits", "--epochs", "8", "--no-progress"]


def test_train_digits_says_what_it_does_and_how_well(run):
    code, output, _ = run(*SHORT, "--seed", 3, "--threads", 1)
    assert code == 0
    assert row(output, "data") == "digits: 64 features, 10 classes"
    assert "1,293 samples to train on, 144 to validate, 360 to test in the end" in output
    assert "64 → 256 → 10, relu, softmax, cross_entropy, float32" in row(output, "network")
    assert row(output, "parameters") == "19,210"  # 65 · 256 + 257 · 10
    assert "Adam(learning_rate=0.002" in output and "mini-batches of 32" in output
    assert float(row(output, "test accuracy")) >= 0.95
    assert float(row(output, "test loss")) < 0.2
    assert row(output, "epochs") == "8"
    assert re.fullmatch(r"[\d.]+ s", row(output, "training"))
    assert re.fullmatch(r"[\d,]+ samples/s", row(output, "speed"))
    assert re.match(r"1 \(.+", row(output, "threads"))
    assert re.fullmatch(r"[\d.]+ s", row(output, "compiling"))


def test_the_defaults_reach_97_percent_on_average_over_five_seeds(run):
    outputs = [run("train", "digits", "--seed", seed, "--no-progress")[1] for seed in range(5)]
    assert np.mean([float(row(output, "test accuracy")) for output in outputs]) >= 0.97


def test_the_test_part_is_never_trained_on_nor_watched(run, monkeypatch):
    seen = []
    fit = bpjit.Trainer.fit

    def watched(self, X, t, **options):
        seen.extend([X, options["validation"][0]])
        return fit(self, X, t, **options)

    monkeypatch.setattr(bpjit.Trainer, "fit", watched)
    assert run(*SHORT, "--seed", 5, "--validation-fraction", 0.25)[0] == 0
    _, X_test, _, t_test = digits_split(seed=5)
    seen_rows = {row.tobytes() for X in seen for row in np.asarray(X)}
    assert sum(map(len, seen)) == 1437
    # Two of the 1,797 images could be alike, and lie on both sides; in fact no two are.
    assert not seen_rows & {row.tobytes() for row in X_test}
    assert np.ptp(np.bincount(t_test)) <= 2  # stratified


def test_save_writes_the_network_that_was_tested(run, tmp_path):
    path = tmp_path / "digits.safetensors"
    code, output, _ = run(*SHORT, "--hidden", "48,16", "--activation", "tanh,relu", "--save", path)
    assert code == 0
    assert path.name in output
    net = bpjit.load(path)
    assert net.sizes == (64, 48, 16, 10) and net.activation_names == ("tanh", "relu")
    _, X_test, _, t_test = digits_split()
    accuracy = np.mean(net.classify(X_test) == t_test)
    assert row(output, "test accuracy") == f"{accuracy:.4f}"


def test_the_options_mean_what_they_mean_in_python(run, tmp_path):
    path = tmp_path / "net.safetensors"
    words = "--hidden 32 --optimizer sgd --learning-rate 0.05 --momentum 0.9 --nesterov"
    words += f" --batch-size 50 --dtype float64 --seed 11 --validation-fraction 0 --save {path}"
    assert run(*SHORT, *words.split())[0] == 0
    X, X_test, t, _ = digits_split(seed=11)
    net = bpjit.Network([64, 32, 10], dtype="float64", seed=11)
    rule = bpjit.SGD(learning_rate=0.05, momentum=0.9, nesterov=True)
    bpjit.Trainer(net, optimizer=rule, batch_size=50, seed=11).fit(X, t, epochs=8)
    assert np.array_equal(bpjit.load(path).predict(X_test), net.predict(X_test))


def test_no_hidden_layer(run):
    code, output, _ = run(*SHORT, "--hidden", "none")
    assert code == 0 and "64 → 10, softmax" in output


def test_plot_writes_a_picture(run, tmp_path):
    path = tmp_path / "run.png"
    assert run(*SHORT, "--plot", path)[0] == 0
    assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_progress_is_shown_on_standard_error(run):
    code, output, errors = run("train", "digits", "--epochs", 5)
    assert code == 0
    assert re.search(r"^epoch 5/5  loss \d\.\d+  val accuracy \d\.\d+  \S+ samples/s  in ", errors, re.MULTILINE)
    assert "epoch " not in output
    assert run("train", "digits", "--epochs", 5, "--no-progress")[2] == ""


def test_a_batch_larger_than_the_data_is_clipped_with_one_line(run):
    code, _, errors = run("train", "digits", "--epochs", 1, "--no-progress", "--batch-size", 5000)
    assert code == 0
    assert re.fullmatch(r"bpjit: [^\n]*batch_size[^\n]*\n", errors)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("train digits --epochs 0", "--epochs"),
        ("train digits --epochs many", "--epochs"),
        ("train digits --batch-size 0", "--batch-size"),
        ("train digits --threads 0", "--threads"),
        ("train digits --seed -1", "--seed"),
        ("train digits --hidden 128,x", "hidden must be whole numbers"),
        ("train digits --hidden 128,0", "sizes"),
        ("train digits --activation rely", "'relu'"),
        ("train digits --activation relu,tanh", "activation"),
        ("train digits --optimizer adem", "'adam'"),
        ("train digits --learning-rate 0", "learning_rate"),
        ("train digits --learning-rate nan", "learning_rate"),
        ("train digits --momentum 0.9", "sgd"),
        ("train digits --optimizer sgd --momentum 1", "momentum"),
        ("train digits --optimizer sgd --nesterov", "momentum"),
        ("train digits --dtype float16", "'float32'"),
        ("train digits --test-fraction 1", "test_fraction"),
        ("train digits --validation-fraction 1", "validation_fraction"),
        ("train digits --save no/such/folder/net", "--save"),
        ("train digits --save .", "--save"),
        ("train digits --save /dev/null", "--save"),
        ("train digits --plot run.txt", "--plot"),
        ("train digits --no-such-option", "--no-such-option"),
        ("train", "data"),
        ("trian digits", "'trian'"),
    ],
)
def test_a_wrong_option_gets_one_line_before_anything_is_computed(run, words, named):
    code, output, errors = run(*words.split())
    assert code == 2
    assert output == ""
    assert re.fullmatch(r"bpjit: [^\n]+\n", errors)
    assert named.lower() in errors.lower()


def test_unknown_data_are_told_from_those_that_are_there(run):
    for name in ("houses.csv", "digit"):
        code, output, errors = run("train", name)
        assert (code, output) == (2, "")
        assert f"there is no file '{name}', nor a data set of that name (digits)" in errors
    assert "did you mean 'digits'?" in errors


def test_a_part_too_small_for_the_classes(run):
    code, output, errors = run("train", "digits", "--test-fraction", 0.001)
    assert (code, output) == (1, "") and "test" in errors and errors.count("\n") == 1


def test_without_a_test_all_samples_train(run):
    code, output, _ = run(*SHORT, "--test-fraction", 0, "--validation-fraction", 0)
    assert code == 0 and row(output, "split") == "1,797 samples to train on; seed 0"
    assert "test" not in output


def test_divergence_names_the_place_and_what_to_try(run, tmp_path):
    path = tmp_path / "net.safetensors"
    code, _, errors = run(*SHORT, "--optimizer", "sgd", "--learning-rate", "1e30", "--save", path)
    assert code == 1
    assert "epoch" in errors and "step" in errors and "--learning-rate was 1e+30" in errors
    assert "Traceback" not in errors
    assert not path.exists()


def test_a_file_that_cannot_be_written_is_said_in_one_line(run, tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, errors = run("train", "digits", "--epochs", 1, "--no-progress", "--save", tmp_path / "net")
    assert (code, errors) == (1, f"bpjit: --save {tmp_path}/net could not be written: No space left on device\n")


def test_info_names_versions_machine_and_cache(run):
    code, output, _ = run("info")
    assert code == 0
    for name in ("numba", "numpy", "llvmlite"):
        assert row(output, name) == version(name)
    for word in ("cpu", "vector", "thread", "cache"):
        assert word in output.lower()


def test_info_tells_how_a_network_would_be_trained(run):
    code, output, _ = run("info", "--network", "784-128-10", "--batch", 128, "--threads", 1)
    assert code == 0
    assert row(output, "network") == "784-128-10, 101,770 parameters"
    assert row(output, "mini-batch") == "128 samples, 52.36 MFLOP a step"  # 2 · 128 · (2 · 784 · 128 + 3 · 128 · 10)
    assert row(output, "threads") in ("1 (it is the limit given)", "1 (there is one CPU to use)")
    assert "2 parallel regions" in row(output, "cut into")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--network", "784x10"), "network must be whole numbers with dashes between them"),
        (("--network", "784"), "network has 1 entries"),
        (("--network", "784-0"), "network"),
        (("--network", "4-3", "--batch", 0), "--batch"),
        (("--network", "4-3", "--dtype", "int8"), "dtype is 'int8'"),
        (("--network", "4-3", "--threads", 0), "threads"),
    ],
)
def test_info_about_no_network(run, options, named):
    code, output, errors = run("info", *options)
    assert code == 2 and output == "" and named in errors and errors.count("\n") == 1


def test_version(run):
    assert run("--version") == (0, f"bpjit {bpjit.__version__}\n", "")


def test_without_a_command_there_is_help(run):
    code, output, _ = run()
    assert code == 0 and "train" in output and "info" in output


def test_help_tells_every_option(run):
    code, output, _ = run("train", "--help")
    assert code == 0
    for option in (
        "--hidden",
        "--learning-rate",
        "--validation-fraction",
        "--save",
        "--plot",
        "--no-progress",
    ):
        assert option in output


def test_the_application_is_typers():
    result = CliRunner().invoke(application(), ["train", "digits", "--epochs", "2", "--no-progress"])
    assert result.exit_code == 0
    assert "test accuracy" in result.output
    assert CliRunner().invoke(application(), ["train", "digits", "--epochs", "0"]).exit_code == 2


def test_a_missing_typer_is_named_with_what_installs_it():
    program = "import sys; sys.modules['typer'] = None; from bpjit.cli import main; main(['info'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "bpjit: the command line needs typer and rich: pip install 'bpjit[cli]'\n"


def test_as_a_process_of_its_own(tmp_path):
    command = [sys.executable, "-W", "error", "-m", "bpjit", "train", "digits", "--save", tmp_path / "net"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert float(row(done.stdout, "test accuracy")) >= 0.95
    assert "epoch 30/30" in done.stderr
    assert (tmp_path / "net").stat().st_size > 19_210 * 4


def test_on_a_terminal_there_are_tables_and_a_bar():
    code, _, text = run_on_terminal([sys.executable, "-m", "bpjit", "train", "digits", "--epochs", "3"])
    assert code == 0
    assert re.search(r"│ network +│ 64 → 256 → 10, relu", text)
    assert re.search(r"epoch 3/3 ━+ loss \d\.\d+  val accuracy \d\.\d+  \S+ samples/s  in ", text)
    assert re.search(r"│ test accuracy +│ 0\.9\d+ ", text)


def test_ctrl_c_saves_the_network_as_it_is(tmp_path):
    path = tmp_path / "net.safetensors"
    command = [sys.executable, "-m", "bpjit", "train", "digits", "--epochs", "1000000", "--save", path]
    errors = ""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("epoch") and "epoch" not in errors:
                process.send_signal(signal.SIGINT)
            errors += line
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert f"{path} holds the network" in errors
    net = bpjit.load(path)
    _, X_test, _, t_test = digits_split()
    assert np.mean(net.classify(X_test) == t_test) > 0.5  # some epochs were trained


@pytest.mark.slow
def test_warmup_and_cache(tmp_path):
    """What was warmed up is not compiled again; what is cleared is gone, and nothing else."""
    environment = {**os.environ, "BPJIT_CACHE_DIR": str(tmp_path / "kernels")}

    def printed(*words):
        command = [sys.executable, "-m", "bpjit", *words]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    warmed = printed("warmup", "64-16-10")
    count = int(re.match(r"\d+", row(warmed, "kernels")).group())
    assert count > 5 and row(warmed, "kernels").endswith(" 0 that were there")
    assert row(printed("cache"), "kernels").startswith(f"{count} files, ")
    printed("train", "digits", "--hidden", "16", "--epochs", "2", "--no-progress")
    assert row(printed("cache"), "kernels").startswith(f"{count} files, ")
    (tmp_path / "kernels" / "mine.txt").write_text("a file of the user's own")
    assert row(printed("cache", "--clear"), "removed").startswith(f"{count} files, ")
    assert os.listdir(tmp_path / "kernels") == ["mine.txt"]


def test_completion_knows_commands_options_and_names():
    def offered(*words):
        environment = {**os.environ, "_BPJIT_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["bpjit", *words])}
        environment["COMP_CWORD"] = str(len(words))
        done = subprocess.run([sys.executable, "-m", "bpjit"], env=environment, capture_output=True, text=True)
        return done.stdout.split()

    assert offered("tr") == ["train"]
    assert offered("train", "--optimizer", "ada") == ["adagrad", "adadelta", "adam", "adamW", "adamax"]


def test_kernels_that_cannot_be_removed_are_said_in_one_line(run, monkeypatch):
    def protected():
        raise PermissionError(errno.EACCES, "Permission denied", "a.kernel")

    monkeypatch.setattr("bpjit.engine.cache.clear_cache", protected)
    code, output, errors = run("cache", "--clear")
    assert (code, output) == (1, "")
    assert errors == "bpjit: a.kernel could not be removed: Permission denied; all that could are gone\n"
