"""EarlyStopping: Keras' rule, the best parameters, and runs that are cut in the middle."""

import json
import math
import re

import numpy as np
import pytest
from runs import bits, classes, state_bits, trainer

import bpjit
from bpjit import EarlyStopping
from bpjit.schedules import OnPlateau

pytestmark = pytest.mark.usefixtures("one_thread")


class Keras:
    """The rule of Keras 3's EarlyStopping, written down from its source, without baseline and start_from_epoch."""

    def __init__(self, patience, min_delta, mode):
        self.patience, self.greatest = patience, mode == "max"
        self.min_delta = abs(min_delta) * (1 if self.greatest else -1)
        self.best, self.best_epoch, self.wait = (-math.inf if self.greatest else math.inf), 0, 0

    def improved(self, value):
        better = value - self.min_delta
        return better > self.best if self.greatest else better < self.best

    def on_epoch_end(self, epoch, current):
        """Whether it stops; epoch counts from 0."""
        if current is None:
            return False
        self.wait += 1
        if self.improved(current):
            self.best, self.best_epoch, self.wait = current, epoch, 0
            return False
        return self.wait >= self.patience and epoch > 0


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("patience", [0, 1, 3])
@pytest.mark.parametrize("min_delta", [0.0, 0.25])
def test_it_stops_where_keras_does(mode, patience, min_delta):
    """Of eighths, whose differences are exact; every fifth epoch is not measured."""
    rng = np.random.default_rng(patience)
    for _ in range(50):
        scores = rng.integers(0, 12, size=20) / 8
        keras, stopping = Keras(patience, min_delta, mode), EarlyStopping("score", patience, min_delta, mode)
        state = stopping.begin()
        for epoch, score in enumerate(scores):
            measured = epoch % 5 != 3
            stops = keras.on_epoch_end(epoch, score if measured else None)
            state = stopping.observe(state, {"score": score if measured else math.nan}, epoch + 1)
            assert (stopping.ended(state) is not None) == (stops or keras.wait >= max(patience, 1))
            assert state["best_epoch"] == keras.best_epoch + 1
            if stops:
                break


class Scores(bpjit.Callback):
    """Puts a score of its own into each epoch's record, and keeps the parameters that belong to it."""

    def __init__(self, scores):
        self.scores, self.bits = scores, {}

    def on_epoch_end(self, trainer, record):
        epoch = trainer.history.epochs
        self.bits[epoch] = bits(trainer.net)
        record["score"] = self.scores[epoch - 1]


SCORES = [3.0, 2.0, 2.5, 1.0, 1.5, 1.25, 1.0, 0.5]
BEST = 4
"""Its best epoch with a patience of 3, which ends in epoch 7."""


def stopping_after(patience=3, **options):
    return trainer(early_stopping=EarlyStopping("score", patience, mode="min", **options))


def test_the_network_goes_back_to_the_best_epoch():
    X, t = classes()
    one, seen = stopping_after(), Scores(SCORES)
    history = one.fit(X, t, epochs=20, callbacks=seen)
    assert history.epochs == 7 and history["score"] == SCORES[:7]
    assert one.stopped == "score has not improved for 3 epochs; the best was epoch 4"
    assert bits(one.net) == seen.bits[BEST] != seen.bits[7]
    with pytest.raises(ValueError, match="nothing is left to do"):
        one.fit(X, t)


def test_or_stays_where_it_is():
    one, seen = stopping_after(restore_best=False), Scores(SCORES)
    one.fit(*classes(), epochs=20, callbacks=seen)
    assert one.history.epochs == 7 and bits(one.net) == seen.bits[7]
    with pytest.raises(ValueError, match="no epoch's parameters are kept"):
        one.restore_best()


def test_epochs_that_run_out_leave_the_last_one_unless_the_best_is_asked_for():
    one, seen = stopping_after(), Scores(SCORES)
    one.fit(*classes(), epochs=6, callbacks=seen)
    assert one.stopped is None and bits(one.net) == seen.bits[6]
    assert one.restore_best() == BEST
    assert bits(one.net) == seen.bits[BEST]


