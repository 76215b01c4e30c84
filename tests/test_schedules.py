"""Schedules: their values by hand and beside PyTorch and scikit-learn, their checks, the way there and back by JSON."""

import dataclasses
import json
import math
import re
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import bpjit
from bpjit import schedules
from bpjit.schedules import (
    Adaptive,
    Constant,
    Cosine,
    Exponential,
    Function,
    InverseScaling,
    OneCycle,
    OnPlateau,
    PerEpoch,
    Polynomial,
    Range,
    Step,
    WarmUp,
)

STEPS_PER_EPOCH = 7


def shown(value):
    """The name of a test, which is the same in every process: no address of a function is in it."""
    return re.sub(r" at 0x\w+", "", repr(value))


def halves(step):
    return 0.5**step


TIMED = [
    Constant(),
    Constant(0.5),
    Step(epochs=3),
    Step(epochs=2.5, gamma=0.5),
    Step(steps=5),
    Step(epochs=[1, 2.5, 9]),
    Step(steps=(4, 30)),
    Exponential(),
    Exponential(steps=10, gamma=0.5),
    InverseScaling(),
    InverseScaling(epochs=1 / 100, power=1),
    Polynomial(epochs=5),
    Polynomial(steps=40, power=2, minimum=0.1),
    Cosine(epochs=8),
    Cosine(steps=9, restarts=True, minimum=0.25),
    Cosine(epochs=1.5, restarts=True, growth=1.5),
    OneCycle(epochs=8),
    OneCycle(steps=50, anneal_strategy="linear", div_factor=4, final_div_factor=10, pct_start=0.5),
    OneCycle(steps=50, three_phase=True),
    WarmUp(steps=10),
    WarmUp(epochs=2, then=Cosine(epochs=5), start=0),
    PerEpoch(WarmUp(epochs=2, then=Step(epochs=3))),
    Range(1e-6, 10, 45),
]
WATCHING = [
    OnPlateau(),
    OnPlateau(
        "validation_accuracy", factor=0.5, patience=0, threshold=0, threshold_mode="abs", cooldown=3, minimum=0.01
    ),
    Adaptive(),
    Adaptive("profit", mode="max", tol=0, patience=11, divisor=2, stop_below=0),
    WarmUp(steps=10, then=OnPlateau(patience=1)),
    PerEpoch(Adaptive()),
]


def test_the_table():
    assert all(
        name == entry.__name__ == getattr(schedules, name).__name__ for name, entry in schedules.SCHEDULES.items()
    )
    assert {type(entry) for entry in TIMED + WATCHING} | {Function} == set(schedules.SCHEDULES.values())
    assert bpjit.schedules is schedules


# Driven by time


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (Constant(2), [2, 2, 2, 2, 2, 2]),
        (Step(epochs=1.5), [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
        (Step(epochs=[1, 2], gamma=0.5), [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]),
        (Exponential(gamma=0.25), [1, 0.5, 0.25, 0.125, 1 / 16]),
        (InverseScaling(power=1), [1, 1 / 2, 1 / 3, 1 / 4]),
        (InverseScaling(epochs=1, power=2), [1, 1 / 1.5**2, 1 / 4, 1 / 2.5**2]),
        (Polynomial(epochs=2, power=2), [1, 9 / 16, 1 / 4, 1 / 16, 0, 0]),
        (Polynomial(steps=2, minimum=0.5), [1, 0.75, 0.5, 0.5]),
        (Cosine(epochs=2, minimum=0.5), [1, 0.75 + math.sqrt(2) / 8, 0.75, 0.75 - math.sqrt(2) / 8, 0.5, 0.5, 0.5]),
        (Cosine(steps=2, restarts=True, growth=2), [1, 0.5, 1, 0.5 + math.sqrt(2) / 4, 0.5, 0.5 - math.sqrt(2) / 4, 1]),
        (OneCycle(steps=5, pct_start=0.6, div_factor=2, final_div_factor=2), [0.5, 0.75, 1, 0.625, 0.25, 0.25]),
        (OneCycle(steps=1), [1 / 25e4, 1 / 25e4]),
        (WarmUp(steps=2, start=0.5, then=Step(steps=2)), [0.5, 0.75, 1, 1, 0.1, 0.1]),
        (WarmUp(epochs=1, start=0, then=Constant(0.5)), [0, 0.25, 0.5, 0.5]),
        (PerEpoch(WarmUp(epochs=2, start=0)), [0, 0, 0.5, 0.5, 1, 1]),
        (Range(1, 16, 5), [1, 2, 4, 8, 16, 16]),
        (Function(halves), [1, 0.5, 0.25]),
        (Function(lambda epoch: 1 + epoch, unit="epochs"), [1, 1.5, 2, 2.5]),
        (PerEpoch(lambda step: step), [0, 0, 2, 2, 4]),
    ],
    ids=shown,
)
def test_by_hand(entry, wanted):
    """Two steps an epoch; a few roundings."""
    found = entry.factors(0, len(wanted), 2)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=1e-14, atol=1e-16)


