"""What values tell by themselves: dtype, range, constants, columns that say what others say, scores too good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np
import polars as pl

from competitions import Competition, Dataset
from engine import Store
from features._arithmetic import dtype_of
from features._audit.findings import Finding, found_in
from features._catalogue import WINDOW_COLUMNS, AggregateBody, Catalogue, FeatureColumn
from features._compute import Rows, has_order
from features._declare import Aggregate, Range
from features._storage import column_recipes
from validation import Window, evaluate, get_metric, is_test, window_relevance

DTYPE, RANGE, CONSTANT, DUPLICATE = "declared dtype", "range", "constant", "near-duplicate"
TOO_GOOD, STANDS_OUT = "single-feature score too good", "single-feature score stands out"
RATE: Range = (0.0, 1.0)
NOT_NEGATIVE: Range = (0.0, None)
ROUNDING = 1e-6  # of a Float32 beside its bound
N_TRIES = 200
MOST_ALIKE = 0.999  # rank correlation, either way round, above which two columns say the same
FEWEST_VALUES = 5  # distinct ones; below, columns agree by chance
MOST_ROWS = 20_000  # that are compared
MOST = 0.75  # of the way from chance to the labels themselves
OUT_SHARE, OUT_TIMES = 0.3, 2.0  # of the way, and times the best feature of any other file
FEWEST_GROUPS = 20
SEED = 7


def rows_of(
    dataset: Dataset,
    values: Mapping[Window, pl.DataFrame],
    pairs: Mapping[Window, pl.DataFrame],
    source: str,
) -> Rows:
    """Put values of windows together with users and labels."""
    user = dataset.competition.user
    names = [n for n in next(iter(values.values())).columns if n not in ("pair_id", user, "window")]
    order = list(dict.fromkeys(["pair_id", "window", user, "relevance", *names]))
    tables: dict[bool, list[pl.DataFrame]] = {False: [], True: []}
    for window, frame in values.items():
        table = pairs[window].select("pair_id", user, window=pl.lit(window.cutoff, pl.Int64))
        of_test = is_test(dataset, window)
        no_labels = table.select("pair_id", relevance=pl.lit(None, pl.Int8))
        labels = no_labels if of_test else window_relevance(dataset, window)
        for more in (frame.select("pair_id", *names), labels):
            table = table.join(more, on="pair_id", how="left", validate="1:1", maintain_order="left")
        tables[of_test].append(table.select(order))
    empty = (tables[False] or tables[True])[0].clear()
    train, test = (pl.concat(tables[of_test] or [empty]) for of_test in (False, True))
    return Rows(train, test, tuple(names), source)


def stored_names(
    catalogue: Catalogue, windows: Sequence[Window], names: Sequence[str], store: Store
) -> tuple[str, ...] | None:
    """Name the columns that lie in the store for all windows; None unless all model inputs of ``names`` do."""
    recipes = [column_recipes(catalogue, window, names) for window in windows]
    own = tuple(n for n in names if all(store.find(of_window[n]) is not None for of_window in recipes))
    if not own or any(catalogue.columns[n].is_model_input for n in set(names) - set(own)):
        return None
    return own


def range_of(column: FeatureColumn, schema: pl.Schema) -> Range | None:
    """Return the range that a column declares or that its aggregate implies; None if neither is known.

    Counts and sums of Booleans are not negative. What is in [0, 1] for whatever shares of a Boolean there are, such
    as ``smoothed(log.like, strength=20)``, is a rate. ``schema``: of the history.
    """
    if column.range is not None:
        return column.range
    return _implied(column.body.aggregate, schema) if isinstance(column.body, AggregateBody) else None


def outside(value: pl.Expr, dtype: pl.DataType, span: Range) -> pl.Expr:
    """Hold where a value lies outside of the range, by more than rounding; false for null."""
    low, high = span
    slack = ROUNDING if dtype.is_float() else 0
    is_out = pl.lit(False)
    if low is not None:
        is_out |= value < low - slack * max(1.0, abs(low))
    if high is not None:
        is_out |= value > high + slack * max(1.0, abs(high))
    return is_out.fill_null(False)


def _implied(aggregate: Aggregate, schema: pl.Schema) -> Range | None:
    states = list(aggregate.states.values())
    whole = pl.Schema({**schema, **WINDOW_COLUMNS})
    if not states or any(s.operation not in ("count", "valid", "total") for s in states):
        return None
    if any(s.operation == "total" and dtype_of(s.expression, whole) != pl.Boolean for s in states):
        return None
    if len(states) == 1 and aggregate.finish.meta.eq(pl.col(states[0].name)):
        return NOT_NEGATIVE
    expressions = {s.expression.meta.serialize(format="binary") for s in states if s.operation != "count"}
    return RATE if len(expressions) == 1 and _is_rate(aggregate) else None


def _is_rate(aggregate: Aggregate) -> bool:
    """Try the finish on shares drawn at random: a smoothed rate stays within [0, 1] for all of them."""
    rng = np.random.default_rng(0)
    n, of_all = rng.integers(0, 50, N_TRIES), rng.integers(50, 500, N_TRIES)
    columns = {}
    for name, state in aggregate.states.items():
        rows = of_all if state.everywhere else n
        share = rng.random(N_TRIES)
        columns[name] = rows if state.operation != "total" else np.floor(rows * share).astype(np.int64)
    values = pl.DataFrame(columns).select(aggregate.finish.cast(pl.Float64, strict=False).alias("x"))["x"]
    known = values.drop_nulls().drop_nans()
    return bool(len(known)) and bool(((known >= 0) & (known <= 1)).all())


def value_findings(catalogue: Catalogue, rows: Rows) -> list[Finding]:
    """Check each column's dtype and range, then look for constants and near-duplicates."""
    both, schema = rows.both, catalogue.dataset.history_schema
    found = []
    for name in rows.names:
        column, values = catalogue.columns[name], both.select("pair_id", name)
        if values.schema[name] != column.dtype:
            evidence = f"its values are {values.schema[name]}, declared is {column.dtype}"
            todo = "cast it to what it declares, or declare what it is"
            found.append(found_in(column, DTYPE, evidence, todo))
        else:
            found += [*_out_of_range(column, schema, values), *_constant(column, values[name])]
    return [*found, *_duplicates(catalogue, rows)]


