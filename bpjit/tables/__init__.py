"""Tables and images from files as samples for a network, and a network's answers for them.

>>> import bpjit
>>> from bpjit import tables
>>> homes = tables.open_source({"rooms": [1, 2, 3, 4] * 5, "town": ["Rome", "Bern"] * 10, "rent": [1.5, 2.5] * 10})
>>> prepared = tables.prepare(homes, "rent", seed=0)
>>> prepared.notes[0]
'regression of rent, since its values are not all whole numbers'
>>> net = bpjit.Network([prepared.preparation.features, 8, 1], loss="squared_error", seed=0)
>>> model = tables.Model(net, prepared.preparation)
>>> answers = next(model.predict(homes, keep=["town"]))
>>> answers.schema.names, len(answers)
(['town', 'prediction'], 20)

It needs pyarrow and scikit-learn: pip install 'bpjit[cli]'.
"""

from importlib.util import find_spec

for _package, _name in (("pyarrow", "pyarrow"), ("sklearn", "scikit-learn")):
    if find_spec(_package) is None:
        raise ImportError(f"files of tables need {_name}: pip install 'bpjit[cli]'")

from .errors import DataError  # noqa: E402
from .files import open_source  # noqa: E402
from .model import Model  # noqa: E402
from .output import check_output, write  # noqa: E402
from .preparation import Block, Preparation  # noqa: E402
from .prepared import Prepared, prepare  # noqa: E402
from .source import Source  # noqa: E402

__all__ = [
    "Block",
    "DataError",
    "Model",
    "Preparation",
    "Prepared",
    "Source",
    "check_output",
    "open_source",
    "prepare",
    "write",
]
