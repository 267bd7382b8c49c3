"""What simulated users do with the clips that they are shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions.simulator.feed import Shown, affinity
from competitions.simulator.world import Clips, Floats, Users

TASTE, QUALITY, FRESHNESS = 1.35, 0.5, 0.7  # of a clip's appeal
LIKE, DISLIKE, SHARE, BOOKMARK, WATCH = 1.0, -0.8, 0.8, 0.9, 0.8  # what appeal adds to log-odds
POLARITY = 0.5  # of a dislike's log-odds
LONGEST, LENGTH, NOISE, OFFSET = 1.3, 0.6, 1.2, 0.5  # of the share of a clip that is watched


def reactions(
    rng: np.random.Generator, users: Users, clips: Clips, appeal: Floats, shown: Shown
) -> pl.DataFrame:
    """Draw the outcomes of the rows from the appeal, ``(n_rows,)``, that they have.

    Returns
    -------
    polars.DataFrame
        ``moment`` Float64, ``user_id``, ``item_id`` UInt32, ``timespent`` UInt8, ``like``, ``dislike``, ``share``,
        ``bookmarks`` Boolean, ``p_like``, ``p_dislike`` Float32; rows as in ``shown``.
    """
    user, item = shown.user, shown.item
    p_like, p_dislike = probabilities(users, clips, appeal, shown)
    is_like, is_dislike = _happens(rng, p_like), _happens(rng, p_dislike)
    warmth = appeal + is_like
    return pl.DataFrame(
        {
            "moment": shown.moment,
            "user_id": user.astype(np.uint32),
            "item_id": item.astype(np.uint32),
            "timespent": _timespent(rng, users, clips, shown, warmth - is_dislike),
            "like": is_like,
            "dislike": is_dislike,
            "share": _happens(rng, _logistic(users.share[user] + np.float32(SHARE) * warmth)),
            "bookmarks": _happens(rng, _logistic(users.bookmark[user] + np.float32(BOOKMARK) * warmth)),
            "p_like": p_like,
            "p_dislike": p_dislike,
        }
    )


def probabilities(users: Users, clips: Clips, appeal: Floats, shown: Shown) -> tuple[Floats, Floats]:
    """Return the probabilities of a like and of a dislike, ``(n_rows,)``, of rows with this appeal."""
    user, item = shown.user, shown.item
    like = _logistic(users.like[user] + np.float32(LIKE) * appeal)
    odds = users.dislike[user] + np.float32(DISLIKE) * appeal + np.float32(POLARITY) * clips.polarity[item]
    return like, _logistic(odds)


def appeal_to_tastes(users: Users, clips: Clips, tastes: tuple[Floats, Floats], shown: Shown) -> Floats:
    """Return how much the clip appeals to the user at that moment.

    ``tastes`` are the users' at the start and the end of the week, through which they move in straight lines.
    """
    user, item = shown.user, shown.item
    vector = clips.vector[item]
    passed = (shown.moment % 1.0).astype(np.float32)
    liking = (1 - passed) * affinity(tastes[0][user], vector) + passed * affinity(tastes[1][user], vector)
    appeal = np.float32(TASTE) * liking + np.float32(QUALITY) * clips.quality[item]
    appeal += np.float32(FRESHNESS) * np.exp(-shown.age)
    appeal += users.likes_length[user] * clips.length[item]
    return np.asarray(appeal)


def _timespent(
    rng: np.random.Generator, users: Users, clips: Clips, shown: Shown, warmth: Floats
) -> npt.NDArray[np.uint8]:
    """Seconds: a share of the duration, up to ``LONGEST`` of it (watched again), by warmth, the shorter the longer."""
    noise = rng.standard_normal(len(warmth), dtype=np.float32)
    odds = (
        users.watch[shown.user] + np.float32(WATCH) * warmth - np.float32(LENGTH) * clips.length[shown.item]
    )
    share = np.float32(LONGEST) * _logistic(odds + np.float32(NOISE) * noise - np.float32(OFFSET))
    seconds = np.minimum(share * clips.duration[shown.item], 255)
    return np.asarray(np.round(seconds), dtype=np.uint8)


def _logistic(odds: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)


def _happens(rng: np.random.Generator, p: Floats) -> npt.NDArray[np.bool_]:
    return np.asarray(rng.random(len(p), dtype=np.float32) < p)
