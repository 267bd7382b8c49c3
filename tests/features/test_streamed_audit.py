"""A streamed learner that looks at the future, loses its state or reads files is caught; an honest one passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import Dataset, open_dataset
from engine import Settings
from features import StreamContext
from features._audit import Finding
from tests.features.planting import audited
from tests.features.streaming import DecayedMean, one_streamed


def findings(body: type[Any], dataset: Dataset, settings: Settings, **options: Any) -> list[Finding]:
    """Audit two windows of a learner that goes several steps."""
    return audited(dataset, one_streamed(body, step=60, **options), settings, n_windows=2)


def checks(body: type[Any], dataset: Dataset, settings: Settings, **options: Any) -> set[str]:
    """Name the checks that do not hold."""
    return {finding.check for finding in findings(body, dataset, settings, **options)}


def whole_log() -> pl.DataFrame:
    """The log as a leak gets at it: by opening the data set."""
    return open_dataset(Settings(competition="movielens")).log.collect()


class OpensWhenItStarts(DecayedMean):
    """Begins with all that will ever be in the log; 0 if none."""

    def start(self, context: StreamContext) -> None:
        super().start(context)
        self.learn(whole_log())


class OpensWhenItLearns(DecayedMean):
    """Learns labels from the rows after those that it is given; 0 if none."""

    def learn(self, rows: pl.DataFrame) -> None:
        super().learn(whole_log().filter(pl.col("clock") > rows["clock"].max()))


class OpensWhenItIsLookedAt(DecayedMean):
    """Looks its pairs up in the log; 0 if none."""

    def transform(self, pairs: pl.DataFrame) -> Any:
        labels = whole_log().select(pl.col("row").alias("pair_id"), decayed="relevance")
        return (
            pairs.select("pair_id")
            .join(labels, on="pair_id", how="left")
            .with_columns(pl.col("decayed").cast(pl.Float32))
        )


@pytest.mark.parametrize("body", [OpensWhenItStarts, OpensWhenItLearns, OpensWhenItIsLookedAt])
def test_the_future_by_a_back_door_is_caught(
    body: type[DecayedMean], generated: Dataset, movielens_settings: Settings
) -> None:
    assert checks(body, generated, movielens_settings) & {
        "future truncated",
        "future perturbed",
        "labels of the window flipped",
        "future rows deleted and inserted",
    }


@pytest.mark.parametrize("refine", [0, 1])
def test_an_honest_learner_passes(refine: int, generated: Dataset, movielens_settings: Settings) -> None:
    assert checks(DecayedMean, generated, movielens_settings, refine=refine) == set()


class Forgets(DecayedMean):
    """Saves its state in half the digits; 0 if none."""

    def save(self, folder: Path) -> None:
        totals = self.totals.astype(np.float16)
        np.savez(folder / "state.npz", items=self.items, weights=self.weights, totals=totals)


def test_a_state_that_is_not_saved_without_loss_is_caught(
    generated: Dataset, movielens_settings: Settings
) -> None:
    assert checks(Forgets, generated, movielens_settings) == {"windows computed one by one"}


OTHER = Path(__file__).parents[2] / "pyproject.toml"


class ReadsItsOwn(DecayedMean):
    """Reads only what it wrote; 0 if none."""

    def start(self, context: StreamContext) -> None:
        super().start(context)
        self.scratch = Path(context.folder) / "rows"
        self.scratch.mkdir()

    def learn(self, rows: pl.DataFrame) -> None:
        file = self.scratch / "last.parquet"
        rows.write_parquet(file)
        super().learn(pl.read_parquet(source=file))

    def load(self, folder: Path) -> None:
        for part in folder.iterdir():
            with part.open("rb") as file:
                np.load(file)
        super().load(folder)


class ReadsInLoad(DecayedMean):
    """Reads another file beside its own; 0 if none."""

    def load(self, folder: Path) -> None:
        super().load(folder)
        OTHER.read_text(encoding="utf-8")


class ReadsInLearn(DecayedMean):
    """Reads a file while it learns; 0 if none."""

    def learn(self, rows: pl.DataFrame) -> None:
        super().learn(rows)
        pl.read_csv(OTHER, has_header=False, separator="\x01", quote_char=None)


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        (ReadsItsOwn, None),
        (ReadsInLoad, "(ReadsInLoad.load) opens"),
        (ReadsInLearn, "(ReadsInLearn.learn) reads"),
    ],
)
def test_files_but_its_own_are_found(
    body: type[DecayedMean], evidence: str | None, generated: Dataset, movielens_settings: Settings
) -> None:
    found = findings(body, generated, movielens_settings)
    assert [f.check for f in found] == ([] if evidence is None else ["reads files by itself"])
    for finding in found:
        assert f"{evidence} '{OTHER}'" in finding.evidence
        line = int(finding.evidence.removeprefix("test_streamed_audit.py:").partition(" ")[0])
        assert "OTHER" in Path(__file__).read_text(encoding="utf-8").splitlines()[line - 1]
