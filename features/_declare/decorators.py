"""The five ways to write a feature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, overload

import numpy.typing as npt
import polars as pl

from engine import did_you_mean
from features._arithmetic import Handed, handed_out
from features._declare.aggregates import Aggregate, raw
from features._declare.checks import problems
from features._declare.errors import FeatureError, MissingColumnError
from features._declare.handle import Body, Feature, as_key
from features._declare.lookback import Lookback, as_lookback
from features._declare.registry import (
    NEEDED,
    REGISTRY,
    Column,
    Declaration,
    DType,
    Kind,
    Needed,
    Place,
    Range,
    Registry,
    Scope,
)
from validation import Window

Bound = str | Feature[Any] | Sequence[str | Feature[Any]]
Needs = Sequence[str] | Mapping[str, Needed]


Transformed = Mapping[str, npt.NDArray[Any]] | Mapping[str, pl.Series] | pl.DataFrame


class Fittable(Protocol):
    """A class behind ``@fitted``: fitted once a window, on its history."""

    def fit(self, history: pl.LazyFrame, window: Window) -> None:
        """Learn from the history (sorted by clock and row)."""
        ...

    def transform(self, pairs: pl.DataFrame) -> Transformed:
        """Give the declared columns for each pair, in the order of the pairs: arrays by name, or a frame.

        Row by row: other pairs must not matter. Numbers are cast to the declared dtypes, and NaN is null. A frame with
        ``pair_id`` may be in any order.
        """
        ...


@dataclass(frozen=True)
class StreamContext:
    """What a learner behind ``@streamed`` starts with.

    ``seed``: of all that is random, the same in every run. ``folder``: empty, for what does not fit in memory; it is
    gone with the instance, so what matters of it has to be saved.
    """

    seed: int
    folder: Path


class Streamable(Protocol):
    """A class behind ``@streamed``: it goes through the log once, and is looked at where a window's history ends.

    Every instance is started; then it either learns from the first row or loads what another one has saved. A class
    with ``refine`` has one method more: ``sweep(chunks)`` goes over an iterator of all chunks of the window's history
    once again, from the state reached.
    """

    def start(self, context: StreamContext) -> None:
        """Begin with nothing learned."""
        ...

    def learn(self, rows: pl.DataFrame) -> None:
        """Learn from the next rows of the log, in the order of (clock, row): each row exactly once."""
        ...

    def transform(self, pairs: pl.DataFrame) -> Transformed:
        """Give the declared columns for each pair as of now, as ``Fittable.transform`` does, and change nothing."""
        ...

    def save(self, folder: Path) -> None:
        """Write the state into an empty folder, in native files and without loss; some rows were learned before."""
        ...

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote: what follows is the same, bit for bit."""
        ...


Class = TypeVar("Class", bound=type[Fittable])
Learner = TypeVar("Learner", bound=type[Streamable])
_CLASSES = {
    "fitted": "a class with fit and transform",
    "streamed": "a class with start, learn, transform, save and load",
}


class Log:
    """Hands out columns of the history, joined with attributes, as Polars expressions; narrow integers as Int64.

    ``log.like`` and ``log["like"]`` are the same. ``log.clock`` is the row's clock, ``log.cutoff`` the window's.
    ``handed``: columns that are handed out in another way. ``read``: what was handed out is put into it.
    """

    def __init__(
        self, schema: pl.Schema, handed: Mapping[str, Handed] | None = None, read: set[str] | None = None
    ) -> None:
        self._schema, self._handed, self._read = schema, handed or {}, set() if read is None else read

    def __getitem__(self, name: str) -> pl.Expr:
        if name not in self._schema:
            near = did_you_mean(name, self._schema.names())
            raise MissingColumnError(f"needs the column {name!r} in the log.{near}")
        self._read.add(name)
        return handed_out(name, self._schema[name], self._handed.get(name, "as it is"))

    def __getattr__(self, name: str) -> pl.Expr:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]


