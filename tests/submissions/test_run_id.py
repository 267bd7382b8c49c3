"""Names of runs: order, uniqueness, and what a user may type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submissions import SubmissionError, is_run_id, new_run_id, resolve_run

RUNS = ["20261121-201530-123456-ab12", "20261121-201530-123457-0000", "20261122-080000-000000-ffff"]
moments = st.datetimes(datetime(2020, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))


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
    assert run.startswith("20261121-201530-123456-")
    names = [run := new_run_id(now, after=run) for _ in range(100)]
    assert names == sorted(set(names))
    assert all(map(is_run_id, names))


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


NO_PATHS = ("", ".", "..", "../runs", "/etc", "*", "2026*", "~", "\0", f"{RUNS[0]}/../{RUNS[1]}")


@pytest.mark.parametrize(
    ("typed", "known", "words"),
    [
        ("20261121", RUNS, r"2 runs start with '20261121'.*ab12, .*0000"),
        ("latst", RUNS, r"no run 'latst'\. Did you mean 'latest'"),
        (RUNS[0][:-1] + "3", RUNS, f"Did you mean '{RUNS[0]}'"),
        ("latest", [], "no run yet"),
        *((typed, RUNS, "There is no run") for typed in NO_PATHS),
    ],
)
def test_what_names_no_run(typed: str, known: list[str], words: str) -> None:
    with pytest.raises(SubmissionError, match=words):
        resolve_run(typed, known)
