"""Mini-batches that come one by one: what they train, from what, what is refused, and what an end in between leaves."""

import re
import signal
import time

import numpy as np
import pytest
import scipy.sparse
from runs import bits, classes, line, state_bits, trainer

import bpjit
from bpjit.progress import Progress
from bpjit.sources import Batches

pytestmark = pytest.mark.usefixtures("one_thread")

X, T = classes(23)
W = np.random.default_rng(5).uniform(0.1, 3, 23)


def batches(size=5, weights=False, X=X):
    """X and t in the order of the rows, as a Trainer with shuffle=False takes them."""
    for start in range(0, 23, size):
        rows = slice(start, start + size)
        yield (X[rows], T[rows], W[rows]) if weights else (X[rows], T[rows])


class Again:
    """What a loader of data is: an object that may be iterated over again and again."""

    def __init__(self, make=batches, passes=0):
        self.make, self.passes = make, passes

    def __iter__(self):
        self.passes += 1
        return iter(self.make())


FORMS = {
    "list": lambda: list(batches()),
    "object": lambda: Again(),
    "function": lambda: batches,
    "lists": lambda: [[X[s : s + 5].tolist(), T[s : s + 5].tolist()] for s in range(0, 23, 5)],
    "sparse": lambda: list(batches(X=scipy.sparse.csr_array(X))),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_bits_of_the_arrays_in_that_order(form):
    whole, one = trainer(shuffle=False), trainer()
    options = {"epochs": 3, "validation": classes(9, seed=1)}
    whole.fit(X, T, **options)
    one.fit(form(), **options)
    assert bits(one.net) == bits(whole.net)
    for name in ("loss", "validation_loss", "validation_accuracy"):
        assert one.history[name] == whole.history[name]


def test_weights():
    whole, one = trainer(shuffle=False), trainer()
    whole.fit(X, T, epochs=2, sample_weight=W, class_weight={0: 3})
    one.fit(lambda: batches(weights=True), epochs=2, class_weight={0: 3})
    assert bits(one.net) == bits(whole.net)
    assert one.history["loss"] == whole.history["loss"]


def test_dropout_follows_from_epoch_and_step():
    whole, one = trainer(shuffle=False, dropout=0.4), trainer(dropout=0.4)
    whole.fit(X, T, epochs=3)
    one.fit(batches, epochs=3)
    assert bits(one.net) == bits(whole.net)


def test_through_the_network():
    one, other = trainer(), trainer()
    one.net.fit(list(batches()), epochs=2, optimizer=bpjit.SGD(), shuffle=True)
    other.net.fit(X, T, epochs=2, batch_size=5, optimizer=bpjit.SGD(), shuffle=False)
    assert bits(one.net) == bits(other.net)


@pytest.mark.parametrize("sizes", [(1, 2, 9, 3, 8), (9, 1, 13), (23,), (17, 6)])
def test_any_sizes_in_turn(sizes):
    """Each mini-batch is a step; float64, against steps by `gradients`."""
    parts = np.split(np.arange(23), np.cumsum(sizes)[:-1])
    one, twin = trainer(bpjit.SGD(learning_rate=0.2)), trainer().net
    history = one.fit([(X[rows], T[rows]) for rows in parts], epochs=2)
    losses = []
    for _ in range(2):
        total = 0.0
        for rows in parts:
            total += len(rows) * twin.loss(X[rows], T[rows])
            pairs = zip(twin.parameters(), twin.gradients(X[rows], T[rows]), strict=True)
            twin.set_parameters([(V - 0.2 * dV, c - 0.2 * dc) for (V, c), (dV, dc) in pairs])
        losses.append(total / 23)
    assert history["loss"] == pytest.approx(losses, rel=1e-12)
    for (V, c), (U, d) in zip(one.net.parameters(), twin.parameters(), strict=True):
        assert pytest.approx(U, rel=1e-11, abs=1e-14) == V
        assert pytest.approx(d, rel=1e-11, abs=1e-14) == c


def test_a_pass_is_an_epoch_whatever_its_length():
    lengths, made = iter([2, 4, 1]), []

    def some():
        made.append(next(lengths))
        return list(batches())[: made[-1]]

    one = trainer()
    assert one.fit(some, epochs=3).epochs == 3
    assert made == [2, 4, 1]
    assert one.state()[1]["position"]["updates"] == 7


def test_no_pass_more_than_there_are_epochs():
    again = Again()
    trainer().fit(again, epochs=3)
    assert again.passes == 3


def test_an_iterator_serves_for_one_epoch():
    whole, one = trainer(shuffle=False), trainer()
    whole.fit(X, T, epochs=1)
    one.fit(batches(), epochs=1)
    assert bits(one.net) == bits(whole.net)
    before = state_bits(one)
    drawn = batches()
    with pytest.raises(ValueError, match="the batches are an iterator, which ends with the first of 2 epochs"):
        one.fit(drawn, epochs=2)
    assert len(list(drawn)) == 5
    assert state_bits(one) == before


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"X": X}, TypeError, "t is missing: give the targets of X, or in the place of X mini-batches (X, t)"),
        ({"X": scipy.sparse.csr_array(X)}, TypeError, "t is missing"),
        ({"X": None}, TypeError, "t is missing"),
        ({"X": 3}, TypeError, "t is missing"),
        ({"X": "data.csv"}, TypeError, "t is missing"),
        ({"X": X[:, :2].tolist()}, TypeError, "t is missing"),
        ({"X": {"X": X}}, TypeError, "t is missing"),
        ({"X": []}, ValueError, "the batches hold no mini-batch"),
        ({"X": lambda: iter(())}, ValueError, "the batches hold no mini-batch"),
        ({"X": lambda: 7}, TypeError, "the function that makes the batches returned 7"),
        ({"X": [X]}, TypeError, "mini-batch 0 must be a pair (X, t), or (X, t, sample_weight), not ndarray"),
        ({"X": [(X,)]}, TypeError, "mini-batch 0 must be a pair (X, t), or (X, t, sample_weight), not tuple of 1"),
        (
            {"X": [{"X": X, "t": T}]},
            TypeError,
            "mini-batch 0 must be a pair (X, t), or (X, t, sample_weight), not d",
        ),
        ({"X": [(X[:, :2], T)]}, ValueError, "X of mini-batch 0 has 2 columns, but the network has 3 inputs"),
        ({"X": [(X, T[1:])]}, ValueError, "t of mini-batch 0 has 22 rows for 23 samples"),
        ({"X": [(X, T, -W)]}, ValueError, "sample_weight of mini-batch 0 holds"),
        ({"X": [(X[:0], T[:0])]}, ValueError, "X of mini-batch 0 has no rows"),
        ({"X": [(np.full((2, 3), np.nan), [0, 1])]}, ValueError, "X of mini-batch 0 holds nan at row 0"),
        ({"sample_weight": W}, ValueError, "sample_weight goes with arrays"),
        ({"class_weight": "balanced"}, ValueError, "class_weight='balanced' needs to know all t"),
        ({"class_weight": "balance"}, ValueError, "class_weight is 'balance'"),
        ({"class_weight": {4: 1}}, ValueError, "a label in class_weight must be at least 0 and at most 1, got 4"),
        ({"validation": 0.1}, ValueError, "validation is a fraction, but of mini-batches none can be held out"),
    ],
)
def test_what_is_refused(arguments, error, words):
    one = trainer()
    before = state_bits(one)
    with pytest.raises(error, match=re.escape(words)):
        one.fit(**{"X": list(batches()), "epochs": 2} | arguments)
    assert state_bits(one) == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": bpjit.LBFGS()}, "LBFGS needs all samples at once, not mini-batches: give X and t"),
        ({"optimizer": bpjit.RProp()}, "RProp needs all samples at once, not mini-batches: give X and t"),
        ({"shuffle": [range(23)]}, "shuffle holds orders of samples, but mini-batches come in their own"),
    ],
)
def test_trainers_that_need_arrays(settings, words):
    one = trainer(**settings)
    before = state_bits(one)
    with pytest.raises(ValueError, match=re.escape(words)):
        one.fit(list(batches()), epochs=1)
    assert state_bits(one) == before


