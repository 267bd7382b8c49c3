"""The CV report as tables in the terminal. Names come from users: they are shown as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from validation._report import Report
from validation._report_features import DRIFT_LIMIT

_VERDICT_STYLE = {"better": "green", "worse": "red", "no clear difference": "dim", "best single": "yellow"}


def show_report(report: Report, console: Console, *, n_features: int = 15) -> None:
    """Print scores, segments of the chosen one and the best single model, top features, drift and fits."""
    for table in _tables(report, n_features):
        console.print(table)
        console.print()
    console.print(Text.assemble(("Chosen: ", "bold"), report.reason))
    for text in report.caveats:
        console.print(Text(text, style="yellow"))


def _tables(report: Report, n_features: int) -> Iterator[Table]:
    yield _scores(report)
    yield _segments(report)
    if report.features.height:
        yield _features(report, n_features)
        flagged = report.features.filter(pl.col("flags") != "").sort("psi", descending=True, nulls_last=True)
        if flagged.height:
            yield _flagged(flagged, n_features)
    if report.fits.height:
        yield _fits(report.fits)


def _table(title: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(title=Text(title, style="bold"), title_justify="left", header_style="dim")
    for number, column in enumerate(columns):
        is_left = number == 0 or column in left
        table.add_column(Text(column), justify="left" if is_left else "right", overflow="fold")
    return table


def _scores(report: Report) -> Table:
    folds = report.fold_scores["fold"].unique(maintain_order=True).to_list()
    title = f"{report.title}: {report.metric_text}"
    table = _table(
        title, "", "mean", "±", *folds, "difference", "95 % interval", "verdict", left=("verdict",)
    )
    for row in report.scores.iter_rows(named=True):
        by_fold = report.fold_scores.filter(pl.col("name") == row["name"])
        values: list[float | None] = [
            by_fold.filter(pl.col("fold") == fold)["value"].item() for fold in folds
        ]
        interval = "–" if row["low"] is None else f"{row['low']:+.4f} {row['high']:+.4f}"
        verdict = Text(row["verdict"], style=_VERDICT_STYLE.get(row["verdict"], ""))
        table.add_row(
            Text(f"{row['name']} (chosen)" if row["is_chosen"] else row["name"]),
            _number(row["mean"]),
            _number(row["std"]),
            *[_number(value) for value in values],
            _number(row["difference"], "+.4f"),
            interval,
            verdict,
            style="bold" if row["is_chosen"] else "",
        )
    return table


def _segments(report: Report) -> Table:
    names = list(dict.fromkeys([report.chosen, report.best_single]))
    table = _table("Segments (all folds)", "", "pairs", "groups", *names)
    wide = report.segments.pivot(
        "name", index=["segment", "position", "band", "n_pairs", "n_groups"], values="value"
    )
    title = ""
    for row in wide.iter_rows(named=True):
        if row["segment"] != title:
            title = row["segment"]
            table.add_section()
            table.add_row(Text(title, style="bold"))
        counts = (f"{row['n_pairs']:,}", f"{row['n_groups']:,}")
        table.add_row(Text(f"  {row['band']}"), *counts, *[_number(row[name]) for name in names])
    return table


def _features(report: Report, n_features: int) -> Table:
    top = report.features.head(n_features)
    table = _table(
        f"Top {top.height} of {report.features.height} features",
        "",
        "importance",
        "alone",
        "PSI",
        "null train/eval/test",
    )
    for row in top.iter_rows(named=True):
        nulls = " / ".join(_number(row[f"null_{part}"], ".1%") for part in ("train", "eval", "test"))
        psi = Text(_number(row["psi"], ".3f"), style="red" if row["is_drifting"] else "")
        table.add_row(
            Text(row["feature"]), _number(row["importance"], ".1%"), _number(row["score"]), psi, nulls
        )
    return table


def _flagged(flagged: pl.DataFrame, n_features: int) -> Table:
    title = f"Flagged features: {flagged.height} (PSI above {DRIFT_LIMIT}, null rates)"
    table = _table(title, "", "PSI", "null train", "null test", "flags", left=("flags",))
    for row in flagged.head(n_features).iter_rows(named=True):
        rates = (_number(row["null_train"], ".1%"), _number(row["null_test"], ".1%"))
        table.add_row(
            Text(row["feature"]), _number(row["psi"], ".3f"), *rates, Text(row["flags"], style="yellow")
        )
    return table


def _fits(fits: pl.DataFrame) -> Table:
    table = _table("Fits", "", "fold", "seconds", "iterations", "stopped by", left=("fold", "stopped by"))
    for row in fits.iter_rows(named=True):
        style = "yellow" if row["stopped_by"] == "time budget" else ""
        iterations = _number(row["iterations"], ",d")
        stopped = Text(row["stopped_by"] or "–", style=style)
        table.add_row(
            Text(row["model"]), Text(row["fold"]), _number(row["seconds"], ",.1f"), iterations, stopped
        )
    return table


def _number(value: float | None, text_format: str = ".4f") -> str:
    return "–" if value is None else format(value, text_format)
