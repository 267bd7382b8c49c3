"""Files of a simulation: chunks come in week by week, user by user, and go out in the order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from competitions.simulator.world import Clips, Users

LOG_SCHEMA = {
    "user_id": pl.UInt32(),
    "item_id": pl.UInt32(),
    "timespent": pl.UInt8(),
    "like": pl.Boolean(),
    "dislike": pl.Boolean(),
    "share": pl.Boolean(),
    "bookmarks": pl.Boolean(),
}
SLICE_ROWS = 500_000
ROW_GROUP_ROWS = 500_000
N_TEST_ROWS = 20  # of each test user


def in_order(files: Sequence[Path], week: int) -> Iterator[pl.DataFrame]:
    """Merge chunks of one week, each sorted by ``moment``: yield it in slices of time, about SLICE_ROWS rows each."""
    chunks = [pl.scan_ipc(file) for file in files]
    moments = [chunk.select("moment").collect(engine="streaming")["moment"] for chunk in chunks]
    n_slices = -(-sum(map(len, moments)) // SLICE_ROWS)
    cuts = [week + k / n_slices for k in range(1, n_slices)]
    bounds = [[0, *m.search_sorted(pl.Series(cuts, dtype=pl.Float64)).to_list(), len(m)] for m in moments]
    for k in range(n_slices):
        parts = [c.slice(b[k], b[k + 1] - b[k]) for c, b in zip(chunks, bounds, strict=True)]
        yield pl.concat(parts).sort("moment", maintain_order=True).collect(engine="streaming")


@dataclass
class RowsOf:
    """A stream of frames, taken in portions of an exact number of rows."""

    frames: Iterator[pl.DataFrame]
    left: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LOG_SCHEMA))

    def take(self, n_rows: int) -> Iterator[pl.DataFrame]:
        """Yield frames of the next ``n_rows`` rows, fewer if the stream ends."""
        while n_rows > 0:
            frame = self.left if self.left.height else next(self.frames, None)
            if frame is None:
                return
            here = frame.head(n_rows)
            self.left, n_rows = frame.slice(here.height), n_rows - here.height
            yield here


def write_log(frames: Iterator[pl.DataFrame], paths: Sequence[Path], n_rows: int) -> None:
    """Stream frames of ``LOG_SCHEMA`` into Parquet files of about equal numbers of rows, never all in memory."""
    rows = RowsOf(frames)
    for part, path in enumerate(paths):
        n = n_rows * (part + 1) // len(paths) - n_rows * part // len(paths)

        def source(*_: object, n: int = n) -> Iterator[pl.DataFrame]:
            return rows.take(n)

        register_io_source(source, schema=LOG_SCHEMA).sink_parquet(
            path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP_ROWS, maintain_order=True
        )


def write_attributes(users: Users, clips: Clips, folder: Path) -> None:
    """Write users_meta.parquet and items_meta.parquet: all users and all clips, also those without rows."""
    pl.DataFrame(
        {
            "user_id": pl.int_range(len(users.age), eager=True, dtype=pl.UInt32),
            "gender": users.gender,
            "age": users.age,
        }
    ).write_parquet(folder / "users_meta.parquet")
    pl.DataFrame(
        {
            "item_id": pl.int_range(len(clips.source), eager=True, dtype=pl.UInt32),
            "source_id": clips.source,
            "duration": clips.duration,
            "embeddings": pl.Series(clips.content, dtype=pl.Array(pl.Float32, clips.content.shape[1])),
        }
    ).write_parquet(folder / "items_meta.parquet")


@dataclass
class TestWeek:
    """What is kept of the test week, chunk by chunk: the first rows of the users that can be in the test."""

    __test__ = False  # not a test class

    parts: list[pl.DataFrame] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        """Take a chunk, sorted by ``moment``: of users with enough rows and a reaction (a like or a dislike)."""
        can_be_in = (pl.len() >= N_TEST_ROWS) & (pl.col("like") | pl.col("dislike")).any()
        first = pl.int_range(pl.len()) < N_TEST_ROWS
        kept = rows.filter(can_be_in.over("user_id") & first.over("user_id"))
        self.parts.append(kept)

    def write(self, folder: Path, n_users: int, seed: int) -> int:
        """Write test_pairs.csv and solution.parquet, of at most ``n_users`` users drawn at random, in time order.

        Returns the number of pairs.
        """
        rows = pl.concat(self.parts)
        able = rows["user_id"].unique().sort()
        chosen = able.sample(min(n_users, len(able)), seed=seed)
        rows = rows.filter(pl.col("user_id").is_in(chosen.implode())).sort("moment", maintain_order=True)
        rows.select("user_id", "item_id").write_csv(folder / "test_pairs.csv")
        rows.select(*LOG_SCHEMA, "p_like", "p_dislike").write_parquet(folder / "solution.parquet")
        return rows.height
