"""Rows that are held out to validate: how many, which, and what is left to train."""

import re

import numpy as np
import pytest
from runs import bits, classes, state_bits, trainer
from sklearn.model_selection import train_test_split

import bpjit
from bpjit import holdout

pytestmark = pytest.mark.usefixtures("one_thread")

X, T = classes(40)


def test_by_hand():
    """A quarter of 4, 7 and 9 samples is 1, 1.75 and 2.25; of 20 it is 5: the second has one more."""
    labels = np.repeat([0, 1, 3], [4, 7, 9])
    rows, held_out = holdout.split(20, 0.25, labels, seed=1)
    assert sorted([*rows, *held_out]) == list(range(20))
    assert (np.diff(rows) > 0).all()
    assert (np.diff(held_out) > 0).all()
    assert np.bincount(labels[held_out]).tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.8])
def test_classes_have_the_shares_of_scikit_learns(fraction):
    """Of equal remainders it draws one; those here differ by that alone, so each class by one sample at most."""
    labels = np.random.default_rng(0).choice(5, 300, p=[0.4, 0.3, 0.2, 0.06, 0.04])
    _, held_out = holdout.split(300, fraction, labels, seed=0)
    of_scikit_learn = train_test_split(np.arange(300), test_size=fraction, stratify=labels, random_state=0)[1]
    assert len(held_out) == len(of_scikit_learn)
    counts = (np.bincount(labels[rows], minlength=5) for rows in (held_out, of_scikit_learn))
    assert np.abs(np.subtract(*counts)).max() <= 1


def test_every_class_still_trains():
    labels = np.repeat([0, 1], [18, 2])
    rows, _ = holdout.split(20, 0.9, labels, seed=0)
    assert np.bincount(labels[rows]).tolist() == [1, 1]


def test_each_row_is_as_likely():
    """Of 10 rows 3 are held out, in 3000 draws each 900 times: with a deviation of 25, above 130 once in 10 million."""
    counts = np.zeros(10)
    for seed in range(3000):
        counts[holdout.split(10, 0.3, None, seed)[1]] += 1
    assert np.abs(counts - 900).max() < 130


@pytest.mark.parametrize(
    ("samples", "fraction", "labels", "words"),
    [
        (4, 0.1, None, "validation=0.1 of 4 samples leaves none to validate and 4 to train"),
        (4, 0.9, None, "validation=0.9 of 4 samples leaves 4 to validate and none to train"),
        (4, 0.5, [0, 0, 2, 2], None),
        (5, 0.4, [0, 0, 0, 0, 2], "label 2 has one sample alone"),
        (9, 0.2, [0, 0, 0, 1, 1, 1, 2, 2, 2], "validation=0.2 of 9 samples are 2, but each of 3 classes"),
        (9, 0.8, [0, 0, 0, 1, 1, 1, 2, 2, 2], "validation=0.8 of 9 samples are 7, but each of 3 classes"),
    ],
)
def test_what_cannot_be_split(samples, fraction, labels, words):
    labels = None if labels is None else np.array(labels)
    if words is None:
        assert [len(rows) for rows in holdout.split(samples, fraction, labels, 0)] == [2, 2]
        return
    with pytest.raises(ValueError, match=re.escape(words)):
        holdout.split(samples, fraction, labels, 0)


# In a fit


def split_of(one, fraction, stratified=True):
    return holdout.split(40, fraction, T if stratified else None, one._order_seed)


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_rest_trains_as_if_it_were_alone(shuffle):
    one, other = trainer(shuffle=shuffle), trainer(shuffle=shuffle)
    rows, held_out = split_of(one, 0.25)
    history = one.fit(X, T, epochs=3, validation=0.25)
    other.fit(X[rows], T[rows], epochs=3, validation=(X[held_out], T[held_out]))
    assert bits(one.net) == bits(other.net)
    for name in ("loss", "validation_loss", "validation_accuracy"):
        assert history[name] == other.history[name]


