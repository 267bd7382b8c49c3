"""The three clocks: what "before" means in a log. Computed once, when the log is taken in."""

from __future__ import annotations

import polars as pl

from competitions._competition import Clock


def with_clock(log: pl.LazyFrame, clock: Clock, user: str) -> pl.LazyFrame:
    """Add the Int64 column ``clock`` to a log that holds ``row`` (unique row numbers).

    The value of a row depends on the row numbers, never on the physical order of the rows. Within a user it never
    falls when going through the rows in the order of (``clock.column``, ``row``).

    Parameters
    ----------
    log
        Interactions with ``row``, the column ``user`` and, if it is named, ``clock.column`` without nulls.
    clock
        ``time``: microseconds since 1970-01-01 (UTC). ``row``: the row number. ``per_user``: ``steps * i // n`` for
        the user's i-th of n rows, counted from 0: ``steps`` equal steps, the first is 0, the last ``steps - 1``.

    >>> log = pl.LazyFrame({"row": [0, 1, 2, 3], "user_id": [7, 7, 8, 7]})
    >>> with_clock(log, Clock("per_user", steps=3), "user_id").collect()["clock"].to_list()
    [0, 1, 0, 2]
    """
    return log.with_columns(clock=_value(clock, user))


def _value(clock: Clock, user: str) -> pl.Expr:
    """Expression of the clock over the columns that ``with_clock`` names."""
    if clock.kind == "time" and clock.column is not None:
        return pl.col(clock.column).dt.epoch("us").cast(pl.Int64)
    if clock.kind == "row":
        return pl.col("row").cast(pl.Int64)
    order = ["row"] if clock.column is None else [clock.column, "row"]
    # Only the rank is ordered here; `over` hands it back to the row it belongs to, wherever that row lies.
    i = pl.int_range(pl.len(), dtype=pl.Int64).over(user, order_by=order)
    n = pl.len().over(user).cast(pl.Int64)
    return clock.steps * i // n


def end_of(log: pl.LazyFrame, clock: Clock) -> int:
    """First clock value after the log (0 for an empty log): where a given test window can start."""
    if clock.kind == "per_user":
        return clock.steps
    last = log.select(pl.col("clock").max()).collect(engine="streaming").item()
    return 0 if last is None else int(last) + 1
