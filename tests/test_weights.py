"""Weights of samples and classes: what they are, and what the loss, its gradient and training make of them."""

import re

import numpy as np
import pytest
import sklearn.metrics as sk
from runs import bits, classes, state_bits, trainer
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

import bpjit
from bpjit import weights
from bpjit.engine.losses import LOSSES

pytestmark = pytest.mark.usefixtures("one_thread")

X, T = classes(23)
W = np.random.default_rng(5).uniform(0, 3, 23)


def network(loss="cross_entropy", sizes=(3, 4, 2), dtype="float64"):
    return bpjit.Network(sizes, activation="tanh", loss=loss, dtype=dtype, seed=0)


# Of classes


def test_balanced_is_scikit_learns():
    labels = np.random.default_rng(0).choice(6, 50, p=[0.4, 0.3, 0, 0.2, 0.08, 0.02])
    found = weights.of_classes("balanced", labels, outputs=6)
    assert found == pytest.approx(compute_sample_weight("balanced", labels), rel=1e-15)
    present = np.unique(labels)
    of_class = dict(zip(present, compute_class_weight("balanced", classes=present, y=labels), strict=True))
    assert found == pytest.approx([of_class[label] for label in labels], rel=1e-15)


def test_a_mapping_leaves_other_classes_at_one():
    assert weights.of_classes({0: 3, np.int8(1): 0.5}, np.array([2, 1, 0]), 3).tolist() == [1, 0.5, 3]
    assert weights.of_classes({}, np.array([1, 0]), 2).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("loss", "outputs", "t", "labels"),
    [
        ("cross_entropy", 3, [2, 0], [2, 0]),
        ("cross_entropy", 3, [[0, 0, 1], [1, 0, 0]], [2, 0]),
        ("cross_entropy", 3, [[0, 0.5, 0.5], [1, 0, 0]], None),
        ("binary_cross_entropy", 1, [1, 0], [1, 0]),
        ("binary_cross_entropy", 1, [1, 0.25], None),
        ("binary_cross_entropy", 2, [[1, 0], [0, 1]], None),  # each output decides for itself
        ("hinge", 1, [-1, 1], [0, 1]),
        ("hinge", 1, [0, 1], [0, 1]),
        ("hinge", 3, [1, 2], [1, 2]),
        ("squared_error", 1, [0, 1], None),
    ],
)
def test_the_class_of_each_sample(loss, outputs, t, labels):
    net = bpjit.Network([1, outputs], loss=loss)
    found = weights.classes(net._data(np.zeros((2, 1)), t), LOSSES[loss])
    assert (found if found is None else found.tolist()) == labels


@pytest.mark.parametrize(
    ("t", "class_weight", "error", "words"),
    [
        (T, "balance", ValueError, "class_weight is 'balance', but must be one of 'balanced'; did you mean"),
        (T, [1, 2], TypeError, "class_weight must be 'balanced' or {label: weight}, not [1, 2]"),
        (T, {2: 1.0}, ValueError, "a label in class_weight must be at least 0 and at most 1, got 2"),
        (T, {"1": 1.0}, TypeError, "a label in class_weight must be an integer"),
        (T, {1: -1.0}, ValueError, "class_weight of 1 must be at least 0"),
        (T, {1: np.nan}, ValueError, "class_weight of 1 must be finite"),
        (T, {0: 0, 1: 0}, ValueError, "class_weight, or its product with sample_weight, is zero for every sample"),
        (np.full((23, 2), 0.5), "balanced", ValueError, "class_weight needs samples of one class each"),
    ],
)
def test_class_weights_that_are_refused(t, class_weight, error, words):
    one = trainer()
    before = state_bits(one)
    with pytest.raises(error, match=re.escape(words)):
        one.fit(X, t, epochs=1, class_weight=class_weight)
    assert state_bits(one) == before


def test_regression_has_no_classes():
    with pytest.raises(ValueError, match="class_weight needs samples of one class each"):
        network("squared_error").fit(X, np.zeros((23, 2)), class_weight="balanced")


@pytest.mark.parametrize(
    ("sample_weight", "error", "words"),
    [
        (W[:-1], ValueError, "sample_weight has shape (22,) for 23 samples"),
        (-W, ValueError, "but a weight must be non-negative"),
        (0 * W, ValueError, "sample_weight is zero for every sample"),
        (np.full(23, np.inf), ValueError, "sample_weight holds inf at row 0"),
        (["a"] * 23, TypeError, "sample_weight holds strings"),
    ],
)
def test_sample_weights_that_are_refused(sample_weight, error, words):
    one = trainer()
    before = state_bits(one)
    for ask in (
        lambda: one.fit(X, T, epochs=1, sample_weight=sample_weight),
        lambda: one.net.loss(X, T, sample_weight),
        lambda: one.net.gradients(X, T, sample_weight),
        lambda: one.net.evaluate(X, T, sample_weight=sample_weight),
    ):
        with pytest.raises(error, match=re.escape(words)):
            ask()
    with pytest.raises(error, match=re.escape(words.replace("sample_weight", "sample_weight of validation"))):
        one.fit(X, T, epochs=1, validation=(X, T, sample_weight))
    assert state_bits(one) == before


