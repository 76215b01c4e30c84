"""A trace as one HTML page that needs nothing else: the network as a graph, its equations, their numbers and source."""

from .document import frame, html, write

__all__ = ["frame", "html", "write"]
