"""The three clocks, and horizons that are a share of the log."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import Clock, LogShare, with_clock
from competitions._competition import ClockKind
from tests.competitions.shop import collected

rows = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=80)
clocks = st.sampled_from(
    [Clock("per_user", "tick", steps=10), Clock("per_user", steps=3), Clock("row"), Clock("time", "at")]
)


def log_of(pairs: list[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": range(len(pairs)),
            "user_id": [user for user, _ in pairs],
            "tick": [tick for _, tick in pairs],
            "at": [datetime(2024, 1, 1, tick) for _, tick in pairs],
        },
        schema_overrides={"row": pl.UInt32, "at": pl.Datetime("us")},
    )


def clocked(log: pl.DataFrame, clock: Clock) -> pl.DataFrame:
    return collected(with_clock(log.lazy(), clock, "user_id"))


@given(rows, clocks, st.randoms(use_true_random=False))
def test_physical_order_does_not_matter(pairs: list[tuple[int, int]], clock: Clock, random: object) -> None:
    log = log_of(pairs)
    order = list(range(len(pairs)))
    random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis hands out a random.Random
    assert clocked(log[order], clock).sort("row").equals(clocked(log, clock).sort("row"))


@given(rows, st.integers(1, 20))
def test_per_user_agrees_with_its_definition(pairs: list[tuple[int, int]], steps: int) -> None:
    own: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, (user, tick) in enumerate(pairs):
        own[user].append((tick, row))
    expected = {
        row: steps * i // len(ticks) for ticks in own.values() for i, (_, row) in enumerate(sorted(ticks))
    }
    found = clocked(log_of(pairs), Clock("per_user", column="tick", steps=steps))
    assert dict(found.select("row", "clock").iter_rows()) == expected


def test_time_is_microseconds_since_1970() -> None:
    log = pl.DataFrame(
        {"row": [0], "user_id": [1], "at": [datetime(1970, 1, 2)]}, schema_overrides={"at": pl.Datetime("ms")}
    )
    found = clocked(log, Clock("time", column="at"))
    assert found["clock"].to_list() == [86_400_000_000]
    assert found["clock"].dtype == pl.Int64


def test_time_with_a_zone_is_the_instant_not_the_wall_clock() -> None:
    log = log_of([(1, 3)]).with_columns(pl.col("at").dt.replace_time_zone("Europe/Moscow"))
    n_days = 19_723  # from 1970-01-01 to 2024-01-01; 03:00 in Moscow is midnight in UTC
    assert clocked(log, Clock("time", column="at"))["clock"].to_list() == [n_days * 86_400_000_000]


def test_row_is_the_row_number() -> None:
    assert clocked(log_of([(1, 0), (1, 0)])[[1, 0]], Clock("row"))["clock"].to_list() == [1, 0]


def test_a_share_of_a_log_with_given_pairs() -> None:
    assert LogShare(1, of=6).length(145_670_000) == 24_278_333


@given(st.integers(2, 10**9), st.integers(1, 5), st.integers(6, 30))
def test_a_share_of_the_log_before_a_window_that_is_cut(span: int, parts: int, of: int) -> None:
    horizon = LogShare(parts, of).length(span, is_within=True)
    before = span - horizon
    assert horizon >= 1
    assert abs(horizon - before * parts / of) <= 1 + parts / of or horizon == 1


@given(st.integers(), st.sampled_from(["time", "row", "per_user"]))
def test_a_value_of_a_clock_is_shown_as_one_reads_it(value: int, kind: ClockKind) -> None:
    clock = Clock(kind, "at")
    if kind == "time" and abs(value) < 6 * 10**16:
        assert datetime.fromisoformat(clock.shown(value)) == datetime(1970, 1, 1) + timedelta(
            microseconds=value
        )
    else:
        assert clock.shown(value) == str(value)


@pytest.mark.parametrize(
    ("kind", "span", "words"),
    [("time", 7 * 86_400_000_000, "7 days"), ("time", 90_000_000, "0:01:30"),
     ("time", 10**17, f"{10**17} microseconds"),
     ("row", 36, "36 rows"), ("per_user", 2, "2 steps")],
)  # fmt: skip
def test_a_length_of_a_clock_has_a_unit(kind: ClockKind, span: int, words: str) -> None:
    assert Clock(kind, "at").length(span) == words
