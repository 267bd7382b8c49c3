"""Co-visitation against plain loops over the rows of each user, and where there is little or nothing to count."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
import pytest
from features.covisitation_watched import WATCHED, WatchedCovisits
from hypothesis import given
from hypothesis import strategies as st

from features import Window, covisitation, covisitation_watched
from features.covisitation import FADING, Covisits
from features.toolkit import HALF_LIFE, K1, SMOOTHING, STRENGTH, B, go_together, rows_of_user, signal_rows
from features.toolkit import cooccurrence as cooccurrence
from tests.features.feed_logs import assert_alone_as_in_bulk

WINDOW = Window(cutoff=400, start=400, until=500)
Cells = dict[tuple[int, int], float]


def log_of(n_rows: int, seed: int = 4) -> pl.DataFrame:
    """A log in the order of its clock, with clocks that tie, nulls and users of very different length."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "row": np.arange(n_rows, dtype=np.uint32),
            "clock": np.sort(rng.integers(0, 390, n_rows)),
            "user_id": (rng.geometric(0.2, n_rows) * 5).astype(np.uint32),
            "item_id": rng.integers(100, 125, n_rows).astype(np.uint32),
            "like": rng.random(n_rows) < 0.5,
            "dislike": rng.random(n_rows) < 0.1,
            "timespent": rng.integers(0, 30, n_rows).astype(np.uint16),
            "duration": rng.integers(0, 25, n_rows).astype(np.uint16),
        }
    ).with_columns(
        source_id=pl.col("item_id") % 7,
        like=pl.when(pl.col("row") % 11 > 0).then("like"),
        user_id=pl.when(pl.col("row") % 13 > 0).then("user_id"),
    )


def pairs_of(log: pl.DataFrame) -> pl.DataFrame:
    """Every user with every item, an unseen user and an unseen item."""
    users = [*log["user_id"].drop_nulls().unique().sort(), 9999]
    pairs = pl.DataFrame({"user_id": users}, schema={"user_id": pl.UInt32}).join(
        pl.DataFrame({"item_id": range(100, 126)}, schema={"item_id": pl.UInt32}), how="cross"
    )
    return pairs.with_row_index("pair_id").with_columns(source_id=pl.col("item_id") % 7)


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
    count, near = counted(lines.values(), cooccurrence.WITHIN)
    of, listed = sums(count), [e for e, _ in lines.get(user, [])][-covisitation.RECENT :]
    if not listed or not of[one]:
        return dict.fromkeys(covisitation.COLUMNS)
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


