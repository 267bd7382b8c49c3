"""Facts about each feature column that need no model: its own score, nulls, drift, cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from competitions import Competition
from engine import Recipe, Store, Task, run_tasks
from features import Catalogue, dtype_name, own_score, stored_seconds, train_test_psi
from models import PairFrame
from stacking._pairs import read_pairs
from stacking._parts import FORMAT, digest, metric_parts
from stacking._plan import Plan
from validation import Folds

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
        "code": [digest(train_test_psi), digest(own_score)],
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
    seconds = stored_seconds(catalogue, folds.windows, columns, store)
    rows = [
        {
            "feature": c,
            "meaning": catalogue.columns[c].meaning,
            "dtype": dtype_name(train.schema[c]),
            "score": _own_score(catalogue.dataset.competition, evals, c),
            "null_train": _null_share([train], c),
            "null_eval": _null_share(evals, c),
            "null_test": _null_share([test], c),
            "psi": train_test_psi(train.column(c), test.column(c)),
            "seconds": seconds[c],
        }
        for c in columns
    ]
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "cards.parquet")


def _null_share(frames: Sequence[PairFrame], column: str) -> float:
    return sum(f.column(column).null_count() for f in frames) / sum(f.table.height for f in frames)


def _own_score(competition: Competition, evals: Sequence[PairFrame], column: str) -> float | None:
    """Score over all eval windows; see ``own_score``."""
    wanted = list(dict.fromkeys(["window", competition.user, "relevance", column]))
    found = own_score(competition, pl.concat([e.columns(wanted) for e in evals]), column)
    return found.value if found else None
