"""The table of optimisers: settings and their checks, steps beside twins and by hand, the way there and back through
JSON. An entry of the table brings its tests along, but for its twin."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from optimizer_twins import TWINS, VALUES, in_pairs, stepped
from runs import CHECKOUT, classes, python, state_bits
from safetensors.numpy import load_file

import bpjit
from bpjit.engine import optimizers, plan

BY_RULE = [name for name in optimizers.OPTIMIZERS if name != "LBFGS"]  # which is the matter of test_lbfgs.py
FULL_BATCH = {name for name, entry in optimizers.OPTIMIZERS.items() if entry.full_batch}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Threads, whose loop takes seconds to compile, are the matter of test_threads.py."""
    monkeypatch.setattr(plan, "available_cpus", lambda: 1)


@pytest.mark.nojit
def test_the_table():
    assert all(issubclass(entry, optimizers.Optimizer) for entry in optimizers.OPTIMIZERS.values())
    for name, entry in optimizers.OPTIMIZERS.items():
        assert getattr(bpjit, name) is entry and name in bpjit.__all__
        assert f"{name}(" in entry.__doc__  # an example


@pytest.mark.nojit
def test_every_entry_has_a_twin_and_values_for_every_setting():
    assert TWINS.keys() == VALUES.keys() == set(BY_RULE)
    for name in BY_RULE:
        defaults = {field.name: field.default for field in dataclasses.fields(optimizers.OPTIMIZERS[name])}
        assert {setting: values[0] for setting, values in VALUES[name].items()} == defaults


def other_values(name):
    """An optimiser none of whose settings is as by default."""
    settings = {setting: values[1] for setting, values in VALUES[name].items()}
    if name == "SGD":
        del settings["nesterov"]
    return optimizers.OPTIMIZERS[name](**settings)


SETTINGS = [
    bpjit.SGD(),
    bpjit.SGD(learning_rate=np.float32(0.5), momentum=np.float64(0.25)),
    bpjit.SGD(1, 0.9, True),
    bpjit.Adam(),
    bpjit.Adam(learning_rate=3, betas=[0, 0.5], eps=1e-3),
    bpjit.LBFGS(np.int8(3), 4, 1e-3, 0.5, False),
    *(optimizers.OPTIMIZERS[name]() for name in BY_RULE),
    *(other_values(name) for name in BY_RULE),
]


@pytest.mark.nojit
@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
def test_the_configuration_makes_an_optimizer_like_it(optimizer):
    configuration = json.loads(json.dumps(optimizer.configuration()))
    assert configuration["name"] == type(optimizer).__name__
    other = optimizers.from_configuration(configuration)
    assert other == optimizer
    assert repr(other) == repr(optimizer)
    assert np.array_equal(other.settings(), optimizer.settings())
    assert eval(repr(optimizer), dict(vars(optimizers))) == optimizer  # the repr is how one writes it


