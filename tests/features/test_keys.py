"""Codes of keys looked up in arrays are those of a join, whatever the ids, nulls and unknown values."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features._aggregation import Limits, distinct, index_of, n_distinct, n_distinct_at_most

KINDS = pl.Enum(["a", "b", "c", "d"])
SCHEMA = pl.Schema({"user": pl.UInt32(), "kind": KINDS, "shop": pl.UInt16(), "is_new": pl.Boolean()})
KEYS = [("user",), ("user", "kind"), ("shop", "kind", "is_new")]
ids = st.none() | st.integers(0, 40)
kinds = st.none() | st.sampled_from("abcd")
rows = st.tuples(ids, kinds, ids, st.none() | st.booleans())


def frame(values: list[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(values, schema=SCHEMA, orient="row")


@pytest.mark.parametrize("looked_up", [2**25, 0], ids=["looked up", "joined"])
@pytest.mark.parametrize("key", KEYS, ids="-".join)
@settings(max_examples=25)
@given(known=st.lists(rows, max_size=30), asked=st.lists(rows, max_size=30))
def test_codes_are_those_of_a_join(
    looked_up: int, key: tuple[str, ...], known: list[tuple[object, ...]], asked: list[tuple[object, ...]]
) -> None:
    index, shown = index_of(key, [frame(known)], Limits(looked_up=looked_up)), frame(asked)
    assert (index.lookup is None) == (looked_up == 0 or not index.n_keys)
    joined = shown.join(index.frame, on=key, how="left", maintain_order="left")["code"]
    expected = joined.fill_null(index.n_keys).to_numpy()
    np.testing.assert_array_equal(index.codes(shown), expected)
    positions, codes = index.find(shown)
    np.testing.assert_array_equal(positions, np.flatnonzero(expected < index.n_keys))
    np.testing.assert_array_equal(codes, expected[positions])


@pytest.mark.parametrize("key", KEYS, ids="-".join)
@settings(max_examples=25)
@given(known=st.lists(rows, max_size=30))
def test_keys_are_the_distinct_ones_in_order(key: tuple[str, ...], known: list[tuple[object, ...]]) -> None:
    keys = frame(known).select(key)
    assert distinct(keys).equals(keys.drop_nulls().unique().sort(key))
    for name in key:
        assert n_distinct(keys[name]) == keys[name].n_unique() <= n_distinct_at_most(keys[name])


@pytest.mark.parametrize("large", [2**24, 2**32 - 1], ids=str)
def test_large_ids_and_text_are_joined(large: int) -> None:
    users = pl.DataFrame({"user": [3, large]}, schema={"user": pl.UInt32})
    index = index_of(("user",), [users])
    assert index.lookup is None
    assert index.codes(users.reverse()).tolist() == [1, 0]
    text = pl.DataFrame({"user": ["x", "y"]})
    assert index_of(("user",), [text]).codes(text).tolist() == [0, 1]
    assert n_distinct(users["user"]) == 2


def test_rows_with_larger_ids_than_any_key_have_none() -> None:
    index = index_of(("user",), [pl.DataFrame({"user": [3, 5]}, schema={"user": pl.UInt32})])
    rows = pl.DataFrame({"user": [5, 6, 2**32 - 1, None, 3]}, schema={"user": pl.UInt32})
    assert index.codes(rows).tolist() == [1, 2, 2, 2, 0]
