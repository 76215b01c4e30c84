"""The learning rate over a run: schedules, rates that are set, and the range test."""

import copy
import math
import re

import numpy as np
import pytest
from runs import bits, classes, line, state_bits, trainer

import bpjit
from bpjit import schedules
from bpjit.schedules import Adaptive, Constant, Cosine, Exponential, Function, OnPlateau, PerEpoch, Step, WarmUp

pytestmark = pytest.mark.usefixtures("one_thread")

TO_1 = [[0.0]] * 4, [1.0] * 4
"""Of 4 samples that teach the bias alone: with `line` each step multiplies its distance from 1 by 1 - rate."""


def distances(factors, rate=0.1):
    """How far the bias is from 1 before each step, and after the last."""
    return np.cumprod([1.0, *(1 - rate * factor for factor in factors)])


def bias(one):
    return float(one.net.parameters()[0][1][0])


# Schedules

TIMED = {
    "steps": Exponential(steps=3, gamma=0.5),
    "epochs": Cosine(epochs=2),
    "stairs": PerEpoch(Exponential(gamma=0.5)),
    "warm-up": WarmUp(steps=3, then=Step(epochs=1)),
    "function": lambda step: 1 / (1 + step),
}


@pytest.mark.parametrize("name", TIMED)
def test_each_step_has_the_factor_of_its_number(name):
    """In float64: a product of 12 factors, each rounded once or twice."""
    one = line(0.1, dtype="float64", schedule=TIMED[name])
    history = one.fit(*TO_1, epochs=3)
    factors = schedules.schedule(TIMED[name]).factors(0, 12, steps_per_epoch=4)
    away = distances(factors)
    assert 1 - bias(one) == pytest.approx(away[-1], rel=1e-12)
    assert history["loss"] == pytest.approx((away[:12] ** 2 / 2).reshape(3, 4).mean(axis=1), rel=1e-12)
    assert history["learning_rate"] == (0.1 * factors[3::4]).tolist()  # at the last step of each epoch


def test_steps_are_counted_over_all_fits_and_optimisers():
    one, other = (line(0.1, dtype="float64", schedule=lambda step: 0.5**step) for _ in range(2))
    one.fit(*TO_1, epochs=2)
    other.fit(*TO_1, epochs=1, max_steps=3)
    other.fit(*TO_1)
    other.optimizer = bpjit.SGD(learning_rate=0.1)
    other.fit(*TO_1, epochs=1)
    assert bits(one.net) == bits(other.net)
    assert one.history["loss"] == other.history["loss"]


def test_a_layer_with_a_rate_of_its_own_keeps_its_proportion():
    X, t = classes()
    one = trainer(bpjit.SGD(learning_rate=0.1), layers={2: {"learning_rate": 0.2}}, schedule=Constant(0.25))
    other = trainer(bpjit.SGD(learning_rate=0.025), layers={2: {"learning_rate": 0.05}})
    for each in (one, other):
        each.fit(X, t, epochs=2)
    assert bits(one.net) == bits(other.net)  # a quarter is exact


@pytest.mark.parametrize(
    "optimizer",
    [bpjit.Adam(learning_rate=0.1), bpjit.RMSProp(learning_rate=0.1), bpjit.SGD(learning_rate=0.1, momentum=0.9)],
    ids=repr,
)
def test_a_constant_factor_is_another_rate(optimizer):
    X, t = classes()
    one, other = trainer(optimizer, schedule=Constant(0.5)), trainer(optimizer)
    other.learning_rate = 0.05
    for each in (one, other):
        each.fit(X, t, epochs=2)
    assert bits(one.net) == bits(other.net)


def test_without_a_schedule_the_history_has_no_rate():
    one = line(0.1)
    assert one.schedule == Constant()
    assert set(one.fit(*TO_1, epochs=1)) == {"loss", "seconds"}


@pytest.mark.parametrize("watch", ["loss", "validation_loss"])
def test_on_plateau_is_driven_by_the_results(watch):
    """The validation loss rises from the first epoch on, where the training loss falls."""
    wrong = [[0.0]], [-1.0]
    one = line(0.1, dtype="float64", schedule=OnPlateau(watch=watch, factor=0.5, patience=1))
    history = one.fit(*TO_1, epochs=6, validation=wrong)
    # Without a better one in epochs 2 and 3, and in 4 and 5: PyTorch's patience=1.
    wanted = [0.1] * 3 + [0.05] * 2 + [0.025] if watch == "validation_loss" else [0.1] * 6
    assert history["learning_rate"] == wanted
    assert 1 - bias(one) == pytest.approx(distances(np.repeat(wanted, 4) / 0.1)[-1], rel=1e-12)


