"""How much each user sees in each week of a simulation. See ``simulate.py`` for the model."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from competitions.simulator.world import N_WEEKS, Clips, Doubles, Integers, Users

CHUNK_ROWS = 500_000  # rows of a chunk of users, at most (a single user is never split)
MAX_SHARE = 0.35  # of the clips that a user may meet in a week, that the week's rows may be

_GRID = 1 << 16


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


def quantiles_of_delay() -> Doubles:
    """Quantiles, at ``_GRID + 1`` even steps, of the time from a clip's birth to its appointment, in its lives.

    A mixture of two Gamma(2): survival ``S(x) = 0.8 (1 + x) exp(-x) + 0.2 (1 + x/4) exp(-x/4)``: it starts at 0,
    peaks at one life and fades, for some clips' viewers slowly.
    """
    x = np.concatenate([[0.0], np.geomspace(1e-4, 60.0, 20_000)])
    share = 1.0 - (0.8 * (1 + x) * np.exp(-x) + 0.2 * (1 + x / 4) * np.exp(-x / 4))
    return np.asarray(np.interp(np.linspace(0.0, share[-1], _GRID + 1), share, x))


def mass_of_week(clips: Clips, week: int, quantiles: Doubles) -> Doubles:
    """Return each clip's share of users, ``(n_items,)``, whose appointment with it lies in a week."""
    steps = np.linspace(0.0, 1.0, len(quantiles))
    ends = [np.interp((week + k - clips.born) / clips.life, quantiles, steps, left=0.0) for k in (0, 1)]
    return np.asarray(ends[1] - ends[0])


def plan_weeks(
    rng: np.random.Generator, users: Users, clips: Clips, n_rows: int, quantiles: Doubles
) -> list[Chunk]:
    """Say how many rows each user has in each week of the log and in the test week, chunk by chunk.

    The weeks of the log have exactly ``n_rows`` rows together; the test week has as many as one of them.
    """
    per_week = [n_rows * (w + 1) // N_WEEKS - n_rows * w // N_WEEKS for w in range(N_WEEKS)]
    chunks = []
    for week, n_week in enumerate([*per_week, per_week[-1]]):
        there = np.clip(week + 1 - users.joined, 0.0, 1.0)
        wish = users.activity * there * rng.lognormal(0.0, 0.4, len(there))
        cap = MAX_SHARE * mass_of_week(clips, week, quantiles).sum()
        quota = _rounded(_capped(wish, n_week, cap), n_week)
        ends = np.cumsum(quota)
        n_chunks = -(-n_week // CHUNK_ROWS)
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
