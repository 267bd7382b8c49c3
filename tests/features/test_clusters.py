"""Clusters of content vectors and their rates, against scikit-learn and plain sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from features.clusters import STRENGTH, STRENGTH_OF_USER, ClusterRates, Clusters, ContentCluster
from features.toolkit import as_vectors, item_vectors, unit
from tests.features.feed_logs import WINDOW, items, log_of, pairs_of
from tests.features.fitting import assert_alone_as_in_bulk, fitted_on, values_of, with_values

MODELS = (ClusterRates(items_of_cluster=6), ContentCluster(items_of_cluster=6))


def test_the_nearest_centre_is_that_of_all_distances() -> None:
    found = Clusters.of(item_vectors(log_of(200).lazy()), 6)
    units = unit(as_vectors(items()["content"]))
    gaps = ((units[:, None, :].astype(float) - found.centres[None, :, :]) ** 2).sum(axis=2)
    expected = np.where(units.any(axis=1), gaps.argmin(axis=1), -1)
    assert 3 < len(found.centres) <= 6
    assert found.nearest(units).tolist() == expected.tolist()
    assert (expected == -1).sum() == 4


def rate(rows: pl.DataFrame, value: str, towards: float, strength: float) -> float:
    total = float(rows.select(pl.col(value).sum()).item())
    return (total + strength * towards) / (rows.height + strength)


def test_rates_are_pulled_to_those_of_all_and_of_the_user() -> None:
    log = log_of(300)
    model = fitted_on(MODELS[0], log, WINDOW)
    pairs = pairs_of(log)
    cluster = pl.Series("cluster", model.clusters.nearest(unit(as_vectors(pairs["content"]))))
    found = with_values(model, pairs).with_columns(cluster)
    share = (pl.col("timespent") / pl.col("duration")).clip(upper_bound=1.0)
    rows = log.with_columns(
        pl.Series("cluster", model.clusters.nearest(unit(as_vectors(log["content"])))),
        like_rate=pl.col("like").cast(pl.Float64),
        dislike_rate=pl.col("dislike").cast(pl.Float64),
        watch_share=share,
    ).filter(pl.col("cluster") >= 0)
    for row in found.sample(60, seed=2).iter_rows(named=True):
        for name in ("like_rate", "dislike_rate", "watch_share"):
            if row["cluster"] < 0:
                assert row[f"cluster_{name}"] is row[f"cluster_user_{name}"] is None
                continue
            prior = rows.select(pl.col(name).mean()).item()
            own, here = pl.col("user_id") == row["user_id"], pl.col("cluster") == row["cluster"]
            of_cluster = rate(rows.filter(here), name, prior, STRENGTH)
            usual = rate(rows.filter(own), name, prior, STRENGTH) * of_cluster / prior
            of_both = rate(rows.filter(own & here), name, usual, STRENGTH_OF_USER)
            assert row[f"cluster_{name}"] == pytest.approx(of_cluster, rel=1e-5)
            assert row[f"cluster_user_{name}"] == pytest.approx(of_both, rel=1e-5)
            n_own = rows.filter(own).height
            share_here = pytest.approx(rows.filter(own & here).height / n_own) if n_own else None
            assert row["cluster_of_user"] == share_here


@pytest.mark.parametrize("model", MODELS)
def test_one_pair_alone_gets_what_all_get(model: Any) -> None:
    log = log_of(300)
    assert_alone_as_in_bulk(fitted_on(model, log, WINDOW), pairs_of(log), step=29)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_rows", [0, 1])
def test_little_or_no_history(model: Any, n_rows: int) -> None:
    log = log_of(50)[1 : 1 + n_rows]
    pairs = pairs_of(log)
    values = values_of(fitted_on(model, log, WINDOW), pairs)
    assert values.height == pairs.height
    known = values.select(pl.exclude("pair_id").count()).row(0)[0]
    assert known == (pairs.height - 4 * pairs["user_id"].n_unique() if n_rows else 0)


def test_centres_are_fitted_on_a_bounded_number_of_items() -> None:
    known = item_vectors(log_of(300).lazy())
    few, again = (Clusters.of(known, 6, max_items=12).centres for _ in range(2))
    assert len(few) == 2 < len(Clusters.of(known, 6).centres)
    np.testing.assert_array_equal(few, again)
