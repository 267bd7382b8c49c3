"""Rates that fall back step by step: what is rare borrows from what it is part of, not from everything at once.

A user's rate at a source is pulled to that of people of the same gender and age at the source, theirs to everybody's
there; a clip's to its source's. Ten rows of one's own weigh as much as the rest: partial pooling (Gelman, Hill 2007).
"""

import polars as pl

from features import Aggregate, Log, aggregate, count, decayed, horizon, per_pair, total
from features.toolkit import is_positive, share_watched

PULL = 10.0  # rows that the next wider group counts for
OF_SOURCE = [("user_id", "source_id"), ("gender", "age_group", "source_id")]
OF_ITEM = [("item_id",), ("gender", "age_group", "item_id")]
OF_USER = [("user_id", "source_id"), ("user_id", "main_genre")]


@aggregate(keys=[*OF_SOURCE, *OF_ITEM], model_input=False)
def clips_watched(log: Log) -> Aggregate:
    """Sum of the shares of clips that were watched: 2 if one was watched whole and two by half; 0 if none."""
    return total(share_watched(log))


@aggregate(keys=OF_SOURCE[1:], model_input=False)
def segment_approvals(log: Log) -> Aggregate:
    """Number of exposures of the entity that the segment liked, shared or bookmarked; 0 if none."""
    return count(is_positive(log))


@aggregate(keys=OF_USER, model_input=False)
def faded_shown(log: Log) -> Aggregate:
    """Exposures of the key, each counting half after each horizon; 0 if it has none."""
    return decayed(pl.lit(1), horizon(1))


@aggregate(keys=OF_USER, model_input=False)
def faded_likes(log: Log) -> Aggregate:
    """Likes of the key, each counting half after each horizon; 0 if it has none."""
    return decayed(log.like, horizon(1))


@aggregate(keys=OF_USER, model_input=False)
def faded_watched(log: Log) -> Aggregate:
    """Shares of clips that were watched, summed, each counting half after each horizon; 0 if there are none."""
    return decayed(share_watched(log), horizon(1))


@per_pair(each=[("n_likes__item_id", "n_exposures__item_id", "like_rate__source_id"),
                ("n_dislikes__item_id", "n_exposures__item_id", "dislike_rate__source_id"),
                ("clips_watched__item_id", "n_exposures__item_id", "watch_share__source_id"),
                ("segment_likes__gender_x_age_group_x_item_id", "segment_exposures__gender_x_age_group_x_item_id",
                 "cross_rate__segment_likes__gender_x_age_group_x_source_id"),
                ("clips_watched__gender_x_age_group_x_item_id", "segment_exposures__gender_x_age_group_x_item_id",
                 "backed_rate__clips_watched__gender_x_age_group_x_source_id")])  # fmt: skip
def backed_rate_of_item(sum_here: pl.Expr, exposures_here: pl.Expr, wider_rate: pl.Expr) -> pl.Expr:
    """Mean of the item's rows, pulled to the rate of its source (10 rows); null only without any history."""
    return (sum_here + PULL * wider_rate) / (exposures_here + PULL)


@per_pair(each=[("clips_watched__gender_x_age_group_x_source_id",
                 "segment_exposures__gender_x_age_group_x_source_id", "watch_share__source_id"),
                ("segment_approvals__gender_x_age_group_x_source_id",
                 "segment_exposures__gender_x_age_group_x_source_id", "approval_rate__source_id"),
                ("clips_watched__user_id_x_source_id", "n_exposures__user_id_x_source_id",
                 "backed_rate__clips_watched__gender_x_age_group_x_source_id"),
                ("n_approvals__user_id_x_source_id", "n_exposures__user_id_x_source_id",
                 "backed_rate__segment_approvals__gender_x_age_group_x_source_id"),
                ("n_likes__user_id_x_source_id", "n_exposures__user_id_x_source_id",
                 "cross_rate__segment_likes__gender_x_age_group_x_source_id"),
                ("n_dislikes__user_id_x_source_id", "n_exposures__user_id_x_source_id",
                 "cross_rate__segment_dislikes__gender_x_age_group_x_source_id"),
                ("n_likes__user_id_x_main_genre", "n_exposures__user_id_x_main_genre",
                 "cross_rate__segment_likes__gender_x_age_group_x_main_genre"),
                ("n_dislikes__user_id_x_main_genre", "n_exposures__user_id_x_main_genre",
                 "cross_rate__segment_dislikes__gender_x_age_group_x_main_genre"),
                ("n_likes__user_id_x_duration_bucket", "n_exposures__user_id_x_duration_bucket",
                 "cross_rate__segment_likes__gender_x_age_group_x_duration_bucket"),
                ("faded_likes__user_id_x_source_id", "faded_shown__user_id_x_source_id",
                 "backed_rate__n_likes__user_id_x_source_id"),
                ("faded_watched__user_id_x_source_id", "faded_shown__user_id_x_source_id",
                 "backed_rate__clips_watched__user_id_x_source_id"),
                ("faded_likes__user_id_x_main_genre", "faded_shown__user_id_x_main_genre",
                 "backed_rate__n_likes__user_id_x_main_genre")])  # fmt: skip
def backed_rate(sum_here: pl.Expr, exposures_here: pl.Expr, wider_rate: pl.Expr) -> pl.Expr:
    """Mean of the narrow group's rows, pulled to the rate of the wider one (10 rows); null without any history."""
    return (sum_here + PULL * wider_rate) / (exposures_here + PULL)
