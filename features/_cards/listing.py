"""What ``python -m features`` shows: the catalogue, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from engine import Json, Store
from features._catalogue import Catalogue, FeatureColumn, dtype_name
from features._storage import column_recipes
from validation import Window


def catalogue_rows(
    catalogue: Catalogue, names: Iterable[str], window: Window, store: Store
) -> list[dict[str, Json]]:
    """Describe each column: name, meaning, key, needs, dtype, scope, where it is written, cost in seconds a window."""
    names = list(names)
    recipes = column_recipes(catalogue, window, names)
    return [_row(catalogue.columns[name], store.seconds(recipes[name])) for name in names]


def _row(column: FeatureColumn, seconds: float | None) -> dict[str, Json]:
    return {
        "name": column.name,
        "meaning": column.meaning,
        "kind": column.kind,
        "key": list(column.key),
        "needs": [*column.columns, *column.reads],
        "dtype": dtype_name(column.dtype),
        "scope": column.scope,
        "model_input": column.is_model_input,
        "family": column.family,
        "place": str(column.declaration.place),
        "seconds": seconds,
    }


def catalogue_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay the catalogue out for the terminal; what no model reads is italic, transductive ones are marked."""
    table = Table(title=f"{len(rows)} features", title_justify="left", expand=True, show_lines=True)
    table.add_column("feature and meaning", ratio=3, overflow="fold")
    table.add_column("key: needs", ratio=2, overflow="fold")
    table.add_column("dtype", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for row in rows:
        mark = "" if row["scope"] == "row" else f" (looks at the {row['scope']}'s other pairs)"
        name = Text(row["name"], style="bold" if row["model_input"] else "italic")
        key = f"{' x '.join(row['key'])}: " if row["key"] else ""
        cost = "" if row["seconds"] is None else f"{1000 * row['seconds']:.1f}"
        meaning = Text.assemble(name, "\n", row["meaning"] + mark)
        table.add_row(meaning, Text(key + ", ".join(row["needs"])), Text(row["dtype"]), cost)
    return table


def unavailable_table(reasons: Mapping[str, str]) -> Table:
    """Lay out what the competition cannot have, with the reason."""
    table = Table(title=f"{len(reasons)} not available here", title_justify="left")
    table.add_column("feature", overflow="fold")
    table.add_column("because it", overflow="fold")
    for name, reason in sorted(reasons.items()):
        table.add_row(Text(name), Text(reason))
    return table
