"""When one way of computing is taken rather than another. No value depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Sizes at which ways of computing change; measured to be fast, and set to others by tests only.

    Attributes
    ----------
    wide
        Distinct keys a row. Rows of a wider key are narrowed to the keys of the pairs before they are grouped.
    rolled_up_rows
        Rows of a partition, from which on coarse keys are rolled up and not grouped by themselves.
    cached_rows
        Rows of a partition, from which on its partials are stored; fewer are grouped faster than found.
    cached_share
        Partials of a wide key a row. With more, they are hardly smaller than the rows, and not stored.
    looked_up
        Entries of a table that the ids of keys are looked up in; larger ones are joined.
    checkpoint_seconds
        Of learning between two checkpoints of a streamed learner that only serve a run that is killed.
    """

    wide: float = 0.25
    rolled_up_rows: int = 200_000
    cached_rows: int = 200_000
    cached_share: float = 0.1
    looked_up: int = 2**25
    checkpoint_seconds: float = 30.0


LIMITS = Limits()
