"""Windows and folds. Half-open everywhere, defined here once."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from competitions import Clock, Dataset, in_share
from engine import ConfigError, FoldSettings

PAIRS = 1  # the salt of a sample of pairs: other users than a sample of the users of the same share


@dataclass(frozen=True, order=True)
class Window:
    """A cutoff and the span of clock whose rows are scored.

    History is ``clock < cutoff``; targets are ``start <= clock < until``. A window does not know whether it
    serves train, eval or test. ``horizon`` is ``until - start``, in clock units.

    >>> Window(cutoff=7, start=7, until=8).name
    'w7-7-8'
    """

    cutoff: int
    start: int
    until: int

    @property
    def name(self) -> str:
        """Text that is unique among windows and safe as a file name."""
        return f"w{self.cutoff}-{self.start}-{self.until}"

    @property
    def horizon(self) -> int:
        """Length of the targets' span in clock units."""
        return self.until - self.start

    def history(self, log: pl.LazyFrame) -> pl.LazyFrame:
        """Rows before the cutoff. Their order stays."""
        return log.filter(pl.col("clock") < self.cutoff)

    def targets(self, log: pl.LazyFrame) -> pl.LazyFrame:
        """Rows of the targets' span. Their order stays."""
        return log.filter((pl.col("clock") >= self.start) & (pl.col("clock") < self.until))


def window_title(clock: Clock, window: Window) -> str:
    """Name a window as one reads it: by its instants (UTC) on a clock of time, to the second where it needs that.

    >>> day = 86_400_000_000
    >>> window_title(Clock("time", column="at"), Window(0, 0, 7 * day))
    '1970-01-01 to 1970-01-08'
    >>> window_title(Clock("row"), Window(0, 0, 7))
    'w0-0-7'
    """
    if clock.kind != "time":
        return window.name
    start, until = (clock.shown(value) for value in (window.start, window.until))
    n = (
        10
        if start[11:19] == until[11:19] == "00:00:00"
        else 16
        if start[17:19] == until[17:19] == "00"
        else 19
    )
    return f"{start[:n]} to {until[:n]}"


@dataclass(frozen=True)
class Fold:
    """Train windows (earliest first) and the window that is predicted after them."""

    name: str
    train: tuple[Window, ...]
    eval: Window


@dataclass(frozen=True)
class Folds:
    """All folds, earliest eval window first, and the final fold whose eval window is the test window."""

    folds: tuple[Fold, ...]
    final: Fold

    @property
    def windows(self) -> tuple[Window, ...]:
        """Every distinct window, earliest first: the ones to compute features for."""
        every = [w for fold in (*self.folds, self.final) for w in (*fold.train, fold.eval)]
        return tuple(sorted(set(every)))


def plan_folds(dataset: Dataset, settings: FoldSettings) -> Folds:
    """Lay the windows back from the test window, one horizon apart, and group them into folds.

    The targets of a train window end at or before the cutoff of the window that is predicted after it: with a gap, the
    windows between them are left out, in every fold and before the test alike.

    Raises ConfigError if there are fewer than one eval window or one train window, or if the first train window
    would have no history before it.
    """
    n_folds, n_train = settings.n_folds, settings.n_train_windows or dataset.competition.n_train_windows
    horizon = settings.horizon or dataset.horizon
    gap = dataset.competition.gap if settings.gap is None else settings.gap
    test = Window(dataset.test_start - gap, dataset.test_start, dataset.test_until)
    # Windows whose labels lie in the gap: not known at the cutoff of what follows.
    n_skipped = -(-gap // horizon)
    earliest = test.start - (n_folds + n_train + 2 * n_skipped) * horizon
    first_clock = _first_clock(dataset)
    if first_clock is None or earliest - gap <= first_clock:
        clock = dataset.competition.clock
        starts = "is empty" if first_clock is None else f"starts at {clock.shown(first_clock)}"
        raise ConfigError(
            f"{n_folds} folds with {n_train} train windows of {clock.length(horizon)} and a gap of {clock.length(gap)} "
            f"reach back to {clock.shown(earliest - gap)}, but the log {starts}.",
            expected="some history before the first train window",
            todo="lower folds.n_folds, folds.n_train_windows or folds.horizon in config.toml",
        )

    def back(steps: int) -> Window:
        start = test.start - steps * horizon
        return Window(start - gap, start, start + horizon)

    def fold(name: str, steps: int) -> Fold:
        train = tuple(back(steps + n_skipped + i) for i in range(n_train, 0, -1))
        return Fold(name, train, test if steps == 0 else back(steps))

    evals = range(n_skipped + n_folds, n_skipped, -1)
    return Folds(
        tuple(fold(f"fold{number}", steps) for number, steps in enumerate(evals, 1)), fold("final", 0)
    )


def _first_clock(dataset: Dataset) -> int | None:
    known = dataset.partitions[0].first_clock
    if known is not None:
        return known
    first: int | None = dataset.log.select(pl.col("clock").min()).collect(engine="streaming").item()
    return first


def window_pairs(dataset: Dataset, window: Window) -> pl.DataFrame:
    """Pairs to score in a window: ``pair_id``, keys, observed columns; no outcomes, no attributes. Sorted by pair_id.

    In the test window these are the given pairs; elsewhere the target rows that the competition selects, whose
    ``pair_id`` is their ``row``. Outcomes are dropped here, so no feature can read them.

    With ``dataset.sample_pairs`` below 1 they are all pairs of the users whose hash lies in the share, the same users
    in every window: whole groups, so that a feature within a user's pairs has the value that it has in full.
    """
    columns = dataset.test_pairs.collect_schema().names()
    pairs = dataset.test_pairs if is_test(dataset, window) else _selected(dataset, window)
    return _sampled(dataset, pairs).select(columns).sort("pair_id").collect(engine="streaming")


def window_relevance(dataset: Dataset, window: Window) -> pl.DataFrame:
    """Labels of a window's pairs: ``pair_id``, ``relevance`` (Int8), sorted by pair_id. Not for the test window."""
    if is_test(dataset, window):
        raise ConfigError(
            f"Window {window.name} is the test window: it has no labels.", expected="a train or eval window"
        )
    pairs = _sampled(dataset, _selected(dataset, window))
    return pairs.select("pair_id", "relevance").sort("pair_id").collect(engine="streaming")


def is_test(dataset: Dataset, window: Window) -> bool:
    """Tell whether the window's targets are the given test pairs."""
    return window.start >= dataset.test_start


def _sampled(dataset: Dataset, pairs: pl.LazyFrame) -> pl.LazyFrame:
    # After the competition has selected: its choice may depend on all rows of the window.
    if dataset.sample_pairs >= 1:
        return pairs
    user = dataset.competition.user
    return pairs.filter(
        in_share(pl.col(user), pairs.collect_schema()[user], dataset.sample_pairs, salt=PAIRS)
    )


def _selected(dataset: Dataset, window: Window) -> pl.LazyFrame:
    return dataset.competition.select_pairs(window.targets(dataset.log)).with_columns(pair_id=pl.col("row"))
