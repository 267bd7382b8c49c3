"""Features that read files by themselves are found by their code: of the body, and of all that it reaches."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import features
from competitions import Dataset
from features import Registry, Window, bind_catalogue, fitted, table
from features._audit import Finding, reads_by_itself

CSV = "item_id,score\n1,0.5\n"
SCORES = pl.read_csv(StringIO(CSV))
RENAMED = SCORES.rename({"score": "better"})
FACTOR = float(np.sqrt(2.0))

# A package of helpers, as features/toolkit is, behind a face whose imports are written for type checkers alone.
KIT = {
    "__init__": """
from typing import TYPE_CHECKING
from engine import lazy_face
if TYPE_CHECKING:
    from features.kit.scores import FACTOR, TABLE as SCORES, Scores, opened as taken, scored, with_file
__all__ = ["FACTOR", "SCORES", "Scores", "scored", "taken", "with_file"]
lazy_face(__name__)
""",
    "scores": """
import functools, io
import numpy as np
import polars as pl
from features import Registry, fitted, table
FACTOR, CSV = 2.0, "item_id,score"
with io.StringIO(CSV) as file:
    TABLE = pl.read_csv(file)
def opened():
    return np.genfromtxt("scores.csv")
def with_file(function):
    @functools.wraps(function)
    def around(*arguments):
        np.fromfile("scores.bin")
        return function(*arguments)
    return around
@table(key="item_id", columns={"score": pl.Float32}, registry=Registry())
def scored(history, window):
    'Scores of a file.'
    return pl.scan_parquet("scores.parquet")
@fitted(columns={"score": pl.Float32}, registry=Registry())
class Scores:
    'Scores of a file.'
    MOST = np.load("most.npy") if FACTOR < 0 else 1
    @staticmethod
    def most():
        return np.memmap("most.bin")
    def fit(self, history, window):
        self.scores = np.loadtxt("scores.txt")
""",
    "family": """
import polars as pl
from features import kit
from features.kit import FACTOR, SCORES as BEST, Scores, scored, taken, with_file
def constant(history, window): return BEST.lazy()
def function(history, window): return taken()
def package(history, window): return kit.taken()
def own_import(history, window):
    from features.kit import taken as other
    return other()
def handle(history, window): return scored(history, window)
@with_file
def decorator(history, window): return history
class Derived(Scores):
    def transform(self, pairs): return pairs.select("pair_id")
def number(history, window): return history.select(pl.col("stars") * FACTOR)
""",
}


def from_the_top(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    return RENAMED.lazy().rename({"better": "score"})


def from_a_function(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    return opened()


def opened() -> pl.LazyFrame:
    return pl.LazyFrame(np.genfromtxt(Path("scores.csv"), delimiter=","))


def from_the_history(history: pl.LazyFrame, window: Window) -> pl.LazyFrame:
    return history.group_by("item_id").agg(score=(pl.col("stars").mean() * FACTOR).cast(pl.Float32))


def findings(body: Any, dataset: Dataset) -> list[Finding]:
    registry, columns = Registry(), {"score": pl.Float32}
    body.__doc__ = "Scores; null for others."
    if isinstance(body, type):
        fitted(columns=columns, registry=registry)(body)
    else:
        table(key="item_id", columns=columns, registry=registry)(body)
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


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A family file whose helpers are in a package of the room."""
    (tmp_path / "kit").mkdir()
    for name, text in KIT.items():
        (tmp_path / "kit" / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.setattr(features, "__path__", [*features.__path__, str(tmp_path)])
    invalidate_caches()
    yield import_module("features.kit.family")
    for name in [name for name in sys.modules if name.startswith("features.kit")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("constant", "TABLE (line 7) calls read_csv"),
        ("function", "opened (line 9) calls genfromtxt"),
        ("package", "opened (line 9) calls genfromtxt"),
        ("own_import", "opened (line 9) calls genfromtxt"),
        ("handle", "scored (line 17) calls scan_parquet"),
        ("decorator", "with_file.<locals>.around (line 12) calls fromfile"),
        ("Derived", "Scores.fit (line 28) calls loadtxt"),
        ("Derived", "Scores.most (line 25) calls memmap"),
        ("Derived", "Scores (line 22) calls load"),
    ],
)
def test_no_helper_behind_a_face_or_a_handle_escapes(
    name: str, evidence: str, family: Any, timed: Dataset
) -> None:
    (finding,) = findings(getattr(family, name), timed)
    assert evidence in finding.evidence.split("; ")


def test_helpers_that_read_nothing_are_let_pass(family: Any, timed: Dataset) -> None:
    assert findings(family.number, timed) == []
