"""Losses of the nets over batches of whole ranking groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

NetLoss = Literal["pairwise", "mse", "bce"]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Whole groups of the data set.

    ``rows``: Int64 (n,), numbers of the pairs. ``opponents``: Int64 (n, n_opponents), for each pair some pairs of
    the same group, as positions in ``rows``.
    """

    rows: Index
    opponents: Index


@dataclass(frozen=True)
class Groups:
    """Ranking groups that lie next to each other: ``starts``, ``sizes`` Int64 (n_groups,), in rows."""

    starts: Index
    sizes: Index

    @classmethod
    def of(cls, group_ids: Index) -> Groups:
        """Read starts and sizes off the group number of each row."""
        starts = np.flatnonzero(np.diff(group_ids, prepend=-1))
        return cls(starts, np.diff(starts, append=len(group_ids)))

    def batches(self, n_rows: int, n_opponents: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Shuffle the groups and deal them into batches of about ``n_rows`` rows, with opponents drawn at random.

        Drawing opponents instead of listing all pairs keeps the cost linear in the rows: a group of a thousand
        rows has half a million pairs.
        """
        order = rng.permutation(len(self.starts))
        starts, sizes = self.starts[order], self.sizes[order]
        ends = np.cumsum(sizes)
        first = ends - sizes
        rows = np.repeat(starts - first, sizes) + np.arange(ends[-1])
        draw = rng.random((len(rows), n_opponents))
        opponents = np.repeat(first, sizes)[:, None] + (draw * np.repeat(sizes, sizes)[:, None]).astype(
            np.int64
        )
        batch_of = first // n_rows
        for lo, hi in zip(*_runs(batch_of), strict=True):
            a, b = int(first[lo]), int(ends[hi - 1])
            yield Batch(rows[a:b], opponents[a:b] - a)


def _runs(values: Index) -> tuple[Index, Index]:
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return starts, np.append(starts[1:], len(values))


def loss_of(kind: NetLoss, scores: Tensor, relevance: Tensor, opponents: Tensor) -> Tensor:
    """Mean loss of a batch.

    Parameters
    ----------
    scores, relevance
        (n_pairs,); relevance scaled to [0, 1].
    opponents
        (n_pairs, n_opponents), positions of pairs of the same group. Only ``pairwise`` reads them: the logistic loss
        of the difference of the two scores, over the drawn pairs of different relevance (RankNet, Burges 2005).
    """
    if kind == "mse":
        return functional.mse_loss(scores, relevance)
    if kind == "bce":
        return functional.binary_cross_entropy_with_logits(scores, relevance)
    sign = torch.sign(relevance[:, None] - relevance[opponents])
    losses = functional.softplus(-sign * (scores[:, None] - scores[opponents])) * sign.abs()
    return losses.sum() / sign.abs().sum().clamp(min=1)
