"""Against PyTorch: the same parameters and the same order of mini-batches give the same losses, in float64."""

import dataclasses
import inspect

import numpy as np
import pytest
from optimizer_twins import VALUES, in_pairs
from runs import classes

import bpjit

pytestmark = pytest.mark.external

STEPS, SAMPLES, BATCH = 20, 70, 8  # two epochs of 9 mini-batches, the last of 6, and two mini-batches more
SIZES = [6, 40, 11, 3]
OPTIMIZERS = {
    "SGD": ("SGD", {"learning_rate": 0.1}),
    "momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "Nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    "Adam": ("Adam", {"learning_rate": 0.01}),
    "Adam, other settings": ("Adam", {"learning_rate": 0.01, "betas": (0.7, 0.9), "eps": 1e-3}),
}
"""With every loss and activation; those of the table follow with one of each."""
LOSSES = ["cross_entropy", "binary_cross_entropy", "squared_error"]


@pytest.fixture(autouse=True)
def one_thread_in_float64():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    kind = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # NAdam keeps a number of its own in it
    yield
    torch.set_num_threads(before)
    torch.set_default_dtype(kind)


def data(loss):
    X, labels = classes(SAMPLES, SIZES[0], SIZES[-1])
    draw = np.random.default_rng(1)
    if loss == "cross_entropy":
        return X, labels
    if loss == "binary_cross_entropy":
        return X, draw.integers(0, 2, (SAMPLES, SIZES[-1])).astype(np.float64)
    return X, np.eye(SIZES[-1])[labels] + draw.normal(size=(SAMPLES, SIZES[-1]))


def batches(orders, size=BATCH):
    return [order[start : start + size] for order in orders for start in range(0, SAMPLES, size)][:STEPS]


def costs_of_torch(z, t, loss):
    """The cost of a mini-batch from its z^L: the mean over samples of the sum over outputs."""
    from torch.nn import functional

    if loss == "cross_entropy":
        return functional.cross_entropy(z, t)
    if loss == "binary_cross_entropy":
        return functional.binary_cross_entropy_with_logits(z, t, reduction="sum") / len(t)
    return 0.5 * functional.mse_loss(z, t, reduction="sum") / len(t)


TORCHS = {"RMSProp": "RMSprop", "RProp": "Rprop"}


def optimizer_of_torch(name, settings, theta):
    """decay_biases is PyTorch's in groups of parameters."""
    import torch

    settings = {"lr" if key == "learning_rate" else key: value for key, value in settings.items()}
    groups = [{"params": theta}]
    if not settings.pop("decay_biases", True):
        groups = [{"params": theta[::2]}, {"params": theta[1::2], "weight_decay": 0.0}]
    return getattr(torch.optim, TORCHS.get(name, name))(groups, **settings)


def trace_of_torch(parameters, activation, loss, name, settings, batches):
    """The loss of each mini-batch before its update, and the parameters in the end."""
    import torch

    X, t = map(torch.tensor, data(loss))
    theta = [torch.tensor(array, requires_grad=True) for pair in parameters for array in pair]
    optimizer = optimizer_of_torch(name, settings, theta)
    losses = []
    for batch in batches:
        a = X[batch]
        for l in range(0, len(theta), 2):
            z = a @ theta[l].T + theta[l + 1]
            a = getattr(torch, activation)(z)
        C = costs_of_torch(z, t[batch], loss)
        losses.append(C.item())
        optimizer.zero_grad()
        C.backward()
        optimizer.step()
    return losses, [array.detach().numpy() for array in theta]


def trace(net, optimizer, loss, orders, size):
    X, t = data(loss)
    trainer = bpjit.Trainer(net, optimizer, batch_size=size, shuffle=orders, threads=1)
    losses = []
    for batch in batches(orders, size):
        losses.append(net.loss(X[batch], t[batch]))
        trainer.fit(X, t, epochs=1, max_steps=1)
    return losses


