"""What a feature adds to a model: the model refitted with it and without it, on every fold."""

from __future__ import annotations

from dataclasses import dataclass

from engine import ConfigError
from stacking._fits import Fit
from stacking._plan import Plan
from stacking._worth.differences import Comparison, Measured, measure
from stacking._worth.refits import (
    Cost,
    column_costs,
    compute_columns,
    fits_on,
    refit_cost,
    run_refits,
    scored_by,
)
from stacking._worth.units import main_model, named_columns


@dataclass(frozen=True)
class GainPlan:
    """Both sides of the question, before anything is fitted.

    Attributes
    ----------
    columns
        What the name means.
    is_in_model
        Whether the model of the config reads any of them already.
    without, with_it
        Fits on the model's columns less these, and on the model's columns and these.
    """

    plan: Plan
    model: str
    name: str
    columns: tuple[str, ...]
    is_in_model: bool
    without: tuple[Fit, ...]
    with_it: tuple[Fit, ...]

    def costs(self) -> list[Cost]:
        """What is to be made, from the times of the model's own fits if they were ever made."""
        refits = refit_cost(self.plan, [*self.without, *self.with_it], self.model)
        return [*column_costs(self.plan, self.with_it[0].columns), refits]

    def run(self) -> Measured:
        """Compute and fit what is missing, and measure the difference: with it minus without it."""
        compute_columns(self.plan, self.with_it[0].columns)
        done = run_refits(self.plan, [*self.without, *self.with_it], f"Gain of {self.name}")
        sides = (scored_by(self.without, done), scored_by(self.with_it, done))
        return measure(self.plan, [Comparison(f"gain of {self.name} for {self.model}", *sides)])[0]


def plan_gain(plan: Plan, name: str, *, model: str | None = None, n_seeds: int = 1) -> GainPlan:
    """Plan the refits that tell what a name adds. Computes and fits nothing.

    Raises ConfigError for a name that means nothing, and for one that means every column of the model.
    """
    judge = main_model(plan, model)
    columns = named_columns(plan.catalogue, name)
    plan = plan.with_columns(columns)
    own = plan.columns[judge]
    rest = tuple(c for c in own if c not in columns)
    if not rest:
        raise ConfigError(
            f"{name!r} means every column that {judge!r} reads: without it there is nothing to compare with.",
            expected="a name that leaves the model a column",
        )
    union = tuple(c for c in plan.catalogue.columns if c in {*own, *columns})
    return GainPlan(
        plan=plan,
        model=judge,
        name=name,
        columns=columns,
        is_in_model=any(c in own for c in columns),
        without=tuple(fits_on(plan, judge, rest, n_seeds)),
        with_it=tuple(fits_on(plan, judge, own if set(union) == set(own) else union, n_seeds)),
    )
