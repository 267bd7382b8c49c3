"""The cross-validation: every model on every fold, every blend, the choice, and the facts for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

import polars as pl

from competitions import Competition, pointer_to
from engine import Recipe, Store, Task, cached_digest, run_tasks
from features import compute_features, drift_of, dtype_name, own_score, stored_rows, stored_seconds
from models import PairFrame
from stacking._best_column import best_column
from stacking._blend import blend_oof, blend_recipe, scored_blenders
from stacking._blender import MIN_EVAL_WINDOWS, precedence_of
from stacking._choice import N_ERRORS, N_RESAMPLES, Choice, choose
from stacking._fits import plan_cv_fits, shortlist_recipe
from stacking._oof import make_oof, oof_recipe
from stacking._pairs import PairReader
from stacking._plan import FORMAT, Plan, metric_parts
from stacking._shortlist_facts import fold_windows, shortlist_facts
from stacking._worth import units_of
from validation import CvBundle, Folds, evaluate, paired_bootstrap, window_title

POINTER = "cv"
_CARDS = {
    "feature": pl.String,
    "meaning": pl.String,
    "dtype": pl.String,
    "score": pl.Float64,
    "null_train": pl.Float64,
    "null_eval": pl.Float64,
    "null_test": pl.Float64,
    "psi": pl.Float64,
    "drifts": pl.Boolean,
    "nulls_change": pl.Boolean,
    "seconds": pl.Float64,
}


def run_cv(plan: Plan, *, is_shown: bool = True) -> CvBundle:
    """Cross-validate a stack; what the store has is not computed again.

    ``is_shown``: whether the store's pointer names it, by which the report finds the last one of these data.

    The recipe is written from keys alone, so an unchanged stack is found without reading a frame.
    """
    recipe = cv_recipe(plan)
    folder = plan.store.find(recipe)
    if folder is None:
        began = perf_counter()
        bundle = _cross_validate(plan)
        folder = plan.store.put(recipe, bundle.write, seconds=perf_counter() - began)
    if is_shown:
        plan.store.point(pointer_to(POINTER, plan.dataset.competition.name, plan.settings.data), recipe)
    return CvBundle.read(folder)


def cv_recipe(plan: Plan) -> Recipe:
    """Recipe of the whole bundle."""
    fits = plan_cv_fits(plan)
    oof = oof_recipe(plan, fits)
    folds = [f.name for f in plan.folds.folds]
    parts: dict[str, Any] = {
        "code": [cached_digest(evaluate), cached_digest(choose), cached_digest(paired_bootstrap)],
        "format": FORMAT,
        "fits": {f"{f.model} @ {f.fold.name}": f.fit.key for f in fits},
        "oof": oof.key,
        "blends": {
            n: [blend_recipe(plan, n, oof, fold).key for fold in folds] for n in scored_blenders(plan)
        },
        "cards": {
            family: card_recipe(plan, family, c).key
            for family, c in units_of(plan.catalogue, plan.all_columns, "family").items()
        },
        "settings": _settings(plan),
        "n_resamples": N_RESAMPLES,
        "n_errors": N_ERRORS,
        "precedence": candidates(plan),
        **_prerank_parts(plan),
    }
    return Recipe("cv", plan.name("cross-validation"), parts)


def _prerank_parts(plan: Plan) -> dict[str, Any]:
    """What the bundle of a stack with a pre-ranker is made of besides; nothing without one.

    It compares with the stack without it once that is known: this is another bundle than before.
    """
    if plan.prerank is None:
        return {}
    without = _recipe_without(plan)
    lists = {w.name: shortlist_recipe(plan, w).key for w in fold_windows(plan)}
    return {"shortlists": lists, "without": without.key if plan.store.find(without) else None}


def _recipe_without(plan: Plan) -> Recipe:
    """Recipe of the cross-validation of the same stack without a pre-ranker."""
    return cv_recipe(replace(plan, settings=plan.settings.model_copy(update={"prerank": None})))


def _cross_validate(plan: Plan) -> CvBundle:
    compute_features(plan.catalogue, plan.folds.windows, plan.all_columns, plan.store, plan.settings)
    made = make_oof(plan)
    oof = blend_oof(plan, made / "oof.parquet")
    blends = tuple(scored_blenders(plan))
    c = plan.dataset.competition
    choice = choose(
        oof,
        c.metric,
        user=c.user,
        candidates=candidates(plan),
        seed=plan.settings.seed,
        forced=plan.settings.blender,
    )
    cards, fits = _make_cards(plan), pl.read_parquet(made / "fits.parquet")
    return CvBundle(
        oof=oof,
        importance=pl.read_parquet(made / "importance.parquet"),
        features=cards,
        fits=fits,
        models=tuple(plan.models),
        blends=blends,
        chosen=choice.chosen,
        about={
            **_about(plan, oof, choice, blends),
            "best_column": best_column(plan, oof, cards, N_RESAMPLES),
            **_prerank_facts(plan, oof, fits),
        },
    )


def _prerank_facts(plan: Plan, oof: pl.DataFrame, fits: pl.DataFrame) -> dict[str, Any]:
    if plan.prerank is None:
        return {}
    folder = plan.store.find(_recipe_without(plan))
    without = None if folder is None else CvBundle.read(folder)
    return {"prerank": shortlist_facts(plan, oof, fits, without)}


def candidates(plan: Plan) -> dict[str, int]:
    """Every model and every scored blend, and its precedence."""
    models = {name: precedence_of(model) for name, model in plan.models.items()}
    return models | {name: precedence_of(blender) for name, blender in scored_blenders(plan).items()}


def _fold_scores(oof: pl.DataFrame, plan: Plan, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The competition's metric of score columns: name -> fold -> value, and ``mean`` over the folds."""
    c = plan.dataset.competition
    folds = [f.name for f in plan.folds.folds]
    rows = {f: oof.filter(pl.col("fold") == f) for f in folds}
    table: dict[str, dict[str, float]] = {}
    for name in names:
        values = {f: evaluate(c.metric, rows[f], group=["window", c.user], score=name) for f in folds}
        table[name] = {**values, "mean": sum(values.values()) / len(folds)}
    return table


