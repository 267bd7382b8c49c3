r"""Effects of order in the world of tastes: what users saw and did just before changes what they like.

Who is shown what, and when, is the world of tastes' own (``tastes.py``), row by row; each effect that is switched on
adds to the appeal. A session is one of the user's intervals (``feed.py``), ``position`` counts its rows from 1.

- ``boredom``: ``-.8 seen / (seen + 1)``, where ``seen(t) = sum exp(-(t - t') / .3)`` over the user's earlier rows with
  clips of the same source, ``t'`` in weeks.
- ``mood``: a session goes on as it began: ``.2 first . vector / sqrt(12)``, where ``first`` is the vector of the
  session's first clip; 0 at position 1.
- ``contagion`` of recent likes, those of earlier steps of the clock, an eighth of a day each. All users' likes of the
  clip: ``.1 log(1 + heat / usual)``, where ``heat(t) = sum exp(-(t - t') / .25)`` over them and ``usual`` is the heat
  of a clip that is liked as often as all are, ``.25 * .05 * rows of a week / clips``. And the user's own last like,
  until the next: ``.36 sum_k last(k) vector(k + 1) / sqrt(12)``, where ``last`` is the vector of that clip, 0 before
  the first, and flavour 1 comes after flavour 12: what they like leads them on to what goes with it. So what came
  before a window counts in it, and no sum over the past says what goes with what.
- ``position``: ``-.1 log(position)``, for each next row in a session.

The oracle knows all of them. The order-blind oracle knows tastes and clips, but takes each effect at its mean over the
rows of the week: ``p`` of ``appeal without effects + mean``. Within a user that is the order of the world of tastes.

A week of the service is in memory at once, because contagion goes from user to user: some 80 bytes a row of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions.simulator.feed import CHUNK_ROWS, Chunk, Shown, affinity
from competitions.simulator.lately import HEAT_MEMORY, Memory, Seen, by_chunk, joined, steps_of, week_in_order
from competitions.simulator.reactions import probabilities, reactions
from competitions.simulator.tastes import World
from competitions.simulator.world import N_WEEKS, Clips, Floats, Integers, Sizes, Users, rng_of

EFFECTS = ("boredom", "mood", "contagion", "position")
BORED, FEW = 0.8, 1.0  # the most that it costs, and how many rows lately are few
MOOD, CONTAGION, LED_ON, POSITION = 0.2, 0.1, 0.36, 0.1
MEAN_LIKE = 0.05
SESSIONS_OF_WEEK = 1 << 8  # more than anyone has


@dataclass(frozen=True)
class OrderWorld:
    """The world of tastes with effects of order.

    ``usual``: the usual heat of a clip. ``memory``: one, or none before the first week.
    """

    observed: ClassVar[Mapping[str, pl.DataType]] = {"session": pl.UInt16(), "position": pl.UInt16()}

    tastes: World
    effects: Sequence[str]
    usual: float
    memory: list[Memory] = field(default_factory=list)

    @classmethod
    def of(
        cls, sizes: Sizes, seed: int, effects: Sequence[str] = EFFECTS, chunk_rows: int = CHUNK_ROWS
    ) -> OrderWorld:
        """Draw a world with some of ``EFFECTS``, whose users go through a week in chunks of ``chunk_rows`` at most."""
        usual = HEAT_MEMORY * MEAN_LIKE * sizes.rows / N_WEEKS / sizes.items
        return cls(World.of(sizes, seed, chunk_rows), tuple(effects), usual)

    @property
    def users(self) -> Users:
        """Who is there."""
        return self.tastes.users

    @property
    def clips(self) -> Clips:
        """What is there."""
        return self.tastes.clips

    @property
    def chunks(self) -> list[Chunk]:
        """How users go through the weeks."""
        return self.tastes.chunks

    @property
    def seed(self) -> int:
        """Seed of all draws."""
        return self.tastes.seed

    def week(self, week: int) -> Iterator[pl.DataFrame]:
        """Yield the rows of a week, chunk of users by chunk of users, each sorted by ``moment``.

        Beside those of ``reactions``, they have ``observed`` and the order-blind oracle's ``p_like_blind``,
        ``p_dislike_blind`` Float32. Weeks are played in their order: those before this one are played first, if they
        have not just been.
        """
        rows = week_in_order(self.memory, week, self._nothing, self._play)
        yield from by_chunk(rows, [chunk for chunk in self.chunks if chunk.week == week])

    def _nothing(self) -> Memory:
        return Memory.nothing(1, len(self.users.age), len(self.clips.born))

    def _play(self, memory: Memory) -> pl.DataFrame:
        """Return the rows of the memory's week by ``moment``, and take the memory to the next week."""
        shown, appeal, effect, session = self._show(memory)
        frames, order = [], []
        for step, (at, here) in enumerate(steps_of(memory.week, shown)):
            if "contagion" in self.effects:
                effect[at] += (CONTAGION * memory.spread(here.item, self.usual)).astype(np.float32)
                effect[at] += np.float32(LED_ON) * self._led_on(memory, here)
            rng = rng_of(self.seed, 9, memory.week, step)
            rows = reactions(rng, self.users, self.clips, appeal[at] + effect[at], here)
            liked = rows["like"].to_numpy()
            memory.step(here.user[liked], here.item[liked])
            frames.append(rows)
            order.append(at)
        memory.week += 1
        in_order = np.concatenate(order)
        like, dislike = probabilities(self.users, self.clips, appeal + effect.mean(), shown)
        return pl.concat(frames).with_columns(
            session=session.number[in_order],
            position=session.position[in_order],
            p_like_blind=like[in_order],
            p_dislike_blind=dislike[in_order],
        )

    def _led_on(self, memory: Memory, shown: Shown) -> Floats:
        """Return how well what is shown goes with what its user liked last, 0 before the first like."""
        last, vector = memory.liked[shown.user], self.clips.vector
        product = affinity(vector[last], np.roll(vector[shown.item], -1, axis=1))
        return np.where(last >= 0, product, np.float32(0))

    def _show(self, memory: Memory) -> tuple[Shown, Floats, Floats, Sessions]:
        """Return what is shown in a week, chunk after chunk, its own appeal, effects but contagion, and sessions."""
        shown, appeals, effects, sessions, later = [], [], [], [], []
        for chunk, _, rows, appeal in self.tastes.shown(memory.week):
            session = Sessions.of(self.users, memory.week, rows)
            seen, known = memory.seen[0].lately(chunk, rows, self.clips.source[rows.item])
            effect = np.zeros(len(rows.user), dtype=np.float32)
            if "boredom" in self.effects:
                effect -= np.float32(BORED) * seen / (seen + np.float32(FEW))
            if "mood" in self.effects:
                first, vector = self.clips.vector[rows.item[session.first]], self.clips.vector[rows.item]
                effect += np.float32(MOOD) * affinity(first, vector) * (session.position > 1)
            if "position" in self.effects:
                effect -= np.float32(POSITION) * np.log(session.position.astype(np.float32))
            shown.append(rows)
            appeals.append(appeal)
            effects.append(effect)
            sessions.append(session)
            later.append(known)
        memory.seen = (Seen.of(later),)
        return joined(shown), np.concatenate(appeals), np.concatenate(effects), Sessions.joined(sessions)


