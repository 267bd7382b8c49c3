"""The rows that an audit judges values by: pairs of train windows with labels, and of the test window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from competitions import Dataset, in_share
from engine import Store
from features._audit.small_log import PAIRS
from features._catalogue import Catalogue
from features._storage import column_recipes, read_column, read_pairs
from validation import Window, is_test, window_relevance

N_STORED = 20_000  # pairs of a window, about, where values lie in the store


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


def rows_of(
    dataset: Dataset,
    values: Mapping[Window, pl.DataFrame],
    pairs: Mapping[Window, pl.DataFrame],
    source: str,
) -> Rows:
    """Put values of windows together with users and labels."""
    user = dataset.competition.user
    names = [n for n in next(iter(values.values())).columns if n not in ("pair_id", user, "window")]
    train, test = [], []
    for window, frame in values.items():
        keys = pairs[window].select("pair_id", user)
        table = keys.join(
            frame.select("pair_id", *names), on="pair_id", validate="1:1", maintain_order="left"
        )
        table = table.with_columns(window=pl.lit(window.cutoff, pl.Int64))
        if is_test(dataset, window):
            test.append(table.with_columns(relevance=pl.lit(None, pl.Int8)))
        else:
            labels = window_relevance(dataset, window)
            train.append(table.join(labels, on="pair_id", how="left", validate="1:1", maintain_order="left"))
    order = list(dict.fromkeys(["pair_id", "window", user, "relevance", *names]))
    empty = (train or test)[0].clear()
    parts = [pl.concat(tables or [empty]).select(order) for tables in (train, test)]
    return Rows(parts[0], parts[1], tuple(names), source)


def stored_names(
    catalogue: Catalogue, windows: Sequence[Window], names: Sequence[str], store: Store
) -> tuple[str, ...] | None:
    """Name the columns that lie in the store for all windows; None unless all model inputs of ``names`` do."""
    recipes = [column_recipes(catalogue, window, names) for window in windows]
    own = tuple(n for n in names if all(store.find(of_window[n]) is not None for of_window in recipes))
    if not own or any(catalogue.columns[n].is_model_input for n in set(names) - set(own)):
        return None
    return own


def stored_rows(
    catalogue: Catalogue, windows: Sequence[Window], names: Sequence[str], store: Store
) -> Rows | None:
    """Read values of a part of the windows' users from the store; None unless all model inputs of ``names`` are there.

    Columns that no model reads are left out where they are not stored.
    """
    own = stored_names(catalogue, windows, names, store)
    if own is None:
        return None
    user = catalogue.dataset.competition.user
    values, pairs = {}, {}
    for window in windows:
        recipes = column_recipes(catalogue, window, own)
        whole = read_pairs(catalogue, window, store)
        share = min(1.0, N_STORED / max(whole.height, 1))
        of_users = in_share(pl.col(user), whole.schema[user], share, salt=PAIRS)
        kept = whole.select(pl.int_range(pl.len()).filter(of_users)).to_series()
        columns = [read_column(recipes[n], n, store, whole.height)[kept] for n in own]
        pairs[window] = whole[kept]
        values[window] = pairs[window].select("pair_id").hstack(columns)
    return rows_of(catalogue.dataset, values, pairs, "the stored columns of all rows")
