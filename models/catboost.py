"""Gradient-boosted trees over the features, with a ranking, regression or class loss (CatBoost)."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import polars as pl
from pydantic import Field

from engine import TaskError
from models import (
    FitContext,
    FitReport,
    Link,
    PairFrame,
    Scores,
    Start,
    fit_start,
    model,
    numbers_of,
    read_json,
    search_and_refit,
    start_column,
    write_json,
)

if TYPE_CHECKING:
    import catboost

_log = logging.getLogger(__name__)

Loss = Literal["YetiRank", "QueryRMSE", "RMSE", "MultiClass"]

_LINKS: dict[str, Link] = {"QueryRMSE": "within groups", "RMSE": "all rows", "YetiRank": "pairwise"}
_NO_CATEGORY = "(null)"  # of a categorical feature
# PFound, YetiRank's own default, looks at the top of long lists only; the concordance of all pairs is what is wanted.
_EVAL_METRIC = {"YetiRank": "QueryAUC:type=Ranking"}


@dataclass(frozen=True)
class TreeFacts:
    """What predicting takes beside the trees.

    ``constant``: score of every pair where there was nothing to learn. ``classes``: levels of relevance that the
    columns of a MultiClass prediction stand for; None for other losses. ``start``: what the trees are added to; None =
    nothing.
    """

    constant: float
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    classes: tuple[float, ...] | None
    threads: int
    start: Start | None = None


@dataclass(frozen=True)
class FittedCatBoost:
    """Trees, or None where there was nothing to learn (one class, or no feature that varies)."""

    booster: catboost.CatBoost | None
    facts: TreeFacts
    report: FitReport

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,). For MultiClass the expected relevance."""
        facts = self.facts
        if self.booster is None or frame.table.height == 0:
            frame.check([*facts.numeric, *facts.categorical])
            return np.full(frame.table.height, facts.constant) + _started(facts.start, frame)
        return np.concatenate([self._scores(self.booster, chunk) for chunk in frame.chunks()])

    def _scores(self, booster: catboost.CatBoost, frame: PairFrame) -> Scores:
        import catboost

        facts = self.facts
        inputs = _inputs(frame, facts.numeric, facts.categorical)
        raw: Scores = booster.predict(
            catboost.Pool(inputs, cat_features=list(facts.categorical)),
            prediction_type="RawFormulaVal" if facts.classes is None else "Probability",
            thread_count=facts.threads,
        )
        if facts.classes is not None:
            # A sum along the row, not a matrix product: alone must equal bulk.
            return np.asarray((raw * np.array(facts.classes)).sum(axis=1))
        return np.asarray(raw) + _started(facts.start, inputs)

    def save(self, folder: Path) -> None:
        """Write ``model.json``, ``report.json`` and, if there are trees, ``model.cbm``."""
        write_json(folder / "model.json", self.facts)
        write_json(folder / "report.json", self.report)
        if self.booster is not None:
            self.booster.save_model(str(folder / "model.cbm"))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        import catboost

        trees = folder / "model.cbm"
        booster = catboost.CatBoost().load_model(str(trees)) if trees.exists() else None
        facts = read_json(folder / "model.json", TreeFacts)
        return cls(booster, facts, read_json(folder / "report.json", FitReport))


