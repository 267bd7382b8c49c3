"""The log as partitions: Parquet files that come one after the other by (clock, row), with a JSON file of facts each.

Where rows must be sorted by time or per user, the whole log is in memory. On a ``row`` clock a partition is made of a
range of rows of one file, and never more than one of them is in memory. Rows are numbered from 0 through all files; a
sample of the users is numbered anew, so that the clock has no holes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import polars as pl
from blake3 import blake3

from competitions._competition import Competition, RawTables
from competitions._dataset import Partition, PartitionedLog
from competitions._intake.fingerprints import name_in
from competitions._intake.rows import in_share, interaction_rules, literals, log_rows, no_rows
from competitions._intake.tables import check_columns, readable, validated
from engine import DataError

# zstd takes two thirds of the disk, and a third longer to write and to read; the log is read again and again.
COMPRESSION: Literal["lz4"] = "lz4"
MOST_ROWS = 2**31  # that are read at a time: Polars counts rows in 32 bits


def write_partition(rows: pl.DataFrame, path: Path) -> None:
    """Write rows of the log, sorted by (clock, row), to ``path`` and the facts of a ``Partition`` beside it."""
    rows.write_parquet(path, compression=COMPRESSION)
    clocks = rows["clock"]
    facts = {
        "first_clock": clocks[0] if rows.height else None,
        "last_clock": clocks[-1] if rows.height else None,
        "n_rows": rows.height,
        "digest": blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest(length=16),
    }
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def write_partitions(log: pl.DataFrame, folder: Path, partition_rows: int) -> tuple[Path, ...]:
    """Write a log that is in memory, sorted by (clock, row), as the partitions ``folder/part-00000.parquet``, ..."""
    folder.mkdir()
    for number, start in enumerate(range(0, log.height, partition_rows)):
        write_partition(log.slice(start, partition_rows), _path(folder, number))
    return partitions_in(folder)


def partitions_in(folder: Path) -> tuple[Path, ...]:
    """Return the paths of the partitions in a folder, in their order."""
    return tuple(sorted(folder.glob("part-*.parquet")))


def _path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.parquet"


def partitioned_log(paths: Sequence[Path]) -> PartitionedLog:
    """Return the log that lies in the partitions; empty ones, as a sample of the users may leave, are left out.

    Raises DataError if there are no rows in them at all.
    """
    facts = {path: json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in paths}
    filled = {path: Partition(pl.scan_parquet(path), **of) for path, of in facts.items() if of["n_rows"]}
    if not filled:
        raise DataError(
            "The log has no rows.", expected="at least one", todo="take a larger sample of the users"
        )
    return PartitionedLog(pl.scan_parquet(list(filled)), tuple(filled.values()))


@dataclass(frozen=True)
class Cut:
    """How a log is cut: rows of a partition, and the share of the users that are kept."""

    partition_rows: int
    sample_users: float = 1.0

    @property
    def raw_rows(self) -> int:
        """Rows of a file that are read for one partition: about ``partition_rows`` of them are kept."""
        return min(ceil(self.partition_rows / self.sample_users), MOST_ROWS)


@dataclass(frozen=True)
class RowRange:
    """What becomes one partition: ``n_raw`` rows of a file from ``start`` on.

    Of them ``n_rows`` are kept (others are of users outside of the sample, or after the log's end) and numbered from
    ``first`` on. ``thresholds``: the numbers of the competition's thresholds, which labels depend on.
    """

    file: str
    start: int
    n_raw: int
    first: int
    n_rows: int
    thresholds: Sequence[float] = ()


Write = Callable[[RowRange, Path], None]
Keep = Callable[
    [Sequence[RowRange], Write], Sequence[Path]
]  # writes what is not there yet, returns all paths


def in_folder(folder: Path) -> Keep:
    """Keep partitions in one new folder."""

    def keep(ranges: Sequence[RowRange], write: Write) -> tuple[Path, ...]:
        folder.mkdir()
        for number, wanted in enumerate(ranges):
            write(wanted, _path(folder, number))
        return partitions_in(folder)

    return keep


@dataclass(frozen=True)
class RawLog:
    """The files of a log on a ``row`` clock by their names; a log that names no files is one, without name."""

    competition: Competition
    files: Mapping[str, pl.LazyFrame]
    cut: Cut

    @classmethod
    def of(cls, c: Competition, tables: RawTables, cut: Cut, folder: Path) -> RawLog:
        """Name the files by their paths in ``folder``. Raises DataError if two have one name."""
        files = {name_in(file.path, folder): file.rows for file in tables.log_files}
        if len(files) < len(tables.log_files):
            raise DataError(f"Two files of the log go by the same name: {', '.join(files)}.")
        return cls(c, files or {"": tables.interactions}, cut)

    def check(self) -> None:
        """Raise DataError if a file lacks columns, or brings its own row numbers."""
        for name, rows in self.files.items():
            rules = interaction_rules(self.competition, name)
            check_columns(rows, rules)
            if "row" in rows.collect_schema():
                raise DataError(
                    f"{rules.title} brings its own row numbers, and the clock of {self.competition.name!r} is the "
                    "order of the rows.",
                    expected="no column 'row'",
                    todo="drop or rename it in read() of the competition, or give a clock of kind 'time' a column",
                )

    def ranges(self) -> list[RowRange]:
        """Cut all files. Raises DataError if no row of any is kept."""
        found, first = [], 0
        for file in self.files:
            for number, n_rows in enumerate(self._counts(file)):
                if n_rows:
                    found.append(RowRange(file, number * self.cut.raw_rows, self.cut.raw_rows, first, n_rows))
                first += n_rows
        if not found:
            raise no_rows(self.competition, self.cut.sample_users)
        return found

    def write(self, wanted: RowRange, path: Path) -> None:
        """Write a range as a partition."""
        write_partition(self.rows(wanted), path)

    def rows(self, wanted: RowRange) -> pl.DataFrame:
        """Return a range as rows of the log. Raises DataError as ``checked`` does, or for a wrong relevance."""
        c, ends = self.competition, (wanted.first, wanted.first + wanted.n_rows)
        numbered = pl.int_range(*ends, dtype=pl.UInt32, eager=True).alias("row")
        return log_rows(c, self.checked(wanted).with_columns(numbered, *literals(c, wanted.thresholds)))

    def checked(self, wanted: RowRange) -> pl.DataFrame:
        """Return a range of interactions in their order, with the numbers of the rows in their file.

        Raises DataError if rows break the rules of the schema, or are not as many as they were.
        """
        c, file = self.competition, self.files[wanted.file]
        raw = file.slice(wanted.start, wanted.n_raw).with_row_index("row", offset=wanted.start)
        checked = validated(self._sampled(raw).head(wanted.n_rows), interaction_rules(c, wanted.file))
        if checked.height != wanted.n_rows:
            raise DataError(
                f"{wanted.file or 'The log'} had {wanted.n_rows} rows here when they were counted, and now "
                f"{checked.height}.",
                expected="a file that nobody writes to",
                todo="wait until it is written, then run again",
            )
        # Its own numbers tell the order, so that nothing rests on a streamed query to keep it.
        return checked if checked["row"].is_sorted() else checked.sort("row")

    def _counts(self, name: str) -> list[int]:
        """Count the rows that are kept of each ``raw_rows`` rows of a file."""
        rows, size = self.files[name], self.cut.raw_rows
        with readable(interaction_rules(self.competition, name)):
            if self.cut.sample_users >= 1:
                n_rows = int(rows.select(pl.len()).collect(engine="streaming").item())
                return [min(size, n_rows - start) for start in range(0, n_rows, size)]
            users = self._sampled(rows.select(self.competition.user).with_row_index("row"))
            counted = users.group_by(number=pl.col("row") // size).len().collect(engine="streaming")
            n_of = dict(counted.iter_rows())
            return [n_of.get(number, 0) for number in range(max(n_of, default=-1) + 1)]

    def _sampled(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        user, share = self.competition.user, self.cut.sample_users
        if share >= 1:
            return rows
        dtype = self.competition.interactions.columns()[user].dtype
        # A user who cannot be read is kept: then the check of the rows finds and tells it.
        return rows.filter(in_share(pl.col(user).cast(dtype, strict=False), dtype, share))