def aggregate(
    *,
    keys: Sequence[str | Sequence[str]],
    lookbacks: Sequence[str | Lookback | None] = (None,),
    fill: float | str | None = None,
    dtype: DType | None = None,
    model_input: bool = True,
    where: Callable[[Log], pl.Expr] | None = None,
    range: Range | None = None,
    uses_ids: bool = False,
    uses_time: bool = False,
    registry: Registry = REGISTRY,
) -> Callable[[Body], Feature[Body]]:
    """Register a grid of columns: an aggregate of the history by each key and lookback.

    The function takes the ``log`` and returns an aggregate (``smoothed(log.like, strength=20)``), arithmetic
    between aggregates, or a plain Polars aggregation. Columns are named ``name__key[__lookback]``. Keys must be
    columns of the pairs; a tuple is a cross; ``()`` is everything. A null key is an unseen key.

    ``fill`` replaces null. ``dtype`` is Float32 unless the aggregate is a count (UInt32) or a value of a column.
    ``model_input=False``: a stepping stone for other features, not offered to models. ``where`` keeps rows before
    anything else (and before ``last_n(n)`` counts them). ``range`` is what audits hold the values to, as
    ``(low, high)``, both included, None for an open end; counts and rates of Booleans have theirs already.

    Audits give every id another number and move the world in time, and expect the same values. ``uses_ids``: the value
    of an id is meant to show in it. ``uses_time``: so is an instant by itself, as in the clock of the last row. What
    reads such a column and shows neither does not say so.
    """
    lookbacks = [as_lookback(lookback) for lookback in _as_list(lookbacks, "lookbacks")]
    grid = [(as_key(key), lookback) for key in _as_list(keys, "keys") for lookback in lookbacks]
    options = {"grid": grid, "fill": fill, "dtype": dtype, "model_input": model_input}
    return _register(
        "aggregate", registry, {**options, "where": where, "range": range, **_uses(uses_ids, uses_time)}
    )


@overload
def per_pair(body: Body) -> Feature[Body]: ...
@overload
def per_pair(
    *,
    scope: Scope = "row",
    each: Sequence[Bound] | Callable[[Any], Sequence[str]] = (),
    fill: float | str | None = None,
    dtype: DType | None = None,
    model_input: bool = True,
    range: Range | None = None,
    uses_ids: bool = False,
    uses_time: bool = False,
    registry: Registry = REGISTRY,
) -> Callable[[Body], Feature[Body]]: ...
def per_pair(
    body: Body | None = None,
    *,
    scope: Scope = "row",
    each: Sequence[Bound] | Callable[[Any], Sequence[str]] = (),
    fill: float | str | None = None,
    dtype: DType | None = None,
    model_input: bool = True,
    range: Range | None = None,
    uses_ids: bool = False,
    uses_time: bool = False,
    registry: Registry = REGISTRY,
) -> Feature[Body] | Callable[[Body], Feature[Body]]:
    """Register an expression over the pairs; the parameters name the columns and features that it reads.

    A parameter of another name says by its default what it reads: ``own: pl.Expr = like_rate["user_id"]``.

    Integers come as Int64, whatever their width. What else is read (``pl.col``), and Python functions, are refused.

    ``scope``: ``"row"`` for elementwise ones; ``"user"`` if it looks at the user's other pairs in the window
    (``.over("user_id")``), ``"window"`` if at all of them: transductive, which some competitions forbid.
    ``each``: names bound to the first parameter one after another; columns are then named ``name__bound``. A tuple of
    names is bound to the first parameters; its first name is in the column's. A function of the data set's
    ``LogColumns`` gives the names that there are: ``each=lambda log: log.shown_numbers``. ``range``, ``uses_ids`` and
    ``uses_time``: as for ``aggregate``.
    """
    is_function = inspect.isfunction(each)
    bound = each if is_function else tuple(as_key(names) for names in _as_list(cast(Any, each), "each"))
    options = {"scope": scope, "each": bound, "fill": fill, "dtype": dtype, "model_input": model_input}
    decorate = _register("per_pair", registry, {**options, "range": range, **_uses(uses_ids, uses_time)})
    return decorate if body is None else decorate(body)


