"""What ``python -m features`` lists: the catalogue, and what computing it takes; as tables or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from engine import Json, Store, whole_files
from features._aggregation import Plan, make_groups, make_plan, plan_rollups
from features._cards.facts import other_pairs
from features._catalogue import AggregateBody, Catalogue, FeatureColumn, dtype_name
from features._storage import column_recipes, missing_columns
from validation import Window

Facts = dict[str, Any]


def catalogue_rows(
    catalogue: Catalogue, names: Iterable[str], window: Window, store: Store
) -> list[dict[str, Json]]:
    """Describe each column: name, meaning, key, needs, dtype, scope, where it is written, cost in seconds a window."""
    names = list(names)
    recipes = column_recipes(catalogue, window, names)
    return [
        {
            "name": column.name,
            "meaning": column.meaning,
            "kind": column.kind,
            "key": list(column.key),
            "needs": [*column.columns, *column.reads],
            "dtype": dtype_name(column.dtype),
            "scope": column.scope,
            "uses": list(column.uses),
            "model_input": column.is_model_input,
            "family": column.family,
            "place": str(column.declaration.place),
            "seconds": store.seconds(recipes[column.name]),
        }
        for column in (catalogue.columns[name] for name in names)
    ]


def catalogue_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay the catalogue out for the terminal; what no model reads is italic, transductive ones are marked."""
    table = Table(title=f"{len(rows)} features", title_justify="left", expand=True, show_lines=True)
    table.add_column("feature and meaning", ratio=3, overflow="fold")
    table.add_column("key: needs", ratio=2, overflow="fold")
    table.add_column("dtype", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for row in rows:
        others = other_pairs(row["scope"])
        marks = [f"looks at {others}"] if others else []
        marks += [f"shows {' and '.join(row['uses'])}"] if row["uses"] else []
        mark = f" ({', '.join(marks)})" if marks else ""
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


def plan_facts(catalogue: Catalogue, names: Sequence[str], windows: Sequence[Window], store: Store) -> Facts:
    """Describe the passes, their last cost, and for every window what is missing in the store and why."""
    closure = catalogue.closure(names)
    plan = make_plan(catalogue, closure)
    seconds = _last_seconds(catalogue, closure, windows, store)
    passes = _pass_facts(catalogue, plan, windows)
    bodies = [(f"{c[0].kind} {c[0].declaration.name}", _read_by(c[0]), c) for c in plan.bodies]
    levels = [(f"per pair, level {at}", "pairs", columns) for at, columns in enumerate(plan.levels, 1)]
    rest = [_fact(name, made_of, [c.name for c in columns]) for name, made_of, columns in (*bodies, *levels)]
    for one in (*passes, *rest):
        known = [seconds[name] for name in one["features"] if name in seconds]
        one["seconds"] = sum(known) if known else None
    return {
        "n_features": len(closure),
        "n_passes": sum(one["made of"] == "rows" for one in passes),
        "n_windows": len(windows),
        "passes": [*passes, *rest],
        "whole files": {
            name: dict(found) for name, _, c in bodies if (found := whole_files(c[0].declaration.body))
        },
        "windows": [_window_facts(catalogue, window, closure, store) for window in windows],
    }


def _read_by(column: FeatureColumn) -> str:
    """Say what a Python body is made of; a streamed one goes over the log once, not once a window."""
    return "log, once" if column.kind == "streamed" else "history"


def _fact(
    name: str,
    made_of: str,
    features: Sequence[str],
    *,
    lookbacks: Iterable[str] = (),
    n_states: int = 0,
    n_direct: int = 0,
) -> Facts:
    return {
        "pass": name,
        "made of": made_of,
        "lookbacks": list(lookbacks),
        "states": n_states,
        "by window": n_direct,
        "features": list(features),
    }


def _last_seconds(
    catalogue: Catalogue, names: Iterable[str], windows: Iterable[Window], store: Store
) -> dict[str, float]:
    """Seconds that each column took when it was last made, over all windows; only those that were ever made."""
    seconds: dict[str, float] = {}
    for window in windows:
        for name, recipe in column_recipes(catalogue, window, names).items():
            last = store.seconds(recipe)
            if last is not None:
                seconds[name] = seconds.get(name, 0.0) + last
    return seconds


def _pass_facts(catalogue: Catalogue, plan: Plan, windows: Sequence[Window]) -> list[Facts]:
    groups, rollups = plan_rollups(make_groups(plan.passes, windows, catalogue.dataset), catalogue.dataset)
    facts = []
    for name, group in groups.items():
        own = [one for one in plan.passes if (one.source, one.key) == name]
        priors = [f"prior of {n}" for n in sorted({c.name for c in group.columns if _has_prior(c.body)})]
        facts.append(
            _fact(
                f"group by {' x '.join(group.key) or 'nothing'}{' (where)' if group.source else ''}",
                f"partials by {' x '.join(rollups[name].finer[1])}" if name in rollups else "rows",
                list(dict.fromkeys(c.name for one in own for c in one.columns)) or priors,
                lookbacks=dict.fromkeys(one.lookback.text or "all" for one in own),
                n_states=len({state.name for _, state in group.requests}),
                n_direct=len(group.by_window),
            )
        )
    return facts


def _has_prior(body: object) -> bool:
    return isinstance(body, AggregateBody) and any(s.everywhere for s in body.aggregate.states.values())


def _window_facts(catalogue: Catalogue, window: Window, names: Sequence[str], store: Store) -> Facts:
    recipes = column_recipes(catalogue, window, names)
    missing = missing_columns(catalogue, window, names, store)
    reasons: dict[str, list[str]] = {}
    for name in missing:
        reasons.setdefault(store.why(recipes[name]), []).append(name)
    bodies = [catalogue.columns[name].body for name in missing]
    keys = {(body.key, str(body.where)) for body in bodies if isinstance(body, AggregateBody)}
    return {"window": window.name, "missing": len(missing), "passes_to_run": len(keys), "why": reasons}


def plan_tables(facts: Mapping[str, Any]) -> list[Table]:
    """Lay the plan out for the terminal."""
    title = (
        f"{facts['n_features']} features -> {facts['n_passes']} passes over the log, "
        f"for all {facts['n_windows']} windows together"
    )
    table = Table(title=title, title_justify="left", expand=True)
    for heading in ("pass", "made of", "lookbacks"):
        table.add_column(heading, overflow="fold")
    for heading in ("n", "last cost"):
        table.add_column(heading, justify="right")
    table.add_column("features", ratio=1, overflow="fold")
    for one in facts["passes"]:
        cost = "" if one["seconds"] is None else f"{one['seconds']:.1f} s"
        cells = (one["pass"], one["made of"], ", ".join(one["lookbacks"]), str(len(one["features"])), cost)
        table.add_row(*cells, Text(_few(one["features"])))
    windows = Table(title="in the store", title_justify="left", expand=True)
    for heading in ("window", "to compute", "passes to run"):
        windows.add_column(heading)
    windows.add_column("why", ratio=1, overflow="fold")
    for one in facts["windows"]:
        why = "; ".join(f"{reason}: {_few(names)}" for reason, names in one["why"].items())
        windows.add_row(one["window"], str(one["missing"]), str(one["passes_to_run"]), Text(why))
    return [table, windows, *_whole_file_tables(facts["whole files"])]


def _whole_file_tables(facts: Mapping[str, Mapping[str, str]]) -> list[Table]:
    """Say whose code is not told apart from the files that it lies in; no table mostly."""
    if not facts:
        return []
    title = "files that count as a whole, with all that they import: an edit of any of it computes anew"
    table = Table("pass", "file", "why", title=title, title_justify="left", expand=True)
    for name, files in facts.items():
        for file, why in files.items():
            table.add_row(*map(Text, (name, file, why)))
    return [table]


def _few(names: Sequence[str], n: int = 6) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
