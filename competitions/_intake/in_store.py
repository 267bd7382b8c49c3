"""Keep the partitions of a log in the store: each an artifact of its own, so that a run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import dataframely as dy
import polars as pl

from competitions._competition import Competition
from competitions._intake.declared import rows_digest
from competitions._intake.parts import Part, read_part
from competitions._intake.streamed import Count, Cut, Piece, Write, counting, cut_pieces, writing
from engine import DataError, Json, Recipe, Settings, Store, Task, code_digest, run_tasks

COUNTS, STEM = "counts.json", "part"


@dataclass(frozen=True)
class InStore:
    """Keeps the counts of each file of the log, and each partition, as artifacts.

    They depend on the contents of their file, the place in it, the number of the first row, the sample of the users
    and the code that reads the log: so a log that grows by a file costs that file only. ``digests``: of the files'
    contents, by their names.
    """

    competition: Competition
    settings: Settings
    digests: Mapping[str, str]

    @property
    def cut(self) -> Cut:
        """How the settings cut a log."""
        return Cut(self.settings.partition_rows, self.settings.sample.users)

    def counts(self, file: str, count: Count) -> list[int]:
        """Return the kept rows of each piece of a file; counted once."""

        def build(folder: Path) -> None:
            (folder / COUNTS).write_text(json.dumps(count()), encoding="utf-8")

        recipe = self._recipe("rows", f"rows of {file}", file, {"piece_rows": self.cut.piece_rows})
        folder = Store(self.settings.store).make(recipe, build)
        return [int(n) for n in json.loads((folder / COUNTS).read_text(encoding="utf-8"))]

    def parts(self, pieces: Sequence[Piece], write: Write) -> tuple[Part, ...]:
        """Return the partitions; those that are missing are written one after the other."""
        store = Store(self.settings.store)
        recipes = [self._part_recipe(piece) for piece in pieces]
        found = [store.find(recipe) for recipe in recipes]
        if None not in found:
            return tuple(read_part(folder / STEM) for folder in found if folder is not None)

        def build(folder: Path, piece: Piece) -> None:
            write(piece, folder / STEM)

        tasks = [Task(recipe, build, (piece,)) for recipe, piece in zip(recipes, pieces, strict=True)]
        # In this process: Polars uses all its threads on one partition, and one at a time is in memory.
        here = self.settings.model_copy(update={"backend": "inline"})
        return tuple(read_part(folder / STEM) for folder in run_tasks("partitions", tasks, store, here))

    def _part_recipe(self, piece: Piece) -> Recipe:
        # Numbered, so that partitions of another size are what was made before under the same names: pruning may then
        # take them, and keeps the newest.
        name = f"{piece.file} part {piece.start // piece.n_raw}"
        place = {"start": piece.start, "n_raw": piece.n_raw, "first": piece.first, "n_rows": piece.n_rows}
        return self._recipe("partition", name, piece.file, place)

    def _recipe(self, kind: str, name: str, file: str, parts: Mapping[str, Json]) -> Recipe:
        if file not in self.digests:
            raise DataError(
                f"The log of competition {self.competition.name!r} lies in {file}, which its files() does not name.",
                expected=f"one of {', '.join(name for name in self.digests if name)}",
                todo="let files() return every path that read() reads: their contents are hashed",
            )
        share = self.settings.sample.users
        sample: dict[str, Json] = {"sample_users": share} if share < 1 else {}
        words = f"{self.competition.name}{f' ({share:g} of the users)' if share < 1 else ''}: {name}"
        made_by: dict[str, Json] = {
            "file": self.digests[file],
            "competition": rows_digest(self.competition),
            "intake": _streaming_code(),
            "polars": pl.__version__,
            "dataframely": dy.__version__,
        }
        return Recipe(kind, words, {**made_by, **sample, **parts})


@cache
def _streaming_code() -> str:
    return code_digest([counting, cut_pieces, writing]).digest
