"""What a log has, by what it is for: learners that read whatever there is are given it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from competitions import Dataset


@dataclass(frozen=True)
class LogColumns:
    """Names of the columns of a log by what they are for.

    A class behind ``@fitted`` or ``@streamed`` with an argument ``log`` is given it, and so is its ``needs``.

    Attributes
    ----------
    user, item
        Keys.
    source
        Who stands behind an item; None if the competition names none, or one that is unknown for the pairs to score.
    outcomes
        Outcomes that are numbers, ``relevance`` aside.
    reactions
        Outcomes that are Booleans and not read by relevance.
    dense, dense_per
        The outcome that the competition declares as saying most of every row, and the column that it is a share
        of; None where it declares none.
    of_user, of_item
        Attributes of users and of items, without key and source.
    shown_numbers, shown_flags, shown_levels, shown_instants
        What is known of a pair to score beside its keys, observed columns and attributes, by dtype: numbers but for
        the clock's column, Booleans, Enums, instants.
    shown_out_of_range
        The numbers among them that run on with time (``Dataset.out_of_range``): the test's are beyond all of the log.
    shown_texts, shown_vectors
        The same, by dtype: texts, and arrays of floats of one width.
    shown_dates
        Instants and dates that have an age on this clock: all but the clock's own, and none unless it is ``time``.
    of_pair
        Those of them that may differ within a user's pairs: all but the user's attributes.
    """

    user: str
    item: str
    source: str | None
    outcomes: tuple[str, ...]
    reactions: tuple[str, ...]
    dense: str | None
    dense_per: str | None
    of_user: tuple[str, ...]
    of_item: tuple[str, ...]
    shown_numbers: tuple[str, ...] = ()
    shown_flags: tuple[str, ...] = ()
    shown_levels: tuple[str, ...] = ()
    shown_instants: tuple[str, ...] = ()
    shown_texts: tuple[str, ...] = ()
    shown_vectors: tuple[str, ...] = ()
    shown_dates: tuple[str, ...] = ()
    shown_out_of_range: tuple[str, ...] = ()

    @property
    def of_pair(self) -> tuple[str, ...]:
        """Numbers that may differ within the pairs of a user."""
        return tuple(name for name in self.shown_numbers if name not in self.of_user)

    @property
    def all(self) -> tuple[str, ...]:
        """All of them, each once, and ``relevance``."""
        keys = (self.user, self.item, *([self.source] if self.source else []))
        per = [self.dense_per] if self.dense_per else []
        outcomes, attributes = (*self.outcomes, *self.reactions), (*self.of_user, *self.of_item)
        return tuple(dict.fromkeys((*keys, "relevance", *outcomes, *attributes, *per)))


def log_columns(dataset: Dataset) -> LogColumns:
    """Sort the columns of a data set's log by what they are for."""
    competition = dataset.competition
    schema = dataset.history_schema
    outcomes = [name for name, role in competition.roles.items() if role == "outcome"]
    read = set(competition.relevance.meta.root_names())
    read |= {name for name, own in competition.reactions.items() if name != own}
    reactions = tuple(name for name in outcomes if schema[name] == pl.Boolean and name not in read)
    dtype = dataset.pair_schema.get(competition.source or "", pl.Binary())
    source = None if dtype.is_nested() or dtype == pl.Binary else competition.source
    of_user, of_item = (
        tuple(n for n in entity.columns if n in schema and n not in (entity.key, competition.source))
        for entity in competition.entities
    )
    known = {"pair_id", competition.user, competition.item, competition.source, competition.clock.column}
    entities = competition.entities
    declared = {
        *competition.interactions.columns(),
        *competition.derived,
        *entities[0].columns,
        *entities[1].columns,
    }
    pairs = {name: dtype for name, dtype in dataset.pair_schema.items() if name in declared}
    shown = {name: dtype for name, dtype in pairs.items() if name not in known}
    kinds = {
        "shown_numbers": [n for n, dtype in shown.items() if dtype.is_numeric()],
        "shown_out_of_range": [n for n in dataset.out_of_range if n in shown],
        "shown_flags": [n for n, dtype in shown.items() if dtype == pl.Boolean],
        "shown_levels": [n for n, dtype in shown.items() if isinstance(dtype, pl.Enum)],
        "shown_instants": [n for n, dtype in pairs.items() if isinstance(dtype, pl.Datetime)],
        "shown_texts": [n for n, dtype in shown.items() if dtype == pl.String],
        "shown_vectors": [n for n, dtype in shown.items() if _is_vector(dtype)],
        "shown_dates": [
            n
            for n, dtype in shown.items()
            if isinstance(dtype, pl.Datetime | pl.Date) and competition.clock.kind == "time"
        ],
    }
    return LogColumns(
        competition.user, competition.item, source, dataset.numeric_outcomes, reactions,
        competition.dense, competition.dense_per, of_user, of_item,
        **{kind: tuple(names) for kind, names in kinds.items()},
    )  # fmt: skip


def _is_vector(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Array) and len(dtype.shape) == 1 and dtype.inner.is_float()
