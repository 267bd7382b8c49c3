"""What a competition gives: tables, which columns are outcomes, clock, target, metric, file format."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import dataframely as dy
import polars as pl

from engine import DataError

Role = Literal["key", "observed", "outcome"]
ClockKind = Literal["time", "row", "per_user"]

RESERVED = ("row", "clock", "relevance", "pair_id", "window", "score")
GENRE = "main_genre"
_LAST_INSTANT = 60_000_000_000_000_000  # microseconds that datetime can hold on both sides of 1970


@dataclass(frozen=True)
class Clock:
    """The order that "before" refers to.

    ``time``: the Datetime column ``column``; the clock is its Int64 count of microseconds.
    ``row``: the order of the rows in the log; the clock is the row number.
    ``per_user``: each user's own progress (rows ordered by ``column`` if given, then row number), cut into
    ``steps`` equal steps: the clock of a user's i-th of n rows is ``steps * i // n``.
    """

    kind: ClockKind
    column: str | None = None
    steps: int = 10

    def shown(self, value: int) -> str:
        """A value of the clock as one reads it: an instant (UTC), or the number of a row or step."""
        if self.kind == "time" and abs(value) < _LAST_INSTANT:
            return (datetime(1970, 1, 1) + timedelta(microseconds=value)).isoformat(" ")
        return str(value)

    def length(self, span: int) -> str:
        """A length of the clock as one reads it: days, hours and the like, or a number of rows or steps."""
        if self.kind == "time" and abs(span) < _LAST_INSTANT:
            return str(timedelta(microseconds=span)).removesuffix(", 0:00:00")
        unit = {"time": "microseconds", "row": "rows", "per_user": "steps"}[self.kind]
        return f"{span} {unit}"


@dataclass(frozen=True)
class Metric:
    """A metric of ``validation`` by its name, with its policy as keyword arguments.

    The order of ``relevance`` is larger = better, and so is the metric (``greater_is_better=False`` for losses).
    """

    name: str
    policy: Mapping[str, object] = field(default_factory=dict)
    greater_is_better: bool = True


@dataclass(frozen=True)
class SubmissionFormat:
    """The file that the leaderboard takes.

    ``columns`` maps a column of the file to a column of the pairs, or to ``"score"``; their order is the order in
    the file. ``ordered``: rows must come in the order of the given test pairs.
    """

    columns: Mapping[str, str]
    separator: str = ","
    ordered: bool = False
    extension: str = "csv"


@dataclass(frozen=True)
class LogShare:
    """A length as a share of the log before the test window: ``parts`` of ``of`` equal parts of its span of clock.

    ``LogShare(1, of=6)`` is a week where the log has six.
    """

    parts: int
    of: int

    def length(self, span: int, *, is_within: bool = False) -> int:
        """Return the length in clock units, at least 1, where the log spans ``span`` of them.

        ``is_within``: where ``span`` is of the log and the test window together.

        >>> LogShare(1, of=6).length(600), LogShare(1, of=6).length(700, is_within=True)
        (100, 100)
        """
        return max(1, span * self.parts // (self.of + self.parts * is_within))


@dataclass(frozen=True)
class LogFile:
    """One file of the log: its path, and its rows in their order."""

    path: Path
    rows: pl.LazyFrame


@dataclass(frozen=True)
class RawTables:
    """What ``Competition.read`` returns: the competition's tables as they are, before validation.

    ``interactions`` in the order of the log. ``log_files``: the files that it is the concatenation of, if there are
    several: on a ``row`` clock each is taken in by itself, so that a log which grew by a file costs that file only.
    ``users`` and ``items`` are their attributes; None where the competition declares none. ``pairs`` are the given
    test pairs; None if the competition cuts its test window from the log (then the rows of the last step or horizon
    become the test pairs, and their outcomes the solution). ``solution``: outcomes of the given pairs, if they are
    known (simulators), in the order of the pairs. ``oracle``: one column ``score``, the best possible score of each
    given pair, in the order of the pairs, if it is known (simulators again).
    """

    interactions: pl.LazyFrame
    users: pl.LazyFrame | None = None
    items: pl.LazyFrame | None = None
    pairs: pl.LazyFrame | None = None
    solution: pl.LazyFrame | None = None
    oracle: pl.LazyFrame | None = None
    log_files: Sequence[LogFile] = ()


@dataclass(frozen=True)
class Threshold:
    """A number that is the same for all rows and part of what the label means: a quantile over the log.

    ``of``: a number of each row of the interactions, by itself. The threshold is the smallest value that at least the
    share ``quantile`` of all rows before the test window do not exceed; nulls and what is not finite are left aside.
    It is taken on intake, once: never anew for an earlier window.
    """

    of: pl.Expr
    quantile: float = 0.5


def every_row(targets: pl.LazyFrame) -> pl.LazyFrame:
    """Take every target row of a window as a pair to score."""
    return targets


def every_file(folder: Path) -> Sequence[Path]:
    """Take every file below the data folder as an input, hidden ones aside. Raises DataError if there is none."""
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise DataError(
            f"The data folder {folder} holds no files.",
            expected="the files of the competition",
            todo="put them there, or set `data` in config.toml to the folder that has them",
        )
    return found


class Entity(NamedTuple):
    """The users, or the items.

    ``table`` is the name of their table and ``word`` what one of them is called; ``schema`` that of their attributes,
    None if there are none.
    """

    table: str
    word: str
    key: str
    schema: type[dy.Schema] | None

    @property
    def columns(self) -> dict[str, dy.Column]:
        """Columns of the table, the key among them; none if there is no table."""
        return {} if self.schema is None else self.schema.columns()


@dataclass(frozen=True, eq=False)
class Competition:
    """One competition. All that the other rooms know of it.

    Attributes
    ----------
    read
        Takes the data folder to the raw tables; downloads what it may. Raises DataError when a file is missing.
    files
        Takes the data folder to the files that ``read`` reads; downloads what it may. Their contents are hashed, so
        that a changed file is taken in anew. All files of the folder if it is not given.
    interactions, users, items
        dataframely schemas of the raw tables. ``users`` is keyed by ``user``, ``items`` by ``item``; either may be
        left out where there are no attributes.
    outcomes
        Columns that are known only afterwards (a like, a rating): they never reach a feature through the pairs.
        What is derived from an outcome is one, named here or not. All other columns can be seen: see ``roles``. If none
        is named, those that relevance reads and what is dense are taken for them, and intake says so.
    reactions
        What features call an outcome -> its column here, where the names differ: ``{"like": "click", "dislike": "hate",
        "rating": "stars", "timespent": "seconds"}``. The columns are outcomes; each gets a derived column of that name.
    derived
        Columns computed on intake from a row of the interactions (e.g. ``like = rating >= 4``).
    thresholds
        Numbers by name that ``derived`` and ``relevance`` read as if they were columns: ``pl.col("seconds") >
        pl.col("usual")`` with ``{"usual": Threshold(pl.col("seconds"))}``. What reads one is an outcome.
    relevance
        Expression over outcome columns: the target, larger is better; stored as the Int8 outcome ``relevance``.
    select_pairs
        Which target rows of a window count as pairs, so that eval looks like test. Takes and returns a LazyFrame
        of target rows.
    horizon
        Length of the test window in clock units (microseconds for ``time``, rows for ``row``, steps for
        ``per_user``), or, but for ``per_user``, as a share of the log: ``Dataset.horizon`` has the number. ``gap``:
        distance from the cutoff to the start of the targets, in clock units.
    n_train_windows
        Train windows of each fold, unless the settings say otherwise.
    remarks
        Rows to count on intake and tell the user of: what such rows do (``"have both a like and a dislike"``) and a
        Boolean expression over the log's columns.
    source
        Column (of items or interactions) that stands behind an item: its author, channel, brand; None if there
        is none.
    dense
        The outcome that says most of every row: seconds watched, a dwell time, a rating. ``dense_per``: the number that
        it is a share of, an observed column or an attribute (the clip's duration); rows are then compared with rows
        of a like one.
    leave_out
        Patterns of feature columns that are no model inputs here unless the settings name them: what was measured to
        earn less than it costs.
    """

    name: str
    title: str
    licence: str
    read: Callable[[Path], RawTables]
    interactions: type[dy.Schema]
    clock: Clock
    relevance: pl.Expr
    metric: Metric
    submission: SubmissionFormat
    horizon: int | LogShare
    outcomes: Collection[str] = ()
    reactions: Mapping[str, str] = field(default_factory=dict)
    users: type[dy.Schema] | None = None
    items: type[dy.Schema] | None = None
    gap: int = 0
    n_train_windows: int = 4
    derived: Mapping[str, pl.Expr] = field(default_factory=dict)
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    select_pairs: Callable[[pl.LazyFrame], pl.LazyFrame] = every_row
    remarks: Mapping[str, pl.Expr] = field(default_factory=dict)
    user: str = "user_id"
    item: str = "item_id"
    source: str | None = None
    dense: str | None = None
    dense_per: str | None = None
    leave_out: Sequence[str] = ()
    files: Callable[[Path], Sequence[Path]] = every_file

    def __post_init__(self) -> None:
        """Take one name where names are wanted; make outcomes and derived columns of the reactions."""
        for name in ("outcomes", "leave_out"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, (getattr(self, name),))
        columns = self.reactions.items() if isinstance(self.reactions, Mapping) else ()
        named = {name: column for name, column in columns if isinstance(column, str) and name != column}
        if named and isinstance(self.derived, Mapping) and isinstance(self.outcomes, Collection):
            object.__setattr__(self, "outcomes", tuple(dict.fromkeys((*self.outcomes, *named.values()))))
            of_reactions = {name: pl.col(column) for name, column in named.items()}
            object.__setattr__(self, "derived", {**of_reactions, **self.derived})

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """Role of every column of the log, in their order.

        ``key``: user, item, and the source if it is a column of the interactions. ``outcome``: the declared ones and
        the derived columns that read one of them or a threshold. ``observed``: all others. Attributes of users and
        items are observed too.
        """
        keys = {self.user, self.item, self.source} & set(self.interactions.columns())
        read = {name: set(expression.meta.root_names()) for name, expression in self.derived.items()}
        hidden = {*(self.outcomes or self.guessed_outcomes), *self.thresholds}
        outcomes = (hidden | {name for name in read if read[name] & hidden}) - keys
        own = self.aliases
        return {
            name: "key"
            if {name, own.get(name)} & keys
            else "outcome"
            if {name, own.get(name)} & outcomes
            else "observed"
            for name in self.log_columns
        }

    @property
    def guessed_outcomes(self) -> tuple[str, ...]:
        """Outcomes where none is named: what is dense, and what relevance reads, by itself or derived."""
        if self.outcomes:
            return ()
        read, known = [*self.relevance.meta.root_names(), *([self.dense] if self.dense else [])], set[str]()
        while read:
            name = read.pop()
            known.add(name)
            own = self.derived.get(name)
            read += [] if own is None else [n for n in own.meta.root_names() if n not in known]
        seen = {self.user, self.item, self.source, self.dense_per, self.clock.column}
        return tuple(name for name in self.interactions.columns() if name in known - seen)

    @property
    def log_columns(self) -> tuple[str, ...]:
        """Columns of the interactions and the derived ones, in the order of the log."""
        names = {*self.interactions.columns(), *self.derived}
        return (
            *self.interactions.columns(),
            *self.derived,
            *(alias for alias, own in self.aliases.items() if own in names),
        )

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """What features call the keys and the clock's instant -> their column, where it is called otherwise.

        ``user_id``, ``item_id``, ``source_id`` and ``timestamp``, unless a column has that name already: each is a
        copy of its column, made on intake, with its role.
        """
        tables = (self.interactions, self.users, self.items)
        taken = {name for schema in tables if schema for name in schema.columns()} | {*self.derived}
        named: dict[str, str | None] = {"user_id": self.user, "item_id": self.item}
        if self.source != GENRE:  # features read it by this name already
            named["source_id"] = self.source
        column = self.clock.column
        if column in self.interactions.columns() and self.interactions.columns()[column].dtype.is_temporal():
            named["timestamp"] = column
        return {alias: own for alias, own in named.items() if own and own in taken and alias not in taken}

    @property
    def observed_columns(self) -> tuple[str, ...]:
        """Columns of the log that can be seen of a pair to score: keys and observed ones, in the order of the log."""
        return tuple(name for name, role in self.roles.items() if role != "outcome")

    @property
    def given_columns(self) -> tuple[str, ...]:
        """Columns that a table of given pairs brings: those that can be seen and are not derived."""
        return tuple(name for name in self.observed_columns if name in self.interactions.columns())

    @property
    def entities(self) -> tuple[Entity, Entity]:
        """The users and the items."""
        users = Entity("users", "a user", self.user, self.users)
        return users, Entity("items", "an item", self.item, self.items)
