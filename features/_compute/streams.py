"""Run ``@streamed`` bodies: through the log once, and looked at where each window's history ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import polars as pl

from competitions import Dataset
from engine import Recipe, SamewiseError, Store, TableError, capped_threads, digest_json
from features._aggregation import LIMITS, Limits, RowsByPosition, digest_of_tables
from features._catalogue import Catalogue, FeatureColumn
from features._compute.bodies import as_frame, by_id, checked, handed_to, in_order_of, python_body
from features._compute.memory import rows_before_each
from features._declare import FeatureError, StreamContext
from features._storage import SEED, checkpoint_recipe
from validation import Window

_TODO = {
    "": "mend it; run with --debug to see the traceback",
    "load": "mend it; states that cannot be read any more go by: python -m engine store prune --kind checkpoint --yes",
}


class Checkpoints(Protocol):
    """States of one learner by the position in the log that they were saved at."""

    def find(self, position: int) -> Path | None:
        """Folder of the state that was saved there, if one was."""
        ...

    def put(self, position: int, save: Callable[[Path], None]) -> None:
        """Keep what ``save`` writes into the empty folder that it is given."""
        ...

    def discard(self, position: int) -> None:
        """Remove a state."""
        ...


class Stream:
    """One learner on its way through the log.

    At most one instance of it is in memory. What is asked for in the order of the cutoffs costs the way once; which
    checkpoints there are changes no value.

    Parameters
    ----------
    column
        Any of the columns that the learner gives.
    windows
        Those that values will be asked for.
    scratch
        Folder for the instances' own folders.
    """

    def __init__(
        self,
        dataset: Dataset,
        column: FeatureColumn,
        windows: Iterable[Window],
        checkpoints: Checkpoints,
        scratch: Path,
        limits: Limits = LIMITS,
    ) -> None:
        self.dataset, self.column, self.checkpoints = dataset, column, checkpoints
        self.scratch, self.limits = scratch, limits
        self.step: int = column.declaration.options["step"]
        self.rows = RowsByPosition(dataset, columns_read(dataset, column))
        self.ends = rows_before_each(dataset, [window.cutoff for window in windows])

    def values(self, window: Window, columns: Sequence[FeatureColumn], pairs: pl.DataFrame) -> pl.DataFrame:
        """Give the columns of a window's pairs, in the order of the pairs: ``pair_id`` and their full names."""
        end = self.ends[window.cutoff]
        begin = end - end % self.step
        ordered = by_id(pairs)
        with capped_threads(1):
            self._reach(begin)
            with self._instance(begin) as learner:
                if begin < end:
                    self._learn(learner, begin, end)
                for _ in range(self.column.declaration.options["refine"] if end else 0):
                    with self._named("sweep", f"in window {window.name}"):
                        learner.sweep(self._chunks(end))
                with self._named("transform", f"in window {window.name}"):
                    given = as_frame(self.column, learner.transform(ordered), ordered["pair_id"])
                    values = checked(given, columns, ordered)
        return in_order_of(pairs, values)

    def _reach(self, position: int) -> None:
        """Learn up to a position from the last checkpoint before it, and save there, unless that is done already."""
        last = next(p for p in range(position, -1, -self.step) if p == 0 or self.checkpoints.find(p))
        if last == position:
            return
        since, passing = time.perf_counter(), 0
        with self._instance(last) as learner:
            for begin in range(last, position, self.step):
                at = begin + self.step
                self._learn(learner, begin, at)
                is_late = time.perf_counter() - since > self.limits.checkpoint_seconds
                if is_late or at == position:
                    with self._named("save", f"at row {at:,}"):
                        self.checkpoints.put(at, learner.save)
                    if passing:
                        self.checkpoints.discard(passing)
                    since, passing = time.perf_counter(), at

    @contextmanager
    def _instance(self, position: int) -> Iterator[Any]:
        """An instance as it is at the position of a checkpoint, or at the first row, with a folder of its own."""
        body = self.column.declaration.body
        with TemporaryDirectory(dir=self.scratch) as folder:
            with self._named("start", "before the first row"):
                learner = body(**(python_body(self.column).arguments or {}))
                learner.start(StreamContext(SEED, Path(folder)))
            if position:
                saved = self.checkpoints.find(position)
                with self._named("load", f"at row {position:,}"):
                    learner.load(saved)
            yield learner

    def _learn(self, learner: Any, begin: int, end: int) -> None:
        rows = self._read(begin, end)
        with self._named("learn", f"at rows {begin:,} to {end:,}"):
            learner.learn(rows)

    def _chunks(self, end: int) -> Iterator[pl.DataFrame]:
        for begin in range(0, end, self.step):
            yield self._read(begin, min(begin + self.step, end))

    def _read(self, begin: int, end: int) -> pl.DataFrame:
        rows, body = self.rows.read(begin, end), python_body(self.column)
        return rows.with_columns(handed_to(body, name) for name in rows.columns if name in body.handed)

    @contextmanager
    def _named(self, method: str, where: str) -> Iterator[None]:
        """Let what a method raises be an error that names the feature, the method and how far it was."""
        try:
            with self.column.declaration.announced():
                yield
        except TableError as error:  # it knows its table and what to do, but not whose table it is
            found = f"{self.column.declaration} failed in {method} {where}: {error.found}"
            raise TableError(found, expected=error.expected, todo=error.todo) from error
        except SamewiseError:
            raise
        except (Exception, SystemExit) as error:  # libraries with a command line end the process
            raise FeatureError(
                f"{self.column.declaration} failed in {method} {where}: {type(error).__name__}: {error}",
                todo=_TODO["load" if method == "load" else ""],
            ) from error


