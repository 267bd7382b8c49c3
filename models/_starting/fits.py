"""Fits of one net from several starts, under several seeds, on every fold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import polars as pl

from competitions import Dataset, open_dataset
from engine import (
    ConfigError,
    Recipe,
    Settings,
    Store,
    Task,
    cached_digest,
    did_you_mean,
    library_versions,
    run_tasks,
)
from features import Catalogue, compute_features, feature_keys, load_catalogue, open_features
from models import ranking
from models._pair_frame import PairFrame, StoredColumns
from models._ranker import FitContext, Ranker, columns_of, fitted_class
from models._registry import build_models, model_kinds
from models._tables import kind_of, parameters_of
from validation import Fold, Folds, Window, plan_folds

DEFAULTS = ("als", "svd", "taste", "entities")  # beside how the net's tables start without vectors
KINDS = ("user", "item", "source")
_SUFFIX = "_user_vector"
FORMAT = 1


@dataclass(frozen=True)
class StartTrial:
    """A net and the starts that are compared.

    ``rankers``: the net from each start; ``columns``: what each reads; ``vectors``: columns of vectors of each.
    """

    name: str
    dataset: Dataset
    catalogue: Catalogue
    folds: Folds
    settings: Settings
    rankers: Mapping[str, Ranker]
    columns: Mapping[str, tuple[str, ...]]
    vectors: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]


def plan_trial(settings: Settings, name: str, starts: Sequence[str], n_seeds: int) -> StartTrial:
    """Check what is asked for; computes nothing.

    ``name``: a model of the settings, on or off, or a kind. ``starts``: families of vectors, such as ``als``: columns
    ``als_user_vector``, ``als_item_vector``, ``als_source_vector``, of which any may be lacking; or ``orthogonal``, in
    other nets than two towers ``random``: without vectors. None given: that one, and those of ``DEFAULTS`` that there
    are.

    Raises ConfigError for a model whose tables start at no vectors, and for starts that are not there.
    """
    ranker = _ranker(settings, name)
    dataset = open_dataset(settings)
    catalogue = load_catalogue(dataset)
    own = "orthogonal" if isinstance(ranker, ranking.TowersParameters) else "random"
    asked = starts or [own, *(of for of in DEFAULTS if _named(catalogue, of))]
    vectors = {
        start: {} if start == own else _vectors(catalogue, start, own) for start in dict.fromkeys(asked)
    }
    rankers = {
        start: replace(cast(Any, ranker), **{f"{of}_start": found.get(of, "") for of in KINDS})
        for start, found in vectors.items()
    }
    return StartTrial(
        name, dataset, catalogue, plan_folds(dataset, settings.folds), settings, rankers,
        {start: columns_of(of, catalogue, settings.features) for start, of in rankers.items()},
        {start: tuple(found.values()) for start, found in vectors.items()},
        tuple((settings.seed + number) % 2**32 for number in range(n_seeds)),
    )  # fmt: skip


def _ranker(settings: Settings, name: str) -> Ranker:
    table = dict(settings.models.get(name, {"kind": name}))
    kinds = model_kinds()
    able = [kind for kind, of in kinds.items() if "user_start" in {p.name for p in parameters_of(of)}]
    if kind_of(table, name, f"[models.{name}]") not in able:
        names = [*able, *(n for n, t in settings.models.items() if kind_of(t, n, f"[models.{n}]") in able)]
        raise ConfigError(
            f"There is no net {name!r} whose tables could start at vectors." + did_you_mean(name, names),
            expected="one of " + ", ".join(dict.fromkeys(names)),
            todo="name one by --model",
        )
    return build_models({name: {**table, "enabled": True}})[name]


def _named(catalogue: Catalogue, start: str) -> dict[str, str]:
    """Columns of vectors of each kind of entity that there are."""
    names = {of: f"{start}_{of}_vector" for of in KINDS}
    return {of: name for of, name in names.items() if name in catalogue.columns}


def _vectors(catalogue: Catalogue, start: str, own: str) -> dict[str, str]:
    """Columns of vectors of each kind of entity; ConfigError if there are none."""
    found = _named(catalogue, start)
    if not found:
        families = [n.removesuffix(_SUFFIX) for n in catalogue.columns if n.endswith(_SUFFIX)]
        known = [own, *sorted(families)]
        raise ConfigError(
            f"There are no vectors {start!r} here." + did_you_mean(start, known),
            expected="starts among " + ", ".join(known),
            todo=f"add a feature with the columns {start}_user_vector and {start}_item_vector, or leave it out",
        )
    return found


def run_trial(trial: StartTrial) -> pl.DataFrame:
    """Fit and score; what is in the store is found there.

    Returns
    -------
    ``start``, ``seed``, ``fold``, ``window``, ``pair_id``, the user, ``relevance``, ``score``, and of the fit
    ``epochs``, ``seconds``, ``users_started``, ``items_started``: shares of the ids that start at a vector.
    """
    store, settings = Store(trial.settings.store), trial.settings
    columns = dict.fromkeys(name for names in trial.columns.values() for name in names)
    compute_features(trial.catalogue, trial.folds.windows, columns, store, settings)
    asked = [
        (start, seed, fold)
        for start in trial.rankers
        for seed in trial.seeds
        for fold in trial.folds.folds
    ]  # fmt: skip
    threads = max(1, settings.threads // 4)
    tasks = [_task(trial, *of, threads) for of in asked]
    folders = run_tasks(f"Starts of {trial.name}", tasks, store, settings, threads_per_job=threads)
    tables = []
    for (start, seed, fold), folder in zip(asked, folders, strict=True):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        table = pl.read_parquet(folder / "scores.parquet")
        own = {"start": start, "seed": seed, "fold": fold.name, **facts}
        tables.append(table.with_columns(pl.lit(value).alias(name) for name, value in own.items()))
    return pl.concat(tables)


def _task(trial: StartTrial, start: str, seed: int, fold: Fold, threads: int) -> Task:
    ranker, columns = trial.rankers[start], trial.columns[start]
    keys = feature_keys(trial.catalogue, (*fold.train, fold.eval), columns)
    recipe = Recipe(
        "start",
        f"{trial.dataset.competition.name}: {trial.name} from {start} under seed {seed} @ {fold.eval.name}",
        {
            "code": cached_digest(type(ranker)),
            "fitted code": cached_digest(fitted_class(ranker)),
            "parameters": json.loads(json.dumps(asdict(cast(Any, ranker)), default=repr)),
            "versions": library_versions(),
            "features": keys,
            "columns": list(columns),
            "seed": seed,
            "threads": threads,
            "format": FORMAT,
        },
    )
    context = FitContext(seed, threads, metric=trial.dataset.competition.metric)
    root = trial.settings.store
    return Task(
        recipe, fit_start, (trial.catalogue, root, ranker, columns, trial.vectors[start], fold, context)
    )


def fit_start(
    folder: Path,
    catalogue: Catalogue,
    root: Path,
    ranker: Ranker,
    columns: Sequence[str],
    vectors: Sequence[str],
    fold: Fold,
    context: FitContext,
) -> None:
    """Fit on a fold's train windows, score its eval window; write ``scores.parquet`` and ``facts.json``."""
    train = read_frame(catalogue, fold.train, columns, root)
    began = perf_counter()
    fitted = ranker.fit(train, replace(context, scratch=folder))
    seconds = perf_counter() - began
    shown = read_frame(catalogue, [fold.eval], columns, root)
    table = shown.table.select("window", "pair_id", pl.col(shown.user).alias("user"), "relevance")
    unseen = replace(shown, table=shown.table.drop("relevance"))
    scores = pl.Series("score", fitted.predict(unseen))
    table.with_columns(scores).write_parquet(folder / "scores.parquet")
    facts = {"epochs": fitted.report.iterations, "seconds": seconds, **started(train, vectors)}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def started(train: PairFrame, vectors: Sequence[str]) -> dict[str, float]:
    """Shares of the users and of the items of the train windows that have a vector in the earliest of them."""
    found = {}
    for key, of in ((train.user, "user"), (train.item, "item")):
        column = next((name for name in vectors if name.endswith(f"_{of}_vector")), "")
        share = 0.0
        if column:
            rows = train.table.select(key, "window").with_columns(
                train.column(column).is_not_null().alias("has")
            )
            has = pl.col("has") & (pl.col("window") == pl.col("window").min())
            by_id = rows.with_columns(has).group_by(key).agg(pl.col("has").any())["has"]
            share = int(by_id.sum()) / max(len(by_id), 1)
        found[f"{of}s_started"] = share
    return found


def read_frame(
    catalogue: Catalogue, windows: Sequence[Window], columns: Sequence[str], root: Path
) -> PairFrame:
    """Read all pairs of windows; their features stay in the store until the net asks for one."""
    found, c = open_features(catalogue, windows, columns, Store(root)), catalogue.dataset.competition
    pairs = found.pairs.with_row_index("position").sort("window", c.user, "pair_id")
    stored = StoredColumns(found.schema, found.read, pairs["position"])
    return PairFrame(pairs.drop("position"), tuple(columns), c.user, c.item, c.source, stored)
