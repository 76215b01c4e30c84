"""Prediction beside other libraries: the same weights, rows of a NumPy array in, probabilities in one out.

    python -m benchmarks.predict_peers [--threads N] [--rows 1 64 100000] [CASE ...]

Best of many calls, the libraries taking turns; those that are not installed are left out. The last column is one row in
bpjit's compiled code alone, without the call from Python and its checks: many rows pass through it in one call, each as
a mini-batch of its own.
"""

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import bpjit
from bpjit.bench.cases import CASES, Case, data, network
from bpjit.bench.peers import PEERS as KNOWN
from bpjit.bench.peers import environment, installed, torch_layers
from bpjit.bench.report import conditions, plural
from bpjit.bench.workers import fresh

Predict = Callable[[np.ndarray], np.ndarray]


def bpjit_predict(net: bpjit.Network) -> Predict:
    return net.predict


def sklearn_predict(net: bpjit.Network) -> Predict:
    from sklearn.neural_network import MLPClassifier

    classes = range(net.sizes[-1])
    model = MLPClassifier(net.sizes[1:-1])
    model.partial_fit(np.zeros((len(classes), net.sizes[0]), np.float32), classes, classes=classes)
    model.coefs_, model.intercepts_ = ([*arrays] for arrays in zip(*((W.T, b) for W, b in net.parameters())))
    return model.predict_proba


def torch_predict(net: bpjit.Network) -> Predict:
    import torch

    model = torch.nn.Sequential(*torch_layers(net.parameters()), torch.nn.Softmax(dim=1)).eval()

    @torch.inference_mode()
    def predict(X: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(X)).numpy()

    return predict


def onnx_predict(net: bpjit.Network) -> Predict:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors = [], []
    parameters: list[tuple[Any, Any]] = net.parameters()
    for l, (W, b) in enumerate(parameters, start=1):
        tensors += [numpy_helper.from_array(W, f"W{l}"), numpy_helper.from_array(b, f"b{l}")]
        nodes.append(helper.make_node("Gemm", [f"a{l - 1}", f"W{l}", f"b{l}"], [f"z{l}"], transB=1))
        nodes.append(helper.make_node("Softmax" if l == len(net.sizes) - 1 else "Relu", [f"z{l}"], [f"a{l}"]))
    ends = {0: net.sizes[0], len(net.sizes) - 1: net.sizes[-1]}
    x, y = (helper.make_tensor_value_info(f"a{l}", TensorProto.FLOAT, ["rows", n]) for l, n in ends.items())
    graph = helper.make_graph(nodes, "network", [x], [y], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda X: session.run(None, {"a0": X})[0]


PEERS = {
    "bpjit": bpjit_predict,
    "scikit-learn": sklearn_predict,
    "PyTorch": torch_predict,
    "ONNX Runtime": onnx_predict,
}
PACKAGES = {name: KNOWN[name].packages for name in PEERS if name in KNOWN} | {"ONNX Runtime": ("onnxruntime", "onnx")}


def seconds_a_call(case: Case, rows: int, names: list[str], seconds: float) -> dict[str, float]:
    """{library: seconds}; what each predicts is compared with bpjit's first."""
    net = network(case)
    X, _ = data(replace(case, samples=rows))
    calls = {name: PEERS[name](net) for name in names}
    for name, call in calls.items():
        # Sums of up to 784 products in another order: some units in the last place of a float32.
        np.testing.assert_allclose(call(X), net.predict(X), atol=2e-6, err_msg=name)
    times: dict[str, list[float]] = {name: [] for name in names}
    stop = time.perf_counter() + seconds * len(names)
    while len(times["bpjit"]) < 3 or time.perf_counter() < stop:
        for name, call in calls.items():
            time.sleep(0.005)  # the threads of the one before may wait for more work, awake
            number = max(1, int(0.005 / min(times[name], default=1)))
            begun = time.perf_counter()
            for _ in range(number):
                call(X)
            times[name].append((time.perf_counter() - begun) / number)
    return {name: min(several) for name, several in times.items()}


def seconds_compiled(case: Case, seconds: float) -> float:
    """A row in bpjit's compiled code alone."""
    net = network(case)
    X, _ = data(replace(case, samples=max(10, 10**8 // sum(W.size for W, _ in net.parameters()))))
    everything = net._data(X)._replace(y=np.empty((len(X), case.sizes[-1]), np.float32))
    plan = net._plan(1)
    net._model.predict(everything, 1, plan)
    best, stop = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < stop:
        begun = time.perf_counter()
        net._model.predict(everything, 1, plan)
        best = min(best, time.perf_counter() - begun)
    return best / len(X)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 64, 100_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    arguments = parser.parse_args()
    versions = installed(PACKAGES)
    print(f"{conditions(environment(versions))}; {plural(arguments.threads, 'thread')}", end="\n\n")
    print(
        f"| case | rows | {' | '.join(f'{name}, µs' for name in versions)} | bpjit / best other | compiled code, µs |"
    )
    print(f"|---|---:|{'---:|' * (len(versions) + 2)}")
    alone = partial(fresh, arguments.threads)
    for name in arguments.cases or ["small", "mnist", "mid", "deep"]:
        case = CASES[name]
        for rows in arguments.rows:
            times = alone(seconds_a_call, case, rows, [*versions], arguments.seconds)
            ratio = times["bpjit"] / min((times[peer] for peer in times if peer != "bpjit"), default=np.nan)
            compiled = f"{alone(seconds_compiled, case, arguments.seconds) * 1e6:.1f}" if rows == 1 else ""
            columns = " | ".join(f"{seconds * 1e6:.1f}" for seconds in times.values())
            label = f"{name} {'-'.join(map(str, case.sizes))}"
            print(f"| {label} | {rows} | {columns} | {ratio:.2f} | {compiled} |", flush=True)


if __name__ == "__main__":
    main()
