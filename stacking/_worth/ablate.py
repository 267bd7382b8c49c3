"""What a model loses when a family or a feature is left out: by shuffling its columns, and by refitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from engine import ConfigError, Recipe, Task
from models import PairFrame, Ranker, StoredColumns, fitted_class
from stacking._fits import Done, Fit, all_pairs, check_scores, reader_for
from stacking._pairs import PairReader
from stacking._plan import FORMAT, Plan
from stacking._worth.differences import Comparison, Measured, Scored, measure, score_sets
from stacking._worth.gain import (
    Cost,
    base_costs,
    base_fits,
    column_costs,
    cost_of,
    differences_cost,
    fits_on,
    refit_cost,
    run_refits,
    scored_by,
)
from stacking._worth.units import By, Units, main_model, named_columns, units_of
from validation import Window

_HELD = 0.2  # share of a worker's memory that columns may take when they are held for all repeats


@dataclass(frozen=True)
class Shuffling:
    """How columns are shuffled. ``n_repeats`` permutations, drawn from ``seed``, the window and the repeat's number.

    They are the same for every set of columns: sets are compared on the same shuffles.
    """

    n_repeats: int
    seed: int

    def order(self, window: Window, repeat: int, n_pairs: int) -> pl.Series:
        """Permutation of the window's pairs, UInt32 (n_pairs,)."""
        rng = np.random.default_rng([self.seed, repeat, window.cutoff % 2**63])
        return pl.Series(rng.permutation(n_pairs).astype(np.uint32))


@dataclass(frozen=True)
class Left:
    """What leaving a unit out did: the metric without it minus the metric with it, by each way that was asked for."""

    unit: str
    columns: tuple[str, ...]
    shuffled: Measured | None
    refitted: Measured | None


@dataclass(frozen=True)
class Ablation:
    """What is left out of which model, and how, before anything is done.

    ``n_seeds``: seeds of a refit, and of the model that it is compared with.
    """

    plan: Plan
    model: str
    by: By
    units: Units
    shuffling: Shuffling | None
    refits: bool
    n_seeds: int

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model reads."""
        return self.plan.columns[self.model]

    def left_out(self, unit: str) -> list[Fit]:
        """Fits on all columns but the unit's."""
        rest = [c for c in self.columns if c not in self.units[unit]]
        return fits_on(self.plan, self.model, rest, self.n_seeds)

    @property
    def fits(self) -> list[Fit]:
        """Every fit that refitting needs, those on all columns first."""
        whole = fits_on(self.plan, self.model, self.columns, self.n_seeds)
        return [*whole, *(fit for unit in self.refittable for fit in self.left_out(unit))]

    @property
    def refittable(self) -> list[str]:
        """Units that leave the model a column."""
        return [u for u, c in self.units.items() if self.refits and set(c) < set(self.columns)]

    def costs(self) -> list[Cost]:
        """What is to be made, from the times of the model's own fits and scores if they were ever made."""
        base = base_fits(self.plan, self.model)
        costs = column_costs(self.plan, self.columns) if self.refits else base_costs(self.plan, self.model)
        if self.shuffling is not None:
            costs.append(
                _permutation_cost(self.plan, self.model, base, list(self.units.values()), self.shuffling)
            )
        if self.refits:
            n = len(self.refittable)
            costs.append(refit_cost(self.plan, self.fits, self.model, n_differences=n))
        return costs

    def run(self, base: Sequence[Done]) -> list[Left]:
        """Make what is missing; units in the order of what they cost when shuffled or, without that, refitted."""
        shuffled, refitted = self._shuffled(base), self._refitted()
        found = [Left(u, c, shuffled.get(u), refitted.get(u)) for u, c in self.units.items()]
        sign = 1.0 if self.plan.dataset.competition.metric.greater_is_better else -1.0

        def change(left: Left) -> float:
            measured = left.shuffled or left.refitted
            return 0.0 if measured is None else sign * measured.change.mean

        return sorted(found, key=change)

    def _shuffled(self, base: Sequence[Done]) -> dict[str, Measured]:
        if self.shuffling is None:
            return {}
        whole = {d.fit.fold.eval: [(d.fit.scores, d.scores)] for d in base}
        scores = _permuted_scores(self.plan, base, list(self.units.values()), self.shuffling)
        compared = [
            Comparison(f"{self.model} with {unit} shuffled", whole, of_unit)
            for unit, of_unit in zip(self.units, scores, strict=True)
        ]
        return dict(zip(self.units, measure(self.plan, compared), strict=True))

    def _refitted(self) -> dict[str, Measured]:
        units = self.refittable
        if not units:
            return {}
        done = run_refits(self.plan, self.fits, "Left out")
        whole = scored_by(fits_on(self.plan, self.model, self.columns, self.n_seeds), done)
        compared = [
            Comparison(f"{self.model} without {unit}", whole, scored_by(self.left_out(unit), done))
            for unit in units
        ]
        return dict(zip(units, measure(self.plan, compared), strict=True))


