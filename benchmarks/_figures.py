"""The figures of a benchmark: kept as JSON with the machine that they come from."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from engine import out

FOLDER = Path(".benchmarks")


def keep(name: str, figures: Mapping[str, object], path: Path | None = None) -> Path:
    """Write the figures and the machine as JSON (default: ``.benchmarks/NAME.json``) and say where."""
    path = path or FOLDER / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(), **figures}, indent=1, default=str), encoding="utf-8")
    out.print(f"Figures: {path}", highlight=False)
    return path


def machine() -> dict[str, object]:
    """Processor, cores, memory, load at this moment, time and versions."""
    names = ("numpy", "polars", "scikit-learn", "catboost")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names},
    }


def spread(seconds: Sequence[float]) -> str:
    """Median and range as text."""
    if len(seconds) == 1:
        return f"{seconds[0]:.2f} s"
    return f"{median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
