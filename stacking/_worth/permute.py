"""Scores of a fitted model whose eval pairs have some columns shuffled within the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine import Recipe, Store, Task, run_tasks
from features import Catalogue
from models import PairFrame, Ranker, StoredColumns
from stacking._oof import Done, Fit, check_scores
from stacking._pairs import read_pairs
from stacking._parts import FORMAT
from stacking._plan import Plan
from stacking._worth.refits import Cost
from validation import Window

_HELD = 0.2  # share of a worker's memory that columns may take when they are kept for all repeats


@dataclass(frozen=True)
class Shuffling:
    """How columns are shuffled. ``n_repeats`` permutations, drawn from ``seed``, the window and the repeat's number.

    They are the same for every set of columns: sets are compared on the same shuffles.
    """

    n_repeats: int
    seed: int

    def order(self, window: Window, repeat: int, n_pairs: int) -> pl.Series:
        """Permutation of the window's pairs, UInt32 (n_pairs,)."""
        rng = np.random.default_rng([self.seed, repeat, window.cutoff % 2**63])
        return pl.Series(rng.permutation(n_pairs).astype(np.uint32))


def permuted_recipe(plan: Plan, fit: Fit, columns: Sequence[str], shuffling: Shuffling) -> Recipe:
    """Recipe of the scores of a fold's eval window with these columns shuffled by one permutation a repeat."""
    parts: dict[str, Any] = {
        "scores": fit.scores.key,
        "shuffled": sorted(columns),
        "n_repeats": shuffling.n_repeats,
        "seed": shuffling.seed,
        "format": FORMAT,
    }
    words = f"{fit.model} @ {fit.fold.eval.name} with {len(columns)} columns shuffled, {columns[0]} first"
    return Recipe("permuted", plan.name(words), parts)


def permuted_scores(
    plan: Plan, base: Sequence[Done], sets: Sequence[Sequence[str]], shuffling: Shuffling
) -> list[dict[Window, list[tuple[Recipe, Path]]]]:
    """Score every eval window with each set of columns shuffled; of each set the artifacts by window."""
    where = [(number, done) for number in range(len(sets)) for done in base]
    held = plan.settings.memory_gib * _HELD * 2**30 / max(1, plan.settings.threads)
    tasks = [
        Task(
            permuted_recipe(plan, done.fit, sets[number], shuffling),
            write_permuted,
            (
                plan.catalogue,
                plan.store.root,
                plan.models[done.fit.model],
                done.fit.columns,
                tuple(sets[number]),
                done.fit.fold.eval,
                done.folder,
                shuffling,
                held,
            ),
        )
        for number, done in where
    ]
    threads = plan.threads_per_fit
    folders = run_tasks("Shuffled: score", tasks, plan.store, plan.settings, threads_per_job=threads)
    found: list[dict[Window, list[tuple[Recipe, Path]]]] = [{} for _ in sets]
    for (number, done), task, folder in zip(where, tasks, folders, strict=True):
        found[number][done.fit.fold.eval] = [(task.recipe, folder)]
    return found


def permutation_cost(
    plan: Plan, base: Sequence[Fit], sets: Sequence[Sequence[str]], shuffling: Shuffling
) -> Cost:
    """Estimate from the seconds that the base scores took, which each repeat takes at most."""
    recipes = [(permuted_recipe(plan, fit, columns, shuffling), fit) for columns in sets for fit in base]
    missing = [fit for recipe, fit in recipes if plan.store.find(recipe) is None]
    each = [plan.store.seconds(fit.scores) for fit in missing]
    known = [s for s in each if s is not None]
    workers = max(1, plan.settings.threads // plan.threads_per_fit)
    # The columns are read once, which is about half of what the base scores took; the rest is repeated.
    seconds = sum(s / 2 + shuffling.n_repeats * s / 2 for s in known) / workers
    what = f"sets of shuffled scores of {shuffling.n_repeats} repeats"
    return Cost(what, len(recipes), len(recipes) - len(missing), seconds if len(known) == len(each) else None)


def write_permuted(
    folder: Path,
    catalogue: Catalogue,
    root: Path,
    model: Ranker,
    columns: Sequence[str],
    shuffled: Sequence[str],
    window: Window,
    where: Path,
    shuffling: Shuffling,
    most_bytes: float,
) -> None:
    """Write ``scores.parquet``: ``pair_id`` and ``score0``, ``score1``... Float64, one a repeat. Runs in a worker."""
    frame = read_pairs(catalogue, [window], columns, Store(root), labels=False)
    frame = replace(frame, stored=held(frame, most_bytes))
    fitted, table = model.fitted.load(where / "model"), frame.table.select("pair_id")
    for repeat in range(shuffling.n_repeats):
        order = shuffling.order(window, repeat, frame.table.height)
        scores = np.asarray(fitted.predict(shuffled_frame(frame, shuffled, order)), dtype=np.float64)
        check_scores(scores, frame.table.height, f"The model on shuffled columns ({window.name})")
        table = table.with_columns(pl.Series(f"score{repeat}", scores))
    table.write_parquet(folder / "scores.parquet")


def shuffled_frame(frame: PairFrame, columns: Sequence[str], order: pl.Series) -> PairFrame:
    """The same pairs, whose ``columns`` are those of the pairs at ``order``: of all of them the same pair's.

    ``order``: positions of the window's pairs as they are stored. Nothing is copied until a column is read.
    """
    stored = frame.stored
    if stored is None:
        return frame
    chosen, read = frozenset(columns), stored.read

    def shuffled(name: str) -> pl.Series:
        values = read(name)
        return values.gather(order) if name in chosen else values

    return replace(frame, stored=replace(stored, read=shuffled))


def held(frame: PairFrame, most_bytes: float) -> StoredColumns | None:
    """Columns that are read from the store once and kept, if all of them take no more than so many bytes."""
    stored = frame.stored
    if stored is None or 4.0 * frame.table.height * len(stored.schema) > most_bytes:
        return stored
    return replace(stored, read=_keeping(stored.read))


def _keeping(read: Callable[[str], pl.Series]) -> Callable[[str], pl.Series]:
    kept: dict[str, pl.Series] = {}

    def kept_or_read(name: str) -> pl.Series:
        if name not in kept:
            kept[name] = read(name)
        return kept[name]

    return kept_or_read
