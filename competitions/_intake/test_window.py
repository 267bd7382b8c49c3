"""The test window: cut from the end of the log, or the pairs that the competition gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from competitions._competition import Competition, LogShare, RawTables
from competitions._intake.author_code import blamed_on, file_of
from competitions._intake.rows import in_share, literals, with_clock, with_derived, with_relevance
from competitions._intake.tables import TableRules, schema_of, validated
from engine import DataError


@dataclass(frozen=True)
class TestWindow:
    """The test window's pairs, labels and best scores (the latter where known); its span of clock, half-open."""

    pairs: pl.DataFrame
    solution: pl.DataFrame | None
    oracle: pl.DataFrame | None
    start: int
    until: int


def horizon_of(c: Competition, span: int, *, is_within: bool) -> int:
    """Length of the test window in clock units; ``is_within``: ``span`` is of the log and the test window together."""
    return c.horizon.length(span, is_within=is_within) if isinstance(c.horizon, LogShare) else c.horizon


def keys_of(c: Competition) -> list[str]:
    """Columns of the pairs that a submission holds beside the score."""
    return list(dict.fromkeys(name for name in c.submission.columns.values() if name != "score"))


def cut_window(c: Competition, targets: pl.DataFrame, *, n_before: int, start: int, until: int) -> TestWindow:
    """Take the selected rows of the log's last horizon as pairs, their labels as solution.

    Raises DataError if nothing is before the window or in it, or if a submission could not tell two pairs apart.
    """
    chosen = selected_pairs(c, targets)
    if not n_before or chosen.is_empty():
        span = f"[{c.clock.shown(start)}, {c.clock.shown(until)})"
        raise DataError(
            f"The log of competition {c.name!r} has {n_before} rows before its test window "
            f"{span} and {chosen.height} pairs to score in it ({targets.height} rows).",
            expected="rows on both sides" + _hint(c),
            todo="give more of the log, or change clock, horizon or select_pairs of the competition",
        )
    numbered = chosen.with_columns(pair_id=pl.col("row"))
    pairs, solution = (
        numbered.select("pair_id", *c.observed_columns),
        numbered.select("pair_id", "relevance"),
    )
    check_pairs(c, pairs)
    return TestWindow(pairs, solution, None, start, until)


def _hint(c: Competition) -> str:
    if c.clock.kind != "per_user":
        return ""
    return (
        f"; in {c.clock.steps} steps a user reaches the last {c.horizon} only with enough rows of their own"
    )


def given_window(
    c: Competition,
    tables: RawTables,
    given: pl.LazyFrame,
    log: pl.LazyFrame,
    end: int,
    sample_users: float,
    thresholds: Sequence[float] = (),
) -> TestWindow:
    """Take the given pairs, or those of a share of the users: the test window starts a gap after the log's ``end``.

    ``pair_id`` counts on from the last row of the log in the order of the file, so that no pair of an earlier window
    has the same.

    Raises DataError if pairs lie outside of the window, if a submission could not tell two of them apart, or if a
    solution or an oracle is of other pairs.
    """
    columns = {name: c.interactions.columns()[name] for name in c.given_columns}
    rules = TableRules("pairs", c.name, schema_of(columns), (c.user, c.item))
    every = validated(given, rules).sort("row")
    kept = every.filter(in_share(pl.col(c.user), every.schema[c.user], sample_users))
    last_row, first_clock = (
        log.select(pl.col("row").max(), pl.col("clock").min()).collect(engine="streaming").row(0)
    )
    ids = pl.int_range(last_row + 1, last_row + 1 + kept.height, dtype=pl.UInt32, eager=True).alias("pair_id")
    numbered = with_derived(c, kept.with_columns(ids), ("key", "observed"))
    pairs = numbered.select("pair_id", *c.observed_columns)
    check_pairs(c, pairs)
    # The windows before this one select theirs: a mistake in it shows here.
    selected_pairs(c, log.head(0).collect(engine="streaming"))
    start = end + c.gap
    until = start + horizon_of(c, end - first_clock, is_within=False)
    if c.clock.kind == "time" and c.clock.column in columns:
        _check_span(c, with_clock(numbered.lazy(), c.clock, c.user).collect(engine="streaming"), start, until)
    solution = (
        None if tables.solution is None else _solution(c, every.height, numbered, tables.solution, thresholds)
    )
    oracle = None if tables.oracle is None else _oracle(c, every.height, numbered, tables.oracle)
    return TestWindow(pairs, solution, oracle, start, until)


