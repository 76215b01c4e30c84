"""The derivation with a network's own numbers: every equation, read from the statement that computes it.

`Network.trace` and `Trainer.trace` make a `Trace`, of which `Trace.term` explains one number; `Trainer.film` makes a
`Film`, a training that is recorded update by update.
"""

from .film import Change, Film, Surface
from .requests import of_network, of_trainer
from .term import Line, Part, Term
from .trace import Trace

__all__ = ["Change", "Film", "Line", "Part", "Surface", "Term", "Trace", "of_network", "of_trainer"]
