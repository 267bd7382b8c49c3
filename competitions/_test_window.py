"""Split the test window off: cut from the end of the log, or the pairs that the competition gives."""

from __future__ import annotations

from dataclasses import dataclass

import dataframely as dy
import polars as pl

from competitions._clock import end_of, with_clock
from competitions._competition import Competition, RawTables
from competitions._computed import selected_pairs, with_derived, with_relevance
from competitions._declaration import given_columns, observed_columns
from competitions._validate import table_rules, validated
from engine import DataError


@dataclass(frozen=True)
class Split:
    """The log before the test window; the test window's pairs and labels; its span of clock, half-open."""

    log: pl.DataFrame
    pairs: pl.DataFrame
    solution: pl.DataFrame | None
    start: int
    until: int


def split_off(c: Competition, log: pl.DataFrame, tables: RawTables) -> Split:
    """Split the test window off a log that is sorted by (clock, row) and not empty.

    Raises DataError if nothing is before the window or in it, if given pairs lie outside of it, or if a submission
    could not tell two pairs apart.
    """
    split = _cut(c, log) if tables.pairs is None else _given(c, log, tables.pairs, tables.solution)
    check_pairs(c, split.pairs)
    return split


def told_apart_by(c: Competition) -> list[str]:
    """Columns of the pairs by which a submission names its rows; none if its rows are known by their order."""
    named = dict.fromkeys(name for name in c.submission.columns.values() if name != "score")
    return [] if c.submission.ordered else list(named)


def _cut(c: Competition, log: pl.DataFrame) -> Split:
    """Take the last horizon of the log as the test window, its selected rows as pairs, their labels as solution."""
    until = end_of(log.lazy(), c.clock)
    start = until - c.horizon
    before = log.filter(pl.col("clock") < start)
    targets = log.filter(pl.col("clock") >= start)
    chosen = selected_pairs(c, targets)
    if before.is_empty() or chosen.is_empty():
        raise DataError(
            f"The log of competition {c.name!r} has {before.height} rows before its test window "
            f"[{start}, {until}) and {chosen.height} pairs to score in it ({targets.height} rows).",
            expected="rows on both sides" + _hint(c),
            todo="give more of the log, or change clock, horizon or select_pairs of the competition",
        )
    pairs = chosen.select(pl.col("row").alias("pair_id"), *observed_columns(c))
    solution = chosen.select(pl.col("row").alias("pair_id"), "relevance")
    return Split(before, pairs, solution, start, until)


def _hint(c: Competition) -> str:
    if c.clock.kind != "per_user":
        return ""
    return (
        f"; in {c.clock.steps} steps a user reaches the last {c.horizon} only with enough rows of their own"
    )


def _given(c: Competition, log: pl.DataFrame, given: pl.LazyFrame, outcomes: pl.LazyFrame | None) -> Split:
    """Take the given pairs: the test window starts a gap after the log ends.

    ``pair_id`` counts on from the last row of the log in the order of the file, so that no pair of an earlier window
    has the same.
    """
    columns = {name: c.interactions.columns()[name] for name in given_columns(c)}
    schema = type("Pairs", (dy.Schema,), dict(columns))
    keys = tuple(name for name in columns if c.roles[name] == "key")
    pairs = validated(given, table_rules(c, "pairs", schema, keys))
    first = int(log["row"].max()) + 1  # type: ignore[arg-type]  # the log is not empty
    numbered = with_derived(
        c, pairs.with_columns(pair_id=(pl.col("row") + first).cast(pl.UInt32)), ("key", "observed")
    )
    selected_pairs(c, log.head(0))  # the windows before this one select theirs: a mistake in it shows here
    start = end_of(log.lazy(), c.clock) + c.gap
    until = start + c.horizon
    if c.clock.kind == "time" and c.clock.column in columns:
        _check_span(c, with_clock(numbered.lazy(), c.clock, c.user).collect(engine="streaming"), start, until)
    solution = None if outcomes is None else _given_solution(c, numbered, outcomes)
    return Split(
        log, numbered.sort("pair_id").select("pair_id", *observed_columns(c)), solution, start, until
    )


def _check_span(c: Competition, pairs: pl.DataFrame, start: int, until: int) -> None:
    outside = pairs.filter((pl.col("clock") < start) | (pl.col("clock") >= until))
    if not outside.is_empty():
        raise DataError(
            f"{outside.height} of {pairs.height} given pairs of competition {c.name!r} lie outside of the test window, "
            f"the first: row {outside['row'][0]} at clock {outside['clock'][0]}.",
            expected=f"clocks from {start} (the log's end and the gap) to below {until} (the horizon)",
            todo="correct gap and horizon of the competition, or the pairs",
        )


def _given_solution(c: Competition, pairs: pl.DataFrame, solution: pl.LazyFrame) -> pl.DataFrame:
    """Relevance of the given pairs from outcomes that come in the order of the pairs."""
    outcomes = {n: col for n, col in c.interactions.columns().items() if c.roles[n] == "outcome"}
    schema = type("Solution", (dy.Schema,), dict(outcomes))
    known = validated(solution, table_rules(c, "solution", schema, ()))
    if known.height != pairs.height:
        raise DataError(
            f"Competition {c.name!r} gives {pairs.height} pairs and a solution of {known.height} rows."
        )
    labelled = known.join(pairs, on="row", how="left", validate="1:1", maintain_order="left")
    labels = (
        with_relevance(c, with_derived(c, labelled, ("outcome",)))
        .select("pair_id", "relevance")
        .sort("pair_id")
    )
    if n_unknown := labels["relevance"].null_count():
        raise DataError(
            f"The solution of competition {c.name!r} leaves the relevance of {n_unknown} pairs null."
        )
    return labels


def check_pairs(c: Competition, pairs: pl.DataFrame) -> None:
    """Refuse pairs that a submission could not tell apart; an ordered file tells them apart by position."""
    if pairs.is_empty():
        raise DataError(f"Competition {c.name!r} gives no pairs to score.", expected="at least one test pair")
    names = told_apart_by(c)
    if not names:
        return
    again = pairs.filter(pairs.select(names).is_duplicated())
    if not again.is_empty():
        example = ", ".join(f"{k}={v}" for k, v in again.select(names).row(0, named=True).items())
        raise DataError(
            f"{again.height} of {pairs.height} test pairs of competition {c.name!r} are duplicates, e.g. {example}.",
            expected=f"each {', '.join(names)} once: the submission names its rows by them",
            todo="drop the duplicates in read(), or declare the submission as ordered",
        )
