"""The world of tastes, week by week: what each user is shown, how it appeals to them, and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl

from competitions.simulator.feed import CHUNK_ROWS, Chunk, Feed, Shown, affinity, plan_weeks
from competitions.simulator.reactions import appeal_to_tastes, reactions
from competitions.simulator.world import (
    N_WEEKS,
    Clips,
    Floats,
    Integers,
    Sizes,
    Users,
    draw_clips,
    draw_users,
    rng_of,
    weekly_tastes,
)


@dataclass(frozen=True)
class World:
    """Everything that a week's rows follow from. ``tastes[w]`` is ``(n_users, N_TASTES)``, at the start of week w.

    ``observed``: what can be seen of a row beside user and clip, when it is shown.
    """

    observed: ClassVar[Mapping[str, pl.DataType]] = {}

    users: Users
    clips: Clips
    tastes: list[Floats]
    chunks: list[Chunk]
    seed: int

    @classmethod
    def of(cls, sizes: Sizes, seed: int, chunk_rows: int = CHUNK_ROWS) -> World:
        """Draw a world, whose users go through a week in chunks of at most ``chunk_rows`` rows."""
        users = draw_users(rng_of(seed, 0), sizes.users)
        clips = draw_clips(rng_of(seed, 1), sizes.items, sizes.sources)
        chunks = plan_weeks(rng_of(seed, 2), users, clips, sizes.rows, chunk_rows)
        tastes = weekly_tastes(rng_of(seed, 3), users, N_WEEKS + 2)
        return cls(users, clips, tastes, chunks, seed)

    def week(self, week: int) -> Iterator[pl.DataFrame]:
        """Yield the rows of a week, chunk of users by chunk of users, each sorted by ``moment``."""
        for _, rng, shown, appeal in self.shown(week):
            yield reactions(rng, self.users, self.clips, appeal, shown)

    def shown(self, week: int) -> Iterator[tuple[Chunk, np.random.Generator, Shown, Floats]]:
        """Yield what is shown in a week, chunk of users by chunk of users, with its appeal, and the chunk's draws."""
        ends, clips = (self.tastes[week], self.tastes[week + 1]), self.clips

        def belief(user: Integers, item: Integers) -> Floats:
            return affinity(ends[0][user], clips.vector[item])

        key = int(rng_of(self.seed, 4).integers(0, 2**63))
        feed = Feed.of(self.users, clips, belief, week, key)
        for number, chunk in enumerate(chunk for chunk in self.chunks if chunk.week == week):
            rng = rng_of(self.seed, 5, week, number)
            shown = feed.show(rng, chunk)
            yield chunk, rng, shown, appeal_to_tastes(self.users, clips, ends, shown)