# Loss and gradient


def test_the_weighted_loss_by_hand():
    """y = x: costs of 1/2, 2 and 9/2, of which the second counts double and the third not at all."""
    net = bpjit.Network([1, 1], loss="squared_error", dtype="float64")
    net.set_parameters([([[1.0]], [0.0])])
    x, t, w = [[1.0], [2.0], [3.0]], [0.0, 0.0, 0.0], [1, 2, 0]
    assert net.loss(x, t, w) == 1.5
    ((dW, db),) = net.gradients(x, t, w)  # the mean of (y - t) x, and of y - t
    assert (dW[0, 0], db[0]) == (3.0, pytest.approx(5 / 3, rel=1e-15))


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error", "hinge"])
@pytest.mark.parametrize("rows", [23, 700])  # 700 are two mini-batches of a question
def test_weights_that_are_whole_numbers_repeat_samples(loss, rows):
    """Of sums in another order the error is that of rounding in float64."""
    x, t = classes(rows)
    t = np.eye(2)[t] if loss == "squared_error" else t
    w = np.random.default_rng(1).integers(0, 4, rows)
    net = network(loss)
    repeated = np.repeat(x, w, axis=0), np.repeat(t, w, axis=0)
    assert net.loss(x, t, w) == pytest.approx(net.loss(*repeated), rel=1e-13)
    for (V, c), (U, d) in zip(net.gradients(x, t, w), net.gradients(*repeated), strict=True):
        assert pytest.approx(U, rel=1e-11, abs=1e-14) == V
        assert pytest.approx(d, rel=1e-11, abs=1e-14) == c
    names = ["loss", "mse", "mae", "r2"] + (["accuracy", "f1", "auc"] if loss != "squared_error" else [])
    assert net.evaluate(x, t, names, sample_weight=w) == pytest.approx(net.evaluate(*repeated, names), rel=1e-12)


@pytest.mark.parametrize("absent", [False, True])
def test_metrics_are_scikit_learns_with_weights(absent):
    """absent: one class counts nothing. y is X; they differ by rounding in float64."""
    net = bpjit.Network([3, 3], output="identity", dtype="float64")
    net.set_parameters([(np.eye(3), np.zeros(3))])
    t = np.random.default_rng(0).integers(0, 3, 23)
    y, w = X + 0.5 * np.eye(3)[t], W * (t > 0) if absent else W
    found = net.evaluate(y, t, ["accuracy", "balanced_accuracy", "top_k(2)", "f1", "mae", "r2"], sample_weight=w)
    some = w > 0
    t, answers, w = t[some], y.argmax(axis=1)[some], w[some]
    one_hot, y = np.eye(3)[t], y[some]
    wanted = {
        "accuracy": sk.accuracy_score(t, answers, sample_weight=w),
        "balanced_accuracy": np.mean([np.average(answers[t == k] == k, weights=w[t == k]) for k in np.unique(t)]),
        "top_k(2)": sk.top_k_accuracy_score(t, y, k=2, labels=range(3), sample_weight=w),
        "f1": sk.f1_score(t, answers, labels=np.union1d(t, answers), average="macro", sample_weight=w),
        "mae": sk.mean_absolute_error(one_hot, y, sample_weight=w),
        "r2": sk.r2_score(one_hot, y, sample_weight=w),
    }
    assert found == pytest.approx(wanted, rel=1e-12)


def test_the_gradient_is_the_weighted_mean_of_those_of_single_samples():
    net = network()
    found = net.gradients(X, T, W)
    for (V, c), (U, d) in zip(found, net.sample_gradients(X, T), strict=True):
        assert np.tensordot(W / W.sum(), U, 1) == pytest.approx(V, rel=1e-11, abs=1e-14)
        assert W / W.sum() @ d == pytest.approx(c, rel=1e-11, abs=1e-14)


def test_alike_is_none():
    net = network()
    assert net.loss(X, T, np.full(23, 1.0)) == net.loss(X, T)
    one, other = trainer(), trainer()
    one.fit(X, T, epochs=3)
    other.fit(X, T, epochs=3, sample_weight=np.ones(23))
    assert bits(one.net) == bits(other.net)
    assert one.history["loss"] == other.history["loss"]


# Training


