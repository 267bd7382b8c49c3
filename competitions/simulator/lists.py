r"""Impression lists by session, as travel sites keep them: CSV files, an order that matters, new users only.

A session is one list of ``N_SHOWN`` hotels of a city, of which exactly one is clicked; nobody comes twice, so that
every user of the test is new. ``N`` is a normal variable of variance 1.

- Hotel h of city c and chain k: ``rating = 7.6 + .9 N``, ``distance = exp(.7 + .7 N)`` km, ``stars`` 1 to 5, ``pool``
  for a third of them, ``level = level(c) + .35 N + .12 (stars - 3)``; ``own = N``; ``chain(k) = N``.
- Price in a session: ``exp(4.4 + level + .25 N)``, in whole cents. The list is in random order.
- With z the standard score within the list and ``phone = 1`` on phones, otherwise 0::

    appeal = -.75 z(log price) + .55 z(rating) - (.15 + .4 phone) z(log distance) + .25 pool + .25 chain + .2 own
    p = softmax over the list of 1.5 appeal - 1.12 log(position)

The oracle's score is ``p``. The list's own order has a mean reciprocal rank of about .47, ``p`` one of .64 to .72:
most of the difference is in columns that can be seen, compared within the list.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from competitions.simulator.world import Doubles, Integers, Sizes, rng_of

N_SHOWN = 10
N_CITIES, N_DAYS = 20, 8  # the test is the day after them
START = datetime(2024, 3, 1)
DEVICES = ("desktop", "phone", "tablet")
SCALE, POSITION = 1.5, 1.12
TEST_SHARE = 4  # lists of the log to one of the test
FILES = ("impressions.csv", "hotels.csv", "test.csv", "solution.parquet")


def write_lists(folder: Path, n_rows: int, seed: int) -> tuple[tuple[str, ...], Sizes, int]:
    """Write the files; return their names, the log first, the sizes and the number of test pairs.

    A log is whole lists: ``n_rows`` is rounded down to them.
    """
    n_lists = n_rows // N_SHOWN
    n_test = n_lists // TEST_SHARE
    n_hotels = max(N_CITIES * N_SHOWN * 2, n_rows // 100)
    hotels = _hotels(n_hotels, seed)
    rows = _sessions(hotels, n_lists, n_test, seed)
    is_test = rows["number"] >= n_lists
    seen = ("session", "shown_at", "device", "position", "hotel", "price")
    hidden = rows.filter(is_test)
    rows.filter(~is_test).select(*seen, "clicked").write_csv(folder / FILES[0])
    shown = hotels.select("hotel", "city", "chain", "stars", "rating", "distance", "pool")
    shown.write_csv(folder / FILES[1])
    hidden.select(seen).write_csv(folder / FILES[2])
    hidden.select("session", "hotel", "clicked", "score").write_parquet(folder / FILES[3])
    n_chains = hotels["chain"].n_unique()
    return FILES, Sizes(n_lists * N_SHOWN, n_lists, n_hotels, n_chains, n_test), hidden.height


def _hotels(n: int, seed: int) -> pl.DataFrame:
    """Draw the hotels, sorted by city, with what no file has: ``level``, ``own`` and ``chain_appeal``."""
    rng = rng_of(seed, 0)
    n_chains = max(10, n // 25)
    chain = rng.integers(0, n_chains, n)
    stars = rng.choice(np.arange(1, 6), n, p=[0.05, 0.15, 0.4, 0.3, 0.1])
    city = np.arange(n) * N_CITIES // n
    return pl.DataFrame(
        {
            "hotel": rng.permutation(n) + 1_000,
            "city": "city" + pl.Series(city + 1).cast(pl.String),
            "chain": chain + 1,
            "stars": stars,
            "rating": np.clip(np.round(7.6 + 0.9 * rng.standard_normal(n), 1), 2, 10),
            "distance": np.round(np.exp(0.7 + 0.7 * rng.standard_normal(n)) + 0.05, 1),
            "pool": rng.random(n) < 1 / 3,
            "level": rng.normal(0, 0.4, N_CITIES)[city] + 0.35 * rng.standard_normal(n) + 0.12 * (stars - 3),
            "own": rng.standard_normal(n),
            "chain_appeal": rng.standard_normal(n_chains)[chain],
        }
    )


def _sessions(hotels: pl.DataFrame, n_lists: int, n_test: int, seed: int) -> pl.DataFrame:
    """Draw all sessions in the order of time, those of the test last: a row for each hotel shown."""
    rng = rng_of(seed, 1)
    n = n_lists + n_test
    days = np.sort(rng.random(n_lists)) * N_DAYS, N_DAYS + np.sort(rng.random(n_test))
    at = np.concatenate(days)
    at[n_lists:] = np.maximum(at[n_lists:], at[n_lists - 1] + 1e-4)
    shown = _drawn(rng, hotels.height, n)
    device = rng.choice(len(DEVICES), n, p=[0.45, 0.45, 0.1])
    of_row = {name: hotels[name].to_numpy()[shown] for name in hotels.columns if name != "city"}
    log_price = 4.4 + of_row["level"] + 0.25 * rng.standard_normal(shown.shape)
    price = np.round(np.exp(log_price), 2)
    phone = (device == DEVICES.index("phone"))[:, None]
    appeal = -0.75 * _z(np.log(price)) + 0.55 * _z(of_row["rating"])
    appeal -= (0.15 + 0.4 * phone) * _z(np.log(of_row["distance"]))
    appeal += 0.25 * of_row["pool"] + 0.25 * of_row["chain_appeal"] + 0.2 * of_row["own"]
    position = np.arange(1, N_SHOWN + 1)
    utility = SCALE * appeal - POSITION * np.log(position)
    p = np.exp(utility - utility.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    clicked = (utility + rng.gumbel(size=utility.shape)).argmax(axis=1)
    instants = [START + timedelta(seconds=int(day * 86_400)) for day in at]
    names = pl.Series(rng.permutation(n)).cast(pl.String).str.zfill(len(str(n)))
    lists = pl.DataFrame(
        {"number": np.arange(n), "session": "s" + names, "shown_at": instants, "device": device}
    ).with_columns(
        pl.col("device").replace_strict(dict(enumerate(DEVICES)), return_dtype=pl.String),
        pl.col("shown_at").dt.strftime("%Y-%m-%d %H:%M:%S"),
    )
    return lists[np.repeat(np.arange(n), N_SHOWN)].with_columns(
        position=pl.Series(np.tile(position, n)),
        hotel=pl.Series(of_row["hotel"].ravel()),
        price=pl.Series(price.ravel()),
        clicked=pl.Series((position - 1 == clicked[:, None]).astype(np.int8).ravel()),
        score=pl.Series(p.ravel()),
    )


def _drawn(rng: np.random.Generator, n_hotels: int, n_lists: int) -> Integers:
    """Draw the hotels of each list, all of one city and each once: (n_lists, N_SHOWN) rows of the hotels."""
    bounds = -(-np.arange(N_CITIES + 1) * n_hotels // N_CITIES)
    city = rng.integers(0, N_CITIES, n_lists)
    first, size = bounds[city], np.diff(bounds)[city]
    drawn = np.empty((n_lists, N_SHOWN), dtype=np.int64)
    for place in range(N_SHOWN):  # the place-th of those that are left
        at = (rng.random(n_lists) * (size - place)).astype(np.int64)
        for taken in np.sort(drawn[:, :place], axis=1).T:
            at += at >= taken
        drawn[:, place] = at
    return drawn + first[:, None]


def _z(values: Doubles) -> Doubles:
    """Give the standard score within the list, (n_lists, N_SHOWN)."""
    centred = values - values.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(values.std(axis=1, keepdims=True), 1e-9))
