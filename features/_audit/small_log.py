"""Cut a small log from the real one, so that everything can be computed and fitted again many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from competitions import Dataset, in_share
from features._compute import PAIRS
from features._declare import FeatureError
from validation import Window, is_test, window_pairs

N_ROWS = 40_000
N_PAIRS = 3_000  # a window, about; users stay whole
USERS_ONLY = (
    0.25  # a larger share is of users alone; a smaller one of users and of items, so that items keep rows
)
USERS, ITEMS = 7, 8  # salts: other users than those of the samples for quick looks


def small_dataset(dataset: Dataset, windows: Sequence[Window], n_rows: int = N_ROWS) -> Dataset:
    """Keep about ``n_rows`` rows of the log, in memory: those of a share of the users and, of a long log, of the items.

    Clocks, row numbers and windows stay, and so do the pairs, as far as their users and items are kept: chosen anew
    among the rows that are left, those of train windows would be other ones than those of the test. The share grows
    until each window has pairs. Raises FeatureError if a window has none even so.
    """
    share = min(1.0, n_rows / max(_n_rows(dataset), 1))
    rows = [window_pairs(dataset, window)["pair_id"] for window in windows if not is_test(dataset, window)]
    chosen = Chosen(pl.concat([pl.Series("pair_id", [], dtype=dataset.log.collect_schema()["row"]), *rows]))
    whole = replace(dataset, competition=replace(dataset.competition, select_pairs=chosen))
    while True:
        small = _cut(whole, share)
        empty = [window.name for window in windows if not window_pairs(small, window).height]
        if not empty:
            return small
        if share >= 1:
            raise FeatureError(
                f"The windows {', '.join(empty)} have no pairs to audit features on.",
                todo="set folds.horizon or folds.n_folds in config.toml so that each window has pairs",
            )
        share = min(1.0, share * 4)


@dataclass(frozen=True)
class Chosen:
    """The ``select_pairs`` of a small log: target rows by their numbers."""

    rows: pl.Series

    def __call__(self, targets: pl.LazyFrame) -> pl.LazyFrame:
        """Keep the chosen ones."""
        return targets.filter(pl.col("row").is_in(self.rows.implode()))


def sampled_pairs(dataset: Dataset, window: Window, n: int | None = N_PAIRS) -> pl.DataFrame:
    """Pairs of a window, of so many users that there are about ``n`` pairs; None = all."""
    pairs = window_pairs(dataset, window)
    if n is None or pairs.height <= n:
        return pairs
    user = dataset.competition.user
    kept = pairs.filter(in_share(pl.col(user), pairs.schema[user], n / pairs.height, salt=PAIRS))
    return kept if kept.height else pairs.filter(pl.col(user) == pairs[user][0])


def _n_rows(dataset: Dataset) -> int:
    return sum(
        p.rows.select(pl.len()).collect(engine="streaming").item() if p.n_rows is None else p.n_rows
        for p in dataset.partitions
    )


def _cut(dataset: Dataset, share: float) -> Dataset:
    c = dataset.competition
    schema = dataset.log.collect_schema()
    of_users, of_items = (share, 1.0) if share >= USERS_ONLY else (share**0.5, share**0.5)
    kept = in_share(pl.col(c.user), schema[c.user], of_users, salt=USERS)
    kept &= in_share(pl.col(c.item), schema[c.item], of_items, salt=ITEMS)
    log = dataset.log.filter(kept).collect(engine="streaming").sort("clock", "row")
    test = dataset.test_pairs.filter(kept).collect(engine="in-memory")
    return replace(
        dataset,
        log=log.lazy(),
        users=_shown(dataset.users, c.user, log, test),
        items=_shown(dataset.items, c.item, log, test),
        test_pairs=test.lazy(),
        partitioned=None,
    )


def _shown(attributes: pl.LazyFrame, key: str, log: pl.DataFrame, test: pl.DataFrame) -> pl.LazyFrame:
    """Attributes of the keys that are there: tables of a long log are too long to hand to worker processes."""
    keys = pl.concat([log.select(key), test.select(key)]).unique()
    kept = attributes.join(keys.lazy(), on=key, how="semi", maintain_order="left")
    return kept.collect(engine="streaming").lazy()
