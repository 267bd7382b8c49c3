"""One measurement of the families benchmark, in a process of its own.

    python -m benchmarks._family_run RESULT.json FAMILY|all KEY=VALUE ...

Computes the columns of one family, and what they read of others, for the planned windows into a store that has nothing
but the data set and its pairs. Writes their number, seconds and the peak memory of the process tree.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from competitions import open_dataset
from engine import Store, load_settings, measure_stage
from features import Catalogue, compute_features, load_catalogue
from validation import plan_folds, window_pairs

ALL = "all"


def main() -> None:
    """Measure and write the figures."""
    settings = load_settings(overrides=sys.argv[3:])
    dataset = open_dataset(settings)
    catalogue = load_catalogue(dataset)
    windows = plan_folds(dataset, settings.folds).windows
    names = columns_of(catalogue, sys.argv[2])
    with measure_stage() as cost:
        compute_features(catalogue, windows, catalogue.closure(names), Store(settings.store), settings)
    figures = {
        "columns": len(names),
        "inputs": sum(catalogue.columns[name].is_model_input for name in names),
        "read": len(catalogue.closure(names)) - len(names),
        "windows": len(windows),
        "pairs": sum(window_pairs(dataset, window).height for window in windows),
        "seconds": cost.seconds,
        "peak_gib": cost.peak_mib / 1024,
    }
    Path(sys.argv[1]).write_text(json.dumps(figures), encoding="utf-8")


def columns_of(catalogue: Catalogue, family: str) -> tuple[str, ...]:
    """Name the columns of a family, or all."""
    return tuple(n for n, c in catalogue.columns.items() if family in (ALL, c.family))


if __name__ == "__main__":
    main()