@pytest.mark.parametrize("entry", TIMED, ids=shown)
def test_the_same_bits_wherever_a_run_is_cut(entry):
    whole = entry.factors(0, 100, STEPS_PER_EPOCH)
    cuts = [0, 1, 2, 5, 13, 14, 15, 31, 63, 64, 98, 100]
    parts = [entry.factors(a, b - a, STEPS_PER_EPOCH) for a, b in pairwise(cuts)]
    assert np.array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) > 1 or isinstance(entry, Constant)
    assert entry.factors(3, 0, STEPS_PER_EPOCH).shape == (0,)


@pytest.mark.parametrize(
    ("epochs", "steps"),
    [
        (Step(epochs=3), Step(steps=21)),
        (Step(epochs=[2, 5]), Step(steps=[14, 35])),
        (Exponential(), Exponential(steps=7)),
        (Polynomial(epochs=5), Polynomial(steps=35)),
        (Cosine(epochs=5, restarts=True, growth=2), Cosine(steps=35, restarts=True, growth=2)),
        (OneCycle(epochs=8), OneCycle(steps=56)),
        (WarmUp(epochs=2, then=Cosine(epochs=3)), WarmUp(steps=14, then=Cosine(steps=21))),
    ],
    ids=shown,
)
def test_a_duration_in_epochs_is_one_in_steps(epochs, steps):
    assert np.array_equal(epochs.factors(0, 80, STEPS_PER_EPOCH), steps.factors(0, 80, STEPS_PER_EPOCH))
    assert not np.array_equal(epochs.factors(0, 80, 5), steps.factors(0, 80, 5))


