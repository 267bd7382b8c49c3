"""One engine, one job, one process: ``python -m benchmarks._aggregates_run ENGINE JOB.json RESULT.json [ROWS]``.

The clock runs from before the first query until the last table has been consumed: every table is delivered as a
frame, the sum of each column taken, and the frame dropped. Start-up and imports are not counted. With ``ROWS`` (a
folder) some rows of each table are kept there, to be compared: such a run is not timed.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import polars as pl

from benchmarks._aggregates_job import VALUES, Engine, Job, ResultTable
from engine import measure_stage

# Imported when they are asked for: DuckDB may be missing, and one engine's memory should not hold another's code.
ENGINES = {
    "samewise": "benchmarks._aggregates_ours",
    "polars streaming": "benchmarks._aggregates_polars",
    "polars in-memory": "benchmarks._aggregates_polars",
    "polars per feature": "benchmarks._aggregates_polars",
    "floor": "benchmarks._aggregates_polars",
    "duckdb per window": "benchmarks._aggregates_duckdb",
    "duckdb with tiles": "benchmarks._aggregates_duckdb",
}
ONE_IN = 97  # pairs whose rows are compared value by value


def main() -> None:
    """Run one engine and write seconds, peak memory and the sums of every column."""
    name, job_file, result_file = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    rows = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    engine: Engine = importlib.import_module(ENGINES[name]).ENGINES[name]
    result_file.write_text(json.dumps(run(engine, Job.load(job_file), rows)), encoding="utf-8")


def run(engine: Engine, job: Job, rows: Path | None = None) -> dict[str, object]:
    """Consume every table of the engine; ``rows``: folder to keep one pair in ``ONE_IN`` of each table in."""
    sums: dict[str, dict[str, float]] = {}
    tables = engine(job)  # ours opens its data set here; nobody has read a row yet
    before = cpu_seconds()
    with measure_stage() as cost:
        for table in tables:
            sums.setdefault(table.name, {}).update(consumed(table.values))
            if rows is not None:
                keep(table, rows)
    return {
        "seconds": cost.seconds,
        "cpu_seconds": cpu_seconds() - before,
        "peak_mib": max(cost.peak_mib, peak_mib()),
        "sums": sums,
    }


def consumed(values: pl.DataFrame) -> dict[str, float]:
    """Read every value: the sum of each column. Null counts as zero. Rows are counted with the first column only."""
    # The sum of UInt32 is one, and wraps around.
    wide = values.select(name for name in VALUES if name in values.columns).with_columns(
        pl.col(pl.UInt32).cast(pl.Int64)
    )
    sums = wide.select(pl.all().sum())
    rows = {"rows": float(values.height)} if VALUES[0] in values.columns else {}
    return rows | {name: float(sums[name].item() or 0.0) for name in sums.columns}


def keep(table: ResultTable, folder: Path) -> None:
    """Keep one pair in ``ONE_IN``, sorted; columns that came alone are kept each for themselves."""
    some = table.values.filter(pl.col("pair_id") % ONE_IN == 0)
    names = [name for name in some.columns if name in VALUES]
    file = folder / f"{table.name}{'' if len(names) > 1 else f'-{names[0]}'}.parquet"
    some.sort("pair_id").write_parquet(file)


def cpu_seconds() -> float:
    """Seconds of CPU that this process and its ended children have used."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def peak_mib() -> float:
    """Peak resident memory of this process as the kernel kept it, in MiB; 0.0 where there is no /proc."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


if __name__ == "__main__":
    main()
