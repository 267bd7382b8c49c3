"""Co-visitation against plain loops over the rows of each user, and where there is little or nothing to count."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import Window
from features.covisitation import (
    FADING,
    HALF_LIFE,
    K1,
    SMOOTHING,
    WATCHED,
    B,
    Bounds,
    Covisits,
    WatchedCovisits,
    feasible_rows,
    go_together,
    signal_rows,
)
from tests.features.feed_logs import WINDOW, pairs_of, warm
from tests.features.feed_logs import log_of as clips_of
from tests.features.fitting import assert_alone_as_in_bulk, fitted_on, values_of, with_values

NAMES = ("covisit_count", "covisit_cosine", "covisit_lift", "covisit_bm25", "covisit_near")
TIGHT = Bounds(within=3, recent=6, taste=7, chunk_rows=20, chunk_entries=50)  # small logs reach them
Cells = dict[tuple[int, int], float]


def log_of(n_rows: int) -> pl.DataFrame:
    """A log of clips, some of no duration, with rows of nobody and likes that are not known."""
    row = pl.col("row")
    return clips_of(n_rows).with_columns(
        like=pl.when(row % 11 > 0).then("like"),
        user_id=pl.when(row % 13 > 0).then("user_id"),
        duration=pl.when(row % 17 > 0).then("duration").otherwise(0),
    )


def lines_of(log: pl.DataFrame, entity: str) -> dict[int, list[tuple[int, int]]]:
    """Entity and clock of each user's rows, in order."""
    lines = defaultdict(list)
    for row in log.drop_nulls("user_id").sort("clock", "row").iter_rows(named=True):
        lines[row["user_id"]].append((row[entity], row["clock"]))
    return lines


def counted(lines: Iterable[list[tuple[int, int]]], within: int) -> tuple[Cells, Cells]:
    """Counts of pairs, and the same weighted by nearness and newness, by two loops over each user's rows."""
    count: Counter[tuple[int, int]] = Counter()
    near: Cells = defaultdict(float)
    for line in lines:
        for a, (one, clock) in enumerate(line):
            for b, (other, clock_of_other) in enumerate(line):
                if 0 < abs(a - b) <= within:
                    age = (2 * WINDOW.cutoff - clock - clock_of_other) / WINDOW.horizon
                    count[one, other] += 1
                    near[one, other] += 0.5 ** (age / HALF_LIFE) / abs(a - b)
    return dict(count), near


def sums(cells: Cells) -> dict[int, float]:
    total: dict[int, float] = defaultdict(float)
    for (one, _), value in cells.items():
        total[one] += value
    return total


def lift_of(cells: Cells, one: int, other: int) -> float:
    """Log lift of a cell; 0 without one."""
    of, n = sums(cells), sum(cells.values())
    together = cells.get((one, other), 0.0)
    return math.log((together + SMOOTHING) / (of[one] * of[other] / n + SMOOTHING)) if together else 0.0


def bm25_of(cells: Cells, n_entities: int, one: int, other: int) -> float:
    of, n_partners = sums(cells), Counter(b for _, b in cells)
    together, mean = cells.get((one, other), 0.0), sum(cells.values()) / n_entities
    rarity = math.log(1 + (n_entities - n_partners[other] + 0.5) / (n_partners[other] + 0.5))
    return rarity * together * (K1 + 1) / (together + K1 * (1 - B + B * of[one] / mean))


def expected(log: pl.DataFrame, entity: str, user: int, one: int) -> dict[str, float | None]:
    """All weights of a pair, from the rows with the signal."""
    lines = lines_of(log, entity)
    count, near = counted(lines.values(), TIGHT.within)
    of, listed = sums(count), [e for e, _ in lines.get(user, [])][-TIGHT.recent :]
    if not listed or not of[one]:
        return dict.fromkeys(NAMES)
    n_entities = log.drop_nulls("user_id")[entity].n_unique()
    fading = [0.5 ** ((len(listed) - 1 - k) / FADING) for k in range(len(listed))]
    cosines = [count.get((one, e), 0.0) / math.sqrt(max(of[one] * of[e], 1.0)) for e in listed]
    lifts, nears = ([lift_of(cells, one, e) for e in listed] for cells in (count, near))
    weights = [bm25_of(count, n_entities, one, e) for e in listed]
    return {
        "covisit_count": sum(count.get((one, e), 0.0) for e in listed),
        "covisit_cosine": max(cosines),
        "covisit_lift": sum(lifts) / len(listed),
        "covisit_bm25": sum(weights) / len(listed),
        "covisit_near": sum(w * x for w, x in zip(fading, nears, strict=True)) / sum(fading),
    }


