"""``python -m models compare-starts``, and that no start has seen a label of a train window."""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import open_dataset, simulate
from engine import ConfigError, load_settings
from features import compute_window, load_catalogue
from models import FitContext, PairFrame, model_kinds
from models.__main__ import app
from validation import plan_folds, window_pairs, window_relevance

VECTORS = ("als_user_vector", "als_item_vector", "svd_user_vector", "svd_item_vector")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("starts")
    simulate("vk2024", n_rows=30_000, seed=3, folder=folder / "data")
    return folder


def options(folder: Path, data: str = "data") -> list[str]:
    places = {name: folder / name for name in ("store", "runs", "out", "reports")}
    values = {"competition": "vk2024", "backend": "inline", **places, "data": folder / data}
    quick = 'models.quick={kind="two_towers",epochs=1,width=8,enabled=false}'
    return [*(f'{key}="{value}"' for key, value in values.items()), quick, "threads=1", "folds.n_folds=1"]


def compared(folder: Path, *words: str) -> Any:
    own = [part for text in options(folder) for part in ("--set", text)]
    return CliRunner().invoke(app, [*own, "compare-starts", *words])


def test_starts_are_compared_over_seeds_on_one_page(log: Path) -> None:
    asked = ("--model", "quick", "--starts", "orthogonal,als", "--seeds", "2")
    done = compared(log, *asked, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout[: done.stdout.rindex("}") + 1])
    own, als = found["standings"]
    assert (own["start"], als["start"], found["seeds"]) == ("orthogonal", "als", [42, 43])
    for row in (own, als):
        assert row["mean"] == pytest.approx(mean(row["values"]))
        assert row["spread"] == pytest.approx(stdev(row["values"]))
        assert row["mean_low"] < row["mean"] < row["mean_high"]
        assert row["spread_low"] < row["spread"] < row["spread_high"]
    assert own["ahead"] is None
    assert own["users_started"] == 0 < als["users_started"] <= 1
    assert als["ahead"]["low"] <= als["ahead"]["mean"] <= als["ahead"]["high"]
    page = (log / "reports" / "vk2024" / "starts.html").read_text(encoding="utf-8")
    assert "Starts of a net" in page
    assert ">43</th>" in page
    before = sorted((log / "store").rglob("facts.json"))
    again = compared(log, *asked)
    assert again.exit_code == 0, again.output
    assert "orthogonal" in again.stdout
    assert sorted((log / "store").rglob("facts.json")) == before, "nothing is fitted twice"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--starts", "orthogonal,asl"), "no vectors 'asl'.*Did you mean 'als'"),
        (("--model", "channel_net", "--starts", "orthogonal"), "no vectors 'orthogonal'.*among random, als"),
        (("--model", "catboost"), "no net 'catboost'.*one of channel_net"),
        (("--model", "nobody"), "no kind of model 'nobody'|no net 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_refused(log: Path, words: tuple[str, ...], said: str) -> None:
    done = compared(log, *words)
    assert isinstance(done.exception, ConfigError)
    text = " ".join(str(done.exception).split())
    assert re.search(said, text), text


def started_tables(folder: Path, data: str, families: tuple[str, ...] = ("als", "svd")) -> dict[str, Any]:
    """Tables of two towers that start at vectors of the first fold's train windows."""
    settings = load_settings(overrides=options(folder, data))
    dataset = open_dataset(settings)
    catalogue, fold = load_catalogue(dataset), plan_folds(dataset, settings.folds).folds[0]
    frames = []
    for window in fold.train:
        pairs = window_pairs(dataset, window)
        values = compute_window(catalogue, window, VECTORS, pairs)
        labels = window_relevance(dataset, window)
        frame = pairs.select("pair_id", "user_id", "item_id").join(values, on="pair_id", validate="1:1")
        frame = frame.join(labels, on="pair_id", validate="1:1")
        frames.append(frame.with_columns(pl.lit(window.cutoff, pl.Int64).alias("window")))
    train = PairFrame(pl.concat(frames), VECTORS, "user_id", "item_id").in_order()
    tables = {}
    kind: Any = model_kinds()["two_towers"]
    for family in families:
        starts = {f"{of}_start": f"{family}_{of}_vector" for of in ("user", "item")}
        still = kind(**starts, table_learning_rate=1e-12, holdout=0.0, epochs=1)
        net = still.fit(train, FitContext(seed=1)).trained.net
        tables[family] = [
            t.detach().numpy() for t in (*net.left_tables.parameters(), *net.right_tables.parameters())
        ]
    return tables


def test_no_start_has_seen_a_label_of_a_train_window(log: Path) -> None:
    """All outcomes from the earliest train window on turned round: the tables start the same; before it, others."""
    settings = load_settings(overrides=options(log))
    dataset = open_dataset(settings)
    cutoff = plan_folds(dataset, settings.folds).folds[0].train[0].cutoff
    source = log / "data"
    rows = pl.read_parquet(source / "train_interactions.parquet")
    assert 0 < cutoff < rows.height
    for name, is_turned in (
        ("later", pl.int_range(pl.len()) >= cutoff),
        ("earlier", pl.int_range(pl.len()) < cutoff),
    ):
        (log / name).mkdir()
        for file in source.iterdir():
            if file.name != "train_interactions.parquet":
                (log / name / file.name).write_bytes(file.read_bytes())
        turned = [
            pl.when(is_turned).then(other).otherwise(own).alias(own)
            for own, other in (("like", "dislike"), ("dislike", "like"))
        ]
        rows.with_columns(turned).write_parquet(log / name / "train_interactions.parquet")
    plain, later, earlier = (started_tables(log, name) for name in ("data", "later", "earlier"))
    for family, tables in plain.items():
        for own, other in zip(tables, later[family], strict=True):
            np.testing.assert_allclose(own, other, atol=1e-8)
        moved = [
            not np.allclose(own, other, atol=1e-3) for own, other in zip(tables, earlier[family], strict=True)
        ]
        assert any(moved), "the history of the earliest window counts"
