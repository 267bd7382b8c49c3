"""Take a competition's raw tables in: check, clock, cut into partitions, split off the test window, keep as Parquet.

What a user should know of the data, but need not stop for, becomes notes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from competitions._competition import Competition, Entity, RawTables
from competitions._dataset import Dataset
from competitions._declaration import check_declaration
from competitions._intake.author_code import blamed_on
from competitions._intake.out_of_range import out_of_range, out_of_range_notes
from competitions._intake.partitions import (
    Cut,
    Keep,
    RawLog,
    RowRange,
    in_folder,
    partitioned_log,
    partitions_in,
    write_partitions,
)
from competitions._intake.rows import (
    in_share,
    interaction_rules,
    literals,
    log_rows,
    no_rows,
    threshold_values,
    with_clock,
)
from competitions._intake.tables import TableRules, validated
from competitions._intake.test_window import (
    TestWindow,
    cut_window,
    given_window,
    horizon_of,
)
from engine import DataError

PARTITION_ROWS = 5_000_000
N_SHOWN = 3
MOST_LEVELS, FIRST_ROWS = 20, 100_000  # of a text that would better be an Enum; that are looked at first
FEWEST_NEW = 100  # users, or items, of the test pairs
META, RANGES = "meta.json", "row_ranges.json"


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
    known, and ``meta.json``. If it breaks off, the folder holds some of them: ``open_dataset`` goes through the
    store, where a data set is whole or not there, and where the partitions of a ``row`` clock are artifacts of their
    own.

    On a ``row`` clock a partition is in memory at a time; logs on other clocks are in memory as a whole.

    Raises DataError if the competition contradicts itself, a table breaks its rules, or users or items are others than
    those of the log.
    """
    check_declaration(competition)
    cut = Cut(partition_rows, sample_users)
    write_data(competition, tables, folder, cut, in_folder(folder / "log"), fingerprint=fingerprint)
    return dataset_in(folder, competition, partitions_in(folder / "log"))


def write_data(
    c: Competition,
    tables: RawTables,
    folder: Path,
    cut: Cut,
    keep: Keep,
    *,
    fingerprint: str,
    data: Path = Path(),
) -> None:
    """Do what ``take_in`` does for a checked competition, with the partitions of a ``row`` clock where ``keep`` says.

    ``data``: the folder that the files of the log are named in.
    """
    given = [_attributes(c, *of) for of in zip(c.entities, (tables.users, tables.items), strict=True)]
    split = (
        _streamed(c, tables, folder, cut, keep, data)
        if c.clock.kind == "row"
        else _in_memory(c, tables, folder, cut)
    )
    window = split.window(c, tables, cut)
    log, pairs = partitioned_log(split.partitions).log, window.pairs
    known = [_known(c, entity, table, log, pairs) for entity, table in zip(c.entities, given, strict=True)]
    for name, written in (
        *((one.entity.table, one.attributes) for one in known),
        ("test_pairs", pairs),
        ("solution", window.solution),
        ("oracle", window.oracle),
    ):
        if written is not None:
            written.write_parquet(folder / f"{name}.parquet")
    meta = {
        "fingerprint": fingerprint,
        "test_start": window.start,
        "test_until": window.until,
        "all_new": [one.entity.key for one in known if one.are_all_new],
        "out_of_range": (names := out_of_range(c, log, pairs)),
        "notes": [
            *_threshold_notes(c, split),
            *_notes(c, tables, log, known, pairs.height, cut.sample_users),
            *out_of_range_notes(names),
        ],
    }
    (folder / META).write_text(json.dumps(meta, indent=1), encoding="utf-8")


def dataset_in(folder: Path, competition: Competition, partitions: Sequence[Path]) -> Dataset:
    """Return the data set that ``take_in`` wrote into a folder; no table is read."""
    meta = _meta_in(folder)
    partitioned = partitioned_log(partitions)
    return Dataset(
        competition=competition,
        log=partitioned.log,
        users=pl.scan_parquet(folder / "users.parquet"),
        items=pl.scan_parquet(folder / "items.parquet"),
        test_pairs=pl.scan_parquet(folder / "test_pairs.parquet"),
        test_start=meta["test_start"],
        test_until=meta["test_until"],
        fingerprint=meta["fingerprint"],
        all_new=tuple(meta.get("all_new", ())),
        out_of_range=tuple(meta.get("out_of_range", ())),
        partitioned=partitioned,
    )


