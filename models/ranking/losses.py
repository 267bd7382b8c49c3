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
        first = np.cumsum(sizes) - sizes
        for lo, hi in zip(*_runs(first // n_rows), strict=True):
            yield _batch(starts[lo:hi], sizes[lo:hi], n_opponents, rng)


def _batch(starts: Index, sizes: Index, n_opponents: int, rng: np.random.Generator) -> Batch:
    """Put the groups that start there one after the other."""
    first = np.cumsum(sizes) - sizes
    rows = np.repeat(starts - first, sizes) + np.arange(sizes.sum())
    draw = rng.random((len(rows), n_opponents)) * np.repeat(sizes, sizes)[:, None]
    return Batch(rows, np.repeat(first, sizes)[:, None] + draw.astype(np.int64))


def _runs(values: Index) -> tuple[Index, Index]:
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return starts, np.append(starts[1:], len(values))


def loss_of(
    kind: NetLoss, scores: Tensor, relevance: Tensor, opponents: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Mean loss of a batch.

    Parameters
    ----------
    scores, relevance
        (n_pairs,); relevance scaled to [0, 1].
    opponents
        (n_pairs, n_opponents), positions of pairs of the same group. Only ``pairwise`` reads them: the logistic loss
        of the difference of the two scores, over the drawn pairs of different relevance (RankNet, Burges 2005).
    weight
        (n_pairs,), how many pairs each one stands for; None = 1. Means become weighted ones; in ``pairwise`` two pairs
        count by the product of their weights, since that is how seldom both were kept.
    """
    if kind == "pairwise":
        sign = torch.sign(relevance[:, None] - relevance[opponents])
        losses = functional.softplus(-sign * (scores[:, None] - scores[opponents])) * sign.abs()
        if weight is None:
            return losses.sum() / sign.abs().sum().clamp(min=1)
        both = weight[:, None] * weight[opponents]
        return (losses * both).sum() / (sign.abs() * both).sum().clamp(min=1)
    of_pairs = functional.mse_loss if kind == "mse" else functional.binary_cross_entropy_with_logits
    if weight is None:
        return of_pairs(scores, relevance)
    return (of_pairs(scores, relevance, reduction="none") * weight).sum() / weight.sum()
