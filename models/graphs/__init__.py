"""Fitted models as ONNX graphs: what a bundle for serving without Python is made of. Imported when an export asks."""

from typing import TYPE_CHECKING

from engine import lazy_face

if TYPE_CHECKING:
    from models.graphs.errors import ExportError, require, runtime_library
    from models.graphs.graph import Graph, Tensor
    from models.graphs.inputs import (
        NO_TEXT,
        NO_WHOLE_NUMBER,
        Input,
        Inputs,
        Kind,
        kind_of_dtype,
        values_of,
        with_places,
    )
    from models.graphs.registry import GraphWriter, add_graph, graph_of

__all__ = [
    "NO_TEXT",
    "NO_WHOLE_NUMBER",
    "ExportError",
    "Graph",
    "GraphWriter",
    "Input",
    "Inputs",
    "Kind",
    "Tensor",
    "add_graph",
    "graph_of",
    "kind_of_dtype",
    "require",
    "runtime_library",
    "values_of",
    "with_places",
]

lazy_face(__name__)
