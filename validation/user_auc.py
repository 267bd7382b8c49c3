"""Mean over groups of the ROC AUC within the group, for two or more levels of relevance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from engine import ConfigError
from validation import (
    FloatArray,
    Groups,
    GroupValues,
    IntArray,
    by_group_and_score,
    concordant_pairs,
    metric,
    pairs_within,
)

ONE_CLASS = {"skip": np.nan, "zero": 0.0, "half": 0.5}
MOST_PAIRS = 32  # rows of a row's group, on average, up to which pairs are looked up once


def prepare(
    group: IntArray,
    relevance: FloatArray,
    *,
    leave_out_pairs: Sequence[float] | None = None,
    most_pairs: int = MOST_PAIRS,
    **policy: Any,
) -> Callable[[FloatArray], GroupValues] | None:
    """Look up the pairs of different relevance once: what is left for a score is to compare them.

    None where groups are so large that sorting each score is cheaper.
    """
    everything: dict[str, Any] = {**policy, "leave_out_pairs": leave_out_pairs}
    constant = user_auc(group, relevance, np.zeros(len(group)), **everything)
    pairs = pairs_within(group, most_pairs * len(group))
    if pairs is None:
        return None
    better, worse = pairs
    counts = relevance[better] > relevance[worse]
    if leave_out_pairs is not None:
        high, low = max(leave_out_pairs), min(leave_out_pairs)
        counts &= (relevance[better] != high) | (relevance[worse] != low)
    better, worse = better[counts], worse[counts]
    groups = Groups.of(group[better])
    where = np.searchsorted(constant.group, groups.code)

    def values(score: FloatArray) -> GroupValues:
        first, second = score[better], score[worse]
        twice = (first > second).astype(np.int8) + (first >= second)
        value = constant.value.copy()
        value[where] = groups.sums(twice) / 2 / groups.size
        value[constant.weight == 0] = np.nan
        return replace(constant, value=value)

    return values


@metric("group", prepare=prepare)
def user_auc(
    group: IntArray,
    relevance: FloatArray,
    score: FloatArray,
    *,
    one_class: Literal["skip", "zero", "half"] = "skip",
    leave_out_pairs: Sequence[float] | None = None,
    weight: Literal["equal", "positives", "rows"] = "equal",
    min_relevance: float = 1.0,
) -> GroupValues:
    """Share of pairs of rows of different relevance within a group that the score puts in the right order.

    ``AUC_g = sum over pairs (i, j) of g with relevance_i > relevance_j of [score_i > score_j] + [score_i ==
    score_j] / 2``, divided by the number of those pairs. With two levels this is the ROC AUC. Ties on the score
    count one half.

    Parameters
    ----------
    one_class
        A group without such a pair: ``skip`` leaves it out, ``zero`` and ``half`` give it 0 or 0.5.
    leave_out_pairs
        Two levels of relevance whose pairs do not count, e.g. ``(1, -1)``: likes against dislikes. Pairs of either
        with a third level still count.
    weight
        Weight of a group in the mean: ``equal`` is 1; ``positives`` its rows of at least ``min_relevance`` (GAUC);
        ``rows`` its rows (GAUC weighted by impressions, Zhou et al. 2018, "Deep Interest Network", section 6).
        A group of weight 0 is left out.
    min_relevance
        Least relevance of a positive row. Used by ``weight="positives"`` only.

    Three pairs of different relevance; the wrong one is (0.4 for the like, 0.5 for the dislike):

    >>> user_auc([7, 7, 7], [1, 0, -1], [0.4, 0.3, 0.5]).value.tolist()
    [0.3333333333333333]
    >>> user_auc([7, 7, 7], [1, 0, -1], [0.4, 0.3, 0.5], leave_out_pairs=(1, -1)).value.tolist()
    [0.5]
    >>> user_auc([1, 1, 2], [1, 0, 1], [0.5, 0.5, 0.9]).value.tolist()
    [0.5, nan]
    """
    order = by_group_and_score(group, score)
    group, relevance, score = group[order], relevance[order], score[order]
    groups = Groups.of(group)
    concordant, n_pairs = concordant_pairs(groups, relevance, score)
    if leave_out_pairs is not None:
        out_concordant, n_out = _pairs_between(leave_out_pairs, groups, relevance, score)
        concordant, n_pairs = concordant - out_concordant, n_pairs - n_out
    value = np.full(len(groups.code), ONE_CLASS[one_class])
    np.divide(concordant, n_pairs, out=value, where=n_pairs > 0)
    weights = np.ones(len(groups.code))
    if weight == "positives":
        weights = groups.sums(relevance >= min_relevance)
    elif weight == "rows":
        weights = groups.size.astype(np.float64)
    return GroupValues(groups.code, value, weights)


def _pairs_between(
    levels: Sequence[float], groups: Groups, relevance: FloatArray, score: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Concordant pairs and pairs between two levels only, per group. Rows are sorted by (group, score)."""
    if len(levels) != 2 or levels[0] == levels[1]:
        raise ConfigError(f"leave_out_pairs is {levels!r}.", expected="two different levels of relevance")
    row = np.flatnonzero(np.isin(relevance, list(levels)))
    group_of_row = np.repeat(np.arange(len(groups.code)), groups.size)[row]
    some = Groups.of(group_of_row)
    concordant, n_pairs = np.zeros(len(groups.code)), np.zeros(len(groups.code))
    concordant[some.code], n_pairs[some.code] = concordant_pairs(some, relevance[row], score[row])
    return concordant, n_pairs
