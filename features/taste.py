"""Taste: a Bayesian factorisation of the whole log in closed form; users drift, items lean on their source.

The model is that of ``features/toolkit/factorisation.py``; here are what it observes and what is said of a pair.
``y`` is the normal score of the dense outcome among rows of a like ``dense_per``, plus relevance and the other
reactions, weighted as noisy views of the same appeal: ``alpha s2 / tau2``, of their slope and noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy

from competitions import dense_outcome
from features import Column, LogColumns, Window, fitted, per_pair
from features.toolkit import FACTORS, Beliefs, Design, Factorisation, Floats, Values, codes, rank_within

SWEEPS = 5
STEPS, ROWS_OF_STEP = 8, 12  # at most so many steps, of so many rows of a user at least
MOST_ROWS = 40_000_000
N_BINS_OF_PER = 20
_CHUNK = 100_000


def normal_scores(values: Values, per: Values | None) -> Floats:
    """Rank rows among those of a like ``per`` (twenty groups of as many rows), then take the normal quantile.

    Float32 (n,), ties averaged; NaN where the value is not finite. Also known as van der Waerden scores.
    """
    known = np.isfinite(values)
    group = np.zeros(len(values), dtype=np.int32)
    if per is not None and known.any():
        cuts = np.quantile(per[known], np.linspace(0, 1, N_BINS_OF_PER + 1)[1:-1])
        group = np.searchsorted(np.unique(cuts), per, side="right").astype(np.int32)
    frame = pl.DataFrame({"group": group[known], "value": values[known]})
    share = (pl.col("value").rank("average").over("group") - 0.5) / pl.len().over("group")
    scores = np.full(len(values), np.nan, dtype=np.float32)
    scores[known] = scipy.special.ndtri(frame.select(share).to_series().to_numpy())
    return scores


_MEANINGS = {
    "taste_score": "Expected appeal of the item to the user, without the user's offset: normal scores; never null.",
    "taste_appeal": "Expected appeal with the user's offset; never null: unseen keys start at what is known.",
    "taste_relevance": "Expected relevance at this appeal, as it was in the history; null without a relevance.",
    "taste_product": "Product of the vectors of user and item; never null.",
    "taste_user": "The user's offset, by now; never null.",
    "taste_item": "The item's offset at its age; never null.",
    "taste_source": "Product of the vectors of the user and of the item's source; never null.",
    "taste_drift": "Product of the item's vector with how far the user's is from its mean of old; never null.",
    "taste_sd": "Posterior standard deviation of the appeal; never null.",
    "taste_user_rows": "Rows of the user, which count less each step back as the user drifts; never null.",
    "taste_item_rows": "Rows of the item; never null.",
}


_VECTORS = {
    "taste_user_vector": "Vector of the user, by now; never null.",
    "taste_item_vector": "Vector of the item; never null.",
}
Estimates: TypeAlias = Floats | Values


@fitted(
    columns={
        **{name: Column(pl.Float32, meaning) for name, meaning in _MEANINGS.items()},
        **{name: Column(pl.Array(pl.Float32, FACTORS), meaning) for name, meaning in _VECTORS.items()},
    },
    needs=lambda log: log.all,
)
@dataclass
class Taste:
    """Factorisation of the whole log by users who drift and items that lean on their source."""

    log: LogColumns

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Sweep over the newest ``MOST_ROWS`` rows; without any that has an outcome, all stays at the prior."""
        log = self.log
        read = list(
            dict.fromkeys(
                [log.user, log.item, *self._source, "relevance", *log.outcomes, *log.reactions, *self._per]
            )
        )
        dense = dense_outcome(history, log.outcomes, log.dense, log.dense_per)
        name, per = dense.name, dense.per
        rows = history.select(read).tail(MOST_ROWS).collect(engine="streaming")
        values = dense.sign * rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        shares = None
        if per is not None:
            shares = rows[per].cast(pl.Float64).fill_null(np.nan).to_numpy()
            values = np.divide(
                values, shares, out=np.full_like(values, np.nan), where=np.isfinite(shares) & (shares > 0)
            )
        y = normal_scores(values, shares)
        known = np.isfinite(y) & (rows[log.user].is_not_null() & rows[log.item].is_not_null()).to_numpy()
        rows, y = rows.filter(known), y[known]
        self._read_tables(history, rows)
        if rows.height:
            self._learn(rows, y, [r for r in ("relevance", *log.reactions) if r != name])

    def _learn(self, rows: pl.DataFrame, y: Floats, reactions: Sequence[str]) -> None:
        """Sweep over the dense outcome; then learn what reactions weigh beside it, and sweep over both."""
        user, item = (
            codes(rows[name], known).astype(np.int32)
            for name, known in ((self.log.user, self.users), (self.log.item, self.items))
        )
        n_steps = min(STEPS, max(1, rows.height // (ROWS_OF_STEP * len(self.users))))
        step = (np.arange(rows.height) * n_steps // rows.height).astype(np.int32)
        model = self.model = Factorisation(user, item, step, y, self.source_of, self.designs)
        for sweep in range(SWEEPS):
            model.sweep()
            if sweep == 1:
                model.observe(y + reacted(rows, reactions, *model.appeal, model.noise))
        self._calibrate(rows["relevance"])
        recency = model.memory[0].astype(np.float64) ** (2.0 * (n_steps - step))
        self.user_rows = np.append(np.bincount(user, recency), 0.0)
        self.item_rows = np.append(np.bincount(item), 0.0)

    @property
    def _source(self) -> list[str]:
        return [self.log.source] if self.log.source else []

    @property
    def _per(self) -> list[str]:
        return [self.log.dense_per] if self.log.dense_per else []

    def _read_tables(self, history: pl.LazyFrame, rows: pl.DataFrame) -> None:
        """Read who there is, what is known of them, and the source of each item: that of its last row."""
        log = self.log
        self.users, self.items = (rows[n].unique().sort() for n in (log.user, log.item))
        sources = (
            rows[log.source].drop_nulls().unique().sort() if log.source else pl.Series([], dtype=pl.Int64)
        )
        self.sources = sources
        of_users, of_items = (
            history.select(key, *names)
            .filter(pl.col(key).is_not_null())
            .unique(key, keep="any")
            .collect(engine="streaming")
            .join(known.to_frame(key), on=key, how="right", maintain_order="right")
            for key, names, known in (
                (log.user, log.of_user, self.users),
                (log.item, log.of_item, self.items),
            )
        )
        self.user_design, self.item_design = (
            Design(of_users, log.of_user, crossed=True),
            Design(of_items, log.of_item),
        )
        self.source_of = np.full(len(self.items), len(sources))
        if log.source:
            self.source_of[codes(rows[log.item], self.items)] = codes(rows[log.source], sources)
        n_sources, wide = len(sources) + 1, self.item_design.of(of_items)
        count = np.maximum(np.bincount(self.source_of, minlength=n_sources), 1)
        self.of_source = np.zeros((n_sources, wide.shape[1]), np.float32)
        np.add.at(self.of_source, self.source_of, wide)
        self.of_source /= count[:, None].astype(np.float32)
        self.designs = self.user_design.of(of_users), self.of_source, wide - self.of_source[self.source_of]

    def _calibrate(self, relevance: pl.Series) -> None:
        """Take the mean relevance of the rows at each of 50 quantiles of appeal."""
        chosen, appeal = self.model.appeal
        appeal = appeal + self.model.of_age[self.model.age_bin[chosen]]
        rows = pl.DataFrame({"appeal": appeal, "relevance": relevance[chosen]}).drop_nulls()
        rows = rows.sort("appeal", maintain_order=True)
        bins = rows.group_by(pl.int_range(pl.len()) * 50 // max(rows.height, 1), maintain_order=True)
        curve = bins.agg(pl.all().cast(pl.Float64).mean())
        self.curve = curve["appeal"].to_numpy(), curve["relevance"].to_numpy()

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Estimates]:
        """Give what is expected of each pair, by itself."""
        found = [self._chunk(pairs.slice(start, _CHUNK)) for start in range(0, max(pairs.height, 1), _CHUNK)]
        return {name: np.concatenate([chunk[name] for chunk in found]) for name in found[0]}

    def _chunk(self, pairs: pl.DataFrame) -> dict[str, Estimates]:
        if self.users.is_empty():
            nothing = np.zeros((pairs.height, FACTORS), np.float32)
            known = dict.fromkeys(_MEANINGS, nothing[:, 0])
            return {**known, "taste_relevance": nothing[:, 0] * np.nan, **dict.fromkeys(_VECTORS, nothing)}
        model, k = self.model, FACTORS
        user, item = codes(pairs[self.log.user], self.users), codes(pairs[self.log.item], self.items)
        users, drift = self._users_of(pairs, user)
        items, source = self._items_of(pairs, item)
        x, q = users.mean, items.mean
        age = model.of_age[model.bins_of(np.append(model.first, len(model.y))[item], len(model.y))]
        product = (x[:, :k] * q[:, :k]).sum(axis=1)
        score = product + q[:, k] + age
        appeal = score + x[:, k]
        relevance = np.interp(appeal, *self.curve) if len(self.curve[0]) else np.full(len(appeal), np.nan)
        return {
            "taste_score": score,
            "taste_appeal": appeal,
            "taste_relevance": relevance,
            "taste_product": product,
            "taste_user": x[:, k],
            "taste_item": q[:, k] + age,
            "taste_source": (x[:, :k] * source[:, :k]).sum(axis=1),
            "taste_drift": (drift[:, :k] * q[:, :k]).sum(axis=1),
            "taste_sd": deviation(users, items),
            "taste_user_rows": self.user_rows[user],
            "taste_item_rows": self.item_rows[item],
            "taste_user_vector": x[:, :k],
            "taste_item_vector": q[:, :k],
        }

    def _users_of(self, pairs: pl.DataFrame, user: npt.NDArray[np.intp]) -> tuple[Beliefs, Floats]:
        """Give beliefs about the pairs' users and how far they drifted; an unseen one is what the attributes say."""
        unseen = user == len(self.users)
        seen = np.where(unseen, 0, user)
        found = self.model.users[seen]
        drift = np.where(unseen[:, None], np.float32(0.0), found.mean - self.model.user_level[seen])
        new = self.model.unseen_users(self.user_design.of(pairs.filter(unseen)))
        found.mean[unseen], found.covariance[unseen] = new.mean, new.covariance
        return found, drift

    def _items_of(self, pairs: pl.DataFrame, item: npt.NDArray[np.intp]) -> tuple[Beliefs, Floats]:
        """Give beliefs about the pairs' items, and vectors of their sources; unseen items lean on what is known."""
        unseen = item == len(self.items)
        seen = np.where(unseen, 0, item)
        found, source = self.model.items[seen], self.model.sources.mean[self.source_of[seen]]
        new = pairs.filter(unseen)
        whole = self.item_design.of(new)
        at = codes(new[self.log.source], self.sources) if self.log.source else np.zeros(new.height, np.intp)
        at = np.where(at == len(self.sources), self.model.n_sources if self.log.source else 0, at)
        own = whole - np.vstack([self.of_source, np.zeros((1, whole.shape[1]), np.float32)])[at]
        beliefs, source[unseen] = self.model.unseen_items(at, own, whole)
        found.mean[unseen], found.covariance[unseen] = beliefs.mean, beliefs.covariance
        return found, source


def deviation(users: Beliefs, items: Beliefs) -> Floats:
    """Posterior standard deviation of each pair's appeal: of a sum of two offsets and a product of two Gaussians."""
    k = FACTORS
    z, w = users.mean.copy(), items.mean.copy()
    z[:, k] = w[:, k] = 1.0
    variance = (users.covariance[:, :k, :k] * items.covariance[:, :k, :k]).sum(axis=(1, 2))
    for one, other in ((users, w), (items, z)):
        variance += (other * (one.covariance * other[:, None, :]).sum(axis=2)).sum(axis=1)
    found: Floats = np.sqrt(np.maximum(variance, np.float32(0.0)))
    return found


def reacted(log: pl.DataFrame, reactions: Sequence[str], rows: slice, appeal: Floats, noise: float) -> Floats:
    """Sum the reactions of every row, each with its weight, found on some rows: Float32 (n_rows,), with mean 0."""
    total = np.zeros(log.height, np.float32)
    for name in reactions:
        values = log[name].cast(pl.Float64).fill_nan(None)
        rest = values.fill_null(values.mean() or 0.0).to_numpy()
        rest = (rest - rest.mean()).astype(np.float32)
        total += weight(rest[rows], appeal, noise) * rest
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
