"""Copies of the engine with one error each, which a check of gradients and updates must find.

    python tests/mutants.py FOLDER    makes the copies in FOLDER and prints {name: what the check found}

Runs without compiling (NUMBA_DISABLE_JIT=1): every kernel as the Python that stands there. The check knows nothing of
the engine: it compares with the specification, and each optimiser with its formula.
"""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

PACKAGE = Path(__file__).parent.parent / "bpjit"


@dataclass(frozen=True)
class Mutant:
    """An error in one place: `old`, which must stand in the file just once, becomes `new`."""

    file: str
    kind: str  # "zeroed", "sign", "transposed", "dropped last" or what else is wrong
    old: str
    new: str

    @property
    def name(self) -> str:
        return f"{self.file}: {self.old.strip()}: {self.kind}"

    def source(self) -> str:
        text = (PACKAGE / "engine" / self.file).read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.file} holds {self.old!r} {text.count(self.old)} times"
        return text.replace(self.old, self.new)

    def lines(self) -> set[int]:
        """The numbers of the lines that differ, from 0."""
        sound = (PACKAGE / "engine" / self.file).read_text(encoding="utf-8").splitlines()
        return {n for n, (line, other) in enumerate(zip(sound, self.source().splitlines())) if line != other}


def of(file: str, old: str, **errors: str) -> list[Mutant]:
    return [Mutant(file, kind.replace("_", " "), old, new) for kind, new in errors.items()]


REST_OF_E7 = "for q in range(layer.units - p * width):\n            t = "  # the statement under it stands above too
INPUTS, INPUTS_BUT_ONE = "for j in range(layer.inputs):\n", "for j in range(layer.inputs - 1):\n"
OF_FEW, OF_FEW_BUT_ONE = (
    {rows: f"add_inputs(tile.load({rows}, rows, 0), a, s, W[p], 0, {end})" for rows in ("LARGE", "SMALL")}
    for end in ("layer.inputs", "layer.inputs - 1")
)