@pytest.mark.nojit
@pytest.mark.parametrize("optimizer", SETTINGS, ids=repr)
def test_settings_do_not_change(optimizer):
    """They are part of a trainer's state: another rate is another optimiser."""
    first = dataclasses.fields(optimizer)[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(optimizer, first.name, 1)
    assert type(getattr(optimizer, first.name)) is type(first.default)
    assert getattr(dataclasses.replace(optimizer, **{first.name: 7}), first.name) == 7


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: bpjit.SGD(learning_rate=0), ValueError, "learning_rate must be greater than 0, got 0"),
        (lambda: bpjit.SGD(learning_rate=-0.1), ValueError, "learning_rate must be greater than 0"),
        (lambda: bpjit.SGD(learning_rate=math.nan), ValueError, "learning_rate must be finite"),
        (lambda: bpjit.SGD(learning_rate=math.inf), ValueError, "learning_rate must be finite"),
        (lambda: bpjit.SGD(learning_rate=True), TypeError, "learning_rate must be a real number, got True"),
        (lambda: bpjit.SGD(learning_rate="0.1"), TypeError, "learning_rate must be a real number"),
        (lambda: bpjit.SGD(learning_rate=None), TypeError, "learning_rate must be a real number"),
        (lambda: bpjit.SGD(momentum=1), ValueError, "momentum must be at least 0 and less than 1"),
        (lambda: bpjit.SGD(momentum=-0.1), ValueError, "momentum must be at least 0 and less than 1"),
        (lambda: bpjit.SGD(momentum=math.nan), ValueError, "momentum must be finite"),
        (lambda: bpjit.SGD(momentum=False), TypeError, "momentum must be a real number"),
        (lambda: bpjit.SGD(momentum=0.9, nesterov=1), TypeError, "nesterov must be True or False"),
        (lambda: bpjit.SGD(nesterov=True), ValueError, "nesterov=True needs a momentum above 0"),
        (lambda: bpjit.SGD(dampening=0.1), ValueError, "dampening needs a momentum above 0"),
        (lambda: bpjit.SGD(1, 0.9, True, dampening=0.1), ValueError, "nesterov=True goes with dampening=0"),
        (lambda: bpjit.Adam(learning_rate=0), ValueError, "learning_rate must be greater than 0"),
        (lambda: bpjit.Adam(learning_rate=math.nan), ValueError, "learning_rate must be finite"),
        (lambda: bpjit.Adam(betas=(0.9, 1.0)), ValueError, "betas[1] must be at least 0 and less than 1"),
        (lambda: bpjit.Adam(betas=(-0.1, 0.9)), ValueError, "betas[0] must be at least 0 and less than 1"),
        (lambda: bpjit.Adam(betas=(0.9, True)), TypeError, "betas[1] must be a real number"),
        (lambda: bpjit.Adam(betas=0.9), ValueError, "betas must be two numbers"),
        (lambda: bpjit.Adam(betas=(0.9,)), ValueError, "betas must be two numbers"),
        (lambda: bpjit.Adam(eps=0), ValueError, "eps must be greater than 0"),
        (lambda: bpjit.Adam(eps=-1e-8), ValueError, "eps must be greater than 0"),
        (lambda: bpjit.RProp(etas=(0.5, 1.0)), ValueError, "etas must be a number below 1 and one above"),
        (lambda: bpjit.RProp(etas=(1.2, 0.5)), ValueError, "etas must be a number below 1 and one above"),
        (lambda: bpjit.RProp(step_sizes=(1, 0.1)), ValueError, "step_sizes must be (smallest, largest)"),
        (lambda: bpjit.RProp(weight_decay=0.1), TypeError, "weight_decay"),
        (lambda: bpjit.LBFGS(history=0), ValueError, "history must be at least 1"),
        (lambda: bpjit.LBFGS(max_line_search=1.5), TypeError, "max_line_search must be an integer"),
        (lambda: optimizers.from_configuration({"name": "Sgd"}), ValueError, "optimizer is 'Sgd'"),
        (lambda: optimizers.from_configuration({"name": "adam"}), ValueError, "did you mean 'Adam'"),
        (lambda: optimizers.from_configuration({}), TypeError, "optimizer must be one of"),
        (lambda: optimizers.from_configuration({"name": "SGD", "rate": 1}), TypeError, "rate"),
    ],
)
def test_settings_that_are_refused(make, error, words):
    with pytest.raises(error, match=re.escape(words)):
        make()


def test_the_optimizer_that_the_documents_make():
    text = (CHECKOUT / "docs" / "optimizers.md").read_text(encoding="utf-8")
    (code,) = (
        code for code in re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "class" in code
    )
    made = {"__name__": "heavy"}
    exec(code, made)
    # 1 - 0.5, v = -0.5; then v = -0.25 - 0.5 / sqrt(2) / 2
    optimizer = made["Heavy"](learning_rate=0.5, momentum=0.5)
    assert steps(optimizer, 2) == pytest.approx([0.5, 0.25 - 0.25 / math.sqrt(2)], rel=1e-14)
    assert repr(optimizer) == "Heavy(learning_rate=0.5, momentum=0.5)"


NUMBERS = [math.nan, math.inf, -math.inf, -1.0, "0.1", None, True, 1j, [0.1], np.ones(2)]
BAD = {
    float: NUMBERS,
    bool: [0, 1, "yes", None, np.array(True)],
    tuple: [0.9, (0.9,), (0.5, 0.6, 0.7), None, "ab", *((0.9, x) for x in NUMBERS), *((x, 0.9) for x in NUMBERS)],
    int: [0, -1, 1.5, "3", None, True],
}  # fmt: skip


