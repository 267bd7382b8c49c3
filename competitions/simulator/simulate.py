"""Write the files of a simulation: chunks of users come week by week, and go out in the order of time."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

import polars as pl
from polars.io.plugins import register_io_source

from competitions.simulator.clicks import write_clicks
from competitions.simulator.lists import write_lists
from competitions.simulator.order import EFFECTS, OrderWorld
from competitions.simulator.ratings import write_ratings
from competitions.simulator.tastes import World
from competitions.simulator.topics import TopicWorld
from competitions.simulator.world import N_WEEKS, Clips, Sizes, Users, sizes_of
from engine import ConfigError, DataError, did_you_mean, stage_progress

MIN_ROWS = 10_000
PAIRS, ORIGIN, ORDER_BLIND = "test_pairs.csv", "simulated.json", "order_blind.parquet"
OTHER_FILES = ("users_meta.parquet", "items_meta.parquet", PAIRS, "solution.parquet", ORIGIN)
UNFINISHED = ".simulation-"
LOG_SCHEMA = {
    "user_id": pl.UInt32(),
    "item_id": pl.UInt32(),
    "timespent": pl.UInt8(),
    **dict.fromkeys(("like", "dislike", "share", "bookmarks"), pl.Boolean()),
}
MERGED_ROWS = 500_000  # that are sorted by time in memory at once
ROW_GROUP_ROWS = 500_000
N_TEST_ROWS = 20  # of each test user


@dataclass(frozen=True)
class Origin:
    """What the rows of a simulation follow from; it lies beside its files."""

    rows: int
    seed: int
    world: str = "tastes"
    effects: Sequence[str] = ()

    def write(self, file: Path) -> None:
        """Write it as JSON, without effects if there are none."""
        facts = {name: value for name, value in asdict(self).items() if value != ()}
        file.write_text(json.dumps(facts) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Simulated:
    """What was written: the files in ``folder``, and how many rows, users, clips, sources and pairs they hold."""

    folder: Path
    files: tuple[str, ...]
    sizes: Sizes
    n_pairs: int


AnyWorld: TypeAlias = World | TopicWorld | OrderWorld

Layout: TypeAlias = Callable[[Path, int, int], tuple[tuple[str, ...], Sizes, int]]

# Files that look like those of other competitions; no competition of this checkout reads them.
LAYOUTS: Mapping[str, Layout] = {"clicks": write_clicks, "lists": write_lists, "ratings": write_ratings}
WORLDS: Mapping[str, type[World] | type[TopicWorld]] = {"tastes": World, "topics": TopicWorld}


def simulate(
    competition: str,
    folder: Path,
    *,
    n_rows: int,
    seed: int,
    n_parts: int = 1,
    world: str = "tastes",
    effects: Sequence[str] = (),
) -> Simulated:
    """Write the files of a simulated competition into a folder; a file appears whole or not at all.

    Parameters
    ----------
    competition
        ``vk2024``, or a foreign layout: ``clicks``, ``lists`` or ``ratings`` (see the files of these names).
    n_rows
        Rows of the log, exactly; at least ``MIN_ROWS``.
    n_parts
        Files of the log: contiguous parts in the order of time, of about equal size.
    world
        ``tastes`` (``tastes.py``), or ``topics`` (``topics.py``): the process that makes the rows.
    effects
        Effects of order that are added to the world of tastes (``order.py``). With any, log and pairs have
        ``session`` and ``position``, and ``order_blind.parquet`` has the scores of an oracle that does not know the
        effects.

    Parts, worlds and effects are those of ``vk2024``.

    Raises ConfigError (the arguments) and DataError (the folder is not empty).
    """
    check_arguments(competition, n_rows, seed, world, effects)
    if competition in LAYOUTS:
        if n_parts != 1:
            raise ConfigError(f"The files of {competition} have no parts.", expected="no --parts")
        return _simulate_layout(competition, folder, n_rows, seed)
    if not 1 <= n_parts <= n_rows:
        raise ConfigError(f"The log cannot be cut into {n_parts:,} parts.", expected="--parts of at least 1")
    _check_folder(folder)
    sizes = sizes_of(n_rows)
    logs = [f"train_interactions{end}.parquet" for end in _ends(n_parts)]
    work = folder / f"{UNFINISHED}{secrets.token_hex(4)}"
    work.mkdir(parents=True)
    try:
        drawn = OrderWorld.of(sizes, seed, effects) if effects else WORLDS[world].of(sizes, seed)
        _write_attributes(drawn.users, drawn.clips, work)
        names = [f"week {c.week + 1}, users from {c.first:,}" for c in drawn.chunks]
        with stage_progress("Simulated chunks", names, n_found=0, n_workers=1) as stage:
            n_done = iter(range(len(names)))
            frames = log_frames(drawn, work, lambda: stage.advance(next(n_done)))
            _write_log(frames, [work / name for name in logs], n_rows, log_schema(drawn))
            pairs = rows_of_test(drawn, sizes, lambda: stage.advance(next(n_done)))
        pairs.select("user_id", "item_id", *drawn.observed).write_csv(work / PAIRS)
        pairs.select(*log_schema(drawn), "p_like", "p_dislike").write_parquet(work / "solution.parquet")
        Origin(n_rows, seed, world, tuple(effects)).write(work / ORIGIN)
        others: tuple[str, ...] = OTHER_FILES
        if effects:
            blind = pl.col("p_like_blind").cast(pl.Float64) - pl.col("p_dislike_blind").cast(pl.Float64)
            pairs.select("user_id", "item_id", score=blind).write_parquet(work / ORDER_BLIND)
            others = (*OTHER_FILES, ORDER_BLIND)
        for name in (*others, *logs):  # the log last: without it there is no data set
            (work / name).replace(folder / name)
    finally:
        shutil.rmtree(work)
    return Simulated(folder, (*logs, *others), sizes, pairs.height)


def _simulate_layout(name: str, folder: Path, n_rows: int, seed: int) -> Simulated:
    """Write the files of a foreign layout, the log last."""
    _check_folder(folder)
    work = folder / f"{UNFINISHED}{secrets.token_hex(4)}"
    work.mkdir(parents=True)
    try:
        files, sizes, n_pairs = LAYOUTS[name](work, n_rows, seed)
        for file in reversed(files):
            (work / file).replace(folder / file)
    finally:
        shutil.rmtree(work)
    return Simulated(folder, files, sizes, n_pairs)


def log_schema(world: AnyWorld) -> dict[str, pl.DataType]:
    """Columns of the log of a world."""
    return {**LOG_SCHEMA, **world.observed}


def log_frames(
    world: AnyWorld, work: Path, done: Callable[[], None], merged_rows: int = MERGED_ROWS
) -> Iterator[pl.DataFrame]:
    """Yield the log in the order of time, about ``merged_rows`` rows at once; call ``done`` after each chunk.

    A week waits on the disk, in the folder ``work``, until all its chunks are there.
    """
    schema = log_schema(world)
    for week in range(N_WEEKS):
        files: list[Path] = []
        for rows in world.week(week):
            files.append(work / f"week-{week}-{len(files)}.arrow")
            rows.select("moment", *schema).write_ipc(files[-1], compression="uncompressed")
            done()
        for frame in _merged(files, week, merged_rows):
            yield frame.select(*schema)
        for file in files:
            file.unlink()


def _merged(files: Sequence[Path], week: int, merged_rows: int) -> Iterator[pl.DataFrame]:
    """Merge the chunks of a week, each sorted by ``moment``, one stretch of time after the other."""
    chunks = [pl.scan_ipc(file) for file in files]
    moments = [chunk.select("moment").collect(engine="streaming")["moment"] for chunk in chunks]
    n_stretches = -(-sum(map(len, moments)) // merged_rows)
    cuts = [week + k / n_stretches for k in range(1, n_stretches)]
    bounds = [[0, *m.search_sorted(pl.Series(cuts, dtype=pl.Float64)).to_list(), len(m)] for m in moments]
    for k in range(n_stretches):
        rows = [c.slice(b[k], b[k + 1] - b[k]) for c, b in zip(chunks, bounds, strict=True)]
        yield pl.concat(rows).sort("moment", maintain_order=True).collect(engine="streaming")


def _write_log(
    frames: Iterator[pl.DataFrame], paths: Sequence[Path], n_rows: int, schema: Mapping[str, pl.DataType]
) -> None:
    """Stream frames of this schema into Parquet files of about equal numbers of rows, never all in memory."""
    left = pl.DataFrame(schema=schema)
    for number, path in enumerate(paths):
        n_of_file = n_rows * (number + 1) // len(paths) - n_rows * number // len(paths)

        def source(*_: object, n: int = n_of_file) -> Iterator[pl.DataFrame]:
            nonlocal left
            while n > 0:
                frame = left if left.height else next(frames)
                here = frame.head(n)
                left, n = frame.slice(here.height), n - here.height
                yield here

        register_io_source(source, schema=schema).sink_parquet(
            path, compression="zstd", compression_level=1, row_group_size=ROW_GROUP_ROWS, maintain_order=True
        )


def _write_attributes(users: Users, clips: Clips, folder: Path) -> None:
    """Write users_meta.parquet and items_meta.parquet: all users and all clips, also those without rows."""
    user_ids, item_ids = (
        pl.int_range(len(x), eager=True, dtype=pl.UInt32) for x in (users.age, clips.source)
    )
    pl.DataFrame({"user_id": user_ids, "gender": users.gender, "age": users.age}).write_parquet(
        folder / "users_meta.parquet"
    )
    pl.DataFrame(
        {
            "item_id": item_ids,
            "source_id": clips.source,
            "duration": clips.duration,
            "embeddings": pl.Series(clips.content, dtype=pl.Array(pl.Float32, clips.content.shape[1])),
        }
    ).write_parquet(folder / "items_meta.parquet")


def rows_of_test(world: AnyWorld, sizes: Sizes, done: Callable[[], None]) -> pl.DataFrame:
    """Return the rows whose pairs are to be scored, in the order of time; call ``done`` after each chunk.

    They are the first rows of at most ``sizes.test_users`` users, drawn at random among those with enough rows and a
    reaction (a like or a dislike) in the test week.
    """
    can_be_in = (pl.len() >= N_TEST_ROWS) & (pl.col("like") | pl.col("dislike")).any()
    is_first = pl.int_range(pl.len()) < N_TEST_ROWS
    chunks = []
    for chunk in world.week(N_WEEKS):
        chunks.append(chunk.filter(can_be_in.over("user_id") & is_first.over("user_id")))
        done()
    rows = pl.concat(chunks)
    able = rows["user_id"].unique().sort()
    chosen = able.sample(min(sizes.test_users, len(able)), seed=world.seed)
    return rows.filter(pl.col("user_id").is_in(chosen.implode())).sort("moment", maintain_order=True)


def _ends(n_parts: int) -> list[str]:
    width = len(str(n_parts - 1))
    return [""] if n_parts == 1 else [f"_{part:0{width}d}" for part in range(n_parts)]


def check_arguments(
    competition: str, n_rows: int, seed: int, world: str = "tastes", effects: Sequence[str] = ()
) -> None:
    """Raise ConfigError if there is no such simulation."""
    known = ("vk2024", *LAYOUTS)
    if competition not in known:
        raise ConfigError(
            f"There is no simulator of {competition!r}.{did_you_mean(competition, known)}",
            expected=f"one of {', '.join(known)}",
        )
    if competition in LAYOUTS and (world != "tastes" or effects):
        raise ConfigError(
            f"The files of {competition} have one world, without effects.",
            expected="no --world and no --effects",
        )
    if n_rows < MIN_ROWS:
        raise ConfigError(
            f"A log of {n_rows:,} rows is too small to have sources, clips and users with a past.",
            expected=f"--rows of at least {MIN_ROWS:,}",
        )
    if seed < 0:
        raise ConfigError(f"The seed is {seed}.", expected="a whole number from 0 up")
    if world not in WORLDS:
        raise ConfigError(
            f"There is no world {world!r}.{did_you_mean(world, WORLDS)}",
            expected=f"one of {', '.join(WORLDS)}",
        )
    for effect in effects:
        if effect not in EFFECTS:
            raise ConfigError(
                f"There is no effect {effect!r}.{did_you_mean(effect, EFFECTS)}",
                expected=f"some of {', '.join(EFFECTS)}",
            )
    if effects and world != "tastes":
        raise ConfigError(
            f"Effects of order are asked for in the world of {world}.", expected="the world of tastes"
        )


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file.", expected="a folder for the simulated files")
    found = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    if found:
        raise DataError(
            f"The folder {folder} is not empty: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}.",
            expected="an empty folder, or one that does not exist yet",
            todo="name another, or empty it",
        )
