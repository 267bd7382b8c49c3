"""What a model loses when a family or a feature is left out: by shuffling its columns, and by refitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine import ConfigError
from stacking._oof import Done, Fit
from stacking._plan import Plan
from stacking._worth.differences import Comparison, Measured, measure
from stacking._worth.permute import Shuffling, permutation_cost, permuted_scores
from stacking._worth.refits import (
    Cost,
    base_costs,
    base_fits,
    column_costs,
    fits_on,
    refit_cost,
    run_refits,
    scored_by,
)
from stacking._worth.units import By, Units, main_model, named_columns, units_of


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
        return (
            [u for u, columns in self.units.items() if set(columns) < set(self.columns)]
            if self.refits
            else []
        )

    def costs(self) -> list[Cost]:
        """What is to be made, from the times of the model's own fits and scores if they were ever made."""
        base = base_fits(self.plan, self.model)
        costs = column_costs(self.plan, self.columns) if self.refits else base_costs(self.plan, self.model)
        if self.shuffling is not None:
            costs.append(permutation_cost(self.plan, base, list(self.units.values()), self.shuffling))
        if self.refits:
            costs.append(refit_cost(self.plan, self.fits, self.model))
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
        scores = permuted_scores(self.plan, base, list(self.units.values()), self.shuffling)
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
