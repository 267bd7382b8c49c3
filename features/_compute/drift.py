"""How far a column moves from the train windows to the test window: the one measure and verdict that all show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

import numpy as np
import polars as pl

from competitions import in_share
from engine import Store
from features._catalogue import Catalogue
from features._compute.profile import has_order, has_values
from features._storage import open_features
from validation import Window, is_test, psi, roc_auc

N_STORED = 20_000  # pairs of a window, about, that are looked at
PAIRS = 9  # salt: other users than those of the samples for quick looks
PSI_LIMIT = 0.25  # a shift, by custom
AUC_LIMIT = 0.7
NULL_LIMIT = 0.1
FEWEST_DEVIATIONS = 0.25
PSI_NOISE = 16.9  # the 95 % quantile of chi-square with 9 degrees of freedom: ten bins


@dataclass(frozen=True)
class Rows:
    """Values of pairs.

    Attributes
    ----------
    train, test
        ``pair_id``, ``window`` (the cutoff, Int64), the user's key, ``relevance`` Int8 (null in the test window) and
        the columns, of the train windows and of the test window.
    names
        The columns that are there.
    source
        Where the values are from, in words.
    """

    train: pl.DataFrame
    test: pl.DataFrame
    names: tuple[str, ...]
    source: str

    def of(self, names: Sequence[str]) -> Rows:
        """Keep these columns."""
        own = [n for n in self.train.columns if n not in self.names or n in names]
        return Rows(self.train.select(own), self.test.select(own), tuple(names), self.source)

    @property
    def both(self) -> pl.DataFrame:
        """All rows, those of train first."""
        return pl.concat([self.train, self.test])


def stored_rows(catalogue: Catalogue, windows: Sequence[Window], names: Sequence[str], store: Store) -> Rows:
    """Read stored values of pairs, of so many users of each window that there are about ``N_STORED`` of them."""
    dataset, stored = catalogue.dataset, open_features(catalogue, windows, names, store)
    user = dataset.competition.user
    pairs = stored.pairs.select("pair_id", "window", user, "relevance").with_row_index("at")
    drawn = [pairs.clear()]
    for window in pairs.partition_by("window", maintain_order=True):
        share = min(1.0, N_STORED / window.height)
        drawn.append(window.filter(in_share(pl.col(user), pairs.schema[user], share, salt=PAIRS)))
    rows = pl.concat(drawn)
    table = rows.drop("at").hstack([stored.read(name)[rows["at"]].alias(name) for name in names])
    of_test = pl.col("window").is_in([window.cutoff for window in windows if is_test(dataset, window)])
    source = "the stored columns of all rows"
    return Rows(table.filter(~of_test), table.filter(of_test), tuple(names), source)


@dataclass(frozen=True)
class Drift:
    """One column, train windows against test window.

    Attributes
    ----------
    null_train, null_test
        Shares.
    psi, auc
        See ``validation.psi``; of the column by itself telling test from train, 0.5 to 1. None where the column has
        no order and no categories, or there are no pairs.
    moves, nulls
        Whether it drifts, and whether its null rate changes, further than so few users would by chance: the evidence,
        empty if not, and for what no model reads. Instants and sums do, and what is made of them need not.
    """

    null_train: float | None = None
    null_test: float | None = None
    psi: float | None = None
    auc: float | None = None
    moves: str = ""
    nulls: str = ""


def drift_of(rows: Rows, name: str, user: str, *, is_input: bool) -> Drift:
    """Measure the drift of a column, and judge it if it is a model input.

    Pairs of one user are alike, and so are those of one age group: the noise is that of as many observations as there
    are users or distinct values, whichever are fewer. Of PSI it is the 95 % quantile of chi-square, of AUC and null
    rates two standard errors.
    """
    train, test = rows.train[name], rows.test[name]
    if not len(train) or not len(test):
        return Drift()
    index = psi(train, test) if has_values(train.dtype) else float("nan")
    found = Drift(
        null_train=train.null_count() / len(train),
        null_test=test.null_count() / len(test),
        psi=None if isnan(index) else index,
        auc=adversarial_auc(train, test) if has_order(train.dtype) else None,
    )
    if not is_input:
        return found
    by_users = sum(1 / frame[user].n_unique() for frame in (rows.train, rows.test))
    by_values = by_users if found.psi is None else 2 / pl.concat([train, test]).n_unique()
    moves = _moves(found, train, test, max(by_users, by_values))
    return replace(found, moves=moves, nulls=_nulls(found, by_users))


def adversarial_auc(train: pl.Series, test: pl.Series) -> float:
    """Chance that a test value is above a train value, or below if that is more; ties count half, null is lowest."""
    both = pl.concat([train, test]).to_frame("value").select(ranked(pl.col("value"))).to_series()
    is_test = np.repeat([0, 1], [len(train), len(test)])
    auc = float(roc_auc(np.zeros(len(both), dtype=np.int64), is_test, both.to_numpy()).value.item())
    return max(auc, 1 - auc)


def ranked(column: pl.Expr) -> pl.Expr:
    """Ranks from 1, as trees see values; null is 0."""
    return column.to_physical().cast(pl.Float64).rank("dense").fill_null(0)


def _moves(drift: Drift, train: pl.Series, test: pl.Series, spread: float) -> str:
    psi_limit = PSI_LIMIT + PSI_NOISE * spread
    auc_limit = AUC_LIMIT + 2 * math.sqrt(spread / 12)
    is_far = (drift.psi or 0) > psi_limit or (drift.auc or 0) > auc_limit
    shift, medians = _shift(train, test) if is_far else (None, "")
    if not is_far or (shift is not None and shift < FEWEST_DEVIATIONS):
        return ""
    is_told = drift.auc is not None and auc_limit < 1  # of few users or values every AUC may be chance
    auc = f", adversarial AUC {drift.auc:.3f} (limit {auc_limit:.3f})" if is_told else ""
    far = "" if shift is None else f", {shift:.2f} standard deviations away"
    return f"PSI {drift.psi:.3f} (limit {psi_limit:.3f}){auc}{far}{medians}"


def _shift(train: pl.Series, test: pl.Series) -> tuple[float | None, str]:
    """Wasserstein distance of the known values in standard deviations of train, None without any; medians in words.

    PSI and AUC know ranks alone: for them, a prior that most pairs share has moved as soon as its last digit has.
    """
    from scipy.stats import wasserstein_distance

    if not train.dtype.is_numeric():
        return None, ""
    values = [column.cast(pl.Float64).drop_nulls().to_numpy() for column in (train, test)]
    medians = [f"{np.median(known):.4g}" if len(known) else "null" for known in values]
    spread = values[0].std() if all(map(len, values)) else 0.0
    shift = float(wasserstein_distance(*values) / spread) if spread > 0 else None
    return shift, f"; median {medians[0]} in train, {medians[1]} in test"


def _nulls(drift: Drift, spread: float) -> str:
    if drift.null_train is None or drift.null_test is None:
        return ""
    share = (drift.null_train + drift.null_test) / 2
    limit = NULL_LIMIT + 2 * math.sqrt(share * (1 - share) * spread)
    if abs(drift.null_test - drift.null_train) <= limit:
        return ""
    return f"{drift.null_train:.1%} null in train, {drift.null_test:.1%} in test (limit {limit:.1%} apart)"
