"""Ranks within the group: what makes scores of different models comparable."""

from __future__ import annotations

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