def learner_name(column: FeatureColumn) -> str:
    """Name the learner behind a column, with its variant: what is one job, and one at a time."""
    return f"{column.declaration.name} {python_body(column).variant}".strip()


def columns_read(dataset: Dataset, column: FeatureColumn) -> frozenset[str]:
    """Name what a learner is given of the history: the clock and what it needs, or all but ``row``."""
    needs = python_body(column).needs
    return frozenset(needs or set(dataset.history_schema) - {"row"}) | {"clock"}


def streamed_values(
    dataset: Dataset, columns: Sequence[FeatureColumn], pairs: Mapping[Window, pl.DataFrame]
) -> Iterator[tuple[Window, pl.DataFrame]]:
    """Give the columns of one learner for the pairs of windows, in their order; nothing is stored."""
    with TemporaryDirectory() as states, TemporaryDirectory() as scratch:
        stream = Stream(dataset, columns[0], pairs, CheckpointFolders(Path(states)), Path(scratch))
        for window in sorted(pairs):
            yield window, stream.values(window, columns, pairs[window])


class CheckpointFolders:
    """Checkpoints in a folder, for as long as it is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, position: int) -> Path | None:
        """Folder of the state that was saved there, if one was."""
        found = self.folder / str(position)
        return found if found.exists() else None

    def put(self, position: int, save: Callable[[Path], None]) -> None:
        """Let ``save`` write into a folder of its own."""
        (self.folder / str(position)).mkdir()
        save(self.folder / str(position))

    def discard(self, position: int) -> None:
        """Leave it: all goes with the folder."""


class StoredCheckpoints:
    """Checkpoints in the store, named by the rows that they were learned from: those of a log that grew still hold."""

    def __init__(self, store: Store, catalogue: Catalogue, column: FeatureColumn) -> None:
        self.store, self.catalogue, self.column = store, catalogue, column

    def find(self, position: int) -> Path | None:
        """Folder of the artifact; None if it is not there, or damaged."""
        return self.store.find(self.recipe(position))

    def put(self, position: int, save: Callable[[Path], None]) -> None:
        """Write an artifact, whole or not at all."""
        self.store.put(self.recipe(position), save)

    def discard(self, position: int) -> None:
        """Remove an artifact."""
        self.store.discard(self.recipe(position))

    def recipe(self, position: int) -> Recipe:
        """Say what the state at a position is made of."""
        partitions = next(digest for n_rows, digest in self._partitions if n_rows >= position)
        return checkpoint_recipe(self.catalogue, self.column, position, partitions, self._attributes)

    @cached_property
    def _partitions(self) -> Sequence[tuple[int, str]]:
        """Rows up to the end of each partition, and a digest of all partitions up to there."""
        n_rows, digests, found = 0, list[str](), []
        for partition in self.catalogue.dataset.partitions:
            n_rows += partition.n_rows or 0
            digests.append(partition.digest)
            found.append((n_rows, digest_json([*digests])))
        return found

    @cached_property
    def _attributes(self) -> str:
        """Digest of the columns of users and items that are read."""
        dataset = self.catalogue.dataset
        read, c, tables = columns_read(dataset, self.column), dataset.competition, []
        for table, key in ((dataset.users, c.user), (dataset.items, c.item)):
            names = [name for name in table.collect_schema().names() if name in read and name != key]
            tables += [table.select(key, *names)] if names else []
        return digest_of_tables(tables)


def checkpoints_of(store: Store, catalogue: Catalogue, column: FeatureColumn, scratch: Path) -> Checkpoints:
    """Where a learner's checkpoints are: in the store, unless the log is only in memory, of which nothing is stored."""
    if all(partition.digest and partition.n_rows is not None for partition in catalogue.dataset.partitions):
        return StoredCheckpoints(store, catalogue, column)
    folder = scratch / "checkpoints"
    folder.mkdir()
    return CheckpointFolders(folder)
