"""How a pair compares with what else the user is shown in the window: transductive, within the user's pairs."""

import polars as pl

from features import per_pair
from features.toolkit import rank_within, zscore_within

STRONG = [
    "relevance_rate__item_id",
    "like_rate__item_id",
    "rating_mean__item_id",
    "n_exposures__item_id",
    "als_score__like",
    "als_score__exposure",
    "mf_score__rating",
    "knn_score__rating",
    "genre_cosine_liked",
]


@per_pair(scope="user", each=STRONG)
def user_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the value within the user's pairs as a share in (0, 1], ties averaged; null where the value is null."""
    return rank_within(value, user_id)


@per_pair(scope="user", each=["relevance_rate__item_id", "als_score__like", "knn_score__rating"])
def user_zscore(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Distance from the mean over the user's pairs in standard deviations; null for one pair or a constant."""
    return zscore_within(value, user_id)


@per_pair(scope="user")
def n_pairs(item_id: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Number of pairs the user is shown in the window; never null."""
    return item_id.len().over(user_id).cast(pl.UInt32)


@per_pair(scope="user")
def n_pairs_of_genre(main_genre: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Number of pairs of the item's main genre among those the user is shown; never null: all unknown ones are one."""
    return main_genre.len().over(user_id, main_genre).cast(pl.UInt32)


@per_pair(scope="user")
def position_in_time(timestamp: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the pair's instant within the user's pairs as a share in (0, 1], ties averaged; null if unknown."""
    return timestamp.rank("average").over(user_id) / timestamp.len().over(user_id)


SCORES = [
    "svd_source_cosine__watch",
    "svd_item_score__watch",
    "svd_item_score__approval",
    "svd_score__rating",
    "ease_score__source_watch",
    "ease_score__item_rating",
    "als_source_score__watch",
    "bpr_cosine__source_watch",
    "w2v_cosine__source_watch",
]


@per_pair(scope="user", each=SCORES)
def latent_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the score within the user's pairs as a share in (0, 1], ties averaged; null where the score is null."""
    return rank_within(value, user_id)
