"""Logs whose clock is the order of their rows, and horizons that are a share of the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from competitions import Clock, Dataset, LogFile, LogShare, RawTables
from engine import DataError


def collected(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


class TestHorizon:
    def test_a_share_of_a_log_with_given_pairs(self) -> None:
        assert LogShare(1, of=6).length(145_670_000) == 24_278_333

    @given(st.integers(2, 10**9), st.integers(1, 5), st.integers(6, 30))
    def test_a_share_of_the_log_before_a_window_that_is_cut(self, span: int, parts: int, of: int) -> None:
        share = LogShare(parts, of)
        horizon = share.length_within(span)
        before = span - horizon
        assert horizon >= 1
        assert abs(horizon - before * parts / of) <= 1 + parts / of or horizon == 1

    @pytest.mark.parametrize("clock", [Clock("row"), Clock("time", "at")])
    def test_cut_from_the_log(self, taken: Callable[..., Dataset], clock: Clock) -> None:
        dataset = taken(clock=clock, horizon=LogShare(1, of=5))
        assert collected(dataset.log).height == 20
        assert collected(dataset.test_pairs).height == 4

    def test_of_a_clock_per_user(self, taken: Callable[..., Dataset]) -> None:
        with pytest.raises(DataError, match="the horizon of a per_user clock is a number of steps"):
            taken(clock=Clock("per_user", "at", steps=4), horizon=LogShare(1, of=5))

    @pytest.mark.parametrize("share", [LogShare(0, of=6), LogShare(6, of=6)])
    def test_no_share(self, taken: Callable[..., Dataset], share: LogShare) -> None:
        with pytest.raises(DataError, match="a share lies between 0 and 1"):
            taken(clock=Clock("row"), horizon=share)


class TestRowClock:
    def test_own_row_numbers_are_refused(self, taken: Callable[..., Dataset], tables: RawTables) -> None:
        numbered = replace(tables, interactions=tables.interactions.with_row_index("row"))
        with pytest.raises(DataError, match="brings its own row numbers"):
            taken(numbered, clock=Clock("row"), horizon=5)

    def test_a_bad_row_is_told_by_its_number_in_its_file(
        self, taken: Callable[..., Dataset], tables: RawTables
    ) -> None:
        bad = pl.when(pl.int_range(pl.len()) == 13).then(None).otherwise("item_id")
        second = tables.interactions.with_columns(item_id=bad)
        files = (LogFile(Path("a.csv"), tables.interactions), LogFile(Path("b.csv"), second))
        both = replace(tables, interactions=pl.concat([tables.interactions, second]), log_files=files)
        with pytest.raises(
            DataError,
            match=r"'shop' \(b.csv\) breaks its rules:\n- the key 'item_id' .* 1 of 19 .* first row 13:",
        ):
            taken(both, clock=Clock("row"), horizon=5)

    def test_a_horizon_that_takes_the_whole_log(self, taken: Callable[..., Dataset]) -> None:
        with pytest.raises(DataError, match="has 0 rows before its test window"):
            taken(clock=Clock("row"), horizon=100)

    def test_two_files_of_one_name(self, taken: Callable[..., Dataset], tables: RawTables) -> None:
        files = tuple(LogFile(Path(p), tables.interactions) for p in ("/a/log.csv", "/b/log.csv"))
        with pytest.raises(DataError, match="Two files of the log go by the same name"):
            taken(replace(tables, log_files=files), clock=Clock("row"), horizon=5)
