"""Trainer: what it computes, what it leaves behind, what it refuses."""

import json
import math
import os
import re
import time
from itertools import pairwise

import numpy as np
import pytest
from runs import bits, classes, line, state_bits, trainer

import bpjit
from bpjit.engine.order import draw_order
from bpjit.progress import Progress

pytestmark = pytest.mark.usefixtures("one_thread")


# What it computes, against a few lines of NumPy


class Descent:
    """Training of a network of tanh layers, in float64 and in the order given."""

    def __init__(self, parameters, output, update):
        self.theta = [array.astype(np.float64) for pair in parameters for array in pair]
        self.output, self.update, self.steps = output, update, 0
        self.m, self.v = ([np.zeros_like(array) for array in self.theta] for _ in range(2))

    def forward(self, X):
        a = [X]
        for W, b in zip(self.theta[:-2:2], self.theta[1:-2:2], strict=True):
            a.append(np.tanh(a[-1] @ W.T + b))
        z = a[-1] @ self.theta[-2].T + self.theta[-1]
        if self.output == "softmax":
            powers = np.exp(z - z.max(axis=1, keepdims=True))
            return a, powers / powers.sum(axis=1, keepdims=True)
        return a, 1 / (1 + np.exp(-z)) if self.output == "sigmoid" else z

    def costs(self, y, t):
        if self.output == "softmax":
            return -(t * np.log(y)).sum(axis=1)
        if self.output == "sigmoid":
            return -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(axis=1)
        return 0.5 * ((y - t) ** 2).sum(axis=1)

    def epoch(self, X, t, order, batch_size):
        """The epoch's loss: the mean over samples, each before the update of its mini-batch."""
        total = 0.0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            a, y = self.forward(X[batch])
            total += self.costs(y, t[batch]).sum()
            delta, gradients = (y - t[batch]) / len(batch), []  # for all three pairs
            for l in range(len(a) - 1, -1, -1):
                gradients = [delta.T @ a[l], delta.sum(axis=0), *gradients]
                if l:
                    delta = (delta @ self.theta[2 * l]) * (1 - a[l] ** 2)
            self.steps += 1
            for theta, g, m, v in zip(self.theta, gradients, self.m, self.v, strict=True):
                theta -= self.update(g, m, v, self.steps)
        return total / len(order)


def sgd(rate, momentum=0.0, nesterov=False):
    def update(g, m, v, steps):
        m[...] = momentum * m + g
        return rate * (g + momentum * m if nesterov else m)

    return update


def adam(rate, beta_1=0.9, beta_2=0.999, eps=1e-8):
    def update(g, m, v, steps):
        m[...] = beta_1 * m + (1 - beta_1) * g
        v[...] = beta_2 * v + (1 - beta_2) * g * g
        return rate * (m / (1 - beta_1**steps)) / (np.sqrt(v / (1 - beta_2**steps)) + eps)

    return update


