"""Is one way of doing it surely ahead of another? ``python -m benchmarks.compare LOG... --folder DIR --a KEY=VALUE``.

    python -m benchmarks.compare movielens --folder DIR --seeds 42 43 44 45 46 \
        --b 'features.exclude=["taste_*"]' models.taste.enabled=false            # with taste against without
    python -m benchmarks.compare vk2024:3000000:51 vk2024:3000000:52 --folder DIR --scores chosen taste

A and B are settings on top of the config, or two scores of the same run. Compared are the eval windows (out of fold),
the test window, whose labels it reads, and both pooled. The value of a side is the mean over the seeds; the paired
bootstrap resamples users with all their windows, at last those of all logs together. Both sides and all seeds of a log
share a store.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from benchmarks._cached import LOG_HELP, Log
from benchmarks._figures import keep
from benchmarks._paired import as_table, compared, joined, pooled
from benchmarks._stack import Stack, stack_of
from competitions import Metric
from engine import ConfigError, SamewiseError, console, did_you_mean, out

CHOSEN = "chosen"
SEED = 1  # of the resamples


@dataclass(frozen=True)
class Trial:
    """Both sides on one log: ``fold``, ``window``, ``pair_id``, ``user``, ``relevance``, a column a side and seed."""

    log: str
    metric: Metric
    rows: pl.DataFrame


def main(words: Sequence[str] | None = None) -> None:
    """Compare, print and keep the figures. ``words``: of the command line; None = the program's own."""
    asked = arguments(words)
    try:
        logs = [Log.of(text, asked.folder / "data") for text in dict.fromkeys(asked.logs)]
        trials = [tried(log, asked) for log in logs]
        check_metrics(trials)
    except SamewiseError as error:
        raise SystemExit(f"Error: {error}") from error
    sides = [[f"{side} {seed}" for seed in asked.seeds] for side in "AB"]
    tables = {trial.log: trial.rows for trial in trials}
    if len(trials) > 1:
        tables["all logs"] = pooled([trial.rows for trial in trials])
    rows = [
        (log, row)
        for log, table in tables.items()
        for row in compared(table, trials[0].metric, "user", *sides, seed=SEED)
    ]
    out.print(as_table(rows, f"{len(asked.seeds)} seeds" if len(asked.seeds) > 1 else "One seed"))
    figures = [{"log": log, **row.figures()} for log, row in rows]
    facts = {name: getattr(asked, name) for name in ("a", "b", "both", "seeds", "scores")}
    keep("compare", {**facts, "rows": figures}, asked.out)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help=LOG_HELP)
    parser.add_argument("--folder", type=Path, required=True, help="where data and stores are kept")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42], help="of the config")
    for side, whose in (("a", "of A"), ("b", "of B"), ("both", "of both")):
        parser.add_argument(
            f"--{side}", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=f"settings {whose}"
        )
    parser.add_argument(
        "--scores", nargs=2, default=[CHOSEN, CHOSEN], metavar=("A", "B"),
        help=f"{CHOSEN}, or the name of a model or blend, of each side",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args(words)


def tried(log: Log, asked: argparse.Namespace) -> Trial:
    """Run both sides on a log under every seed, or one run for both sides if nothing else is set."""
    table: pl.DataFrame | None = None
    for seed in asked.seeds:
        runs: dict[tuple[str, ...], Stack] = {}
        for side, overrides, name in zip("AB", (asked.a, asked.b), asked.scores, strict=True):
            wanted = (*asked.both, f"seed={seed}", *overrides)
            if wanted not in runs:
                runs[wanted] = stack_of(log, asked.folder, wanted)
                told = f"{log.text}, seed {seed}, {side}: chosen {runs[wanted].chosen}"
                console.print(told, highlight=False, markup=False)
            scores = scores_of(runs[wanted], name, f"{side} {seed}")
            table = scores if table is None else joined(table, scores)
    assert table is not None
    return Trial(log.text, runs[wanted].metric, table)


def scores_of(run: Stack, name: str, column: str) -> pl.DataFrame:
    """Take the scores of a model or blend, or the chosen ones, as a column of this name."""
    known = [CHOSEN, *run.names]
    if name not in known:
        raise ConfigError(
            f"No model or blend is called {name!r}.{did_you_mean(name, known)}",
            expected=f"one of {', '.join(known)}",
        )
    return run.scores_of("score" if name == CHOSEN else name, column)


def check_metrics(trials: Sequence[Trial]) -> None:
    """Refuse to pool logs that are judged differently."""
    for trial in trials[1:]:
        if trial.metric != trials[0].metric:
            raise ConfigError(
                f"{trials[0].log} is judged by {trials[0].metric} and {trial.log} by {trial.metric}.",
                expected="logs of the same metric, whose users can be pooled",
                todo="compare them one by one",
            )


if __name__ == "__main__":
    main()
