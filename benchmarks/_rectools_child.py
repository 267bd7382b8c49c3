"""RecTools in the metrics benchmark, run by the Python of its own environment (pm-implicit, numpy < 2).

    python benchmarks/_rectools_child.py FOLDER K

Imports nothing of this repository. Reads ``reco.parquet`` and ``interactions.parquet`` once; then, for every line on
standard input, times one calculation of pAUC@K and answers with a line of JSON: seconds and value.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import warnings
from pathlib import Path


def main() -> None:
    """Answer every line until standard input ends."""
    folder, k = Path(sys.argv[1]), int(sys.argv[2])
    pandas = importlib.import_module("pandas")
    warnings.simplefilter("ignore")  # pandas announces its changes to RecTools at every call
    metrics = importlib.import_module("rectools.metrics")
    reco = pandas.read_parquet(folder / "reco.parquet")
    interactions = pandas.read_parquet(folder / "interactions.parquet")
    for _ in sys.stdin:
        began = time.perf_counter()
        value = metrics.PartialAUC(k).calc(reco, interactions)
        answer = {"seconds": time.perf_counter() - began, "value": float(value)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