def notes_in(folder: Path) -> list[str]:
    """Return the notes that ``take_in`` left in the folder: sentences for the user."""
    return [str(note) for note in _meta_in(folder)["notes"]]


def ranges_in(folder: Path) -> list[RowRange] | None:
    """Return what the partitions of a ``row`` clock were made of; None for a log that was in memory."""
    path = folder / RANGES
    if not path.exists():
        return None
    return [RowRange(**of) for of in json.loads(path.read_text(encoding="utf-8"))]


def _meta_in(folder: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((folder / META).read_text(encoding="utf-8"))
    return meta


@dataclass(frozen=True)
class _Split:
    """The partitions of the history, ``n_rows`` rows; ``targets`` are those after it, on [start, until).

    With given pairs all rows are history, and both ends are the log's. ``thresholds``: their numbers.
    """

    partitions: Sequence[Path]
    n_rows: int
    targets: pl.DataFrame
    start: int
    until: int
    thresholds: Sequence[float]

    def window(self, c: Competition, tables: RawTables, cut: Cut) -> TestWindow:
        """Return the test window after the history."""
        if tables.pairs is None:
            return cut_window(c, self.targets, n_before=self.n_rows, start=self.start, until=self.until)
        log = partitioned_log(self.partitions).log
        return given_window(c, tables, tables.pairs, log, self.until, cut.sample_users, self.thresholds)


def _start(c: Competition, tables: RawTables, first: int, until: int) -> int:
    """Clock at which the history ends, of a log on [first, until)."""
    if tables.pairs is not None:
        return until
    return until - horizon_of(c, until - first, is_within=True)


def _streamed(c: Competition, tables: RawTables, folder: Path, cut: Cut, keep: Keep, data: Path) -> _Split:
    """Check, clock and write a log on a ``row`` clock, one partition after the other."""
    log = RawLog.of(c, tables, cut, data)
    log.check()
    ranges = log.ranges()
    until = ranges[-1].first + ranges[-1].n_rows
    start = max(0, _start(c, tables, 0, until))
    before = [replace(r, n_rows=min(r.n_rows, start - r.first)) for r in ranges if r.first < start]
    numbers = threshold_values(c, lambda: map(log.checked, before))
    before, ranges = ([replace(r, thresholds=numbers) for r in some] for some in (before, ranges))
    (folder / RANGES).write_text(json.dumps([asdict(r) for r in before]), encoding="utf-8")
    paths = keep(before, log.write)
    after = [log.rows(r).filter(pl.col("row") >= start) for r in ranges if r.first + r.n_rows > start]
    return _Split(paths, start, pl.concat(after) if after else pl.DataFrame(), start, until, numbers)


def _in_memory(c: Competition, tables: RawTables, folder: Path, cut: Cut) -> _Split:
    """Check, clock, sort and write a log whose rows must be sorted by time or per user."""
    rows = validated(tables.interactions, interaction_rules(c))
    if cut.sample_users < 1:
        kept = rows.filter(in_share(pl.col(c.user), rows.schema[c.user], cut.sample_users))
        rows = kept.sort("row").with_columns(row=pl.int_range(pl.len(), dtype=pl.UInt32))
    if rows.is_empty():
        raise no_rows(c, cut.sample_users)
    clocked = with_clock(rows.lazy(), c.clock, c.user).sort("clock", "row").collect(engine="streaming")
    until = c.clock.steps if c.clock.kind == "per_user" else int(clocked["clock"][-1]) + 1
    start = _start(c, tables, int(clocked["clock"][0]), until)
    n_before = int(clocked["clock"].search_sorted(start))
    numbers = threshold_values(c, lambda: [clocked.head(n_before)])
    log = log_rows(c, clocked.with_columns(literals(c, numbers)))
    paths = write_partitions(log.head(n_before), folder / "log", cut.partition_rows)
    return _Split(paths, n_before, log.slice(n_before), start, until, numbers)


@dataclass(frozen=True)
class _Known:
    """What is known of the users, or of the items. ``in_log``, ``in_pairs``: each key there, and its ``n_rows``."""

    entity: Entity
    attributes: pl.DataFrame
    in_log: pl.DataFrame
    in_pairs: pl.DataFrame

    @property
    def are_all_new(self) -> bool:
        """Whether none of those in the pairs has a row in the log; never told of so few that it may be chance."""
        return (
            self.in_pairs.height >= FEWEST_NEW
            and self.in_pairs.join(self.in_log, on=self.entity.key, how="semi").is_empty()
        )


def _attributes(c: Competition, entity: Entity, table: pl.LazyFrame | None) -> pl.DataFrame | None:
    """Return the checked attributes of the users or items, sorted by their key; None if the competition has none.

    Raises DataError if the table is declared and not given, or given and not declared.
    """
    if entity.schema is not None and table is not None:
        rules = TableRules(entity.table, c.name, entity.schema, (entity.key,), is_unique=True)
        found = validated(table, rules).drop("row").sort(entity.key)
        copies = {
            alias: own for alias, own in c.aliases.items() if own in entity.columns and own != entity.key
        }
        return found.with_columns(pl.col(own).alias(alias) for alias, own in copies.items())
    if entity.schema is None and table is None:
        return None
    what = "gives no table" if table is None else "gives a table"
    raise DataError(
        f"read() of competition {c.name!r} {what} of {entity.table}, and the competition declares "
        f"{'one' if table is None else 'none'}.",
        expected=f"both a schema, {entity.table}=, and a table; or neither, where there are no attributes",
        todo="correct the file of the competition",
    )


def _known(
    c: Competition, entity: Entity, given: pl.DataFrame | None, log: pl.LazyFrame, pairs: pl.DataFrame
) -> _Known:
    """Count the users or items of the log and of the pairs; where no attributes are given they have their ids only.

    Raises DataError for attributes that are about others than the log's: all of them would be null.
    """
    key = entity.key
    in_log, in_pairs = (
        rows.group_by(key).agg(n_rows=pl.len()).collect(engine="streaming") for rows in (log, pairs.lazy())
    )
    if given is None:
        given = pl.concat([in_log, in_pairs]).select(key).unique().sort(key)
    elif not in_log[key].is_in(given[key].implode()).any():
        rows = f"has {given.height} rows ({_first(given[key])})" if given.height else "has no rows"
        raise DataError(
            f"Table {entity.table!r} of competition {c.name!r} {rows}, and none of them is for one of the log's "
            f"{in_log.height} {entity.table} ({_first(in_log[key])}).",
            expected=f"a row for the {entity.table} of the log, with the same {key}",
            todo="look at its file: is it whole, and of the same data set?",
        )
    return _Known(entity, given, in_log, in_pairs)


def _first(keys: pl.Series) -> str:
    """Return the smallest few keys as text."""
    smallest = keys.sort()
    return ", ".join(map(repr, smallest.head(N_SHOWN))) + (", ..." if smallest.len() > N_SHOWN else "")


def _notes(
    c: Competition,
    tables: RawTables,
    log: pl.LazyFrame,
    known: Sequence[_Known],
    n_pairs: int,
    sample_users: float,
) -> list[str]:
    """Return sentences on columns left out, odd rows, rows without attributes, and what the clock means here.

    ``log``: the rows before the test window. ``known``: the users first.
    """
    return [
        *_sample_note(known[0].in_log.height, sample_users),
        *_left_out(c, tables),
        *_short_texts(c, log, known),
        *_remarks(c, log),
        *(note for one in known for note in _without_attributes(one)),
        *(note for one in known for note in _without_history(one, n_pairs)),
        *_clock_notes(c, tables),
    ]


def _threshold_notes(c: Competition, split: _Split) -> Iterator[str]:
    for (name, threshold), number in zip(c.thresholds.items(), split.thresholds, strict=True):
        yield (
            f"The threshold {name} is {number}: the {threshold.quantile:g} quantile of {threshold.of} over the "
            f"{split.n_rows} rows before the test window. The labels of all windows are made with it."
        )


def _sample_note(n_users: int, share: float) -> Iterator[str]:
    if share < 1:
        yield (
            f"This is a sample of {share:.3g} of the users: {n_users} of them in the log. Nothing that is made from it "
            "can be submitted."
        )


def _left_out(c: Competition, tables: RawTables) -> Iterator[str]:
    users, items = c.entities
    log = [file.rows for file in tables.log_files] or [tables.interactions]
    for name, given, named in (
        ("interactions", log, c.interactions.columns()),
        ("users", [tables.users], users.columns),
        ("items", [tables.items], items.columns),
        ("the given pairs", [tables.pairs], c.given_columns),
    ):
        if left_out := _unnamed([table for table in given if table is not None], named):
            yield f"Columns of {name} that the competition does not declare are left out: {', '.join(left_out)}."


def _unnamed(tables: Sequence[pl.LazyFrame], named: Collection[str]) -> list[str]:
    """Name the columns of any of the files, whose dtypes may differ where each of them can be read as declared."""
    found = dict.fromkeys(name for table in tables for name in table.collect_schema().names())
    return [name for name in found if name != "row" and name not in named]


def _short_texts(c: Competition, log: pl.LazyFrame, known: Sequence[_Known]) -> Iterator[str]:
    """Name texts of few values: as an Enum models read them as they are, and not by their words."""
    told = {
        "interactions": (log, c.observed_columns),
        **{one.entity.table: (one.attributes.lazy(), one.entity.columns) for one in known},
    }
    keys = {c.user, c.item, c.source, *c.aliases}
    for table, (rows, names) in told.items():
        schema = rows.collect_schema()
        texts = [n for n in names if n not in keys and schema.get(n) == pl.String]
        # Of all rows only where the first ones do not have too many already.
        for some in (rows.head(FIRST_ROWS), rows):
            different = [pl.col(texts).unique().head(MOST_LEVELS + 2).sort().implode()] if texts else []
            values = some.select(different).collect(engine="streaming")
            texts = [n for n in texts if len(values[n].item().drop_nulls()) <= MOST_LEVELS]
        for name in texts:
            if not (found := values[name].item().drop_nulls().to_list()):
                continue
            yield (
                f"The text {name!r} of {table} has {len(found)} different values and is read by its words. To have "
                f"models read the values: {name} = dy.Enum({found!r}), with more if the test has others."
            )


def _remarks(c: Competition, log: pl.LazyFrame) -> Iterator[str]:
    counts = [expression.sum().alias(words) for words, expression in c.remarks.items()]
    with blamed_on(c, "a remark", "Boolean expressions over the columns of the log"):
        n_rows, *counted = log.select(pl.len(), *counts).collect(engine="streaming").row(0)
    for words, n_remarked in zip(c.remarks, counted, strict=True):
        yield f"{n_remarked} of {n_rows} rows of the log {words}."


def _without_attributes(known: _Known) -> Iterator[str]:
    for counts, where in ((known.in_log, "log"), (known.in_pairs, "test pairs")):
        missing = counts.join(known.attributes, on=known.entity.key, how="anti")
        if missing.height:
            yield (
                f"{missing['n_rows'].sum()} rows of the {where} have {known.entity.word} without attributes "
                f"({missing.height} of them): their attributes are null."
            )


def _without_history(known: _Known, n_pairs: int) -> Iterator[str]:
    unseen = known.in_pairs.join(known.in_log, on=known.entity.key, how="anti")
    if unseen.height:
        yield (
            f"{unseen['n_rows'].sum()} of {n_pairs} test pairs have {known.entity.word} without a row in the log "
            f"({unseen.height} of them)."
        )


def _clock_notes(c: Competition, tables: RawTables) -> Iterator[str]:
    if c.clock.kind == "per_user":
        yield (
            f"The clock runs per user, in {c.clock.steps} equal steps of each user's own rows: another user's row with "
            "a smaller clock may be later in the calendar, so an item's history may hold calendar-later rows. Rows "
            "cannot be appended to such a log."
        )
    if c.gap and tables.pairs is None:
        yield f"The last {c.gap} clock units before the test window are a gap: no history reaches into it."
    if c.guessed_outcomes:
        yield (
            f"The competition names no outcomes. Taken for them, since relevance reads them or they are dense: "
            f"{', '.join(c.guessed_outcomes)}. If that is wrong: outcomes=(...) in its file."
        )
    hidden = [name for name in c.interactions.columns() if name not in c.observed_columns]
    yield (
        f"Outcomes, never seen of a pair to score: {', '.join(hidden)} and what is derived from them. Seen of it: "
        f"{', '.join(name for name in c.observed_columns if name not in c.aliases)}."
    )