@pytest.mark.nojit
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_bad_values_of_every_setting_are_refused(name):
    entry = optimizers.OPTIMIZERS[name]
    for field in dataclasses.fields(entry):
        for bad in BAD[type(field.default)]:
            with pytest.raises((ValueError, TypeError)) as error:
                entry(**{field.name: bad})
            assert str(error.value).startswith(field.name)
    with pytest.raises(TypeError, match="learning_ratio"):
        entry(learning_ratio=0.1)


# Steps.

SIZES = [70, 35, 2]  # inputs that fill a task and part of another, units that fill panels and part of another


def network(dtype="float64", sizes=SIZES):
    return bpjit.Network(sizes, "tanh", dtype=dtype, seed=0)


def one_step(trainer, X, t):
    trainer.fit(X, t, epochs=1, max_steps=1)
    return flat(trainer.net.parameters())


def flat(pairs):
    return [array for pair in pairs for array in pair]


@pytest.mark.parametrize("name", BY_RULE)
def test_steps_are_those_of_the_twin(name):
    """Relative to the longest step: it may be the quotient of rounded numbers, some of which nearly cancel."""
    X, t = classes(17, SIZES[0])
    begun = flat(network().parameters())
    for settings in in_pairs(name):
        net = network()
        trainer = bpjit.Trainer(net, optimizers.OPTIMIZERS[name](**settings), batch_size=17, shuffle=False)
        theta, memories = begun, [{} for _ in begun]
        for n in range(1, 5):
            known = zip(memories, theta, flat(net.gradients(X, t)), strict=True)
            wanted = [stepped(name, settings, memory, array, g, n) for memory, array, g in known]
            before, theta = theta, one_step(trainer, X, t)
            for found, twin, old in zip(theta, wanted, before, strict=True):
                longest = np.abs(twin - old).max()
                assert longest > 0 or n > 1  # RProp rests where a gradient changes its sign
                assert np.abs(found - twin).max() <= 1e-9 * longest + 1e-15, (settings, n)


