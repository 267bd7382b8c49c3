"""What values tell by themselves: dtype, range, constants, columns that say what others say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from features._audit.findings import Finding, found_in
from features._audit.ranges import outside, range_of
from features._audit.rows import Rows
from features._catalogue import Catalogue, FeatureColumn
from features._compute import has_order

DTYPE, RANGE, CONSTANT, DUPLICATE = "declared dtype", "range", "constant", "near-duplicate"
MOST_ALIKE = 0.999  # rank correlation, either way round, above which two columns say the same
FEWEST_VALUES = 5  # distinct ones; below, columns agree by chance
MOST_ROWS = 20_000


def value_findings(catalogue: Catalogue, rows: Rows) -> list[Finding]:
    """Check each column's dtype and range, then look for constants and near-duplicates."""
    found = [f for name in rows.names for f in _of_column(catalogue, catalogue.columns[name], rows)]
    return [*found, *duplicate_findings(catalogue, rows)]


def _of_column(catalogue: Catalogue, column: FeatureColumn, rows: Rows) -> list[Finding]:
    both = rows.both.select("pair_id", column.name)
    values = both[column.name]
    if values.dtype != column.dtype:
        evidence = f"its values are {values.dtype}, declared is {column.dtype}"
        return [found_in(column, DTYPE, evidence, "cast it to what it declares, or declare what it is")]
    wrong = _out_of_range(column, catalogue.dataset.history_schema, both)
    return [*([wrong] if wrong else []), *_constant(column, values, rows)]


def _out_of_range(column: FeatureColumn, schema: pl.Schema, both: pl.DataFrame) -> Finding | None:
    """Find what is not finite, and what lies outside of the range; the numbers of a vector one by one."""
    table = both.rename({column.name: "value"})
    while table.schema["value"].is_nested() and isinstance(table.schema["value"], pl.List | pl.Array):
        table = table.explode("value", empty_as_null=True, keep_nulls=True)
    dtype = table.schema["value"]
    if not dtype.is_numeric():
        return None
    span = range_of(column, schema)
    value = pl.col("value")
    is_wrong = pl.lit(False) if span is None else outside(value, dtype, span)
    if dtype.is_float():
        is_wrong |= value.is_infinite() | value.is_nan()
    wrong = table.filter(is_wrong)
    if not wrong.height:
        return None
    expected = "finite numbers" if span is None else f"{_bound(span[0], '-')} to {_bound(span[1], '')}"
    row = wrong.row(0, named=True)
    evidence = f"{wrong.height} of {table.height} values; pair {row['pair_id']} has {row['value']}, expected {expected}"
    return found_in(column, RANGE, evidence, "mend the formula, or declare another range=")


def _bound(value: float | None, sign: str) -> str:
    return f"{sign}infinity" if value is None else f"{value:g}"


def _constant(column: FeatureColumn, values: pl.Series, rows: Rows) -> list[Finding]:
    if values.n_unique() != 1 or not len(values):
        return []
    what = "null" if values.null_count() else str(values[0])
    evidence = f"all {len(values)} pairs have {what}"
    todo = "leave it out (features.exclude in config.toml), unless it varies on the whole data"
    return [found_in(column, CONSTANT, evidence, todo, severity="warning")]


def duplicate_findings(catalogue: Catalogue, rows: Rows) -> list[Finding]:
    """Find columns whose ranks are those of another one, by Spearman's correlation; null is the lowest value.

    The finding is of the later one; what no model reads counts as later than all model inputs.
    """
    both = rows.both
    if both.height > MOST_ROWS:
        both = both.gather_every(-(-both.height // MOST_ROWS))
    ordered = sorted(rows.names, key=lambda n: not catalogue.columns[n].is_model_input)
    names = [n for n in ordered if has_order(both.schema[n]) and both[n].n_unique() >= FEWEST_VALUES]
    if len(names) < 2:
        return []
    alike = _correlations(both, names)
    findings, taken = [], set()
    for i, j in zip(*np.nonzero(np.triu(np.abs(alike) > MOST_ALIKE, k=1)), strict=True):
        if j in taken:
            continue
        taken.add(j)
        findings.append(_duplicate(catalogue, both, names[i], names[j], float(alike[i, j])))
    return findings


def _correlations(both: pl.DataFrame, names: Sequence[str]) -> npt.NDArray[np.float64]:
    lowest = pl.lit(-np.inf)
    ranks = both.select(
        pl.col(n).to_physical().cast(pl.Float64).fill_null(lowest).rank("average") for n in names
    )
    table = ranks.to_numpy()
    table = table - table.mean(axis=0)
    norms = np.sqrt((table * table).sum(axis=0))
    table /= np.where(norms > 0, norms, 1.0)
    alike: npt.NDArray[np.float64] = table.T @ table
    return alike


def _duplicate(catalogue: Catalogue, both: pl.DataFrame, first: str, second: str, alike: float) -> Finding:
    known, column = catalogue.columns[first], catalogue.columns[second]
    row = both.filter(pl.col(first).is_not_null() & pl.col(second).is_not_null()).head(1)
    example = ""
    if row.height:
        one = row.row(0, named=True)
        example = f"; pair {one['pair_id']}: {one[first]} and {one[second]}"
    turned = " turned round" if alike < 0 else ""
    evidence = f"rank correlation {alike:.5f} with {first} ({known.declaration.place}): says the same{turned}{example}"
    todo = "leave one of the two out: features.exclude in config.toml"
    if not column.is_model_input:
        todo = f"no model reads it: if it is the same number, read {first} in its place"
    return found_in(column, DUPLICATE, evidence, todo, severity="warning")
