"""Partitions of the log: one Parquet file each, and beside it a JSON file of what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from blake3 import blake3

from competitions._competition import Competition
from competitions._dataset import Partition, PartitionedLog
from engine import DataError

# zstd takes two thirds of the disk, and a third longer to write and to read; the log is read again and again.
COMPRESSION: Literal["lz4"] = "lz4"


@dataclass(frozen=True)
class Part:
    """One partition on disk.

    ``digest``: blake3 of its file, which holds the rows with their numbers and clocks. ``remarked``: rows by the
    competition's remark that holds for them.
    """

    path: Path
    n_rows: int
    first_clock: int | None
    last_clock: int | None
    digest: str
    remarked: Mapping[str, int]


def write_part(c: Competition, rows: pl.DataFrame, stem: Path) -> Part:
    """Write rows of the log, sorted by (clock, row), as ``stem.parquet`` and their facts as ``stem.json``."""
    path = stem.with_suffix(".parquet")
    rows.write_parquet(path, compression=COMPRESSION)
    digest = blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest(length=16)
    clocks = rows["clock"]
    remarked = rows.select(expression.sum().alias(words) for words, expression in c.remarks.items())
    part = Part(
        path=path,
        n_rows=rows.height,
        first_clock=clocks[0] if rows.height else None,
        last_clock=clocks[-1] if rows.height else None,
        digest=digest,
        remarked=remarked.row(0, named=True) if c.remarks else {},
    )
    facts = {name: value for name, value in asdict(part).items() if name != "path"}
    stem.with_suffix(".json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    return part


def read_part(stem: Path) -> Part:
    """Return the partition that ``write_part`` wrote; its rows are not read."""
    facts = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
    return Part(path=stem.with_suffix(".parquet"), **facts)


def write_parts(c: Competition, log: pl.DataFrame, folder: Path, partition_rows: int) -> tuple[Part, ...]:
    """Write a log that is in memory, sorted by (clock, row), as the partitions ``folder/part-00000.parquet``, ..."""
    folder.mkdir()
    starts = range(0, log.height, partition_rows)
    return tuple(
        write_part(c, log.slice(start, partition_rows), part_stem(folder, number))
        for number, start in enumerate(starts)
    )


def part_stem(folder: Path, number: int) -> Path:
    """Return the path of a partition in a folder of them, without the extension."""
    return folder / f"part-{number:05d}"


def parts_in(folder: Path) -> tuple[Part, ...]:
    """Return the partitions of a folder in their order."""
    return tuple(read_part(path.with_suffix("")) for path in sorted(folder.glob("part-*.parquet")))


def sliced_log(parts: Sequence[Part]) -> PartitionedLog:
    """Return the log that lies in the partitions; empty ones, as a sample of the users may leave, are left out.

    Raises DataError if there are no rows in them at all.
    """
    held = [part for part in parts if part.n_rows]
    if not held:
        raise DataError(
            "The log has no rows.", expected="at least one", todo="take a larger sample of the users"
        )
    slices = tuple(
        Partition(pl.scan_parquet(p.path), p.first_clock, p.last_clock, p.n_rows, p.digest) for p in held
    )
    return PartitionedLog(pl.scan_parquet([p.path for p in held]), slices)


def remarked_rows(parts: Sequence[Part]) -> dict[str, int]:
    """Add up the rows that each remark holds for, over the partitions."""
    words = dict.fromkeys(word for part in parts for word in part.remarked)
    return {word: sum(part.remarked[word] for part in parts) for word in words}
