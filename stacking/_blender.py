"""The one protocol of everything that makes one score of several models' scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar, cast, runtime_checkable

import numpy as np
import polars as pl

from competitions import Metric
from engine import ConfigError, did_you_mean, import_plain_files
from models import Ranker, Scores, StoredColumns, add_kind, check_name, is_enabled, kind_of, with_parameters


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
    stored
        The feature columns of a blender that reads features (see ``ReadsFeatures``), read from the store one at a
        time; None for the others.
    """

    table: pl.DataFrame
    models: tuple[str, ...]
    user: str
    stored: StoredColumns | None = None

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
        return replace(self, table=self.table.drop("relevance", strict=False))

    def take(self, rows: pl.Expr) -> ScoreFrame:
        """Keep the rows for which the expression over the table's columns holds."""
        positions = pl.int_range(pl.len(), dtype=pl.UInt32).filter(rows)
        return self.at(self.table.select(positions.alias("position"))["position"])

    def at(self, positions: pl.Series) -> ScoreFrame:
        """Keep the rows at these positions, UInt32, ascending."""
        stored = None if self.stored is None else self.stored.take(positions)
        return replace(self, table=self.table[positions], stored=stored)

    def sample_of_groups(self, most_rows: int, seed: int) -> ScoreFrame:
        """Draw whole groups, in a random order, until they have ``most_rows`` rows, or one if it has more.

        All of them if they have no more rows.
        """
        if self.table.height <= most_rows:
            return self
        sizes = self.table.group_by(self.group).len().sort(self.group)
        order = np.random.default_rng(seed).permutation(sizes.height)
        fits = np.cumsum(sizes["len"].to_numpy()[order]) <= most_rows
        fits[0] = True
        drawn = sizes[np.sort(order[fits])]
        rows = self.table.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("position"), *self.group)
        return self.at(rows.join(drawn, on=self.group, how="semi", maintain_order="left")["position"])


@dataclass(frozen=True)
class BlendContext:
    """What a blender may use beside the scores: the competition's metric and a seed."""

    metric: Metric
    seed: int


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
        """Write native files (no pickle) into an existing empty folder. ``@saved_as_json`` writes small ones."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; predictions repeat exactly."""
        ...


class Blender(Protocol):
    """A blender before fit: a frozen dataclass of its parameters, each with a default.

    A blender file holds one such class and says with ``@blender("name")`` under what name config.toml knows it. One
    whose ``fit`` reads no labels has ``learns = False``: its score of a fold would be no other without that fold. One
    that fits a model names it ``ranker``: its code and parameters are part of what the blend is made of.

    Between candidates that are about equally good the lower ``precedence`` is chosen: 0 weights of the models, 1 a
    blend that learns nothing, 2 a column, 3 another model, 4 a blend that learns more than weights. A class may say so
    itself, as ``weights`` does; a blender that does not is 1 or 4.
    """

    def fit(self, oof: ScoreFrame, context: BlendContext) -> FittedBlend:
        """Fit on pairs with labels. Repeats exactly for the same context and rows.

        A blender file annotates the very class that is returned: its ``load`` reads what its ``save`` wrote.
        """
        ...


def learns_labels(blender: Blender) -> bool:
    """Whether the ``fit`` of a blender reads the labels, as it does unless it says ``learns = False``."""
    return bool(getattr(blender, "learns", True))


def precedence_of(maker: Ranker | Blender) -> int:
    """Which of two equals is chosen, the lower first (see ``Blender``): what the class says, or what its kind is."""
    is_blender = type(maker) in _kinds.values()
    usual = (4 if learns_labels(cast("Blender", maker)) else 1) if is_blender else 3
    return int(getattr(maker, "precedence", usual))


@runtime_checkable
class ReadsFeatures(Protocol):
    """What a blender has beside the rest of the protocol if it reads features as well as scores.

    ``include`` and ``exclude`` are patterns over the names of the columns that ``[features]`` selects; the rows then
    come with ``ScoreFrame.stored``. One with ``most_features`` gets no more than these, the ones that weigh most in the
    models of the first fold.
    """

    @property
    def include(self) -> tuple[str, ...]: ...

    @property
    def exclude(self) -> tuple[str, ...]: ...


BASELINE = "mean_rank"
MIN_EVAL_WINDOWS = 3  # for a learned blend to be scored leave-one-fold-out
_kinds: dict[str, type[Blender]] = {}
_B = TypeVar("_B")


def blender(name: str) -> Callable[[type[_B]], type[_B]]:
    """Register a blender class under a name. Raises ConfigError when another class has the name already."""

    def register(kind: type[_B]) -> type[_B]:
        add_kind(_kinds, "blender", name, cast("type[Blender]", kind))
        return kind

    return register


def blenders(tables: Mapping[str, Mapping[str, Any]] | None = None) -> Mapping[str, Blender]:
    """Every blender: each kind with its defaults, unless a table ``[blenders.NAME]`` says otherwise.

    A table may set parameters, leave the kind out (``enabled = false``), or be one more of a kind under its own name
    (``kind``). The baseline stays, since the others are compared with it: it comes first, the others by name. Raises
    ConfigError as ``build_models`` does.
    """
    _find_files()
    kinds, tables = dict(sorted(_kinds.items())), tables or {}
    _check_tables(tables, kinds)
    made = {name: kind() for name, kind in kinds.items() if name not in tables}
    for name, table in tables.items():
        label = f"[blenders.{name}]"
        built = with_parameters(kinds[table.get("kind", name)], table, label)
        if is_enabled(table, label):
            made[name] = built
    return {name: made[name] for name in sorted(made, key=lambda name: (name != BASELINE, name))}


def _check_tables(tables: Mapping[str, Mapping[str, Any]], kinds: Mapping[str, type[Blender]]) -> None:
    for name, table in tables.items():
        check_name("blender", name)
        kind = kind_of(table, name, f"[blenders.{name}]")
        if kind not in kinds:
            raise ConfigError(
                f"[blenders.{name}]: there is no kind of blender {kind!r}." + did_you_mean(kind, kinds),
                expected="one of " + ", ".join(kinds),
            )
        if name == BASELINE and (kind != BASELINE or not is_enabled(table, f"[blenders.{name}]")):
            raise ConfigError(
                f"[blenders.{BASELINE}] leaves the baseline out, or puts something else in its place.",
                expected="the mean of ranks, which every other blend is compared with",
            )


@cache
def _find_files() -> None:
    """Import the room's plain files, so that their ``@blender`` runs."""
    import_plain_files([Path(__file__).parent], "stacking")
