"""A small artificial cross-validation for the tests of the report: hostile names, ties, holes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import dataframely as dy
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Clock, Competition, Dataset, Metric, RawTables, SubmissionFormat, opened
from engine import Recipe, Store
from validation import CvBundle
from validation.__main__ import app

EVIL = "<script>alert('x')</script>"
CUTOFFS = (7, 8, 9)
N_USERS, N_ITEMS = 60, 40
MakeBundle = Callable[..., CvBundle]
RunReport = Callable[..., tuple[str, Path]]


class Log(dy.Schema):
    user_id = dy.UInt32()
    item_id = dy.UInt32()


class Users(dy.Schema):
    user_id = dy.UInt32(primary_key=True)


class Items(dy.Schema):
    item_id = dy.UInt32(primary_key=True)


def _read(folder: Path) -> RawTables:
    raise AssertionError(f"nothing reads {folder}: the tests make the tables themselves")


CINEMA = Competition(
    name="cinema",
    title="Cinema & <b>Co</b>",
    licence="made up",
    read=_read,
    interactions=Log,
    users=Users,
    items=Items,
    outcomes=("rating",),
    clock=Clock("per_user"),
    relevance=pl.col("rating"),
    metric=Metric("user_auc", {"one_class": "skip"}),
    submission=SubmissionFormat({"user_id": "user_id", "item_id": "item_id", "predict": "score"}),
    horizon=1,
)


@pytest.fixture(scope="session")
def cinema() -> Dataset:
    """A log of clocks 0..9; user 0 has no rows before clock 8, item 0 none at all; long and short histories."""
    rng = np.random.default_rng(1)
    user = np.minimum(rng.geometric(0.05, 6000) - 1, N_USERS - 1)
    item = 1 + np.minimum(rng.geometric(0.1, 6000) - 1, N_ITEMS - 2)
    log = pl.DataFrame({"user_id": user, "item_id": item, "clock": np.sort(rng.integers(0, 10, 6000))})
    log = log.filter((pl.col("user_id") != 0) | (pl.col("clock") >= 8)).cast(
        {"user_id": pl.UInt32, "item_id": pl.UInt32, "clock": pl.Int64}
    )
    return Dataset(
        competition=CINEMA,
        log=log.with_row_index("row").lazy(),
        users=log.select("user_id").unique().lazy(),
        items=log.select("item_id").unique().lazy(),
        test_pairs=log.head(20).select("user_id", "item_id").with_row_index("pair_id").lazy(),
        test_start=10,
        test_until=11,
        fingerprint="f" * 32,
    )


@pytest.fixture(scope="session")
def make_bundle() -> MakeBundle:
    """Build a bundle of the named models and blends; keyword arguments replace fields of it."""

    def make(
        models: Sequence[str] = ("popularity", "als", "catboost", EVIL),
        blends: Sequence[str] = ("mean_of_ranks", "weights"),
        **fields: object,
    ) -> CvBundle:
        names = (*models, *blends)
        bundle = CvBundle(
            oof=_oof(names),
            importance=_importance([m for m in models if m in ("catboost", EVIL)]),
            features=_features(),
            fits=_fits(models),
            models=tuple(models),
            blends=tuple(blends),
            chosen=blends[0] if blends else models[-1],
            about={
                "competition": "cinema",
                "metric": {"name": "user_auc", "policy": {"one_class": "skip"}, "greater_is_better": True},
                "seed": 7,
                "created": "2026-01-02T03:04:05",
                "note": EVIL,
                "folds": {
                    "fold1": "w6-6-7 -> w7-7-8",
                    "fold2": "w7-7-8 -> w8-8-9",
                    "fold3": "w8-8-9 -> w9-9-10",
                },
                "chosen_because": "no learned blend beats it with an interval above zero",
                "differences_to_baseline": {"weights": {"mean": -0.0009, "low": -0.0028, "high": 0.0009}},
                "settings": {"blender": "auto", "models": {EVIL: {"kind": "catboost"}}},
                "fingerprint": "f" * 32,
            },
        )
        return replace(bundle, **fields)  # type: ignore[arg-type]

    return make


def _oof(names: Sequence[str]) -> pl.DataFrame:
    """Three eval windows, 12 pairs a user. ``fold2`` lacks user 3; the first name's scores have many ties."""
    rng = np.random.default_rng(2)
    frames = []
    for number, cutoff in enumerate(CUTOFFS):
        users = [u for u in range(N_USERS) if not (number == 1 and u == 3)]
        user = np.repeat(users, 12)
        relevance = rng.integers(-1, 2, len(user))
        relevance[user == 5] = 1  # one class only: skipped
        scores = {
            name: relevance * 0.25 * position + rng.normal(size=len(user))
            for position, name in enumerate(names)
        }
        scores[names[0]] = np.round(scores[names[0]])
        if "weights" in scores:
            scores["weights"] = scores["mean_of_ranks"] + 0.05 * rng.normal(size=len(user))
        frames.append(
            pl.DataFrame(
                {
                    "fold": [f"fold{number + 1}"] * len(user),
                    "window": np.full(len(user), cutoff),
                    "pair_id": np.arange(len(user)) + 10_000 * number,
                    "user_id": user,
                    "item_id": rng.integers(0, N_ITEMS, len(user)),
                    "relevance": relevance,
                    **scores,
                },
                schema_overrides={
                    "pair_id": pl.UInt32,
                    "user_id": pl.UInt32,
                    "item_id": pl.UInt32,
                    "relevance": pl.Int8,
                },
            )
        )
    return pl.concat(frames)