def test_adaptive_ends_the_training():
    X = [[0.0]], [1.0]
    one = line(1e-5, schedule=Adaptive(tol=10.0, patience=1, divisor=10.0))
    history = one.fit(*X, epochs=10)
    # The first is the best so far; none is better by 10. The third division would be of a rate of 1e-7.
    assert one.stopped == "the training loss improves no more, at a learning rate of 1e-06 or less"
    assert history.epochs < 10
    assert history["learning_rate"] == pytest.approx([1e-5, 1e-5, 1e-6, 1e-7])
    with pytest.raises(ValueError, match="nothing is left to do"):
        one.fit(*X)


@pytest.mark.parametrize(
    "schedule", [Cosine(epochs=3), OnPlateau("loss", patience=0, threshold=0.9), lambda step: 0.9**step]
)
def test_the_same_bits_however_it_is_cut_into_calls_and_fits(schedule, short_calls):
    X, t = classes()
    whole, parts, steps = (trainer(schedule=schedule) for _ in range(3))
    whole.fit(X, t, epochs=4)
    parts.fit(X, t, epochs=4, max_steps=7)
    parts.fit(X, t)
    seen = []
    steps.fit(X, t, epochs=4, callbacks=Losses(seen))
    assert bits(whole.net) == bits(parts.net) == bits(steps.net)
    columns = [{**each.history, "seconds": None} for each in (whole, parts, steps)]
    assert columns[0] == columns[1] == columns[2]
    assert len(seen) == 20


class Losses(bpjit.Callback):
    def __init__(self, seen):
        self.seen = seen

    def on_batch_end(self, trainer, loss):
        self.seen.append(loss)


def test_a_divergence_takes_the_schedule_back_too():
    """The step that is too large is the last of epoch 3, which drove the schedule before that was known."""
    X, t = np.array([[math.sqrt(99.0)], [math.sqrt(99.0)]]), np.array([1.0, 1.001])
    validation = [[0.0]], [0.0]

    def make():
        return line((1e5 + 1) / 1e2, schedule=OnPlateau(patience=100), early_stopping=100)

    one, same = make(), make()
    with pytest.raises(bpjit.DivergenceError) as caught:
        one.fit(X, t, epochs=4, validation=validation, callbacks=Losses([]))
    assert (caught.value.epoch, caught.value.step) == (3, 1)
    assert one.state()[1]["judged"] == one.history.epochs == 1
    same.fit(X, t, epochs=4, validation=validation, max_steps=3)
    assert state_bits(one) == state_bits(same)


@pytest.mark.external
@pytest.mark.parametrize("name", ["OneCycleLR", "CosineAnnealingWarmRestarts", "ReduceLROnPlateau"])
def test_runs_are_those_of_pytorch(name):
    """Adam in float64, 23 samples in mini-batches of 5, 12 epochs: sums in another order, little amplified."""
    import torch
    from torch.optim import lr_scheduler

    (X, t), (Xv, tv) = classes(), classes(11, seed=1)
    ours = {
        "OneCycleLR": schedules.OneCycle(steps=60),
        "CosineAnnealingWarmRestarts": Cosine(steps=10, restarts=True, growth=2),
        "ReduceLROnPlateau": OnPlateau(factor=0.5, patience=1, threshold=0.05),
    }[name]
    one = trainer(schedule=ours, shuffle=False)
    layers = [torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)]
    model = torch.nn.Sequential(*layers).double()
    with torch.no_grad():
        for layer, (W, b) in zip(layers[::2], one.net.parameters()):
            layer.weight[:], layer.bias[:] = torch.tensor(W), torch.tensor(b)
    history = one.fit(X, t, epochs=12, validation=(Xv, tv))

    adam = torch.optim.Adam(model.parameters(), lr=0.1)
    theirs = {
        "OneCycleLR": lambda: lr_scheduler.OneCycleLR(adam, 0.1, total_steps=60, cycle_momentum=False),
        "CosineAnnealingWarmRestarts": lambda: lr_scheduler.CosineAnnealingWarmRestarts(adam, 10, 2),
        "ReduceLROnPlateau": lambda: lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=1, threshold=0.05),
    }[name]()
    X, t, Xv, tv = map(torch.tensor, (X, t, Xv, tv))
    cost = torch.nn.functional.cross_entropy
    losses, scores, rates = [], [], []
    for _ in range(12):
        total = 0.0
        for start in range(0, 23, 5):
            batch = slice(start, start + 5)
            rate = adam.param_groups[0]["lr"]
            adam.zero_grad()
            loss = cost(model(X[batch]), t[batch])
            loss.backward()
            adam.step()
            total += float(loss.detach()) * len(t[batch])
            if name != "ReduceLROnPlateau":
                theirs.step()
        losses.append(total / 23)
        rates.append(rate)
        scores.append(float(cost(model(Xv), tv).detach()))
        if name == "ReduceLROnPlateau":
            theirs.step(scores[-1])
    assert len(set(rates)) > 2
    assert history["learning_rate"] == pytest.approx(rates, rel=1e-12)
    assert history["loss"] == pytest.approx(losses, rel=1e-9)
    assert history["validation_loss"] == pytest.approx(scores, rel=1e-9)


