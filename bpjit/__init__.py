"""bpjit trains fully connected networks by back-propagation, compiled for this CPU; its loops read as the derivation.

>>> import bpjit
>>> X, t = bpjit.datasets.digits()
>>> net = bpjit.Network([64, 128, 10], seed=0)
>>> history = net.fit(X, t, epochs=3, optimizer=bpjit.Adam(learning_rate=2e-3))
>>> history["loss"][-1] < history["loss"][0]
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, metrics, schedules
    from .callbacks import Callback
    from .compilation import warmup
    from .early_stopping import EarlyStopping
    from .engine import functions
    from .engine.optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, NAdam, RMSProp, RProp
    from .errors import DataError, DivergenceError, FileFormatError, NotRegisteredError
    from .gradient_check import GradientReport, check_gradients
    from .history import History
    from .network import Network
    from .registration import register_activation, register_loss, register_optimizer
    from .storage import load
    from .training import Trainer

__version__ = "0.1.0"

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Callback",
    "DataError",
    "DivergenceError",
    "EarlyStopping",
    "FileFormatError",
    "GradientReport",
    "History",
    "Lion",
    "NAdam",
    "Network",
    "NotRegisteredError",
    "RMSProp",
    "RProp",
    "Trainer",
    "__version__",
    "check_gradients",
    "datasets",
    "functions",
    "load",
    "metrics",
    "register_activation",
    "register_loss",
    "register_optimizer",
    "schedules",
    "warmup",
]

_HOMES = {
    "LBFGS": "engine.optimizers",
    "SGD": "engine.optimizers",
    "Adadelta": "engine.optimizers",
    "Adagrad": "engine.optimizers",
    "Adam": "engine.optimizers",
    "AdamW": "engine.optimizers",
    "Adamax": "engine.optimizers",
    "Lion": "engine.optimizers",
    "NAdam": "engine.optimizers",
    "RMSProp": "engine.optimizers",
    "RProp": "engine.optimizers",
    "Callback": "callbacks",
    "DataError": "errors",
    "DivergenceError": "errors",
    "EarlyStopping": "early_stopping",
    "FileFormatError": "errors",
    "GradientReport": "gradient_check",
    "History": "history",
    "Network": "network",
    "NotRegisteredError": "errors",
    "Trainer": "training",
    "check_gradients": "gradient_check",
    "datasets": "datasets",
    "functions": "engine.functions",
    "load": "storage",
    "metrics": "metrics",
    "register_activation": "registration",
    "register_loss": "registration",
    "register_optimizer": "registration",
    "schedules": "schedules",
    "warmup": "compilation",
}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for: Numba alone takes half a second, `bpjit --help` need not wait."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bpjit' has no attribute {name!r}")
    home = import_module(f"bpjit.{_HOMES[name]}")
    is_module = name == _HOMES[name].rpartition(".")[2]
    value = home if is_module else getattr(home, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
