"""What a stack is made of: data, windows, models and the columns that each of them reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isnan
from typing import Any, cast

import polars as pl

from competitions import Dataset, Metric, open_dataset
from engine import (
    ConfigError,
    DataError,
    FeatureSettings,
    PrerankSettings,
    Settings,
    Store,
    cached_digest,
    did_you_mean,
    library_versions,
)
from features import Catalogue, feature_keys, load_catalogue, load_registry
from models import Ranker, build_models, columns_of, fitted_class
from stacking._blender import BASELINE, MIN_EVAL_WINDOWS, Blender, ReadsFeatures, blenders, learns_labels
from stacking._pairs import PairReader, TrainingSample
from stacking._shortlist import check_order_counts, check_prerank
from validation import (
    Folds,
    Window,
    evaluate,
    get_metric,
    is_test,
    plan_folds,
    window_pairs,
    window_relevance,
)

FORMAT = 1  # of the artifacts of this room; raise it when this room puts them together differently


@dataclass(frozen=True)
class Plan:
    """Everything that the stages of a stack share, read once from the settings.

    Attributes
    ----------
    columns
        For each model and blender the feature columns that it gets: those that a model needs by name, or else those
        that the patterns select; none for most blenders. So a new feature fits only those anew that read it.
    parts
        For each model and blender what its fits depend on beside their rows (see ``made_of``).
    keys
        Key in the store of every column of every window, and of the windows' pairs, by ``NAME @ WINDOW``.
    n_seed
        How far the seed is from the config's: 0, unless the plan is a repeat under another seed.
    n_pairs
        Number of labelled pairs of each train and eval window, by its name.
    """

    settings: Settings
    dataset: Dataset
    catalogue: Catalogue
    folds: Folds
    models: Mapping[str, Ranker]
    columns: Mapping[str, tuple[str, ...]]
    blenders: Mapping[str, Blender]
    parts: Mapping[str, Mapping[str, Any]]
    keys: Mapping[str, str]
    store: Store
    n_seed: int = 0
    n_pairs: Mapping[str, int] = field(default_factory=dict)

    @property
    def prerank(self) -> PrerankSettings | None:
        """The model that is fitted first and cuts what the others see; None = they see all pairs."""
        return self.settings.prerank

    @property
    def all_columns(self) -> tuple[str, ...]:
        """Every feature column that some model or blender gets, in the order of the catalogue's selection."""
        return _union(self.columns)

    def with_columns(self, columns: Iterable[str]) -> Plan:
        """Know the keys of these columns too, such as those that the config leaves out."""
        new = [name for name in columns if f"{name} @ {self.folds.windows[0].name}" not in self.keys]
        keys = feature_keys(self.catalogue, self.folds.windows, new) if new else {}
        return replace(self, keys={**self.keys, **keys})

    def reseeded(self, number: int) -> Plan:
        """Plan the same under the seed that is ``number`` above the config's; 0 = this plan."""
        seed = (self.settings.seed + number) % 2**32
        settings = self.settings.model_copy(update={"seed": seed})
        return replace(self, settings=settings, n_seed=number) if number else self

    def frame_keys(self, windows: Iterable[Window], columns: Iterable[str]) -> dict[str, str]:
        """What a frame of windows and columns is made of, as a part of recipes."""
        names = ["pairs", *columns]
        return {n: self.keys[n] for w in windows for n in (f"{name} @ {w.name}" for name in names)}

    def name(self, words: str) -> str:
        """Name of an artifact in the store: two competitions in one store must not take each other's for theirs."""
        return f"{self.dataset.competition.name}: {words}"

    @property
    def reader(self) -> PairReader:
        """Reads the pairs of windows, here and in workers."""
        return PairReader(self.catalogue, self.store.root)

    @property
    def sample(self) -> TrainingSample:
        """Which pairs of the train windows models are fitted on."""
        return TrainingSample.of(self.settings)

    @property
    def eval_windows(self) -> tuple[Window, ...]:
        """The folds' eval windows, earliest first."""
        return tuple(f.eval for f in self.folds.folds)

    @property
    def threads_per_fit(self) -> int:
        """Threads of one fit: one up to four threads in all, else a quarter of them.

        Fits run side by side, which uses the cores better than one fit on all of them. The number depends on
        nothing else, because a fit repeats exactly only with the same number of threads.
        """
        return max(1, self.settings.threads // 4)


def make_plan(settings: Settings, *, with_keys: bool = True) -> Plan:
    """Read the settings into a plan. Computes no feature and fits nothing.

    What the settings and the files of features say is checked before the data are opened, which may take long; the
    labels of the windows before anything is computed.
    ``with_keys=False``: only to see whether a plan can be made, which is quick: it knows nothing of the store.

    Raises ConfigError for unknown models, features or blenders, and for names that would collide; DataError for folds
    that lack pairs or labels.
    """
    models, known = build_models(settings), blenders(settings.blenders)
    _check_choice(settings, models, known)
    check_prerank(settings.prerank, models, settings.models)
    load_registry()
    dataset = open_dataset(settings)
    catalogue = load_catalogue(dataset)
    _check_names(models, known, dataset)
    check_order_counts(settings.prerank, dataset.competition)
    folds = plan_folds(dataset, settings.folds)
    n_pairs = _check_folds(dataset, folds)
    makers: dict[str, Ranker | Blender] = {**models, **known}
    columns = {name: columns_of(m, catalogue, settings.features) for name, m in models.items()}
    columns |= {name: _blender_columns(b, catalogue, settings.features) for name, b in known.items()}
    return Plan(
        settings=settings,
        dataset=dataset,
        catalogue=catalogue,
        folds=folds,
        models=models,
        columns=columns,
        blenders=known,
        parts={name: made_of(maker) for name, maker in makers.items()} if with_keys else {},
        keys=feature_keys(catalogue, folds.windows, _union(columns)) if with_keys else {},
        store=Store(settings.store),
        n_pairs=n_pairs,
    )


def _check_folds(dataset: Dataset, folds: Folds) -> dict[str, int]:
    """Refuse folds that nothing could be learned from, or that the metric could not value whatever the scores were.

    Reads labels and no feature. Returns the number of pairs of each window that has labels. Raises DataError naming
    the folds.
    """
    c = dataset.competition
    labels = {w: window_relevance(dataset, w) for w in folds.windows if not is_test(dataset, w)}
    if n_unknown := sum(rows["relevance"].null_count() for rows in labels.values()):
        raise DataError(
            f"{n_unknown} pairs of the windows have no relevance.",
            expected="a label for every pair of a train or eval window",
            todo="check the competition's relevance and pair selection",
        )

    def shown(w: Window) -> str:
        return f"{c.clock.shown(w.start)} to {c.clock.shown(w.until)}"

    empty, unscored = [], []
    for fold in (*folds.folds, folds.final):
        if not any(labels[w].height for w in fold.train):
            empty.append(f"the train windows of {fold.name} ({', '.join(map(shown, fold.train))})")
        if fold.eval not in labels:
            continue
        if labels[fold.eval].is_empty():
            empty.append(f"the eval window of {fold.name} ({shown(fold.eval)})")
        elif isnan(_value_of_equal_scores(dataset, fold.eval, labels[fold.eval])):
            unscored.append(f"{fold.name} ({shown(fold.eval)}, {labels[fold.eval].height} pairs)")
    if empty:
        raise DataError(
            f"There are no pairs in {'; '.join(empty)}.",
            expected="pairs to train on and to predict in every fold",
            todo="check the competition's pair selection, horizon and gap, or set folds.n_folds, "
            "folds.n_train_windows or folds.horizon in config.toml; `python -m validation folds` counts pairs",
        )
    if unscored:
        raise DataError(
            f"The metric {c.metric.name} counts no group in {', '.join(unscored)}.",
            expected="in every eval window a group that has a value, such as a user with pairs of both kinds",
            todo="check the competition's relevance, pair selection and metric policy, or set folds.horizon or "
            "folds.n_folds in config.toml so that eval windows have more pairs",
        )
    return {w.name: rows.height for w, rows in labels.items()}


def _value_of_equal_scores(dataset: Dataset, window: Window, labels: pl.DataFrame) -> float:
    c = dataset.competition
    pairs = window_pairs(dataset, window).select("pair_id", c.user)
    rows = pairs.join(labels, on="pair_id", how="left", validate="1:1")
    rows = rows.with_columns(window=pl.lit(window.cutoff, pl.Int64), score=pl.lit(0.5))
    return evaluate(c.metric, rows, group=["window", c.user])


def _blender_columns(blender: Blender, catalogue: Catalogue, features: FeatureSettings) -> tuple[str, ...]:
    if not isinstance(blender, ReadsFeatures):
        return ()
    own = features.model_copy(update={"include": blender.include, "exclude": blender.exclude})
    matching = set(catalogue.select(own))
    return tuple(name for name in catalogue.select(features) if name in matching)


def _union(columns: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for some in columns.values() for name in some))


