"""What is a larger catalogue worth? ``python -m benchmarks.catalogue``.

    python -m benchmarks.catalogue --data DIR DIR                       # folders of vk2024 files
    python -m benchmarks.catalogue --rows 10_000_000 --seeds 7 8        # simulated ones
    python -m benchmarks.catalogue --against COMMIT --competition movielens --data data

The model inputs that an earlier commit had are listed by that commit's own code. Then this checkout makes two
submissions of each data set: with those inputs only, and with all of them. Models, blends, seeds and code are the same,
so the catalogue is the only difference. Scored are the test pairs; intervals are those of the paired bootstrap over
users, all data sets together in the last lines. With simulated data the shares of the way from popularity to the oracle
stand beside them. Only benchmarks and ``submissions score`` read the test labels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from benchmarks._cached import cache_folder, simulated
from benchmarks._catalogue_table import (
    BEFORE,
    NOW,
    ORACLE,
    Run,
    Trial,
    as_markdown,
    as_table,
    common_names,
    compared,
    compared_row,
)
from benchmarks._figures import keep
from competitions import open_dataset, oracle, solution
from engine import load_settings, measure_stage, out
from features import load_catalogue
from submissions import Runs

SMALL_CATALOGUE = "fc2e922"  # before the families of winning teams
ROOT = Path(__file__).parents[1]


def main() -> None:
    """Make both submissions of every data set, compare them, print and keep the figures."""
    asked = arguments()
    folders = asked.data or [simulated(asked.data_root, asked.rows, seed) for seed in asked.seeds]
    trials = [tried(folder, asked) for folder in folders]
    rows = [row for trial in trials for row in compared(trial)]
    if len(trials) > 1:
        rows += [compared_row("together", trials, name) for name in common_names(trials)]
    table = "\n".join(as_markdown(rows)) if asked.markdown else as_table(rows)
    out.print(table, highlight=False, soft_wrap=asked.markdown)
    facts = [
        {"data": str(t.data), "catalogue": which, "columns": r.columns, "chosen": r.chosen,
         "seconds": round(r.seconds), "peak_gib": round(r.peak_gib, 2)}
        for t in trials for which, r in t.runs.items()
    ]  # fmt: skip
    for fact in facts:
        out.print(", ".join(f"{name} {value}" for name, value in fact.items()), highlight=False)
    keep("catalogue", {"against": asked.against, "rows": rows, "runs": facts}, asked.out)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--against",
        default=SMALL_CATALOGUE,
        help=f"commit whose catalogue is compared with ({SMALL_CATALOGUE})",
    )
    parser.add_argument("--competition", default="vk2024")
    parser.add_argument("--data", nargs="+", type=Path, default=[], help="folders of the competition's files")
    parser.add_argument("--rows", type=int, default=10_000_000, help="simulated rows, without --data")
    parser.add_argument("--seeds", nargs="+", type=int, default=[7, 8], help="of the simulated data")
    parser.add_argument(
        "--data-root", type=Path, default=cache_folder() / "data", help="where simulated data are"
    )
    parser.add_argument("--work", type=Path, help="folder to keep the stores in; default: a temporary one")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--out", type=Path, help="file of the figures")
    return parser.parse_args()


def tried(data: Path, asked: argparse.Namespace) -> Trial:
    """Submit one data set with the inputs of before and with those of now."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.work or Path(temporary)) / data.name
        base = {"competition": asked.competition, "data": str(data.resolve()), "store": str(folder / "store")}
        dataset = open_dataset(load_settings(overrides=as_settings(base)))
        now = [n for n, c in load_catalogue(dataset).columns.items() if c.is_model_input]
        catalogues = {BEFORE: inputs_of(asked.against, base, Path(temporary)), NOW: now}
        if gone := sorted(set(catalogues[BEFORE]) - set(now)):
            raise SystemExit(f"These inputs of {asked.against} are no more: {', '.join(gone)}")
        runs = {}
        for which, names in catalogues.items():
            places = {name: str(folder / which / name) for name in ("runs", "out", "reports")}
            chosen = as_settings({**base, **places, "features.include": names})
            runs[which] = submitted([*chosen, *asked.overrides], len(names))
    return Trial(data, dataset.competition.user, dataset.competition.metric, runs)


def as_settings(values: Mapping[str, object]) -> list[str]:
    """Write settings as ``--set`` takes them."""
    return [f"{key}={json.dumps(value)}" for key, value in values.items()]


def inputs_of(commit: str, base: Mapping[str, str], folder: Path) -> list[str]:
    """Let a commit's own code list its model inputs, in a work tree and a store of their own."""
    tree = folder / "before"
    ran(["git", "worktree", "add", "--quiet", "--detach", str(tree), commit], ROOT)
    try:
        own = as_settings({**base, "store": str(folder / "store")})
        told = ran([sys.executable, "-m", "features", *with_flags(own), "list", "--json"], tree)
    finally:
        ran(["git", "worktree", "remove", "--force", str(tree)], ROOT)
    return [row["name"] for row in json.loads(told)["features"] if row["model_input"]]


def with_flags(overrides: Sequence[str]) -> list[str]:
    """Put ``--set`` before each setting."""
    return [part for setting in overrides for part in ("--set", setting)]


def submitted(overrides: list[str], n_columns: int) -> Run:
    """Make a submission in a process of its own, and read what it scored."""
    with measure_stage() as cost:
        ran([sys.executable, "-m", "submissions", *with_flags(overrides), "make"], ROOT)
    settings = load_settings(overrides=overrides)
    runs = Runs.of(settings)
    name = runs.resolve("latest")
    manifest, truth = runs.manifest(name), oracle(settings)
    table = runs.scores(name).join(
        solution(settings).select("pair_id", "relevance"), on="pair_id", how="left", validate="1:1"
    )
    if truth is not None:
        best = truth.select("pair_id", pl.col("score").alias(ORACLE))
        table = table.join(best, on="pair_id", how="left", validate="1:1")
    names = tuple(cv.name for cv in manifest.cv if cv.name in table.columns)
    return Run(table, names, manifest.chosen, n_columns, cost.seconds, cost.peak_mib / 1024)


def ran(command: Sequence[str], folder: Path) -> str:
    """Run a command, give what it printed; its failure ends the program."""
    done = subprocess.run(command, cwd=folder, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"This command failed: {' '.join(command)}")
    return done.stdout


if __name__ == "__main__":
    main()