def _names_of_features() -> list[str]:
    counted = [f"relevance_rate__user_id_x_release_year__last_{n}" for n in range(36)]
    return [EVIL, "[bold]n_exposures__item_id[/bold]", "empty__user_id", *counted]


def _importance(models: Sequence[str]) -> pl.DataFrame:
    names = [name for name in _names_of_features() if name != "empty__user_id"]
    share = 1 / np.arange(1, len(names) + 1)
    frames = [
        pl.DataFrame(
            {"model": model, "fold": f"fold{fold}", "feature": names, "importance": share / share.sum()}
        )
        for model in models
        for fold in (1, 2, 3)
    ]
    schema = {"model": pl.String, "fold": pl.String, "feature": pl.String, "importance": pl.Float64}
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def _features() -> pl.DataFrame:
    names = _names_of_features()
    n = len(names)
    frame = pl.DataFrame(
        {
            "feature": names,
            "meaning": [
                f"Smoothed share of exposures number {number} that ended in a like." for number in range(n)
            ],
            "dtype": ["Float32"] * n,
            "score": np.linspace(0.64, 0.5, n),
            "null_train": np.linspace(0.0, 0.3, n),
            "null_eval": np.linspace(0.0, 0.3, n),
            "null_test": np.linspace(0.0, 0.5, n),
            "psi": np.linspace(0.35, 0.001, n),
            "seconds": np.linspace(0.1, 2.0, n),
        }
    )
    is_empty = pl.col("feature") == "empty__user_id"
    holes = {
        c: pl.when(is_empty).then(None).otherwise(pl.col(c)).alias(c) for c in ("score", "psi", "seconds")
    }
    full = [
        pl.when(is_empty).then(1.0).otherwise(pl.col(c)).alias(c)
        for c in ("null_train", "null_eval", "null_test")
    ]
    return frame.with_columns(*holes.values(), *full)


def _fits(models: Sequence[str]) -> pl.DataFrame:
    rows = [
        (model, f"fold{fold}", 1.5 * fold, None if model == "popularity" else 100 * fold, stopped)
        for model in models
        for fold, stopped in ((1, "hold-out"), (2, "time budget"), (3, "converged"))
    ]
    schema = {
        "model": pl.String,
        "fold": pl.String,
        "seconds": pl.Float64,
        "iterations": pl.Int64,
        "stopped_by": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


@pytest.fixture(scope="session")
def run_report(cinema: Dataset) -> RunReport:
    """Store a bundle in a folder and run ``python -m validation report`` on it: what it printed, and its page."""

    def run(bundle: CvBundle, folder: Path, dataset: Dataset = cinema) -> tuple[str, Path]:
        store = Store(folder / "store")
        recipe = Recipe("cv", "cinema", {})
        store.put(recipe, bundle.write)
        store.point("cv", recipe)
        folders = [f"--set={name}={str(folder / name)!r}" for name in ("store", "reports")]
        with opened(dataset):
            result = CliRunner().invoke(app, [*folders, "report"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout, folder / "reports" / "cv.html"

    return run
