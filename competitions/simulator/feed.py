"""Who sees what in the simulated feed, and when: first the number of rows of each user in each week, then the clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from competitions.simulator.world import N_WEEKS, Clips, Doubles, Floats, Integers, Users
from engine import DataError

Codes = npt.NDArray[np.uint64]
Belief: TypeAlias = Callable[[Integers, Integers], Floats]

CHUNK_ROWS = 500_000  # rows of a chunk of users, at most (a single user is never split)
MAX_SHARE = 0.35  # of the clips that a user may meet in a week, that the week's rows may be

GRID = 1 << 16  # steps of the delays' quantiles
CHOICE = 2.5  # candidates of a user for each row
BATCH = 1 << 18  # proposals at once: what fits the processor's cache
MAX_ROUNDS = 60
BELIEF_WEIGHT, QUALITY_WEIGHT = 0.6, 0.3  # of the feed's log-weight of a candidate


@dataclass(frozen=True)
class Chunk:
    """Users ``first <= user < until`` in a week; ``quota`` Int64 ``(until - first,)``: rows of each."""

    week: int
    first: int
    until: int
    quota: Integers

    @property
    def n_rows(self) -> int:
        """Rows of all its users."""
        return int(self.quota.sum())


@cache
def quantiles_of_delay() -> Doubles:
    """Quantiles, at ``GRID + 1`` even steps, of the time from a clip's birth to its appointment, in its lives.

    A mixture of two Gamma(2): survival ``S(x) = 0.8 (1 + x) exp(-x) + 0.2 (1 + x/4) exp(-x/4)``: it starts at 0,
    peaks at one life and fades, for some clips' viewers slowly.
    """
    x = np.concatenate([[0.0], np.geomspace(1e-4, 60.0, 20_000)])
    share = 1.0 - (0.8 * (1 + x) * np.exp(-x) + 0.2 * (1 + x / 4) * np.exp(-x / 4))
    return np.asarray(np.interp(np.linspace(0.0, share[-1], GRID + 1), share, x))


def mass_of_week(clips: Clips, week: int) -> Doubles:
    """Return each clip's share of users, ``(n_items,)``, whose appointment with it lies in a week."""
    quantiles = quantiles_of_delay()
    steps = np.linspace(0.0, 1.0, len(quantiles))
    ends = [np.interp((week + k - clips.born) / clips.life, quantiles, steps, left=0.0) for k in (0, 1)]
    return np.asarray(ends[1] - ends[0])


