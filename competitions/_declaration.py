"""Check what a competition declares before any of its data is read."""

from __future__ import annotations

from collections.abc import Iterable

from competitions._competition import Competition, LogShare
from engine import DataError, did_you_mean

RESERVED = ("row", "clock", "relevance", "pair_id", "window", "score")


def check_declaration(competition: Competition) -> None:
    """Raise DataError if the competition contradicts itself: one message with everything that is wrong."""
    problems = [
        *_role_problems(competition),
        *_key_problems(competition),
        *_name_problems(competition),
        *_clock_problems(competition),
        *_target_problems(competition),
    ]
    if problems:
        raise DataError(
            f"Competition {competition.name!r} contradicts itself:\n" + "\n".join(f"- {p}" for p in problems),
            todo="correct its file in competitions/",
        )


def log_columns(competition: Competition) -> tuple[str, ...]:
    """Columns of the interactions and the derived ones, in the order of the log."""
    return (*competition.interactions.columns(), *competition.derived)


def observed_columns(competition: Competition) -> tuple[str, ...]:
    """Columns of the log that can be seen of a pair to score: keys and observed ones, in the order of the log."""
    return tuple(c for c in log_columns(competition) if competition.roles[c] != "outcome")


def given_columns(competition: Competition) -> tuple[str, ...]:
    """Columns that a table of given pairs brings: the observed ones that are not derived."""
    return tuple(c for c in observed_columns(competition) if c not in competition.derived)


def _role_problems(c: Competition) -> Iterable[str]:
    columns = log_columns(c)
    for name in columns:
        if name not in c.roles:
            yield f"column {name!r} has no role (key, observed or outcome)"
    for name, role in c.roles.items():
        if name not in columns:
            yield f"the role of {name!r} is given, but there is no such column.{did_you_mean(name, columns)}"
        if role not in ("key", "observed", "outcome"):
            yield f"column {name!r} has the role {role!r}, which is none of key, observed, outcome"
    for name, expression in c.derived.items():
        if name in c.interactions.columns():
            yield f"derived column {name!r} has the name of a column of the interactions"
        unknown = set(expression.meta.root_names()) - set(c.interactions.columns())
        if unknown:
            yield f"derived column {name!r} reads {_listed(unknown)}, which the interactions do not have"
        if c.roles.get(name) != "outcome" and any(
            c.roles.get(r) == "outcome" for r in expression.meta.root_names()
        ):
            yield f"derived column {name!r} is made of outcomes, so its role must be outcome"


def _key_problems(c: Competition) -> Iterable[str]:
    interactions = c.interactions.columns()
    for key, table, schema in ((c.user, "users", c.users.columns()), (c.item, "items", c.items.columns())):
        if c.roles.get(key) != "key":
            yield f"{key!r} must have the role 'key'"
        if key not in interactions or key not in schema:
            yield f"{key!r} must be a column of the interactions and of the {table}"
        elif interactions[key].dtype != schema[key].dtype:
            yield f"{key!r} is {interactions[key].dtype} in the interactions, {schema[key].dtype} in the {table}"
    known = {*log_columns(c), *c.users.columns(), *c.items.columns()}
    if c.source is not None and c.source not in known:
        yield f"the source {c.source!r} is no column of interactions, users or items.{did_you_mean(c.source, known)}"


def _name_problems(c: Competition) -> Iterable[str]:
    if not c.name.isidentifier():
        yield "its name must be a word of letters, digits and _"
    tables = {
        "the log": set(log_columns(c)),
        "the users": set(c.users.columns()) - {c.user},
        "the items": set(c.items.columns()) - {c.item},
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
    if isinstance(c.horizon, LogShare):
        if c.gap < 0:
            yield f"the gap is {c.gap}; it must be at least 0"
        if not 1 <= c.horizon.parts < c.horizon.of:
            yield f"the horizon is {c.horizon.parts} of {c.horizon.of} parts of the log; a share lies between 0 and 1"
        if c.clock.kind == "per_user":
            yield "the horizon of a per_user clock is a number of steps, not a share of the log"
        return
    if c.horizon < 1 or c.gap < 0:
        yield f"the horizon is {c.horizon} and the gap {c.gap}; they must be at least 1 and 0"
    if c.clock.kind == "per_user" and c.horizon + c.gap >= c.clock.steps:
        yield f"the horizon {c.horizon} and the gap {c.gap} leave no history in {c.clock.steps} steps"


def _target_problems(c: Competition) -> Iterable[str]:
    outcomes = [name for name, role in c.roles.items() if role == "outcome"]
    for name in c.relevance.meta.root_names():
        if name not in outcomes:
            yield f"relevance reads {name!r}, which is not an outcome.{did_you_mean(name, outcomes)}"
    readable = {*(name for name in log_columns(c) if c.roles.get(name) != "outcome"), "score", "pair_id"}
    for file_column, source in c.submission.columns.items():
        if source not in readable:
            yield f"column {file_column!r} of the submission takes {source!r}, which a pair does not have"
    for words, expression in c.remarks.items():
        if unknown := set(expression.meta.root_names()) - set(log_columns(c)):
            yield f"the remark {words!r} reads {_listed(unknown)}, which the log does not have"
    if "score" not in c.submission.columns.values():
        yield "no column of the submission takes 'score'"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(map(repr, names)))