def _check_names(models: Mapping[str, Ranker], known: Mapping[str, Blender], dataset: Dataset) -> None:
    """Score columns stand beside keys and blends in one table: refuse names that would collide."""
    taken = {"score", "relevance", *known, *dataset.pair_schema, "fold", "window"}
    for name in models:
        if name in taken:
            raise ConfigError(
                f"A model is named {name!r}, which is the name of a blender or of a column.",
                expected=f"none of {', '.join(sorted(taken))}",
                todo="rename its table [models.NAME] in config.toml and say the kind by its key `kind`",
            )


def _check_choice(settings: Settings, models: Mapping[str, Ranker], known: Mapping[str, Blender]) -> None:
    """Refuse a forced choice that does not exist, or that could not be scored."""
    forced, names = settings.blender, ["auto", *known, *models]
    if forced not in names:
        raise ConfigError(
            f"blender = {forced!r} is neither a blender nor an enabled model.{did_you_mean(forced, names)}",
            expected=f"one of {', '.join(names)}",
            todo="correct `blender` in config.toml",
        )
    n_folds = settings.folds.n_folds
    if forced in known and learns_labels(known[forced]) and n_folds < MIN_EVAL_WINDOWS:
        raise ConfigError(
            f"blender = {forced!r} learns from out-of-fold scores, and there are only {n_folds} eval windows.",
            expected=f"{MIN_EVAL_WINDOWS} eval windows at least: leaving one out, it would learn from one",
            todo=f'raise folds.n_folds in config.toml, or set blender = "{BASELINE}"',
        )


def made_of(maker: Ranker | Blender) -> dict[str, Any]:
    """What a fit depends on beside its rows: code, parameters and library versions, as parts of a recipe."""
    fitted: type = fitted_class(maker)
    ranker: Ranker | None = getattr(maker, "ranker", None)
    return {
        "code": cached_digest(type(maker)),
        "fitted code": cached_digest(fitted),
        "parameters": json.loads(json.dumps(asdict(cast(Any, maker)), default=repr)),
        "versions": library_versions(),
        **({} if ranker is None else {"ranker": made_of(ranker)}),
    }


def metric_parts(metric: Metric) -> dict[str, Any]:
    """The competition's metric: its name, policy and code, which no digest reaches by its name."""
    function = get_metric(metric.name)
    prepared = {} if function.prepare is None else {"prepared": cached_digest(function.prepare)}
    return {**asdict(metric), "code": cached_digest(function.compute), **prepared}
