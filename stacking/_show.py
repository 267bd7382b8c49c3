"""Short tables of a cross-validation for the terminal; the report is ``python -m validation report``."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from validation import CvBundle


def cv_table(bundle: CvBundle) -> Table:
    """The metric by model or blend and fold, and the mean; the chosen one is marked."""
    cv = bundle.about["cv"]
    folds = [f for f in bundle.about["folds"] if f != "final"]
    table = Table(title=Text(f"{bundle.about['competition']}: {bundle.about['metric']['name']}"))
    for heading in ("", *folds, "mean", "fit s", "iterations"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name in (*bundle.models, *bundle.blends):
        values = [f"{cv[name][f]:.4f}" for f in (*folds, "mean")]
        is_chosen = name == bundle.chosen
        label = Text(f"{name} (chosen)" if is_chosen else name)
        table.add_row(label, *values, *_fit_facts(bundle, name), style="bold" if is_chosen else None)
    return table


def _fit_facts(bundle: CvBundle, model: str) -> tuple[str, str]:
    """Seconds of all fits of a model, and its iterations fold by fold."""
    rows = [r for r in bundle.fits.iter_rows(named=True) if r["model"] == model]
    if not rows:
        return "", ""
    counts = [str(r["iterations"]) for r in rows if r["iterations"] is not None]
    return f"{sum(r['seconds'] for r in rows):.1f}", " ".join(counts)


def blends_table(bundle: CvBundle) -> Table:
    """Each blend's leave-one-fold-out metric and its difference to the mean of ranks with the interval."""
    differences = bundle.about["differences_to_baseline"]
    table = Table(title=Text("Blends, each scored on folds that it was not fitted on"))
    for heading in ("", "mean", "difference to mean_rank", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "" else "right")
    for name in bundle.blends:
        d = differences.get(name)
        interval = (f"{d['mean']:+.4f}", f"[{d['low']:+.4f}, {d['high']:+.4f}]") if d else ("", "")
        table.add_row(Text(name), f"{bundle.about['cv'][name]['mean']:.4f}", *interval)
    for name in bundle.about["not_scored"]:
        table.add_row(Text(name), "not scored", "", "")
    return table
