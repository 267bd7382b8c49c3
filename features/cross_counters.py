"""What people like the user do with the item, its source or its kind, set against what everybody does.

The normalised historical cross counters of InteractRank (arXiv 2504.06609): counts of segment p x entity q, divided by
how often q is shown. Here p is gender, age group and both; users themselves as p are in ``affinity``.
"""

import polars as pl

from features import Aggregate, Log, aggregate, count, per_pair
from features.counters import n_exposures
from features.rates import dislike_rate, like_rate
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


@per_pair(
    each=[
        *(
            (segment_likes[key], segment_exposures[key], like_rate[key[-1]])
            for key in (*ITEMS, *SOURCES, *KINDS)
        ),
        *(
            (segment_dislikes[key], segment_exposures[key], dislike_rate[key[-1]])
            for key in (ITEMS[2], SOURCES[2], *KINDS)
        ),
    ]
)
def cross_rate(reactions: pl.Expr, exposures: pl.Expr, rate_of_entity: pl.Expr) -> pl.Expr:
    """Share of the segment's exposures to the entity with the reaction, pulled to everybody's; null without history."""
    return (reactions + PULL * rate_of_entity) / (exposures + PULL)


@per_pair(
    each=[
        *((segment_likes[key], n_exposures[key[-1]]) for key in (ITEMS[1], SOURCES[2], KINDS[0])),
        (segment_dislikes[SOURCES[0]], n_exposures["source_id"]),
        *((long_watches[key], n_exposures[key[-1]]) for key in (*ITEMS[:2], *SOURCES)),
    ]
)
def cross_counter(reactions: pl.Expr, exposures_of_entity: pl.Expr) -> pl.Expr:
    """Reactions of the segment to the entity by how often the entity was shown at all (+ 10); 0 if there are none."""
    return reactions / (exposures_of_entity + PULL)
