"""The cross-validation: every model on every fold, every blend, the choice, and the facts for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import polars as pl

from engine import Recipe, Settings
from features import compute_features
from stacking._blend import blend_oof, blend_recipe, scored_blenders
from stacking._cards import card_recipe, families, make_cards
from stacking._choice import N_RESAMPLES, Choice, choose_blend
from stacking._oof import make_oof, oof_recipe, plan_cv_fits
from stacking._parts import FORMAT, digest
from stacking._plan import Plan, check_folds, make_plan
from stacking._sample import TrainingSample
from validation import CvBundle, evaluate

POINTER = "cv"


def run_cv(settings: Settings) -> CvBundle:
    """Cross-validate the stack; what is in the store is not computed again. The pointer ``cv`` names the result.

    The recipe is written from keys alone, so an unchanged stack is found without reading a frame.
    """
    plan = make_plan(settings)
    recipe = cv_recipe(plan)
    folder = plan.store.find(recipe)
    if folder is None:
        began = perf_counter()
        bundle = _cross_validate(plan)
        folder = plan.store.put(recipe, bundle.write, seconds=perf_counter() - began)
    plan.store.point(POINTER, recipe)
    return CvBundle.read(folder)


def cv_recipe(plan: Plan) -> Recipe:
    """Recipe of the whole bundle."""
    fits = plan_cv_fits(plan)
    oof = oof_recipe(plan, fits)
    folds = [f.name for f in plan.folds.folds]
    parts: dict[str, Any] = {
        "code": [digest(evaluate), digest(choose_blend)],
        "format": FORMAT,
        "fits": {f"{f.model} @ {f.fold.name}": f.fit.key for f in fits},
        "oof": oof.key,
        "blends": {
            n: [blend_recipe(plan, n, oof, fold).key for fold in folds] for n in scored_blenders(plan)
        },
        "cards": {family: card_recipe(plan, family, c).key for family, c in families(plan).items()},
        "settings": _settings(plan),
        "n_resamples": N_RESAMPLES,
    }
    return Recipe("cv", plan.name("cross-validation"), parts)


def _cross_validate(plan: Plan) -> CvBundle:
    check_folds(plan)
    compute_features(plan.catalogue, plan.folds.windows, plan.all_columns, plan.store, plan.settings)
    made = make_oof(plan)
    oof = blend_oof(plan, made / "oof.parquet")
    blends = tuple(scored_blenders(plan))
    c = plan.dataset.competition
    choice = choose_blend(
        oof, c.metric, user=c.user, blends=blends, seed=plan.settings.seed, forced=plan.settings.blender
    )
    return CvBundle(
        oof=oof,
        importance=pl.read_parquet(made / "importance.parquet"),
        features=make_cards(plan),
        fits=pl.read_parquet(made / "fits.parquet"),
        models=tuple(plan.models),
        blends=blends,
        chosen=choice.chosen,
        about=_about(plan, oof, choice, blends),
    )


def fold_scores(oof: pl.DataFrame, plan: Plan, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The competition's metric of score columns: name -> fold -> value, and ``mean`` over the folds."""
    c = plan.dataset.competition
    folds = [f.name for f in plan.folds.folds]
    parts = {f: oof.filter(pl.col("fold") == f) for f in folds}
    table: dict[str, dict[str, float]] = {}
    for name in names:
        values = {f: evaluate(c.metric, parts[f], group=["window", c.user], score=name) for f in folds}
        table[name] = {**values, "mean": sum(values.values()) / len(folds)}
    return table


def _settings(plan: Plan) -> dict[str, Any]:
    """The settings that the result depends on; folders and backends are not among them."""
    names = {"competition", "seed", "threads", "folds", "features", "models", "blender"}
    if plan.settings.blenders:
        names.add("blenders")
    if not TrainingSample.of(plan.settings).is_whole:
        names.add("training")
    found: dict[str, Any] = plan.settings.model_dump(mode="json", include=names)
    return found


def _about(plan: Plan, oof: pl.DataFrame, choice: Choice, blends: Sequence[str]) -> dict[str, Any]:
    c = plan.dataset.competition
    return {
        "competition": c.name,
        "metric": {
            "name": c.metric.name,
            "policy": dict(c.metric.policy),
            "greater_is_better": c.metric.greater_is_better,
        },
        "user": c.user,
        "item": c.item,
        "folds": {
            f.name: f"{' '.join(w.name for w in f.train)} -> {f.eval.name}"
            for f in (*plan.folds.folds, plan.folds.final)
        },
        "seed": plan.settings.seed,
        "settings": _settings(plan),
        "fingerprint": plan.dataset.fingerprint,
        "clock": c.clock.kind,
        "cv": fold_scores(oof, plan, [*plan.models, *blends]),
        "chosen_because": choice.reason,
        "differences_to_baseline": {b: asdict(d) for b, d in choice.differences.items()},
        "not_scored": [b for b in plan.blenders if b not in blends],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
