"""How far features move from the train windows to the test window, each by itself and all together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from features._audit.findings import Finding, found_in
from features._audit.values import Rows
from features._catalogue import Catalogue, FeatureColumn
from features._compute import has_order, train_test_psi
from validation import roc_auc

DRIFT, NULLS, JOINT = "drifts from train to test", "null rate changes", "all features tell train from test"
PSI_LIMIT = 0.25  # a shift, by custom
AUC_LIMIT = 0.7
NULL_LIMIT = 0.1
FEWEST_DEVIATIONS = 0.25
JOINT_LIMIT, JOINT_MARGIN = 0.8, 0.05  # and by how much more than train windows are told apart
PSI_NOISE = 16.9  # the 95 % quantile of chi-square with 9 degrees of freedom: ten bins
MOST_ROWS = 3_000  # of train and of test, for the joint classifier
N_FOLDS = 3
SEED = 20_240_611


@dataclass(frozen=True)
class Drift:
    """One column, train windows against test window.

    ``null_train``, ``null_test``: shares. ``psi``: see ``validation.psi``. ``auc``: of the column by itself telling
    test from train, 0.5 to 1. None where the column has no order and no categories, or there are no test pairs.
    """

    null_train: float | None
    null_test: float | None
    psi: float | None
    auc: float | None


@dataclass(frozen=True)
class JointDrift:
    """AUC of telling test from train pairs by all columns; the same for the first and the last train window.

    ``names``: the five columns that help most to know the test. ``train``: None with one train window.
    """

    test: float
    train: float | None
    names: tuple[str, ...]


def drift_of(rows: Rows, name: str) -> Drift:
    """Measure the drift of a column."""
    train, test = rows.train[name], rows.test[name]
    if not len(train) or not len(test):
        return Drift(None, None, None, None)
    nulls = (train.null_count() / len(train), test.null_count() / len(test))
    auc = adversarial_auc(train, test) if has_order(train.dtype) else None
    return Drift(*nulls, train_test_psi(train, test), auc)


def adversarial_auc(train: pl.Series, test: pl.Series) -> float:
    """Chance that a test value is above a train value, or below if that is more; ties count half, null is lowest."""
    both = pl.concat([train, test]).to_frame("value").select(_ranked(pl.col("value")))
    auc = _auc(np.repeat([0, 1], [len(train), len(test)]), both["value"].to_numpy())
    return max(auc, 1 - auc)


def _auc(is_other: npt.NDArray[np.int64], score: npt.NDArray[Any]) -> float:
    return float(roc_auc(np.zeros(len(score), dtype=np.int64), is_other, score).value.item())


def drift_findings(catalogue: Catalogue, rows: Rows, drifts: Mapping[str, Drift], user: str) -> list[Finding]:
    """Warn of model inputs that drift further than so few users would by chance.

    What no model reads may drift: instants and sums do, and what is made of them need not. Pairs of one user are
    alike, and so are those of one age group: the noise is that of as many observations as there are users or distinct
    values, whichever are fewer. Of PSI it is the 95 % quantile of chi-square, of AUC and null rates two standard
    errors.
    """
    if not rows.train.height or not rows.test.height:
        return []
    by_users = sum(1 / frame[user].n_unique() for frame in (rows.train, rows.test))
    findings = []
    for name, drift in drifts.items():
        column = catalogue.columns[name]
        if not column.is_model_input:
            continue
        values = pl.concat([rows.train[name], rows.test[name]])
        by_values = by_users if drift.psi is None else 2 / values.n_unique()
        findings += _moves(column, drift, rows, max(by_users, by_values))
        findings += _nulls(column, drift, by_users)
    return findings


def _moves(column: FeatureColumn, drift: Drift, rows: Rows, spread: float) -> list[Finding]:
    psi_limit = PSI_LIMIT + PSI_NOISE * spread
    auc_limit = AUC_LIMIT + 2 * math.sqrt(spread / 12)
    is_far = (drift.psi or 0) > psi_limit or (drift.auc or 0) > auc_limit
    shift, medians = _shift(rows, column) if is_far else (None, "")
    if not is_far or (shift is not None and shift < FEWEST_DEVIATIONS):
        return []
    is_told = drift.auc is not None and auc_limit < 1  # of few users or values every AUC may be chance
    auc = f", adversarial AUC {drift.auc:.3f} (limit {auc_limit:.3f})" if is_told else ""
    far = "" if shift is None else f", {shift:.2f} standard deviations away"
    evidence = f"PSI {drift.psi:.3f} (limit {psi_limit:.3f}){auc}{far}{medians}"
    todo = "use a rate, a rank or a lookback in place of what grows with the log"
    return [found_in(column, DRIFT, evidence, todo, severity="warning")]


def _shift(rows: Rows, column: FeatureColumn) -> tuple[float | None, str]:
    """Wasserstein distance of the known values in standard deviations of train, None without any; medians in words.

    PSI and AUC know ranks alone: for them, a prior that most pairs share has moved as soon as its last digit has.
    """
    from scipy.stats import wasserstein_distance

    if not column.dtype.is_numeric():
        return None, ""
    values = [
        frame[column.name].cast(pl.Float64).drop_nulls().to_numpy() for frame in (rows.train, rows.test)
    ]
    medians = [f"{np.median(known):.4g}" if len(known) else "null" for known in values]
    spread = values[0].std() if all(map(len, values)) else 0.0
    shift = float(wasserstein_distance(*values) / spread) if spread > 0 else None
    return shift, f"; median {medians[0]} in train, {medians[1]} in test"


def _nulls(column: FeatureColumn, drift: Drift, spread: float) -> list[Finding]:
    if drift.null_train is None or drift.null_test is None:
        return []
    share = (drift.null_train + drift.null_test) / 2
    limit = NULL_LIMIT + 2 * math.sqrt(share * (1 - share) * spread)
    if abs(drift.null_test - drift.null_train) <= limit:
        return []
    evidence = (
        f"{drift.null_train:.1%} null in train, {drift.null_test:.1%} in test (limit {limit:.1%} apart)"
    )
    todo = "say by fill= what null means, or leave it out: models learn from nulls that mean something else"
    return [found_in(column, NULLS, evidence, todo, severity="warning")]


def joint_drift(rows: Rows, user: str) -> JointDrift | None:
    """Let extremely randomised trees tell test from train pairs by all columns, and the train windows apart.

    Users are held out whole, in three folds, so that knowing a user again does not help. None where either side has
    fewer than three users.
    """
    if not rows.names or any(frame[user].n_unique() < N_FOLDS for frame in (rows.train, rows.test)):
        return None
    test, names = _told_apart(rows.train, rows.test, rows.names, user)
    windows = rows.train.partition_by("window", maintain_order=True)
    train = None
    if len(windows) > 1 and min(frame[user].n_unique() for frame in windows) >= N_FOLDS:
        train, _ = _told_apart(windows[0], windows[-1], rows.names, user)
    return JointDrift(test, train, names)


def _told_apart(
    one: pl.DataFrame, other: pl.DataFrame, names: Sequence[str], user: str
) -> tuple[float, tuple[str, ...]]:
    """AUC of telling the rows of one from those of the other, and the five columns that help most."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.model_selection import GroupKFold, cross_val_predict

    samples = [_some(frame, user) for frame in (one, other)]
    both = pl.concat(samples)
    table = both.select(_ranked(pl.col(n)) for n in names).to_numpy().astype(np.float32)
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


def _some(frame: pl.DataFrame, user: str) -> pl.DataFrame:
    step = -(-frame.height // MOST_ROWS)
    return frame.sort("window", user, "pair_id").gather_every(max(step, 1))


def _ranked(column: pl.Expr) -> pl.Expr:
    """Ranks from 1, as trees see values; null is 0."""
    return column.to_physical().cast(pl.Float64).rank("dense").fill_null(0)


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
