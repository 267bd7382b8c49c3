"""Values of the distinct rows of keys, handed out to spans of tiles."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from features import Window
from features._lookback import EVERYTHING
from features._spans import Layout, blocks_of, narrowest

N_TILES = 9


@settings(deadline=None, max_examples=60)
@given(
    masks=st.lists(st.integers(0, 2**N_TILES - 1), max_size=40),
    ends=st.lists(
        st.lists(st.integers(0, N_TILES), min_size=2, max_size=2, unique=True), min_size=1, max_size=8
    ),
)
def test_every_span_gets_the_rows_of_each_key_that_it_holds(masks: list[int], ends: list[list[int]]) -> None:
    """The value of a key in a span is the bits of its tiles there: they are made once, and each is handed out right."""
    spans = {(Window(n, n, n + 1), EVERYTHING): (min(both), max(both)) for n, both in enumerate(ends)}
    tiles = np.array(masks, dtype=narrowest(N_TILES))
    layout = Layout(spans, blocks_of(tiles, spans.values()))
    made = pl.concat(
        [
            pl.DataFrame({"key": keys, "bits": [masks[k] & _bits(*spans[slot]) for k in keys]}, _SCHEMA)
            for slot, keys in layout.wanted
        ]
    )
    assert made["key"].to_list() == layout.keys.tolist()
    assert not made.is_duplicated().any()
    for slot, span in spans.items():
        expected = [(key, mask & _bits(*span)) for key, mask in enumerate(masks) if mask & _bits(*span)]
        own = layout.picked(made, slot)
        assert sorted(own.rows()) == expected
        assert own["key"].to_list() == layout.keys_in(slot).tolist()


_SCHEMA = pl.Schema({"key": pl.Int64, "bits": pl.Int64})


def _bits(first: int, until: int) -> int:
    return (1 << until) - (1 << first)
