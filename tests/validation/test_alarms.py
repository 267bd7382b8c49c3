"""The alarm about training losses: which fits it names, and a leak that was planted in one fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from competitions import Dataset
from validation import CvBundle, build_report, training_alarms

MakeBundle = Callable[..., CvBundle]
Losses = Mapping[str, tuple[str, tuple[float | None, ...]]]


def fits(losses: Losses) -> pl.DataFrame:
    rows = [
        (model, f"fold{n}", 1.0, 10, "hold-out", value, loss)
        for model, (loss, values) in losses.items()
        for n, value in enumerate(values, 1)
    ]
    columns = ["model", "fold", "seconds", "iterations", "stopped_by", "training_loss", "loss"]
    return pl.DataFrame(rows, schema=columns, orient="row")


@pytest.mark.parametrize(
    ("losses", "named"),
    [
        ({"catboost": ("RMSE", (0.50, 0.04, 0.49))}, ["catboost in fold2"]),  # one fold against the other two
        ({"catboost": ("RMSE", (0.50, 0.26, 0.49))}, []),  # not below half
        ({"catboost": ("RMSE", (0.50, 0.04))}, []),  # of two nobody knows which one is odd
        ({"catboost": ("RMSE", (0.04, 0.04, 0.04))}, []),  # all alike: what the audit is for
        (
            {"catboost": ("RMSE", (0.04, 0.05)), "als": ("RMSE", (0.5, 0.5)), "trees": ("RMSE", (0.5, 0.51))},
            ["catboost in fold1", "catboost in fold2"],
        ),
        ({"catboost": ("RMSE", (0.5, 0.5, 0.5)), "als": ("logit", (0.01, 0.01, 0.01))}, []),  # other losses
        ({"catboost": ("RMSE", (None, None, 0.1))}, []),
        ({"catboost": ("RMSE", (0.0, 0.0, 0.0))}, []),
        ({"mine": ("likelihood", (-0.9, -0.9, -0.9))}, []),  # half of it is more, not less
    ],
)
def test_who_is_far_below_its_siblings_is_named(
    losses: Losses, named: list[str], make_bundle: MakeBundle
) -> None:
    bundle = replace(make_bundle(models=["catboost"], blends=[]), fits=fits(losses))
    found = training_alarms(bundle)
    assert [text.partition(" is ")[0] for text in found] == [f"The training loss of {n}" for n in named]


def test_a_bundle_of_an_older_version_raises_none(make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    old = replace(bundle, fits=bundle.fits.drop("training_loss", "loss", strict=False))
    assert training_alarms(old) == ()


def test_the_report_shows_it_with_the_feature_that_the_fit_rests_on(
    make_bundle: MakeBundle,
    cinema: Dataset,
    run_report: Callable[..., tuple[str, Path]],
    tmp_path: Path,
) -> None:
    bundle = replace(make_bundle(), fits=fits({"catboost": ("RMSE", (0.5, 0.04, 0.5))}))
    (alarm,) = build_report(bundle, cinema, n_resamples=10).alarms
    top = bundle.importance.filter((pl.col("model") == "catboost") & (pl.col("fold") == "fold2"))
    assert top.sort("importance", descending=True)["feature"][0] in alarm
    printed, page = run_report(bundle, tmp_path)
    assert "Alarm: The training loss of catboost in fold2 is 0.0400 (RMSE)" in " ".join(printed.split())
    assert "<strong>Alarm:</strong>" in page.read_text(encoding="utf-8")
