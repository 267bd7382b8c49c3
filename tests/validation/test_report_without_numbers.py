"""No page fails for a number that is not known: each statistic of a report as null, NaN and infinite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from tests.validation.conftest import Rebuilt
from validation import CvBundle, Report
from validation._report import report_html, show_report

ODD = [None, math.nan, math.inf, -math.inf]
BEST = {
    "column": "relevance_rate",
    "cv": {"mean": 0.6, "fold1": 0.6},
    "differences": {"catboost": {"mean": -0.1, "low": -0.2, "high": -0.1, "n_users": 60, "error": 0.1}},
}


def is_shown(report: Report) -> None:
    text = report_html(report)
    assert "</html>" in text
    assert "NaN" not in text.partition('id="chart-specs"')[2].partition("</script>")[0]
    show_report(report, Console(file=StringIO(), width=120))


def with_leaf(value: Any, path: tuple[str, ...], odd: float | None) -> Any:
    return odd if not path else {**value, path[0]: with_leaf(value[path[0]], path[1:], odd)}


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of the floats in nested mappings."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, float):
        yield path


@pytest.fixture(scope="module")
def shown(rebuilt: Rebuilt) -> Report:
    return rebuilt(n_resamples=2)


@pytest.mark.parametrize("odd", ODD)
def test_no_statistic_that_is_stored_has_to_be_known(
    bundle: CvBundle, rebuilt: Rebuilt, odd: float | None
) -> None:
    fits = bundle.fits.with_columns(training_loss=pl.lit(0.5), loss=pl.lit("RMSE"))
    about = {**bundle.about, "best_column": BEST}
    frames = {"importance": bundle.importance, "features": bundle.features, "fits": fits}
    found: dict[str, Any] = {"about": about, **frames}
    for name, table in frames.items():
        floats = [n for n, dtype in table.schema.items() if dtype.is_float()]
        found[name] = table.with_columns(pl.lit(odd, pl.Float64).alias(column) for column in floats)
    for path in leaves(about):
        found["about"] = with_leaf(found["about"], path, odd)
    is_shown(rebuilt(n_resamples=2, **found))


@pytest.mark.parametrize("odd", ODD)
def test_no_statistic_that_is_shown_has_to_be_known(shown: Report, odd: float | None) -> None:
    frames = {}
    for name in ("scores", "fold_scores", "segments", "importance", "features", "fits"):
        table = getattr(shown, name)
        floats = [n for n, dtype in table.schema.items() if dtype.is_float()]
        frames[name] = table.with_columns(pl.lit(odd, pl.Float64).alias(column) for column in floats)
    is_shown(replace(shown, **frames))


def test_a_bundle_is_stored_with_what_is_not_known(bundle: CvBundle, tmp_path: Any) -> None:
    about = with_leaf({**bundle.about, "best_column": BEST}, ("best_column", "cv", "mean"), math.nan)
    replace(bundle, about=about).write(tmp_path)
    assert "NaN" not in (tmp_path / "bundle.json").read_text(encoding="utf-8")
    assert CvBundle.read(tmp_path).about["best_column"]["cv"]["mean"] is None
