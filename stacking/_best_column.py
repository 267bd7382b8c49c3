"""The best single column beside the models: what it scores, and how the models that read it compare with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import polars as pl

from features import own_score
from stacking._plan import Plan
from validation import evaluate, paired_bootstrap


def best_column(plan: Plan, oof: pl.DataFrame, cards: pl.DataFrame, n_resamples: int) -> dict[str, Any]:
    """Compare the best column by itself with every model that gets it, paired over users.

    Parameters
    ----------
    oof
        Pairs of the eval windows with the models' scores.
    cards
        ``feature``, ``score``: each column's own metric over all eval windows; null where it has none.

    Returns
    -------
    ``column``, ``cv`` (fold -> metric, and ``mean``) and ``differences``: model -> metric of the model minus that of
    the column, as ``Difference`` has it. Empty if no column has a score.
    """
    c = plan.dataset.competition
    known = cards.drop_nulls("score").sort(
        ["score", "feature"], descending=[c.metric.greater_is_better, False]
    )
    if known.is_empty():
        return {}
    column = str(known["feature"][0])
    rows = _with_column(plan, oof, column)
    cv = {
        f.name: evaluate(c.metric, rows.filter(fold=f.name), group=["window", c.user], score="column")
        for f in plan.folds.folds
    }
    readers = [name for name in plan.models if column in plan.columns[name]]
    differences = {
        name: asdict(
            paired_bootstrap(
                rows,
                c.metric,
                user=c.user,
                group=["window", c.user],
                score_a="column",
                score_b=name,
                n_resamples=n_resamples,
                seed=plan.settings.seed,
            )
        )
        for name in readers
    }
    return {
        "column": column,
        "cv": {**cv, "mean": sum(cv.values()) / len(cv)},
        "differences": differences,
    }


def _with_column(plan: Plan, oof: pl.DataFrame, name: str) -> pl.DataFrame:
    """Out-of-fold rows with ``column`` Float64: the column in its better direction, unknown values last."""
    c = plan.dataset.competition
    frames = [plan.reader.read([window], [name], labels=True) for window in plan.eval_windows]
    wanted = list(dict.fromkeys(["window", "pair_id", c.user, "relevance", name]))
    values = pl.concat([frame.columns(wanted) for frame in frames])
    found = own_score(c, values, name)
    x = pl.col(name).cast(pl.Float64).fill_nan(None) * (-1 if found and found.direction == "lower" else 1)
    lowest = pl.lit(-1e300)
    table = values.select("window", "pair_id", column=x.clip(-1e299, 1e299).fill_null(lowest))
    return oof.join(table, on=["window", "pair_id"], how="left", validate="1:1", maintain_order="left")
