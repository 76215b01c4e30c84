"""The derivation with a network's own numbers: every equation, read from the statement that computes it.

`Network.trace` and `Trainer.trace` make a `Trace`; `Trace.term` explains one number of it.
"""

from .requests import of_network, of_trainer
from .term import Line, Part, Term
from .trace import Trace

__all__ = ["Line", "Part", "Term", "Trace", "of_network", "of_trainer"]