def plan_weeks(
    rng: np.random.Generator,
    users: Users,
    clips: Clips,
    n_rows: int,
    chunk_rows: int = CHUNK_ROWS,
) -> list[Chunk]:
    """Say how many rows each user has in each week of the log and in the test week, chunk by chunk.

    The weeks of the log have exactly ``n_rows`` rows together; the test week has as many as one of them.
    """
    per_week = [n_rows * (w + 1) // N_WEEKS - n_rows * w // N_WEEKS for w in range(N_WEEKS)]
    chunks = []
    for week, n_week in enumerate([*per_week, per_week[-1]]):
        there = np.clip(week + 1 - users.joined, 0.0, 1.0)
        wish = users.activity * there * rng.lognormal(0.0, 0.4, len(there))
        cap = MAX_SHARE * mass_of_week(clips, week).sum()
        quota = _rounded(_capped(wish, n_week, cap), n_week)
        ends = np.cumsum(quota)
        n_chunks = -(-n_week // chunk_rows)
        cuts = np.searchsorted(ends, n_week * np.arange(1, n_chunks) / n_chunks)
        bounds = [0, *cuts.tolist(), len(quota)]
        chunks += [Chunk(week, a, b, quota[a:b]) for a, b in pairwise(bounds) if b > a]
    return chunks


def _capped(wish: Doubles, total: int, cap: float) -> Doubles:
    """Scale wishes to a total; what is above the cap goes to the others."""
    rows: Doubles = wish * (total / wish.sum())
    while (rows > cap).any():
        is_full = rows >= cap
        rows[is_full] = cap
        others = rows[~is_full].sum()
        if others == 0:
            break
        rows[~is_full] *= max(total - cap * int(is_full.sum()), 0.0) / others
    return rows


def _rounded(rows: Doubles, total: int) -> Integers:
    """Round so that the total is exact: differences of the rounded running sum."""
    ends = np.floor(np.cumsum(rows) * (total / rows.sum()) + 1e-6).astype(np.int64)
    ends[-1] = total
    return np.asarray(np.diff(ends, prepend=0))


@dataclass(frozen=True)
class Shown:
    """Rows, sorted by ``moment`` (weeks from the log's start): all arrays are ``(n_rows,)``. ``age`` is in weeks."""

    user: Integers
    item: Integers
    moment: Doubles
    age: Floats


@dataclass(frozen=True)
class Feed:
    """What the feed of one week needs. ``belief`` says how good a match it takes users and items, ``(n,)``, for."""

    users: Users
    clips: Clips
    belief: Belief
    week: int
    key: np.uint64
    lots: npt.NDArray[np.uint32]
    n_proposals_a_row: float

    @classmethod
    def of(cls, users: Users, clips: Clips, belief: Belief, week: int, key: int) -> Feed:
        """Prepare a week: a clip is proposed as often as its popularity has ``lots``."""
        mass = mass_of_week(clips, week)
        weight = np.where(mass > 0.002, clips.popularity, 0.0)
        n_lots = max(1 << 20, 8 * len(weight))
        lots = np.ceil(weight * (n_lots / weight.sum())).astype(np.int64)
        met = float((lots * mass).sum() / lots.sum())
        return cls(
            users, clips, belief, week, np.uint64(key),
            np.repeat(np.arange(len(weight), dtype=np.uint32), lots), CHOICE / met,
        )  # fmt: skip

    def show(self, rng: np.random.Generator, chunk: Chunk) -> Shown:
        """Choose exactly the rows of a chunk; no user gets a clip twice, in this week or in any other.

        Raises DataError if the users have fewer appointments than rows, which the caps prevent.
        """
        codes = np.empty(0, dtype=np.uint64)
        for _ in range(MAX_ROUNDS):
            codes = _distinct(np.concatenate([codes, *self._proposed(rng, chunk)]))
            if len(codes) >= chunk.n_rows:
                break
        else:
            raise DataError(
                f"Users {chunk.first} to {chunk.until} have {len(codes)} clips to see in week {self.week}.",
                expected=f"at least {chunk.n_rows}",
                todo="simulate more rows",
            )
        codes = self._chosen(codes, chunk)
        user, item = _user(codes), _item(codes)
        met = self._appointment(codes)
        moment = self._in_session(user, met)
        order = np.argsort(moment, kind="stable")
        age = (met - self.clips.born[item]).astype(np.float32)
        return Shown(user[order], item[order], moment[order], age[order])

    def _proposed(self, rng: np.random.Generator, chunk: Chunk) -> list[Codes]:
        """Draw proposals by popularity; keep those that have their appointment in this week."""
        times = np.ceil(chunk.quota * self.n_proposals_a_row).astype(np.int64)
        users = np.arange(chunk.first, chunk.until, dtype=np.uint64) << np.uint64(32)
        ends = np.cumsum(times)
        kept = []
        for start in range(0, int(ends[-1]), BATCH):
            n = min(BATCH, int(ends[-1]) - start)
            a, b = np.searchsorted(ends, [start, start + n - 1], side="right")
            here = np.minimum(ends[a : b + 1], start + n) - np.maximum(
                ends[a : b + 1] - times[a : b + 1], start
            )
            lot = rng.integers(0, len(self.lots), n, dtype=np.uint32)
            codes: Codes = np.repeat(users[a : b + 1], here)
            codes |= self.lots[lot]
            met = self._appointment(codes)
            kept.append(codes[(met >= self.week) & (met < self.week + 1)])
        return kept

    def _appointment(self, codes: Codes) -> Doubles:
        """Return the only moment at which a user may meet a clip: drawn by the pair's hash from the delays."""
        hashed = _hash(codes, self.key)
        step = (hashed >> np.uint64(48)).astype(np.intp)
        rest = ((hashed >> np.uint64(16)) & np.uint64(0xFFFFFFFF)).astype(np.float64) * 2.0**-32
        quantiles = quantiles_of_delay()
        low = quantiles[step]
        delay = low + (quantiles[step + 1] - low) * rest
        item = _item(codes)
        return np.asarray(self.clips.born[item] + self.clips.life[item] * delay)

    def _chosen(self, codes: Codes, chunk: Chunk) -> Codes:
        """Take the quota of each user from its candidates, best first by belief, quality and Gumbel noise.

        That is drawing without replacement in proportion to ``exp(weight)`` (Plackett-Luce). Where a user has too
        few candidates, the others' next best fill the chunk.
        """
        user, item = _user(codes), _item(codes)
        luck = (_hash(codes, self.key ^ np.uint64(0xA5A5A5A5)) >> np.uint64(40)).astype(np.float32)
        # The largest of the 24 bits, and a half, would be rounded up to a probability of 1.
        luck = np.minimum(luck, np.float32(2**24 - 2)) + np.float32(0.5)
        weight = -np.log(-np.log(luck * np.float32(2.0**-24)))
        weight += np.float32(BELIEF_WEIGHT) * self.belief(user, item)
        weight += np.float32(QUALITY_WEIGHT) * self.clips.quality[item]
        place = np.clip((40.0 - weight) * 2.0**24, 0, 2.0**31).astype(np.uint64)
        order = np.argsort(((user - chunk.first).astype(np.uint64) << np.uint64(32)) | place, kind="stable")
        counts = np.bincount(user - chunk.first, minlength=len(chunk.quota))
        rank = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
        quota = np.repeat(chunk.quota, counts)
        surplus = np.where(rank < quota, 0.0, (rank + 0.5) / np.maximum(quota, 1))
        best = np.argsort(surplus, kind="stable")[: chunk.n_rows]
        return codes[order[best]]

    def _in_session(self, user: Integers, met: Doubles) -> Doubles:
        """Move an appointment to the end of the user's interval between sessions, never before it, same week."""
        n = self.users.sessions[user]
        at = (met - self.week) * n + self.users.phase[user]
        whole = np.floor(at)
        later = (whole + 0.9 + 0.1 * (at - whole) - self.users.phase[user]) / n
        return self.week + np.where(later < 1.0, later, met - self.week)


def affinity(taste: Floats, vector: Floats) -> Floats:
    """Inner product of each row, ``(n,)``, scaled to variance 1 for a random user and clip."""
    product = np.einsum("ij,ij->i", taste, vector)
    return np.asarray(product / np.float32(np.sqrt(taste.shape[1])))


def _distinct(codes: Codes) -> Codes:
    """Sort and drop repetitions; ``np.unique`` goes through a hash table, which takes four times as long here."""
    codes.sort()
    is_new = np.ones(len(codes), dtype=np.bool_)
    np.not_equal(codes[1:], codes[:-1], out=is_new[1:])
    return codes[is_new]


def _user(codes: Codes) -> Integers:
    return (codes >> np.uint64(32)).astype(np.int64)


def _item(codes: Codes) -> Integers:
    return (codes & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _hash(codes: Codes, key: np.uint64) -> Codes:
    """Mix 64 bits (the finalizer of SplitMix64, Steele et al. 2014)."""
    x = codes * np.uint64(0x9E3779B97F4A7C15)
    x += key
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    return x
