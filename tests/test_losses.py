"""Every loss of the table: C_s and its slope, kinks, extreme z, settings, targets, and what they make a network answer.

What the table's entries say of themselves (targets, classes, setting) decides which tests an entry gets.
"""

import re
from itertools import product
from pathlib import Path

import mpmath
import numpy as np
import pytest
import twins
from twins import central_differences, distance, loss_of, problem, reference_forward, reference_gradients

import bpjit
from bpjit import validation
from bpjit.engine.activations import ACTIVATIONS
from bpjit.engine.entry import find
from bpjit.engine.epoch import Data
from bpjit.engine.losses import LOSSES, PAIRS
from bpjit.engine.model import Model
from bpjit.engine.plan import Plan

DTYPES = ["float32", "float64"]
TEXTS = [*LOSSES, *(text for name in LOSSES for text in twins.WITH_SETTING.get(name, ()))]
CLASSIFIERS = [name for name, entry in LOSSES.items() if entry.classes]

pytestmark = pytest.mark.usefixtures("one_thread")


def entry_of(text):
    return LOSSES[text.partition("(")[0]]


def layer(n, loss, output="identity", dtype="float64"):
    """A network whose z is its input, whatever its bits."""
    net = bpjit.Network([n, n], output=output, loss=loss, dtype=dtype, init="zeros")
    net.set_parameters([(np.eye(n), np.zeros(n))])
    return net


def costs_and_slopes(net, z, t):
    """C_s (S,) and dC_s/dz (S, n): the gradient of the biases when a sample is alone."""
    costs = [net.loss(z[s : s + 1], t[s : s + 1]) for s in range(len(z))]
    slopes = [net.gradients(z[s : s + 1], t[s : s + 1])[-1][1] for s in range(len(z))]
    return np.array(costs), np.array(slopes, np.float64)


def rows(pairs, n=3):
    """(y, t) for single outputs as arrays (S, n), each pair once; the first ones fill the last row."""
    y, t = np.array([*pairs, *pairs[: -len(pairs) % n]], np.float64).T
    return y.reshape(-1, n), t.reshape(-1, n)


def examples(text, dtype):
    """y and t (S, 3) where C_s is defined, in numbers that both dtypes hold: kinks, ties, zeros, rounded outputs."""
    kind, draw = entry_of(text).targets, np.random.default_rng(0)
    small = 2.0**-10
    if kind == "any":
        values = [-30.0, -2.5, -1.0, -0.25, -small, 0.0, small, 0.25, 1.0, 2.0, 2.5, 30.0]
        y, t = rows(list(product(values, values)))
        drawn = draw.normal(size=(2, 20, 3))
        return np.r_[y, np.zeros((1, 3)), drawn[0]].astype("float32"), np.r_[t, np.ones((1, 3)), drawn[1]]
    if kind == "count":
        return rows(list(product([2.0**-66, small, 0.5, 1.0, 3.0, 10_000.0], [0.0, 1.0, 2.0, 50.0])))
    inside = [2.0**-100, small, 0.125, 0.5, 0.75, 1 - small, 1 - 2.0**-22]
    if kind == "unit":
        return rows(list(product(inside, [0.0, 0.25, 1.0])))
    if kind == "distribution":
        y, t = draw.choice(inside, (30, 3)), np.eye(3)[draw.integers(0, 3, 30)]
        t[::2] = draw.multinomial(64, [0.2, 0.3, 0.5], 15) / 64
        return y, t
    assert kind == "class", f"say which examples suit targets of the kind {kind!r}"
    y = np.array(list(product([-1.0, 0.25, 1.25], repeat=3)))  # ties, and margins of exactly 1
    return np.repeat(y, 3, axis=0), np.tile(np.eye(3), (len(y), 1))


# Every entry of the table


