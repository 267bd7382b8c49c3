"""How much two scorings of the same pairs agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Agreement:
    """Spearman's rank correlation (average ranks for ties) within each group.

    ``mean`` over the groups in which both scorings rank something; ``low`` is their tenth percentile; both null if
    there is no such group. ``n_groups`` counts those groups.
    """

    mean: float | None
    low: float | None
    n_groups: int


def rank_agreement(
    left: pl.DataFrame, right: pl.DataFrame, *, on: Sequence[str], group: Sequence[str], score: str = "score"
) -> Agreement:
    """Compare the ``score`` columns of two tables joined on their keys; rows that only one has are left out.

    >>> a = pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "score": [0.1, 0.2, 0.3]})
    >>> b = pl.DataFrame({"user": [1, 1, 1], "item": [3, 2, 1], "score": [7.0, 8.0, 9.0]})
    >>> rank_agreement(a, b, on=["user", "item"], group=["user"]).mean
    -1.0
    """
    keys, names = list(dict.fromkeys([*on, *group])), list(group)
    both = left.select(*keys, score).join(
        right.select(*on, pl.col(score).alias("_other")), on=list(on), how="inner", validate="1:1"
    )
    ranks = [within(pl.col(c).rank("average"), names).alias(c) for c in (score, "_other")]
    by_group = (
        both.lazy()
        .with_columns(*ranks, pl.lit(0).alias("_all"))
        .group_by(names or ["_all"])
        .agg(
            rho=pl.corr(score, "_other", method="pearson"),
            ranks_something=(pl.col(score).n_unique() > 1) & (pl.col("_other").n_unique() > 1),
        )
        .filter("ranks_something")
        .sort(names or ["_all"])
        .collect(engine="streaming")
    )
    rho = by_group["rho"].clip(-1.0, 1.0)
    low = rho.quantile(0.1, "linear")
    return Agreement(_as_float(rho.mean()), _as_float(low), by_group.height)


def within(expression: pl.Expr, group: Sequence[str]) -> pl.Expr:
    """Evaluate an expression within groups; over all rows if ``group`` is empty."""
    return expression.over(list(group)) if group else expression


def _as_float(value: object) -> float | None:
    return float(value) if isinstance(value, float) else None
