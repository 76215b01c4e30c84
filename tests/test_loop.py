"""The loop of a fit: validation and its metrics, budgets of steps and time, checkpoints, the best network."""

import math
import os
import re
from itertools import pairwise

import numpy as np
import pytest
from runs import bits, classes, line, state_bits, trainer

import bpjit
from bpjit.engine.model import Model
from bpjit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


# Validation


def test_validation_every_so_many_epochs_and_after_the_last():
    (X, t), watched = classes(), classes(11, seed=1)
    one, all_epochs = trainer(), trainer()
    every = all_epochs.fit(X, t, epochs=9, validation=watched)["validation_loss"]
    one.fit(X, t, epochs=7, validation=watched, validation_every=3)
    one.fit(X, t, epochs=2, validation=watched, validation_every=3)  # epochs are counted over all fits
    wanted = [every[k] if k + 1 in (3, 6, 7, 9) else math.nan for k in range(9)]
    assert one.history["validation_loss"] == pytest.approx(wanted, rel=0, nan_ok=True)
    assert bits(one.net) == bits(all_epochs.net)


def test_the_last_epoch_of_a_training_that_is_stopped_is_validated_too():
    (X, t), watched = classes(), classes(11, seed=1)
    one = trainer()
    history = one.fit(
        X, t, epochs=9, validation=watched, validation_every=4,
        callbacks=lambda trainer, record: trainer.stop() if trainer.history.epochs == 6 else None,
    )  # fmt: skip
    assert np.isfinite(history["validation_loss"]).tolist() == [False, False, False, True, False, True]
    assert history["validation_loss"][-1] == one.net.loss(*watched)


def test_scores_of_the_last_epoch_come_before_the_best_parameters():
    (X, t), watched = classes(), classes(11, seed=1)
    one, seen = trainer(early_stopping=bpjit.EarlyStopping("score", 2, mode="min")), []

    def score(trainer, record):
        record["score"] = float(trainer.history.epochs)
        seen.append(trainer.net.loss(*watched))

    history = one.fit(X, t, epochs=9, validation=watched, validation_every=10, callbacks=score)
    assert history.epochs == 3 and one.net.loss(*watched) == seen[0]
    assert history["validation_loss"] == pytest.approx([math.nan, math.nan, seen[2]], rel=0, nan_ok=True)


@pytest.mark.parametrize(
    ("metrics", "columns"),
    [
        (None, ["validation_accuracy"]),
        ([], []),
        ("balanced_accuracy", ["validation_balanced_accuracy"]),
        (
            ["mae", "loss", {"worst": lambda t, y: (1 - y[range(len(t)), t]).max()}],
            ["validation_mae", "validation_worst"],
        ),
    ],
)
def test_metrics_are_those_of_evaluate(metrics, columns):
    (X, t), watched = classes(), classes(11, seed=1)
    one = trainer()
    history = one.fit(X, t, epochs=2, validation=watched, metrics=metrics)
    assert sorted(history) == sorted(["loss", "seconds", "validation_loss", *columns])
    scores = one.net.evaluate(*watched, ["loss", *([metrics] if isinstance(metrics, str) else metrics or ["accuracy"])])
    for column in ("validation_loss", *columns):
        assert history[column][-1] == scores[column.removeprefix("validation_")]


def test_a_metric_drives_what_watches_it():
    (X, t), watched = classes(), classes(11, seed=1)
    one = trainer(early_stopping=bpjit.EarlyStopping("validation_top_k(1)", 1))
    history = one.fit(X, t, epochs=30, validation=watched, metrics=["top_k(1)"])
    scores = history["validation_top_k(1)"]
    assert one.net.evaluate(*watched, ["top_k(1)"])["top_k(1)"] == max(scores)
    assert history.epochs == 2 + next(k for k, (a, b) in enumerate(pairwise(scores)) if b <= a)


