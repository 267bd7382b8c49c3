"""What the charts of the CV report share: colours, legend, the finishing of a specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

Spec = Mapping[str, Any]
Colors = Mapping[str, str]

# Middle tones: at least 3:1 against the light and the dark background of the page.
BLUE, ORANGE, GREEN, RED, GREY = "#3b7dd8", "#c2700f", "#2b9367", "#d1495b", "#858b94"
_SERIES = (BLUE, ORANGE, GREEN, "#9461c9", RED, "#6b8e23", "#b0578d", GREY)
ONE_ROW = alt.InlineData(values=[{}])
"""Data of a layer that draws one fixed line."""


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
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=None)


def number_of(field: str, text_format: str = ".4f") -> alt.Tooltip:
    """Show a number in the tooltip, in a format of d3."""
    return alt.Tooltip(f"{field}:Q", format=text_format)
