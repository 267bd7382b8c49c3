"""What fits tell about themselves, as files beside them and as tables of the bundle."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from models import FitReport

FILE = "report.json"
TEXTS = {"model": pl.String, "fold": pl.String}


def write_report(folder: Path, report: FitReport, seconds: float) -> None:
    """Write a fit's report and its wall time in seconds beside the model."""
    (folder / FILE).write_text(json.dumps({**asdict(report), "seconds": seconds}), encoding="utf-8")


def importance_table(fits: Sequence[tuple[str, str, Path]]) -> pl.DataFrame:
    """Share of each feature in each fit, for the models that tell; see ``CvBundle.importance``.

    ``fits``: model, fold and folder of each.
    """
    rows = [
        (model, fold, feature, share)
        for model, fold, folder in fits
        for feature, share in _read(folder)["importance"].items()
    ]
    return pl.DataFrame(rows, schema={**TEXTS, "feature": pl.String, "importance": pl.Float64}, orient="row")


def fits_table(fits: Sequence[tuple[str, str, Path]]) -> pl.DataFrame:
    """Seconds, iterations, end and training loss of each fit; see ``CvBundle.fits``."""
    facts = [(model, fold, _read(folder)) for model, fold, folder in fits]
    names = ("seconds", "iterations", "stopped_by", "training_loss", "loss")
    rows = [(model, fold, *(f[name] for name in names)) for model, fold, f in facts]
    dtypes = (pl.Float64, pl.Int64, pl.String, pl.Float64, pl.String)
    return pl.DataFrame(rows, schema={**TEXTS, **dict(zip(names, dtypes, strict=True))}, orient="row")


def read_seconds(folder: Path) -> float:
    """Wall seconds that a fit took."""
    return float(_read(folder)["seconds"])


def _read(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return facts