def table(
    *,
    key: str | Sequence[str],
    columns: Mapping[str, DType | Column],
    needs: Needs = (),
    fill: float | str | None = None,
    model_input: bool = True,
    uses_ids: bool = False,
    uses_time: bool = False,
    registry: Registry = REGISTRY,
) -> Callable[[Body], Feature[Body]]:
    """Register a function ``(history, window) -> LazyFrame`` that gives the key and ``columns``, one row a key.

    Columns are named ``column__key``; each is a dtype, or ``Column(dtype, meaning, range)``. ``needs`` names the
    columns of the history that it reads: it gets those, the clock and the row number; without it, all of them.
    ``uses_ids``, ``uses_time``: as for ``aggregate``; ids within an array need no such word.

    A mapping as ``needs`` says what each is taken for: a dtype, ``flag``, ``number``, ``instant``, ``id``, ``enums``,
    ``vector`` or ``any``; a column of another kind makes the feature not available. An integer of 0 and 1 is given as a
    Boolean for a ``flag``; what is an ``id``, ``enums`` or a ``vector`` has to be known of the pairs too.
    """
    options = {"key": as_key(key), "columns": _as_columns(columns), "fill": fill, "model_input": model_input}
    options |= _uses(uses_ids, uses_time)
    return _register("table", registry, {**options, "needs": _as_needs(needs)})


def fitted(
    *,
    columns: Mapping[str, DType | Column],
    needs: Needs | Callable[..., Needs] = (),
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    scope: Scope = "row",
    null_without: str | Sequence[str] = (),
    fill: float | str | None = None,
    model_input: bool = True,
    uses_ids: bool = False,
    uses_time: bool = False,
    registry: Registry = REGISTRY,
) -> Callable[[Class], Feature[Class]]:
    """Register a class with ``fit(history, window)`` and ``transform(pairs)``, fitted once a window.

    ``variants`` maps a name to the arguments of the class: each variant is fitted by itself and its columns are named
    ``column__variant``. ``columns``, ``needs``, ``uses_ids`` and ``uses_time``: as for ``table``; ``needs`` may be a
    function of the variant's arguments. ``null_without``: keys, such as ``"user_id"``, without a row of which in the
    history all columns of a pair are null; where no test pair has any, nothing is fitted.
    """
    options = {
        "columns": _as_columns(columns),
        "needs": needs if callable(needs) else _as_needs(needs),
        "variants": _as_mapping({} if variants is None else variants, "variants", "{'short': {'length': 5}}"),
        "scope": scope,
        "null_without": as_key(null_without),
        **_uses(uses_ids, uses_time),
    }
    return _register("fitted", registry, {**options, "fill": fill, "model_input": model_input})


def streamed(
    *,
    columns: Mapping[str, DType | Column],
    needs: Needs | Callable[..., Needs] = (),
    step: int = 100_000,
    refine: int = 0,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
    scope: Scope = "row",
    null_without: str | Sequence[str] = (),
    fill: float | str | None = None,
    model_input: bool = True,
    uses_ids: bool = False,
    uses_time: bool = False,
    registry: Registry = REGISTRY,
) -> Callable[[Learner], Feature[Learner]]:
    """Register a class that goes through the log once for all windows: what it has to have is in ``Streamable``.

    ``learn(rows)`` gets chunks of ``step`` rows, counted from the log's first row in the order of (clock, row), with
    ``clock`` and the columns that it ``needs``. A window whose history ends within a chunk is reached by an instance of
    its own: it loads the state at the chunk's start, learns the rows before the cutoff, gives its columns by
    ``transform(pairs)`` and is thrown away. So a value is the same whatever else is computed. ``refine``: so many times
    that instance's ``sweep(chunks)`` goes over the window's history again before it is looked at.

    ``columns``, ``needs``, ``variants``, ``scope``, ``null_without``, ``uses_ids``, ``uses_time``: as for ``fitted``.
    """
    options = {
        "columns": _as_columns(columns),
        "needs": needs if callable(needs) else _as_needs(needs),
        "variants": _as_mapping({} if variants is None else variants, "variants", "{'short': {'length': 5}}"),
        "scope": scope,
        "null_without": as_key(null_without),
        "step": step,
        "refine": refine,
        **_uses(uses_ids, uses_time),
    }
    return _register("streamed", registry, {**options, "fill": fill, "model_input": model_input})


