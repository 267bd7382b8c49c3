"""Who liked the item, and how far this user is from them."""

import polars as pl

from features import Aggregate, Log, aggregate, count, mean, per_pair, smoothed, std
from features.counters import n_likes
from features.toolkit import share_watched

PLACES = ["item_id", "source_id", "main_genre"]
WATCHED = 0.5  # of the clip, from which on it counts as watched


@aggregate(keys=PLACES)
def audience_age(log: Log) -> Aggregate:
    """Mean age in years of those who liked the key, pulled to that of all likes; null only without any like."""
    return smoothed(log.age.filter(log.like), strength=5)


@aggregate(keys=["item_id", "source_id"])
def shunned_age(log: Log) -> Aggregate:
    """Mean age in years of those who disliked the key; null if nobody did."""
    return mean(log.age.filter(log.dislike))


@aggregate(keys=["source_id", "main_genre"])
def audience_age_spread(log: Log) -> Aggregate:
    """Standard deviation in years of the ages of those who liked the key; null below two likes."""
    return std(log.age.filter(log.like))


@aggregate(keys=PLACES)
def watcher_age(log: Log) -> Aggregate:
    """Mean age in years of those who watched half of the clip, pulled to that of all; null only if nobody ever did."""
    return smoothed(log.age.filter(share_watched(log) >= WATCHED), strength=5)


@aggregate(
    keys=["source_id", "main_genre", ("gender", "source_id"), ("gender", "main_genre")], model_input=False
)
def n_admirers(log: Log) -> Aggregate:
    """Number of likes of the key by users whose gender is known; 0 if none."""
    return count(log.like & log.gender.is_not_null())


@aggregate(keys=["item_id", "source_id", ("gender", "source_id"), ("age_group", "item_id"),
                 ("age_group", "source_id")], model_input=False)  # fmt: skip
def n_watchers(log: Log) -> Aggregate:
    """Number of exposures of which half of the clip or more was watched; 0 if none."""
    return count(share_watched(log) >= WATCHED)


@per_pair(each=[audience_age["item_id"], audience_age["main_genre"], audience_age["source_id"],
                watcher_age["source_id"], shunned_age["source_id"]])  # fmt: skip
def age_distance(audience: pl.Expr, age: pl.Expr) -> pl.Expr:
    """Age of the user minus the mean age of the key's audience, in years; null if either is unknown."""
    return age.cast(pl.Float32) - audience


@per_pair(each=[(audience_age[place], audience_age_spread[place]) for place in ("source_id", "main_genre")])
def age_strangeness(audience: pl.Expr, spread: pl.Expr, age: pl.Expr) -> pl.Expr:
    """Years that the user is off the mean age of those who liked the key, by their spread (+ 1); null if unknown."""
    return (age.cast(pl.Float64) - audience).abs() / (spread + 1.0)


@per_pair
def same_gender_share(
    gender: pl.Expr, own: pl.Expr = n_likes["gender", "item_id"], everyone: pl.Expr = n_likes["item_id"]
) -> pl.Expr:
    """Share of the item's likes that came from the user's gender, pulled to one half (4 rows); null if unknown."""
    return pl.when(gender.is_not_null()).then((own + 2.0) / (everyone + 4.0))


@per_pair(each=[(n_admirers["gender", "source_id"], n_admirers["source_id"]),
                (n_admirers["gender", "main_genre"], n_admirers["main_genre"]),
                (n_watchers["gender", "source_id"], n_watchers["source_id"])])  # fmt: skip
def own_gender_share(own: pl.Expr, everyone: pl.Expr, gender: pl.Expr) -> pl.Expr:
    """Share of the key's audience that is of the user's gender, pulled to one half (4 rows); null if unknown."""
    return pl.when(gender.is_not_null()).then((own + 2.0) / (everyone + 4.0))


@per_pair(each=[(n_watchers["age_group", place], n_watchers[place]) for place in ("item_id", "source_id")])
def own_age_group_share(own: pl.Expr, everyone: pl.Expr, age_group: pl.Expr) -> pl.Expr:
    """Share of the key's audience that is of the user's age group, less with few of them; null if unknown."""
    return pl.when(age_group.is_not_null()).then(own / (everyone + 4.0))
