"""The CV report as one offline HTML file."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl

from validation._report.page import render_page
from validation._report.report import Report
from validation._report.segments import CHARTED, bands_of_segments

_N_SHOWN = 20


def report_html(report: Report) -> str:
    """Lay out the report as a page that needs no network."""
    from validation._report.charts import contenders, report_charts  # altair takes a third of a second

    scores = report.scores.to_dicts()
    values: dict[str, object] = {
        "report": report,
        "chosen": next(row for row in scores if row["is_chosen"]),
        "best": next(row for row in scores if row["is_best_single"]),
        "scores": scores,
        "names": [row["name"] for row in scores],
        "folds": report.folds,
        "fold_values": report.fold_values,
        "segments": bands_of_segments(report.segments, best=max if report.metric.greater_is_better else min),
        "charted": list(enumerate(CHARTED)),
        "legend": contenders(report),
        "features": report.features.to_dicts(),
        "fits": report.fits.to_dicts(),
        "importance_models": report.importance["model"].unique().sort().to_list(),
        "n_unused": report.features.filter(pl.col("importance").fill_null(0.0) == 0.0).height,
        "n_drifting": report.features["drifts"].sum(),
        "n_top_drifting": report.features["drifts"].head(_N_SHOWN).sum(),
        "n_shown": _N_SHOWN,
        "settings": json.dumps(report.settings, indent=2, ensure_ascii=False, default=str),
    }
    return render_page(Path(__file__).parent / "report.html.jinja", report_charts(report), values)