def _uses(uses_ids: bool, uses_time: bool) -> dict[str, bool]:
    return {"uses_ids": uses_ids, "uses_time": uses_time}


def _register(kind: Kind, registry: Registry, options: Mapping[str, Any]) -> Callable[[Body], Feature[Body]]:
    def decorate(body: Body) -> Feature[Body]:
        if not (inspect.isclass(body) if kind in _CLASSES else inspect.isfunction(body)):
            expected = _CLASSES.get(kind, "a function of its own")
            raise FeatureError(f"@{kind} is put on {body!r}.", expected=expected)
        lines = (inspect.getdoc(body) or "").strip().splitlines()
        try:
            place = Place(Path(inspect.getsourcefile(body) or "?"), inspect.getsourcelines(body)[1])
        except (OSError, TypeError) as error:  # made by type(), by exec, at a prompt
            raise FeatureError(
                f"@{kind} is put on {body!r}, whose code is in no file.",
                expected="a function or class that is written out in a file: its code is part of what values are "
                "stored by",
            ) from error
        name = str(body.__name__)
        if not lines:
            raise FeatureError(
                f"Feature {name!r} ({place}) has no docstring.",
                expected="a first line that says what the feature means, its unit and what null means",
            )
        feature = name.lower() if kind in _CLASSES else name
        declaration = Declaration(feature, kind, body, place, lines[0], dict(options))
        for found, expected in problems(declaration):
            raise FeatureError(f"{declaration} has {found}.", expected=expected)
        registry.add(declaration)
        return Feature(declaration)

    return decorate


def _as_needs(needs: Needs) -> Needs:
    """Read which columns a body needs, and what it takes each for where that is said."""
    if not isinstance(needs, Mapping):
        return as_key(_as_list(needs, "needs"))
    as_key(tuple(needs))
    for name, kind in needs.items():
        if isinstance(kind, str) and kind not in NEEDED:
            near = did_you_mean(kind, NEEDED)
            raise FeatureError(
                f"needs={{{name!r}: {kind!r}}} names no kind.{near}", expected=", ".join(NEEDED)
            )
    return dict(needs)


def _as_columns(columns: Mapping[str, DType | Column]) -> dict[str, Column]:
    given = _as_mapping(columns, "columns", "{'score': pl.Float32}")
    return {name: said if isinstance(said, Column) else Column(said) for name, said in given.items()}


def _as_mapping(given: Mapping[str, Any], option: str, example: str) -> dict[str, Any]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise FeatureError(f"{option}={given!r} is no mapping of names.", expected=f"such as {example}")
    return dict(given)


def _as_list(given: Sequence[Any], option: str) -> tuple[Any, ...]:
    """Read a list, or one name where a list is wanted. The order of a set differs between processes."""
    if isinstance(given, str | Feature):
        return (given,)
    if not isinstance(given, list | tuple):
        raise FeatureError(f"{option}={given!r} is a {type(given).__name__}.", expected="a list")
    return tuple(given)


def aggregate_of(result: object, declaration: Declaration) -> Aggregate:
    """Read what an ``@aggregate`` body returned."""
    if isinstance(result, Aggregate):
        return result
    if isinstance(result, pl.Expr):
        return raw(result)
    raise FeatureError(
        f"{declaration} returned {type(result).__name__}.",
        expected="an aggregate such as smoothed(log.like, strength=20), or a Polars aggregation",
    )
