"""Taste, streamed: the swept model until it follows, what following adds, ids that come later, states and bad logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import capped_threads
from features import FeatureError, LogColumns, StreamContext
from features.streamed_taste import AGES, STEPS, SWEEPS, ScoreTable, StreamedTaste
from features.taste import Taste, normal_scores
from features.toolkit import Factorisation, Filter, found_items
from tests.features.fitting import assert_alone_as_in_bulk, fitted_on, values_of
from tests.features.planted_tastes import WINDOW, feed, recovers
from tests.features.test_taste import COLUMNS, KNOWN, UNDECLARED, UNKNOWN, assert_finite, with_attributes

PLANTED = feed(6000)
LOG, PAIRS = with_attributes(PLANTED.log), with_attributes(PLANTED.pairs())
FIRST = 2000
EDGES = (0, 700, 1400, 2100, 2101, 3500, 5000, 6000)


def started(folder: Path, columns: LogColumns = COLUMNS, first: int = FIRST) -> Any:
    model = StreamedTaste(columns, first)
    model.start(StreamContext(1, folder))
    return model


def learned(model: Any, log: pl.DataFrame, edges: Sequence[int] = EDGES) -> Any:
    with capped_threads(1):
        for begin, end in pairwise(edges):
            model.learn(log[begin:end])
    return model


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return learned(started(tmp_path_factory.mktemp("followed")), LOG)


def test_until_it_follows_it_is_taste(tmp_path: Path) -> None:
    """Bit for bit, with fewer steps. Where it begins to follow, it is what sweeps found, with users a step later."""
    swept = values_of(fitted_on(Taste(COLUMNS, STEPS), LOG, WINDOW), PAIRS)
    waiting = values_of(learned(started(tmp_path, first=10_000), LOG), PAIRS)
    for name in waiting.columns:
        if name != "pair_id":
            assert waiting[name].equals(swept[name.removeprefix("streamed_")], check_names=False), name
    whole = values_of(learned(started(tmp_path, first=6000), LOG, (0, 6000)), PAIRS)
    swept = values_of(fitted_on(Taste(COLUMNS, STEPS, SWEEPS, AGES * 6000), LOG, WINDOW), PAIRS)
    for name in ("item", "item_vector"):
        assert whole[f"streamed_taste_{name}"].equals(swept[f"taste_{name}"], check_names=False)
    assert np.corrcoef(whole["streamed_taste_score"], swept["taste_score"])[0, 1] > 0.999


def test_following_comes_near_sweeps_over_all_rows(followed: Any) -> None:
    found, swept = values_of(followed, PAIRS), values_of(fitted_on(Taste(COLUMNS), LOG, WINDOW), PAIRS)
    assert not followed.waiting  # for more rows: it has swept over the first ones
    assert_finite(found)
    assert recovers(found, "streamed_taste_score", PLANTED) > 0.99
    early = values_of(fitted_on(Taste(COLUMNS), LOG[: EDGES[3]], WINDOW), PAIRS)["taste_appeal"]
    of_all = swept["taste_appeal"]
    near = np.corrcoef(found["streamed_taste_appeal"], of_all)[0, 1]
    assert near > 0.98
    assert 1 - near < (1 - np.corrcoef(early, of_all)[0, 1]) / 2  # it did learn from the rows after the first


def test_one_user_and_item_are_conditioned_as_by_hand() -> None:
    """With items known exactly, a chunk's posterior of a user is that of a linear regression on what was expected."""
    rng = np.random.default_rng(3)
    n, k = 400, 16
    user, item = (rng.integers(0, m, n).astype(np.int32) for m in (6, 5))
    designs = tuple(np.zeros((m, 0), np.float32) for m in (6, 1, 5))
    y = rng.normal(size=n).astype(np.float32)
    swept = Factorisation(user, item, np.zeros(n, np.int32), y, np.zeros(5, np.intp), designs)  # type: ignore[arg-type]
    swept.sweep()
    model = Filter.after(swept)
    model.items.covariance[:] = np.eye(k + 1, dtype=np.float32) * 1e-9
    model.ages[0] = 0.0
    before, items = model.met[np.array([2])], model.items.mean.copy()
    left = model.memory ** (50 / model.step)
    prior = model.priors.user[2] + left * (before.mean[0] - model.priors.user[2])
    covariance = np.diag(left) @ before.covariance[0] @ np.diag(left)
    covariance += np.diag((1 - left**2) * model.priors.user_variance)
    items_of, seen = rng.integers(0, 5, 50), rng.normal(size=50).astype(np.float32)
    model.follow(np.full(50, 2), items_of, seen)
    z = np.hstack([items[items_of, :k], np.ones((50, 1))])
    gain = covariance @ z.T @ np.linalg.inv(z @ covariance @ z.T + model.noise * np.eye(50))
    np.testing.assert_allclose(
        model.met.mean[2], prior + gain @ (seen - items[items_of, k] - z @ prior), atol=2e-3
    )
    np.testing.assert_allclose(model.met.covariance[2], covariance - gain @ z @ covariance, atol=2e-3)
    untouched = np.arange(6) != 2
    assert (model.at[untouched] == n).all()
    assert model.at[2] == n + 50


