"""Take a competition's raw tables in: check, clock, sort, split off the test window, keep as Parquet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import dataframely as dy
import polars as pl

from competitions._clock import end_of, with_clock
from competitions._competition import Competition, RawTables
from competitions._dataset import Dataset
from competitions._declaration import check_declaration, given_columns, log_columns, observed_columns
from competitions._notes import intake_notes
from competitions._validate import TableRules, validated
from engine import DataError


def take_in(competition: Competition, tables: RawTables, folder: Path, *, fingerprint: str) -> Dataset:
    """Check the tables, give each row its clock and write the data set into an empty ``folder``.

    The folder then holds ``log.parquet`` (sorted by clock, row; without the rows of the test window),
    ``users.parquet``, ``items.parquet``, ``test_pairs.parquet`` (without outcomes), ``solution.parquet``
    (``pair_id``, ``relevance``; only if it is known) and ``meta.json``. Whoever calls it makes the folder appear whole:
    ``open_dataset`` does it through the store.

    Raises DataError if the competition contradicts itself or a table breaks its rules.
    """
    c = competition
    check_declaration(c)
    users = (
        validated(tables.users, _rules(c, "users", c.users, (c.user,), unique=True)).drop("row").sort(c.user)
    )
    items = (
        validated(tables.items, _rules(c, "items", c.items, (c.item,), unique=True)).drop("row").sort(c.item)
    )
    log = _log(c, tables.interactions)
    split = _cut(c, log) if tables.pairs is None else _given(c, log, tables)
    _check_pairs(c, split.pairs)

    split.log.write_parquet(folder / "log.parquet")
    users.write_parquet(folder / "users.parquet")
    items.write_parquet(folder / "items.parquet")
    split.pairs.write_parquet(folder / "test_pairs.parquet")
    if split.solution is not None:
        split.solution.write_parquet(folder / "solution.parquet")
    meta = {
        "fingerprint": fingerprint,
        "test_start": split.start,
        "test_until": split.until,
        "notes": intake_notes(c, tables, split.log, split.pairs, users, items),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return dataset_in(folder, competition)


def dataset_in(folder: Path, competition: Competition) -> Dataset:
    """Return the data set that ``take_in`` wrote into a folder; nothing is read but its ``meta.json``."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return Dataset(
        competition=competition,
        log=pl.scan_parquet(folder / "log.parquet"),
        users=pl.scan_parquet(folder / "users.parquet"),
        items=pl.scan_parquet(folder / "items.parquet"),
        test_pairs=pl.scan_parquet(folder / "test_pairs.parquet"),
        test_start=meta["test_start"],
        test_until=meta["test_until"],
        fingerprint=meta["fingerprint"],
    )


@dataclass(frozen=True)
class _Split:
    """The log before the test window; the test window's pairs and labels; its span of clock, half-open."""

    log: pl.DataFrame
    pairs: pl.DataFrame
    solution: pl.DataFrame | None
    start: int
    until: int


def _rules(
    c: Competition, table: str, schema: type[dy.Schema], keys: tuple[str, ...], *, unique: bool = False
) -> TableRules:
    return TableRules(table, f"competition {c.name!r}", schema, keys, keys if unique else ())


def _log(c: Competition, interactions: pl.LazyFrame) -> pl.DataFrame:
    """Every interaction with row, clock, derived columns and relevance, sorted by (clock, row)."""
    keys = [name for name, role in c.roles.items() if role == "key"]
    never_null = (*keys, *([c.clock.column] if c.clock.column and c.clock.column not in keys else []))
    rows = validated(interactions, _rules(c, "interactions", c.interactions, never_null))
    if rows.is_empty():
        raise DataError(
            f"Table 'interactions' of competition {c.name!r} has no rows.",
            expected="a log with at least some interactions",
            todo="look at its file and at read() of the competition",
        )
    log = (
        with_clock(rows.lazy(), c.clock, c.user)
        .with_columns(**c.derived)
        .with_columns(relevance=c.relevance.cast(pl.Int8))
        .select("row", "clock", *log_columns(c), "relevance")
        .sort("clock", "row")
        .collect(engine="streaming")
    )
    if n_unknown := log["relevance"].null_count():
        raise DataError(
            f"The relevance of competition {c.name!r} is null in {n_unknown} of {log.height} rows.",
            expected="a whole number for every row of the log",
            todo="say in its relevance expression what a missing outcome means, e.g. with fill_null(0)",
        )
    return log


