"""Windows and folds as tables for the terminal."""

from __future__ import annotations

import polars as pl
from rich.table import Table
from rich.text import Text

from competitions import Dataset
from validation._windows import Folds, Window, is_test, window_pairs


def plan_tables(dataset: Dataset, folds: Folds) -> tuple[Table, Table]:
    """Lay out the folds (which windows they train on and predict) and the windows with their sizes."""
    by_fold = Table(
        "fold", "train windows", "eval window", title="Folds", title_justify="left", header_style="dim"
    )
    for fold in (*folds.folds, folds.final):
        by_fold.add_row(Text(fold.name), Text(", ".join(w.name for w in fold.train)), Text(fold.eval.name))
    columns = ("history rows", "pairs", "users", "items")
    title = Text(f"Windows [cutoff-start-until], clock {dataset.competition.clock.kind}, half-open")
    by_window = Table("window", "serves", title=title, title_justify="left", header_style="dim")
    for column in columns:
        by_window.add_column(column, justify="right")
    for window in folds.windows:
        sizes = window_sizes(dataset, window)
        by_window.add_row(
            Text(window.name), _serves(dataset, folds, window), *[f"{size:,}" for size in sizes]
        )
    return by_fold, by_window


def window_sizes(dataset: Dataset, window: Window) -> tuple[int, int, int, int]:
    """Count a window's history rows, pairs, and the users and items of its pairs."""
    n_rows = window.history(dataset.log).select(pl.len()).collect(engine="streaming").item()
    pairs = window_pairs(dataset, window)
    competition = dataset.competition
    return n_rows, pairs.height, pairs[competition.user].n_unique(), pairs[competition.item].n_unique()


def _serves(dataset: Dataset, folds: Folds, window: Window) -> str:
    if is_test(dataset, window):
        return "test"
    is_train = any(window in fold.train for fold in (*folds.folds, folds.final))
    is_eval = any(window == fold.eval for fold in folds.folds)
    return " and ".join(text for text, does in (("train", is_train), ("eval", is_eval)) if does)
