"""InteractRank: two towers with feature crossing, and cross counters beside their product.

Khandagale et al. 2025, "InteractRank: Personalized Web-Scale Search Pre-Ranking with Cross Interaction Features",
arXiv 2504.06609: the towers can be kept for every user and item, and what they cannot say of a pair is in a few
counters of the history: how often such users reacted to such items, by how often these were shown
(``features/cross_counters.py``), and the user to such sources (``features/affinity.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import Field

from models import FitContext, PairFrame, model, ranking


@model("interact_rank")
@dataclass(frozen=True)
class InteractRank(ranking.TowersParameters):
    """Towers of everything known of user and item alone, their product, and cross counters of the pair beside it.

    The user's tower reads their newest rows as one vector, weighed by what and when they were; both towers cross their
    inputs by low-rank layers (DCN-v2, Wang et al. 2021). Trained by cross-entropy over any positive action and by a
    sampled softmax over the items of the batch's positive pairs, corrected by how often each is there (logQ).
    """

    loss: Annotated[
        ranking.TowersLoss,
        Field(
            description="any positive (cross-entropy of a relevance above 0), pairwise, or mse or bce on relevance "
            "scaled to 0..1."
        ),
    ] = "any positive"
    start: ranking.StartColumn = "auto"
    table_learning_rate: ranking.TableRate = 0.003
    patience: ranking.Patience = 3
    softmax_weight: Annotated[
        float, Field(ge=0, description="Weight of the in-batch sampled softmax; 0 leaves it out.")
    ] = 0.01
    keyed: Annotated[
        bool, Field(description="Towers read features by key of the user, the item or the source, too.")
    ] = True
    counters: Annotated[
        tuple[str, ...],
        Field(description="Patterns over features of the pair that count beside the product; [] = none."),
    ] = ("cross_rate__*", "cross_counter__*", "share_of_user__*", "lift_over_crowd__*", "above_own__*")
    context: Annotated[bool, Field(description="The user's tower reads their newest rows.")] = True
    cross_layers: Annotated[int, Field(ge=0, le=8, description="Cross layers of each tower.")] = 1
    cross_rank: Annotated[int, Field(ge=1, description="Rank of the cross layers.")] = 16
    hits: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(description="The k of HITS@k on the inner hold-out, which the report of a fit tells."),
    ] = (1, 3, 5)

    @property
    def also_reads(self) -> tuple[str, ...]:
        """Columns of vectors and histories, of those that the competition has."""
        return (*self.item_vectors, *(ranking.HISTORIES if self.context else ()))

    def sides(self, names: Sequence[str], keys: Sequence[str]) -> tuple[list[str], list[str]]:
        """Of these features those of the users' tower, and those of the items'. ``keys``: of user, item and source."""
        left, right = super().sides(names, keys)
        if not self.keyed:
            return left, right
        by_key = {name: name.split("__")[1] for name in names if "__" in name}
        return (
            [n for n in names if n in left or by_key.get(n) == keys[0]],
            [n for n in names if n in right or by_key.get(n) in keys[1:]],
        )

    def beside(self, names: Sequence[str], keys: Sequence[str]) -> list[str]:
        """Of these features those that count beside the product: counters, and the one that the net starts from."""
        start = super().beside(names, keys)
        return [n for n in names if n in start or any(fnmatchcase(n, p) for p in self.counters)]

    def fit(self, train: PairFrame, context: FitContext) -> ranking.FittedTowers:
        """Train as many epochs as the context says, or as an inner hold-out of users tells."""
        blocks = ranking.Blocks(
            loss=self.loss,
            cross_layers=self.cross_layers,
            cross_rank=self.cross_rank,
            has_context=self.context,
            softmax_weight=self.softmax_weight,
            hits=self.hits,
        )
        return ranking.fit_towers(self, train, context, blocks)
