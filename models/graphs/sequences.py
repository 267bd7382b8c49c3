"""The net of ``sequence_net`` as a graph: the request's history is encoded once, and every pair attends to it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import nn

from engine import nets
from models.graphs.columns import clipped
from models.graphs.concat import (
    LIMIT,
    embedded_channels,
    encoded_numbers,
    graph_of_net,
    linear,
    rounded,
    table_of,
    weights,
)
from models.graphs.graph import Graph, Tensor
from models.graphs.transitions import transitions_graph
from models.ranking import FOLLOWS_LIKED, FittedSequence, TrainedSequence

_EPSILON = 1e-5  # of nn.LayerNorm


@graph_of_net(FittedSequence)
def sequence_graph(trained: TrainedSequence, g: Graph) -> Tensor:
    """Write ``TrainedSequence.scores``."""
    net, shape = trained.net, trained.net.shape
    if trained.led is not None:
        g.made[FOLLOWS_LIKED] = transitions_graph(trained.led, g)
    tables = [table_of(weight, g) for weight in net.tables.parameters()]
    embedded = embedded_channels(trained.encoder, tables, g)
    numbers = encoded_numbers(trained.encoder, g)
    tokens, is_there = _tokens(trained, tables, g)
    content = None if trained.content is None else encoded_numbers(trained.content, g)
    vector = [] if content is None else [content]
    query = linear(g, joined(g, [*(embedded[at] for at in shape.query), *vector]), net.query)
    found = _attended(g, query, tokens, is_there, shape.width)
    given = numbers or _zeros(g, embedded[0])
    read = g.add("Relu", linear(g, given, net.numbers))
    x = crossed(g, joined(g, [read, *embedded, *vector, found, g.add("Mul", found, query)]), net.cross)
    for layer in net.deep:
        x = linear(g, x, layer) if isinstance(layer, nn.Linear) else g.add("Relu", x)
    scores = linear(g, x, net.output)
    if net.start is not None and numbers is not None:
        start = g.add("Gather", numbers, g.constant([net.start], np.int64), axis=1)
        scores = g.add("Add", scores, g.add("Mul", g.constant(weights(net.skip), np.float64), start))
    return rounded(g, scores)


def _tokens(trained: TrainedSequence, tables: list[Tensor], g: Graph) -> tuple[Tensor, Tensor]:
    """Write ``HistoryEncoder.histories`` and ``SequenceNet.encode``.

    Gives tokens, Float64 (1 + length, width), and which places are there, Boolean (1 + length,).
    """
    net, past = trained.net, trained.past
    place = weights(net.place)
    x, is_there = g.constant(place[:1], np.float64), g.constant([True], np.bool_)
    if past.length:
        own = [table_of(weight, g) for weight in net.own.parameters()]
        parts, is_known = places(past, net.shape.shared, tables, own, g)
        token = g.add("Add", linear(g, joined(g, parts), net.token), g.constant(place[1:], np.float64))
        x = g.add("Concat", x, token, axis=0)
        is_there = g.add("Concat", is_there, is_known, axis=0)
    causal = g.constant(np.tril(np.ones((past.length + 1, past.length + 1))).astype(np.bool_), np.bool_)
    is_seen = g.add("And", g.add("Unsqueeze", is_there, g.constant([0], np.int64)), causal)
    times = None if past.gaps is None else _times(g, past.gaps)
    for block in net.blocks:
        if isinstance(block, nets.SoftmaxBlock):
            x = _softmax_block(g, block, x, is_seen)
        else:
            x = _hstu_block(g, block, x, is_seen, times)
    return _normed(g, x, net.norm), is_there


def places(
    past: nets.HistoryEncoder, shared: Sequence[int], tables: list[Tensor], own: list[Tensor], g: Graph
) -> tuple[list[Tensor], Tensor]:
    """What is known of each place: Float64 (length, ...) a part, and whether anything is.

    ``shared``: of each column of ids, which of the ``tables`` it reads; -1 = the next one of its ``own``.
    """
    rest = iter(own)
    parts, known = [], []
    for (name, vocabulary), at in zip(past.ids.items(), shared, strict=True):
        values, kind = g.array(name)
        known.append(g.add("Not", g.is_null(values, kind)))
        table = tables[at] if at >= 0 else next(rest)
        rows = g.codes_of(values, kind, vocabulary.values)
        parts.append(g.cast(g.add("Gather", table, rows), np.float64))
    scaled, unknown = [], []
    for i, name in enumerate(past.numeric):
        values, kind = g.array(name)
        x = _logarithm(g, g.as_numbers(values, kind, np.float64))
        is_unknown = g.add("IsNaN", x)
        known.append(g.add("Not", is_unknown))
        mean, std = (g.constant(of[i], np.float32) for of in (past.scaler.mean, past.scaler.std))
        scaled.append(_scaled(g, x, is_unknown, mean, std))
        if past.scaler.has_nulls[i]:
            unknown.append(g.cast(is_unknown, np.float32))
    columns = [g.add("Unsqueeze", x, g.constant([1], np.int64)) for x in (*scaled, *unknown)]
    if past.vectors is not None:
        vectors = _vectors(past, past.vectors, g)
        known.append(vectors[0])
        columns += vectors[1:]
    is_there = known[0]
    for other in known[1:]:
        is_there = g.add("Or", is_there, other)
    if columns:
        there = g.add("Unsqueeze", g.cast(is_there, np.float64), g.constant([1], np.int64))
        parts.append(g.add("Mul", g.cast(joined(g, columns), np.float64), there))
    return parts, is_there


def _vectors(past: nets.HistoryEncoder, vectors: nets.Vectors, g: Graph) -> list[Tensor]:
    """Write ``Scaler.apply`` of vectors: which places have one, then numbers (length, width) and (length, n_flags)."""
    values, kind = g.array(vectors.name)
    x = g.as_numbers(values, kind, np.float32)
    scaler = vectors.scaler
    x = g.add("Reshape", x, g.constant([past.length, len(scaler.mean)], np.int64))
    is_unknown = g.add("IsNaN", x)
    mean, std = g.constant(scaler.mean, np.float32), g.constant(scaler.std, np.float32)
    scaled = _scaled(g, x, is_unknown, mean, std)
    unknown = g.cast(is_unknown, np.float32)
    last = g.constant([1], np.int64)
    has_any = g.add("Less", g.add("ReduceMin", unknown, last, keepdims=0), g.constant(1, np.float32))
    flags = g.add("Gather", unknown, g.constant(np.flatnonzero(scaler.has_nulls), np.int64), axis=1)
    return [has_any, scaled, flags]


def _logarithm(g: Graph, x: Tensor) -> Tensor:
    """``sign(x) log(1 + |x|)`` of Float32 numbers, in Float64 and rounded back to Float32."""
    x = g.cast(g.cast(x, np.float32), np.float64)
    taken = g.add("Log", g.add("Add", g.f64(1.0), g.add("Abs", x)))
    return g.cast(g.add("Mul", g.add("Sign", x), taken), np.float32)


def _scaled(g: Graph, x: Tensor, is_unknown: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Write ``Scaler.apply`` of numbers, Float32."""
    known = clipped(g, g.add("Where", is_unknown, mean, x), 1e30, np.float32)
    scaled = clipped(g, g.add("Div", g.add("Sub", known, mean), std), LIMIT, np.float32)
    return g.add("Where", is_unknown, g.constant(0, np.float32), scaled)