def test_items_and_sources_are_found_together_of_all_that_was_said(tmp_path: Path) -> None:
    """By ``found_items`` of the sums; before that, sources do not move."""
    one, more = (learned(started(tmp_path), LOG, edges).taste.model for edges in (EDGES[:4], EDGES[:5]))
    np.testing.assert_array_equal(one.sources.mean, more.sources.mean)
    assert (one.leaned, more.leaned) == (2100, 2100)
    assert (more.said.covariance.trace(axis1=1, axis2=2) >= one.said.covariance.trace(axis1=1, axis2=2)).all()
    expected = found_items(more.said, more.source_of, more.priors)
    more.lean()
    np.testing.assert_array_equal(more.sources.mean, expected.sources.mean)
    np.testing.assert_array_equal(more.items.covariance, expected.items.covariance)
    assert np.abs(one.sources.mean - more.sources.mean).max() > 0.001


def test_users_items_and_sources_that_come_later(tmp_path: Path) -> None:
    """They are learned as others are; before that they are what is known of them, and the ids' values are nothing."""
    late = (pl.col("user_id") % 5 == 1) | (pl.col("source_id") >= 9)
    log = pl.concat([LOG.filter(~late), LOG.filter(late)]).with_columns(clock=pl.int_range(pl.len()))
    n_early = log.filter(~late).height
    edges = (0, n_early, n_early + 900, log.height)
    model = learned(started(tmp_path), log, edges[:2])
    n_sources = len(model.taste.sources)
    assert n_sources == 9
    learned(model, log, edges[1:])
    assert len(model.taste.sources) == 12
    assert sorted(model.taste.users) == sorted(LOG["user_id"].unique())
    assert sorted(model.taste.items) == sorted(LOG["item_id"].unique())
    of_item = dict(zip(model.taste.items, model.taste.source_of, strict=True))
    for item, source in LOG.select("item_id", "source_id").unique().rows():
        at = of_item[item]
        assert (
            model.taste.sources[int(at - (at > n_sources))] == source
        )  # the place of none is behind the first ones
    found = values_of(model, PAIRS)
    assert_finite(found)
    assert recovers(found, "streamed_taste_score", PLANTED) > 0.95

    def renamed(rows: pl.DataFrame) -> pl.DataFrame:
        source = pl.format("s{}", 999 - pl.col("source_id"))
        return rows.with_columns(
            pl.col("user_id") * 7 + 3, pl.col("item_id") + 100_000, source_id=pl.lit("s") + source
        )

    other = learned(started(tmp_path), renamed(log).with_columns(pl.col("source_id")), edges)
    assert not other.waiting
    values = values_of(other, renamed(PAIRS))
    np.testing.assert_allclose(values["streamed_taste_score"], found["streamed_taste_score"], atol=1e-3)


def test_an_items_source_is_that_of_its_last_row(tmp_path: Path) -> None:
    moved = LOG.with_columns(
        source_id=pl.when((pl.col("row") >= 5000) & (pl.col("item_id") == 7)).then(2).otherwise("source_id")
    )
    model = learned(started(tmp_path), moved.cast({"source_id": pl.UInt32}))
    taste = model.taste
    assert taste.sources[int(taste.source_of[taste.items.to_list().index(7)])] == 2


