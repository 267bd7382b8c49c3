"""Choose a subset of the features on folds within the train windows: forward by family, then backward by feature.

A choice made on these inner folds leaves every eval window unseen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from engine import DataError, Recipe, Task
from features import compute_features
from models import FitContext, PairFrame, Ranker
from stacking._fits import all_pairs, check_scores, plan_fit, reader_for, shortlist_parts
from stacking._pairs import PairReader, TrainingSample, hashes_of
from stacking._plan import FORMAT, Plan
from stacking._worth.differences import Comparison, Measured, Scored, measure, score_sets
from stacking._worth.gain import Cost, cost_of, differences_cost
from stacking._worth.units import Units, main_model, units_of
from validation import Window, window_title

N_INNER = 2  # eval windows of the inner folds, if there are train windows for them
ENTER = 0.95  # level of the interval by which a family comes in: surely, since the best of many is looked at
LEAVE = 0.68  # of that by which a feature stays: one standard error, so that what is left out costs little
_AT_A_TIME = 2  # candidates looked at together; fixed, so that the choice does not depend on the machine


@dataclass(frozen=True)
class InnerFold:
    """Train windows and the window that is predicted, all of them train windows of the first fold.

    ``by_users``: the only train window predicts itself: its users are cut into halves by a hash of their ids, and each
    half is scored by a model that was fitted on the other.
    """

    train: tuple[Window, ...]
    eval: Window
    by_users: bool


def inner_folds(plan: Plan) -> tuple[InnerFold, ...]:
    """Cut the train windows of the first fold, which come before every eval window.

    A window can be predicted if the targets of another are known at its cutoff. The last two that can be are predicted
    (or the one), each by the same number of such windows. If none can be, the last window is cut by users.
    """
    windows = sorted(plan.folds.folds[0].train)
    known = {e: [w for w in windows if w.until <= e.cutoff] for e in windows}
    evals = [e for e in windows if known[e]][-N_INNER:]
    if not evals:
        return (InnerFold((windows[-1],), windows[-1], by_users=True),)
    n_train = min(len(known[e]) for e in evals)
    return tuple(InnerFold(tuple(known[e][-n_train:]), e, by_users=False) for e in evals)


def words_of(selection: Selection) -> str:
    """Say on what the choice is made."""
    clock, folds = selection.plan.dataset.competition.clock, selection.folds
    titles = [window_title(clock, fold.eval) for fold in folds]
    if folds[0].by_users:
        return f"halves of the users of the train window {titles[0]}, each predicted by the other"
    trained = (", ".join(window_title(clock, w) for w in fold.train) for fold in folds)
    return "; ".join(f"{train} -> {title}" for train, title in zip(trained, titles, strict=True))


@dataclass(frozen=True)
class Step:
    """One change of the chosen set: ``what`` came in or left, with the change of the metric that decided it."""

    kind: str
    what: tuple[str, ...]
    measured: Measured


@dataclass(frozen=True)
class Selected:
    """The proposal.

    Attributes
    ----------
    columns
        The chosen columns, in the catalogue's order.
    steps
        How they were chosen.
    against_all
        The chosen columns against all, on the inner folds (95 %).
    is_cut_short
        Whether the budget ended the search.
    """

    columns: tuple[str, ...]
    steps: tuple[Step, ...]
    against_all: Measured
    is_cut_short: bool


@dataclass
class Selection:
    """The search. Every fit is an artifact, so a search that was stopped goes on where it was.

    ``say`` is told of each step; ``deadline`` is in seconds of the monotonic clock.
    """

    plan: Plan
    model: str
    folds: tuple[InnerFold, ...]
    deadline: float
    say: Callable[[str], None]
    steps: list[Step] = field(default_factory=list)
    is_cut_short: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """What the model of the config reads."""
        return self.plan.columns[self.model]

    def run(self) -> Selected:
        """Search, and compare what was found with all columns."""
        windows = sorted({w for f in self.folds for w in (*f.train, f.eval)})
        compute_features(self.plan.catalogue, windows, self.columns, self.plan.store, self.plan.settings)
        families = units_of(self.plan.catalogue, self.columns, "family")
        chosen = self.backward(self.forward(families))
        both = [Comparison("all columns and the chosen ones", *self.scores([self.columns, chosen]))]
        return Selected(chosen, tuple(self.steps), measure(self.plan, both)[0], self.is_cut_short)

    def forward(self, families: Units) -> tuple[str, ...]:
        """Add the family that helps most, as long as one surely helps.

        Families are looked at again in the order of what they last added, and the best that surely helps is taken once
        no other had added more (lazy greedy, Minoux 1978). What adds nothing alone may add something to others: before
        the search ends, every family left is tried on top of what was chosen.
        """
        chosen: tuple[str, ...] = ()
        added: dict[str, float] = {}
        found = self.changes(chosen, families, list(families))
        while families.keys() - self.taken:
            added |= {f: self.gain(m) for f, m in found.items()}
            waiting = sorted((f for f in families if f not in self.taken), key=lambda f: -added[f])
            best = next(
                (f for f in waiting if f not in found or found[f].is_better(greater=self.greater)), None
            )
            if best in found:
                chosen = self.in_order([*chosen, *families[best]])
                self.note(Step("family in", (best,), found[best]))
                found = {}
            if best is None or self.is_over():
                break
            first = [f for f in waiting if f not in found and f not in self.taken][:_AT_A_TIME]
            found |= self.changes(chosen, families, first)
        if not chosen:
            raise DataError(
                "No family is better than a constant score on the inner folds.",
                expected="a family whose interval lies on the better side, and 20 users that count at least",
                todo="look at `python -m stacking ablate`, or choose by hand",
            )
        return chosen

    def backward(self, chosen: tuple[str, ...]) -> tuple[str, ...]:
        """Leave out features, the least important first, while nothing is lost by more than one standard error.

        They are tried in blocks that are halved where they matter, always against the set that this phase began with,
        so that small losses do not add up unseen.
        """
        features = units_of(self.plan.catalogue, chosen, "feature")
        importance = self.importance(chosen)
        order = sorted(features, key=lambda f: sum(importance.get(c, 0.0) for c in features[f]))
        middle = (len(order) + 1) // 2
        waiting, left_out = [order[:middle], order[middle:]], list[str]()
        while waiting and not self.is_over():
            block = waiting.pop(0)
            out = {c for f in (*left_out, *block) for c in features[f]}
            rest = tuple(c for c in chosen if c not in out)
            if not block or not rest:
                continue
            names = Comparison(f"without {', '.join(block)}", *self.scores([chosen, rest]))
            measured = measure(self.plan, [names], level=LEAVE)[0]
            if not measured.is_better(greater=not self.greater):
                left_out += block
                self.note(Step("features out", tuple(block), measured))
            elif len(block) > 1:
                half = (len(block) + 1) // 2
                waiting = [block[:half], block[half:], *waiting]
        gone = {c for f in left_out for c in features[f]}
        return tuple(c for c in chosen if c not in gone)

    def changes(self, chosen: tuple[str, ...], families: Units, names: Sequence[str]) -> dict[str, Measured]:
        """What each family changes when it is added."""
        sets = [chosen, *(self.in_order([*chosen, *families[name]]) for name in names)]
        first, *others = self.scores(sets)
        compared = [Comparison(f"{name} added", first, o) for name, o in zip(names, others, strict=True)]
        return dict(zip(names, measure(self.plan, compared, level=ENTER), strict=True))

    def scores(self, sets: Sequence[Sequence[str]]) -> list[Scored]:
        """Scores of the model on sets of columns."""
        return _inner_scores(self.plan, self.model, self.folds, sets)

    def importance(self, columns: Sequence[str]) -> Mapping[str, float]:
        """Share of each column in the fits on these columns; empty for models that do not tell."""
        total: dict[str, float] = {}
        for of_window in self.scores([columns])[0].values():
            for _, folder in of_window:
                for name, share in json.loads(
                    (folder / "importance.json").read_text(encoding="utf-8")
                ).items():
                    total[name] = total.get(name, 0.0) + share
        return total

    def in_order(self, columns: Iterable[str]) -> tuple[str, ...]:
        """Put columns into the order in which the model of the config reads them."""
        wanted = set(columns)
        return tuple(c for c in self.columns if c in wanted)

    @property
    def taken(self) -> set[str]:
        """Families that were chosen."""
        return {name for step in self.steps if step.kind == "family in" for name in step.what}

    def gain(self, measured: Measured) -> float:
        """Change of the metric, larger is better."""
        return measured.change.mean if self.greater else -measured.change.mean

    @property
    def greater(self) -> bool:
        """Whether more of the metric is better."""
        return self.plan.dataset.competition.metric.greater_is_better

    def is_over(self) -> bool:
        """Tell whether the budget is used up, and remember it."""
        self.is_cut_short = self.is_cut_short or time.monotonic() > self.deadline
        return self.is_cut_short

    def note(self, step: Step) -> None:
        """Keep a step and tell of it."""
        self.steps.append(step)
        d = step.measured.change
        self.say(f"{step.kind}: {', '.join(step.what)} ({d.mean:+.4f} [{d.low:+.4f}, {d.high:+.4f}])")


def plan_selection(
    plan: Plan, *, model: str | None = None, budget: float, say: Callable[[str], None]
) -> Selection:
    """Plan the search. ``budget``: minutes after which no further step is begun."""
    judge = main_model(plan, model)
    return Selection(plan, judge, inner_folds(plan), time.monotonic() + 60 * budget, say)


def selection_cost(selection: Selection) -> tuple[Cost, int]:
    """The first round's cost, and the most fits that the search forward may take.

    A fit's seconds are those of the model on all columns in the first fold, if it was ever made, as long a row and
    column.
    """
    plan, folds, n_columns = selection.plan, selection.folds, len(selection.columns)
    families = units_of(plan.catalogue, selection.columns, "family")
    whole = plan.store.seconds(plan_fit(plan, selection.model, plan.folds.folds[0]).fit)
    rows = {f: _n_pairs(plan, f.train) / max(1, _n_pairs(plan, plan.folds.folds[0].train)) for f in folds}

    def seconds(fold: InnerFold, columns: Sequence[str]) -> float | None:
        share = rows[fold] * max(0.1, len(columns) / n_columns)
        return None if whole is None else 1.0 + whole * share

    steps = [
        (_inner_recipe(plan, selection.model, f, columns), seconds(f, columns))
        for columns in families.values()
        for f in folds
    ]
    most = len(families) * (len(families) + 1) // 2 * len(folds)
    after = differences_cost(plan, selection.model, len(families))
    return cost_of(plan, "fits of the first round, one family each", steps, after=after), most


def _n_pairs(plan: Plan, windows: Iterable[Window]) -> int:
    return sum(plan.n_pairs[window.name] for window in windows)


def _inner_recipe(plan: Plan, model: str, fold: InnerFold, columns: Sequence[str]) -> Recipe:
    """Recipe of the scores of a model on these columns on an inner fold; without columns they are all 0."""
    windows = sorted({*fold.train, fold.eval})
    parts: dict[str, Any] = {
        **plan.parts[model],
        "columns": list(columns),
        "features": plan.frame_keys(windows, columns),
        "train": [w.name for w in fold.train],
        "eval": fold.eval.name,
        "by users": fold.by_users,
        "seed": plan.settings.seed,
        "threads": plan.threads_per_fit,
        "data": plan.dataset.fingerprint,
        "format": FORMAT,
        **plan.sample.parts,
        **shortlist_parts(plan, model, windows),
    }
    words = (
        f"{model} within {fold.eval.name} on {len(columns)} columns, {', '.join(columns[:1]) or 'none'} first"
    )
    return Recipe("inner", plan.name(words), parts)


def _inner_scores(
    plan: Plan, model: str, folds: Sequence[InnerFold], sets: Sequence[Sequence[str]]
) -> list[Scored]:
    """Fit and score the model on each set of columns on every inner fold, or find it in the store."""
    metric = plan.dataset.competition.metric
    context = FitContext(plan.settings.seed, plan.threads_per_fit, metric=metric)

    reader = reader_for(plan, model, {w for f in folds for w in (*f.train, f.eval)})

    def task(fold: InnerFold, columns: tuple[str, ...]) -> Task:
        args = (reader, plan.models[model], columns, fold, context, plan.sample)
        return Task(_inner_recipe(plan, model, fold, columns), write_inner, args)

    asked = [(n, fold.eval, task(fold, tuple(columns))) for n, columns in enumerate(sets) for fold in folds]
    return score_sets(plan, "Inner folds", len(sets), asked)


def write_inner(
    folder: Path,
    reader: PairReader,
    model: Ranker,
    columns: Sequence[str],
    fold: InnerFold,
    context: FitContext,
    sample: TrainingSample,
) -> None:
    """Write ``scores.parquet`` of the fold's eval window, and ``importance.json``. Runs in a worker."""
    frame = reader.read([fold.eval], columns, labels=False)
    if not columns:
        equal = all_pairs(reader, frame.table.select("window", "pair_id", score=pl.lit(0.0)), ["score"])
        equal.select("pair_id", "score").write_parquet(folder / "scores.parquet")
        (folder / "importance.json").write_text("{}", encoding="utf-8")
        return
    train = reader.read(fold.train, columns, labels=True, sample=sample)
    splits = [(train, frame)]
    if fold.by_users:
        splits = [(_half(train, not h, context.seed), _half(frame, h, context.seed)) for h in (False, True)]
    tables, shares = [], dict.fromkeys(columns, 0.0)
    for rows, pairs in splits:
        fitted = model.fit(rows, replace(context, scratch=folder))
        who = f"The model on {len(columns)} columns ({fold.eval.name})"
        scores = check_scores(fitted.predict(pairs), pairs.table.height, who)
        tables.append(pairs.table.select("window", "pair_id", score=pl.Series(scores)))
        for name, share in fitted.report.importance.items():
            shares[name] += share / len(splits)
    scored = all_pairs(reader, pl.concat(tables), ["score"])
    scored.select("pair_id", "score").write_parquet(folder / "scores.parquet")
    (folder / "importance.json").write_text(json.dumps(shares), encoding="utf-8")


def _half(frame: PairFrame, is_second: bool, seed: int) -> PairFrame:
    """Pairs of one half of the users, who are in it by a hash of their ids and the seed."""
    users = frame.table[frame.user].unique().sort()
    # The highest bit draws the shares of [training]: another one halves what they leave.
    second = pl.Series(hashes_of(users, seed) % 2 == 1, dtype=pl.Boolean)
    chosen = users.filter(second if is_second else ~second)
    return frame.take(pl.col(frame.user).is_in(chosen.implode()))
