"""Which function writes the graph of which fitted model or blend."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from models.graphs.errors import ExportError
from models.graphs.graph import Graph, Tensor

_F = TypeVar("_F", bound=Callable[..., Any])
GraphWriter = Callable[[Any, Graph], Tensor]
_SHIPPED = ("trees", "columns", "concat", "sequences", "towers")
_writers: dict[type, GraphWriter] = {}


def graph_of(kind: type) -> Callable[[_F], _F]:
    """Register the function that writes the graph of a fitted class: ``write(fitted, graph) -> scores``.

    The function stands beside the class, in the model's or blender's own file, and gives the name of a Float64 tensor
    (n_pairs,): for each pair what ``predict`` gives. It is in no key of the store, so that a change of it fits nothing
    anew.
    """

    def register(write: _F) -> _F:
        _writers[kind] = write
        return write

    return register


def add_graph(fitted: object, graph: Graph, who: str) -> Tensor:
    """Write the graph of what was fitted. ``who``: it in words. Raises ExportError if no function can."""
    for name in _SHIPPED:
        import_module(f"models.graphs.{name}")
    write = next((_writers[kind] for kind in type(fitted).__mro__ if kind in _writers), None)
    try:
        if write is not None:
            return write(fitted, graph)
        raise ExportError(
            f"nothing writes the graph of a {type(fitted).__name__}",
            expected="a function with @graph_of of its class (models/graphs/)",
        )
    except ExportError as error:
        raise ExportError(
            f"{who} cannot be exported: {error.found.rstrip('.')}.",
            expected=error.expected,
            todo=error.todo
            or "leave it out with --without NAME where what was chosen does not read it, or with enabled = false in "
            "config.toml and a new run",
        ) from error
