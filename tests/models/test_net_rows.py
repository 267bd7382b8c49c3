"""What a net reads of its pairs, batch by batch: from memory or from a file, with and without weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import FitContext, Ranker, build_models
from models.nets import Groups, NetLoss, RowsInFile, gather_rows, loss_of
from tests.models.small_log import SmallLog, with_columns

LOSSES: tuple[NetLoss, ...] = ("pairwise", "mse", "bce")


@given(st.lists(st.integers(0, 59), max_size=40), st.integers(1, 9), st.integers(1, 4))
def test_rows_in_a_file_are_the_rows(rows: list[int], n_columns: int, panel: int) -> None:
    numbers = np.random.default_rng(1).normal(size=(60, n_columns)).astype(np.float32)
    stored = gather_rows(iter(numbers.T), 60, n_columns, Path(gettempdir()), panel)
    assert isinstance(stored, RowsInFile)
    np.testing.assert_array_equal(stored(np.array(rows, dtype=np.int64)), numbers[rows])


def quick_net(**table: object) -> Ranker:
    small = {"batch_rows": 64, "user_dim": 8, "source_dim": 4}
    return build_models({"channel_net": {**small, **table}})["channel_net"]


def test_a_net_learns_the_same_from_a_file(small_log: SmallLog, tmp_path: Path) -> None:
    ranker = quick_net(epochs=3)
    context = FitContext(seed=3)
    expected = ranker.fit(small_log.train, context).predict(small_log.eval)
    fitted = ranker.fit(small_log.train, replace(context, scratch=tmp_path, scratch_from_bytes=0))
    np.testing.assert_array_equal(fitted.predict(small_log.eval), expected)
    assert not list(tmp_path.iterdir()), "the file has no name"


@pytest.mark.parametrize("kind", LOSSES)
def test_a_weight_of_two_is_the_pair_twice(kind: NetLoss) -> None:
    """Pairwise over all pairs of the group: a pair that is there twice meets each opponent twice."""
    rng = np.random.default_rng(2)
    scores, relevance = torch.from_numpy(rng.normal(size=5)), torch.tensor([0.0, 0.5, 0.5, 1.0, 0.0])
    twice = torch.tensor([0, 0, 1, 2, 3, 3, 4])
    weight = torch.tensor([2.0, 1.0, 1.0, 2.0, 1.0])
    weighed = loss_of(kind, scores, relevance.double(), torch.arange(5).expand(5, 5), weight)
    listed = loss_of(kind, scores[twice], relevance[twice].double(), torch.arange(7).expand(7, 7))
    torch.testing.assert_close(weighed, listed)


@pytest.mark.parametrize("kind", LOSSES)
def test_weights_of_one_change_nothing(kind: NetLoss) -> None:
    rng = np.random.default_rng(3)
    scores, relevance = torch.from_numpy(rng.normal(size=6)), torch.from_numpy(rng.random(6))
    opponents = torch.from_numpy(rng.integers(0, 6, (6, 4)))
    torch.testing.assert_close(
        loss_of(kind, scores, relevance, opponents, torch.ones(6)),
        loss_of(kind, scores, relevance, opponents),
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_net_takes_weights(loss: str, small_log: SmallLog) -> None:
    ranker = quick_net(loss=loss, epochs=2)
    heavy = pl.when(pl.col("relevance") < 0).then(5.0).otherwise(1.0).cast(pl.Float32)
    frame = with_columns(small_log.train, weight=heavy)
    plain, weighed = (
        ranker.fit(f, FitContext(seed=1)).predict(small_log.eval) for f in (small_log.train, frame)
    )
    assert np.isfinite(weighed).all()
    assert not np.array_equal(plain, weighed)
    if loss != "pairwise":  # five times as many dislikes pull the scores down
        assert weighed.mean() < plain.mean()


@given(st.lists(st.integers(1, 7), min_size=1, max_size=20), st.integers(1, 12), st.integers(0, 99))
def test_batches_hold_every_pair_once_and_opponents_of_its_group(
    sizes: list[int], n_rows: int, seed: int
) -> None:
    group_ids = np.repeat(np.arange(len(sizes)), sizes)
    batches = list(Groups.of(group_ids).batches(n_rows, 3, np.random.default_rng(seed)))
    assert sorted(np.concatenate([b.rows for b in batches]).tolist()) == list(range(len(group_ids)))
    for batch in batches:
        np.testing.assert_array_equal(
            group_ids[batch.rows][batch.opponents], np.repeat(group_ids[batch.rows][:, None], 3, axis=1)
        )
        assert len(batch.rows) < n_rows + max(sizes)
