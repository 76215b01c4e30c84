"""What comparisons with other libraries share: who is installed, and a new process with so many threads for all."""

import datetime
import importlib.metadata
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from bpjit.engine import plan

PACKAGES = {
    "bpjit": ("bpjit",),
    "PyTorch": ("torch",),
    "JAX": ("jax", "optax"),
    "scikit-learn": ("scikit-learn",),
    "ONNX Runtime": ("onnxruntime", "onnx"),
}


def installed(names: Iterable[str]) -> dict[str, str]:
    """{name: version}, without those that are not there."""
    found = {}
    for name in names:
        try:
            found[name], *_ = [importlib.metadata.version(package) for package in PACKAGES[name]]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def conditions(versions: dict[str, str], threads: int) -> str:
    """A line that says what was measured, where and when."""
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    cpu = f"{plan.describe()['CPU']}, {threads} thread{'s' if threads > 1 else ''}"
    return f"{libraries}; Python {platform.python_version()}; {cpu}; {datetime.date.today()}"


def limit_threads(count: int) -> None:
    """For the processes that `fresh` starts: libraries read these settings when they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(count)
    if count == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def fresh(function: Callable, *arguments: Any) -> Any:
    """function(*arguments) in a new process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def torch_layers(parameters: list[tuple[Any, Any]]) -> list[Any]:
    """PyTorch's Linear layers with these weights and biases, a ReLU between them."""
    import torch

    layers: list[torch.nn.Module] = []
    for W, b in parameters:
        linear = torch.nn.Linear(W.shape[1], W.shape[0])
        linear.load_state_dict({"weight": torch.from_numpy(W), "bias": torch.from_numpy(b)})
        layers += [linear, torch.nn.ReLU()]
    return layers[:-1]
