"""The CV report as one offline HTML file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from validation._report.charts import contenders, report_charts
from validation._report.features import DRIFT_LIMIT
from validation._report.page import render_page
from validation._report.report import Report
from validation._report.segments import CHARTED

_N_SHOWN = 20
Row = Mapping[str, Any]


def report_html(report: Report) -> str:
    """Lay out the report as a page that needs no network."""
    scores = report.scores.to_dicts()
    features = report.features.with_columns(flag_list=pl.col("flags").str.split(", ")).to_dicts()
    for row in features:
        row["flag_list"] = [flag for flag in row["flag_list"] if flag]
    values: dict[str, object] = {
        "report": report,
        "chosen": next(row for row in scores if row["is_chosen"]),
        "best": next(row for row in scores if row["is_best_single"]),
        "scores": scores,
        "names": [row["name"] for row in scores],
        "folds": report.fold_scores["fold"].unique(maintain_order=True).to_list(),
        "fold_values": _fold_values(report),
        "segments": _segments(report),
        "charted": list(enumerate(CHARTED)),
        "legend": contenders(report),
        "features": features,
        "fits": report.fits.to_dicts(),
        "importance_models": report.importance["model"].unique().sort().to_list(),
        "n_unused": report.features.filter(pl.col("importance").fill_null(0.0) == 0.0).height,
        "n_drifting": report.features["is_drifting"].sum(),
        "n_top_drifting": report.features["is_drifting"].head(_N_SHOWN).sum(),
        "drift_limit": DRIFT_LIMIT,
        "n_shown": _N_SHOWN,
        "settings": json.dumps(report.settings, indent=2, ensure_ascii=False, default=str),
    }
    return render_page(Path(__file__).parent / "report.html.jinja", report_charts(report), values)


def _fold_values(report: Report) -> dict[str, dict[str, float | None]]:
    values: dict[str, dict[str, float | None]] = {}
    for name, fold, value in report.fold_scores.select("name", "fold", "value").iter_rows():
        values.setdefault(name, {})[fold] = value
    return values


def _segments(report: Report) -> list[Row]:
    """One entry a segmentation: its title and a row per band, with the value of each name and the best one."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in report.segments.to_dicts():
        bands = found.setdefault(row["segment"], {})
        band = bands.setdefault(row["band"], {**row, "values": {}})
        band["values"][row["name"]] = row["value"]
    pick: Callable[[Sequence[float]], float] = max if report.metric.greater_is_better else min
    for bands in found.values():
        for band in bands.values():
            known = [value for value in band["values"].values() if value is not None]
            band["best"] = pick(known) if len(known) > 1 else None
    return [{"title": title, "rows": list(bands.values())} for title, bands in found.items()]