@pytest.mark.parametrize("entity", ["item_id", "source_id"])
def test_weights_are_those_of_plain_loops(entity: str) -> None:
    log = log_of(160)
    model = fitted_on(Covisits(entity, "like", TIGHT), log, WINDOW)
    liked = log.filter(pl.col("like"))
    for row in with_values(model, pairs_of(log)).sample(40, seed=2).iter_rows(named=True):
        by_hand = expected(liked, entity, row["user_id"], row[entity])
        for name, value in by_hand.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-4, abs=1e-6)), name


def test_watched_clips_are_weighted_by_warmth() -> None:
    log = log_of(160)
    model = fitted_on(WatchedCovisits("source_id", TIGHT), log, WINDOW)
    known = warm(log)
    count, _ = counted(lines_of(known.filter(pl.col("share") >= WATCHED), "source_id").values(), TIGHT.within)
    for row in with_values(model, pairs_of(log)).sample(40, seed=2).iter_rows(named=True):
        taken = known.filter(pl.col("user_id") == row["user_id"]).tail(TIGHT.taste)
        lifts = [lift_of(count, row["source_id"], e) * w for e, w in taken["source_id", "warmth"].iter_rows()]
        value = pytest.approx(sum(lifts) / len(lifts), rel=1e-4, abs=1e-6) if lifts else None
        assert row["covisit_taste"] == value


MODELS = (
    Covisits("item_id", "like", TIGHT),
    WatchedCovisits("source_id", TIGHT),
    WatchedCovisits("item_id", TIGHT),
)


@pytest.mark.parametrize("model", MODELS)
def test_one_pair_alone_gets_what_all_get(model: Any) -> None:
    log = log_of(300)
    assert_alone_as_in_bulk(fitted_on(model, log, WINDOW), pairs_of(log), step=41)


def test_unseen_users_and_items_are_null() -> None:
    log = log_of(300)
    found = with_values(fitted_on(Covisits("item_id", "like", TIGHT), log, WINDOW), pairs_of(log))
    unseen = found.filter((pl.col("user_id") == 9999) | (pl.col("item_id") >= 135))
    assert unseen.height == 5 * log["user_id"].drop_nulls().n_unique() + 40
    for name in NAMES:
        assert unseen[name].null_count() == unseen.height
        assert found[name].null_count() < found.height


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n_rows", [0, 1])
def test_nothing_goes_together_without_two_rows(model: Any, n_rows: int) -> None:
    log = log_of(14)[1 : 1 + n_rows].with_columns(like=pl.lit(value=True))
    pairs = pairs_of(log)
    values = values_of(fitted_on(model, log, WINDOW), pairs)
    assert values.height == pairs.height
    assert all(values[name].null_count() == pairs.height for name in values.columns[1:])


def test_the_newest_rows_are_kept() -> None:
    log = log_of(400)
    liked = log.filter(pl.col("like") & pl.col("user_id").is_not_null())
    bounds = replace(TIGHT, rows=90, pairs=2 * TIGHT.within * 40)
    rows = signal_rows(log.lazy(), "item_id", pl.col("like"), bounds)
    assert sorted(rows.clock) == sorted(liked["clock"].tail(90))
    most = feasible_rows(np.bincount(rows.user), 40, bounds.rows_of_user)
    newest = liked.tail(90).group_by("user_id", maintain_order=True).tail(most)
    assert 0 < newest.height <= 40
    count, _ = counted(lines_of(newest, "item_id").values(), TIGHT.within)
    together = go_together(rows, WINDOW, bounds)
    assert len(together.keys) == len(count)
    assert together.count.sum() == sum(count.values()) <= bounds.pairs


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 60))
def test_as_many_rows_of_each_user_as_fit(n_rows: list[int], most: int) -> None:
    counts = np.array(n_rows, dtype=int)
    n = feasible_rows(counts, most, 400)
    assert np.minimum(counts, n).sum() <= most
    assert n == 400 or np.minimum(counts, n + 1).sum() > most


def test_old_rows_weigh_less_and_never_vanish_from_the_counts() -> None:
    rows: dict[str, Any] = {
        "user_id": [1, 1],
        "item_id": [5, 6],
        "clock": [0, 1],
        "row": [0, 1],
        "like": [True] * 2,
    }
    far = Window(cutoff=10**6, start=10**6, until=10**6 + 1)
    together = go_together(signal_rows(pl.LazyFrame(rows), "item_id", pl.col("like")), far)
    assert together.count.tolist() == [1.0, 1.0]
    assert together.near.tolist() == [0.0, 0.0]
