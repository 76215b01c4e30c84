"""Callbacks: when they are called, what they may do, and what stays whole when they fail."""

import contextlib
import copy
import math
import re
import signal

import numpy as np
import pytest
from runs import bits, classes, state_bits, trainer

import bpjit
from bpjit import Callback

pytestmark = pytest.mark.usefixtures("one_thread")


class Diary(Callback):
    """Writes down what it is told; and raises, or does something, at one of the calls."""

    def __init__(self, at=None, do=None):
        self.calls, self.at, self.do = [], at, do

    def note(self, name, trainer, *more):
        self.calls.append((name, trainer.history.epochs, trainer.updates, *more))
        if self.at == (name, sum(call[0] == name for call in self.calls)):
            self.do(trainer)

    def on_train_start(self, trainer):
        self.note("train_start", trainer)

    def on_epoch_start(self, trainer):
        self.note("epoch_start", trainer)

    def on_batch_end(self, trainer, loss):
        self.note("batch_end", trainer, loss)

    def on_epoch_end(self, trainer, record):
        self.note("epoch_end", trainer, dict(record))

    def on_train_end(self, trainer):
        self.note("train_end", trainer)


class EpochDiary(Diary):
    on_batch_end = Callback.on_batch_end


def names(diary):
    return [call[0] for call in diary.calls]


EPOCH = ["epoch_start", *["batch_end"] * 5, "epoch_end"]


def test_the_order_of_calls_and_what_they_see():
    X, t = classes()
    one, diary = trainer(), Diary()
    history = one.fit(X, t, epochs=2, validation=(X, t), callbacks=[diary])
    assert names(diary) == ["train_start", *EPOCH, *EPOCH, "train_end"]
    assert [call[1:3] for call in diary.calls if call[0] == "epoch_start"] == [(0, 0), (1, 5)]
    # The history has an epoch as soon as it is complete: with its last mini-batch.
    assert [call[1:3] for call in diary.calls if call[0] == "batch_end"][3:6] == [(0, 4), (1, 5), (1, 6)]
    assert [call[3] for call in diary.calls if call[0] == "epoch_end"] == [history.record(0), history.record(1)]
    losses = [call[3] for call in diary.calls if call[0] == "batch_end"]
    assert history["loss"][0] == pytest.approx((5 * sum(losses[:4]) + 3 * losses[4]) / 23, rel=1e-14)


def test_they_change_nothing_by_being_there():
    X, t = classes()
    alone, *watched = (trainer() for _ in range(4))
    alone.fit(X, t, epochs=3)
    for one, callbacks in zip(watched, (Diary(), [EpochDiary(), lambda trainer, record: None], [])):
        one.fit(X, t, epochs=3, callbacks=callbacks)
        assert state_bits(one) == state_bits(alone)


def test_a_function_is_called_after_every_epoch():
    seen = []
    one = trainer()
    one.fit(*classes(), epochs=3, callbacks=lambda trainer, record: seen.append((trainer, record["loss"])))
    assert seen == [(one, loss) for loss in one.history["loss"]]


def test_an_epoch_that_was_begun_before_has_no_start():
    X, t = classes()
    one, diary = trainer(), Diary()
    one.fit(X, t, epochs=2, max_steps=7)
    one.fit(X, t, callbacks=diary)
    assert names(diary) == ["train_start", *["batch_end"] * 3, "epoch_end", "train_end"]


def test_many_mini_batches_are_one_call_unless_they_are_watched(monkeypatch):
    counts = []
    train = bpjit.engine.model.Model.train

    def counting(self, state, optimizer, data, place, losses, *rest, **options):
        counts.append(losses.size)
        return train(self, state, optimizer, data, place, losses, *rest, **options)

    monkeypatch.setattr("bpjit.engine.model.Model.train", counting)
    X, t = classes()
    trainer(batch_size=1).fit(X, t, epochs=20, callbacks=EpochDiary())
    assert max(counts) > 1 and sum(counts) == 20 * 23
    counts.clear()
    trainer(batch_size=1).fit(X, t, epochs=2, callbacks=Diary())
    assert counts == [1] * 46