def assert_the_same(loss, activation, name, settings, size=BATCH, bound=1e-12):
    """Losses within `bound`, parameters within ten times as much, and changed by more than that."""
    orders = [np.random.default_rng(epoch).permutation(SAMPLES) for epoch in range(-(-STEPS * size // SAMPLES) + 1)]
    net = bpjit.Network(SIZES, activation, loss=loss, dtype="float64", seed=0)
    begun = [array for pair in net.parameters() for array in pair]
    wanted, theta = trace_of_torch(net.parameters(), activation, loss, name, settings, batches(orders, size))
    losses = trace(net, getattr(bpjit, name)(**settings), loss, orders, size)
    assert len(losses) == STEPS
    assert losses == pytest.approx(wanted, rel=bound, abs=0)
    ends = [array for pair in net.parameters() for array in pair]
    for found, other, before in zip(ends, theta, begun, strict=True):
        assert np.linalg.norm(found - other) <= 10 * bound * np.linalg.norm(other)
        assert np.linalg.norm(found - before) > 1e-3 * np.linalg.norm(found)


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("case", OPTIMIZERS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_same_losses_over_twenty_steps(loss, case, activation):
    """Within float64 rounding: sums of up to 40 numbers in another order differ by some 1e-15, and training that
    converges adds such differences up over the steps without amplifying them much.
    """
    assert_the_same(loss, activation, *OPTIMIZERS[case])


@pytest.mark.parametrize("name", [name for name in VALUES if name != "Lion"])  # which PyTorch does not have
def test_every_optimizer_over_twenty_steps(name):
    """Every two settings together. Quotients of small numbers amplify rounding more than sums do: those of gradients
    that are nearly 0, and of centered RMSProp, whose variance is a difference.
    """
    size, bound = SAMPLES if name == "RProp" else BATCH, 1e-8 if name == "RMSProp" else 1e-9
    for settings in in_pairs(name):
        assert_the_same("squared_error", "tanh", name, settings, size, bound)


@pytest.mark.parametrize("name", [name for name in VALUES if name != "Lion"])
def test_defaults_are_those_of_torch(name):
    import torch

    theirs = inspect.signature(getattr(torch.optim, TORCHS.get(name, name))).parameters
    ours = {field.name: field.default for field in dataclasses.fields(getattr(bpjit, name))}
    assert ours.pop("decay_biases", True)  # which PyTorch has not
    ours["lr"] = ours.pop("learning_rate")
    assert ours == {setting: theirs[setting].default for setting in ours}
    left_out = {"params", "foreach", "maximize", "capturable", "differentiable", "fused"}
    assert theirs.keys() - ours.keys() <= left_out | {"decoupled_weight_decay"}  # as which there is AdamW


def test_the_gradients_of_a_mini_batch():
    """Relative norm: as many roundings as above, in one step."""
    import torch

    for loss in LOSSES:
        net = bpjit.Network(SIZES, "tanh", loss=loss, dtype="float64", seed=0)
        X, t = data(loss)
        theta = [torch.tensor(array, requires_grad=True) for pair in net.parameters() for array in pair]
        a = torch.tensor(X)
        for l in range(0, len(theta), 2):
            z = a @ theta[l].T + theta[l + 1]
            a = torch.tanh(z)
        costs_of_torch(z, torch.tensor(t), loss).backward()
        for found, other in zip((array for pair in net.gradients(X, t) for array in pair), theta, strict=True):
            assert np.linalg.norm(found - other.grad.numpy()) <= 1e-13 * np.linalg.norm(other.grad.numpy())


# Every loss that PyTorch or scikit-learn has, at its kinks, too


def losses_of_torch():
    """{loss: the sum over samples of C_s, from z^L of its natural output, and t}"""
    from torch.nn import functional

    def smoothed(z, t, e):
        return functional.cross_entropy(z, t, reduction="sum", label_smoothing=e)

    return {
        "squared_error": lambda z, t: functional.mse_loss(z, t, reduction="sum") / 2,
        "absolute_error": lambda z, t: functional.l1_loss(z, t, reduction="sum"),
        "huber": lambda z, t: functional.huber_loss(z, t, reduction="sum"),
        "huber(delta=0.5)": lambda z, t: functional.huber_loss(z, t, reduction="sum", delta=0.5),
        "poisson": lambda z, t: functional.poisson_nll_loss(z, t, log_input=True, reduction="sum"),
        "cosine": lambda z, t: (1 - functional.cosine_similarity(z, t)).sum(),
        "cross_entropy": lambda z, t: smoothed(z, t, 0.0),
        "cross_entropy(label_smoothing=0.1)": lambda z, t: smoothed(z, t, 0.1),
        "binary_cross_entropy": lambda z, t: functional.binary_cross_entropy_with_logits(z, t, reduction="sum"),
    }


def targets_like(loss, z):
    draw = np.random.default_rng(1)
    if loss.startswith("cross_entropy"):
        return draw.dirichlet(np.ones(z.shape[1]), len(z))
    if loss in ("poisson", "binary_cross_entropy"):
        return draw.integers(0, 2 if loss[0] == "b" else 9, z.shape).astype(np.float64)
    return np.where(draw.random(z.shape) < 0.3, z, z + draw.choice([-2.0, -1.0, -0.5, 0.25, 1.0], z.shape))  # kinks


def test_losses_are_those_of_pytorch():
    """Ten roundings or so, of numbers whose differences are not small beside them."""
    import torch

    z = np.round(np.random.default_rng(0).normal(scale=2, size=(60, 5)), 2) + 0.125
    for loss, of_torch in losses_of_torch().items():
        net = bpjit.Network([5, 5], loss=loss, dtype="float64", init="zeros")
        net.set_parameters([(np.eye(5), np.zeros(5))])
        every = [targets_like(loss, z)] + ([z.argmin(axis=1)] if loss.startswith("cross_entropy") else [])
        for t in every:
            of_z = torch.tensor(z, requires_grad=True)
            C = of_torch(of_z, torch.tensor(t))
            C.backward()
            assert net.loss(z, t) == pytest.approx(C.item() / len(z), rel=1e-14)
            slopes = [net.gradients(z[s : s + 1], t[s : s + 1])[0][1] for s in range(len(z))]
            np.testing.assert_allclose(slopes, of_z.grad.numpy(), rtol=1e-13, atol=1e-14, err_msg=loss)


def test_losses_are_those_of_scikit_learn():
    from sklearn.metrics import hinge_loss, mean_pinball_loss

    draw = np.random.default_rng(0)
    y, labels = draw.normal(size=(50, 4)), draw.integers(0, 4, 50)

    def loss(name, y, t):
        net = bpjit.Network([y.shape[1]] * 2, loss=name, dtype="float64", init="zeros")
        net.set_parameters([(np.eye(y.shape[1]), np.zeros(y.shape[1]))])
        return net.loss(y, t)

    assert loss("hinge", y, labels) == pytest.approx(hinge_loss(labels, y), rel=1e-14)
    assert loss("hinge", y[:, :1], labels > 1) == pytest.approx(hinge_loss(labels > 1, y[:, 0]), rel=1e-14)
    t = draw.normal(size=(50, 4))
    for level in (0.5, 0.9):
        wanted = 4 * mean_pinball_loss(t, y, alpha=level)  # which is the mean over outputs, too
        assert loss(f"quantile({level})", y, t) == pytest.approx(wanted, rel=1e-14)