@model("catboost")
@dataclass(frozen=True)
class CatBoost:
    """Boosted trees over all features; groups are (window, user). Ids are not inputs.

    Weights of sampled pairs: QueryRMSE, RMSE and MultiClass weigh each pair's loss, and QueryRMSE also the group's
    mean that it takes out. YetiRank is fitted without: CatBoost has no weights for the pairs of pairs it draws.
    """

    loss: Annotated[
        Loss,
        Field(description="What the trees minimise. MultiClass is scored by its expected relevance."),
    ] = "QueryRMSE"
    start: Annotated[
        str,
        Field(
            description='The column that the trees start from, as a linear function: they fit what it leaves. "auto" = '
            'the best one on the train rows by the metric, "" = none; MultiClass has none.'
        ),
    ] = "auto"
    even_groups: Annotated[
        bool,
        Field(
            description="Bring the labels of each group to mean 0 and standard deviation 1, so that one with many "
            "likes weighs no more than another (QueryRMSE only)."
        ),
    ] = True
    iterations: Annotated[int, Field(ge=1, description="Most trees a fit may have.")] = 600
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Step of each tree.")] = 0.05
    depth: Annotated[int, Field(ge=1, le=16, description="Depth of the trees.")] = 4
    l2_leaf_reg: Annotated[float, Field(ge=0, description="L2 penalty on the values of the leaves.")] = 50.0
    border_count: Annotated[
        int, Field(ge=1, le=255, description="Split candidates of a numeric feature.")
    ] = 64
    feature_share: Annotated[
        float, Field(gt=0, le=1, description="Share of the features that each split may look at (CPU only).")
    ] = 0.3
    one_hot_max_size: Annotated[
        int,
        Field(ge=2, le=255, description="Categories up to which a feature is split one against the others."),
    ] = 32
    holdout: Annotated[
        float,
        Field(ge=0, lt=1, description="Share of the last train window's users that stops the fit; 0 = none."),
    ] = 0.15
    patience: Annotated[
        int, Field(ge=1, description="Trees without gain on the hold-out before it stops.")
    ] = 40
    refit: Annotated[
        bool, Field(description="After the hold-out told the trees, train again on all rows: twice the time.")
    ] = False
    time_budget: Annotated[
        float | None, Field(gt=0, description="Seconds for a whole fit (kept on the CPU only).")
    ] = 120.0
    # Quantized, a value takes 8 bits instead of 32. Below this size the memory is not worth another order of the random
    # draws, which categories above one_hot_max_size bring about.
    quantize_from_mib: Annotated[
        int, Field(ge=0, description="Size from which on a matrix is quantized before training (CPU only).")
    ] = 128
    device: Annotated[Literal["cpu", "gpu"], Field(description="Where it trains.")] = "cpu"

    def fit(self, train: PairFrame, context: FitContext) -> FittedCatBoost:
        """Train as many trees as the context says, or as an inner hold-out of users tells."""
        train = train.in_order()
        fit = _Fit(self, context, np.unique(train.relevance), time.monotonic(), self.start_of(train, context))
        return search_and_refit(
            fit.train, train, context, most=self.iterations, holdout=self.holdout, refit=self.refit
        )

    def start_of(self, train: PairFrame, context: FitContext) -> Start | None:
        """Fit what the trees start from on the train rows. Raises ConfigError for a column that is not there."""
        if self.loss == "MultiClass":
            return None
        column = start_column(train, self.start, context.metric)
        if not column or train.table.height == 0:
            return None
        link = _LINKS[self.loss]
        labels = self.labels(train, np.unique(train.relevance))
        return fit_start(column, numbers_of(train.column(column)), labels, train, link, context.seed)

    def labels(self, rows: PairFrame, levels: Scores) -> Scores:
        """Labels in the form that the loss wants, Float64 (n_pairs,). ``levels``: those of relevance, ascending."""
        relevance = rows.relevance
        if self.loss == "MultiClass":
            return np.searchsorted(levels, relevance).astype(np.float64)
        if self.loss == "YetiRank" and len(levels) > 1:
            return np.asarray((relevance - levels[0]) / (levels[-1] - levels[0]))
        return _even(relevance, rows) if self.loss == "QueryRMSE" and self.even_groups else relevance