def test_an_epoch_has_one_factor():
    smooth = Cosine(epochs=10)
    stairs = PerEpoch(smooth).factors(3, 60, STEPS_PER_EPOCH)
    for k, factor in enumerate(stairs, start=3):
        assert factor == smooth.factors(k // STEPS_PER_EPOCH * STEPS_PER_EPOCH, 1, STEPS_PER_EPOCH)[0]


def test_time_alone_has_no_state():
    for entry in TIMED:
        assert entry.watched is None
        assert entry.begin() == entry.observe({}, {"loss": 1.0}) == entry.restored({}) == {}
        assert entry.ended({}, 1e-9) is None
    with pytest.raises(ValueError, match="the state of Constant is empty"):
        Constant().restored({"best": 1.0})


# A user's function


def test_a_function_gets_the_step_as_an_integer():
    seen = []
    schedules.schedule(lambda step: seen.append(step) or 1.0).factors(5, 3, STEPS_PER_EPOCH)
    assert seen == [5, 6, 7] and {type(step) for step in seen} == {int}


@pytest.mark.parametrize(
    ("function", "error", "words"),
    [
        (lambda step: 3.0 - step, ValueError, "the schedule gives the factor -1.0 for step 4"),
        (lambda step: math.nan, ValueError, "the schedule gives the factor nan for step 2"),
        (lambda step: math.inf, ValueError, "the schedule gives the factor inf for step 2"),
        (lambda step: None, TypeError, "the schedule's function gave None, but a factor is one number"),
        (lambda step: [1.0, 2.0], TypeError, "the schedule's function gave [1.0, 2.0]"),
    ],
)
def test_what_a_function_must_not_give(function, error, words):
    with pytest.raises(error, match=re.escape(words)):
        schedules.schedule(function).factors(2, 3, STEPS_PER_EPOCH)


def test_a_function_cannot_be_kept_and_says_what_can():
    for entry in (Function(halves), WarmUp(steps=5, then=halves), PerEpoch(halves)):
        with pytest.raises(ValueError, match=r"which a file cannot keep: use one of bpjit.schedules, or .* net.save"):
            entry.configuration()


# Driven by results


def follow(entry, column, scores):
    """The factor after each of the scores."""
    state, found = entry.begin(), []
    for score in scores:
        before = dict(state)
        after = entry.observe(state, {"loss": 0.0} | {column: score})
        assert state == before  # a new one each time
        state = json.loads(json.dumps(after))
        assert entry.restored(state) == after
        found.append(float(entry.factors(0, 1, STEPS_PER_EPOCH, state)[0]))
    return found


@pytest.mark.parametrize(
    ("entry", "scores", "wanted"),
    [
        (OnPlateau(patience=1), [1, 1, 1, 1, 1], [1, 1, 0.1, 0.1, 0.01]),
        (OnPlateau(patience=0, factor=0.5, minimum=0.2), [1, 2, 3, 4, 5], [1, 0.5, 0.25, 0.2, 0.2]),
        (OnPlateau(patience=0, cooldown=2, factor=0.5), [1, 1, 1, 1, 1], [1, 0.5, 0.5, 0.5, 0.25]),
        (OnPlateau(patience=0, threshold=0.5, factor=0.5), [8, 4, 1.9, 1], [1, 0.5, 0.5, 0.25]),
        (OnPlateau(patience=0, threshold=1, threshold_mode="abs", factor=0.5), [8, 7, 5, 4.5], [1, 0.5, 0.5, 0.25]),
        (OnPlateau(patience=0, factor=0.5), [2, math.nan, 1, math.nan, 1, math.inf], [1, 1, 1, 1, 0.5, 0.25]),
        (OnPlateau(patience=0, factor=0.5), [math.inf, 1, 0.5], [0.5, 0.5, 0.5]),
        (Adaptive(), [3, 2, 1, 1, 0.9999, 0.9998], [1, 1, 1, 1, 1, 1]),
        (Adaptive(), [3, 2, 2, 2, 1.99995, 1.9], [1, 1, 1, 0.2, 0.2, 0.2]),
        (Adaptive(), [1, 1, 1, 1, 1], [1, 1, 0.2, 0.2, 0.04]),
        (Adaptive(patience=1, divisor=2), [1, 2, math.nan, 3, 0.5], [1, 0.5, 0.5, 0.25, 0.25]),
        (PerEpoch(WarmUp(steps=1, start=1, then=Adaptive())), [1, 1, 1], [1, 1, 0.2]),
    ],
)  # fmt: skip
def test_results_by_hand(entry, scores, wanted):
    assert follow(entry, entry.watched, scores) == pytest.approx(wanted, rel=1e-14)


def test_the_greatest_may_be_the_best():
    rising = [0.5, 0.6, 0.6, 0.6, 0.7]
    for column, mode in (("validation_accuracy", None), ("validation_top_k(3)", None), ("profit", "max")):
        assert follow(OnPlateau(column, mode, patience=1), column, rising) == [1, 1, 1, 0.1, 0.1]
        assert follow(Adaptive(column, mode), column, rising) == [1, 1, 1, 0.2, 0.2]
    assert follow(OnPlateau("x", "max", patience=0, threshold=1), "x", [1, 2, 2.5, -9]) == [1, 0.1, 0.1, 0.1**2]
    assert (OnPlateau().mode, OnPlateau("loss").mode, OnPlateau("validation_r2").mode) == ("min", "min", "max")
    assert OnPlateau("validation_mae", mode="max").mode == "max"


def test_a_column_that_is_not_there():
    with pytest.raises(
        ValueError, match="OnPlateau watches 'validation_loss', which the history does not have: give a validation set"
    ):
        OnPlateau().observe(OnPlateau().begin(), {"loss": 1.0, "seconds": 2.0})
    with pytest.raises(ValueError, match=r"watches 'loss', which .*: watch one of 'seconds'"):
        WarmUp(steps=3, then=Adaptive()).observe(Adaptive().begin(), {"seconds": 2.0})


def test_warming_up_goes_with_what_results_say():
    entry = WarmUp(steps=4, start=0, then=OnPlateau(patience=0))
    state = entry.observe(entry.observe(entry.begin(), {"validation_loss": 1}), {"validation_loss": 1})
    np.testing.assert_allclose(entry.factors(2, 4, 10, state), [0.05, 0.075, 0.1, 0.1], rtol=1e-15)


def test_adaptive_says_when_to_end():
    """A rate of 1e-6 or less is divided no more: from 3e-6 after the second division, 1.2e-7."""
    entry, state, reasons = Adaptive(), Adaptive().begin(), []
    for _ in range(7):
        state = entry.observe(state, {"loss": 1.0})
        reasons.append(entry.ended(state, 3e-6))
    assert reasons[:4] == [None] * 4 and reasons[4] == reasons[6]
    assert reasons[4] == "the training loss improves no more, at a learning rate of 1e-06 or less"
    assert WarmUp(steps=5, then=entry).ended(state, 3e-6) == reasons[4]
    assert entry.ended(state, 1.0) is None
    assert entry.ended(entry.begin(), 1e-9) is None  # a user's own small rate is no result
    assert Adaptive(stop_below=0).ended(state, 3e-6) is None


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        (OnPlateau(), {}),
        (OnPlateau(), {"best": None, "bad": 0, "cooldown": 0}),
        (OnPlateau(), {"best": None, "bad": -1, "cooldown": 0, "factor": 1.0}),
        (OnPlateau(), {"best": None, "bad": 0, "cooldown": 0, "factor": 2.0}),
        (OnPlateau(), {"best": None, "bad": 0, "cooldown": 0, "factor": None}),
        (OnPlateau(), {"best": "1", "bad": 0, "cooldown": 0, "factor": 1.0}),
        (Adaptive(), {"best": 1.0, "failed": 0.5, "divisions": 0}),
        (Adaptive(), {"best": math.nan, "failed": 0, "divisions": 0}),
        (WarmUp(steps=5, then=Adaptive()), {"best": 1.0, "failed": 0, "divisions": 0, "more": 0}),
    ],
)
def test_states_that_are_refused(entry, state):
    with pytest.raises((ValueError, TypeError)):
        entry.restored(state)


