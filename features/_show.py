"""What ``python -m features`` shows: the catalogue and the plan, as tables or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from engine import Json, Store
from features._audit import Finding
from features._catalogue import Catalogue, dtype_name
from features._column import AggregateBody, FeatureColumn
from features._plan import Plan, make_plan
from features._recipes import column_recipes
from features._stored import missing_columns
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


def plan_facts(
    catalogue: Catalogue, names: Sequence[str], windows: Sequence[Window], store: Store
) -> dict[str, Any]:
    """Describe the passes of a window and, for every window, what is missing in the store and why."""
    closure = catalogue.closure(names)
    plan = make_plan(catalogue, closure)
    return {
        "n_features": len(closure),
        "n_passes": len(plan.passes) + len(plan.bodies),
        "passes": [*_pass_facts(plan), *_body_facts(plan), *_level_facts(plan)],
        "windows": [_window_facts(catalogue, window, closure, store) for window in windows],
    }


def _pass_facts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "pass": f"group by {' x '.join(one.key) or 'nothing'}",
            "lookback": one.lookback.text or "all",
            "is_filtered": bool(one.source),
            "states": len(one.states),
            "features": [c.name for c in one.columns],
        }
        for one in plan.passes
    ]


def _body_facts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "pass": f"{columns[0].kind} {columns[0].declaration.name}",
            "lookback": "all",
            "is_filtered": False,
            "states": 0,
            "features": [c.name for c in columns],
        }
        for columns in plan.bodies
    ]


def _level_facts(plan: Plan) -> list[dict[str, Any]]:
    return [
        {
            "pass": f"per pair, level {number}",
            "lookback": "",
            "is_filtered": False,
            "states": 0,
            "features": [c.name for c in columns],
        }
        for number, columns in enumerate(plan.levels, 1)
    ]


def _window_facts(catalogue: Catalogue, window: Window, names: Sequence[str], store: Store) -> dict[str, Any]:
    recipes = column_recipes(catalogue, window, names)
    missing = missing_columns(catalogue, window, names, store)
    reasons: dict[str, list[str]] = {}
    for name in missing:
        reasons.setdefault(store.why(recipes[name]), []).append(name)
    passes = {
        (c.body.key, c.body.lookback)
        for c in map(catalogue.columns.__getitem__, missing)
        if isinstance(c.body, AggregateBody)
    }
    return {"window": window.name, "missing": len(missing), "passes_to_run": len(passes), "why": reasons}


def plan_tables(facts: Mapping[str, Any]) -> list[Table]:
    """Lay the plan out for the terminal."""
    title = f"{facts['n_features']} features -> {facts['n_passes']} passes over the log, for each window"
    table = Table(title=title, title_justify="left", expand=True)
    for heading in ("pass", "lookback"):
        table.add_column(heading)
    table.add_column("n", justify="right")
    table.add_column("features", ratio=1, overflow="fold")
    for one in facts["passes"]:
        filtered = " (where)" if one["is_filtered"] else ""
        n, few = str(len(one["features"])), Text(_few(one["features"]))
        table.add_row(one["pass"] + filtered, one["lookback"], n, few)
    windows = Table(title="in the store", title_justify="left", expand=True)
    for heading in ("window", "to compute", "passes to run"):
        windows.add_column(heading)
    windows.add_column("why", ratio=1, overflow="fold")
    for one in facts["windows"]:
        why = "; ".join(f"{reason}: {_few(names)}" for reason, names in one["why"].items())
        windows.add_row(one["window"], str(one["missing"]), str(one["passes_to_run"]), Text(why))
    return [table, windows]


def _few(names: Sequence[str], n: int = 6) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


def findings_table(findings: Sequence[Finding]) -> Table:
    """Lay the findings of an audit out for the terminal."""
    table = Table(title=f"{len(findings)} findings", title_justify="left", expand=True)
    for heading in ("feature", "where", "check", "evidence", "to do"):
        table.add_column(heading, overflow="fold")
    for f in findings:
        place = f"{f.place} {f.window}".strip()
        table.add_row(*(Text(t) for t in (f.column, place, f.check, f.evidence, f.todo)))
    return table