# Rates that are set


def test_a_rate_that_is_set_goes_on_with_the_moments():
    X, t = classes()
    one, other = trainer(), trainer()
    for each in (one, other):
        each.fit(X, t, epochs=2)
    one.learning_rate = 0.01
    other.optimizer = bpjit.Adam(learning_rate=0.01)
    assert one.learning_rate == 0.01
    for each in (one, other):
        each.fit(X, t, epochs=1)
    assert state_bits(one) == state_bits(other)
    assert one.history["learning_rate"] == [0.1, 0.1, 0.01]


def test_a_rate_that_is_set_before_the_first_step_is_no_change():
    one = trainer()
    one.learning_rate = 0.2
    assert "learning_rate" not in one.fit(*classes(), epochs=1)


@pytest.mark.parametrize(
    ("rate", "error"), [(0.0, ValueError), (-1, ValueError), (math.nan, ValueError), ("1", TypeError)]
)
def test_rates_that_are_refused(rate, error):
    one = trainer()
    with pytest.raises(error, match="learning_rate must be"):
        one.learning_rate = rate
    assert one.learning_rate == 0.1


def test_another_schedule_begins_anew_between_fits():
    one = line(0.1, schedule=OnPlateau("loss", patience=0, threshold=0.9))
    one.fit(*TO_1, epochs=3)
    assert one.history["learning_rate"][-1] < 0.1
    one.schedule = OnPlateau("loss")
    one.fit(*TO_1, epochs=1)
    assert one.history["learning_rate"][-1] == 0.1
    one.schedule = None
    one.fit(*TO_1, epochs=1)
    assert one.history["learning_rate"][-1] == 0.1


# What is wrong gives one error, before anything changes


@pytest.mark.parametrize(
    ("schedule", "error", "words"),
    [
        ("Cosine", TypeError, "give bpjit.schedules.Cosine(...)"),
        (Cosine, TypeError, "schedule must be one such as bpjit.schedules.Cosine(...)"),
        (0.5, TypeError, "schedule must be one such as"),
    ],
)
def test_what_is_no_schedule(schedule, error, words):
    with pytest.raises(error, match=re.escape(words)):
        trainer(schedule=schedule)
    one = trainer()
    with pytest.raises(error, match=re.escape(words)):
        one.schedule = schedule
    assert one.schedule == Constant()


def test_l_bfgs_has_no_learning_rate():
    with pytest.raises(ValueError, match="LBFGS has no learning rate: set schedule=None"):
        trainer(bpjit.LBFGS(), schedule=Cosine(epochs=3))
    one = trainer(schedule=Cosine(epochs=3))
    with pytest.raises(ValueError, match="LBFGS has no learning rate"):
        one.optimizer = bpjit.LBFGS()
    assert isinstance(one.optimizer, bpjit.Adam)
    one.schedule = None
    one.optimizer = bpjit.LBFGS()
    for refused in (
        lambda: one.learning_rate,
        lambda: setattr(one, "learning_rate", 0.1),
        lambda: one.find_learning_rate(*classes()),
    ):
        with pytest.raises(ValueError, match="LBFGS has no learning rate"):
            refused()


