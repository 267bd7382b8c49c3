"""Scores of two sides on the same pairs: on eval windows, on the test window and on both, paired over users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl
from rich.table import Table

from competitions import Metric, solution
from engine import DataError, Json
from stacking import Plan, final_scores
from validation import CvBundle, Difference, evaluate, paired_bootstrap

TEST = "test"  # the fold of the test window's rows
PARTS = {
    "eval windows": pl.col("fold") != TEST,
    "test window": pl.col("fold") == TEST,
    "pooled": pl.lit(True),
}


@dataclass(frozen=True)
class Compared:
    """Two sides on a part of the windows; ``lead``: the metric of the first less that of the second."""

    part: str
    a: float
    b: float
    lead: Difference
    is_loss: bool

    @property
    def surely_ahead(self) -> str:
        """``A`` or ``B``, whichever the interval says is better; empty if it does not say."""
        if not self.lead.excludes_zero:
            return ""
        return "A" if (self.lead.mean > 0) != self.is_loss else "B"

    def figures(self) -> dict[str, Json]:
        """Give what is kept of it."""
        own: dict[str, Json] = {"part": self.part, "a": self.a, "b": self.b, "ahead": self.surely_ahead}
        return own | asdict(self.lead)


def labelled_test(plan: Plan, bundle: CvBundle) -> pl.DataFrame:
    """Final scores of every model and blend with labels, which it reads; ``fold`` is "test"."""
    answers = solution(plan.settings).select("pair_id", "relevance")
    table = final_scores(plan, bundle).join(answers, on="pair_id", how="left", validate="1:1")
    cutoff = pl.lit(plan.folds.final.eval.cutoff, pl.Int64)
    table = table.with_columns(fold=pl.lit(TEST), window=cutoff)
    return table.sort("window", plan.dataset.competition.user, "pair_id")


def all_scores(plan: Plan, bundle: CvBundle, *, with_test: bool = True) -> pl.DataFrame:
    """Out-of-fold scores of the eval windows, and the final ones of the test window.

    Columns: ``fold``, ``window``, ``pair_id``, the user's, ``relevance``, all models and blends, and ``score``: a copy
    of the chosen ones.
    """
    names = ["fold", "window", "pair_id", plan.dataset.competition.user, "relevance", *bundle.models]
    seen = bundle.oof.with_columns(score=pl.col(bundle.chosen)).select(*names, *bundle.blends, "score")
    if not with_test:
        return seen
    return pl.concat([seen, labelled_test(plan, bundle).select(seen.columns).cast(seen.schema)])


def joined(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Put scores side by side, on all columns that both tables have. Raises DataError unless the pairs are the same."""
    keys = [name for name in first.columns if name in second.columns]
    table = first.join(second, on=keys, how="inner", validate="1:1")
    if not first.height == second.height == table.height:
        raise DataError(
            f"One side has scores of {first.height} pairs, the other of {second.height}, and {table.height} of "
            "them are the same.",
            expected="scores of the same pairs, with the same windows and labels",
            todo="give settings that change windows or pairs, such as folds.horizon, to both sides",
        )
    return table


def pooled(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Put logs together: the users of one (``user``) are not those of another."""
    return pl.concat(
        table.with_columns(user=pl.format("{}:{}", pl.lit(number), "user"))
        for number, table in enumerate(tables)
    )


def compared(
    rows: pl.DataFrame, metric: Metric, user: str, a: Sequence[str], b: Sequence[str], *, seed: int
) -> list[Compared]:
    """Compare two sides on each part of the windows that has rows.

    A side is one score column a seed; its value is the mean of theirs, which averages each user's over the seeds. Users
    are resampled with all their windows.
    """
    found, group = [], ["window", user]
    for part, condition in PARTS.items():
        some = rows.filter(condition)
        if some.height:
            values = ([evaluate(metric, some, group=group, score=n) for n in side] for side in (a, b))
            means = [sum(of_seeds) / len(of_seeds) for of_seeds in values]
            lead = paired_bootstrap(some, metric, user=user, group=group, score_a=b, score_b=a, seed=seed)
            found.append(Compared(part, means[0], means[1], lead, not metric.greater_is_better))
    return found


def as_table(rows: Sequence[tuple[str, Compared]], title: str) -> Table:
    """One line a log and part of the windows."""
    table = Table(title=f"{title} (95 % intervals over users)")
    for heading in ("log", "on", "A", "B", "A less B", "low", "high", "users", "surely ahead"):
        table.add_column(heading)
    for log, row in rows:
        lead = row.lead
        figures = [f"{row.a:.4f}", f"{row.b:.4f}", *(f"{x:+.4f}" for x in (lead.mean, lead.low, lead.high))]
        table.add_row(log, row.part, *figures, f"{lead.n_users:,}", row.surely_ahead)
    return table
