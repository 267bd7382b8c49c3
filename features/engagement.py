"""What a feed of clips tells beside likes: how long they are watched, shared, bookmarked, and how many rows ago.

For logs with ``timespent`` and ``duration`` in seconds, ``share`` and ``bookmarks``. Where there is no time, recency is
counted in units of the clock: rows of the log.
"""

import polars as pl

from features import (
    Aggregate,
    Log,
    aggregate,
    count,
    first,
    horizon,
    last,
    last_n,
    mean,
    per_pair,
    smoothed,
    std,
)
from features.toolkit import is_positive, rank_within, share_watched

ENTITIES = ["user_id", "item_id", "source_id"]
CROSSES = [("user_id", "source_id"), ("gender", "item_id"), ("age", "source_id")]
GLANCE = 2  # seconds: who stays less has swiped on


@aggregate(keys=[*ENTITIES, *CROSSES, "duration"])
def watch_share(log: Log) -> Aggregate:
    """Smoothed mean share of the clip that was watched; null only without any history."""
    return smoothed(share_watched(log), strength=10)


@aggregate(keys=ENTITIES, lookbacks=[horizon(1), last_n(20)])
def recent_watch_share(log: Log) -> Aggregate:
    """Smoothed mean share of the clip that was watched in recent exposures; null only without any history."""
    return smoothed(share_watched(log), strength=10)


@aggregate(keys=[*ENTITIES, *CROSSES, "duration"])
def approval_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that were liked, shared or bookmarked; null only without any history."""
    return smoothed(is_positive(log), strength=10)


@aggregate(keys=ENTITIES, lookbacks=[horizon(1), last_n(20)])
def recent_approval_rate(log: Log) -> Aggregate:
    """Smoothed share of recent exposures that were liked, shared or bookmarked; null only without any history."""
    return smoothed(is_positive(log), strength=10)


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")])
def n_approvals(log: Log) -> Aggregate:
    """Number of exposures that were liked, shared or bookmarked; 0 if none."""
    return count(is_positive(log))


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")])
def share_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that were passed on to others; null only without any history."""
    return smoothed(log.share, strength=20)


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")])
def bookmark_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that were bookmarked; null only without any history."""
    return smoothed(log.bookmarks, strength=20)


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")])
def glance_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that were left within 2 seconds; null only without any history."""
    return smoothed(log.timespent <= GLANCE, strength=10)


@aggregate(keys=ENTITIES)
def finish_rate(log: Log) -> Aggregate:
    """Smoothed share of exposures that were watched to the end; null only without any history."""
    return smoothed(log.timespent >= log.duration, strength=10)


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")])
def timespent_mean(log: Log) -> Aggregate:
    """Mean seconds that the key was watched; null if it was never shown."""
    return mean(log.timespent)


@aggregate(keys=ENTITIES)
def timespent_spread(log: Log) -> Aggregate:
    """Standard deviation of the seconds that the key was watched; null below two exposures."""
    return std(log.timespent)


@aggregate(keys=["user_id"], lookbacks=[horizon(1), last_n(20)])
def recent_timespent(log: Log) -> Aggregate:
    """Mean seconds that the user's recent clips were watched; null if there were none."""
    return mean(log.timespent)


@aggregate(keys=["user_id"])
def approved_duration(log: Log) -> Aggregate:
    """Mean duration in seconds of the clips the user approved of; null if there are none."""
    return mean(log.duration.filter(is_positive(log)))


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")], model_input=False, uses_time=True)
def last_watched(log: Log) -> Aggregate:
    """Clock of the last exposure that was watched for more than a glance; null if there was none."""
    return last(log.clock.filter(log.timespent > GLANCE))


@aggregate(keys=[*ENTITIES, ("user_id", "source_id")], model_input=False, uses_time=True)
def last_approved(log: Log) -> Aggregate:
    """Clock of the last exposure that was liked, shared or bookmarked; null if there was none."""
    return last(log.clock.filter(is_positive(log)))


@aggregate(keys=["item_id"], model_input=False, uses_time=True)
def first_watched(log: Log) -> Aggregate:
    """Clock of the first exposure that was watched for more than a glance; null if there was none."""
    return first(log.clock.filter(log.timespent > GLANCE))


@per_pair(
    each=[
        *(
            last[key]
            for last in (last_watched, last_approved)
            for key in (*ENTITIES, ("user_id", "source_id"))
        ),
        first_watched["item_id"],
    ]
)
def clock_since(event: pl.Expr, cutoff: pl.Expr) -> pl.Expr:
    """Clock units (rows) from the event to the cutoff; null if it never happened."""
    return cutoff - event


@per_pair
def watch_trend(recent_watch_share__item_id__h1: pl.Expr, ever: pl.Expr = watch_share["item_id"]) -> pl.Expr:
    """Share of the item watched within the last horizon minus that of all; null only without any history."""
    return recent_watch_share__item_id__h1 - ever


@per_pair
def approval_trend(
    recent_approval_rate__item_id__h1: pl.Expr, ever: pl.Expr = approval_rate["item_id"]
) -> pl.Expr:
    """Approval of the item within the last horizon minus that of all; null only without any history."""
    return recent_approval_rate__item_id__h1 - ever


@per_pair
def approval_mood(
    recent_approval_rate__user_id__last20: pl.Expr, ever: pl.Expr = approval_rate["user_id"]
) -> pl.Expr:
    """Approval by the user in the last 20 exposures minus that in all; null only without any history."""
    return recent_approval_rate__user_id__last20 - ever


@per_pair
def source_affinity(
    here: pl.Expr = approval_rate["user_id", "source_id"], everywhere: pl.Expr = approval_rate["user_id"]
) -> pl.Expr:
    """How much more the user approves of the source than of what they see; null only without any history."""
    return here - everywhere


@per_pair
def source_lift(
    item: pl.Expr = approval_rate["item_id"], source: pl.Expr = approval_rate["source_id"]
) -> pl.Expr:
    """How much more the item is approved of than others of its source; null only without any history."""
    return item - source


@per_pair
def duration_distance(duration: pl.Expr, approved: pl.Expr = approved_duration["user_id"]) -> pl.Expr:
    """Duration of the clip minus the mean of those the user approved of, in seconds; null if either is unknown."""
    return duration.cast(pl.Float64) - approved


@per_pair(scope="user", each=[approval_rate["item_id"], watch_share["item_id"], approval_rate["source_id"],
                              approval_rate["user_id", "source_id"],
                              watch_share["user_id", "source_id"]])  # fmt: skip
def shown_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the value within the user's pairs as a share in (0, 1], ties averaged; null where the value is null."""
    return rank_within(value, user_id)


@per_pair(scope="user")
def n_pairs_of_source(source_id: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Number of pairs of the item's source among those the user is shown; never null: all unknown ones are one."""
    return source_id.len().over(user_id, source_id).cast(pl.UInt32)
