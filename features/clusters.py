"""Clusters of content vectors: how an item's cluster does with everybody, and with this user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.selectors as cs

from features import Column, Log, Window, fitted, per_pair
from features.toolkit import ItemVectors, as_vectors, codes, item_vectors, share_watched, unit, usual

N_CLUSTERS = 64  # at most
ITEMS_OF_CLUSTER = 20  # different vectors that there have to be for each
STEPS = 25
SEED = 20_240_615
STRENGTH, STRENGTH_OF_USER = 50.0, 15.0  # rows that pull a rate half way to that of all, of the user
GRID = 2**20  # of shares, so that their sums are exact in any order

Units = npt.NDArray[np.float32]
_RATES = ("like_rate", "dislike_rate", "watch_share")
_SUMS = [f"{of}_{rate}" for of in ("n", "sum") for rate in _RATES]
_OF_USER = "of the user alone, pulled to their own times the cluster's lift; null if the cluster is unknown."
_MEANINGS = {
    "cluster_like_rate": "Smoothed share of likes among the exposures of the item's cluster; null if unknown.",
    "cluster_dislike_rate": "Smoothed share of dislikes among the exposures of the item's cluster; null if unknown.",
    "cluster_watch_share": "Smoothed mean share watched of the clips of the item's cluster; null if unknown.",
    "cluster_user_like_rate": f"Share of likes in the item's cluster, {_OF_USER}",
    "cluster_user_dislike_rate": f"Share of dislikes in the item's cluster, {_OF_USER}",
    "cluster_user_watch_share": f"Mean share watched in the item's cluster, {_OF_USER}",
    "cluster_of_user": "Share of the user's exposures that were of the item's cluster; null if either is unknown.",
}


@dataclass(frozen=True)
class Clusters:
    """Centres of k-means (n_clusters, n_dimensions) of the unit vectors of items; without items there are none."""

    centres: Units

    @classmethod
    def of(
        cls, known: ItemVectors, items_of_cluster: int = ITEMS_OF_CLUSTER, *, max_items: int = 50_000
    ) -> Clusters:
        """Fit on the different unit vectors of the history's items; of more than ``max_items``, on a random draw."""
        from sklearn.cluster import KMeans

        units = unit(known.vectors)
        units = units[units.any(axis=1)]
        if len(units) > max_items:
            chosen = np.random.default_rng(SEED).choice(len(units), max_items, replace=False)
            units = units[np.sort(chosen)]
        n_clusters = min(N_CLUSTERS, -(-len(np.unique(units, axis=0)) // items_of_cluster))
        if not n_clusters:
            return cls(np.empty((0, units.shape[1]), dtype=np.float32))
        model = KMeans(n_clusters, n_init=1, max_iter=STEPS, random_state=SEED).fit(units)
        return cls(model.cluster_centers_.astype(np.float32))

    def nearest(self, units: Units) -> npt.NDArray[np.int64]:
        """Number of the nearest centre of each row, the first of those equally near; -1 for zeros (n_rows,)."""
        if not len(self.centres):
            return np.full(len(units), -1)
        found, nearest = np.zeros(len(units), dtype=np.int64), np.full(len(units), np.inf)
        for number, centre in enumerate(self.centres):
            gap = units - centre
            distance = (gap * gap).sum(axis=1)
            is_nearer = distance < nearest
            found[is_nearer], nearest[is_nearer] = number, distance[is_nearer]
        found[~units.any(axis=1)] = -1
        return found

    def of_pairs(self, pairs: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Cluster of each pair's item, -1 if its vector is not known; each item is looked at once."""
        items = pairs.select("item_id", "content").unique("item_id", keep="first", maintain_order=True)
        return self.nearest(unit(as_vectors(items["content"])))[codes(pairs["item_id"], items["item_id"])]


@fitted(
    columns={name: Column(pl.Float32, meaning) for name, meaning in _MEANINGS.items()},
    needs=usual("content", "source_id", "user_id", "item_id", "like", "dislike", "timespent", "duration"),
)
@dataclass
class ClusterRates:
    """Rates of the item's cluster, with everybody and with the user."""

    items_of_cluster: int = ITEMS_OF_CLUSTER

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Find clusters of the history's items, and sum up the rows of each user in each of them."""
        known = item_vectors(history)
        self.clusters = Clusters.of(known, self.items_of_cluster)
        cluster_of = pl.LazyFrame(
            {"item_id": known.items, "cluster": self.clusters.nearest(unit(known.vectors))}
        ).filter(pl.col("cluster") >= 0)
        rows = history.select("user_id", "item_id", *_counted(Log(history.collect_schema())))
        cells = rows.join(cluster_of, on="item_id", how="inner", validate="m:1").drop_nulls("user_id")
        sums = (pl.col(name).sum() for name in _SUMS)
        grouped = cells.group_by("user_id", "cluster").agg(pl.len().alias("n"), *sums)
        summed = grouped.collect(engine="streaming").sort("user_id", "cluster")
        self.cells = summed.with_columns(
            pl.col("sum_watch_share") / GRID, cs.unsigned_integer().cast(pl.Int64)
        )

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Look up the sums of each pair's cluster and user, and of the two together."""
        frame = pairs.select("user_id").with_columns(cluster=self.clusters.of_pairs(pairs))
        for key, suffix in ((["cluster"], "_c"), (["user_id"], "_u"), (["user_id", "cluster"], "_uc")):
            sums = self.cells.group_by(key).agg(pl.col("n", *_SUMS).sum().name.suffix(suffix))
            frame = frame.join(sums, on=key, how="left", validate="m:1", maintain_order="left")
        of_all = self.cells.select(pl.col(*_SUMS).sum()).row(0, named=True)
        columns = [column for rate in _RATES for column in _rates(rate, of_all)]
        of_user = (pl.col("n_uc").fill_null(0) / pl.col("n_u")).alias("cluster_of_user")
        is_known = pl.col("cluster") >= 0
        return frame.select(
            pl.when(is_known).then(c).alias(c.meta.output_name()) for c in (*columns, of_user)
        )


def _counted(log: Log) -> list[pl.Expr]:
    """Whether each value is known, and the value; shares in steps of a grid, so that no order changes their sum."""
    share = share_watched(log).cast(pl.Float32)
    values = {
        "like_rate": log.like,
        "dislike_rate": log.dislike,
        "watch_share": (share * GRID).round().cast(pl.Int64),
    }
    counts = [value.is_not_null().alias(f"n_{rate}") for rate, value in values.items()]
    return [*counts, *(value.alias(f"sum_{rate}") for rate, value in values.items())]


def _rates(rate: str, of_all: Mapping[str, float]) -> tuple[pl.Expr, pl.Expr]:
    """The cluster's rate pulled to that of all, and the user's in the cluster, pulled to their own times its lift."""
    n_all = of_all[f"n_{rate}"]
    prior = of_all[f"sum_{rate}"] / n_all if n_all else None
    of_cluster, of_user = (_pulled(rate, key, pl.lit(prior, pl.Float64), STRENGTH) for key in ("_c", "_u"))
    usual = of_user * (of_cluster / prior if prior else 1.0)
    of_both = _pulled(rate, "_uc", usual, STRENGTH_OF_USER)
    return of_cluster.alias(f"cluster_{rate}"), of_both.alias(f"cluster_user_{rate}")


def _pulled(rate: str, key: str, towards: pl.Expr, strength: float) -> pl.Expr:
    n, total = (pl.col(f"{of}_{rate}{key}").fill_null(0) for of in ("n", "sum"))
    return (total + strength * towards) / (n + strength)


@fitted(
    columns={"content_cluster": pl.Int16},
    needs=usual("content", "source_id", "item_id"),
    model_input=False,
)
@dataclass
class ContentCluster:
    """Number of the item's content cluster, another one in each window: to group by; null if unknown."""

    items_of_cluster: int = ITEMS_OF_CLUSTER

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Find the same clusters as ``ClusterRates``."""
        self.clusters = Clusters.of(item_vectors(history), self.items_of_cluster)

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Give the nearest centre's number."""
        cluster = pl.DataFrame({"content_cluster": self.clusters.of_pairs(pairs)})
        return cluster.select(pl.when(pl.col("content_cluster") >= 0).then("content_cluster"))


@per_pair(scope="user")
def n_pairs_of_cluster(content_cluster: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Number of pairs of the item's cluster among those the user is shown; null if it is not known."""
    n_pairs = content_cluster.len().over(user_id, content_cluster).cast(pl.UInt32)
    return pl.when(content_cluster.is_not_null()).then(n_pairs)
