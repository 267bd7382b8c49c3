"""What share of a user goes to a source or a kind of clip, how much more than usual, and how narrow the taste is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from features import Aggregate, Column, Feature, Log, Window, aggregate, count, fitted, per_pair, total
from features.counters import n_dislikes, n_exposures, n_likes
from features.engagement import approval_rate, watch_share
from features.rates import dislike_rate, like_rate
from features.toolkit import usual

PLACES = ["source_id", "main_genre", "duration_bucket"]


@aggregate(keys=[()], model_input=False)
def n_rows(log: Log) -> Aggregate:
    """Number of rows of the log before the cutoff; never null."""
    return count()


@aggregate(keys=["user_id", *(("user_id", place) for place in PLACES)], model_input=False)
def seconds_watched(log: Log) -> Aggregate:
    """Seconds that the key was watched in all; 0 if never."""
    return total(log.timespent)


def by_place(of: Feature[Any], *places: str) -> list[tuple[str, str]]:
    """Name what a user has at each place, and what they have in all."""
    return [(of["user_id", place], of["user_id"]) for place in places]


@per_pair(each=[*by_place(n_exposures, *PLACES), *by_place(n_likes, *PLACES),
                *by_place(n_dislikes, "source_id", "main_genre"),
                *by_place(seconds_watched, "source_id", "duration_bucket")])  # fmt: skip
def share_of_user(here: pl.Expr, everywhere: pl.Expr) -> pl.Expr:
    """Share of the user's total that is of this source or kind, in [0, 1]; null if the user has none at all."""
    return pl.when(everywhere > 0).then(here / everywhere)


@per_pair(
    each=[
        (n_exposures["user_id", place], n_exposures["user_id"], n_exposures[place])
        for place in ("source_id", "main_genre")
    ]
)
def exposure_lift(both: pl.Expr, user: pl.Expr, place: pl.Expr, everything: pl.Expr = n_rows[()]) -> pl.Expr:
    """How many times as often as by chance the user meets the source or kind, as log(1 + x); null if unknown."""
    by_chance = user * (place / everything)
    return pl.when(by_chance > 0).then((both / by_chance).log1p())


@per_pair(each=[(approval_rate["user_id", "source_id"], approval_rate["source_id"]),
                (watch_share["user_id", "source_id"], watch_share["source_id"]),
                (like_rate["user_id", "main_genre"], like_rate["main_genre"]),
                (dislike_rate["user_id", "main_genre"], dislike_rate["main_genre"])])  # fmt: skip
def lift_over_crowd(own: pl.Expr, crowd: pl.Expr) -> pl.Expr:
    """User's rate at the source or kind by the rate of all users there; null only without any history."""
    return pl.when(crowd > 0).then(own / crowd)


@per_pair(each=[*by_place(watch_share, "source_id"), *by_place(like_rate, "duration_bucket"),
                *by_place(dislike_rate, "source_id")])  # fmt: skip
def above_own(here: pl.Expr, everywhere: pl.Expr) -> pl.Expr:
    """User's rate at the source or kind less the user's rate in all; null only without any history."""
    return here - everywhere


@fitted(
    columns={
        "n_places": Column(
            pl.UInt32, "Number of distinct sources (genres) that the user was shown; 0 if none."
        ),
        "concentration": Column(
            pl.Float32,
            "Chance that two of the user's exposures are of one source (genre), in (0, 1]; null if none.",
        ),
        "like_concentration": Column(
            pl.Float32,
            "Chance that two of the user's likes are of one source (genre), in (0, 1]; null if none.",
        ),
        "rows_a_user": Column(
            pl.Float32, "Mean exposures of the source (genre) to those who met it; null if nobody did."
        ),
        "n_users": Column(pl.UInt32, "Number of distinct users who met the source (genre); 0 if none."),
    },
    variants={"source": {"place": "source_id"}, "genre": {"place": "main_genre"}},
    needs=lambda place: usual("user_id", place, "like"),
)
@dataclass
class Concentration:
    """How widely a user looks around, and how widely a source is seen (Herfindahl-Hirschman index of the shares)."""

    place: str

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Count the rows and likes of each user at each place; all sums are of integers."""
        cells = (
            history.group_by("user_id", self.place)
            .agg(n=pl.len().cast(pl.Int64), likes=pl.col("like").sum().cast(pl.Int64))
            .drop_nulls(self.place)
            .collect(engine="streaming")
        )
        n, likes = pl.col("n"), pl.col("likes")
        self.users = cells.group_by("user_id").agg(
            n_places=pl.len(),
            concentration=(n * n).sum() / n.sum().cast(pl.Float64).pow(2),
            like_concentration=(likes * likes).sum() / likes.sum().cast(pl.Float64).pow(2),
        )
        self.places = cells.group_by(self.place).agg(rows_a_user=n.sum() / pl.len(), n_users=pl.len())

    def transform(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Look up the user and the place of each pair."""
        found = pairs.select("user_id", self.place)
        for table, key in ((self.users, "user_id"), (self.places, self.place)):
            found = found.join(table, on=key, how="left", validate="m:1", maintain_order="left")
        return found.with_columns(pl.col("n_places", "n_users").fill_null(0))
