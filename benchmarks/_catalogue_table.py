"""Both catalogues side by side: the rows of the catalogue benchmark, and its table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from competitions import Metric
from validation import evaluate, paired_bootstrap

BEFORE, NOW, ORACLE, CHOSEN = "before", "now", "oracle", "score"
POPULARITY = "popularity"
SEED = 1  # of the resamples
HEADINGS = ("data", "scores", "before", "now", "gain", "of the way, before", "now", "more")


@dataclass(frozen=True)
class Run:
    """One submission on one data set: test scores, labels and, if it is known, the oracle's score; what it cost.

    ``table``: one row a test pair: user, ``relevance``, a Float64 column a model and blend, ``score`` (the chosen one).
    """

    table: pl.DataFrame
    names: tuple[str, ...]
    chosen: str
    columns: int
    seconds: float
    peak_gib: float


@dataclass(frozen=True)
class Trial:
    """One data set with both catalogues."""

    data: Path
    user: str
    metric: Metric
    runs: Mapping[str, Run]


def compared(trial: Trial) -> list[dict[str, Any]]:
    """Both catalogues, name by name, on one data set."""
    return [compared_row(trial.data.name, [trial], name) for name in common_names([trial])]


def common_names(trials: Sequence[Trial]) -> list[str]:
    """Names of models and blends that every run has, then what was chosen."""
    known = [set(run.names) for trial in trials for run in trial.runs.values()]
    first = trials[0].runs[NOW].names
    return [*(name for name in first if all(name in names for names in known)), CHOSEN]


def compared_row(data: str, trials: Sequence[Trial], name: str) -> dict[str, Any]:
    """Both catalogues for one model or blend; users of different data sets are different users."""
    metric = trials[0].metric
    table = pl.concat(_both(trial, name, number) for number, trial in enumerate(trials))

    def value(column: str) -> float:
        return evaluate(metric, table, group=["user"], score=column) if column in table.columns else math.nan

    gain = paired_bootstrap(
        table, metric, user="user", group=["user"], score_a=BEFORE, score_b=NOW, seed=SEED
    )
    way = value(ORACLE) - value(POPULARITY)
    return {
        "data": data, "scores": "the chosen one" if name == CHOSEN else name,
        "before": value(BEFORE), "now": value(NOW), "oracle": value(ORACLE),
        "gain": gain.mean, "low": gain.low, "high": gain.high, "users": gain.n_users,
        "way_before": (value(BEFORE) - value(POPULARITY)) / way, "way_now": (value(NOW) - value(POPULARITY)) / way,
        "way_low": gain.low / way, "way_high": gain.high / way,
    }  # fmt: skip


def _both(trial: Trial, name: str, number: int) -> pl.DataFrame:
    """Scores of one name before and now: ``user``, ``relevance``, ``before``, ``now``, baseline and oracle."""
    before, now = trial.runs[BEFORE].table, trial.runs[NOW].table
    user = pl.format("{}:{}", pl.lit(number), pl.col(trial.user)).alias("user")
    others = [column for column in (ORACLE, POPULARITY) if column in now.columns and column != name]
    own = [
        pl.col(name).alias(NOW),
        *others,
        *([pl.col(name).alias(POPULARITY)] if name == POPULARITY else []),
    ]
    return now.select([pl.col("pair_id"), user, pl.col("relevance"), *own]).join(
        before.select("pair_id", pl.col(name).alias(BEFORE)), on="pair_id", how="inner", validate="1:1"
    )


def as_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line a data set and name."""
    table = Table(title="The catalogue of before against that of now (95 % intervals over users)")
    for heading in HEADINGS:
        table.add_column(heading)
    for row in rows:
        table.add_row(*cells(row))
    return table


def as_markdown(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The same for a document."""
    return [f"| {' | '.join(line)} |" for line in (HEADINGS, ["---"] * len(HEADINGS), *map(cells, rows))]


def cells(row: Mapping[str, Any]) -> list[str]:
    """Text of one line; shares of the way are empty where the oracle is not known."""
    interval = f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    found = [row["data"], row["scores"], f"{row['before']:.4f}", f"{row['now']:.4f}", interval]
    if not math.isfinite(row["way_now"]):
        return [*found, "", "", ""]
    more = row["way_now"] - row["way_before"]
    shares = f"{row['way_before']:.1%}", f"{row['way_now']:.1%}"
    return [*found, *shares, f"{more:+.1%} [{row['way_low']:+.1%}, {row['way_high']:+.1%}]"]
