"""A weighted mean of ranks, or of scores, whose weights maximise the competition's metric itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from competitions import Metric
from models import saved_as_json
from stacking import BlendContext, ScoreFrame, Scores, blender, distance_of, rank_shares
from validation import evaluator

Units = tuple[int, ...]


@saved_as_json
@dataclass(frozen=True)
class FittedWeights:
    """Weights of the models: non-negative, sum one. ``spreads``: units of their scores; None if ranks are mixed."""

    weights: Mapping[str, float]
    spreads: Mapping[str, float] | None = None

    def predict(self, frame: ScoreFrame) -> Scores:
        """Weighted mean, (n_pairs,): of rank shares in (0, 1), or of distances from the group's mean score."""
        return _mix(self.mixed(frame), np.array([self.weights[m] for m in frame.models]))

    def mixed(self, frame: ScoreFrame) -> pl.DataFrame:
        """What is weighted: a Float64 column a model, rows as in ``frame.table``."""
        if self.spreads is None:
            return rank_shares(frame)
        return _centred(frame).select(pl.col(m) / unit for m, unit in self.spreads.items())


@blender("weights")
@dataclass(frozen=True)
class Weights:
    """Hill climbing on the grid of ``1 / n_units``: from equal weights, from each single one, and from random draws.

    At most ``budget`` evaluations beside the starts. A search takes as long for any longer log than ``most_rows``.
    """

    precedence: ClassVar[int] = 0  # see stacking.Blender

    of: Annotated[
        Literal["ranks", "scores"],
        Field(
            description="Rank shares, or scores: minus the group's mean, over the model's standard deviation."
        ),
    ] = "ranks"
    n_restarts: Annotated[int, Field(ge=0)] = 4
    n_units: Annotated[int, Field(ge=1)] = 40
    budget: Annotated[int, Field(ge=1)] = 400
    most_rows: Annotated[
        int, Field(ge=1, description="Of more rows than this, a random sample of whole groups is taken.")
    ] = 400_000

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedWeights:
        """Search for the weights with which the metric over the rows of ``oof`` is best."""
        blend = FittedWeights({}, None if self.of == "ranks" else _spreads(_centred(oof)))
        some = oof.sample_of_groups(self.most_rows, context.seed)
        value = _metric_of_weights(some, blend.mixed(some), context.metric)
        found = self._maximise(value, len(oof.models), context.seed)
        return replace(blend, weights=dict(zip(oof.models, found.tolist(), strict=True)))

    def _maximise(self, objective: Callable[[Scores], float], n_weights: int, seed: int) -> Scores:
        """Find weights (n_weights,), non-negative with sum one, at which ``objective`` is largest.

        Of points with the same value the one nearest to equal weights is taken. Repeats exactly for the same seed.
        """
        rng = np.random.default_rng(seed)
        equal = np.full(n_weights, 1 / n_weights)
        singles = [np.eye(n_weights)[i] for i in range(n_weights)]
        draws = [rng.dirichlet(np.ones(n_weights)) for _ in range(self.n_restarts)]
        starts = list(dict.fromkeys(_to_units(w, self.n_units) for w in (equal, *singles, *draws)))
        search = _Simplex(objective, self.n_units, self.budget + len(starts))
        # The most promising start climbs first: a small budget is then spent where it pays.
        for start in sorted(starts, key=search.value, reverse=True):
            search.climb(start, rng)
        middle = equal * self.n_units

        def rank(units: Units) -> tuple[float, float]:
            return search.seen[units], -float(np.abs(np.array(units) - middle).sum())

        return np.array(max(search.seen, key=rank), dtype=np.float64) / self.n_units


def _metric_of_weights(oof: ScoreFrame, columns: pl.DataFrame, metric: Metric) -> Callable[[Scores], float]:
    """Make the metric of a mix of columns a function of the weights, larger is better.

    Columns, groups and what the metric makes of labels alone do not depend on the weights: they are computed once.
    """
    labels = oof.table.select(pl.struct(oof.group).rle_id().alias("group"), "relevance")
    sign = 1.0 if metric.greater_is_better else -1.0
    value = evaluator(metric, labels, group=["group"])
    return lambda weights: sign * value(_mix(columns, weights))


def _mix(columns: pl.DataFrame, weights: Scores) -> Scores:
    """Weighted sum, model after model: alone equals in bulk, which a matrix product does not promise."""
    mixed = np.zeros(columns.height)
    for model, weight in zip(columns.columns, weights, strict=True):
        mixed += weight * columns[model].to_numpy()
    return mixed


def _centred(frame: ScoreFrame) -> pl.DataFrame:
    """Distance of every pair by every model: Float64 columns named like the models, rows as in ``frame.table``."""
    return frame.table.select(distance_of(m, frame.group).alias(m) for m in frame.models)


def _spreads(scores: pl.DataFrame) -> dict[str, float]:
    """Standard deviation of each column; 1 where all values are equal, so that it can be divided by."""
    found = scores.select(pl.all().std(ddof=0)).row(0, named=True)
    return {model: spread if spread else 1.0 for model, spread in found.items()}


@dataclass
class _Simplex:
    """Points of the simplex as whole units, and what the objective was there.

    A rank metric is a step function of the weights, so a finer grid finds noise rather than gain. On a grid the
    search also meets the same points again, and those are free.
    """

    objective: Callable[[Scores], float]
    n_units: int
    budget: int
    seen: dict[Units, float] = field(default_factory=dict)

    def value(self, units: Units) -> float:
        """Objective at a point, computed once."""
        if units not in self.seen:
            self.seen[units] = self.objective(np.array(units, dtype=np.float64) / self.n_units)
        return self.seen[units]

    @property
    def is_spent(self) -> bool:
        """Whether the budget of evaluations is used up."""
        return len(self.seen) >= self.budget

    def climb(self, start: Units, rng: np.random.Generator) -> Units:
        """Move weight from one model to another as long as it helps, in smaller and smaller steps."""
        best = start
        step = max(1, self.n_units // 4)
        while step and not self.is_spent:
            better = next((p for p in _moves(best, step, rng) if self._beats(p, best)), None)
            if better is None:
                step //= 2
            else:
                best = better
        return best

    def _beats(self, point: Units, best: Units) -> bool:
        return (not self.is_spent or point in self.seen) and self.value(point) > self.value(best)


def _moves(point: Units, step: int, rng: np.random.Generator) -> Iterator[Units]:
    """Neighbours of a point: up to ``step`` units taken from one weight and given to another, in random order."""
    n = len(point)
    for pick in rng.permutation(n * n):
        giver, taker = divmod(int(pick), n)
        moved = min(step, point[giver])
        if giver != taker and moved:
            units = list(point)
            units[giver] -= moved
            units[taker] += moved
            yield tuple(units)


def _to_units(weights: Scores, n_units: int) -> Units:
    """Round weights to whole units that sum to ``n_units``: the largest remainders are rounded up."""
    exact = weights * n_units
    units = np.floor(exact).astype(int)
    order = np.argsort(units - exact, kind="stable")
    units[order[: n_units - int(units.sum())]] += 1
    return tuple(int(u) for u in units)
