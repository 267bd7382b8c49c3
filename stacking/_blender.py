"""The one protocol of everything that makes one score of several models' scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from competitions import Metric
from engine import ConfigError, import_plain_files

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreFrame:
    """Pairs with the scores of several models: what blenders are fitted on and predict.

    Attributes
    ----------
    table
        One row a pair, sorted by (``window``, user, ``pair_id``), so that a ranking group (window, user) is
        contiguous. Columns: ``pair_id`` UInt32, ``window`` Int64 (the cutoff), the user column, one finite Float64
        column a model, and ``relevance`` Int8, which is absent when a blender predicts.
    models
        Names of the score columns, in the order of the config.
    user
        Name of the user column.
    """

    table: pl.DataFrame
    models: tuple[str, ...]
    user: str

    @property
    def group(self) -> tuple[str, str]:
        """Columns that name a ranking group."""
        return ("window", self.user)

    @property
    def relevance(self) -> Scores:
        """Labels as Float64 (n_pairs,)."""
        return self.table["relevance"].cast(pl.Float64).to_numpy()

    def without_labels(self) -> ScoreFrame:
        """The same pairs as a blender sees them when it predicts."""
        return ScoreFrame(self.table.drop("relevance", strict=False), self.models, self.user)

    def take(self, rows: pl.Expr) -> ScoreFrame:
        """Keep the rows for which the expression holds."""
        return ScoreFrame(self.table.filter(rows), self.models, self.user)


@dataclass(frozen=True)
class BlendContext:
    """What a blender may use beside the scores: the competition's metric and a seed."""

    metric: Metric
    seed: int
    threads: int = 1


class FittedBlend(Protocol):
    """A blender after fit."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of each model in the blend; they sum to one."""
        ...

    def predict(self, frame: ScoreFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,), finite, in the order of ``frame.table``. Larger ranks higher.

        A pair's score may depend on the other pairs of its group, and on no pair of another group.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write native files (no pickle) into an existing empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; predictions repeat exactly."""
        ...


class Blender(Protocol):
    """A blender before fit: a frozen dataclass of its parameters, each with a default.

    A blender file holds one such class and says with ``@blender("name")`` under what name config.toml knows it.
    """

    @property
    def learns(self) -> bool:
        """Whether ``fit`` reads the labels. One that does not needs no leave-one-fold-out score."""
        ...

    @property
    def fitted(self) -> type[FittedBlend]:
        """The class whose ``load`` reads what this blender's fit saved."""
        ...

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedBlend:
        """Fit on pairs with labels. Repeats exactly for the same context and rows."""
        ...


BASELINE = "mean_rank"
MIN_EVAL_WINDOWS = 3  # for a learned blend to be scored leave-one-fold-out
_registry: dict[str, type[Blender]] = {}
B = TypeVar("B", bound=type)


def blender(name: str) -> Callable[[B], B]:
    """Register a blender class under a name. Raises ConfigError when another class has the name already."""

    def register(kind: B) -> B:
        known = _registry.get(name)
        if known is not None and (known.__module__, known.__qualname__) != (
            kind.__module__,
            kind.__qualname__,
        ):
            raise ConfigError(
                f"Two blenders are named {name!r}: {known.__module__}.{known.__qualname__} and "
                f"{kind.__module__}.{kind.__qualname__}.",
                expected="one name for one blender",
                todo="rename one of them in its @blender(...)",
            )
        _registry[name] = kind
        return kind

    return register


def blenders() -> Mapping[str, Blender]:
    """Every blender of this room with its default parameters: the baseline first, the others by name.

    Plain files of the room are found by themselves.
    """
    _find_files()
    return {name: _registry[name]() for name in sorted(_registry, key=lambda n: (n != BASELINE, n))}


@cache
def _find_files() -> None:
    """Import the room's plain files, so that their ``@blender`` runs."""
    import_plain_files([Path(__file__).parent], "stacking")
