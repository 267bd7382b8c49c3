"""What a net reads of a row: rows of embedding tables, and numbers near zero."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.nets.rows import NumberRows, Numbers, gather_rows

Rows = npt.NDArray[np.int64]

# Standard deviations beyond which a number is cut: one wild count must not drown the other inputs.
_LIMIT = 4.0


class Frame(Protocol):
    """Rows whose columns are read one at a time: a data frame, or one that reads them from files."""

    @property
    def height(self) -> int:
        """Number of rows."""
        ...

    def column(self, name: str) -> pl.Series:
        """One column, (height,)."""
        ...


@dataclass(frozen=True)
class Vocabulary:
    """Which row of an embedding table belongs to which value of a column.

    ``values``: distinct and not null; the i-th has row i + 1. Row 0 stands for null and for every other value.
    """

    values: pl.Series

    @classmethod
    def of(cls, column: pl.Series) -> Vocabulary:
        """Learn the distinct values, sorted. Enums are taken as text: their codes may differ between frames."""
        return cls(_plain(column).drop_nulls().unique().sort().alias("value"))

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, column: pl.Series) -> Rows:
        """Row of each value, Int64 (n,)."""
        known = self.values.to_frame().with_row_index("row", offset=1)
        asked = _plain(column).cast(self.values.dtype, strict=False).alias("value").to_frame()
        found = asked.join(known, on="value", how="left", validate="m:1", maintain_order="left")
        return found["row"].fill_null(0).cast(pl.Int64).to_numpy()


def _plain(column: pl.Series) -> pl.Series:
    return column.cast(pl.String) if isinstance(column.dtype, pl.Enum | pl.Categorical) else column


@dataclass(frozen=True)
class Scaler:
    """Brings numeric columns near zero: ``(x - mean) / std``, cut at 4 standard deviations.

    ``mean``, ``std``: Float32 (n_columns,). ``has_nulls``: Boolean (n_columns,), the columns that are sometimes
    unknown in the train rows: these get a second input that is 1 where they are. Unknown is 0, the mean.
    """

    mean: Numbers
    std: Numbers
    has_nulls: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, columns: Iterable[Numbers]) -> Scaler:
        """Learn from train columns (n,), NaN = unknown, one at a time. Those without spread are left at 0."""
        learned = [_mean_std_nulls(x) for x in columns]
        mean, std, has_nulls = zip(*learned, strict=True) if learned else ((), (), ())
        return cls(
            np.array(mean, dtype=np.float32),
            np.array(std, dtype=np.float32),
            np.array(has_nulls, dtype=np.bool_),
        )

    @property
    def n_outputs(self) -> int:
        """Number of columns that ``apply`` makes."""
        return len(self.mean) + int(self.has_nulls.sum())

    def apply(self, columns: Iterable[Numbers]) -> Iterator[Numbers]:
        """Scale columns (n,) to Float32 (n,), finite; after them come those that are 1 where one is unknown."""
        unknown = []
        for x, mean, std, has_nulls in zip(columns, self.mean, self.std, self.has_nulls, strict=True):
            is_unknown = np.isnan(x)
            bounded = np.clip(x, -1e30, 1e30)
            scaled = np.clip((bounded - mean) / std, -_LIMIT, _LIMIT)
            scaled[is_unknown] = 0
            if has_nulls:
                unknown.append(np.packbits(is_unknown))
            yield scaled
        for bits in unknown:
            yield np.unpackbits(bits, count=len(is_unknown)).astype(np.float32)

    def save(self, file: Path) -> None:
        """Write an ``.npz`` file."""
        np.savez(file, mean=self.mean, std=self.std, has_nulls=self.has_nulls)

    @classmethod
    def load(cls, file: Path) -> Scaler:
        """Read what ``save`` wrote."""
        with np.load(file, allow_pickle=False) as saved:
            return cls(saved["mean"], saved["std"], saved["has_nulls"])


def _mean_std_nulls(x: Numbers) -> tuple[float, float, bool]:
    """Mean, standard deviation (infinite without spread), and whether some values are known and some are not."""
    known = np.isfinite(x)
    n = max(int(known.sum()), 1)
    values = np.where(known, x, 0).astype(np.float64)
    mean = values.sum() / n
    std = np.sqrt((np.where(known, values - mean, 0) ** 2).sum() / n)
    is_spread = std > 1e-6 * max(abs(mean), 1e-6)
    return float(mean), float(std) if is_spread else np.inf, bool(known.any() and not known.all())


@dataclass(frozen=True)
class Encoder:
    """Turns a frame into rows of embedding tables and numbers.

    ``channels``: column -> vocabulary, for ids and what has few values. ``numeric``: the other columns.
    """

    channels: Mapping[str, Vocabulary]
    numeric: tuple[str, ...]
    scaler: Scaler

    @classmethod
    def of(cls, train: Frame, channels: Sequence[str], numeric: Sequence[str]) -> Encoder:
        """Learn the vocabularies of the channels and the scales of the numeric columns from train rows."""
        vocabularies = {name: Vocabulary.of(train.column(name)) for name in channels}
        return cls(vocabularies, tuple(numeric), Scaler.of(_numbers(train, numeric)))

    def rows(self, frame: Frame) -> Rows:
        """Row of each channel's table: Int64 (n, n_channels)."""
        if not self.channels:
            return np.zeros((frame.height, 0), dtype=np.int64)
        return np.stack([known.rows(frame.column(name)) for name, known in self.channels.items()], axis=1)

    def numbers(
        self, frame: Frame, scratch: Path | None = None, scratch_from_bytes: int = 2**28
    ) -> NumberRows:
        """Scaled numeric columns: Float32 (n, scaler.n_outputs); many lie in a file in the folder ``scratch``.

        Columns are read one at a time, once.
        """
        n_rows, n_columns = frame.height, self.scaler.n_outputs
        is_large = 4 * n_rows * n_columns >= scratch_from_bytes
        columns = self.scaler.apply(_numbers(frame, self.numeric))
        return gather_rows(columns, n_rows, n_columns, scratch if is_large else None)

    def save(self, folder: Path) -> None:
        """Write ``encoder.json``, ``scaler.npz`` and one Parquet file a vocabulary."""
        facts = {"channels": list(self.channels), "numeric": self.numeric}
        (folder / "encoder.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        self.scaler.save(folder / "scaler.npz")
        for i, vocabulary in enumerate(self.channels.values()):
            vocabulary.values.to_frame().write_parquet(folder / f"vocabulary_{i}.parquet")

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Read what ``save`` wrote."""
        facts = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        scaler = Scaler.load(folder / "scaler.npz")
        channels = {
            name: Vocabulary(pl.read_parquet(folder / f"vocabulary_{i}.parquet")["value"])
            for i, name in enumerate(facts["channels"])
        }
        return cls(channels, tuple(facts["numeric"]), scaler)


def _numbers(frame: Frame, numeric: Sequence[str]) -> Iterator[Numbers]:
    """Columns as Float32 (n,), NaN = unknown, read one at a time."""
    for name in numeric:
        yield frame.column(name).cast(pl.Float32).fill_null(float("nan")).to_numpy()