def test_it_follows_from_the_seed():
    held_out = [split_of(bpjit.Trainer(trainer().net, seed=seed), 0.25)[1].tolist() for seed in (1, 1, 2, 2**64 - 1)]
    assert held_out[0] == held_out[1]
    assert len({tuple(rows) for rows in held_out}) == 3


@pytest.mark.parametrize("optimizer", [bpjit.Adam(), bpjit.LBFGS()], ids=["Adam", "LBFGS"])
def test_weights_are_split_too(optimizer):
    w = np.random.default_rng(0).uniform(0, 2, 40)
    one, other = trainer(optimizer), trainer(optimizer)
    rows, held_out = split_of(one, 0.5)
    of_class = np.array([2.0, 1.0])
    history = one.fit(X, T, epochs=2, validation=0.5, sample_weight=w, class_weight={0: 2})
    other.fit(
        X[rows], T[rows], epochs=2, sample_weight=w[rows] * of_class[T[rows]],
        validation=(X[held_out], T[held_out], w[held_out]),
    )  # fmt: skip
    assert bits(one.net) == bits(other.net)
    assert history["validation_loss"] == other.history["validation_loss"]


def test_balanced_counts_what_trains():
    one, other = trainer(), trainer()
    rows, _ = split_of(one, 0.25)
    one.fit(X, T, epochs=2, validation=0.25, class_weight="balanced")
    other.fit(X[rows], T[rows], epochs=2, class_weight="balanced")
    assert bits(one.net) == bits(other.net)


def test_targets_that_are_no_classes_are_drawn_from_all():
    net = bpjit.Network([3, 4, 2], activation="tanh", loss="squared_error", dtype="float64", seed=0)
    one = bpjit.Trainer(net, batch_size=8, seed=3)
    t = np.random.default_rng(0).normal(size=(40, 2))
    _, held_out = split_of(one, 0.25, stratified=False)
    history = one.fit(X, t, epochs=1, validation=0.25)
    assert history["validation_loss"] == [net.loss(X[held_out], t[held_out])]


def test_the_same_after_resume(tmp_path):
    whole = trainer()
    whole.fit(X, T, epochs=3, validation=0.25)
    for k in (2, 6, 8):  # of 6 mini-batches an epoch
        one = trainer()
        one.fit(X, T, epochs=3, validation=0.25, max_steps=k)
        one.checkpoint(tmp_path / "run.ckpt")
        one = bpjit.Trainer.resume(tmp_path / "run.ckpt")
        if k % 6:
            with pytest.raises(ValueError, match="not those that epoch"):
                one.fit(X, T, validation=0.5)
        one.fit(X, T, validation=0.25)
        assert state_bits(one) == state_bits(whole)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"validation": 0}, ValueError, "validation must be greater than 0 and less than 1, got 0"),
        ({"validation": 1.0}, ValueError, "validation must be greater than 0 and less than 1, got 1.0"),
        ({"validation": np.nan}, ValueError, "validation must be finite"),
        ({"validation": True}, TypeError, "validation must be a pair (X, t), or (X, t, sample_weight), or a fraction"),
        ({"validation": 0.01}, ValueError, "leaves none to validate"),
        ({"validation": 0.5, "t": [1, *[0] * 39]}, ValueError, "label 1 has one sample alone"),
        (
            {"validation": 0.25, "sample_weight": "held out"},
            ValueError,
            "sample_weight of what is left to train is",
        ),
        ({"validation": 0.25, "sample_weight": "rest"}, ValueError, "sample_weight of what is held out to validate is"),
    ],
)
def test_fractions_that_are_refused(changes, error, words):
    one = trainer()
    rows, held_out = split_of(one, 0.25)
    if "sample_weight" in changes:
        w = np.zeros(40)
        w[held_out if changes["sample_weight"] == "held out" else rows] = 1
        changes = changes | {"sample_weight": w}
    before = state_bits(one)
    with pytest.raises(error, match=re.escape(words)):
        one.fit(**{"X": X, "t": T, "epochs": 1} | changes)
    assert state_bits(one) == before