def _check_span(c: Competition, pairs: pl.DataFrame, start: int, until: int) -> None:
    outside = pairs.filter((pl.col("clock") < start) | (pl.col("clock") >= until))
    if not outside.is_empty():
        raise DataError(
            f"{outside.height} of {pairs.height} given pairs of competition {c.name!r} lie outside of the test window, "
            f"the first: row {outside['row'][0]} at {c.clock.shown(outside['clock'][0])}.",
            expected=f"from {c.clock.shown(start)} (the log's end and the gap) to before {c.clock.shown(until)} "
            "(the horizon)",
            todo="correct gap and horizon of the competition, or the pairs",
        )


def _solution(
    c: Competition,
    n_given: int,
    pairs: pl.DataFrame,
    solution: pl.LazyFrame,
    thresholds: Sequence[float],
) -> pl.DataFrame:
    """Relevance of the pairs from outcomes that come in the order of the given ones."""
    outcomes = {n: col for n, col in c.interactions.columns().items() if c.roles[n] == "outcome"}
    labelled = _beside(c, "solution", schema_of(outcomes), n_given, pairs, solution)
    labelled = labelled.with_columns(literals(c, thresholds))
    labels = with_relevance(c, with_derived(c, labelled, ("outcome",))).select("pair_id", "relevance")
    if n_unknown := labels["relevance"].null_count():
        raise DataError(
            f"The solution of competition {c.name!r} leaves the relevance of {n_unknown} pairs null."
        )
    return labels


def _oracle(c: Competition, n_given: int, pairs: pl.DataFrame, oracle: pl.LazyFrame) -> pl.DataFrame:
    """Best possible scores of the pairs, Float64, from those that come in the order of the given ones."""
    schema = schema_of({"score": dy.Float64(nullable=False)})
    return _beside(c, "oracle", schema, n_given, pairs, oracle).select("pair_id", "score")


def _beside(
    c: Competition,
    name: str,
    schema: type[dy.Schema],
    n_given: int,
    pairs: pl.DataFrame,
    table: pl.LazyFrame,
) -> pl.DataFrame:
    """Put a table that comes in the order of the given pairs beside those that are kept, sorted by ``pair_id``."""
    known = validated(table, TableRules(name, c.name, schema))
    if known.height != n_given:
        raise DataError(
            f"Competition {c.name!r} gives {n_given} pairs, and its {name} has {known.height} rows."
        )
    return pairs.join(known, on="row", how="left", validate="1:1", maintain_order="left").sort("pair_id")


def check_pairs(c: Competition, pairs: pl.DataFrame) -> None:
    """Refuse pairs that a submission could not name or tell apart; an ordered file tells them apart by position."""
    if pairs.is_empty():
        raise DataError(f"Competition {c.name!r} gives no pairs to score.", expected="at least one test pair")
    names = keys_of(c)
    for name in names:
        if n_null := pairs[name].null_count():
            raise DataError(
                f"{name!r} is null in {n_null} of {pairs.height} test pairs of competition {c.name!r}, and the "
                "submission names its rows by it.",
                expected="a value for every pair: an empty field names nothing",
                todo="fill it in read() of the competition, or name the rows by other columns in its submission",
            )
    again = pairs.filter(pairs.select(names).is_duplicated()) if names else pairs.head(0)
    if not again.is_empty() and not c.submission.ordered:
        example = ", ".join(f"{k}={v}" for k, v in again.select(names).row(0, named=True).items())
        raise DataError(
            f"{again.height} of {pairs.height} test pairs of competition {c.name!r} are duplicates, e.g. {example}.",
            expected=f"each {', '.join(names)} once: the submission names its rows by them",
            todo="drop the duplicates in read(), or declare the submission as ordered",
        )


def selected_pairs(c: Competition, targets: pl.DataFrame) -> pl.DataFrame:
    """Return the target rows that count as pairs, sorted by ``row``.

    Raises DataError if ``select_pairs`` fails, loses a column or gives a row twice.
    """
    expected = f"a LazyFrame of some of the target rows, with their columns {', '.join(targets.columns)}"
    with blamed_on(c, "select_pairs()", expected):
        chosen = c.select_pairs(targets.lazy()).sort("row").collect(engine="streaming")
        chosen = chosen.select(targets.columns)
    if chosen["row"].is_duplicated().any():
        raise DataError(
            f"select_pairs() of competition {c.name!r} ({file_of(c)}) gives {chosen.height} pairs of "
            f"{chosen['row'].n_unique()} rows.",
            expected="each row once",
            todo="correct the file of the competition",
        )
    return chosen