def test_epochs_that_are_not_validated_do_not_count_for_what_watches_the_scores():
    """Patience counts looks: here at epochs 2, 4 and 6, of which the second and third are no better by 9."""
    X, t = classes()
    plateau = bpjit.schedules.OnPlateau(factor=0.5, patience=0, threshold=9.0, threshold_mode="abs")
    one = trainer(early_stopping=bpjit.EarlyStopping(patience=2, min_delta=9.0), schedule=plateau)
    history = one.fit(X, t, epochs=20, validation=(X, t), validation_every=2)
    assert one.stopped == "validation loss has not improved for 2 epochs; the best was epoch 2"
    assert history["learning_rate"] == [0.1] * 4 + [0.05] * 2
    assert np.isnan(history["validation_accuracy"]).tolist() == [True, False] * 3


# Budgets


def test_a_budget_of_time(monkeypatch):
    """A clock of which every look takes a second."""
    seconds = iter(range(10**6))
    monkeypatch.setattr("bpjit.loop.time.perf_counter", lambda: float(next(seconds)))
    X, t = classes()
    one, whole = trainer(), trainer()
    one.fit(X, t, epochs=4, max_seconds=20.0, callbacks=StepByStep())
    # The start, a look before each step, three around it: the sixth look before one, past 20, ends it.
    assert one.stopped == "max_seconds are over: 20"
    assert one.updates == 5
    one.fit(X, t)
    assert one.stopped is None and one.history.epochs == 4
    whole.fit(X, t, epochs=4)
    assert state_bits(one) == state_bits(whole)


def test_a_budget_that_is_over_at_once_is_one_call(short_calls):
    one = trainer()
    one.fit(*classes(), epochs=2, max_seconds=1e-9)
    assert one.updates == 1
    one.fit(*classes(), max_seconds=3600)
    assert one.stopped is None and one.history.epochs == 2


def test_a_budget_of_steps_says_so():
    one = trainer()
    one.fit(*classes(), epochs=2, max_steps=7)
    assert one.stopped == "max_steps mini-batches are done"
    one.fit(*classes(), max_steps=3)
    assert one.stopped is None


class StepByStep(bpjit.Callback):
    def on_batch_end(self, trainer, loss):
        pass


@pytest.mark.parametrize("limits", [{"max_steps": 3}, {"max_seconds": 1e-9}])
def test_budgets_of_l_bfgs(limits):
    X, t = classes()
    one = trainer(bpjit.LBFGS())
    one.fit(X, t, epochs=20, **limits)
    done = 3 if "max_steps" in limits else 1
    assert one.history.epochs == one.updates == done and one.stopped
    assert one.fit(X, t).epochs > done


# Checkpoints


class Watching(Progress):
    """Reads a checkpoint whenever something is shown."""

    def __init__(self, path):
        self.path, self.seen = path, []

    def update(self, epoch, samples_done, loss):
        if self.path.exists():
            self.seen.append(bpjit.Trainer.resume(self.path).updates)

    def finish(self):
        self.update(0, 0, 0.0)


def test_a_checkpoint_every_so_many_epochs_and_in_the_end(tmp_path):
    X, t = classes()
    path, one = tmp_path / "run.ckpt", trainer()
    seen = Watching(path)
    one.fit(X, t, epochs=5, checkpoint=path, checkpoint_epochs=2, progress=seen, callbacks=StepByStep())
    assert sorted(set(seen.seen)) == [10, 20, 25]
    resumed = bpjit.Trainer.resume(path)
    assert state_bits(resumed) == state_bits(one)
    one.fit(X, t, epochs=5, checkpoint=path, checkpoint_epochs=2, max_steps=7)
    assert bpjit.Trainer.resume(path).updates == 32


