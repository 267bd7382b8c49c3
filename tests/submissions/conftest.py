"""A small competition, runs of it, and a folder in the official MovieLens layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import SubmissionFormat, simulate
from engine import FeatureSettings, Settings, out
from submissions import Manifest, RunFacts, Runs
from submissions.__main__ import app
from submissions._gate import Gate, Verdict, check_file, scored_pairs, submission_bytes
from tests.submissions.exported import Exported, exported_once

Publish = Callable[..., Manifest]
Call = Callable[..., str]


def make_pairs() -> pl.DataFrame:
    """Thirty pairs of six users and five items, sorted by no column."""
    number = np.random.default_rng(3).permutation(30)
    pairs = {"pair_id": range(100, 130), "user_id": 1 + number // 5, "item_id": 10 + number % 5}
    return pl.DataFrame(pairs).cast(pl.UInt32)


@pytest.fixture
def gate() -> Gate:
    """Gate of a ranking competition whose file is ``user_id,item_id,predict`` in any order."""
    columns = {"user_id": "user_id", "item_id": "item_id", "predict": "score"}
    return Gate(make_pairs(), SubmissionFormat(columns), group=("user_id",))


@pytest.fixture
def scores(gate: Gate) -> pl.DataFrame:
    """Scores of the given pairs by two models; ``score`` is the first."""
    rng = np.random.default_rng(0)
    table = gate.pairs.with_columns(als=pl.Series(rng.normal(size=30)), trees=pl.Series(rng.normal(size=30)))
    return table.with_columns(score=pl.col("als"))


@pytest.fixture
def check(tmp_path: Path, gate: Gate) -> Callable[..., Verdict]:
    """Write a file and check it, by default against ``gate``."""

    def check_content(content: str | bytes | pl.DataFrame, against: Gate = gate) -> Verdict:
        path = tmp_path / "submission.csv"
        text = content.write_csv() if isinstance(content, pl.DataFrame) else content
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return check_file(against, path)

    return check_content


@pytest.fixture
def good(gate: Gate, scores: pl.DataFrame) -> str:
    return submission_bytes(gate, scored_pairs(gate, scores)).decode()


@pytest.fixture
def oof() -> pl.DataFrame:
    """Out-of-fold scores on two folds of six users with five rows each."""
    rng = np.random.default_rng(1)
    number, relevance = np.arange(60), rng.integers(-1, 2, size=60)
    table = pl.DataFrame(
        {
            "fold": [f"fold{n // 30 + 1}" for n in range(60)],
            "window": 7 + number // 30,
            "pair_id": number,
            "user_id": 1 + number // 5 % 6,
            "item_id": number % 5,
            "relevance": relevance,
            "score": relevance + rng.normal(size=60),
        }
    )
    return table.cast(
        {"pair_id": pl.UInt32, "user_id": pl.UInt32, "item_id": pl.UInt32, "relevance": pl.Int8}
    )


def make_facts(**changed: object) -> RunFacts:
    """Facts of a run of the small competition, with some of them changed."""
    known: dict[str, object] = {
        "competition": "small",
        "metric": {"name": "user_auc", "policy": {"one_class": "skip"}, "greater_is_better": True},
        "pair_keys": ("user_id", "item_id"),
        "group": ("user_id",),
        "user": "user_id",
        "chosen": "als",
        "cv": (
            {
                "name": "als",
                "kind": "model",
                "folds": {"fold1": 0.7, "fold2": 0.72},
                "mean": 0.71,
                "sd": 0.0141,
            },
            {"name": "mean_rank", "kind": "blend", "folds": {"fold1": 0.6}, "mean": 0.61, "sd": 0.0141},
        ),
        "weights": {},
        "git": {"commit": "0123abcd", "is_dirty": False},
        "config": {"seed": 1, "folds": {"n_folds": 2}},
        "seeds": {"seed": 1},
        "data_fingerprint": "d0",
        "features": {"age": "a0"},
        "python": "3.11.7",
        "platform": "Linux",
        "versions": {"polars": "2.1.0"},
        "stages": ({"name": "data", "seconds": 1.5, "peak_mib": 200.0},),
    }
    return RunFacts.model_validate(known | changed)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs", tmp_path / "out")


@pytest.fixture
def publish(runs: Runs, gate: Gate, scores: pl.DataFrame) -> Callable[..., Manifest]:
    """Publish a run of the small competition, of other scores or facts if they are given."""

    def publish_run(
        table: pl.DataFrame = scores, oof: pl.DataFrame | None = None, through: Gate = gate, **changed: object
    ) -> Manifest:
        return runs.publish(through, table, oof, make_facts(**changed))

    return publish_run


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Call a command on ``runs``, as if its output went to a file; errors are raised."""
    monkeypatch.setattr(out, "width", 160)
    config = tmp_path / "config.toml"
    config.write_text(f'runs = "{tmp_path}/runs"\nout = "{tmp_path}/out"\nstore = "{tmp_path}/store"\n')

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["--config", str(config), *arguments])
        if result.exception:
            raise result.exception
        return result.output

    return run


