"""Every blender scored leave-one-fold-out, and fitted on all folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from engine import Recipe, Store, Task, TaskError, run_tasks
from features import open_features
from models import Scores, StoredColumns, fitted_class
from stacking._blender import (
    MIN_EVAL_WINDOWS,
    BlendContext,
    Blender,
    FittedBlend,
    ScoreFrame,
    learns_labels,
)
from stacking._fits import check_scores, make_shortlist, plan_cv_fits, shortlist_parts
from stacking._oof import oof_recipe
from stacking._pairs import PairReader
from stacking._plan import FORMAT, Plan, metric_parts
from stacking._shortlist import Shortlist
from validation import Window


@dataclass(frozen=True)
class BlendRows:
    """What a worker needs to put together the rows that blenders see.

    ``columns``: the features that the blender reads, of the pairs of ``windows``; none for most blenders. ``most``: how
    many of them at most; those that weigh most in the fits of ``first_fold`` are taken. With a ``shortlist`` only what
    the pre-ranker keeps is seen, and ``all_pairs`` puts the rest behind it.
    """

    models: tuple[str, ...]
    user: str
    reader: PairReader
    windows: tuple[Window, ...]
    columns: tuple[str, ...]
    most: int | None
    first_fold: str
    shortlist: Shortlist | None = None

    @classmethod
    def of(cls, plan: Plan, name: str, windows: Sequence[Window]) -> BlendRows:
        """Rows of these windows for the blender of this name."""
        user, columns = plan.dataset.competition.user, plan.columns[name]
        most: int | None = getattr(plan.blenders[name], "most_features", None)
        first_fold = plan.folds.folds[0].name
        shortlist = None if plan.prerank is None else make_shortlist(plan, windows)
        return cls(
            tuple(plan.models), user, plan.reader, tuple(windows), columns, most, first_fold, shortlist
        )

    def read(self, oof_file: Path) -> ScoreFrame:
        """Read what a blender is fitted on: out-of-fold scores of the windows, and the features it may read."""
        importance = pl.read_parquet(oof_file.with_name("importance.parquet"))
        oof = pl.read_parquet(oof_file).filter(pl.col("window").is_in([w.cutoff for w in self.windows]))
        return replace(self, columns=self._heaviest(importance)).frame(oof)

    def _heaviest(self, importance: pl.DataFrame) -> tuple[str, ...]:
        """The columns that weigh most, in their order.

        Models of the first fold saw no eval window: whatever window a blender is scored on, its labels choose nothing.
        """
        if self.most is None or len(self.columns) <= self.most:
            return self.columns
        first = importance.filter(pl.col("fold") == self.first_fold)
        weight = dict(first.group_by("feature").agg(pl.col("importance").sum()).iter_rows())
        heaviest = set(sorted(self.columns, key=lambda name: -weight.get(name, 0.0))[: self.most])
        return tuple(name for name in self.columns if name in heaviest)

    def frame(self, scores: pl.DataFrame) -> ScoreFrame:
        """Cut what blenders may see out of a table of scores: no fold names, no item keys."""
        labels = ["relevance"] if "relevance" in scores.columns else []
        scores = scores if self.shortlist is None else self.shortlist.keep(scores)
        table = scores.select("pair_id", "window", self.user, *labels, *self.models)
        return ScoreFrame(table, self.models, self.user, self._stored(table) if self.columns else None)

    def all_pairs(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Rows of all pairs with ``window``, ``pair_id`` and ``score``, from those that were seen and scored."""
        return scores if self.shortlist is None else self.shortlist.completed(scores, ["score"])

    def _stored(self, table: pl.DataFrame) -> StoredColumns:
        """Find the features of the table's pairs, joined on window and pair, never by position."""
        found = open_features(self.reader.catalogue, self.windows, self.columns, Store(self.reader.root))
        where = found.pairs.select("window", "pair_id").with_row_index("position")
        keys = ["window", "pair_id"]
        rows = table.select(keys).join(where, on=keys, how="left", validate="1:1", maintain_order="left")
        if rows["position"].null_count():
            raise TaskError(
                f"{rows['position'].null_count()} of {table.height} scored pairs have no features.",
                expected="the pairs of the windows " + ", ".join(w.name for w in self.windows),
                todo="remove the scores with `python -m engine store prune` and run again",
            )
        return StoredColumns(found.schema, found.read, rows["position"])


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
    return {name: b for name, b in plan.blenders.items() if enough or not learns_labels(b)}