def test_a_checkpoint_in_the_end_holds_what_ended_it(tmp_path):
    X, t = classes()
    one = trainer(early_stopping=bpjit.EarlyStopping("loss", 1, min_delta=9.0))
    one.fit(X, t, epochs=9, checkpoint=tmp_path / "run.ckpt", checkpoint_epochs=100)
    resumed = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    assert one.history.epochs == 2 and bits(resumed.net) == bits(one.net)
    assert resumed.stopped == one.stopped == "loss has not improved for 1 epoch; the best was epoch 1"
    with pytest.raises(ValueError, match="nothing is left to do"):
        resumed.fit(X, t)


# The best network

SCORES = [3.0, 2.0, 2.5, 1.0, 1.5, 0.5]


def network_bits(path):
    return bits(bpjit.load(path))


@pytest.mark.parametrize(
    ("watched", "stopping", "column", "best"),
    [
        (None, None, "loss", np.argmin),
        (classes(11, seed=1), None, "validation_loss", np.argmin),
        (classes(11, seed=1), bpjit.EarlyStopping("validation_accuracy", 99), "validation_accuracy", np.argmax),
    ],
)
def test_the_best_network_is_kept(watched, stopping, column, best, tmp_path):
    X, t = classes()
    one, seen, path = trainer(early_stopping=stopping), [], tmp_path / "best.safetensors"

    def remember(trainer, record):
        seen.append(bits(trainer.net))

    history = one.fit(X, t, epochs=8, validation=watched, best=path, callbacks=remember)
    assert network_bits(path) == seen[int(best(history[column]))]


def test_the_best_network_of_several_fits_and_of_a_run_that_goes_on(tmp_path):
    X, t = classes()
    path, best = tmp_path / "run.ckpt", tmp_path / "best.safetensors"
    one = trainer(early_stopping=bpjit.EarlyStopping("score", 99, mode="min"))
    kept = []

    def score(trainer, record):
        record["score"] = SCORES[trainer.history.epochs - 1]
        kept.append(bits(trainer.net))

    one.fit(X, t, epochs=2, best=best, callbacks=score)
    assert network_bits(best) == kept[1]
    one.fit(X, t, epochs=1, best=best, callbacks=score)
    assert network_bits(best) == kept[1]
    one.checkpoint(path)
    resumed = bpjit.Trainer.resume(path)
    resumed.fit(X, t, epochs=2, best=best, callbacks=score)
    assert network_bits(best) == kept[3]
    other = tmp_path / "other.safetensors"  # which has seen nothing yet
    resumed.history.amend({"score": 0.0})
    resumed.fit(X, t, epochs=1, best=other, callbacks=score)
    assert network_bits(other) == kept[5]