@pytest.mark.nojit
@pytest.mark.parametrize("name", BY_RULE)
def test_a_few_parameters_without_the_compiler(name):
    """The same with one setting of all, small enough for plain Python."""
    X, t = classes(5)
    net, optimizer = network(sizes=[3, 4, 2]), other_values(name)
    trainer = bpjit.Trainer(net, optimizer, batch_size=5, shuffle=False)
    settings = dataclasses.asdict(optimizer)
    memories = [{} for _ in range(4)]
    for n in (1, 2, 3):
        known = zip(memories, flat(net.parameters()), flat(net.gradients(X, t)), strict=True)
        wanted = [stepped(name, settings, memory, array, g, n) for memory, array, g in known]
        for found, twin in zip(one_step(trainer, X, t), wanted, strict=True):
            assert found == pytest.approx(twin, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", BY_RULE)
def test_interrupted_and_resumed(name, tmp_path):
    """In mid-epoch, and again; the numbers that `begin` computes must not hang on what a process remembers."""
    X, t = classes(17)
    batch_size = 17 if name in FULL_BATCH else 5

    def make():
        return bpjit.Trainer(network(sizes=[3, 4, 2]), other_values(name), batch_size=batch_size, seed=1)

    whole, one = make(), make()
    whole.fit(X, t, epochs=12)
    one.fit(X, t, epochs=12, max_steps=3)
    while one.history.epochs < 12:
        one.checkpoint(tmp_path / "run")
        one = bpjit.Trainer.resume(tmp_path / "run")
        assert one.optimizer == other_values(name)
        one.fit(X, t, max_steps=2)
    assert state_bits(one) == state_bits(whole)


@pytest.mark.parametrize("name", ["SGD", "Adagrad", "Adam", "NAdam", "RProp"])
def test_another_optimizer_counts_its_steps_from_one(name, tmp_path):
    """Corrections of a bias, first steps and schedules follow the count; it is kept in checkpoints."""
    X, t = classes(17)
    optimizer = other_values(name)
    one = bpjit.Trainer(network(sizes=[3, 4, 2]), bpjit.Lion(0.01), batch_size=17, shuffle=False)
    one.fit(X, t, epochs=5)
    fresh = bpjit.Trainer(network(sizes=[3, 4, 2]), optimizer, batch_size=17, shuffle=False)
    fresh.net.set_parameters(one.net.parameters())
    one.optimizer = optimizer
    for trainer in (one, fresh):
        trainer.fit(X, t, epochs=2)
    one.checkpoint(tmp_path / "run")
    one = bpjit.Trainer.resume(tmp_path / "run")
    for trainer in (one, fresh):
        trainer.fit(X, t, epochs=2)
        trainer.optimizer = dataclasses.replace(optimizer, learning_rate=0.011)  # of the same class: goes on counting
        trainer.fit(X, t, epochs=1)
    for found, wanted in zip(flat(one.net.parameters()), flat(fresh.net.parameters()), strict=True):
        assert np.array_equal(found, wanted)


THREADS = """
import bpjit, optimizer_twins, runs
from bpjit.engine import plan

plan.available_cpus = lambda: 2
plan.launch_seconds = lambda: 0.0
plan.Pace.took = lambda *_: None
X, t = runs.classes(300, 70, 2)


def trained(threads, name, settings, layers):
    net = bpjit.Network([70, 140, 35, 2], "tanh", dtype="float64", seed=0)
    batch_size = 300 if name == "RProp" else 200
    trainer = bpjit.Trainer(net, getattr(bpjit, name)(**settings), batch_size, 0, threads, layers=layers)
    history = trainer.fit(X, t, epochs=2)
    assert history.plan.threads == threads, history.plan
    return runs.state_bits(trainer)


count = 0
for name in [*optimizer_twins.VALUES, "LBFGS"]:
    options = list(optimizer_twins.in_pairs(name)) if name != "LBFGS" else [{"weight_decay": 0.1}]
    for k, settings in enumerate(options[::5]):
        layers = [None, {2: "frozen"}, {1: "frozen", 3: {"learning_rate": 0.01}}][k % 3]
        one, two = (trained(threads, name, settings, layers) for threads in (1, 2))
        assert one == two, (name, settings, layers)
        count += 1
print(count)
"""


def test_the_same_bits_on_two_threads():
    (count,) = python(THREADS, NUMBA_NUM_THREADS="2", OMP_WAIT_POLICY="passive")
    assert int(count) > 3 * len(BY_RULE)


@pytest.mark.nojit
@pytest.mark.parametrize("name", sorted(FULL_BATCH))
def test_what_needs_all_samples_says_so(name):
    X, t = classes()
    trainer = bpjit.Trainer(network(sizes=[3, 4, 2]), optimizers.OPTIMIZERS[name](), batch_size=22)
    before = state_bits(trainer)
    with pytest.raises(ValueError, match=f"{name} needs all 23 samples .* batch_size is 22: give batch_size=23"):
        trainer.fit(X, t, epochs=1)
    assert state_bits(trainer) == before


@pytest.mark.parametrize("name", [name for name in BY_RULE if "eps" in VALUES[name]])
def test_an_eps_that_float32_does_not_hold(name):
    """It would be 0 there, and 0 / 0 follow in the room beyond the last unit, and for units whose gradient is 0."""
    X, t = classes(17)
    X[:, 1] = 0
    net = network("float32", sizes=[3, 4, 2])
    net.fit(X, t, epochs=3, batch_size=17, optimizer=optimizers.OPTIMIZERS[name](learning_rate=1e-3, eps=1e-300))
    assert all(np.isfinite(array).all() for array in flat(net.parameters()))


def steps(optimizer, count, dtype="float64"):
    """The weight after each step, from 1: y = w x with x = 1 and t = 0, hence C = w^2 / 2 and dC/dw = w."""
    net = bpjit.Network([1, 1], loss="squared_error", bias=False, dtype=dtype)
    net.set_parameters([([[1.0]], None)])
    trainer = bpjit.Trainer(net, optimizer, batch_size=1)
    weights = []
    for _ in range(count):
        trainer.fit([[1.0]], [0.0], epochs=1)
        weights.append(float(net.parameters()[0][0][0, 0]))
    return weights


@pytest.mark.variants
@pytest.mark.nojit
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-14), ("float32", 1e-6)])
def test_steps_by_hand(dtype, bound):
    """dtype's rounding, a few times over."""
    assert steps(bpjit.SGD(learning_rate=0.5), 3, dtype) == [0.5, 0.25, 0.125]
    # v = 1, w = 1/2; v = 1/2 + 1/2, w = 0; v = 1/2 + 0, w = -1/4; v = 1/4 - 1/4, w = -1/4
    assert steps(bpjit.SGD(learning_rate=0.5, momentum=0.5), 4, dtype) == [0.5, 0.0, -0.25, -0.25]
    # v = 1, step (1 + 1/2) / 2; v = 1/2 + 1/4, step (1/4 + 3/8) / 2; v = 3/8 - 1/16, step (-1/16 + 5/32) / 2
    wanted = [0.25, -0.0625, -0.0625 - 3 / 64]
    assert steps(bpjit.SGD(learning_rate=0.5, momentum=0.5, nesterov=True), 3, dtype) == wanted
    # The first step of Adam is as long as the rate, but for eps, whatever the gradient: m / (1 - b1) = g, and so on.
    assert steps(bpjit.Adam(learning_rate=0.25, eps=1e-12), 1, dtype) == pytest.approx([0.75], rel=bound)
    # m = 1/2, then 1/4 + 3/8, corrected 5/6; v = 1/4, then 3/16 + 9/64, corrected by 7/16 to 3/4: 5/6 / sqrt(3/4)
    wanted = [0.75, 0.75 - 0.25 * (5 / 6) / math.sqrt(3 / 4)]
    assert steps(bpjit.Adam(0.25, betas=(0.5, 0.75), eps=1e-12), 2, dtype) == pytest.approx(wanted, rel=bound)
    # eps is added to the root, after the correction.
    assert steps(bpjit.Adam(learning_rate=0.25, eps=1.0), 1, dtype) == pytest.approx([0.875], rel=bound)


