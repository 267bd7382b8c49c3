"""Columns as graphs: a model that is a feature, and what other models start from."""

from __future__ import annotations

import numpy as np

from models._start import Start
from models.column import RankedByColumn
from models.graphs.graph import Graph, Tensor
from models.graphs.registry import graph_of

_LIMIT = 4.0  # standard deviations, as in Start.scores


@graph_of(RankedByColumn)
def column_graph(fitted: RankedByColumn, g: Graph) -> Tensor:
    """Write ``RankedByColumn.predict``."""
    columns = [g.number(name, np.float64) for name in fitted.columns]
    total, n_known = g.filled(0.0), g.filled(0.0)
    for x, mean, std in zip(columns, fitted.mean, fitted.std, strict=True):
        is_known = g.add("Not", g.add("IsNaN", x))
        bounded = clipped(g, g.add("Where", is_known, x, g.f64(mean)), 1e300)
        scaled = g.add("Div", g.add("Sub", bounded, g.f64(mean)), g.f64(std))
        scaled = clipped(g, scaled, 1e300)
        total = g.add("Add", total, g.add("Where", is_known, scaled, g.f64(0.0)))
        n_known = g.add("Add", n_known, g.cast(is_known, np.float64))
    is_any = g.add("Greater", n_known, g.f64(0.0))
    x = g.add("Div", total, g.add("Max", n_known, g.f64(1.0)))
    ranked = g.add("Div", x, g.add("Add", g.f64(1.0), g.add("Abs", x)))
    return g.add("Where", is_any, ranked, g.f64(-1.0))


def start_graph(start: Start, g: Graph) -> Tensor:
    """Write ``Start.scores`` of a column that is read as Float32: Float64 (n_pairs,)."""
    x = g.cast(g.number(start.column, np.float32), np.float64)
    x = clipped(g, g.add("Where", g.add("IsNaN", x), g.f64(start.mean), x), 1e30)
    scaled = clipped(g, g.add("Div", g.add("Sub", x, g.f64(start.mean)), g.f64(start.std)), _LIMIT)
    return g.add("Add", g.f64(start.level), g.add("Mul", g.f64(start.slope), scaled))


def clipped(
    g: Graph, x: Tensor, limit: float, dtype: type[np.float32] | type[np.float64] = np.float64
) -> Tensor:
    """Cut values, none of which is NaN, at ``-limit`` and ``limit``."""
    return g.add("Clip", x, g.constant(-limit, dtype), g.constant(limit, dtype))
