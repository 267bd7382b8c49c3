"""Bind features of the history (aggregates, tables, fitted ones) to a data set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from engine import did_you_mean
from features._aggregates import Aggregate
from features._column import (
    WINDOW_COLUMNS,
    AggregateBody,
    FeatureColumn,
    PythonBody,
    as_dtype,
    call_body,
    is_input,
)
from features._declare import Declaration, Key, Log, aggregate_of
from features._errors import FeatureError, MissingColumnError
from features._lookback import Lookback


def bind_history_feature(
    declaration: Declaration, dataset: Dataset
) -> tuple[list[FeatureColumn], dict[str, str]]:
    """Bind an aggregate, table or fitted declaration: its columns, and what is not available with the reason."""
    try:
        if declaration.kind == "aggregate":
            return _bind_aggregate(declaration, dataset)
        return _bind_python(declaration, dataset), {}
    except MissingColumnError as missing:
        return [], {declaration.name: missing.found}


def _bind_aggregate(declaration: Declaration, dataset: Dataset) -> tuple[list[FeatureColumn], dict[str, str]]:
    options = declaration.options
    schema = pl.Schema({**dataset.history_schema, **WINDOW_COLUMNS})
    log = Log(schema)
    aggregate = aggregate_of(call_body(declaration, log), declaration.name)
    where = options["where"](log) if options["where"] else None
    used = set().union(*(s.expression.meta.root_names() for s in aggregate.states.values()))
    dtype = options["dtype"] or _aggregate_dtype(declaration, aggregate, schema)
    columns, lacking = [], {}
    for key, lookback in options["grid"]:
        name = f"{declaration.name}__{'_x_'.join(key) or 'everything'}{lookback.suffix}"
        reason = _lacks(key, lookback, dataset)
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


def _lacks(key: Key, lookback: Lookback, dataset: Dataset) -> str:
    for name in key:
        if name not in dataset.pair_schema or name not in dataset.history_schema:
            role = dataset.competition.roles.get(name)
            known = (
                "which is an outcome, unknown for the pairs to score"
                if role == "outcome"
                else "which it lacks"
            )
            return f"needs the key column {name!r}, {known}.{did_you_mean(name, dataset.pair_schema.names())}"
        if dataset.pair_schema[name].is_nested():
            return (
                f"needs the key column {name!r} to hold single values, but it is {dataset.pair_schema[name]}"
            )
    if lookback.kind == "span" and dataset.competition.clock.kind != "time":
        return f"needs a time clock for the lookback {lookback.text!r}; here it is {dataset.competition.clock.kind!r}"
    return ""


def _aggregate_dtype(declaration: Declaration, aggregate: Aggregate, schema: pl.Schema) -> pl.DataType:
    """Find the dtype of the finish; floats become Float32."""
    if aggregate.dtype is not None:
        return aggregate.dtype
    states = list(aggregate.states.values())
    references = {s.reference: pl.Float64() for s in states if s.reference}
    frame = pl.LazyFrame(schema={**schema, **references}).group_by(pl.lit(1).alias("key"))
    states_frame = frame.agg(*(s.within_group(schema) for s in states))
    try:
        dtype = states_frame.select(aggregate.finish.alias("x")).collect_schema()["x"]
    except PolarsError as error:
        raise FeatureError(
            f"Feature {declaration.name!r} ({declaration.place}) does not fit the log: {error}"
        ) from error
    return pl.Float32() if dtype == pl.Float64 else dtype


def _bind_python(declaration: Declaration, dataset: Dataset) -> list[FeatureColumn]:
    options = declaration.options
    key: Key = options.get("key", ())
    for name in options["needs"]:
        if name not in dataset.history_schema:
            raise MissingColumnError(f"needs the column {name!r} in the log")
    for name in key:
        if name not in dataset.pair_schema:
            raise MissingColumnError(f"needs the key column {name!r}, which the pairs lack")
    variants: Mapping[str, Any] = options.get("variants") or {"": None}
    columns = []
    for variant, arguments in variants.items():
        for output, dtype in options["columns"].items():
            name = "__".join(part for part in (output, "_x_".join(key), variant) if part)
            body = PythonBody(output, key, options["needs"], variant, arguments)
            shown = options["model_input"] and is_input(dtype)
            scope = options.get("scope", "row")
            columns.append(
                FeatureColumn(
                    name, declaration, body, as_dtype(dtype), shown, scope, key, columns=options["needs"]
                )
            )
    return columns
