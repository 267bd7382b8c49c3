"""A frame whose features lie in the store is worth the same as one that holds them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine import DataError
from models import FitContext, PairFrame, StoredColumns, build_models, needed_columns
from tests.models.small_log import SmallLog

CONTEXT = FitContext(seed=3)
MODELS: dict[str, dict[str, Any]] = {
    "column": {"column": "als_score__like"},
    "catboost": {"iterations": 20},
    "channel_net": {"epochs": 3, "batch_rows": 64, "user_dim": 8, "source_dim": 4},
}


class Shelf:
    """Columns in an order of their own, and how often each was read."""

    def __init__(self, frame: PairFrame) -> None:
        self.order = frame.table["pair_id"].arg_sort(descending=True)
        self.columns = {name: frame.table[name].gather(self.order) for name in frame.features}
        self.n_reads: Counter[str] = Counter()

    def read(self, name: str) -> pl.Series:
        self.n_reads[name] += 1
        return self.columns[name]

    def frame(self, held: PairFrame) -> PairFrame:
        schema = {name: column.dtype for name, column in self.columns.items()}
        stored = StoredColumns(schema, self.read, self.order.arg_sort().cast(pl.UInt32))
        return replace(held, table=held.table.drop(held.features), stored=stored)


@pytest.mark.parametrize("name", MODELS)
def test_fits_and_predicts_as_from_memory(name: str, small_log: SmallLog) -> None:
    ranker = build_models({name: MODELS[name]})[name]
    train, test = Shelf(small_log.train), Shelf(small_log.eval)
    fitted = ranker.fit(train.frame(small_log.train), CONTEXT)
    expected = ranker.fit(small_log.train, CONTEXT)
    assert fitted.report == expected.report
    scores = fitted.predict(test.frame(small_log.eval))
    np.testing.assert_array_equal(scores, expected.predict(small_log.eval))
    if needed_columns(ranker):
        assert set(test.n_reads) == set(needed_columns(ranker))
    else:  # once to predict; to fit, twice at most for each of the two parts that a hold-out makes, and once to look
        assert set(test.n_reads.values()) == {1}
        assert max(train.n_reads.values()) <= 5


def test_rows_are_taken_and_sorted_without_reading(small_log: SmallLog) -> None:
    held = small_log.train
    shelf = Shelf(held)
    shuffled = np.random.default_rng(1).permutation(held.table.height)
    stored = shelf.frame(held)
    assert stored.stored is not None
    mixed = replace(
        stored, table=stored.table[shuffled], stored=stored.stored.take(pl.Series(shuffled, dtype=pl.UInt32))
    )
    some = mixed.in_order().take(pl.col("window") > 1).take(pl.col("item_id") % 2 == 0)
    assert not shelf.n_reads
    expected = held.take((pl.col("window") > 1) & (pl.col("item_id") % 2 == 0))
    assert some.columns(held.features).equals(expected.columns(held.features))
    assert some.take(pl.lit(False)).columns(held.features).height == 0
    assert (some.numeric, some.categorical) == (held.numeric, held.categorical)
    with pytest.raises(DataError, match="nowhere"):
        some.columns(["nowhere", *held.features])
    with pytest.raises(DataError, match=r"als_score__lik\b.*als_score__like"):
        some.column("als_score__lik")


def test_a_frame_in_order_is_not_copied(small_log: SmallLog) -> None:
    assert small_log.train.in_order() is small_log.train


def test_large_matrices_are_quantized_and_rank_as_well(small_log: SmallLog) -> None:
    """Features without categories above one_hot_max_size: the very same trees."""
    tables = {"plain": {}, "quantized": {"quantize_from_mib": 0}}
    rankers = build_models({n: {"kind": "catboost", "iterations": 20, **t} for n, t in tables.items()})
    plain, quantized = (r.fit(small_log.train, CONTEXT).predict(small_log.eval) for r in rankers.values())
    np.testing.assert_array_equal(quantized, plain)
