"""Errors in the moments between an epoch's last step and the next one's first: what is known by then is not lost."""

import os

import numpy as np
import pytest
from runs import bits, classes, state_bits, trainer

import bpjit
from bpjit.schedules import OnPlateau

pytestmark = pytest.mark.usefixtures("one_thread")

WATCHED = classes(11, seed=1)


def scores(*values):
    """A metric that gives one of these after another."""
    left = iter(values)
    return {"q": lambda t, y: next(left)}


def stopping(patience=1):
    return bpjit.EarlyStopping("validation_q", patience, mode="min")


def failing(epoch, error=RuntimeError):
    """A callback that raises once, at the end of that epoch."""
    raised = []

    def fail(trainer, record):
        if trainer.history.epochs == epoch and not raised:
            raised.append(True)
            raise error

    return fail


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_early_stopping_holds_though_its_last_epoch_ends_in_an_error(error):
    options = {"epochs": 6, "validation": WATCHED}
    one, same = trainer(early_stopping=stopping()), trainer(early_stopping=stopping())
    same.fit(*classes(), **options, metrics=scores(3, 1, 2))
    with pytest.raises(error):
        one.fit(*classes(), **options, metrics=scores(3, 1, 2), callbacks=failing(3, error))
    assert one.stopped is None and same.stopped
    assert one.history.epochs == 3 and bits(one.net) == bits(same.net)  # that of epoch 2
    with pytest.raises(ValueError, match="nothing is left to do"):
        one.fit(*classes())


def test_a_last_epoch_whose_scores_were_interrupted_is_closed_by_another_fit(tmp_path):
    def interrupt(t, y):
        if not done:
            done.append(True)
            raise KeyboardInterrupt
        return 1.0

    for resumed in (False, True):
        done = [True]
        one, whole = trainer(early_stopping=stopping(9)), trainer(early_stopping=stopping(9))
        whole.fit(*classes(), epochs=3, validation=WATCHED, metrics={"q": interrupt})
        one.fit(*classes(), epochs=2, validation=WATCHED, metrics={"q": interrupt})
        done.clear()
        with pytest.raises(KeyboardInterrupt):
            one.fit(*classes(), epochs=1, validation=WATCHED, metrics={"q": interrupt})
        if resumed:
            one.checkpoint(tmp_path / "run.ckpt")
            one = bpjit.Trainer.resume(tmp_path / "run.ckpt")
        one.fit(*classes(), validation=WATCHED, metrics={"q": interrupt})
        assert one.history["validation_q"] == [1.0] * 3
        assert state_bits(one) == state_bits(whole)


def test_the_best_network_is_kept_though_its_epoch_ends_in_an_error(tmp_path):
    path = tmp_path / "best.safetensors"
    options = {"validation": WATCHED, "best": path}
    one, same = trainer(early_stopping=stopping(9)), trainer()
    same.fit(*classes(), epochs=2)
    with pytest.raises(RuntimeError):
        one.fit(*classes(), epochs=4, metrics=scores(3, 1), callbacks=failing(2), **options)
    one.fit(*classes(), metrics=scores(2, 5), **options)
    assert bits(bpjit.load(path)) == bits(same.net)


def test_the_best_network_is_that_of_one_column(tmp_path):
    """Training losses and validation losses are not compared with one another."""
    path, one = tmp_path / "best.safetensors", trainer()
    one.fit(*classes(), epochs=20, best=path)
    history = one.fit(*classes(), epochs=3, best=path, validation=WATCHED)
    assert bpjit.load(path).loss(*WATCHED) == min(history["validation_loss"][-3:])


def test_the_best_network_is_known_by_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = trainer()
    one.fit(*classes(), epochs=9, validation=WATCHED, best="best.safetensors")
    best = bits(bpjit.load("best.safetensors"))
    one.learning_rate = 1.0
    one.fit(*classes(), epochs=1, validation=WATCHED, best=tmp_path / "best.safetensors")
    assert bits(bpjit.load("best.safetensors")) == best
    os.remove("best.safetensors")
    one.fit(*classes(), epochs=1, validation=WATCHED, best="best.safetensors")
    assert bits(bpjit.load("best.safetensors")) == bits(one.net)  # it is the best of what there is


def test_the_late_scores_of_a_stopped_training_count(tmp_path):
    path = tmp_path / "best.safetensors"

    def stop(trainer, record):
        if trainer.history.epochs == 4:
            trainer.stop()

    one = trainer(early_stopping=3)
    one.fit(*classes(), epochs=7, validation=WATCHED, validation_every=9, best=path, callbacks=stop)
    assert bits(bpjit.load(path)) == bits(one.net)
    assert one.restore_best() == 4


def test_nothing_measured_is_nothing_kept():
    one = trainer(early_stopping=stopping(9))
    one.fit(*classes(), epochs=2, validation=WATCHED, metrics=scores(np.nan, np.nan))
    before = bits(one.net)
    with pytest.raises(ValueError, match="no epoch's parameters are kept"):
        one.restore_best()
    assert bits(one.net) == before


def test_an_infinite_score_is_the_best_and_fits_a_checkpoint(tmp_path):
    path = tmp_path / "run.ckpt"
    watching = {"watch": "validation_q", "mode": "max"}
    one = trainer(schedule=OnPlateau(**watching), early_stopping=bpjit.EarlyStopping(**watching))
    options = {"validation": WATCHED, "checkpoint": path, "best": tmp_path / "best.safetensors"}
    one.fit(*classes(), epochs=3, metrics=scores(1.0, np.inf, 2.0), **options)
    assert bpjit.Trainer.resume(path).restore_best() == one.restore_best() == 2
    assert bits(bpjit.load(tmp_path / "best.safetensors")) == bits(one.net)


def test_a_range_test_leaves_files_alone(tmp_path):
    one = trainer()
    for option in ("checkpoint", "best", "callbacks", "epochs"):
        with pytest.raises(ValueError, match=f"an option of find_learning_rate is '{option}'"):
            one.find_learning_rate(*classes(), **{option: tmp_path / "file"})
    assert not list(tmp_path.iterdir())


def test_an_error_is_no_stop():
    def stop_and_fail(trainer, record):
        trainer.stop("enough")
        raise RuntimeError

    one = trainer()
    with pytest.raises(RuntimeError):
        one.fit(*classes(), epochs=3, callbacks=stop_and_fail)
    assert one.stopped is None


@pytest.mark.parametrize("weight", [1e308, 1e-310, 1e-120])
def test_extreme_weights_are_named(weight):
    X, t = classes()
    with pytest.raises(ValueError, match=r"sample_weight holds .*: give weights that are 0 or between 1e-100 and 1e"):
        trainer().fit(X, t, epochs=1, sample_weight=np.full(len(X), weight))


@pytest.mark.parametrize("threads", [0, -3, 1.5, "x"])
def test_threads_are_checked_whenever_they_are_set(threads):
    one = trainer()
    with pytest.raises((ValueError, TypeError), match="threads"):
        one.threads = threads
    assert one.threads == trainer().threads


def test_the_warning_of_a_batch_size_names_what_was_given():
    X, t = classes()
    net = bpjit.Network([3, 4, 2], seed=0)
    with pytest.warns(UserWarning, match=r"batch_size \* accumulate is 40 for 23 samples: using 23"):
        net.fit(X, t, epochs=1, batch_size=20, accumulate=2)
