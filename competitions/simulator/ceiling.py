r"""How far anyone can get on a simulated log: a statistician who knows all but the tastes.

The statistician knows every clip (vector, quality, polarity, length, birth), every user's readiness and segment, and
the moment of each row, and infers from a user's rows of the log what is left: the core and the weekly drift. So nobody
who has to learn the clips as well can expect to pass them; what lies between them and the oracle cannot be learned from
so few rows a user.

The unknown of a user is ``m = (core, drift(0), ..., drift(7))``, 12 numbers each, with the prior

    m ~ N(0, P x I),   P = diag(1, R),   R[a, b] = .75^|a - b|.

A row in week ``w``, at the share ``p`` of it, with the clip's ``v = 1.35 vector / sqrt(12)``, has

    appeal = rest + x . m,   x = (sqrt(.4) v, ..., sqrt(.4) (1 - p) v at drift(w), sqrt(.4) p v at drift(w + 1), ...),
    rest = .5 quality + .7 exp(-age in weeks) + likes_length(u) length + sqrt(.2) segment . v.

(The age is that at the moment of the row: the appointment, which lies a little before it, is not known.)

- Watching is Gaussian: with ``s = timespent / (1.3 duration)``, kept a hundredth of the duration away from 0 and 1,
  ``y = (logit s - watch(u) - .8 (like - dislike) + .6 length + .5) / .8 - rest = x . m + (1.2 / .8) N``; so the
  precision is ``A0 = (P x I)^-1 + X'X / 1.5^2`` and the mean solves ``A0 m = X'y / 1.5^2 = b0``.
- Like, dislike, share and bookmark are logistic in the appeal, with ``c = 1, -.8, .8, .9``: Laplace's step around the
  posterior's mode. Newton: with ``g = sum c (outcome - p)`` and ``h = sum c^2 p (1 - p)`` over a row's four outcomes,
  ``A = A0 + X' diag(h) X`` and ``A m = b0 + X' (g + h X m)``, from the mean of watching on.
- A pair's appeal is then ``N(rest + x . m, x' A^-1 x)``, and its score is the expectation of ``p_like - p_dislike``
  under it, by Gauss and Hermite's rule of 9 points.

Only 36 of a row's 108 numbers ``x`` are not 0, and these are the same ones for all rows of a user and week: products
are made of these, the systems of many users are solved at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions.simulator.reactions import (
    BOOKMARK,
    DISLIKE,
    FRESHNESS,
    LENGTH,
    LIKE,
    LONGEST,
    NOISE,
    OFFSET,
    POLARITY,
    QUALITY,
    SHARE,
    TASTE,
    WATCH,
)
from competitions.simulator.simulate import ORIGIN, PAIRS, Origin, check_arguments, rows_of_test
from competitions.simulator.tastes import World
from competitions.simulator.world import (
    CORE_SHARE,
    DRIFT_MEMORY,
    DRIFT_SHARE,
    N_TASTES,
    N_WEEKS,
    SEGMENT_SHARE,
    Doubles,
    Integers,
    sizes_of,
)
from engine import ConfigError, DataError, stage_progress

STATISTICIAN = "statistician.parquet"  # written beside the simulated files
STRENGTH = (
    5  # of the mean relevance of all rows in the popularity of a clip: that of the feature `relevance_rate`
)

N_KNOTS = N_WEEKS + 2  # of the drift: the starts of all weeks, and the end of the test week
N_UNKNOWN = (1 + N_KNOTS) * N_TASTES
N_STEPS = 8  # of Newton's method
N_POINTS = 9
BATCH_USERS, BATCH_ROWS = 256, 60_000
HISTORY = ("user_id", "item_id", "moment", "timespent", "like", "dislike", "share", "bookmarks")


@dataclass(frozen=True)
class Ceiling:
    """Mean over users of the AUC on the test pairs: of a clip's popularity, of the statistician, of the truth."""

    n_pairs: int
    n_users: int
    popularity: float
    statistician: float
    oracle: float


