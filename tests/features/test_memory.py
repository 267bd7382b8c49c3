"""How much may run at the same time, by estimate."""

from __future__ import annotations

import pytest

from competitions import Dataset
from engine import Settings, console
from features._memory import rows_before, threads_per_job
from validation import Folds


@pytest.mark.parametrize(("gib", "threads"), [(1.0, 1), (4.0, 1), (4.1, 2), (9.0, 2)])
def test_jobs_that_do_not_fit_together_get_all_threads(gib: float, threads: int) -> None:
    assert threads_per_job(gib, Settings(threads=2, memory_gib=8.0)) == threads


def test_a_job_beyond_the_budget_is_told_before_it_starts() -> None:
    with console.capture() as told:
        threads_per_job(9.0, Settings(memory_gib=8.0))
    assert "9.0 GiB" in told.get()
    assert "memory_gib = 8" in told.get()
    with console.capture() as silence:
        threads_per_job(7.9, Settings(memory_gib=8.0))
    assert silence.get() == ""


def test_rows_before_a_cutoff_are_counted(timed: Dataset, folds: Folds) -> None:
    window = folds.windows[0]
    assert rows_before(timed, window.cutoff) == window.history(timed.log).collect().height
    assert rows_before(timed, 0) == 0
