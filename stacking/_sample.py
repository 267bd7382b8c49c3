"""Which pairs of the train windows a model is fitted on, when they are more than it needs."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from engine import DataError, Json, Settings


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
        kept = pairs
        if self.users < 1:
            kept = kept.filter(pl.col(user).is_in(self._drawn_users(pairs[user]).implode()))
        if self.ignored < 1:
            kept = kept.filter(self._is_drawn(kept))
            weight = pl.when(pl.col("relevance") == 0).then(1 / self.ignored).otherwise(1.0)
            kept = kept.with_columns(weight.cast(pl.Float32).alias("weight"))
        if kept.is_empty():
            raise DataError(
                f"The sample of {pairs.height} train pairs is empty.",
                expected=f"some pairs for training.users = {self.users:g}, training.ignored = {self.ignored:g}",
                todo="raise them in config.toml",
            )
        return kept

    def _drawn_users(self, users: pl.Series) -> pl.Series:
        """Distinct users whose hash is below the share. Their text is hashed: the dtype of ids does not matter."""
        known = users.unique().sort()
        key = self.seed.to_bytes(8, "little")
        digests = (
            hashlib.blake2b(name.encode(), key=key, digest_size=8).digest() for name in known.cast(pl.String)
        )
        places = np.fromiter(
            (int.from_bytes(d, "little") for d in digests), dtype=np.uint64, count=len(known)
        )
        return known.filter(pl.Series(places < self.users * 2.0**64))

    def _is_drawn(self, pairs: pl.DataFrame) -> pl.Series:
        """Tell of each pair whether it is kept: all but the undrawn ones of relevance 0.

        A pair's number is that of its ``pair_id``, so the draw does not depend on which other pairs there are.
        """
        draw = _uniform(pairs["pair_id"].cast(pl.UInt64).to_numpy(), self.seed)
        return (pairs["relevance"] != 0) | pl.Series(draw < self.ignored)


def _uniform(numbers: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.float64]:
    """One number of [0, 1) for each integer: splitmix64 (Steele, Lea and Flood 2014), upper 53 bits."""
    with np.errstate(over="ignore"):
        x = (numbers + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) * 2.0**-53