def _softmax_block(g: Graph, block: nn.Module, x: Tensor, is_seen: Tensor) -> Tensor:
    """Write ``SoftmaxBlock.forward``."""
    assert isinstance(block, nets.SoftmaxBlock)
    query, key, value = _by_head(g, linear(g, _normed(g, x, block.before), block.mix), 3, block)
    masked = g.add("Where", is_seen, _logits(g, query, key, block), g.f64(-np.inf))
    weighed = g.add("MatMul", g.add("Softmax", masked, axis=-1), value)
    x = g.add("Add", x, linear(g, _side_by_side(g, weighed, block), block.joined))
    wide = linear(g, _normed(g, x, block.between), block.wide)
    return g.add("Add", x, linear(g, _gelu(g, wide), block.narrow))


def _times(g: Graph, gaps: str) -> Tensor:
    """Write ``HistoryEncoder._since`` and ``time_buckets``: Int64 (1 + length, 1 + length)."""
    values, kind = g.array(gaps)
    since = g.add("CumSum", g.as_numbers(values, kind, np.float64), g.constant(0, np.int64), reverse=1)
    places = g.add("Concat", g.constant([np.nan], np.float64), since, axis=0)
    rows, columns = (g.add("Unsqueeze", places, g.constant([axis], np.int64)) for axis in (1, 0))
    between = g.add("Sub", columns, rows)
    is_unknown = g.add("IsNaN", between)
    known = g.add("Max", g.add("Where", is_unknown, g.f64(1.0), between), g.f64(1.0))
    # The power of two that is nearest by its logarithm, or the one before it if that is above the number.
    near = g.add("Floor", g.add("Add", g.add("Div", g.add("Log", known), g.f64(math.log(2))), g.f64(0.5)))
    near = g.cast(near, np.int64)
    power = g.add("Gather", g.constant(2.0 ** np.arange(256), np.float64), near)
    bucket = g.add(
        "Sub", g.add("Add", near, g.constant(1, np.int64)), g.cast(g.add("Greater", power, known), np.int64)
    )
    bucket = g.add("Min", bucket, g.constant(nets.N_TIMES - 1, np.int64))
    return g.add("Where", is_unknown, g.constant(0, np.int64), bucket)