# Ends in between


def first(k):
    """The state after k mini-batches of arrays."""
    one = trainer(shuffle=False)
    one.fit(X, T, epochs=3, max_steps=k)
    return bits(one.net)


@pytest.mark.parametrize(("k", "epochs"), [(3, 0), (5, 1), (5, 0), (8, 1)])
def test_an_error_of_the_iterator_leaves_the_last_complete_mini_batch(k, epochs, tmp_path):
    """After five it may come where the sixth is asked for in vain: then the epoch is not known to be complete."""
    calls = 0

    def failing():
        nonlocal calls
        for batch in batches():
            if calls == k:
                raise OSError("the disk is full")
            calls += 1
            yield batch
        if calls == k and not epochs:
            raise OSError("the disk is full")

    one = trainer()
    with pytest.raises(OSError, match="the disk is full"):
        one.fit(failing, epochs=3)
    assert bits(one.net) == first(k)
    assert one.history.epochs == epochs
    one.checkpoint(tmp_path / "run.ckpt")
    for each in (one, bpjit.Trainer.resume(tmp_path / "run.ckpt")):
        assert each.fit(batches).epochs == 3
        assert bits(each.net) == first(15)


def test_a_bad_mini_batch_leaves_the_last_complete_one():
    one = trainer()
    with pytest.raises(ValueError, match="X of mini-batch 2 holds nan at row 1, column 0"):
        one.fit([*list(batches())[:2], ([[0, 0, 0], [np.nan, 0, 0]], [0, 1])], epochs=1)
    assert bits(one.net) == first(2)


