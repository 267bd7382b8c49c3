"""The three clocks, logs whose clock is the order of their rows, and horizons that are a share of the log."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import Clock, LogFile, LogShare, RawTables, with_clock
from engine import DataError
from tests.competitions.shop import Take, collected, edited

PER_USER = Clock("per_user", column="tick", steps=10)
rows = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=80)
clocks = st.sampled_from([PER_USER, Clock("per_user", steps=3), Clock("row"), Clock("time", column="at")])


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


@given(rows)
def test_per_user_agrees_with_its_definition(pairs: list[tuple[int, int]]) -> None:
    own: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for row, (user, tick) in enumerate(pairs):
        own[user].append((tick, row))
    expected = {
        row: 10 * i // len(ticks) for ticks in own.values() for i, (_, row) in enumerate(sorted(ticks))
    }
    found = clocked(log_of(pairs), PER_USER)
    assert dict(found.select("row", "clock").iter_rows()) == expected


@given(rows)
def test_per_user_never_falls_within_a_user_and_stays_in_its_steps(pairs: list[tuple[int, int]]) -> None:
    found = clocked(log_of(pairs), PER_USER).sort("user_id", "tick", "row")
    assert found["clock"].is_between(0, 9).all()
    assert found.select((pl.col("clock").diff() >= 0).over("user_id").all()).item()


@given(rows, clocks, st.integers(0, 10))
def test_history_and_the_rest_are_half_open_and_whole(
    pairs: list[tuple[int, int]], clock: Clock, step: int
) -> None:
    found = clocked(log_of(pairs), clock)
    cutoff = int(found["clock"][step % found.height])
    history = found.filter(pl.col("clock") < cutoff)
    assert history.height + found.filter(pl.col("clock") >= cutoff).height == found.height
    assert cutoff not in history["clock"]


@given(rows, st.integers(1, 20))
def test_per_user_steps_are_of_nearly_equal_size(pairs: list[tuple[int, int]], steps: int) -> None:
    found = clocked(log_of(pairs), Clock("per_user", steps=steps))
    for (_user,), own in found.group_by("user_id"):
        sizes = own.group_by("clock").len()["len"]
        assert int(sizes.max()) <= -(-own.height // steps)  # type: ignore[arg-type]  # a group has rows


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


def test_ties_go_by_row_number() -> None:
    log = log_of([(1, 0)] * 10)[::-1]
    assert clocked(log, PER_USER)["clock"].to_list() == list(range(9, -1, -1))


class TestHorizon:
    def test_a_share_of_a_log_with_given_pairs(self) -> None:
        assert LogShare(1, of=6).length(145_670_000) == 24_278_333

    @given(st.integers(2, 10**9), st.integers(1, 5), st.integers(6, 30))
    def test_a_share_of_the_log_before_a_window_that_is_cut(self, span: int, parts: int, of: int) -> None:
        share = LogShare(parts, of)
        horizon = share.length(span, is_within=True)
        before = span - horizon
        assert horizon >= 1
        assert abs(horizon - before * parts / of) <= 1 + parts / of or horizon == 1

    @pytest.mark.parametrize("clock", [Clock("row"), Clock("time", "at")])
    def test_cut_from_the_log(self, taken: Take, clock: Clock) -> None:
        dataset = taken(clock=clock, horizon=LogShare(1, of=5))
        assert collected(dataset.log).height == 20
        assert collected(dataset.test_pairs).height == 4

    def test_of_a_clock_per_user(self, taken: Take) -> None:
        with pytest.raises(DataError, match="the horizon of a per_user clock is a number of steps"):
            taken(clock=Clock("per_user", "at", steps=4), horizon=LogShare(1, of=5))

    @pytest.mark.parametrize("share", [LogShare(0, of=6), LogShare(6, of=6)])
    def test_no_share(self, taken: Take, share: LogShare) -> None:
        with pytest.raises(DataError, match="a share lies between 0 and 1"):
            taken(clock=Clock("row"), horizon=share)


class TestRowClock:
    def test_own_row_numbers_are_refused(self, taken: Take, tables: RawTables) -> None:
        numbered = edited(tables, interactions=lambda t: t.with_row_index("row"))
        with pytest.raises(DataError, match="brings its own row numbers"):
            taken(numbered, clock=Clock("row"), horizon=5)

    def test_a_bad_row_is_told_by_its_number_in_its_file(self, taken: Take, tables: RawTables) -> None:
        bad = pl.when(pl.int_range(pl.len()) == 13).then(None).otherwise("item_id")
        second = tables.interactions.with_columns(item_id=bad)
        files = (LogFile(Path("a.csv"), tables.interactions), LogFile(Path("b.csv"), second))
        both = replace(tables, interactions=pl.concat([tables.interactions, second]), log_files=files)
        with pytest.raises(
            DataError,
            match=r"'shop' \(b.csv\) breaks its rules:\n- the key 'item_id' .* 1 of 19 .* first row 13:",
        ):
            taken(both, clock=Clock("row"), horizon=5)

    def test_a_horizon_that_takes_the_whole_log(self, taken: Take) -> None:
        with pytest.raises(DataError, match="has 0 rows before its test window"):
            taken(clock=Clock("row"), horizon=100)

    def test_two_files_of_one_name(self, taken: Take, tables: RawTables) -> None:
        files = tuple(LogFile(Path(p), tables.interactions) for p in ("/a/log.csv", "/b/log.csv"))
        with pytest.raises(DataError, match="Two files of the log go by the same name"):
            taken(replace(tables, log_files=files), clock=Clock("row"), horizon=5)
