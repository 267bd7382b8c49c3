r"""Another invented service in the same files: topics on a simplex, boredom, contagion, frequent likes.

Users, clips, sources, activity, births, sessions and the feed are those of the world of tastes (``world.py``,
``feed.py``), and so are the laws of reactions once the appeal is given (``reactions.py``). The appeal is another one.
``D(a)`` is Dirichlet's distribution with parameters ``a``; there are 16 topics.

- Segment g (gender and age band): ``base(g) ~ D(1.5, ..., 1.5)``. User u of it, at the start of week w:
  ``theta = .6 core + .4 drift(w)`` with ``core, drift(0), news ~ D(3 base(g))`` and ``drift(w + 1) = .7 drift(w) + .3
  news``; straight lines between the weeks. So a user is a mixture of topics at any moment.
- Source s: ``psi ~ D(.1, ..., .1)``; its clips: ``phi ~ D(8 psi + .02)``. Content vector: ``1.4 phi @ W`` and the same
  noise as in the other world.
- Liking saturates: ``liking = 1 - exp(-(theta . phi) / .2)``. The feed believes ``3 liking``, as it was when the week
  began.
- Boredom: ``seen_k(t) = sum exp(-(t - t') / .3)`` over the user's earlier rows, at ``t'`` (in weeks), with clips of the
  same source (k = source), of the same main topic (the largest of ``phi``), or any (k = all). It costs appeal, and
  recovers when they stay away: ``bored = 2 seen_source / (seen_source + 1) + 2 seen_topic / (seen_all + 5)``.
- Contagion: ``heat(t) = sum exp(-(t - t') / .25)`` over all likes of the clip in earlier steps of the clock, where
  ``t`` and ``t'`` are the starts of their steps, an eighth of a day each; ``spread = .45 log(1 + heat / usual)``. The
  usual heat is that of a clip liked as often as all are on average, ``.25 * .15 * rows of a week / clips``.
- ``appeal = 3.5 liking + .4 quality + .5 exp(-age in weeks) + likes_length(u) length - bored + spread - 1.35``.
- Readiness, of the other world's: ``like(u) = -2.4 + .6 (like + 5)``, ``dislike(u) = -4.0 + .5 (dislike + 6.4)``. So
  10 to 20 % of the rows are liked and 2 to 4 % disliked.

A week of the service is in memory at once, because contagion goes from user to user: some 60 bytes a row of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import polars as pl

from competitions.simulator.feed import CHUNK_ROWS, Chunk, Feed, Shown, plan_weeks
from competitions.simulator.lately import HEAT_MEMORY, Memory, Seen, by_chunk, joined, steps_of, week_in_order
from competitions.simulator.reactions import reactions
from competitions.simulator.world import (
    CONTENT_NOISE,
    N_CONTENT,
    N_SEGMENTS,
    N_WEEKS,
    Clips,
    Doubles,
    Floats,
    Integers,
    Sizes,
    Users,
    draw_clips,
    draw_users,
    rng_of,
    segment_of,
)

N_TOPICS = 16
BASE, OF_USER, OF_SOURCE, OF_CLIP = 1.5, 3.0, 0.1, 8.0  # parameters of the Dirichlets
CORE_SHARE, DRIFT_MEMORY = 0.6, 0.7
ENOUGH = 0.2  # overlap at which liking has come most of its way
LIKING, QUALITY, FRESHNESS, CENTRE = 3.5, 0.4, 0.5, -1.35  # of the appeal
# The most it costs, and how many rows lately are few.
BORED_BY_SOURCE, BORED_BY_TOPIC = (2.0, 1.0), (2.0, 5.0)
CONTAGION = 0.45  # of the appeal
MEAN_LIKE = 0.15


@dataclass(frozen=True)
class TopicWorld:
    """Everything that a week's rows follow from. ``clips.vector`` is ``phi``, ``(n_items, N_TOPICS)``.

    ``mixtures[w]`` is ``theta`` at the start of week w, ``(n_users, N_TOPICS)``; ``usual`` the usual heat of a clip.
    """

    observed: ClassVar[Mapping[str, pl.DataType]] = {}

    users: Users
    clips: Clips
    mixtures: list[Floats]
    chunks: list[Chunk]
    seed: int
    usual: float
    memory: list[Memory] = field(default_factory=list)  # one, or none before the first week

    @classmethod
    def of(cls, sizes: Sizes, seed: int, chunk_rows: int = CHUNK_ROWS) -> TopicWorld:
        """Draw a world, whose users go through a week in chunks of at most ``chunk_rows`` rows."""
        users = draw_users(rng_of(seed, 0), sizes.users)
        users = replace(
            users,
            like=np.float32(-2.4) + np.float32(0.6) * (users.like + np.float32(5)),
            dislike=np.float32(-4.0) + np.float32(0.5) * (users.dislike + np.float32(6.4)),
        )
        clips = _with_topics(
            rng_of(seed, 7), draw_clips(rng_of(seed, 1), sizes.items, sizes.sources), sizes.sources
        )
        chunks = plan_weeks(rng_of(seed, 2), users, clips, sizes.rows, chunk_rows)
        mixtures = weekly_mixtures(rng_of(seed, 3), users, N_WEEKS + 2)
        usual = HEAT_MEMORY * MEAN_LIKE * sizes.rows / N_WEEKS / sizes.items
        return cls(users, clips, mixtures, chunks, seed, usual)

    def week(self, week: int) -> Iterator[pl.DataFrame]:
        """Yield the rows of a week, chunk of users by chunk of users, each sorted by ``moment``.

        Weeks are played in their order: those before this one are played first, if they have not just been.
        """
        rows = week_in_order(self.memory, week, self._nothing, self._play)
        yield from by_chunk(rows, self._chunks_of(week))

    def _nothing(self) -> Memory:
        return Memory.nothing(3, len(self.users.age), len(self.clips.born))

    def _chunks_of(self, week: int) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.week == week]

    def _play(self, memory: Memory) -> pl.DataFrame:
        """Return the rows of the memory's week by ``moment``, and take the memory to the next week."""
        shown, appeal = self._show(memory)
        frames = []
        for step, (at, here) in enumerate(steps_of(memory.week, shown)):
            spread = (CONTAGION * memory.spread(here.item, self.usual)).astype(np.float32)
            rng = rng_of(self.seed, 8, memory.week, step)
            rows = reactions(rng, self.users, self.clips, appeal[at] + spread, here)
            liked = rows["like"].to_numpy()
            memory.step(here.user[liked], here.item[liked])
            frames.append(rows)
        memory.week += 1
        return pl.concat(frames)

    def _show(self, memory: Memory) -> tuple[Shown, Floats]:
        """Return what is shown in a week, chunk after chunk, and its appeal but for contagion."""
        week = memory.week
        key = int(rng_of(self.seed, 4).integers(0, 2**63))
        feed = Feed.of(self.users, self.clips, lambda *pairs: 3 * self._liking(week, *pairs), week, key)
        shown, appeals, later = [], [], []
        for number, chunk in enumerate(self._chunks_of(week)):
            rows = feed.show(rng_of(self.seed, 5, week, number), chunk)
            bored, seen = self._bored(memory, chunk, rows)
            shown.append(rows)
            appeals.append(self._appeal(week, rows) - bored)
            later.append(seen)
        memory.seen = tuple(Seen.of(one) for one in zip(*later, strict=True))
        return joined(shown), np.concatenate(appeals)

    def _bored(self, memory: Memory, chunk: Chunk, shown: Shown) -> tuple[Floats, tuple[Seen, Seen, Seen]]:
        """Return how bored the users of a chunk are of what they are shown, and what they remember a week later."""
        by_source, by_topic, by_user = memory.seen
        source, topic = self.clips.source[shown.item], self.clips.vector.argmax(axis=1)[shown.item]
        of_source, sources = by_source.lately(chunk, shown, source)
        of_topic, topics = by_topic.lately(chunk, shown, topic.astype(np.uint32))
        of_all, users = by_user.lately(chunk, shown, np.zeros_like(source))
        (most, few), (most_topic, few_topic) = BORED_BY_SOURCE, BORED_BY_TOPIC
        bored = most * of_source / (of_source + few) + most_topic * of_topic / (of_all + few_topic)
        return np.asarray(bored, dtype=np.float32), (sources, topics, users)

    def _appeal(self, week: int, shown: Shown) -> Floats:
        """Return the appeal but for boredom and contagion."""
        user, item = shown.user, shown.item
        passed = (shown.moment - week).astype(np.float32)
        appeal = np.float32(LIKING) * self._liking(week, user, item, passed)
        appeal += np.float32(QUALITY) * self.clips.quality[item] + np.float32(FRESHNESS) * np.exp(-shown.age)
        appeal += self.users.likes_length[user] * self.clips.length[item] + np.float32(CENTRE)
        return np.asarray(appeal)

    def _liking(self, week: int, user: Integers, item: Integers, passed: Floats | None = None) -> Floats:
        """Return what users like of items, from 0 to 1, at shares ``passed`` of a week; at its start without them."""
        phi = self.clips.vector[item]
        overlap = np.einsum("ij,ij->i", self.mixtures[week][user], phi)
        if passed is not None:
            later = np.einsum("ij,ij->i", self.mixtures[week + 1][user], phi)
            overlap = (1 - passed) * overlap + passed * later
        return np.asarray(1 - np.exp(-overlap / np.float32(ENOUGH)))