@pytest.mark.nojit
def test_every_loss_has_a_twin_and_every_setting_is_tried():
    assert LOSSES.keys() == twins.LOSSES.keys()
    assert {name for name, entry in LOSSES.items() if entry.setting} == twins.WITH_SETTING.keys()
    for name, entry in LOSSES.items():
        assert entry.name == name
        assert entry.output in ACTIVATIONS
        assert entry.targets in validation.TARGETS
        assert entry.classes in (None, "one", "each")
    assert {output for output, _ in PAIRS} <= ACTIVATIONS.keys() and {loss for _, loss in PAIRS} <= LOSSES.keys()


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("text", TEXTS)
def test_cost_and_slope_are_those_of_the_twin(text, dtype):
    """A term takes a handful of operations, exp and log among them, each right to 3 ULP at worst: 16 eps in all."""
    y, t = (np.asarray(array, dtype).astype(np.float64) for array in examples(text, dtype))
    cost, slope = loss_of(text)
    costs, slopes = costs_and_slopes(net := layer(3, text, dtype=dtype), y, t)
    wanted = np.array([cost(*pair) for pair in zip(y, t, strict=True)])
    g = np.array([[slope(*pair, i) for i in range(3)] for pair in zip(y, t, strict=True)])
    limit = 16 * np.finfo(dtype).eps
    sizes = 1 + np.abs(wanted) + np.abs(g * y).max(axis=1)  # what C_s is a difference of may be larger than C_s
    assert (np.abs(costs - wanted) <= limit * sizes).all()
    assert (np.abs(slopes - g) <= limit * (1 + np.abs(g).max(axis=1, keepdims=True))).all()
    assert np.count_nonzero(g) > 10
    assert abs(net.loss(y, t) - wanted.mean()) <= limit * sizes.mean()  # samples side by side, and more than a block


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("text", [name for name in TEXTS if entry_of(name).targets == "any"])
def test_a_small_error_keeps_its_digits(text, dtype):
    """Relative to C_s itself, by which one sees how close training has come. y - t is exact here."""
    e = 2.0 ** -np.arange(1, 20 if dtype == "float64" else 9)
    y, t = np.stack([1 + e, np.full_like(e, 2.0)], 1), np.array([[1.0, 2.0]] * len(e))
    costs, slopes = costs_and_slopes(layer(2, text, dtype=dtype), y, t)
    with mpmath.workdps(50):
        exact = np.array([exact_costs_of_small_errors(mpmath.mpf(1) + d, text) for d in e])
    # cos(y, t) takes lengths, whose roundings stay as they are while y - t shrinks
    limit = 16 * np.finfo(dtype).eps * (1 / e if text == "cosine" else 1)
    assert (np.abs(costs - exact) <= limit * exact).all()
    if text != "cosine":
        assert (slopes[:, 0] > 0).all() and (slopes[:, 1] == 0).all()


def exact_costs_of_small_errors(y, text):
    """C_s of the outputs (y, 2) with targets (1, 2) in the precision that mpmath is set to."""
    name, _, setting = text.rstrip(")").partition("(")
    c = mpmath.mpf(setting.partition("=")[2] or entry_of(text).setting.default) if entry_of(text).setting else None
    e = y - 1
    return float(
        {
            "squared_error": lambda: e**2 / 2,
            "absolute_error": lambda: e,
            "huber": lambda: e**2 / 2 if e <= c else c * (e - c / 2),
            "log_cosh": lambda: mpmath.log(mpmath.cosh(e)),
            "quantile": lambda: (1 - c) * e,
            "cosine": lambda: 1 - (y + 4) / mpmath.sqrt((y**2 + 4) * 5),
        }[name]()
    )


def check(outputs, output, text):
    """Against the specification. Its sums and the engine's differ in some 50 roundings, as good as random: 100 eps."""
    params, X, t = problem([3, 4, outputs], 5, "tanh", output, text)
    net = bpjit.Network([3, 4, outputs], "tanh", output, text, "float64")
    net.set_parameters(params)
    C, wanted = reference_gradients(params, X, t, "tanh", output, text)
    limit = 100 * np.finfo("float64").eps
    assert abs(net.loss(X, t) - C) <= limit * abs(C)
    assert distance([a for pair in net.gradients(X, t) for a in pair], [a for pair in wanted for a in pair]) <= limit


@pytest.mark.nojit
@pytest.mark.parametrize("text", TEXTS)
def test_one_output_and_a_setting(text):
    check(3, entry_of(text).output, text)
    if text != "cosine" and entry_of(text).output != "softmax":  # whose slopes are 0 for one output
        check(1, entry_of(text).output, text)


