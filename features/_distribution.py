"""How the values of a column are spread in each window, over bins that all windows share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from features._profile import bin_edges, binned_shares, has_order, has_values

N_BINS = 24
N_CATEGORIES = 15
OTHERS = "(all others)"  # no value that a competition has
SCHEMA = {"window": pl.String, "bin": pl.Int64, "share": pl.Float64}


@dataclass(frozen=True)
class Distribution:
    """Shares of the known values by window and bin.

    Attributes
    ----------
    shares
        ``window`` (its title), ``bin``, ``share``; empty for arrays and without any value.
    labels
        Name of each bin: a value, ``OTHERS``, or for numbers with many values the range of the bin.
    centres
        Middle of each bin, for numbers with many values; empty for dates and for bins of a value each.
    """

    shares: pl.DataFrame
    labels: tuple[str, ...]
    centres: tuple[float, ...] = ()

    def of(self, title: str) -> list[float]:
        """Shares of the bins in one window."""
        return self.shares.filter(pl.col("window") == title).sort("bin")["share"].to_list()


def distribution(rows: pl.DataFrame, titles: Mapping[int, str]) -> Distribution:
    """Spread the column ``value`` of rows with ``window`` (the cutoff) over bins.

    Numbers with more than ``N_BINS`` distinct values get bins of one width over the middle 98 %, the outermost taking
    the rest; other columns a bin a value, the ``N_CATEGORIES`` most frequent ones where there is no order.
    """
    known = rows.filter(pl.col("value").is_not_null()).select("window", "value")
    dtype = rows.schema["value"]
    if not has_values(dtype) or known.is_empty():
        return Distribution(pl.DataFrame(schema=SCHEMA), ())
    if has_order(dtype) and known["value"].n_unique() > N_BINS:
        return _binned(known, titles)
    return _by_value(known, titles)


def _binned(known: pl.DataFrame, titles: Mapping[int, str]) -> Distribution:
    values = known["value"].to_physical().cast(pl.Float64)
    edges = bin_edges(values, N_BINS)
    numbers = known.with_columns(value=values)
    shares = [
        (title, number, share)
        for cutoff, title in titles.items()
        for number, share in enumerate(
            binned_shares(numbers.filter(pl.col("window") == cutoff)["value"], edges)
        )
    ]
    frame = pl.DataFrame(shares, schema=SCHEMA, orient="row")
    if not edges:
        return Distribution(frame, (f"{values[0]:.4g}",))
    width = edges[1] - edges[0]
    labels = _ranges(edges, known.schema["value"])
    if known.schema["value"].is_temporal():
        return Distribution(frame, labels)
    return Distribution(frame, labels, tuple(edges[0] + width * (n - 0.5) for n in range(len(edges) + 1)))


def _ranges(edges: list[float], dtype: pl.DataType) -> tuple[str, ...]:
    texts = [f"{edge:.4g}" for edge in edges]
    if dtype.is_temporal():
        texts = [str(value) for value in pl.Series(edges).cast(pl.Int64).cast(dtype)]
    return (f"up to {texts[0]}", *(f"{low} to {high}" for low, high in pairwise(texts)), f"above {texts[-1]}")


def _by_value(known: pl.DataFrame, titles: Mapping[int, str]) -> Distribution:
    counts = known.group_by("value").len().sort("len", "value", descending=[True, False])
    kept = counts["value"].head(N_CATEGORIES if not has_order(known.schema["value"]) else N_BINS)
    values = kept.sort()
    place = {value: number for number, value in enumerate(values.to_list())}
    labels = tuple(str(value) for value in place)
    rows = []
    for cutoff, title in titles.items():
        part = known.filter(pl.col("window") == cutoff)["value"]
        found = dict(part.value_counts().iter_rows())
        shares = [found.get(value, 0) / max(len(part), 1) for value in place]
        if len(kept) < counts.height:
            shares.append(max(0.0, 1.0 - sum(shares)) if len(part) else 0.0)
        rows += [(title, number, share) for number, share in enumerate(shares)]
    labels += (OTHERS,) if len(kept) < counts.height else ()
    return Distribution(pl.DataFrame(rows, schema=SCHEMA, orient="row"), labels)
