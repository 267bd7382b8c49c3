"""Facts about each feature column that need no model: its own score, nulls, drift, cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import polars as pl

from competitions import Competition
from engine import Recipe, Store, Task, run_tasks
from features import Catalogue, column_recipes
from models import PairFrame
from stacking._pairs import read_pairs
from stacking._parts import FORMAT, digest, metric_parts
from stacking._plan import Plan
from validation import Folds, Window, get_metric, psi, single_feature_score

SCHEMA = {
    "feature": pl.String,
    "meaning": pl.String,
    "dtype": pl.String,
    "score": pl.Float64,
    "null_train": pl.Float64,
    "null_eval": pl.Float64,
    "null_test": pl.Float64,
    "psi": pl.Float64,
    "seconds": pl.Float64,
}


def families(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The columns that models get, by the file they are written in.

    A file's columns are one artifact: a new file costs its own columns only, and a task is worth its start.
    """
    files: dict[str, list[str]] = {}
    for name in plan.all_columns:
        files.setdefault(plan.catalogue.columns[name].family, []).append(name)
    return {family: tuple(columns) for family, columns in files.items()}


def card_recipe(plan: Plan, family: str, columns: Sequence[str]) -> Recipe:
    """Recipe of the facts of one file's columns."""
    facts: dict[str, Any] = {
        "code": [digest(psi), digest(single_feature_score)],
        "format": FORMAT,
        "meanings": {c: plan.catalogue.columns[c].meaning for c in columns},
        "metric": metric_parts(plan.dataset.competition.metric),
        "eval": [w.name for w in plan.eval_windows],
        "features": plan.frame_keys(plan.folds.windows, columns),
    }
    return Recipe("cards", plan.name(family), facts)


def make_cards(plan: Plan) -> pl.DataFrame:
    """Make the features table of the bundle (see ``validation.CvBundle``), in the order of the catalogue."""
    files = families(plan)
    tasks = [
        Task(
            card_recipe(plan, family, columns),
            write_cards,
            (plan.catalogue, plan.store.root, plan.folds, columns),
        )
        for family, columns in files.items()
    ]
    folders = run_tasks("Features: scores and drift", tasks, plan.store, plan.settings)
    order = pl.DataFrame({"feature": plan.all_columns}, schema={"feature": pl.String})
    tables = [pl.read_parquet(f / "cards.parquet") for f in folders]
    cards = pl.concat(tables) if tables else pl.DataFrame(schema=SCHEMA)
    return order.join(cards, on="feature", how="left", validate="1:1", maintain_order="left")


def write_cards(
    folder: Path,
    catalogue: Catalogue,
    root: Path,
    folds: Folds,
    columns: Sequence[str],
) -> None:
    """Write ``cards.parquet``: one row a column. Runs in a worker and reads its frames from the store."""
    store = Store(root)
    train = read_pairs(catalogue, folds.final.train, columns, store, labels=True)
    evals = [read_pairs(catalogue, [f.eval], columns, store, labels=True) for f in folds.folds]
    test = read_pairs(catalogue, [folds.final.eval], columns, store, labels=False)
    seconds = _seconds(catalogue, folds.windows, columns, store)
    rows = [
        {
            "feature": c,
            "meaning": catalogue.columns[c].meaning,
            "dtype": _dtype_name(train.schema[c]),
            "score": _own_score(catalogue.dataset.competition, evals, c),
            "null_train": _null_share([train], c),
            "null_eval": _null_share(evals, c),
            "null_test": _null_share([test], c),
            "psi": _drift(train.column(c), test.column(c)),
            "seconds": seconds[c],
        }
        for c in columns
    ]
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "cards.parquet")


def _seconds(
    catalogue: Catalogue, windows: Sequence[Window], columns: Sequence[str], store: Store
) -> dict[str, float | None]:
    """Cost of each column over all windows, when it was computed last; null if a window's is not known."""
    recipes = [column_recipes(catalogue, w, columns) for w in windows]
    costs = {c: [store.seconds(of_window[c]) for of_window in recipes] for c in columns}
    return {c: None if None in cost else sum(s for s in cost if s is not None) for c, cost in costs.items()}


def _null_share(frames: Sequence[PairFrame], column: str) -> float:
    return sum(f.column(column).null_count() for f in frames) / sum(f.table.height for f in frames)


def _own_score(competition: Competition, evals: Sequence[PairFrame], column: str) -> float | None:
    """The metric over all eval windows with the column alone as the score, in the better direction.

    One direction for all windows: the better one of each would flatter noise. Null for categoricals, for metrics
    that need predictions rather than an order, and where no group counts.
    """
    metric, dtype = competition.metric, evals[0].schema[column]
    if not (dtype.is_numeric() or dtype == pl.Boolean) or get_metric(metric.name).scope == "pooled":
        return None
    keys = ["window", competition.user, "relevance"]
    rows = pl.concat([e.columns(list(dict.fromkeys([*keys, column]))) for e in evals])
    value = single_feature_score(metric, rows, column, group=keys[:2]).value
    return None if isnan(value) else value


def _drift(train: pl.Series, test: pl.Series) -> float | None:
    """PSI; null for what models need beside numbers and categories, such as vectors."""
    dtype = train.dtype
    has_bins = dtype.is_numeric() or dtype == pl.Boolean or isinstance(dtype, pl.Enum)
    return psi(train, test) if has_bins else None


def _dtype_name(dtype: pl.DataType) -> str:
    return f"Enum({len(dtype.categories)})" if isinstance(dtype, pl.Enum) else str(dtype)