@pytest.mark.parametrize("text", TEXTS)
def test_gradients_are_central_differences(text):
    output = entry_of(text).output
    params, X, t = problem([3, 4, 3], 5, "tanh", output, text)
    y = reference_forward(params, X, "tanh", output)[1][-1]
    kink = find(LOSSES, text, "loss").value if "huber" in text else 0
    assert np.abs(np.abs(y - t) - kink).min() > 1e-4  # no kink between theta - h and theta + h
    net = bpjit.Network([3, 4, 3], "tanh", output, text, "float64")

    def C():
        net.set_parameters(params)
        return net.loss(X, t)

    arrays = [array for pair in params for array in pair]
    slopes = central_differences(C, arrays)  # to about 1e-9
    net.set_parameters(params)
    assert distance([a for pair in net.gradients(X, t) for a in pair], slopes) <= 1e-6


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_nan_goes_through(loss, dtype):
    """In any output, whatever the target: by a loss that is NaN training sees that it diverges."""
    for output in {"identity", LOSSES[loss].output}:
        model = Model((3, 3), (output,), loss, np.dtype(dtype), True)
        for i, label in product(range(3), range(3)):
            model.write([(np.eye(3), np.where(np.arange(3) == i, np.nan, 0.0))])
            X, t, labels = np.full((1, 3), 0.5, dtype), np.eye(3)[[label]].astype(dtype), np.zeros(0, np.intp)
            data = Data(X, labels, t, np.arange(1), np.zeros((0, 0), dtype))
            assert np.isnan(model.losses(data, 1, Plan(1, 1, "one thread"))[0])


# Kinks and corners


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("text", "y", "t", "slopes"),
    [
        ("absolute_error", [1.0, -2.0, 0.0], [1.0, -2.0, 0.0], [0, 0, 0]),
        ("quantile(0.25)", [1.0, -2.0, 0.0], [1.0, -2.0, 0.0], [0, 0, 0]),
        ("quantile(0.25)", [1.0, 1.0, 1.0], [2.0, 0.0, 1.0], [-0.25, 0.75, 0]),
        ("huber(2)", [2.0, -2.0, 5.0], [0.0, 0.0, 0.0], [2, -2, 2]),
        ("hinge", [1.0, 0.0, -1.0], [1, 0, 0], [0, 0, 0]),  # a margin of exactly 1
        ("hinge", [0.5, 0.25, 0.25], [1, 0, 0], [-1, 1, 0]),  # the first of two rivals
        ("hinge", [0.25, 0.25, 0.25], [0, 0, 1], [1, 0, -1]),
        ("hinge", [1.0, 0.5, -1.0], [1, -1, -1], None),
        ("cosine", [0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0, 0, 0]),
        ("cosine", [1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [0, 0, 0]),
    ],
)
def test_slopes_at_kinks(text, y, t, slopes):
    net = layer(3, text)
    if slopes is None:  # several signs are no class
        with pytest.raises(ValueError, match="one class a sample"):
            net.gradients([y], [t])
    else:
        assert net.gradients([y], [t])[0][1].tolist() == slopes


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_cosine_of_zero_vectors_and_lengths(dtype):
    net = layer(2, "cosine", dtype=dtype)
    X = np.array([[0, 0], [3, 4], [0, 0], [3, 4], [-3e-6, -4e-6], [4e6, -3e6]])
    t = np.array([[3, 4], [0, 0], [0, 0], [6, 8], [3, 4], [3, 4]])
    costs, _ = costs_and_slopes(net, X, t)
    np.testing.assert_allclose(costs, [1, 1, 1, 0, 2, 1], rtol=0, atol=8 * np.finfo(dtype).eps)
    assert costs.min() >= 0
    tiny = np.finfo(dtype).tiny
    assert np.isfinite(costs_and_slopes(net, np.full((1, 2), tiny), t[:1])[1]).all()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("text", TEXTS)
def test_outputs_that_are_rounded_to_zero_or_one(text, dtype):
    """log 0 and 1 / 0 would end the training of an output that saturates, or that relu has switched off."""
    y = np.array(list(product([0.0, 1.0], repeat=2)))
    t = np.tile(np.eye(2), (2, 1))
    costs, slopes = costs_and_slopes(layer(2, text, dtype=dtype), y, t)
    assert np.isfinite(costs).all() and np.isfinite(slopes).all()
    if entry_of(text).targets == "count":
        net = bpjit.Network([2, 2], output="relu", loss=text, dtype=dtype, init="zeros")
        assert np.isfinite(net.loss(y, 1e6 * t)) and not net.gradients(y, 1e6 * t)[0][0].any()


# The natural pairs at extreme z


