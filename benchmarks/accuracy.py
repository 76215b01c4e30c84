"""Time to accuracy on Fashion-MNIST, beside other libraries.

    python -m benchmarks.accuracy [--threads N] [--target 0.88] [--seeds N] [--every STEPS] [--peers NAME ...]

784-256-128-10, ReLU, softmax and cross-entropy, Adam with learning rate 1e-3, mini-batches of 128, pixels / 255 in
float32, a new random order each epoch. Counted are seconds of training, up to the first evaluation with the target's
test accuracy; evaluations (after every epoch, or every so many steps of it; one function for all) do not count. A new
process each seed and library trains twice: cold, from the first call on, compiling included, with an empty compile
cache, and warm. Medians over the seeds; the libraries take turns, and those that are not installed are left out.

Each is used as its own users would to be fast: JAX compiles a whole epoch, PyTorch has its fused Adam. All begin with
the same weights (He normal, biases zero) but scikit-learn, which draws its own (Glorot uniform, biases too). All see
the rows in the same orders but bpjit, which draws its own. bpjit and scikit-learn check the data at every call: once
an epoch, or with --every once in so many steps, which then takes a visible part of the time.
"""

import argparse
import functools
import gzip
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bpjit.bench.peers import PEERS as KNOWN
from bpjit.bench.peers import Parameters, environment, installed, torch_layers
from bpjit.bench.report import conditions, plural
from bpjit.bench.workers import fresh

SIZES = (784, 256, 128, 10)
BATCH_SIZE = 128
LEARNING_RATE = 1e-3
EPOCHS = 50  # by then the target is out of reach

Run = tuple[Callable[[np.ndarray], None], Callable[[], Parameters]]
"""train(rows), one pass over these rows of the data in this order, and parameters()."""


def bpjit_run(X: np.ndarray, t: np.ndarray, parameters: Parameters, seed: int) -> Run:
    import bpjit

    net = bpjit.Network(SIZES)
    net.set_parameters(parameters)
    trainer = bpjit.Trainer(net, bpjit.Adam(LEARNING_RATE), batch_size=BATCH_SIZE, seed=seed)

    def train(rows: np.ndarray) -> None:
        trainer.fit(X, t, epochs=1, max_steps=math.ceil(len(rows) / BATCH_SIZE))

    return train, net.parameters


def torch_run(X: np.ndarray, t: np.ndarray, parameters: Parameters, seed: int) -> Run:
    import torch

    model = torch.nn.Sequential(*torch_layers(parameters))
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    features, labels = torch.from_numpy(X), torch.from_numpy(t)

    def train(rows: np.ndarray) -> None:
        for batch in torch.from_numpy(rows).split(BATCH_SIZE):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(features[batch]), labels[batch]).backward()
            optimizer.step()

    def now() -> Parameters:
        arrays = [parameter.detach().numpy() for parameter in model.parameters()]
        return list(zip(arrays[::2], arrays[1::2]))

    return train, now


def jax_run(X: np.ndarray, t: np.ndarray, parameters: Parameters, seed: int) -> Run:
    import jax
    import jax.numpy as jnp

    optimizer, steps = jax_steps()
    features, labels = jnp.asarray(X), jnp.asarray(t)
    theta = [(jnp.array(W.T), jnp.array(b)) for W, b in parameters]
    state = [(theta, optimizer.init(theta))]

    def train(rows: np.ndarray) -> None:
        state[0] = jax.block_until_ready(steps(state[0], features, labels, rows))

    return train, lambda: [(np.asarray(W).T, np.asarray(b)) for W, b in state[0][0]]


@functools.cache
def jax_steps() -> tuple[Any, Callable]:
    """The optimiser, and the function of many steps, which a process compiles once."""
    import jax
    import optax

    optimizer = optax.adam(LEARNING_RATE)

    def cost(theta, x, labels):
        for W, b in theta[:-1]:
            x = jax.nn.relu(x @ W + b)
        W, b = theta[-1]
        return optax.softmax_cross_entropy_with_integer_labels(x @ W + b, labels).mean()

    @functools.partial(jax.jit, donate_argnums=0)
    def steps(state, features, labels, rows):
        def step(state, batch):
            theta, moments = state
            updates, moments = optimizer.update(jax.grad(cost)(theta, features[batch], labels[batch]), moments, theta)
            return (optax.apply_updates(theta, updates), moments), None

        whole = len(rows) // BATCH_SIZE * BATCH_SIZE
        state, _ = jax.lax.scan(step, state, rows[:whole].reshape(-1, BATCH_SIZE))
        return step(state, rows[whole:])[0] if whole < len(rows) else state

    return optimizer, steps


