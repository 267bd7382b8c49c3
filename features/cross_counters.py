"""What people like the user do with the item, its source or its kind, set against what everybody does.

The normalised historical cross counters of InteractRank (arXiv 2504.06609): counts of segment p x entity q, divided by
how often q is shown. Here p is gender, age group and both; the user himself as p is in ``affinity``.
"""

import polars as pl

from features import Aggregate, Log, aggregate, count, per_pair
from features.toolkit import share_watched

ITEMS = [("gender", "item_id"), ("age_group", "item_id"), ("gender", "age_group", "item_id")]
SOURCES = [("gender", "source_id"), ("age_group", "source_id"), ("gender", "age_group", "source_id")]
KINDS = [("gender", "age_group", "main_genre"), ("gender", "age_group", "duration_bucket")]
PULL = 10.0  # rows that the entity's own rate counts for
LONG = 0.8  # share of the clip, from which on it was watched for long


@aggregate(keys=[*ITEMS, *SOURCES, *KINDS], model_input=False)
def segment_exposures(log: Log) -> Aggregate:
    """Number of exposures of the entity to the segment; 0 if none."""
    return count()


@aggregate(keys=[*ITEMS, *SOURCES, *KINDS], model_input=False)
def segment_likes(log: Log) -> Aggregate:
    """Number of likes of the entity by the segment; 0 if none."""
    return count(log.like)


@aggregate(keys=[ITEMS[2], SOURCES[0], SOURCES[2], *KINDS], model_input=False)
def segment_dislikes(log: Log) -> Aggregate:
    """Number of dislikes of the entity by the segment; 0 if none."""
    return count(log.dislike)


@aggregate(keys=[*ITEMS[:2], *SOURCES], model_input=False)
def long_watches(log: Log) -> Aggregate:
    """Number of exposures of which four fifths of the clip or more were watched; 0 if none."""
    return count(share_watched(log) >= LONG)


@per_pair(each=[("segment_likes__gender_x_item_id", "segment_exposures__gender_x_item_id", "like_rate__item_id"),
                ("segment_likes__age_group_x_item_id", "segment_exposures__age_group_x_item_id",
                 "like_rate__item_id"),
                ("segment_likes__gender_x_age_group_x_item_id", "segment_exposures__gender_x_age_group_x_item_id",
                 "like_rate__item_id"),
                ("segment_likes__gender_x_source_id", "segment_exposures__gender_x_source_id",
                 "like_rate__source_id"),
                ("segment_likes__age_group_x_source_id", "segment_exposures__age_group_x_source_id",
                 "like_rate__source_id"),
                ("segment_likes__gender_x_age_group_x_source_id",
                 "segment_exposures__gender_x_age_group_x_source_id", "like_rate__source_id"),
                ("segment_likes__gender_x_age_group_x_main_genre",
                 "segment_exposures__gender_x_age_group_x_main_genre", "like_rate__main_genre"),
                ("segment_likes__gender_x_age_group_x_duration_bucket",
                 "segment_exposures__gender_x_age_group_x_duration_bucket", "like_rate__duration_bucket"),
                ("segment_dislikes__gender_x_age_group_x_item_id",
                 "segment_exposures__gender_x_age_group_x_item_id", "dislike_rate__item_id"),
                ("segment_dislikes__gender_x_age_group_x_source_id",
                 "segment_exposures__gender_x_age_group_x_source_id", "dislike_rate__source_id"),
                ("segment_dislikes__gender_x_age_group_x_main_genre",
                 "segment_exposures__gender_x_age_group_x_main_genre", "dislike_rate__main_genre"),
                ("segment_dislikes__gender_x_age_group_x_duration_bucket",
                 "segment_exposures__gender_x_age_group_x_duration_bucket",
                 "dislike_rate__duration_bucket")])  # fmt: skip
def cross_rate(reactions: pl.Expr, exposures: pl.Expr, rate_of_entity: pl.Expr) -> pl.Expr:
    """Share of the segment's exposures to the entity with the reaction, pulled to everybody's; null without history."""
    return (reactions + PULL * rate_of_entity) / (exposures + PULL)


@per_pair(each=[("segment_likes__age_group_x_item_id", "n_exposures__item_id"),
                ("segment_likes__gender_x_age_group_x_source_id", "n_exposures__source_id"),
                ("segment_likes__gender_x_age_group_x_main_genre", "n_exposures__main_genre"),
                ("segment_dislikes__gender_x_source_id", "n_exposures__source_id"),
                ("long_watches__gender_x_item_id", "n_exposures__item_id"),
                ("long_watches__age_group_x_item_id", "n_exposures__item_id"),
                ("long_watches__gender_x_source_id", "n_exposures__source_id"),
                ("long_watches__age_group_x_source_id", "n_exposures__source_id"),
                ("long_watches__gender_x_age_group_x_source_id", "n_exposures__source_id")])  # fmt: skip
def cross_counter(reactions: pl.Expr, exposures_of_entity: pl.Expr) -> pl.Expr:
    """Reactions of the segment to the entity by how often the entity was shown at all (+ 10); 0 if there are none."""
    return reactions / (exposures_of_entity + PULL)
