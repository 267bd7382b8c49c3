"""Statistics of a column against numpy, scipy and scikit-learn."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from competitions import Dataset, Metric
from features import own_score
from features._compute import bin_edges, binned_shares, quantile_values, rank_correlation

KNOWN = st.integers(-4, 4) | st.floats(-1e6, 1e6, allow_subnormal=False)
COLUMN = st.lists(st.tuples(st.none() | KNOWN, st.none() | KNOWN), max_size=30)


@given(COLUMN)
def test_rank_correlation_is_that_of_scipy_on_the_rows_that_both_know(
    rows: list[tuple[float, float]],
) -> None:
    a, b = (pl.Series([row[i] for row in rows], dtype=pl.Float64) for i in (0, 1))
    both = [(x, y) for x, y in rows if x is not None and y is not None]
    found = rank_correlation(a, b)
    if len(both) < 2 or any(len({row[i] for row in both}) < 2 for i in (0, 1)):
        assert found is None
    else:
        assert found == pytest.approx(spearmanr(*zip(*both, strict=True)).statistic, abs=1e-12)


def test_rank_correlation_needs_an_order() -> None:
    numbers, words = pl.Series([1, 2, 3]), pl.Series(["a", "b", "c"], dtype=pl.Enum(["a", "b", "c"]))
    vectors = pl.Series([[1.0], [2.0], [3.0]], dtype=pl.Array(pl.Float32, 1))
    assert rank_correlation(numbers, words) is None
    assert rank_correlation(vectors, numbers) is None
    assert rank_correlation(numbers, pl.Series([False, False, True])) == pytest.approx(np.sqrt(3) / 2)
    days = pl.Series([datetime(2024, 1, day) for day in (3, 2, 1)])
    assert rank_correlation(numbers, days) == -1.0


@given(st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30), st.lists(st.floats(0, 1), max_size=4))
def test_quantiles_are_values_of_the_column_as_numpy_takes_them(
    values: list[float], shares: list[float]
) -> None:
    known = [value for value in values if value is not None]
    found = quantile_values(pl.Series(values, dtype=pl.Float64), shares)
    wanted = [float(np.quantile(known, share, method="inverted_cdf")) for share in shares if known]
    assert list(found) == wanted


def test_quantiles_keep_the_type_and_need_an_order() -> None:
    assert quantile_values(pl.Series([True, False, None, True]), [0, 1]) == (False, True)
    assert quantile_values(pl.Series([datetime(2024, 1, 2), datetime(2024, 1, 1)]), [0]) == (
        datetime(2024, 1, 1),
    )
    assert quantile_values(pl.Series(["b", "a"], dtype=pl.Enum(["b", "a"])), [0.5]) == ()


@given(st.lists(st.none() | st.floats(-100, 100, width=32), min_size=1, max_size=60))
def test_shares_of_bins_are_those_of_numpy(values: list[float]) -> None:
    column = pl.Series(values, dtype=pl.Float64)
    edges = bin_edges(column, n_bins=6)
    assert len(edges) in (0, 5)
    known = np.array([value for value in values if value is not None])
    shares = binned_shares(column, edges)
    assert len(shares) == len(edges) + 1
    # numpy's bins hold their lower edge, ours the upper one: mirrored they are the same.
    counts, _ = np.histogram(-known, bins=[-np.inf, *sorted(-e for e in edges), np.inf])
    assert shares == pytest.approx(counts[::-1] / max(len(known), 1))


def test_an_own_score_is_the_metric_in_one_direction_over_all_windows(timed: Dataset) -> None:
    rng = np.random.default_rng(5)
    rows = pl.DataFrame(
        {
            "window": np.repeat([1, 2], 200),
            "user_id": rng.integers(0, 8, 400),
            "relevance": rng.integers(0, 2, 400),
            "x": rng.normal(size=400),
        }
    )
    groups = [g for _, g in rows.group_by("window", "user_id") if g["relevance"].n_unique() == 2]
    mean = np.mean([roc_auc_score(g["relevance"], g["x"]) for g in groups])
    found = own_score(timed.competition, rows, "x")
    assert found is not None
    assert found.value == pytest.approx(max(mean, 1 - mean))
    assert found.direction == ("higher" if mean > 0.5 else "lower")


def test_what_has_no_own_score(timed: Dataset) -> None:
    rows = pl.DataFrame(
        {"window": [1, 1], "user_id": [1, 1], "relevance": [0, 1], "x": [1.0, 2.0], "v": [[1.0], [2.0]]},
        schema_overrides={"v": pl.Array(pl.Float32, 1)},
    ).with_columns(word=pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])))
    competition = timed.competition
    assert own_score(competition, rows, "x") is not None
    assert own_score(competition, rows, "v") is None
    assert own_score(competition, rows, "word") is None
    assert own_score(competition, rows.head(1), "x") is None  # no group has both classes
    assert own_score(replace(competition, metric=Metric("rmse", greater_is_better=False)), rows, "x") is None
