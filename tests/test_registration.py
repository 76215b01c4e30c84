"""A user's own activations, losses, optimisers: checked, as good as those that are built in, and missed if absent."""

import math
import pickle
import re

import numba
import numpy as np
import pytest
from runs import bits, classes, python

import bpjit
from bpjit import differences, registration
from bpjit.engine import functions, jit, plan

pytestmark = pytest.mark.usefixtures("one_thread", "own_entries")

X, t = classes(samples=40)
T = np.eye(2)[t]

exp, like = functions.exp, functions.like
rate = 2.0


def sigma(z):
    return math.tanh(z)


def sigma_prime(z):
    return 1.0 - math.tanh(z) ** 2


def cost(y, t):
    return 0.5 * (y - t) ** 2


def cost_prime(y, t):
    return y - t


def cost_of_sample(y, t):
    return 0.5 * np.sum((y - t) ** 2)


def cost_of_sample_prime(y, t, i):
    return y[i] - t[i]


def momentum(w, g, v, learning_rate=0.1, momentum=0.5):
    """v <- momentum v + g."""
    v = momentum * v + g
    return w - learning_rate * v, v


def fitted(optimizer=None, threads=1, dtype="float64", targets=T, **options):
    options = {"activation": "tanh", "loss": "squared_error", "seed": 0} | options
    net = bpjit.Network([3, 6, 2], dtype=dtype, **options)
    net.fit(X, targets, epochs=3, batch_size=10, optimizer=optimizer or bpjit.SGD(0.1), threads=threads, seed=0)
    return net


def assert_alike(one, other, dtype="float64"):
    """Rounding, a dozen steps of it."""
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# As good as what is built in


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_activation_of_the_same_formula(dtype):
    bpjit.register_activation("own", sigma, sigma_prime)
    net = fitted(activation="own", dtype=dtype)
    assert net.activation_names == ("own",) and net.predict(X).dtype == dtype
    assert_alike(net, fitted(dtype=dtype), dtype)
    assert_alike(fitted(output="own", dtype=dtype), fitted(output="tanh", dtype=dtype), dtype)


def test_the_derivative_may_use_a():
    bpjit.register_activation("own", sigma, lambda z, a: 1 - a * a)
    assert_alike(fitted(activation="own"), fitted())


def test_functions_that_are_vectorised():
    """Those of bpjit.functions; whole numbers become float64 as in NumPy."""
    sigmoid, one = functions.sigmoid, functions.exp
    bpjit.register_activation("own", lambda z: sigmoid(z), lambda z, a: a * (one(0) - a))
    assert_alike(fitted(activation="own"), fitted(activation="sigmoid"))


@pytest.mark.nojit
def test_functions_called_from_python():
    for name in ("exp", "log", "log1p", "tanh", "sigmoid"):
        wanted = 1 / (1 + np.exp(-0.5)) if name == "sigmoid" else getattr(np, name)(0.5)
        assert getattr(functions, name)(0.5) == pytest.approx(wanted, rel=1e-15)
        assert getattr(functions, name)(np.float32(0.5)).dtype == np.float32
    assert like(np.float32(1), 0.1) == np.float32(0.1)
    assert bpjit.functions is functions


@pytest.mark.variants
@pytest.mark.nojit
def test_a_loss_of_the_same_formula():
    bpjit.register_loss("own", cost, cost_prime)
    bpjit.register_loss("own_of_samples", cost_of_sample, cost_of_sample_prime, per_output=False)
    built_in = fitted()
    for name in ("own", "own_of_samples"):
        net = fitted(loss=name)
        assert net.output == "identity"
        assert_alike(net, built_in)
        assert net.loss(X, T) == pytest.approx(built_in.loss(X, T), rel=1e-13)


