"""Plots, read back from the figure's own objects and from the files that were written."""

import math
import subprocess
import sys

import pytest

from bpjit.plots import plot

HISTORY = {
    "loss": [2.0, 0.5, 0.05],
    "validation_loss": [1.9, 0.6, 0.2],
    "validation_accuracy": [0.5, 0.9, 0.95],
    "seconds": [0.1, 0.1, 0.1],
}


def lines(axes):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}


def test_losses_on_one_panel_and_the_score_on_the_other():
    losses, scores = plot(HISTORY).axes
    assert lines(losses) == {
        "training, last 0.05": ([1, 2, 3], [2.0, 0.5, 0.05]),
        "validation, last 0.2": ([1, 2, 3], [1.9, 0.6, 0.2]),
    }
    assert lines(scores) == {"validation accuracy, last 0.95": ([1, 2, 3], [0.5, 0.9, 0.95])}
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in (losses, scores)] == [
        ("epoch", "loss"),
        ("epoch", "validation accuracy"),
    ]


def test_without_a_validation_set_there_is_one_panel():
    (axes,) = plot({"loss": [2.0, 1.0], "validation_loss": [], "seconds": [0.1, 0.1]}).axes
    assert list(lines(axes)) == ["training, last 1"]


def test_a_loss_that_falls_far_gets_a_logarithmic_axis():
    assert plot({"loss": [2.0, 0.05]}).axes[0].get_yscale() == "log"
    assert plot({"loss": [2.0, 0.5]}).axes[0].get_yscale() == "linear"
    assert plot({"loss": [2.0, -0.5]}).axes[0].get_yscale() == "linear"


def test_epochs_without_a_validation_loss_are_left_out():
    axes = plot({"loss": [2.0, 0.5, 0.05], "validation_loss": [math.nan, 0.6, 0.2]}).axes[0]
    assert axes.get_yscale() == "log"
    assert lines(axes)["validation, last 0.2"] == ([2, 3], [0.6, 0.2])
    line = axes.lines[1]
    assert line.get_marker() == "o"  # alone between others it would not be seen


def test_epochs_between_those_that_were_validated_are_bridged():
    nan = math.nan
    history = {"loss": [2.0, 0.5, 0.4, 0.3], "validation_accuracy": [nan, 0.8, nan, 0.9], "validation_f1": [nan] * 4}
    losses, scores = plot(history).axes
    assert lines(scores) == {"validation accuracy, last 0.9": ([2, 4], [0.8, 0.9])}
    assert scores.lines[0].get_marker() == "o" and losses.lines[0].get_marker() == "None"


def test_scores_of_different_kinds_and_rates_have_panels_of_their_own():
    history = HISTORY | {"validation_r2": [0.1, 0.2, 0.3], "validation_mae": [9.0, 8.0, 7.0], "profit": [1.0, 2.0, 1.0]}
    history |= {"learning_rate": [0.1, 0.001, 0.0001]}
    losses, rising, falling, rates = plot(history).axes
    assert [axes.get_ylabel() for axes in (rising, falling, rates)] == ["validation score", "score", "learning rate"]
    assert len(lines(losses)) == len(lines(rising)) == len(lines(falling)) == 2
    assert lines(rates) == {"learning rate, last 0.0001": ([1, 2, 3], [0.1, 0.001, 0.0001])}
    assert rates.get_yscale() == "log"
    assert plot({"loss": [1.0, 0.9], "learning_rate": [0.1, 0.0]}).axes[1].get_yscale() == "linear"


def test_a_loss_that_is_infinite():
    assert list(lines(plot({"loss": [math.inf, 0.5, 0.25]}).axes[0])) == ["training, last 0.25"]


def test_a_single_epoch_can_be_seen():
    (line,) = plot({"loss": [2.0]}).axes[0].lines
    assert line.get_marker() == "o"


@pytest.mark.parametrize(("suffix", "beginning"), [(".png", b"\x89PNG\r\n"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_names_the_kind_of_file(tmp_path, suffix, beginning):
    path = tmp_path / f"run{suffix}"
    plot(HISTORY, path)
    assert path.read_bytes().startswith(beginning)


def test_what_cannot_be_plotted_is_said(tmp_path):
    with pytest.raises(ValueError, match="no epoch to plot yet"):
        plot({"loss": [], "seconds": []})
    with pytest.raises(ValueError, match="xyz"):
        plot(HISTORY, tmp_path / "run.xyz")


def test_a_missing_matplotlib_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'bpjit\[plot\]'"):
        plot(HISTORY)


def test_the_global_state_of_pyplot_is_left_alone():
    program = "import bpjit.plots, sys; bpjit.plots.plot({'loss': [1]}); print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
