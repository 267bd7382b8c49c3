"""``python -m validation``: the CV report, the folds, the metrics."""

from __future__ import annotations

import inspect

import polars as pl
import typer
from rich.table import Table
from rich.text import Text

from competitions import Dataset, open_dataset, pointer_to
from engine import Settings, Store, StoreError, out, room_app, run_room, settings_of, write_atomically
from validation import (
    CvBundle,
    Folds,
    Window,
    build_report,
    is_test,
    metrics,
    plan_folds,
    window_pairs,
    window_title,
)
from validation._report import read_audit_report, report_html, show_report

app = room_app("Windows, folds, metrics, and the report of the stored cross-validation.")


@app.command()
def report(context: typer.Context) -> None:
    """Show the stored cross-validation here and write it to reports/COMPETITION/cv.html. Runs no model."""
    settings = settings_of(context)
    dataset = open_dataset(settings)
    name = dataset.competition.name
    audit = read_audit_report(Store(settings.store).pointed(pointer_to("audit", name, settings.data)))
    found = build_report(_stored_bundle(settings, name), dataset, audit=audit, data=settings.data)
    show_report(found, out)
    path = settings.reports / name / "cv.html"
    write_atomically(path, report_html(found))  # so that an open page is never half a report
    out.print(Text(f"Report: {path}"))


@app.command()
def folds(context: typer.Context) -> None:
    """Show the windows and folds that the settings give, with rows, pairs and users of each window."""
    settings = settings_of(context)
    dataset = open_dataset(settings)
    for table in _plan_tables(dataset, plan_folds(dataset, settings.folds)):
        out.print(table)


@app.command("metrics")
def list_metrics() -> None:
    """List the metrics that a competition can name, with their policies."""
    table = Table("metric", "meaning", "policy (defaults)", header_style="dim")
    for name, function in metrics().items():
        meaning = (inspect.getdoc(function.compute) or "").partition("\n")[0].replace("``", "")
        policy = "\n".join(f"{key} = {value!r}" for key, value in function.policy.items())
        table.add_row(Text(name, style="bold"), Text(meaning), Text(policy))
    out.print(table)


def _stored_bundle(settings: Settings, competition: str) -> CvBundle:
    folder = Store(settings.store).pointed(pointer_to("cv", competition, settings.data))
    if folder is None:
        raise StoreError(
            f"There is no cross-validation of {competition} with the files in {settings.data} in the store "
            f"{settings.store}.",
            expected="the results of a finished run",
            todo="run `make cv`, or `python -m stacking cv`",
        )
    return CvBundle.read(folder)


def _plan_tables(dataset: Dataset, folds: Folds) -> tuple[Table, Table]:
    """Lay out the folds (which windows they train on and predict) and the windows with their sizes."""
    by_fold = Table(
        "fold", "train windows", "eval window", title="Folds", title_justify="left", header_style="dim"
    )
    for fold in (*folds.folds, folds.final):
        train = ", ".join(window_title(dataset.competition.clock, window) for window in fold.train)
        by_fold.add_row(
            Text(fold.name), Text(train), Text(window_title(dataset.competition.clock, fold.eval))
        )
    columns = ("history rows", "pairs", "users", "items")
    kind = dataset.competition.clock.kind
    bounds = "start to until, UTC" if kind == "time" else "cutoff-start-until"
    title = Text(f"Windows [{bounds}], clock {kind}, half-open")
    by_window = Table("window", "serves", title=title, title_justify="left", header_style="dim")
    for column in columns:
        by_window.add_column(column, justify="right")
    for window in folds.windows:
        sizes = _window_sizes(dataset, window)
        by_window.add_row(
            Text(window_title(dataset.competition.clock, window)),
            _serves(dataset, folds, window),
            *[f"{size:,}" for size in sizes],
        )
    return by_fold, by_window


def _window_sizes(dataset: Dataset, window: Window) -> tuple[int, int, int, int]:
    """Count a window's history rows, pairs, and the users and items of its pairs."""
    n_rows = window.history(dataset.log).select(pl.len()).collect(engine="streaming").item()
    pairs = window_pairs(dataset, window)
    competition = dataset.competition
    return n_rows, pairs.height, pairs[competition.user].n_unique(), pairs[competition.item].n_unique()


def _serves(dataset: Dataset, folds: Folds, window: Window) -> str:
    if is_test(dataset, window):
        return "test"
    is_train = any(window in fold.train for fold in (*folds.folds, folds.final))
    is_eval = any(window == fold.eval for fold in folds.folds)
    return " and ".join(text for text, does in (("train", is_train), ("eval", is_eval)) if does)


if __name__ == "__main__":
    run_room(app)