@dataclass(frozen=True)
class Sessions:
    """Sessions of rows: arrays ``(n_rows,)``.

    ``number``: of the user's session, larger for a later one. ``position``: of the row in it, from 1. ``first``: which
    row is the first of it.
    """

    number: npt.NDArray[np.uint16]
    position: npt.NDArray[np.uint16]
    first: Integers

    @classmethod
    def of(cls, users: Users, week: int, shown: Shown) -> Sessions:
        """Tell the sessions of a week's rows apart, which are sorted by ``moment``."""
        user = shown.user
        interval = np.floor((shown.moment - week) * users.sessions[user] + users.phase[user]).astype(np.int64)
        number = np.minimum(interval, SESSIONS_OF_WEEK - 1)
        key = user * SESSIONS_OF_WEEK + number
        order = np.argsort(key, kind="stable")
        start = np.flatnonzero(np.diff(key[order], prepend=-1))
        n_each = np.diff(start, append=len(key))
        position, first = np.empty(len(key), dtype=np.uint16), np.empty(len(key), dtype=np.int64)
        position[order] = np.arange(len(key)) - np.repeat(start, n_each) + 1
        first[order] = np.repeat(order[start], n_each)
        return cls((week * SESSIONS_OF_WEEK + number).astype(np.uint16), position, first)

    @classmethod
    def joined(cls, parts: Sequence[Sessions]) -> Sessions:
        """Put the sessions of chunks of users one after the other."""
        ends = np.cumsum([0, *(len(part.first) for part in parts)])
        first = [part.first + end for part, end in zip(parts, ends[:-1], strict=True)]
        number, position = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("number", "position")
        )
        return cls(number, position, np.concatenate(first))
