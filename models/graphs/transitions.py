"""What follows what was liked last, as a graph: a number of each pair, made of the request's history."""

from __future__ import annotations

import numpy as np

from models.graphs.graph import Graph, Tensor
from models.graphs.inputs import Kind
from models.ranking import ItemVectors, Transitions


def transitions_graph(led: Transitions, g: Graph) -> Tensor:
    """Write ``Transitions.added``: Float32 (n_pairs,), NaN = null."""
    items, relevances, *sources = (g.array(name) for name in led.arrays)
    at = _at(led.vectors, items, sources[0] if sources else None, g)
    likes = g.add("Greater", g.as_numbers(*relevances, np.float64), g.f64(0.0))
    liked = g.cast(g.add("And", likes, _is_known(at, g)), np.float64)
    table, first = g.constant(led.vectors.table, np.float32), g.constant([0], np.int64)
    vectors = g.cast(g.add("Gather", table, at), np.float64)
    last = g.add("Gather", vectors, g.add("ArgMax", liked, axis=0, select_last_index=1, keepdims=1), axis=0)
    n_liked = g.add("ReduceSum", liked, first, keepdims=1)
    total = g.add("MatMul", g.add("Unsqueeze", liked, first), vectors)
    mean = g.add("Div", total, g.add("Max", n_liked, g.f64(1.0)))
    leads = g.add("MatMul", g.add("Sub", last, mean), g.constant(led.matrix, np.float64))
    asked = _asked(led, g)
    own = g.cast(g.add("Gather", table, asked), np.float64)
    told = g.squeezed(g.add("MatMul", own, g.add("Transpose", leads, perm=[1, 0])))
    is_told = g.add("And", g.add("Greater", n_liked, g.f64(0.0)), _is_known(asked, g))
    return g.cast(g.add("Where", is_told, told, g.f64(np.nan)), np.float32)


def _asked(led: Transitions, g: Graph) -> Tensor:
    """Places of the pairs' items among the vectors."""
    at = g.coded(led.item, led.vectors.items.values)
    return (
        at
        if led.source is None
        else _or_source(at, g.coded(led.source, led.vectors.sources.values), led.vectors, g)
    )


def _at(
    vectors: ItemVectors, items: tuple[Tensor, Kind], sources: tuple[Tensor, Kind] | None, g: Graph
) -> Tensor:
    """Write ``ItemVectors.at`` of a history."""
    at = g.codes_of(*items, vectors.items.values)
    return at if sources is None else _or_source(at, g.codes_of(*sources, vectors.sources.values), vectors, g)


def _or_source(at: Tensor, of: Tensor, vectors: ItemVectors, g: Graph) -> Tensor:
    none = g.constant(0, np.int64)
    behind = g.add("Add", of, g.constant(len(vectors.items), np.int64))
    is_needed = g.add("And", g.add("Equal", at, none), g.add("Greater", of, none))
    return g.add("Where", is_needed, behind, at)


def _is_known(at: Tensor, g: Graph) -> Tensor:
    return g.add("Greater", at, g.constant(0, np.int64))
