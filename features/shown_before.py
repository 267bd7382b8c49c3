"""What a user is shown before the pair, for logs whose pairs have a ``session`` and a ``position``: transductive.

Rows come in the order of sessions, whose numbers are taken to grow, within each by position; those of one place in the
order of their items. All unknown sources are one.
"""

import polars as pl

from features import per_pair


@per_pair(scope="user")
def n_shown_of_source(
    source_id: pl.Expr, user_id: pl.Expr, session: pl.Expr, position: pl.Expr, item_id: pl.Expr
) -> pl.Expr:
    """Number of rows of the item's source that the user is shown before the pair in the window; never null."""
    order = [session, position, item_id]
    return pl.int_range(pl.len()).over(user_id, source_id, order_by=order).cast(pl.UInt32)


@per_pair(scope="user")
def n_shown_of_source_in_session(
    source_id: pl.Expr, user_id: pl.Expr, session: pl.Expr, position: pl.Expr, item_id: pl.Expr
) -> pl.Expr:
    """Number of rows of the item's source that the user is shown before the pair in its session; never null."""
    order = [position, item_id]
    return pl.int_range(pl.len()).over(user_id, source_id, session, order_by=order).cast(pl.UInt32)


@per_pair(scope="user")
def sessions_since_source(
    session: pl.Expr, source_id: pl.Expr, user_id: pl.Expr, position: pl.Expr, item_id: pl.Expr
) -> pl.Expr:
    """Sessions since the user was shown the item's source before in the window, 0 = this one; null if they were not."""
    order = [session, position, item_id]
    return (session - session.shift(1).over(user_id, source_id, order_by=order)).cast(pl.Float32)


@per_pair(scope="user")
def likeness_to_session_start(
    taste_item_vector: pl.Expr, user_id: pl.Expr, session: pl.Expr, position: pl.Expr, item_id: pl.Expr
) -> pl.Expr:
    """Product of the item's vector and that of the first one of its session; null for that one itself."""
    order = [position, item_id]
    first = taste_item_vector.first().over(user_id, session, order_by=order)
    at = pl.int_range(pl.len()).over(user_id, session, order_by=order)
    return pl.when(at > 0).then((taste_item_vector * first).arr.sum())


@per_pair(scope="user")
def likeness_to_last_shown(
    taste_item_vector: pl.Expr, user_id: pl.Expr, session: pl.Expr, position: pl.Expr, item_id: pl.Expr
) -> pl.Expr:
    """Product of the item's vector and that of the one shown before it in its session; null for the first one."""
    last = taste_item_vector.shift(1).over(user_id, session, order_by=[position, item_id])
    return (taste_item_vector * last).arr.sum()
