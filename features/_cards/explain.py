"""What computing features takes: what shares a pass over the log, what it cost last, what is missing and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from engine import Store
from features._aggregation import Group, Plan, make_groups, make_plan, plan_rollups
from features._catalogue import AggregateBody, Catalogue
from features._storage import column_recipes, missing_columns
from validation import Window

Facts = dict[str, Any]


def plan_facts(catalogue: Catalogue, names: Sequence[str], windows: Sequence[Window], store: Store) -> Facts:
    """Describe the passes, their last cost, and for every window what is missing in the store and why."""
    closure = catalogue.closure(names)
    plan = make_plan(catalogue, closure)
    seconds = _last_seconds(catalogue, closure, windows, store)
    passes = _pass_facts(catalogue, plan, windows)
    rows = [*passes, *_body_facts(plan), *_level_facts(plan)]
    for one in rows:
        known = [seconds[name] for name in one["features"] if name in seconds]
        one["seconds"] = sum(known) if known else None
    return {
        "n_features": len(closure),
        "n_passes": sum(one["made of"] == "rows" for one in passes),
        "n_windows": len(windows),
        "passes": rows,
        "windows": [_window_facts(catalogue, window, closure, store) for window in windows],
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
        made_of = f"partials by {' x '.join(rollups[name].finer[1])}" if name in rollups else "rows"
        facts.append(
            {
                "pass": f"group by {' x '.join(group.key) or 'nothing'}"
                + (" (where)" if group.source else ""),
                "made of": made_of,
                "lookbacks": list(dict.fromkeys(one.lookback.text or "all" for one in own)),
                "states": len({state.name for _, state in group.requests}),
                "by window": len(group.by_window),
                "features": list(dict.fromkeys(c.name for one in own for c in one.columns)) or _priors(group),
            }
        )
    return facts


def _priors(group: Group) -> list[str]:
    names = {c.name for c in group.columns if _has_prior(c.body)}
    return [f"prior of {name}" for name in sorted(names)]


def _has_prior(body: object) -> bool:
    return isinstance(body, AggregateBody) and any(s.everywhere for s in body.aggregate.states.values())


def _body_facts(plan: Plan) -> list[Facts]:
    return [
        _fact(f"{columns[0].kind} {columns[0].declaration.name}", "history", [c.name for c in columns])
        for columns in plan.bodies
    ]


def _level_facts(plan: Plan) -> list[Facts]:
    return [
        _fact(f"per pair, level {number}", "pairs", [c.name for c in columns])
        for number, columns in enumerate(plan.levels, 1)
    ]


def _fact(name: str, made_of: str, features: Sequence[str]) -> Facts:
    return {
        "pass": name,
        "made of": made_of,
        "lookbacks": [],
        "states": 0,
        "by window": 0,
        "features": list(features),
    }


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
    return [table, windows]


def _few(names: Sequence[str], n: int = 6) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
