"""Two towers: the product of what one net says of the user and another of the item, whose tables start at vectors.

As a team used them for the fifth place of the VK RecSys Challenge 2024: fully connected towers, of the user by id,
gender, age, its square and its root, of the item by id, source, duration with its powers, and content; layers
orthogonal at the start (Saxe et al. 2014), tables from ALS. Two towers: Huang et al. 2013 (DSSM), Yi et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from models import FitContext, PairFrame, model, ranking


@model("two_towers")
@dataclass(frozen=True)
class TwoTowers(ranking.TowersParameters):
    """Product of a vector of the user and one of the item, each its id's and what a net of its attributes adds.

    Numbers come with their squares and roots. Reads ids, source and attributes; no other features. ``user_start`` and
    ``item_start`` say which vectors the ids start at, else they are orthogonal: ``python -m models compare-starts``.
    """

    loss: ranking.Loss = "pairwise"
    table_learning_rate: ranking.TableRate = 0.01
    id_dropout: Annotated[ranking.Share, Field(description="Share of ids shown as unknown in training.")] = (
        0.1
    )
    patience: ranking.Patience = 2

    def fit(self, train: PairFrame, context: FitContext) -> ranking.FittedTowers:
        """Train as many epochs as the context says, or as an inner hold-out of users tells."""
        return ranking.fit_towers(self, train, context, ranking.Blocks(self.loss))
