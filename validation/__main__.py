"""``python -m validation``: the CV report, the folds, the metrics."""

from __future__ import annotations

import inspect

import typer
from rich.table import Table
from rich.text import Text

from competitions import open_dataset
from engine import Settings, Store, StoreError, out, room_app, run_room, settings_of, write_atomically
from validation import CvBundle, build_report, metrics, plan_folds
from validation._plan import plan_tables
from validation._report import read_audit_report, report_html, show_report

app = room_app("Windows, folds, metrics, and the report of the stored cross-validation.")


@app.command()
def report(context: typer.Context) -> None:
    """Show the stored cross-validation here and write it to reports/cv.html. Runs no model."""
    settings = settings_of(context)
    audit = read_audit_report(Store(settings.store).pointed("audit"))
    found = build_report(_stored_bundle(settings), open_dataset(settings), audit=audit)
    show_report(found, out)
    path = settings.reports / "cv.html"
    write_atomically(path, report_html(found))  # so that an open page is never half a report
    out.print(Text(f"Report: {path}"))


@app.command()
def folds(context: typer.Context) -> None:
    """Show the windows and folds that the settings give, with rows, pairs and users of each window."""
    settings = settings_of(context)
    dataset = open_dataset(settings)
    for table in plan_tables(dataset, plan_folds(dataset, settings.folds)):
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


def _stored_bundle(settings: Settings) -> CvBundle:
    folder = Store(settings.store).pointed("cv")
    if folder is None:
        raise StoreError(
            f"There is no cross-validation in the store {settings.store}.",
            expected="the results of a finished run",
            todo="run `make cv`, or `python -m stacking cv`",
        )
    return CvBundle.read(folder)


if __name__ == "__main__":
    run_room(app)
