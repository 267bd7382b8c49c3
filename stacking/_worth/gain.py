"""What a feature adds to a model: the model fitted with it and without it, on every fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from engine import ConfigError, Recipe
from features import compute_features, missing_columns
from stacking._fits import Done, Fit, plan_fit, read_report, run_fits, shortlist_recipe
from stacking._plan import Plan
from stacking._worth.differences import Comparison, Measured, Scored, measure
from stacking._worth.units import main_model, named_columns
from validation import Window


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
        refits = refit_cost(self.plan, [*self.without, *self.with_it], self.model, n_differences=1)
        lists = shortlist_costs(self.plan, self.model)
        return [*column_costs(self.plan, self.with_it[0].columns), *lists, refits]

    def run(self) -> Measured:
        """Compute and fit what is missing, and measure the difference: with it minus without it."""
        _compute_columns(self.plan, self.with_it[0].columns)
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


@dataclass(frozen=True)
class Cost:
    """What is about to be done: ``n_made`` of ``n_all`` steps are in the store, the others take so long.

    ``seconds``: wall time of the rest at most, from measured times; None if nothing like it was ever measured. It holds
    as long as the machine is as busy as it was when they were measured.
    """

    what: str
    n_all: int
    n_made: int
    seconds: float | None

    def __str__(self) -> str:
        left = self.n_all - self.n_made
        if not left:
            return f"{self.n_all} {self.what}: all in the store"
        time = "their time is not known" if self.seconds is None else f"up to {duration(self.seconds)}"
        return f"{left} {self.what} to make, {self.n_made} in the store: {time}"


def duration(seconds: float) -> str:
    """Seconds or minutes in words.

    >>> duration(90), duration(8.2), duration(700)
    ('1.5 min', '9 s', '12 min')
    """
    if seconds < 90:
        return f"{ceil(seconds)} s"
    minutes = seconds / 60
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min"


def _fold_windows(plan: Plan) -> tuple[Window, ...]:
    """The windows of the folds, without the test window."""
    return tuple(sorted({w for fold in plan.folds.folds for w in (*fold.train, fold.eval)}))


def _compute_columns(plan: Plan, columns: Sequence[str]) -> None:
    """Compute the features that fits will read, in the windows of the folds."""
    compute_features(plan.catalogue, _fold_windows(plan), columns, plan.store, plan.settings)


def base_fits(plan: Plan, model: str) -> list[Fit]:
    """Plan the model as the config has it on every fold: its time tells that of the others."""
    return fits_on(plan, model, plan.columns[model])


def run_base(plan: Plan, model: str) -> list[Done]:
    """Fit the model of the config on every fold, or find the fits."""
    _compute_columns(plan, plan.columns[model])
    return run_fits(plan, base_fits(plan, model), model)


def fits_on(plan: Plan, model: str, columns: Sequence[str], n_seeds: int = 1) -> list[Fit]:
    """Plan the model on these columns, on every fold and under so many seeds from the config's on."""
    seeded = [plan.reseeded(number) for number in range(n_seeds)]
    return [plan_fit(p, model, fold, columns=columns) for p in seeded for fold in plan.folds.folds]


def run_refits(plan: Plan, fits: Sequence[Fit], title: str) -> dict[str, Done]:
    """Run fits of several seeds, or find them: key of the scores' recipe -> what is done."""
    n_seeds = max(f.n_seed for f in fits) + 1 if fits else 0
    done: list[Done] = []
    for number in range(n_seeds):
        own = [f for f in fits if f.n_seed == number]
        done += run_fits(plan.reseeded(number), own, title)
    return {d.fit.scores.key: d for d in done}


def scored_by(fits: Sequence[Fit], done: Mapping[str, Done]) -> Scored:
    """Scores of fits by window; several seeds are repeats."""
    scored: dict[Window, list[tuple[Recipe, Path]]] = {}
    for fit in fits:
        scored.setdefault(fit.fold.eval, []).append((fit.scores, done[fit.scores.key].scores))
    return scored


def column_costs(plan: Plan, columns: Sequence[str]) -> list[Cost]:
    """Columns of the folds' windows that have to be computed first; nothing if all are in the store."""
    windows, wanted = _fold_windows(plan), set(columns)
    n_missing = sum(
        len(wanted & set(missing_columns(plan.catalogue, w, columns, plan.store))) for w in windows
    )
    every = len(wanted) * len(windows)
    return [Cost("feature columns of windows", every, every - n_missing, None)] if n_missing else []


