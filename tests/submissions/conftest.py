"""A small competition, runs of it, and a folder in the official MovieLens layout."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import SubmissionFormat
from engine import Settings, out
from submissions import (
    CvScore,
    Gate,
    GitFacts,
    Manifest,
    MetricFacts,
    RunFacts,
    Runs,
    Stage,
    Verdict,
    check_file,
    scored_pairs,
    submission_bytes,
)
from submissions.__main__ import app

N_USERS, N_ITEMS = 6, 5


def make_pairs() -> pl.DataFrame:
    """Thirty pairs, sorted by no column."""
    pairs = [(user, item) for user in range(1, N_USERS + 1) for item in range(10, 10 + N_ITEMS)]
    order = np.random.default_rng(3).permutation(len(pairs))
    shuffled = [pairs[i] for i in order]
    return pl.DataFrame(
        {
            "pair_id": range(100, 100 + len(pairs)),
            "user_id": [user for user, _ in shuffled],
            "item_id": [item for _, item in shuffled],
        },
        schema={"pair_id": pl.UInt32, "user_id": pl.UInt32, "item_id": pl.UInt32},
    )


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
    rows = [(fold, user, item) for fold in range(2) for user in range(1, 7) for item in range(5)]
    relevance = rng.integers(-1, 2, size=len(rows))
    return pl.DataFrame(
        {
            "fold": [f"fold{fold + 1}" for fold, _, _ in rows],
            "window": [7 + fold for fold, _, _ in rows],
            "pair_id": pl.Series(range(len(rows)), dtype=pl.UInt32),
            "user_id": pl.Series([user for _, user, _ in rows], dtype=pl.UInt32),
            "item_id": pl.Series([item for _, _, item in rows], dtype=pl.UInt32),
            "relevance": pl.Series(relevance, dtype=pl.Int8),
            "score": relevance + rng.normal(size=len(rows)),
        }
    )


def make_facts(**changed: object) -> RunFacts:
    """Facts of a run of the small competition, with some of them changed."""
    known: dict[str, object] = {
        "competition": "small",
        "metric": MetricFacts(name="user_auc", policy={"one_class": "skip"}, greater_is_better=True),
        "pair_keys": ("user_id", "item_id"),
        "group": ("user_id",),
        "user": "user_id",
        "chosen": "als",
        "cv": (
            CvScore(name="als", kind="model", folds={"fold1": 0.7, "fold2": 0.72}, mean=0.71, sd=0.0141),
            CvScore(
                name="mean_rank", kind="blend", folds={"fold1": 0.6, "fold2": 0.62}, mean=0.61, sd=0.0141
            ),
        ),
        "weights": {},
        "git": GitFacts(commit="0123abcd", is_dirty=False),
        "config": {"seed": 1, "folds": {"n_folds": 2}},
        "seeds": {"seed": 1},
        "data_fingerprint": "d0",
        "features": {"age": "a0"},
        "python": "3.11.7",
        "platform": "Linux",
        "versions": {"polars": "2.1.0"},
        "stages": (Stage(name="data", seconds=1.5, peak_mib=200.0),),
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


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 21, 20, 15, 30, 123456, tzinfo=UTC)


def write_movielens(folder: Path, n_users: int = 30, n_items: int = 40, n_each: int = 24) -> None:
    """Write a generated log in the official ml-100k layout: some films are better than others."""
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    quality = rng.normal(size=n_items)
    ratings = []
    for user in range(n_users):
        for step, item in enumerate(rng.permutation(n_items)[:n_each]):
            stars = int(np.clip(np.rint(3.2 + quality[item] + 0.5 * rng.normal()), 1, 5))
            ratings.append(f"{user + 1}\t{item + 1}\t{stars}\t{880000000 + user * 1000 + step}")
    flags = ["|".join("1" if g == item % 18 + 1 else "0" for g in range(19)) for item in range(n_items)]
    items = [f"{i + 1}|Film {i} (19{60 + i})|01-Jan-19{60 + i}||http://x|{flags[i]}" for i in range(n_items)]
    users = [f"{u + 1}|{18 + u}|{'MF'[u % 2]}|student|00000" for u in range(n_users)]
    for name, lines in (("u.data", ratings), ("u.item", items), ("u.user", users)):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="latin-1")


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
