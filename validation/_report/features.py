"""The features' part of the report: importance, single-feature scores, missing values, drift."""

from __future__ import annotations

import polars as pl

from validation._report.bundle import CvBundle


def mean_importance(bundle: CvBundle) -> pl.DataFrame:
    """Average the importance over a model's folds: ``model``, ``feature``, ``importance``, largest first.

    A feature that a fold does not name counts as 0 there. Models that rank by one feature are left out beside models
    that choose among many: their whole share on it would hide the others. Empty if no model tells its importance.
    """
    n_folds = pl.col("fold").n_unique().over("model")
    n_features = pl.col("feature").filter(pl.col("importance") > 0).n_unique().over("model")
    told = bundle.importance.with_columns(pl.col("importance") / n_folds, n_features=n_features)
    if (told["n_features"] > 1).any():
        told = told.filter(pl.col("n_features") > 1)
    return (
        told.group_by("model", "feature")
        .agg(pl.col("importance").sum())
        .sort("importance", "model", "feature", descending=[True, False, False])
    )


def feature_table(bundle: CvBundle, importance: pl.DataFrame) -> pl.DataFrame:
    """Join what is known of each feature, the most important first.

    Returns
    -------
    DataFrame
        The bundle's ``features`` and ``importance`` Float64 (mean over the models that tell theirs; null if none
        does), ``flags`` String: what to look at, in words.
    """
    n_models = max(importance["model"].n_unique(), 1)
    overall = importance.group_by("feature").agg(pl.col("importance").sum() / n_models)
    joined = bundle.features.join(overall, on="feature", how="left", validate="m:1")
    if overall.height:
        joined = joined.with_columns(pl.col("importance").fill_null(0.0))
    return joined.with_columns(flags=_flags()).sort(
        "importance", "score", "feature", descending=[True, True, False], nulls_last=True
    )


def _flags() -> pl.Expr:
    null_train, null_test = pl.col("null_train"), pl.col("null_test")
    checks = [
        (pl.col("drifts"), "drifts"),
        ((null_train == 1.0) & (null_test == 1.0), "always null"),
        (pl.col("nulls_change"), "nulls change"),
    ]
    texts = [pl.when(test).then(pl.lit(text)) for test, text in checks]
    return pl.concat_str(texts, separator=", ", ignore_nulls=True)