@dataclass(frozen=True)
class _Fit:
    """One fit: what stays the same between the search for the number of trees and the refit.

    ``levels``: levels of relevance, ascending. ``started``: monotonic seconds. ``start``: what the trees are added to.
    """

    ranker: CatBoost
    context: FitContext
    levels: Scores
    started: float
    start: Start | None = None

    def train(self, rows: PairFrame, held: PairFrame | None, n_trees: int, share: float) -> FittedCatBoost:
        """Train up to ``n_trees`` on ``rows``, stopped by ``held`` and by this share of the time budget."""
        if not _can_learn(rows, self.ranker.labels(rows, self.levels), _LINKS.get(self.ranker.loss)):
            return self.fitted(None, rows, FitReport(0))
        import catboost

        booster = catboost.CatBoost(self.parameters(n_trees))
        deadline = self.deadline(share)
        try:
            booster.fit(
                self.compact(self.pool(rows)),
                eval_set=None if held is None else self.pool(held),
                use_best_model=held is not None,
                early_stopping_rounds=None if held is None else self.ranker.patience,
                callbacks=[deadline] if self.ranker.device == "cpu" else None,
            )
        except catboost.CatBoostError as error:
            raise TaskError(
                f"CatBoost did not train with {self.ranker}: {error}",
                expected='parameters that go together, and for device = "gpu" a CUDA card with its driver',
                todo="change the model's table in config.toml",
            ) from error
        is_full = held is None or booster.tree_count_ == n_trees
        stopped_by = "time budget" if deadline.is_over else "iterations" if is_full else "hold-out"
        report = FitReport(
            iterations=int(booster.tree_count_),
            stopped_by=stopped_by,
            importance=_importance(booster, rows, self.start),
            notes={} if held is None else {"n_holdout_rows": float(held.table.height)},
            training_loss=self.training_loss(booster),
            loss=self.ranker.loss,
        )
        return self.fitted(booster, rows, report)

    def training_loss(self, booster: catboost.CatBoost) -> float | None:
        """Loss on the train rows after the last tree that was kept; None for YetiRank, which has no such number."""
        course = booster.get_evals_result().get("learn", {}).get(self.ranker.loss, [])
        return float(course[booster.tree_count_ - 1]) if 0 < booster.tree_count_ <= len(course) else None

    def fitted(self, booster: catboost.CatBoost | None, rows: PairFrame, report: FitReport) -> FittedCatBoost:
        """Wrap trees, or the mean relevance if there are none."""
        constant = float(rows.relevance.mean()) if rows.table.height and self.start is None else 0.0
        classes = tuple(self.levels.tolist()) if self.ranker.loss == "MultiClass" else None
        facts = TreeFacts(constant, rows.numeric, rows.categorical, classes, self.context.threads, self.start)
        return FittedCatBoost(booster, facts, report)

    def parameters(self, n_trees: int) -> dict[str, Any]:
        """Parameters in CatBoost's words."""
        ranker, parameters = self.ranker, dict[str, Any]()
        if ranker.loss == "MultiClass":
            parameters["classes_count"] = len(self.levels)
        elif ranker.loss in _EVAL_METRIC:
            parameters["eval_metric"] = _EVAL_METRIC[ranker.loss]
        if ranker.device == "cpu":
            parameters["rsm"] = ranker.feature_share
        return parameters | {
            "loss_function": ranker.loss,
            "iterations": n_trees,
            "learning_rate": ranker.learning_rate,
            "depth": ranker.depth,
            "l2_leaf_reg": ranker.l2_leaf_reg,
            "border_count": ranker.border_count,
            "one_hot_max_size": ranker.one_hot_max_size,
            "task_type": ranker.device.upper(),
            "random_seed": self.context.seed,
            "thread_count": self.context.threads,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }

    def deadline(self, share: float) -> _Deadline:
        """When this share of the time budget ends."""
        budget = self.ranker.time_budget
        if self.ranker.device == "gpu" and budget is not None:
            _log.warning("CatBoost calls back on the CPU only: on the GPU the time budget is not kept.")
        return _Deadline(None if budget is None else self.started + share * budget)

    def pool(self, rows: PairFrame) -> catboost.Pool:
        """Features, labels in the range that the loss wants, groups and weights for the losses that have them.

        The pool refers to the columns and owns no copy of them (measured: ``benchmarks/training_memory.py``).
        """
        import catboost

        loss, inputs = self.ranker.loss, _inputs(rows, rows.numeric, rows.categorical)
        return catboost.Pool(
            inputs,
            label=self.ranker.labels(rows, self.levels),
            baseline=None if self.start is None else _started(self.start, inputs),
            cat_features=list(rows.categorical),
            group_id=rows.group_ids if loss in ("YetiRank", "QueryRMSE") else None,
            weight=rows.weight if rows.has_weights and loss != "YetiRank" else None,
        )

    def compact(self, pool: catboost.Pool) -> catboost.Pool:
        """Quantize a large pool in place, which lets go of its columns: the borders are those that training makes."""
        n_bytes = 4 * pool.num_row() * pool.num_col()
        if n_bytes >= self.ranker.quantize_from_mib * 2**20 and self.ranker.device == "cpu":
            pool.quantize(border_count=self.ranker.border_count, random_seed=self.context.seed)
        return pool