# Settings


@pytest.mark.parametrize("entry", TIMED + WATCHING, ids=shown)
def test_the_configuration_makes_a_schedule_like_it(entry):
    other = schedules.from_configuration(json.loads(json.dumps(entry.configuration())))
    assert other == entry
    assert eval(repr(entry), vars(schedules)) == entry  # the repr is how one writes it
    assert np.array_equal(other.factors(0, 50, 7), entry.factors(0, 50, 7))
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.epochs = 3


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Constant(0), ValueError, "factor must be greater than 0"),
        (lambda: Cosine(), ValueError, "Cosine has neither of epochs and steps: give its duration by one of them"),
        (lambda: Step(), ValueError, "Step has neither of epochs and steps"),
        (lambda: Step(epochs=[1], steps=3), ValueError, "Step has both of epochs and steps"),
        (lambda: Polynomial(epochs=3, steps=30), ValueError, "Polynomial has both of epochs and steps"),
        (lambda: Cosine(epochs=0), ValueError, "epochs must be greater than 0"),
        (lambda: Cosine(epochs=math.inf), ValueError, "epochs must be finite"),
        (lambda: Cosine(steps=2.5), TypeError, "steps must be an integer"),
        (lambda: Cosine(steps=0), ValueError, "steps must be at least 1"),
        (lambda: Cosine(epochs=[1, 2]), TypeError, "epochs must be a real number"),
        (lambda: Step(epochs=[]), ValueError, "epochs must be one number or a list that rises"),
        (lambda: Step(epochs=[3, 3]), ValueError, "epochs must be one number or a list that rises"),
        (lambda: Step(steps=[1, 2.5]), TypeError, "steps[1] must be an integer"),
        (lambda: Step(epochs=1, gamma=1.5), ValueError, "gamma must be greater than 0 and at most 1"),
        (lambda: Exponential(gamma=0), ValueError, "gamma must be greater than 0"),
        (lambda: InverseScaling(power=0), ValueError, "power must be greater than 0"),
        (lambda: Polynomial(epochs=1, minimum=2), ValueError, "minimum must be at least 0 and at most 1"),
        (lambda: Cosine(epochs=1, restarts=1), TypeError, "restarts must be True or False"),
        (lambda: Cosine(epochs=1, growth=2), ValueError, "give restarts=True"),
        (lambda: Cosine(epochs=1, restarts=True, growth=0.5), ValueError, "growth must be at least 1"),
        (lambda: OneCycle(epochs=1, pct_start=1.5), ValueError, "pct_start must be at least 0 and at most 1"),
        (lambda: OneCycle(epochs=1, pct_start=0.6, three_phase=True), ValueError, "pct_start must be at least 0"),
        (lambda: OneCycle(epochs=1, anneal_strategy="cosine"), ValueError, "did you mean 'cos'"),
        (lambda: OneCycle(epochs=1, div_factor=0), ValueError, "div_factor must be at least 1"),
        (lambda: WarmUp(then=Cosine(epochs=1)), ValueError, "WarmUp has neither of epochs and steps"),
        (lambda: WarmUp(steps=1, start=2), ValueError, "start must be at least 0 and at most 1"),
        (lambda: WarmUp(steps=1, then=Cosine), TypeError, "then must be one such as bpjit.schedules.Cosine(...)"),
        (lambda: PerEpoch(3), TypeError, "of must be one such as bpjit.schedules.Cosine(epochs=30), or a function"),
        (lambda: Range(1, 1, 5), ValueError, "high must be greater than 1"),
        (lambda: Range(1, 2, 1), ValueError, "steps must be at least 2"),
        (lambda: Function(3), TypeError, "function must be a function of the step, not 3"),
        (lambda: Function(halves, unit="epoch"), ValueError, "did you mean 'epochs'"),
        (lambda: OnPlateau("profit"), ValueError, "'profit' is the best is not known: give mode='min'"),
        (lambda: OnPlateau(mode="least"), ValueError, "mode is 'least', but must be one of 'min', 'max'"),
        (lambda: OnPlateau(3), TypeError, "watch must be the name of a column"),
        (lambda: OnPlateau(factor=1), ValueError, "factor must be greater than 0 and less than 1"),
        (lambda: OnPlateau(patience=1.5), TypeError, "patience must be an integer"),
        (lambda: OnPlateau(threshold_mode="relative"), ValueError, "threshold_mode is 'relative'"),
        (lambda: Adaptive(divisor=1), ValueError, "divisor must be greater than 1"),
        (lambda: Adaptive(patience=0), ValueError, "patience must be at least 1"),
        (lambda: schedules.schedule("Cosin"), ValueError, "schedule is 'Cosin', but must be one of 'Constant'"),
        (lambda: schedules.schedule("Cosin"), ValueError, "did you mean 'Cosine'?"),
        (lambda: schedules.schedule("Cosine"), TypeError, "give bpjit.schedules.Cosine(...)"),
        (lambda: schedules.schedule(0.1), TypeError, "schedule must be one such as bpjit.schedules.Cosine(epochs=30)"),
        (lambda: schedules.from_configuration({"name": "OnPlatau"}), ValueError, "did you mean 'OnPlateau'?"),
        (lambda: schedules.from_configuration({}), TypeError, "schedule must be one of"),
        (lambda: schedules.from_configuration({"name": "Cosine", "epochs": 3, "rate": 1}), TypeError, "rate"),
    ],
)  # fmt: skip
def test_settings_that_are_refused(make, error, words):
    with pytest.raises(error, match=re.escape(words)):
        make()


