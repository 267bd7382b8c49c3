"""The one protocol of everything that ranks pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

from models._pair_frame import PairFrame, Scores

__all__ = ["FitContext", "FitReport", "FittedRanker", "PairFrame", "Ranker", "Scores"]


@dataclass(frozen=True)
class FitContext:
    """What a fit may use beside the pairs.

    ``iterations``: None = find the count on an inner hold-out; a number = train so many on all rows (the final fit
    reuses what the folds found). ``time_budget``: seconds, None = no limit. ``scratch``: a folder on disk for what a
    fit would rather not hold in memory, None = there is none; what is fitted does not depend on it.
    """

    seed: int
    threads: int = 1
    iterations: int | None = None
    time_budget: float | None = None
    scratch: Path | None = None


@dataclass(frozen=True)
class FitReport:
    """What a fit tells about itself.

    ``stopped_by``: "converged", "hold-out", "iterations" or "time budget". ``importance``: share of each feature
    in the model, empty if the model has none. ``training_loss``: what the fit minimised, on the rows that it was
    fitted on, without penalties (None if it has no such number), and ``loss`` which loss that is; losses of one name
    are comparable.
    """

    iterations: int | None = None
    stopped_by: str = "converged"
    importance: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, float] = field(default_factory=dict)
    training_loss: float | None = None
    loss: str = ""


class FittedRanker(Protocol):
    """A ranker after fit."""

    @property
    def report(self) -> FitReport:
        """What the fit tells about itself."""
        ...

    def predict(self, frame: PairFrame) -> Scores:
        """Score every pair: Float64 (n_pairs,), finite, in the order of ``frame.table``. Larger ranks higher."""
        ...

    def save(self, folder: Path) -> None:
        """Write native files (no pickle) into an existing empty folder."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote; predictions repeat exactly."""
        ...


class Ranker(Protocol):
    """A ranker before fit: a frozen dataclass of its parameters.

    A model file holds one class whose fields are its parameters (with defaults) and which says with
    ``@model("name")`` under what name ``config.toml`` knows it.
    """

    @property
    def needs(self) -> tuple[str, ...]:
        """Feature columns that this model reads by name: it gets those and no others, whatever the patterns select.

        Empty: it gets all that the patterns select.
        """
        ...

    @property
    def fitted(self) -> type[FittedRanker]:
        """The class whose ``load`` reads what this ranker's fit saved."""
        ...

    def fit(self, train: PairFrame, context: FitContext) -> FittedRanker:
        """Fit on pairs with labels. Never changes ``train``. Repeats exactly for the same context and rows."""
        ...
