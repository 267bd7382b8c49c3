"""One measurement of the scale benchmark, in a process of its own.

    python -m benchmarks._scale_run RESULT.json KEY=VALUE ...

Takes the data in, computes the full catalogue for the planned windows into a store that must be new, and writes
seconds and the peak memory of the process tree of each stage. ``KEY=VALUE`` as for ``--set``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from competitions import Dataset, open_dataset
from engine import StageCost, Store, load_settings, measure_stage
from features import Catalogue, compute_features, load_catalogue
from validation import plan_folds, window_pairs

ROWS_AT_A_TIME = 5_000_000  # of the log, while distinct keys are counted


def main() -> None:
    """Measure and write the figures."""
    settings = load_settings(overrides=sys.argv[2:])
    with measure_stage() as intake:
        dataset = open_dataset(settings)
    with measure_stage() as binding:
        catalogue = load_catalogue(dataset)
        windows = plan_folds(dataset, settings.folds).windows
        names = catalogue.select(settings.features)
    stages = {"intake": figures_of(intake), "binding": figures_of(binding)}
    for stage, own in staged(catalogue, names).items():
        with measure_stage() as cost:
            compute_features(catalogue, windows, own, Store(settings.store), settings)
        stages[stage] = figures_of(cost)
    n_rows = int(dataset.log.select(pl.len()).collect(engine="streaming").item())
    figures = {
        "rows": n_rows,
        "keys_per_row": distinct_keys(dataset, n_rows) / n_rows,
        "pairs": sum(window_pairs(dataset, window).height for window in windows),
        "windows": len(windows),
        "columns": len(names),
        "memory_gib": settings.memory_gib,
        "stages": stages,
    }
    Path(sys.argv[1]).write_text(json.dumps(figures), encoding="utf-8")


def staged(catalogue: Catalogue, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Columns to compute one stage after the other: aggregates, what is fitted, what is made of other columns."""
    every = catalogue.closure(names)
    kinds = {name: catalogue.columns[name].declaration.kind for name in every}
    return {
        "aggregates": tuple(n for n in every if kinds[n] == "aggregate"),
        "fitted": tuple(n for n in every if kinds[n] in ("table", "fitted", "streamed")),
        "per pair": tuple(n for n in every if kinds[n] == "per_pair"),
    }


def figures_of(cost: StageCost) -> dict[str, float]:
    """Seconds and peak memory as plain values."""
    return {"seconds": cost.seconds, "peak_mib": cost.peak_mib}


def distinct_keys(dataset: Dataset, n_rows: int) -> int:
    """Count the distinct (user, source) of the log, a share of the users at a time."""
    c = dataset.competition
    n_parts = -(-n_rows // ROWS_AT_A_TIME)
    key = [c.user, c.source or c.item]
    rows = dataset.with_attributes(dataset.log.select(c.user, c.item)).select(key)
    return sum(
        int(
            rows.filter(pl.col(c.user).cast(pl.UInt64) % n_parts == part)
            .unique()
            .select(pl.len())
            .collect(engine="streaming")
            .item()
        )
        for part in range(n_parts)
    )


if __name__ == "__main__":
    main()