# Beside others


def mlp(schedule, **options):
    """scikit-learn's, trained on labels that cannot be learnt, until it stops; its history, rate and optimiser."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    X, t = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    net = MLPClassifier((4,), solver="sgd", learning_rate=schedule, batch_size=8, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(X, t)
    return net


def test_adaptive_is_that_of_scikit_learn():
    net = mlp("adaptive", learning_rate_init=0.5, n_iter_no_change=1, tol=1e-3, max_iter=500)
    entry, state = Adaptive(tol=1e-3), Adaptive().begin()
    for loss in net.loss_curve_:
        assert entry.ended(state, 0.5) is None
        last, state = state, entry.observe(state, {"loss": loss})
    assert net.n_iter_ < 500
    assert entry.ended(state, 0.5)
    assert state["divisions"] > 5
    # It stops instead of the last division.
    assert 0.5 * entry.factors(0, 1, 5, last)[0] == pytest.approx(net._optimizer.learning_rate, rel=1e-14)


def test_inverse_scaling_is_that_of_scikit_learn():
    entry = PerEpoch(InverseScaling(epochs=1 / 40, power=0.3))
    for epochs in (1, 4):
        net = mlp("invscaling", learning_rate_init=0.5, power_t=0.3, max_iter=epochs)
        assert 0.5 * entry.factors(5 * epochs, 1, 5)[0] == pytest.approx(net._optimizer.learning_rate, rel=1e-14)


def of_torch(make, steps, every=1):
    """The learning rates of a scheduler of PyTorch, from 0.1, that is stepped after `every` mini-batches."""
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for step in range(1, steps + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step % every == 0:
            scheduler.step()
    return rates


PEERS = [
    (Constant(0.5), lambda torch, o: torch.ConstantLR(o, factor=0.5, total_iters=99)),
    (Step(steps=7, gamma=0.3), lambda torch, o: torch.StepLR(o, 7, gamma=0.3)),
    (Step(steps=[5, 20, 33], gamma=0.5), lambda torch, o: torch.MultiStepLR(o, [5, 20, 33], gamma=0.5)),
    (Exponential(steps=1, gamma=0.93), lambda torch, o: torch.ExponentialLR(o, 0.93)),
    (Polynomial(steps=30, power=2), lambda torch, o: torch.PolynomialLR(o, 30, power=2)),
    (Polynomial(steps=45), lambda torch, o: torch.LinearLR(o, 1, 0, 45)),
    (Cosine(steps=50, minimum=0.1), lambda torch, o: torch.CosineAnnealingLR(o, 50, eta_min=0.01)),
    (Cosine(steps=8, restarts=True), lambda torch, o: torch.CosineAnnealingWarmRestarts(o, 8)),
    (
        Cosine(steps=6, restarts=True, growth=2, minimum=0.1),
        lambda torch, o: torch.CosineAnnealingWarmRestarts(o, 6, 2, eta_min=0.01),
    ),
    (OneCycle(steps=50), lambda torch, o: torch.OneCycleLR(o, 0.1, 50, cycle_momentum=False)),
    (
        OneCycle(steps=50, pct_start=0.37, anneal_strategy="linear", div_factor=5, final_div_factor=20),
        lambda torch, o: torch.OneCycleLR(
            o,
            0.1,
            50,
            pct_start=0.37,
            anneal_strategy="linear",
            div_factor=5,
            final_div_factor=20,
            cycle_momentum=False,
        ),
    ),
    (
        OneCycle(steps=50, three_phase=True, pct_start=0.4),
        lambda torch, o: torch.OneCycleLR(o, 0.1, 50, pct_start=0.4, three_phase=True, cycle_momentum=False),
    ),
    (WarmUp(steps=12, start=1 / 3), lambda torch, o: torch.LinearLR(o, total_iters=12)),
    (
        WarmUp(steps=10, start=0.2, then=Cosine(steps=40)),
        lambda torch, o: torch.SequentialLR(
            o, [torch.LinearLR(o, 0.2, total_iters=10), torch.CosineAnnealingLR(o, 40)], [10]
        ),
    ),
    (Function(halves), lambda torch, o: torch.LambdaLR(o, halves)),
]


@pytest.mark.external
@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize(("entry", "make"), PEERS, ids=[shown(entry) for entry, _ in PEERS])
def test_the_rates_of_pytorch(entry, make):
    """PyTorch's are made from one another: a rounding a step; of a rate near 0 beside the first one, 0.1."""
    wanted = of_torch(make, 50)
    np.testing.assert_allclose(0.1 * entry.factors(0, 50, STEPS_PER_EPOCH), wanted, rtol=1e-13, atol=1e-16)
    # Stepped once an epoch of 3: what lasts so many steps lasts so many epochs.
    if getattr(entry, "steps", None) is not None and not isinstance(entry, WarmUp | OneCycle):
        of_epochs = PerEpoch(dataclasses.replace(entry, epochs=entry.steps, steps=None))
        found = 0.1 * of_epochs.factors(0, 150, 3)
        np.testing.assert_allclose(found, of_torch(make, 150, every=3), rtol=1e-13, atol=1e-16)


