"""The ways in which an audit alters the world, and which columns it tries in which; no feature may notice any.

Each takes a data set with a window and gives an altered one. Values of the same pairs at the same cutoff are then
computed again and must be equal, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl

from competitions import Dataset
from engine import Settings, loaded_at
from features._audit.fresh import Packed, packed, unpacked
from features._audit.relabelled import SAME, Labels
from features._audit.values import range_of
from features._catalogue import Catalogue, FeatureColumn
from validation import Window, window_pairs

N_USERS = 10  # of a sample of pairs, about
SAMPLE, FEW, ALONE = "computed for a sample of the pairs", "a few pairs", "one pair alone"
OTHERS_GONE, OVERFLOW = "depends on users left out", "overflow"
AGAIN, TOGETHER_AGAIN = "a second run in the same process", "windows computed one by one"
RELABELLED, ELSEWHERE = "other ids, numbers and time together", "in another process with one thread"
IDS, ROWS, TIME = "other ids", "other numbers of rows and pairs", "another time"
# Beyond 2^16, and in the upper half of 8 and of 16 bits: a signed count turns negative, an unsigned one starts anew.
N_BUSY = 2**16 + 2**15 + 2**7


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
    future = _future_rows(world)
    outcomes = _outcomes(world.dataset)
    noise = future.select(outcomes).sample(fraction=1.0, with_replacement=True, shuffle=True, seed=seed)
    return _with_future(world, future.with_columns(noise))


def thinned(world: World, seed: int) -> World:
    """Delete half of the rows from the cutoff on, and insert copies of others with new row numbers."""
    future = _future_rows(world)
    rows = world.dataset.log.select("row").collect(engine="in-memory").to_series()
    left = future.sample(fraction=0.5, seed=seed)
    copies = future.sample(fraction=0.25, seed=seed + 1)
    return _with_future(world, pl.concat([left, _numbered(copies, rows)]))


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


def of_sample(world: World, seed: int) -> World:
    """Keep the pairs of a few users, of half at most, as ``--sample-pairs`` does: the data set tells of no others."""
    c = world.dataset.competition
    users = world.pairs[c.user].n_unique()
    share = min(0.5, N_USERS / max(users, 1))
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


def others_gone(world: World, seed: int) -> World:
    """Delete the rows of all users who have no pairs in the window, as a smaller ``--sample-users`` might."""
    user = world.dataset.competition.user
    shown = window_pairs(world.dataset, world.window).select(user).unique()
    left = world.dataset.log.join(shown.lazy(), on=user, how="semi", maintain_order="left")
    return _with_log(world, left)


def busy(world: World, seed: int) -> World:
    """Append ``N_BUSY`` rows of one of the pairs to the history, at its last clock; and keep the user's pairs.

    The pair is one whose user and item have few rows, so that all counts of theirs lie just above ``N_BUSY``.
    """
    c = world.dataset.competition
    log = world.dataset.log.sort("clock", "row").collect(engine="in-memory")
    history = log.filter(~_future(world.window))
    if not history.height or not world.pairs.height:
        return world
    pair = _rare(world, history)
    own = history.filter(pl.col(c.item).eq_missing(pair[c.item]))
    template = (own if own.height else history).sort("relevance", "row", descending=True).head(1)
    same = {c.user: pair[c.user], c.item: pair[c.item], "clock": history["clock"].max()}
    template = template.with_columns(pl.lit(value, log.schema[n]).alias(n) for n, value in same.items())
    copies = template.select(pl.all().repeat_by(N_BUSY).explode(empty_as_null=True, keep_nulls=True))
    rows = pl.concat([log, _numbered(copies, log["row"]).select(log.columns)]).sort("clock", "row")
    pairs = world.pairs.filter(pl.col(c.user).eq_missing(pair[c.user]))
    return replace(_with_log(world, rows.lazy()), pairs=pairs)


def _rare(world: World, history: pl.DataFrame) -> dict[str, int]:
    c = world.dataset.competition
    pairs = world.pairs
    for key in (c.user, c.item):
        counts = history.group_by(key).agg(pl.len().alias(f"n_{key}"))
        pairs = pairs.join(counts, on=key, how="left", validate="m:1", maintain_order="left")
    seen = [pl.col(f"n_{key}").fill_null(10**9) for key in (c.user, c.item)]  # unseen ones last
    return pairs.sort(pl.max_horizontal(seen), "pair_id").row(0, named=True)


def _numbered(copies: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Give copies of rows new row numbers, after those that there are."""
    numbers = pl.int_range(1, pl.len() + 1, dtype=pl.Int64) + (rows.max() or 0)
    return copies.with_columns(numbers.cast(copies.schema["row"]).alias("row"))


