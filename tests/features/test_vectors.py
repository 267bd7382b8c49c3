"""ALS of sources, BPR and item2vec: against a planted taste, the same in every process, with nothing to learn from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from features.als import SourceAls
from features.bpr import Bpr
from features.item2vec import Item2Vec, newest_places, tokens_of
from features.toolkit import preferences
from tests.features.planted_tastes import assert_alone_and_unseen, feed, recovers, transformed

MODELS: dict[str, tuple[Any, list[str]]] = {
    "als like": (SourceAls("like"), ["als_source_score", "als_source_cosine"]),
    "als watch": (SourceAls("watch"), ["als_source_score", "als_source_cosine"]),
    "bpr like": (Bpr("item_id", "like"), ["bpr_score", "bpr_cosine"]),
    "bpr watch": (Bpr("source_id", "watch"), ["bpr_score", "bpr_cosine"]),
    "w2v like": (Item2Vec("item_id", "like"), ["w2v_cosine", "w2v_nearest"]),
    "w2v watch": (Item2Vec("source_id", "watch"), ["w2v_cosine", "w2v_nearest"]),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_planted_taste_is_found(name: str) -> None:
    model, columns = MODELS[name]
    planted = feed()
    values = transformed(model, planted.log, planted.pairs())
    for column in columns:
        assert recovers(values, column, planted) > 0.9, column


@pytest.mark.parametrize("name", MODELS)
def test_alone_unseen_and_little(name: str) -> None:
    model, columns = MODELS[name]
    assert_alone_and_unseen(model, feed(2000), columns)


def test_another_process_learns_the_same() -> None:
    """Hashes of texts, and with them the order of sets, differ between processes."""
    code = (
        "from tests.features.test_vectors import digest_of_all\n"
        "import sys\n"
        "sys.stdout.write(digest_of_all())\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "POLARS_MAX_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert run.stdout == digest_of_all()


def digest_of_all() -> str:
    """Digest of what the models give, for another process to compare."""
    planted = feed(2000)
    values = [
        transformed(MODELS[n][0], planted.log, planted.pairs())
        for n in ("als watch", "bpr watch", "w2v watch")
    ]
    rows = pl.concat(values, how="align").hash_rows(seed=1).to_numpy()
    return hashlib.md5(rows.tobytes()).hexdigest()


def test_preferences_are_the_positive_part() -> None:
    planted = feed()
    seen = preferences(planted.log.lazy(), "watch", "source_id")
    assert seen.cells.data.min() > 0
    assert seen.cells.data.mean() == pytest.approx(1.0, rel=1e-5)
    cells = seen.cells.toarray() > 0
    assert (cells == (planted.liking[seen.users][:, seen.entities] > 0)).mean() > 0.99


def test_tokens_are_in_order_and_newest_come_first() -> None:
    log = feed(800).log
    tokens = tokens_of(log.lazy(), "like", "item_id")
    liked = log.filter(pl.col("relevance") > 0)
    assert tokens["token"].equals(liked["item_id"], check_names=False)
    users, entities = tokens["user"].unique().sort(), tokens["token"].unique().sort()
    places = newest_places(tokens, users, entities, 3)
    for i, user in enumerate(users):
        own = liked.filter(pl.col("user_id") == user)["item_id"].reverse().head(3).to_list()
        found = [entities[int(p)] for p in places[i] if p < len(entities)]
        assert found == own
    assert (places[-1] == len(entities)).all()