def test_a_step_is_that_of_the_weighted_mean_over_its_mini_batch():
    """SGD's steps in float64, from the gradients of `Network.gradients`, which hold to hand-worked ones above."""
    twin, rate = network(), 0.3
    one = bpjit.Trainer(network(), bpjit.SGD(learning_rate=rate), batch_size=9, shuffle=False)
    history = one.fit(X, T, epochs=2, sample_weight=W)
    losses = []
    for _ in range(2):
        total = 0.0
        for rows in (slice(0, 9), slice(9, 18), slice(18, 23)):
            total += twin.loss(X[rows], T[rows], W[rows]) * W[rows].sum()
            gradients = twin.gradients(X[rows], T[rows], W[rows])
            pairs = zip(twin.parameters(), gradients, strict=True)
            twin.set_parameters([(V - rate * dV, c - rate * dc) for (V, c), (dV, dc) in pairs])
        losses.append(total / W.sum())
    assert history["loss"] == pytest.approx(losses, rel=1e-12)
    for (V, c), (U, d) in zip(one.net.parameters(), twin.parameters(), strict=True):
        assert pytest.approx(U, rel=1e-11, abs=1e-14) == V
        assert pytest.approx(d, rel=1e-11, abs=1e-14) == c


def test_weights_of_classes_multiply_those_of_samples():
    one, other = trainer(), trainer()
    one.fit(X, T, epochs=2, sample_weight=W, class_weight={0: 2.5})
    other.fit(X, T, epochs=2, sample_weight=W * np.where(T == 0, 2.5, 1))
    assert state_bits(one) == state_bits(other)
    one, other = trainer(), trainer()
    one.fit(X, T, epochs=2, class_weight="balanced")
    other.fit(X, T, epochs=2, sample_weight=compute_sample_weight("balanced", T))
    assert one.history["loss"] == pytest.approx(other.history["loss"], rel=1e-14)


def test_class_weights_do_not_touch_validation():
    history = trainer().fit(X, T, epochs=1, validation=(X, T), class_weight={0: 9})
    plain = trainer()
    plain.fit(X, T, epochs=1, class_weight={0: 9})
    assert history["validation_loss"] == [plain.net.loss(X, T)]


def test_a_validation_set_may_have_weights():
    one = trainer()
    history = one.fit(X, T, epochs=1, validation=(X, T, W))
    scores = one.net.evaluate(X, T, ["loss", "accuracy"], sample_weight=W)
    assert [history["validation_loss"], history["validation_accuracy"]] == [[score] for score in scores.values()]


def test_a_mini_batch_that_counts_nothing_changes_nothing():
    w = np.ones(23)
    w[:5] = 0
    one, other = (trainer(bpjit.SGD(learning_rate=0.1), shuffle=False) for _ in range(2))
    one.fit(X, T, epochs=1, sample_weight=w)
    other.fit(X[5:], T[5:], epochs=1)
    assert bits(one.net) == bits(other.net)
    assert one.history["loss"] == pytest.approx(other.history["loss"], rel=1e-15)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_for_any_threads_and_after_resume(threads, monkeypatch, tmp_path, short_calls):
    whole = trainer()
    whole.fit(X, T, epochs=3, sample_weight=W, class_weight="balanced")
    monkeypatch.setattr("bpjit.engine.plan.available_cpus", lambda: threads)
    one = trainer(threads=threads)
    one.fit(X, T, epochs=3, sample_weight=W, class_weight="balanced", max_steps=7)
    one.checkpoint(tmp_path / "run.ckpt")
    one = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match="not those that epoch 2 began with"):
        one.fit(X, T, sample_weight=W)
    one.fit(X, T, sample_weight=W, class_weight="balanced")
    assert state_bits(one) == state_bits(whole)
    assert one.history["loss"] == whole.history["loss"]


def test_lbfgs_takes_weights():
    one, other = trainer(bpjit.LBFGS()), trainer(bpjit.LBFGS())
    w = np.random.default_rng(1).integers(0, 3, 23)
    one.fit(X, T, epochs=3, sample_weight=w)
    other.fit(np.repeat(X, w, axis=0), np.repeat(T, w), epochs=3)
    assert one.history["loss"] == pytest.approx(other.history["loss"], rel=1e-9)  # a few iterations amplify rounding


def test_a_metric_of_the_users_gets_the_weights_if_it_asks_for_them():
    seen = []

    def weighted(t, y, sample_weight=None):
        seen.append(sample_weight)
        return 0

    net = network()
    net.evaluate(X, T, [weighted, {"plain": lambda t, y: 1}], sample_weight=W)
    net.evaluate(X, T, [weighted])
    assert seen[0].tolist() == W.tolist()
    assert not seen[0].flags.writeable
    assert seen[1] is None
