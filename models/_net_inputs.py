"""What a net reads of a pair: rows of embedding tables, and numbers near zero."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from models._ranker import PairFrame

Rows = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float32]

# Standard deviations beyond which a number is cut: one wild count must not drown the other inputs.
_LIMIT = 4.0


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

    def grown(self, column: pl.Series) -> Vocabulary:
        """Add the column's new values at the end: rows that are known keep their place."""
        values = _plain(column).cast(self.values.dtype, strict=False).drop_nulls().unique()
        new = values.filter(~values.is_in(self.values.implode())).sort()
        return Vocabulary(pl.concat([self.values, new.alias("value")]))


def _plain(column: pl.Series) -> pl.Series:
    return column.cast(pl.String) if isinstance(column.dtype, pl.Enum | pl.Categorical) else column


@dataclass(frozen=True)
class Scaler:
    """Brings numeric features near zero: ``(x - mean) / std``, cut at 4 standard deviations.

    ``mean``, ``std``: Float32 (n_features,). ``has_nulls``: Boolean (n_features,), the features that are sometimes
    unknown in the train rows: these get a second input that is 1 where they are. Unknown is 0, the mean.
    """

    mean: Numbers
    std: Numbers
    has_nulls: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, x: Numbers) -> Scaler:
        """Learn from train rows (n, n_features), NaN = unknown. Columns without spread are left at 0."""
        known = np.isfinite(x)
        n = np.maximum(known.sum(axis=0), 1)
        values = np.where(known, x, 0).astype(np.float64)
        mean = values.sum(axis=0) / n
        std = np.sqrt((np.where(known, values - mean, 0) ** 2).sum(axis=0) / n)
        is_spread = std > 1e-6 * np.maximum(np.abs(mean), 1e-6)
        has_nulls = np.asarray(known.any(axis=0) & ~known.all(axis=0))
        return cls(mean.astype(np.float32), np.where(is_spread, std, np.inf).astype(np.float32), has_nulls)

    @property
    def n_outputs(self) -> int:
        """Width of what ``apply`` returns."""
        return len(self.mean) + int(self.has_nulls.sum())

    def apply(self, x: Numbers) -> Numbers:
        """Scale rows (n, n_features) to Float32 (n, n_outputs), finite."""
        is_unknown = np.isnan(x)
        bounded = np.clip(x, -1e30, 1e30)
        scaled = np.clip((bounded - self.mean) / self.std, -_LIMIT, _LIMIT)
        scaled[is_unknown] = 0
        return np.hstack([scaled, is_unknown[:, self.has_nulls].astype(np.float32)])


@dataclass(frozen=True)
class Encoder:
    """Turns a frame into rows of embedding tables and numbers.

    ``channels``: column -> vocabulary, for keys and Enum features. ``numeric``: the other features.
    """

    channels: Mapping[str, Vocabulary]
    numeric: tuple[str, ...]
    scaler: Scaler

    @classmethod
    def of(cls, train: PairFrame, channels: Sequence[str]) -> Encoder:
        """Learn the vocabularies of the channels and the scales of the numeric features from train rows."""
        table = train.columns(channels)
        vocabularies = {name: Vocabulary.of(table[name]) for name in channels}
        return cls(vocabularies, train.numeric, Scaler.of(_matrix(train, train.numeric)))

    def grown(self, frame: PairFrame) -> Encoder:
        """Add the frame's new values to the vocabularies; the scales stay."""
        table = frame.columns(list(self.channels))
        return replace(self, channels={name: v.grown(table[name]) for name, v in self.channels.items()})

    def rows(self, frame: PairFrame) -> Rows:
        """Row of each channel's table: Int64 (n_pairs, n_channels)."""
        if not self.channels:
            return np.zeros((frame.table.height, 0), dtype=np.int64)
        table = frame.columns(list(self.channels))
        return np.stack([known.rows(table[name]) for name, known in self.channels.items()], axis=1)

    def numbers(self, frame: PairFrame) -> Numbers:
        """Scaled numeric features: Float32 (n_pairs, scaler.n_outputs)."""
        return self.scaler.apply(_matrix(frame, self.numeric))

    def save(self, folder: Path) -> None:
        """Write ``encoder.json``, ``scaler.npz`` and one Parquet file a vocabulary."""
        facts = {"channels": list(self.channels), "numeric": self.numeric}
        (folder / "encoder.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        np.savez(
            folder / "scaler.npz", mean=self.scaler.mean, std=self.scaler.std, has_nulls=self.scaler.has_nulls
        )
        for i, vocabulary in enumerate(self.channels.values()):
            vocabulary.values.to_frame().write_parquet(folder / f"vocabulary_{i}.parquet")

    @classmethod
    def load(cls, folder: Path) -> Encoder:
        """Read what ``save`` wrote."""
        facts = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        with np.load(folder / "scaler.npz", allow_pickle=False) as saved:
            scaler = Scaler(saved["mean"], saved["std"], saved["has_nulls"])
        channels = {
            name: Vocabulary(pl.read_parquet(folder / f"vocabulary_{i}.parquet")["value"])
            for i, name in enumerate(facts["channels"])
        }
        return cls(channels, tuple(facts["numeric"]), scaler)


def _matrix(frame: PairFrame, numeric: tuple[str, ...]) -> Numbers:
    """Features as Float32 (n_pairs, n_features), NaN = unknown."""
    if not numeric:
        return np.zeros((frame.table.height, 0), dtype=np.float32)
    return frame.columns(numeric).cast(pl.Float32).fill_null(float("nan")).to_numpy()
