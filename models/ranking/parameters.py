"""Parameters that nets that rank have in common, and what follows from them. Imports no torch: lists read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from engine import nets
from models._pair_frame import PairFrame
from models._ranker import FitContext

if TYPE_CHECKING:
    from models.ranking.training import Training

# Arrays that histories are read from, if they are there (see features/sequences.py), without length and the user's key,
# which follow: ids of the channels, levels that have tables of their own, and numbers.
ITEMS, SOURCES, GAPS = "last_items", "last_sources", "last_gaps"
RELEVANCES = "last_relevances"
LEVELS, NUMBERS = (RELEVANCES, "last_actions"), (GAPS, "last_watch_shares")
HISTORIES = (ITEMS, SOURCES, *LEVELS, *NUMBERS)
# Vectors of the rows of histories, one after the other, and that of a pair (see features/attributes.py).
CONTENTS, CONTENT = "last_contents", "item_content"

Width = Annotated[int, Field(ge=0, le=4096)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Loss = Annotated[
    Literal["pairwise", "mse", "bce"],
    Field(description="pairwise (logistic, within groups), mse or bce (on relevance scaled to 0..1)."),
]
TableRate = Annotated[float, Field(gt=0, description="Step of the embedding tables.")]
TableRule = Annotated[
    Literal["adam", "row adagrad"], Field(description="How touched rows of tables are moved.")
]
LaterTables = Annotated[
    Literal["learn", "start anew", "stay"],
    Field(description="What embedding tables do in every epoch after the first, in which ids overfit."),
]
Epochs = Annotated[Count, Field(description="Most epochs a fit may have.")]
Patience = Annotated[Count, Field(description="Epochs without gain on the hold-out before it stops.")]
TimeBudget = Annotated[float | None, Field(gt=0, description="Seconds for a whole fit.")]
Seeds = Annotated[
    int,
    Field(ge=1, le=100, description="Nets, each of a seed and a share of the time, whose mean score counts."),
]
StartColumn = Annotated[
    str,
    Field(
        description="The column that the net starts from, beside the layers and by a scale that is learned too. "
        '"auto" = the best one on the train rows by the metric, "" = none.'
    ),
]


@dataclass(frozen=True)
class NetParameters:
    """What all nets have: where they start, and how they are trained."""

    start: StartColumn = "auto"
    user_start: Annotated[
        str,
        Field(
            description="A column of vectors, such as doc2vec_user_vector, that the users' embeddings start at: those "
            'as of the earliest train window. "" = at random; in two towers orthogonal.'
        ),
    ] = ""
    source_start: Annotated[str, Field(description="As user_start, for sources.")] = ""
    item_start: Annotated[
        str,
        Field(description="As user_start, for items; one without a vector starts at the mean of its source."),
    ] = ""
    opponents: Annotated[Count, Field(description="Pairs drawn for each row in the pairwise loss.")] = 8
    learning_rate: Annotated[float, Field(gt=0, description="Step of the layers (AdamW).")] = 0.001
    table_learning_rate: TableRate = 0.001
    table_rule: TableRule = "row adagrad"
    weight_decay: Annotated[float, Field(ge=0, description="Decay of the layers' weights.")] = 0.01
    table_weight_decay: Annotated[
        float, Field(ge=0, description="L2 penalty on the embeddings of each batch.")
    ] = 0.001
    dropout: Annotated[Share, Field(description="Share of hidden units left out in training.")] = 0.2
    id_dropout: Annotated[Share, Field(description="Share of ids shown as unknown in training.")] = 0.3
    batch_rows: Annotated[Count, Field(description="Rows of a batch, about: groups stay whole.")] = 512
    epochs: Epochs = 10
    patience: Patience = 1
    holdout: Annotated[
        Share, Field(description="Share of the last train window's users that stops the fit; 0 = none.")
    ] = 0.15
    refit: Annotated[
        bool,
        Field(description="After the hold-out told the epochs, train again on all rows: twice the time."),
    ] = False
    time_budget: TimeBudget = 120.0
    later_tables: LaterTables = "learn"
    seeds: Seeds = 1

    @property
    def also_needs(self) -> tuple[str, ...]:
        """Columns of vectors that tables start at."""
        names = (self.user_start, self.source_start, self.item_start)
        return tuple(dict.fromkeys(name for name in names if name))

    def starts(self, rows: PairFrame) -> Mapping[str, str]:
        """Column of vectors that each channel's table starts at; empty: at random."""
        starts = {rows.user: self.user_start, rows.item: self.item_start}
        return starts if rows.source is None else {**starts, rows.source: self.source_start}

    def until(self, started: float, share: float) -> float | None:
        """Monotonic seconds at which a share of the time budget of a fit is over; None without a budget."""
        return None if self.time_budget is None else started + share * self.time_budget

    def rates(self, *, is_fused: bool = False) -> nets.Rates:
        """Steps of the layers and of the tables."""
        return nets.Rates(
            self.learning_rate, self.table_learning_rate, self.weight_decay, self.table_rule, is_fused
        )