def sklearn_run(X: np.ndarray, t: np.ndarray, parameters: Parameters, seed: int) -> Run:
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier(
        SIZES[1:-1], batch_size=BATCH_SIZE, alpha=0, learning_rate_init=LEARNING_RATE, shuffle=False, random_state=seed
    )

    def train(rows: np.ndarray) -> None:
        model.partial_fit(X[rows], t[rows], classes=range(SIZES[-1]))

    return train, lambda: [(W.T, b) for W, b in zip(model.coefs_, model.intercepts_)]


PEERS = {"bpjit": bpjit_run, "PyTorch": torch_run, "JAX": jax_run, "scikit-learn": sklearn_run}


def read(folder: Path, name: str) -> np.ndarray:
    """The array of bytes in an IDX file: two zeros, type, dimensions; the extents; the numbers."""
    content = gzip.decompress((folder / f"{name}-ubyte.gz").read_bytes())
    extents = np.frombuffer(content, ">i4", content[3], offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + extents.nbytes).reshape(extents)


def fashion_mnist(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """X (S, 784) and labels (S,) of "train" or "t10k"."""
    X = read(folder, f"{part}-images-idx3").reshape(-1, SIZES[0]).astype(np.float32) / 255
    return X, read(folder, f"{part}-labels-idx1").astype(np.int64)


def he_normal(rng: np.random.Generator) -> Parameters:
    return [
        (rng.normal(0, math.sqrt(2 / m), (n, m)).astype(np.float32), np.zeros(n, np.float32))
        for m, n in pairwise(SIZES)
    ]


def accuracy(parameters: Parameters, X: np.ndarray, t: np.ndarray) -> float:
    for W, b in parameters[:-1]:
        X = np.maximum(X @ W.T + b, 0)
    W, b = parameters[-1]
    return float(np.mean((X @ W.T + b).argmax(axis=1) == t))


def slices(samples: int, every: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The rows of every `every` steps of an epoch, the last ones of it being fewer."""
    for _ in range(EPOCHS):
        yield from np.split(rng.permutation(samples), range(every * BATCH_SIZE, samples, every * BATCH_SIZE))


def cold_and_warm(peer: str, seed: int, target: float, every: int, folder: Path) -> list[tuple[float, float]]:
    """(seconds, epochs) to the target, infinite if it is not reached, the first and the second time."""
    X, t = fashion_mnist(folder, "train")
    X_test, t_test = fashion_mnist(folder, "t10k")

    def once() -> tuple[float, float]:
        rng = np.random.default_rng(seed)
        train, parameters = PEERS[peer](X, t, he_normal(rng), seed)
        seconds, samples = 0.0, 0
        for rows in slices(len(X), every or len(X), rng):
            begun = time.perf_counter()
            train(rows)
            seconds += time.perf_counter() - begun
            samples += len(rows)
            if accuracy(parameters(), X_test, t_test) >= target:
                return seconds, samples / len(X)
        return math.inf, math.inf

    with tempfile.TemporaryDirectory() as cache:
        os.environ["BPJIT_CACHE_DIR"] = cache
        return [once(), once()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--target", type=float, default=0.88)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--every", type=int, default=0, help="evaluate after so many steps, too")
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    arguments = parser.parse_args()
    if not (arguments.data / "train-images-idx3-ubyte.gz").exists():
        parser.error(f"no Fashion-MNIST in {arguments.data}: install Debian's dataset-fashion-mnist, or give --data")
    versions = installed({peer: KNOWN[peer].packages for peer in arguments.peers})
    print(f"{conditions(environment(versions))}; {plural(arguments.threads, 'thread')}", end="\n\n")
    runs: dict[str, list] = {peer: [] for peer in versions}
    for seed in range(arguments.seeds):
        for peer in versions:
            options = (arguments.target, arguments.every, arguments.data)
            runs[peer].append(fresh(arguments.threads, cold_and_warm, peer, seed, *options))
    goal = f"s to {arguments.target}"
    print(f"| | {goal} | fastest and slowest seed | epochs | s an epoch | {goal}, cold |")
    print("|---|---:|---:|---:|---:|---:|")
    for peer, pairs in runs.items():
        (cold, _), (warm, epochs) = (zip(*several) for several in zip(*pairs))
        row = f"{statistics.median(warm):.2f} | {min(warm):.2f} … {max(warm):.2f} | {statistics.median(epochs):.3g}"
        an_epoch = statistics.median(s / e for s, e in zip(warm, epochs))
        print(f"| {peer} | {row} | {an_epoch:.2f} | {statistics.median(cold):.2f} |")


if __name__ == "__main__":
    main()