@pytest.mark.variants
@pytest.mark.nojit
def test_an_optimizer_of_the_same_formula():
    Own = bpjit.register_optimizer("Own", momentum, moments=1)
    assert repr(Own()) == "Own(learning_rate=0.1)" and Own.__doc__ == momentum.__doc__
    assert_alike(fitted(Own(0.2)), fitted(bpjit.SGD(0.2, momentum=0.5)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_optimizer_with_a_beginning(dtype):
    """Adam: what is the same for all parameters is computed once a step, in float64."""

    def begin(step, learning_rate=1e-3, beta_1=0.9, beta_2=0.999):
        return (
            learning_rate / (1 - beta_1**step),
            1 / math.sqrt(1 - beta_2**step),
            beta_1,
            beta_2,
            1 - beta_1,
            1 - beta_2,
        )

    def update(w, g, m, v, rate, correction, beta_1, beta_2, rest_1, rest_2):
        m, v = beta_1 * m + rest_1 * g, beta_2 * v + rest_2 * g * g
        return w - rate * m / (math.sqrt(v) * correction + 1e-8), m, v

    Own = bpjit.register_optimizer("Own", update, moments=2, begin=begin)
    assert_alike(fitted(Own(0.01), dtype=dtype), fitted(bpjit.Adam(0.01), dtype=dtype), dtype)


def test_an_optimizer_that_counts_steps():
    Own = bpjit.register_optimizer("Own", lambda w, g, step, learning_rate=0.5: w - learning_rate / step * g)
    net = bpjit.Network([1, 1], loss="squared_error", bias=False, dtype="float64")
    net.set_parameters([([[1.0]], None)])
    trainer = bpjit.Trainer(net, Own(), batch_size=1)
    trainer.fit([[1.0]], [0.0], epochs=2)  # y = w, dC/dw = w: 1 - 1/2, then 1/2 - 1/4 1/2
    assert net.parameters()[0][0][0, 0] == 0.375


def test_three_moments_and_no_settings():
    Own = bpjit.register_optimizer("Own", lambda w, g, a, b, c: (w - 0.1 * (a + b + c), g, a, b), moments=3)
    net = bpjit.Network([1, 1], loss="squared_error", bias=False, dtype="float64")
    net.set_parameters([([[1.0]], None)])
    trainer = bpjit.Trainer(net, Own(), batch_size=1)
    trainer.fit([[1.0]], [0.0], epochs=3)  # the gradients 1, 1 and 0.9 come late: 1, 1 - 0.1, 0.9 - 0.1 (1 + 1)
    assert net.parameters()[0][0][0, 0] == pytest.approx(0.7, rel=1e-15)


def test_the_same_bits_for_one_thread_and_two(monkeypatch):
    monkeypatch.setattr(plan, "available_cpus", lambda: 2)
    monkeypatch.setattr(plan, "launch_seconds", lambda: 0.0)
    monkeypatch.setattr(plan.Pace, "next", lambda pace: (pace.plan, False))
    bpjit.register_activation("own", sigma, sigma_prime)
    bpjit.register_loss("own", cost_of_sample, cost_of_sample_prime, per_output=False)
    Own = bpjit.register_optimizer("Own", momentum, moments=1)
    # Eight blocks of samples, and enough work for the plan to share it.
    rng = np.random.default_rng(0)
    wide, targets = rng.normal(size=(512, 64)).astype(np.float32), rng.normal(size=(512, 8)).astype(np.float32)
    nets = []
    for threads in (1, 2):
        net = bpjit.Network([64, 256, 256, 8], activation="own", loss="own", seed=0)
        history = net.fit(wide, targets, epochs=2, batch_size=256, optimizer=Own(0.01), threads=threads, seed=0)
        assert history.plan.threads == min(threads, numba.config.NUMBA_NUM_THREADS)
        nets.append(net)
    assert bits(nets[0]) == bits(nets[1])


def test_nothing_of_the_engine_is_compiled_again(monkeypatch):
    fitted()
    compiled = set()
    translate = jit.Kernel._translate
    monkeypatch.setattr(
        jit.Kernel, "_translate", lambda kernel, wanted: compiled.add(kernel.name) or translate(kernel, wanted)
    )
    k = np.random.default_rng().random()  # no other run of the tests has compiled it
    bpjit.register_activation("quite_new", lambda z: k * z, lambda z: k)
    fitted(activation="quite_new")
    assert compiled - {"custom.ask"} == {"activations.quite_new", "activations.quite_new_prime"}


def test_a_constant_is_part_of_a_function(monkeypatch):
    """Of two functions of one name and text the disk cache must not take one for the other."""

    def bend(z):
        return rate * z

    @numba.njit
    def slope(z):
        return rate

    bpjit.register_activation("own", bend, slope)
    first = bpjit.Network([1, 1, 1], activation="own", loss="squared_error", init="zeros", dtype="float64")
    first.set_parameters([([[1.0]], [0.0]), ([[1.0]], [0.0])])
    assert first.predict([[1.0]]) == 2.0
    monkeypatch.setitem(globals(), "rate", 3.0)
    bpjit.register_activation("own", bend, slope)
    second = bpjit.Network([1, 1, 1], activation="own", loss="squared_error", init="zeros", dtype="float64")
    second.set_parameters(first.parameters())
    assert second.predict([[1.0]]) == 3.0
    assert first.predict([[1.0]]) == 2.0 == first.predict(np.ones((1, 1)))  # what exists keeps what it was made with


# What is refused


def activation(sigma=sigma, sigma_prime=sigma_prime, name="own", **options):
    return lambda: bpjit.register_activation(name, sigma, sigma_prime, **options)


def loss(cost=cost, cost_prime=cost_prime, name="own", **options):
    return lambda: bpjit.register_loss(name, cost, cost_prime, **options)


def optimizer(update, name="Own", **options):
    return lambda: bpjit.register_optimizer(name, update, **options)


def refuses(make, error, words):
    tables = [dict(registration.ACTIVATIONS), dict(registration.LOSSES), dict(registration.OPTIMIZERS)]
    with pytest.raises(error, match=re.escape(words)):
        make()
    assert tables == [registration.ACTIVATIONS, registration.LOSSES, registration.OPTIMIZERS]


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (activation(sigma_prime=lambda z: math.tanh(z) ** 2 - 1), "sigma_prime of activation 'own' is not "),
        (activation(sigma_prime=lambda z: 1.001 - 1.001 * math.tanh(z) ** 2), "is not the derivative of sigma at z = "),
        (activation(abs, lambda z: 1.0 if z > 0.01 else -1.0), "0.001: sigma_prime gives -1, differences of sigma 1"),
        (activation(lambda z: 1 / z, lambda z: -1 / z**2), "sigma of activation 'own' gives"),
        (loss(cost_prime=lambda y, t: t - y), "cost_prime of loss 'own' is not the derivative of cost by y at y = "),
        (loss(lambda y, t: y - t, lambda y, t: y * 0 + (0 if t > 4.9 else 1)), "gives 0, differences of cost 1"),
        (
            loss(cost_of_sample, lambda y, t, i: y[i] - t[0], per_output=False),
            "for i = 1: cost_prime gives",
        ),
        (loss(lambda y, t: math.log(t) - y, lambda y, t: -1), "cost of loss 'own' is not finite at y = -5, t = "),
        (optimizer(lambda w, g, learning_rate=0.1: w - learning_rate * g / abs(g)), "w = 0, g = 0: mend it there"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_the_point_and_both_values(make, words):
    refuses(make, ValueError, words)


KINKED = [
    (abs, np.sign),
    (lambda z: max(z, 0.0), lambda z: 1.0 if z > 0 else 0.0),
    (lambda z: max(z, 0.0), lambda z: 1.0 if z >= 0 else 0.0),
    (lambda z: min(max(z, 0.0), 6.0), lambda z, a: 1.0 if 0 < a < 6 else 0.0),
    (lambda z: 1 if z > 0 else 0, lambda z: 0),
]


@pytest.mark.nojit
@pytest.mark.parametrize("pair", KINKED, ids=range(len(KINKED)))
def test_a_bend_may_have_either_slope(pair):
    """By way of the differences alone: the compiler has no part in it."""
    z = differences.points(-10.0, 10.0, 500)
    f = np.vectorize(pair[0], otypes=[float])
    slopes = [float(pair[1](x) if pair[1].__class__ is np.ufunc or pair[1].__code__.co_argcount == 1
              else pair[1](x, pair[0](x))) for x in z]  # fmt: skip
    wrong, _ = differences.disagreements(f, np.array(slopes), z, -10.0, 10.0)
    assert not wrong.any()
    for factor in (-1.0, 0.999):
        if any(slopes):
            assert differences.disagreements(f, factor * np.array(slopes), z, -10.0, 10.0)[0].sum() > 100


@pytest.mark.nojit
def test_what_is_steep_or_flat_passes():
    z = differences.points(-10.0, 10.0, 500)
    right = [
        (lambda z: np.exp(z), lambda z: np.exp(z)),
        (lambda z: np.sin(50 * z), lambda z: 50 * np.cos(50 * z)),
        (lambda z: 1e-6 * z**3, lambda z: 3e-6 * z**2),
        (lambda z: np.maximum(z, 0) ** 2, lambda z: 2 * np.maximum(z, 0)),
    ]
    for f, slope in right:
        assert not differences.disagreements(f, slope(z), z, -10.0, 10.0)[0].any()


def nothing_for_some(z):
    if z > 0:
        return z


REFUSED = [
    (activation(lambda z: missing(z)), TypeError, "sigma of activation 'own' cannot be compiled by Numba: NameError"),  # noqa: F821
    (activation(lambda z: z + "a"), TypeError, "No implementation of function Function(<built-in function add>)"),
    (activation(lambda z: (z, z)), TypeError, "sigma of activation 'own' gives 2 values, but must give one number"),
    (activation(nothing_for_some), TypeError, "gives nothing on some of its paths, but must give one number"),
    (activation(lambda z: 1j * z), TypeError, "gives complex128, but must give one number"),
    (optimizer(lambda w, g: (w, g)), TypeError, "update of optimizer 'Own' gives 2 values, but must give one number"),
    (optimizer(lambda w, g, m: w - g, moments=1), TypeError, "gives float64, but must give 2 numbers, the new w and"),
    (
        optimizer(lambda w, g, r: w, begin=lambda step, k=1.0: k),
        TypeError,
        "begin gives float64, but must give a tuple",
    ),
    (optimizer(lambda w, g: w, begin=lambda step, k=1.0: (k, k)), TypeError, "0 moments and the 2 numbers of begin"),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED)
def test_what_numba_cannot_compile_is_refused_in_a_line(make, error, words):
    with pytest.raises(error, match=re.escape(words)) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (activation(name="relu"), ValueError, "name is 'relu', but that activation is built in: choose another name"),
        (loss(name="squared_error"), ValueError, "that loss is built in"),
        (optimizer(momentum, name="Adam", moments=1), ValueError, "that optimizer is built in"),
        (activation(name="my act"), ValueError, "name is 'my act', but must be a word"),
        (activation(name="lambda"), ValueError, "must be a word"),
        (activation(name=3), TypeError, "name must be a string, such as 'my_activation', not 3"),
        (activation("tanh"), TypeError, "sigma must be a function (def, lambda or @njit), not 'tanh'"),
        (activation(sigma_prime=lambda: 1), TypeError, "sigma_prime takes (), but is called as sigma_prime(z) or "),
        (loss(cost_prime=cost_of_sample_prime), TypeError, "cost_prime takes (y, t, i), but is called as "),
        (activation(over=(1, -1)), ValueError, "over is (1, -1), but its low end must be below its high end"),
        (activation(over=3), TypeError, "over must be a pair (low, high), not 3"),
        (activation(over=(0, math.inf)), ValueError, "over[1] must be finite"),
        (activation(initializer="he"), ValueError, "initializer is 'he', but must be one of"),
        (loss(output="sigmoyd"), ValueError, "did you mean 'sigmoid'?"),
        (loss(targets="all"), ValueError, "targets is 'all', but must be one of 'any', "),
        (loss(per_output=1), TypeError, "per_output must be True or False"),
        (optimizer(momentum), TypeError, "update takes (w, g, v) without defaults, but with moments=0"),
        (optimizer(momentum, moments=4), ValueError, "moments must be at least 0 and at most 3"),
        (optimizer(lambda w, g, learning_rate=0: w), ValueError, "learning_rate must be greater than 0"),
        (optimizer(lambda w, g, rate="a": w), TypeError, "rate must be a real number"),
        (optimizer(lambda w, g, update=1: w), ValueError, "a setting is called 'update', as a part of"),
        (optimizer(lambda w, g, r: w, begin=lambda s, k=1: (k,)), TypeError, "begin takes (s), but must take (step, "),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(make, error, words):
    refuses(make, error, words)


def test_settings_are_checked():
    Own = bpjit.register_optimizer("Own", momentum, moments=1)
    with pytest.raises(ValueError, match="learning_rate must be greater than 0, got -1"):
        Own(-1)
    with pytest.raises(ValueError, match="momentum must be finite"):
        Own(momentum=math.nan)


def test_a_cell_that_is_run_again():
    bpjit.register_activation("own", sigma, sigma_prime)
    entry = registration.ACTIVATIONS["own"]
    bpjit.register_activation("own", sigma, sigma_prime)
    assert registration.ACTIVATIONS["own"] is entry
    Own = bpjit.register_optimizer("Own", momentum, moments=1)
    assert bpjit.register_optimizer("Own", momentum, moments=1) is Own
    net = fitted(activation="own")
    y = net.predict(X)
    bpjit.register_activation("own", lambda z: 2 * z, lambda z: 2)  # mended
    assert np.array_equal(net.predict(X), y) and np.array_equal(net.predict(X[:3]), y[:3])
    assert not np.allclose(bpjit.Network(**net.configuration()).predict(X), y)


# Files, pickles, other processes


@pytest.fixture
def trainer():
    bpjit.register_activation("own", sigma, sigma_prime)
    bpjit.register_loss("own", cost, cost_prime)
    Own = bpjit.register_optimizer("Own", momentum, moments=1)
    net = bpjit.Network([3, 6, 2], activation="own", loss="own", dtype="float64", seed=0)
    trainer = bpjit.Trainer(net, Own(0.2), batch_size=10, seed=0)
    trainer.fit(X, T, epochs=1, max_steps=3)
    return trainer


def test_there_and_back(trainer, tmp_path):
    trainer.net.save(tmp_path / "net")
    trainer.checkpoint(tmp_path / "run")
    assert np.array_equal(bpjit.load(tmp_path / "net").predict(X), trainer.net.predict(X))
    others = [bpjit.Trainer.resume(tmp_path / "run"), pickle.loads(pickle.dumps(trainer))]
    trainer.fit(X, T, epochs=2)
    for other in others:
        other.fit(X, T, epochs=2)
        assert other.optimizer == trainer.optimizer
        assert bits(other.net) == bits(trainer.net)


READ = """
import pathlib, pickle, sys
import bpjit
folder = pathlib.Path(sys.argv[1])
unpickle = lambda path: pickle.loads(path.read_bytes())
readers = {"model": bpjit.load, "checkpoint": bpjit.Trainer.resume, "net": unpickle, "optimizer": unpickle}
for kind, read in readers.items():
    try:
        read(folder / kind)
    except bpjit.NotRegisteredError as error:
        print(error)
"""


def test_what_is_not_registered_is_named(trainer, tmp_path):
    """In another process, such as a worker, nothing of one's own is known until it is registered there."""
    trainer.net.save(tmp_path / "model")
    trainer.checkpoint(tmp_path / "checkpoint")
    (tmp_path / "net").write_bytes(pickle.dumps(trainer.net))
    (tmp_path / "optimizer").write_bytes(pickle.dumps(trainer.optimizer))
    missing = "the activation 'own' is neither built in nor registered in this process; if it is one of your own, call "
    missing += "bpjit.register_activation('own', ...) here first, with the functions that it had"
    *nets, own = python(READ, tmp_path)
    assert [message.endswith(missing) for message in nets] == [True] * 3
    assert "'{}' is no sound bpjit model: ".format(tmp_path / "model") in nets[0] and nets[2] == missing
    assert "the optimizer 'Own' is neither" in own and "bpjit.register_optimizer('Own', ...)" in own


def test_the_first_name_that_is_missing_is_named(trainer, tmp_path):
    trainer.checkpoint(tmp_path / "run")
    for table, name, words in (
        (registration.OPTIMIZERS, "Own", "bpjit.register_optimizer('Own'"),
        (registration.LOSSES, "own", "bpjit.register_loss('own'"),
        (registration.ACTIVATIONS, "own", "bpjit.register_activation('own'"),
    ):
        del table[name]
        with pytest.raises(bpjit.NotRegisteredError, match=re.escape(words)):
            bpjit.Trainer.resume(tmp_path / "run")
    assert issubclass(bpjit.NotRegisteredError, bpjit.FileFormatError)
