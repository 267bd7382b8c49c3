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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions.simulator.feed import CHUNK_ROWS, Chunk, Codes, Feed, Shown, plan_weeks
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
BORED_MEMORY = 0.3  # weeks
# The most it costs, and how many rows lately are few.
BORED_BY_SOURCE, BORED_BY_TOPIC = (2.0, 1.0), (2.0, 5.0)
HEAT_MEMORY, CONTAGION = 0.25, 0.45  # weeks; of the appeal
N_STEPS = 56  # of a week
FORGOTTEN = 0.02  # rows lately that are no longer remembered after a week
MEAN_LIKE = 0.15


@dataclass(frozen=True)
class Seen:
    """What users saw lately, as of the start of a week: ``key`` (user and thing), sorted, and decayed ``count``."""

    key: Codes
    count: Doubles

    @classmethod
    def of(cls, parts: Sequence[Seen]) -> Seen:
        """Join the memories of chunks of users, which come in order."""
        return cls(
            np.concatenate([part.key for part in parts]), np.concatenate([part.count for part in parts])
        )

    def lately(self, chunk: Chunk, shown: Shown, thing: npt.NDArray[np.uint32]) -> tuple[Floats, Seen]:
        """Return how often each row's user saw its ``thing`` lately, ``(n_rows,)``, and the memory a week later.

        A sum that decays by one rate is a running sum of ``exp(t / BORED_MEMORY)``, cut where user or thing change.
        """
        a, b = np.searchsorted(
            self.key, np.array([chunk.first, chunk.until], dtype=np.uint64) << np.uint64(32)
        )
        passed = shown.moment - chunk.week
        keys = np.concatenate([self.key[a:b], shown.user.astype(np.uint64) << np.uint64(32) | thing])
        grown = np.concatenate([self.count[a:b], np.exp(passed / BORED_MEMORY)])
        order = np.argsort(keys, kind="stable")  # what is remembered comes first, then rows by time
        keys, grown = keys[order], grown[order]
        total = np.cumsum(grown)
        start = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        n_each = np.diff(start, append=len(keys))
        before = total - grown - np.repeat((total - grown)[start], n_each)
        seen = np.empty(len(keys))
        seen[order] = before
        last = start + n_each - 1
        later = (before + grown)[last] * np.exp(-1 / BORED_MEMORY)
        stays = later > FORGOTTEN
        lately = np.maximum(seen[b - a :], 0) * np.exp(-passed / BORED_MEMORY)
        return lately.astype(np.float32), Seen(keys[last][stays], later[stays])


@dataclass
class Memory:
    """What a week leaves to the next, ``week``; ``heat`` is ``(n_items,)``."""

    week: int
    by_source: Seen
    by_topic: Seen
    by_user: Seen
    heat: Doubles


@dataclass(frozen=True)
class TopicWorld:
    """Everything that a week's rows follow from. ``clips.vector`` is ``phi``, ``(n_items, N_TOPICS)``.

    ``mixtures[w]`` is ``theta`` at the start of week w, ``(n_users, N_TOPICS)``; ``usual`` the usual heat of a clip.
    """

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
        memory = self.memory.pop() if self.memory else None
        if memory is None or memory.week > week:
            nothing = Seen(np.empty(0, dtype=np.uint64), np.empty(0))
            memory = Memory(0, nothing, nothing, nothing, np.zeros(len(self.clips.born)))
        while memory.week < week:
            self._play(memory)
        rows = self._play(memory)
        self.memory[:] = [memory]
        for chunk in self._chunks_of(week):
            yield rows.filter(pl.col("user_id").is_between(chunk.first, chunk.until - 1))

    def _chunks_of(self, week: int) -> list[Chunk]:
        return [chunk for chunk in self.chunks if chunk.week == week]

    def _play(self, memory: Memory) -> pl.DataFrame:
        """Return the rows of the memory's week by ``moment``, and take the memory to the next week."""
        shown, appeal = self._show(memory)
        order = np.argsort(shown.moment, kind="stable")
        ends = np.searchsorted(shown.moment[order], memory.week + np.arange(N_STEPS + 1) / N_STEPS)
        frames = []
        for step, (a, b) in enumerate(pairwise(ends)):
            at = order[a:b]
            here = Shown(shown.user[at], shown.item[at], shown.moment[at], shown.age[at])
            spread = CONTAGION * np.log1p(memory.heat[here.item] / self.usual)
            rng = rng_of(self.seed, 8, memory.week, step)
            rows = reactions(rng, self.users, self.clips, appeal[at] + spread.astype(np.float32), here)
            memory.heat += np.bincount(here.item[rows["like"].to_numpy()], minlength=len(memory.heat))
            memory.heat *= np.exp(-1 / N_STEPS / HEAT_MEMORY)
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
        memory.by_source, memory.by_topic, memory.by_user = (Seen.of(one) for one in zip(*later, strict=True))
        columns = (
            np.concatenate([getattr(rows, name) for rows in shown])
            for name in ("user", "item", "moment", "age")
        )
        return Shown(*columns), np.concatenate(appeals)

    def _bored(self, memory: Memory, chunk: Chunk, shown: Shown) -> tuple[Floats, tuple[Seen, Seen, Seen]]:
        """Return how bored the users of a chunk are of what they are shown, and what they remember a week later."""
        source, topic = self.clips.source[shown.item], self.clips.vector.argmax(axis=1)[shown.item]
        of_source, sources = memory.by_source.lately(chunk, shown, source)
        of_topic, topics = memory.by_topic.lately(chunk, shown, topic.astype(np.uint32))
        of_all, users = memory.by_user.lately(chunk, shown, np.zeros_like(source))
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
