"""Training by bpjit and by other libraries: the same work, each written as its own users would to be fast.

A step gathers the rows of a mini-batch and makes one update. Data, parameters in the beginning, loss, optimiser and
learning rate are the same for all, in the case's dtype.
"""

import datetime
import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import bpjit
from bpjit.engine import plan

from .cases import LEARNING_RATE, Case, data, network, trainer

Parameters = list[tuple[Any, Any]]
"""[(W, b), ...], W of shape (units, inputs)."""


@dataclass(frozen=True)
class Run:
    """A training run that goes on with each call."""

    train: Callable[[int, bool], object]
    """train(epochs, shuffle): each in a new random order, or all in the order of the rows."""
    parameters: Callable[[], Parameters]
    """Those of now."""


@dataclass(frozen=True)
class Peer:
    """How a library is asked for a run, and the packages it comes in: the first one's version counts."""

    run: Callable[[Case, str, int], Run]
    """run(case, optimizer, threads); what it raises says why the library cannot do it."""
    packages: tuple[str, ...]


def bpjit_run(case: Case, optimizer: str, threads: int) -> Run:
    X, t = data(case)
    ordered = trainer(case, optimizer, threads, shuffle=False)
    shuffled = bpjit.Trainer(ordered.net, ordered.optimizer, case.batch_size, seed=0, threads=threads)

    def train(epochs: int, shuffle: bool) -> None:
        (shuffled if shuffle else ordered).fit(X, t, epochs=epochs)

    return Run(train, ordered.net.parameters)


def torch_run(case: Case, optimizer: str, threads: int, compiled: bool = False) -> Run:
    """Its fused optimiser. compiled: forward, loss and the gradients by torch.compile, which a fused optimiser with its
    few calls has nothing to gain from."""
    import torch

    torch.set_num_threads(threads)
    X, t = map(torch.from_numpy, data(case))
    loss: Callable = torch.nn.functional.cross_entropy
    if case.loss == "binary_cross_entropy":
        loss, t = torch.nn.functional.binary_cross_entropy_with_logits, t.to(X.dtype)[:, None]
    model = torch.nn.Sequential(*torch_layers(network(case).parameters()))
    rules: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    rule = rules[optimizer](model.parameters(), LEARNING_RATE, fused=True)

    def cost(x: Any, t: Any) -> Any:
        return loss(model(x), t)

    if compiled:
        cost = torch.compile(cost)

    def train(epochs: int, shuffle: bool) -> None:
        for _ in range(epochs):
            order = torch.randperm(len(X)) if shuffle else torch.arange(len(X))
            for rows in order.split(case.batch_size):
                rule.zero_grad(set_to_none=True)
                cost(X.index_select(0, rows), t.index_select(0, rows)).backward()
                rule.step()

    def parameters() -> Parameters:
        arrays = [parameter.detach().numpy().copy() for parameter in model.parameters()]
        return list(zip(arrays[::2], arrays[1::2]))

    return Run(train, parameters)


def torch_layers(parameters: Parameters) -> list[Any]:
    """PyTorch's Linear layers with these weights and biases, a ReLU between them."""
    import torch

    layers: list[torch.nn.Module] = []
    for W, b in parameters:
        linear = torch.nn.Linear(W.shape[1], W.shape[0])
        linear.weight, linear.bias = (torch.nn.Parameter(torch.tensor(array)) for array in (W, b))
        layers += [linear, torch.nn.ReLU()]
    return layers[:-1]


def jax_run(case: Case, optimizer: str, threads: int) -> Run:
    """A whole epoch is compiled, its parameters updated in place; NumPy draws the order, faster than JAX on a CPU."""
    import jax
    import jax.numpy as jnp
    import optax

    jax.config.update("jax_enable_x64", case.dtype == "float64")
    X, t = map(jnp.asarray, data(case))
    rule: Any = {"sgd": optax.sgd, "adam": optax.adam}[optimizer](LEARNING_RATE)
    theta = [(jnp.array(W.T), jnp.array(b)) for W, b in network(case).parameters()]
    state = (theta, rule.init(theta))
    rng = np.random.default_rng(0)

    def cost(theta: Any, x: Any, t: Any) -> Any:
        for W, b in theta[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = theta[-1]
        if case.loss == "binary_cross_entropy":
            return optax.sigmoid_binary_cross_entropy((x @ W + b)[:, 0], t).mean()
        return optax.softmax_cross_entropy_with_integer_labels(x @ W + b, t).mean()

    @partial(jax.jit, donate_argnums=0)
    def epoch(state: Any, X: Any, t: Any, order: Any) -> Any:
        def step(state: Any, rows: Any) -> Any:
            theta, moments = state
            updates, moments = rule.update(jax.grad(cost)(theta, X[rows], t[rows]), moments, theta)
            return (optax.apply_updates(theta, updates), moments), None

        return jax.lax.scan(step, state, order.reshape(-1, case.batch_size))[0]

    def train(epochs: int, shuffle: bool) -> None:
        nonlocal state
        for _ in range(epochs):
            state = epoch(state, X, t, rng.permutation(len(X)) if shuffle else np.arange(len(X)))
        jax.block_until_ready(state)

    return Run(train, lambda: [(np.array(W).T, np.array(b)) for W, b in state[0]])


def sklearn_run(case: Case, optimizer: str, threads: int) -> Run:
    """A fit goes on from the parameters of the last, but with new moments."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    if case.sizes[-1] == 2:
        raise NotImplementedError("its networks have one output for two classes")
    X, t = data(case)
    model = MLPClassifier(
        case.sizes[1:-1],
        solver=optimizer,
        batch_size=case.batch_size,
        alpha=0.0,
        learning_rate_init=LEARNING_RATE,
        momentum=0.0,
        nesterovs_momentum=False,
        n_iter_no_change=np.inf,
        random_state=np.random.RandomState(0),
    )
    model.partial_fit(X[: case.batch_size], t[: case.batch_size], classes=np.unique(t))  # makes what is replaced here
    model.coefs_, model.intercepts_ = map(list, zip(*((W.T.copy(), b) for W, b in network(case).parameters())))

    def train(epochs: int, shuffle: bool) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.set_params(warm_start=True, max_iter=epochs, shuffle=shuffle).fit(X, t)

    return Run(train, lambda: [(W.T.copy(), b.copy()) for W, b in zip(model.coefs_, model.intercepts_)])


PEERS = {
    "bpjit": Peer(bpjit_run, ("bpjit",)),
    "PyTorch": Peer(torch_run, ("torch",)),
    "torch.compile": Peer(partial(torch_run, compiled=True), ("torch",)),
    "JAX": Peer(jax_run, ("jax", "optax")),
    "scikit-learn": Peer(sklearn_run, ("scikit-learn",)),
}
"""Those whom `bpjit bench` can measure."""


def installed(packages: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """{library: version of its first package}, without those that lack a package.

    >>> installed({"NumPy": ["numpy"], "none": ["numpy", "no-such-package"]}) == {"NumPy": np.__version__}
    True
    """
    found = {}
    for library, names in packages.items():
        try:
            found[library], *_ = [importlib.metadata.version(name) for name in names]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def environment(versions: Mapping[str, str]) -> dict[str, Any]:
    """What is measured, where and when: {"versions": {name: version}, "cpu", "cores": those to use, "date"}."""
    packages = {"Numba": ["numba"], "NumPy": ["numpy"]}
    return {
        "versions": {**versions, **installed(packages), "Python": platform.python_version()},
        "cpu": plan.cpu_name(),
        "cores": plan.available_cpus(),
        "date": datetime.date.today().isoformat(),
    }
