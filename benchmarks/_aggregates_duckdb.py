"""The peers made with DuckDB: one query per (key, window, lookback), and rewritten with tiles."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import polars as pl

from benchmarks._aggregates_job import COUNTED, FLAGS, KEYS, OUTCOMES, VALUES, Engine, Job, Key, ResultTable

# Counting flags was the fastest way to sum them, and means made of sums were faster than avg().
_FLAG_SUMS = ", ".join(f'count_if("{name}")::BIGINT AS {name}_sum' for name in FLAGS)
_MEANS = ", ".join(f"{name}_sum / n AS {name}_mean" for name in OUTCOMES)
_SUMS = f"""count(*) AS n, {_FLAG_SUMS}, sum(timespent)::BIGINT AS timespent_sum,
    sum(duration)::BIGINT AS duration_sum, max(clock) AS last_clock, min(clock) AS first_clock"""
_TILE_SUMS = f"{_SUMS}, sum(timespent::INTEGER * timespent::INTEGER)::BIGINT AS squares"
_MERGED = ", ".join(
    [
        *(f"sum({name})::BIGINT AS {name}" for name in (*COUNTED, "duration_sum", "squares")),
        "max(last_clock) AS last_clock",
        "min(first_clock) AS first_clock",
    ]
)
_FINISH = f"*, {_MEANS}, timespent_sum / duration_sum AS watch_share"
_STD = (
    "CASE WHEN n > 1 THEN sqrt(greatest(0, squares - timespent_sum * timespent_sum / n) / (n - 1)) END"
    " AS timespent_std"
)


def connect(job: Job) -> Any:
    """Open a database in memory with the log as view ``log`` and the pairs of each window as ``pairs_CUTOFF``."""
    connection = importlib.import_module("duckdb").connect()
    connection.execute(f"SET threads = {job.threads}")
    connection.execute("SET preserve_insertion_order = false")
    log = f"read_parquet('{job.inputs}/{'joined' if job.is_joined else 'log'}/*.parquet')"
    items = (
        f"LEFT JOIN (SELECT item_id, source_id, duration FROM '{job.inputs}/items.parquet') USING (item_id)"
    )
    connection.execute(f"CREATE VIEW log AS SELECT * FROM {log} {'' if job.is_joined else items}")
    for cutoff in job.cutoffs:
        file = job.pairs_file(cutoff)
        connection.execute(f"CREATE TEMP TABLE pairs_{cutoff} AS FROM read_parquet('{file}')")
    return connection


def per_window(job: Job) -> Iterator[ResultTable]:
    """One query with all aggregates per (key, window, lookback)."""
    connection = connect(job)
    for cutoff, lookback, first in job.spans():
        for key in KEYS:
            names = ", ".join(key)
            grouped = f"""SELECT {names}, {_SUMS}, stddev_samp(timespent) AS timespent_std
                FROM log SEMI JOIN pairs_{cutoff} USING ({names})
                WHERE clock < {cutoff} AND clock >= {first} GROUP BY {names}"""
            values = delivered(connection, cutoff, key, f"SELECT {_FINISH} FROM ({grouped})")
            yield ResultTable(key, cutoff, lookback, values)
    connection.close()


def delivered(connection: Any, cutoff: int, key: Key, query: str) -> pl.DataFrame:
    """Run the query and hand its result over by Arrow, one row a pair."""
    joined = f"FROM pairs_{cutoff} LEFT JOIN ({query}) USING ({', '.join(key)})"
    return pl.DataFrame(connection.sql(f"SELECT pair_id, {', '.join(VALUES)} {joined}"))


def tiled(job: Job) -> Iterator[ResultTable]:
    """Group by key and tile once, then combine tiles per (window, lookback).

    A span of one tile is read off the tiles without a group-by. What was tried for the widest key and lost: keys packed
    into one integer, all lookbacks of a window in one query with filters, running sums by window functions.
    """
    connection = connect(job)
    edges = sorted({edge for cutoff, _, first in job.spans() for edge in (cutoff, first)} - {0})
    for key in KEYS:
        make_tiles(connection, job, key, edges)
        for cutoff, lookback, first in job.spans():
            low, high = (sum(edge <= clock for edge in edges) for clock in (first, cutoff))
            names = ", ".join(key)
            rows = (
                f"FROM tiles SEMI JOIN pairs_{cutoff} USING ({names}) WHERE tile >= {low} AND tile < {high}"
            )
            merged = f"SELECT {names}, {_MERGED} {rows} GROUP BY {names}"
            query = f"SELECT {_FINISH}, {_STD} FROM ({f'SELECT * {rows}' if high - low == 1 else merged})"
            yield ResultTable(key, cutoff, lookback, delivered(connection, cutoff, key, query))
    connection.close()


def make_tiles(connection: Any, job: Job, key: Key, edges: list[int]) -> None:
    """Make table ``tiles`` of a key: one row per (key, tile), of keys of some window's pairs."""
    names = ", ".join(key)
    tile = " + ".join(f"(clock >= {edge})::UTINYINT" for edge in edges) or "0"
    every = " UNION ".join(f"SELECT {names} FROM pairs_{cutoff}" for cutoff in job.cutoffs)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE tiles AS SELECT {names}, {tile} AS tile, {_TILE_SUMS}
            FROM log SEMI JOIN ({every}) USING ({names}) WHERE clock < {max(job.cutoffs)} GROUP BY ALL"""
    )


ENGINES: dict[str, Engine] = {"duckdb per window": per_window, "duckdb with tiles": tiled}