UPDATES = {
    "SGD": (bpjit.SGD(learning_rate=0.3), sgd(0.3)),
    "momentum": (bpjit.SGD(learning_rate=0.1, momentum=0.9), sgd(0.1, 0.9)),
    "Nesterov": (bpjit.SGD(learning_rate=0.1, momentum=0.8, nesterov=True), sgd(0.1, 0.8, True)),
    "Adam": (bpjit.Adam(learning_rate=0.05), adam(0.05)),
    "Adam, other settings": (
        bpjit.Adam(learning_rate=0.05, betas=(0.8, 0.95), eps=1e-3),
        adam(0.05, 0.8, 0.95, 1e-3),
    ),
}
LOSSES = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy", "identity": "squared_error"}


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("output", LOSSES)
def test_epochs_are_those_of_a_few_lines_of_numpy(output, update):
    """In float64, where they differ by the rounding of sums in another order: 1e-16 a step, little amplified by few."""
    optimizer, reference_update = UPDATES[update]
    net = bpjit.Network([3, 4, 2], activation="tanh", loss=LOSSES[output], dtype="float64", seed=0)
    reference = Descent(net.parameters(), output, reference_update)
    X, labels = classes(17)
    t = np.eye(2)[labels]
    orders = [np.random.default_rng(epoch).permutation(17) for epoch in range(3)]
    history = bpjit.Trainer(net, optimizer, batch_size=5, shuffle=orders).fit(X, t, epochs=3)  # 5, 5, 5 and 2
    losses = [reference.epoch(X, t, order, 5) for order in orders]
    assert history["loss"] == pytest.approx(losses, rel=1e-12)
    for found, wanted in zip((array for pair in net.parameters() for array in pair), reference.theta, strict=True):
        assert np.abs(found - wanted).max() < 1e-11
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("batch_size", [1, 2, 8, 16, 17])
def test_any_size_of_a_mini_batch(batch_size):
    net = bpjit.Network([3, 4, 2], activation="tanh", dtype="float64", seed=0)
    reference = Descent(net.parameters(), "softmax", sgd(0.1))
    X, t = classes(17)
    one = bpjit.Trainer(net, bpjit.SGD(learning_rate=0.1), batch_size=batch_size, shuffle=False)
    history = one.fit(X, t, epochs=2)
    losses = [reference.epoch(X, np.eye(2)[t], np.arange(17), batch_size) for _ in range(2)]
    assert history["loss"] == pytest.approx(losses, rel=1e-12)


def test_labels_and_the_same_rows_of_one_and_zero_give_the_same_bits():
    X, t = classes()
    one, other = trainer(), trainer()
    one.fit(X, t, epochs=2)
    other.fit(X, np.eye(2)[t], epochs=2)
    assert state_bits(one) == state_bits(other)


# The order of the samples


@pytest.mark.nojit
def test_without_shuffling_the_order_is_that_of_the_rows():
    X, t = classes()
    one, other = trainer(shuffle=False), trainer(shuffle=[np.arange(23)] * 2)
    one.fit(X, t, epochs=2)
    other.fit(X, t, epochs=2)
    assert bits(one.net) == bits(other.net)


class Order(Progress):
    """The order in which an epoch took the samples, told by the loss of mini-batches of one sample."""

    def __init__(self):
        self.sums, self.orders = [0.0], []

    def update(self, epoch, samples_done, loss):
        self.sums.append(samples_done * loss)

    def epoch_end(self, epoch, record):
        costs = np.diff([*self.sums, record["loss"] * 40])
        self.orders.append(np.rint(np.sqrt(2 * costs)).astype(int).tolist())
        self.sums = [0.0]


def orders(seed, epochs, folder):
    """Of 40 samples: y stays 0, and the cost of sample s is s^2 / 2. A checkpoint a step makes every step a call."""
    one = line(rate=1e-30, dtype="float64", seed=seed, shuffle=True)
    X, t, seen = np.zeros((40, 1)), np.arange(40.0), Order()
    one.fit(X, t, epochs=epochs, progress=seen, checkpoint=folder / "run.ckpt", checkpoint_every=1)
    return seen.orders


def test_shuffled_epochs_take_each_sample_once_in_an_order_of_their_own(tmp_path):
    of_seed_0, again, of_seed_1 = (orders(seed, 4, tmp_path) for seed in (0, 0, 2**64 - 1))
    assert of_seed_0 == again
    everything = of_seed_0 + of_seed_1
    assert all(sorted(order) == list(range(40)) for order in everything)
    assert len({tuple(order) for order in everything}) == 8
    # Not a shift, nor a swap of a few: of 40 samples about one is where it was, and about one follows its neighbour.
    assert all(sum(s == k for k, s in enumerate(order)) < 8 for order in everything)
    assert all(sum(b - a == 1 for a, b in pairwise(order)) < 8 for order in everything)


