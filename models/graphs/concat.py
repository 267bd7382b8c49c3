"""The net of ``channel_net`` as a graph: a gather a table, then two products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from engine import nets
from models.graphs.columns import clipped
from models.graphs.errors import ExportError
from models.graphs.graph import Graph, Tensor
from models.graphs.registry import graph_of
from models.ranking import Average, FittedNet, TrainedNet

Writer = TypeVar("Writer", bound=Callable[[Any, Graph], Tensor])
LIMIT = 4.0  # standard deviations, as in nets.Scaler


def graph_of_net(kind: type[FittedNet]) -> Callable[[Writer], Writer]:
    """Register the function that writes the graph of one trained net: ``write(trained, graph) -> scores``.

    A fit that had nothing to learn from gives 0, and nets of several seeds the mean of their graphs (``Average``).
    """

    def register(write: Writer) -> Writer:
        @graph_of(kind)
        def whole(fitted: FittedNet, g: Graph) -> Tensor:
            trained = fitted.trained
            if trained is None:
                return g.filled(0.0)
            if not isinstance(trained, Average):
                return write(trained, g)
            total, *others = (write(net, g) for net in trained.nets)
            for other in others:
                total = g.add("Add", total, other)
            return g.add("Div", total, g.f64(float(len(trained.nets))))

        return write

    return register


@graph_of_net(FittedNet)
def net_graph(trained: object, g: Graph) -> Tensor:
    """Write ``TrainedNet.scores`` of a net whose inputs lie side by side."""
    if type(trained) is not TrainedNet or type(trained.net) is not nets.ConcatNet:
        raise ExportError(f"nothing writes the graph of a {type(trained).__name__}")
    numbers = encoded_numbers(trained.encoder, g)
    tables = [table_of(weight, g) for weight in trained.net.tables.parameters()]
    embedded = embedded_channels(trained.encoder, tables, g)
    return rounded(g, _forward(trained.net, embedded, numbers, g))


def _forward(net: nets.ConcatNet, embedded: list[Tensor], numbers: Tensor | None, g: Graph) -> Tensor:
    """Write ``ConcatNet.forward``: Float64 (n_pairs, 1)."""
    parts = [*embedded, *([] if numbers is None else [numbers])]
    x = parts[0] if len(parts) == 1 else g.add("Concat", *parts, axis=1)
    hidden = g.add("Relu", linear(g, x, net.hidden))
    scores = linear(g, hidden, net.output)
    if net.start is None:
        return scores
    assert numbers is not None
    start = g.add("Gather", numbers, g.constant([net.start], np.int64), axis=1)
    return g.add("Add", scores, g.add("Mul", g.constant(weights(net.skip), np.float64), start))


def encoded_numbers(encoder: nets.Encoder, g: Graph) -> Tensor | None:
    """Write ``Encoder.numbers``: Float32 arithmetic, given as Float64 (n_pairs, n_outputs); None if there are none."""
    scaler = encoder.scaler
    if not encoder.numeric:
        return None
    x = g.numbers(encoder.numeric, np.float32)
    is_unknown = g.add("IsNaN", x)
    mean = g.constant(scaler.mean, np.float32)
    known = clipped(g, g.add("Where", is_unknown, mean, x), 1e30, np.float32)
    scaled = g.add("Div", g.add("Sub", known, mean), g.constant(scaler.std, np.float32))
    scaled = clipped(g, scaled, LIMIT, np.float32)
    scaled = g.add("Where", is_unknown, g.constant(0, np.float32), scaled)
    with_nulls = np.flatnonzero(scaler.has_nulls)
    if len(with_nulls):
        flags = g.add("Gather", g.cast(is_unknown, np.float32), g.constant(with_nulls, np.int64), axis=1)
        scaled = g.add("Concat", scaled, flags, axis=1)
    return g.cast(scaled, np.float64)


def embedded_channels(encoder: nets.Encoder, tables: Sequence[Tensor], g: Graph) -> list[Tensor]:
    """Write ``Encoder.rows`` and the look-ups in Float32 tables: Float64 (n_pairs, width) a channel."""
    return [
        g.cast(g.add("Gather", table, g.coded(name, known.values)), np.float64)
        for (name, known), table in zip(encoder.channels.items(), tables, strict=True)
    ]


def table_of(weight: torch.Tensor, g: Graph) -> Tensor:
    """Embeddings as a constant, Float32: they were rounded to that when they were saved."""
    return g.constant(weights(weight), np.float32)


def linear(g: Graph, x: Tensor, layer: nn.Linear) -> Tensor:
    """Write a linear layer in Float64: (..., n_in) -> (..., n_out)."""
    product = g.add("MatMul", x, g.constant(weights(layer.weight).T, np.float64))
    return (
        product if layer.bias is None else g.add("Add", product, g.constant(weights(layer.bias), np.float64))
    )


def weights(parameter: torch.Tensor) -> npt.NDArray[np.float64]:
    """Values of a parameter."""
    values: npt.NDArray[np.float64] = parameter.detach().double().numpy()
    return values


def rounded(g: Graph, scores: Tensor) -> Tensor:
    """Round (n_pairs, 1) to Float32, as ``TrainedNet.scores`` does: Float64 (n_pairs,)."""
    return g.cast(g.cast(g.squeezed(scores), np.float32), np.float64)
