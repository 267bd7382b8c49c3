"""The CV report as one offline HTML file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from validation._chart import Chart
from validation._charts import contenders, report_charts
from validation._report import Report
from validation._report_features import DRIFT_LIMIT
from validation._report_segments import CHARTED

_HERE = Path(__file__).parent
_N_SHOWN = 20
Row = Mapping[str, Any]


def report_html(report: Report) -> str:
    """Lay out the report as a page that needs no network.

    Text of the data is escaped by the template; the charts get it as JSON in which no ``<`` is left.
    """
    scores = report.scores.to_dicts()
    features = report.features.with_columns(flag_list=pl.col("flags").str.split(", ")).to_dicts()
    for row in features:
        row["flag_list"] = [flag for flag in row["flag_list"] if flag]
    return _template().render(
        report=report,
        chosen=next(row for row in scores if row["is_chosen"]),
        best=next(row for row in scores if row["is_best_single"]),
        scores=scores,
        names=[row["name"] for row in scores],
        folds=report.fold_scores["fold"].unique(maintain_order=True).to_list(),
        fold_values=_fold_values(report),
        segments=_segments(report),
        charted=list(enumerate(CHARTED)),
        legend=contenders(report),
        features=features,
        fits=report.fits.to_dicts(),
        importance_models=report.importance["model"].unique().sort().to_list(),
        n_unused=report.features.filter(pl.col("importance").fill_null(0.0) == 0.0).height,
        n_drifting=report.features["is_drifting"].sum(),
        n_top_drifting=report.features["is_drifting"].head(_N_SHOWN).sum(),
        drift_limit=DRIFT_LIMIT,
        n_shown=_N_SHOWN,
        settings=json.dumps(report.settings, indent=2, ensure_ascii=False, default=str),
        **_page(report_charts(report)),
    )


def _page(charts: Mapping[str, Chart]) -> dict[str, object]:
    """Build the parts of the page that go in unescaped: our own files, the chart runtime, JSON made safe."""
    return {
        "charts": charts,
        "specs": _script_json({name: chart.spec for name, chart in charts.items()}),
        "style": Markup((_HERE / "_report.css").read_text(encoding="utf-8")),
        "script": Markup((_HERE / "_report.js").read_text(encoding="utf-8")),
        "runtime": _runtime(),
    }


def _script_json(value: object) -> Markup:
    """Write JSON that may stand in a script element: a ``<`` could end the element, so none is left."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


@cache
def _runtime() -> Markup:
    """JavaScript of Vega, Vega-Lite and Vega-Embed, bundled once for all charts (about 0.9 MB)."""
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(bundle.replace("</script", "<\\/script"))


def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template("_report.html.jinja")


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


def _number(text_format: str) -> Callable[[float | None], str]:
    """Make a filter that writes a number with a true minus sign, and what is unknown as a dash."""

    def write(value: float | None) -> str:
        return "–" if value is None or math.isnan(value) else format(value, text_format).replace("-", "−")

    return write


def _raw(value: float | None) -> str:
    """Write a number for sorting; empty if unknown."""
    return "" if value is None or math.isnan(value) else repr(value)


def _breakable(name: str) -> Markup:
    """Escape a name and let the browser break it after underscores."""
    return Markup("<wbr>").join(re.findall("[^_]*_+|[^_]+$", name))


def _tone(verdict: str) -> str:
    return {"better": "good", "worse": "bad"}.get(verdict, "soft")


_FILTERS: Mapping[str, Callable[..., str]] = {
    "score": _number(".4f"),
    "signed": _number("+.4f"),
    "percent": _number(".1%"),
    "psi": _number(".3f"),
    "seconds": _number(",.1f"),
    "count": _number(",d"),
    "raw": _raw,
    "tone": _tone,
    "breakable": _breakable,
}
