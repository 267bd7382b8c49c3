"""The CV report as tables in the terminal. Names come from users: they are shown as text, never as markup."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from validation._report.audit import AuditReport
from validation._report.page import number_text
from validation._report.report import Report
from validation._report.segments import bands_of_segments

_VERDICT_STYLE = {"better": "green", "worse": "red", "no clear difference": "dim", "best single": "yellow"}


def show_report(report: Report, console: Console, *, n_features: int = 15) -> None:
    """Print the report with the scores at the end, where a terminal stays: fits, features, segments, scores."""
    for table in _tables(report, n_features):
        console.print(table)
    console.print(Text.assemble(("Chosen: ", "bold"), report.reason))
    if report.column:
        console.print(Text(report.column))
    for text in report.prerank:
        console.print(Text(text))
    for text in report.alarms:
        console.print(Text.assemble(("Alarm: ", "bold"), text, style="red"))
    for text in report.caveats:
        console.print(Text.assemble(("Note: ", "bold"), text, style="yellow"))


def _tables(report: Report, n_features: int) -> Iterator[Table]:
    if report.fits.height:
        yield _fits(report.fits)
    if report.features.height:
        flagged = report.features.filter(pl.col("flags") != "").sort("psi", descending=True, nulls_last=True)
        if flagged.height:
            yield _flagged(flagged, n_features)
        yield _features(report, n_features)
    if report.audit is not None and (report.audit.defects or report.audit.warnings):
        yield _audit(report.audit)
    yield _segments(report)
    if report.shortlists:
        yield _shortlists(report)
    yield _scores(report)
    if report.scores["difference"].is_not_null().any():
        yield _differences(report)


def _table(title: str, *columns: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        header_style="dim",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column(Text(columns[0]), overflow="fold")
    for column in columns[1:]:
        table.add_column(Text(column), justify="left" if column in left else "right", no_wrap=True)
    return table


def _scores(report: Report) -> Table:
    table = _table(f"{report.title}\n{report.metric_text}", "", "mean", "±", *report.folds)
    for name, mean, std, is_chosen in report.scores.select("name", "mean", "std", "is_chosen").iter_rows():
        values = (mean, std, *(report.fold_values[name][fold] for fold in report.folds))
        label = Text(f"{name} (chosen)" if is_chosen else name)
        table.add_row(label, *map(number_text, values), style="bold" if is_chosen else "")
    return table


def _differences(report: Report) -> Table:
    title = f"Difference to {report.best_single} (95 % interval over users)"
    table = _table(title, "", "mean", "low", "high", "verdict", left=("verdict",))
    for row in report.scores.filter(~pl.col("is_best_single")).iter_rows(named=True):
        numbers = [number_text(row[column], "+.4f") for column in ("difference", "low", "high")]
        verdict = Text(row["verdict"], style=_VERDICT_STYLE.get(row["verdict"], ""))
        table.add_row(Text(row["name"]), *numbers, verdict)
    return table


def _segments(report: Report) -> Table:
    names = list(dict.fromkeys([report.chosen, report.best_single]))
    table = _table("Segments (all folds)", "", "pairs", "groups", *names)
    for title, bands in bands_of_segments(report.segments).items():
        table.add_row(Text(title.partition(" (")[0], style="dim"))
        for row in bands:
            counts = (f"{row['n_pairs']:,}", f"{row['n_groups']:,}")
            table.add_row(Text(f"  {row['band']}"), *counts, *[number_text(row["values"][n]) for n in names])
    return table


def _features(report: Report, n_features: int) -> Table:
    top = report.features.head(n_features)
    title = f"Top {top.height} of {report.features.height} features (null: train/eval/test)"
    table = _table(title, "", "import.", "alone", "PSI", "null")
    for row in top.iter_rows(named=True):
        nulls = "/".join(number_text(row[f"null_{window}"], ".0%") for window in ("train", "eval", "test"))
        psi = Text(number_text(row["psi"], ".3f"), style="red" if row["drifts"] else "")
        table.add_row(
            Text(row["feature"]), number_text(row["importance"], ".1%"), number_text(row["score"]), psi, nulls
        )
    return table


def _flagged(flagged: pl.DataFrame, n_features: int) -> Table:
    title = f"Flagged features: {flagged.height} (drift, null rates)"
    table = _table(title, "", "PSI", "null train", "null test", "flags", left=("flags",))
    for row in flagged.head(n_features).iter_rows(named=True):
        rates = (number_text(row["null_train"], ".1%"), number_text(row["null_test"], ".1%"))
        table.add_row(
            Text(row["feature"]), number_text(row["psi"], ".3f"), *rates, Text(row["flags"], style="yellow")
        )
    return table


def _audit(audit: AuditReport) -> Table:
    """Defects one by one, warnings by their number."""
    table = _table("Audit of the features", "", "feature", "where", left=("feature", "where"))
    for row in audit.defects:
        table.add_row(Text(row.check, style="red"), Text(row.feature), Text(row.place))
    for check, rows in audit.warnings.items():
        table.add_row(Text(check), Text(f"{len(rows)}, such as {rows[0].feature}"), Text(rows[0].place))
    return table


def _shortlists(report: Report) -> Table:
    left = ("pre-ranker fitted on",)
    table = _table(
        "Pre-ranking", "", "pairs", "kept", "positives", "cut", "share", "pre-ranker fitted on", left=left
    )
    for row in report.shortlists:
        counts = (f"{n:,}" for n in (row.pairs, row.kept, row.positives, row.positives_cut))
        table.add_row(
            Text(row.window), *counts, number_text(row.share_cut, ".1%"), Text(row.fitted_on, overflow="fold")
        )
    return table


def _fits(fits: pl.DataFrame) -> Table:
    left = ("fold", "stopped by", "notes")
    table = _table(
        "Fits", "", "fold", "seconds", "iterations", "train loss", "stopped by", "notes", left=left
    )
    for row in fits.iter_rows(named=True):
        stopped = row["stopped_by"] or "–"
        style = "yellow" if stopped == "time budget" else ""
        loss = number_text(row.get("training_loss"))
        numbers = (number_text(row["seconds"], ",.1f"), number_text(row["iterations"], ",d"), loss)
        notes = Text(row.get("notes") or "", style="dim", overflow="fold")
        table.add_row(Text(row["model"]), Text(row["fold"]), *numbers, Text(stopped, style=style), notes)
    return table
