"""What offline HTML pages have in common: skeleton, style, charts and their colours, formats of numbers and names."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:  # a program that draws nothing shall not wait for it
    import altair as alt

Spec = Mapping[str, Any]
Colors = Mapping[str, str]

# Middle tones: at least 3:1 against the light and the dark background of the page.
BLUE, ORANGE, GREEN, RED, GREY = "#3b7dd8", "#c2700f", "#2b9367", "#d1495b", "#858b94"
_SERIES = (BLUE, ORANGE, GREEN, "#9461c9", RED, "#6b8e23", "#b0578d", GREY)
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Chart:
    """A chart and its legend: series and colour. The page draws the legend, since Vega's does not wrap on a phone."""

    spec: Spec
    legend: Colors


def finish_chart(
    chart: alt.Chart | alt.LayerChart | alt.FacetChart, n_rows: int, legend: Colors, step: int = 26
) -> Chart:
    """Finish a chart of ``n_rows`` rows. Its width is the page's; the page also sets the config, light or dark."""
    # A height "by step" would make Vega-Lite warn on the console, so it is a number.
    spec: dict[str, Any] = chart.properties(width="container", height=n_rows * step).to_dict()
    spec.pop("config", None)
    return Chart(spec, legend if len(legend) > 1 else {})


def colors_of(names: Sequence[str]) -> Colors:
    """Give each name a colour of its own; after eight they repeat."""
    return {name: _SERIES[position % len(_SERIES)] for position, name in enumerate(names)}


def color_of(field: str, colors: Colors) -> alt.Color:
    """Encode a column of names by the given colours, without a legend of Vega's own."""
    import altair as alt

    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def number_of(field: str, text_format: str = ".4f") -> alt.Tooltip:
    """Show a number in the tooltip, in a format of d3."""
    import altair as alt

    return alt.Tooltip(f"{field}:Q", format=text_format)


def render_page(template: Path, charts: Mapping[str, Chart], values: Mapping[str, object]) -> str:
    """Fill a template that extends ``skeleton.html.jinja``: one file that needs no network.

    Text in ``values`` is escaped by the template; the charts get it as JSON in which no ``<`` is left.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    return environment.get_template(template.name).render(
        **values,
        charts=charts,
        # What follows goes in unescaped: our own files, the chart runtime, JSON made safe.
        specs=_script_json({name: chart.spec for name, chart in charts.items()}),
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((_HERE / "page.js").read_text(encoding="utf-8")),
        runtime=_runtime(),
    )


def _script_json(value: object) -> Markup:
    """Write JSON that may stand in a script element: a ``<`` could end the element, so none is left."""
    text = json.dumps(known(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def known(value: object) -> Any:
    """Put None for numbers that are not finite, of which JSON has none, wherever they are in a value."""
    if isinstance(value, Mapping):
        return {key: known(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [known(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@cache
def _runtime() -> Markup:
    """JavaScript of Vega, Vega-Lite and Vega-Embed, bundled once for all charts (about 0.9 MB)."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return Markup(bundle.replace("</script", "<\\/script"))


def number_text(value: float | None, text_format: str = ".4f") -> str:
    """Write a number, and what is unknown or not finite as a dash."""
    return "–" if value is None or not math.isfinite(value) else format(value, text_format)


def _number(text_format: str) -> Callable[[float | None], str]:
    """Make a filter that writes a number with a true minus sign."""
    return lambda value: number_text(value, text_format).replace("-", "−")


def _raw(value: float | None) -> str:
    """Write a number for sorting; empty if unknown."""
    return "" if value is None or not math.isfinite(value) else repr(value)


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
