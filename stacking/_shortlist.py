"""Which pairs of a window the pre-ranker leaves to the other models, and the places of those that it cuts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from competitions import Competition
from engine import ConfigError, PrerankSettings, TaskError, did_you_mean
from validation import Folds, Window, get_metric

N_PARTS = 5  # of the users of a window before which no labels are known


@dataclass(frozen=True)
class Shortlist:
    """The pairs of windows that a pre-ranker keeps, and the order of the others. It travels to workers.

    ``user``: the user column. ``folders``: by the cutoff of each window, where its ``shortlist.parquet`` lies:
    ``window``, ``pair_id``, the user, ``score`` of the pre-ranker and ``place`` UInt32: 0 = kept, 1, 2, ... = behind
    what is kept, in the order of the pre-ranker; pairs of one score share a place.
    """

    user: str
    folders: Mapping[int, Path]

    def rows(self, cutoffs: Iterable[int]) -> pl.DataFrame:
        """Read the rows of these windows, sorted by (window, user, pair_id)."""
        tables = [pl.read_parquet(self.folders[c] / "shortlist.parquet") for c in sorted(set(cutoffs))]
        return pl.concat(tables).sort("window", self.user, "pair_id")

    def keep(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """Keep the rows of ``pairs`` (with ``window`` and ``pair_id``) that are on the list, in their order."""
        if pairs.is_empty():
            return pairs
        listed = self.rows(pairs["window"].unique()).filter(place=0)
        return pairs.join(listed, on=["window", "pair_id"], how="semi", maintain_order="left")

    def completed(self, scores: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """Give the pairs that were cut their places behind those of their group that were kept.

        Parameters
        ----------
        scores
            ``window``, ``pair_id`` and the Float64 columns ``names``, of all kept pairs of their windows.

        Returns
        -------
        ``window``, the user, ``pair_id`` and ``names`` of all pairs of these windows, sorted. One that was cut has the
        lowest score of its group less its place times a step: 1, or more where that would be lost in rounding.
        Raises TaskError if a kept pair has no score.
        """
        keys = ["window", "pair_id"]
        rows = self.rows(scores["window"].unique()).drop("score")
        found = scores.select(*keys, *names)
        table = rows.join(found, on=keys, how="left", validate="1:1", maintain_order="left")
        kept = table.filter(place=0)
        if n_lacking := max((kept[name].null_count() for name in names), default=0):
            raise TaskError(
                f"{n_lacking} of {kept.height} pairs that the pre-ranker keeps have no score.",
                expected="one score for each",
                todo="remove the scores with `python -m engine store prune` and run again",
            )
        return table.select("window", self.user, "pair_id", *(self._behind(name) for name in names))

    def _behind(self, name: str) -> pl.Expr:
        is_kept = pl.col("place") == 0
        lowest = pl.when(is_kept).then(pl.col(name)).min().over("window", self.user)
        step = pl.max_horizontal(pl.lit(1.0), lowest.abs() * 2.0**-30)
        return pl.when(is_kept).then(pl.col(name)).otherwise(lowest - pl.col("place") * step).alias(name)


def with_places(scored: pl.DataFrame, user: str, keep: float) -> pl.DataFrame:
    """Add ``place`` UInt32 (see ``Shortlist``) to pairs with ``window``, the user and the pre-ranker's ``score``.

    Of a group of n pairs the best ``ceil(keep * n)`` are kept, so at least one, and with them all that tie with the
    last of these: what is kept does not depend on the order of rows or on ids.

    >>> scored = pl.DataFrame({"window": [0] * 4, "user": [7] * 4, "score": [0.1, 0.9, 0.5, 0.5]})
    >>> with_places(scored, "user", 0.25)["place"].to_list()
    [2, 0, 1, 1]
    >>> with_places(scored, "user", 0.5)["place"].to_list()
    [1, 0, 0, 0]
    """
    group, score = ["window", user], pl.col("score")
    # Less than a billionth of a pair is a rounding error of the product: 0.07 * 100 is above 7.
    n_kept = (pl.len().over(group) * keep - 1e-9).ceil().clip(lower_bound=1)
    is_kept = score.rank("min", descending=True).over(group) <= n_kept
    order = score.rank("dense", descending=True).over(group)
    last = pl.when(is_kept).then(order).max().over(group)
    return scored.with_columns(place=pl.when(is_kept).then(0).otherwise(order - last).cast(pl.UInt32))


def windows_before(folds: Folds, window: Window, n_pairs: Mapping[str, int]) -> tuple[Window, ...]:
    """Windows with pairs whose labels are known at the cutoff, the last ones: as many as a fold is trained on at most.

    Of a window that is predicted in a fold they are its train windows. ``n_pairs``: by the name of a window.
    """
    known = [w for w in folds.windows if w.until <= window.cutoff]
    return tuple(w for w in known[-len(folds.final.train) :] if n_pairs[w.name])


def check_prerank(prerank: PrerankSettings | None, models: Iterable[str], tables: Iterable[str]) -> None:
    """Refuse a pre-ranker that is no enabled model, or the only one. ``tables``: all, the models that are off too."""
    if prerank is None:
        return
    enabled = list(models)
    if prerank.model not in enabled:
        is_off = prerank.model in tables
        raise ConfigError(
            f"prerank.model = {prerank.model!r} is "
            + ("not switched on." if is_off else "no model of config.toml.")
            + ("" if is_off else did_you_mean(prerank.model, enabled)),
            expected=f"one of {', '.join(enabled)}",
            todo=f"take enabled = false out of [models.{prerank.model}], or name another model in prerank"
            if is_off
            else "correct `prerank`, or add the table [models.NAME] of that model",
        )
    if len(enabled) == 1:
        raise ConfigError(
            f"prerank.model = {prerank.model!r} is the only model: no other one would see what it keeps.",
            expected="another model beside it",
            todo="switch one on in config.toml, or take `prerank` out",
        )


def check_order_counts(prerank: PrerankSettings | None, competition: Competition) -> None:
    """Refuse a metric that reads the values of scores: a pair that was cut has a place, and no such value."""
    metric = competition.metric.name
    if prerank is not None and get_metric(metric).scope == "pooled":
        raise ConfigError(
            f"The metric {metric} of {competition.name} reads the value of each score, and prerank gives the pairs "
            "that it cuts places only.",
            expected="a metric of the order of scores, such as user_auc",
            todo="take `prerank` out of config.toml",
        )
