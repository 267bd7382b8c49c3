"""A small log with an obvious answer, and how well scores agree with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from models import PairFrame
from tests.models.small_log import SmallLog, checkerboard


@pytest.fixture(scope="session")
def small_log() -> SmallLog:
    return checkerboard()


@pytest.fixture(scope="session")
def user_auc() -> Callable[[PairFrame, npt.NDArray[np.float64]], float]:
    """Mean over users of the share of concordant pairs, ties one half; users of one class are left out."""

    def mean_auc(frame: PairFrame, scores: npt.NDArray[np.float64]) -> float:
        values = []
        for _, rows in frame.table.with_columns(score=pl.Series(scores)).group_by("user_id"):
            r, s = rows["relevance"].to_numpy(), rows["score"].to_numpy()
            better, worse = np.nonzero(r[:, None] > r[None, :])
            if len(better):
                values.append(float(np.mean((np.sign(s[better] - s[worse]) + 1) / 2)))
        return float(np.mean(values))

    return mean_auc
