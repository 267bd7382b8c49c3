"""What the competition declares and no other feature reads: columns that are seen of a pair, as they are.

Position in a list, price, device: whatever is declared and no outcome is a model input by itself. So is a number that
runs on with time, such as that of a session, but by rank and share only: what trees learn of numbers that the test does
not have says nothing there, or worse. Texts and vectors are reduced in ``given_content.py``. Lists are not read: write
a feature that makes a number or an Enum of them.
"""

import polars as pl

from features import LogColumns, per_pair
from features.toolkit import rank_within


def as_they_are(log: LogColumns) -> tuple[str, ...]:
    """Name what is shown of a pair that is no text, vector or instant, nor a number that runs on with time."""
    numbers = (name for name in log.shown_numbers if name not in log.shown_out_of_range)
    return (*numbers, *log.shown_flags, *log.shown_levels)


@per_pair(each=as_they_are)
def given(value: pl.Expr) -> pl.Expr:
    """The column as the competition has it; null if unknown."""
    return value


@per_pair(scope="user", each=lambda log: log.of_pair)
def given_rank(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """Rank of the column within the user's pairs as a share in (0, 1], ties averaged; null if unknown."""
    return rank_within(value, user_id)


@per_pair(scope="user", each=lambda log: log.of_pair)
def given_share(value: pl.Expr, user_id: pl.Expr) -> pl.Expr:
    """The column over the sum of its sizes within the user's pairs; null if unknown or if all are 0."""
    size = value.cast(pl.Float64).abs()  # a sum of integers would wrap around without a word
    total = size.sum().over(user_id)
    return pl.when(total > 0).then(value / total)


@per_pair(each=lambda log: log.shown_instants)
def given_hour(instant: pl.Expr) -> pl.Expr:
    """Hour of the day of the instant, with a fraction, in [0, 24); null if unknown."""
    return instant.dt.hour() + instant.dt.minute() / 60


@per_pair(each=lambda log: log.shown_instants)
def given_weekday(instant: pl.Expr) -> pl.Expr:
    """Day of the week of the instant, Monday 1 to Sunday 7; null if unknown."""
    return instant.dt.weekday()


@per_pair(each=lambda log: log.shown_dates)
def given_age(instant: pl.Expr, cutoff: pl.Expr) -> pl.Expr:
    """Days from the instant to the end of the history; negative if it is later, null if unknown."""
    return (cutoff - instant.dt.epoch("us")) / 86_400_000_000