def test_it_waits_on_over_several_fits_and_begins_anew_once_it_has_stopped():
    X, t = classes()
    one, whole = stopping_after(), stopping_after()
    whole.fit(X, t, epochs=20, callbacks=Scores(SCORES))
    for _ in range(7):
        one.fit(X, t, epochs=1, callbacks=Scores(SCORES))
    assert state_bits(one) == state_bits(whole)
    assert one.stopped == whole.stopped
    one.fit(X, t, epochs=10, callbacks=Scores([9.0] * 20))
    assert one.stopped == "score has not improved for 3 epochs; the best was epoch 8"
    assert one.history.epochs == 11


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        (True, EarlyStopping()),
        (7, EarlyStopping(patience=7)),
        (False, None),
        (None, None),
        (EarlyStopping("loss"),) * 2,
    ],
)
def test_short_ways_to_say_it(value, meant):
    assert trainer(early_stopping=value).early_stopping == meant


def test_by_default_the_validation_loss_is_watched():
    X, t = classes()
    one = trainer(bpjit.SGD(learning_rate=2.0), early_stopping=2)
    watched = X[:5], 1 - t[:5]  # what is learnt is wrong for these
    history = one.fit(X, t, epochs=30, validation=watched)
    losses = history["validation_loss"]
    best = int(np.argmin(losses))
    assert history.epochs == len(losses) < 30
    assert one.net.loss(*watched) == min(losses) == losses[best]
    assert one.stopped == f"validation loss has not improved for 2 epochs; the best was epoch {best + 1}"


@pytest.mark.parametrize("k", [1, 7, 19, 20, 21, 33])
def test_a_run_that_is_cut_goes_on_with_the_same_bits(k, tmp_path):
    """On plateau, early stopping, a callback that sets rates: after any step, through a file."""
    X, t = classes()

    def make():
        return trainer(
            early_stopping=EarlyStopping("score", 3, mode="min"), schedule=OnPlateau("loss", patience=0, threshold=0.2)
        )

    class Rates(Scores):
        def on_epoch_end(self, trainer, record):
            super().on_epoch_end(trainer, record)
            trainer.learning_rate = 0.1 / trainer.history.epochs

    whole = make()
    whole.fit(X, t, epochs=20, validation=(X, t), callbacks=Rates(SCORES))
    assert len(set(whole.history["learning_rate"])) > 4
    one = make()
    one.fit(X, t, epochs=20, validation=(X, t), callbacks=Rates(SCORES), max_steps=k)
    assert one.stopped == "max_steps mini-batches are done"
    one.checkpoint(tmp_path / "run.ckpt")
    resumed = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    assert state_bits(resumed) == state_bits(one) and resumed.stopped == one.stopped
    assert (resumed.early_stopping, resumed.schedule) == (one.early_stopping, one.schedule)
    resumed.fit(X, t, validation=(X, t), callbacks=Rates(SCORES))
    assert state_bits(resumed) == state_bits(whole) and resumed.stopped == whole.stopped


def test_l_bfgs_is_stopped_too():
    X, t = classes()
    one = trainer(bpjit.LBFGS(), early_stopping=EarlyStopping("score", 3, mode="min"))
    seen = Scores(SCORES)
    one.fit(X, t, epochs=20, callbacks=seen)
    assert one.history.epochs == 7 and one.stopped.startswith("score has not improved")
    assert bits(one.net) == seen.bits[BEST]


