"""Which rule should choose the scores of a submission? ``python -m benchmarks.choice --folder DIR LOG...``.

A log is ``movielens``, ``movielens@FOLDER``, or simulated rows such as ``vk2024:100000:31`` and
``vk2024:100000:31:topics``. ``LOG/3`` cuts it into three splits: each has three eval windows to choose on, and the next
window as the test, whose models have seen what final models would have. Blends are fitted on the three, and scored on
each of them without it. Regret is the test score of the best candidate, as hindsight knows it, minus the chosen one's.

Data, store and scores of all candidates stay in the folder: a second run only applies the rules.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.table import Table

from benchmarks._cached import LOG_HELP, Log
from benchmarks._paired import TEST, labelled_test
from competitions import Metric
from engine import out
from features import compute_features
from stacking import (
    BlendContext,
    BlendRows,
    Plan,
    choose,
    first_within,
    leave_one_fold_out,
    make_oof,
    make_plan,
    mean_over_folds,
    precedence_of,
    run_cv,
)
from validation import Difference, Window, evaluate, paired_bootstrap

N_EVAL = 3
WEIGHTS, MEAN, COLUMN, MODEL, MORE = range(5)  # precedence of the kinds of candidates
LEARNED = (WEIGHTS, MORE)
BASELINE = "mean_rank"
SEED = 1


@dataclass(frozen=True)
class Split:
    """Scores of all candidates: the eval windows' out-of-fold ones and, with ``fold`` "test", those of the test.

    ``precedence``: of each candidate, see ``stacking.Blender``.
    """

    name: str
    user: str
    metric: Metric
    precedence: Mapping[str, int]
    rows: pl.DataFrame

    @property
    def oof(self) -> pl.DataFrame:
        """What a rule may look at."""
        return self.rows.filter(pl.col("fold") != TEST)

    def test_scores(self) -> dict[str, float]:
        """The metric of each candidate on the test, larger is better."""
        sign, test = (1 if self.metric.greater_is_better else -1), self.rows.filter(pl.col("fold") == TEST)
        group = ["window", self.user]
        return {n: sign * evaluate(self.metric, test, group=group, score=n) for n in self.precedence}


@dataclass(frozen=True)
class Evidence:
    """What rules decide by: the best candidate, differences to it and to the mean of ranks, means over the folds."""

    split: Split
    best: str
    to_best: Mapping[str, Difference]
    to_baseline: Mapping[str, Difference]
    scores: Mapping[str, float]

    @classmethod
    def of(cls, split: Split) -> Evidence:
        """Compare the candidates of a split."""
        oof, metric, user, names = split.oof, split.metric, split.user, split.precedence
        sign = 1 if metric.greater_is_better else -1
        found = choose(oof, metric, user=user, candidates=names, seed=SEED)
        learned = [n for n, c in names.items() if c in LEARNED]
        group = ["window", user]
        to_baseline = {
            n: paired_bootstrap(oof, metric, user=user, group=group, score_a=BASELINE, score_b=n, seed=SEED)
            for n in learned
        }
        scores = {n: sign * mean_over_folds(oof, metric, user, n) for n in names}
        return cls(split, found.best, found.differences, to_baseline, scores)

    def within(self, n_errors: float, kinds: Sequence[int]) -> str:
        """Choose the first kind within so many standard errors of the best; ``kinds``: precedences, the first first."""
        order = {name: kinds.index(kind) for name, kind in self.split.precedence.items()}
        is_loss = not self.split.metric.greater_is_better
        return first_within(n_errors, self.best, self.to_best, order, is_loss=is_loss)

    def best_of(self, kinds: Sequence[int]) -> str:
        """Choose the best of these kinds."""
        some = [n for n, c in self.split.precedence.items() if c in kinds]
        return max(some, key=self.scores.__getitem__)

    def surely_better(self) -> str:
        """Choose the learned blend that is surely better than the mean of ranks, or that mean."""
        sign = 1 if self.split.metric.greater_is_better else -1
        better = {
            n: sign * d.mean for n, d in self.to_baseline.items() if d.excludes_zero and sign * d.mean > 0
        }
        return max(better, key=better.__getitem__) if better else BASELINE


AVERAGES_FIRST = (WEIGHTS, MEAN, COLUMN, MODEL, MORE)
SIMPLE_FIRST = (COLUMN, MODEL, MEAN, WEIGHTS, MORE)
COLUMN_FIRST = (COLUMN, WEIGHTS, MEAN, MODEL, MORE)
RULES: dict[str, Callable[[Evidence], str]] = {
    "mean of ranks always": lambda found: BASELINE,
    "surely better than the mean of ranks": Evidence.surely_better,
    "best single model": lambda found: found.best_of((COLUMN, MODEL)),
    "best blend": lambda found: found.best_of((WEIGHTS, MEAN, MORE)),
    "best weights": lambda found: found.best_of((WEIGHTS,)),
    "best score": lambda found: found.within(0.0, AVERAGES_FIRST),
    "half a standard error, simple first": lambda found: found.within(0.5, SIMPLE_FIRST),
    "one standard error, simple first": lambda found: found.within(1.0, SIMPLE_FIRST),
    "two standard errors, simple first": lambda found: found.within(2.0, SIMPLE_FIRST),
    "one standard error, a column first": lambda found: found.within(1.0, COLUMN_FIRST),
    "two standard errors, a column first": lambda found: found.within(2.0, COLUMN_FIRST),
    "half a standard error, averages first": lambda found: found.within(0.5, AVERAGES_FIRST),
    "one standard error, averages first": lambda found: found.within(1.0, AVERAGES_FIRST),
    "two standard errors, averages first": lambda found: found.within(2.0, AVERAGES_FIRST),
}


def main() -> None:
    """Measure and print; ``--json FILE`` also writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+", metavar="LOG", help=f"{LOG_HELP}; /N for N splits")
    parser.add_argument("--folder", type=Path, required=True, help="where data, stores and scores are kept")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    found: list[Split] = []
    for text in arguments.logs:
        log, _, n_splits = text.rpartition("/")
        log, number = (log, int(n_splits)) if n_splits.isdecimal() and log else (text, 1)
        found += splits_of(Log.of(log, arguments.folder / "data"), number, arguments)
    rows = [row for split in found for row in regrets(split)]
    out.print(as_table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def splits_of(log: Log, n_splits: int, arguments: argparse.Namespace) -> list[Split]:
    """Scores of all splits of a log, read from the folder if they are there."""
    where = [arguments.folder / "scores" / f"{log.name}-{i + 1}-of-{n_splits}" for i in range(n_splits)]
    if not all((folder / "facts.json").exists() for folder in where):
        n_folds = f"folds.n_folds={N_EVAL + n_splits - 1}"  # as many eval windows as the splits take
        plan = make_plan(log.settings(arguments.folder.resolve(), [n_folds, *arguments.overrides]))
        for i, folder in enumerate(where):
            folder.mkdir(parents=True, exist_ok=True)
            write_split(plan, i, folder)
    return [read_split(folder) for folder in where]


def write_split(plan: Plan, number: int, folder: Path) -> None:
    """Write ``rows.parquet`` and ``facts.json`` of the split that begins with the eval window of this number."""
    c, context = plan.dataset.competition, BlendContext(plan.dataset.competition.metric, plan.settings.seed)
    compute_features(plan.catalogue, plan.folds.windows, plan.all_columns, plan.store, plan.settings)
    oof_file = make_oof(plan) / "oof.parquet"
    windows = [w.cutoff for w in plan.eval_windows[number : number + N_EVAL]]
    columns = ["window", "pair_id", c.user, "relevance", *plan.models]
    table = pl.read_parquet(oof_file).filter(pl.col("window").is_in(windows)).select("fold", *columns)
    test, test_window = test_rows(plan, number, oof_file)
    rows = pl.concat([table, test.select(pl.lit(TEST).alias("fold"), *columns).cast(table.schema)])
    for name, blender in plan.blenders.items():
        reads = BlendRows.of(plan, name, plan.eval_windows[number : number + N_EVAL])
        frame = reads.read(oof_file)
        scored = [
            frame.table.filter(pl.col("window") == w)
            .select("window", "pair_id")
            .with_columns(pl.Series(name, leave_one_fold_out(blender, frame, w, context)))
            for w in windows
        ]
        unseen = BlendRows.of(plan, name, [test_window]).frame(test.drop("relevance"))
        scores = pl.Series(name, blender.fit(frame, context).predict(unseen), dtype=pl.Float64)
        scored.append(test.select("window", "pair_id").with_columns(scores))
        rows = rows.join(pl.concat(scored), on=["window", "pair_id"], how="left", validate="1:1")
    rows.write_parquet(folder / "rows.parquet")
    makers = {n: precedence_of(m) for n, m in plan.models.items()}
    makers |= {n: precedence_of(b) for n, b in plan.blenders.items()}
    metric = {"name": c.metric.name, "policy": dict(c.metric.policy)}
    facts = {"user": c.user, "precedence": makers, "metric": metric, "greater": c.metric.greater_is_better}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def test_rows(plan: Plan, number: int, oof_file: Path) -> tuple[pl.DataFrame, Window]:
    """Pairs of the window after the split's eval windows with labels and every model's scores, and the window."""
    after = number + N_EVAL
    if after < len(plan.eval_windows):
        window = plan.eval_windows[after]
        return pl.read_parquet(oof_file).filter(pl.col("window") == window.cutoff), window
    return labelled_test(plan, run_cv(plan)), plan.folds.final.eval


def read_split(folder: Path) -> Split:
    """Read what ``write_split`` wrote."""
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    metric = Metric(**facts["metric"], greater_is_better=facts["greater"])
    rows = pl.read_parquet(folder / "rows.parquet")
    return Split(folder.name, facts["user"], metric, facts["precedence"], rows)


def regrets(split: Split) -> list[dict[str, float | str]]:
    """Regret of every rule on a split."""
    found, test = Evidence.of(split), split.test_scores()
    best = max(test.values())
    rows: list[dict[str, float | str]] = []
    for rule, choice in RULES.items():
        chosen = choice(found)
        regret = best - test[chosen]
        rows.append({"split": split.name, "rule": rule, "chosen": chosen, "regret": regret, "best": best})
    return rows


def as_table(rows: list[dict[str, float | str]]) -> Table:
    """Regret by rule and split, and its mean; beside it what the rule chose."""
    splits = list(dict.fromkeys(str(r["split"]) for r in rows))
    table = Table(title="Regret on the test, in thousandths of the metric; less is better")
    for heading in ("rule", *splits, "mean", "worst"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for rule in RULES:
        own = [r for r in rows if r["rule"] == rule]
        values = [float(r["regret"]) * 1000 for r in own]
        cells = [f"{value:.2f} {r['chosen']}" for value, r in zip(values, own, strict=True)]
        table.add_row(rule, *cells, f"{sum(values) / len(values):.2f}", f"{max(values):.2f}")
    return table


if __name__ == "__main__":
    main()