@pytest.mark.parametrize("k", [2, 4, 5, 6, 14])
def test_max_steps_and_resume_skip_what_is_done(k, tmp_path):
    whole = trainer()
    whole.fit(batches, epochs=3)
    one = trainer()
    one.fit(batches, epochs=3, max_steps=k)
    assert one.history.epochs == k // 5
    one.checkpoint(tmp_path / "run.ckpt")
    one = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    one.fit(Again())
    assert state_bits(one) == state_bits(whole)
    assert one.history["loss"] == whole.history["loss"]


def test_a_checkpoint_at_every_mini_batch(tmp_path):
    whole = trainer()
    whole.fit(batches, epochs=2)
    one = trainer()
    one.fit(batches, epochs=2, checkpoint=tmp_path / "run.ckpt", checkpoint_every=1, max_steps=8)
    resumed = bpjit.Trainer.resume(tmp_path / "run.ckpt")
    resumed.fit(batches)
    assert state_bits(resumed) == state_bits(whole)


def test_an_unfinished_epoch_goes_on_with_mini_batches():
    one = trainer()
    one.fit(batches, epochs=2, max_steps=3)
    before = state_bits(one)
    with pytest.raises(ValueError, match="not those that epoch 1 began with"):
        one.fit(X, T)
    with pytest.raises(ValueError, match="the batches end after 2 mini-batches, but 3 of the epoch"):
        one.fit(list(batches())[:2])
    assert state_bits(one) == before
    other = trainer()
    other.fit(X, T, epochs=2, max_steps=3)
    with pytest.raises(ValueError, match="not those that epoch 1 began with"):
        other.fit(batches)


@pytest.mark.parametrize("where", ["in the iterator", "as it trains"])
def test_ctrl_c(where):
    class Pressing(Progress):
        def update(self, epoch, samples_done, loss):
            if samples_done == 15 and where == "as it trains":
                signal.raise_signal(signal.SIGINT)

    def slow():
        for k, batch in enumerate(batches()):
            if k == 3 and where == "in the iterator":
                signal.raise_signal(signal.SIGINT)
                time.sleep(1)
            yield batch

    one = trainer()
    with pytest.raises(KeyboardInterrupt):
        one.fit(slow, epochs=2, progress=Pressing())
    assert bits(one.net) == first(3)
    assert one.fit(batches).epochs == 2
    assert bits(one.net) == first(10)


def test_divergence_goes_back_to_the_last_good_mini_batch():
    """At x = 1 a step multiplies the error y - t by -2e10: the square of 4e20, before the third, is no float32. The
    state before the second is the last whose loss is known to be finite, in the epoch before."""
    one, pair = line(rate=1e10), ([[1.0]], [1.0])
    with pytest.raises(bpjit.DivergenceError, match="epoch 2, step 1; the network is as it was after 1 updates"):
        one.fit([pair, pair], epochs=3)
    assert one.net.parameters()[0][0].item() == np.float32(1e10)
    assert one.history.epochs == 0
    one.optimizer = bpjit.SGD(learning_rate=0.1)
    assert one.fit([pair, pair]).epochs == 3
    assert one.state()[1]["position"]["updates"] == 6


def test_progress_is_told_what_is_known():
    calls = []

    class Recording(Progress):
        def start(self, epochs, samples, batch_size, done=0, description="", plan=None, samples_done=0):
            calls.append(("start", epochs, samples, batch_size))

        def update(self, epoch, samples_done, loss):
            calls.append((epoch, samples_done))

        def epoch_end(self, epoch, record):
            calls.append(("end", epoch))

    trainer().fit(lambda: batches(9), epochs=2, progress=Recording())
    of_epoch = [[(k, 9), (k, 18), (k, 23), ("end", k)] for k in (1, 2)]
    assert calls == [("start", 2, 0, 9), *of_epoch[0], *of_epoch[1]]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_bits_for_any_threads(threads, monkeypatch):
    monkeypatch.setattr("bpjit.engine.plan.available_cpus", lambda: threads)
    one = trainer(threads=threads)
    one.fit(batches, epochs=3)
    assert bits(one.net) == first(15)


@pytest.mark.external
def test_a_loader_of_pytorchs():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(T))
    one = trainer()
    one.fit(torch.utils.data.DataLoader(data, batch_size=5), epochs=3)
    assert bits(one.net) == first(15)


def test_items_are_drawn_in_turn():
    source = Batches([1, 2, 3], lambda item, number: (item, number))
    assert [source.ended(k) for k in (0, 0, 1, 2, 3, 3, 0)] == [False] * 4 + [True] * 2 + [False]