@pytest.fixture(autouse=True)
def tight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds that small logs reach."""
    monkeypatch.setattr(cooccurrence, "WITHIN", 3)
    monkeypatch.setattr(cooccurrence, "CHUNK_ROWS", 20)
    monkeypatch.setattr(covisitation, "RECENT", 6)
    monkeypatch.setattr(covisitation, "CHUNK_ENTRIES", 50)
    monkeypatch.setattr(covisitation_watched, "TASTE_ROWS", 7)


@pytest.mark.parametrize("entity", ["item_id", "source_id"])
def test_weights_are_those_of_plain_loops(entity: str) -> None:
    log = log_of(160)
    model = Covisits(entity, "like")
    model.fit(log.lazy(), WINDOW)
    pairs = pairs_of(log)
    found = pairs.join(model.transform(pairs), on="pair_id", validate="1:1").sample(40, seed=2)
    liked = log.filter(pl.col("like"))
    for row in found.iter_rows(named=True):
        by_hand = expected(liked, entity, row["user_id"], row[entity])
        for name, value in by_hand.items():
            assert row[name] == (None if value is None else pytest.approx(value, rel=1e-4, abs=1e-6)), name


def test_watched_clips_are_weighted_by_warmth() -> None:
    log = log_of(160)
    model = WatchedCovisits("source_id")
    model.fit(log.lazy(), WINDOW)
    pairs = pairs_of(log)
    found = pairs.join(model.transform(pairs), on="pair_id", validate="1:1").sample(40, seed=2)
    known = log.drop_nulls("user_id").filter(pl.col("duration") > 0)
    known = known.with_columns(share=(pl.col("timespent") / pl.col("duration")).clip(upper_bound=1.0))
    rest = pl.col("share") - pl.col("share").mean().over("user_id")
    known = known.with_columns(rest=rest)
    of_item = pl.col("rest").sum().over("item_id") / (pl.len().over("item_id") + STRENGTH)
    opinion = pl.col("like").fill_null(value=False).cast(pl.Int8) - pl.col("dislike").cast(pl.Int8)
    known = known.with_columns(warmth=pl.col("rest") - of_item + opinion).sort("clock", "row")
    count, _ = counted(lines_of(known.filter(pl.col("share") >= WATCHED), "source_id").values(), 3)
    for row in found.iter_rows(named=True):
        taken = known.filter(pl.col("user_id") == row["user_id"]).tail(covisitation_watched.TASTE_ROWS)
        lifts = [lift_of(count, row["source_id"], e) * w for e, w in taken["source_id", "warmth"].iter_rows()]
        value = pytest.approx(sum(lifts) / len(lifts), rel=1e-4, abs=1e-6) if lifts else None
        assert row["covisit_taste"] == value


def test_one_pair_alone_gets_what_all_get() -> None:
    log = log_of(300)
    for model in (Covisits("item_id", "like"), WatchedCovisits("source_id"), WatchedCovisits("item_id")):
        model.fit(log.lazy(), WINDOW)
        assert_alone_as_in_bulk(model, pairs_of(log), step=41)


def test_unseen_users_and_items_are_null() -> None:
    log = log_of(300)
    pairs = pairs_of(log)
    model = Covisits("item_id", "like")
    model.fit(log.lazy(), WINDOW)
    found = pairs.join(model.transform(pairs), on="pair_id", validate="1:1")
    unseen = found.filter((pl.col("user_id") == 9999) | (pl.col("item_id") == 125))
    assert unseen.height == log["user_id"].drop_nulls().n_unique() + 26
    for name in covisitation.COLUMNS:
        assert unseen[name].null_count() == unseen.height
        assert found[name].null_count() < found.height


@pytest.mark.parametrize("n_rows", [0, 1])
def test_nothing_goes_together_without_two_rows(n_rows: int) -> None:
    log = log_of(14)[1 : 1 + n_rows].with_columns(like=pl.lit(value=True))
    pairs = pairs_of(log)
    for model in (Covisits("item_id", "like"), WatchedCovisits("item_id"), WatchedCovisits("source_id")):
        model.fit(log.lazy(), WINDOW)
        values = model.transform(pairs)
        assert values.height == pairs.height
        assert all(values[name].null_count() == pairs.height for name in values.columns[1:])


def test_the_newest_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(400)
    liked = log.filter(pl.col("like") & pl.col("user_id").is_not_null())
    monkeypatch.setattr(cooccurrence, "MAX_ROWS", 90)
    rows = signal_rows(log.lazy(), "item_id", pl.col("like"))
    assert sorted(rows.clock) == sorted(liked["clock"].tail(90))
    monkeypatch.setattr(cooccurrence, "MAX_PAIRS", 2 * 3 * 40)
    most = rows_of_user(np.bincount(rows.user), 40)
    newest = liked.tail(90).group_by("user_id", maintain_order=True).tail(most)
    assert 0 < newest.height <= 40
    count, _ = counted(lines_of(newest, "item_id").values(), 3)
    together = go_together(rows, WINDOW)
    assert len(together.keys) == len(count)
    assert together.count.sum() == sum(count.values()) <= cooccurrence.MAX_PAIRS


@given(st.lists(st.integers(0, 30), max_size=8), st.integers(0, 60))
def test_as_many_rows_of_each_user_as_fit(n_rows: list[int], most: int) -> None:
    counts = np.array(n_rows, dtype=int)
    n = rows_of_user(counts, most)
    assert np.minimum(counts, n).sum() <= most
    assert n == cooccurrence.MAX_OF_USER or np.minimum(counts, n + 1).sum() > most


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
