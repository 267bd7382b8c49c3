"""The ways in which an audit alters the world; no feature may notice any of them.

Each takes the data set and a window and gives an altered data set. Values of the same pairs at the same cutoff are
then computed again and must be equal, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import polars as pl

from competitions import Dataset
from validation import Window, window_pairs

N_USERS = 10  # of a sample of pairs, about


@dataclass(frozen=True)
class World:
    """What a feature is computed in: a data set, a window of it, and the pairs to score."""

    dataset: Dataset
    window: Window
    pairs: pl.DataFrame


Alteration = Callable[[World, int], World]


def truncated(world: World, seed: int) -> World:
    """Delete every row from the cutoff on."""
    return _with_log(world, world.dataset.log.filter(~_future(world.window)))


def perturbed(world: World, seed: int) -> World:
    """Draw the outcomes of all rows from the cutoff on anew, from among themselves."""
    future = world.dataset.log.filter(_future(world.window)).collect(engine="in-memory")
    outcomes = _outcomes(world.dataset)
    noise = future.select(outcomes).sample(fraction=1.0, with_replacement=True, shuffle=True, seed=seed)
    return _with_future(world, future.with_columns(noise))


def thinned(world: World, seed: int) -> World:
    """Delete half of the rows from the cutoff on, and insert copies of others with new row numbers."""
    future = world.dataset.log.filter(_future(world.window)).collect(engine="in-memory")
    highest = world.dataset.log.select(pl.col("row").max()).collect(engine="in-memory").item() or 0
    kept = future.sample(fraction=0.5, seed=seed)
    copies = future.sample(fraction=0.25, seed=seed + 1)
    new_rows = pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + highest
    copies = copies.with_columns(new_rows.cast(future.schema["row"]).alias("row"))
    return _with_future(world, pl.concat([kept, copies]))


def flipped(world: World, seed: int) -> World:
    """Turn the outcomes of the window's own rows upside down."""
    targets = (pl.col("clock") >= world.window.start) & (pl.col("clock") < world.window.until)
    schema = world.dataset.log.collect_schema()
    turned = [
        pl.when(targets).then(_turned(name, schema[name])).otherwise(pl.col(name)).alias(name)
        for name in _outcomes(world.dataset)
    ]
    return _with_log(world, world.dataset.log.with_columns(turned))


def reordered(world: World, seed: int) -> World:
    """Shuffle the physical order of the log's rows; clocks and row numbers stay."""
    rows = world.dataset.log.collect(engine="in-memory").sample(fraction=1.0, shuffle=True, seed=seed)
    return _with_log(world, rows.lazy())


def pairs_reordered(world: World, seed: int) -> World:
    """Shuffle the order of the pairs."""
    return replace(world, pairs=world.pairs.sample(fraction=1.0, shuffle=True, seed=seed))


def as_test(world: World, seed: int) -> World:
    """Let the window be the test window: its rows are gone from the log and its pairs are given."""
    log = world.dataset.log.filter(pl.col("clock") < world.window.start)
    dataset = replace(
        world.dataset,
        log=log,
        test_pairs=world.pairs.lazy(),
        test_start=world.window.start,
        test_until=world.window.until,
    )
    return replace(world, dataset=dataset)


ALTERATIONS: Mapping[str, Alteration] = {
    "future truncated": truncated,
    "future perturbed": perturbed,
    "future rows deleted and inserted": thinned,
    "labels of the window flipped": flipped,
    "rows of the log reordered": reordered,
    "pairs reordered": pairs_reordered,
    "computed as the test window": as_test,
}


def nothing(world: World, seed: int) -> World:
    """Leave the world as it is: what differs is not the same twice."""
    return world


def without_future(world: World, seed: int) -> World:
    """Alter at once: the window made the test window, rows and pairs reordered."""
    return as_test(pairs_reordered(reordered(world, seed), seed), seed)


def other_future(world: World, seed: int) -> World:
    """Alter at once: the window's labels flipped, rows from the cutoff on deleted and inserted."""
    return thinned(flipped(world, seed), seed)


TOGETHER: Mapping[str, Alteration] = {
    "as the test window, all in another order": without_future,
    "another future": other_future,
}
"""Several alterations at once. What differs here is taken through each of ``ALTERATIONS`` by itself."""

SAMPLE = "computed for a sample of the pairs"
FEW, ALONE = "a few pairs", "one pair alone"
OTHERS_GONE = "depends on users left out"


def of_sample(world: World, seed: int) -> World:
    """Keep the pairs of a few users, as ``--sample-pairs`` does: the data set tells of no others."""
    c = world.dataset.competition
    users = world.pairs[c.user].n_unique()
    share = min(1.0, N_USERS / max(users, 1))
    while True:
        dataset = replace(world.dataset, sample_pairs=share)
        shown = window_pairs(dataset, world.window).select("pair_id")
        pairs = world.pairs.join(shown, on="pair_id", how="semi", maintain_order="left")
        if pairs.height or share >= 1:
            return World(dataset, world.window, pairs)
        share = min(1.0, share * 2)


def few_pairs(world: World, seed: int) -> World:
    """Keep the pairs of a few users; the data set stays."""
    return replace(world, pairs=of_sample(world, seed).pairs)


def one_pair(world: World, seed: int) -> World:
    """Keep one pair of a user who has several."""
    user = world.dataset.competition.user
    several = world.pairs.filter(pl.len().over(user) > 1)
    return replace(world, pairs=(several if several.height else world.pairs).sample(n=1, seed=seed))


def one_user(world: World, seed: int) -> World:
    """Keep the pairs of the user whose one pair ``one_pair`` keeps."""
    user = world.dataset.competition.user
    chosen = one_pair(world, seed).pairs[user][0]
    return replace(world, pairs=world.pairs.filter(pl.col(user).eq_missing(chosen)))


def others_gone(world: World, seed: int) -> World:
    """Delete the rows of all users who have no pairs in the window, as a smaller ``--sample-users`` might."""
    user = world.dataset.competition.user
    shown = window_pairs(world.dataset, world.window).select(user).unique()
    kept = world.dataset.log.join(shown.lazy(), on=user, how="semi", maintain_order="left")
    return _with_log(world, kept)


def _future(window: Window) -> pl.Expr:
    return pl.col("clock") >= window.cutoff


def _outcomes(dataset: Dataset) -> list[str]:
    roles = dataset.competition.roles
    return [n for n in dataset.log.collect_schema().names() if roles.get(n) == "outcome" or n == "relevance"]


def _turned(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype == pl.Boolean:
        return ~column
    if dtype.is_numeric():
        wide = column.cast(pl.Float64 if dtype.is_float() else pl.Int64)
        return (wide.max() + wide.min() - wide).cast(dtype)
    return column.reverse()


def _with_log(world: World, log: pl.LazyFrame) -> World:
    return replace(world, dataset=replace(world.dataset, log=log))


def _with_future(world: World, future: pl.DataFrame) -> World:
    past = world.dataset.log.filter(~_future(world.window))
    return _with_log(world, pl.concat([past, future.lazy()]).sort("clock", "row"))
