"""A small artificial cross-validation for the tests of the report: hostile names, ties, holes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Dataset, get_competition, opened, pointer_to
from engine import Recipe, Store
from validation import CvBundle, Report, build_report
from validation.__main__ import app
from validation._report import AuditReport

EVIL = "<script>alert('x')</script>"
CUTOFFS = (7, 8, 9)
N_USERS, N_ITEMS = 60, 40
Rebuilt = Callable[..., Report]
RunReport = Callable[..., tuple[str, Path]]


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
        competition=replace(get_competition("movielens"), name="cinema", title="Cinema & <b>Co</b>"),
        log=log.with_row_index("row").lazy(),
        users=log.select("user_id").unique().lazy(),
        items=log.select("item_id").unique().lazy(),
        test_pairs=log.head(20).select("user_id", "item_id").with_row_index("pair_id").lazy(),
        test_start=10,
        test_until=11,
        fingerprint="f" * 32,
    )


def make_bundle(
    models: Sequence[str] = ("popularity", "als", "catboost", EVIL),
    blends: Sequence[str] = ("mean_of_ranks", "weights"),
) -> CvBundle:
    return CvBundle(
        oof=_oof((*models, *blends)),
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
            "folds": {f"fold{n}": f"w{n + 5} -> w{n + 6}" for n in (1, 2, 3)},
            "chosen_because": "no learned blend beats it with an interval above zero",
            "best": blends[0] if blends else models[-1],
            "differences_to_best": {
                "weights": {"mean": -0.0009, "error": 0.0009, "low": -0.0028, "high": 0.0009}
            },
            "settings": {"blender": "auto", "models": {EVIL: {"kind": "catboost"}}},
            "fingerprint": "f" * 32,
        },
    )


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
        columns = {
            "fold": f"fold{number + 1}",
            "window": np.full(len(user), cutoff),
            "pair_id": np.arange(len(user)) + 10_000 * number,
            "user_id": user,
            "item_id": rng.integers(0, N_ITEMS, len(user)),
            "relevance": relevance,
        }
        frames.append(pl.DataFrame({**columns, **scores}))
    return pl.concat(frames).cast(
        {"pair_id": pl.UInt32, "user_id": pl.UInt32, "item_id": pl.UInt32, "relevance": pl.Int8}
    )


def _names_of_features() -> list[str]:
    counted = [f"relevance_rate__user_id_x_release_year__last_{n}" for n in range(36)]
    return [EVIL, "[bold]n_exposures__item_id[/bold]", "empty__user_id", *counted]


def _importance(models: Sequence[str]) -> pl.DataFrame:
    names = [name for name in _names_of_features() if name != "empty__user_id"]
    shares = 1 / np.arange(1, len(names) + 1)
    shares /= shares.sum()
    rows = [
        (model, f"fold{fold}", name, share)
        for model in models
        for fold in (1, 2, 3)
        for name, share in zip(names, shares, strict=True)
    ]
    schema = {"model": pl.String, "fold": pl.String, "feature": pl.String, "importance": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _features() -> pl.DataFrame:
    """Numbers that rise or fall from the first feature to the last; one feature is always null."""
    names = _names_of_features()
    nulls = {"null_train": (0.0, 0.3), "null_eval": (0.0, 0.3), "null_test": (0.0, 0.5)}
    numbers = {"score": (0.64, 0.5), **nulls, "psi": (0.35, 0.001), "seconds": (0.1, 2.0)}
    frame = pl.DataFrame(
        {
            "feature": names,
            "meaning": [f"Smoothed share of exposures number {n} with a like." for n in range(len(names))],
            "dtype": "Float32",
            **{name: np.linspace(*ends, len(names)) for name, ends in numbers.items()},
            "drifts": [
                psi > 0.2 and n != 2 for n, psi in enumerate(np.linspace(*numbers["psi"], len(names)))
            ],
            "nulls_change": np.linspace(0.0, 0.2, len(names)) > 0.1,
        }
    )
    empty = {name: pl.lit(1.0 if name in nulls else None, pl.Float64) for name in numbers}
    is_empty = pl.col("feature") == "empty__user_id"
    return frame.with_columns(
        pl.when(is_empty).then(value).otherwise(name).alias(name) for name, value in empty.items()
    )


def _fits(models: Sequence[str]) -> pl.DataFrame:
    rows = [
        (model, f"fold{fold}", 1.5 * fold, None if model == "popularity" else 100 * fold, stopped)
        for model in models
        for fold, stopped in ((1, "hold-out"), (2, "time budget"), (3, "converged"))
    ]
    return pl.DataFrame(
        rows, ["model", "fold", "seconds", ("iterations", pl.Int64), "stopped_by"], orient="row"
    )


@pytest.fixture(scope="session")
def bundle() -> CvBundle:
    return make_bundle()


@pytest.fixture(scope="session")
def rebuilt(bundle: CvBundle, cinema: Dataset) -> Rebuilt:
    """Build the report of the bundle with other fields, of another data set, or with an audit."""

    def build(
        n_resamples: int = 10, dataset: Dataset = cinema, audit: AuditReport | None = None, **fields: Any
    ) -> Report:
        return build_report(replace(bundle, **fields), dataset, audit=audit, n_resamples=n_resamples)

    return build


@pytest.fixture(scope="session")
def run_report(cinema: Dataset) -> RunReport:
    """Store a bundle in a folder and run ``python -m validation report`` on it: what it printed, and its page."""

    def run(bundle: CvBundle, folder: Path, data: str = "data") -> tuple[str, Path]:
        store = Store(folder / "store")
        recipe = Recipe("cv", "cinema", {"data": data})
        store.put(recipe, bundle.write)
        store.point(pointer_to("cv", "cinema", Path(data)), recipe)
        folders = [f"--set={name}={str(folder / name)!r}" for name in ("store", "reports")]
        folders.append(f"--set=data={data!r}")
        with opened(cinema):
            result = CliRunner().invoke(app, [*folders, "report"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout, folder / "reports" / "cinema" / "cv.html"

    return run
