"""Compute columns for one window. The only place where features meet the history, which arrives here already cut."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from polars.exceptions import PolarsError

from competitions import opened
from features._catalogue import Catalogue
from features._column import AggregateBody, FeatureColumn, PairBody
from features._errors import FeatureError
from features._plan import Pass, make_plan, states_of
from features._python_bodies import run_body
from features._states import EXACT_SQUARES, EXACT_STEPS, GRID
from validation import Window


@dataclass(frozen=True)
class History:
    """Rows before the cutoff joined with attributes, sorted by (clock, row), and the window they belong to."""

    rows: pl.DataFrame
    window: Window


def compute_window(
    catalogue: Catalogue,
    window: Window,
    names: Sequence[str],
    pairs: pl.DataFrame,
    given: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Compute exactly the named columns for the pairs of a window.

    ``pairs``: ``pair_id``, keys and observed columns. ``given``: ``pair_id`` and columns computed earlier that the
    named ones read. Returns ``pair_id`` and the named columns, one row a pair, in the order of ``pairs``.
    """
    return compute_and_time(catalogue, window, names, pairs, given)[0]


def compute_and_time(
    catalogue: Catalogue,
    window: Window,
    names: Sequence[str],
    pairs: pl.DataFrame,
    given: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, dict[str, float]]:
    """Compute as ``compute_window`` does; also tell the seconds of each column.

    Columns that are computed together (all aggregates, one body, one level) share their time in equal parts.
    """
    plan = make_plan(catalogue, names)
    dataset = catalogue.dataset
    costs = _Costs()
    shown = (
        dataset.with_attributes(pairs.lazy()).collect(engine="in-memory").with_columns(**_literals(window))
    )
    frame = (
        shown
        if given is None
        else shown.join(given, on="pair_id", how="left", validate="1:1", maintain_order="left")
    )
    with opened(dataset):
        if plan.passes or plan.bodies:
            history = cut_history(catalogue, window)
            frame = _aggregates(frame, history, plan.passes)
            costs.share([column for one in plan.passes for column in one.columns])
            for columns in plan.bodies:
                values = run_body(columns, history.rows, window, shown)
                frame = frame.join(values, on="pair_id", how="left", validate="1:1", maintain_order="left")
                costs.share(columns)
        for level in plan.levels:
            frame = _evaluate_pairs(frame, level)
            costs.share(level)
    return frame.select("pair_id", *dict.fromkeys(names)), costs.seconds


class _Costs:
    """Takes the time since it was last asked and shares it among the columns that were computed."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def share(self, columns: Sequence[FeatureColumn]) -> None:
        now = time.perf_counter()
        self.seconds |= {column.name: (now - self._since) / len(columns) for column in columns}
        self._since = now


def cut_history(catalogue: Catalogue, window: Window) -> History:
    """Collect the rows before the cutoff, joined with attributes, in the order of (clock, row)."""
    dataset = catalogue.dataset
    rows = dataset.with_attributes(window.history(dataset.log)).with_columns(**_literals(window))
    return History(rows.sort("clock", "row").collect(engine="in-memory"), window)


def _literals(window: Window) -> dict[str, pl.Expr]:
    return {"cutoff": pl.lit(window.cutoff, pl.Int64), "horizon": pl.lit(window.horizon, pl.Int64)}


def _aggregates(frame: pl.DataFrame, history: History, passes: Sequence[Pass]) -> pl.DataFrame:
    """Run all passes at once, join their states to the pairs, finish, and drop the states again."""
    results = iter(_collected(passes, history))
    for one in passes:
        keyed, everywhere = next(results), next(results)
        _check_exact(one, keyed, everywhere)
        before = frame.columns
        frame = _attach(frame, one, keyed, everywhere)
        values = [finished(column) for column in one.columns]
        frame = _guarded(frame, values, one.columns).select(*before, *(c.name for c in one.columns))
    return frame


def _collected(passes: Sequence[Pass], history: History) -> list[pl.DataFrame]:
    """Run the group-bys of all passes together; if that fails, name the column whose states fail by themselves."""
    try:
        plans = [lazy for one in passes for lazy in _states_of(one, history)]
        return pl.collect_all(plans, engine="in-memory")
    except PolarsError as error:
        for column in (column for one in passes for column in one.columns):
            alone = Pass("", column.key, column.lookback, states_of([column]), (column,))
            try:
                pl.collect_all(list(_states_of(alone, history)), engine="in-memory")
            except PolarsError as its_own:
                raise FeatureError(
                    f"Feature {column.name!r} ({column.declaration.place}) failed in window {history.window.name}: "
                    f"{its_own}",
                    expected="an expression that fits the log; sums take finite values below 8.6e9",
                    todo="mend the expression, or divide the column by a constant inside the aggregate",
                ) from its_own
        names = [c.name for one in passes for c in one.columns]
        raise FeatureError(f"Features {names} failed together: {error}") from error


def _states_of(one: Pass, history: History) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Group-by of a pass: its states by key, and those over all keys."""
    rows = history.rows.lazy()
    body = one.columns[0].body
    if isinstance(body, AggregateBody) and body.where is not None:
        rows = rows.filter(body.where)
    references = [s for s in one.states if s.reference]
    if references:
        firsts = {str(s.reference): s.expression.cast(pl.Float64).drop_nulls().first() for s in references}
        rows = rows.with_columns(**firsts)
    rows = _looking_back(rows, one, history.window, keyed=False)
    keyed = _looking_back(rows, one, history.window, keyed=True)
    schema = history.rows.schema
    by_key = [s.within_group(schema) for s in one.states if not s.everywhere]
    over_all = [s.within_group(schema) for s in one.states if s.everywhere]
    whole = rows.select(*over_all) if over_all else pl.LazyFrame()
    if not one.key:  # one group, and none without rows: a raw aggregate is then null, as for any key
        return keyed.group_by((pl.col("row") * 0).alias("all")).agg(*by_key).drop("all"), whole
    not_null = pl.all_horizontal(pl.col(name).is_not_null() for name in one.key)
    return keyed.filter(not_null).group_by(*one.key).agg(*by_key), whole


