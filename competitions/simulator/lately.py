"""Weeks that follow from those before them: what users saw lately, which clips are hot, rows that react in steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions.simulator.feed import Chunk, Codes, Shown
from competitions.simulator.world import Doubles, Floats, Integers

SEEN_MEMORY, HEAT_MEMORY = 0.3, 0.25  # weeks in which a count falls to 1 / e
N_STEPS = 56  # of a week
FORGOTTEN = 0.02  # rows lately that are no longer remembered after a week


@dataclass(frozen=True)
class Seen:
    """What users saw lately, as of the start of a week: ``key`` (user and thing), sorted, and decayed ``count``."""

    key: Codes
    count: Doubles

    @classmethod
    def nothing(cls) -> Seen:
        """Begin without a row."""
        return cls(np.empty(0, dtype=np.uint64), np.empty(0))

    @classmethod
    def of(cls, parts: Sequence[Seen]) -> Seen:
        """Join the memories of chunks of users, which come in order."""
        return cls(
            np.concatenate([part.key for part in parts]), np.concatenate([part.count for part in parts])
        )

    def lately(self, chunk: Chunk, shown: Shown, thing: npt.NDArray[np.uint32]) -> tuple[Floats, Seen]:
        """Return how often each row's user saw its ``thing`` lately, ``(n_rows,)``, and the memory a week later.

        A sum that decays by one rate is a running sum of ``exp(t / SEEN_MEMORY)``, cut where user or thing change.
        """
        a, b = np.searchsorted(
            self.key, np.array([chunk.first, chunk.until], dtype=np.uint64) << np.uint64(32)
        )
        passed = shown.moment - chunk.week
        keys = np.concatenate([self.key[a:b], shown.user.astype(np.uint64) << np.uint64(32) | thing])
        grown = np.concatenate([self.count[a:b], np.exp(passed / SEEN_MEMORY)])
        order = np.argsort(keys, kind="stable")  # what is remembered comes first, then rows by time
        keys, grown = keys[order], grown[order]
        total = np.cumsum(grown)
        start = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        n_each = np.diff(start, append=len(keys))
        before = total - grown - np.repeat((total - grown)[start], n_each)
        seen = np.empty(len(keys))
        seen[order] = before
        last = start + n_each - 1
        later = (before + grown)[last] * np.exp(-1 / SEEN_MEMORY)
        stays = later > FORGOTTEN
        lately = np.maximum(seen[b - a :], 0) * np.exp(-passed / SEEN_MEMORY)
        return lately.astype(np.float32), Seen(keys[last][stays], later[stays])


@dataclass
class Memory:
    """What a week leaves to the next, ``week``.

    ``heat`` is ``(n_items,)``: likes lately of each clip; ``liked`` ``(n_users,)``: the clip that each user liked last,
    -1 before the first.
    """

    week: int
    seen: tuple[Seen, ...]
    heat: Doubles
    liked: Integers

    @classmethod
    def nothing(cls, n_things: int, n_users: int, n_items: int) -> Memory:
        """Begin before the first week; ``n_things``: kinds of things whose rows are counted."""
        return cls(0, (Seen.nothing(),) * n_things, np.zeros(n_items), np.full(n_users, -1))

    def spread(self, item: Integers, usual: float) -> Doubles:
        """Return ``log(1 + heat / usual)`` of clips, ``(n,)``."""
        return np.asarray(np.log1p(self.heat[item] / usual))

    def step(self, user: Integers, item: Integers) -> None:
        """Take who liked what in a step, by time, and go on to the next."""
        self.heat += np.bincount(item, minlength=len(self.heat))
        self.liked[user] = item  # the last one of several stays
        self.heat *= np.exp(-1 / N_STEPS / HEAT_MEMORY)


def week_in_order(
    kept: list[Memory], week: int, begin: Callable[[], Memory], play: Callable[[Memory], pl.DataFrame]
) -> pl.DataFrame:
    """Return the rows of a week; those before it are played first, if they have not just been.

    ``play`` gives the rows of the memory's week and takes the memory to the next. ``kept`` holds one memory, or none.
    """
    memory = kept.pop() if kept else None
    if memory is None or memory.week > week:
        memory = begin()
    while memory.week < week:
        play(memory)
    rows = play(memory)
    kept[:] = [memory]
    return rows


def steps_of(week: int, shown: Shown) -> Iterator[tuple[Integers, Shown]]:
    """Yield the rows of each step of a week, by ``moment``: their numbers and what is shown in them."""
    order = np.argsort(shown.moment, kind="stable")
    ends = np.searchsorted(shown.moment[order], week + np.arange(N_STEPS + 1) / N_STEPS)
    for a, b in pairwise(ends):
        at = order[a:b]
        yield at, Shown(shown.user[at], shown.item[at], shown.moment[at], shown.age[at])


def by_chunk(rows: pl.DataFrame, chunks: Sequence[Chunk]) -> Iterator[pl.DataFrame]:
    """Yield a week's rows, chunk of users by chunk of users."""
    for chunk in chunks:
        yield rows.filter(pl.col("user_id").is_between(chunk.first, chunk.until - 1))


def joined(shown: Sequence[Shown]) -> Shown:
    """Put what is shown to chunks of users one after the other."""
    columns = (
        np.concatenate([getattr(rows, name) for rows in shown]) for name in ("user", "item", "moment", "age")
    )
    return Shown(*columns)
