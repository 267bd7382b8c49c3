"""What an audit says of drift from the train windows to the test window, of columns and of all together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import Recipe, Store, cached_digest, library_versions
from features._audit.findings import Finding, found_in
from features._catalogue import Catalogue
from features._compute import Drift, Rows, ranked, stored_rows
from validation import Folds, roc_auc

DRIFT, NULLS, JOINT = "drifts from train to test", "null rate changes", "all features tell train from test"
JOINT_LIMIT, JOINT_MARGIN = 0.8, 0.05  # and by how much more than train windows are told apart
MOST_ROWS = 3_000  # of train and of test, for the joint classifier
QUICK_ROWS = 1_500  # the same, at the end of a run
N_FOLDS = 3
_TOLD = "told_apart.json"
SEED = 20_240_611


@dataclass(frozen=True)
class JointDrift:
    """AUC of telling test from train pairs by all columns; the same for the first and the last train window.

    ``names``: the five columns that help most to know the test. ``train``: None with one train window.
    """

    test: float
    train: float | None
    names: tuple[str, ...]


def drift_findings(catalogue: Catalogue, drifts: Mapping[str, Drift]) -> list[Finding]:
    """Warn of what drifts and of null rates that change."""
    todo = {
        DRIFT: "use a rate, a rank or a lookback in place of what grows with the log",
        NULLS: "say by fill= what null means, or leave it out: models learn from nulls that mean something else",
    }
    return [
        found_in(catalogue.columns[name], check, evidence, todo[check], severity="warning")
        for name, drift in drifts.items()
        for check, evidence in ((DRIFT, drift.moves), (NULLS, drift.nulls))
        if evidence
    ]


def joint_drift(rows: Rows, user: str, *, limit: float = 0.0, most: int = MOST_ROWS) -> JointDrift | None:
    """Let extremely randomised trees tell test from train pairs by all columns, and the train windows apart.

    Users are held out whole, in three folds, so that knowing a user again does not help. ``limit``: AUC of the test up
    to which train windows are left alone. ``most``: rows of a side. None where either side has fewer than three users.
    """
    if not rows.names or any(frame[user].n_unique() < N_FOLDS for frame in (rows.train, rows.test)):
        return None
    test, names = _told_apart(rows.train, rows.test, rows.names, user, most)
    windows = rows.train.partition_by("window", maintain_order=True)
    train = None
    if test > limit and len(windows) > 1 and min(frame[user].n_unique() for frame in windows) >= N_FOLDS:
        train, _ = _told_apart(windows[0], windows[-1], rows.names, user, most)
    return JointDrift(test, train, names)


def _told_apart(
    one: pl.DataFrame, other: pl.DataFrame, names: Sequence[str], user: str, most: int
) -> tuple[float, tuple[str, ...]]:
    """AUC of telling the rows of one from those of the other, and the five columns that help most."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import GroupKFold, cross_val_predict

    samples = [_some(frame, user, most) for frame in (one, other)]
    both = pl.concat(samples)
    table = both.select(ranked(pl.col(n)) for n in names).to_numpy().astype(np.float32)
    is_other = np.repeat([0, 1], [sample.height for sample in samples])
    trees = ExtraTreesClassifier(
        n_estimators=60, min_samples_leaf=5, n_jobs=1, random_state=SEED, class_weight="balanced"
    )
    groups = both[user].rank("dense").fill_null(0).to_numpy()
    folds = GroupKFold(n_splits=N_FOLDS)
    told = cross_val_predict(trees, table, is_other, groups=groups, cv=folds, method="predict_proba")[:, 1]
    trees.fit(table, is_other)
    order = np.argsort(-trees.feature_importances_, kind="stable")[:5]
    return _auc(is_other, told), tuple(names[i] for i in order)


def _some(frame: pl.DataFrame, user: str, most: int) -> pl.DataFrame:
    step = -(-frame.height // most)
    return frame.sort("window", user, "pair_id").gather_every(max(step, 1))


def _auc(is_other: npt.NDArray[np.int64], score: npt.NDArray[Any]) -> float:
    return float(roc_auc(np.zeros(len(score), dtype=np.int64), is_other, score).value.item())


def joint_warnings(
    catalogue: Catalogue, folds: Folds, names: Iterable[str], store: Store, keys: Mapping[str, str]
) -> list[str]:
    """Warn as an audit does of what all columns tell together, by their values in the store; measured once.

    ``keys``: in the store, of these columns in the windows at least (``feature_keys``).
    """
    windows, names = (*folds.final.train, folds.final.eval), tuple(names)
    parts: dict[str, Any] = {
        "features": {name: keys[name] for of in names for name in (f"{of} @ {w.name}" for w in windows)},
        "code": cached_digest(joint_drift),
        "versions": library_versions(),
    }
    dataset = catalogue.dataset
    recipe = Recipe("drift", f"{dataset.competition.name}: all features together", parts)

    def build(folder: Path) -> None:
        rows = stored_rows(catalogue, windows, names, store)
        told = joint_drift(rows, dataset.competition.user, limit=JOINT_LIMIT, most=QUICK_ROWS)
        facts = None if told is None else asdict(told)
        (folder / _TOLD).write_text(json.dumps(facts), encoding="utf-8")

    facts = json.loads((store.make(recipe, build) / _TOLD).read_text(encoding="utf-8"))
    told = facts and JointDrift(facts["test"], facts["train"], tuple(facts["names"]))
    return [f"{found.check}: {found.evidence}" for found in joint_findings(catalogue, told)]


def joint_findings(catalogue: Catalogue, told: JointDrift | None) -> list[Finding]:
    """Warn if the columns together tell the test window from train windows, and these not nearly as well apart."""
    if told is None or told.test <= JOINT_LIMIT or (told.train or 0) > told.test - JOINT_MARGIN:
        return []
    top = ", ".join(f"{n} ({catalogue.columns[n].declaration.place})" for n in told.names)
    beside = "there is one train window, so nothing to compare with"
    if told.train is not None:
        beside = f"the train windows are told apart with {told.train:.3f}"
    evidence = f"AUC {told.test:.3f} for pairs of users held out; {beside}; most by {top}"
    todo = "look at the columns named: what they tell of the test window was not so in train"
    return [Finding("(all together)", "", JOINT, "", evidence, todo, "warning")]
