"""Every blender scored leave-one-fold-out, and the choice among them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from engine import Recipe, Task, run_tasks
from stacking._blender import MIN_EVAL_WINDOWS, BlendContext, Blender, ScoreFrame, Scores
from stacking._oof import check_scores, oof_recipe, plan_cv_fits
from stacking._parts import FORMAT, metric_parts
from stacking._plan import Plan


def score_frame(oof: pl.DataFrame, models: Sequence[str], user: str) -> ScoreFrame:
    """Cut what blenders may see out of the out-of-fold table: no fold names, no item keys."""
    labels = ["relevance"] if "relevance" in oof.columns else []
    return ScoreFrame(oof.select("pair_id", "window", user, *labels, *models), tuple(models), user)


def leave_one_fold_out(blender: Blender, oof: ScoreFrame, window: int, context: BlendContext) -> Scores:
    """Fit a blender on the other windows' rows and score the rows of ``window``, whose labels it never sees."""
    fitted = blender.fit(oof.take(pl.col("window") != window), context)
    left_out = oof.take(pl.col("window") == window).without_labels()
    return fitted.predict(left_out)


def scored_blenders(plan: Plan) -> dict[str, Blender]:
    """Blenders that can be scored: all with three eval windows, else those that learn nothing.

    With two windows a learned blend would be fitted on one: its score would say little of the final one.
    """
    enough = len(plan.folds.folds) >= MIN_EVAL_WINDOWS
    return {name: b for name, b in plan.blenders.items() if enough or not b.learns}


def blend_recipe(plan: Plan, name: str, oof: Recipe, left_out: str | None = None) -> Recipe:
    """Recipe of a blender's scores of a left-out fold, or of its fit on all of them."""
    parts = {
        **plan.parts[name],
        "oof": oof.key,
        "metric": metric_parts(plan.dataset.competition.metric),
        "format": FORMAT,
        "left out": left_out,
        "seed": plan.settings.seed,
    }
    return Recipe("blend", plan.name(f"{name} without {left_out}" if left_out else name), parts)


def blend_oof(plan: Plan, oof_file: Path) -> pl.DataFrame:
    """Join the blends' leave-one-fold-out scores to the models': one Float64 column more for each blend."""
    blenders, recipe = scored_blenders(plan), oof_recipe(plan, plan_cv_fits(plan))
    folds = {f.name: f.eval.cutoff for f in plan.folds.folds}
    where = [(name, fold) for name in blenders for fold in folds]
    tasks = [
        Task(
            blend_recipe(plan, name, recipe, fold),
            write_left_out,
            (
                name,
                blenders[name],
                oof_file,
                tuple(plan.models),
                plan.dataset.competition.user,
                folds[fold],
                context(plan),
            ),
        )
        for name, fold in where
    ]
    folders = run_tasks("Blends: leave one fold out", tasks, plan.store, plan.settings)
    oof = pl.read_parquet(oof_file)
    for name in blenders:
        files = [w / "scores.parquet" for (n, _), w in zip(where, folders, strict=True) if n == name]
        scores = pl.concat([pl.read_parquet(f) for f in files]).rename({"score": name})
        oof = oof.join(scores, on=["window", "pair_id"], how="left", validate="1:1", maintain_order="left")
    return oof


def context(plan: Plan) -> BlendContext:
    """What every blender gets beside the rows."""
    return BlendContext(plan.dataset.competition.metric, plan.settings.seed)


def write_left_out(
    folder: Path,
    name: str,
    blender: Blender,
    oof_file: Path,
    models: Sequence[str],
    user: str,
    window: int,
    context: BlendContext,
) -> None:
    """Write ``scores.parquet`` (``window``, ``pair_id``, ``score``) of the left-out window. Runs in a worker."""
    oof = score_frame(pl.read_parquet(oof_file), models, user)
    scores = leave_one_fold_out(blender, oof, window, context)
    rows = oof.table.filter(pl.col("window") == window).select("window", "pair_id")
    check_scores(scores, rows.height, f"The blender {name!r}")
    rows.with_columns(score=pl.Series(scores, dtype=pl.Float64)).write_parquet(folder / "scores.parquet")


def fit_on_all(
    folder: Path, blender: Blender, oof_file: Path, models: Sequence[str], user: str, context: BlendContext
) -> None:
    """Fit a blender on all out-of-fold rows; write ``blend/`` (its own files) and ``weights.json``."""
    fitted = blender.fit(score_frame(pl.read_parquet(oof_file), models, user), context)
    (folder / "blend").mkdir()
    fitted.save(folder / "blend")
    (folder / "weights.json").write_text(json.dumps(dict(fitted.weights)), encoding="utf-8")


def fit_blends(plan: Plan, oof_file: Path, names: Sequence[str]) -> dict[str, Path]:
    """Fit blenders on all out-of-fold rows: name -> folder with ``blend/`` and ``weights.json``."""
    user, recipe = plan.dataset.competition.user, oof_recipe(plan, plan_cv_fits(plan))
    args: tuple[Any, ...] = (oof_file, tuple(plan.models), user, context(plan))
    tasks = [Task(blend_recipe(plan, n, recipe), fit_on_all, (plan.blenders[n], *args)) for n in names]
    folders = run_tasks("Blends: fit on all folds", tasks, plan.store, plan.settings)
    return dict(zip(names, folders, strict=True))


def read_weights(folders: Mapping[str, Path]) -> dict[str, dict[str, float]]:
    """Share of each model in each blend."""
    return {n: json.loads((f / "weights.json").read_text(encoding="utf-8")) for n, f in folders.items()}