def exact_pair(output, loss, z, t):
    """C_s and dC_s/dz of one sample as mpmath has them, from z."""
    z, t = [mpmath.mpf(float(x)) for x in z], [mpmath.mpf(float(x)) for x in t]
    if (output, loss) == ("softmax", "cross_entropy"):
        top = max(z)
        total = sum(mpmath.exp(x - top) for x in z)
        y = [mpmath.exp(x - top) / total for x in z]
        C = sum(t_i * (top - x + mpmath.log(total)) for x, t_i in zip(z, t, strict=True))
    elif (output, loss) == ("sigmoid", "binary_cross_entropy"):
        y = [1 / (1 + mpmath.exp(-x)) for x in z]
        C = sum(max(x, 0) + mpmath.log1p(mpmath.exp(-abs(x))) - t_i * x for x, t_i in zip(z, t, strict=True))
    else:
        assert (output, loss) == ("exp", "poisson"), "say what C_s of this pair is"
        y = [mpmath.exp(x) for x in z]
        C = sum(y_i - t_i * x for x, y_i, t_i in zip(z, y, t, strict=True))
    return C, [y_i - t_i for y_i, t_i in zip(y, t, strict=True)]


@pytest.mark.variants
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("output", "loss"), PAIRS)
@mpmath.workdps(50)
def test_pairs_are_right_at_extreme_z(output, loss, dtype):
    """To 16 eps of 1 and of what C_s is made of, from |z| = 0 to the greatest number there is."""
    info, eps = np.finfo(dtype), float(np.finfo(dtype).eps)  # mpmath takes NumPy's numbers for arrays
    extremes = [0.0, 1e-3, 1.0, 20.0, 80.0, 1e4, info.max]
    points = [sign * x for x in extremes for sign in (1, -1)]
    z = np.array(list(product(points, repeat=2)), dtype).astype(np.float64)
    for t in ([1.0, 0.0], [0.25, 0.75]) if loss != "poisson" else ([1.0, 0.0], [3.0, 40.0]):
        costs, slopes = costs_and_slopes(layer(2, loss, output, dtype), z, np.tile(t, (len(z), 1)))
        for z_s, C, delta in zip(z, costs, slopes, strict=True):
            if output == "exp" and z_s.max() > 80:  # exp ends near the greatest number there is
                assert np.isfinite(delta).all()
                assert (delta[z_s > 1e3] >= info.max / 4).all() if np.isfinite(C) else dtype == "float64"
                continue
            exact, wanted = exact_pair(output, loss, z_s, t)
            if np.isinf(
                C
            ):  # where it is within a few factors of the greatest number, what it is a sum of may be beyond
                assert abs(exact) > float(np.finfo("float64").max) / 4, (z_s, t)
                continue
            subtracted = sum(t_i * abs(mpmath.mpf(float(x))) for t_i, x in zip(t, z_s)) if output == "exp" else 0
            assert abs(float(C) - exact) <= 16 * eps * (1 + abs(exact) + subtracted), (z_s, t, C)
            largest = max(1, *map(abs, wanted))
            assert max(abs(float(d) - w) for d, w in zip(delta, wanted)) <= 16 * eps * largest, (z_s, t)


# Settings


@pytest.mark.nojit
@pytest.mark.parametrize("t", [[2, 0, 1], np.eye(3)[[2, 0, 1]], [[0.25, 0.5, 0.25], [1, 0, 0], [0.5, 0.5, 0]]])
@pytest.mark.parametrize("output", ["softmax", "sigmoid"])
def test_label_smoothing_is_that_of_the_targets(output, t):
    X = np.random.default_rng(0).normal(size=(3, 3))
    spread = (np.eye(3)[t] if np.ndim(t) == 1 else np.array(t)) * (1 - 0.1) + 0.1 / 3
    smooth, plain = layer(3, "cross_entropy(label_smoothing=0.1)", output), layer(3, "cross_entropy", output)
    assert smooth.loss(X, t) == pytest.approx(plain.loss(X, spread), rel=1e-15)
    np.testing.assert_allclose(smooth.gradients(X, t)[0][0], plain.gradients(X, spread)[0][0], rtol=1e-13)
    if np.ndim(t) == 2:
        smooth, plain = (layer(3, f"binary_cross_entropy{e}", output) for e in ("(0.1)", ""))
        halves = np.array(t) * (1 - 0.1) + 0.1 / 2
        assert smooth.loss(X, t) == pytest.approx(plain.loss(X, halves), rel=1e-15)


