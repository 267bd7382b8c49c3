"""What every engine of the aggregates benchmark is asked: keys, aggregates, cutoffs, lookbacks, files.

15 aggregates: number of rows; sum and mean of five outcomes; last and first clock; standard deviation of the time
spent; watch share (time spent over duration). Means, deviations and shares are null for a pair whose key has no rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from engine import Settings

Key: TypeAlias = tuple[str, ...]

KEYS: tuple[Key, ...] = (("user_id",), ("item_id",), ("source_id",), ("user_id", "source_id"))
FLAGS = ("like", "dislike", "share", "bookmarks")
OUTCOMES = (*FLAGS, "timespent")
COUNTED = ("n", *(f"{name}_sum" for name in OUTCOMES))  # zero for a pair whose key has no rows
CLOCKS = ("last_clock", "first_clock")
SHARES = (*(f"{name}_mean" for name in OUTCOMES), "timespent_std", "watch_share")
VALUES = (*COUNTED, *CLOCKS, *SHARES)
LOG_COLUMNS = ("clock", "user_id", "item_id", *OUTCOMES)
ITEM_COLUMNS = ("item_id", "source_id", "duration")


@dataclass(frozen=True)
class Job:
    """One run of one engine.

    Attributes
    ----------
    inputs
        Folder with the Parquet files that all engines but ours read: ``joined/`` (the log with the source and the
        duration of its items), ``log/`` (without), ``items.parquet``, ``pairs/CUTOFF.parquet``.
    data, store
        Folders of the competition's files and of our store: what our engine reads.
    cutoffs, lookbacks
        In clock units and in horizons (None = everything). Every cutoff meets every lookback.
    is_joined
        The engines other than ours read ``joined/`` and are spared the join with the items.
    sample_users
        Share of the users that the data set is made of (``--sample-users``).
    """

    inputs: Path
    data: Path
    store: Path
    horizon: int
    cutoffs: tuple[int, ...]
    lookbacks: tuple[int | None, ...]
    threads: int = 2
    is_joined: bool = True
    sample_users: float = 1.0

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), default=str), encoding="utf-8")

    @staticmethod
    def load(path: Path) -> Job:
        """Read what ``save`` wrote."""
        fields = json.loads(path.read_text(encoding="utf-8"))
        folders = {name: Path(fields[name]) for name in ("inputs", "data", "store")}
        cutoffs, lookbacks = tuple(fields["cutoffs"]), tuple(fields["lookbacks"])
        return Job(**{**fields, **folders, "cutoffs": cutoffs, "lookbacks": lookbacks})

    def settings(self) -> Settings:
        """Settings that our engine opens the data set with."""
        return settings_for(self.data, self.store, self.threads, self.sample_users)

    def spans(self) -> Iterator[tuple[int, int | None, int]]:
        """Every (cutoff, lookback, first clock that it reaches)."""
        for cutoff in self.cutoffs:
            for lookback in self.lookbacks:
                yield cutoff, lookback, 0 if lookback is None else max(0, cutoff - lookback * self.horizon)

    def pairs_file(self, cutoff: int) -> Path:
        """Parquet file with the pairs of the window: ``pair_id``, user, item, source."""
        return self.inputs / "pairs" / f"{cutoff}.parquet"


@dataclass(frozen=True)
class ResultTable:
    """What an engine delivers for one (key, cutoff, lookback): a row a pair of the window, ``pair_id`` and ``VALUES``.

    It may come in several tables, of other columns each.
    """

    key: Key
    cutoff: int
    lookback: int | None
    values: pl.DataFrame

    @property
    def name(self) -> str:
        """Text that is unique among the tables of a job and safe as a file name."""
        return f"{'_x_'.join(self.key)}-{self.cutoff}-{self.lookback or 'all'}"


def settings_for(data: Path, store: Path, threads: int, sample_users: float = 1.0) -> Settings:
    """Settings for a folder of vk2024 files; nothing is read from config.toml."""
    values: dict[str, Any] = {"sample": {"users": sample_users}}
    return Settings(competition="vk2024", data=data, store=store, threads=threads, **values)


Engine: TypeAlias = Callable[[Job], Iterator[ResultTable]]
