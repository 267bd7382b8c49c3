"""Blends as graphs: ranks with averaged ties, z-scores and distances within the pairs of a request."""

from __future__ import annotations

import numpy as np

from models import FittedRanker, graphs
from stacking._blender import FittedBlend
from stacking.level_two import PREFIX, FittedTrees
from stacking.mean_rank import FittedMeanRank
from stacking.weights import FittedWeights

_NOISE = 1e-9  # as in stacking._ranks: below so much of the largest score a spread is a rounding error


def score_graph(fitted: FittedRanker | FittedBlend, g: graphs.Graph, who: str) -> graphs.Tensor:
    """Write the graph of a model, or of a blend, whose graphs are registered below."""
    return graphs.add_graph(fitted, g, who)


@graphs.graph_of(FittedMeanRank)
def mean_rank_graph(fitted: FittedMeanRank, g: graphs.Graph) -> graphs.Tensor:
    """Write ``FittedMeanRank.predict``."""
    total = rank(g, g.score(fitted.models[0]))
    for model in fitted.models[1:]:
        total = g.add("Add", total, rank(g, g.score(model)))
    return share(g, g.add("Div", total, g.f64(len(fitted.models))))


@graphs.graph_of(FittedWeights)
def weights_graph(fitted: FittedWeights, g: graphs.Graph) -> graphs.Tensor:
    """Write ``FittedWeights.predict``; models of weight zero are not read."""
    total: graphs.Tensor | None = None
    for model, weight in fitted.weights.items():
        if weight == 0:
            continue
        x = g.score(model)
        mixed = share(g, rank(g, x))
        if fitted.spreads is not None:
            mixed = g.add("Div", distance(g, x), g.f64(fitted.spreads[model]))
        term = g.add("Mul", g.f64(weight), mixed)
        total = term if total is None else g.add("Add", total, term)
    return g.filled(0.0) if total is None else total


@graphs.graph_of(FittedTrees)
def trees_graph(fitted: FittedTrees, g: graphs.Graph) -> graphs.Tensor:
    """Write ``FittedTrees.predict``: what ``level_two_columns`` makes, then the trees."""
    shares = [share(g, rank(g, g.score(m))) for m in fitted.models]
    mean = shares[0]
    for other in shares[1:]:
        mean = g.add("Add", mean, other)
    mean = g.add("Div", mean, g.f64(len(shares)))
    if fitted.fitted.report.iterations == 0:
        return g.cast(g.cast(mean, np.float32), np.float64)
    spread = g.add("Sub", g.add("Max", *shares), g.add("Min", *shares))
    n_pairs = g.add("Expand", g.cast(g.n_pairs(), np.float64), g.n_pairs())
    columns = {f"{m}__share": s for m, s in zip(fitted.models, shares, strict=True)}
    columns |= {f"{m}__z": z_score(g, g.score(m)) for m in fitted.models}
    columns |= {"mean": mean, "spread": spread, "n_pairs": n_pairs}
    g.made |= {PREFIX + name: g.cast(x, np.float32) for name, x in columns.items()}
    return graphs.add_graph(fitted.fitted, g, "A blend of trees")


def rank(g: graphs.Graph, x: graphs.Tensor) -> graphs.Tensor:
    """Rank of each score, 1 = the lowest, ties averaged: Float64 (n_pairs,)."""
    unique = g.add("Unique", x, n_outputs=4, sorted=1)
    inverse, counts = f"{unique}_2", g.cast(f"{unique}_3", np.float64)
    below = g.add("CumSum", counts, g.constant(0, np.int64))
    half = g.add("Div", g.add("Sub", counts, g.f64(1.0)), g.f64(2.0))
    return g.add("Gather", g.add("Sub", below, half), inverse)


def share(g: graphs.Graph, ranks: graphs.Tensor) -> graphs.Tensor:
    """Turn ranks into shares in (0, 1)."""
    return g.add("Div", g.add("Sub", ranks, g.f64(0.5)), g.cast(g.n_pairs(), np.float64))


def distance(g: graphs.Graph, x: graphs.Tensor) -> graphs.Tensor:
    """Score minus the mean; 0 where all scores are equal."""
    apart, std = _apart(g, x)
    return _unless_equal(g, x, std, apart)


def z_score(g: graphs.Graph, x: graphs.Tensor) -> graphs.Tensor:
    """Distance from the mean in standard deviations; 0 where all scores are equal."""
    apart, std = _apart(g, x)
    return _unless_equal(g, x, std, g.add("Div", apart, g.add("Max", std, g.f64(np.finfo(float).tiny))))


def _apart(g: graphs.Graph, x: graphs.Tensor) -> tuple[graphs.Tensor, graphs.Tensor]:
    """Distances from the mean (n_pairs,), and the standard deviation (1,)."""
    apart = g.add("Sub", x, _mean(g, x))
    return apart, g.add("Sqrt", _mean(g, g.add("Mul", apart, apart)))


def _mean(g: graphs.Graph, x: graphs.Tensor) -> graphs.Tensor:
    return g.add("ReduceMean", x, g.constant([0], np.int64), keepdims=1)


def _unless_equal(
    g: graphs.Graph, x: graphs.Tensor, std: graphs.Tensor, value: graphs.Tensor
) -> graphs.Tensor:
    largest = g.add("ReduceMax", g.add("Abs", x), g.constant([0], np.int64), keepdims=1)
    is_spread = g.add("Greater", std, g.add("Mul", g.f64(_NOISE), largest))
    return g.add("Where", is_spread, value, g.f64(0.0))
