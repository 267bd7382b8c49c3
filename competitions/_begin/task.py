"""Guess what is to be predicted: the clock and the test window, the target, the metric. Each with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from competitions._begin.guess import POSITIVES, Guess, reaction_of
from competitions._begin.tables import Seen, Table, column_of, quoted, words_of

HOUR, DAY = 3_600_000_000, 86_400_000_000  # microseconds
N_STEPS = 10
SHORT_STAY, FEWEST_ROWS = 0.1, 10  # of the log's span that users stay; rows of those who are looked at
MOST_LIKED, MOST_DISLIKED = 0.6, 0.3  # shares of the ratings
MOST_GRADES = 100  # different values of a rating
N_FOLDS = 3  # that the settings ask for by default


@dataclass
class Task:
    """Expressions as text, with their reasons.

    Attributes
    ----------
    reactions
        What features call an outcome -> its column.
    derived
        Derived columns: name -> expression.
    """

    clock: str = 'Clock("row")'
    clock_why: str = "no column is an instant: the order of the rows"
    horizon: str = "1"
    horizon_why: str = ""
    n_train_windows: int = 4
    reactions: dict[str, str] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)
    derived_why: str = ""
    relevance: str = ""
    relevance_why: str = ""
    metric: str = 'Metric("user_auc", policy={"one_class": "skip"})'
    metric_why: str = "a guess: look at the rules"
    is_ordered: bool = False


def guess_task(found: Guess) -> Task:
    """Guess it from the roles of the columns."""
    task = Task()
    _target(found, task)
    _clock(found, task)
    _metric(found, task)
    rows = (found.pairs or found.log).scan()
    pairs = rows.select(pl.struct(found.user, found.item).n_unique().alias("n"), pl.len().alias("all"))
    n, n_all = pairs.collect(engine="streaming").row(0)
    task.is_ordered = n < n_all
    return task


def _target(found: Guess, task: Task) -> None:
    """Find what features call the outcomes, and what relevance is made of."""
    columns = found.log.columns
    by_standard: dict[str, str] = {}
    for name in found.outcomes:
        standard = reaction_of(name)
        if standard and standard not in by_standard and name not in found.instants:
            by_standard[standard] = name
    flags = [name for name in found.outcomes if columns[name].is_flag]
    positives = [name for name in flags if words_of(name) & set(POSITIVES)] or flags
    rating = by_standard.get("rating")
    if rating is not None and _is_rating(columns[rating]):
        task.reactions = {s: n for s, n in by_standard.items() if s != n and s not in ("like", "dislike")}
        _thresholds(found, task, rating)
        return
    by_standard.pop("rating", None)
    by_standard = {s: n for s, n in by_standard.items() if s == "timespent" or n in flags}
    if "like" not in by_standard and positives:
        by_standard["like"] = positives[0]
    task.reactions = {s: n for s, n in by_standard.items() if s != n}
    if "like" in by_standard:
        liked = f"{column_of(by_standard['like'])}.cast(pl.Int8)"
        disliked = by_standard.get("dislike")
        task.relevance = liked + (f" - {column_of(disliked)}.cast(pl.Int8)" if disliked else "")
        others = [n for n in flags if n not in by_standard.values()]
        task.relevance_why = "a guess" + (f", without {', '.join(others)}" if others else "")
        return
    numbers = [n for n in found.outcomes if columns[n].dtype.is_numeric()]
    number = numbers[0] if numbers else found.outcomes[0]
    middle = (
        found.log.scan().select(pl.col(number).median()).collect(engine="streaming").item()
        if numbers
        else None
    )
    task.relevance = f"{column_of(number)} > {middle!r}" if numbers else f"{column_of(number)}.is_not_null()"
    task.relevance_why = "a guess: above the median" if numbers else "a guess"


def _is_rating(seen: Seen) -> bool:
    return seen.dtype.is_numeric() and not seen.is_flag and seen.n_unique <= MOST_GRADES


def _thresholds(found: Guess, task: Task, rating: str) -> None:
    """Cut a rating: liked is from the lowest value on that at most ``MOST_LIKED`` of the rows reach."""
    values = found.log.scan().select(pl.col(rating).drop_nulls()).collect(engine="streaming")[rating]
    known = values.unique().sort()
    top = next((v for v in known if (values >= v).mean() <= MOST_LIKED), known[-1])
    low = [v for v in known if v < top and (values <= v).mean() <= MOST_DISLIKED]
    task.derived = {"like": f"{column_of(rating)} >= {top:g}"}
    task.derived_why = f"a threshold: {(values >= top).mean():.0%} of all"
    task.relevance = 'pl.col("like").cast(pl.Int8)'
    if low:
        task.derived["dislike"] = f"{column_of(rating)} <= {low[-1]:g}"
        task.derived_why = (
            f"thresholds: {(values >= top).mean():.0%}, {(values <= low[-1]).mean():.0%} of all"
        )
        task.relevance += ' - pl.col("dislike").cast(pl.Int8)'
    task.relevance_why = "a guess"


def _clock(found: Guess, task: Task) -> None:
    column = found.clock_column
    task.horizon = f"{max(1, found.log.n_rows // N_STEPS):_}"
    task.horizon_why = "rows: a tenth of the log; look at the rules for the length of the test"
    if column is None:
        almost = {n: seen.share_iso for n, seen in found.log.columns.items() if 0.5 < seen.share_iso < 1}
        for name, share in almost.items():
            task.clock_why = f"{name} is no instant in {1 - share:.2%} of the rows: the order of the rows"
        return
    at = pl.col("at")
    log = _at(found, column, found.log)
    low, high = log.select(at.min(), at.max().alias("high")).collect(engine="streaming").row(0)
    if low is None:
        return
    if found.pairs is not None and column in found.pairs.columns:
        pairs = _at(found, column, found.pairs)
        first, last = pairs.select(at.min(), at.max().alias("high")).collect(engine="streaming").row(0)
        if first is None:
            task.clock_why = f"{found.pairs.name} has no {column}: the order of the rows"
            return
        if first > high:
            horizon = last - high + 1
            task.clock_why = "the test pairs come after the log"
            _time(task, column, low, high, -(-horizon // HOUR) * HOUR, "the span of the test pairs")
            return
        task.clock_why = f"the test pairs do not come after the log by {column}: the order of the rows"
        return
    if found.pairs is not None:
        task.clock_why = f"the test pairs have no {column}: the order of the rows"
        return
    stays = (
        log.group_by("user").agg(n=pl.len(), stay=at.max() - at.min()).filter(pl.col("n") >= FEWEST_ROWS)
    ).select(pl.col("stay").median(), pl.len().alias("n"))
    stay, n = stays.collect(engine="streaming").row(0)
    if n and 0 < stay < SHORT_STAY * (high - low):
        task.clock = f'Clock("per_user", column={quoted(column)}, steps={N_STEPS})'
        task.clock_why = f"users stay for {stay / (high - low):.1%} of the log"
        task.horizon, task.horizon_why = "1", f"of the {N_STEPS} steps: the last tenth of each user's rows"
        return
    task.clock_why = "users come back all along the log"
    _time(task, column, low, high, max(1, (high - low) // 10), "a tenth of the log: there are no test pairs")


def _at(found: Guess, column: str, table: Table) -> pl.LazyFrame:
    """Give users and instants, as whole microseconds, of a table."""
    expression = eval(found.instants[column], {"pl": pl})  # of our own making
    return table.scan().select(user=pl.col(found.user), at=expression.cast(pl.Int64)).drop_nulls()


def _time(task: Task, column: str, low: int, high: int, horizon: int, why: str) -> None:
    """Set a clock by time, with as many train windows as leave some history before all folds."""
    task.clock = f'Clock("time", column={quoted(column)})'
    n = max(1, (high - low) // horizon)
    task.horizon = f"{horizon // DAY} * 86_400_000_000" if horizon % DAY == 0 else f"{horizon:_}"
    n_days = f"{horizon / DAY:.3g} day{'s' * (horizon != DAY)}"
    task.horizon_why = f"{n_days} in microseconds: {why}"
    task.n_train_windows = min(4, max(1, n - N_FOLDS - 1))


def _metric(found: Guess, task: Task) -> None:
    """Take the reciprocal rank where each user has one positive row, AUC within users otherwise."""
    name = task.reactions.get("like", "like")
    if task.derived or name not in found.log.columns or "dislike" in task.relevance:
        return
    users = found.log.scan().group_by(found.user).agg(n=pl.len(), hits=pl.col(name).cast(pl.Int64).sum())
    single, longest = (
        users.filter(pl.col("n") > 1)
        .select((pl.col("hits") == 1).mean(), pl.col("n").max())
        .collect(engine="streaming")
        .row(0)
    )
    if single is not None and single > 0.9:
        task.metric = f'Metric("mrr_at_k", policy={{"k": {longest}}})'
        task.metric_why = f"a guess: {single:.0%} of the users have one {name}"
