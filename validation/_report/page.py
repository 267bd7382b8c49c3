"""What offline HTML pages have in common: skeleton, style, chart runtime, formats of numbers and names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from validation._report.chart import Chart

_HERE = Path(__file__).parent


def render_page(template: Path, charts: Mapping[str, Chart], values: Mapping[str, object]) -> str:
    """Fill a template that extends ``skeleton.html.jinja``: one file that needs no network.

    Text in ``values`` is escaped by the template; the charts get it as JSON in which no ``<`` is left.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template(template.name).render(**values, **_parts(charts))


def _parts(charts: Mapping[str, Chart]) -> dict[str, object]:
    """Build what goes in unescaped: our own files, the chart runtime, JSON made safe."""
    return {
        "charts": charts,
        "specs": _script_json({name: chart.spec for name, chart in charts.items()}),
        "style": Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        "script": Markup((_HERE / "page.js").read_text(encoding="utf-8")),
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
    "short": _number(".3g"),
    "percent": _number(".1%"),
    "psi": _number(".3f"),
    "seconds": _number(",.1f"),
    "count": _number(",d"),
    "raw": _raw,
    "tone": _tone,
    "breakable": _breakable,
}