# What is wrong gives one error


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"watch": 3}, TypeError, "watch must be the name of a column"),
        ({"watch": "profit"}, ValueError, "whether the least 'profit' is the best is not known"),
        ({"mode": "best"}, ValueError, "mode is 'best', but must be one of 'min', 'max'"),
        ({"patience": -1}, ValueError, "patience must be at least 0"),
        ({"patience": 2.0}, TypeError, "patience must be an integer"),
        ({"min_delta": -0.1}, ValueError, "min_delta must be at least 0"),
        ({"restore_best": 1}, TypeError, "restore_best must be True or False"),
    ],
)
def test_settings_that_are_refused(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        EarlyStopping(**options)


@pytest.mark.parametrize("value", ["yes", 2.5, EarlyStopping, -1])
def test_what_is_no_early_stopping(value):
    with pytest.raises((TypeError, ValueError), match="early_stopping must be"):
        trainer(early_stopping=value)


@pytest.mark.parametrize(
    ("watch", "options", "words"),
    [
        ("validation_loss", {}, "EarlyStopping watches 'validation_loss', which the history does not have: give a"),
        ("validation_r2", {"validation": classes(5)}, "'validation_r2', which the history does not have: watch one of"),
    ],
)
def test_a_column_that_will_not_be_there(watch, options, words):
    one = trainer(early_stopping=EarlyStopping(watch))
    before = state_bits(one)
    with pytest.raises(ValueError, match=re.escape(words)):
        one.fit(*classes(), epochs=2, **options)
    assert state_bits(one) == before


def test_a_column_that_a_callback_forgets():
    """It is seen when the first epoch ends, and that epoch counts."""
    one = stopping_after()
    with pytest.raises(ValueError, match="EarlyStopping watches 'score'"):
        one.fit(*classes(), epochs=2, callbacks=lambda trainer, record: None)
    assert one.history.epochs == 1
    assert one.fit(*classes(), callbacks=Scores(SCORES)).epochs == 2


def test_a_column_that_an_error_kept_from_being_filled():
    """The error is what is raised; the epoch counts as not measured, and the next one as the third."""

    class Failing(Scores):
        def on_epoch_end(self, trainer, record):
            if trainer.history.epochs == 2:
                raise RuntimeError("no score")
            super().on_epoch_end(trainer, record)

    X, t = classes()
    one = stopping_after(patience=1)
    with pytest.raises(RuntimeError, match="no score"):
        one.fit(X, t, epochs=9, callbacks=Failing([3.0, 2.0, 2.5, 2.6]))
    assert one.history.epochs == 2
    one.fit(X, t, callbacks=Failing([3.0, 2.0, 2.5, 2.6]))
    assert one.history["score"] == pytest.approx([3.0, math.nan, 2.5, 2.6], nan_ok=True)
    assert one.stopped == "score has not improved for 1 epoch; the best was epoch 3"


@pytest.mark.parametrize(
    "damage",
    [
        {"early_stopping": {"watch": "loss", "patience": -1}},
        {"early_stopping": {"wait": 3}},
        {"stopping_state": {"best": 1.0}},
        {"stopping_state": {"best": "low", "best_epoch": 1, "waited": 0}},
        {"stopping_state": {"best": 1.0, "best_epoch": -1, "waited": 0}},
        {"stopped": 3},
        {"judged": 9},
        {"schedule": {"name": "Cosines"}},
        {"schedule_state": {"bad": 3}},
        {"best": ["net.safetensors", "good"]},
    ],
)
def test_states_that_are_damaged(damage):
    one = stopping_after()
    one.fit(*classes(), epochs=2, callbacks=Scores(SCORES))
    tensors, configuration = one.state()
    configuration = json.loads(json.dumps(configuration))
    bpjit.Trainer.from_state(tensors, configuration)
    with pytest.raises((ValueError, TypeError)):
        bpjit.Trainer.from_state(tensors, configuration | damage)


def test_files_from_before_there_was_any_of_this():
    one, X, t = trainer(), *classes()
    one.fit(X, t, epochs=2, max_steps=7)
    tensors, configuration = one.state()
    new = ("judged", "schedule", "schedule_state", "early_stopping", "stopping_state", "stopped", "best")
    old = bpjit.Trainer.from_state(tensors, {name: value for name, value in configuration.items() if name not in new})
    assert state_bits(old) == state_bits(one)
    old.fit(X, t)
    assert old.history.epochs == 2