MUTANTS = [
    # E1, E2
    *of(
        "forward.py",
        "tile.add_row_products(z, W, j, i, a, j)",
        zeroed="z",
        sign="2 * z - tile.add_row_products(z, W, j, i, a, j)",
        transposed="tile.add_column_products(z, W, i, j, a, j)",
    ),
    *of("forward.py", "for j in range(j_first, j_end):", dropped_last="for j in range(j_first, j_end - 1):"),
    *of("forward.py", "tile.rows_of(SMALL, b, i) if", no_bias="tile.zeros(SMALL, a) if"),
    *of(
        "forward.py",
        "call(layer.sigma, z_s, a_s, layer.setting)",
        zeroed="a[s, i_first:i_end] = 0",
        sign="call(layer.sigma, -z_s, a_s, layer.setting)",
        dropped_last="call(layer.sigma, z_s[:-1], a_s[:-1], layer.setting)",
    ),
    *of("forward.py", OF_FEW["LARGE"], zeroed="tile.zeros(LARGE, a)", dropped_last=OF_FEW_BUT_ONE["LARGE"]),
    *of("forward.py", OF_FEW["SMALL"], zeroed="tile.zeros(SMALL, a)", dropped_last=OF_FEW_BUT_ONE["SMALL"]),
    *of(
        "forward.py",
        "tile.add_panels(t, W, p, j, a, 0)",
        zeroed="t",
        sign="2 * t - tile.add_panels(t, W, p, j, a, 0)",
        next_panel="tile.add_panels(t, W, p + 1, j, a, 0)",
    ),
    *of("forward.py", "t = tile.load(SMALL, b, p)", no_bias="t = tile.zeros(SMALL, b)"),
    *of(
        "forward.py",
        INPUTS + 12 * " " + "t = tile.add_panels",
        dropped_last=INPUTS_BUT_ONE + 12 * " " + "t = tile.add_panels",
    ),
    *of(
        "forward.py",
        "for p in range(p_first, p_end, SMALL):",
        dropped_last="for p in range(p_first, p_end - SMALL, SMALL):",
    ),
    *of(
        "forward.py",
        "layer.capacity - s * layer.panel)",
        dropped_last="layer.capacity - s * layer.panel - 1)",
    ),
    *of("forward.py", "z[i_first + q, s + r] = rows[r, q]", transposed="z[i_first + q, s] = rows[q % count, q]"),
    *of("forward.py", "rows[r, q] = b[p, q]", no_bias="rows[r, q] = 0"),
    # E3
    *of("epoch.py", "return C / weight  # E3", zeroed="return 0.0", sign="return -C / weight", sum="return C"),
    *of(
        "epoch.py",
        "for s in range(costs.size):\n        C += costs[s]",
        dropped_last="for s in range(costs.size - 1):\n        C += costs[s]",
    ),
    # E6
    *of(
        "backward.py",
        "delta_s[i, q] *= share",
        zeroed="delta_s[i, q] *= 0",
        sign="delta_s[i, q] *= -share",
        no_mean="pass",
    ),
    *of("backward.py", "for i in range(n):", dropped_last="for i in range(n - 1):"),
    *of("backward.py", "pair, z_s, y_s, t_s", swapped="pair, z_s, t_s, y_s"),
    *of("backward.py", "cost_prime, y_s, t_s", swapped="cost_prime, t_s, y_s"),
    *of("backward.py", "call(layer.sigma_prime, z_s, y_s, delta_s, layer.setting)", without_sigma_prime="pass"),
    # E7
    *of(
        "backward.py",
        "tile.add_column_products(t, W[p], j, q, delta, p * width + q)  # E7: sum",
        zeroed="t  # E7: sum",
        sign="2 * t - tile.add_column_products(t, W[p], j, q, delta, p * width + q)  # E7: sum",
        transposed="tile.add_row_products(t, W[p], q, j, delta, p * width + q)  # E7: sum",
    ),
    *of(
        "backward.py",
        REST_OF_E7 + "tile.add_column_products(t, W[p], j, q, delta, p * width + q)",
        zeroed=REST_OF_E7 + "t",
        sign=REST_OF_E7 + "2 * t - tile.add_column_products(t, W[p], j, q, delta, p * width + q)",
        transposed=REST_OF_E7 + "tile.add_row_products(t, W[p], q, j, delta, p * width + q)",
    ),
    *of(
        "backward.py",
        "tile.add_products(t, W[p], j, delta[p], s)",
        zeroed="t",
        sign="2 * t - tile.add_products(t, W[p], j, delta[p], s)",
        next_unit="tile.add_products(t, W[p], j + 1, delta[p], s)",
    ),
    *of("backward.py", "for p in range(layer.panels):", dropped_last="for p in range(max(layer.panels - 1, 1)):"),
    *of(
        "backward.py",
        "for j in range(j_first, j_end, SMALL):",
        dropped_last="for j in range(j_first, j_end - SMALL, SMALL):",
    ),
    *of("backward.py", "layer.capacity)):", dropped_last="layer.capacity - 1)):"),
    *of("backward.py", "for p in range(p_first, last):", dropped_last="for p in range(p_first, last - 1):"),
    *of("backward.py", "range(layer.units - p * width)", dropped_last="range(layer.units - p * width - 1)"),
    *of("backward.py", "for p in range(p_first, p_end):", dropped_last="for p in range(p_first, max(p_end - 1, 1)):"),
    *of(
        "backward.py",
        "call(layer.sigma_prime, z_s, a_s, delta_s, layer.setting)",
        zeroed="delta_s[:] = 0",
        sign="delta_s *= a_s * (a_s - 1)",
        without_sigma_prime="pass",
        dropped_last="call(layer.sigma_prime, z_s[:-1], a_s[:-1], delta_s[:-1], layer.setting)",
    ),
    *of(
        "backward.py",
        "rows[p], s * layer.panel + q, i)",
        transposed="rows[p], s * layer.panel + i, q)",
    ),
    *of(
        "backward.py",
        "for q in range(0, layer.panel, tile.lanes(delta)):",
        dropped_last="for q in range(0, layer.panel - tile.lanes(delta), tile.lanes(delta)):",
    ),
    # E8, E9
    *of(
        "gradient.py",
        "tile.add_column_products(t, a[block], j, q, delta, block * width + q)",
        zeroed="t",
        sign="2 * t - tile.add_column_products(t, a[block], j, q, delta, block * width + q)",
        transposed="tile.add_row_products(t, a[block], q, j, delta, block * width + q)",
    ),
    *of(
        "gradient.py",
        "tile.add_column_products(t, a[last], j, q, delta, last * width + q)",
        zeroed="t",
        sign="2 * t - tile.add_column_products(t, a[last], j, q, delta, last * width + q)",
        transposed="tile.add_row_products(t, a[last], q, j, delta, last * width + q)",
    ),
    *of(
        "gradient.py",
        "tile.add_column_products(t, a[s // width], task.j + j, s % width, delta, s)",
        zeroed="t",
        sign="2 * t - tile.add_column_products(t, a[s // width], task.j + j, s % width, delta, s)",
        transposed="tile.add_row_products(t, a[s // width], s % width, task.j + j, delta, s)",
    ),
    *of("gradient.py", "for s in range(samples):", dropped_last="for s in range(samples - 1):"),
    *of("gradient.py", "range(s_first // width, last)", dropped_last="range(s_first // width, last - 1)"),
    *of("gradient.py", "range(s_end - last * width)", dropped_last="range(s_end - last * width - 1)"),
    *of(
        "gradient.py",
        "tile.add_rows(t, delta, s)  # E9",
        zeroed="t  # E9",
        sign="2 * t - tile.add_rows(t, delta, s)  # E9",
    ),
    *of("gradient.py", "for r in range(1, SMALL):", dropped_last="for r in range(1, SMALL - 1):"),
    *of("gradient.py", "for s in range(whole, samples):", dropped_last="for s in range(whole, samples - 1):"),
    *of(
        "gradient.py",
        "gradients[0, start + k] = gradient[k]",
        zeroed="gradients[0, start + k] = 0",
        sign="gradients[0, start + k] = -gradient[k]",
    ),
    # E10
    *of(
        "optimizers.py",
        "return theta - learning_rate * (g + weight_decay * theta)",
        zeroed="return theta",
        sign="return theta + learning_rate * (g + weight_decay * theta)",
        one_term="return theta - learning_rate * g",
    ),
    *of(
        "optimizers.py",
        "return theta - learning_rate * (of_gradient * g + of_velocity * v), v",
        zeroed="return theta, v",
        sign="return theta + learning_rate * (of_gradient * g + of_velocity * v), v",
        one_term="return theta - learning_rate * v, v",
    ),
    *of(
        "optimizers.py",
        "v = flushed(momentum * v + of_new * g)",
        zeroed="v = g",
        sign="v = g - momentum * v",
        one_term="v = flushed(momentum * v + g)",
    ),
    *of(
        "adam.py",
        "return theta - (rate * m / (math.sqrt(v) * correction + eps) + shrink * theta), m, v",
        zeroed="return theta, m, v",
        sign="return theta + (rate * m / (math.sqrt(v) * correction + eps) + shrink * theta), m, v",
        no_correction="return theta - (rate * m / (math.sqrt(v) + eps) + shrink * theta), m, v",
        one_term="return theta - rate * m / (math.sqrt(v) * correction + eps), m, v",
    ),
    *of(
        "optimizer.py",
        "theta[k] = rule(theta[k], gradient[k], c)",
        zeroed="pass",
        sign="theta[k] = rule(theta[k], -gradient[k], c)",
    ),
    *of(
        "optimizer.py",
        "theta[k], m[k] = rule(theta[k], m[k], gradient[k], c)",
        zeroed="pass",
        sign="theta[k], m[k] = rule(theta[k], m[k], -gradient[k], c)",
    ),
    *of(
        "optimizer.py",
        "theta[k], m[k], v[k] = rule(theta[k], m[k], v[k], gradient[k], c)",
        zeroed="pass",
        sign="theta[k], m[k], v[k] = rule(theta[k], m[k], v[k], -gradient[k], c)",
    ),
    *of(
        "optimizer.py",
        "theta[k], m[k], v[k], w[k] = rule(theta[k], m[k], v[k], w[k], gradient[k], c)",
        zeroed="pass",
        sign="theta[k], m[k], v[k], w[k] = rule(theta[k], m[k], v[k], w[k], -gradient[k], c)",
    ),
    *of(
        "gradient.py",
        "layout.of_group(coefficients, layer.bias_group)",
        other_group="layout.of_group(coefficients, layer.weight_group)",
    ),
    *of("epoch.py", "for group in range(job.group_count):", dropped_last="for group in range(1):"),
    *of("job.py", "lowest=int(np.argmax(trained))", too_high="lowest=int(np.argmax(trained)) + 1"),
    *of("job.py", "tasks = network.tasks[trained[network.tasks.l]]", all_of_them="tasks = network.tasks"),
    # the way in and out
    *of("batch.py", "last, side = first + samples - 1,", dropped_last="last, side = first + samples - 2,"),
    *of("batch.py", "tile.gather(X, rows, j, x[s], q)", zeroed="x[s, j : j + side, q : q + side] = 0"),
    *of("batch.py", "for j in range(whole, layer.units):", dropped_last="for j in range(whole, layer.units - 1):"),
    *of("batch.py", "t[s, i, q] = targets[row, i]", transposed="t[s, i, q] = targets[row, layer.units - 1 - i]"),
    *of("layout.py", "for p in range(panels[l])", dropped_last="for p in range(max(1, panels[l] - 1))"),
    # what regularises
    *of("backward.py", "drop(layer, delta_s, delta_s, j_first, s)", left_out="pass"),
    *of(
        "forward.py",
        "drop(layer, a_s, of_block(layout.out(work, layer), s, i_first, i_end), i_first, s)",
        left_out="pass",
    ),
    *of("forward.py", "layer.before + s * layer.panel, layer.rate", first_part_again="s * layer.panel, layer.rate"),
    *of(
        "gradient.py",
        "return layout.out(work, layers[task.l - 1]),",
        undropped="return layout.a(work, layers[task.l - 1]),",
    ),
    *of("noise.py", "1.0 / (1.0 - rate)", not_scaled="1.0"),
    *of("noise.py", "splitmix64(state + np.uint64(l))", layers_alike="splitmix64(state)"),
    *of(
        "noise.py",
        "splitmix64(splitmix64(np.uint64(seed)) + np.uint64(epoch))",
        epochs_alike="splitmix64(splitmix64(np.uint64(seed)))",
    ),
    *of("noise.py", "+ np.uint64(step))", steps_alike=")"),
    *of("noise.py", "x[j, q] += c *", sign="x[j, q] -= c *"),
    *of(
        "noise.py",
        "layer.before + s * layer.panel + q)\n                x[",
        first_part_again="s * layer.panel + q)\n                x[",
    ),
    *of("epoch.py", "if job.add_noise != 0:", left_out="if False:"),
    *of("epoch.py", "job.apply = job.store if part == 0 else job.accumulate", last_part="job.apply = job.store"),
    *of("epoch.py", "losses[n] += job.penalty", zeroed="pass", sign="losses[n] -= job.penalty"),
    *of("batch.py", "factors[q] = weight * share", not_shared="factors[q] = weight"),
    *of("batch.py", "C[q] *= weight", left_out="pass"),
    *of(
        "penalties.py",
        "g[q] += l1 * sign(w[q]) + l2 * w[q]",
        zeroed="pass",
        sign="g[q] -= l1 * sign(w[q]) + l2 * w[q]",
        without_l1="g[q] += l2 * w[q]",
        without_l2="g[q] += l1 * sign(w[q])",
    ),
    *of("gradient.py", "layout.of_task(theta, layer, task), dW)\n", no_penalty="jit.shaped(theta, 0, 0), dW)\n"),
    *of("gradient.py", "call(layer.penalize, layers, task.l, k, jit.shaped(theta, 0, 0), db)", left_out="pass"),
    *of("penalties.py", "+ 0.5 * layer.l2 * squares", twice="+ layer.l2 * squares"),
    *of("penalties.py", "g[q] = most if g[q] > most else (-most if g[q] < -most else g[q])", zeroed="pass"),
    *of("penalties.py", "sums[0] += norm if", zeroed="norm if", without_weights="sums[0] = norm if"),
    *of("penalties.py", "if 0.0 < job.clip_norm < norm else 1.0", zeroed="if False else 1.0"),
    *of("penalties.py", "if norm > layer.max_norm else 1.0", zeroed="if False else 1.0"),
    *of("penalties.py", "W[j, q] *= factors[q]", one_factor="W[j, q] *= factors[0]"),
]