def weekly_mixtures(rng: np.random.Generator, users: Users, n: int) -> list[Floats]:
    """Return the users' mixture of topics at the start of weeks 0 to n - 1: each ``(n_users, N_TOPICS)``, sum 1."""
    base = _dirichlet(rng, np.full((N_SEGMENTS, N_TOPICS), BASE))
    parameters = OF_USER * base[segment_of(users.gender, users.age)]
    core, drift = _dirichlet(rng, parameters), _dirichlet(rng, parameters)
    mixtures = []
    for _ in range(n):
        mixtures.append((CORE_SHARE * core + (1 - CORE_SHARE) * drift).astype(np.float32))
        drift = DRIFT_MEMORY * drift + (1 - DRIFT_MEMORY) * _dirichlet(rng, parameters)
    return mixtures


def _with_topics(rng: np.random.Generator, clips: Clips, n_sources: int) -> Clips:
    """Give the clips topics by their source, and content vectors that show these."""
    psi = _dirichlet(rng, np.full((n_sources, N_TOPICS), OF_SOURCE))
    phi = _dirichlet(rng, OF_CLIP * psi[clips.source] + 0.02)
    views = rng.standard_normal((N_TOPICS, N_CONTENT))
    look = rng.standard_normal((n_sources, N_CONTENT))[clips.source]
    look += rng.standard_normal((len(phi), N_CONTENT))
    content = 1.4 * phi @ views + CONTENT_NOISE * np.sqrt(0.5) * look
    return replace(clips, vector=phi.astype(np.float32), content=content.astype(np.float32))


def _dirichlet(rng: np.random.Generator, parameters: Doubles) -> Doubles:
    """Draw a mixture for each row of the parameters, ``(n, N_TOPICS)``."""
    drawn = rng.standard_gamma(parameters) + 1e-12  # of tiny parameters all may be 0
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))
