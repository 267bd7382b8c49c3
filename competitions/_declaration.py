"""What a competition must not say of itself: everything that its declaration contradicts, in one message."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import dataframely as dy
import polars as pl
from polars.exceptions import PolarsError

from competitions._competition import RESERVED, ClockKind, Competition, LogShare, Threshold
from engine import DataError, SamewiseError, did_you_mean

MOST_UNITS = 2**53  # of a horizon or a gap: whole numbers up to here are exact as floats, too
MOST_STEPS, MOST_WINDOWS = 2**31, 1_000
MOST_LETTERS = 80  # of a name: it becomes part of the names of folders
SEPARATORS = (set(string.punctuation) | {" ", "\t"}) - set('.+-"')


@cache
def check_declaration(competition: Competition) -> None:
    """Raise DataError if the competition contradicts itself: one message with everything that is wrong."""
    problems = list(_type_problems(competition)) or [
        *_outcome_problems(competition),
        *_expression_problems(competition),
        *_key_problems(competition),
        *_name_problems(competition),
        *_clock_problems(competition),
        *_submission_problems(competition),
        *_metric_problems(competition),
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
        yield from _misfits(name, getattr(c, name), hint)
    for table, schema in (("interactions", c.interactions), ("users", c.users), ("items", c.items)):
        for name in dir(dy.Schema) if isinstance(schema, type) else ():
            if isinstance(getattr(schema, name, None), dy.Column):
                yield (
                    f"the column {name!r} of {table} takes the place of the method that every schema has: write "
                    f"{name}_ = dy.KIND(..., alias={name!r})"
                )


def _misfits(place: str, value: object, hint: Any) -> Iterable[str]:
    """Say which of a value and, in a dataclass of ours, of its fields is not what its annotation says."""
    if not _fits(value, hint):
        shown = repr(value) if len(repr(value)) <= MOST_LETTERS else f"a {type(value).__name__}"
        is_text_for_list = isinstance(value, str) and get_origin(hint) not in (None, Literal, UnionType)
        hint_words = f": write {place}=({value!r},)" if is_text_for_list else ""
        yield f"{place}={shown} is no {_type_in_words(hint)}{hint_words}"
    elif get_origin(hint) is Mapping and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _misfits(f"{place}[{name!r}]", inner, get_args(hint)[1])
    elif is_dataclass(value) and not isinstance(value, type):
        for name, inner in get_type_hints(type(value)).items():
            yield from _misfits(f"{place}.{name}", getattr(value, name), inner)


def _fits(value: Any, hint: Any) -> bool:
    """Tell whether a value is what an annotation says, elements of collections included; true is no number."""
    args = get_args(hint)
    origin: Any = get_origin(hint)
    if isinstance(hint, UnionType):
        return any(_fits(value, one) for one in args)
    if hint is object:
        return True
    if origin is Literal:
        return isinstance(value, str)  # which text it is, is told with the others that there are
    if origin is Callable:
        return callable(value)
    if origin is type:
        return isinstance(value, type) and issubclass(value, args[0])
    if origin is not None and isinstance(value, Mapping) and issubclass(origin, Mapping):
        return all(_fits(k, args[0]) and _fits(v, args[1]) for k, v in value.items())
    if origin is not None and issubclass(origin, Collection):
        is_one = isinstance(value, origin) and not isinstance(value, str | bytes | Mapping)
        return is_one and all(_fits(one, args[0]) for one in value)
    kind = int | float if hint is float else hint
    return isinstance(value, kind) and not (isinstance(value, bool) and hint in (int, float))


def _type_in_words(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(map(_type_in_words, get_args(hint)))
    origin, args = get_origin(hint), get_args(hint)
    if origin is Callable:
        return "function"
    if origin is not None and args and origin is not Literal:
        return f"{origin.__name__} of {' to '.join(_type_in_words(one) for one in args)}"
    return "None" if hint is NoneType else str(getattr(hint, "__name__", hint))


def _outcome_problems(c: Competition) -> Iterable[str]:
    for name in c.outcomes:
        if name not in c.log_columns:
            yield f"there is no column {name!r}, which is named as an outcome.{did_you_mean(name, c.log_columns)}"
        elif c.roles[name] == "key":
            yield f"{name!r} is a key, which is known of every pair, and cannot be an outcome"
    if c.source is not None and c.roles.get(c.source) == "outcome":
        yield f"the source {c.source!r} is an outcome, which is unknown for the pairs to score"


def _expression_problems(c: Competition) -> Iterable[str]:
    """Check derived columns, relevance and remarks, and what comes of them, on a log without rows."""
    outcomes = [name for name, role in c.roles.items() if role == "outcome"]
    yield from (
        f"derived column {name!r} has the name of a column of the interactions"
        for name in c.derived
        if name in c.interactions.columns()
    )
    rows: pl.DataFrame = c.interactions.create_empty()
    rows = rows.with_columns(
        pl.col(own).alias(name) for name, own in c.aliases.items() if own in rows.columns
    )
    for name, threshold in c.thresholds.items():
        yield from _threshold_problems(c, name, threshold, rows)
    rows = rows.with_columns(pl.lit(0, pl.Int64).alias(name) for name in c.thresholds)
    derived = {f"derived column {name!r}": (name, e) for name, e in c.derived.items()}
    remarks = {f"the remark {words!r}": (words, e) for words, e in c.remarks.items()}
    for what, (name, expression) in {**derived, "relevance": ("relevance", c.relevance), **remarks}.items():
        every = [name for name in c.log_columns if name in rows.columns or name in c.derived]
        known = [*(c.interactions.columns() if what in derived else every)]
        known += [] if what in remarks else c.thresholds
        wrong = [*_reading_problems(expression, known), *_rowwise_problems(expression)]
        if what == "relevance":
            reads = expression.meta.root_names()
            wrong += [] if reads or wrong else ["reads no outcome"]
            wrong += [
                f"reads {n!r}, which is not an outcome.{did_you_mean(n, outcomes)}"
                for n in reads
                if n not in (*outcomes, *c.thresholds)
            ]
        yield from (f"{what} {words}" for words in wrong)
        if wrong or not set(known) <= {*rows.columns}:
            continue
        try:
            found = rows.with_columns(expression.alias(name))
        except PolarsError as error:
            yield f"{what} cannot be computed from these columns: {str(error).splitlines()[0]}"
            continue
        if numbers_categories(expression, rows.schema):
            yield f"{what} takes categories for {NUMBERS_OF_CATEGORIES}"
        dtype = found.schema[name]
        if what in derived:
            rows = found
        elif what in remarks and dtype != pl.Boolean:
            yield f"{what} is {dtype}, not Boolean: it says of which rows it is true"
        elif what == "relevance" and not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)):
            yield f"relevance is of dtype {dtype}, neither Boolean nor a number: cast it in its expression"


def _threshold_problems(c: Competition, name: str, threshold: Threshold, rows: pl.DataFrame) -> Iterable[str]:
    what = f"the threshold {name!r}"
    if name in (*RESERVED, *c.log_columns) or not name:
        yield f"{what} has the name of a column, or none"
    if not 0 <= threshold.quantile <= 1:
        yield f"{what} is the quantile {threshold.quantile}: a share lies between 0 and 1"
    wrong = [*_reading_problems(threshold.of, rows.columns), *_rowwise_problems(threshold.of)]
    yield from (f"{what} {words}" for words in wrong)
    if not wrong:
        try:
            dtype = rows.select(threshold.of.alias(name)).schema[name]
        except PolarsError as error:
            yield f"{what} cannot be computed from these columns: {str(error).splitlines()[0]}"
        else:
            if not dtype.is_numeric():
                yield f"{what} is a quantile of {dtype}, not of a number"


def _reading_problems(expression: pl.Expr, known: Iterable[str]) -> Iterable[str]:
    if expression.meta.has_multiple_outputs():
        yield "reads columns by a pattern: name them, so that it is seen which of them are outcomes"
    elif unknown := set(expression.meta.root_names()) - set(known):
        yield f"reads {_listed(unknown)}, which the log does not have.{did_you_mean(min(unknown), known)}"


def _rowwise_problems(expression: pl.Expr) -> Iterable[str]:
    """Refuse what looks at other rows: on a ``row`` clock these would be those of a partition."""
    if runs_python(expression):
        yield "calls a Python function, which could look at other rows: write it with Polars functions"
    elif not is_rowwise(expression) or not keeps_rows(expression):
        yield "looks at other rows than its own"


def _key_problems(c: Competition) -> Iterable[str]:
    interactions = c.interactions.columns()
    for table, _, key, schema in c.entities:
        columns = interactions if schema is None else schema.columns()
        if key not in interactions or key not in columns:
            yield f"{key!r} must be a column of the interactions" + (
                "" if schema is None else f" and of the {table}"
            )
        elif not _is_id(interactions[key].dtype):
            yield f"{key!r} is {interactions[key].dtype}: ids are whole numbers or texts"
        elif interactions[key].dtype != columns[key].dtype:
            yield f"{key!r} is {interactions[key].dtype} in the interactions, {columns[key].dtype} in the {table}"
    if c.user == c.item:
        yield f"{c.user!r} is both the user and the item"
    known = {*c.log_columns, *(name for entity in c.entities for name in entity.columns)}
    if c.source is not None and c.source not in known:
        yield f"the source {c.source!r} is no column of interactions, users or items.{did_you_mean(c.source, known)}"
    elif c.source is not None and not _is_single(c, c.source):
        yield f"the source {c.source!r} holds no single numbers or texts"
    elif c.source in (c.user, c.item):
        yield f"the source {c.source!r} is the key of the users or items, not what stands behind an item"


def _is_id(dtype: pl.DataType) -> bool:
    return dtype.is_integer() or dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical)


def _name_problems(c: Competition) -> Iterable[str]:
    if not c.name.isidentifier() or len(c.name) > MOST_LETTERS:
        yield f"its name must be a word of letters, digits and _, at most {MOST_LETTERS} of them"
    if not 1 <= c.n_train_windows <= MOST_WINDOWS:
        yield f"n_train_windows is {c.n_train_windows}; it must be from 1 to {MOST_WINDOWS}"
    if "" in c.leave_out:
        yield "leave_out holds an empty pattern"
    tables = {
        "the log": set(c.log_columns),
        **{f"the {entity.table}": set(entity.columns) - {entity.key} for entity in c.entities},
    }
    for name in RESERVED:
        for table, columns in tables.items():
            if name in columns:
                yield f"{table} have a column {name!r}, a name that Samewise needs itself"
    declared = [
        column
        for schema in (c.interactions, c.users, c.items)
        if schema
        for column in schema.columns().items()
    ]
    for name, column in declared:
        if column.dtype == pl.Object:
            yield f"column {name!r} is of dtype Object, which no file can hold"
    for name in (*(name for name, _ in declared), *c.derived):
        if not 0 < len(name) <= MOST_LETTERS or not name.isprintable():
            yield f"a column is called {name!r}, which is no text of 1 to {MOST_LETTERS} letters"
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
    elif clock.kind == "row" and clock.column is not None:
        yield f"a clock of kind 'row' is the order of the rows, and reads no column {clock.column!r}"
    elif clock.kind == "per_user" and clock.column is not None and columns[clock.column].dtype.is_nested():
        yield f"the clock's column {clock.column!r} is {columns[clock.column].dtype}, which has no order"
    elif clock.kind == "time" and clock.column is not None and not _is_instant(columns[clock.column].dtype):
        yield f"the clock's column {clock.column!r} is {columns[clock.column].dtype}, not a Datetime"
    if not 2 <= clock.steps <= MOST_STEPS:
        yield f"a clock of {clock.steps} steps: it takes 2 for a history before the last, and at most {MOST_STEPS}"
    yield from _length_problems(c)


def _is_instant(dtype: pl.DataType) -> bool:
    return dtype == pl.Date or dtype == pl.Datetime


def _length_problems(c: Competition) -> Iterable[str]:
    if not 0 <= c.gap <= MOST_UNITS:
        yield f"the gap is {c.gap}; it must be at least 0{_at_most(c.gap)}"
    if isinstance(c.horizon, LogShare):
        numbers = c.horizon.parts, c.horizon.of
        if not 1 <= numbers[0] < numbers[1] <= MOST_UNITS:
            yield f"the horizon is {c.horizon.parts} of {c.horizon.of} parts of the log; a share lies between 0 and 1"
        if c.clock.kind == "per_user":
            yield "the horizon of a per_user clock is a number of steps, not a share of the log"
    elif not 1 <= c.horizon <= MOST_UNITS:
        yield f"the horizon is {c.horizon}; it must be at least 1{_at_most(c.horizon)}"
    elif c.clock.kind == "per_user" and c.horizon + c.gap >= c.clock.steps:
        yield f"the horizon {c.horizon} and the gap {c.gap} leave no history in {c.clock.steps} steps"


def _at_most(number: int) -> str:
    return f" and at most {MOST_UNITS}" if number > MOST_UNITS else ""


def _submission_problems(c: Competition) -> Iterable[str]:
    form, readable = c.submission, {*c.observed_columns, "score", "pair_id"}
    for name, source in form.columns.items():
        if source not in readable:
            yield f"column {name!r} of the submission takes {source!r}, which a pair does not have"
        elif not _is_single(c, source):
            yield f"column {name!r} of the submission takes {source!r}, whose values are no numbers or texts"
        if name != name.strip() or not name or set(name) & set('"\r\n\ufeff'):
            yield f"a column of the submission is called {name!r}: a name is a text without quotes and line breaks"
    scores = [name for name, source in form.columns.items() if source == "score"]
    if not scores:
        yield "no column of the submission takes 'score'"
    elif len(scores) > 1:
        yield f"columns {_listed(scores)} of the submission take 'score': one of them can"
    elif len(form.columns) == 1 and not form.ordered:
        yield "the submission has no column but the score: it tells the pairs apart only if it is ordered=True"
    if form.separator not in SEPARATORS:
        yield (
            f"the separator {form.separator!r} of the submission is not one character that is in no number "
            "and no word, such as ',', ';' or a tab"
        )
    if not re.fullmatch(r"[A-Za-z0-9]{1,10}(\.[A-Za-z0-9]{1,10})?", form.extension):
        yield f"the extension {form.extension!r} of the submission is none, such as 'csv'"


def _is_single(c: Competition, name: str) -> bool:
    """Tell whether the values of a column can be written into one field; a derived column is let through."""
    schemas = (c.interactions.columns(), *(entity.columns for entity in c.entities))
    dtypes = [columns[name].dtype for columns in schemas if name in columns]
    return not any(dtype.is_nested() or dtype in (pl.Binary, pl.Object, pl.Duration) for dtype in dtypes)


def _metric_problems(c: Competition) -> Iterable[str]:
    """Ask the room of the metrics. It lies above this one: it is imported while checking, and by no data."""
    try:
        import_module("validation").check_metric(c.metric)
    except SamewiseError as error:
        words = (f"expected {error.expected}" if error.expected else "", error.todo)
        yield "; ".join(["its metric: " + error.found.removesuffix("."), *filter(None, words)])


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
    if c.dense_per is not None and c.dense_per in (c.user, c.item, c.source):
        yield f"dense_per={c.dense_per!r} is a key: its numbers are names, and no amount is a share of a name"


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


def runs_python(expression: pl.Expr) -> bool:
    """Tell whether a Python function hides in the expression (``map_batches``, ``map_elements``)."""
    return '{"AnonymousFunction":' in str(expression.meta.serialize(format="json"))


NUMBERS_OF_CATEGORIES = (
    "numbers, which depend on what the process has read before: cast to text, or declare an Enum"
)


def numbers_categories(expression: pl.Expr, schema: pl.Schema, within: str = "") -> bool:
    """Tell whether the expression takes Categoricals for the numbers that they are stored as.

    ``within``: the expression that it is part of, serialized.
    """
    inputs = expression.meta.pop()
    node = str(expression.meta.serialize(format="json"))
    within = within or node
    if node.endswith(('"function":"ToPhysical"}}', '"function":{"Categorical":"Physical"}}}')):
        try:
            dtype = pl.LazyFrame(schema=schema).select(inputs[0]).collect_schema().dtypes()[0]
        except PolarsError:  # within a list: of categories if there are any
            return "Categorical" in within or any("Categorical" in str(of) for of in schema.values())
        if "Categorical" in str(dtype):
            return True
    return any(numbers_categories(one, schema, within) for one in inputs)


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
