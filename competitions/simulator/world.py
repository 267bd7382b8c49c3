"""Who and what there is in a simulated short-video service."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

CHALLENGE_ROWS, CHALLENGE_USERS, CHALLENGE_ITEMS, CHALLENGE_SOURCES = 145_670_000, 183_404, 337_727, 19_613
CHALLENGE_TEST_USERS = 82_756
MAX_DENSITY = 0.04  # of the log among all (user, clip) pairs; a user would soon run out of clips above it

N_WEEKS = 6  # of the log; the test week comes after them
N_TASTES = 12  # dimensions of tastes and flavours
N_CONTENT = 32
CONTENT_NOISE = 1.5
SOURCE_SHARE = 0.8  # of a clip's vector and quality that it has from its source
SEGMENT_SHARE, CORE_SHARE, DRIFT_SHARE = 0.2, 0.4, 0.4  # of a user's taste
DRIFT_MEMORY = 0.75  # correlation of a user's drift with that of the week before
FIRST_BIRTH, LAST_BIRTH = -4.0, 6.5  # weeks; the log is from 0 to 6
AGE_BANDS = (18, 25, 32, 40, 50)  # lower ends of all but the youngest
N_SEGMENTS = 2 * (len(AGE_BANDS) + 1)


@dataclass(frozen=True)
class Sizes:
    """How many there are. ``test_users`` is the most that the test week may have."""

    rows: int
    users: int
    items: int
    sources: int
    test_users: int


@dataclass(frozen=True)
class Users:
    """Arrays ``(n_users,)``; the first of ``taste_*`` are ``(n_users, N_TASTES)``.

    ``activity`` is proportional to the expected rows of a week; ``joined`` the week (with a fraction) of the first
    row; ``sessions`` a week; ``like``, ``dislike``, ``share``, ``bookmark`` and ``watch`` are added to log-odds.
    """

    gender: npt.NDArray[np.uint8]
    age: npt.NDArray[np.uint8]
    activity: Doubles
    joined: Doubles
    sessions: Doubles
    phase: Doubles
    like: Floats
    dislike: Floats
    share: Floats
    bookmark: Floats
    watch: Floats
    likes_length: Floats
    taste_of_segment: Floats
    taste_of_core: Floats


@dataclass(frozen=True)
class Clips:
    """Arrays ``(n_items,)``; ``vector`` is ``(n_items, N_TASTES)``, ``content`` ``(n_items, N_CONTENT)``.

    ``born`` and ``life`` are in weeks, ``popularity`` is a weight, ``quality`` and ``polarity`` have variance 1.
    """

    source: npt.NDArray[np.uint32]
    duration: npt.NDArray[np.uint8]
    length: Floats
    born: Doubles
    life: Doubles
    popularity: Doubles
    quality: Floats
    polarity: Floats
    vector: Floats
    content: Floats


def sizes_of(n_rows: int) -> Sizes:
    """Return how many users, clips and sources go with a log of ``n_rows`` rows.

    As many per row as in the challenge. Below about 8.5 M rows so few users and clips would not have that many pairs
    between them: there all three are larger by one factor, so that the log is ``MAX_DENSITY`` of the pairs.
    """
    share = n_rows / CHALLENGE_ROWS
    pairs = (CHALLENGE_USERS * share) * (CHALLENGE_ITEMS * share)
    share *= max(1.0, math.sqrt(n_rows / MAX_DENSITY / pairs))
    users, items, sources, test_users = (
        round(n * share) for n in (CHALLENGE_USERS, CHALLENGE_ITEMS, CHALLENGE_SOURCES, CHALLENGE_TEST_USERS)
    )
    return Sizes(n_rows, users, items, sources, test_users)


def draw_users(rng: np.random.Generator, n: int) -> Users:
    """Draw the users: segment, tastes, activity (log-normal), readiness to react (Student's t, some never do)."""
    gender = rng.choice(np.array([1, 2], dtype=np.uint8), n, p=[0.54, 0.46])
    age = np.clip(np.round(14 + rng.gamma(2.6, 6.5, n)), 14, 80).astype(np.uint8)
    segment = segment_of(gender, age)
    old = (age.astype(np.float64) - 31) / 10.5
    eager = rng.standard_normal(n)  # reacts to everything
    is_silent = rng.random(n) < 0.2
    like = -5.0 + 0.8 * eager + 0.9 * _heavy(rng, n) + 0.25 * (gender == 1) - 0.15 * old - 3.0 * is_silent
    dislike = -6.4 + 0.6 * eager + 1.1 * _heavy(rng, n) + 0.2 * (gender == 2) + 0.25 * old - 3.0 * is_silent
    return Users(
        gender=gender,
        age=age,
        activity=rng.lognormal(0.0, 1.2, n),
        joined=np.where(rng.random(n) < 0.12, rng.uniform(0, N_WEEKS + 0.7, n), 0.0),
        sessions=2.0 + rng.gamma(1.5, 8.0, n),
        phase=rng.random(n),
        like=like.astype(np.float32),
        dislike=dislike.astype(np.float32),
        share=(-6.9 + 0.7 * eager + 0.8 * _heavy(rng, n) - 2.0 * is_silent).astype(np.float32),
        bookmark=(-6.3 + 0.7 * eager + 0.8 * _heavy(rng, n) - 2.0 * is_silent).astype(np.float32),
        watch=(0.7 * rng.standard_normal(n)).astype(np.float32),
        likes_length=(0.15 * old).astype(np.float32),
        taste_of_segment=_normal(rng, N_SEGMENTS, N_TASTES)[segment],
        taste_of_core=_normal(rng, n, N_TASTES),
    )


def segment_of(gender: npt.NDArray[np.uint8], age: npt.NDArray[np.uint8]) -> Integers:
    """Return each user's gender and age band as a number below ``N_SEGMENTS``."""
    band = np.searchsorted(AGE_BANDS, age, side="right")
    return np.asarray((gender - 1) * (len(AGE_BANDS) + 1) + band)


def weekly_tastes(rng: np.random.Generator, users: Users, n: int) -> list[Floats]:
    """Return the users' taste at the start of weeks 0 to n - 1: each ``(n_users, N_TASTES)``, variance 1."""
    fixed = math.sqrt(SEGMENT_SHARE) * users.taste_of_segment + math.sqrt(CORE_SHARE) * users.taste_of_core
    drift = _normal(rng, *fixed.shape)
    tastes = []
    for _ in range(n):
        tastes.append((fixed + math.sqrt(DRIFT_SHARE) * drift).astype(np.float32))
        news = math.sqrt(1 - DRIFT_MEMORY**2) * _normal(rng, *fixed.shape)
        drift = (DRIFT_MEMORY * drift + news).astype(np.float32)
    return tastes


def draw_clips(rng: np.random.Generator, n: int, n_sources: int) -> Clips:
    """Draw the clips: source (Zipf), birth, life, popularity (log-normal), flavour, quality, content vector."""
    zipf = 1.0 / (np.arange(n_sources) + 5.0) ** 0.9
    rest = rng.choice(n_sources, n - n_sources, p=zipf / zipf.sum())
    # Ids say nothing about size: the order of sources is shuffled, and every source has a clip.
    source = rng.permutation(n_sources)[rng.permutation(np.concatenate([np.arange(n_sources), rest]))]
    own, of_source = math.sqrt(1 - SOURCE_SHARE), math.sqrt(SOURCE_SHARE)
    vector = of_source * _normal(rng, n_sources, N_TASTES)[source] + own * _normal(rng, n, N_TASTES)
    # Quality is what a clip is judged by once it is seen, so half of it is its own.
    quality = math.sqrt(0.5) * rng.standard_normal(n_sources)[source] + math.sqrt(0.5) * rng.standard_normal(
        n
    )
    reach = 0.5 * rng.standard_normal(n_sources)[source] + rng.standard_normal(n) + 0.3 * quality
    of_source_duration = 3.2 + 0.6 * rng.standard_normal(n_sources)
    duration = np.clip(np.exp(of_source_duration[source] + 0.35 * rng.standard_normal(n)), 5, 180)
    views = rng.standard_normal((N_TASTES, N_CONTENT)) / math.sqrt(N_TASTES)
    # Half of what hides the vector is the source's own look, which no mean over its clips averages out.
    look = rng.standard_normal((n_sources, N_CONTENT))[source] + rng.standard_normal((n, N_CONTENT))
    content = vector @ views + CONTENT_NOISE * math.sqrt(0.5) * look
    return Clips(
        source=source.astype(np.uint32),
        duration=np.round(duration).astype(np.uint8),
        length=(np.log(np.round(duration)) - 3.2).astype(np.float32),
        born=rng.uniform(FIRST_BIRTH, LAST_BIRTH, n),
        life=rng.lognormal(math.log(0.8), 0.6, n),
        popularity=np.exp(reach),
        quality=quality.astype(np.float32),
        polarity=rng.standard_normal(n_sources)[source].astype(np.float32),
        vector=vector.astype(np.float32),
        content=content.astype(np.float32),
    )


def rng_of(seed: int, *place: int) -> np.random.Generator:
    """Random numbers of one place in a simulation: what is drawn there depends on nothing drawn elsewhere."""
    return np.random.default_rng(np.random.SeedSequence([seed, *place]))


def _heavy(rng: np.random.Generator, n: int) -> Doubles:
    """Student's t with 4 degrees of freedom, cut where log-odds stop to mean something."""
    return np.clip(rng.standard_t(4, n), -4, 4)


def _normal(rng: np.random.Generator, *shape: int) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32)
