"""Which outcome says most of every row: the declared one, or the one whose ranks follow relevance most closely."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from competitions import DenseOutcome, dense_outcome

NAMES = ("loose", "near", "fixed")


def outcomes(n: int = 1000, slope: float = 1.0) -> pl.LazyFrame:
    """``near`` follows relevance by rank alone, ``loose`` a little; half of ``near`` is unknown."""
    rng = np.random.default_rng(2)
    relevance = rng.integers(0, 3, n)
    near = slope * np.exp(3 * (relevance + 0.5 * rng.random(n)))
    near[::4], near[1::4] = np.nan, np.nan
    loose = relevance + rng.normal(size=n)
    frame = pl.LazyFrame({"loose": loose, "near": near, "fixed": np.ones(n), "relevance": relevance})
    return frame.with_columns(pl.when(pl.int_range(n) % 4 > 0).then("near").alias("near"))


def chosen(rows: pl.LazyFrame) -> DenseOutcome:
    return dense_outcome(rows, NAMES, None, None)


@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_the_highest_rank_correlation_is_chosen(slope: float) -> None:
    found = chosen(outcomes(slope=slope))
    assert (found.name, found.per, found.sign) == ("near", None, slope)
    known = outcomes(slope=slope).filter(pl.col("near").is_not_nan()).collect()
    exact = known.select(pl.corr("near", "relevance", method="spearman")).item()
    assert found.correlation == pytest.approx(exact)
    assert str(found).startswith(f"near (chosen, not declared: rank correlation with relevance {exact:+.3f} ")


def test_relevance_itself_is_taken_where_no_outcome_has_a_correlation() -> None:
    for rows in (outcomes().with_columns(near=None, loose=None), outcomes().with_columns(relevance=None)):
        assert chosen(rows) == DenseOutcome("relevance", n_rows=1000)
    assert dense_outcome(outcomes(), (), None, None).sign == 1.0
    assert "no outcome could be chosen" in str(dense_outcome(outcomes(), (), None, None))


def test_a_declared_one_is_taken_unseen_and_too_few_rows_choose_none() -> None:
    nothing = outcomes().drop("relevance", "loose")
    assert str(dense_outcome(nothing, NAMES, "loose", "fixed")) == "loose / fixed (declared)"
    assert str(dense_outcome(nothing, NAMES, "loose", None)) == "loose (declared)"
    assert chosen(outcomes(200)).name == "near"
    assert chosen(outcomes(199)) == DenseOutcome("relevance", n_rows=199)


def test_only_the_first_rows_choose() -> None:
    first = outcomes(100_000)
    later = first.with_columns(near=-pl.col("relevance").cast(pl.Float64), loose=pl.col("relevance") * 1.0)
    found = chosen(pl.concat([first, later]))
    assert (found.name, found.n_rows) == ("near", 100_000)
