"""What every streamed learner has to keep, the registered ones and that of the tests: no author has to test it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import polars as pl
import pytest

from competitions import Dataset, get_competition, random_tables, take_in
from engine import Settings, capped_threads
from features import (
    Catalogue,
    Registry,
    StreamContext,
    bind_catalogue,
    compute_window,
    load_catalogue,
    streamed,
)
from features._aggregation import RowsByPosition
from features._audit import audit_window
from features._catalogue import FeatureColumn, PythonBody
from features._compute import columns_read, shown
from features.streamed_taste import StreamedTaste
from features.taste import columns_of
from tests.features.streaming import one_streamed, streamed_tables
from validation import Window, window_pairs

N_ROWS = 1500
SHIPPED = ("movielens", "vk2024")
FOLDER = TemporaryDirectory(
    prefix="samewise_logs_"
)  # of the logs that tests are listed by; gone with the process


@cache
def dataset_of(competition: str) -> Dataset:
    declared = get_competition(competition)
    tables = random_tables(declared, n_users=30, n_items=40, n_rows=N_ROWS, seed=2)
    folder = Path(FOLDER.name) / competition
    folder.mkdir()
    return take_in(declared, tables, folder, fingerprint=f"generated {competition}")


@dataclass(frozen=True)
class Case:
    """A learner, with one of its variants, on the log of a competition."""

    catalogue: Catalogue
    columns: tuple[FeatureColumn, ...]

    def __str__(self) -> str:
        body = self.columns[0].body
        variant = body.variant if isinstance(body, PythonBody) else ""
        parts = (self.columns[0].declaration.name, variant, self.catalogue.dataset.competition.name)
        return "-".join(part for part in parts if part)

    @property
    def window(self) -> Window:
        dataset = self.catalogue.dataset
        return Window(dataset.test_start, dataset.test_start, dataset.test_until)

    def pairs(self) -> pl.DataFrame:
        dataset = self.catalogue.dataset
        return shown(dataset, self.window, window_pairs(dataset, self.window))

    def rows(self) -> Sequence[pl.DataFrame]:
        """Chunks of the log: of some rows, of one, and of the rest."""
        dataset = self.catalogue.dataset
        rows = RowsByPosition(dataset, columns_read(dataset, self.columns[0]))
        n_rows = dataset.log.select(pl.len()).collect().item()
        edges = [0, n_rows // 3, n_rows // 3 + 1, 2 * n_rows // 3, n_rows]
        return [rows.read(begin, end) for begin, end in pairwise(edges)]

    def begun(self, folder: Path) -> Any:
        folder.mkdir(parents=True)
        body = self.columns[0].body
        arguments = body.arguments if isinstance(body, PythonBody) else None
        model = self.columns[0].declaration.body(**(arguments or {}))
        model.start(StreamContext(1, folder))
        return model


def following_taste() -> Registry:
    """Taste that has swept over the first rows of such small logs already and goes on from there."""
    registry, learner = Registry(), cast(Any, StreamedTaste)
    streamed(
        columns=columns_of("streamed_taste"), needs=lambda log, first: log.all, step=200,
        variants={"following": {"first": 300}}, registry=registry,
    )(learner.declaration.body)  # fmt: skip
    return registry


def cases() -> list[Case]:
    found = []
    for name in SHIPPED:
        dataset = dataset_of(name)
        for catalogue in (
            bind_catalogue(dataset, one_streamed()),
            bind_catalogue(dataset, following_taste()),
            bind_catalogue(dataset, streamed_tables()),
            load_catalogue(dataset),
        ):
            learners: dict[tuple[str, str], list[FeatureColumn]] = {}
            for column in catalogue.columns.values():
                if column.kind == "streamed" and isinstance(column.body, PythonBody):
                    learners.setdefault((column.declaration.name, column.body.variant), []).append(column)
            found += [Case(catalogue, tuple(columns)) for columns in learners.values()]
    return found


every_learner = pytest.mark.parametrize("case", cases(), ids=str)


def values_of(model: Any, pairs: pl.DataFrame) -> pl.DataFrame:
    """What a learner gives, in its own dtypes, so that equal means every bit."""
    values = model.transform(pairs)
    frame = values if isinstance(values, pl.DataFrame) else pl.DataFrame(dict(values))
    return frame if "pair_id" in frame.columns else frame.with_columns(pairs["pair_id"])


@every_learner
def test_what_is_saved_and_loaded_goes_on_as_if_it_had_not_been(case: Case, tmp_path: Path) -> None:
    """Bit for bit, and saving changes nothing."""
    pairs, chunks = case.pairs(), case.rows()
    with capped_threads(1):
        model = straight = case.begun(tmp_path / "straight")
        for chunk in chunks:
            straight.learn(chunk)
        expected = values_of(straight, pairs)
        model = case.begun(tmp_path / "first")
        for number, chunk in enumerate(chunks):
            model.learn(chunk)
            (tmp_path / f"saved {number}").mkdir()
            model.save(tmp_path / f"saved {number}")
            if number % 2:
                model = case.begun(tmp_path / f"own {number}")
                model.load(tmp_path / f"saved {number}")
        assert values_of(model, pairs).equals(expected)


@every_learner
def test_looking_changes_nothing_and_one_pair_alone_is_as_in_bulk(case: Case, tmp_path: Path) -> None:
    pairs, (first, *rest) = case.pairs(), case.rows()
    with capped_threads(1):
        looked_at, untouched = case.begun(tmp_path / "looked at"), case.begun(tmp_path / "untouched")
        looked_at.learn(first)
        untouched.learn(first)
        values_of(looked_at, pairs)
        for model in (looked_at, untouched):
            for chunk in rest:
                model.learn(chunk)
        bulk = values_of(looked_at, pairs)
        assert bulk.equals(values_of(untouched, pairs))
        assert values_of(looked_at, pairs.clear()).height == 0
        if case.columns[0].scope == "row":
            for at in range(0, pairs.height, 17):
                assert values_of(looked_at, pairs[at : at + 1]).equals(bulk[at : at + 1])


@every_learner
def test_threads_change_no_bit(case: Case, tmp_path: Path) -> None:
    found = []
    for n_threads in (1, 2):
        with capped_threads(n_threads):
            model = case.begun(tmp_path / str(n_threads))
            for chunk in case.rows():
                model.learn(chunk)
            if hasattr(model, "sweep"):
                model.sweep(iter(case.rows()))
            found.append(values_of(model, case.pairs()))
    assert found[0].equals(found[1])


@every_learner
def test_before_the_first_row_it_has_values(case: Case) -> None:
    start = Window(-10, -10, -9)
    pairs = case.pairs()
    names = [column.name for column in case.columns]
    found = compute_window(
        case.catalogue, start, names, pairs.select(window_pairs(case.catalogue.dataset, case.window).columns)
    )
    assert found.height == pairs.height


@every_learner
def test_it_passes_the_audit(case: Case, settings: Settings) -> None:
    dataset = case.catalogue.dataset
    half = dataset.test_start // 2
    window = Window(half, half, half + dataset.horizon)
    assert audit_window(case.catalogue, [window], [column.name for column in case.columns], settings) == []