def _future_rows(world: World) -> pl.DataFrame:
    return world.dataset.log.filter(_future(world.window)).collect(engine="in-memory")


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
        # Narrow integers may wrap around on the way to what lies between their ends.
        wide = column.cast(pl.Float64) if dtype.is_float() else column
        return (wide.max() + wide.min() - wide).cast(dtype)
    return column.reverse()


def _with_log(world: World, log: pl.LazyFrame) -> World:
    return replace(world, dataset=replace(world.dataset, log=log))


def _with_future(world: World, future: pl.DataFrame) -> World:
    past = world.dataset.log.filter(~_future(world.window))
    return _with_log(world, pl.concat([past, future.lazy()]).sort("clock", "row"))


@dataclass(frozen=True)
class Worlds:
    """What is altered: a data set that can be computed again and again, and windows with the pairs to compare.

    ``windows``: the ones to alter. ``pairs``: of these and, for the values alone, of others such as the test window.
    ``is_brief``: only what alters the log, and not the pairs or the process.
    """

    catalogue: Catalogue
    names: tuple[str, ...]
    windows: tuple[Window, ...]
    pairs: Mapping[Window, pl.DataFrame]
    settings: Settings
    is_brief: bool = False

    def of_scope(self, *scopes: str) -> tuple[str, ...]:
        """The columns of these scopes."""
        return tuple(n for n in self.names if self.catalogue.columns[n].scope in scopes)

    @cached_property
    def ground(self) -> Ground:
        """What goes to other processes."""
        columns = (self.catalogue.columns[name] for name in self.catalogue.closure(self.names))
        declarations = {c.declaration.name: c.declaration for c in columns}
        features = tuple(Packed.of(declaration) for declaration in declarations.values())
        content = packed((self.catalogue.dataset, dict(self.pairs)))
        return Ground(content, features, self.settings.seed, loaded_at())


@dataclass(frozen=True)
class Ground:
    """What worlds are laid on, by which no feature file is imported yet: ``features`` are packed.

    ``content``: the data set and the pairs of windows as bytes, so that no frame of a process in which a feature is
    computed holds what the world lacks. ``loaded``: when the process that audits began to load its code.
    """

    content: bytes
    features: tuple[Packed, ...]
    seed: int
    loaded: int

    def unpacked(self) -> tuple[Dataset, dict[Window, pl.DataFrame]]:
        """The data set as it is, and the pairs of windows."""
        found: tuple[Dataset, dict[Window, pl.DataFrame]] = unpacked(self.content)
        return found


@dataclass(frozen=True)
class Trial:
    """A world to compute: under which check, in which windows, what it alters, which columns are looked at there.

    ``alter`` takes the one window of the trial. ``labels``: which labels are others, in all windows.
    """

    check: str
    windows: tuple[Window, ...]
    names: tuple[str, ...]
    alter: Alteration | None = None
    labels: Labels = SAME

    @property
    def name(self) -> str:
        """The check and, if there is only one, its window."""
        return f"{self.check} @ {self.windows[0].name}" if len(self.windows) == 1 else self.check


