"""What was done before, as rows of embedding tables and numbers: one history a group, the newest place last."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from engine.nets.inputs import Scaler, Vocabulary
from engine.nets.rows import Numbers


@dataclass(frozen=True)
class Histories:
    """Histories of some groups, ``length`` places each.

    ``rows``: Int64 (n, length, n_ids), rows of tables, 0 where nothing is known. ``numbers``: (n, length, n_numbers).
    ``is_there``: Boolean (n, length), false before the first row. ``since``: Float64 (n, length), units of the
    clock from each place to what comes after the newest one, NaN where unknown; None = nobody asks for it.
    """

    rows: Tensor
    numbers: Tensor
    is_there: Tensor
    since: Tensor | None = None

    def __getitem__(self, groups: Tensor) -> Histories:
        since = None if self.since is None else self.since[groups]
        return Histories(self.rows[groups], self.numbers[groups], self.is_there[groups], since)

    def double(self) -> Histories:
        """Numbers as Float64."""
        return replace(self, numbers=self.numbers.double())


@dataclass(frozen=True)
class Vectors:
    """A column of arrays (n,) that hold a vector of each place, one after the other, and the scales of its numbers."""

    name: str
    scaler: Scaler

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return len(self.scaler.mean)

    def columns(self, arrays: npt.NDArray[np.float32]) -> Iterator[Numbers]:
        """Give the numbers of vectors (n, length * width) one after the other: Float32 (n * length,), NaN = unknown."""
        for at in range(self.width):
            yield arrays[:, at :: self.width].ravel()


@dataclass(frozen=True)
class HistoryEncoder:
    """Turns columns of arrays into histories.

    ``ids``: column -> vocabulary, in the order of the tables; ``numeric``: the columns that are numbers; of sizes that
    span several powers of ten, such as gaps, the logarithm is taken. ``gaps``: the one of them that holds units of the
    clock from each place to the next, which ``Histories.since`` adds up; None = none. ``vectors``: what each place has
    beside that, behind the other numbers; None = nothing.
    """

    ids: Mapping[str, Vocabulary]
    numeric: tuple[str, ...]
    scaler: Scaler
    length: int
    gaps: str | None = None
    vectors: Vectors | None = None

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, pl.Series],
        ids: Mapping[str, Vocabulary],
        numeric: Sequence[str],
        gaps: str | None = None,
        vectors: Vectors | None = None,
    ) -> HistoryEncoder:
        """Learn the scales of the numbers from arrays (n,) of the train rows' groups; those of vectors are given."""
        scaler = Scaler.of(_logarithm(_flat(arrays[name])[0].to_numpy()) for name in numeric)
        widths = dict.fromkeys([*ids, *numeric], 1)
        if vectors is not None:
            widths[vectors.name] = vectors.width
        length = next((_length(arrays[name]) // width for name, width in widths.items()), 0)
        return cls(ids, tuple(numeric), scaler, length, gaps, vectors)

    @property
    def n_numbers(self) -> int:
        """Width of the numbers of a place."""
        return self.scaler.n_outputs + (0 if self.vectors is None else self.vectors.scaler.n_outputs)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that are read."""
        return (*self.ids, *self.numeric, *([] if self.vectors is None else [self.vectors.name]))

    def histories(self, arrays: Mapping[str, pl.Series], n: int) -> Histories:
        """Encode arrays (n,), one a group; a null array is a history without rows."""
        length = self.length
        is_there = np.zeros((n, length), dtype=np.bool_)
        rows = np.zeros((n, length, len(self.ids)), dtype=np.int64)
        for i, (name, known) in enumerate(self.ids.items()):
            values, has = _flat(arrays[name])
            rows[has, :, i] = known.rows(values).reshape(-1, length)
            is_there[has] |= values.is_not_null().to_numpy().reshape(-1, length)
        columns = []
        for name in self.numeric:
            values, has = _flat(arrays[name])
            column = np.full((n, length), np.nan, dtype=np.float32)
            column[has] = _logarithm(values.to_numpy()).reshape(-1, length)
            is_there |= ~np.isnan(column)
            columns.append(column.ravel())
        given = self.scaler.apply(columns)
        if self.vectors is not None:
            vectors = arrays[self.vectors.name].to_numpy()
            is_there |= ~np.isnan(vectors).reshape(n, length, self.vectors.width).all(axis=2)
            given = chain(given, self.vectors.scaler.apply(self.vectors.columns(vectors)))
        numbers = np.zeros((n * length, self.n_numbers), dtype=np.float32)
        for i, scaled in enumerate(given):
            numbers[:, i] = scaled
        return Histories(
            torch.from_numpy(rows),
            torch.from_numpy(numbers.reshape(n, length, self.n_numbers) * is_there[:, :, None]),
            torch.from_numpy(is_there),
            None if self.gaps is None else self._since(arrays[self.gaps]),
        )

    def _since(self, gaps: pl.Series) -> Tensor:
        """Gaps added up from the newest place on: Float64 (n, length), exact for whole numbers below 2^53."""
        values, has = _flat(gaps)
        since = np.full((len(gaps), self.length), np.nan)
        newest_first = values.cast(pl.Float64).to_numpy().reshape(-1, self.length)[:, ::-1]
        since[has] = newest_first.cumsum(axis=1)[:, ::-1]
        return torch.from_numpy(since)

    def save(self, folder: Path) -> None:
        """Write ``histories.json``, an ``.npz`` file a scaler and one Parquet file a vocabulary."""
        facts = {"ids": list(self.ids), "numeric": self.numeric, "length": self.length, "gaps": self.gaps}
        facts["vectors"] = None if self.vectors is None else self.vectors.name
        (folder / "histories.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        self.scaler.save(folder / "history_scaler.npz")
        if self.vectors is not None:
            self.vectors.scaler.save(folder / "history_vectors.npz")
        for i, known in enumerate(self.ids.values()):
            known.values.to_frame().write_parquet(folder / f"history_vocabulary_{i}.parquet")

    @classmethod
    def load(cls, folder: Path) -> HistoryEncoder:
        """Read what ``save`` wrote."""
        facts = json.loads((folder / "histories.json").read_text(encoding="utf-8"))
        scaler = Scaler.load(folder / "history_scaler.npz")
        name = facts.get("vectors")
        vectors = None if name is None else Vectors(name, Scaler.load(folder / "history_vectors.npz"))
        ids = {
            name: Vocabulary(pl.read_parquet(folder / f"history_vocabulary_{i}.parquet")["value"])
            for i, name in enumerate(facts["ids"])
        }
        return cls(ids, tuple(facts["numeric"]), scaler, facts["length"], facts.get("gaps"), vectors)


def _length(arrays: pl.Series) -> int:
    dtype = arrays.dtype
    return dtype.size if isinstance(dtype, pl.Array) else 0


def _flat(arrays: pl.Series) -> tuple[pl.Series, npt.NDArray[np.bool_]]:
    """Values of the arrays that are not null one after the other, and which arrays these are."""
    has = arrays.is_not_null()
    return arrays.filter(has).arr.explode(empty_as_null=True), has.to_numpy()


def _logarithm(values: npt.NDArray[np.generic]) -> Numbers:
    """Bring sizes near each other: ``sign(x) log(1 + |x|)``, NaN = unknown."""
    known = values.astype(np.float32)
    taken: Numbers = np.sign(known) * np.log1p(np.abs(known))
    return taken
