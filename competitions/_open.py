"""Open the data set of the settings: taken in once, then found in the store."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import dataframely as dy
import polars as pl

from competitions._author_code import input_files, read_tables
from competitions._competition import Competition, Metric, SubmissionFormat
from competitions._dataset import Dataset, currently_opened
from competitions._discover import get_competition
from competitions._files import file_digests
from competitions._intake import dataset_in, notes_in, take_in
from engine import DataError, Recipe, Settings, Store, code_digest, console


def open_dataset(settings: Settings, *, rehash: bool = False) -> Dataset:
    """Return the data set of ``settings.competition``, taking it in first if its files or its code are new.

    Inside a block of ``opened`` it is the data set of that block. ``rehash``: read the input files even if their
    size and time stamp say that they are the same.

    Raises DataError if a file is missing or a table breaks its rules, ConfigError if there is no such competition.
    """
    current = currently_opened()
    if current is not None:
        return current
    competition = get_competition(settings.competition)
    return dataset_in(_taken_in(competition, settings, rehash=rehash), competition)


def solution(settings: Settings) -> pl.DataFrame:
    """Return the labels of the test window: ``pair_id`` UInt32, ``relevance`` Int8, sorted by ``pair_id``.

    Only what plays the leaderboard may call it: ``python -m submissions score`` and the benchmarks. Raises DataError
    if the competition does not know them.
    """
    competition = get_competition(settings.competition)
    path = _taken_in(competition, settings) / "solution.parquet"
    if not path.exists():
        raise DataError(
            f"The outcomes of the test pairs of {competition.name!r} are not known here.",
            expected="a competition that cuts its test window from the log, or gives a solution",
            todo="submit the file to the leaderboard, and `python -m submissions record` its score",
        )
    return pl.read_parquet(path)


def taken_notes(settings: Settings) -> list[str]:
    """Return what the intake noted of the data set of the settings, as sentences."""
    competition = get_competition(settings.competition)
    return notes_in(_taken_in(competition, settings))


def intake_recipe(competition: Competition, settings: Settings, *, rehash: bool = False) -> Recipe:
    """Everything that the data set is made from: the files' contents, the code that reads them, library versions."""
    paths = input_files(competition, settings.data)
    files = file_digests(paths, settings.data, settings.store / "digests", rehash=rehash)
    return Recipe(
        "data",
        competition.name,
        {
            "files": dict(sorted(files.items())),
            "competition": _declared(competition),
            "intake": _intake_code(),
            "polars": pl.__version__,
            "dataframely": dy.__version__,
        },
    )


@cache
def _intake_code() -> str:
    return code_digest(take_in).digest


def _declared(competition: Competition) -> str:
    """Digest of what the competition's data depend on: its code and values, but no words for people.

    Metric and submission come after the data: what reads them has them in its own recipes.
    """
    known = _known_digests.get(id(competition))
    if known is None or known[0] is not competition:
        data_only = replace(
            competition, title="", licence="", metric=Metric(""), submission=SubmissionFormat({})
        )
        digest = code_digest(data_only).digest
        known = _known_digests[id(competition)] = (competition, digest)
    return known[1]


# Code does not change while a process runs, and digesting it takes longer than opening the data. The competition is
# kept beside its digest, so that no other object can get its id.
_known_digests: dict[int, tuple[Competition, str]] = {}


def _taken_in(competition: Competition, settings: Settings, *, rehash: bool = False) -> Path:
    recipe = intake_recipe(competition, settings, rehash=rehash)

    def build(folder: Path) -> None:
        console.print(f"Taking in {competition.title}", highlight=False, markup=False)
        paths = ", ".join(map(str, input_files(competition, settings.data)))
        console.print(f"from {paths}", highlight=False, markup=False)
        console.print(f"Licence: {competition.licence}", highlight=False, markup=False, style="dim")
        take_in(competition, read_tables(competition, settings.data), folder, fingerprint=recipe.key)
        for note in notes_in(folder):
            console.print(f"Note: {note}", highlight=False, markup=False)

    return Store(settings.store).make(recipe, build)
