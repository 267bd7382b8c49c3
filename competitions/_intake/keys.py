"""The users and items of the log, and whether anything is known of them."""

from __future__ import annotations

import polars as pl

from competitions._competition import Competition
from engine import DataError

N_SHOWN = 3


def count_keys(log: pl.LazyFrame, key: str) -> pl.DataFrame:
    """Return each value of a key column of the log and its number of rows ``n_rows``. The log is streamed."""
    return log.group_by(key).agg(n_rows=pl.len()).collect(engine="streaming")


def check_attributes(c: Competition, name: str, attributes: pl.DataFrame, counts: pl.DataFrame) -> None:
    """Refuse a table that is empty or about others than the log: every attribute would be null.

    ``counts``: the keys of the log, as ``count_keys`` returns them.
    """
    key = counts.columns[0]
    if counts[key].is_in(attributes[key].implode()).any():
        return
    rows = f"has {attributes.height} rows" if attributes.height else "has no rows"
    shown = f" ({_first(attributes[key])})" if attributes.height else ""
    raise DataError(
        f"Table {name!r} of competition {c.name!r} {rows}{shown}, "
        f"and none of them is for one of the log's {counts.height} {name} ({_first(counts[key])}).",
        expected=f"a row for the {name} of the log, with the same {key}",
        todo="look at its file: is it whole, and of the same data set?",
    )


def _first(keys: pl.Series) -> str:
    """Return the smallest few keys as text."""
    smallest = keys.sort()
    return ", ".join(map(repr, smallest.head(N_SHOWN))) + (", ..." if smallest.len() > N_SHOWN else "")
