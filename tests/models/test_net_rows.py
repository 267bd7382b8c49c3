"""What a net reads of its pairs, batch by batch: from memory or from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models import FitContext, build_models
from models.ranking import Groups, NetLoss, loss_of
from tests.models.small_log import SmallLog

LOSSES: tuple[NetLoss, ...] = ("pairwise", "mse", "bce")


def test_a_net_learns_the_same_from_a_file(small_log: SmallLog, tmp_path: Path) -> None:
    table = {"epochs": 3, "batch_rows": 64, "user_dim": 8, "source_dim": 4}
    ranker, context = build_models({"channel_net": table})["channel_net"], FitContext(seed=3)
    expected = ranker.fit(small_log.train, context).predict(small_log.eval)
    fitted = ranker.fit(small_log.train, replace(context, scratch=tmp_path, scratch_from_bytes=0))
    np.testing.assert_array_equal(fitted.predict(small_log.eval), expected)
    assert not list(tmp_path.iterdir()), "the file has no name"


@pytest.mark.parametrize("kind", LOSSES)
@settings(max_examples=25)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=7), st.integers(0, 99))
def test_a_weight_is_how_often_a_pair_is_there(kind: NetLoss, counts: list[int], seed: int) -> None:
    """Pairwise over all pairs of the group: a pair that is there twice meets each opponent twice."""
    rng, n = np.random.default_rng(seed), len(counts)
    scores, relevance = torch.from_numpy(rng.normal(size=n)), torch.from_numpy(rng.integers(0, 3, n) / 2)
    listed, n_listed = torch.arange(n).repeat_interleave(torch.tensor(counts)), sum(counts)
    weighed = loss_of(kind, scores, relevance, torch.arange(n).expand(n, n), torch.tensor(counts))
    every = torch.arange(n_listed).expand(n_listed, n_listed)
    torch.testing.assert_close(weighed, loss_of(kind, scores[listed], relevance[listed], every))


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
