"""What a competition gives: tables, which columns are outcomes, clock, target, metric, file format; and its check."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import UnionType
from typing import Literal, NamedTuple, get_args, get_origin, get_type_hints

import dataframely as dy
import polars as pl
from polars.exceptions import PolarsError

from engine import DataError, did_you_mean

Role = Literal["key", "observed", "outcome"]
ClockKind = Literal["time", "row", "per_user"]

RESERVED = ("row", "clock", "relevance", "pair_id", "window", "score")


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
        What is derived from an outcome is one, named here or not. All other columns can be seen: see ``roles``.
    derived
        Columns computed on intake from a row of the interactions (e.g. ``like = rating >= 4``).
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
    outcomes: Collection[str]
    clock: Clock
    relevance: pl.Expr
    metric: Metric
    submission: SubmissionFormat
    horizon: int | LogShare
    users: type[dy.Schema] | None = None
    items: type[dy.Schema] | None = None
    gap: int = 0
    n_train_windows: int = 4
    derived: Mapping[str, pl.Expr] = field(default_factory=dict)
    select_pairs: Callable[[pl.LazyFrame], pl.LazyFrame] = every_row
    remarks: Mapping[str, pl.Expr] = field(default_factory=dict)
    user: str = "user_id"
    item: str = "item_id"
    source: str | None = None
    dense: str | None = None
    dense_per: str | None = None
    leave_out: Sequence[str] = ()
    files: Callable[[Path], Sequence[Path]] = every_file

    @cached_property
    def roles(self) -> Mapping[str, Role]:
        """Role of every column of the log, in their order.

        ``key``: user, item, and the source if it is a column of the interactions. ``outcome``: the declared ones and
        the derived columns that read one of them. ``observed``: all others. Attributes of users and items are observed
        too.
        """
        keys = {self.user, self.item, self.source} & set(self.interactions.columns())
        read = {name: set(expression.meta.root_names()) for name, expression in self.derived.items()}
        outcomes = {*self.outcomes, *(name for name in read if read[name] & set(self.outcomes))} - keys
        return {
            name: "key" if name in keys else "outcome" if name in outcomes else "observed"
            for name in self.log_columns
        }

    @property
    def log_columns(self) -> tuple[str, ...]:
        """Columns of the interactions and the derived ones, in the order of the log."""
        return (*self.interactions.columns(), *self.derived)

    @property
    def observed_columns(self) -> tuple[str, ...]:
        """Columns of the log that can be seen of a pair to score: keys and observed ones, in the order of the log."""
        return tuple(name for name, role in self.roles.items() if role != "outcome")

    @property
    def given_columns(self) -> tuple[str, ...]:
        """Columns that a table of given pairs brings: those that can be seen and are not derived."""
        return tuple(name for name in self.observed_columns if name not in self.derived)

    @property
    def entities(self) -> tuple[Entity, Entity]:
        """The users and the items."""
        users = Entity("users", "a user", self.user, self.users)
        return users, Entity("items", "an item", self.item, self.items)


def check_declaration(competition: Competition) -> None:
    """Raise DataError if the competition contradicts itself: one message with everything that is wrong."""
    problems = list(_type_problems(competition)) or [
        *_outcome_problems(competition),
        *_derived_problems(competition),
        *_key_problems(competition),
        *_name_problems(competition),
        *_clock_problems(competition),
        *_target_problems(competition),
        *_dense_problems(competition),
    ]
    if problems:
        raise DataError(
            f"Competition {competition.name!r} contradicts itself:\n" + "\n".join(f"- {p}" for p in problems),
            todo="correct its file in competitions/",
        )


def _type_problems(c: Competition) -> Iterable[str]:
    """Say which parts are of another type than they are annotated with: the other checks look into them."""
    for name, hint in get_type_hints(Competition).items():
        kinds = [get_origin(k) or k for k in (get_args(hint) if isinstance(hint, UnionType) else (hint,))]
        if not isinstance(getattr(c, name), tuple(kinds)):
            yield f"{name}={getattr(c, name)!r} is no {' or '.join(kind.__name__ for kind in kinds)}"


def _outcome_problems(c: Competition) -> Iterable[str]:
    if isinstance(c.outcomes, str):
        yield f"the outcomes are the text {c.outcomes!r} instead of names: write outcomes=({c.outcomes!r},)"
        return
    for name in c.outcomes:
        if name not in c.log_columns:
            yield f"there is no column {name!r}, which is named as an outcome.{did_you_mean(str(name), c.log_columns)}"
        elif c.roles[name] == "key":
            yield f"{name!r} is a key, which is known of every pair, and cannot be an outcome"
    if c.source is not None and c.roles.get(c.source) == "outcome":
        yield f"the source {c.source!r} is an outcome, which is unknown for the pairs to score"


def _derived_problems(c: Competition) -> Iterable[str]:
    for name, expression in c.derived.items():
        if name in c.interactions.columns():
            yield f"derived column {name!r} has the name of a column of the interactions"
        if unknown := set(expression.meta.root_names()) - set(c.interactions.columns()):
            yield f"derived column {name!r} reads {_listed(unknown)}, which the interactions do not have"
        if not is_rowwise(expression) or not keeps_rows(expression):
            yield f"derived column {name!r} looks at other rows than its own"
        if expression.meta.has_multiple_outputs():
            yield f"derived column {name!r} reads columns by a pattern: name them, so that outcomes among them are seen"


def _key_problems(c: Competition) -> Iterable[str]:
    interactions = c.interactions.columns()
    for table, _, key, schema in c.entities:
        columns = interactions if schema is None else schema.columns()
        if key not in interactions or key not in columns:
            yield f"{key!r} must be a column of the interactions" + (
                "" if schema is None else f" and of the {table}"
            )
        elif interactions[key].dtype != columns[key].dtype:
            yield f"{key!r} is {interactions[key].dtype} in the interactions, {columns[key].dtype} in the {table}"
    known = {*c.log_columns, *(name for entity in c.entities for name in entity.columns)}
    if c.source is not None and c.source not in known:
        yield f"the source {c.source!r} is no column of interactions, users or items.{did_you_mean(c.source, known)}"


def _name_problems(c: Competition) -> Iterable[str]:
    if not c.name.isidentifier():
        yield "its name must be a word of letters, digits and _"
    tables = {
        "the log": set(c.log_columns),
        **{f"the {entity.table}": set(entity.columns) - {entity.key} for entity in c.entities},
    }
    for name in RESERVED:
        for table, columns in tables.items():
            if name in columns:
                yield f"{table} have a column {name!r}, a name that Samewise needs itself"
    names = list(tables)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            if both := tables[first] & tables[second]:
                yield f"{_listed(both)} is a column of {first} and of {second}: a feature could not tell them apart"


def _clock_problems(c: Competition) -> Iterable[str]:
    clock, columns = c.clock, c.interactions.columns()
    if clock.kind not in get_args(ClockKind):
        yield f"the clock is of kind {clock.kind!r}, and not one of {', '.join(get_args(ClockKind))}"
    if clock.kind == "time" and clock.column is None:
        yield "a clock of kind 'time' needs a Datetime column"
    if clock.column is not None and clock.column not in columns:
        yield f"the clock's column {clock.column!r} is not in the interactions.{did_you_mean(clock.column, columns)}"
    elif clock.kind == "time" and clock.column is not None and not columns[clock.column].dtype.is_temporal():
        yield f"the clock's column {clock.column!r} is {columns[clock.column].dtype}, not a Datetime"
    if clock.kind == "per_user" and clock.steps < 2:
        yield f"a per_user clock of {clock.steps} steps has no history before its last step"
    yield from _length_problems(c)


def _length_problems(c: Competition) -> Iterable[str]:
    if c.gap < 0:
        yield f"the gap is {c.gap}; it must be at least 0"
    if isinstance(c.horizon, LogShare):
        numbers = c.horizon.parts, c.horizon.of
        if not all(isinstance(number, int) for number in numbers) or not 1 <= numbers[0] < numbers[1]:
            yield f"the horizon is {c.horizon.parts} of {c.horizon.of} parts of the log; a share lies between 0 and 1"
        if c.clock.kind == "per_user":
            yield "the horizon of a per_user clock is a number of steps, not a share of the log"
    elif c.horizon < 1:
        yield f"the horizon is {c.horizon}; it must be at least 1"
    elif c.clock.kind == "per_user" and c.horizon + c.gap >= c.clock.steps:
        yield f"the horizon {c.horizon} and the gap {c.gap} leave no history in {c.clock.steps} steps"


def _target_problems(c: Competition) -> Iterable[str]:
    outcomes = [name for name, role in c.roles.items() if role == "outcome"]
    for name in c.relevance.meta.root_names():
        if name not in outcomes:
            yield f"relevance reads {name!r}, which is not an outcome.{did_you_mean(name, outcomes)}"
    if not is_rowwise(c.relevance) or not keeps_rows(c.relevance):
        yield "relevance looks at other rows than its own"
    if c.relevance.meta.has_multiple_outputs():
        yield "relevance reads columns by a pattern: name them, so that it is seen that they are outcomes"
    readable = {*c.observed_columns, "score", "pair_id"}
    for file_column, source in c.submission.columns.items():
        if source not in readable:
            yield f"column {file_column!r} of the submission takes {source!r}, which a pair does not have"
    for words, expression in c.remarks.items():
        if unknown := set(expression.meta.root_names()) - set(c.log_columns):
            yield f"the remark {words!r} reads {_listed(unknown)}, which the log does not have"
    if "score" not in c.submission.columns.values():
        yield "no column of the submission takes 'score'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(repr, names)))


def _dense_problems(c: Competition) -> Iterable[str]:
    if c.dense is None:
        if c.dense_per is not None:
            yield f"dense_per={c.dense_per!r} says what dense is a share of, and there is no dense"
        return
    known = {*c.log_columns, *(name for entity in c.entities for name in entity.columns)}
    for option, name in (("dense", c.dense), ("dense_per", c.dense_per)):
        if name is not None and name not in known:
            yield f"{option}={name!r} is no column of the log or the attributes.{did_you_mean(name, known)}"
        elif name is not None and not _is_number(c, name):
            yield f"{option}={name!r} is no number"
    if c.dense in known and c.roles.get(c.dense) != "outcome":
        yield f"dense={c.dense!r} is no outcome"
    if c.dense_per is not None and c.roles.get(c.dense_per) == "outcome":
        yield f"dense_per={c.dense_per!r} is an outcome, which is unknown for the pairs to score"


def _is_number(c: Competition, name: str) -> bool:
    """Tell whether a column is a number; a derived one that cannot be made, which is told elsewhere, is let through."""
    if name not in c.derived:
        schemas = (c.interactions.columns(), *(entity.columns for entity in c.entities))
        return next(columns[name].dtype for columns in schemas if name in columns).is_numeric()
    try:
        schema = c.interactions.create_empty().lazy().select(c.derived[name].alias(name)).collect_schema()
    except pl.exceptions.PolarsError:
        return True
    return schema[name].is_numeric()


def is_rowwise(expression: pl.Expr) -> bool:
    """Tell whether nothing in the expression looks at other rows.

    Every sub-expression is asked: Polars calls ``x - x.mean()`` separable by rows, since only ``x.mean()`` in it is
    not. What works inside of a list (``x.list.eval(...)``) stays within the row.
    """
    inputs = expression.meta.pop()
    if str(expression.meta.serialize(format="json")).startswith('{"Eval"'):
        return is_rowwise(inputs[-1])
    try:
        alone = expression.meta.is_row_separable()
    except PolarsError:  # it depends on the dtypes of what is below
        alone = True
    return alone and all(is_rowwise(one) for one in inputs)


def keeps_rows(expression: pl.Expr) -> bool:
    """Tell whether the expression gives as many values as there are rows, or one: no ``filter`` is left open."""
    try:
        return expression.meta.is_known_length()
    except PolarsError:  # within a list, where the row stays as it is
        return True
