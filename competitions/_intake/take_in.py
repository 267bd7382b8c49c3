"""Take a competition's raw tables in: check, clock, cut into partitions, split off the test window, keep as Parquet."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dataframely as dy
import polars as pl

from competitions._competition import Competition, RawTables
from competitions._dataset import Dataset
from competitions._declaration import check_declaration
from competitions._intake.keys import check_attributes, count_keys
from competitions._intake.notes import intake_notes
from competitions._intake.parts import Part, parts_in, sliced_log
from competitions._intake.streamed import Cut, InFolder, Keeper, stream_log
from competitions._intake.test_window import (
    LogEnd,
    TestWindow,
    check_pairs,
    cut_window,
    given_window,
    told_apart_by,
)
from competitions._intake.validate import table_rules, validated
from competitions._intake.whole import whole_log

PARTITION_ROWS = 5_000_000


def take_in(
    competition: Competition,
    tables: RawTables,
    folder: Path,
    *,
    fingerprint: str,
    partition_rows: int = PARTITION_ROWS,
    sample_users: float = 1.0,
) -> Dataset:
    """Check the tables, give each row its clock and write the data set into an empty ``folder``.

    The folder then holds ``log/part-00000.parquet``, ... (sorted by clock, row, ``partition_rows`` rows each; without
    the rows of the test window), ``users.parquet``, ``items.parquet``, ``test_pairs.parquet`` (without outcomes),
    ``solution.parquet`` (``pair_id``, ``relevance``) and ``oracle.parquet`` (``pair_id``, ``score``), if they are
    known, and ``meta.json``. Whoever calls it makes the folder appear whole: ``open_dataset`` does it through the
    store, where the partitions of a ``row`` clock are artifacts of their own.

    On a ``row`` clock a partition is in memory at a time; logs on other clocks are in memory as a whole.

    Raises DataError if the competition contradicts itself, a table breaks its rules, or users or items are others than
    those of the log.
    """
    cut = Cut(partition_rows, sample_users)
    write_data(competition, tables, folder, cut, InFolder(folder / "log"), fingerprint=fingerprint)
    return dataset_in(folder, competition, parts_in(folder / "log"))


def write_data(
    c: Competition,
    tables: RawTables,
    folder: Path,
    cut: Cut,
    keeper: Keeper,
    *,
    fingerprint: str,
    data: Path = Path(),
) -> None:
    """Do what ``take_in`` does, with the partitions of a ``row`` clock where ``keeper`` puts them.

    ``data``: the folder that the files of the log are named in.
    """
    check_declaration(c)
    users = _attributes(c, "users", tables.users, c.users, c.user)
    items = _attributes(c, "items", tables.items, c.items, c.item)
    taken = _taken_log(c, tables, folder, cut, keeper, data)
    log, window = sliced_log(taken.parts).log, taken.window
    keys = {c.user: count_keys(log, c.user), c.item: count_keys(log, c.item)}
    check_attributes(c, "users", users, keys[c.user])
    check_attributes(c, "items", items, keys[c.item])

    users.write_parquet(folder / "users.parquet")
    items.write_parquet(folder / "items.parquet")
    window.pairs.write_parquet(folder / "test_pairs.parquet")
    for name, table in (("solution", window.solution), ("oracle", window.oracle)):
        if table is not None:
            table.write_parquet(folder / f"{name}.parquet")
    meta = {
        "fingerprint": fingerprint,
        "test_start": window.start,
        "test_until": window.until,
        "log_files": list(taken.files),
        "log_rows": taken.n_rows,
        "told_apart_by": told_apart_by(c),
        "notes": intake_notes(
            c, tables, taken.parts, keys, window.pairs, {c.user: users, c.item: items}, cut.sample_users
        ),
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def dataset_in(folder: Path, competition: Competition, parts: tuple[Part, ...]) -> Dataset:
    """Return the data set that ``take_in`` wrote into a folder; no table is read.

    Raises DataError if the submission has changed since, and could not tell two pairs apart.
    """
    meta = meta_in(folder)
    if told_apart_by(competition) != meta["told_apart_by"]:
        check_pairs(competition, pl.read_parquet(folder / "test_pairs.parquet"))
    sliced = sliced_log(parts)
    return Dataset(
        competition=competition,
        log=sliced.log,
        users=pl.scan_parquet(folder / "users.parquet"),
        items=pl.scan_parquet(folder / "items.parquet"),
        test_pairs=pl.scan_parquet(folder / "test_pairs.parquet"),
        test_start=meta["test_start"],
        test_until=meta["test_until"],
        fingerprint=meta["fingerprint"],
        partitioned=sliced,
    )


def meta_in(folder: Path) -> dict[str, Any]:
    """Return what ``take_in`` noted of the data set in the folder, its tables aside."""
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return meta


def notes_in(folder: Path) -> list[str]:
    """Return the notes that ``take_in`` left in the folder: sentences for the user."""
    return [str(note) for note in meta_in(folder)["notes"]]


@dataclass(frozen=True)
class _TakenLog:
    """The partitions of the log and the test window after it; ``files``: of a log that was streamed."""

    parts: tuple[Part, ...]
    window: TestWindow
    n_rows: int
    files: tuple[str, ...] = ()


def _attributes(
    c: Competition, name: str, table: pl.LazyFrame, schema: type[dy.Schema], key: str
) -> pl.DataFrame:
    return validated(table, table_rules(c, name, schema, (key,), unique=True)).drop("row").sort(key)


def _taken_log(
    c: Competition, tables: RawTables, folder: Path, cut: Cut, keeper: Keeper, data: Path
) -> _TakenLog:
    if c.clock.kind != "row":
        parts, window = whole_log(c, tables, cut, folder / "log")
        return _TakenLog(parts, window, sum(part.n_rows for part in parts))
    log = stream_log(c, tables, cut, keeper, data)
    start = log.n_rows
    if log.targets is not None:
        window = cut_window(c, log.targets, n_before=start, start=start, until=start + log.targets.height)
    elif tables.pairs is not None:
        no_rows = pl.scan_parquet(log.parts[0].path).head(0).collect(engine="streaming")
        window = given_window(
            c, tables, tables.pairs, LogEnd(start - 1, start, start, no_rows), cut.sample_users
        )
    return _TakenLog(log.parts, window, start, log.files)
