"""Bind declarations to a data set: which columns a feature has here, their dtypes, what they read; or why not."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import polars as pl
from polars.exceptions import SchemaError

from competitions import Dataset, is_rowwise, keeps_rows
from engine import did_you_mean
from features._arithmetic import dtype_of, handed_out, is_whole, spreads
from features._catalogue.column import (
    WINDOW_COLUMNS,
    AggregateBody,
    FeatureColumn,
    PairBody,
    PythonBody,
    as_dtype,
    call_body,
    check_expression,
    is_input,
)
from features._catalogue.fit import Flags, Ways, check_fit, fitted, lacks_kind, one_row
from features._catalogue.log_columns import LogColumns, log_columns
from features._catalogue.sums import inexact_sums
from features._declare import (
    Aggregate,
    Column,
    Declaration,
    DType,
    FeatureError,
    Key,
    Log,
    Lookback,
    MissingColumnError,
    Needed,
    Scope,
    aggregate_of,
)


def bind_history_feature(
    declaration: Declaration, dataset: Dataset, flags: Flags
) -> tuple[list[FeatureColumn], dict[str, str]]:
    """Bind what is made of the history: the columns of a declaration, and what is not available with the reason."""
    try:
        if declaration.kind == "aggregate":
            return _bind_aggregate(declaration, dataset, flags)
        return _bind_python(declaration, dataset, flags)
    except MissingColumnError as missing:
        return [], dict.fromkeys(declaration.names, missing.found)


def _bind_aggregate(
    declaration: Declaration, dataset: Dataset, flags: Flags
) -> tuple[list[FeatureColumn], dict[str, str]]:
    options = declaration.options
    schema = pl.Schema({**dataset.history_schema, **WINDOW_COLUMNS})

    def read(schema: pl.Schema, handed: Ways, names: set[str]) -> tuple[Aggregate, pl.Expr | None, DType]:
        log = Log(schema, handed, names)
        aggregate = aggregate_of(call_body(declaration, log), declaration)
        where = _where_of(declaration, log, schema)
        _check_expressions(declaration, aggregate, _read_by(aggregate, where), schema)
        found = _aggregate_dtype(declaration, aggregate, where, schema)
        return aggregate, where, options["dtype"] or found

    aggregate, where, dtype = fitted(declaration, schema, flags, read)
    kind = dataset.competition.clock.kind
    if kind != "time" and any(s.needs_time for s in aggregate.states.values()):
        raise MissingColumnError(f"needs a time clock for its half-life; here it is {kind!r}")
    used = {name for expression in _read_by(aggregate, where) for name in expression.meta.root_names()}
    grid = [(key, lookback) for key, lookback in options["grid"] if not _lacks(key, lookback, dataset)]
    inexact = inexact_sums(aggregate.states.values(), grid, where, schema, dataset)
    columns, lacking = [], {}
    for key, lookback in options["grid"]:
        name = declaration.grid_name(key, lookback)
        reason = _lacks(key, lookback, dataset) or inexact.get((key, lookback))
        if reason:
            lacking[name] = reason
            continue
        body = AggregateBody(aggregate, key, lookback, where)
        plain = tuple(sorted({*used, *key} - WINDOW_COLUMNS.keys()))
        shown = options["model_input"] and is_input(dtype)
        columns.append(
            FeatureColumn(
                name, declaration, body, as_dtype(dtype), shown, "row", key, lookback, columns=plain
            )
        )
    return columns, lacking


def _read_by(aggregate: Aggregate, where: pl.Expr | None) -> list[pl.Expr]:
    """List the expressions over the log that an aggregate is made of."""
    return [*(s.expression for s in aggregate.states.values()), *([] if where is None else [where])]


def _where_of(declaration: Declaration, log: Log, schema: pl.Schema) -> pl.Expr | None:
    condition = declaration.options["where"]
    if condition is None:
        return None
    where = call_body(replace(declaration, body=condition), log)
    if not isinstance(where, pl.Expr):
        raise FeatureError(
            f"The where= of feature {declaration.name!r} ({declaration.place}) returned {type(where).__name__}.",
            expected="a condition on columns of the log, such as log.like",
        )
    if (found := dtype_of(where, schema)) != pl.Boolean:
        raise SchemaError(f"its where= gives {found}")
    return where


def _check_expressions(
    declaration: Declaration, aggregate: Aggregate, read: Sequence[pl.Expr], schema: pl.Schema
) -> None:
    check_fit(read, schema)
    for state in aggregate.states.values():
        if state.is_sum and not (is_whole(found := state.dtype(schema)) or found.is_float()):
            raise SchemaError(f"a sum of {found}")
    for expression in (*read, aggregate.finish):
        check_expression(declaration, expression, schema)


def _lacks(key: Key, lookback: Lookback, dataset: Dataset) -> str:
    for name in key:
        if reason := _without_history(name, dataset):
            return reason
        if name not in dataset.pair_schema or name not in dataset.history_schema:
            role = dataset.competition.roles.get(name)
            known = (
                "which is an outcome, unknown for the pairs to score"
                if role == "outcome"
                else "which it lacks"
            )
            near = did_you_mean(name, dataset.pair_schema.keys() & dataset.history_schema.keys())
            return f"needs the key column {name!r}, {known}.{near}"
        if dataset.pair_schema[name].is_nested():
            return (
                f"needs the key column {name!r} to hold single values, but it is {dataset.pair_schema[name]}"
            )
    if lookback.kind == "span" and dataset.competition.clock.kind != "time":
        return f"needs a time clock for the lookback {lookback.text!r}; here it is {dataset.competition.clock.kind!r}"
    return ""


def _without_history(name: str, dataset: Dataset) -> str:
    """Say why a key has no history in the test: every value would be that of a key without rows."""
    if dataset.competition.aliases.get(name, name) in dataset.all_new:
        return f"needs a {name!r} with a past, and no test pair has one: every value of the test would be the same"
    return ""


def _aggregate_dtype(
    declaration: Declaration, aggregate: Aggregate, where: pl.Expr | None, schema: pl.Schema
) -> pl.DataType:
    """Find the dtype of the finish; floats become Float32. Raises PolarsError if the log does not fit."""
    states = list(aggregate.states.values())
    origins = {s.origin: pl.Float64() for s in states if s.origin}
    frame = one_row(pl.Schema({**schema, **origins}))
    rows = frame if where is None else frame.filter(where)
    grouped = rows.group_by(pl.lit(1).alias("key")).agg(*(s.within_group(schema) for s in states))
    grouped = grouped.with_columns(one.expressed(unit=1, in_64_bits=False) for one in spreads(states))
    # Some dtypes are refused only when it runs.
    dtype = grouped.select(aggregate.finish.alias("x")).collect(engine="in-memory").schema["x"]
    is_value = len(states) == 1 and aggregate.finish.meta.eq(pl.col(states[0].name))
    value_dtype = states[0].value_dtype(schema) if is_value else None
    if value_dtype is not None and isinstance(dtype, pl.List) and not isinstance(value_dtype, pl.List):
        raise FeatureError(
            f"{declaration} gives several values a key.",
            expected="an aggregate, such as mean(log.rating)",
        )
    dtype = aggregate.dtype or value_dtype or dtype
    return pl.Float32() if dtype == pl.Float64 else dtype


def _bind_python(
    declaration: Declaration, dataset: Dataset, flags: Flags
) -> tuple[list[FeatureColumn], dict[str, str]]:
    options = declaration.options
    key: Key = options.get("key", ())
    for name in key:
        if name not in dataset.pair_schema:
            near = did_you_mean(name, dataset.pair_schema.names())
            raise MissingColumnError(f"needs the key column {name!r}, which the pairs lack.{near}")
    for name in (*key, *options.get("null_without", ())):
        if reason := _without_history(name, dataset):
            raise MissingColumnError(reason)
    variants: Mapping[str, Any] = options.get("variants") or {"": None}
    columns, lacking = [], {}
    for variant, own in variants.items():
        arguments = {**_given(declaration, dataset), **(own or {})} or None
        needs = _needs(declaration, arguments or {})
        reason = _lacks_needed(needs, dataset, flags)
        handed = _handed(needs, dataset, flags)
        for output, said in options["columns"].items():
            name = declaration.output_name(output, variant)
            if reason:
                lacking[name] = reason
                continue
            body = PythonBody(output, key, tuple(needs), variant, arguments, handed)
            dtype = _declared_dtype(declaration, said, dataset)
            shown = options["model_input"] and is_input(dtype)
            scope = options.get("scope", "row")
            columns.append(
                FeatureColumn(name, declaration, body, dtype, shown, scope, key, columns=tuple(needs))
            )
    return columns, lacking


def _declared_dtype(declaration: Declaration, said: Column, dataset: Dataset) -> pl.DataType:
    found = call_body(replace(declaration, body=lambda: said.dtype_in(dataset.history_schema)))
    return as_dtype(cast("DType", found))


def _given(declaration: Declaration, dataset: Dataset) -> dict[str, LogColumns]:
    """Give a class with an argument ``log`` the columns of the log by what they are for."""
    body = declaration.body
    takes = isinstance(body, type) and "log" in inspect.signature(body).parameters
    return {"log": log_columns(dataset)} if takes else {}


def _needs(declaration: Declaration, arguments: Mapping[str, Any]) -> Mapping[str, Needed]:
    """Name the columns of the history that a variant reads, and what it takes each of them for."""
    needs = declaration.options["needs"]
    found = call_body(replace(declaration, body=lambda: needs(**arguments))) if callable(needs) else needs
    if isinstance(found, str) or not isinstance(found, Sequence | Mapping):
        raise FeatureError(
            f"The needs= of feature {declaration.name!r} ({declaration.place}) returned {found!r}.",
            expected="a list of names of columns of the log",
        )
    return found if isinstance(found, Mapping) else dict.fromkeys(map(str, found), "any")


def _lacks_needed(needs: Mapping[str, Needed], dataset: Dataset, flags: Flags) -> str:
    for name, kind in needs.items():
        if name not in dataset.history_schema:
            near = did_you_mean(name, dataset.history_schema.names())
            return f"needs the column {name!r} in the log.{near}"
        if reason := lacks_kind(name, kind, dataset, flags):
            return reason
    return ""


def _handed(needs: Mapping[str, Needed], dataset: Dataset, flags: Flags) -> Ways:
    """How a body gets what is not as it takes it for: integers for Booleans, floats that may be infinite."""
    taken: Ways = {n: "as a Boolean" for n, kind in needs.items() if kind == "flag"}
    schema = dataset.history_schema
    return {**flags.finite, **{n: how for n, how in taken.items() if schema.get(n) != pl.Boolean}}


def bind_pair_feature(
    declaration: Declaration,
    bound: Sequence[str],
    dataset: Dataset,
    known: Mapping[str, FeatureColumn],
    unavailable: Mapping[str, str],
    flags: Flags,
) -> FeatureColumn:
    """Bind a per-pair declaration; ``bound`` is what its first parameters stand for, if ``each`` is used."""
    options = declaration.options
    names = bound_names(declaration, bound)
    for name in names:
        _check_readable(name, dataset, known, unavailable)
    dtypes: dict[str, pl.DataType] = {**dataset.pair_schema, **WINDOW_COLUMNS}
    dtypes |= {n: known[n].dtype for n in names if n in known}

    def read(schema: pl.Schema, handed: Ways, looked_at: set[str]) -> tuple[pl.Expr, pl.DataType]:
        looked_at.update(names)
        given = (handed_out(n, schema[n], handed.get(n, "as it is")) for n in names)
        expression = call_body(declaration, *given)
        if not isinstance(expression, pl.Expr):
            raise FeatureError(
                f"{declaration} returned {type(expression).__name__}.",
                expected="a Polars expression over its parameters",
            )
        check_fit([expression], schema)
        check_expression(declaration, expression, schema)
        _check_reads(expression, names, declaration)
        return expression, _pair_dtype(expression, schema)

    expression, found = fitted(declaration, pl.Schema(dtypes), flags, read)
    if not keeps_rows(expression) or (options["scope"] == "row" and not is_rowwise(expression)):
        raise FeatureError(
            f"{declaration} looks at other pairs than its own.",
            expected="an elementwise expression; one value a pair in any scope",
            todo="declare @per_pair(scope='user') for .over(user), or scope='window'",
        )
    dtype = options["dtype"] or (pl.Float32() if found == pl.Float64 else found)
    if found.is_float() and as_dtype(dtype).is_integer():
        expression = expression.fill_nan(None)  # Polars casts the logarithm of a negative integer to 0
    name = declaration.pair_name(bound)
    reads = tuple(n for n in names if n in known)
    scope = _widest([options["scope"], *(known[n].scope for n in reads)])
    plain = tuple(n for n in names if n not in known and n not in WINDOW_COLUMNS)
    shown = options["model_input"] and is_input(dtype)
    return FeatureColumn(
        name, declaration, PairBody(expression), as_dtype(dtype), shown, scope, reads=reads, columns=plain
    )


def bound_names(declaration: Declaration, bound: Sequence[str]) -> list[str]:
    """Name what each parameter stands for."""
    return [*bound, *declaration.parameters[len(bound) :]]


def _check_reads(expression: pl.Expr, names: Sequence[str], declaration: Declaration) -> None:
    """Refuse columns that are no parameters: they would be there or not depending on what else is computed."""
    others = sorted(set(expression.meta.root_names()) - set(names))
    if others or expression.meta.has_multiple_outputs():
        raise FeatureError(
            f"{declaration} reads {others or 'columns by a selector'}, which its parameters do not name.",
            expected="each column and feature that it reads as a parameter",
            todo="add the parameter and use it in place of pl.col(...)",
        )


def _check_readable(
    name: str,
    dataset: Dataset,
    known: Mapping[str, FeatureColumn],
    unavailable: Mapping[str, str],
) -> None:
    if name in known or name in WINDOW_COLUMNS or name in dataset.pair_schema:
        return
    if name in dataset.history_schema:
        raise MissingColumnError(
            f"needs {name!r} of the pair to score, and that is an outcome, which is not known then: "
            "read it from the history with @aggregate"
        )
    if name in unavailable:
        raise MissingColumnError(f"needs {name!r}, which {unavailable[name]}")
    near = did_you_mean(name, [*known, *dataset.pair_schema.names()])
    raise MissingColumnError(f"needs {name!r}, which is neither a column of the pairs nor a feature.{near}")


def _pair_dtype(expression: pl.Expr, schema: pl.Schema) -> pl.DataType:
    """Find the dtype of an expression over pairs. Raises PolarsError if they do not fit."""
    one_row(schema).select(expression.alias("x")).collect(engine="in-memory")
    return dtype_of(expression, schema)


def _widest(scopes: Sequence[Scope]) -> Scope:
    order: tuple[Scope, ...] = ("row", "user", "window")
    return max(scopes, key=order.index)
