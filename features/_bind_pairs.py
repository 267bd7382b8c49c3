"""Bind per-pair features to a data set and to the features that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl
from polars.exceptions import PolarsError

from competitions import Dataset
from engine import did_you_mean
from features._column import (
    WINDOW_COLUMNS,
    FeatureColumn,
    PairBody,
    as_dtype,
    call_body,
    check_expression,
    is_input,
)
from features._errors import FeatureError, MissingColumnError
from features._registry import Declaration, Scope
from features._rowwise import is_rowwise
from features._widths import dtype_of, handed_out


def bind_pair_feature(
    declaration: Declaration,
    bound: Sequence[str],
    dataset: Dataset,
    known: Mapping[str, FeatureColumn],
    unavailable: Mapping[str, str],
) -> FeatureColumn:
    """Bind a per-pair declaration; ``bound`` is what its first parameters stand for, if ``each`` is used."""
    options = declaration.options
    names = bound_names(declaration, bound)
    for name in names:
        _check_readable(name, declaration, dataset, known, unavailable)
    dtypes: dict[str, pl.DataType] = {**dataset.pair_schema, **WINDOW_COLUMNS}
    dtypes |= {n: known[n].dtype for n in names if n in known}
    expression = call_body(declaration, *(handed_out(n, dtypes[n]) for n in names))
    if not isinstance(expression, pl.Expr):
        raise FeatureError(
            f"Feature {declaration.name!r} ({declaration.place}) returned {type(expression).__name__}.",
            expected="a Polars expression over its parameters",
        )
    check_expression(declaration, expression, pl.Schema(dtypes))
    _check_reads(expression, names, declaration)
    if options["scope"] == "row" and not is_rowwise(expression):
        raise FeatureError(
            f"Feature {declaration.name!r} ({declaration.place}) looks at other pairs than its own.",
            expected="an elementwise expression",
            todo="declare @per_pair(scope='user') for .over(user), or scope='window'",
        )
    dtype = options["dtype"] or _pair_dtype(declaration, expression, pl.Schema(dtypes))
    name = pair_name(declaration, bound)
    reads = tuple(n for n in names if n in known)
    scope = _widest([options["scope"], *(known[n].scope for n in reads)])
    plain = tuple(n for n in names if n not in known and n not in WINDOW_COLUMNS)
    shown = options["model_input"] and is_input(dtype)
    return FeatureColumn(
        name, declaration, PairBody(expression), as_dtype(dtype), shown, scope, reads=reads, columns=plain
    )


def pair_name(declaration: Declaration, bound: Sequence[str]) -> str:
    """Name the column of a per-pair declaration: the first of what is bound is part of it."""
    return "__".join([declaration.name, *bound[:1]])


def bound_names(declaration: Declaration, bound: Sequence[str]) -> list[str]:
    """Name what each parameter stands for."""
    return [*bound, *declaration.parameters[len(bound) :]]


def _check_reads(expression: pl.Expr, names: Sequence[str], declaration: Declaration) -> None:
    """Refuse columns that are no parameters: they would be there or not depending on what else is computed."""
    others = sorted(set(expression.meta.root_names()) - set(names))
    if others or expression.meta.has_multiple_outputs():
        raise FeatureError(
            f"Feature {declaration.name!r} ({declaration.place}) reads {others or 'columns by a selector'}, "
            "which its parameters do not name.",
            expected="each column and feature that it reads as a parameter",
            todo="add the parameter and use it in place of pl.col(...)",
        )


def _check_readable(
    name: str,
    declaration: Declaration,
    dataset: Dataset,
    known: Mapping[str, FeatureColumn],
    unavailable: Mapping[str, str],
) -> None:
    if name in known or name in WINDOW_COLUMNS or name in dataset.pair_schema:
        return
    if name in dataset.history_schema:
        raise FeatureError(
            f"Feature {declaration.name!r} ({declaration.place}) reads {name!r} from the pairs, but that is an "
            "outcome: it is not known when the pair is scored.",
            expected="keys, observed columns, attributes or features",
            todo="read it from the history with @aggregate",
        )
    if name in unavailable:
        raise MissingColumnError(f"needs {name!r}, which {unavailable[name]}")
    near = did_you_mean(name, [*known, *dataset.pair_schema.names()])
    raise MissingColumnError(f"needs {name!r}, which is neither a column of the pairs nor a feature.{near}")


def _pair_dtype(declaration: Declaration, expression: pl.Expr, schema: pl.Schema) -> pl.DataType:
    try:
        dtype = dtype_of(expression, schema)
    except PolarsError as error:
        raise FeatureError(
            f"Feature {declaration.name!r} ({declaration.place}) does not fit its inputs: {error}"
        ) from error
    return pl.Float32() if dtype == pl.Float64 else dtype


def _widest(scopes: Sequence[Scope]) -> Scope:
    order: tuple[Scope, ...] = ("row", "user", "window")
    return max(scopes, key=order.index)
