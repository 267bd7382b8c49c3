"""Ranks within groups, and what the metrics of the first k rows share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine import ConfigError
from validation._metric import FloatArray, GroupValues, IntArray
from validation._order import Groups, run_starts, stable_argsort

Ties = Literal["worst", "order", "average"]
NoRelevant = Literal["skip", "zero"]


@dataclass(frozen=True)
class Ranked:
    """Rows sorted by (group, rank).

    ``rank``: from 1 within the group, Int64 ``(n_rows,)``. ``gain``: what the row is worth, Float64 ``(n_rows,)``.
    """

    groups: Groups
    rank: IntArray
    gain: FloatArray

    def within(self, k: int | None) -> NDArray[np.bool_]:
        """Tell which rows are among the first k of their group; all of them if k is None."""
        return self.rank <= (len(self.rank) if k is None else k)

    def hits(self, k: int | None) -> FloatArray:
        """Sum of gains among the first k rows of each group, Float64 ``(n_groups,)``."""
        return self.groups.sums(np.where(self.within(k), self.gain, 0.0))


def rank_rows(group: IntArray, gain: FloatArray, score: FloatArray, ties: Ties) -> Ranked:
    """Rank the rows of each group by falling score.

    Rows that tie on the score: ``worst`` puts the smaller gain first, so that a constant score earns nothing by
    luck and the order of the rows does not matter; ``order`` keeps the order of the rows; ``average`` gives each of
    them the mean gain of the tied rows, which is the mean over all their orders for a metric that is linear in the
    gains (McSherry and Najork 2008, "Computing information retrieval performance measures efficiently in the
    presence of tied scores").
    """
    order = np.arange(len(group)) if ties == "order" else np.argsort(gain)
    order = order[np.argsort(-score[order], kind="stable")]
    order = order[stable_argsort(group[order])]
    group, gain, score = group[order], gain[order], score[order]
    groups = Groups.of(group)
    if ties == "average":
        blocks = Groups.of(np.cumsum(run_starts(group, score)))
        gain = np.repeat(blocks.sums(gain) / blocks.size, blocks.size)
    rank = np.arange(len(group)) - np.repeat(groups.start, groups.size) + 1
    return Ranked(groups, rank, gain)


def rank_relevant(
    group: IntArray, relevance: FloatArray, score: FloatArray, ties: Ties, min_relevance: float
) -> tuple[Ranked, FloatArray]:
    """Rank rows whose gain is 1 if they are relevant, else 0; with the number of relevant rows of each group."""
    ranked = rank_rows(group, (relevance >= min_relevance).astype(np.float64), score, ties)
    return ranked, ranked.hits(None)


def share(
    groups: Groups, part: FloatArray, whole: FloatArray, n_relevant: FloatArray, policy: NoRelevant
) -> GroupValues:
    """Divide, with weight 1 a group; a group with nothing relevant follows the policy."""
    value = np.full(len(groups.code), np.nan if policy == "skip" else 0.0)
    np.divide(part, whole, out=value, where=n_relevant > 0)
    return GroupValues(groups.code, value, np.ones(len(groups.code)))


def check_k(k: int | None) -> None:
    """Raise ConfigError unless k is a whole number from 1 up, or None for no cut."""
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise ConfigError(f"k is {k!r}.", expected="a whole number from 1 up")
