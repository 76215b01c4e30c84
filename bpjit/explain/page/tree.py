"""Expressions as JSON can hold them."""

from dataclasses import fields
from typing import Any

from ..expression import Node
from .numbers import scalar


def tree(node: Any) -> Any:
    """A node of an expression as a dict; its parts likewise."""
    if isinstance(node, tuple):
        return [tree(each) for each in node]
    if not isinstance(node, Node):
        return node
    made = {"kind": type(node).__name__}
    for field in fields(node):
        value = getattr(node, field.name)
        made[field.name] = scalar(value) if field.name == "value" and not isinstance(value, Node) else tree(value)
    return made
