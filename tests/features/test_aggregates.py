"""Every aggregate equals the oracle, whatever the log, the key, the lookback and the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from competitions import Dataset
from features import Catalogue, Window, bind_catalogue, compute_window
from tests.features.oracle import CASES, HOUR, KEYS, LOOKBACKS, Rows, liked, looking_back
from tests.features.small_logs import PAIRS, log_of, pairs_of, play, registry_of, row_lists, with_log

# No shrinking: an example costs 50 ms, and the message names the column and the pair.
SEARCH = settings(deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))


@pytest.fixture(scope="module")
def everything(timed: Dataset) -> Catalogue:
    return bind_catalogue(timed, registry_of(CASES))


Compute = Callable[[Rows, Sequence[int], Window, Sequence[str]], pl.DataFrame]


@pytest.fixture(scope="module")
def compute(everything: Catalogue) -> Compute:
    """Compute columns of rows that lie in some physical order. (hypothesis would print a whole catalogue.)"""
    pairs = pairs_of(everything.dataset, PAIRS)

    def compute(rows: Rows, order: Sequence[int], window: Window, names: Sequence[str]) -> pl.DataFrame:
        catalogue = with_log(everything, log_of(rows, everything.dataset, order))
        return compute_window(catalogue, window, names, pairs)

    return compute


@settings(SEARCH, max_examples=60)
@given(
    rows=row_lists(),
    cutoff=st.integers(0, 7),
    key=st.sampled_from(KEYS),
    lookback=st.sampled_from(tuple(LOOKBACKS)),
    data=st.data(),
)
def test_every_aggregate_equals_the_oracle(
    compute: Compute,
    rows: list[dict[str, Any]],
    cutoff: int,
    key: tuple[str, ...],
    lookback: str,
    data: st.DataObject,
) -> None:
    order = data.draw(st.permutations(range(len(rows))))
    window = Window(cutoff * HOUR, cutoff * HOUR, (cutoff + 2) * HOUR)
    assert_as_oracle(compute(rows, order, window, columns_of(key, lookback)), rows, cutoff, key, lookback)


@pytest.mark.parametrize("lookback", LOOKBACKS)
@pytest.mark.parametrize("key", KEYS, ids=str)
def test_every_aggregate_equals_the_oracle_on_a_longer_log(
    compute: Compute, key: tuple[str, ...], lookback: str
) -> None:
    random = Random(7)
    rows = [
        play(i, random.randrange(7), random.randint(1, 5), random.choice([None, 1.5, -2.25, random.random()]),
              random.randint(1, 4), random.choice([None, "phone", "tv"]))
        for i in range(60)
    ]  # fmt: skip
    order = random.sample(range(60), 60)
    window = Window(5 * HOUR, 5 * HOUR, 7 * HOUR)
    assert_as_oracle(compute(rows, order, window, columns_of(key, lookback)), rows, 5, key, lookback)


def assert_as_oracle(
    computed: pl.DataFrame, rows: Rows, cutoff: int, key: tuple[str, ...], lookback: str
) -> None:
    before = [{**r, "age": cutoff - r["clock"] // HOUR} for r in rows if r["clock"] < cutoff * HOUR]
    before.sort(key=lambda r: (r["clock"], r["row"]))
    for name, case in zip(columns_of(key, lookback), CASES.values(), strict=True):
        own, every = looking_back(liked(before) if case.where else before, key, lookback)
        for (user, device), value in zip(PAIRS, computed[name].to_list(), strict=True):
            parts = tuple({"user_id": user, "device": device}[k] for k in key)
            expected = case.expected(own.get(parts, []), every)
            assert_same(value, expected, case.tolerance, f"{name} of {user}, {device}")


def columns_of(key: tuple[str, ...], lookback: str) -> list[str]:
    return [f"{name}__{'_x_'.join(key) or 'everything'}{lookback}" for name in CASES]


def assert_same(value: Any, expected: Any, tolerance: float, where: str) -> None:
    if isinstance(expected, float) and isinstance(value, float):
        rounded = float(np.float32(expected))
        assert value == rounded or abs(value - rounded) <= tolerance * max(1.0, abs(rounded)), where
    else:
        assert value == expected, where


@settings(SEARCH, max_examples=25)
@given(
    rows=row_lists(),
    key=st.sampled_from(KEYS),
    lookback=st.sampled_from(tuple(LOOKBACKS)),
    data=st.data(),
)
def test_the_physical_order_of_rows_changes_no_bit(
    compute: Compute,
    rows: list[dict[str, Any]],
    key: tuple[str, ...],
    lookback: str,
    data: st.DataObject,
) -> None:
    window = Window(6 * HOUR, 6 * HOUR, 8 * HOUR)
    orders = [data.draw(st.permutations(range(len(rows)))) for _ in range(2)]
    a, b = (compute(rows, order, window, columns_of(key, lookback)) for order in orders)
    assert a.equals(b)


def test_no_pairs_give_no_rows_but_every_column(everything: Catalogue) -> None:
    names = list(everything.columns)
    frame = compute_window(everything, Window(HOUR, HOUR, 2 * HOUR), names, pairs_of(everything.dataset, []))
    assert frame.height == 0
    assert frame.schema == {"pair_id": pl.UInt32, **{n: everything.columns[n].dtype for n in names}}
