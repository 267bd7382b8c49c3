"""Texts and vectors that are seen of a pair: what they foretell, and how near they are to the user's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl
import pytest

from competitions import Clock, Competition, Dataset, Metric, RawTables, get_competition, schema_of, take_in
from engine import Settings
from features import Catalogue, Window, bind_catalogue, compute_window, load_catalogue, load_registry
from features._audit import audit_window
from validation import window_pairs, window_relevance

N_ROWS, N_ITEMS, N_USERS = 4_000, 200, 50
WINDOW = Window(cutoff=3_000, start=3_000, until=N_ROWS)
LIKED, OTHERS = ["ruby", "opal", "jade"], ["clay", "sand", "mud"]
NAMES = [f"{name}__{kind}" for name in ("given_relevance", "given_nearness") for kind in ("text", "vector")]


def tables() -> RawTables:
    """Even items are of words and directions that even users like, odd ones of those that odd users like.

    Everybody likes items whose text has a word of LIKED more. The last item has neither text nor vector.
    """
    rng = np.random.default_rng(5)
    items = np.arange(N_ITEMS)
    is_good = items // 2 % 2 == 0
    words = [
        f"{'north' if k % 2 else 'south'} wind, {rng.choice(LIKED if is_good[k] else OTHERS)} {rng.choice(['a', 'b'])}"
        for k in items
    ]
    side = np.where(items % 2, 1.0, -1.0)
    vectors = np.stack([1_000 * side, is_good - 0.5, rng.normal(size=N_ITEMS)], axis=1)
    users, shown = rng.integers(0, N_USERS, N_ROWS), rng.integers(0, N_ITEMS, N_ROWS)
    odds = np.where(users % 2 == shown % 2, 1.5, -1.5) + np.where(is_good[shown], 1.0, -1.0)
    log = pl.DataFrame(
        {"user_id": users, "item_id": shown, "like": rng.random(N_ROWS) < 1 / (1 + np.exp(-odds))}
    )
    last = pl.int_range(pl.len()) < N_ITEMS - 1
    known = pl.DataFrame(
        {"item_id": items, "words": words, "shape": pl.Series(vectors, dtype=pl.Array(pl.Float32, 3))}
    )
    return RawTables(
        log.lazy(),
        items=known.lazy().with_columns(pl.when(last).then(n).alias(n) for n in ("words", "shape")),
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    c: Competition = replace(
        get_competition("vk2024"),
        name="gems",
        interactions=schema_of({"user_id": dy.UInt32(), "item_id": dy.UInt32(), "like": dy.Bool()}),
        users=None,
        items=schema_of(
            {"item_id": dy.UInt32(), "words": dy.String(nullable=True),
             "shape": dy.Array(dy.Float32(), 3, nullable=True)}
        ),
        outcomes=("like",), relevance=pl.col("like"), remarks={}, clock=Clock("row"), horizon=500, source=None,
        select_pairs=lambda targets: targets, metric=Metric("user_auc"), dense=None, dense_per=None, leave_out=(),
        submission=replace(get_competition("vk2024").submission, ordered=True),
    )  # fmt: skip
    return take_in(c, tables(), tmp_path_factory.mktemp("gems"), fingerprint="gems")


@pytest.fixture(scope="module")
def catalogue(dataset: Dataset) -> Catalogue:
    return load_catalogue(dataset)


@pytest.fixture(scope="module")
def values(catalogue: Catalogue) -> pl.DataFrame:
    dataset = catalogue.dataset
    found = compute_window(catalogue, WINDOW, NAMES, window_pairs(dataset, WINDOW))
    pairs = window_pairs(dataset, WINDOW).join(window_relevance(dataset, WINDOW), on="pair_id")
    return found.join(pairs, on="pair_id", validate="1:1").sort("pair_id")


@pytest.mark.parametrize("kind", ["text", "vector"])
def test_they_say_what_everybody_and_what_this_user_likes(kind: str, values: pl.DataFrame) -> None:
    known = values.filter(pl.col("item_id") < N_ITEMS - 1)
    good, bad = (known.filter((pl.col("item_id") // 2 % 2 == 0) == is_good) for is_good in (True, False))
    foretold = f"given_relevance__{kind}"
    gap = float(np.mean(good["relevance"].to_numpy()) - np.mean(bad["relevance"].to_numpy()))
    assert gap > 0.2
    assert good[foretold].mean() - bad[foretold].mean() == pytest.approx(gap, abs=0.15)  # type: ignore[operator]
    near = f"given_nearness__{kind}"
    own, other = (
        known.filter((pl.col("item_id") % 2 == pl.col("user_id") % 2) == same)[near] for same in (True, False)
    )
    assert own.mean() > other.mean() + 0.3  # type: ignore[operator]
    assert known[near].is_between(-1, 1).all()


def test_what_is_unknown_is_null(values: pl.DataFrame) -> None:
    unknown = values.filter(pl.col("item_id") == N_ITEMS - 1)
    assert not unknown.is_empty()
    for name in NAMES:
        assert unknown[name].null_count() == unknown.height
        assert values.filter(pl.col("item_id") < N_ITEMS - 1)[name].null_count() == 0


def test_they_pass_the_audit(catalogue: Catalogue) -> None:
    settings = Settings(backend="inline", threads=1)
    assert audit_window(catalogue, [WINDOW], NAMES, settings) == []


def test_without_texts_or_vectors_they_are_not_available(tmp_path: Path, dataset: Dataset) -> None:
    c = dataset.competition
    plain = replace(c, items=None)
    bare = take_in(plain, replace(tables(), items=None), tmp_path, fingerprint="bare")
    unavailable = bind_catalogue(bare, load_registry()).unavailable
    assert {unavailable[name] for name in NAMES} == {
        f"needs the column 'a {kind} that is seen of a pair' in the log." for kind in ("text", "vector")
    }


def test_what_they_read_is_read(catalogue: Catalogue) -> None:
    assert set(catalogue.unread(NAMES[:1])) == {"shape"}
    assert catalogue.unread(NAMES) == {}


@pytest.mark.parametrize("name", ["movielens", "vk2024"])
def test_competitions_here_leave_them_out(name: str) -> None:
    assert "given*" in get_competition(name).leave_out