@pytest.mark.nojit
@pytest.mark.parametrize("text", [text for text in TEXTS if "(" in text])
def test_a_setting_stays_with_the_network(text, tmp_path):
    net = bpjit.Network([3, 3], loss=text.replace("=", " = "), seed=0)
    assert net.loss_name == net.configuration()["loss"] == text
    net.save(tmp_path / "net.safetensors")
    other = bpjit.load(tmp_path / "net.safetensors")
    assert other.loss_name == text
    X, t = np.ones((4, 3)), np.eye(3)[[0, 1, 2, 0]]
    assert other.loss(X, t) == net.loss(X, t) != bpjit.Network([3, 3], loss=entry_of(text).name, seed=0).loss(X, t)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("hubber", "loss is 'hubber', but must be one of .*'squared_error'.*did you mean 'huber'"),
        ("crossentropy", "did you mean 'cross_entropy'"),
        ("huber(0)", "delta of loss 'huber' must be greater than 0, got 0.0"),
        ("huber(delta=-1)", "delta of loss 'huber' must be greater than 0, got -1.0"),
        ("quantile(0)", "level of loss 'quantile' must be greater than 0 and less than 1, got 0.0"),
        ("quantile(level=1)", "level of loss 'quantile' must be greater than 0 and less than 1, got 1.0"),
        ("cross_entropy(1)", "label_smoothing of loss 'cross_entropy' must be at least 0 and less than 1, got 1.0"),
        ("binary_cross_entropy(-0.1)", "label_smoothing of loss 'binary_cross_entropy' must be at least 0"),
        ("huber(nan)", "delta of loss 'huber' must be finite"),
        ("huber(level=1)", "the setting of 'huber' is 'delta'"),
        ("hinge(1)", "'hinge' has no setting"),
    ],
)
def test_losses_that_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        bpjit.Network([2, 2], loss=loss)


