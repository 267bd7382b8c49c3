"""Where a model is strong and where it is weak: the metric within segments of the eval pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from competitions import Dataset, Metric
from validation._evaluate import evaluate
from validation._report.bundle import CvBundle

_LENGTHS = (1, 10, 30, 100, 300, 1000)
_LENGTH_BANDS = ("0 (cold)", "1–9", "10–29", "30–99", "100–299", "300–999", "1,000 and more")
_MIX_BANDS = ("none", "up to a third", "a third to two thirds", "more than two thirds", "all")
_USERS = "User history (rows before the cutoff)"
_ITEMS = "Item popularity (rows before the cutoff)"
_MIX = "Class mix (share of the user's pairs with the highest relevance)"
CHARTED = (_USERS, _ITEMS, _MIX)
"""Segmentations worth a chart: the bands of cold and warm keys are among them."""

_SCHEMA = {
    "segment": pl.String,
    "band": pl.String,
    "position": pl.Int64,
    "name": pl.String,
    "value": pl.Float64,
    "n_pairs": pl.Int64,
    "n_groups": pl.Int64,
}


def segment_scores(bundle: CvBundle, dataset: Dataset, metric: Metric, names: Sequence[str]) -> pl.DataFrame:
    """Metric of every name within every segment, over all folds together.

    A segment of users keeps whole groups (window, user); a segment of items keeps, of each group, the pairs with
    such items, so it tells how well those items are ranked among themselves. "History" is the number of rows
    before the window's cutoff.

    Returns
    -------
    DataFrame
        ``segment``, ``band``, ``position`` (order of the band), ``name``, ``value`` (null: not scored, or no group
        of the band counts), ``n_pairs``, ``n_groups`` (window, user). Empty bands are left out.
    """
    pairs = _with_lengths(bundle.oof, dataset)
    group = ("window", dataset.competition.user)
    rows = []
    for title, bands, number in _segmentations():
        for position, band in enumerate(bands):
            inside = pairs.filter(number == position)
            if inside.is_empty():
                continue
            counts = (inside.height, inside.select(pl.struct(group).n_unique()).item())
            rows += [
                (title, band, position, name, _value(metric, inside, group, name), *counts) for name in names
            ]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def _segmentations() -> tuple[tuple[str, tuple[str, ...], pl.Expr], ...]:
    """Ways to cut the pairs: title, the bands' names in order, and the number of a pair's band."""
    users, items, share = (pl.col(name) for name in ("_user_rows", "_item_rows", "_share"))
    return (
        (_USERS, _LENGTH_BANDS, _n_true(*(users >= limit for limit in _LENGTHS))),
        (_ITEMS, _LENGTH_BANDS, _n_true(*(items >= limit for limit in _LENGTHS))),
        ("Cold and warm users", ("cold user", "warm user"), _n_true(users > 0)),
        ("Cold and warm items", ("cold item", "warm item"), _n_true(items > 0)),
        (_MIX, _MIX_BANDS, _n_true(share > 0, share > 1 / 3, share > 2 / 3, share == 1)),
    )


def _n_true(*conditions: pl.Expr) -> pl.Expr:
    return pl.sum_horizontal([condition.cast(pl.Int32) for condition in conditions])


def bands_of_segments(
    segments: pl.DataFrame, best: Callable[[Sequence[float]], float] = max
) -> dict[str, list[dict[str, Any]]]:
    """Rows to show of each segment: ``band``, ``n_pairs``, ``n_groups``, ``values`` by name, and the ``best`` of them.

    ``best`` is None where fewer than two names have a value.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in segments.to_dicts():
        bands = found.setdefault(row["segment"], {})
        bands.setdefault(row["band"], {**row, "values": {}})["values"][row["name"]] = row["value"]
    for bands in found.values():
        for band in bands.values():
            known = [value for value in band["values"].values() if value is not None]
            band["best"] = best(known) if len(known) > 1 else None
    return {title: list(bands.values()) for title, bands in found.items()}


def _with_lengths(oof: pl.DataFrame, dataset: Dataset) -> pl.DataFrame:
    """Add what pairs are cut by: rows of the user and of the item before the cutoff, and the share of the class mix."""
    user, item = dataset.competition.user, dataset.competition.item
    cutoffs = oof["window"].unique().sort().to_list()
    counted = oof
    for key, name in ((user, "_user_rows"), (item, "_item_rows")):
        lengths = _history_lengths(dataset, key, cutoffs, name)
        counted = counted.join(lengths, on=["window", key], how="left", validate="m:1")
        counted = counted.with_columns(pl.col(name).fill_null(0))
    highest = pl.lit(counted["relevance"].max())  # of all rows: a user may have none of it
    share = (pl.col("relevance") == highest).mean().over("window", user)
    return counted.with_columns(_share=share)


def _history_lengths(dataset: Dataset, key: str, cutoffs: Sequence[int], name: str) -> pl.DataFrame:
    """Rows of each key before each cutoff: ``window`` Int64, the key, the count. Absent = none."""
    lengths = [
        dataset.log.filter(pl.col("clock") < cutoff)
        .group_by(key)
        .agg(pl.len().alias(name))
        .with_columns(window=pl.lit(cutoff, pl.Int64))
        .collect(engine="streaming")
        for cutoff in cutoffs
    ]
    return pl.concat(lengths)


def _value(metric: Metric, pairs: pl.DataFrame, group: tuple[str, ...], name: str) -> float | None:
    scored = pairs.filter(pl.col(name).is_not_null())
    if scored.is_empty():
        return None
    value = evaluate(metric, scored, group=group, score=name)
    return None if math.isnan(value) else value
