"""From raw interactions to rows of the log: checked, derived, with relevance."""

from __future__ import annotations

import polars as pl

from competitions._competition import Competition
from competitions._declaration import log_columns
from competitions._intake.computed import with_derived, with_relevance
from competitions._intake.validate import TableRules, readable, table_rules
from engine import DataError


def interaction_rules(c: Competition, file: str = "") -> TableRules:
    """Rules of the interactions; keys and the clock's column are never null. ``file``: where they lie."""
    keys = [name for name, role in c.roles.items() if role == "key"]
    never_null = (*keys, *([c.clock.column] if c.clock.column and c.clock.column not in keys else []))
    return table_rules(c, "interactions", c.interactions, never_null, file=file)


def log_rows(c: Competition, clocked: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of the log from checked interactions with ``row`` and ``clock``; the order of the rows stays.

    Raises DataError if a derived column or the relevance fails, or the relevance of a row is null.
    """
    computed = with_relevance(c, with_derived(c, clocked))
    log = computed.select("row", "clock", *log_columns(c), "relevance")
    if n_unknown := log["relevance"].null_count():
        raise DataError(
            f"The relevance of competition {c.name!r} is null in {n_unknown} of {log.height} rows.",
            expected="a whole number for every row of the log",
            todo="say in its relevance expression what a missing outcome means, e.g. with fill_null(0)",
        )
    return log


def check_not_empty(c: Competition, interactions: pl.LazyFrame) -> None:
    """Raise DataError if the interactions can be read and have no rows."""
    with readable(interaction_rules(c)):
        is_empty = interactions.head(1).collect(engine="streaming").is_empty()
    if is_empty:
        raise no_rows(c)


def no_rows(c: Competition, sample_users: float = 1.0) -> DataError:
    """Return the error of an empty log, or of a sample of its users that is empty."""
    if sample_users < 1:
        return DataError(
            f"No user of the log of competition {c.name!r} is in the sample of {sample_users:g} of them.",
            expected="at least one",
            todo="take a larger share: sample.users",
        )
    return DataError(
        f"Table 'interactions' of competition {c.name!r} has no rows.",
        expected="a log with at least some interactions",
        todo="look at its file and at read() of the competition",
    )
