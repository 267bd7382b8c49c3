"""Folds within the train windows, so that a choice made on them leaves every eval window unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine import Recipe, Store, Task, run_tasks
from features import Catalogue
from models import FitContext, PairFrame, Ranker
from stacking._oof import check_scores
from stacking._pairs import read_pairs
from stacking._parts import FORMAT
from stacking._plan import Plan
from stacking._sample import TrainingSample
from stacking._worth.differences import Scored
from validation import Window

N_INNER = 2  # eval windows of the inner folds, if there are train windows for them


@dataclass(frozen=True)
class InnerFold:
    """Train windows and the window that is predicted, all of them train windows of the first fold.

    ``by_users``: the only train window predicts itself: its users are cut into halves by a hash of their ids, and each
    half is scored by a model that was fitted on the other.
    """

    train: tuple[Window, ...]
    eval: Window
    by_users: bool


def inner_folds(plan: Plan) -> tuple[InnerFold, ...]:
    """Cut the train windows of the first fold, which come before every eval window.

    A window can be predicted if the targets of another are known at its cutoff. The last two that can be are predicted
    (or the one), each by the same number of such windows. If none can be, the last window is cut by users.
    """
    windows = sorted(plan.folds.folds[0].train)
    known = {e: [w for w in windows if w.until <= e.cutoff] for e in windows}
    evals = [e for e in windows if known[e]][-N_INNER:]
    if not evals:
        return (InnerFold((windows[-1],), windows[-1], by_users=True),)
    n_train = min(len(known[e]) for e in evals)
    return tuple(InnerFold(tuple(known[e][-n_train:]), e, by_users=False) for e in evals)


def words_of(folds: Sequence[InnerFold]) -> str:
    """Say on what the choice is made."""
    if folds[0].by_users:
        return f"halves of the users of the train window {folds[0].eval.name}, each predicted by the other"
    return "; ".join(f"{' '.join(w.name for w in f.train)} -> {f.eval.name}" for f in folds)


def inner_recipe(plan: Plan, model: str, fold: InnerFold, columns: Sequence[str]) -> Recipe:
    """Recipe of the scores of a model on these columns on an inner fold; without columns they are all 0."""
    windows = sorted({*fold.train, fold.eval})
    parts: dict[str, Any] = {
        **plan.parts[model],
        "columns": list(columns),
        "features": plan.frame_keys(windows, columns),
        "train": [w.name for w in fold.train],
        "eval": fold.eval.name,
        "by users": fold.by_users,
        "seed": plan.settings.seed,
        "threads": plan.threads_per_fit,
        "data": plan.dataset.fingerprint,
        "format": FORMAT,
        **TrainingSample.of(plan.settings).parts,
    }
    words = (
        f"{model} within {fold.eval.name} on {len(columns)} columns, {', '.join(columns[:1]) or 'none'} first"
    )
    return Recipe("inner", plan.name(words), parts)


def inner_scores(
    plan: Plan, model: str, folds: Sequence[InnerFold], sets: Sequence[Sequence[str]], title: str
) -> list[Scored]:
    """Fit and score the model on each set of columns on every inner fold, or find it in the store."""
    where = [(number, fold) for number in range(len(sets)) for fold in folds]
    context = FitContext(plan.settings.seed, plan.threads_per_fit)
    sample = TrainingSample.of(plan.settings)
    tasks = [
        Task(
            inner_recipe(plan, model, fold, sets[number]),
            write_inner,
            (plan.catalogue, plan.store.root, plan.models[model], tuple(sets[number]), fold, context, sample),
        )
        for number, fold in where
    ]
    folders = run_tasks(title, tasks, plan.store, plan.settings, threads_per_job=plan.threads_per_fit)
    found: list[dict[Window, list[tuple[Recipe, Path]]]] = [{} for _ in sets]
    for (number, fold), task, folder in zip(where, tasks, folders, strict=True):
        found[number][fold.eval] = [(task.recipe, folder)]
    return list[Scored](found)


def write_inner(
    folder: Path,
    catalogue: Catalogue,
    root: Path,
    model: Ranker,
    columns: Sequence[str],
    fold: InnerFold,
    context: FitContext,
    sample: TrainingSample,
) -> None:
    """Write ``scores.parquet`` of the fold's eval window, and ``importance.json``. Runs in a worker."""
    store = Store(root)
    frame = read_pairs(catalogue, [fold.eval], columns, store, labels=False)
    if not columns:
        frame.table.select("pair_id", score=pl.lit(0.0)).write_parquet(folder / "scores.parquet")
        (folder / "importance.json").write_text("{}", encoding="utf-8")
        return
    whole = None if sample.is_whole else sample
    train = read_pairs(catalogue, fold.train, columns, store, labels=True, sample=whole)
    splits = [(train, frame)]
    if fold.by_users:
        splits = [(_half(train, not h, context.seed), _half(frame, h, context.seed)) for h in (False, True)]
    tables, shares = [], dict.fromkeys(columns, 0.0)
    for rows, pairs in splits:
        fitted = model.fit(rows, replace(context, scratch=folder))
        scores = np.asarray(fitted.predict(pairs), dtype=np.float64)
        check_scores(scores, pairs.table.height, f"The model on {len(columns)} columns ({fold.eval.name})")
        tables.append(pairs.table.select("pair_id", score=pl.Series(scores)))
        for name, share in fitted.report.importance.items():
            shares[name] += share / len(splits)
    pl.concat(tables).write_parquet(folder / "scores.parquet")
    (folder / "importance.json").write_text(json.dumps(shares), encoding="utf-8")


def _half(frame: PairFrame, is_second: bool, seed: int) -> PairFrame:
    """Pairs of one half of the users, who are in it by a hash of their ids and the seed."""
    users = frame.table[frame.user].unique().sort()
    key = seed.to_bytes(8, "little")
    digests = (
        hashlib.blake2b(name.encode(), key=key, digest_size=8).digest() for name in users.cast(pl.String)
    )
    # The highest bit draws the shares of [training]: another one halves what they leave.
    second = pl.Series([bool(d[0] & 1) for d in digests], dtype=pl.Boolean)
    chosen = users.filter(second if is_second else ~second)
    return frame.take(pl.col(frame.user).is_in(chosen.implode()))
