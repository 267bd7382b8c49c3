"""The benchmark of streamed learners: that the three ways give the same values, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks._aggregates_job import settings_for
from benchmarks.streamed import in_words, measured
from features import FeatureError


def test_streamed_and_fitted_window_by_window_are_the_same(data: Path, tmp_path: Path) -> None:
    figures = measured(settings_for(data, tmp_path, threads=1), "net", "")
    assert figures["n_differing"] == 0
    assert figures["rows"] == 20_000
    assert figures["windows"] > 1
    assert in_words(figures)[-1] == "All values agree."


def test_a_learner_that_is_not_there_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(FeatureError, match="no streamed learner 'nothing'"):
        measured(settings_for(data, tmp_path, threads=1), "nothing", "")


def test_what_is_wanted_is_said() -> None:
    seconds = {"one pass": 10.0, "streamed": 13.1, "a fit a window": 40.0}
    figures = {"learner": "net", "rows": 5, "step": 1, "windows": 5, "logs": 3.3, "pairs": 9, "n_differing": 2,
               "checkpoints_mib": 1.0, "seconds": seconds}  # fmt: skip
    _, _, passes, of_fits, values = in_words(figures)
    assert passes == "streamed / one pass: 1.31 (at most 1.3: MISSED)"
    assert of_fits == "streamed / a fit a window: 0.33 (at most 0.45: kept)"
    assert values == "2 values differ"
