"""Take a log on a ``row`` clock in, one partition after the other: never more than one of them is in memory.

Rows are numbered from 0 through all files; a sample of the users is numbered anew, so that the clock has no holes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Protocol

import polars as pl

from competitions._competition import Competition, RawTables
from competitions._intake.clock import with_clock
from competitions._intake.files import name_in
from competitions._intake.parts import Part, part_stem, read_part, write_part
from competitions._intake.rows import interaction_rules, log_rows, no_rows
from competitions._intake.sample import in_share
from competitions._intake.test_window import horizon_of
from competitions._intake.validate import check_columns, readable, validated
from engine import DataError

MOST_ROWS = 2**31  # of a piece: Polars counts rows in 32 bits


@dataclass(frozen=True)
class Cut:
    """How a log is cut: rows of a partition, and the share of the users that are kept."""

    partition_rows: int
    sample_users: float = 1.0

    @property
    def piece_rows(self) -> int:
        """Rows of a file that are read for one partition: about ``partition_rows`` of them are kept."""
        return min(ceil(self.partition_rows / self.sample_users), MOST_ROWS)


@dataclass(frozen=True)
class Piece:
    """What becomes one partition: ``n_raw`` rows of a file from ``start`` on.

    Of them ``n_rows`` are kept (others are of users outside of the sample, or after the log's end) and numbered from
    ``first`` on.
    """

    file: str
    start: int
    n_raw: int
    first: int
    n_rows: int


Count = Callable[[], list[int]]
Write = Callable[[Piece, Path], None]


class Keeper(Protocol):
    """Where counts and partitions are kept; what is there already is not made again."""

    def counts(self, file: str, count: Count) -> list[int]:
        """Return the kept rows of each piece of a file."""
        ...

    def parts(self, pieces: Sequence[Piece], write: Write) -> tuple[Part, ...]:
        """Return the partitions; ``write(piece, stem)`` writes one."""
        ...


@dataclass(frozen=True)
class InFolder:
    """Keeps the partitions in one folder, each run anew."""

    folder: Path

    def counts(self, file: str, count: Count) -> list[int]:
        """Count."""
        del file
        return count()

    def parts(self, pieces: Sequence[Piece], write: Write) -> tuple[Part, ...]:
        """Write them all."""
        self.folder.mkdir()
        return tuple(self._part(number, piece, write) for number, piece in enumerate(pieces))

    def _part(self, number: int, piece: Piece, write: Write) -> Part:
        stem = part_stem(self.folder, number)
        write(piece, stem)
        return read_part(stem)


@dataclass(frozen=True)
class StreamedLog:
    """A log in partitions: rows [0, n_rows), and the names of the files that they are from.

    ``targets``: the rows after them, if the test window is cut from the log.
    """

    parts: tuple[Part, ...]
    n_rows: int
    files: tuple[str, ...]
    targets: pl.DataFrame | None


def stream_log(c: Competition, tables: RawTables, cut: Cut, keeper: Keeper, folder: Path) -> StreamedLog:
    """Check, clock and write the log, one partition after the other. Files go by their names in ``folder``.

    Raises DataError if a table lacks columns or rows, or rows break the rules of the schema.
    """
    files = named_files(tables, folder)
    _check_files(c, files)
    counts = {name: keeper.counts(name, counting(c, name, rows, cut)) for name, rows in files.items()}
    n_total = sum(map(sum, counts.values()))
    if not n_total:
        raise no_rows(c, cut.sample_users)
    n_targets = horizon_of(c, n_total, is_within=True) if tables.pairs is None else 0
    n_rows = max(0, n_total - n_targets)
    parts = keeper.parts(cut_pieces(counts, cut, until=n_rows), writing(c, files, cut))
    if tables.pairs is not None:
        return StreamedLog(parts, n_rows, tuple(files), None)
    last = cut_pieces(counts, cut, since=n_rows, until=n_total)
    targets = pl.concat([_rows(c, files[piece.file], piece, cut) for piece in last])
    return StreamedLog(parts, n_rows, tuple(files), targets.filter(pl.col("row") >= n_rows))


def named_files(tables: RawTables, folder: Path) -> dict[str, pl.LazyFrame]:
    """Return the rows of the log's files by their names in a folder; a log that names no files is one, without name."""
    if not tables.log_files:
        return {"": tables.interactions}
    files = {name_in(file.path, folder): file.rows for file in tables.log_files}
    if len(files) < len(tables.log_files):
        raise DataError(f"Two files of the log go by the same name: {', '.join(files)}.")
    return files


def counting(c: Competition, name: str, rows: pl.LazyFrame, cut: Cut) -> Count:
    """Return the function that counts the rows of each piece of a file that are kept."""

    def count() -> list[int]:
        with readable(interaction_rules(c, name)):
            if cut.sample_users >= 1:
                n_rows = int(rows.select(pl.len()).collect(engine="streaming").item())
                return [min(cut.piece_rows, n_rows - start) for start in range(0, n_rows, cut.piece_rows)]
            kept = _in_sample(c, rows.select(c.user).with_row_index("row"), cut)
            pieces = kept.group_by(piece=pl.col("row") // cut.piece_rows).len().collect(engine="streaming")
            by_piece = dict(pieces.iter_rows())
            return [by_piece.get(number, 0) for number in range(max(by_piece, default=-1) + 1)]

    return count


def cut_pieces(counts: Mapping[str, Sequence[int]], cut: Cut, *, until: int, since: int = 0) -> list[Piece]:
    """Return the pieces that hold the rows [since, until), from the kept rows of every piece of every file."""
    pieces, first = [], 0
    for file, kept in counts.items():
        for number, n_rows in enumerate(kept):
            if n_rows and first < until and first + n_rows > since:
                n_wanted = min(n_rows, until - first)
                pieces.append(Piece(file, number * cut.piece_rows, cut.piece_rows, first, n_wanted))
            first += n_rows
    return pieces


def writing(c: Competition, files: Mapping[str, pl.LazyFrame], cut: Cut) -> Write:
    """Return the function that writes a piece of these files as a partition."""

    def write(piece: Piece, stem: Path) -> None:
        write_part(c, _rows(c, files[piece.file], piece, cut), stem)

    return write


def _rows(c: Competition, file: pl.LazyFrame, piece: Piece, cut: Cut) -> pl.DataFrame:
    """Return a piece as rows of the log. While they are checked they have the numbers that they have in the file."""
    raw = _in_sample(c, file.slice(piece.start, piece.n_raw).with_row_index("row", offset=piece.start), cut)
    checked = validated(raw.head(piece.n_rows), interaction_rules(c, piece.file))
    if checked.height != piece.n_rows:
        raise DataError(
            f"{piece.file or 'The log'} had {piece.n_rows} rows here when they were counted, and now {checked.height}.",
            expected="a file that nobody writes to",
            todo="wait until it is written, then run again",
        )
    # Its own numbers tell the order, so that nothing rests on a streamed query to keep it.
    ordered = checked if checked["row"].is_sorted() else checked.sort("row")
    row = pl.int_range(piece.first, piece.first + piece.n_rows, dtype=pl.UInt32, eager=True).alias("row")
    clocked = with_clock(ordered.with_columns(row).lazy(), c.clock, c.user)
    return log_rows(c, clocked.collect(engine="streaming"))


def _in_sample(c: Competition, rows: pl.LazyFrame, cut: Cut) -> pl.LazyFrame:
    if cut.sample_users >= 1:
        return rows
    dtype = c.interactions.columns()[c.user].dtype
    # A user who cannot be read is kept: then the check of the rows finds and tells it.
    return rows.filter(in_share(pl.col(c.user).cast(dtype, strict=False), dtype, cut.sample_users))


def _check_files(c: Competition, files: Mapping[str, pl.LazyFrame]) -> None:
    for name, rows in files.items():
        rules = interaction_rules(c, name)
        check_columns(rows, rules)
        if "row" in rows.collect_schema():
            raise DataError(
                f"{rules.title} brings its own row numbers, and the clock of {c.name!r} is the order of the rows.",
                expected="no column 'row'",
                todo="drop or rename it in read() of the competition, or give a clock of kind 'time' a column",
            )
