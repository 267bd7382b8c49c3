"""The audit's result as an artifact, named by what it was made of."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from engine import Recipe, Settings, Store, code_digest, library_versions
from features._audit import Audit, run_audit
from features._audit_finding import Finding
from features._audit_ranges import range_of
from features._audit_rows import stored_names
from features._catalogue import Catalogue
from features._recipes import feature_keys
from validation import Folds

POINTER = "audit"
_FACTS, _COLUMNS = "audit.json", "columns.parquet"


def stored_audit(
    catalogue: Catalogue, folds: Folds, names: Iterable[str], settings: Settings, *, full: bool = False
) -> Audit:
    """Audit the columns, or read the audit that the store has of them; of two runs at once one audits.

    The pointer ``audit`` names the last one.
    """
    store, names = Store(settings.store), catalogue.closure(names)
    recipe = audit_recipe(catalogue, folds, names, settings, full=full)

    def build(folder: Path) -> None:
        found = run_audit(catalogue, folds, names, settings, store=store, full=full)
        more = {"fingerprint": catalogue.dataset.fingerprint, "names": list(names), "created": _now()}
        _write(Audit(found.findings, found.columns, {**found.about, **more}), folder)

    folder = store.make(recipe, build)
    store.point(POINTER, recipe)
    return read_audit(folder)


def audit_recipe(
    catalogue: Catalogue, folds: Folds, names: Iterable[str], settings: Settings, *, full: bool
) -> Recipe:
    """Recipe of an audit: every column in every window, the code, and whether values are in the store.

    What no value depends on but a finding does is in it, too: where a column is written, its range, the metric.
    """
    dataset, names = catalogue.dataset, tuple(names)
    columns = [catalogue.columns[name] for name in names]
    windows = (*folds.final.train, folds.final.eval)
    parts: dict[str, Any] = {
        "data": dataset.fingerprint,
        "features": feature_keys(catalogue, windows, names),
        "stored": list(stored_names(catalogue, windows, names, Store(settings.store)) or ()),
        "places": [str(column.declaration.place) for column in columns],
        "ranges": [range_of(column, dataset.history_schema) for column in columns],
        "metric": str(dataset.competition.metric),
        "folds": settings.folds.model_dump(mode="json"),
        "code": _code(),
        "versions": library_versions(),
        "seed": settings.seed,
        "full": full,
    }
    return Recipe("audit", f"{dataset.competition.name}: audit", parts)


@cache
def _code() -> str:
    return code_digest(run_audit).digest


def read_audit(folder: Path) -> Audit:
    """Read what ``stored_audit`` wrote."""
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    findings = tuple(Finding(**finding) for finding in facts["findings"])
    return Audit(findings, pl.read_parquet(folder / _COLUMNS, memory_map=False), facts["about"])


def _write(audit: Audit, folder: Path) -> None:
    facts = {"findings": [asdict(f) for f in audit.findings], "about": dict(audit.about)}
    (folder / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    audit.columns.write_parquet(folder / _COLUMNS)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
