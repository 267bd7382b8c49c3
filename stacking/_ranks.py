"""Ranks and distances within the group: what makes scores of different models comparable."""

from __future__ import annotations

import polars as pl

from stacking._blender import ScoreFrame


def rank_of(model: str, group: tuple[str, ...]) -> pl.Expr:
    """Rank of a pair within its group by one model, 1 = lowest score, ties averaged. Float64, a multiple of 1/2."""
    return pl.col(model).rank("average").over(group).cast(pl.Float64)


def share_of(rank: pl.Expr, group: tuple[str, ...]) -> pl.Expr:
    """Turn a rank within the group into a share in (0, 1): ``(rank - 1/2) / n``, so 1/2 is the middle of any group."""
    return (rank - 0.5) / pl.len().over(group)


def rank_shares(frame: ScoreFrame) -> pl.DataFrame:
    """Rank share of every pair by every model: Float64 columns named like the models, rows as in ``frame.table``."""
    return frame.table.select(share_of(rank_of(m, frame.group), frame.group).alias(m) for m in frame.models)


def distance_of(model: str, group: tuple[str, ...]) -> pl.Expr:
    """Score of a pair minus its mean in the group; 0 where all scores of the group are equal."""
    return _unless_equal(model, group, pl.col(model) - pl.col(model).mean().over(group))


def z_score_of(model: str, group: tuple[str, ...]) -> pl.Expr:
    """Distance from the mean of the group in its standard deviations; 0 where all scores of the group are equal."""
    return _unless_equal(model, group, distance_of(model, group) / pl.col(model).std(ddof=0).over(group))


def _unless_equal(model: str, group: tuple[str, ...], value: pl.Expr) -> pl.Expr:
    # The mean of equal scores may be a rounding error off, which must not be blown up to a unit.
    noise = 1e-9 * pl.col(model).abs().max().over(group)
    return pl.when(pl.col(model).std(ddof=0).over(group) > noise).then(value).otherwise(0.0)


def level_two_columns(frame: ScoreFrame, models: tuple[str, ...]) -> pl.DataFrame:
    """What a model of the second level reads of the first one's scores: Float32 columns, rows as in ``frame.table``.

    For each model the rank share (``MODEL__share``) and the z-score (``MODEL__z``; 0 where all scores of the group
    are equal) within the group; then the mean of the shares (``mean``), how far the models disagree about the pair
    (``spread``, the distance between the highest and the lowest share) and the number of pairs in the group
    (``n_pairs``). Raw scores are left out: models of different folds have different scales.
    """
    group = frame.group
    shares = [share_of(rank_of(m, group), group) for m in models]
    return frame.table.select(
        *(s.alias(f"{m}__share") for m, s in zip(models, shares, strict=True)),
        *(z_score_of(m, group).alias(f"{m}__z") for m in models),
        mean=pl.mean_horizontal(shares),
        spread=pl.max_horizontal(shares) - pl.min_horizontal(shares),
        n_pairs=pl.len().over(group),
    ).cast(pl.Float32)
