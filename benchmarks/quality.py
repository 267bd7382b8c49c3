"""Is the blend better than CatBoost on ids and attributes alone? ``python -m benchmarks.quality``.

The baseline is CatBoost RMSE with its default parameters on user, item and their attributes, trained on *all* history
before each window: five seeds, each with the rows shuffled anew, averaged. Compared are the baseline, every single
model and every blend on the eval windows (out of fold), on the test window, and on all of them pooled; the paired
bootstrap resamples users with all their windows. Only benchmarks and ``submissions score`` read the test labels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from catboost import CatBoostRegressor, Pool
from rich.table import Table

from benchmarks._paired import PARTS, all_scores, compared
from competitions import Dataset
from engine import (
    Json,
    Recipe,
    Store,
    Task,
    code_digest,
    library_versions,
    load_settings,
    out,
    run_tasks,
)
from stacking import Plan, make_plan, run_cv
from validation import CvBundle, Window, window_pairs

N_SEEDS = 5
BASELINE = "CatBoost on ids and attributes"


def main() -> None:
    """Compare and print; ``--json FILE`` also writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--eval-only", action="store_true", help="leave the test window and its labels alone")
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    settings = load_settings(overrides=arguments.overrides)
    plan = make_plan(settings)
    bundle = run_cv(plan)
    table = all_scores(plan, bundle, with_test=not arguments.eval_only)
    table = table.join(_baseline(plan, table), on=["window", "pair_id"], how="left", validate="1:1")
    rows = _compare(plan, bundle, table)
    out.print(_as_table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _baseline(plan: Plan, table: pl.DataFrame) -> pl.DataFrame:
    """Baseline scores for the windows of the table: mean of the seeds; each fit is in the store."""
    dataset, settings = plan.dataset, plan.settings
    windows = [w for w in plan.folds.windows if w.cutoff in set(table["window"].unique())]
    jobs = [(window, seed) for window in windows for seed in range(N_SEEDS)]
    parts: dict[str, Json] = {
        "code": code_digest(build_baseline),
        "data": dataset.fingerprint,
        "versions": library_versions(),
    }
    competition = dataset.competition.name
    tasks = [
        Task(
            Recipe("baseline", f"{competition}: {window.name} seed {seed}", parts),
            build_baseline,
            (dataset, window, seed),
        )
        for window, seed in jobs
    ]
    folders = run_tasks("baseline", tasks, Store(settings.store), settings)
    frames = [
        pl.read_parquet(folder / "scores.parquet").with_columns(
            pl.lit(window.cutoff, pl.Int64).alias("window")
        )
        for folder, (window, _) in zip(folders, jobs, strict=True)
    ]
    return pl.concat(frames).group_by("window", "pair_id").agg(pl.col("score").mean().alias(BASELINE))


def build_baseline(folder: Path, dataset: Dataset, window: Window, seed: int) -> None:
    """Fit on all history before the window and score its pairs."""
    history = dataset.with_attributes(window.history(dataset.log)).collect(engine="in-memory")
    history = history.sample(fraction=1.0, shuffle=True, seed=seed)
    pairs = dataset.with_attributes(window_pairs(dataset, window).lazy()).collect(engine="in-memory")
    categories = [n for n, d in pairs.schema.items() if n in _ids(dataset) or isinstance(d, pl.Enum)]
    numbers = [n for n, d in pairs.schema.items() if d.is_numeric() and n not in {*categories, "pair_id"}]
    places = list(range(len(categories)))
    train = Pool(_matrix(history, categories, numbers), history["relevance"].to_numpy(), cat_features=places)
    model = CatBoostRegressor(random_seed=seed, thread_count=1, verbose=0, allow_writing_files=False)
    model.fit(train)
    scores = model.predict(Pool(_matrix(pairs, categories, numbers), cat_features=places))
    pairs.select("pair_id", pl.Series("score", scores)).write_parquet(folder / "scores.parquet")


def _ids(dataset: Dataset) -> set[str]:
    return {dataset.competition.user, dataset.competition.item}


def _matrix(frame: pl.DataFrame, categories: list[str], numbers: list[str]) -> npt.NDArray[np.object_]:
    """Mixed matrix (n_rows, n_columns): categories as text, an unknown one as empty text, unknown numbers as NaN."""
    texts = [frame[n].cast(pl.String).fill_null("").to_numpy() for n in categories]
    values = [frame[n].cast(pl.Float64).fill_null(float("nan")).to_numpy() for n in numbers]
    return np.column_stack([np.asarray(column, dtype=object) for column in (*texts, *values)])


def _compare(plan: Plan, bundle: CvBundle, table: pl.DataFrame) -> list[dict[str, float | str]]:
    c, seed = plan.dataset.competition, plan.settings.seed
    rows: list[dict[str, float | str]] = []
    for name in (BASELINE, *bundle.models, *bundle.blends):
        chosen = "chosen" if name == bundle.chosen else ""
        for found in compared(table, c.metric, c.user, [name], [BASELINE], seed=seed):
            rows.append(
                {"part": found.part, "scores": name, "is_chosen": chosen, "value": found.a,
                 "gain": found.lead.mean, "low": found.lead.low, "high": found.lead.high}
            )  # fmt: skip
    rows.sort(key=lambda row: list(PARTS).index(str(row["part"])))
    return rows


def _as_table(rows: list[dict[str, float | str]]) -> Table:
    table = Table(title="Against CatBoost on ids and attributes alone (95 % intervals over users)")
    for heading in ("on", "scores", "", "metric", "gain", "low", "high"):
        table.add_column(heading)
    for row in rows:
        figures = [f"{row[n]:.4f}" for n in ("value", "gain", "low", "high")]
        table.add_row(str(row["part"]), str(row["scores"]), str(row["is_chosen"]), *figures)
    return table


if __name__ == "__main__":
    main()