# Targets


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [name for name in CLASSIFIERS if LOSSES[name].classes == "one"])
def test_labels_are_one_hot_rows(loss, dtype):
    X, labels = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).integers(0, 3, 40)
    net = layer(3, loss, dtype=dtype)
    net.set_parameters([(np.eye(3), np.full(3, 5.0))])
    assert net.loss(X, labels) == net.loss(X, np.eye(3)[labels])
    for one, other in zip(net.gradients(X, labels)[0], net.gradients(X, np.eye(3)[labels])[0], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.nojit
def test_two_classes_of_a_hinge_loss_may_be_written_in_several_ways():
    net = layer(1, "hinge")
    X, t = np.array([[-2.0], [0.5], [0.25], [3.0]]), np.array([-1.0, -1.0, 1.0, 1.0])
    wanted = np.mean([0, 1.5, 0.75, 0])
    for same in (t, t[:, None], t > 0, (t > 0).astype(int), t.astype(np.int8), t.tolist()):
        assert net.loss(X, same) == wanted
        assert net.gradients(X, same)[0][1] == [0.0]  # 1/4 - 1/4
        assert net.evaluate(X, same, ["accuracy", "r2"])["accuracy"] == 0.75
    assert net.loss(X, np.ones(4)) == np.mean([3, 0.5, 0.75, 0])
    assert net.loss(X, np.zeros(4)) == np.mean([0, 1.5, 1.25, 4])


BAD = {
    "distribution": ([[1, 0], [0.5, 0.6]], "t sums to 1.1 in row 1.*divide each row by its sum"),
    "class": ([[1, 0], [0.5, 0.5]], "t holds 0.5 at row 1, column 0.*give rows of one 1 and zeros, or .* labels"),
    "unit": ([[1, 0], [0.5, 1.5]], r"t holds 1.5 at row 1, column 1.*in \[0, 1\]: rescale t"),
    "count": ([[1, 0], [0.5, -0.5]], "t holds -0.5 at row 1, column 1.*non-negative: rescale t"),
    "any": ([[1, 0], [0.5, np.nan]], "t holds nan at row 1, column 1.*remove or fill"),
}


@pytest.mark.nojit
@pytest.mark.parametrize("loss", LOSSES)
def test_bad_targets_are_refused_before_anything_changes(loss):
    net, X = bpjit.Network([2, 2], loss=loss, seed=0), np.ones((2, 2))
    before = net.parameters()[0][0]
    t, message = BAD[LOSSES[loss].targets]
    for ask in (net.loss, net.gradients, net.fit, net.evaluate):
        with pytest.raises(ValueError, match=message):
            ask(X, t)
    np.testing.assert_array_equal(net.parameters()[0][0], before)


# Classifiers


@pytest.mark.nojit
def test_classes_of_a_hinge_loss():
    X = np.array([[0.4, 0.3, -2.0], [-3.0, -1.0, -2.0], [0.0, 0.0, 1.0]])
    net = layer(3, "hinge")
    assert net.classify(X).tolist() == [0, 1, 2]
    assert net.evaluate(X, [0, 1, 0]) == {"accuracy": pytest.approx(2 / 3)}
    assert net.evaluate(X, np.eye(3)[[0, 1, 0]]) == {"accuracy": pytest.approx(2 / 3)}
    one = layer(1, "hinge")
    assert one.classify([[-0.1], [0.0], [0.4]]).tolist() == [0, 1, 1]


@pytest.mark.nojit
def test_a_binary_cross_entropy_asks_for_one_half_whatever_the_output():
    X = np.array([[0.4, 0.6], [0.5, 3.0]])
    for output, wanted in (("identity", [[0, 1], [1, 1]]), ("tanh", [[0, 1], [0, 1]]), ("sigmoid", [[1, 1], [1, 1]])):
        assert layer(2, "binary_cross_entropy", output).classify(X).tolist() == wanted


@pytest.mark.nojit
@pytest.mark.parametrize("loss", LOSSES)
def test_who_is_a_classifier(loss):
    """classify, accuracy, and the score of a validation set."""
    X, t = np.eye(2), np.eye(2)
    net = bpjit.Network([2, 2], loss=loss, seed=0)
    history = net.fit(X, t, epochs=1, batch_size=2, validation=(X, t))
    assert ("validation_accuracy" in history.keys()) == (loss in CLASSIFIERS)
    assert np.isfinite(net.evaluate(X, t, ["loss", "r2"])["r2"])
    if loss in CLASSIFIERS:
        assert 0 <= net.evaluate(X, t)["accuracy"] <= 1
    else:
        with pytest.raises(ValueError, match=f"classify needs a classifier, but the loss is '{loss}': use predict"):
            net.classify(X)
        with pytest.raises(ValueError, match="accuracy needs a classifier"):
            net.evaluate(X, t)


# What a loss is for


def test_quantiles_of_a_sample():
    """A network of a bias alone learns the median, and other quantiles, of what it sees."""
    t = np.random.default_rng(0).exponential(size=999)
    for loss, level in (("absolute_error", 0.5), ("quantile(level=0.9)", 0.9)):
        net = bpjit.Network([1, 1], loss=loss, dtype="float64", init="zeros")
        for rate in (1.0, 0.1, 0.01):
            net.fit(np.zeros((999, 1)), t, epochs=100, batch_size=999, optimizer=bpjit.SGD(rate))
        found = net.predict([[0.0]])[0, 0]
        assert abs(np.mean(t <= found) - level) < 0.01


def test_the_rate_of_counts():
    """exp and Poisson's loss: the mean of the counts where x is 0 and where x is 1."""
    x = np.repeat([[0.0], [1.0]], 500, axis=0)
    t = np.random.default_rng(0).poisson(np.where(x > 0, 7.0, 2.0))
    net = bpjit.Network([1, 1], loss="poisson", dtype="float64", seed=0)
    net.fit(x, t, epochs=400, batch_size=1000, optimizer=bpjit.SGD(0.1))
    np.testing.assert_allclose(net.predict([[0.0], [1.0]])[:, 0], [t[:500].mean(), t[500:].mean()], rtol=1e-3)


# The page about them


@pytest.mark.nojit
def test_the_documented_table_is_the_table():
    page = (Path(__file__).parent.parent / "docs" / "losses.md").read_text(encoding="utf-8")
    documented = {}
    for line in page.splitlines():
        if cells := re.fullmatch(r"\| `(\w+)` \|.*\| `(\w+)` \| (\w+) \| ([^|]*)\|", line):
            documented[cells[1]] = cells[2], cells[3], cells[4].strip()
    table = {
        name: (entry.output, entry.targets, f"`{s.name}` = {s.default:g}" if (s := entry.setting) else "")
        for name, entry in LOSSES.items()
    }
    assert documented == table
