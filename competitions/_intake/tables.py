"""Check a raw table against its schema; a violation is one readable error with the first few bad rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import cast

import dataframely as dy
import polars as pl

from engine import DataError, did_you_mean

N_SHOWN = 3
PLAIN_WORDS = {"nullability": "must not be null", "nan": "must not be NaN", "inf": "must be finite"}


def schema_of(columns: Mapping[str, dy.Column]) -> type[dy.Schema]:
    """Make a schema of columns, whatever they are called: a column may bear the name of a schema's method."""
    renamed = {f"column_{i}": copy(column) for i, column in enumerate(columns.values())}
    for name, column in zip(columns, renamed.values(), strict=True):
        column.alias = name
    return cast("type[dy.Schema]", type("Made", (dy.Schema,), renamed))


@dataclass(frozen=True)
class TableRules:
    """What a table must be.

    Attributes
    ----------
    name
        What messages call the table, e.g. "interactions". ``competition``: whose it is; ``file``: where it lies.
    schema
        Its columns, dtypes and rules.
    keys
        Columns that are never null, whatever the schema says. ``is_unique``: together they name one row.
    """

    name: str
    competition: str
    schema: type[dy.Schema]
    keys: tuple[str, ...] = ()
    is_unique: bool = False
    file: str = ""

    @property
    def title(self) -> str:
        """How a message about the table begins."""
        return f"Table {self.name!r} of competition {self.competition!r}" + (
            f" ({self.file})" if self.file else ""
        )

    @property
    def unique(self) -> tuple[str, ...]:
        """Columns that together name one row; none if rows may repeat."""
        return self.keys if self.is_unique else ()


