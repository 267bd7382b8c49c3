"""Which pairs models are fitted on and score: those of windows, all of them or a sample, with their features."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import ConfigError, DataError, Json, Settings, Store
from features import Catalogue, open_features
from models import PairFrame, StoredColumns
from stacking._shortlist import Shortlist
from validation import Window


@dataclass(frozen=True)
class TrainingSample:
    """Draws train pairs; those of windows to predict are never sampled.

    Attributes
    ----------
    users
        Share of the (window, user) groups that are kept, and kept whole. A user is in or out by a hash of its id and
        the seed, so it is in or out of every window, whatever other users there are.
    ignored
        Share of the pairs of relevance 0 that are kept, drawn one by one from the kept groups. Each then has the weight
        ``1 / ignored`` and every other pair 1 (Horvitz and Thompson 1952): the expected weight of each level of
        relevance is the number of its pairs, so means over pairs and the share of each level stay unbiased.
    """

    users: float = 1.0
    ignored: float = 1.0
    seed: int = 0

    @classmethod
    def of(cls, settings: Settings) -> TrainingSample:
        """Read ``[training]`` of the settings."""
        return cls(settings.training.users, settings.training.ignored, settings.seed)

    @property
    def is_whole(self) -> bool:
        """Tell whether every pair is kept."""
        return self.users == 1 and self.ignored == 1

    @property
    def parts(self) -> dict[str, Json]:
        """What a fit's recipe says of the sample: nothing if every pair is kept."""
        return {} if self.is_whole else {"training": asdict(self)}

    def draw(self, pairs: pl.DataFrame, user: str) -> pl.DataFrame:
        """Keep the drawn pairs, in their order.

        Parameters
        ----------
        pairs
            ``window``, ``pair_id``, the user and ``relevance`` of each pair of the train windows.

        Returns
        -------
        The rows that are kept, with ``weight`` Float32 if ignored pairs were drawn. Raises DataError if none is left.
        """
        drawn = pairs
        if self.users < 1:
            drawn = drawn.filter(pl.col(user).is_in(self._drawn_users(pairs[user]).implode()))
        if self.ignored < 1:
            drawn = drawn.filter(self._is_drawn(drawn))
            weight = pl.when(pl.col("relevance") == 0).then(1 / self.ignored).otherwise(1.0)
            drawn = drawn.with_columns(weight.cast(pl.Float32).alias("weight"))
        if drawn.is_empty():
            raise DataError(
                f"The sample of {pairs.height} train pairs is empty.",
                expected=f"some pairs for training.users = {self.users:g}, training.ignored = {self.ignored:g}",
                todo="raise them in config.toml",
            )
        return drawn

    def _drawn_users(self, users: pl.Series) -> pl.Series:
        """Distinct users whose hash is below the share."""
        known = users.unique().sort()
        return known.filter(pl.Series(hashes_of(known, self.seed) < self.users * 2.0**64))

    def _is_drawn(self, pairs: pl.DataFrame) -> pl.Series:
        """Tell of each pair whether it is kept: all but the undrawn ones of relevance 0.

        A pair's number is that of its ``pair_id``, so the draw does not depend on which other pairs there are.
        """
        draw = _uniform(pairs["pair_id"].cast(pl.UInt64).to_numpy(), self.seed)
        return (pairs["relevance"] != 0) | pl.Series(draw < self.ignored)


def hashes_of(ids: pl.Series, seed: int) -> npt.NDArray[np.uint64]:
    """Hash of the text of each id, UInt64 (n,): the same whatever the dtype of the ids."""
    key = seed.to_bytes(8, "little")
    digests = (hashlib.blake2b(i.encode(), key=key, digest_size=8).digest() for i in ids.cast(pl.String))
    return np.fromiter((int.from_bytes(d, "little") for d in digests), dtype=np.uint64, count=len(ids))


def _uniform(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """One number of [0, 1) for each integer: splitmix64 (Steele, Lea and Flood 2014), upper 53 bits."""
    with np.errstate(over="ignore"):
        x = (numbers + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True)
class PairReader:
    """Reads pairs of windows as frames. It travels to the workers that fit, since it is smaller than a frame.

    ``root``: folder of the store, which holds the features of the catalogue. ``shortlist``: which pairs there are for
    a model that comes after a pre-ranker; None = all of them.
    """

    catalogue: Catalogue
    root: Path
    shortlist: Shortlist | None = None

    def read(
        self,
        windows: Sequence[Window],
        columns: Sequence[str],
        *,
        labels: bool,
        sample: TrainingSample | None = None,
    ) -> PairFrame:
        """Read the pairs of windows; their features stay in the store until a model asks for one.

        Without ``labels`` the relevance is not in the frame, so that no model can read it when it predicts. A
        ``sample`` is drawn before any feature is read, of what is on the ``shortlist``.
        """
        found = open_features(self.catalogue, windows, columns, Store(self.root))
        pairs, c = found.pairs.with_row_index("position"), self.catalogue.dataset.competition
        if self.shortlist is not None:
            pairs = self.shortlist.keep(pairs)
        if sample is not None and not sample.is_whole:
            _check_no_weight(columns)
            pairs = sample.draw(pairs, c.user)
        pairs = pairs.sort("window", c.user, "pair_id")
        table = pairs.drop("position") if labels else pairs.drop("position", "relevance")
        stored = StoredColumns(found.schema, found.read, pairs["position"])
        return PairFrame(table, tuple(columns), c.user, c.item, c.source, stored)


def _check_no_weight(columns: Sequence[str]) -> None:
    """Refuse a feature of the name that the weights of sampled pairs have."""
    if "weight" in columns:
        raise ConfigError(
            "A feature is named 'weight', which is the name of the weights of sampled train pairs.",
            expected="another name for the feature, or training.users and training.ignored at 1.0",
        )
