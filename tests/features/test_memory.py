"""How much may run at the same time, by estimate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset
from engine import Settings, console
from features._catalogue import FeatureColumn, PythonBody
from features._compute import COPIES, body_gib, rows_before, tell_if_too_large, threads_per_job
from features._declare import Declaration, Place
from validation import Folds


@pytest.mark.parametrize(("gib", "threads"), [(1.0, 1), (4.0, 1), (4.1, 2), (9.0, 2)])
def test_jobs_that_do_not_fit_together_get_all_threads(gib: float, threads: int) -> None:
    assert threads_per_job(gib, Settings(threads=2, memory_gib=8.0)) == threads


def test_a_job_beyond_the_budget_is_told_before_it_starts() -> None:
    with console.capture() as told:
        tell_if_too_large(9.0, Settings(memory_gib=8.0))
    assert "9.0 GiB" in told.get()
    assert "memory_gib = 8" in told.get()
    with console.capture() as silence:
        tell_if_too_large(7.9, Settings(memory_gib=8.0))
    assert silence.get() == ""


def test_rows_before_a_cutoff_are_counted(timed: Dataset, folds: Folds) -> None:
    window = folds.windows[0]
    assert rows_before(timed, window.cutoff) == window.history(timed.log).collect().height
    assert rows_before(timed, 0) == 0


def test_vectors_are_counted_once_an_item_and_not_once_a_row(timed: Dataset, folds: Folds) -> None:
    vector = pl.lit([0.5] * 1000, dtype=pl.Array(pl.Float32, 1000)).alias("content")
    with_vectors = replace(timed, items=timed.items.with_columns(vector))
    declaration = Declaration("near", "fitted", len, Place(Path("near.py"), 1), "Nearness.")

    def need(*needs: str) -> float:
        body = PythonBody("near", (), needs)
        column = FeatureColumn("near", declaration, body, pl.Float32(), is_model_input=True)
        return body_gib(with_vectors, folds.windows[-1], [column])

    n_items = timed.items.select(pl.len()).collect().item()
    assert need("item_id", "content") - need("item_id") == pytest.approx(COPIES * 4000 * n_items / 2**30)
