"""The peers made with Polars: fused per window, one query per feature, and the floor."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import polars as pl

from benchmarks._aggregates_job import (
    FLAGS,
    ITEM_COLUMNS,
    KEYS,
    OUTCOMES,
    VALUES,
    Engine,
    Job,
    Key,
    ResultTable,
)

CollectEngine = Literal["streaming", "in-memory"]


def scan(job: Job) -> pl.LazyFrame:
    """Scan the log with the source and the duration of each row's item."""
    if job.is_joined:
        return pl.scan_parquet(job.inputs / "joined" / "*.parquet")
    items = pl.scan_parquet(job.inputs / "items.parquet").select(ITEM_COLUMNS)
    log = pl.scan_parquet(job.inputs / "log" / "*.parquet")
    return log.join(items, on="item_id", how="left", validate="m:1")


def states() -> dict[str, pl.Expr]:
    """Sums within a group that the 15 aggregates are made of."""
    spent = pl.col("timespent").cast(pl.Int64)
    return {
        "n": pl.len(),
        **{f"{name}_sum": pl.col(name).sum() for name in FLAGS},
        "timespent_sum": spent.sum(),
        "duration_sum": pl.col("duration").cast(pl.Int64).sum(),
        "last_clock": pl.col("clock").max(),
        "first_clock": pl.col("clock").min(),
        "timespent_std": pl.col("timespent").std(),
    }


def finish() -> list[pl.Expr]:
    """Make the means and the watch share of the sums: cheaper than to ask the group-by for them."""
    means = [(pl.col(f"{name}_sum") / pl.col("n")).alias(f"{name}_mean") for name in OUTCOMES]
    return [*means, (pl.col("timespent_sum") / pl.col("duration_sum")).alias("watch_share")]


def fused(job: Job, engine: CollectEngine) -> Iterator[ResultTable]:
    """One group-by with all aggregates per (key, window, lookback)."""
    for cutoff, lookback, first in job.spans():
        rows = scan(job).filter(pl.col("clock") < cutoff, pl.col("clock") >= first)
        for key in KEYS:
            values = delivered(job, cutoff, key, rows, states(), finish(), engine)
            yield ResultTable(key, cutoff, lookback, values)


def delivered(
    job: Job,
    cutoff: int,
    key: Key,
    rows: pl.LazyFrame,
    sums: dict[str, pl.Expr],
    finishing: list[pl.Expr],
    engine: CollectEngine,
) -> pl.DataFrame:
    """Group the rows of the pairs' keys, then give one row a pair."""
    columns = [name for name in VALUES if name in sums or name in {e.meta.output_name() for e in finishing}]
    pairs = pl.read_parquet(job.pairs_file(cutoff), columns=["pair_id", *key])
    wanted = pairs.lazy().select(key).unique()
    found = rows.join(wanted, on=key, how="semi").group_by(key).agg(**sums).with_columns(finishing)
    values = pairs.join(found.collect(engine=engine), on=key, how="left", validate="m:1")
    return values.select("pair_id", *columns)


def per_feature(job: Job) -> Iterator[ResultTable]:
    """One streaming query per feature, as features that know nothing of each other would."""
    alone = {
        **{name: ({name: state}, []) for name, state in states().items() if name != "duration_sum"},
        **{f"{name}_mean": ({f"{name}_mean": pl.col(name).mean()}, []) for name in OUTCOMES},
        "watch_share": (
            {name: states()[name] for name in ("timespent_sum", "duration_sum")},
            [finish()[-1]],
        ),
    }
    for cutoff, lookback, first in job.spans():
        rows = scan(job).filter(pl.col("clock") < cutoff, pl.col("clock") >= first)
        for key in KEYS:
            for name in VALUES:
                sums, finishing = alone[name]
                values = delivered(job, cutoff, key, rows, sums, finishing, "streaming")
                yield ResultTable(key, cutoff, lookback, values.select("pair_id", name))


def floor(job: Job) -> Iterator[ResultTable]:
    """One streaming pass over each key, all rows before the last cutoff, no windows: what nobody can do without."""
    cutoff = max(job.cutoffs)
    rows = scan(job).filter(pl.col("clock") < cutoff)
    for key in KEYS:
        values = delivered(job, cutoff, key, rows, states(), finish(), "streaming")
        yield ResultTable(key, cutoff, None, values)


ENGINES: dict[str, Engine] = {
    "polars streaming": partial(fused, engine="streaming"),
    "polars in-memory": partial(fused, engine="in-memory"),
    "polars per feature": per_feature,
    "floor": floor,
}
