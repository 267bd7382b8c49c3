from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from competitions import get_competition, opened, random_tables, take_in
from stacking.__main__ import app

CONFIG = """
backend = "inline"
[features]
include = ["n_likes__item_id"]
[folds]
n_train_windows = 1
[models.popularity]
[models.trees]
kind = "catboost"
iterations = 3
"""


def test_cv_and_blends_show_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    competition = get_competition("movielens")
    tables = random_tables(competition, n_users=20, n_items=20, n_rows=1000, seed=2)
    (tmp_path / "data").mkdir()
    dataset = take_in(competition, tables, tmp_path / "data", fingerprint="generated")
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    with opened(dataset):
        cv = CliRunner().invoke(app, ["cv"], catch_exceptions=False)
        blends = CliRunner().invoke(app, ["blends"], catch_exceptions=False)
    assert cv.exit_code == blends.exit_code == 0
    for name in ("popularity", "trees", "weights", "fold3", "Chosen: ", "python -m validation report"):
        assert name in cv.output
    for name in ("mean_rank", "catboost_oof", "95 %"):
        assert name in blends.output
