"""Open the data set of the settings: taken in once, then found in the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

import dataframely as dy
import polars as pl

from competitions._competition import Competition, Metric, SubmissionFormat, every_row
from competitions._dataset import Dataset, currently_opened
from competitions._discover import get_competition
from competitions._intake.author_code import input_files, read_tables
from competitions._intake.fingerprints import file_digests
from competitions._intake.partitions import Cut, RawLog, RowRange, Write, partitions_in
from competitions._intake.take_in import dataset_in, notes_in, ranges_in, write_data
from competitions._intake.test_window import keys_of
from competitions.simulator import ORDER_BLIND, STATISTICIAN
from engine import (
    DataError,
    Json,
    Recipe,
    Settings,
    Store,
    Task,
    cached_digest,
    code_digest,
    console,
    run_tasks,
)

PARTITION = "part.parquet"  # of an artifact that is one partition


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
    source = _Source.of(settings, rehash=rehash)
    folder = source.taken_in()
    dataset = dataset_in(folder, source.competition, source.partitions(folder))
    return replace(dataset, sample_pairs=settings.sample.pairs)


def solution(settings: Settings) -> pl.DataFrame:
    """Return the labels of the test window: ``pair_id`` UInt32, ``relevance`` Int8, sorted by ``pair_id``.

    Only what plays the leaderboard may call it: ``python -m submissions score`` and the benchmarks. Raises DataError
    if the competition does not know them.
    """
    _refuse_features("the labels of the test window")
    path = _Source.of(settings).taken_in() / "solution.parquet"
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
    _refuse_features("the best possible scores")
    path = _Source.of(settings).taken_in() / "oracle.parquet"
    return pl.read_parquet(path) if path.exists() else None


def statistician(settings: Settings) -> pl.DataFrame | None:
    """Return the statistician's score of each test pair, as ``oracle`` does its own; None if there is none.

    ``python -m competitions ceiling`` writes it beside simulated files. It is no input: no fingerprint changes with it.
    Raises DataError if it is of other pairs.
    """
    todo = f"make it anew: python -m competitions ceiling {settings.competition} --data {settings.data}"
    return _beside(settings, STATISTICIAN, todo)


def order_blind(settings: Settings) -> pl.DataFrame | None:
    """Return the score of each test pair by an oracle that knows no effect of order, as ``oracle`` does its own.

    None but for files that were simulated with such effects. It is no input. Raises DataError if it is of other pairs.
    """
    return _beside(settings, ORDER_BLIND, "simulate the files anew")


def _beside(settings: Settings, name: str, todo: str) -> pl.DataFrame | None:
    """Return scores that lie beside the data: ``pair_id``, ``score``; None if they do not."""
    _refuse_features(f"the scores in {name}")
    path = settings.data / name
    if not path.is_file():
        return None
    dataset = open_dataset(settings)
    keys = [dataset.competition.user, dataset.competition.item]
    pairs = dataset.test_pairs.select("pair_id", *keys).collect()
    try:
        scores = pairs.join(pl.read_parquet(path), on=keys, how="left", validate="m:1").sort("pair_id")
        scores = scores.select("pair_id", pl.col("score").cast(pl.Float64))
    except (pl.exceptions.PolarsError, OSError) as error:
        said = str(error).split("\n")[0]
        raise DataError(
            f"{path} cannot be read: {said}",
            expected=f"{', '.join(keys)} and score, once for each pair",
            todo=todo,
        ) from error
    if scores["score"].null_count():
        raise DataError(
            f"{path} lacks test pairs of the data beside it.",
            expected="a score of every pair",
            todo=todo,
        )
    return scores


def _refuse_features(what: str) -> None:
    """Raise DataError within a block of ``opened``, which is where features are computed."""
    if currently_opened() is not None:
        raise DataError(
            f"A feature asks for {what}.",
            expected="features that read history, window and pairs",
            todo="leave it out: what is known only afterwards cannot be had when a pair is scored",
        )


def taken_notes(settings: Settings) -> list[str]:
    """Return what the intake noted of the data set of the settings, as sentences."""
    return notes_in(_Source.of(settings).taken_in())


@dataclass(frozen=True)
class _Source:
    """What a data set is made from: the competition of the settings, and the digests of its files' contents."""

    competition: Competition
    settings: Settings
    digests: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings, *, rehash: bool = False) -> _Source:
        competition = get_competition(settings.competition)
        paths = input_files(competition, settings.data)
        digests = file_digests(paths, settings.data, settings.store / "digests", rehash=rehash)
        return cls(competition, settings, dict(sorted(digests.items())))

    @property
    def cut(self) -> Cut:
        """How the settings cut a log."""
        return Cut(self.settings.partition_rows, self.settings.sample.users)

    def taken_in(self) -> Path:
        """Return the folder of the data set; its partitions lie there or, on a ``row`` clock, for themselves."""
        c, data = self.competition, self.settings.data
        code = {"competition": _data_digest(c), "intake": cached_digest(write_data)}
        whole = self._recipe("data", "", {"files": dict(self.digests), **code})

        def build(folder: Path) -> None:
            paths = ", ".join(map(str, input_files(c, data)))
            for line in (f"Taking in {c.title}", f"from {paths}"):
                console.print(line, highlight=False)
            console.print(f"Licence: {c.licence}", highlight=False, style="dim")
            tables = read_tables(c, data)
            write_data(c, tables, folder, self.cut, self.keep, fingerprint=whole.key, data=data)
            for note in notes_in(folder):
                console.print(f"Note: {note}", highlight=False)

        # What no value depends on stays out of the fingerprint: the size of partitions, how a submission names pairs.
        apart: dict[str, Json] = {
            "partition_rows": self.cut.partition_rows,
            "named_by": [*keys_of(c), c.submission.ordered],
        }
        sized = replace(whole, parts={**whole.parts, **apart})
        return Store(self.settings.store).make(sized, build)

    def partitions(self, folder: Path) -> Sequence[Path]:
        """Return the partitions of the data set in a folder; those that are gone are written again."""
        ranges = ranges_in(folder)
        if ranges is None:
            return partitions_in(folder / "log")

        @cache
        def log() -> RawLog:
            tables = read_tables(self.competition, self.settings.data)
            return RawLog.of(self.competition, tables, self.cut, self.settings.data)

        return self.keep(ranges, lambda wanted, path: log().write(wanted, path))

    def keep(self, ranges: Sequence[RowRange], write: Write) -> Sequence[Path]:
        """Keep each partition as an artifact of its own; those that are missing are written one after the other.

        They depend on the contents of their file, the place in it, the number of the first row, the sample of the
        users and the code that reads the log: so a log that grows by a file costs that file only.
        """

        def build(folder: Path, wanted: RowRange) -> None:
            write(wanted, folder / PARTITION)

        store = Store(self.settings.store)
        tasks = [Task(self._partition(wanted), build, (wanted,)) for wanted in ranges]
        folders = [folder for task in tasks if (folder := store.find(task.recipe)) is not None]
        if len(folders) < len(tasks):
            # In this process: Polars uses all its threads on one partition, and one at a time is in memory.
            here = self.settings.model_copy(update={"backend": "inline"})
            folders = run_tasks("partitions", tasks, store, here)
        return [folder / PARTITION for folder in folders]

    def _partition(self, wanted: RowRange) -> Recipe:
        # A log that names no files of its own may depend on all of them.
        every = Recipe("files", "", {"files": dict(self.digests)}).key
        if wanted.file and wanted.file not in self.digests:
            raise DataError(
                f"The log of competition {self.competition.name!r} lies in {wanted.file}, which its files() does not "
                "name.",
                expected=f"one of {', '.join(self.digests)}",
                todo="let files() return every path that read() reads: their contents are hashed",
            )
        # Numbered, so that partitions of another size are what was made before under the same names: pruning may then
        # take them, and keeps the newest.
        name = f": {wanted.file} part {wanted.start // wanted.n_raw}"
        made_by = {
            "file": self.digests.get(wanted.file, every),
            "competition": _rows_digest(self.competition),
        }
        return self._recipe("partition", name, {**asdict(wanted), **made_by, "intake": cached_digest(RawLog)})

    def _recipe(self, kind: str, name: str, parts: Mapping[str, Json]) -> Recipe:
        """Return a recipe with what every value depends on: versions of libraries, the sample of the users."""
        share = self.settings.sample.users
        sample: dict[str, Json] = {"sample_users": share} if share < 1 else {}
        words = f"{self.competition.name}{f' ({share:g} of the users)' if sample else ''}{name}"
        versions = {"polars": pl.__version__, "dataframely": dy.__version__}
        return Recipe(kind, words, {**parts, **versions, **sample})


# Code does not change while a process runs, and digesting it takes longer than opening the data.
@cache
def _data_digest(competition: Competition) -> str:
    """Digest of what the competition's data depend on: its code and values, but no words for people.

    Metric, submission and the number of train windows come after the data: what reads them has them in its own
    recipes.
    """
    return code_digest(_of_data(competition))


@cache
def _rows_digest(competition: Competition) -> str:
    """Digest of what the rows of its log depend on: not on which of them are pairs, nor on the windows."""
    rows = replace(_of_data(competition), select_pairs=every_row, horizon=1, gap=0, source=None, remarks={})
    return code_digest(rows)


def _of_data(competition: Competition) -> Competition:
    no_metric, no_file = Metric(""), SubmissionFormat({})
    return replace(competition, title="", licence="", metric=no_metric, submission=no_file, n_train_windows=1)
