"""What tiles must give, bit for bit: a plain Polars query over one window's history, addends on the same grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import polars as pl

from competitions import Dataset
from features import (
    Aggregate,
    Catalogue,
    Log,
    Lookback,
    Registry,
    Window,
    aggregate,
    bind_catalogue,
    horizon,
    last_n,
)
from tests.features.tile_cases import CASES, Case, Seen
from tests.features.tile_logs import HOUR, rows_of, whole

Key = tuple[str, ...]
KEYS: tuple[Key, ...] = (
    (),
    ("user_id",),
    ("item_id",),
    ("kind",),
    ("age",),
    ("device",),
    ("user_id", "kind"),
    ("device", "user_id"),
    ("guest", "room"),
    ("user_id", "item_id"),
)
LOOKBACKS: dict[str, Lookback | str | None] = {
    "": None,
    "__3h": "3h",
    "__h1": horizon(1),
    "__last2": last_n(2),
}
SPANS = {"__3h": 3 * HOUR, "__h1": 2 * HOUR}


def catalogue_of(dataset: Dataset) -> Catalogue:
    """Declare every case for every key and lookback."""
    return replace(_declared(), dataset=dataset)


@cache
def _declared() -> Catalogue:
    registry = Registry()
    for name, case in CASES.items():

        def body(log: Log, case: Case = case) -> Aggregate | pl.Expr:
            """Test case."""
            return case.declared(log)

        body.__name__ = name
        aggregate(
            keys=KEYS,
            lookbacks=list(LOOKBACKS.values()),
            dtype=case.dtype,
            where=(lambda log: log.like) if case.where else None,
            registry=registry,
        )(body)
    return bind_catalogue(whole(rows_of(0, 0)), registry)


@dataclass(frozen=True)
class Block:
    """All cases for one key and lookback."""

    key: Key
    lookback: str

    def column(self, case: str) -> str:
        """Name of a case's column."""
        return f"{case}__{'_x_'.join(self.key) or 'everything'}{self.lookback}"

    @property
    def columns(self) -> list[str]:
        """Names of the columns of all cases."""
        return [self.column(case) for case in CASES]


BLOCKS = [Block(key, lookback) for key in KEYS for lookback in LOOKBACKS]


def expected(dataset: Dataset, window: Window, block: Block, pairs: pl.DataFrame) -> pl.DataFrame:
    """Give all cases for every pair, each by a query over the rows that the lookback keeps."""
    log = dataset.with_attributes(dataset.log.sort("clock", "row")).collect(engine="in-memory")
    log = log.with_columns(scaled=pl.col("seconds") / 2**20, everything=pl.lit(0))
    asked = (
        dataset.with_attributes(pairs.lazy()).collect(engine="in-memory").with_columns(everything=pl.lit(0))
    )
    found = pairs.select("pair_id")
    for where in (False, True):
        own = {name: case for name, case in CASES.items() if case.where == where}
        seen = _seen(log.filter(pl.col("like")) if where else log, window, block.lookback)
        found = found.hstack(_queried(seen, block, own, asked))
    return found


def _seen(log: pl.DataFrame, window: Window, lookback: str) -> Seen:
    rows = log.filter(pl.col("clock") < window.cutoff)
    if lookback in SPANS:
        rows = rows.filter(pl.col("clock") >= window.cutoff - SPANS[lookback])
    return Seen(rows, log, window)


def _queried(seen: Seen, block: Block, cases: Mapping[str, Case], asked: pl.DataFrame) -> pl.DataFrame:
    on = block.key or ("everything",)
    rows = seen.rows.drop_nulls(on)
    if block.lookback == "__last2":
        rows = rows.group_by(on, maintain_order=True).tail(2)
    plain = {name: case.plain(seen) for name, case in cases.items()}
    values = rows.group_by(on, maintain_order=True).agg(**plain, is_known=pl.lit(True).first())
    joined = asked.join(values, on=on, how="left", maintain_order="left")
    found = joined.select(
        pl.when(pl.col("is_known"))
        .then(pl.col(name))
        .otherwise(pl.lit(case.empty(seen)).cast(values.schema[name]))
        .alias(name)
        for name, case in cases.items()
    )
    return found.with_columns(
        pl.when(pl.col(name).is_finite()).then(pl.col(name)).alias(name)
        for name, dtype in found.schema.items()
        if dtype.is_float()
    )


def assert_like_plain_query(
    dataset: Dataset, window: Window, block: Block, computed: pl.DataFrame, pairs: pl.DataFrame
) -> None:
    """Compare computed columns with the plain queries: equal bits, or within the stated bound."""
    plain = expected(dataset, window, block, pairs)
    n_rows = dataset.log.select(pl.len()).collect(engine="in-memory").item()
    for name, case in CASES.items():
        own, other = computed[block.column(name)], plain[name]
        where = f"{own.name} @ {window.name}: {own.to_list()} is not {other.to_list()}"
        if case.bound:
            far = (own - other).abs().max()
            assert not isinstance(far, float) or far <= case.bound * n_rows + 1e-12, where
        else:
            assert same_bits(own, other.cast(own.dtype)), where


def same_bits(a: pl.Series, b: pl.Series) -> bool:
    """Tell whether two columns have the same values bit for bit; -0.0 is not 0.0."""
    if a.dtype != b.dtype or not a.equals(b, null_equal=True, check_names=False):
        return False
    if not a.dtype.is_float():
        return True
    bits = [s.fill_null(0.0).to_numpy().view(np.int64 if s.dtype == pl.Float64 else np.int32) for s in (a, b)]
    return bool((bits[0] == bits[1]).all())


def differing(a: pl.DataFrame, b: pl.DataFrame) -> list[str]:
    """Name the columns that do not have the same bits in both frames; those with a bound are told apart by it."""
    return [name for name in a.columns if not same_bits(a[name], b[name])]