@pytest.mark.parametrize("cut", [1400, 2101, 5000])
def test_a_state_goes_on_as_if_it_had_not_been_saved(cut: int, followed: Any, tmp_path: Path) -> None:
    at = EDGES.index(cut)
    first = learned(started(tmp_path), LOG, EDGES[: at + 1])
    (tmp_path / "state").mkdir()
    first.save(tmp_path / "state")
    second = started(tmp_path)
    second.load(tmp_path / "state")
    assert values_of(second, PAIRS).equals(values_of(first, PAIRS))
    assert values_of(learned(second, LOG, EDGES[at:]), PAIRS).equals(values_of(followed, PAIRS))
    assert {path.suffix for path in (tmp_path / "state").iterdir()} <= {".json", ".npz", ".arrow"}


@pytest.mark.parametrize("change", [{"format": 0}, {"factors": 8}, {"format": None}])
def test_a_state_of_another_version_is_told(change: dict[str, Any], followed: Any, tmp_path: Path) -> None:
    followed.save(tmp_path)
    about = json.loads((tmp_path / "about.json").read_text(encoding="utf-8"))
    (tmp_path / "about.json").write_text(json.dumps(about | change), encoding="utf-8")
    with pytest.raises(FeatureError, match="another version"):
        started(tmp_path).load(tmp_path)


def test_alone_as_in_bulk_and_threads_change_no_bit(followed: Any, tmp_path: Path) -> None:
    values = values_of(followed, PAIRS)
    assert_alone_as_in_bulk(followed, PAIRS, 97)
    assert values_of(followed, PAIRS).equals(values)
    with capped_threads(2):
        model = started(tmp_path)
        for begin, end in pairwise(EDGES):
            model.learn(LOG[begin:end])
        assert values_of(model, PAIRS).equals(values)


def test_scores_of_later_rows_are_those_that_first_rows_have() -> None:
    rng = np.random.default_rng(1)
    per = rng.choice([10.0, 30.0, 60.0], 3000)
    values = per * rng.integers(0, 50, 3000) / 50
    values[:9] = [np.nan, np.inf, -np.inf] * 3
    table = ScoreTable(values, per)
    np.testing.assert_array_equal(table.of(values, per), normal_scores(values, per))
    low, high, unknown = table.of(np.array([-1e9, 1e9, np.nan]), np.full(3, 10.0))
    of_ten = table.of(values, per)[(per == 10.0) & np.isfinite(values)]
    assert (low, high) == (of_ten.min(), of_ten.max())
    assert np.isnan(unknown)
    assert ScoreTable(np.ones(5), None).of(np.array([0.0, 1.0, 7.0]), None).tolist() == [0.0] * 3
    assert np.isnan(ScoreTable(np.full(5, np.nan), None).of(np.ones(2), None)).all()


@pytest.mark.parametrize("columns", [COLUMNS, UNDECLARED], ids=["declared", "chosen"])
@pytest.mark.parametrize("lacking", [*KNOWN, *UNKNOWN])
@pytest.mark.parametrize("since", [0, 3500])
def test_logs_that_lack_something(lacking: str, columns: LogColumns, since: int, tmp_path: Path) -> None:
    """From the first row on, and from a later one."""
    log = (KNOWN | UNKNOWN)[lacking](LOG)
    log = pl.concat([LOG[:since], log[since:]], how="vertical_relaxed")
    edges = sorted({min(edge, log.height) for edge in EDGES})
    model = learned(started(tmp_path, columns, first=1500), log, edges)
    found = values_of(model, PAIRS)
    assert_finite(found)
    if lacking in UNKNOWN and not since:
        assert (found["streamed_taste_score"] == 0).all()


def test_logs_without_sources_and_attributes(tmp_path: Path) -> None:
    bare = LogColumns("user_id", "item_id", None, ("rating",), (), None, None, (), ())
    log = LOG.select("row", "clock", "user_id", "item_id", "rating", "relevance")
    found = values_of(learned(started(tmp_path, bare), log), PAIRS.select("pair_id", "user_id", "item_id"))
    assert recovers(found, "streamed_taste_score", PLANTED) > 0.95
