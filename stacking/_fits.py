"""Fits of every model on every fold, and their scores of the pairs after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from engine import Recipe, Task, TaskError, cached_digest, digest_json, run_tasks
from features import compute_features
from models import FitContext, Ranker, Scores, fitted_class
from stacking._pairs import PairReader, TrainingSample, hashes_of
from stacking._plan import FORMAT, Plan
from stacking._shortlist import N_PARTS, Shortlist, windows_before, with_places
from validation import Fold, Window


@dataclass(frozen=True)
class Fit:
    """One model on one fold: the recipes of its fit and of its scores, and how many iterations it is given.

    ``columns``: the features that it gets. ``n_seed``: see ``Plan.n_seed``.
    """

    model: str
    fold: Fold
    columns: tuple[str, ...]
    iterations: int | None
    fit: Recipe
    scores: Recipe
    n_seed: int = 0


def plan_fit(
    plan: Plan,
    model: str,
    fold: Fold,
    iterations: int | None = None,
    columns: Sequence[str] | None = None,
) -> Fit:
    """Write the recipes of a fit. Reads no frame, so it takes no time.

    Names hold the window and not the fold's number: with one fold more the others stay what they are. A fit on
    other ``columns`` than the model's, or under another seed, has a name of its own: it is not the model's, changed.
    """
    columns = plan.columns[model] if columns is None else tuple(columns)
    name = plan.name(f"{model}{_variant(plan, model, columns)} @ {fold.eval.name}")
    fit = Recipe(
        "fit",
        name,
        {
            **plan.parts[model],
            "columns": list(columns),
            "features": plan.frame_keys(fold.train, columns),
            "seed": plan.settings.seed,
            "threads": plan.threads_per_fit,
            "iterations": iterations,
            "format": FORMAT,
            **plan.sample.parts,
            **shortlist_parts(plan, model, fold.train),
        },
    )
    of_scores: dict[str, Any] = {"fit": fit.key, "features": plan.frame_keys([fold.eval], columns)}
    scores = Recipe("scores", name, {**of_scores, **shortlist_parts(plan, model, [fold.eval])})
    return Fit(model, fold, columns, iterations, fit, scores, plan.n_seed)


def _variant(plan: Plan, model: str, columns: tuple[str, ...]) -> str:
    """Words for what differs from the model of the config; none if nothing does."""
    of_columns = "" if columns == plan.columns[model] else f" on columns {digest_json(list(columns))[:8]}"
    return of_columns + (f" under seed {plan.settings.seed}" if plan.n_seed else "")


def shortlist_parts(plan: Plan, model: str, windows: Iterable[Window]) -> dict[str, Any]:
    """What the pairs that a model sees of windows are made of beside their features; nothing if it sees all."""
    if plan.prerank is None or model == plan.prerank.model:
        return {}
    return {"shortlist": {w.name: shortlist_recipe(plan, w).key for w in windows}}


def shortlist_recipe(plan: Plan, window: Window) -> Recipe:
    """Recipe of what the pre-ranker leaves of a window.

    Its scores are of a fit on the windows before it, as those of an eval window or the test window: so a window has one
    list, whatever it serves, and no label of a pair that is cut, or of its window, has had a say. A window before which
    no labels are known is cut by users, and each part is scored by a fit on the others. The list is the same for all
    seeds of a repeat.
    """
    if plan.prerank is None:
        raise TaskError("There is no pre-ranker in the plan.", expected="`prerank` in the settings")
    base = replace(plan.reseeded(-plan.n_seed), n_seed=0)
    parts: dict[str, Any] = {
        "code": cached_digest(with_places),
        "keep": plan.prerank.keep,
        "scores": [recipe.key for recipe in prerank_scores(base, window)],
        "format": FORMAT,
    }
    return Recipe("shortlist", plan.name(f"pairs of {window.name}"), parts)


def prerank_scores(plan: Plan, window: Window) -> list[Recipe]:
    """Recipes of the pre-ranker's scores of a window: one of all its pairs, or one of each part of its users."""
    fit = prerank_fit(plan, window)
    return [_part_recipe(plan, window, part) for part in range(N_PARTS)] if fit is None else [fit.scores]


def prerank_fit(plan: Plan, window: Window) -> Fit | None:
    """Plan the pre-ranker's fit on the windows before this one; None if no labels are known there."""
    before = windows_before(plan.folds, window, plan.n_pairs)
    fold = Fold(f"before {window.name}", before, window)
    return plan_fit(plan, _preranker(plan), fold) if before else None


def _preranker(plan: Plan) -> str:
    return "" if plan.prerank is None else plan.prerank.model


