"""What else is shown in the window: to the user, and of the item and the source to all users. Transductive.

Which pairs there are is known when they are scored, but not every competition allows its use: with
``features.transductive = false`` no model sees these columns. Outcomes of the pairs are never read.
"""

import polars as pl

from features import per_pair
from features.backoff import backed_rate, clips_watched
from features.counters import n_exposures, n_likes
from features.engagement import approval_rate, watch_share
from features.rates import like_rate
from features.toolkit import zscore_within

STRONG = [
    approval_rate["item_id"],
    watch_share["item_id"],
    like_rate["user_id", "main_genre"],
    backed_rate[n_likes["user_id", "source_id"]],
    backed_rate[clips_watched["user_id", "source_id"]],
    backed_rate[n_likes["user_id", "main_genre"]],
]


@per_pair(scope="window")
def n_pairs_of_item(item_id: pl.Expr) -> pl.Expr:
    """Number of pairs of the item in the window; never null."""
    return item_id.len().over(item_id).cast(pl.UInt32)


@per_pair(scope="window", each=["source_id", "main_genre"])
def n_pairs_in_window(place: pl.Expr) -> pl.Expr:
    """Number of pairs of the source (genre) in the window; never null: all unknown ones are one."""
    return place.len().over(place).cast(pl.UInt32)


@per_pair(scope="window", each=[(n_exposures[place], place) for place in ("item_id", "source_id")])
def growth(before: pl.Expr, place: pl.Expr) -> pl.Expr:
    """Logarithm of the key's pairs in the window (+ 1) by its exposures before (+ 1): high if new; never null."""
    return ((place.len().over(place) + 1.0) / (before + 1.0)).log()


@per_pair(scope="window", each=["source_id", "main_genre", "duration"])
def excess_of_user(place: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Share of the user's pairs that have it less the share of all pairs that do, in (-1, 1); never null."""
    own = place.len().over(user_id, place) / place.len().over(user_id)
    return own - place.len().over(place) / place.len()


@per_pair(scope="user", each=["source_id", "main_genre"])
def n_different(place: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Number of different sources (genres) among the user's pairs; never null: all unknown ones are one."""
    return place.n_unique().over(user_id).cast(pl.UInt32)


@per_pair(scope="user", each=["duration", *STRONG])
def shown_zscore(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Distance from the mean over the user's pairs in standard deviations; null for one pair or a constant."""
    return zscore_within(value, user_id)


@per_pair(scope="user", each=[approval_rate["item_id"], backed_rate[n_likes["user_id", "source_id"]],
                              like_rate["user_id", "main_genre"]])  # fmt: skip
def shown_share(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Share of the sum over the user's pairs, times their number: 1 is the mean; null if they sum to nothing."""
    mean = value.cast(pl.Float64).mean().over(user_id)
    return pl.when(mean > 1e-9).then(value / mean)


@per_pair(scope="user", each=[n_exposures["user_id", place] for place in ("source_id", "main_genre")])
def familiarity_shown(seen: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Share of the user's pairs whose source (genre) they had met before the cutoff, in [0, 1]; never null."""
    return (seen > 0).mean().over(user_id)