def _cut(c: Competition, log: pl.DataFrame) -> _Split:
    """Take the last horizon of the log as the test window, its selected rows as pairs, their labels as solution."""
    until = end_of(log.lazy(), c.clock)
    start = until - c.horizon
    before = log.filter(pl.col("clock") < start)
    targets = log.filter(pl.col("clock") >= start)
    chosen = c.select_pairs(targets.lazy()).sort("row").collect(engine="streaming")
    if before.is_empty() or chosen.is_empty():
        raise DataError(
            f"The log of competition {c.name!r} has {before.height} rows before its test window "
            f"[{start}, {until}) and {chosen.height} pairs to score in it ({targets.height} rows).",
            expected="rows on both sides" + _hint(c),
            todo="give more of the log, or change clock, horizon or select_pairs of the competition",
        )
    pairs = chosen.select(pl.col("row").alias("pair_id"), *observed_columns(c))
    solution = chosen.select(pl.col("row").alias("pair_id"), "relevance")
    return _Split(before, pairs, solution, start, until)


def _hint(c: Competition) -> str:
    if c.clock.kind != "per_user":
        return ""
    return (
        f"; in {c.clock.steps} steps a user reaches the last {c.horizon} only with enough rows of their own"
    )


def _given(c: Competition, log: pl.DataFrame, tables: RawTables) -> _Split:
    """Take the given pairs: the test window starts a gap after the log ends.

    ``pair_id`` counts on from the last row of the log in the order of the file, so that no pair of an earlier window
    has the same.
    """
    if tables.pairs is None:
        raise DataError(f"Competition {c.name!r} gives no pairs.")
    columns = {name: c.interactions.columns()[name] for name in given_columns(c)}
    schema = type("Pairs", (dy.Schema,), dict(columns))
    keys = tuple(name for name in columns if c.roles[name] == "key")
    pairs = validated(tables.pairs, _rules(c, "pairs", schema, keys))
    first = int(log["row"].max()) + 1  # type: ignore[arg-type]  # the log is not empty
    numbered = pairs.with_columns(pair_id=(pl.col("row") + first).cast(pl.UInt32)).with_columns(
        **{name: expr for name, expr in c.derived.items() if c.roles[name] != "outcome"}
    )
    start = end_of(log.lazy(), c.clock) + c.gap
    until = start + c.horizon
    if c.clock.kind == "time" and c.clock.column in columns:
        _check_span(c, with_clock(numbered.lazy(), c.clock, c.user).collect(engine="streaming"), start, until)
    solution = None if tables.solution is None else _given_solution(c, numbered, tables.solution)
    return _Split(
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
    known = validated(solution, _rules(c, "solution", schema, ()))
    if known.height != pairs.height:
        raise DataError(
            f"Competition {c.name!r} gives {pairs.height} pairs and a solution of {known.height} rows."
        )
    labelled = known.join(pairs, on="row", how="left", validate="1:1", maintain_order="left")
    return (
        labelled.lazy()
        .with_columns(**{n: expr for n, expr in c.derived.items() if c.roles[n] == "outcome"})
        .select("pair_id", relevance=c.relevance.cast(pl.Int8))
        .sort("pair_id")
        .collect(engine="streaming")
    )


def _check_pairs(c: Competition, pairs: pl.DataFrame) -> None:
    """Refuse pairs that a submission could not tell apart; an ordered file tells them apart by position."""
    if pairs.is_empty():
        raise DataError(f"Competition {c.name!r} gives no pairs to score.", expected="at least one test pair")
    names = [name for name in c.submission.columns.values() if name != "score"]
    if c.submission.ordered or not names:
        return
    again = pairs.filter(pairs.select(names).is_duplicated())
    if not again.is_empty():
        example = ", ".join(f"{k}={v}" for k, v in again.select(names).row(0, named=True).items())
        raise DataError(
            f"{again.height} of {pairs.height} test pairs of competition {c.name!r} are duplicates, e.g. {example}.",
            expected=f"each {', '.join(names)} once: the submission names its rows by them",
            todo="drop the duplicates in read(), or declare the submission as ordered",
        )
