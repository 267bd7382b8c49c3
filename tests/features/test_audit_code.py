"""Features that read files by themselves are found by their code: of the body, of what it calls, of constants."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import polars as pl

from competitions import Dataset
from features import Registry, Window, bind_catalogue, table
from features._audit import Finding, reads_by_itself

CSV = "item_id,score\n1,0.5\n"
SCORES = pl.read_csv(StringIO(CSV))
RENAMED = SCORES.rename({"score": "better"})
FACTOR = float(np.sqrt(2.0))


def from_the_top(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Scores that were read when the file was imported; null for others."""
    return RENAMED.lazy().rename({"better": "score"})


def from_a_function(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Scores that are read for each window; null for others."""
    return opened()


def opened() -> pl.LazyFrame:
    return pl.LazyFrame(np.genfromtxt(Path("scores.csv"), delimiter=","))


def from_the_history(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    """Mean stars of the item, times a number; null if it has none."""
    return history.group_by("item_id").agg(score=(pl.col("stars").mean() * FACTOR).cast(pl.Float32))


def findings(body: Callable[[pl.LazyFrame, Window], pl.LazyFrame], dataset: Dataset) -> list[Finding]:
    registry = Registry()
    table(key="item_id", columns={"score": pl.Float32}, registry=registry)(body)
    (column,) = bind_catalogue(dataset, registry).columns.values()
    return reads_by_itself(column)


def test_a_file_read_at_the_top_is_found_with_its_line(timed: Dataset) -> None:
    (finding,) = findings(from_the_top, timed)
    lines = Path(inspect.getfile(findings)).read_text(encoding="utf-8").splitlines()
    line = next(number for number, text in enumerate(lines, 1) if text.startswith("SCORES = "))
    assert (finding.check, finding.severity) == ("reads files by itself", "defect")
    assert finding.evidence == f"SCORES (line {line}) calls read_csv"


def test_a_file_read_by_a_function_that_is_called_is_found(timed: Dataset) -> None:
    (finding,) = findings(from_a_function, timed)
    assert finding.evidence.startswith("opened (line ")
    assert finding.evidence.endswith(" calls genfromtxt")


def test_constants_are_no_files(timed: Dataset) -> None:
    assert findings(from_the_history, timed) == []