POWERS = (2.0, 0.5)  # of numbers that towers read, beside the numbers
_DERIVED = re.compile(r"(.+)(?:\^([\d.]+)|\[(\d+)\])")


def derived_parts(name: str) -> tuple[str, float | None, int | None]:
    """Take the name of a derived number apart: the column, and the power or the place in a vector, if there is one."""
    made = _DERIVED.fullmatch(name)
    if made is None:
        return name, None, None
    return made[1], float(made[2]) if made[2] else None, int(made[3]) if made[3] else None


@dataclass(frozen=True)
class TowersParameters(NetParameters):
    """What nets of two towers have beside that."""

    width: Annotated[int, Field(ge=1, le=4096, description="Width of what the towers say, and of ids.")] = 32
    source_dim: Annotated[Width, Field(description="Width of the source's embedding; 0 leaves it out.")] = 16
    category_dim: Annotated[
        Width, Field(description="Width of each Enum feature's embedding; 0 leaves it out.")
    ] = 4
    hidden: Annotated[int, Field(ge=1, description="Units of the hidden layer of each tower.")] = 64
    user_features: Annotated[
        tuple[str, ...], Field(description="Patterns over features of users alone, that their tower reads.")
    ] = ("user_age", "user_gender", "user_occupation")
    item_features: Annotated[
        tuple[str, ...], Field(description="The same of items.")
    ] = ("item_duration", "item_genre", "item_n_genres", "item_year")  # fmt: skip
    item_vectors: Annotated[
        tuple[str, ...],
        Field(description="Columns of vectors that the items' tower reads, where they are there."),
    ] = ("item_content",)
    start: StartColumn = ""

    @property
    def also_reads(self) -> tuple[str, ...]:
        """Columns of vectors, of those that the competition has."""
        return self.item_vectors

    def beside(self, names: Sequence[str], keys: Sequence[str]) -> list[str]:
        """Of these features those that count beside the product: the one that the net starts from."""
        return [name for name in names if self.start and self.start in (name, "auto")]

    def sides(self, names: Sequence[str], keys: Sequence[str]) -> tuple[list[str], list[str]]:
        """Of these features those of the users' tower, and those of the items'. ``keys``: of user, item and source."""
        left, right = (
            [n for n in names if any(fnmatchcase(n, p) for p in of)]
            for of in (self.user_features, self.item_features)
        )
        return left, [n for n in right if n not in left]

    def selected(self, names: Sequence[str], keys: Sequence[str]) -> Sequence[str]:
        """Of the features that the patterns of the settings select those that the net reads."""
        left, right = self.sides(names, keys)
        read = {*left, *right, *self.beside(names, keys)}
        return [name for name in names if name in read]


def training_of(
    ranker: NetParameters,
    loss: Literal["pairwise", "mse", "bce"],
    context: FitContext,
    n_epochs: int,
    until: float | None,
    *,
    more: tuple[float, ...] = (),
    is_fused: bool = False,
) -> Training:
    """Parameters of the training loop. ``until``, ``more``: see ``Training``; ``is_fused``: see ``nets.Rates``."""
    from models.ranking.training import Training

    return Training(
        loss=loss,
        epochs=n_epochs,
        patience=ranker.patience,
        batch_rows=ranker.batch_rows,
        n_opponents=ranker.opponents,
        rates=ranker.rates(is_fused=is_fused),
        table_weight_decay=ranker.table_weight_decay,
        seed=context.seed,
        until=until,
        more=more,
        later_tables=ranker.later_tables,
    )


def widths_of(rows: PairFrame, *, user: int, item: int, source: int, category: int) -> dict[str, int]:
    """Width of each channel's table: the Enum features, then the keys; channels of width 0 are left out."""
    widths = dict.fromkeys(rows.categorical, category) | {rows.user: user, rows.item: item}
    widths |= {} if rows.source is None else {rows.source: source}
    return {name: width for name, width in widths.items() if width > 0}


@dataclass(frozen=True)
class HistoryRows:
    """Which rows histories have: so many of a user's newest ones, or of all of them once they are shuffled."""

    length: int = 20
    is_shuffled: bool = False

    def named(self, name: str) -> str:
        """Name an array of histories, without the user's key: ``last_items``, ``last_items_50``."""
        return (
            name
            + ("" if self.length == 20 else f"_{self.length}")
            + ("_shuffled" if self.is_shuffled else "")
        )

    def columns(self, rows: PairFrame, names: Sequence[str] = HISTORIES) -> list[str]:
        """Names of columns of histories that the frame has."""
        return [name for name in (f"{self.named(of)}__{rows.user}" for of in names) if name in rows.schema]