def _looking_back(rows: pl.LazyFrame, one: Pass, window: Window, *, keyed: bool) -> pl.LazyFrame:
    match one.lookback.kind:
        case "span" if not keyed:
            return rows.filter(pl.col("clock") >= window.cutoff - one.lookback.size)
        case "horizon" if not keyed:
            return rows.filter(pl.col("clock") >= window.cutoff - one.lookback.size * window.horizon)
        case "last" if keyed:
            from_end = pl.int_range(pl.len(), dtype=pl.Int64).reverse()
            return rows.filter((from_end.over(*one.key) if one.key else from_end) < one.lookback.size)
        case _:
            return rows


def _check_exact(one: Pass, *frames: pl.DataFrame) -> None:
    """Refuse sums so large that adding on the grid is no longer exact."""
    for state in one.states:
        for frame in frames:
            if state.name not in frame.columns or state.operation not in ("total", "deviation", "squares"):
                continue
            values = frame[state.name]
            bound = EXACT_SQUARES if state.operation == "squares" else EXACT_STEPS
            bound = bound * GRID if values.dtype == pl.Float64 else bound
            largest = values.cast(pl.Float64).abs().max()
            if isinstance(largest, float) and not largest < bound:
                names = ", ".join(c.name for c in one.columns)
                raise FeatureError(
                    f"A sum in {names} reaches {largest:.3g}, beyond {bound:.3g}: it would not be exact.",
                    expected="finite values and smaller sums",
                    todo="divide the column by a constant inside the aggregate (days instead of seconds)",
                )


def _attach(frame: pl.DataFrame, one: Pass, keyed: pl.DataFrame, everywhere: pl.DataFrame) -> pl.DataFrame:
    """Join the states to the pairs. A key without rows has counts and sums of zero and nothing else."""
    if one.key:
        frame = frame.join(keyed, on=list(one.key), how="left", validate="m:1", maintain_order="left")
    else:
        frame = _broadcast(frame, keyed)
    frame = _broadcast(frame, everywhere)
    return frame.with_columns(
        pl.col(s.name).fill_null(s.when_empty) for s in one.states if s.when_empty is not None
    )


def _broadcast(frame: pl.DataFrame, row: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.lit(row[name].first(), row[name].dtype).alias(name) for name in row.columns)


def finished(column: FeatureColumn) -> pl.Expr:
    """Express a column's value over its states or inputs, in its dtype, with its fill."""
    body = column.body
    value = (
        body.expression
        if isinstance(body, PairBody)
        else body.aggregate.finish
        if isinstance(body, AggregateBody)
        else pl.col(column.name)
    )
    return column.finished(value)


def _evaluate_pairs(frame: pl.DataFrame, level: Sequence[FeatureColumn]) -> pl.DataFrame:
    """Evaluate one level of per-pair columns in one projection, the rows in a fixed order."""
    ordered = frame.sort("pair_id")
    values = _guarded(ordered, [finished(column) for column in level], level)
    new = values.select("pair_id", *(c.name for c in level))
    return frame.join(new, on="pair_id", how="left", validate="1:1", maintain_order="left")


def _guarded(
    frame: pl.DataFrame, values: Sequence[pl.Expr], columns: Sequence[FeatureColumn]
) -> pl.DataFrame:
    try:
        return frame.with_columns(*values)
    except PolarsError as error:
        for column, value in zip(columns, values, strict=True):
            try:
                frame.select(value)
            except PolarsError as its_own:
                raise FeatureError(
                    f"Feature {column.name!r} ({column.declaration.place}) failed: {its_own}",
                    todo="mend the expression, or declare another dtype",
                ) from its_own
        raise FeatureError(f"Features {[c.name for c in columns]} failed together: {error}") from error