@contextmanager
def readable(rules: TableRules) -> Iterator[None]:
    """Turn what Polars and the disk raise in the block into a DataError that names the table."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{rules.title} cannot be read: {str(error).split(chr(10) * 2)[0].strip()}",
            expected=f"a table with the columns {', '.join(rules.schema.columns())}",
            todo="look at its file (is it whole?) and at read() of the competition",
        ) from error


def validated(table: pl.LazyFrame, rules: TableRules) -> pl.DataFrame:
    """Return ``row`` and the columns of the schema, in its dtypes, if every row keeps the rules.

    ``row`` is the number of the row, UInt32 from 0, unless the table brings its own numbers, which must be unique.
    Columns that the schema does not name are left out. Text is parsed where the schema wants a number or an Enum,
    integers are narrowed to the width of the schema, 0 and 1 become Booleans, floats are rounded to its precision,
    lists of the right length become arrays; a value that does not fit is a violation. Nothing else is converted.

    Raises
    ------
    DataError
        A column is missing or has a wrong dtype; or rows break rules: each rule with the number of rows and the
        first few of them.
    """
    check_columns(table, rules)
    with readable(rules):
        found = _numbered(table, rules)
    _check_violations(found, rules, _unparsed(found, rules))
    typed = found.with_columns(conversions(found.schema, rules.schema))
    _check_violations(typed, rules, _null_keys(typed, rules))
    _check_violations(typed, rules, [*_repeated(typed, rules), *_broken_rules(typed, rules)])
    return typed


@dataclass(frozen=True)
class _Violation:
    """A rule in words, the boolean mask of the rows (n_rows,) that break it, the columns worth showing."""

    rule: str
    rows: pl.Series
    show: tuple[str, ...]


def check_columns(table: pl.LazyFrame, rules: TableRules) -> None:
    """Raise DataError if the table lacks a column of its schema, or has one of a dtype that cannot become its."""
    with readable(rules):
        found = table.collect_schema()
    wanted = rules.schema.columns()
    missing = [c for c in wanted if c not in found]
    if missing:
        hint = did_you_mean(missing[0], [c for c in found if c not in wanted])
        raise DataError(
            f"{rules.title} has no column {', '.join(map(repr, missing))}.{hint}",
            expected=f"the columns {', '.join(wanted)}; found {', '.join(found) or 'none'}",
            todo="rename the column in the file, or in read() of the competition"
            + (", or name it in `outcomes` if it is known only afterwards" if rules.name == "pairs" else ""),
        )
    wrong = [
        f"{name} is {found[name]} instead of {column.dtype}"
        for name, column in wanted.items()
        if not (column.validate_dtype(found[name]) or converts(found[name], column.dtype))
    ]
    if wrong:
        raise DataError(
            f"{rules.title} has columns of a wrong dtype: {'; '.join(wrong)}.",
            expected="the dtypes that its schema declares",
            todo="cast the column in read() of the competition, or correct the schema",
        )


def _numbered(table: pl.LazyFrame, rules: TableRules) -> pl.DataFrame:
    if "row" not in table.collect_schema():
        table = table.with_row_index("row")
    found = table.select("row", *rules.schema.columns()).collect(engine="streaming")
    if found["row"].null_count() or found["row"].n_unique() != found.height:
        raise DataError(
            f"{rules.title} brings its own row numbers, and they are not unique.",
            expected="no column 'row', or one different number a row",
            todo="drop or rename the column 'row' in read() of the competition",
        )
    return found.with_columns(pl.col("row").cast(pl.UInt32))


def _unparsed(found: pl.DataFrame, rules: TableRules) -> list[_Violation]:
    """Values that are lost in the conversion: text that is no number, a number that the dtype cannot hold."""
    typed = found.select(conversions(found.schema, rules.schema))
    masks = {name: found[name].is_not_null() & typed[name].is_null() for name in typed.columns}
    return [
        _Violation(f"column {name!r} must be readable as {_words(typed.schema[name])}", mask, (name,))
        for name, mask in masks.items()
    ]


def _words(dtype: pl.DataType) -> str:
    return f"one of {', '.join(dtype.categories)}" if isinstance(dtype, pl.Enum) else str(dtype)


def _null_keys(typed: pl.DataFrame, rules: TableRules) -> list[_Violation]:
    return [_Violation(f"the key {k!r} must not be null", typed[k].is_null(), (k,)) for k in rules.keys]


def _repeated(typed: pl.DataFrame, rules: TableRules) -> list[_Violation]:
    if not rules.unique:
        return []
    names = ", ".join(rules.unique)
    return [_Violation(f"{names} must not repeat", typed.select(rules.unique).is_duplicated(), rules.unique)]


def _broken_rules(typed: pl.DataFrame, rules: TableRules) -> list[_Violation]:
    # A schema with `row` in it hands the row numbers of the bad rows back.
    numbered: type[dy.Schema] = cast(
        "type[dy.Schema]", type("Numbered", (rules.schema,), {"row": dy.UInt32()})
    )
    failure = numbered.filter(typed).failure
    counts = failure.counts()
    if not counts:
        return []
    details = failure.details()
    found = []
    for rule in counts:
        if rule == "primary_key" and set(rules.unique) == set(rules.schema.primary_key()):
            continue  # told by `_repeated` already
        bad = details.filter(pl.col(rule) == "invalid")["row"]
        found.append(
            _Violation(
                _rule_in_words(rule, rules.schema), typed["row"].is_in(bad.implode()), _shown(rule, rules)
            )
        )
    return found


def _rule_in_words(rule: str, schema: type[dy.Schema]) -> str:
    name, _, check = rule.partition("|")
    if rule == "primary_key":
        return f"{', '.join(schema.primary_key())} must not repeat"
    if not check:
        return f"the rule {rule!r} of the schema must hold"
    what, column = f"column {name!r}", schema.columns()[name]
    if check.startswith("inner_"):
        what, column = f"every element of {what}", getattr(column, "inner", column)
        check = check.removeprefix("inner_")
    if check in PLAIN_WORDS:
        return f"{what} {PLAIN_WORDS[check]}"
    limit = getattr(column, check, None)
    return f"{what} must keep the rule {check!r}" + (f" ({limit})" if limit is not None else "")


def _shown(rule: str, rules: TableRules) -> tuple[str, ...]:
    name, _, check = rule.partition("|")
    return (name,) if check else tuple(rules.schema.columns())


def _check_violations(table: pl.DataFrame, rules: TableRules, violations: Iterable[_Violation]) -> None:
    broken = [v for v in violations if v.rows.any()]
    if broken:
        raise DataError(
            f"{rules.title} breaks its rules:\n" + "\n".join(_line(table, rules, v) for v in broken),
            expected="every row to keep the rules of the schema",
            todo="correct the file, or the schema and read() of the competition",
        )


def _line(table: pl.DataFrame, rules: TableRules, violation: _Violation) -> str:
    bad = table.filter(violation.rows)
    columns = dict.fromkeys((*rules.unique, *violation.show))
    first = "; ".join(
        f"row {record['row']}: " + ", ".join(f"{c}={_short(record[c])}" for c in columns)
        for record in bad.head(N_SHOWN).iter_rows(named=True)
    )
    more = ", ..." if bad.height > N_SHOWN else ""
    return f"- {violation.rule}: {bad.height} of {table.height} rows do not, first {first}{more}"


def _short(value: object) -> str:
    """Return a value as text; of a long list its first few elements and its length."""
    if not isinstance(value, list) or len(value) <= N_SHOWN:
        return repr(value)
    return f"[{', '.join(map(repr, value[:N_SHOWN]))}, ...] ({len(value)} values)"


def converts(have: pl.DataType, want: pl.DataType) -> bool:
    """Whether a value either survives the cast or becomes null, so that no wrong value can come of it."""
    if have == pl.Null:
        return True
    if have == pl.String:
        return want.is_numeric() or isinstance(want, pl.Enum)
    if isinstance(have, pl.Categorical | pl.Enum):
        return isinstance(want, pl.Enum) or want == pl.String
    if isinstance(have, pl.List | pl.Array) and isinstance(want, pl.Array):
        return _holds_floats(have) and _holds_floats(want)
    if have.is_integer():
        return want.is_numeric() or want == pl.Boolean
    return have.is_float() and want.is_float()


def _holds_floats(dtype: pl.List | pl.Array) -> bool:
    return isinstance(dtype.inner, pl.DataType) and dtype.inner.is_float()


def conversions(have: pl.Schema, schema: type[dy.Schema]) -> list[pl.Expr]:
    """Return the columns that are not yet what the schema wants, converted; what a dtype cannot hold becomes null."""
    return [
        _cast(name, have[name], column.dtype)
        for name, column in schema.columns().items()
        if not column.validate_dtype(have[name])
    ]


def _cast(name: str, have: pl.DataType, want: pl.DataType) -> pl.Expr:
    """Convert a column; what the dtype cannot hold becomes null."""
    values = pl.col(name)
    if want == pl.Boolean:
        return pl.when(values.is_in([0, 1])).then(values == 1).alias(name)
    if isinstance(want, pl.Array):
        lists = values if isinstance(have, pl.List) else values.arr.to_list()
        fitting = pl.when(lists.list.len() == want.size).then(lists)
        return fitting.list.to_array(want.size).cast(want, strict=False).alias(name)
    return values.cast(want, strict=False)