def test_every_place_is_as_likely_for_every_sample():
    """Chi-squared over where sample 0 of 8 comes, in 4 000 epochs: 7 degrees of freedom, above 29 once in 10 000."""
    order, counts = np.zeros(8, np.intp), np.zeros((8, 8))
    for epoch in range(4000):
        draw_order(order, np.int64(3), epoch)
        counts[order, np.arange(8)] += 1
    assert (((counts - 500) ** 2 / 500).sum(axis=1) < 29).all()


def test_seeds_govern_the_order_alone():
    X, t = classes()
    hashes = []
    for seed in (0, 0, 1, None, None):
        one = trainer(seed=seed)
        one.fit(X, t, epochs=1)
        hashes.append(bits(one.net))
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 4


@pytest.mark.parametrize(
    ("orders", "error", "words"),
    [
        ([], ValueError, "shuffle holds 0 orders for 2 epochs"),
        ([range(23)], ValueError, "shuffle holds 1 orders for 2 epochs"),
        ([range(23), range(22)], ValueError, "shuffle[1] has shape (22,)"),
        ([range(23), [*range(22), 0]], ValueError, "shuffle[1] holds sample 0 2 times"),
        ([range(23), [*range(22), 23]], ValueError, "shuffle[1] holds 23"),
        ([range(23), np.arange(23.0)], TypeError, "shuffle[1] holds float64"),
    ],
)
def test_orders_that_are_refused(orders, error, words):
    one = trainer(shuffle=orders)
    before = state_bits(one)
    with pytest.raises(error, match=re.escape(words)):
        one.fit(*classes(), epochs=2)
    assert state_bits(one) == before


# Epochs, steps, history


@pytest.mark.variants
@pytest.mark.nojit
def test_fit_goes_on_where_the_last_one_ended():
    X, t = classes()
    whole, parts = trainer(), trainer()
    history = whole.fit(X, t, epochs=5)
    assert parts.fit(X, t, epochs=2).epochs == 2
    assert parts.fit(X, t, epochs=3) is parts.history is parts.net.history
    assert state_bits(parts) == state_bits(whole)
    assert parts.history["loss"] == history["loss"]
    assert len(history["loss"]) == len(history["seconds"]) == 5


@pytest.mark.nojit
def test_the_history_counts_what_is_spent():
    X, t = classes()
    began = time.perf_counter()
    history = trainer().fit(X, t, epochs=3)
    spent = time.perf_counter() - began
    assert set(history) == {"loss", "seconds"}
    assert all(seconds > 0 for seconds in history["seconds"])
    assert sum(history["seconds"]) + history.compile_seconds < spent
    assert history.plan.threads == 1
    assert history.plan.reason
    assert "3 epochs" in repr(history)


def test_max_steps():
    X, t = classes()  # 5 mini-batches an epoch
    one = trainer()
    assert one.fit(X, t, epochs=3, max_steps=7).epochs == 1
    assert one.state()[1]["position"] | {"cost": 0, "seconds": 0, "rate": 0} == {
        "updates": 7, "epoch": 1, "step": 2, "cost": 0, "weight": 10, "seconds": 0, "rate": 0
    }  # fmt: skip
    assert one.fit(X, t, max_steps=100).epochs == 3  # what the first fit left
    whole = trainer()
    whole.fit(X, t, epochs=3)
    assert state_bits(one) == state_bits(whole)
    assert one.fit(X, t, epochs=2, max_steps=10).epochs == 5  # exactly what is left


def test_an_unfinished_epoch_is_finished_first_and_counts():
    X, t = classes()
    one, whole = trainer(), trainer()
    one.fit(X, t, epochs=3, max_steps=7)
    assert one.fit(X, t, epochs=1).epochs == 2
    whole.fit(X, t, epochs=2)
    assert state_bits(one) == state_bits(whole)


