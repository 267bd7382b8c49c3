"""Rates that fall back step by step: what is rare borrows from what it is part of, not from everything at once.

A user's rate at a source is pulled to that of people of the same gender and age at the source, theirs to everybody's
there; a clip's to its source's. Ten rows of one's own weigh as much as the rest: partial pooling (Gelman, Hill 2007).
"""

import polars as pl

from features import Aggregate, Log, aggregate, count, decayed, horizon, per_pair, total
from features.counters import n_dislikes, n_exposures, n_likes
from features.cross_counters import cross_rate, segment_dislikes, segment_exposures, segment_likes
from features.engagement import approval_rate, n_approvals, watch_share
from features.rates import dislike_rate, like_rate
from features.toolkit import is_positive, share_watched

PULL = 10.0  # rows that the next wider group counts for
SOURCE, GENRE = ("user_id", "source_id"), ("user_id", "main_genre")
SEGMENT = ("gender", "age_group")
SOURCE_OF_SEGMENT, ITEM_OF_SEGMENT = (*SEGMENT, "source_id"), (*SEGMENT, "item_id")


@aggregate(keys=[SOURCE, SOURCE_OF_SEGMENT, "item_id", ITEM_OF_SEGMENT], model_input=False)
def clips_watched(log: Log) -> Aggregate:
    """Sum of the shares of clips that were watched: 2 if one was watched whole and two by half; 0 if none."""
    return total(share_watched(log))


@aggregate(keys=[SOURCE_OF_SEGMENT], model_input=False)
def segment_approvals(log: Log) -> Aggregate:
    """Number of exposures of the entity that the segment liked, shared or bookmarked; 0 if none."""
    return count(is_positive(log))


@aggregate(keys=[SOURCE, GENRE], model_input=False)
def faded_shown(log: Log) -> Aggregate:
    """Exposures of the key, each counting half after each horizon; 0 if it has none."""
    return decayed(pl.lit(1), horizon(1))


@aggregate(keys=[SOURCE, GENRE], model_input=False)
def faded_likes(log: Log) -> Aggregate:
    """Likes of the key, each counting half after each horizon; 0 if it has none."""
    return decayed(log.like, horizon(1))


@aggregate(keys=[SOURCE, GENRE], model_input=False)
def faded_watched(log: Log) -> Aggregate:
    """Shares of clips that were watched, summed, each counting half after each horizon; 0 if there are none."""
    return decayed(share_watched(log), horizon(1))


@per_pair(each=[(n_likes["item_id"], n_exposures["item_id"], like_rate["source_id"]),
                (n_dislikes["item_id"], n_exposures["item_id"], dislike_rate["source_id"]),
                (clips_watched["item_id"], n_exposures["item_id"], watch_share["source_id"]),
                (segment_likes[ITEM_OF_SEGMENT], segment_exposures[ITEM_OF_SEGMENT],
                 cross_rate[segment_likes[SOURCE_OF_SEGMENT]]),
                (clips_watched[ITEM_OF_SEGMENT], segment_exposures[ITEM_OF_SEGMENT],
                 "backed_rate__clips_watched__gender_x_age_group_x_source_id")])  # fmt: skip
def backed_rate_of_item(sum_here: pl.Expr, exposures_here: pl.Expr, wider_rate: pl.Expr) -> pl.Expr:
    """Mean of the item's rows, pulled to the rate of its source (10 rows); null only without any history."""
    return (sum_here + PULL * wider_rate) / (exposures_here + PULL)


@per_pair(each=[(clips_watched[SOURCE_OF_SEGMENT], segment_exposures[SOURCE_OF_SEGMENT], watch_share["source_id"]),
                (segment_approvals[SOURCE_OF_SEGMENT], segment_exposures[SOURCE_OF_SEGMENT],
                 approval_rate["source_id"]),
                (clips_watched[SOURCE], n_exposures[SOURCE],
                 "backed_rate__clips_watched__gender_x_age_group_x_source_id"),
                (n_approvals[SOURCE], n_exposures[SOURCE],
                 "backed_rate__segment_approvals__gender_x_age_group_x_source_id"),
                (n_likes[SOURCE], n_exposures[SOURCE], cross_rate[segment_likes[SOURCE_OF_SEGMENT]]),
                (n_dislikes[SOURCE], n_exposures[SOURCE], cross_rate[segment_dislikes[SOURCE_OF_SEGMENT]]),
                (n_likes[GENRE], n_exposures[GENRE], cross_rate[segment_likes[*SEGMENT, "main_genre"]]),
                (n_dislikes[GENRE], n_exposures[GENRE], cross_rate[segment_dislikes[*SEGMENT, "main_genre"]]),
                (n_likes["user_id", "duration_bucket"], n_exposures["user_id", "duration_bucket"],
                 cross_rate[segment_likes[*SEGMENT, "duration_bucket"]]),
                (faded_likes[SOURCE], faded_shown[SOURCE], "backed_rate__n_likes__user_id_x_source_id"),
                (faded_watched[SOURCE], faded_shown[SOURCE], "backed_rate__clips_watched__user_id_x_source_id"),
                (faded_likes[GENRE], faded_shown[GENRE],
                 "backed_rate__n_likes__user_id_x_main_genre")])  # fmt: skip
def backed_rate(sum_here: pl.Expr, exposures_here: pl.Expr, wider_rate: pl.Expr) -> pl.Expr:
    """Mean of the narrow group's rows, pulled to the rate of the wider one (10 rows); null without any history."""
    return (sum_here + PULL * wider_rate) / (exposures_here + PULL)
