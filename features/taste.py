"""Taste: a Bayesian factorisation of the whole log in closed form; users drift, items lean on their source.

The model is that of ``features/toolkit/factorisation.py``; here are what it observes and what is said of a pair.
``y`` is the normal score of the dense outcome among rows of a like ``dense_per``, plus relevance and the other
reactions, weighted as noisy views of the same appeal: ``alpha s2 / tau2``, of their slope and noise. Beside attributes
and contents, who met an item tells what to expect of it (``features/toolkit/meetings.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from competitions import DenseOutcome, dense_outcome
from features import Column, LogColumns, Window, fitted, per_pair
from features.toolkit import (
    FACTORS,
    Beliefs,
    Design,
    Factorisation,
    Filter,
    Floats,
    Values,
    bins_of,
    codes,
    met_vectors,
    rank_within,
)

SWEEPS, MOST_SWEEPS, ROWS_OF_SWEEPS = 5, 20, 5_000_000  # more sweeps the smaller the log is
STEPS, ROWS_OF_STEP = 8, 12  # at most so many steps, of so many rows of a user at least
MOST_ROWS = 40_000_000
N_BINS_OF_PER = 20
_CHUNK, _FEW = 100_000, 2_000  # pairs at a time; those whose covariances stay near the processor


def normal_scores(values: Values, per: Values | None) -> Floats:
    """Rank rows among those of a like ``per`` (twenty groups of as many rows), then take the normal quantile.

    Float32 (n,), ties averaged; NaN where the value is not finite. Also known as van der Waerden scores.
    """
    known = np.isfinite(values)
    group = groups_of(len(values), per, cuts_of(values, per))
    frame = pl.DataFrame({"group": group[known], "value": values[known]})
    share = (pl.col("value").rank("average").over("group") - 0.5) / pl.len().over("group")
    scores = np.full(len(values), np.nan, dtype=np.float32)
    scores[known] = scipy.special.ndtri(frame.select(share).to_series().to_numpy())
    return scores


def cuts_of(values: Values, per: Values | None) -> Values:
    """Where twenty groups of as many rows with a finite value each are cut."""
    known = np.isfinite(values)
    if per is None or not known.any():
        return np.zeros(0)
    return np.unique(np.quantile(per[known], np.linspace(0, 1, N_BINS_OF_PER + 1)[1:-1]))


def groups_of(n: int, per: Values | None, cuts: Values) -> npt.NDArray[np.intp]:
    """Give the group of each of ``n`` rows; without ``per`` there is one."""
    return np.zeros(n, np.intp) if per is None else np.searchsorted(cuts, per, side="right")


def outcome_of(history: pl.LazyFrame, log: LogColumns) -> DenseOutcome:
    """Take the declared dense outcome, or choose one."""
    return dense_outcome(history, log.outcomes, log.dense, log.dense_per)


_EXPECTED = {
    "score": "Expected appeal of the item to the user, without the user's offset: normal scores; never null.",
    "appeal": "Expected appeal with the user's offset; never null: unseen keys start at what is known.",
    "product": "Product of the vectors of user and item; never null.",
    "user": "The user's offset, by now; never null.",
    "item": "The item's offset at its age; never null.",
    "source": "Product of the vectors of the user and of the item's source; never null.",
    "sd": "Posterior standard deviation of the appeal; never null.",
    "user_vector": "Vector of the user, by now; never null.",
    "item_vector": "Vector of the item; never null.",
}
_OF_SWEEPS = {
    "relevance": "Expected relevance at this appeal, as it was in the history; null without a relevance.",
    "drift": "Product of the item's vector with how far the user's is from its mean of old; never null.",
    "user_rows": "Rows of the user, which count less each step back as the user drifts; never null.",
    "item_rows": "Rows of the item; never null.",
}
Estimates: TypeAlias = Floats | Values


def columns_of(name: str, meanings: Mapping[str, str] = _EXPECTED) -> dict[str, Column]:
    """Declare what is said of a pair; vectors are arrays."""
    return {
        f"{name}_{of}": Column(
            pl.Array(pl.Float32, FACTORS) if of.endswith("vector") else pl.Float32, meaning
        )
        for of, meaning in meanings.items()
    }


@fitted(columns=columns_of("taste", _EXPECTED | _OF_SWEEPS), needs=lambda log: log.all)
@dataclass
class Taste:
    """Factorisation of the whole log by users who drift and items that lean on their source.

    ``unit``: the number of rows that ages are shares of; without it, all. ``n_sweeps``: without it, by the rows.
    """

    log: LogColumns
    most_steps: int = STEPS
    n_sweeps: int | None = None
    unit: int | None = None
    model: Factorisation | Filter | None = field(default=None, init=False)

    @property
    def read(self) -> list[str]:
        """Name the columns of the log that are read of every row: all but attributes."""
        log = self.log
        names = [log.user, log.item, log.source, "relevance", *log.outcomes, *log.reactions, log.dense_per]
        return list(dict.fromkeys(name for name in names if name))

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Sweep over the newest ``MOST_ROWS`` rows; without any that has an outcome, all stays at the prior."""
        log = self.log
        self.outcome = outcome_of(history, log)
        rows = history.select(self.read).tail(MOST_ROWS).collect(engine="streaming")
        users, items = (
            history.select(key, *names)
            .filter(pl.col(key).is_not_null())
            .unique(key, keep="any")
            .collect(engine="streaming")
            for key, names in ((log.user, log.of_user), (log.item, log.of_item))
        )
        self.learn(rows, users, items)

    def learn(self, rows: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> None:
        """Sweep over rows, given what is known of users and items."""
        rows, y = self.known(rows, normal_scores(*self.dense(rows)))
        self._read_tables(rows, users, items)
        if rows.is_empty():
            return
        n_steps = min(self.most_steps, max(1, rows.height // (ROWS_OF_STEP * len(self.users))))
        step = (np.arange(rows.height) * n_steps // rows.height).astype(np.int32)
        user, item = (at.astype(np.int32) for at in self.positions(rows))
        model = self.model = Factorisation(
            user, item, step, y, self.source_of, self.designs(user, item), self.unit, FACTORS
        )
        reactions = [r for r in ("relevance", *self.log.reactions) if r != self.outcome.name]
        self.weights: dict[str, tuple[float, float]] = {}  # of reactions beside the dense outcome
        self.factor = 1.0  # that their sum is brought to the spread of the dense outcome by
        n_sweeps = self.n_sweeps or min(max(ROWS_OF_SWEEPS // rows.height, SWEEPS), MOST_SWEEPS)
        for sweep in range(n_sweeps):
            model.sweep()
            if sweep == 1:
                self.weights = weights_of(rows, reactions, *model.appeal, model.noise)
                self.factor = model.observe(y + reacted(rows, self.weights))
        self._calibrate(model, rows["relevance"])
        recency = model.memory[0].astype(np.float64) ** (2.0 * (n_steps - step))
        self.user_rows = np.append(np.bincount(user, recency), 0.0)
        self.item_rows = np.append(np.bincount(item), 0.0)

    def dense(self, rows: pl.DataFrame) -> tuple[Values, Values | None]:
        """Give the dense outcome of rows, more of which is better, and what it is compared by; NaN where unknown."""
        per = self.outcome.per
        values = self.outcome.sign * rows[self.outcome.name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        if per is None:
            return values, None
        whole = rows[per].cast(pl.Float64).fill_null(np.nan).to_numpy()
        is_known = np.isfinite(whole) & (whole > 0)
        return np.divide(values, whole, out=np.full_like(values, np.nan), where=is_known), whole

    def known(self, rows: pl.DataFrame, y: Floats) -> tuple[pl.DataFrame, Floats]:
        """Take the rows with a score, a user and an item."""
        is_known = (
            np.isfinite(y)
            & (rows[self.log.user].is_not_null() & rows[self.log.item].is_not_null()).to_numpy()
        )
        return rows.filter(is_known), y[is_known]

    def positions(self, rows: pl.DataFrame) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        """Find users and items of rows; unseen ones are behind the last."""
        return codes(rows[self.log.user], self.users), codes(rows[self.log.item], self.items)

    @property
    def users(self) -> pl.Series:
        """Users that have a row, in the order of the model."""
        return self.user_table[self.log.user]

    @property
    def items(self) -> pl.Series:
        """Items that have a row, in the order of the model."""
        return self.item_table[self.log.item]

    def _read_tables(self, rows: pl.DataFrame, users: pl.DataFrame, items: pl.DataFrame) -> None:
        """Take who has a row, and the source of each item: that of its last row."""
        log = self.log
        self.user_table, self.item_table = (
            table.join(
                rows.select(pl.col(key).unique().sort()), on=key, how="right", maintain_order="right"
            ).select(table.columns)
            for key, table in ((log.user, users), (log.item, items))
        )
        self.sources = (
            rows[log.source].drop_nulls().unique().sort() if log.source else pl.Series(dtype=pl.Int64)
        )
        self.nobody = len(self.sources)
        self.source_of = np.full(len(self.items), self.nobody)
        if log.source:
            self.source_of[codes(rows[log.item], self.items)] = self.sources_at(rows)
        self.make_designs(len(self.users), len(self.items))

    def make_designs(self, n_users: int, n_items: int) -> None:
        """Learn from the first rows of the tables which columns designs have."""
        self.user_design = Design(self.user_table.head(n_users), self.log.of_user, crossed=True)
        self.item_design = Design(self.item_table.head(n_items), self.log.of_item)

    def sources_at(self, rows: pl.DataFrame) -> npt.NDArray[np.intp]:
        """Find the sources of rows: ``nobody`` stands for none and for unseen ones, and new ones are behind it."""
        if not self.log.source:
            return np.zeros(rows.height, np.intp)
        at = codes(rows[self.log.source], self.sources)
        return np.where(at == len(self.sources), self.nobody, at + (at >= self.nobody))

    def design_of_items(self, table: pl.DataFrame) -> Floats:
        """Give what is known of items beside their rows; in the last columns zeros, for who met them."""
        design = self.item_design.of(table)
        return np.hstack([design, np.zeros((len(design), FACTORS), np.float32)])

    def designs(
        self, user: npt.NDArray[np.int32], item: npt.NDArray[np.int32]
    ) -> tuple[Floats, Floats, Floats]:
        """Give the designs of users, of sources (the mean of their items), and what items differ by from them."""
        wide = self.design_of_items(self.item_table)
        wide[:, -FACTORS:] = met_vectors(user, item, (len(self.users), len(self.items)), FACTORS)
        n_sources = len(self.sources) + 1
        count = np.maximum(np.bincount(self.source_of, minlength=n_sources), 1)
        self.of_source = np.zeros((n_sources, wide.shape[1]), np.float32)
        np.add.at(self.of_source, self.source_of, wide)
        self.of_source /= count[:, None].astype(np.float32)
        return self.user_design.of(self.user_table), self.of_source, wide - self.of_source[self.source_of]

    def _calibrate(self, model: Factorisation, relevance: pl.Series) -> None:
        """Take the mean relevance of the rows at each of 50 quantiles of appeal."""
        chosen, appeal = model.appeal
        appeal = appeal + model.of_age[model.age_bin[chosen]]
        rows = pl.DataFrame({"appeal": appeal, "relevance": relevance[chosen]}).drop_nulls()
        rows = rows.sort("appeal", maintain_order=True)
        bins = rows.group_by(pl.int_range(pl.len()) * 50 // max(rows.height, 1), maintain_order=True)
        curve = bins.agg(pl.all().cast(pl.Float64).mean())
        self.curve = curve["appeal"].to_numpy(), curve["relevance"].to_numpy()

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Estimates]:
        """Give what is expected of each pair, by itself."""
        return by_chunks("taste", self._of_sweeps, pairs)

    def _of_sweeps(self, pairs: pl.DataFrame) -> dict[str, Estimates]:
        found, model = self.expected(pairs), self.model
        if not isinstance(model, Factorisation):
            nothing = np.zeros(pairs.height)
            return {**found, **dict.fromkeys(_OF_SWEEPS, nothing), "relevance": nothing * np.nan}
        user, item = self.positions(pairs)
        unseen = user == len(self.users)
        drift = found["user_vector"] - model.user_level[np.where(unseen, 0, user), :FACTORS]
        drift[unseen] = 0.0
        unknown = np.full(pairs.height, np.nan)
        return {
            **found,
            "relevance": np.interp(found["appeal"], *self.curve) if len(self.curve[0]) else unknown,
            "drift": (drift * found["item_vector"]).sum(axis=1),
            "user_rows": self.user_rows[user],
            "item_rows": self.item_rows[item],
        }

    def expected(self, pairs: pl.DataFrame) -> dict[str, Estimates]:
        """Give what both forms of the model say of pairs."""
        if (model := self.model) is None:
            nothing = np.zeros((pairs.height, FACTORS), np.float32)
            return {name: nothing if name.endswith("vector") else nothing[:, 0] for name in _EXPECTED}
        k, (user, item) = FACTORS, self.positions(pairs)
        (users, of_user), (items, sources, of_item) = (
            self._users_of(model, pairs, user),
            self._items_of(model, pairs, item),
        )
        x, q, source = users.mean[of_user], items.mean[of_item], sources[of_item]
        first = np.append(model.first, model.n_rows)[item]
        age = model.of_age[bins_of(first, model.n_rows, model.unit)]
        product = (x[:, :k] * q[:, :k]).sum(axis=1)
        score = product + q[:, k] + age
        return {
            "score": score,
            "appeal": score + x[:, k],
            "product": product,
            "user": x[:, k],
            "item": q[:, k] + age,
            "source": (x[:, :k] * source[:, :k]).sum(axis=1),
            "sd": deviation(users, of_user, items, of_item),
            "user_vector": x[:, :k],
            "item_vector": q[:, :k],
        }

    def _users_of(
        self, model: Factorisation | Filter, pairs: pl.DataFrame, user: npt.NDArray[np.intp]
    ) -> tuple[Beliefs, npt.NDArray[np.intp]]:
        """Give beliefs about users, and which of them is each pair's; an unseen one is what the attributes say."""
        unseen = user == len(self.users)
        seen, at = _distinct(user, unseen)
        new = model.priors.unseen_users(self.user_design.of(pairs.filter(unseen)))
        return model.users[seen].above(new), at

    def _items_of(
        self, model: Factorisation | Filter, pairs: pl.DataFrame, item: npt.NDArray[np.intp]
    ) -> tuple[Beliefs, Floats, npt.NDArray[np.intp]]:
        """Give beliefs about items, vectors of their sources, and which of them is each pair's.

        Unseen items lean on what is known of them.
        """
        unseen = item == len(self.items)
        seen, at = _distinct(item, unseen)
        new = pairs.filter(unseen)
        whole = self.design_of_items(new)
        source = self.sources_at(new)
        if self.log.source:
            source = np.where(source == self.nobody, len(self.sources) + 1, source)
        of_source = np.vstack([self.of_source, np.zeros((1, whole.shape[1]), np.float32)])[source]
        own = model.priors.beside_source(whole, of_source)
        beliefs, of_new = model.priors.unseen_items(model.sources, source, own, whole)
        sources = np.vstack([model.sources.mean[self.source_of[seen]], of_new])
        return model.items[seen].above(beliefs), sources, at


def _distinct(
    at: npt.NDArray[np.intp], unseen: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give the distinct ones that were seen, and the place of each among them; the unseen ones are behind them all."""
    places = np.empty(len(at), np.intp)
    seen, places[~unseen] = np.unique(at[~unseen], return_inverse=True)
    places[unseen] = len(seen) + np.arange(unseen.sum())
    return seen, places


def by_chunks(
    name: str, say: Callable[[pl.DataFrame], dict[str, Estimates]], pairs: pl.DataFrame
) -> Mapping[str, Estimates]:
    """Say something of pairs, some at a time; ``name`` comes before the names of columns."""
    found = [say(pairs.slice(start, _CHUNK)) for start in range(0, max(pairs.height, 1), _CHUNK)]
    return {f"{name}_{of}": np.concatenate([chunk[of] for chunk in found]) for of in found[0]}


def deviation(
    users: Beliefs, user: npt.NDArray[np.intp], items: Beliefs, item: npt.NDArray[np.intp]
) -> Floats:
    """Posterior standard deviation of each pair's appeal: of a sum of two offsets and a product of two Gaussians."""
    k, found = FACTORS, np.empty(len(user), np.float32)
    for start in range(0, len(found), _FEW):
        rows = slice(start, start + _FEW)
        x, q = users[user[rows]], items[item[rows]]
        z, w = x.mean.copy(), q.mean.copy()
        z[:, k] = w[:, k] = 1.0
        variance = (x.covariance[:, :k, :k] * q.covariance[:, :k, :k]).sum(axis=(1, 2))
        for one, other in ((x, w), (q, z)):
            variance += (other * (one.covariance * other[:, None, :]).sum(axis=2)).sum(axis=1)
        found[rows] = np.sqrt(np.maximum(variance, np.float32(0.0)))
    return found


def weights_of(
    log: pl.DataFrame, reactions: Sequence[str], rows: slice, appeal: Floats, noise: float
) -> dict[str, tuple[float, float]]:
    """Find the mean of each reaction, and its weight on some rows."""
    found = {}
    for name in reactions:
        mean = log[name].cast(pl.Float64).fill_nan(None).mean()
        mean = mean if isinstance(mean, float) else 0.0
        found[name] = mean, float(weight(reacted(log[rows], {name: (mean, 1.0)}), appeal, noise))
    return found


def reacted(log: pl.DataFrame, weights: Mapping[str, tuple[float, float]]) -> Floats:
    """Sum the reactions of every row beyond their means, each with its weight: Float32 (n_rows,)."""
    total = np.zeros(log.height, np.float32)
    for name, (mean, weight) in weights.items():
        rest = log[name].cast(pl.Float64).fill_nan(None).fill_null(mean).to_numpy() - mean
        total += np.float32(weight) * rest.astype(np.float32)
    return total


def weight(reaction: Floats, appeal: Floats, noise: float) -> np.float32:
    """Weigh a reaction (mean 0) as a second, noisy view of the appeal, whose first view has the variance ``noise``.

    It is ``alpha appeal + e``; the sum of both views that says most of the appeal takes it ``alpha noise / var(e)``
    times. At most 2 either way; 0 for a constant.
    """
    centred, reaction = appeal - appeal.mean(dtype=np.float64), reaction.astype(np.float64)
    spread = float(centred @ centred)
    alpha = float(reaction @ centred) / spread if spread > 0 else 0.0
    left = (float(reaction @ reaction) - alpha**2 * spread) / max(len(reaction), 1)
    return np.float32(np.clip(alpha * noise / left, -2.0, 2.0) if left > 1e-9 else 0.0)


@per_pair(scope="user", range=(0, 1))
def taste_rank(taste_score: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the expected appeal within the user's pairs, as a share; never null."""
    return rank_within(taste_score, user_id)