def _settings(plan: Plan) -> dict[str, Any]:
    """The settings that the result depends on; folders and backends are not among them."""
    names = {"competition", "seed", "threads", "folds", "features", "models", "blender"}
    if plan.settings.blenders:
        names.add("blenders")
    if not plan.sample.is_whole:
        names.add("training")
    if plan.prerank is not None:
        names.add("prerank")
    found: dict[str, Any] = plan.settings.model_dump(mode="json", include=names)
    return found


def _about(plan: Plan, oof: pl.DataFrame, choice: Choice, blends: Sequence[str]) -> dict[str, Any]:
    c, not_scored = plan.dataset.competition, [b for b in plan.blenders if b not in blends]
    reason = choice.reason
    if not_scored:
        reason += f"; learned blends need {MIN_EVAL_WINDOWS} eval windows to be scored"
    return {
        "competition": c.name,
        "metric": asdict(c.metric),
        "user": c.user,
        "item": c.item,
        "folds": {
            f.name: f"{', '.join(window_title(c.clock, w) for w in f.train)} -> {window_title(c.clock, f.eval)}"
            for f in (*plan.folds.folds, plan.folds.final)
        },
        "seed": plan.settings.seed,
        "settings": _settings(plan),
        "fingerprint": plan.dataset.fingerprint,
        "clock": c.clock.kind,
        "cv": _fold_scores(oof, plan, [*plan.models, *blends]),
        "chosen_because": reason,
        "best": choice.best,
        "differences_to_best": {name: asdict(d) for name, d in choice.differences.items()},
        "not_scored": not_scored,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def card_recipe(plan: Plan, family: str, columns: Sequence[str]) -> Recipe:
    """Recipe of the facts of one file's columns.

    They are one artifact: a new file costs its own columns only, and a task is worth its start.
    """
    facts: dict[str, Any] = {
        "code": [cached_digest(drift_of), cached_digest(stored_rows), cached_digest(own_score)],
        "format": FORMAT,
        "meanings": {c: plan.catalogue.columns[c].meaning for c in columns},
        "metric": metric_parts(plan.dataset.competition.metric),
        "eval": [w.name for w in plan.eval_windows],
        "features": plan.frame_keys(plan.folds.windows, columns),
    }
    return Recipe("cards", plan.name(family), facts)


def _make_cards(plan: Plan) -> pl.DataFrame:
    """Make the features table of the bundle (see ``validation.CvBundle``), in the order of the catalogue."""
    files = units_of(plan.catalogue, plan.all_columns, "family")
    tasks = [
        Task(card_recipe(plan, family, columns), write_cards, (plan.reader, plan.folds, columns))
        for family, columns in files.items()
    ]
    folders = run_tasks("Features: scores and drift", tasks, plan.store, plan.settings)
    order = pl.DataFrame({"feature": plan.all_columns}, schema={"feature": pl.String})
    tables = [pl.read_parquet(f / "cards.parquet") for f in folders]
    cards = pl.concat(tables) if tables else pl.DataFrame(schema=_CARDS)
    return order.join(cards, on="feature", how="left", validate="1:1", maintain_order="left")


def write_cards(folder: Path, reader: PairReader, folds: Folds, columns: Sequence[str]) -> None:
    """Write ``cards.parquet``: one row a column. Runs in a worker and reads its frames from the store."""
    catalogue, store = reader.catalogue, Store(reader.root)
    evals = [reader.read([f.eval], columns, labels=True) for f in folds.folds]
    shown = stored_rows(catalogue, (*folds.final.train, folds.final.eval), columns, store)
    seconds = stored_seconds(catalogue, folds.windows, columns, store)
    rows = []
    for name in columns:
        column, competition = catalogue.columns[name], catalogue.dataset.competition
        drift = drift_of(shown, name, competition.user, is_input=column.is_model_input)
        rows.append(
            {
                "feature": name,
                "meaning": column.meaning,
                "dtype": dtype_name(column.dtype),
                "score": _own_score(competition, evals, name),
                "null_train": drift.null_train,
                "null_eval": _null_share(evals, name),
                "null_test": drift.null_test,
                "psi": drift.psi,
                "drifts": bool(drift.moves),
                "nulls_change": bool(drift.nulls),
                "seconds": seconds[name],
            }
        )
    pl.DataFrame(rows, schema=_CARDS).write_parquet(folder / "cards.parquet")


def _null_share(frames: Sequence[PairFrame], column: str) -> float:
    return sum(f.column(column).null_count() for f in frames) / sum(f.table.height for f in frames)


def _own_score(competition: Competition, evals: Sequence[PairFrame], column: str) -> float | None:
    """Score over all eval windows; see ``own_score``."""
    wanted = list(dict.fromkeys(["window", competition.user, "relevance", column]))
    found = own_score(competition, pl.concat([e.columns(wanted) for e in evals]), column)
    return found.value if found else None
