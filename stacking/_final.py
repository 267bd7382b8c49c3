"""Models fitted on the last train windows, their scores of the test pairs, and the blends of those."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl

from engine import Recipe, TaskError
from features import compute_features
from stacking._blend import BlendRows, blend_recipe, feature_parts, fit_blends
from stacking._fits import (
    Fit,
    check_scores,
    plan_cv_fits,
    plan_fit,
    run_fits,
)
from stacking._oof import join_scores, make_oof, oof_recipe
from stacking._plan import FORMAT, Plan
from validation import CvBundle


def final_scores(plan: Plan, bundle: CvBundle) -> pl.DataFrame:
    """Score the test pairs by every model and blend; what is in the store is not computed again.

    Parameters
    ----------
    bundle
        What ``run_cv`` gave for the same plan: the iteration counts that the folds found, and the choice.

    Returns
    -------
    One row a test pair, sorted by ``pair_id``: ``pair_id``, the user and item columns, a Float64 column for each
    model and blend of the bundle, and ``score``, a copy of the chosen one.
    """
    fits = plan_final_fits(plan, bundle)
    recipe = final_recipe(plan, bundle, fits)
    folder = plan.store.find(recipe)
    if folder is None:
        table, weights = _score_test_pairs(plan, bundle, fits)

        def build(new: Path) -> None:
            table.write_parquet(new / "scores.parquet")
            (new / "weights.json").write_text(json.dumps(weights), encoding="utf-8")

        folder = plan.store.put(recipe, build)
    return pl.read_parquet(folder / "scores.parquet")


def read_final_weights(plan: Plan, bundle: CvBundle) -> dict[str, dict[str, float]]:
    """Share of each model in each blend of the submission. Raises TaskError before ``final_scores`` has run."""
    folder = plan.store.find(final_recipe(plan, bundle, plan_final_fits(plan, bundle)))
    if folder is None:
        raise TaskError("The final scores are not in the store.", todo="run final_scores first")
    found: dict[str, dict[str, float]] = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    return found


def plan_final_fits(plan: Plan, bundle: CvBundle) -> list[Fit]:
    """Plan the fit of every model on the final fold, with the iterations that its folds found.

    The eval windows' rows are used up by now: a hold-out would only take rows away. The count is the median of
    the folds' (rounded); a model that reports none is fitted as it is.
    """
    counts = bundle.fits.drop_nulls("iterations").group_by("model").agg("iterations")
    found = {model: round(median(of_folds)) for model, of_folds in counts.iter_rows()}
    return [plan_fit(plan, model, plan.folds.final, found.get(model)) for model in plan.models]


def final_recipe(plan: Plan, bundle: CvBundle, fits: Sequence[Fit]) -> Recipe:
    """Recipe of the table of test scores."""
    oof = oof_recipe(plan, plan_cv_fits(plan))
    of_test = {name: feature_parts(plan, name, [plan.folds.final.eval]) for name in bundle.blends}
    parts: dict[str, Any] = {
        "format": FORMAT,
        "scores": {f.model: f.scores.key for f in fits},
        "blends": {name: blend_recipe(plan, name, oof).key for name in bundle.blends},
        "blend features": {name: found for name, found in of_test.items() if found},
        "chosen": bundle.chosen,
        "data": plan.dataset.fingerprint,
    }
    return Recipe("final", plan.name("test scores"), parts)


def _score_test_pairs(
    plan: Plan, bundle: CvBundle, fits: Sequence[Fit]
) -> tuple[pl.DataFrame, dict[str, dict[str, float]]]:
    compute_features(plan.catalogue, plan.folds.windows, plan.all_columns, plan.store, plan.settings)
    where = {done.fit.model: done.scores for done in run_fits(plan, fits, "Final models")}
    table = join_scores(plan, plan.folds.final.eval, where)
    blends = fit_blends(plan, make_oof(plan) / "oof.parquet", bundle.blends)
    for name, blend in blends.items():
        rows = BlendRows.of(plan, name, [plan.folds.final.eval])
        seen = rows.frame(table)
        scores = check_scores(blend.predict(seen), seen.table.height, f"The blender {name!r}")
        scored = rows.all_pairs(seen.table.select("window", "pair_id", score=pl.Series(scores)))
        table = table.join(
            scored.select("pair_id", pl.col("score").alias(name)),
            on="pair_id",
            how="left",
            validate="1:1",
            maintain_order="left",
        )
    table = table.drop("window").with_columns(score=pl.col(bundle.chosen)).sort("pair_id")
    return table, {name: dict(blend.weights) for name, blend in blends.items()}