@pytest.mark.parametrize(
    ("options", "schedule", "words"),
    [
        ({}, OnPlateau(), "OnPlateau watches 'validation_loss', which the history does not have: give a validation"),
        ({"validation": classes(7)}, OnPlateau("validation_f1"), "does not have: watch one of 'loss', 'seconds'"),
        ({"checkpoint": "run.ckpt"}, lambda step: 1.0, "the schedule is a function"),
    ],
)  # fmt: skip
def test_schedules_that_a_fit_refuses(options, schedule, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one = trainer(schedule=schedule)
    before = bits(one.net)
    with pytest.raises(ValueError, match=re.escape(words)):
        one.fit(*classes(), epochs=2, **options)
    assert bits(one.net) == before and one.updates == 0


def test_a_function_that_gives_a_wrong_factor_leaves_whole_steps(short_calls):
    one = line(0.1, schedule=lambda step: 1.0 if step < 6 else -1.0)
    with pytest.raises(ValueError, match=r"gives the factor -1\.0 for step 6"):
        one.fit(*TO_1, epochs=3)
    assert one.history.epochs == one.updates // 4
    one.schedule = None
    assert one.fit(*TO_1).epochs == 3


# The range test


def test_the_range_test_finds_where_the_loss_falls():
    """Of one sample, x = 0: the distance is multiplied by 1 - rate, until the rate passes 2."""
    one = line(0.5, dtype="float64")
    before = state_bits(one)
    sweep = one.find_learning_rate([[0.0]], [1.0], low=1e-4, high=100.0, steps=60)
    rates = np.geomspace(1e-4, 100.0, 60)
    assert sweep.rates == pytest.approx(rates, rel=1e-12)
    losses = distances(rates, 1.0)[:60] ** 2 / 2
    assert sweep.losses == pytest.approx(losses, rel=1e-6)  # near rate = 1 a difference of nearly equal numbers
    assert 0.03 < sweep.suggestion < 1.0
    assert state_bits(one) == before and one.net.history is None


def test_the_range_test_survives_divergence():
    one = line(0.5)
    sweep = one.find_learning_rate([[1e3]], [1.0], low=1e-12, high=1e12, steps=60)
    assert np.isinf(sweep.losses[-1]) and np.isfinite(sweep.losses[:10]).all()
    assert one.updates == 0


@pytest.mark.parametrize("shuffle", [True, False, [range(23)]])
def test_the_range_test_leaves_a_run_in_mid_epoch_alone(shuffle):
    (X, t), whole = classes(), trainer(shuffle=shuffle, early_stopping=bpjit.EarlyStopping("loss"))
    one = copy.deepcopy(whole)
    whole.fit(X, t, epochs=1)
    one.fit(X, t, epochs=1, max_steps=2)
    sweep = one.find_learning_rate(*classes(seed=3), steps=20)  # other data, too
    assert len(sweep.losses) == 20 and np.isfinite(sweep.losses).all()
    one.fit(X, t)
    assert state_bits(one) == state_bits(whole)


def test_the_range_test_goes_on_with_the_moments():
    """Its first step is Adam's next one."""
    X, t = classes()
    one, other = trainer(shuffle=False), trainer(shuffle=False)
    for each in (one, other):
        each.fit(X, t, epochs=3)
    sweep = one.find_learning_rate(X, t, low=0.1, high=0.1 * (1 + 1e-9), steps=10)
    seen = []
    other.fit(X, t, epochs=2, callbacks=Losses(seen))
    assert sweep.losses == pytest.approx(seen, rel=1e-6)  # of rates that differ by 1e-9


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"low": 0.0}, ValueError, "low must be greater than 0"),
        ({"low": 1.0, "high": 0.5}, ValueError, "high must be greater than 1.0"),
        ({"steps": 9}, ValueError, "steps must be at least 10"),
        ({"steps": 1e2}, TypeError, "steps must be an integer"),
        ({"X": np.zeros((23, 4))}, ValueError, "X has 4 columns"),
    ],
)
def test_range_tests_that_are_refused(options, error, words):
    X, t = classes()
    with pytest.raises(error, match=re.escape(words)):
        trainer().find_learning_rate(**({"X": X, "t": t} | options))


def test_functions_of_epochs():
    one = line(0.1, dtype="float64", schedule=Function(lambda epochs: 0.5**epochs, unit="epochs"))
    one.fit(*TO_1, epochs=2)
    assert 1 - bias(one) == pytest.approx(distances(0.5 ** (np.arange(8) / 4))[-1], rel=1e-12)
