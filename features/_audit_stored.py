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
from features._audit_rows import stored_names
from features._catalogue import Catalogue
from features._recipes import feature_keys
from validation import Folds

POINTER = "audit"
_FACTS, _COLUMNS = "audit.json", "columns.parquet"


def stored_audit(
    catalogue: Catalogue, folds: Folds, names: Iterable[str], settings: Settings, *, full: bool = False
) -> Audit:
    """Audit the columns, or read the audit that the store has of them. The pointer ``audit`` names the last one."""
    store, names = Store(settings.store), catalogue.closure(names)
    recipe = audit_recipe(catalogue, folds, names, settings, full=full)
    folder = store.find(recipe)
    if folder is None:
        made = run_audit(catalogue, folds, names, settings, store=store, full=full)
        about = {
            **made.about,
            "fingerprint": catalogue.dataset.fingerprint,
            "names": list(names),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        folder = store.put(recipe, _Written(Audit(made.findings, made.columns, about)).write)
    store.point(POINTER, recipe)
    return read_audit(folder)


def audit_recipe(
    catalogue: Catalogue, folds: Folds, names: Iterable[str], settings: Settings, *, full: bool
) -> Recipe:
    """Recipe of an audit: every column in every window, the code, and whether values are in the store."""
    dataset, names = catalogue.dataset, tuple(names)
    windows = (*folds.final.train, folds.final.eval)
    parts: dict[str, Any] = {
        "data": dataset.fingerprint,
        "features": feature_keys(catalogue, windows, names),
        "stored": list(stored_names(catalogue, windows, names, Store(settings.store)) or ()),
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


class _Written:
    """Writes an audit into the folder of its artifact."""

    def __init__(self, audit: Audit) -> None:
        self.audit = audit

    def write(self, folder: Path) -> None:
        facts = {"findings": [asdict(f) for f in self.audit.findings], "about": dict(self.audit.about)}
        (folder / _FACTS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        self.audit.columns.write_parquet(folder / _COLUMNS)