Params = list[tuple[np.ndarray, np.ndarray]]


def flat(pairs: Params) -> list[np.ndarray]:
    return [array for pair in pairs for array in pair]


def descent(memory: dict, g: np.ndarray, n: int, theta: np.ndarray) -> np.ndarray:
    return 0.1 * g


def momentum(memory: dict, g: np.ndarray, n: int, theta: np.ndarray) -> np.ndarray:
    memory["v"] = 0.8 * g + 0.5 * memory["v"] if n > 1 else g
    return 0.1 * memory["v"]


def nesterov(memory: dict, g: np.ndarray, n: int, theta: np.ndarray) -> np.ndarray:
    memory["v"] = g + 0.5 * memory.get("v", 0)
    return 0.1 * (g + 0.5 * memory["v"])


def adam(memory: dict, g: np.ndarray, n: int, theta: np.ndarray) -> np.ndarray:
    m = memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
    v = memory["v"] = 0.999 * memory.get("v", 0) + 0.001 * g**2
    return 0.1 * (m / (1 - 0.9**n)) / (np.sqrt(v / (1 - 0.999**n)) + 1e-8)


def amsgrad(memory: dict, g: np.ndarray, n: int, theta: np.ndarray) -> np.ndarray:
    m = memory["m"] = 0.9 * memory.get("m", 0) + 0.1 * g
    v = memory["v"] = 0.999 * memory.get("v", 0) + 0.001 * g**2
    largest = memory["largest"] = np.maximum(memory.get("largest", 0), v)
    return 0.1 * (m / (1 - 0.9**n)) / (np.sqrt(largest / (1 - 0.999**n)) + 1e-8)


