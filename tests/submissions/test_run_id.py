"""Names of runs: order, uniqueness, and what a user may type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submissions import SubmissionError, is_run_id, new_run_id, resolve_run

RUNS = ["20261121-201530-123456-ab12", "20261121-201530-123457-0000", "20261122-080000-000000-ffff"]
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


def test_shape(now: datetime) -> None:
    run = new_run_id(now)
    assert run.startswith("20261121-201530-123456-")
    assert is_run_id(run)


@given(moments, moments)
def test_names_sort_by_time(a: datetime, b: datetime) -> None:
    if a < b:
        assert new_run_id(a) < new_run_id(b)


@given(moments, st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_a_new_name_sorts_last_even_when_the_clock_was_set_back(first: datetime, step: timedelta) -> None:
    older = new_run_id(first)
    assert new_run_id(first + step, after=older) > older


def test_the_same_microsecond_does_not_give_the_same_name(now: datetime) -> None:
    run = new_run_id(now)
    names = [run := new_run_id(now, after=run) for _ in range(100)]
    assert names == sorted(set(names))


@pytest.mark.parametrize(
    "name", ["", "latest", "20261121", "../20261121-201530-123456-ab12", RUNS[0] + "\n", "٢" * 8]
)
def test_what_is_no_name(name: str) -> None:
    assert not is_run_id(name)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (RUNS[0], 0),
        ("20261122", 2),
        ("20261121-201530-123457", 1),
        ("latest", 2),
        ("20261121-201530-123456-a", 0),
    ],
)
def test_names_prefixes_and_latest(typed: str, found: int) -> None:
    assert resolve_run(typed, RUNS[::-1]) == RUNS[found]


def test_a_prefix_of_several(now: datetime) -> None:
    with pytest.raises(SubmissionError, match=r"2 runs start with '20261121'.*ab12, .*0000"):
        resolve_run("20261121", RUNS)


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(SubmissionError, match=r"no run 'latst'\. Did you mean 'latest'"):
        resolve_run("latst", RUNS)
    with pytest.raises(SubmissionError, match=f"Did you mean '{RUNS[0]}'"):
        resolve_run(RUNS[0][:-1] + "3", RUNS)


def test_no_runs_at_all() -> None:
    with pytest.raises(SubmissionError, match="no run yet"):
        resolve_run("latest", [])


@pytest.mark.parametrize(
    "typed", ["", ".", "..", "../runs", "/etc", "*", "2026*", "~", "\0", f"{RUNS[0]}/../{RUNS[1]}"]
)
def test_no_path_is_a_run(typed: str) -> None:
    with pytest.raises(SubmissionError, match="There is no run"):
        resolve_run(typed, RUNS)
