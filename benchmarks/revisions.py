"""Did a change of the code change what is submitted? ``python -m benchmarks.revisions --against COMMIT``.

    python -m benchmarks.revisions --against COMMIT                                  # MovieLens, five seeds
    python -m benchmarks.revisions --against COMMIT --competition vk2024 --data DIR --seeds 42

An earlier commit in a work tree of its own and this checkout each make a submission for every seed of the config. What
they chose is compared on the eval windows (out of fold) and the test window together: the metric of each seed's scores,
averaged over the seeds, with the paired bootstrap over users, who come with all their windows. The same files say so.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import polars as pl

from benchmarks._figures import keep
from benchmarks._paired import TEST, as_table, compared, joined
from benchmarks.catalogue import ROOT, as_settings, ran, with_flags
from competitions import open_dataset, solution
from engine import Settings, load_settings, out
from submissions import Runs
from validation import plan_folds

BEFORE, NOW = "before", "now"
SEED = 1  # of the resamples


def main() -> None:
    """Make the submissions of both revisions, compare what they chose, print and keep the figures."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary, "before")
        ran(["git", "worktree", "add", "--quiet", "--detach", str(tree), asked.against], ROOT)
        try:
            tables = [compared_seed(seed, tree, asked) for seed in asked.seeds]
        finally:
            ran(["git", "worktree", "remove", "--force", str(tree)], ROOT)
    settings = settings_of(asked, ROOT, asked.seeds[0])
    competition = open_dataset(settings).competition
    sides = [[f"{side} {seed}" for seed in asked.seeds] for side in (NOW, BEFORE)]
    rows = pl.concat(tables, how="align")
    found = compared(rows, competition.metric, competition.user, *sides, seed=SEED)
    out.print(
        as_table([(asked.competition, part) for part in found], "A is this checkout, B the earlier one")
    )
    figures = [part.figures() for part in found]
    keep("revisions", {"against": asked.against, "seeds": asked.seeds, "rows": figures}, asked.out)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", default="HEAD", help="commit to compare this checkout with")
    parser.add_argument("--competition", default="movielens")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder of the competition's files")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44, 45, 46], help="of the config")
    parser.add_argument(
        "--work", type=Path, help="folder to keep stores and runs in; default: a temporary one"
    )
    parser.add_argument("--out", type=Path, help="file of the figures")
    asked = parser.parse_args()
    if asked.work is None:
        asked.work = Path(tempfile.mkdtemp(prefix="revisions-"))
    return asked


def settings_of(asked: argparse.Namespace, tree: Path, seed: int) -> Settings:
    """Settings of one revision and seed: stores apart, since the code of one may not serve the other."""
    return load_settings(overrides=overrides_of(asked, tree, seed))


def overrides_of(asked: argparse.Namespace, tree: Path, seed: int) -> list[str]:
    """Write what differs from the config as ``--set`` takes it."""
    folder = asked.work.resolve() / (NOW if tree == ROOT else BEFORE)
    places = {name: str(folder / f"seed{seed}" / name) for name in ("runs", "out", "reports")}
    data = {"competition": asked.competition, "data": str(asked.data.resolve())}
    return as_settings({**data, "store": str(folder / "store"), "seed": seed, **places})


def compared_seed(seed: int, tree: Path, asked: argparse.Namespace) -> pl.DataFrame:
    """Submit with both revisions; the chosen scores of each, as ``joined`` gives them."""
    tables = []
    for side, folder in ((BEFORE, tree), (NOW, ROOT)):
        flags = with_flags(overrides_of(asked, folder, seed))
        ran([sys.executable, "-m", "submissions", *flags, "make"], folder)
        table, told = chosen_scores(settings_of(asked, folder, seed), f"{side} {seed}")
        out.print(f"{side}, seed {seed}: {told}", highlight=False)
        tables.append(table)
    return joined(*tables)


def chosen_scores(settings: Settings, name: str) -> tuple[pl.DataFrame, str]:
    """Chosen scores of the last run on eval and test windows as the column ``name``, and what was chosen, in words."""
    runs, dataset = Runs.of(settings), open_dataset(settings)
    run, user = runs.resolve("latest"), dataset.competition.user
    manifest, oof = runs.manifest(run), runs.oof(run)
    keys = ["fold", "window", "pair_id", user, "relevance"]
    cutoff = plan_folds(dataset, settings.folds).final.eval.cutoff
    answers = solution(settings).select("pair_id", "relevance")
    test = runs.scores(run).join(answers, on="pair_id", how="left", validate="1:1")
    test = test.with_columns(window=pl.lit(cutoff, pl.Int64), fold=pl.lit(TEST))
    parts = [part.select(*keys, pl.col("score").alias(name)) for part in (oof, test) if part is not None]
    table = pl.concat([part.cast(parts[-1].schema) for part in parts])
    return table, f"{manifest.chosen}, sha256 {manifest.file.sha256[:16]}"


if __name__ == "__main__":
    main()