def of_weights(rule):
    """The rule with the gradient of a penalty 0.3/2 |W|^2 of the weights."""
    return lambda memory, g, n, theta: rule(memory, g + 0.3 * theta * (theta.ndim == 2), n, theta)


# The name and settings of an optimiser, and what it takes off a parameter theta of gradient g at step n = 1, 2, ...
WEIGHTS = {"weight_decay": 0.3, "decay_biases": False}
OPTIMIZERS = [
    ("SGD", {"learning_rate": 0.1} | WEIGHTS, of_weights(descent)),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.5, "dampening": 0.2}, momentum),
    ("SGD", {"learning_rate": 0.1, "momentum": 0.5, "nesterov": True} | WEIGHTS, of_weights(nesterov)),
    ("Adam", {"learning_rate": 0.1}, adam),
    ("Adam", {"learning_rate": 0.1, "amsgrad": True}, amsgrad),
    (
        "AdamW",
        {"learning_rate": 0.1, "weight_decay": 0.2},
        lambda memory, g, n, theta: adam(memory, g, n, theta) + 0.1 * 0.2 * theta,
    ),
]
REGULARIZED = {
    "l1": 0.01, "l2": 0.02, "dropout": {0: 0.2, 1: 0.4, 2: 0.3}, "input_noise": 0.2, "max_norm": 0.9, "clip_value": 0.1,
    "clip_norm": 0.3,
}  # fmt: skip
LOSSES = [("softmax", "cross_entropy"), ("tanh", "squared_error")]  # one with a kernel for the pair, one without


