"""Ranks and distances within the group: what makes scores of different models comparable."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from stacking._blender import ScoreFrame


def rank_of(model: str, group: tuple[str, ...]) -> pl.Expr:
    """Rank of a pair within its group by one model, 1 = lowest score, ties averaged. Float64, a multiple of 1/2."""
    return pl.col(model).rank("average").over(group).cast(pl.Float64)


def share(rank: pl.Expr, group: tuple[str, ...]) -> pl.Expr:
    """Turn a rank within the group into a share in (0, 1): ``(rank - 1/2) / n``, so 1/2 is the middle of any group."""
    return (rank - 0.5) / pl.len().over(group)


def rank_shares(frame: ScoreFrame) -> pl.DataFrame:
    """Rank share of every pair by every model: Float64 columns named like the models, rows as in ``frame.table``."""
    return frame.table.select(share(rank_of(m, frame.group), frame.group).alias(m) for m in frame.models)


def distance(model: str, group: tuple[str, ...]) -> pl.Expr:
    """Score of a pair minus its mean in the group; 0 where all scores of the group are equal."""
    return _unless_equal(model, group, pl.col(model) - pl.col(model).mean().over(group))


def z_score(model: str, group: tuple[str, ...]) -> pl.Expr:
    """Distance from the mean of the group in its standard deviations; 0 where all scores of the group are equal."""
    return _unless_equal(model, group, distance(model, group) / pl.col(model).std(ddof=0).over(group))


def _unless_equal(model: str, group: tuple[str, ...], value: pl.Expr) -> pl.Expr:
    # The mean of equal scores may be a rounding error off, which must not be blown up to a unit.
    noise = 1e-9 * pl.col(model).abs().max().over(group)
    return pl.when(pl.col(model).std(ddof=0).over(group) > noise).then(value).otherwise(0.0)


def centred(frame: ScoreFrame) -> pl.DataFrame:
    """Distance of every pair by every model: Float64 columns named like the models, rows as in ``frame.table``."""
    return frame.table.select(distance(m, frame.group).alias(m) for m in frame.models)


def spreads_of(scores: pl.DataFrame) -> dict[str, float]:
    """Standard deviation of each column; 1 where all values are equal, so that it can be divided by."""
    found = scores.select(pl.all().std(ddof=0)).row(0, named=True)
    return {model: spread if spread else 1.0 for model, spread in found.items()}


def in_units(scores: pl.DataFrame, units: Mapping[str, float]) -> pl.DataFrame:
    """Divide each column by its unit."""
    return scores.select(pl.col(m) / units[m] for m in scores.columns)
