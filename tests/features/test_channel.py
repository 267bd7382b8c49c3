"""The channel net, streamed: what it learns, when it ends, states, threads, names of ids, bad logs; and its search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import log_loss

from engine import TableError, capped_threads
from features import FeatureError, LogColumns, StreamContext
from features.channel import Channel
from features.toolkit import hidden_scores, highest_scores
from tests.features.fitting import assert_alone_as_in_bulk, values_of
from tests.features.planted_tastes import feed, recovers

COLUMNS = LogColumns("user_id", "item_id", "source_id", (), (), None, None, (), ())
DIMS = (12, 10, 4)
PLANTED = feed(16_000)
LOG, PAIRS = PLANTED.log, PLANTED.pairs()
EDGES = (0, 8000, 8001, 12_000, 16_000)
FEW_ROWS = 60 * 4 * (DIMS[0] + 1) / 2**30  # GiB of as many users as there are: rows lie in files


def started(folder: Path, log: LogColumns = COLUMNS, dims: Sequence[int] = DIMS, **options: Any) -> Any:
    model: Any = Channel(log, dims, **options)
    model.start(StreamContext(1, folder))
    return model


def learned(model: Any, log: pl.DataFrame, edges: Sequence[int] = EDGES) -> Any:
    for begin, end in pairwise(edges):
        model.learn(log[begin:end])
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return learned(started(tmp_path_factory.mktemp("learned")), LOG)


def test_it_recovers_planted_tastes(model: Any) -> None:
    found = values_of(model, PAIRS)
    assert recovers(found, "channel_score", PLANTED) > 0.97
    assert all(found[name].null_count() == 0 for name in found.columns)
    assert_alone_as_in_bulk(model, PAIRS, 211)


@pytest.mark.parametrize("memory_gib", [1.0, 5 * FEW_ROWS])
def test_the_hold_out_ends_a_planted_overfit(memory_gib: float, tmp_path: Path) -> None:
    """Labels are tosses of a coin for pairs of many users: whatever is learned of them is wrong of the next ones."""
    rng = np.random.default_rng(5)
    rows = pl.DataFrame({"user_id": rng.integers(0, 800, 8000), "item_id": rng.integers(0, 400, 8000)})
    rows = rows.with_columns(source_id=pl.col("item_id") % 40, relevance=pl.Series(rng.integers(0, 2, 8000)))
    later = rows[4000:].with_row_index("pair_id")
    losses = {}
    for held in (10, 0):
        (folder := tmp_path / str(held)).mkdir()
        model = learned(started(folder, memory_gib=memory_gib, held=held), rows, (0, 2000, 4000))
        score = values_of(model, later)["channel_score"].to_numpy().astype(np.float64)
        losses[held] = log_loss(later["relevance"], 1 / (1 + np.exp(-score)))
    assert losses[10] < np.log(2) + 0.02
    assert losses[0] > np.log(2) + 0.03


@pytest.mark.parametrize("memory_gib", [1.0, FEW_ROWS])
def test_where_no_epoch_helps_the_chunk_leaves_nothing_but_new_rows(
    memory_gib: float, tmp_path: Path
) -> None:
    """The rows that are held out say the opposite of the others: layers and tables go back to where they were."""
    is_old = pl.int_range(pl.len()) < 3600
    rows = LOG[:4000].with_columns(relevance=is_old.cast(pl.Int8))
    models = []
    for name in ("trained", "grown"):
        (folder := tmp_path / name).mkdir()
        models.append(started(folder, memory_gib=memory_gib))
    models[0].learn(rows)
    for name, key in models[1].keys.items():
        models[1].tables[name].grow(rows[key])
    for name in models[1].tables:
        of = [one.tables[name].read(np.arange(len(one.tables[name]))) for one in models]
        np.testing.assert_array_equal(*of)
    known = PAIRS.filter(pl.col("item_id") < 9999)
    assert values_of(models[0], known).equals(values_of(models[1], known))


def test_states_threads_and_files_change_no_bit(model: Any, tmp_path: Path) -> None:
    """Saved and loaded after every chunk, a branch looked at and thrown away, two threads, rows in files."""
    source = pl.when(pl.col("item_id") < 9999).then("source_id").otherwise(3).cast(pl.UInt32)
    pairs = PAIRS.with_columns(source_id=source)  # an unseen item of a source with items
    expected = values_of(model, pairs)
    cases: list[dict[str, Any]] = [{}, {"memory_gib": FEW_ROWS}]
    for number, options in enumerate(cases):
        (own := tmp_path / f"own {number}").mkdir()
        other = started(own, **options)
        with capped_threads(2):
            for begin, end in pairwise(EDGES):
                other.learn(LOG[begin:end])
                (saved := tmp_path / f"saved {number} {end}").mkdir()
                other.save(saved)
                (own := tmp_path / f"own {number} {end}").mkdir()
                (branched := tmp_path / f"branch {number} {end}").mkdir()
                other, branch = started(own, **options), started(branched, **options)
                for one in (other, branch):
                    one.load(saved)
                learned(branch, LOG, (0, 300))
        assert values_of(other, pairs).equals(expected)


def test_what_ids_are_called_changes_nothing(model: Any, tmp_path: Path) -> None:
    def renamed(rows: pl.DataFrame) -> pl.DataFrame:
        others = [
            (pl.lit(f"{n}-") + (7919 * pl.col(n).cast(pl.Int64) % 10007).cast(pl.String)).alias(n)
            for n in ("user_id", "item_id", "source_id")
        ]
        return rows.with_columns(others)

    assert values_of(learned(started(tmp_path), renamed(LOG)), renamed(PAIRS)).equals(values_of(model, PAIRS))


def test_an_unseen_item_is_the_mean_of_its_sources_items_and_so_it_begins(model: Any, tmp_path: Path) -> None:
    pairs = pl.DataFrame({"user_id": [1] * 5, "item_id": [3, 15, 27, 39, 5000], "source_id": [3] * 5})
    found = model.transform(pairs.with_row_index("pair_id"))["channel_item"]
    np.testing.assert_allclose(found[4], found[:4].mean(axis=0), atol=1e-5)
    model.save(tmp_path)
    (own := tmp_path / "own").mkdir()
    (other := started(own)).load(tmp_path)
    row = {"user_id": [1], "item_id": [5000], "source_id": [3], "relevance": [None]}
    other.learn(pl.DataFrame(row, schema_overrides={"relevance": pl.Int8}))
    assert len(other.tables["item"]) == 40  # a row without relevance is passed over
    ten = {"user_id": [1] * 10, "item_id": [5000] * 10, "source_id": [3] * 10, "relevance": [1] * 9 + [-1]}
    other.learn(pl.DataFrame(ten))  # of which no epoch helps the last row
    assert len(other.tables["item"]) == 41
    assert values_of(other, pairs.with_row_index("pair_id")).equals(
        values_of(model, pairs.with_row_index("pair_id"))
    )


def test_bad_logs(tmp_path: Path) -> None:
    """Empty chunks, null ids, one class, one row, no source: finite values, and those of nothing are all alike."""
    alone = LOG[:1]
    one_class = LOG.with_columns(pl.lit(1, pl.Int8).alias("relevance"))
    sourceless = LOG.with_columns(pl.lit(None, pl.UInt32).alias("source_id"))
    nulls = LOG.with_columns(
        pl.when(pl.col("row") % 7 != of).then(pl.col(name)).alias(name)
        for of, name in enumerate(["user_id", "item_id", "source_id", "relevance"])
    )
    cases = {
        "empty": LOG[:0],
        "alone": alone,
        "one class": one_class,
        "sourceless": sourceless,
        "nulls": nulls,
    }
    for name, log in cases.items():
        (folder := tmp_path / name).mkdir()
        one = learned(started(folder), log, (0, 0, *EDGES[1:]))
        for column, values in one.transform(PAIRS).items():
            assert np.isfinite(values).all(), (name, column)
    (folder := tmp_path / "no source").mkdir()
    one = learned(started(folder, replace(COLUMNS, source=None)), LOG.drop("source_id"))
    assert recovers(values_of(one, PAIRS), "channel_score", PLANTED) > 0.9
    assert not one.transform(PAIRS)["channel_source"].any()
    unknown = PAIRS.with_columns(
        pl.lit(None, pl.UInt32).alias(n) for n in ("user_id", "item_id", "source_id")
    )
    assert len(np.unique(one.transform(unknown)["channel_score"])) == 1


def test_states_of_other_versions_are_refused(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path)
    (own := tmp_path / "own").mkdir()
    with pytest.raises(FeatureError, match="another version"):
        started(own, dims=(8, 8, 8)).load(tmp_path)
    manifest = json.loads((tmp_path / "tables.json").read_text(encoding="utf-8"))
    for change, error in (
        ({"notes": manifest["notes"] | {"format": 0}}, FeatureError),
        ({"format": 0}, TableError),
    ):
        (tmp_path / "tables.json").write_text(json.dumps(manifest | change), encoding="utf-8")
        with pytest.raises(error, match="another version"):
            started(own).load(tmp_path)


@pytest.mark.parametrize(("n_users", "n_items", "k"), [(5, 70_000, 20), (9, 30, 100), (3, 0, 5), (0, 9, 5)])
def test_the_search_is_brute_force_with_ties_by_position(n_users: int, n_items: int, k: int) -> None:
    """Items repeat, so that every score comes many times, within blocks and across them."""
    rng = np.random.default_rng(7)
    users, weights = (rng.normal(size=shape).astype(np.float32) for shape in ((n_users, 10), 10))
    items = rng.normal(size=(max(n_items // 9, 1), 10)).astype(np.float32)
    items = items[rng.integers(0, len(items), n_items)]
    places, scores = highest_scores(users, items, weights, k)
    assert places.shape == (n_users, min(k, n_items))
    for user in range(n_users):
        all_of = hidden_scores(*(torch.from_numpy(x) for x in (users[user], items, weights))).numpy()
        expected = np.lexsort((np.arange(n_items), -all_of))[:k]
        np.testing.assert_array_equal(places[user], expected)
        np.testing.assert_array_equal(scores[user], all_of[expected])


def test_the_pool_is_the_items_that_came_last_and_scores_are_those_of_the_column(model: Any) -> None:
    arrived = LOG["item_id"].unique(maintain_order=True).cast(pl.Int64)[-15:]
    found = model.best_fresh(pl.Series([4, 999], dtype=pl.UInt32), 15, 100)
    assert found.height == 2 * 15
    pairs = PAIRS.filter(pl.col("user_id").is_in([4, 999]), pl.col("item_id").is_in(arrived.implode()))
    scored = pairs.with_columns(values_of(model, pairs)["channel_score"]).select(
        pl.col("user_id", "item_id").cast(pl.Int64), "channel_score"
    )
    position = {item: at for at, item in enumerate(arrived)}
    expected = sorted(scored.rows(), key=lambda row: (row[0], -row[2], position[row[1]]))
    assert found.rows() == expected
