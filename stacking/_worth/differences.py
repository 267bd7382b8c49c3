"""Is one set of scores better than another? Differences over all folds, each an artifact of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from competitions import Competition
from engine import DataError, Recipe, Task, cached_digest, run_tasks
from models import read_json, write_json
from stacking._pairs import PairReader
from stacking._plan import FORMAT, Plan, metric_parts
from validation import Difference, Window, evaluate, paired_bootstrap

Scored = Mapping[Window, Sequence[tuple[Recipe, Path]]]
"""Of each window the artifacts with ``scores.parquet``; several are repeats, and the mean of their values counts."""


@dataclass(frozen=True)
class Measured:
    """A metric with and without something, in the metric's own direction.

    Attributes
    ----------
    change
        Second minus first, with the interval over users, each with all their windows.
    first, second
        The metric of both, mean over the windows.
    by_window
        Change in each window, by its name.
    """

    change: Difference
    first: float
    second: float
    by_window: Mapping[str, float]

    def is_better(self, *, greater: bool) -> bool:
        """Tell whether the second is surely better."""
        return self.change.excludes_zero and (self.change.low > 0) == greater


def score_sets(
    plan: Plan, title: str, n_sets: int, asked: Sequence[tuple[int, Window, Task]]
) -> list[Scored]:
    """Score sets of columns: each task is for a set's number and a window; of each set the artifacts by window."""
    tasks = [task for *_, task in asked]
    folders = run_tasks(title, tasks, plan.store, plan.settings, threads_per_job=plan.threads_per_fit)
    found: list[dict[Window, list[tuple[Recipe, Path]]]] = [{} for _ in range(n_sets)]
    for (number, window, task), folder in zip(asked, folders, strict=True):
        found[number][window] = [(task.recipe, folder)]
    return list[Scored](found)


@dataclass(frozen=True)
class Comparison:
    """Two sets of scores of the same windows' pairs. ``name`` says in words what is compared."""

    name: str
    first: Scored
    second: Scored


def measure(
    plan: Plan, comparisons: Sequence[Comparison], *, n_resamples: int = 1000, level: float = 0.95
) -> list[Measured]:
    """Measure each comparison, or find it in the store."""
    windows = sorted({w for c in comparisons for w in c.first})
    labels = _label_file(plan, windows) if windows else Path()
    shared = (plan.dataset.competition, labels, n_resamples, level, plan.settings.seed)
    tasks = [
        Task(
            _recipe(plan, comparison, n_resamples, level),
            write_difference,
            (_files(comparison.first), _files(comparison.second), *shared),
        )
        for comparison in comparisons
    ]
    folders = run_tasks("Differences", tasks, plan.store, plan.settings)
    return [read_json(folder / "difference.json", Measured) for folder in folders]


def _recipe(plan: Plan, comparison: Comparison, n_resamples: int, level: float) -> Recipe:
    def keys(scored: Scored) -> dict[str, Any]:
        return {w.name: [recipe.key for recipe, _ in scored[w]] for w in sorted(scored)}

    parts: dict[str, Any] = {
        "first": keys(comparison.first),
        "second": keys(comparison.second),
        "metric": metric_parts(plan.dataset.competition.metric),
        "code": cached_digest(paired_bootstrap),
        "data": plan.dataset.fingerprint,
        "n_resamples": n_resamples,
        "level": level,
        "seed": plan.settings.seed,
        "format": FORMAT,
    }
    return Recipe("difference", plan.name(comparison.name), parts)


def _files(scored: Scored) -> dict[int, list[Path]]:
    return {w.cutoff: [folder / "scores.parquet" for _, folder in scored[w]] for w in sorted(scored)}


def _label_file(plan: Plan, windows: Sequence[Window]) -> Path:
    """Labels of windows, read from the log once: ``window``, ``pair_id``, the user, ``relevance``."""
    words = plan.name(f"labels of {', '.join(w.name for w in windows)}")
    parts: dict[str, Any] = {
        "pairs": plan.frame_keys(windows, ()),
        "data": plan.dataset.fingerprint,
        "format": FORMAT,
    }
    build = partial(write_labels, reader=plan.reader, windows=windows)
    return plan.store.make(Recipe("labels", words, parts), build) / "labels.parquet"


def write_labels(folder: Path, reader: PairReader, windows: Sequence[Window]) -> None:
    """Write ``labels.parquet``."""
    pairs = reader.read(windows, (), labels=True)
    pairs.table.select("window", "pair_id", pairs.user, "relevance").write_parquet(folder / "labels.parquet")


def write_difference(
    folder: Path,
    first: Mapping[int, Sequence[Path]],
    second: Mapping[int, Sequence[Path]],
    competition: Competition,
    labels: Path,
    n_resamples: int,
    level: float,
    seed: int,
) -> None:
    """Write ``difference.json``: what ``Measured`` holds. Runs in a worker."""
    rows = pl.read_parquet(labels).filter(pl.col("window").is_in(list(first)))
    rows, a = _joined(rows, first, "a")
    rows, b = _joined(rows, second, "b")
    metric, user, group = competition.metric, competition.user, ["window", competition.user]
    change = paired_bootstrap(
        rows,
        metric,
        user=user,
        group=group,
        score_a=a,
        score_b=b,
        n_resamples=n_resamples,
        level=level,
        seed=seed,
    )

    def mean_value(window: int, columns: Sequence[str]) -> float:
        of_window = rows.filter(pl.col("window") == window)
        return sum(evaluate(metric, of_window, group=group, score=c) for c in columns) / len(columns)

    values = {str(w): (mean_value(w, a), mean_value(w, b)) for w in first}
    measured = Measured(
        change=change,
        first=sum(v for v, _ in values.values()) / len(values),
        second=sum(v for _, v in values.values()) / len(values),
        by_window={w: after - before for w, (before, after) in values.items()},
    )
    write_json(folder / "difference.json", measured)


def _joined(
    rows: pl.DataFrame, files: Mapping[int, Sequence[Path]], side: str
) -> tuple[pl.DataFrame, list[str]]:
    """Join the score columns of a side, as many as a window has repeats; every file may hold several."""
    windows = []
    for window, of_window in files.items():
        tables = [pl.read_parquet(file) for file in of_window]
        scored = rows.filter(pl.col("window") == window).select("window", "pair_id")
        n_found = 0
        for table in tables:
            columns = [c for c in table.columns if c != "pair_id"]
            names = {c: f"{side}{n_found + i}" for i, c in enumerate(columns)}
            scored = scored.join(
                table.rename(names), on="pair_id", how="left", validate="1:1", maintain_order="left"
            )
            n_found += len(columns)
        windows.append(scored)
    scores = pl.concat(windows)
    added = [c for c in scores.columns if c not in ("window", "pair_id")]
    if any(scores[c].null_count() for c in added):
        raise DataError(
            "Some pairs of the windows have no score.",
            expected="one score for each pair",
            todo="remove the scores with `python -m engine store prune` and run again",
        )
    return rows.join(
        scores, on=["window", "pair_id"], how="inner", validate="1:1", maintain_order="left"
    ), added