def plan_ablation(
    plan: Plan,
    *,
    by: By = "family",
    model: str | None = None,
    only: str | None = None,
    shuffles: bool = True,
    refits: bool = False,
    n_repeats: int = 5,
    n_seeds: int = 1,
) -> Ablation:
    """Plan what to leave out. ``only``: a name as ``stacking gain`` takes it; its columns alone are looked at.

    Raises ConfigError for names that mean nothing that the model reads.
    """
    judge = main_model(plan, model)
    units = units_of(plan.catalogue, plan.columns[judge], by)
    if only is not None:
        wanted = set(named_columns(plan.catalogue, only))
        units = {u: tuple(c for c in columns if c in wanted) for u, columns in units.items()}
        units = {u: columns for u, columns in units.items() if columns}
        if not units:
            raise ConfigError(
                f"{judge!r} reads no column that {only!r} means.",
                expected="something that [features] selects",
                todo="`python -m stacking gain` tells what a feature adds that the model does not read yet",
            )
    shuffling = Shuffling(n_repeats, plan.settings.seed) if shuffles else None
    return Ablation(plan, judge, by, units, shuffling, refits, n_seeds)


def _permuted_recipe(plan: Plan, fit: Fit, columns: Sequence[str], shuffling: Shuffling) -> Recipe:
    """Recipe of the scores of a fold's eval window with these columns shuffled by one permutation a repeat."""
    parts: dict[str, Any] = {
        "scores": fit.scores.key,
        "shuffled": sorted(columns),
        "n_repeats": shuffling.n_repeats,
        "seed": shuffling.seed,
        "format": FORMAT,
    }
    words = f"{fit.model} @ {fit.fold.eval.name} with {len(columns)} columns shuffled, {columns[0]} first"
    return Recipe("permuted", plan.name(words), parts)


def _permuted_scores(
    plan: Plan, base: Sequence[Done], sets: Sequence[Sequence[str]], shuffling: Shuffling
) -> list[Scored]:
    """Score every eval window with each set of columns shuffled; of each set the artifacts by window."""
    held = plan.settings.memory_gib * _HELD * 2**30 / max(1, plan.settings.threads)

    readers = {d.fit.model: reader_for(plan, d.fit.model, [b.fit.fold.eval for b in base]) for d in base}

    def task(done: Done, columns: tuple[str, ...]) -> Task:
        args = (readers[done.fit.model], plan.models[done.fit.model], done, columns, shuffling, held)
        return Task(_permuted_recipe(plan, done.fit, columns, shuffling), write_permuted, args)

    asked = [(n, done.fit.fold.eval, task(done, tuple(c))) for n, c in enumerate(sets) for done in base]
    return score_sets(plan, "Shuffled: score", len(sets), asked)


def _permutation_cost(
    plan: Plan, model: str, base: Sequence[Fit], sets: Sequence[Sequence[str]], shuffling: Shuffling
) -> Cost:
    """Estimate from the seconds that the base scores took, which each repeat takes at most."""
    took = [(fit, plan.store.seconds(fit.scores)) for fit in base]
    # The columns are read once, which is about half of what the base scores took; the rest is repeated.
    steps = [
        (
            _permuted_recipe(plan, fit, columns, shuffling),
            None if s is None else s / 2 * (1 + shuffling.n_repeats),
        )
        for columns in sets
        for fit, s in took
    ]
    after = differences_cost(plan, model, len(sets))
    return cost_of(plan, f"sets of shuffled scores of {shuffling.n_repeats} repeats", steps, after=after)


def write_permuted(
    folder: Path,
    reader: PairReader,
    model: Ranker,
    base: Done,
    shuffled: Sequence[str],
    shuffling: Shuffling,
    most_bytes: float,
) -> None:
    """Write ``scores.parquet``: ``pair_id`` and ``score0``, ``score1``... Float64, one a repeat. Runs in a worker."""
    window = base.fit.fold.eval
    frame = _held(reader.read([window], base.fit.columns, labels=False), most_bytes)
    if reader.shortlist is not None:
        frame = _by_itself(frame)
    fitted, table = fitted_class(model).load(base.folder / "model"), frame.table.select("window", "pair_id")
    for repeat in range(shuffling.n_repeats):
        order = shuffling.order(window, repeat, frame.table.height)
        found = fitted.predict(shuffled_frame(frame, shuffled, order))
        scores = check_scores(found, frame.table.height, f"The model on shuffled columns ({window.name})")
        table = table.with_columns(pl.Series(f"score{repeat}", scores))
    names = table.columns[2:]
    all_pairs(reader, table, names).select("pair_id", *names).write_parquet(folder / "scores.parquet")


def shuffled_frame(frame: PairFrame, columns: Sequence[str], order: pl.Series) -> PairFrame:
    """The same pairs, whose ``columns`` are those of the pairs at ``order``: of all of them the same pair's.

    ``order``: positions of the window's pairs as they are stored. Nothing is copied until a column is read.
    """
    stored = frame.stored
    if stored is None:
        return frame
    chosen, read = frozenset(columns), stored.read

    def shuffled(name: str) -> pl.Series:
        values = read(name)
        return values.gather(order) if name in chosen else values

    return replace(frame, stored=replace(stored, read=shuffled))


def _by_itself(frame: PairFrame) -> PairFrame:
    """The same pairs as if no others were stored: a permutation is one of these pairs."""
    stored = frame.stored
    if stored is None:
        return frame
    rows = pl.Series(np.arange(frame.table.height, dtype=np.uint32))
    return replace(frame, stored=StoredColumns(stored.schema, stored.column, rows))


def _held(frame: PairFrame, most_bytes: float) -> PairFrame:
    """Read each column from the store once and hold it, if all of them take no more than so many bytes."""
    stored = frame.stored
    if stored is None or 4.0 * frame.table.height * len(stored.schema) > most_bytes:
        return frame
    return replace(frame, stored=replace(stored, read=cache(stored.read)))
