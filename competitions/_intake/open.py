"""Open the data set of the settings: taken in once, then found in the store."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import cast

import dataframely as dy
import polars as pl

from competitions._competition import Competition
from competitions._dataset import Dataset, currently_opened
from competitions._discover import get_competition
from competitions._intake.author_code import input_files, read_tables
from competitions._intake.declared import data_digest
from competitions._intake.files import file_digests
from competitions._intake.in_store import InStore
from competitions._intake.parts import Part, parts_in
from competitions._intake.streamed import Piece, counting, cut_pieces, named_files, writing
from competitions._intake.take_in import dataset_in, meta_in, notes_in, write_data
from engine import DataError, Json, Recipe, Settings, Store, code_digest, console


def open_dataset(settings: Settings, *, rehash: bool = False) -> Dataset:
    """Return the data set of ``settings.competition``, taking it in first if its files or its code are new.

    ``settings.sample.users`` below 1 gives a smaller data set with a fingerprint of its own, of the users whose hash
    lies in the share; ``settings.sample.pairs`` the same data set with fewer pairs to score.

    Inside a block of ``opened`` it is the data set of that block. ``rehash``: read the input files even if their
    size and time stamp say that they are the same.

    Raises DataError if a file is missing or a table breaks its rules, ConfigError if there is no such competition.
    """
    current = currently_opened()
    if current is not None:
        return current
    competition = get_competition(settings.competition)
    recipe = intake_recipe(competition, settings, rehash=rehash)
    folder = _taken_in(competition, settings, recipe)
    dataset = dataset_in(folder, competition, _parts(competition, settings, recipe, folder))
    return replace(dataset, sample_pairs=settings.sample.pairs)


def solution(settings: Settings) -> pl.DataFrame:
    """Return the labels of the test window: ``pair_id`` UInt32, ``relevance`` Int8, sorted by ``pair_id``.

    Only what plays the leaderboard may call it: ``python -m submissions score`` and the benchmarks. Raises DataError
    if the competition does not know them.
    """
    path = _folder(settings) / "solution.parquet"
    if not path.exists():
        raise DataError(
            f"The outcomes of the test pairs of {settings.competition!r} are not known here.",
            expected="a competition that cuts its test window from the log, or gives a solution",
            todo="submit the file to the leaderboard, and `python -m submissions record` its score",
        )
    return pl.read_parquet(path)


def oracle(settings: Settings) -> pl.DataFrame | None:
    """Return the best possible score of each test pair: ``pair_id`` UInt32, ``score`` Float64, sorted by ``pair_id``.

    Known for simulated data only, otherwise None. As with ``solution``, only what plays the leaderboard may call it.
    """
    path = _folder(settings) / "oracle.parquet"
    return pl.read_parquet(path) if path.exists() else None


def taken_notes(settings: Settings) -> list[str]:
    """Return what the intake noted of the data set of the settings, as sentences."""
    return notes_in(_folder(settings))


def intake_recipe(competition: Competition, settings: Settings, *, rehash: bool = False) -> Recipe:
    """Everything that the data set is made from: the files' contents, the code that reads them, library versions.

    Its key is the fingerprint of the data. The size of partitions is no part of it: no value depends on it.
    """
    paths = input_files(competition, settings.data)
    files = file_digests(paths, settings.data, settings.store / "digests", rehash=rehash)
    share = settings.sample.users
    sample: dict[str, Json] = {"sample_users": share} if share < 1 else {}
    return Recipe(
        "data",
        competition.name + (f" ({share:g} of the users)" if sample else ""),
        {
            "files": dict(sorted(files.items())),
            "competition": data_digest(competition),
            "intake": _intake_code(),
            "polars": pl.__version__,
            "dataframely": dy.__version__,
            **sample,
        },
    )


@cache
def _intake_code() -> str:
    return code_digest(write_data).digest


def _folder(settings: Settings) -> Path:
    competition = get_competition(settings.competition)
    return _taken_in(competition, settings, intake_recipe(competition, settings))


def _taken_in(competition: Competition, settings: Settings, base: Recipe) -> Path:
    """Return the folder of the data set; its partitions lie there or, on a ``row`` clock, for themselves."""
    is_streamed = competition.clock.kind == "row"
    here = {} if is_streamed else {"partition_rows": settings.partition_rows}
    recipe = replace(base, parts={**base.parts, **here})

    def build(folder: Path) -> None:
        console.print(f"Taking in {competition.title}", highlight=False, markup=False)
        paths = ", ".join(map(str, input_files(competition, settings.data)))
        console.print(f"from {paths}", highlight=False, markup=False)
        console.print(f"Licence: {competition.licence}", highlight=False, markup=False, style="dim")
        tables, keeper = read_tables(competition, settings.data), _keeper(competition, settings, base)
        write_data(competition, tables, folder, keeper.cut, keeper, fingerprint=base.key, data=settings.data)
        for note in notes_in(folder):
            console.print(f"Note: {note}", highlight=False, markup=False)

    return Store(settings.store).make(recipe, build)


def _keeper(competition: Competition, settings: Settings, recipe: Recipe) -> InStore:
    # A log that names no files of its own may depend on all of them.
    files = cast("dict[str, str]", recipe.parts["files"])
    return InStore(competition, settings, {**files, "": Recipe("files", "", files).key})


def _parts(competition: Competition, settings: Settings, recipe: Recipe, folder: Path) -> tuple[Part, ...]:
    """Return the partitions of the data set in a folder of the store; those that are gone are written again."""
    meta = meta_in(folder)
    if not meta["log_files"]:
        return parts_in(folder / "log")

    @cache
    def files() -> dict[str, pl.LazyFrame]:
        return named_files(read_tables(competition, settings.data), settings.data)

    keeper = _keeper(competition, settings, recipe)

    def count(name: str) -> list[int]:
        return counting(competition, name, files()[name], keeper.cut)()

    def write(piece: Piece, stem: Path) -> None:
        writing(competition, files(), keeper.cut)(piece, stem)

    counts = {name: keeper.counts(name, partial(count, name)) for name in meta["log_files"]}
    return keeper.parts(cut_pieces(counts, keeper.cut, until=meta["log_rows"]), write)
