"""Prove that features do not know the future and are the same everywhere, or name the one that does not hold.

``leaks`` alters the world; ``values`` and ``drift`` look at what columns are worth. Here it is said on which rows.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from competitions import Competition, Dataset, pointer_to, random_tables, take_in
from engine import Job, Json, Recipe, Settings, Store, cached_digest, library_versions, run_jobs
from features._audit.alterations import ALTERATIONS, IDS, RELABELLED, ROWS, TIME, Worlds
from features._audit.drift import JointDrift, drift_findings, joint_drift, joint_findings
from features._audit.findings import Audit, Finding, at_the_root, first_of_each
from features._audit.leaks import FAILS, INEXACT, LABELS, READS, audit_worlds
from features._audit.small_log import N_PAIRS, N_ROWS, sampled_pairs, small_dataset
from features._audit.values import (
    STANDS_OUT,
    TOO_GOOD,
    range_of,
    rows_of,
    score_findings,
    stored_names,
    value_findings,
    yardstick,
)
from features._catalogue import Catalogue, bind_catalogue
from features._compute import Drift, Rows, drift_of, own_score, stored_rows
from features._declare import Registry
from features._storage import feature_keys
from validation import Folds, Window

N_USERS, N_ITEMS, N_GENERATED = 60, 80, 2_000  # of the generated log
N_JOBS = 8  # that measure a share of the columns each
POINTER = "audit"
DANGERS = (TOO_GOOD, *LABELS, *ALTERATIONS, READS, IDS, ROWS, TIME, RELABELLED, STANDS_OUT)
_FACTS, _COLUMNS = "audit.json", "columns.parquet"
_SCHEMA = {
    "feature": pl.String,
    "score": pl.Float64,
    "null_train": pl.Float64,
    "null_test": pl.Float64,
    "psi": pl.Float64,
    "auc": pl.Float64,
    "drifts": pl.Boolean,
    "nulls_change": pl.Boolean,
}


def run_audit(
    catalogue: Catalogue,
    folds: Folds,
    names: Iterable[str],
    settings: Settings,
    *,
    store: Store | None = None,
    full: bool = False,
    n_rows: int = N_ROWS,
) -> Audit:
    """Audit columns and all that they read.

    On a log of about ``n_rows`` rows cut from the real one and on a generated log; ``full``: on the whole log and all
    pairs. Two windows are altered, the first and the last train window before the test. The values that are judged
    are those in the ``store`` if all model inputs are there, otherwise those computed for the audit.
    """
    names = catalogue.closure(names)
    train, test = folds.final.train, folds.final.eval
    altered = tuple(dict.fromkeys((train[0], train[-1])))
    dataset = catalogue.dataset if full else small_dataset(catalogue.dataset, (*altered, test), n_rows)
    n_pairs = None if full else N_PAIRS
    pairs = {w: sampled_pairs(dataset, w, n_pairs) for w in (*altered, test)}
    own = replace(catalogue, dataset=dataset)
    worlds = Worlds(own, names, altered, pairs, settings)
    plain, found = audit_worlds(worlds, "the whole log" if full else "a small log")
    findings = at_the_root(catalogue, found)
    findings += audit_generated(catalogue, names, settings)
    stored = None if store is None else stored_names(catalogue, (*train, test), names, store)
    if store is not None and stored is not None:
        rows = stored_rows(catalogue, (*train, test), stored, store)
    else:
        rows = rows_of(dataset, plain.frames, pairs, "the whole log" if full else "the small log")
    found, columns, joint = _judged(catalogue, rows, settings)
    findings += found
    about: dict[str, Json] = {
        "features": len(names),
        "log rows": dataset.log.select(pl.len()).collect(engine="streaming").item(),
        "windows": [w.name for w in (*altered, test)],
        "pairs": sum(frame.height for frame in pairs.values()),
        "values from": rows.source,
        "value pairs": rows.train.height + rows.test.height,
        "test told from train": joint.test if joint else None,
        "train windows told apart": joint.train if joint else None,
        "full": full,
    }
    return Audit(tuple(first_of_each(findings, DANGERS)), columns, about)


def audit_window(
    catalogue: Catalogue, windows: Iterable[Window], names: Iterable[str], settings: Settings
) -> list[Finding]:
    """Alter the world of windows of a data set as it is, all pairs; return what does not hold there."""
    names, windows = catalogue.closure(names), tuple(windows)
    pairs = {w: sampled_pairs(catalogue.dataset, w, None) for w in windows}
    worlds = Worlds(catalogue, names, windows, pairs, settings)
    _, found = audit_worlds(worlds, "the log")
    return first_of_each(at_the_root(catalogue, found), DANGERS)


def audit_generated(catalogue: Catalogue, names: Iterable[str], settings: Settings) -> list[Finding]:
    """Alter the world of a generated log that is as awkward as real ones: ties, nulls, cold keys, keys met once."""
    competition = _short(catalogue.dataset)
    tables = random_tables(
        competition, n_users=N_USERS, n_items=N_ITEMS, n_rows=N_GENERATED, seed=settings.seed
    )
    declarations = {c.declaration.name: c.declaration for c in catalogue.columns.values()}
    with TemporaryDirectory() as folder:
        dataset = take_in(competition, tables, Path(folder), fingerprint="generated")
        own = bind_catalogue(dataset, Registry(declarations))
        start = dataset.test_start - dataset.horizon
        window = Window(start - competition.gap, start, dataset.test_start)
        pairs = {window: sampled_pairs(dataset, window, None)}
        known = own.closure(n for n in names if n in own.columns)
        worlds = Worlds(own, known, (window,), pairs, settings, is_brief=True)
        _, found = audit_worlds(worlds, "a generated log")
    # Numbers are drawn from all that a dtype holds: what is too large to be added up there need not be so in the log.
    found = [f for f in found if f.check != FAILS or INEXACT not in f.evidence]
    marked = [replace(f, window=f"generated {f.window}") for f in found]
    return at_the_root(own, marked)


def _short(dataset: Dataset) -> Competition:
    """Give the competition lengths that fit the generated log, which spans ten horizons or so: of test and gap."""
    c = dataset.competition
    horizon = c.horizon
    if c.clock.kind == "time":
        horizon = dataset.horizon
    elif c.clock.kind == "row" and isinstance(horizon, int):
        horizon = N_GENERATED // 10
    length = horizon if isinstance(horizon, int) else horizon.length(N_GENERATED)
    return replace(c, horizon=horizon, gap=min(c.gap, 3 * length))


def _judged(
    catalogue: Catalogue, rows: Rows, settings: Settings
) -> tuple[list[Finding], pl.DataFrame, JointDrift | None]:
    """Measure every column of the rows, in parallel, and all together; judge the values and what was measured.

    Returns the findings, a row a column with its measures (see ``Audit.columns``), and how far all drift together.
    """
    competition = catalogue.dataset.competition
    stick = yardstick(competition, rows)
    inputs = tuple(n for n in rows.names if catalogue.columns[n].is_model_input)
    shares = [share for k in range(N_JOBS) if (share := rows.names[k::N_JOBS])]
    jobs = [
        Job(f"{len(share)} columns", _measured, (competition, rows.of(share), inputs, stick is not None))
        for share in shares
    ]
    jobs.append(Job("all together", joint_drift, (rows.of(inputs), competition.user)))
    *measured, joint = run_jobs("values: scores and drift", jobs, settings)
    found = {name: of for share in measured for name, of in share.items()}
    drifts, scores = ({name: found[name][at] for name in rows.names} for at in (0, 1))
    table = [
        (n, scores[n], d.null_train, d.null_test, d.psi, d.auc, d.moves != "", d.nulls != "")
        for n, d in drifts.items()
    ]
    findings = [
        *value_findings(catalogue, rows),
        *score_findings(catalogue, scores, stick),
        *drift_findings(catalogue, drifts),
        *joint_findings(catalogue, joint),
    ]
    return findings, pl.DataFrame(table, schema=_SCHEMA, orient="row"), joint


def _measured(
    competition: Competition, rows: Rows, inputs: Collection[str], is_scored: bool
) -> dict[str, tuple[Drift, float | None]]:
    scores = {n: own_score(competition, rows.train, n) if is_scored else None for n in rows.names}
    return {
        n: (drift_of(rows, n, competition.user, is_input=n in inputs), score.value if score else None)
        for n, score in scores.items()
    }


def stored_audit(
    catalogue: Catalogue, folds: Folds, names: Iterable[str], settings: Settings, *, full: bool = False
) -> Audit:
    """Audit the columns, or read the audit that the store has of them; of two runs at once one audits.

    A pointer of the store names the last one of a competition and its data folder.
    """
    store, names = Store(settings.store), catalogue.closure(names)
    recipe = audit_recipe(catalogue, folds, names, settings, full=full)

    def build(folder: Path) -> None:
        found = run_audit(catalogue, folds, names, settings, store=store, full=full)
        more = {"fingerprint": catalogue.dataset.fingerprint, "names": list(names), "created": _now()}
        _write(Audit(found.findings, found.columns, {**found.about, **more}), folder)

    folder = store.make(recipe, build)
    store.point(pointer_to(POINTER, catalogue.dataset.competition.name, settings.data), recipe)
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
        "uses": [column.uses for column in columns],
        "ranges": [range_of(column, dataset.history_schema) for column in columns],
        "metric": str(dataset.competition.metric),
        "folds": settings.folds.model_dump(mode="json"),
        "code": cached_digest(run_audit),
        "versions": library_versions(),
        "seed": settings.seed,
        "full": full,
    }
    return Recipe("audit", f"{dataset.competition.name}: audit", parts)


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
