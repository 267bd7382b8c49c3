"""What the benchmark of tables trains and measures is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks._tables_child import documents, mean_rank
from benchmarks._tables_pairs import DRAWN, NEGATIVES, SHARING, gradients


@pytest.mark.parametrize("n", [2 * SHARING, 7])
def test_gradients_are_those_of_the_loss(n: int) -> None:
    shared = SHARING if n % SHARING == 0 else n
    n_drawn = n // shared * DRAWN
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(k, 5, generator=generator, dtype=torch.float64) for k in (n, n + n_drawn))
    ours = gradients(left, right)
    left.requires_grad_()
    right.requires_grad_()
    log = torch.nn.functional.logsigmoid
    loss = -log((left * right[:n]).sum(dim=1)).sum()
    for pair in range(n):
        first = n + pair // shared * DRAWN
        loss = loss - NEGATIVES / DRAWN * log(-(right[first : first + DRAWN] @ left[pair])).sum()
    for found, expected in zip(ours, torch.autograd.grad(loss, [left, right]), strict=True):
        torch.testing.assert_close(found, expected)


def test_rank_is_the_share_of_others_before_the_held_out_one() -> None:
    held, others = (np.array([0, 1]), np.array([5, 5])), np.array([[6, 4, 5, 1], [9, 8, 7, 6]])
    assert mean_rank(lambda left, right: right.astype(float), held, others) == (1.5 / 4 + 1) / 2


def test_vectors_in_files_rank_held_out_words_as_those_in_memory(tmp_path: Path) -> None:
    limits = (0.0, 6_000 * 36 / 2**30)  # fewer rows than the left side has, more than a batch reads
    found = [documents("ours", 9_000, 400, 40_000, 8, 1, gib, 3_000, str(tmp_path))["rank"] for gib in limits]
    assert found[0] == found[1] < 0.45
