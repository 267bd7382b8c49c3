"""What a competition must not say of itself: everything that its declaration contradicts, in one message."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import get_args, get_origin, get_type_hints

import polars as pl
from polars.exceptions import PolarsError

from competitions._competition import RESERVED, ClockKind, Competition, LogShare
from engine import DataError, did_you_mean


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