def _out_of_range(column: FeatureColumn, schema: pl.Schema, values: pl.DataFrame) -> list[Finding]:
    """Find what is not finite, and what lies outside of the range; the numbers of a vector one by one."""
    table = values.rename({column.name: "value"})
    while isinstance(table.schema["value"], pl.List | pl.Array):
        table = table.explode("value", empty_as_null=True, keep_nulls=True)
    dtype = table.schema["value"]
    if not dtype.is_numeric():
        return []
    span = range_of(column, schema)
    value = pl.col("value")
    is_wrong = pl.lit(False) if span is None else outside(value, dtype, span)
    if dtype.is_float():
        is_wrong |= value.is_infinite() | value.is_nan()
    wrong = table.filter(is_wrong)
    if not wrong.height:
        return []
    expected = "finite numbers" if span is None else f"{_bound(span[0], '-')} to {_bound(span[1], '')}"
    row = wrong.row(0, named=True)
    evidence = f"{wrong.height} of {table.height} values; pair {row['pair_id']} has {row['value']}, expected {expected}"
    return [found_in(column, RANGE, evidence, "mend the formula, or declare another range=")]


def _bound(value: float | None, sign: str) -> str:
    return f"{sign}infinity" if value is None else f"{value:g}"


def _constant(column: FeatureColumn, values: pl.Series) -> list[Finding]:
    if values.n_unique() != 1:
        return []
    what = "null" if values.null_count() else str(values[0])
    evidence = f"all {len(values)} pairs have {what}"
    todo = "leave it out (features.exclude in config.toml), unless it varies on the whole data"
    return [found_in(column, CONSTANT, evidence, todo, severity="warning")]


