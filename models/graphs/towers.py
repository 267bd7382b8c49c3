"""Two towers as graphs: the left one is asked once, since the pairs of a request are one user's."""

from __future__ import annotations

import numpy as np
from torch import nn

from engine import nets
from models.graphs.concat import (
    embedded_channels,
    encoded_numbers,
    graph_of_net,
    linear,
    rounded,
    table_of,
    weights,
)
from models.graphs.graph import Graph, Tensor
from models.graphs.sequences import crossed, joined, places
from models.ranking import FittedTowers, TrainedTowers, derived_parts


@graph_of_net(FittedTowers)
def towers_graph(trained: TrainedTowers, g: Graph) -> Tensor:
    """Write ``TrainedTowers.scores``."""
    net, encoder = trained.net, trained.encoder
    right_tables = [table_of(weight, g) for weight in net.right_tables.parameters()]
    left = _read(encoder.left, [table_of(weight, g) for weight in net.left_tables.parameters()], g)
    left = [_first(g, part) for part in left]
    if encoder.past is not None:
        left.append(_context(trained, right_tables, g))
    of_left, of_right = (
        _tower(tower, joined(g, parts), g)
        for tower, parts in ((net.left, left), (net.right, _read(encoder.right, right_tables, g)))
    )
    vectors, offsets = zip(*(_apart(found, net.shape.width, g) for found in (of_left, of_right)), strict=True)
    product = g.add("ReduceSum", g.add("Mul", *vectors), g.constant([1], np.int64), keepdims=1)
    scores = g.add("Mul", g.constant(weights(net.scale), np.float64), product)
    for more in (*offsets, g.constant(weights(net.level), np.float64)):
        scores = g.add("Add", scores, more)
    return rounded(g, _with_beside(net, encoder.beside, scores, g))


def _read(encoder: nets.Encoder, tables: list[Tensor], g: Graph) -> list[Tensor]:
    """Embeddings and numbers of all pairs, Float64 (n_pairs, width) each."""
    for name in encoder.numeric:
        base, power, _ = derived_parts(name)
        if power is not None and name not in g.made:
            x = g.number(base, np.float64)
            raised = g.add("Mul", g.add("Sign", x), g.add("Pow", g.add("Abs", x), g.f64(power)))
            g.made[name] = g.cast(raised, np.float32)
    numbers = encoded_numbers(encoder, g)
    return [*embedded_channels(encoder, tables, g), *([] if numbers is None else [numbers])]


def _context(trained: TrainedTowers, tables: list[Tensor], g: Graph) -> Tensor:
    """Write ``Pooling.forward`` of the user's newest rows: Float64 (1, width)."""
    net, past, context = trained.net, trained.encoder.past, trained.net.shape.context
    assert past is not None
    assert context is not None
    own = [table_of(weight, g) for weight in net.own.parameters()]
    parts, is_there = places(past, context.shared, tables, own, g)
    tokens = g.add("Relu", linear(g, joined(g, parts), net.pooling.token))
    logits = g.add(
        "Add",
        g.squeezed(linear(g, tokens, net.pooling.weight)),
        g.constant(weights(net.pooling.place), np.float64),
    )
    masked = g.add("Where", is_there, logits, g.f64(-1e9))
    weight = g.add("Mul", g.add("Softmax", masked, axis=0), g.cast(is_there, np.float64))
    return g.add("MatMul", g.add("Unsqueeze", weight, g.constant([0], np.int64)), tokens)


def _tower(tower: nets.Tower, x: Tensor, g: Graph) -> Tensor:
    """Write ``Tower.forward``, the offset behind the vector: Float64 (n, width + 1)."""
    hidden = g.add("Relu", linear(g, crossed(g, x, tower.cross), tower.hidden))
    first = _columns(g, x, 0, tower.width + 1)
    return g.add("Add", first, linear(g, hidden, tower.output))


def _apart(found: Tensor, width: int, g: Graph) -> tuple[Tensor, Tensor]:
    return _columns(g, found, 0, width), _columns(g, found, width, width + 1)


def _with_beside(net: nets.TowersNet, encoder: nets.Encoder, scores: Tensor, g: Graph) -> Tensor:
    """Add what counts beside the product: Float64 (n_pairs, 1)."""
    numbers = encoded_numbers(encoder, g)
    if numbers is None:
        return scores
    first, _, last = net.beside
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    scores = g.add("Add", scores, linear(g, g.add("Relu", linear(g, numbers, first)), last))
    if net.start is None:
        return scores
    start = _columns(g, numbers, net.start, net.start + 1)
    return g.add("Add", scores, g.add("Mul", g.constant(weights(net.skip), np.float64), start))


def _first(g: Graph, x: Tensor) -> Tensor:
    """First row, (1, width)."""
    return g.add("Slice", x, *(g.constant([i], np.int64) for i in (0, 1, 0)))


def _columns(g: Graph, x: Tensor, start: int, stop: int) -> Tensor:
    return g.add("Slice", x, *(g.constant([i], np.int64) for i in (start, stop, 1)))
