from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from competitions import Dataset, opened

CONFIG = """
backend = "inline"
[features]
include = ["n_likes__item_id"]
[folds]
n_train_windows = 1
[models.popularity]
kind = "column"
column = "relevance_rate__item_id"
[models.trees]
kind = "catboost"
iterations = 3
"""


def test_cv_and_blends_show_what_was_chosen(
    take: Callable[..., Dataset],
    ran: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    with opened(take(n_users=20, n_items=20, n_rows=1000, seed=2)):
        cv, blends = ran("cv"), ran("blends")
    for name in ("popularity", "trees", "weights", "fold3", "Chosen: ", "python -m validation report"):
        assert name in cv
    for name in ("mean_rank", "catboost_oof", "95 %"):
        assert name in blends