def test_without_a_number_of_epochs_there_must_be_something_left():
    X, t = classes()
    one = trainer()
    with pytest.raises(ValueError, match="epochs is None, but nothing is left to do"):
        one.fit(X, t)
    one.fit(X, t, epochs=1)
    with pytest.raises(ValueError, match="nothing is left"):
        one.fit(X, t)
    one.fit(X, t, epochs=1, max_steps=1)
    assert one.fit(X, t).epochs == 2


@pytest.mark.nojit
def test_validation():
    (X, t), (Xv, tv) = classes(), classes(11, seed=1)
    one = trainer()
    history = one.fit(X, t, epochs=2, validation=(Xv, tv))
    assert set(history) == {"loss", "seconds", "validation_loss", "validation_accuracy"}
    assert history["validation_loss"][-1] == one.net.loss(Xv, tv)
    assert history["validation_accuracy"][-1] == one.net.evaluate(Xv, tv)["accuracy"]
    after_one = trainer()
    after_one.fit(X, t, epochs=1)
    assert history["validation_loss"][0] == after_one.net.loss(Xv, tv)
    without = trainer()
    without.fit(X, t, epochs=2)
    assert bits(one.net) == bits(without.net)  # it is looked at, not learnt from


def test_epochs_without_validation_hold_nan():
    (X, t), watched = classes(), classes(11, seed=1)
    one = trainer()
    one.fit(X, t, epochs=1)
    one.fit(X, t, epochs=1, validation=watched)
    history = one.fit(X, t, epochs=1)
    assert [math.isnan(loss) for loss in history["validation_loss"]] == [True, False, True]
    assert all(len(values) == 3 for values in history.values())


def test_validation_of_what_is_no_classifier_has_no_accuracy():
    one = line(1e-3)
    history = one.fit([[1.0]], [2.0], epochs=1, validation=([[1.0]], [2.0]))
    assert set(history) == {"loss", "seconds", "validation_loss"}
    assert history["validation_loss"][0] < history["loss"][0] == 2.0


def test_a_batch_larger_than_the_data():
    X, t = classes()
    large, whole = trainer(batch_size=100), trainer(batch_size=23)
    with pytest.warns(UserWarning, match="batch_size is 100 for 23 samples: using 23") as caught:
        large.fit(X, t, epochs=2)
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(UserWarning, match="batch_size is 32 for 23 samples") as caught:
        bpjit.Network([3, 2]).fit(X, t, epochs=1)
    assert [warning.filename for warning in caught] == [__file__]
    whole.fit(X, t, epochs=2)
    assert bits(large.net) == bits(whole.net)


def test_other_data_in_the_next_epoch():
    one = trainer()
    one.fit(*classes(), epochs=1)
    one.fit(*classes(31, seed=1), epochs=1)
    assert one.history.epochs == 2


def test_another_optimizer_begins_anew_and_another_rate_goes_on():
    X, t = classes()
    one, other = (
        trainer(bpjit.SGD(learning_rate=0.1, momentum=0.9)),
        trainer(bpjit.SGD(learning_rate=0.1, momentum=0.9)),
    )
    for each in (one, other):
        each.fit(X, t, epochs=1)
    assert state_bits(one) == state_bits(other)
    one.optimizer = bpjit.SGD(learning_rate=0.01, momentum=0.9)  # with the same velocity
    velocity = one.state()[0]["moment0.W1"]
    assert velocity.any() and np.array_equal(velocity, other.state()[0]["moment0.W1"])
    one.optimizer = bpjit.Adam()
    tensors = one.state()[0]
    assert not tensors["moment0.W1"].any() and not tensors["moment1.W1"].any()
    one.fit(X, t, epochs=2)
    with pytest.raises(TypeError, match="optimizer"):
        one.optimizer = "adam"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_network_that_is_trained_elsewhere_meanwhile(momentum):
    """A trainer holds no copy of the parameters."""
    X, t = classes()
    one = trainer(bpjit.SGD(learning_rate=0.1, momentum=momentum))
    one.fit(X, t, epochs=1)
    one.net.set_parameters([(np.zeros_like(W), np.zeros_like(b)) for W, b in one.net.parameters()])
    assert one.fit(X, t, epochs=1, max_steps=1)
    assert one.state()[1]["position"]["cost"] == pytest.approx(5 * math.log(2), rel=1e-14)


