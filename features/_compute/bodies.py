"""Run ``@table`` and ``@fitted`` bodies, and check what bodies give back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from engine import capped_threads
from features._arithmetic import handed_out
from features._catalogue import FeatureColumn, PythonBody
from features._declare import FeatureError
from validation import Window


def run_body(
    columns: Sequence[FeatureColumn], history: pl.LazyFrame, window: Window, pairs: pl.DataFrame
) -> pl.DataFrame:
    """Run the body that the columns share; return ``pair_id`` and the columns by their full names."""
    column = columns[0]
    declaration = column.declaration
    read = history.select(_needed(column, history))
    try:
        with capped_threads(1), declaration.announced():
            if declaration.kind == "table":
                values = _run_table(column, read, window, pairs)
            else:
                values = _run_fitted(column, read, window, pairs)
        return checked(values, columns, pairs)
    except FeatureError:
        raise
    except (Exception, SystemExit) as error:  # libraries with a command line end the process
        raise FeatureError(
            f"{declaration} failed in window {window.name}: {type(error).__name__}: {error}",
            todo="mend it; run with --debug to see the traceback",
        ) from error


def python_body(column: FeatureColumn) -> PythonBody:
    """The Python body behind a column."""
    if not isinstance(column.body, PythonBody):
        raise FeatureError(f"Feature {column.name!r} has no Python body.")
    return column.body


def _needed(column: FeatureColumn, history: pl.LazyFrame) -> list[pl.Expr]:
    body = python_body(column)
    names = ("row", "clock", *body.key, *body.needs) if body.needs else history.collect_schema().names()
    return [handed_to(body, name) for name in dict.fromkeys(names)]


def handed_to(body: PythonBody, name: str) -> pl.Expr:
    """Give a column of the history to a body, as it is unless the body is to get it in another way."""
    return handed_out(name, pl.Null(), body.handed.get(name, "as it is"))


def _run_table(
    column: FeatureColumn, history: pl.LazyFrame, window: Window, pairs: pl.DataFrame
) -> pl.DataFrame:
    key = list(python_body(column).key)
    result = column.declaration.body(history, window)
    if not isinstance(result, pl.LazyFrame):
        raise FeatureError(
            f"{column.declaration} returned {type(result).__name__}.", expected="a polars LazyFrame"
        )
    values = result.collect(engine="in-memory")
    lacking = [name for name in key if not _fits(values.schema.get(name, pl.Unknown()), pairs.schema[name])]
    if lacking:
        raise FeatureError(
            f"{column.declaration} gave no key column {lacking} of the dtype that it has in the pairs.",
            expected=f"the columns {key} and the declared ones",
        )
    doubled = values.filter(values.select(key).is_duplicated())
    if doubled.height:
        raise FeatureError(
            f"{column.declaration} gave {doubled.height} rows with a repeated key.",
            expected=f"one row a key, unlike {doubled.row(0, named=True)}",
        )
    return pairs.select("pair_id", *key).join(
        values, on=key, how="left", validate="m:1", maintain_order="left"
    )


def _run_fitted(
    column: FeatureColumn, history: pl.LazyFrame, window: Window, pairs: pl.DataFrame
) -> pl.DataFrame:
    model = column.declaration.body(**(python_body(column).arguments or {}))
    model.fit(history, window)
    ordered = by_id(pairs)
    return as_frame(column, model.transform(ordered), ordered["pair_id"])


def by_id(pairs: pl.DataFrame) -> pl.DataFrame:
    """Sort pairs by their id, as bodies are given them."""
    return pairs if pairs["pair_id"].is_sorted() else pairs.sort("pair_id")


def in_order_of(pairs: pl.DataFrame, values: pl.DataFrame) -> pl.DataFrame:
    """Give values (``pair_id``, each once) in the order of the pairs."""
    if values["pair_id"].equals(pairs["pair_id"]):
        return values
    return pairs.select("pair_id").join(
        values, on="pair_id", how="left", validate="1:1", maintain_order="left"
    )


def as_frame(column: FeatureColumn, values: object, pair_ids: pl.Series) -> pl.DataFrame:
    """Read what ``transform`` gave: arrays by name, or a frame; without ``pair_id`` in the order of the pairs."""
    if isinstance(values, Mapping):
        try:
            series = [pl.Series(str(name), of, strict=False) for name, of in values.items()]
        except (TypeError, ValueError) as error:
            raise FeatureError(
                f"{column.declaration} gave no arrays: {error}", expected="one value a pair"
            ) from error
        wrong = {one.name: len(one) for one in series if len(one) != len(pair_ids)}
        if wrong:
            raise FeatureError(
                f"{column.declaration} gave arrays of {wrong} values for {len(pair_ids)} pairs.",
                expected="one value a pair, in the order of the pairs",
            )
        values = pl.DataFrame(series)
    if not isinstance(values, pl.DataFrame):
        raise FeatureError(
            f"{column.declaration} gave {type(values).__name__}.",
            expected="a mapping of column names to arrays, or a polars DataFrame, one row a pair",
        )
    if "pair_id" in values.columns:
        return values
    if values.height != len(pair_ids):
        raise FeatureError(
            f"{column.declaration} gave {values.height} rows for {len(pair_ids)} pairs.",
            expected="one row a pair in their order, or a column pair_id with each exactly once",
        )
    return values.with_columns(pair_ids)


def checked(values: pl.DataFrame, columns: Sequence[FeatureColumn], pairs: pl.DataFrame) -> pl.DataFrame:
    """Check columns, dtypes and that every pair has exactly one row; name the columns in full."""
    column = columns[0]
    given = values["pair_id"]
    if not given.dtype.is_integer() or not given.sort().equals(pairs["pair_id"].sort()):
        raise FeatureError(
            f"{column.declaration} gave {values.height} rows for {pairs.height} pairs, with {given.n_unique()} "
            f"different pair_id of dtype {given.dtype}.",
            expected="each pair_id exactly once",
        )
    return values.select("pair_id", *(_cast(one, values) for one in columns))


def _cast(column: FeatureColumn, values: pl.DataFrame) -> pl.Expr:
    """Give a column its declared dtype and name; what it does not fit into without loss of meaning is refused."""
    output = python_body(column).output
    if output not in values.columns:
        raise FeatureError(f"{column.declaration} did not give the column {output!r} that it declares.")
    given = values.schema[output]
    if not _fits(given, column.dtype):
        raise FeatureError(
            f"{column.declaration} gave {output!r} as {given}.", expected=f"{column.dtype}, as declared"
        )
    value = pl.col(output).fill_nan(None) if given.is_float() else pl.col(output)
    return column.finished(value)


def _fits(given: pl.DataType, declared: pl.DataType) -> bool:
    """Tell whether values are cast: numbers to floats, integers to integers; anything else must be as declared."""
    if given.is_integer() or given == pl.Boolean:
        return declared.is_float() or (declared.is_integer() and given.is_integer()) or given == declared
    return given == declared or given == pl.Null or (given.is_float() and declared.is_float())