@pytest.mark.external
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"patience": 2, "factor": 0.5, "cooldown": 3},
        {"patience": 0, "threshold": 0.05, "threshold_mode": "abs", "mode": "max"},
        {"patience": 1, "threshold": 0.2, "mode": "max"},
        {"patience": 1, "factor": 0.5, "minimum": 0.1},
    ],
)
def test_plateaus_of_pytorch(settings):
    import torch

    entry = OnPlateau(**settings)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    others = {name: value for name, value in settings.items() if name != "minimum"}
    low = 0.1 * settings.get("minimum", 0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=low, eps=0, **others)
    scores = np.exp(np.random.default_rng(0).normal(scale=0.2, size=50) + abs(np.arange(50) - 25) / 25).tolist()
    wanted = []
    for score in scores:
        scheduler.step(score)
        wanted.append(optimizer.param_groups[0]["lr"])
    assert 0.1 * np.array(follow(entry, "validation_loss", scores)) == pytest.approx(wanted, rel=1e-13)
    assert len(set(wanted)) > 1


# The documents


def test_the_document_names_them_all_and_its_figure_can_be_drawn(tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "schedules.md").read_text(encoding="utf-8")
    assert [name for name in schedules.SCHEDULES if f"\n| `{name}` |" not in text] == []
    first, figure = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(first, {})
    path = tmp_path / "schedules.svg"
    exec(figure.replace("docs/schedules.svg", path.as_posix()), {})
    assert path.read_bytes().startswith(b"<?xml")


def test_they_load_without_the_compiler():
    program = "import sys, bpjit.schedules; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