def options(settings: Settings) -> list[str]:
    """Options for a command on the data and the runs of these settings."""
    names = ("competition", "data", "store", "runs", "out")
    return [f'--set={name}="{getattr(settings, name)}"' for name in names]


def write_movielens(folder: Path) -> None:
    """Write a generated log in the official ml-1m layout: some films are better than others."""
    rng = np.random.default_rng(5)
    users, items, quality = range(1, 31), range(1, 41), rng.normal(size=41)
    ratings = []
    for user in users:
        for step, item in enumerate(rng.permutation(items)[:24]):
            stars = int(np.clip(np.rint(3.2 + quality[item] + 0.5 * rng.normal()), 1, 5))
            ratings.append(f"{user}::{item}::{stars}::{880000000 + user * 1000 + step}")
    tables = {
        "ratings": ratings,
        "users": [f"{user}::{'MF'[user % 2]}::25::4::00000" for user in users],
        "movies": [f"{item}::Film {item} (19{59 + item})::Drama" for item in items],
    }
    folder.mkdir()
    for name, lines in tables.items():
        (folder / f"{name}.dat").write_text("\n".join(lines) + "\n", encoding="latin-1")


FEATURES = ("relevance_rate__item_id", "n_exposures__item_id", "n_exposures__user_id")


@pytest.fixture(scope="session")
def settings_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Settings]:
    """Settings of a competition with two quick models, inline, all of whose folders are new."""

    def quick(competition: str) -> Settings:
        root = tmp_path_factory.mktemp(competition)
        values = {
            "competition": competition,
            **{name: root / name for name in ("data", "store", "reports", "runs", "out")},
            "backend": "inline",
            "folds": {"n_folds": 3, "n_train_windows": 2},
            "features": {"include": FEATURES},
            "models": {
                "popularity": {"kind": "column", "column": FEATURES[0]},
                "count": {"kind": "column", "column": FEATURES[1]},
            },
            "blender": "mean_rank",
        }
        return Settings.model_validate(values)

    return quick


@pytest.fixture(scope="session")
def movielens_settings(settings_of: Callable[[str], Settings]) -> Settings:
    settings = settings_of("movielens")
    write_movielens(settings.data)
    return settings


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of runs and bundles; workers that test side by side share it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "bundles"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def movielens_bundle(bundles: Path) -> Exported:
    """A run on generated ratings, and its bundle."""
    more = ("user_gender", "like_rate__user_id", "item_year", "item_n_genres", "hour_of_day")
    features = FeatureSettings(include=(*FEATURES, *more))
    return exported_once(bundles, "movielens", write_movielens, features)


@pytest.fixture(scope="session")
def vk_bundle(bundles: Path) -> Exported:
    """A run on simulated clips, with a net that reads what users did last, and its bundle."""
    features = FeatureSettings(
        include=(*FEATURES, "user_gender", "user_age", "shown_rank__approval_rate__item_id")
    )
    past: dict[str, Any] = {
        "kind": "sequence_net",
        "epochs": 1,
        "width": 4,
        "user_dim": 2,
        "item_dim": 2,
        "source_dim": 2,
        "time_bias": True,
        "content": True,
    }

    def write(folder: Path) -> None:
        simulate("vk2024", n_rows=12_000, seed=3, folder=folder)

    return exported_once(bundles, "vk2024", write, features, past=past)