class Check:
    """What a sound engine gives, computed once from the specification; `passes` compares a package with it."""

    def __init__(self, panel: int) -> None:
        # A layer that fills its panel, others that fill another one in part; more than a block of samples.
        self.sizes, self.samples, self.few = [panel + 3, panel, panel + 2], panel + 3, 5
        self.losses = [(*names, *self.asked(*names)) for names in LOSSES]
        self.steps = [(name, settings, None, self.stepped(rule)) for name, settings, rule in OPTIMIZERS]
        self.steps.append(("SGD", {"learning_rate": 0.1}, {2: "frozen"}, self.stepped(descent, frozen=1)))
        # Two tiles of SMALL panels, and a bit of another panel, for a single sample.
        self.wide = [3, 8 * panel + 2]
        self.one = twins.problem(self.wide, 1, "tanh", "tanh", "squared_error")[:2]

    def asked(self, output: str, loss: str):
        params, X, t = twins.problem(self.sizes, self.samples, "sigmoid", output, loss)
        return params, X, t, *twins.reference_gradients(params, X, t, "sigmoid", output, loss)

    def stepped(self, rule, frozen: int = 0) -> Params:
        """The parameters after two steps on the whole data; `frozen` layers stay, the last ones."""
        output, loss, params, X, t, _, gradients = self.losses[-1]
        memories: list[dict] = [{} for _ in flat(params)]
        for n in (1, 2):
            gradients = twins.reference_gradients(params, X, t, "sigmoid", output, loss)[1]
            known = zip(memories, flat(gradients), flat(params), strict=True)
            new = [theta - rule(memory, g, n, theta) for memory, g, theta in known]
            stepped = list(zip(new[::2], new[1::2], strict=True))
            params = stepped[: len(params) - frozen] + params[len(params) - frozen :]
        return params

    def passes(self, bpjit) -> bool:
        try:
            return all(error <= 1e-9 for error in self.errors(bpjit))
        except (ArithmeticError, IndexError, ValueError):  # indices that lead out of an array
            return False

    def errors(self, bpjit) -> Iterator[float]:
        for output, loss, params, X, t, C, gradients in self.losses:
            net = bpjit.Network(self.sizes, "sigmoid", output, loss, "float64")
            net.set_parameters(params)
            yield twins.distance(flat(net.gradients(X, t)), flat(gradients))
            yield abs(net.loss(X, t) - C) / C
            few = X[: self.few]
            yield twins.distance([net.predict(few)], [twins.numpy_forward(params, few, "sigmoid", output)])
        yield self.error_of_one(bpjit)
        for name, settings, layers, wanted in self.steps:
            net.set_parameters(params)
            options = {"batch_size": self.samples, "shuffle": False, "threads": 1, "layers": layers}
            bpjit.Trainer(net, getattr(bpjit, name)(**settings), **options).fit(X, t, epochs=2)
            yield twins.distance(flat(net.parameters()), flat(wanted))
        yield from self.errors_of_regularized(bpjit)

    def errors_of_regularized(self, bpjit) -> Iterator[float]:
        """Everything that regularises, mini-batches in parts and weights of samples; the noise is right to 1e-7."""
        sizes, settings = [3, 4, 3, 2], {"learning_rate": 0.05, "momentum": 0.8}
        params, X, t = twins.problem(sizes, 7, "tanh", "identity", "squared_error")
        u = np.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0, 0.25])
        for parts in (2, 1):
            twin = Twin(params, ["tanh"] * 2, bpjit.SGD(**settings), **REGULARIZED)
            net = bpjit.Network(sizes, "tanh", "identity", "squared_error", "float64")
            net.set_parameters(params)
            options = {"shuffle": False, "threads": 1, "seed": twin.seed} | REGULARIZED
            trainer = bpjit.Trainer(net, bpjit.SGD(**settings), 4 // parts, accumulate=parts, **options)
            history = trainer.fit(X, t, epochs=2, sample_weight=u)
            wanted = np.array(twin.fit(X, t, 2, 4, u=u))
            yield twins.distance([np.array(history["loss"])], [wanted]) / 100
            yield twins.distance(flat(net.parameters()), flat(twin.params)) / 100

    def error_of_one(self, bpjit) -> float:
        params, x = self.one
        net = bpjit.Network(self.wide, output="tanh", loss="squared_error", dtype="float64")
        net.set_parameters(params)
        return twins.distance([net.predict(x)], [twins.numpy_forward(params, x, "tanh", "tanh")])


def imported(folder: Path):
    """The package of that folder, all of it anew."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "bpjit"]:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("bpjit")
    finally:
        sys.path.remove(str(folder))


def main(folder: Path, mutants: list[Mutant]) -> None:
    """Prints whether the sound engine passes the check, and whether each mutant does."""
    check = Check(importlib.import_module("bpjit.engine.tile").panel("float64"))
    shutil.copytree(PACKAGE, folder / "bpjit", ignore=shutil.ignore_patterns("__pycache__"))
    passed = {"sound": check.passes(imported(folder))}
    for mutant in mutants:
        path = folder / "bpjit" / "engine" / mutant.file
        sound = path.read_text(encoding="utf-8")
        path.write_text(mutant.source(), encoding="utf-8")
        passed[mutant.name] = check.passes(imported(folder))
        path.write_text(sound, encoding="utf-8")
    json.dump(passed, sys.stdout)


if __name__ == "__main__":
    sys.dont_write_bytecode = True  # a file that is written twice in a moment may pass for the one compiled before
    sys.path.insert(0, str(PACKAGE.parent))
    import twins
    from regularization_twins import Twin

    main(Path(sys.argv[1]), MUTANTS if sys.argv[2:] == ["all"] else [])
