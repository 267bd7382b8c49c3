"""A threshold is one number over all rows before the test window, whatever the partitions, and part of the label."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from competitions import Dataset, Threshold, open_dataset, take_in
from engine import Settings
from tests.competitions import vk_files
from tests.competitions.shop import (
    PER_USER,
    ROW,
    SHOP,
    Take,
    collected,
    edited,
    given_pairs,
    raises_with,
)

USUAL = {"usual": Threshold(pl.col("seconds"))}
LONG = {"long": pl.col("seconds") > pl.col("usual")}


def quantile(values: list[float], share: float) -> float:
    """The smallest value that at least a share of the values do not exceed."""
    ordered = sorted(value for value in values if isfinite(value))
    reached = (at for at in range(len(ordered)) if Fraction(at + 1, len(ordered)) >= Fraction(str(share)))
    return ordered[next(reached)]


@pytest.mark.parametrize("changes", [ROW, {}, PER_USER], ids=["row", "time", "per_user"])
@hypothesis_settings(max_examples=12)
@given(
    seconds=st.lists(st.integers(0, 9), min_size=23, max_size=23),
    share=st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
    size=st.integers(1, 30),
    is_float=st.booleans(),
)
def test_it_is_the_quantile_of_the_rows_before_the_test_window(
    tmp_path_factory: pytest.TempPathFactory,
    changes: dict[str, Any],
    seconds: list[int],
    share: float,
    size: int,
    is_float: bool,
) -> None:
    of = 1 / pl.col("seconds") if is_float else pl.col("seconds")  # infinite for zeros
    shop = replace(
        SHOP,
        derived={"long": of > pl.col("usual")},
        thresholds={"usual": Threshold(of, share)},
        **changes,
    )
    tables = edited(interactions=lambda t: t.with_columns(seconds=pl.Series([1, *seconds], dtype=pl.UInt16)))
    folder = tmp_path_factory.mktemp("data")
    dataset = take_in(shop, tables, folder, fingerprint="f", partition_rows=size)
    history = collected(dataset.log)
    values = [(1 / s if s else float("inf")) if is_float else float(s) for s in history["seconds"]]
    usual = quantile(values, share)
    assert history["long"].to_list() == [value > usual for value in values]
    labels = pl.read_parquet(folder / "solution.parquet")
    expected = [(1 / s if s else float("inf")) > usual if is_float else s > usual for s in (1, *seconds)]
    assert labels["relevance"].to_list() == [int(expected[row]) for row in labels["pair_id"]]


def test_the_solution_of_given_pairs_is_made_with_the_number_of_the_log(taken: Take, tmp_path: Path) -> None:
    tables = replace(given_pairs(), solution=pl.LazyFrame({"seconds": [0, 115, 600]}))
    shop = replace(SHOP, derived=LONG, thresholds=USUAL)
    take_in(shop, tables, tmp_path, fingerprint="f")
    assert pl.read_parquet(tmp_path / "solution.parquet")["relevance"].to_list() == [0, 1, 1]


def test_what_reads_it_is_an_outcome(taken: Take) -> None:
    dataset = taken(derived={"late": pl.col("at").dt.hour() > pl.col("hour")}, outcomes=("seconds",),
                    thresholds={"hour": Threshold(pl.col("at").dt.hour())}, relevance=pl.col("late"))  # fmt: skip
    assert dataset.competition.roles["late"] == "outcome"
    assert "late" not in collected(dataset.test_pairs).columns
    assert not {"hour", "usual"} & {*collected(dataset.log).columns}


class TestStore:
    @pytest.fixture
    def watched(self, vk: Settings, redeclared: Callable[..., None]) -> Settings:
        """The VK files; watched longer than usual is relevant."""
        self.declare(redeclared, 0.5)
        return vk

    def declare(self, redeclared: Callable[..., None], share: float) -> None:
        usual = {"usual": Threshold(pl.col("timespent"), share)}
        redeclared("vk2024", thresholds=usual, relevance=pl.col("timespent") > pl.col("usual"))

    def labels(self, settings: Settings) -> Dataset:
        dataset = open_dataset(settings)
        log = collected(dataset.log)
        usual = quantile([float(value) for value in log["timespent"]], 0.5)
        assert log["relevance"].cast(pl.Boolean).equals(log["timespent"] > usual)
        return dataset

    def test_partitions_that_are_gone_are_written_with_the_same_number(self, watched: Settings) -> None:
        before = self.labels(watched)
        for path in [*watched.store.rglob("part.parquet")]:
            shutil.rmtree(path.parent)
        again = self.labels(watched)
        assert [one.digest for one in again.partitions] == [one.digest for one in before.partitions]

    def test_a_log_that_grew_has_another_number_and_other_labels(self, watched: Settings) -> None:
        before = self.labels(watched)
        longer = vk_files.log().with_columns(timespent=pl.lit(99, pl.UInt8))
        longer.write_parquet(watched.data / "train_interactions_2.parquet")
        after = self.labels(watched)
        one, other = (collected(d.partitions[0].rows)["relevance"].sum() for d in (before, after))
        assert other < one / 10  # of the same rows; usual was about 50, and is 98 or 99

    def test_another_quantile_is_another_fingerprint(
        self, watched: Settings, redeclared: Callable[..., None]
    ) -> None:
        before = open_dataset(watched).fingerprint
        self.declare(redeclared, 0.75)
        assert open_dataset(watched).fingerprint != before

    def test_the_number_is_printed(self, watched: Settings, capsys: pytest.CaptureFixture[str]) -> None:
        usual = quantile([float(v) for v in collected(open_dataset(watched).log)["timespent"]], 0.5)
        printed = " ".join(capsys.readouterr().err.split())
        assert f"The threshold usual is {usual:g}: the 0.5 quantile of" in printed
        assert "over the 6000 rows before the test window" in printed


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"usual": 3}, "is no Mapping of str to Threshold"),
        ({"usual": Threshold(pl.col("secs"))}, "the threshold 'usual' reads 'secs'"),
        ({"usual": Threshold(pl.col("seconds").mean())}, "the threshold 'usual' looks at other rows"),
        ({"usual": Threshold(pl.col("device"))}, "'usual' is a quantile of Enum"),
        ({"usual": Threshold(pl.col("seconds"), 50)}, "a share lies between 0 and 1"),
        ({"usual": Threshold(pl.col("seconds"), float("nan"))}, "a share lies between 0 and 1"),
        ({"at": Threshold(pl.col("seconds"))}, "the threshold 'at' has the name of a column"),
    ],
)
def test_wrong_ones_are_refused(taken: Take, thresholds: dict[str, Any], message: str) -> None:
    with raises_with(message):
        taken(thresholds=thresholds)
