"""What ``python -m stacking cv`` leaves and ``python -m validation report`` reads: one folder of plain files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from validation._report.page import known


@dataclass(frozen=True)
class CvBundle:
    """Stored results of a cross-validation.

    Attributes
    ----------
    oof
        One row a pair of an eval window: ``fold`` String, ``window`` Int64 (cutoff), ``pair_id`` UInt32, the user
        and item key columns, ``relevance`` Int8, and a Float64 score column for each name in ``models`` and
        ``blends``.
    importance
        ``model`` String, ``fold`` String, ``feature`` String, ``importance`` Float64 (share, sums to one).
    features
        One row a feature column: ``feature``, ``meaning``, ``dtype`` String; ``score`` Float64 (mean single-feature
        metric over the eval windows, the better direction; null for categoricals), ``null_train``, ``null_eval``,
        ``null_test`` Float64 (share of null), ``psi`` Float64 (train windows of the final fold against the test
        window), ``drifts`` and ``nulls_change`` Boolean: as audits judge, ``seconds`` Float64 (cost when computed).
    fits
        ``model``, ``fold`` String, ``seconds`` Float64, ``iterations`` Int64, ``stopped_by`` String,
        ``training_loss`` Float64 (null if the model has none) and ``loss`` String, its name; ``notes`` String, what
        else it told of itself, such as HITS@k on its hold-out.
    models, blends
        Names, in the order of the config; the first blend is the baseline (mean of ranks).
    chosen
        The name among ``models`` and ``blends`` that the submission uses.
    about
        JSON-able facts: competition, metric (name, policy), user, item, folds, seed, settings, fingerprints, clock
        kind, created; ``prerank`` if a model cuts what the others see.
    """

    oof: pl.DataFrame
    importance: pl.DataFrame
    features: pl.DataFrame
    fits: pl.DataFrame
    models: tuple[str, ...]
    blends: tuple[str, ...]
    chosen: str
    about: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write the bundle's files into an existing empty folder."""
        for name in ("oof", "importance", "features", "fits"):
            getattr(self, name).write_parquet(folder / f"{name}.parquet")
        facts = {
            "models": self.models,
            "blends": self.blends,
            "chosen": self.chosen,
            "about": known(self.about),
        }
        (folder / "bundle.json").write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> CvBundle:
        """Read what ``write`` wrote."""
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        frames = {
            n: pl.read_parquet(folder / f"{n}.parquet") for n in ("oof", "importance", "features", "fits")
        }
        return cls(
            models=tuple(facts["models"]),
            blends=tuple(facts["blends"]),
            chosen=facts["chosen"],
            about=facts["about"],
            **frames,
        )
