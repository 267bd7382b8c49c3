r"""A short-video service that never was, in the files of the VK RecSys Challenge 2024, with its truth beside them.

Who is there (``world.py``). As many users, clips and sources per row as in the challenge; fewer than 8.5 M
rows get more of all three, so that the log is at most 4 % of all (user, clip) pairs. ``N`` is a normal variable of
variance 1 (a vector of 12 of them where tastes and flavours are meant), ``t`` Student's with 4 degrees of freedom.

- Taste of user u at week w: ``taste = sqrt(.2) segment + sqrt(.4) core + sqrt(.4) drift(w)``; ``segment`` is that of
  the gender and age band, ``drift(w + 1) = .75 drift(w) + sqrt(1 - .75^2) N``; straight lines between the weeks.
- Clip of source s: ``vector = sqrt(.8) flavour(s) + sqrt(.2) N``: 80 : 20; ``quality = sqrt(.5) (quality(s) + N)``.
  Content vector: ``vector @ W + 1.5 sqrt(.5) (N(s) + N)``, 32 numbers. Clips of a source: Zipf, ``1 / (rank + 5)^.9``.
- Activity of a user: log-normal (sigma 1.2), newly drawn each week (.4); 12 % of the users join later.
- Reach of a clip: ``log popularity = .5 N(s) + N + .3 quality``.

Who sees what, and when (``plan.py``, ``feed.py``). Each (user, clip) has one appointment, ``birth +
life * delay``; the delay is a mixture of two Gamma(2), drawn by a hash of the pair: so a clip is born, peaks and fades,
and no user gets it twice. Births are spread from four weeks before the log to half a week into the test week; ``life``
is log-normal (median .8 weeks, sigma .6). In a week a user has candidates: clips drawn by popularity that have their
appointment with the user in it, 2.5 for each row. The feed shows the best by ``.6 belief + .3 quality + Gumbel noise``,
which is drawing without replacement in proportion to ``exp(.6 belief + .3 quality)``; ``belief`` is the affinity as it
was when the week began. A row happens at the end of the user's interval between sessions (2 to 50 a week) that has the
appointment in it. No user's week has more than 35 % of the clips that could be met in it.

What comes of it (``reactions.py``). ``affinity = taste . vector / sqrt(12)``, at that moment;
``appeal = 1.35 affinity + .5 quality + .7 exp(-age in weeks) + .15 z(age of the user) log(duration / 24.5)``.

- ``logit p_like = like(u) + appeal`` and ``logit p_dislike = dislike(u) - .8 appeal + .5 polarity(s)``.
- Readiness: ``like(u) = -5 + .8 eager + .9 t``, ``dislike(u) = -6.4 + .6 eager + 1.1 t``, each with a little of gender
  and age, and 3 less for a silent fifth of the users.
- A like and a dislike are independent given these, so a few rows have both: ``p_like - p_dislike`` is the expected
  relevance where such a row counts as 0.
- Shares and bookmarks are rarer and follow ``appeal + like``.
- ``timespent = 1.3 duration * logistic(N(u) + .8 (appeal + like - dislike) - .6 log(duration / 24.5) + 1.2 N - .5)``.

The log is six weeks. ``test_pairs.csv`` has the first 20 rows in week 7 of users with at least 20 rows and a like or a
dislike in it: as many users per row of the log as in the challenge, or all there are. The same rows, seed, parts and
library versions give the same bytes: each chunk of users in a week has its own random numbers, and the number of rows
alone says where chunks are cut.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from competitions.simulator.feed import Feed
from competitions.simulator.files import LOG_SCHEMA, TestWeek, in_order, write_attributes, write_log
from competitions.simulator.plan import Chunk, plan_weeks, quantiles_of_delay
from competitions.simulator.reactions import reactions
from competitions.simulator.world import (
    N_WEEKS,
    Clips,
    Doubles,
    Floats,
    Sizes,
    Users,
    draw_clips,
    draw_users,
    sizes_of,
    weekly_tastes,
)
from engine import ConfigError, DataError, did_you_mean, stage_progress

MIN_ROWS = 10_000
OTHER_FILES = ("users_meta.parquet", "items_meta.parquet", "test_pairs.csv", "solution.parquet")
OWN_FILE = re.compile(r"train_interactions(_\d+)?\.parquet|" + "|".join(map(re.escape, OTHER_FILES)))
UNFINISHED = ".simulation-"


@dataclass(frozen=True)
class Simulated:
    """What was written: the files in ``folder``, and how many rows, users, clips, sources and pairs they hold."""

    folder: Path
    files: tuple[str, ...]
    sizes: Sizes
    n_pairs: int


@dataclass(frozen=True)
class World:
    """Everything that a week's rows follow from. ``tastes[w]`` is ``(n_users, N_TASTES)``, at the start of week w."""

    users: Users
    clips: Clips
    tastes: list[Floats]
    quantiles: Doubles
    chunks: list[Chunk]
    seed: int

    @classmethod
    def of(cls, sizes: Sizes, seed: int) -> World:
        """Draw a world."""
        users = draw_users(_rng(seed, 0), sizes.users)
        clips = draw_clips(_rng(seed, 1), sizes.items, sizes.sources)
        quantiles = quantiles_of_delay()
        chunks = plan_weeks(_rng(seed, 2), users, clips, sizes.rows, quantiles)
        tastes = weekly_tastes(_rng(seed, 3), users, N_WEEKS + 2)
        return cls(users, clips, tastes, quantiles, chunks, seed)

    def week(self, week: int) -> Iterator[pl.DataFrame]:
        """Yield the rows of a week, chunk of users by chunk of users, each sorted by ``moment``."""
        ends = self.tastes[week], self.tastes[week + 1]
        key = int(_rng(self.seed, 4).integers(0, 2**63))
        feed = Feed.of(self.users, self.clips, ends[0], self.quantiles, week, key)
        for number, chunk in enumerate(chunk for chunk in self.chunks if chunk.week == week):
            rng = _rng(self.seed, 5, week, number)
            yield reactions(rng, self.users, self.clips, ends, feed.show(rng, chunk))


