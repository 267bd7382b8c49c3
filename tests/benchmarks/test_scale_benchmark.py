"""The scale benchmark: what it says of its runs, and how it counts keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import _scale_run
from benchmarks._aggregates_job import settings_for
from benchmarks.scale import findings, projected, settings_below
from competitions import Dataset, open_dataset
from features import load_catalogue


def run(millions: int, seconds: float, peak_gib: float) -> dict[str, Any]:
    stage = {"seconds": seconds, "peak_mib": peak_gib * 1024}
    sizes = {"rows": millions * 1_000_000, "keys_per_row": 0.4, "pairs": 1, "windows": 5, "columns": 60}
    stages = {"intake": stage, "aggregates": stage, "all features": stage}
    return {**sizes, "memory_gib": 8.0, "stages": stages}


@pytest.fixture(scope="module")
def dataset(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(settings_for(data, tmp_path_factory.mktemp("scale"), threads=1))


def test_seconds_per_row_are_compared_between_30_and_3_millions() -> None:
    lines = findings([run(3, 3.0, 1.0), run(30, 45.0, 9.0)])
    assert lines[0].startswith("aggregates: s per million rows at 30 M / at 3 M is 1.50")
    assert lines[0].endswith("MISSED")
    assert "3,000,000 rows: 1.00 GiB of a budget of 8.0 GiB: kept" in lines
    assert "30,000,000 rows: 9.00 GiB of a budget of 8.0 GiB: MISSED" in lines


def test_the_projection_is_in_proportion_to_the_rows_and_memory_on_a_line() -> None:
    text = projected([run(10, 60.0, 1.0), run(20, 120.0, 2.0)], "aggregates")
    assert text.endswith(f"{145.67 * 6 / 60:.1f} minutes, {145.67 / 10:.1f} GiB")


def test_distinct_keys_are_the_same_however_many_are_counted_at_a_time(dataset: Dataset) -> None:
    rows = dataset.with_attributes(dataset.log).select("user_id", "source_id").unique()
    expected = rows.collect(engine="streaming").height
    for n_rows in (20_000, 35_000_000):  # in one go, and a seventh of the users at a time
        assert _scale_run.distinct_keys(dataset, n_rows) == expected


def test_every_column_is_in_one_stage(dataset: Dataset) -> None:
    catalogue = load_catalogue(dataset)
    stages = _scale_run.staged(catalogue, tuple(catalogue.columns))
    assert sorted(name for own in stages.values() for name in own) == sorted(catalogue.columns)
    assert all(stages.values())


def test_settings_put_everything_below_one_folder(tmp_path: Path) -> None:
    own = str(tmp_path / "own")
    written = [text for text in settings_below(tmp_path / "data", tmp_path / "own") if own in text]
    assert [text.split("=")[0] for text in written] == ["store", "reports", "runs", "out"]