def blend_recipe(plan: Plan, name: str, oof: Recipe, left_out: str | None = None) -> Recipe:
    """Recipe of a blender's scores of a left-out fold, or of its fit on all of them."""
    parts = {
        **plan.parts[name],
        "oof": oof.key,
        "metric": metric_parts(plan.dataset.competition.metric),
        "format": FORMAT,
        "left out": left_out,
        "seed": plan.settings.seed,
        **feature_parts(plan, name, plan.eval_windows),
        **shortlist_parts(plan, "", plan.eval_windows),
    }
    return Recipe("blend", plan.name(f"{name} without {left_out}" if left_out else name), parts)


def feature_parts(plan: Plan, name: str, windows: Sequence[Window]) -> dict[str, Any]:
    """What the features that a blender reads are made of; nothing for those that read none."""
    columns = plan.columns[name]
    return {"columns": list(columns), "features": plan.frame_keys(windows, columns)} if columns else {}


def blend_oof(plan: Plan, oof_file: Path) -> pl.DataFrame:
    """Join the blends' leave-one-fold-out scores to the models': one Float64 column more for each blend."""
    blenders, recipe = scored_blenders(plan), oof_recipe(plan, plan_cv_fits(plan))
    where = [(name, fold) for name in blenders for fold in plan.folds.folds]
    rows = {name: BlendRows.of(plan, name, plan.eval_windows) for name in blenders}
    tasks = [
        Task(
            blend_recipe(plan, name, recipe, fold.name),
            write_left_out,
            (name, blenders[name], oof_file, rows[name], fold.eval.cutoff, context(plan)),
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
    rows: BlendRows,
    window: int,
    context: BlendContext,
) -> None:
    """Write ``scores.parquet`` (``window``, ``pair_id``, ``score``) of the left-out window. Runs in a worker."""
    oof = rows.read(oof_file)
    pairs = oof.table.filter(pl.col("window") == window).select("window", "pair_id")
    found = leave_one_fold_out(blender, oof, window, context)
    scores = check_scores(found, pairs.height, f"The blender {name!r}")
    table = rows.all_pairs(pairs.with_columns(score=pl.Series(scores)))
    table.select("window", "pair_id", "score").write_parquet(folder / "scores.parquet")


def fit_on_all(
    folder: Path, blender: Blender, oof_file: Path, rows: BlendRows, context: BlendContext
) -> None:
    """Fit a blender on all out-of-fold rows; write ``blend/``, its own files."""
    (folder / "blend").mkdir()
    blender.fit(rows.read(oof_file), context).save(folder / "blend")


def fit_blends(plan: Plan, oof_file: Path, names: Sequence[str]) -> dict[str, FittedBlend]:
    """Fit blenders on all out-of-fold rows, or find what was fitted, by name."""
    recipe = oof_recipe(plan, plan_cv_fits(plan))
    tasks = [
        Task(
            blend_recipe(plan, name, recipe),
            fit_on_all,
            (plan.blenders[name], oof_file, BlendRows.of(plan, name, plan.eval_windows), context(plan)),
        )
        for name in names
    ]
    folders = run_tasks("Blends: fit on all folds", tasks, plan.store, plan.settings)
    return {
        name: fitted_class(plan.blenders[name]).load(folder / "blend")
        for name, folder in zip(names, folders, strict=True)
    }