def _part_recipe(plan: Plan, window: Window, part: int) -> Recipe:
    model = _preranker(plan)
    parts: dict[str, Any] = {
        **plan.parts[model],
        "code of parts": cached_digest(_part_of),
        "columns": list(plan.columns[model]),
        "features": plan.frame_keys([window], plan.columns[model]),
        "part": [part, N_PARTS],
        "seed": plan.settings.seed,
        "threads": plan.threads_per_fit,
        "format": FORMAT,
        **plan.sample.parts,
    }
    return Recipe("scores", plan.name(f"{model} @ {window.name}, part {part} of its users"), parts)


def reader_for(plan: Plan, model: str, windows: Iterable[Window]) -> PairReader:
    """Read what a model sees of windows: all pairs, or those on the shortlist, which is made if need be."""
    if plan.prerank is None or model == plan.prerank.model:
        return plan.reader
    return replace(plan.reader, shortlist=make_shortlist(plan, windows))


def make_shortlist(plan: Plan, windows: Iterable[Window]) -> Shortlist:
    """Make the shortlist of windows, or find it: the pre-ranker is fitted and scores them."""
    windows, user = sorted(set(windows)), plan.dataset.competition.user
    recipes = {w: shortlist_recipe(plan, w) for w in windows}
    found = {w.cutoff: plan.store.find(recipes[w]) for w in windows}
    missing = [w for w in windows if found[w.cutoff] is None]
    if missing and plan.prerank is not None:
        base = replace(plan.reseeded(-plan.n_seed), n_seed=0)
        for w, scores in _prerank(base, missing).items():
            build = partial(write_shortlist, base.reader, w, scores, plan.prerank.keep)
            found[w.cutoff] = plan.store.make(recipes[w], build)
    return Shortlist(user, {cutoff: folder for cutoff, folder in found.items() if folder is not None})


def _prerank(plan: Plan, windows: Sequence[Window]) -> dict[Window, list[Path]]:
    """Score windows by the pre-ranker: of each the folders with ``scores.parquet``."""
    model, threads = _preranker(plan), plan.threads_per_fit
    columns, fits = plan.columns[model], {w: prerank_fit(plan, w) for w in windows}
    read = {x for w, fit in fits.items() for x in (w, *(() if fit is None else fit.fold.train))}
    compute_features(plan.catalogue, sorted(read), columns, plan.store, plan.settings)
    done = run_fits(plan, [fit for fit in fits.values() if fit is not None], "Pre-ranker")
    found = {d.fit.fold.eval: [d.scores] for d in done}
    alone = [w for w, fit in fits.items() if fit is None]
    context = FitContext(plan.settings.seed, threads, metric=plan.dataset.competition.metric)
    shared = (plan.reader, plan.models[model], columns)
    tasks = [
        Task(_part_recipe(plan, w, part), score_part, (*shared, w, part, context, plan.sample))
        for w in alone
        for part in range(N_PARTS)
    ]
    folders = []
    if tasks:
        folders = run_tasks("Pre-ranker: by users", tasks, plan.store, plan.settings, threads_per_job=threads)
    return found | {w: folders[n * N_PARTS : (n + 1) * N_PARTS] for n, w in enumerate(alone)}


def score_part(
    folder: Path,
    reader: PairReader,
    model: Ranker,
    columns: Sequence[str],
    window: Window,
    part: int,
    context: FitContext,
    sample: TrainingSample,
) -> None:
    """Score the pairs of a part of the users by a model fitted on those of the others; write ``scores.parquet``.

    Where there are no others every score is 0: nothing is told apart, and so nothing is cut.
    """
    frame = reader.read([window], columns, labels=False)
    users = frame.table[frame.user].unique().sort()
    own = pl.col(frame.user).is_in(users.filter(_part_of(users, context.seed) == part).implode())
    pairs = frame.take(own)
    train = reader.read([window], columns, labels=True, sample=sample).take(~own)
    scores = np.zeros(pairs.height)
    if train.height and pairs.height:
        found = model.fit(train, replace(context, scratch=folder)).predict(pairs)
        scores = check_scores(found, pairs.height, f"The pre-ranker ({window.name}, part {part})")
    pairs.table.select("pair_id", score=pl.Series(scores)).write_parquet(folder / "scores.parquet")


def _part_of(users: pl.Series, seed: int) -> pl.Series:
    """Part of each user, 0 to N_PARTS - 1, by a hash of the id: the same whatever other users there are."""
    return pl.Series(hashes_of(users, seed) % N_PARTS)


def write_shortlist(
    reader: PairReader, window: Window, scores: Sequence[Path], keep: float, folder: Path
) -> None:
    """Write ``shortlist.parquet``: see ``Shortlist``."""
    pairs = reader.read([window], (), labels=False)
    found = pl.concat([pl.read_parquet(where / "scores.parquet") for where in scores])
    table = pairs.table.select("window", "pair_id", pairs.user)
    scored = table.join(found, on="pair_id", how="left", validate="1:1", maintain_order="left")
    if scored["score"].null_count() or found.height != scored.height:
        raise TaskError(
            f"The pre-ranker's scores in {window.name} are for other pairs than the window's.",
            expected=f"one score for each of its {scored.height} pairs",
            todo="remove the artifacts with `python -m engine store prune` and run again",
        )
    with_places(scored, pairs.user, keep).write_parquet(folder / "shortlist.parquet")


