"""Whether the columns here are what a feature takes them for; where they are not, what would make it fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from itertools import combinations
from typing import TypeVar

import polars as pl
from polars.exceptions import ColumnNotFoundError, PolarsError

from competitions import Dataset
from engine import SamewiseError
from features._arithmetic import Handed, dtype_of
from features._catalogue.column import as_dtype
from features._declare import Declaration, FeatureError, MissingColumnError, Needed

T = TypeVar("T")
Ways = Mapping[str, Handed]  # how columns are handed out that are not as they are

_OTHERS: tuple[pl.DataType, ...] = (
    pl.Boolean(), pl.Int64(), pl.Float64(), pl.String(), pl.Datetime("us"), pl.List(pl.String()), pl.List(pl.Float64()),
)  # fmt: skip
_SEEN = ("id", "enums", "vector")  # what is said of the pair itself, and so read from the pairs as well
_KINDS: Mapping[str, tuple[str, Callable[[pl.DataType], bool]]] = {
    "any": ("of any dtype", lambda dtype: True),
    "flag": ("Boolean, or integers that are 0 or 1", lambda dtype: dtype == pl.Boolean),
    "number": ("an integer or a float", lambda dtype: dtype.is_integer() or dtype.is_float()),
    "instant": ("a Datetime", lambda dtype: isinstance(dtype, pl.Datetime)),
    "id": (
        "an integer, a text or an Enum",
        lambda dtype: dtype.is_integer() or isinstance(dtype, pl.String | pl.Enum),
    ),
    "enums": (
        "a list of Enum",
        lambda dtype: isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Enum),
    ),
    "vector": (
        "an array of floats, all of one width",
        lambda dtype: isinstance(dtype, pl.Array) and len(dtype.shape) == 1 and dtype.inner.is_float(),
    ),
}


class Flags:
    """How the columns of a data set are handed out to bodies. What takes a look at the rows is looked up when asked."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._known: dict[str, bool] = {}
        c = dataset.competition
        declared = [c.interactions, *(entity.schema for entity in c.entities if entity.schema is not None)]
        columns = {name: column for schema in declared for name, column in schema.columns().items()}
        odd = {
            n
            for n, of in columns.items()
            if getattr(of, "allow_nan", False) or getattr(of, "allow_inf", False)
        }
        self.finite: Ways = {
            name: "finite"
            for name, dtype in dataset.history_schema.items()
            if dtype.is_float() and name in {*odd, *c.derived}
        }

    def among(self, names: Iterable[str]) -> Ways:
        """Those of the columns of the history as Booleans that are integers of 0 and 1 throughout, nulls aside."""
        return {name: "as a Boolean" for name in names if self._is_flag(name)}

    def _is_flag(self, name: str) -> bool:
        if name not in self._known:
            dtype = self._dataset.history_schema.get(name, pl.Null())
            tables = (self._dataset.log, self._dataset.users, self._dataset.items)
            self._known[name] = dtype.is_integer() and all(
                _is_binary(table, name) for table in tables if name in table.collect_schema()
            )
        return self._known[name]


def _is_binary(table: pl.LazyFrame, name: str) -> bool:
    ends = table.select(least=pl.col(name).min(), most=pl.col(name).max()).collect(engine="streaming")
    least, most = ends.row(0)
    return least is None or (least >= 0 and most <= 1)


def lacks_kind(name: str, kind: Needed, dataset: Dataset, flags: Flags) -> str:
    """Why a column that is needed is of another kind or role here; empty if it is not."""
    dtype = dataset.history_schema[name]
    words, fits = (
        _KINDS[kind] if isinstance(kind, str) else (_short(as_dtype(kind)), lambda found: found == kind)
    )
    if kind in _SEEN and name not in dataset.pair_schema:
        return f"needs {name!r} of the pair to score, and here it is an outcome: declare it as observed"
    if fits(dtype) or (kind == "flag" and flags.among([name])):
        return ""
    return f"needs the column {name!r} to be {words}; here it is {_short(dtype)}"


def one_row(schema: pl.Schema) -> pl.LazyFrame:
    """A row of such columns to try expressions on: nulls, but where a dtype is looked at only once there is a value."""
    return _one_row(tuple(schema.items())).lazy()