# What they may do


@pytest.mark.parametrize(
    ("at", "updates"),
    [
        (("train_start", 1), 0), (("epoch_start", 1), 0), (("epoch_start", 2), 5), (("batch_end", 7), 7),
        (("batch_end", 10), 10), (("epoch_end", 2), 10), (("epoch_end", 4), 20),
    ],
)  # fmt: skip
def test_stop_ends_the_training_in_good_order(at, updates):
    X, t = classes()
    one, whole = trainer(), trainer()
    diary = Diary(at, lambda trainer: trainer.stop("enough"))
    one.fit(X, t, epochs=4, validation=(X, t), callbacks=diary)
    assert (one.stopped, one.updates, one.history.epochs) == ("enough", updates, updates // 5)
    assert names(diary)[-1] == "train_end"
    if updates < 20:
        one.fit(X, t, validation=(X, t))
        assert one.stopped is None
    whole.fit(X, t, epochs=4, validation=(X, t))
    assert state_bits(one) == state_bits(whole)


def test_stop_is_for_a_fit_that_is_running():
    one = trainer()
    with pytest.raises(RuntimeError, match="none is"):
        one.stop()
    with pytest.raises(TypeError, match="reason must be a string"):
        one.fit(*classes(), epochs=1, callbacks=lambda trainer, record: trainer.stop(3))
    with pytest.raises(RuntimeError, match="none is"):
        one.stop()


def test_they_may_set_rates():
    X, t = classes()
    one, other = trainer(), trainer()

    def halve(trainer, record):
        trainer.learning_rate /= 2

    one.fit(X, t, epochs=3, callbacks=halve)
    for epoch in range(3):
        other.learning_rate = 0.1 / 2**epoch
        other.fit(X, t, epochs=1)
    assert bits(one.net) == bits(other.net)
    assert one.history["learning_rate"] == other.history["learning_rate"] == [0.1, 0.05, 0.025]
    assert one.learning_rate == 0.0125


def test_rates_of_every_step():
    """A cosine by hand, as schedules.Cosine has it."""
    X, t = classes()
    rates = bpjit.schedules.Cosine(steps=10).factors(0, 10, 5) * 0.1

    class Cosine(Callback):
        def on_train_start(self, trainer):
            trainer.learning_rate = rates[0]

        def on_batch_end(self, trainer, loss):
            if trainer.updates < 10:
                trainer.learning_rate = rates[trainer.updates]

    one, other = (trainer(bpjit.SGD(learning_rate=0.1)) for _ in range(2))
    other.schedule = bpjit.schedules.Cosine(steps=10)
    one.fit(X, t, epochs=2, callbacks=Cosine())
    other.fit(X, t, epochs=2)
    for (W, b), (V, c) in zip(one.net.parameters(), other.net.parameters()):
        assert W == pytest.approx(V, rel=1e-13) and b == pytest.approx(c, rel=1e-13)


@pytest.mark.parametrize("optimizer", [bpjit.Adam(learning_rate=0.1), bpjit.LBFGS()], ids=["Adam", "LBFGS"])
@pytest.mark.parametrize("at", [("epoch_start", 2), ("batch_end", 1), ("epoch_end", 1)])
def test_they_may_set_parameters(optimizer, at):
    """Zeros after one epoch, and what one epoch makes of them: the second one, with the moments of the first."""
    X, t = classes()
    options = {"batch_size": 23, "shuffle": False}
    one, other = trainer(optimizer, **options), trainer(optimizer, **options)

    def clear(trainer):
        trainer.net.set_parameters([(W * 0, b * 0) for W, b in trainer.net.parameters()])

    one.fit(X, t, epochs=2, callbacks=Diary(at, clear))
    other.fit(X, t, epochs=1)
    clear(other)
    other.fit(X, t, epochs=1)
    assert bits(one.net) == bits(other.net)


@pytest.mark.parametrize("optimizer", [bpjit.Adam(learning_rate=0.1), bpjit.LBFGS()], ids=["Adam", "LBFGS"])
@pytest.mark.parametrize("end", ["stop", "error"])
def test_parameters_that_are_set_in_the_end_stay(optimizer, end):
    def clear(trainer, record):
        trainer.net.set_parameters([(W * 0, b * 0) for W, b in trainer.net.parameters()])
        if end == "error":
            raise Wrong
        trainer.stop()

    one = trainer(optimizer)
    with pytest.raises(Wrong) if end == "error" else contextlib.nullcontext():
        one.fit(*classes(), epochs=2, callbacks=clear)
    assert not any(array.any() for pair in one.net.parameters() for array in pair)


def test_parameters_that_diverge_at_once_are_not_taken_back():
    X, t = classes()
    one = trainer(batch_size=23)

    def explode(trainer, record):
        trainer.net.set_parameters([(np.full_like(W, 1e308), b) for W, b in trainer.net.parameters()])

    with pytest.raises(bpjit.DivergenceError, match="epoch 2, step 1"):
        one.fit(1e3 * X, t, epochs=3, callbacks=explode)
    assert one.net.parameters()[0][0][0, 0] == 1e308
    assert one.history.epochs == one.updates == 1


def test_other_settings_of_the_optimiser_but_no_other_optimiser():
    X, t = classes()
    one, other = trainer(), trainer()
    settings = bpjit.Adam(learning_rate=0.1, betas=(0.5, 0.9))

    def change(trainer, record):
        trainer.optimizer = settings

    one.fit(X, t, epochs=2, callbacks=change)
    other.fit(X, t, epochs=1)
    other.optimizer = settings
    other.fit(X, t, epochs=1)
    assert bits(one.net) == bits(other.net)
    for refused in (bpjit.SGD(), bpjit.Adam(amsgrad=True)):
        with pytest.raises(ValueError, match="fit is running with Adam"):
            one.fit(X, t, epochs=1, callbacks=lambda trainer, record, new=refused: setattr(trainer, "optimizer", new))
    assert one.optimizer == settings


def test_numbers_of_their_own_enter_the_history():
    X, t = classes()
    one = trainer()

    def profit(trainer, record):
        if trainer.history.epochs != 2:
            record["profit"] = np.float32(trainer.history.epochs / 4)
        record["loss"] = 0

    def twice(trainer, record):
        record["twice"] = 2 * record.get("profit", math.nan)

    history = one.fit(X, t, epochs=3, callbacks=[profit, twice])
    assert history["profit"] == pytest.approx([0.25, math.nan, 0.75], nan_ok=True)
    assert history["twice"] == pytest.approx([0.5, math.nan, 1.5], nan_ok=True)
    assert history["loss"] == [0.0] * 3
    assert all(type(value) is float for values in history.values() for value in values)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("profit", "much", "put 'much' into the record as 'profit'"), (3, 1.0, "named a number of the record 3")],
)
def test_records_that_are_no_numbers(name, value, words):
    one = trainer()
    with pytest.raises(TypeError, match=re.escape(words)):
        one.fit(*classes(), epochs=2, callbacks=lambda trainer, record: record.__setitem__(name, value))
    assert set(one.history) == {"loss", "seconds"} and one.history.epochs == 1
    assert one.fit(*classes()).epochs == 2