def ceiling(competition: str, *, n_rows: int, seed: int, folder: Path | None = None) -> Ceiling:
    """Simulate a log in memory, week by week, and return how far the statistician gets on it.

    Only rows of the test's users are kept. With a ``folder`` of these simulated files, the score of each pair is
    written there as ``statistician.parquet``: ``user_id``, ``item_id`` UInt32, ``score`` Float64, in the order of the
    pairs.

    Raises ConfigError (the arguments) and DataError (the folder's pairs are other ones).
    """
    check_arguments(competition, n_rows, seed)
    if competition != "vk2024":
        raise ConfigError(f"Nobody has worked out a ceiling of {competition}.", expected="vk2024")
    world, sizes = World.of(sizes_of(n_rows), seed), sizes_of(n_rows)
    names = [f"week {c.week + 1}, users from {c.first:,}" for c in world.chunks]
    with stage_progress("Simulated chunks", names, n_found=0, n_workers=1) as stage:
        n_done = iter(range(len(names)))
        pairs = rows_of_test(world, sizes, lambda: stage.advance(next(n_done)))
        if folder is not None:
            _check_pairs(pairs, folder)
        history, popularity = _past(world, pairs, lambda: stage.advance(next(n_done)))
    scores = statistician_scores(world, history, pairs)
    if folder is not None:
        table = pairs.select("user_id", "item_id", score=pl.Series(scores))
        unfinished = folder / f".{STATISTICIAN}"
        table.write_parquet(unfinished)
        unfinished.replace(folder / STATISTICIAN)
    truth = (pairs["p_like"].cast(pl.Float64) - pairs["p_dislike"].cast(pl.Float64)).to_numpy()
    by_item = popularity[pairs["item_id"].to_numpy()]
    values = [_user_auc(pairs, score) for score in (by_item, scores, truth)]
    return Ceiling(pairs.height, pairs["user_id"].n_unique(), *values)