@pytest.mark.nojit
def test_momentum_of_zero_is_plain_descent():
    assert bpjit.SGD().moments == 0
    assert (bpjit.SGD(momentum=0.9).moments, bpjit.Adam().moments) == (1, 2)
    almost = steps(bpjit.SGD(learning_rate=0.1, momentum=1e-300), 5)
    assert steps(bpjit.SGD(learning_rate=0.1), 5) == pytest.approx(almost, rel=1e-15)


@pytest.mark.nojit
def test_biases_are_stepped_like_weights():
    """y = b with b = 1 and t = 0: the steps of the weight above."""
    net = bpjit.Network([1, 1], loss="squared_error", dtype="float64", seed=0)
    net.set_parameters([([[0.0]], [1.0])])
    trainer = bpjit.Trainer(net, bpjit.SGD(learning_rate=0.5, momentum=0.5), batch_size=1)
    trainer.fit([[0.0]], [0.0], epochs=3)
    ((W, b),) = net.parameters()
    assert (W[0, 0], b[0]) == (0.0, -0.25)


FORGETFUL = [
    bpjit.SGD(0.1, momentum=0.9),
    bpjit.Adam(betas=(0.9, 0.9)),
    bpjit.NAdam(betas=(0.9, 0.9)),
    bpjit.Adamax(),
    bpjit.Lion(betas=(0.9, 0.9)),
    bpjit.RMSProp(1e-3, alpha=0.9, momentum=0.9, centered=True),
    bpjit.Adadelta(),
]


@pytest.mark.parametrize("optimizer", FORGETFUL, ids=repr)
def test_moments_become_zero_and_not_subnormal(optimizer, tmp_path):
    """Of weights whose gradient stays 0: 0.9^1000 = 2e-46 is below every number of float32, 0.9^900 only just."""
    net = bpjit.Network([2, 1], loss="squared_error", seed=0)
    trainer = bpjit.Trainer(net, optimizer, batch_size=1)
    X, t = np.ones((1, 2), np.float32), np.ones((1, 1), np.float32)
    trainer.fit(X, t, epochs=1)
    X[0, 1] = 0  # from now on the second input is dead
    for epochs in range(800, 1000, 10):
        trainer.fit(X, t, epochs=epochs - trainer.history.epochs)
        trainer.checkpoint(tmp_path / "run")
        moments = [load_file(tmp_path / "run")[f"moment{k}.W1"][0, 1] for k in range(optimizer.moments)]
        assert all(moment == 0 or abs(moment) >= np.finfo(np.float32).tiny for moment in moments)
    shrinking = moments[:1] if isinstance(optimizer, bpjit.Adamax) else moments  # its second one is at least eps
    assert shrinking == [0] * len(shrinking)