def simulate(
    competition: str, folder: Path, *, n_rows: int, seed: int, n_parts: int = 1, overwrite: bool = False
) -> Simulated:
    """Write the files of a simulated competition into a folder; a file appears whole or not at all.

    Parameters
    ----------
    competition
        ``vk2024``, the only one there is.
    n_rows
        Rows of the log, exactly; at least ``MIN_ROWS``.
    n_parts
        Files of the log: contiguous parts in the order of time, of about equal size.
    overwrite
        Also write into a folder that holds something. Files of an earlier simulation are replaced, others stay.

    Raises ConfigError (the arguments) and DataError (the folder is not empty).
    """
    _check(competition, n_rows, seed, n_parts)
    _check_folder(folder, overwrite)
    sizes = sizes_of(n_rows)
    logs = [f"train_interactions{end}.parquet" for end in _ends(n_parts)]
    work = folder / f"{UNFINISHED}{secrets.token_hex(4)}"
    work.mkdir(parents=True)
    try:
        world = World.of(sizes, seed)
        write_attributes(world.users, world.clips, work)
        names = [f"week {c.week + 1}, users from {c.first:,}" for c in world.chunks]
        with stage_progress("Simulated chunks", names, n_found=0, n_workers=1) as stage:
            n_done = iter(range(len(names)))
            frames = _log_frames(world, work, lambda: stage.advance(next(n_done)))
            write_log(frames, [work / name for name in logs], n_rows)
            n_pairs = _write_test(world, sizes, work, lambda: stage.advance(next(n_done)))
        _publish(work, folder, [*OTHER_FILES, *logs])
    finally:
        shutil.rmtree(work)
    return Simulated(folder, (*logs, *OTHER_FILES), sizes, n_pairs)


def _log_frames(world: World, work: Path, done: Callable[[], None]) -> Iterator[pl.DataFrame]:
    """Yield the log in the order of time. A week waits on the disk until all its chunks are there."""
    for week in range(N_WEEKS):
        files: list[Path] = []
        for rows in world.week(week):
            files.append(work / f"week-{week}-{len(files)}.arrow")
            rows.select("moment", *LOG_SCHEMA).write_ipc(files[-1], compression="uncompressed")
            done()
        for frame in in_order(files, week):
            yield frame.select(*LOG_SCHEMA)
        for file in files:
            file.unlink()


def _write_test(world: World, sizes: Sizes, work: Path, done: Callable[[], None]) -> int:
    test = TestWeek()
    for rows in world.week(N_WEEKS):
        test.add(rows)
        done()
    return test.write(work, sizes.test_users, world.seed)


def _publish(work: Path, folder: Path, names: list[str]) -> None:
    """Move the finished files to their place, the log last; remove parts of an earlier log with other names."""
    for old in folder.iterdir():
        if OWN_FILE.fullmatch(old.name) and old.name not in names:
            old.unlink()
    for name in names:
        (work / name).replace(folder / name)


def _ends(n_parts: int) -> list[str]:
    width = len(str(n_parts - 1))
    return [""] if n_parts == 1 else [f"_{part:0{width}d}" for part in range(n_parts)]


def _check(competition: str, n_rows: int, seed: int, n_parts: int) -> None:
    if competition != "vk2024":
        raise ConfigError(
            f"There is no simulator of {competition!r}.{did_you_mean(competition, ['vk2024'])}",
            expected="vk2024",
        )
    if n_rows < MIN_ROWS:
        raise ConfigError(
            f"A log of {n_rows:,} rows is too small to have sources, clips and users with a past.",
            expected=f"--rows of at least {MIN_ROWS:,}",
        )
    if seed < 0:
        raise ConfigError(f"The seed is {seed}.", expected="a whole number from 0 up")
    if not 1 <= n_parts <= n_rows:
        raise ConfigError(f"The log cannot be cut into {n_parts:,} parts.", expected="--parts of at least 1")


def _check_folder(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file.", expected="a folder for the simulated files")
    found = sorted(p.name for p in folder.iterdir()) if folder.exists() else []
    if found and not overwrite:
        raise DataError(
            f"The folder {folder} is not empty: {', '.join(found[:3])}{', ...' if len(found) > 3 else ''}.",
            expected="an empty folder, or one that does not exist yet",
            todo="name another, or add --overwrite: files of an earlier simulation are replaced, others stay",
        )


def _rng(seed: int, *place: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, *place]))