def shortlist_costs(plan: Plan, model: str) -> list[Cost]:
    """Shortlists of the folds' windows that the pre-ranker has to make first; nothing if all are in the store."""
    if plan.prerank is None or model == plan.prerank.model:
        return []
    lists = cost_of(plan, "shortlists", [(shortlist_recipe(plan, w), None) for w in _fold_windows(plan)])
    return [lists] if lists.n_made < lists.n_all else []


_START = 10.0  # seconds until the workers have begun, and of what a command does beside its steps
_SPREAD = (
    1.2  # many fits on other columns and under other seeds take a fifth longer than those that were measured
)


def cost_of(
    plan: Plan, what: str, *rounds: Sequence[tuple[Recipe, float | None]], after: float = 0.0
) -> Cost:
    """Cost of rounds of steps, each with the seconds that it takes (None = not known), and of so many ``after`` them.

    The steps of a round run as many at a time as fits do, whoever is free taking the next. That takes their sum over
    as many, and the rest of the longest, at most (Graham 1966).
    """
    n_all, at_a_time = sum(map(len, rounds)), max(1, plan.settings.threads // plan.threads_per_fit)
    left = [[seconds for recipe, seconds in steps if plan.store.find(recipe) is None] for steps in rounds]
    n_made, total = n_all - sum(map(len, left)), _START + after
    for steps in filter(None, left):
        known = [_SPREAD * seconds for seconds in steps if seconds is not None]
        if len(known) < len(steps):
            return Cost(what, n_all, n_made, None)
        total += sum(known) / at_a_time + (1 - 1 / at_a_time) * max(known)
    return Cost(what, n_all, n_made, total if n_made < n_all else 0.0)


def differences_cost(plan: Plan, model: str, n: int) -> float:
    """Seconds of so many differences: each takes no longer than half of what the base scores of all folds took."""
    took = [plan.store.seconds(fit.scores) or 0.0 for fit in base_fits(plan, model)]
    return n * sum(took) / 2 / max(1, min(n, plan.settings.threads))


def base_costs(plan: Plan, model: str) -> list[Cost]:
    """What ``run_base`` has to make; nothing if all is in the store."""
    fits = refit_cost(plan, base_fits(plan, model), model)
    columns, lists = column_costs(plan, plan.columns[model]), shortlist_costs(plan, model)
    return [*columns, *lists, *([fits] if fits.n_made < fits.n_all else [])]


def refit_cost(plan: Plan, fits: Sequence[Fit], model: str, *, n_differences: int = 0) -> Cost:
    """Estimate from the seconds that the base fits took: as long a column, as many at a time as fits run.

    A fit whose scores are missing counts as a whole, also if the fit itself is in the store. Fits of one seed are a
    round. ``n_differences`` are measured when all are done.
    """
    seconds, n_columns = _seconds_of_base(plan, model), max(1, len(plan.columns[model]))
    rounds: dict[int, list[tuple[Recipe, float | None]]] = {}
    for f in fits:
        own = seconds.get(f.fold.eval)
        # A fit's fixed part (start of a worker, labels, groups) is about a second.
        step = None if own is None else 1.0 + own * max(0.1, len(f.columns) / n_columns)
        rounds.setdefault(f.n_seed, []).append((f.scores, step))
    each = f" ({sum(seconds.values()) / len(seconds):.1f} s each on all columns)" if seconds else ""
    after = differences_cost(plan, model, n_differences)
    return cost_of(plan, f"fits of {model}{each}", *rounds.values(), after=after)


def _seconds_of_base(plan: Plan, model: str) -> dict[Window, float]:
    """Seconds of the base fits and their scores by eval window; of those that are not in the store the longest other.

    None at all if no base fit is there.
    """
    base = base_fits(plan, model)
    found = {f.fold.eval: plan.store.find(f.fit) for f in base}
    took = {f.fold.eval: plan.store.seconds(f.scores) or 0.0 for f in base}
    known = {
        window: float(read_report(folder)["seconds"]) + took[window]
        for window, folder in found.items()
        if folder is not None
    }
    return {f.fold.eval: known.get(f.fold.eval, max(known.values())) for f in base} if known else {}