# What is wrong gives one error, before anything changes

FIT_ERRORS = [
    ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    ({"epochs": -1}, ValueError, "epochs must be at least 1"),
    ({"epochs": True}, TypeError, "epochs must be an integer"),
    ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
    ({"epochs": "3"}, TypeError, "epochs must be an integer"),
    ({"max_steps": 0}, ValueError, "max_steps must be at least 1"),
    ({"max_steps": True}, TypeError, "max_steps must be an integer"),
    ({"checkpoint_every": 2}, ValueError, "checkpoint_every needs a file to write"),
    ({"checkpoint_every": 0, "checkpoint": "run.ckpt"}, ValueError, "checkpoint_every must be at least 1"),
    ({"checkpoint": 3}, TypeError, "path must be"),
    ({"checkpoint": "no folder/run.ckpt"}, FileNotFoundError, "create it first"),
    ({"checkpoint": "."}, IsADirectoryError, "folder"),
    ({"progress": "yes"}, TypeError, "progress must be True or False"),
    ({"validation": 1.0}, ValueError, "validation must be greater than 0 and less than 1"),
    ({"validation": np.zeros((2, 3))}, TypeError, "validation must be a pair"),
    ({"validation": (np.zeros((2, 4)), [0, 1])}, ValueError, "X of validation has 4 columns"),
    ({"validation": (np.zeros((2, 3)), [0, 2])}, ValueError, "t of validation holds 2"),
    ({"validation": (np.zeros((2, 3)), [0])}, ValueError, "t of validation has 1 rows"),
    ({"validation": (np.full((2, 3), np.nan), [0, 1])}, ValueError, "X of validation holds nan"),
    ({"X": np.zeros((23, 4))}, ValueError, "X has 4 columns"),
    ({"X": np.full((23, 3), np.inf)}, ValueError, "X holds inf"),
    ({"X": np.zeros((22, 3))}, ValueError, "t has 23 rows for 22 samples"),
    ({"t": np.zeros(23)}, TypeError, "t holds floats"),
    ({"t": np.full(23, 2)}, ValueError, "t holds 2"),
    ({"t": np.full((23, 2), 0.3)}, ValueError, "t sums to 0.6"),
]


@pytest.mark.nojit
@pytest.mark.parametrize("fits_before", [0, 1, 2])
@pytest.mark.parametrize(("changed", "error", "words"), FIT_ERRORS)
def test_wrong_arguments_of_fit_change_nothing(changed, error, words, fits_before, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, t = classes()
    one = trainer()
    if fits_before:  # in mid-epoch, or at an epoch's end
        one.fit(X, t, epochs=2, **({"max_steps": 7} if fits_before == 1 else {}))
    before, entries = state_bits(one), json.dumps(dict(one.history))
    with pytest.raises(error, match=re.escape(words)):
        one.fit(**({"X": X, "t": t, "epochs": 2} | changed))
    assert state_bits(one) == before
    assert json.dumps(dict(one.history)) == entries
    assert os.listdir(tmp_path) == []


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"net": [3, 2]}, TypeError, "net must be a bpjit.Network, not list"),
        ({"optimizer": "adam"}, TypeError, "optimizer must be one such as bpjit.Adam(), not 'adam'"),
        ({"optimizer": bpjit.Adam}, TypeError, "optimizer must be one such as bpjit.Adam()"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer"),
        ({"batch_size": 32.0}, TypeError, "batch_size must be an integer"),
        ({"batch_size": None}, TypeError, "batch_size must be an integer"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"threads": True}, TypeError, "threads must be an integer"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
        ({"seed": 2**64}, ValueError, "seed must be at least 0 and at most"),
        ({"shuffle": "yes"}, TypeError, "shuffle must be True, False, or a sequence"),
        ({"shuffle": 1}, TypeError, "shuffle must be True, False, or a sequence"),
        ({"shuffle": None}, TypeError, "shuffle must be True, False, or a sequence"),
    ],
)
def test_wrong_arguments_of_a_trainer(options, error, words):
    with pytest.raises(error, match=re.escape(words)):
        bpjit.Trainer(**({"net": bpjit.Network([3, 2])} | options))


