"""Numbers that run on with time, such as that of a session: the test has others than all of the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from competitions._competition import Competition

NEARLY_ALL, FEWEST = 0.9, 100  # of the test pairs where the number is known; that tell anything


def out_of_range(c: Competition, log: pl.LazyFrame, pairs: pl.DataFrame) -> list[str]:
    """Name observed numbers of which nearly all test pairs have one below or above all of the log.

    ``log``: the rows before the test window. Nulls and NaN do not count; of few pairs nothing is told.
    """
    keys = {c.user, c.item, c.source, c.clock.column, *c.aliases}
    names = [n for n in c.observed_columns if n not in keys and pairs.schema[n].is_numeric()]
    known = [pl.col(n).fill_nan(None) if pairs.schema[n].is_float() else pl.col(n) for n in names]
    ends = log.select(
        *(x.min().name.suffix(" from") for x in known), *(x.max().name.suffix(" to") for x in known)
    ).collect(engine="streaming")
    told = pairs.select(known)
    return [n for n in names if _is_out(told[n], ends[f"{n} from"], ends[f"{n} to"])]


def _is_out(values: pl.Series, lowest: pl.Series, highest: pl.Series) -> bool:
    """Tell whether nearly all values are below or above both ends, series of one value."""
    is_out = ((values < lowest) | (values > highest)).drop_nulls()
    return values.count() >= FEWEST and is_out.sum() >= NEARLY_ALL * max(len(is_out), 1)


def out_of_range_notes(names: Sequence[str]) -> Iterator[str]:
    """Say what became of them."""
    if names:
        yield (
            f"Numbers that run on with time, which nearly all test pairs have out of the range of the log: "
            f"{', '.join(names)}. What models learn of them is of the past: they read their rank and their share "
            "within the user's pairs, and not the numbers themselves (`given`)."
        )
