from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pytest

from competitions import Metric
from engine import ConfigError
from stacking import BlendContext, ScoreFrame, Scores, blender, blenders, leave_one_fold_out

CONTEXT = BlendContext(Metric("user_auc"), seed=0)


@dataclass(frozen=True)
class FittedLeak:
    """Remembers the labels of the pairs it was fitted on; scores others by 0.5."""

    labels: Mapping[int, float]
    reads_labels: bool = False

    @property
    def weights(self) -> Mapping[str, float]:
        return {}

    def predict(self, frame: ScoreFrame) -> Scores:
        if self.reads_labels:
            return frame.relevance
        return np.array([self.labels.get(pair, 0.5) for pair in frame.table["pair_id"]])

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


@dataclass(frozen=True)
class Leak:
    """A blender that is perfect on what it has seen and knows nothing else."""

    reads_labels: bool = False

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedLeak:
        return FittedLeak(dict(oof.table.select("pair_id", "relevance").iter_rows()), self.reads_labels)


def oof_rows() -> ScoreFrame:
    n = 12
    table = pl.DataFrame(
        {
            "pair_id": range(n),
            "window": [5] * 4 + [6] * 4 + [7] * 4,
            "user_id": [1, 1, 2, 2] * 3,
            "relevance": [0, 1] * 6,
            "a": np.linspace(0, 1, n),
        }
    )
    return ScoreFrame(table, ("a",), "user_id")


@pytest.mark.parametrize("window", [5, 6, 7])
def test_a_blender_that_remembers_labels_knows_nothing_of_the_left_out_fold(window: int) -> None:
    assert leave_one_fold_out(Leak(), oof_rows(), window, CONTEXT).tolist() == [0.5] * 4


def test_it_is_fitted_on_all_other_folds() -> None:
    seen: list[int] = []

    class Watching(Leak):
        def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedLeak:
            seen.extend(oof.table["window"].unique(maintain_order=True))
            return super().fit(oof, context)

    leave_one_fold_out(Watching(), oof_rows(), 6, CONTEXT)
    assert seen == [5, 7]


def test_a_blender_that_reads_labels_when_it_predicts_finds_none() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="relevance"):
        leave_one_fold_out(Leak(reads_labels=True), oof_rows(), 6, CONTEXT)


def test_two_blenders_of_one_name_are_refused_with_both_files() -> None:
    blenders()  # the room's own are registered first
    with pytest.raises(
        ConfigError, match=r"MeanRank in mean_rank\.py and Leak in test_leave_one_fold_out\.py"
    ):
        blender("mean_rank")(Leak)
