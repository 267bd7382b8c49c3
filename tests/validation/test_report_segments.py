"""Segments of the report, against counts made row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest

from competitions import Dataset
from validation import CvBundle, Report, build_report


@pytest.fixture(scope="module")
def bundle(make_bundle: Callable[..., CvBundle]) -> CvBundle:
    return make_bundle()


@pytest.fixture(scope="module")
def report(bundle: CvBundle, cinema: Dataset) -> Report:
    return build_report(bundle, cinema, n_resamples=10)


def test_segments_split_the_pairs_and_cold_means_no_row_before_the_cutoff(
    bundle: CvBundle, cinema: Dataset, report: Report
) -> None:
    log = cinema.log.collect()
    pairs = bundle.oof.to_dicts()
    history = {
        (window, key): set(log.filter(pl.col("clock") < window)[key])
        for window in bundle.oof["window"].unique()
        for key in ("user_id", "item_id")
    }
    for key, segment, cold in (
        ("user_id", "Cold and warm users", "cold user"),
        ("item_id", "Cold and warm items", "cold item"),
    ):
        rows = report.segments.filter((pl.col("segment") == segment) & (pl.col("name") == "als"))
        assert rows["n_pairs"].sum() == len(pairs)
        n_cold = sum(pair[key] not in history[pair["window"], key] for pair in pairs)
        assert n_cold > 0
        assert rows.filter(pl.col("band") == cold)["n_pairs"].item() == n_cold


def test_segments_by_length_of_history(bundle: CvBundle, cinema: Dataset, report: Report) -> None:
    log = cinema.log.collect()
    lengths = {
        (window, user): log.filter((pl.col("clock") < window) & (pl.col("user_id") == user)).height
        for window, user in bundle.oof.select("window", "user_id").unique().iter_rows()
    }
    long = [group for group, length in lengths.items() if 100 <= length < 300]
    rows = bundle.oof.filter(
        pl.struct("window", "user_id").map_elements(
            lambda r: (r["window"], r["user_id"]) in long, return_dtype=pl.Boolean
        )
    )
    found = report.segments.filter(
        pl.col("segment").str.starts_with("User history")
        & (pl.col("band") == "100–299")
        & (pl.col("name") == "als")
    )
    assert (found["n_groups"].item(), found["n_pairs"].item()) == (len(long), rows.height)
    alone = build_report(replace(bundle, oof=rows), cinema, n_resamples=10)
    warm = alone.segments.filter((pl.col("band") == "warm user") & (pl.col("name") == "als"))
    assert found["value"].item() == pytest.approx(warm["value"].item())


def test_segments_by_class_mix(report: Report) -> None:
    rows = report.segments.filter(pl.col("segment").str.starts_with("Class mix") & (pl.col("name") == "als"))
    # User 5 has the highest class only, in each of the three windows: counted, but without a value.
    everything = rows.filter(pl.col("band") == "all").row(0, named=True)
    assert (everything["n_groups"], everything["n_pairs"], everything["value"]) == (3, 36, None)
    assert rows["position"].is_sorted()