def first_trials(worlds: Worlds) -> list[Trial]:
    """The worlds that every column is computed in; more only for what differs in one of them.

    No window's future may be known, so it is gone for each; it is another one for the last, which stands for all.
    Later windows come first, so that a process in which state outlives a window has that of another one.
    """
    last = worlds.windows[-1]
    futures = [
        Trial(check, (window,), worlds.names, alter)
        for window in reversed(worlds.windows)
        for check, alter in TOGETHER.items()
        if alter is without_future or window == last
    ]
    trials = [*_with_other_labels(worlds), *futures]
    return trials if worlds.is_brief else [*trials, *_of_few_pairs(worlds)]


def _with_other_labels(worlds: Worlds) -> list[Trial]:
    """One world with all labels others at once; columns that show ids or instants are in one without these.

    In the first window and in the last, which is the test's where its pairs are there.
    """
    by_use: dict[tuple[str, ...], list[str]] = {(): []}
    for name in worlds.names:
        by_use.setdefault(_shown(worlds.catalogue.columns[name]), []).append(name)
    every = tuple(worlds.pairs)
    windows = tuple(dict.fromkeys((every[0], every[-1])))
    return [
        Trial(
            RELABELLED,
            windows,
            tuple(names),
            labels=Labels(ids="ids" not in uses, rows=True, time="time" not in uses),
        )
        for uses, names in by_use.items()
        if names
    ]


def _shown(column: FeatureColumn) -> tuple[str, ...]:
    """What a column shows on purpose: what it says so of, and instants if it is of instants, which no model reads."""
    is_instant = isinstance(column.dtype, pl.Datetime | pl.Date) and "time" not in column.uses
    return (*column.uses, "time") if is_instant else column.uses


def _of_few_pairs(worlds: Worlds) -> list[Trial]:
    """Worlds of the last window alone; that without other users only where users have been left out already.

    One pair alone is for what needs no others; what needs its user's shows it in the sample. Overflow is looked for
    in whole numbers, and in what has a range to leave and does not read fractions alone.
    """
    last, schema = worlds.windows[-1:], worlds.catalogue.dataset.history_schema
    columns = [worlds.catalogue.columns[n] for n in worlds.names]
    wide = tuple(
        c.name
        for c in columns
        if c.dtype.is_integer() or (range_of(c, schema) is not None and not _of_fractions(worlds, c))
    )
    trials = [
        Trial(SAMPLE, last, worlds.of_scope("row", "user"), of_sample),
        Trial(OVERFLOW, last, wide, busy),
        Trial(ALONE, last, worlds.of_scope("row"), one_pair),
    ]
    if worlds.settings.sample.users < 1:
        trials.append(Trial(OTHERS_GONE, last, worlds.names, others_gone))
    return [trial for trial in trials if trial.names]


def _of_fractions(worlds: Worlds, column: FeatureColumn) -> bool:
    """Tell whether a column is worked out of other columns, all of which are fractions: no row can overflow it."""
    read = [worlds.catalogue.columns[name].dtype for name in column.reads]
    return bool(read) and all(dtype.is_float() for dtype in read)


def single_trials(trial: Trial, names: tuple[str, ...]) -> list[Trial]:
    """The single alterations of a world, for the columns that differ there."""
    if not names:
        return []
    if trial.check in (SAMPLE, ALONE):
        few = [Trial(FEW, trial.windows, names, few_pairs)] if trial.check == SAMPLE else []
        return [*few, replace(trial, names=names)]
    if trial.check == AGAIN:
        return [replace(trial, check=TOGETHER_AGAIN, names=names)]
    if trial.check == RELABELLED:
        own = replace(trial, names=names, labels=SAME)
        of = trial.labels
        each = {IDS: Labels(ids=of.ids), ROWS: Labels(rows=of.rows), TIME: Labels(time=of.time)}
        return [
            replace(own, check=ELSEWHERE),
            *(replace(own, check=check, labels=labels) for check, labels in each.items() if labels != SAME),
        ]
    return [Trial(check, trial.windows, names, alter) for check, alter in ALTERATIONS.items()]
