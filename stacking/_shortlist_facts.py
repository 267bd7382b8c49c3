"""What a pre-ranker costs and saves: the positives that it cuts, the pairs and the seconds of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

from stacking._choice import N_RESAMPLES, N_RESAMPLES_WHOLE
from stacking._fits import Fit, make_shortlist, prerank_fit, prerank_scores, shortlist_recipe
from stacking._plan import Plan
from stacking._shortlist import Shortlist
from validation import CvBundle, Window, evaluate, get_metric, paired_bootstrap, window_title

_COUNTS = ("pairs", "kept", "positives", "positives_kept")


def shortlist_facts(
    plan: Plan, oof: pl.DataFrame, fits: pl.DataFrame, without: CvBundle | None
) -> dict[str, Any]:
    """Facts for the report, as JSON has them.

    Parameters
    ----------
    oof, fits
        As in the bundle, of the stack with the pre-ranker.
    without
        The cross-validation of the same stack without it; None where it is not known.

    Returns
    -------
    ``model``, ``keep``; ``windows``: of each train and eval window of the folds what its list is fitted on and counts;
    ``eval``: the counts of all eval windows; ``levels``: of each relevance there its pairs and those kept;
    ``best_order``: the metric of the labels themselves, of all pairs and with what is cut behind, mean over the folds;
    ``seconds`` of the pre-ranker's fits beside those of the folds, and of the other models' fits with and without it;
    ``without``: of each model and blend the mean metric without and the difference that the pre-ranker makes.
    """
    prerank = plan.prerank
    if prerank is None:
        return {}
    windows = fold_windows(plan)
    shortlist = make_shortlist(plan, windows)
    labelled = _labelled(plan, shortlist, windows)
    of_eval = labelled.filter(pl.col("window").is_in([w.cutoff for w in plan.eval_windows]))
    others = [name for name in plan.models if name != prerank.model]
    return {
        "model": prerank.model,
        "keep": prerank.keep,
        "windows": [_of_window(plan, w, labelled) for w in windows],
        "eval": _counts(of_eval),
        "levels": _levels(of_eval),
        "best_order": _best_order(plan, shortlist, of_eval),
        "seconds": {
            "prerank": _seconds_of_prerank(plan, windows),
            "others": _seconds(fits, others),
            "others_without": None if without is None else _seconds(without.fits, others),
        },
        "without": {} if without is None else _compared(plan, oof, without),
    }


def fold_windows(plan: Plan) -> list[Window]:
    """The windows of the folds, earliest first, without the test window."""
    return sorted({w for fold in plan.folds.folds for w in (*fold.train, fold.eval)})


def _labelled(plan: Plan, shortlist: Shortlist, windows: Sequence[Window]) -> pl.DataFrame:
    """``window``, the user, ``pair_id``, ``place``, ``relevance`` Float64 and ``is_positive`` of windows' pairs.

    A positive pair is one above 0, or above the lowest relevance there is if none is 0 or below.
    """
    keys = ["window", "pair_id"]
    labels = plan.reader.read(windows, (), labels=True).table.select(
        *keys, pl.col("relevance").cast(pl.Float64)
    )
    rows = shortlist.rows(w.cutoff for w in windows).select(*keys, shortlist.user, "place")
    table = rows.join(labels, on=keys, how="left", validate="1:1", maintain_order="left")
    lowest = max(0.0, float(table.select(pl.col("relevance").min().fill_null(0)).item()))
    return table.with_columns(is_positive=pl.col("relevance") > lowest)


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    is_kept = pl.col("place") == 0
    counted = rows.select(
        pairs=pl.len(),
        kept=is_kept.sum(),
        positives=pl.col("is_positive").sum(),
        positives_kept=(pl.col("is_positive") & is_kept).sum(),
    )
    return {name: int(counted[name][0]) for name in _COUNTS}


def _levels(rows: pl.DataFrame) -> dict[str, list[int]]:
    """Relevance -> its pairs, and how many of them are kept."""
    counted = rows.group_by("relevance").agg(pl.len(), kept=(pl.col("place") == 0).sum())
    return {f"{level:g}": [n, kept] for level, n, kept in counted.sort("relevance").iter_rows()}


def _of_window(plan: Plan, window: Window, labelled: pl.DataFrame) -> dict[str, Any]:
    fit, clock = prerank_fit(plan, window), plan.dataset.competition.clock
    before = None if fit is None else [window_title(clock, w) for w in fit.fold.train]
    return {
        "window": window_title(clock, window),
        "fitted_on": before,  # null: the other users of the same window
        "is_eval": window in plan.eval_windows,
        **_counts(labelled.filter(pl.col("window") == window.cutoff)),
    }


def _best_order(plan: Plan, shortlist: Shortlist, of_eval: pl.DataFrame) -> dict[str, float]:
    """The metric of the labels as scores: of all pairs, and where those that are cut come behind the others."""
    c = plan.dataset.competition
    behind = shortlist.completed(of_eval.rename({"relevance": "behind"}), ["behind"])
    keys = ["window", "pair_id"]
    rows = of_eval.join(behind.select(*keys, "behind"), on=keys, how="left", validate="1:1")

    def mean(score: str) -> float:
        values = [
            evaluate(c.metric, rows.filter(window=w.cutoff), group=["window", c.user], score=score)
            for w in plan.eval_windows
        ]
        return sum(values) / len(values)

    return {"all": mean("relevance"), "kept": mean("behind")}


def _seconds_of_prerank(plan: Plan, windows: Iterable[Window]) -> float | None:
    """Seconds of what only the lists need: fits and scores of windows that no fold predicts; None = not known."""
    own = [w for w in windows if w not in plan.eval_windows]
    fits: list[Fit | None] = [prerank_fit(plan, w) for w in own]
    recipes = [fit.fit for fit in fits if fit is not None]
    recipes += [recipe for w in own for recipe in prerank_scores(plan, w)]
    recipes += [shortlist_recipe(plan, w) for w in windows]
    found = [plan.store.seconds(recipe) for recipe in recipes]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if len(known) == len(found) else None


def _seconds(fits: pl.DataFrame, models: Sequence[str]) -> float:
    return float(fits.filter(pl.col("model").is_in(models))["seconds"].sum())


def _compared(plan: Plan, oof: pl.DataFrame, without: CvBundle) -> dict[str, Mapping[str, Any]]:
    """Of each model and blend: ``mean`` without the pre-ranker, and the ``difference`` with it, paired over users."""
    c, keys = plan.dataset.competition, ["fold", "window", "pair_id"]
    names = [n for n in (*without.models, *without.blends) if n in oof.columns]
    before = without.oof.select(*keys, *(pl.col(n).alias(f"{n} without") for n in names))
    rows = oof.join(before, on=keys, how="inner", validate="1:1", maintain_order="left")
    is_whole = get_metric(c.metric.name).scope == "whole"
    return {
        name: {
            "mean": without.about["cv"][name]["mean"],
            "difference": asdict(
                paired_bootstrap(
                    rows,
                    c.metric,
                    user=c.user,
                    group=["window", c.user],
                    score_a=f"{name} without",
                    score_b=name,
                    n_resamples=N_RESAMPLES_WHOLE if is_whole else N_RESAMPLES,
                    seed=plan.settings.seed,
                )
            ),
        }
        for name in names
    }
