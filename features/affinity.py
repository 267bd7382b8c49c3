"""How much of a user goes to a source or a kind of clip, how much more than of others, and how narrow the taste is."""

from __future__ import annotations

import polars as pl

from features import Aggregate, Column, Log, Window, aggregate, count, fitted, per_pair, total

PLACES = ["source_id", "main_genre", "duration_bucket"]
OWN = [("user_id", place) for place in PLACES]


@aggregate(keys=[()], model_input=False)
def n_rows(log: Log) -> Aggregate:
    """Number of rows of the log before the cutoff; never null."""
    return count()


@aggregate(keys=["user_id", *OWN], model_input=False)
def seconds_watched(log: Log) -> Aggregate:
    """Seconds that the key was watched in all; 0 if never."""
    return total(log.timespent)


@per_pair(each=[("n_exposures__user_id_x_source_id", "n_exposures__user_id"),
                ("n_exposures__user_id_x_duration_bucket", "n_exposures__user_id"),
                ("n_exposures__user_id_x_main_genre", "n_exposures__user_id"),
                ("n_likes__user_id_x_source_id", "n_likes__user_id"),
                ("n_likes__user_id_x_duration_bucket", "n_likes__user_id"),
                ("n_likes__user_id_x_main_genre", "n_likes__user_id"),
                ("n_dislikes__user_id_x_source_id", "n_dislikes__user_id"),
                ("n_dislikes__user_id_x_main_genre", "n_dislikes__user_id"),
                ("seconds_watched__user_id_x_source_id", "seconds_watched__user_id"),
                ("seconds_watched__user_id_x_duration_bucket", "seconds_watched__user_id")])  # fmt: skip
def share_of_user(here: pl.Expr, everywhere: pl.Expr) -> pl.Expr:
    """Share of the user's total that is of this source or kind, in [0, 1]; null if the user has none at all."""
    return pl.when(everywhere > 0).then(here / everywhere)


@per_pair(each=[("n_exposures__user_id_x_source_id", "n_exposures__user_id", "n_exposures__source_id"),
                ("n_exposures__user_id_x_main_genre", "n_exposures__user_id", "n_exposures__main_genre")])  # fmt: skip
def exposure_lift(both: pl.Expr, user: pl.Expr, place: pl.Expr, n_rows__everything: pl.Expr) -> pl.Expr:
    """How many times as often the user meets the source or kind as if by chance, as log(1 + x); null if unknown."""
    by_chance = user * (place / n_rows__everything)
    return pl.when(by_chance > 0).then((both / by_chance).log1p())


@per_pair(each=[("approval_rate__user_id_x_source_id", "approval_rate__source_id"),
                ("watch_share__user_id_x_source_id", "watch_share__source_id"),
                ("like_rate__user_id_x_main_genre", "like_rate__main_genre"),
                ("dislike_rate__user_id_x_main_genre", "dislike_rate__main_genre")])  # fmt: skip
def lift_over_crowd(own: pl.Expr, crowd: pl.Expr) -> pl.Expr:
    """User's rate at the source or kind by the rate of all users there; null only without any history."""
    return pl.when(crowd > 0).then(own / crowd)


@per_pair(each=[("watch_share__user_id_x_source_id", "watch_share__user_id"),
                ("like_rate__user_id_x_duration_bucket", "like_rate__user_id"),
                ("dislike_rate__user_id_x_source_id", "dislike_rate__user_id")])  # fmt: skip
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
    needs=lambda place: ["user_id", place, "like"],
)
class Concentration:
    """How widely a user looks around, and how widely a source is seen (Herfindahl-Hirschman index of the shares)."""

    def __init__(self, place: str) -> None:
        self.place = place

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
        found = pairs.select("pair_id", "user_id", self.place)
        for table, key in ((self.users, "user_id"), (self.places, self.place)):
            found = found.join(table, on=key, how="left", validate="m:1", maintain_order="left")
        counts = [pl.col(name).fill_null(0).cast(pl.UInt32) for name in ("n_places", "n_users")]
        floats = ("concentration", "like_concentration", "rows_a_user")
        return found.select("pair_id", *counts, *(pl.col(name).cast(pl.Float32) for name in floats))
