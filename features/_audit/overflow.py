"""Would a column wrap around on a long log? A world in which one user met one item very often before the cutoff."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from features._audit.alterations import World
from features._audit.computed import Computed
from features._audit.findings import Finding, found_in
from features._audit.ranges import outside, range_of
from features._catalogue import Catalogue, FeatureColumn
from validation import Window

OVERFLOW = "overflow"
# Beyond 2^16, and in the upper half of 8 and of 16 bits: a signed count turns negative, an unsigned one starts anew.
N_ROWS = 2**16 + 2**15 + 2**7
_TODO = "count in Int64 or UInt32, and cast at the end"


def busy(world: World, seed: int) -> World:
    """Append ``N_ROWS`` rows of one of the pairs to the history, at its last clock; and keep the user's pairs.

    The pair is one whose user and item have few rows, so that all counts of theirs lie just above ``N_ROWS``.
    """
    c = world.dataset.competition
    log = world.dataset.log.sort("clock", "row").collect(engine="in-memory")
    history = log.filter(pl.col("clock") < world.window.cutoff)
    if not history.height or not world.pairs.height:
        return world
    pair = _rare(world, history)
    own = history.filter(pl.col(c.item).eq_missing(pair[c.item]))
    template = (own if own.height else history).sort("relevance", "row", descending=True).head(1)
    copies = template.with_columns(
        pl.lit(pair[c.user], log.schema[c.user]).alias(c.user),
        pl.lit(pair[c.item], log.schema[c.item]).alias(c.item),
        pl.lit(history["clock"].max(), log.schema["clock"]).alias("clock"),
    )
    copies = copies.select(pl.all().repeat_by(N_ROWS).explode(empty_as_null=True, keep_nulls=True))
    highest = log["row"].max()
    numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + highest
    copies = copies.with_columns(numbers.cast(log.schema["row"]).alias("row"))
    rows = pl.concat([log, copies.select(log.columns)]).sort("clock", "row")
    pairs = world.pairs.filter(pl.col(c.user).eq_missing(pair[c.user]))
    return World(replace(world.dataset, log=rows.lazy()), world.window, pairs)


def _rare(world: World, history: pl.DataFrame) -> dict[str, int]:
    c = world.dataset.competition
    pairs = world.pairs
    for key in (c.user, c.item):
        counts = history.group_by(key).agg(pl.len().alias(f"n_{key}"))
        pairs = pairs.join(counts, on=key, how="left", validate="m:1", maintain_order="left")
    seen = [pl.col(f"n_{key}").fill_null(10**9) for key in (c.user, c.item)]  # unseen ones last
    return pairs.sort(pl.max_horizontal(seen), "pair_id").row(0, named=True)


def can_overflow(column: FeatureColumn, schema: pl.Schema) -> bool:
    """Tell whether it is worth a look: whole numbers, and what has a range to leave."""
    return column.dtype.is_integer() or range_of(column, schema) is not None


def overflow_findings(
    catalogue: Catalogue, window: Window, plain: pl.DataFrame, there: Computed
) -> list[Finding]:
    """Compare the values of the busy world with the plain ones of the same pairs."""
    findings = []
    for name, message in there.errors.items():
        evidence = f"with {N_ROWS:,} more rows of a pair: {message}"
        findings.append(found_in(catalogue.columns[name], OVERFLOW, evidence, _TODO, window=window.name))
    values = there.frames[window]
    shared = [n for n in values.columns if n in plain.columns and n != "pair_id"]
    both = values.join(plain, on="pair_id", how="inner", validate="1:1", suffix=":plain").sort("pair_id")
    for name in shared:
        column = catalogue.columns[name]
        wrapped = both.filter(_wrapped(column, plain[name], catalogue.dataset.history_schema))
        if wrapped.height:
            row = wrapped.row(0, named=True)
            evidence = (
                f"with {N_ROWS:,} more rows of the user, pair {row['pair_id']}: {row[f'{name}:plain']} became "
                f"{row[name]} ({column.dtype})"
            )
            findings.append(found_in(column, OVERFLOW, evidence, _TODO, window=window.name))
    return findings


def _wrapped(column: FeatureColumn, plain: pl.Series, schema: pl.Schema) -> pl.Expr:
    """Tell of a row whether its value has wrapped: below zero, out of its range, or grown by what ``N_ROWS`` leaves."""
    value = pl.col(column.name)
    span = range_of(column, schema)
    is_wrong = pl.lit(False) if span is None else outside(value, column.dtype, span)
    if column.dtype.is_integer():
        lowest = plain.min()
        if isinstance(lowest, int) and lowest >= 0:
            is_wrong |= value < 0
        bits = {1: 8, 2: 16}.get(_n_bytes(column.dtype))
        if bits:
            grown = value.cast(pl.Int64) - pl.col(f"{column.name}:plain").cast(pl.Int64)
            is_wrong |= (grown != 0) & ((grown - N_ROWS) % 2**bits == 0)
    return is_wrong.fill_null(False)


def _n_bytes(dtype: pl.DataType) -> int:
    if isinstance(dtype, pl.Int8 | pl.UInt8):
        return 1
    return 2 if isinstance(dtype, pl.Int16 | pl.UInt16) else 4
