"""What is learned about a run after it was made: leaderboard scores and notes. Entries are only ever added."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

EntryKind = Literal["note", "public", "private", "local_score"]


class Lead(BaseModel):
    """How much better the blend is than the best single model: metric of ``blend`` minus that of ``model``.

    ``low`` and ``high`` are the ends of the 95 % interval of a paired bootstrap over ``n_users`` users.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    blend: str
    model: str
    mean: float
    low: float
    high: float
    n_users: int


class Interval(BaseModel):
    """A value of a run, or a difference of two, with the ends of its 95 % interval over ``n_users`` resampled users."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str
    value: float
    low: float
    high: float
    n_users: int


class Entry(BaseModel):
    """One thing learned.

    ``value`` is the score (``public`` and ``private``: what the leaderboard said; ``local_score``: the metric on
    the solution that this machine has), ``by_name`` the local score of each single model and blend. Of simulated data,
    ``oracle`` is that of the true probabilities, ``statistician`` that of one who knows all but the users' tastes (if
    ``python -m competitions ceiling`` was asked for it), ``order_blind`` that of the true probabilities without effects
    of order (if there are any), and ``lead`` the blend's over the best single model. ``intervals``: how sure the local
    score is, and what it is compared with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: EntryKind
    when: datetime
    text: str | None = None
    value: float | None = None
    by_name: dict[str, float] | None = None
    oracle: float | None = None
    statistician: float | None = None
    order_blind: float | None = None
    lead: Lead | None = None
    intervals: tuple[Interval, ...] = ()


class Ledger(BaseModel):
    """All entries of a run, oldest first. The last score of a kind counts; the earlier ones stay readable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    entries: tuple[Entry, ...] = ()

    def with_entries(self, *entries: Entry) -> Ledger:
        """Return a ledger with more entries."""
        return Ledger(entries=(*self.entries, *entries))

    def last(self, kind: EntryKind) -> Entry | None:
        """The newest entry of a kind, None if there is none."""
        return next((e for e in reversed(self.entries) if e.kind == kind), None)

    def score(self, kind: EntryKind) -> float | None:
        """The score that counts: the newest of its kind."""
        entry = self.last(kind)
        return entry.value if entry else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Texts of all notes, oldest first."""
        return tuple(e.text for e in self.entries if e.kind == "note" and e.text)
