"""The engines of the aggregates benchmark deliver the same values, and it notices when they do not."""

from __future__ import annotations

import importlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from benchmarks import _aggregates_run
from benchmarks._aggregates_agree import disagreements
from benchmarks._aggregates_inputs import Inputs, prepared
from benchmarks._aggregates_job import KEYS, VALUES, Job
from benchmarks._aggregates_rounds import Contestant, Results
from benchmarks._aggregates_table import findings

REFERENCE = "polars streaming"


@pytest.fixture(scope="module")
def inputs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return prepared(data, tmp_path_factory.mktemp("aggregates"), threads=1)


def delivered(name: str, job: Job, folder: Path) -> tuple[Any, Path]:
    """Run an engine; skipped where its package is not installed."""
    if "duckdb" in name and importlib.util.find_spec("duckdb") is None:
        pytest.skip("duckdb is not installed: benchmarks/requirements.txt")
    rows = folder / name.replace(" ", "-")
    rows.mkdir()
    engine = importlib.import_module(_aggregates_run.ENGINES[name]).ENGINES[name]
    return _aggregates_run.run(engine, job, rows)["sums"], rows


@pytest.fixture(scope="module")
def reference(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What the reference delivers."""
    return delivered(REFERENCE, inputs.job, tmp_path_factory.mktemp("reference"))


@pytest.mark.parametrize(
    ("name", "is_joined"),
    [
        *((name, True) for name in _aggregates_run.ENGINES if name != REFERENCE),
        (REFERENCE, False),
        ("duckdb per window", False),
    ],
)
def test_engines_agree_and_peers_that_join_by_themselves(
    name: str, is_joined: bool, inputs: Inputs, reference: tuple[Any, Path], tmp_path: Path
) -> None:
    job = replace(inputs.job, is_joined=is_joined)
    if name == "polars per feature":  # slow, and timed on the middle window only
        job = replace(job, cutoffs=job.cutoffs[2:3])
    sums, rows = delivered(name, job, tmp_path)
    assert disagreements(name, sums, rows, *reference) == []


def test_every_key_window_and_lookback_is_delivered(inputs: Inputs, reference: tuple[Any, Path]) -> None:
    job, (sums, rows) = inputs.job, reference
    assert len(sums) == len(KEYS) * len(job.cutoffs) * len(job.lookbacks) == 60
    assert all(set(VALUES) <= set(table) for table in sums.values())
    assert len(list(rows.glob("*.parquet"))) == 60


@pytest.mark.parametrize("column", ["n", "timespent_std", "first_clock"])
def test_a_wrong_value_is_noticed(column: str, reference: tuple[Any, Path], tmp_path: Path) -> None:
    sums, rows = reference
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    for file in rows.glob("*.parquet"):
        table = pl.read_parquet(file)
        first = pl.when(pl.int_range(pl.len()) == 0)
        changed = table.with_columns(first.then(pl.col(column).fill_null(7) + 1).otherwise(column))
        changed.write_parquet(wrong / file.name)
    assert any(f"{column} differs" in text for text in disagreements("x", sums, wrong, sums, rows))
    other = {name: {**table, column: table[column] * 1.1 + 1} for name, table in sums.items()}
    assert any(f"the sum of {column}" in text for text in disagreements("x", other, rows, sums, rows))


def test_an_engine_without_tables_is_noticed(tmp_path: Path) -> None:
    (found,) = disagreements("x", {}, tmp_path, {"t": {"n": 1.0}}, tmp_path)
    assert found == "x has no table in common with the reference"


def test_jobs_survive_json(inputs: Inputs, tmp_path: Path) -> None:
    inputs.job.save(tmp_path / "job.json")
    assert Job.load(tmp_path / "job.json") == inputs.job


def test_findings_judge_ratios_of_medians_and_multiply_what_stands_for_many() -> None:
    def runs(*seconds: float) -> list[dict[str, Any]]:
        return [{"seconds": s, "cpu_seconds": s, "peak_mib": 1024.0} for s in seconds]

    results = Results(
        {"samewise": runs(3.0, 1.0, 9.0), "duckdb per window": runs(10.0), "polars per feature": runs(20.0)},
        {"samewise": 1, "duckdb per window": 1, "polars per feature": 5},
    )
    assert results.median("polars per feature") == 100.0
    assert findings(results)[0] == "ours / duckdb per window is 0.30, at most 0.25 is wanted: MISSED"
    assert json.dumps(results.figures())


def test_a_contestant_runs_its_own_program() -> None:
    job = Job(Path(), Path(), Path(), 1, (1,), (None,))
    assert Contestant("x", "x", job, program=("python", "child.py")).command() == ["python", "child.py"]


def test_sums_of_narrow_integers_do_not_wrap_around() -> None:
    values = pl.DataFrame({"n": pl.Series([2**32 - 1, 2], dtype=pl.UInt32), "like_sum": [0.5, None]})
    assert _aggregates_run.consumed(values) == {"rows": 2.0, "n": 2.0**32 + 1, "like_sum": 0.5}
