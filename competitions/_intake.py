"""Take a competition's raw tables in: check, clock, sort, split off the test window, keep as Parquet."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from competitions._clock import with_clock
from competitions._competition import Competition, RawTables
from competitions._computed import with_derived, with_relevance
from competitions._dataset import Dataset
from competitions._declaration import check_declaration, log_columns
from competitions._notes import intake_notes
from competitions._test_window import check_pairs, split_off, told_apart_by
from competitions._validate import table_rules, validated
from engine import DataError

N_SHOWN = 3


def take_in(competition: Competition, tables: RawTables, folder: Path, *, fingerprint: str) -> Dataset:
    """Check the tables, give each row its clock and write the data set into an empty ``folder``.

    The folder then holds ``log.parquet`` (sorted by clock, row; without the rows of the test window),
    ``users.parquet``, ``items.parquet``, ``test_pairs.parquet`` (without outcomes), ``solution.parquet``
    (``pair_id``, ``relevance``; only if it is known) and ``meta.json``. Whoever calls it makes the folder appear whole:
    ``open_dataset`` does it through the store.

    Raises DataError if the competition contradicts itself, a table breaks its rules, or users or items are others than
    those of the log.
    """
    c = competition
    check_declaration(c)
    users = (
        validated(tables.users, table_rules(c, "users", c.users, (c.user,), unique=True))
        .drop("row")
        .sort(c.user)
    )
    items = (
        validated(tables.items, table_rules(c, "items", c.items, (c.item,), unique=True))
        .drop("row")
        .sort(c.item)
    )
    log = _log(c, tables.interactions)
    _check_attributes(c, "users", users, log, c.user)
    _check_attributes(c, "items", items, log, c.item)
    split = split_off(c, log, tables)

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
        "told_apart_by": told_apart_by(c),
        "notes": intake_notes(c, tables, split.log, split.pairs, users, items),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return dataset_in(folder, competition)


def dataset_in(folder: Path, competition: Competition) -> Dataset:
    """Return the data set that ``take_in`` wrote into a folder; nothing is read but its ``meta.json``.

    Raises DataError if the submission has changed since, and could not tell two pairs apart.
    """
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    if told_apart_by(competition) != meta["told_apart_by"]:
        check_pairs(competition, pl.read_parquet(folder / "test_pairs.parquet"))
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


def notes_in(folder: Path) -> list[str]:
    """Return the notes that ``take_in`` left in the folder: sentences for the user."""
    notes = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["notes"]
    return [str(note) for note in notes]


def _has_no_rows(table: pl.LazyFrame) -> bool:
    """Tell whether a table that can be read is empty; what cannot be read is left to validation to explain."""
    try:
        return table.head(1).collect(engine="streaming").is_empty()
    except (pl.exceptions.PolarsError, OSError):
        return False


def _log(c: Competition, interactions: pl.LazyFrame) -> pl.DataFrame:
    """Every interaction with row, clock, derived columns and relevance, sorted by (clock, row)."""
    keys = [name for name, role in c.roles.items() if role == "key"]
    never_null = (*keys, *([c.clock.column] if c.clock.column and c.clock.column not in keys else []))
    if _has_no_rows(interactions):
        raise DataError(
            f"Table 'interactions' of competition {c.name!r} has no rows.",
            expected="a log with at least some interactions",
            todo="look at its file and at read() of the competition",
        )
    rows = validated(interactions, table_rules(c, "interactions", c.interactions, never_null))
    clocked = with_clock(rows.lazy(), c.clock, c.user).collect(engine="streaming")
    log = (
        with_relevance(c, with_derived(c, clocked))
        .select("row", "clock", *log_columns(c), "relevance")
        .sort("clock", "row")
    )
    if n_unknown := log["relevance"].null_count():
        raise DataError(
            f"The relevance of competition {c.name!r} is null in {n_unknown} of {log.height} rows.",
            expected="a whole number for every row of the log",
            todo="say in its relevance expression what a missing outcome means, e.g. with fill_null(0)",
        )
    return log


def _check_attributes(
    c: Competition, name: str, attributes: pl.DataFrame, log: pl.DataFrame, key: str
) -> None:
    """Refuse a table that is empty or about others than the log: every attribute would be null."""
    if log[key].is_in(attributes[key].implode()).any():
        return
    rows = f"has {attributes.height} rows" if attributes.height else "has no rows"
    shown = f" ({_first(attributes[key])})" if attributes.height else ""
    raise DataError(
        f"Table {name!r} of competition {c.name!r} {rows}{shown}, "
        f"and none of them is for one of the log's {log[key].n_unique()} {name} ({_first(log[key])}).",
        expected=f"a row for the {name} of the log, with the same {key}",
        todo="look at its file: is it whole, and of the same data set?",
    )


def _first(keys: pl.Series) -> str:
    """Return the smallest few keys as text."""
    smallest = keys.unique().sort()
    return ", ".join(map(repr, smallest.head(N_SHOWN))) + (", ..." if smallest.len() > N_SHOWN else "")
