"""Out-of-fold scores of every model, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from engine import Recipe, TaskError
from stacking._fits import Fit, plan_cv_fits, read_report, run_fits
from stacking._plan import FORMAT, Plan
from validation import Window, is_test, window_pairs, window_relevance

_TEXTS = {"model": pl.String, "fold": pl.String}
_OF_FEATURES = {"feature": pl.String, "importance": pl.Float64}
_OF_FITS = {
    "seconds": pl.Float64,
    "iterations": pl.Int64,
    "stopped_by": pl.String,
    "training_loss": pl.Float64,
    "loss": pl.String,
    "notes": pl.String,
}


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
    told = [(who, {**report, "notes": in_words(report["notes"])}) for who, report in reports]
    facts = [(*who, *(report[name] for name in _OF_FITS)) for who, report in told]
    for name, rows, schema in (("importance", shares, _OF_FEATURES), ("fits", facts, _OF_FITS)):
        table = pl.DataFrame(rows, schema={**_TEXTS, **schema}, orient="row")
        table.write_parquet(folder / f"{name}.parquet")


def in_words(notes: Mapping[str, object]) -> str:
    """What a fit tells of itself beside the rest, such as HITS@k on its hold-out; what is no number as it is."""
    numbers = {n: f"{v:.4g}" if isinstance(v, int | float) else str(v) for n, v in sorted(notes.items())}
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
