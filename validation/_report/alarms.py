"""Fits whose training loss is too good to be true: what a label among the features looks like."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

import polars as pl

from validation._report.bundle import CvBundle

FAR_BELOW = 0.5  # of the median of the siblings
MIN_FITS = 3  # that are compared, the fit itself among them: of two it cannot be told which one is odd


def training_alarms(bundle: CvBundle) -> tuple[str, ...]:
    """Sentences about the fits whose training loss is below half of the median of their siblings.

    Siblings are the same model on the other folds, or all other fits with a loss of the same name; either is enough for
    an alarm, if it is of two siblings at least. A leak that all fits share makes no difference between them: that is
    for ``python -m features audit``. A bundle of an older version, without training losses, gives none.
    """
    if "training_loss" not in bundle.fits.columns:
        return ()
    fits = bundle.fits.filter(pl.col("training_loss").is_not_null()).to_dicts()
    found = []
    for fit in fits:
        others = [f for f in fits if f is not fit and f["loss"] == fit["loss"]]
        own = [f for f in others if f["model"] == fit["model"]]
        middle = next(
            (m for m in (_limit(own), _limit(others)) if fit["training_loss"] < FAR_BELOW * m), None
        )
        if middle is not None:
            found.append(_sentence(bundle, fit, middle))
    return tuple(found)


def _limit(siblings: Sequence[dict[str, Any]]) -> float:
    """Median of the siblings' losses; minus infinity if they are too few, or if half of it is no better than it."""
    losses = [float(f["training_loss"]) for f in siblings]
    middle = median(losses) if len(losses) + 1 >= MIN_FITS else 0.0
    return middle if middle > 0 else float("-inf")


def _sentence(bundle: CvBundle, fit: dict[str, Any], middle: float) -> str:
    own = bundle.importance.filter((pl.col("model") == fit["model"]) & (pl.col("fold") == fit["fold"]))
    top = own.sort("importance", descending=True).head(1)
    which = ""
    if top.height:
        name, share = top.select("feature", "importance").row(0)
        which = f" It rests on {name} with {share:.0%}."
    return (
        f"The training loss of {fit['model']} in {fit['fold']} is {fit['training_loss']:.4f} ({fit['loss']}), below "
        f"half of the median {middle:.4f} of its siblings. So it looks when labels got into the features.{which} Run "
        "`python -m features audit` before you believe its scores."
    )
