"""Layers with settings of their own, and frozen ones."""

import copy
import re

import numpy as np
import pytest
from optimizer_twins import stepped
from runs import classes, state_bits

import bpjit
from bpjit.engine import plan

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = [70, 35, 20, 2]
DEFAULTS = {
    "SGD": {"momentum": 0.5, "nesterov": True, "dampening": 0.0, "weight_decay": 0.2},
    "AdamW": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.3, "amsgrad": False, "decay_biases": False},
    "NAdam": {
        "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.3, "momentum_decay": 0.1, "decoupled_weight_decay": True,
    },
}  # fmt: skip
LAYERS = [
    {1: {"learning_rate": 0.002}},
    {-1: {"weight_decay": 0.0}, 2: {"learning_rate": 0.5, "weight_decay": 0.01}},
    {1: "frozen"},
    {2: "frozen", 3: {"decay_biases": False}},
    {3: "frozen", 2: {"learning_rate": 0.3, "decay_biases": True}},
    {1: "frozen", 2: "frozen"},
    {1: "frozen", 3: "frozen"},
]


def network(sizes=SIZES, **options):
    return bpjit.Network(sizes, "tanh", **({"dtype": "float64", "seed": 0} | options))


def flat(pairs):
    return [array for pair in pairs for array in pair if array is not None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layers", LAYERS, ids=repr)
@pytest.mark.parametrize("name", DEFAULTS)
def test_each_layer_is_stepped_with_its_own_settings(name, layers, bias):
    """As in test_optimizers.py, a twin for each array; frozen ones keep every bit."""
    X, t = classes(17, SIZES[0])
    net, settings = network(bias=bias), {"learning_rate": 0.1} | DEFAULTS[name]
    trainer = bpjit.Trainer(net, getattr(bpjit, name)(**settings), batch_size=17, shuffle=False, layers=layers)
    changes = {l % (len(SIZES)): value for l, value in layers.items()}  # -1 is 3 of 4
    memories = [{} for _ in range(2 * len(SIZES))]
    for n in (1, 2, 3):
        before, gradients = net.parameters(), net.gradients(X, t)
        trainer.fit(X, t, epochs=1)
        for l, (olds, founds, own) in enumerate(zip(before, net.parameters(), gradients), start=1):
            for k, (old, found, g) in enumerate(zip(olds, founds, own)):
                if old is None:
                    continue
                if changes.get(l) == "frozen":
                    assert np.array_equal(found, old)
                    continue
                twin = stepped(name, settings | changes.get(l, {}), memories[2 * l + k], old, g, n)
                assert np.abs(twin - old).max() > 0
                assert np.abs(found - twin).max() <= 1e-9 * np.abs(twin - old).max()


@pytest.mark.nojit
def test_a_frozen_layer_without_the_compiler():
    X, t = classes(5)
    net = network([3, 4, 2])
    (W1, b1), (W2, b2) = net.parameters()
    net.fit(X, t, epochs=2, batch_size=5, layers={1: "frozen"})
    (V1, c1), (V2, c2) = net.parameters()
    assert np.array_equal(W1, V1) and np.array_equal(b1, c1)
    assert np.abs(W2 - V2).max() > 0 and np.abs(b2 - c2).max() > 0


@pytest.mark.parametrize("layers", LAYERS[:1] + LAYERS[3:6], ids=repr)
def test_the_same_bits_however_a_step_is_cut(layers, monkeypatch):
    """Tasks of frozen layers are left out of the gradient, whether in chunks of samples or not."""
    X, t = classes(700, SIZES[0])  # two chunks
    found = set()
    for by_layer, in_chunks in ((False, False), (True, True)):
        chosen = plan.Plan(1, 2, "as the test wants it", by_layer, in_chunks)
        monkeypatch.setattr(plan, "choose", lambda *_, chosen=chosen: chosen)
        trainer = bpjit.Trainer(network(), bpjit.AdamW(0.01), 700, seed=0, layers=layers)
        trainer.fit(X, t, epochs=2)
        found.add(state_bits(trainer))
    assert len(found) == 1


def test_settings_of_all_layers_are_those_of_the_optimizer():
    """Bits: rows of coefficients that are alike do what one row does."""
    X, t = classes(17, SIZES[0])
    optimizer = bpjit.Adam(0.01, weight_decay=0.1)
    one = bpjit.Trainer(network(), bpjit.Adam(0.5), 5, seed=0, layers=dict.fromkeys((1, 2, 3), vars(optimizer)))
    other = bpjit.Trainer(network(), optimizer, 5, seed=0)
    for trainer in (one, other):
        trainer.fit(X, t, epochs=2)
    for found, wanted in zip(flat(one.net.parameters()), flat(other.net.parameters()), strict=True):
        assert np.array_equal(found, wanted)


def test_two_trainers_of_one_network_keep_their_layers_apart():
    """Their workspaces are shared, as are those of `gradients`."""
    X, t = classes(17, SIZES[0])
    net = network()
    a, b = (bpjit.Trainer(net, bpjit.SGD(0.1), 17, layers={l: "frozen"}) for l in (1, 3))
    for _ in range(2):
        for trainer, l in ((a, 1), (b, 3)):
            before = net.parameters()
            trainer.fit(X, t, epochs=1)
            same = [np.array_equal(W, V) for (W, _), (V, _) in zip(before, net.parameters())]
            assert same == [l == 1, False, l == 3]
            assert all(np.abs(g).max() > 0 for g in flat(net.gradients(X, t)))


@pytest.mark.parametrize("layers", LAYERS[1:5:2], ids=repr)
def test_they_are_kept_with_all_else(layers, tmp_path):
    X, t = classes(17, SIZES[0])

    def make():
        return bpjit.Trainer(network(), bpjit.NAdam(0.01, weight_decay=0.1), 5, seed=0, layers=layers)

    whole, one = make(), make()
    whole.fit(X, t, epochs=3)
    one.fit(X, t, epochs=3, max_steps=2)
    one.checkpoint(tmp_path / "run")
    resumed = bpjit.Trainer.resume(tmp_path / "run")
    assert resumed.layers == one.layers == {l % 4: value for l, value in sorted(layers.items(), key=lambda i: i[0] % 4)}
    for trainer in (resumed, copy.deepcopy(one)):
        trainer.fit(X, t)
        assert state_bits(trainer) == state_bits(whole)


@pytest.mark.nojit
def test_what_is_shown_of_them_is_a_copy():
    changes = {"learning_rate": 1}
    trainer = bpjit.Trainer(network(), layers={-1: changes})
    changes["learning_rate"] = trainer.layers[3]["learning_rate"] = 2
    assert trainer.layers == {3: {"learning_rate": 1.0}}
    assert bpjit.Trainer(network()).layers == {}


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ([1], TypeError, "layers must be a dict such as"),
        ("frozen", TypeError, "layers must be a dict such as"),
        ({0: "frozen"}, ValueError, "layers names layer 0, but there are 1 to 3, or -1 to -3 from the end"),
        ({4: "frozen"}, ValueError, "layers names layer 4, but there are 1 to 3"),
        ({-4: "frozen"}, ValueError, "layers names layer -4"),
        ({"1": "frozen"}, TypeError, "a layer's number in layers must be an integer"),
        ({1.0: "frozen"}, TypeError, "a layer's number in layers must be an integer"),
        ({True: "frozen"}, TypeError, "a layer's number in layers must be an integer"),
        ({3: "frozen", -1: {"momentum": 0.5}}, ValueError, "layers names layer 3 twice"),
        ({1: "Frozen"}, TypeError, "layers[1] must be 'frozen' or a dict of settings"),
        ({1: None}, TypeError, "layers[1] must be 'frozen' or a dict of settings"),
        ({1: 0.1}, TypeError, "layers[1] must be 'frozen' or a dict of settings"),
        ({-1: {"learning_rat": 0.1}}, ValueError, "did you mean 'learning_rate'"),
        (
            {-1: {"betas": (0.1, 0.9)}},
            ValueError,
            "a setting in layers[-1] is 'betas', but must be one of 'learning_ra",
        ),
        ({2: {3: 0.1}}, TypeError, "a setting in layers[2] must be one of"),
        ({2: {"learning_rate": 0}}, ValueError, "layers[2]: learning_rate must be greater than 0"),
        ({2: {"learning_rate": "0.1"}}, TypeError, "layers[2]: learning_rate must be a real number"),
        ({2: {"dampening": 0.5}}, ValueError, "layers[2]: nesterov=True goes with dampening=0"),
        ({2: {"momentum": 0, "nesterov": False}}, ValueError, "momentum, nesterov must be alike in all layers"),
        ({1: "frozen", 2: "frozen", -1: "frozen"}, ValueError, "layers freezes all layers: leave one to train"),
    ],
)
def test_layers_that_are_refused(layers, error, words):
    net = network()
    with pytest.raises(error, match=re.escape(words)):
        bpjit.Trainer(net, bpjit.SGD(0.1, 0.9, True), layers=layers)
    with pytest.raises(error, match=re.escape(words)):
        net.fit(*classes(4, SIZES[0]), optimizer=bpjit.SGD(0.1, 0.9, True), batch_size=4, layers=layers)
    assert net.history is None


@pytest.mark.nojit
def test_what_chooses_the_rule_is_alike_in_all_layers():
    for optimizer, changes in (
        (bpjit.Adam(), {"amsgrad": True}),
        (bpjit.RMSProp(), {"centered": True}),
        (bpjit.RMSProp(momentum=0.5), {"momentum": 0.0}),
        (bpjit.LBFGS(), {"history": 3}),
    ):
        with pytest.raises(ValueError, match=f"{next(iter(changes))} must be alike in all layers"):
            bpjit.Trainer(network(), optimizer, layers={1: changes})


@pytest.mark.nojit
def test_another_optimizer_must_have_their_settings():
    trainer = bpjit.Trainer(network(), bpjit.SGD(0.1, 0.9), layers={1: {"momentum": 0.5}})
    with pytest.raises(ValueError, match="'momentum'"):
        trainer.optimizer = bpjit.Adam()
    assert trainer.optimizer == bpjit.SGD(0.1, 0.9)
    trainer.optimizer = bpjit.RMSProp(momentum=0.9)
    assert trainer.layers == {1: {"momentum": 0.5}}