def origin_of(folder: Path, seed: int | None = None) -> Origin:
    """Return the rows and the seed of simulated files.

    Of files that do not say so themselves, as those made by earlier versions, the rows are counted and ``seed`` must be
    given. Raises DataError if there are no files, ConfigError if the seed is missing or another one.
    """
    logs = sorted(folder.glob("train_interactions*.parquet"))
    if not logs or not (folder / PAIRS).is_file():
        raise DataError(
            f"{folder} holds no simulated files.",
            expected=f"train_interactions.parquet and {PAIRS}",
            todo="make them: python -m competitions simulate vk2024 --out FOLDER",
        )
    path = folder / ORIGIN
    known = Origin(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None
    if known is None:
        if seed is None:
            raise ConfigError(
                f"{folder} has no {ORIGIN}, so its seed is not known.", todo="give the seed: --seed N"
            )
        return Origin(sum(pl.scan_parquet(log).select(pl.len()).collect().item() for log in logs), seed)
    if seed not in (None, known.seed):
        raise ConfigError(f"The seed is {seed}.", expected=f"{known.seed}, that of the files in {folder}")
    return known


def statistician_scores(world: World, history: pl.DataFrame, pairs: pl.DataFrame) -> Doubles:
    """Return the statistician's score of each pair, Float64 ``(n_pairs,)``; every user has as many pairs.

    ``history`` has ``HISTORY`` and is sorted by time within each user, ``pairs`` ``user_id``, ``item_id``, ``moment``
    (weeks), all later.
    """
    from threadpoolctl import threadpool_limits

    users, place = np.unique(pairs["user_id"].to_numpy(), return_inverse=True)
    own = np.argsort(place, kind="stable")
    per_user = pairs.height // len(users)
    whose = np.searchsorted(users, history["user_id"].to_numpy())
    history = history[np.argsort(whose, kind="stable")]
    ends = np.cumsum(np.bincount(whose, minlength=len(users)))
    score = np.empty(pairs.height)
    batches = _batches(ends)
    names = [f"users {a:,} to {b:,}" for a, b in batches]
    # The systems are small: threads of BLAS would wait for each other most of the time.
    with (
        threadpool_limits(1),
        stage_progress("Inferred tastes of users", names, n_found=0, n_workers=1) as stage,
    ):
        for number, (a, b) in enumerate(batches):
            start = ends[a - 1] if a else 0
            rows, asked = history[start : ends[b - 1]], own[a * per_user : b * per_user]
            score[asked] = _expected_relevance(world, users[a:b], rows, pairs[asked])
            stage.advance(number)
    return score


def _past(world: World, pairs: pl.DataFrame, done: Callable[[], None]) -> tuple[pl.DataFrame, Doubles]:
    """Return the rows of the pairs' users, and each clip's smoothed mean relevance over all rows, ``(n_items,)``."""
    users, n_items = pairs["user_id"].unique().implode(), len(world.clips.born)
    past, seen, liked = [], np.zeros(n_items), np.zeros(n_items)
    for week in range(N_WEEKS):
        for rows in world.week(week):
            item = rows["item_id"].to_numpy()
            relevance = rows["like"].cast(pl.Int8) - rows["dislike"].cast(pl.Int8)
            seen += np.bincount(item, minlength=n_items)
            liked += np.bincount(item, relevance.to_numpy(), minlength=n_items)
            past.append(rows.filter(pl.col("user_id").is_in(users)).select(HISTORY))
            done()
    return pl.concat(past), (liked + STRENGTH * liked.sum() / seen.sum()) / (seen + STRENGTH)


def _batches(ends: Integers) -> list[tuple[int, int]]:
    """Cut users into ranges of at most ``BATCH_USERS`` users and, a single one aside, ``BATCH_ROWS`` rows."""
    batches, a = [], 0
    while a < len(ends):
        start = ends[a - 1] if a else 0
        b = int(np.searchsorted(ends, start + BATCH_ROWS, side="right"))
        batches.append((a, min(max(b, a + 1), a + BATCH_USERS, len(ends))))
        a = batches[-1][1]
    return batches


@dataclass(frozen=True)
class _Rows:
    """Rows of some users, sorted by user and week.

    ``user`` counts within the batch. ``x`` Float64 ``(n, 36)``: what is not 0 of each row's design; ``rest`` the known
    part of its appeal. ``stretch`` ``(n,)``: the (user, week) of a row; ``whose``, ``week``, ``start`` say of which
    user and week each stretch is, and where it begins.
    """

    user: Integers
    x: Doubles
    rest: Doubles
    stretch: Integers
    whose: Integers
    week: Integers
    start: Integers

    @classmethod
    def of(cls, world: World, users: npt.NDArray[np.uint32], rows: pl.DataFrame) -> _Rows:
        user, item = (rows[name].to_numpy().astype(np.int64) for name in ("user_id", "item_id"))
        moment = rows["moment"].to_numpy()
        v = world.clips.vector[item].astype(np.float64) * (TASTE / math.sqrt(N_TASTES))
        week = np.floor(moment).astype(np.int64)
        passed = (moment - week)[:, None]
        drift = math.sqrt(DRIFT_SHARE)
        parts = (math.sqrt(CORE_SHARE) * v, drift * (1 - passed) * v, drift * passed * v)
        place = np.searchsorted(users, user)
        code = place * N_KNOTS + week
        start = np.flatnonzero(np.diff(code, prepend=-1))
        stretch = np.repeat(np.arange(len(start)), np.diff(start, append=len(code)))
        rest = _known_appeal(world, user, item, moment, v)
        return cls(place, np.hstack(parts), rest, stretch, place[start], week[start], start)

    @property
    def columns(self) -> Integers:
        """Which 36 of the unknown each stretch has, ``(n_stretches, 36)``: the core and two neighbouring weeks."""
        core = np.broadcast_to(np.arange(N_TASTES), (len(self.week), N_TASTES))
        return np.hstack([core, (1 + self.week)[:, None] * N_TASTES + np.arange(2 * N_TASTES)])

    def taste(self, m: Doubles) -> Doubles:
        """``x . m`` of each row, where ``m`` is ``(n_users, N_UNKNOWN)``."""
        here = m[self.whose[:, None], self.columns]
        return np.asarray(np.einsum("ij,ij->i", self.x, here[self.stretch]))

    def products(self, weight: Doubles, target: Doubles, n_users: int) -> tuple[Doubles, Doubles]:
        """Each user's ``X' diag(weight) X``, ``(n_users, N_UNKNOWN, N_UNKNOWN)``, and ``X' target``."""
        square, vector = np.zeros((n_users, N_UNKNOWN, N_UNKNOWN)), np.zeros((n_users, N_UNKNOWN))
        weighted = self.x * weight[:, None]
        bounds = np.append(self.start, len(self.x))
        for k, (user, week) in enumerate(zip(self.whose, self.week, strict=True)):
            at = slice(bounds[k], bounds[k + 1])
            x = self.x[at]
            core, drift = slice(0, N_TASTES), slice((1 + week) * N_TASTES, (3 + week) * N_TASTES)
            gram, reach = x.T @ weighted[at], x.T @ target[at]
            square[user, core, core] += gram[:N_TASTES, :N_TASTES]
            square[user, core, drift] += gram[:N_TASTES, N_TASTES:]
            square[user, drift, core] += gram[N_TASTES:, :N_TASTES]
            square[user, drift, drift] += gram[N_TASTES:, N_TASTES:]
            vector[user, core] += reach[:N_TASTES]
            vector[user, drift] += reach[N_TASTES:]
        return square, vector


def _known_appeal(world: World, user: Integers, item: Integers, moment: Doubles, v: Doubles) -> Doubles:
    """Return what the statistician knows of the appeal of each row, the segment's taste with it."""
    users, clips = world.users, world.clips
    segment = math.sqrt(SEGMENT_SHARE) * users.taste_of_segment[user].astype(np.float64)
    appeal = QUALITY * clips.quality[item].astype(np.float64)
    appeal += FRESHNESS * np.exp(-np.maximum(moment - clips.born[item], 0))
    appeal += users.likes_length[user] * clips.length[item]
    return np.asarray(appeal + np.einsum("ij,ij->i", segment, v))


def _expected_relevance(
    world: World, users: npt.NDArray[np.uint32], history: pl.DataFrame, pairs: pl.DataFrame
) -> Doubles:
    """Return ``E(p_like - p_dislike)`` of pairs, which are sorted by user, as many for each."""
    mean, precision = _posterior(world, users, history)
    asked = _Rows.of(world, users, pairs)
    whole = np.zeros((pairs.height, N_UNKNOWN))
    np.put_along_axis(whole, asked.columns[asked.stretch], asked.x, axis=1)
    x = whole.reshape(len(users), -1, N_UNKNOWN)
    spread = np.einsum("uij,uji->ui", x, np.linalg.solve(precision, x.transpose(0, 2, 1))).ravel()
    points, weights = np.polynomial.hermite_e.hermegauss(N_POINTS)
    appeal = (asked.rest + asked.taste(mean))[:, None] + np.sqrt(spread)[:, None] * points
    user, item = pairs["user_id"].to_numpy(), pairs["item_id"].to_numpy()
    like = _logistic(world.users.like[user][:, None] + LIKE * appeal)
    odds = world.users.dislike[user] + POLARITY * world.clips.polarity[item]
    dislike = _logistic(odds[:, None] + DISLIKE * appeal)
    return np.asarray((like - dislike) @ (weights / weights.sum()))


def _posterior(world: World, users: npt.NDArray[np.uint32], history: pl.DataFrame) -> tuple[Doubles, Doubles]:
    """Return mean ``(n_users, N_UNKNOWN)`` and precision ``(n_users, N_UNKNOWN, N_UNKNOWN)`` of the unknown."""
    rows, n = _Rows.of(world, users, history), len(users)
    noise = (NOISE / WATCH) ** 2
    square, reach = rows.products(np.full(len(rows.x), 1 / noise), _watching(world, rows, history) / noise, n)
    square += _prior_precision()
    mean, precision = _solved(square, reach), square
    reactions = _reactions(world, history)
    for _ in range(N_STEPS):
        taste = rows.taste(mean)
        slope, curve = np.zeros(len(taste)), np.zeros(len(taste))
        for outcome, base, c in reactions:
            p = _logistic(base + c * (rows.rest + taste))
            slope += c * (outcome - p)
            curve += c * c * p * (1 - p)
        more, push = rows.products(curve, slope + curve * taste, n)
        precision = square + more
        mean = _solved(precision, reach + push)
    return mean, precision


def _watching(world: World, rows: _Rows, history: pl.DataFrame) -> Doubles:
    """Return what the watched share says of the taste, ``y``: ``x . m`` and noise of sd ``NOISE / WATCH``."""
    user, item = history["user_id"].to_numpy(), history["item_id"].to_numpy()
    watched = history["timespent"].to_numpy() / world.clips.duration[item]
    share = np.clip(watched, 0.01, LONGEST - 0.01) / LONGEST
    reacted = WATCH * (history["like"].cast(pl.Int8) - history["dislike"].cast(pl.Int8)).to_numpy()
    odds = np.log(share / (1 - share)) - world.users.watch[user] - reacted
    return np.asarray((odds + LENGTH * world.clips.length[item] + OFFSET) / WATCH - rows.rest)


def _reactions(world: World, history: pl.DataFrame) -> list[tuple[Doubles, Doubles, float]]:
    """Return each logistic outcome, its log-odds where the appeal is 0, and what the appeal adds to these."""
    users, user, item = world.users, history["user_id"].to_numpy(), history["item_id"].to_numpy()
    like, dislike, share, bookmark = (
        history[name].to_numpy().astype(np.float64) for name in ("like", "dislike", "share", "bookmarks")
    )
    return [
        (like, users.like[user].astype(np.float64), LIKE),
        (dislike, users.dislike[user] + POLARITY * world.clips.polarity[item].astype(np.float64), DISLIKE),
        (share, users.share[user] + SHARE * like, SHARE),
        (bookmark, users.bookmark[user] + BOOKMARK * like, BOOKMARK),
    ]


def _prior_precision() -> Doubles:
    knot = np.arange(N_KNOTS)
    prior = np.eye(1 + N_KNOTS)
    prior[1:, 1:] = DRIFT_MEMORY ** np.abs(knot[:, None] - knot)
    return np.kron(np.linalg.inv(prior), np.eye(N_TASTES))


def _solved(square: Doubles, reach: Doubles) -> Doubles:
    return np.asarray(np.linalg.solve(square, reach[:, :, None])[:, :, 0])


def _logistic(odds: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _user_auc(pairs: pl.DataFrame, score: Doubles) -> float:
    """Mean over users of the share of pairs of rows of different relevance in the right order; a tie is a half."""
    order = np.argsort(pairs["user_id"].to_numpy(), kind="stable")
    n_users = pairs["user_id"].n_unique()
    relevance = (pairs["like"].cast(pl.Int8) - pairs["dislike"].cast(pl.Int8)).to_numpy()
    y, x = relevance[order].reshape(n_users, -1), score[order].reshape(n_users, -1)
    above = y[:, :, None] > y[:, None, :]
    right = np.sign(x[:, :, None] - x[:, None, :]) / 2 + 0.5
    n_pairs = above.sum(axis=(1, 2))
    counts = n_pairs > 0
    return float(np.mean((above * right).sum(axis=(1, 2))[counts] / n_pairs[counts]))


def _check_pairs(pairs: pl.DataFrame, folder: Path) -> None:
    given = pl.read_csv(folder / PAIRS, schema={"user_id": pl.UInt32, "item_id": pl.UInt32})
    if not given.equals(pairs.select("user_id", "item_id")):
        raise DataError(
            f"{folder / PAIRS} has other pairs than the simulation of these rows and this seed.",
            expected="files as `python -m competitions simulate` made them, with this seed",
            todo="give the seed that they were made with, or make them anew",
        )