# What is wrong gives one error, before anything changes


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"validation_every": 0}, ValueError, "validation_every must be at least 1"),
        ({"validation_every": 2.0}, TypeError, "validation_every must be an integer"),
        ({"metrics": ["mae"]}, ValueError, "metrics are scores of a validation set: give validation too"),
        ({"metrics": ["accurcy"], "validation": classes(5)}, ValueError, "did you mean 'accuracy'?"),
        ({"max_seconds": 0}, ValueError, "max_seconds must be greater than 0"),
        ({"max_seconds": math.nan}, ValueError, "max_seconds must be finite"),
        ({"max_seconds": "1"}, TypeError, "max_seconds must be a real number"),
        ({"checkpoint_epochs": 2}, ValueError, "checkpoint_epochs needs a file to write: give checkpoint too"),
        ({"checkpoint_epochs": 0, "checkpoint": "run.ckpt"}, ValueError, "checkpoint_epochs must be at least 1"),
        ({"best": 3}, TypeError, "path must be"),
        ({"best": "./a", "checkpoint": "a"}, ValueError, "best and checkpoint are the same file"),
        ({"best": "no folder/net"}, FileNotFoundError, "create it first"),
        ({"t": None}, TypeError, "t is missing"),
    ],
)
def test_arguments_that_are_refused(options, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (X, t), one = classes(), trainer()
    one.fit(X, t, epochs=1, max_steps=2)
    before = state_bits(one)
    with pytest.raises(error, match=re.escape(words)):
        one.fit(**({"X": X, "t": t, "epochs": 2} | options))
    assert state_bits(one) == before
    assert os.listdir(tmp_path) == []


# Network.fit


def test_a_networks_fit_takes_the_options_of_both():
    X, t = classes()
    net, seen = bpjit.Network([3, 4, 2], seed=0), []
    history = net.fit(
        X, t, 3, batch_size=5, schedule=bpjit.schedules.Cosine(epochs=3), early_stopping=5, validation=(X, t),
        callbacks=lambda trainer, record: seen.append(trainer), max_steps=12,
    )  # fmt: skip
    assert history.epochs == 2 and history["learning_rate"][1] < history["learning_rate"][0]
    assert seen[0].net is net and seen[0].seed == 0 and seen[0].early_stopping.patience == 5
    assert net.fit(X, t, batch_size=5, seed=3, callbacks=lambda trainer, record: seen.append(trainer)).epochs == 10
    assert seen[-1].seed == 3


@pytest.mark.parametrize(
    ("option", "nearest"), [("batchsize", "batch_size"), ("callback", "callbacks"), ("Optimizer", "optimizer")]
)
def test_an_option_that_there_is_not(option, nearest):
    net = bpjit.Network([3, 2])
    with pytest.raises(TypeError, match=f"an option of fit is '{option}', but must be .*did you mean '{nearest}'"):
        net.fit(*classes(), **{option: 3})
    with pytest.raises(TypeError):
        net.fit(*classes(), net=net)
    assert net.history is None


# Progress


class Notes(Progress):
    def __init__(self):
        self.calls = []

    def epoch_end(self, epoch, record):
        self.calls.append((epoch, dict(record)))

    def stopped(self, reason):
        self.calls.append(reason)

    def finish(self):
        self.calls.append("finish")


def test_a_display_is_told_what_ended_the_run():
    X, t = classes()
    one, notes = trainer(), Notes()
    one.fit(
        X,
        t,
        epochs=3,
        progress=notes,
        callbacks=lambda trainer, record: record.update(profit=1.0) or trainer.stop("rich"),
    )
    assert notes.calls == [(1, one.history.record(0)), "rich", "finish"]
    assert notes.calls[0][1]["profit"] == 1.0
    notes.calls.clear()
    one.fit(X, t, progress=notes)
    assert notes.calls[-1] == "finish" and not any(isinstance(call, str) for call in notes.calls[:-1])


def test_a_line_in_closed_form():
    """max_steps, a schedule and a callback's rate on one line: the bias's distance from 1 is a product."""
    one = line(0.5, dtype="float64", schedule=bpjit.schedules.Constant(0.5))

    def lower(trainer, record):
        trainer.learning_rate = 0.25

    one.fit([[0.0]] * 2, [1.0] * 2, epochs=3, max_steps=5, callbacks=lower)
    assert 1 - float(one.net.parameters()[0][1][0]) == pytest.approx(0.75**2 * 0.875**3, rel=1e-14)


def test_a_fit_begins_with_calls_as_long_as_the_fit_before_found_out(monkeypatch):
    """Calls of 1, 10, 100 steps cost a fit of a small network more than its steps."""
    train, calls = Model.train, []

    def recorded(self, state, optimizer, data, place, losses, *rest, **named):
        calls.append(len(losses))
        return train(self, state, optimizer, data, place, losses, *rest, **named)

    monkeypatch.setattr(Model, "train", recorded)
    X, t = np.zeros((40, 2), np.float32), np.arange(40) % 2
    repeated = bpjit.Trainer(bpjit.Network([2, 2], seed=0), batch_size=1, seed=0, threads=1)
    first_calls = []
    for epochs in (2000, 10):
        calls.clear()
        repeated.fit(X, t, epochs=epochs)
        assert sum(calls) == 40 * epochs
        first_calls.append(calls[0])
    assert first_calls[0] == 1
    assert first_calls[1] > 10
