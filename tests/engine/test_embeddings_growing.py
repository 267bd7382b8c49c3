"""Rows of tables of embeddings: they come with their ids, and what they start with depends on the order alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from engine import EmbeddingTable
from tests.engine.tables import DIM, Floats, table_of, vectors_of

ids_and_cuts = st.tuples(
    st.lists(st.one_of(st.integers(-30, 30), st.none()), max_size=60),
    st.lists(st.integers(0, 60), max_size=4),
)


def chunks(values: Sequence[Any], cuts: Sequence[int]) -> Iterator[Sequence[Any]]:
    edges = [0, *sorted(cuts), len(values)]
    for first, last in pairwise(edges):
        yield values[first : max(first, last)]


@given(ids_and_cuts)
def test_rows_come_in_the_order_of_ids_whatever_the_chunks(case: tuple[list[int | None], list[int]]) -> None:
    ids, cuts = case
    at_once, grown = table_of(), table_of()
    rows = at_once.grow(pl.Series(ids, dtype=pl.Int64))
    found = [grown.grow(pl.Series(chunk, dtype=pl.Int64)) for chunk in chunks(ids, cuts)]
    order: dict[int | None, int] = {}
    for one in ids:
        if one is not None:
            order.setdefault(one, len(order))
    assert rows.tolist() == np.concatenate(found).tolist() == [order.get(one, -1) for one in ids]
    assert at_once.ids.to_list() == grown.ids.to_list() == list(order)
    assert np.array_equal(vectors_of(at_once), vectors_of(grown))


@given(st.lists(st.integers(-30, 30), max_size=40), st.permutations(range(-30, 31)), st.booleans())
def test_renaming_ids_changes_nothing(ids: list[int], names: list[int], as_texts: bool) -> None:
    plain, renamed = table_of(), table_of()
    other = [names[one + 30] for one in ids]
    rows = plain.grow(pl.Series(ids, dtype=pl.Int64))
    texts = pl.Series([f"n{one}" for one in other], dtype=pl.String)
    assert np.array_equal(rows, renamed.grow(texts if as_texts else pl.Series(other, dtype=pl.Int32)))
    assert np.array_equal(vectors_of(plain), vectors_of(renamed))


def test_an_id_that_was_never_seen_gets_no_row_when_it_is_asked_for() -> None:
    table = table_of()
    table.grow(pl.Series([7, 5]))
    asked = pl.Series([5, 6, None, 7, 6, 9])
    assert table.rows(asked).tolist() == [1, -1, -1, 0, -1, -1]
    assert table.unseen(asked).to_list() == [6, 9]
    assert len(table) == 2


def test_new_rows_start_at_zero_at_a_given_vector_or_at_noise() -> None:
    assert not vectors_of_grown(table_of(noise=0)).any()
    given_ = np.arange(4 * DIM, dtype=np.float32).reshape(4, DIM)
    table = table_of(noise=0)
    table.grow(pl.Series([1]))
    table.grow(pl.Series([4, 1, 4, 5]), given_)
    assert np.array_equal(vectors_of(table)[1:], given_[[0, 3]])
    wide = EmbeddingTable("wide", 100, seed=1, noise=0.5)
    wide.grow(pl.Series(range(2000)))
    noise = vectors_of(wide)
    assert abs(noise.mean()) < 0.005
    assert abs(noise.std() - 0.5) < 0.005
    assert np.abs(np.asarray(np.corrcoef(noise[::20]))[np.triu_indices(100, 1)]).max() < 0.5


def test_a_thousand_appends_allocate_a_few_times() -> None:
    table, capacities = table_of(), set()
    for n in range(1000):
        table.grow(pl.Series([3 * n, 3 * n + 1, 3 * n]))
        capacities.add(table.capacity)
    assert len(table) == 2000
    assert len(capacities) <= 12
    assert max(capacities) <= 2 * 2000


def vectors_of_grown(table: EmbeddingTable) -> Floats:
    table.grow(pl.Series([3, 1, 2]))
    return vectors_of(table)


def test_reduced_is_the_pca_with_a_sign_that_is_always_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    start = (rng.normal(size=(300, 12)) * np.arange(1, 13)).astype(np.float32)
    tables = [
        EmbeddingTable("x", 12, folder=tmp_path, memory_gib=limit, block_rows=32) for limit in (1.0, 1e-6)
    ]
    found = []
    for table in tables:
        table.grow(pl.Series(range(300)), start)
        reduced = table.reduced(4, tmp_path)
        assert reduced.ids.equals(table.ids)
        found.append(vectors_of(reduced))
    pca = PCA(4, svd_solver="full").fit(start)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.sign(pca.components_[np.arange(4), largest])
    np.testing.assert_allclose(found[0], pca.transform(start) * signs, rtol=1e-3, atol=1e-3)
    assert np.array_equal(found[0], found[1])


@pytest.mark.parametrize("values", [[0.5, -1e9], [True, False], [date(2024, 1, 1), date(1, 1, 1)], [time(1), time(2)],
                                    [Decimal("0.5"), Decimal(3)]], ids=str)  # fmt: skip
def test_single_values_of_other_dtypes_have_rows(values: list[object]) -> None:
    table, ids = EmbeddingTable("things", 3), pl.Series([*values, None])
    table.grow(ids)
    assert table.rows(ids.reverse()).tolist() == [-1, 1, 0]


def test_ids_of_all_64_bits_have_rows() -> None:
    table, ids = EmbeddingTable("things", 3), pl.Series([2**64 - 1, 0, 2**63, 7], dtype=pl.UInt64)
    table.grow(ids)
    assert table.rows(ids).tolist() == [0, 1, 2, 3]
    assert table.rows(pl.Series([7, 1, 2**63 + 1], dtype=pl.UInt64)).tolist() == [3, -1, -1]
