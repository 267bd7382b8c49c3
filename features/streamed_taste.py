"""Taste, streamed: the factorisation of ``taste.py`` that goes through the log once, whatever windows look at it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from features import Column, FeatureError, LogColumns, StreamContext, streamed
from features.taste import MEANINGS, VECTORS, Estimates, Taste, cuts_of, groups_of, normal_scores, reacted
from features.toolkit import FACTORS, Factorisation, Filter, Floats, Values, arrays_of, restore

FIRST = 500_000  # rows that are swept over together
AGES_OF = 6 * FIRST  # rows that ages are shares of
LEAN_SHARE = 1 / 8
FORMAT = {"format": 1, "factors": FACTORS}
_SWEPT_ONLY = ("taste_relevance", "taste_drift")
_STATE, _USERS, _ITEMS, _SOURCES, _ROWS = (
    "state.npz",
    "users.arrow",
    "items.arrow",
    "sources.arrow",
    "rows.arrow",
)


class ScoreTable:
    """Normal scores of later rows: those that the first rows have at values like theirs, among a like ``per``."""

    def __init__(self, values: Values, per: Values | None) -> None:
        self.cuts = cuts_of(values, per)
        scores = normal_scores(values, per)
        columns = {"group": groups_of(len(values), per, self.cuts), "value": values, "score": scores}
        known = pl.DataFrame(columns).filter(np.isfinite(scores)).unique().sort("group", "value")
        self.group, self.value, self.score = (known[name].to_numpy() for name in known.columns)

    def of(self, values: Values, per: Values | None) -> Floats:
        """Give scores: Float32 (n,), NaN where the value is not finite."""
        scores = np.full(len(values), np.nan, dtype=np.float32)
        groups = np.where(np.isfinite(values), groups_of(len(values), per, self.cuts), -1)
        for group in np.unique(self.group):
            first, last = np.searchsorted(self.group, [group, group + 1])
            at = groups == group
            scores[at] = np.interp(values[at], self.value[first:last], self.score[first:last])
        return scores


@streamed(
    columns={
        **{
            f"streamed_{name}": Column(pl.Float32, meaning)
            for name, meaning in MEANINGS.items()
            if name not in _SWEPT_ONLY
        },
        **{
            f"streamed_{name}": Column(pl.Array(pl.Float32, FACTORS), meaning)
            for name, meaning in VECTORS.items()
        },
    },
    needs=lambda log: log.all,
    step=100_000,
)
class StreamedTaste:
    """Factorisation of the log, once through it: swept over its first rows, then filtered chunk by chunk.

    Up to ``FIRST`` rows it is ``taste`` itself, swept anew wherever it is looked at.
    """

    def __init__(self, log: LogColumns) -> None:
        self.log = log

    def start(self, context: StreamContext) -> None:
        """Begin without a row."""
        self.taste: Taste | None = None  # of all rows so far, if they were learned
        self.rows: pl.DataFrame | None = None  # that wait until there are ``FIRST``

    def learn(self, rows: pl.DataFrame) -> None:
        """Let rows wait, sweep over the first ones together, or follow."""
        if self.taste and isinstance(self.taste.model, Filter):
            self._follow(self.taste, self.taste.model, rows)
            return
        self.taste, self.rows = None, rows if self.rows is None else pl.concat([self.rows, rows])
        if self.rows.height >= FIRST:
            self._begin(self.rows)

    def _begin(self, rows: pl.DataFrame) -> None:
        """Sweep over the first rows; if none of them has an outcome, wait for others."""
        taste, self.rows = Taste(self.log), None
        taste.learn(rows.lazy(), AGES_OF)
        if isinstance(taste.model, Factorisation):
            self.scores = ScoreTable(*taste.dense(rows))
            self.n_first = len(taste.users), len(taste.items)
            self.taste, taste.model = taste, Filter.after(taste.model)

    def _follow(self, taste: Taste, model: Filter, rows: pl.DataFrame) -> None:
        """Learn from the rows that have an outcome."""
        rows, y = taste.known(rows, self.scores.of(*taste.dense(rows)))
        if rows.is_empty():
            return
        self._meet(taste, model, rows)
        model.follow(*taste.positions(rows), y + reacted(rows, taste.weights))
        if model.n_rows - model.leaned >= LEAN_SHARE * model.n_rows:
            model.lean(taste.designs())

    def _meet(self, taste: Taste, model: Filter, rows: pl.DataFrame) -> None:
        """Add users, items and sources that are new, in the order of their rows."""
        log, n_users, n_items, n_sources = self.log, len(taste.users), len(taste.items), len(taste.of_source)
        taste.user_table, taste.item_table = (_more(t, rows) for t in (taste.user_table, taste.item_table))
        if log.source:
            sources = _more(taste.sources.to_frame(log.source), rows.filter(pl.col(log.source).is_not_null()))
            taste.sources = sources.to_series()
        taste.source_of = np.append(taste.source_of, np.zeros(len(taste.items) - n_items, np.intp))
        taste.source_of[taste.positions(rows)[1]] = taste.sources_at(rows)
        whole = taste.item_design.of(taste.item_table[n_items:])
        of_new = taste.source_of[n_items:] - n_sources
        total = np.zeros((len(taste.sources) + 1 - n_sources, whole.shape[1]), np.float32)
        np.add.at(total, of_new[of_new >= 0], whole[of_new >= 0])
        count = np.maximum(np.bincount(of_new[of_new >= 0], minlength=len(total)), 1).astype(np.float32)
        taste.of_source = np.vstack([taste.of_source, total / count[:, None]])
        users = taste.user_design.of(taste.user_table[n_users:])
        model.meet(users, whole, taste.of_source, taste.source_of)

    def transform(self, pairs: pl.DataFrame) -> Mapping[str, Estimates]:
        """Give what is expected of each pair, by itself."""
        if self.taste is None:
            self.taste = Taste(self.log)
            if self.rows is not None:
                self.taste.learn(self.rows.lazy())
        found = self.taste.transform(pairs)
        return {f"streamed_{name}": values for name, values in found.items() if name not in _SWEPT_ONLY}

    def save(self, folder: Path) -> None:
        """Write the rows that wait, or the model, the tables, and how rows are read."""
        about: dict[str, object] = {**FORMAT}
        if self.rows is not None:
            self.rows.write_ipc(folder / _ROWS)
        elif self.taste and self.taste.model:
            taste = self.taste
            about |= {"outcome": taste.outcome, "weights": taste.weights, "first": self.n_first}
            state = {**arrays_of(taste.model, "model"), **arrays_of(self.scores, "scores")}
            np.savez(folder / _STATE, allow_pickle=False, of_source=taste.of_source, **state)
            tables = taste.user_table, taste.item_table, taste.sources.to_frame("source")
            for name, table in zip((_USERS, _ITEMS, _SOURCES), tables, strict=True):
                table.write_ipc(folder / name)
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote."""
        about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        if (found := {name: about.get(name) for name in FORMAT}) != FORMAT:
            raise FeatureError(f"The state in {folder} is {found}.", expected=str(FORMAT), todo="remove it")
        if (folder / _ROWS).exists():
            self.rows = pl.read_ipc(folder / _ROWS)
        if not (folder / _STATE).exists():
            return
        taste = self.taste = Taste(self.log)
        taste.outcome, taste.weights, self.n_first = about["outcome"], about["weights"], about["first"]
        tables = [pl.read_ipc(folder / name) for name in (_USERS, _ITEMS, _SOURCES)]
        taste.user_table, taste.item_table, taste.sources = *tables[:2], tables[2].to_series()
        taste.make_designs(*self.n_first)
        self.scores, model = ScoreTable(np.zeros(0), None), Filter()
        with np.load(folder / _STATE, allow_pickle=False) as arrays:
            restore(model, arrays, "model")
            restore(self.scores, arrays, "scores")
            taste.of_source = arrays["of_source"]
        taste.model, taste.source_of = model, model.source_of


def _more(table: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Put what is new below a table: its first column is the key."""
    key = table.columns[0]
    new = rows.select(table.columns).unique(key, keep="first", maintain_order=True)
    return pl.concat([table, new.join(table, on=key, how="anti", maintain_order="left")])