def _hstu_block(g: Graph, block: nn.Module, x: Tensor, is_seen: Tensor, times: Tensor | None) -> Tensor:
    """Write ``HstuBlock.forward``."""
    assert isinstance(block, nets.HstuBlock)
    mixed = _silu(g, linear(g, _normed(g, x, block.before), block.mix))
    query, key, value, gate = _by_head(g, mixed, 4, block)
    n_places = block.length + 1
    places = np.arange(n_places)
    far = (places[:, None] - places[None]).clip(0, block.length)
    bias = g.constant(weights(block.distance)[:, far], np.float64)
    if times is not None:
        of_times = g.add("Gather", g.constant(weights(block.time), np.float64), times, axis=1)
        bias = g.add("Add", bias, of_times)
    weight = _silu(g, g.add("Add", _logits(g, query, key, block), bias))
    seen = g.cast(is_seen, np.float64)
    n_seen = g.add("ReduceSum", seen, g.constant([1], np.int64), keepdims=1)
    weight = g.add("Div", g.add("Mul", weight, seen), g.add("Max", n_seen, g.f64(1.0)))
    found = _side_by_side(g, g.add("MatMul", weight, value), block)
    gated = g.add("Mul", _normed(g, found, block.between), _side_by_side(g, gate, block))
    return g.add("Add", x, linear(g, gated, block.joined))


def _logits(g: Graph, query: Tensor, key: Tensor, block: nets.SoftmaxBlock | nets.HstuBlock) -> Tensor:
    product = g.add("MatMul", query, g.add("Transpose", key, perm=[0, 2, 1]))
    return g.add("Div", product, g.f64(math.sqrt(block.joined.in_features / block.heads)))


def _by_head(g: Graph, x: Tensor, n_parts: int, block: nets.SoftmaxBlock | nets.HstuBlock) -> list[Tensor]:
    """(places, n_parts * width) -> ``n_parts`` tensors (heads, places, width / heads)."""
    width = block.joined.in_features // block.heads
    shape = g.constant([-1, n_parts, block.heads, width], np.int64)
    parts = g.add("Transpose", g.add("Reshape", x, shape), perm=[1, 2, 0, 3])
    return [g.add("Gather", parts, g.constant(i, np.int64), axis=0) for i in range(n_parts)]


def _side_by_side(g: Graph, x: Tensor, block: nets.SoftmaxBlock | nets.HstuBlock) -> Tensor:
    """(heads, places, width / heads) -> (places, width)."""
    shape = g.constant([-1, block.joined.in_features], np.int64)
    return g.add("Reshape", g.add("Transpose", x, perm=[1, 0, 2]), shape)


def _attended(g: Graph, query: Tensor, tokens: Tensor, is_there: Tensor, width: int) -> Tensor:
    """Write ``attended`` of one group: (n_pairs, width)."""
    product = g.add("MatMul", query, g.add("Transpose", tokens, perm=[1, 0]))
    logits = g.add("Div", product, g.f64(math.sqrt(width)))
    seen = g.add("Unsqueeze", is_there, g.constant([0], np.int64))
    return g.add("MatMul", g.add("Softmax", g.add("Where", seen, logits, g.f64(-np.inf)), axis=1), tokens)


def crossed(g: Graph, x: Tensor, layers: nets.CrossLayers) -> Tensor:
    crossed = x
    for down, up in zip(layers.down, layers.up, strict=True):
        assert isinstance(down, nn.Linear)
        assert isinstance(up, nn.Linear)
        crossed = g.add("Add", g.add("Mul", x, linear(g, linear(g, crossed, down), up)), crossed)
    return crossed


def _normed(g: Graph, x: Tensor, layer: nn.LayerNorm) -> Tensor:
    last = g.constant([-1], np.int64)
    apart = g.add("Sub", x, g.add("ReduceMean", x, last, keepdims=1))
    variance = g.add("ReduceMean", g.add("Mul", apart, apart), last, keepdims=1)
    scaled = g.add("Div", apart, g.add("Sqrt", g.add("Add", variance, g.f64(_EPSILON))))
    weight, bias = (g.constant(weights(p), np.float64) for p in (layer.weight, layer.bias))
    return g.add("Add", g.add("Mul", scaled, weight), bias)


def _silu(g: Graph, x: Tensor) -> Tensor:
    return g.add("Mul", x, g.add("Sigmoid", x))


def _gelu(g: Graph, x: Tensor) -> Tensor:
    """``x (1 + erf(x / sqrt 2)) / 2``; onnxruntime has the error function in Float32 only."""
    error = g.cast(g.add("Erf", g.cast(g.add("Div", x, g.f64(math.sqrt(2.0))), np.float32)), np.float64)
    return g.add("Mul", g.add("Mul", g.f64(0.5), x), g.add("Add", g.f64(1.0), error))


def joined(g: Graph, parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=1)


def _zeros(g: Graph, like: Tensor) -> Tensor:
    """Zeros (n, 1), for what has no columns."""
    first = g.add("Gather", like, g.constant([0], np.int64), axis=1)
    return g.add("Mul", first, g.f64(0.0))
