"""Sums over runs of sorted codes are those of a group-by, for the states that say they can be made so."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features._aggregation import can_reduce, reduced
from features._arithmetic import Operation, State

SCHEMA = pl.Schema(
    {
        "like": pl.Boolean(),
        "seconds": pl.UInt16(),
        "score": pl.Float64(),
        "name": pl.String(),
        "clock": pl.Int64(),
    }
)
SECONDS = pl.col("seconds").cast(pl.Int64)
CAN = {
    "rows": State("count", pl.lit(1)),
    "known": State("valid", pl.col("score")),
    "likes": State("total", pl.col("like")),
    "watched": State("total", SECONDS),
    "scores": State("total", pl.col("score")),
    "how many longer": State("total", SECONDS > 9),
    "from the first": State("deviation", SECONDS),
    "squares": State("squares", SECONDS),
    "earliest": State("smallest", pl.col("clock")),
    "longest": State("largest", SECONDS),
}
CANNOT = {
    "a constant": State("total", pl.lit(2)),
    "some rows": State("valid", pl.col("score").filter(pl.col("like"))),
    "other rows": State("total", pl.col("score") - pl.col("score").mean()),
    "squares of steps": State("squares", pl.col("score")),
    "largest of floats": State("largest", pl.col("score")),
    "smallest of some": State("smallest", pl.col("clock").filter(pl.col("like"))),
    "a text": State("largest", pl.col("name")),
    "first": State("first", pl.col("clock")),
    "weighed": State("decayed", pl.col("score"), half_life=pl.lit(3.0)),
    "anything": State("raw", SECONDS.median()),
}
VALUES = st.tuples(
    st.integers(0, 5), st.none() | st.booleans(), st.none() | st.integers(0, 2**16 - 1),
    st.none() | st.floats(-1e3, 1e3), st.none() | st.integers(-(2**40), 2**40),
)  # fmt: skip


def rows_of(values: list[tuple[object, ...]]) -> pl.DataFrame:
    columns = {"code": pl.UInt32(), **{name: SCHEMA[name] for name in ("like", "seconds", "score", "clock")}}
    return pl.DataFrame(values, schema=columns, orient="row").with_columns(name=pl.lit("x"))


@pytest.mark.parametrize("state", CAN.values(), ids=CAN)
def test_what_rows_add_needs_no_group_by(state: State) -> None:
    assert can_reduce(state, SCHEMA)


@pytest.mark.parametrize("state", CANNOT.values(), ids=CANNOT)
def test_what_leaves_rows_out_or_looks_around_does(state: State) -> None:
    assert not can_reduce(state, SCHEMA)


@settings(max_examples=40)
@given(values=st.lists(VALUES, max_size=40))
def test_runs_have_the_sums_of_a_group_by(values: list[tuple[object, ...]]) -> None:
    """To the bit, and of no rows too: then there is no code."""
    rows, states = rows_of(values), list(CAN.values())
    references = dict.fromkeys((str(s.reference) for s in states if s.reference), 7.0)
    found = reduced(states, rows, SCHEMA, references)
    parts = [part for state in states for part in state.partial(SCHEMA, 0, 1.0, 7.0)]
    expected = rows.group_by("code").agg(parts).sort("code")
    assert found["code"].to_list() == expected["code"].to_list()
    for name, state in CAN.items():
        none: dict[Operation, int] = {"smallest": 2**63 - 1, "largest": -(2**63)}
        own = [none.get(state.operation) if value is None else value for value in expected[state.name]]
        assert found[state.name].to_list() == own, name
