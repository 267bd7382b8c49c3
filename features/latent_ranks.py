"""Where a latent score stands among what else the user is shown in the window: transductive."""

import polars as pl

from features import per_pair

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
    return value.rank("average").over(user_id) / value.count().over(user_id)
