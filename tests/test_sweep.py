"""The rate that a range test suggests: of curves whose steepest place is known, with noise, in a real run."""

import math
import sys

import numpy as np
import pytest
from runs import classes

import bpjit
from bpjit.schedules import Range
from bpjit.sweep import Sweep

RATES = np.geomspace(1e-6, 10, 120)


def curve(rates, steepest=1e-2, noise=0.0, seed=0):
    """From 2.3 down to 0.5, steepest over log rate at that place; beyond 30 times it, it grows without end."""
    beyond = np.exp(np.minimum(3 * np.log(rates / (30 * steepest)), 200))
    return (
        2.3
        - 1.8 / (1 + (steepest / rates) ** 1.5)
        + beyond
        + noise * np.random.default_rng(seed).normal(size=len(rates))
    )


@pytest.mark.parametrize("steepest", [1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("count", [40, 120, 1000])
def test_the_steepest_place(count, steepest):
    """Within two of the rates: the curve is smooth, but the divergence shifts it a little."""
    rates = np.geomspace(1e-6, 10, count)
    found = Sweep(rates, curve(rates, steepest)).suggestion
    assert abs(np.searchsorted(rates, found) - np.searchsorted(rates, steepest)) <= max(2, count // 60)


@pytest.mark.parametrize("seed", range(8))
def test_noise_moves_it_little(seed):
    """A twentieth and a sixth of the fall, in single mini-batches: a factor of 1.6 and 3 at the most."""
    for noise, factor in ((0.1, 1.6), (0.3, 3.0)):
        found = Sweep(RATES, curve(RATES, noise=noise, seed=seed)).suggestion
        assert 1e-2 / factor < found < 1e-2 * factor


def test_one_bad_mini_batch_is_no_divergence():
    losses = curve(RATES, noise=0.05)
    wanted = Sweep(RATES, losses).suggestion
    losses[30] = 4.0
    assert Sweep(RATES, losses).suggestion == pytest.approx(wanted, rel=0.3)


@pytest.mark.parametrize("end", [math.nan, math.inf, 1e30])
def test_divergence_is_left_out(end):
    losses = curve(RATES)
    wanted = Sweep(RATES, losses)
    last = np.searchsorted(RATES, 0.5)
    losses[last:] = end
    found = Sweep(RATES, losses)
    assert found.suggestion == pytest.approx(wanted.suggestion, rel=0.1)
    assert np.isfinite(found.smoothed[: last - 2]).all() and np.nanmax(found.smoothed) < 3
    assert np.isnan(found.smoothed[last + 3 :]).all()


def test_losses_may_be_negative():
    assert Sweep(RATES, curve(RATES) - 100).suggestion == pytest.approx(Sweep(RATES, curve(RATES)).suggestion, rel=1e-9)


def test_where_nothing_falls_nothing_is_suggested():
    """Of noise alone a suggestion comes once in some 100 sweeps."""
    flat = [Sweep(RATES, np.random.default_rng(seed).normal(size=120)) for seed in range(100)]
    assert sum(one.suggestion is not None for one in flat) <= 4
    assert Sweep(RATES, np.ones(120)).suggestion is None
    assert Sweep(RATES, np.linspace(1, 2, 120)).suggestion is None
    assert repr(Sweep(RATES, np.ones(120))) == "Sweep(120 rates from 1e-06 to 10: no suggestion)"


def test_a_real_run():
    """A training with the suggestion gets further in 30 steps than with a thirtieth of it, or with the highest rate."""
    X, t = classes(200, 6, 3)

    def trainer(rate=1.0):
        net = bpjit.Network([6, 16, 3], seed=0, dtype="float64")
        return bpjit.Trainer(net, bpjit.SGD(rate), batch_size=20, seed=0, threads=1)

    rates, losses, one = Range(1e-5, 100, 80).factors(0, 80, 10), [], trainer()
    for rate in rates:
        one.optimizer = bpjit.SGD(rate)
        losses.append(one.net.loss(X, t))
        try:
            one.fit(X, t, epochs=1, max_steps=1)
        except bpjit.DivergenceError:
            losses[-1] = math.nan
            break
    losses += [math.nan] * (len(rates) - len(losses))
    found = Sweep(rates, losses)

    def loss_with(rate):
        one = trainer(rate)
        one.fit(X, t, epochs=3)
        return one.net.loss(X, t)

    assert 1e-3 < found.suggestion < 10
    assert loss_with(found.suggestion) < min(loss_with(found.suggestion / 30), loss_with(rates[-1]))


@pytest.mark.parametrize(
    ("rates", "losses", "words"),
    [
        (RATES, np.ones(5), "give one loss a rate"),
        (RATES[::-1], np.ones(120), "rates must be positive, and rise"),
        (RATES - 1, np.ones(120), "rates must be positive, and rise"),
        (RATES, np.full(120, math.nan), "0 losses come before training diverges, at least 10 are needed: begin lower"),
        (RATES[:9], np.ones(9), "at least 10 are needed"),
    ],
)
def test_what_is_refused(rates, losses, words):
    with pytest.raises(ValueError, match=words):
        Sweep(rates, losses)


def test_its_plot(tmp_path, monkeypatch):
    found = Sweep(RATES, curve(RATES, noise=0.05))
    (axes,) = found.plot(tmp_path / "rates.png").axes
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert [line.get_label() for line in axes.lines] == [
        "mini-batches", "smoothed", f"suggestion, {found.suggestion:.3g}"
    ]  # fmt: skip
    assert np.array_equal(axes.lines[0].get_ydata(), found.losses)
    assert set(axes.lines[2].get_xdata()) == {found.suggestion}
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("learning rate", "loss", "log")
    assert axes.get_ylim()[1] < 5  # what diverges is left out
    assert len(Sweep(RATES, np.ones(120)).plot().axes[0].lines) == 2
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'bpjit\[plot\]'"):
        found.plot()