@pytest.mark.nojit
@pytest.mark.parametrize(
    "options", [{"epochs": 0}, {"batch_size": 0}, {"threads": 0}, {"shuffle": 2}, {"optimizer": 0.1}, {"seed": -1}]
)
def test_wrong_arguments_of_a_networks_fit(options):
    net = bpjit.Network([3, 2], seed=0)
    before = bits(net)
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        net.fit(*classes(), **({"batch_size": 5} | options))
    assert bits(net) == before
    assert net.history is None


# Progress


class Recording(Progress):
    """Writes down what it is told, and raises at one of the calls if asked to."""

    def __init__(self, failing=None):
        self.calls, self.failing = [], failing

    def note(self, name, *arguments):
        self.calls.append((name, *arguments))
        if name == self.failing:
            raise RuntimeError(name)

    def start(self, *arguments, **options):
        self.note("start", arguments, options)

    def compiling(self):
        self.note("compiling")
        return super().compiling()

    def update(self, epoch, samples_done, loss):
        self.note("update", epoch, samples_done, loss)

    def epoch_end(self, epoch, record):
        self.note("epoch_end", epoch, dict(record))

    def finish(self):
        self.note("finish")


def test_what_a_progress_display_is_told(short_calls):
    X, t = classes()
    seen = Recording()
    one = trainer()
    history = one.fit(X, t, epochs=2, validation=(X, t), progress=seen)
    names = [call[0] for call in seen.calls]
    assert names[:2] == ["compiling", "start"]
    assert names[-1] == "finish" and names.count("finish") == 1
    _, (epochs, samples, batch_size), options = seen.calls[1]
    assert (epochs, samples, batch_size, options["done"], options["samples_done"]) == (2, 23, 5, 0, 0)
    assert options["plan"].threads == 1
    assert [call[1:] for call in seen.calls if call[0] == "epoch_end"] == [
        (epoch + 1, {name: values[epoch] for name, values in history.items()}) for epoch in range(2)
    ]
    updates = [call[1:] for call in seen.calls if call[0] == "update"]
    assert {samples for _, samples, _ in updates} <= {5, 10, 15, 20}
    assert [place for *place, _ in updates] == sorted(place for *place, _ in updates)
    assert all(0 < loss < 10 for *_, loss in updates)
    one.fit(X, t, epochs=2, max_steps=3)
    seen = Recording()
    one.fit(X, t, progress=seen)
    _, (epochs, *_), options = seen.calls[1]
    assert (epochs, options["done"], options["samples_done"]) == (4, 2, 15)


@pytest.mark.parametrize("failing", ["compiling", "start", "update", "epoch_end", "finish"])
def test_a_progress_display_that_raises_leaves_whole_steps(failing, short_calls):
    X, t = classes()
    one, whole, seen = trainer(), trainer(), Recording(failing)
    with pytest.raises(RuntimeError, match=failing):
        one.fit(X, t, epochs=3, progress=seen)
    assert seen.calls[-1][0] == "finish"
    updates = one.state()[1]["position"]["updates"]
    assert updates == (0 if failing in ("compiling", "start") else updates)
    if updates:
        same = trainer()
        same.fit(X, t, epochs=3, max_steps=updates)
        assert state_bits(one) == state_bits(same)
    whole.fit(X, t, epochs=3)
    if failing != "finish":
        one.fit(X, t)
    assert state_bits(one) == state_bits(whole)