def test_they_may_copy_the_trainer_and_write_a_checkpoint(tmp_path):
    """In mid-epoch; both go on."""
    X, t = classes()
    one = trainer(early_stopping=bpjit.EarlyStopping("loss"))
    copies = []

    def keep(trainer):
        trainer.checkpoint(tmp_path / "run.ckpt")
        copies.append(copy.deepcopy(trainer))

    one.fit(X, t, epochs=3, callbacks=Diary(("batch_end", 8), keep))
    for other in (bpjit.Trainer.resume(tmp_path / "run.ckpt"), *copies):
        assert other.updates == 8
        with pytest.raises(ValueError, match="X and t are not those"):
            other.fit(X[::-1], t)
        other.fit(X, t)
        assert state_bits(other) == state_bits(one)


# What fails


class Wrong(Exception):
    pass


def fail(trainer):
    raise Wrong


def interrupt(trainer):
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("do", "error"), [(fail, Wrong), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("kind", [Diary, EpochDiary])
@pytest.mark.parametrize(
    "at",
    [("train_start", 1), ("epoch_start", 1), ("epoch_start", 2), ("batch_end", 3), ("batch_end", 5), ("batch_end", 7),
     ("epoch_end", 1), ("epoch_end", 2), ("epoch_end", 3), ("train_end", 1)],
)  # fmt: skip
def test_an_exception_leaves_whole_steps_and_fit_goes_on(at, kind, do, error):
    """With a schedule and early stopping that look at every epoch, once."""
    if at[0] == "batch_end" and kind is EpochDiary:
        at = "train_start", 1
    X, t = classes()

    def make():
        schedule = bpjit.schedules.OnPlateau(patience=0, threshold=0.05)
        return trainer(schedule=schedule, early_stopping=bpjit.EarlyStopping("loss", 2, min_delta=0.01))

    whole, one, diary, options = make(), make(), kind(at, do), {"validation": (X, t)}
    whole.fit(X, t, epochs=3, **options)
    with pytest.raises(error):
        one.fit(X, t, epochs=3, callbacks=[EpochDiary(), diary], **options)
    assert names(diary).count("train_end") == (at[0] != "train_start")
    assert one.history.epochs == one.updates // 5
    assert one.net.history is one.history
    if one.updates < 15:
        one.fit(X, t, **options)
    assert state_bits(one) == state_bits(whole)


def test_an_epoch_that_ends_with_an_exception_is_looked_at_in_the_next_fit():
    """Its scores had not been taken: what watches them would have missed an epoch."""
    X, t = classes()
    one, diary = trainer(early_stopping=3), EpochDiary()
    with pytest.raises(Wrong):
        one.fit(X, t, epochs=2, validation=(X, t), callbacks=Diary(("batch_end", 5), fail))
    assert "validation_loss" not in one.history and one.history.epochs == 1
    one.fit(X, t, validation=(X, t), callbacks=diary)
    assert names(diary) == ["train_start", "epoch_end", "epoch_start", "epoch_end", "train_end"]
    assert np.isfinite(one.history["validation_loss"]).all()


def test_the_ends_of_all_are_called():
    first, second = EpochDiary(("train_end", 1), fail), EpochDiary()
    with pytest.raises(Wrong):
        trainer().fit(*classes(), epochs=1, callbacks=[first, second])
    assert names(first)[-1] == names(second)[-1] == "train_end"


def test_fit_within_fit_is_refused():
    X, t = classes()
    one = trainer()
    with pytest.raises(RuntimeError, match="fit is running: a callback cannot call fit of the same trainer"):
        one.fit(X, t, epochs=2, callbacks=lambda trainer, record: trainer.fit(X, t, epochs=1))
    with pytest.raises(RuntimeError, match="fit is running: set a schedule before or after it"):
        one.fit(X, t, callbacks=lambda trainer, record: setattr(trainer, "schedule", None))
    one.fit(X, t, epochs=1, callbacks=lambda trainer, record: trainer.find_learning_rate(X, t, steps=10))
    assert one.history.epochs == 3


@pytest.mark.parametrize(
    ("callbacks", "words"),
    [
        (Diary, "callbacks must be such as Diary(), or functions"),
        ([Callback(), Callback], "callbacks must be such as Callback()"),
        ("print", "callbacks must be such as bpjit.Callback(), or functions f(trainer, record), not 'print'"),
        ([3], "not 3"),
    ],
)
def test_what_is_no_callback(callbacks, words):
    one = trainer()
    with pytest.raises(TypeError, match=re.escape(words)):
        one.fit(*classes(), epochs=1, callbacks=callbacks)
    assert one.updates == 0 and one.net.history is None