@lru_cache(maxsize=16)
def _one_row(columns: tuple[tuple[str, pl.DataType], ...]) -> pl.DataFrame:
    return pl.DataFrame([pl.Series(name, [_value(dtype)], dtype=dtype) for name, dtype in columns])


def _value(dtype: pl.DataType) -> object:
    match dtype:
        case pl.Enum():
            return dtype.categories[0] if len(dtype.categories) else None
        case pl.List():
            return [None] * 8
        case pl.Array():
            return [None] * dtype.size
        case pl.Struct():
            return {field.name: None for field in dtype.fields}
        case _:
            return None


def check_fit(expressions: Iterable[pl.Expr], schema: pl.Schema) -> None:
    """Raise PolarsError for what fails on such columns whatever is in them, and for casts that fail for some values."""
    for expression in expressions:
        for text, to in _loose_casts(expression, schema):
            raise pl.exceptions.SchemaError(f"{text} is cast to {to}, and not every value of it can be")


def _loose_casts(expression: pl.Expr, schema: pl.Schema) -> Iterator[tuple[str, str]]:
    """Find casts to what not every value is: of texts, lists and the like to numbers, instants and Booleans."""
    inputs = expression.meta.pop()
    node = str(expression.meta.serialize(format="json"))
    if node.startswith('{"Cast"') and '"options":"Strict"' in node:
        try:
            before, after = dtype_of(inputs[0], schema), dtype_of(expression, schema)
        except PolarsError:  # within something that gives its columns meaning, such as list.eval
            before = after = pl.String()
        is_number = before.is_numeric() or before in (pl.Boolean, pl.Null)
        is_physical = isinstance(before, pl.Enum) and after.is_unsigned_integer()
        if (
            (after == pl.Boolean and not is_number)
            or (after.is_numeric() and not (is_number or before.is_temporal() or is_physical))
            or (after.is_temporal() and before == pl.String)
        ):
            yield ", ".join(map(repr, inputs[0].meta.root_names())) or "a constant", str(after)
    for one in inputs:
        yield from _loose_casts(one, schema)


def fitted(
    declaration: Declaration,
    schema: pl.Schema,
    flags: Flags,
    read: Callable[[pl.Schema, Ways, set[str]], T],
) -> T:
    """Read what a declaration makes of columns as they are, or else of those as Booleans that are 0 or 1 throughout.

    ``read(schema, handed, names)`` raises PolarsError for columns that it does not fit; it puts into ``names`` which
    it looks at. Raises MissingColumnError that says which dtypes would do, FeatureError if none would.
    """
    names: set[str] = set()
    try:
        return read(schema, flags.finite, names)
    except PolarsError as error:
        misfit = error
    if found := flags.among(sorted(names)):
        with suppress(PolarsError):
            return read(schema, {**flags.finite, **found}, names)
    said = str(misfit).split("\n")[0].strip()
    if isinstance(misfit, ColumnNotFoundError):
        raise FeatureError(f"{declaration} does not fit the columns here: {said}") from misfit
    fitting = _would_fit(sorted(names & {*schema}), schema, lambda other: read(other, {}, set()))
    given = " and ".join(f"{name!r} is {_short(schema[name])}" for name in fitting)
    fit = " or ".join(map(_short, next(iter(fitting.values())))) or "something else"
    raise MissingColumnError(
        f"needs {fit} in {' and '.join(map(repr, fitting))}; here {given} ({said})"
    ) from misfit


def _short(dtype: pl.DataType) -> str:
    return str(dtype) if isinstance(dtype, pl.List | pl.Array) else type(dtype).__name__


def _would_fit(
    names: list[str], schema: pl.Schema, read: Callable[[pl.Schema], object]
) -> dict[str, list[pl.DataType]]:
    """Find a column and the other dtypes of it that would do, or several and one dtype; all and none if none does."""
    for n in range(1, len(names) + 1):
        for chosen in combinations(names, n):
            found = [
                dtype
                for dtype in _OTHERS
                if _fits(pl.Schema({**schema, **dict.fromkeys(chosen, dtype)}), read)
            ]
            if found:
                return dict.fromkeys(chosen, found)
    return {name: [] for name in names}


def _fits(schema: pl.Schema, read: Callable[[pl.Schema], object]) -> bool:
    try:
        read(schema)
    except (PolarsError, SamewiseError):
        return False
    return True
