from __future__ import annotations

import polars as pl
import pytest

from benchmarks.choice import RULES, Split, regrets
from tests.stacking.small_stack import METRIC, planted

PRECEDENCE = {"trees": 3, "mean_rank": 1, "weights": 0}


@pytest.fixture(scope="module")
def split() -> Split:
    """Trees that are best on the eval windows and on the test, which is the last of four windows."""
    rows = planted(n_windows=4, trees=0.1, mean_rank=3.0, weights=1.0)
    fold = pl.when(pl.col("window") == 3).then(pl.lit("test")).otherwise(pl.format("fold{}", "window"))
    return Split("planted", rows.user, METRIC, PRECEDENCE, rows.table.with_columns(fold=fold))


def test_rules_see_no_row_of_the_test(split: Split) -> None:
    assert split.oof["window"].unique().sort().to_list() == [0, 1, 2]


def test_regret_is_what_the_best_by_hindsight_is_ahead(split: Split) -> None:
    found = {str(r["rule"]): r for r in regrets(split)}
    assert list(found) == list(RULES)
    scores = split.test_scores()
    for row in found.values():
        assert row["regret"] == pytest.approx(max(scores.values()) - scores[str(row["chosen"])])
    assert found["best score"]["chosen"] == "trees"
    assert found["best score"]["regret"] == 0
    assert found["best blend"]["chosen"] == "weights"
    assert found["mean of ranks always"]["chosen"] == "mean_rank"
    assert found["surely better than the mean of ranks"]["chosen"] == "weights"