def plan_cv_fits(plan: Plan) -> list[Fit]:
    """Every model on every fold, the folds in order and the models in the order of the config."""
    return [plan_fit(plan, model, fold) for fold in plan.folds.folds for model in plan.models]


@dataclass(frozen=True)
class Done:
    """A finished fit: the folder of its artifact and that of its scores."""

    fit: Fit
    folder: Path
    scores: Path


def run_fits(plan: Plan, fits: Sequence[Fit], title: str) -> list[Done]:
    """Fit and score what is not in the store.

    Scores that are there need no fit, but every fit is asked for all the same: its report is part of the result.
    """
    store, settings, threads = plan.store, plan.settings, plan.threads_per_fit
    windows = {f.model: {w for g in fits for w in (*g.fold.train, g.fold.eval)} for f in fits}
    readers = {model: reader_for(plan, model, seen) for model, seen in windows.items()}
    shared = [(readers[f.model], plan.models[f.model], f.columns) for f in fits]
    metric = plan.dataset.competition.metric
    contexts = [FitContext(settings.seed, threads, f.iterations, metric=metric) for f in fits]
    fit_tasks = [
        Task(f.fit, fit_model, (*args, f.fold.train, context, plan.sample))
        for f, args, context in zip(fits, shared, contexts, strict=True)
    ]
    folders = run_tasks(f"{title}: fit", fit_tasks, store, settings, threads_per_job=threads)
    score_tasks = [
        Task(f.scores, score_pairs, (*args, f.fold, where, f.model))
        for f, args, where in zip(fits, shared, folders, strict=True)
    ]
    scores = run_tasks(f"{title}: score", score_tasks, store, settings, threads_per_job=threads)
    return [Done(*done) for done in zip(fits, folders, scores, strict=True)]


def fit_model(
    folder: Path,
    reader: PairReader,
    model: Ranker,
    columns: Sequence[str],
    windows: Sequence[Window],
    context: FitContext,
    sample: TrainingSample,
) -> None:
    """Fit a model on windows; write ``model/`` (its own files) and ``report.json`` (FitReport and ``seconds``).

    Runs in a worker: reads its frame from the store itself, since a frame is larger than what names it.
    """
    train = reader.read(windows, columns, labels=True, sample=sample)
    began = perf_counter()
    fitted = model.fit(train, replace(context, scratch=folder))
    seconds = perf_counter() - began
    (folder / "model").mkdir()
    if not isinstance(fitted, fitted_class(model)):
        raise TaskError(f"The fit of {model} gave {fitted!r}.", expected="what it is annotated with")
    fitted.save(folder / "model")
    facts = {**asdict(fitted.report), "seconds": seconds}
    text = json.dumps(facts, default=lambda number: number.item())  # numpy's numbers
    (folder / "report.json").write_text(text, encoding="utf-8")


def read_report(folder: Path) -> dict[str, Any]:
    """Read what a fit tells about itself, and its wall time in ``seconds``."""
    facts: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return facts


def score_pairs(
    folder: Path,
    reader: PairReader,
    model: Ranker,
    columns: Sequence[str],
    fold: Fold,
    where: Path,
    name: str,
) -> None:
    """Score the pairs of a fold's eval window; write ``scores.parquet`` (``pair_id``, ``score`` Float64).

    With a shortlist the pairs that are not on it are not seen by the model, and get a score behind those that are.
    """
    frame = reader.read([fold.eval], columns, labels=False)
    found = fitted_class(model).load(where / "model").predict(frame)
    scores = check_scores(found, frame.table.height, f"The model {name!r} ({fold.name})")
    table = all_pairs(reader, frame.table.select("window", "pair_id", score=pl.Series(scores)), ["score"])
    table.select("pair_id", "score").write_parquet(folder / "scores.parquet")


def all_pairs(reader: PairReader, scores: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Scores of all pairs of a window, of those that the reader reads: see ``Shortlist.completed``."""
    return scores if reader.shortlist is None else reader.shortlist.completed(scores, names)


def check_scores(given: object, n_pairs: int, who: str) -> Scores:
    """Read scores, Float64 (n_pairs,). Raises TaskError unless they are one finite number a pair."""
    scores = np.asarray(given, dtype=np.float64)
    if scores.shape != (n_pairs,):
        raise TaskError(
            f"{who} gave scores of shape {scores.shape}.", expected=f"one score a pair: ({n_pairs},)"
        )
    n_bad = int((~np.isfinite(scores)).sum())
    if n_bad:
        raise TaskError(
            f"{who} gave {n_bad} scores that are null or infinite, of {n_pairs}.",
            expected="finite scores",
            todo="look at its `predict`: nulls in the features must not become nulls in the score",
        )
    return scores
