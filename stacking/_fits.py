"""Fits of every model on every fold, and their scores of the pairs after it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import polars as pl

from engine import Recipe, Task, TaskError, digest_json, run_tasks
from models import FitContext, Ranker, Scores, fitted_class
from stacking._pairs import PairReader, TrainingSample
from stacking._plan import FORMAT, Plan
from validation import Fold, Window, is_test, window_pairs, window_relevance

_TEXTS = {"model": pl.String, "fold": pl.String}
_OF_FEATURES = {"feature": pl.String, "importance": pl.Float64}
_OF_FITS = {
    "seconds": pl.Float64,
    "iterations": pl.Int64,
    "stopped_by": pl.String,
    "training_loss": pl.Float64,
    "loss": pl.String,
}


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
        },
    )
    scores = Recipe("scores", name, {"fit": fit.key, "features": plan.frame_keys([fold.eval], columns)})
    return Fit(model, fold, columns, iterations, fit, scores, plan.n_seed)


def _variant(plan: Plan, model: str, columns: tuple[str, ...]) -> str:
    """Words for what differs from the model of the config; none if nothing does."""
    of_columns = "" if columns == plan.columns[model] else f" on columns {digest_json(list(columns))[:8]}"
    return of_columns + (f" under seed {plan.settings.seed}" if plan.n_seed else "")


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
    shared = [(plan.reader, plan.models[f.model], f.columns) for f in fits]
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
    """Score the pairs of a fold's eval window; write ``scores.parquet`` (``pair_id``, ``score`` Float64)."""
    frame = reader.read([fold.eval], columns, labels=False)
    found = fitted_class(model).load(where / "model").predict(frame)
    scores = check_scores(found, frame.table.height, f"The model {name!r} ({fold.name})")
    frame.table.select("pair_id", score=pl.Series(scores)).write_parquet(folder / "scores.parquet")


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


def join_scores(plan: Plan, window: Window, scores: Mapping[str, Path]) -> pl.DataFrame:
    """Put the models' scores of a window side by side: keys, ``relevance`` if there are labels, a column a model.

    Joined on ``pair_id``, never by position; sorted by (window, user, pair_id). Raises TaskError when a pair has
    no score.
    """
    c = plan.dataset.competition
    pairs = window_pairs(plan.dataset, window).select(
        pl.lit(window.cutoff, dtype=pl.Int64).alias("window"), "pair_id", c.user, c.item
    )
    if not is_test(plan.dataset, window):
        pairs = pairs.join(window_relevance(plan.dataset, window), on="pair_id", how="left", validate="1:1")
    for model, folder in scores.items():
        table = pl.read_parquet(folder / "scores.parquet").rename({"score": model})
        pairs = pairs.join(table, on="pair_id", how="left", validate="1:1")
        if pairs[model].null_count() or table.height != pairs.height:
            raise TaskError(
                f"The scores of {model!r} in {window.name} are for other pairs than the window's.",
                expected=f"one score for each of its {pairs.height} pairs",
                todo="remove the artifact with `python -m engine store prune` and run again",
            )
    return pairs.sort("window", c.user, "pair_id")


def oof_recipe(plan: Plan, fits: Sequence[Fit]) -> Recipe:
    """Recipe of the table of out-of-fold scores of every model."""
    upstream = {f"{f.model} @ {f.fold.name}": f.scores.key for f in fits}
    models = list(plan.models)
    return Recipe(
        "oof",
        plan.name("models"),
        {"models": models, "scores": upstream, "data": plan.dataset.fingerprint, "format": FORMAT},
    )


def make_oof(plan: Plan) -> Path:
    """Make the out-of-fold scores of every model; returns the folder with ``oof.parquet``.

    Models that predict a fold's eval window have seen earlier windows only. Beside the scores lie the facts of the
    fits, ``importance.parquet`` and ``fits.parquet``: with this artifact in the store the fits may be pruned.
    """
    fits = plan_cv_fits(plan)
    recipe = oof_recipe(plan, fits)
    return plan.store.find(recipe) or plan.store.put(recipe, partial(_write_oof, plan, fits))


def _write_oof(plan: Plan, fits: Sequence[Fit], folder: Path) -> None:
    """Write ``oof.parquet``: ``fold``, ``window``, ``pair_id``, user, item, ``relevance``, a column a model."""
    done = run_fits(plan, fits, "Models")
    tables = [
        join_scores(plan, fold.eval, {d.fit.model: d.scores for d in done if d.fit.fold == fold}).select(
            pl.lit(fold.name).alias("fold"), pl.all()
        )
        for fold in plan.folds.folds
    ]
    pl.concat(tables).write_parquet(folder / "oof.parquet")
    reports = [((d.fit.model, d.fit.fold.name), read_report(d.folder)) for d in done]
    shares = [(*who, *share) for who, report in reports for share in report["importance"].items()]
    facts = [(*who, *(report[name] for name in _OF_FITS)) for who, report in reports]
    for name, rows, schema in (("importance", shares, _OF_FEATURES), ("fits", facts, _OF_FITS)):
        table = pl.DataFrame(rows, schema={**_TEXTS, **schema}, orient="row")
        table.write_parquet(folder / f"{name}.parquet")
