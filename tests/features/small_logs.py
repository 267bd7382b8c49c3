"""Logs of a few rows, drawn or written down, and the aggregates over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
from hypothesis import strategies as st

from competitions import Dataset
from features import Aggregate, Catalogue, Log, Registry, Window, aggregate, bind_catalogue, compute_window
from tests.features.oracle import EPOCH, HOUR, KEYS, LOOKBACKS, Case, Rows


def registry_of(cases: Mapping[str, Case]) -> Registry:
    registry = Registry()
    for name, case in cases.items():

        def body(log: Log, case: Case = case) -> Aggregate | pl.Expr:
            """Test case."""
            return case.declared(log)

        body.__name__ = name
        aggregate(keys=KEYS, lookbacks=list(LOOKBACKS.values()), where=case.where, registry=registry)(body)
    return registry


def log_of(rows: Rows, dataset: Dataset, order: Sequence[int]) -> pl.LazyFrame:
    """Give the rows as a log with the small competition's schema, in a physical order."""
    schema = dataset.log.collect_schema()
    return pl.DataFrame([rows[i] for i in order], schema=schema).lazy()


def with_log(catalogue: Catalogue, log: pl.LazyFrame) -> Catalogue:
    return replace(catalogue, dataset=replace(catalogue.dataset, log=log))


def play(
    number: int, hour: int, stars: int, value: float | None, user: int, device: str | None
) -> dict[str, Any]:
    """One row of the log."""
    return {
        "row": number,
        "clock": hour * HOUR,
        "user_id": user,
        "item_id": 1,
        "at": EPOCH + timedelta(hours=hour),
        "device": device,
        "stars": stars,
        "value": value,
        "like": stars >= 4,
        "relevance": int(stars >= 4),
    }


@st.composite
def row_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows with few users, devices and hours, so that keys repeat, clocks tie, and some users have one row."""
    hours, stars, users = st.integers(0, 6), st.integers(1, 5), st.integers(1, 4)
    values = st.none() | st.floats(-1000, 1000, allow_subnormal=False)
    devices = st.sampled_from([None, "phone", "tv"])
    n = draw(st.integers(0, 14))
    return [play(i, draw(hours), draw(stars), draw(values), draw(users), draw(devices)) for i in range(n)]


PAIRS = [(u, d) for u in (1, 2, 3, 4, 9) for d in (None, "phone", "tv", "web")]


def pairs_of(dataset: Dataset, keys: Sequence[tuple[int, str | None]]) -> pl.DataFrame:
    schema = dataset.test_pairs.collect_schema()
    rows = [
        {"pair_id": 900 + i, "user_id": user, "item_id": 1, "at": EPOCH, "device": device}
        for i, (user, device) in enumerate(keys)
    ]
    return pl.DataFrame(rows, schema=schema)


def one_column(dataset: Dataset, body: Callable[[Log], Aggregate | pl.Expr], **options: Any) -> Catalogue:
    registry = Registry()
    body.__name__, body.__doc__ = "value_of", "Test case."
    aggregate(keys=options.pop("keys", ["user_id"]), registry=registry, **options)(body)
    return bind_catalogue(dataset, registry)


def computed_column(catalogue: Catalogue, rows: list[dict[str, Any]]) -> pl.Series:
    """Value of the only column for user 1, with all rows before the cutoff."""
    window = Window(10 * HOUR, 10 * HOUR, 12 * HOUR)
    log = log_of(rows, catalogue.dataset, range(len(rows)))
    (name,) = catalogue.columns
    return compute_window(with_log(catalogue, log), window, [name], pairs_of(catalogue.dataset, [(1, "tv")]))[
        name
    ]


def plays(values: Sequence[float | None]) -> list[dict[str, Any]]:
    """Rows of user 1, an hour apart."""
    common = {"user_id": 1, "item_id": 1, "device": "tv", "stars": 4, "like": True, "relevance": 1}
    return [{**common, "row": i, "clock": 0, "at": EPOCH, "value": value} for i, value in enumerate(values)]