def _duplicates(catalogue: Catalogue, rows: Rows) -> list[Finding]:
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
    lowest_first = [pl.col(n).to_physical().cast(pl.Float64).fill_null(-np.inf) for n in names]
    ranks = both.select(values.rank("average") for values in lowest_first)
    alike = np.corrcoef(ranks.to_numpy(), rowvar=False)
    first: dict[int, int] = {}
    for i, j in np.argwhere(np.triu(np.abs(alike) > MOST_ALIKE, k=1)).tolist():
        first.setdefault(j, i)
    return [_duplicate(catalogue, both, names[i], names[j], alike[i, j]) for j, i in first.items()]


def _duplicate(catalogue: Catalogue, both: pl.DataFrame, first: str, second: str, alike: float) -> Finding:
    known, column = catalogue.columns[first], catalogue.columns[second]
    evidence = f"rank correlation {alike:.5f} with {first} ({known.declaration.place}): "
    if both.select(pl.col(first).eq_missing(pl.col(second)).all()).item():
        evidence += "its values are the same, all of them"
    else:
        evidence += f"other values in the {'opposite' if alike < 0 else 'same'} order"
        row = both.filter(pl.col(first).is_not_null() & pl.col(second).is_not_null()).head(1)
        for one in row.iter_rows(named=True):
            evidence += f"; pair {one['pair_id']} has {one[second]} here and {one[first]} there"
    todo = "leave one of the two out: features.exclude in config.toml"
    if not column.is_model_input:
        todo = f"no model reads it: if it is the same number, read {first} in its place"
    return found_in(column, DUPLICATE, evidence, todo, severity="warning")


@dataclass(frozen=True)
class Yardstick:
    """Scores of a column of noise and of the labels themselves, on the same rows."""

    chance: float
    labels: float

    def share(self, score: float) -> float:
        """How much of the way from chance to the labels a score covers."""
        return (score - self.chance) / (self.labels - self.chance)


def yardstick(competition: Competition, rows: Rows) -> Yardstick | None:
    """Score noise and labels; None for metrics of the scores' values, and where too few groups have both kinds."""
    metric, user = competition.metric, competition.user
    if get_metric(metric.name).scope == "pooled" or not rows.train.height:
        return None
    keys = ["window", user]
    both_kinds = rows.train.group_by(keys).agg(pl.col("relevance").n_unique().alias("n"))
    if both_kinds.filter(pl.col("n") > 1).height < FEWEST_GROUPS:
        return None
    noise = pl.int_range(pl.len()).shuffle(SEED).cast(pl.Float64)
    table = rows.train.select(*keys, "relevance", chance=noise, labels=pl.col("relevance").cast(pl.Float64))
    chance, labels = (evaluate(metric, table, group=keys, score=n) for n in ("chance", "labels"))
    return None if isnan(chance) or isnan(labels) or chance == labels else Yardstick(chance, labels)


def score_findings(
    catalogue: Catalogue, scores: Mapping[str, float | None], stick: Yardstick | None
) -> list[Finding]:
    """Find columns that rank nearly as the labels do, and warn of those far above all other files' features."""
    if stick is None:
        return []
    shares = {n: stick.share(s) for n, s in scores.items() if s is not None}
    best: dict[str, float] = {}
    for name, share in shares.items():
        family = catalogue.columns[name].family
        best[family] = max(best.get(family, 0.0), share)
    findings = []
    for name, share in shares.items():
        column = catalogue.columns[name]
        others = max((value for family, value in best.items() if family != column.family), default=0.0)
        said = (
            f"{catalogue.dataset.competition.metric.name} {scores[name]:.4f} by itself: {share:.0%} of the way from "
            f"chance ({stick.chance:.4f}) to the labels ({stick.labels:.4f})"
        )
        if share > MOST:
            todo = "look where it gets the label from: what is known before the pair is shown cannot rank so well"
            findings.append(found_in(column, TOO_GOOD, said, todo))
        elif share > OUT_SHARE and others > 0 and share > OUT_TIMES * others:
            said += f"; the best feature of another file has {others:.0%}"
            todo = "make sure that it is known before the pair is shown"
            findings.append(found_in(column, STANDS_OUT, said, todo, severity="warning"))
    return findings