class _Deadline:
    """CatBoost's callback that ends a fit when its time is over. ``at``: monotonic seconds."""

    def __init__(self, at: float | None) -> None:
        self.at, self.is_over = at, False

    def after_iteration(self, info: object) -> bool:
        """Tell whether to go on."""
        self.is_over = self.at is not None and time.monotonic() > self.at
        return not self.is_over


def _can_learn(rows: PairFrame, labels: Scores, link: Link | None) -> bool:
    """CatBoost refuses labels that are all one and tables in which no feature varies.

    A loss within groups learns nothing where no group has two labels: of groups of one pair, say.
    """
    if rows.table.height == 0:
        return False
    groups = (
        rows.group_ids if link in ("within groups", "pairwise") else np.zeros(len(labels), dtype=np.int64)
    )
    of_group = pl.DataFrame({"group": groups, "label": labels}).group_by("group")
    spread = of_group.agg(pl.col("label").max() - pl.col("label").min())
    return bool((spread["label"] > 0).any()) and any(
        rows.column(name).n_unique() > 1 for name in rows.features
    )


def _importance(booster: catboost.CatBoost, rows: PairFrame, start: Start | None) -> dict[str, float]:
    """Share of each feature in the change of the predictions (CatBoost's PredictionValuesChange).

    What the trees start from has the share that its standard deviation has beside the sum of those of all trees. None
    has one where CatBoost gives no number: of trees that learn within groups of one pair.
    """
    values = np.asarray(booster.get_feature_importance(type="PredictionValuesChange"), dtype=np.float64)
    if not np.isfinite(values).all():
        return {}
    total = float(values.sum()) or 1.0
    names = [*rows.numeric, *rows.categorical]
    shares = {name: float(value) / total for name, value in zip(names, values, strict=True)}
    if start is None or start.spread == 0:
        return shares
    of_start = start.spread / (start.spread + _spread(booster))
    shares = {name: (1 - of_start) * share for name, share in shares.items()}
    # The rest of one, where no tree has a split.
    return shares | {start.column: shares[start.column] + 1 - sum(shares.values())}


def _spread(booster: catboost.CatBoost) -> float:
    """Sum over the trees of the standard deviation of what each adds, on the train rows."""
    leaves = np.asarray(booster.get_tree_leaf_counts(), dtype=np.int64)
    first = np.cumsum(leaves) - leaves
    value, weight = np.asarray(booster.get_leaf_values()), np.asarray(booster.get_leaf_weights())
    total = np.add.reduceat(weight, first)
    mean, square = (np.add.reduceat(weight * x, first) / total for x in (value, value**2))
    return float(np.sqrt(np.maximum(square - mean**2, 0)).sum())


def _inputs(frame: PairFrame, numeric: tuple[str, ...], categorical: tuple[str, ...]) -> pl.DataFrame:
    """Numeric features as Float32 (NaN = unknown) and Enum ones with a category of their own for null.

    Columns are read one by one, so that the matrix is in memory once: CatBoost reads Float32 columns without nulls
    where they lie and makes no copy of them.
    """
    numbers = (frame.column(c).cast(pl.Float32).fill_null(float("nan")) for c in numeric)
    return pl.DataFrame([*numbers, *(_with_category(frame.column(c)) for c in categorical)])


def _started(start: Start | None, rows: PairFrame | pl.DataFrame) -> Scores | float:
    """What the trees are added to, Float64 (n_pairs,)."""
    if start is None:
        return 0.0
    column = rows.column(start.column) if isinstance(rows, PairFrame) else rows[start.column]
    return start.scores(numbers_of(column.cast(pl.Float32)))


def _even(relevance: Scores, rows: PairFrame) -> Scores:
    """Labels with mean 0 and standard deviation 1 in each group, by the weights of its pairs; 0 in one of one level."""
    groups, weight = rows.group_ids, rows.weight
    if len(groups) == 0:
        return relevance
    total = np.bincount(groups, weight)
    apart = relevance - (np.bincount(groups, weight * relevance) / total)[groups]
    std = np.sqrt(np.bincount(groups, weight * apart**2) / total)[groups]
    return np.divide(apart, std, out=np.zeros_like(apart), where=std > 1e-9)


def _with_category(values: pl.Series) -> pl.Series:
    """Give null a category of its own."""
    if not isinstance(values.dtype, pl.Enum):
        return values
    return values.cast(pl.Enum([*values.dtype.categories, _NO_CATEGORY])).fill_null(_NO_CATEGORY)
