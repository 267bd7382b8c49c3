"""A pre-ranker: which pairs it keeps, what the other models see of them, and where those that it cuts come."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from competitions import Dataset, Metric, opened
from engine import ConfigError, Settings
from models import FitContext, graphs
from stacking import Plan, export_bundle, final_scores, make_plan, run_cv
from stacking._fits import make_shortlist
from stacking._shortlist import Shortlist, windows_before, with_places
from stacking._worth import plan_ablation, plan_gain, plan_selection, run_base
from tests.stacking.small_stack import FEATURES, POPULARITY, TREES, settings_in
from validation import prerank_sentences

NET: dict[str, dict[str, Any]] = {"net": {"kind": "channel_net", "epochs": 1, "hidden": 4, "user_dim": 2}}
GROUP = ["window", "user_id"]
Rows = list[tuple[int, int, float]]

scored_rows = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(-3, 3).map(float)), min_size=1, max_size=30
)
shares = st.one_of(st.floats(0.01, 1), st.sampled_from([0.07, 0.1, 0.2, 0.3, 0.5, 0.7]))


def table_of(rows: Rows) -> pl.DataFrame:
    table = pl.DataFrame(
        rows, schema={"window": pl.Int64, "user_id": pl.Int64, "score": pl.Float64}, orient="row"
    )
    return table.with_columns(pair_id=pl.int_range(pl.len(), dtype=pl.UInt32))


def places_by_hand(scores: list[float], keep: float) -> list[int]:
    n_kept = max(1, ceil(round(keep * len(scores), 9)))
    least = sorted(scores, reverse=True)[n_kept - 1]
    behind = sorted({s for s in scores if s < least}, reverse=True)
    return [0 if s >= least else 1 + behind.index(s) for s in scores]


@given(scored_rows, shares)
def test_the_best_of_each_group_are_kept_with_all_that_tie_with_the_last(rows: Rows, keep: float) -> None:
    found = with_places(table_of(rows), "user_id", keep)
    for _, group in found.group_by(GROUP):
        assert group["place"].to_list() == places_by_hand(group["score"].to_list(), keep)
        assert (group["place"] == 0).any()


@given(scored_rows, shares, st.randoms(use_true_random=False))
def test_neither_the_order_of_rows_nor_ids_decide(rows: Rows, keep: float, random: Any) -> None:
    table = table_of(rows)
    order = list(range(table.height))
    random.shuffle(order)
    shuffled = table[order].with_columns(user_id=1000 - pl.col("user_id"))
    found = with_places(shuffled, "user_id", keep).sort("pair_id")["place"]
    assert found.equals(with_places(table, "user_id", keep)["place"])


@settings(max_examples=30)
@given(scored_rows, shares, st.sampled_from([1.0, 1e-9, 1e12, 1e300]), st.integers(0, 9))
def test_what_is_cut_comes_behind_in_the_order_of_the_preranker(
    tmp_path_factory: pytest.TempPathFactory, rows: Rows, keep: float, scale: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    placed = with_places(table_of(rows), "user_id", keep)
    for (cutoff,), of_window in placed.group_by("window"):
        (folder / str(cutoff)).mkdir()
        of_window.write_parquet(folder / str(cutoff) / "shortlist.parquet")
    shortlist = Shortlist("user_id", {c: folder / str(c) for c in placed["window"].unique()})
    seen = shortlist.keep(placed)
    assert seen.equals(placed.filter(place=0))
    scores = np.random.default_rng(seed).normal(size=seen.height).round(1) * scale
    full = shortlist.completed(seen.select("window", "pair_id", other=pl.Series(scores)), ["other"])
    assert np.isfinite(full["other"].to_numpy()).all()
    both = placed.join(full.select("pair_id", "other"), on="pair_id", validate="1:1")
    assert both.height == placed.height == full.height
    for _, group in both.group_by(GROUP):
        kept, cut = group.filter(place=0), group.filter(pl.col("place") > 0)
        own = dict(zip(seen["pair_id"], scores, strict=True))
        assert kept["other"].to_list() == [own[p] for p in kept["pair_id"]]
        if cut.height:
            assert cut["other"].max() < kept["other"].min()  # type: ignore[operator]
            assert cut["other"].rank("dense").equals(cut["score"].rank("dense"))


# A whole stack.


@pytest.fixture(scope="module")
def store(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a stack without a pre-ranker, in which there is nothing of one; the data set is opened."""
    folder = tmp_path_factory.mktemp("store")
    with opened(dataset):
        bundle = run_cv(plan_in(folder))
        labels = [f.read_text() for f in folder.glob("artifacts/*/*/artifact.json")]
        assert labels
        assert not any("shortlist" in label or "prerank" in label for label in labels)
        assert "prerank" not in bundle.about
        assert prerank_sentences(bundle) == ()
        yield folder


def plan_in(folder: Path, model: str = "", keep: float = 0.4, **changes: object) -> Plan:
    """Plan of a small stack with a pre-ranker, or without one."""
    prerank = {"model": model, "keep": keep} if model else None
    blenders = {"catboost_oof": {"enabled": False}, "level_two": {"enabled": False}}
    return make_plan(settings_in(folder, **{"prerank": prerank, "blenders": blenders, **changes}))


def shortlist_rows(plan: Plan) -> pl.DataFrame:
    windows = plan.folds.windows
    return make_shortlist(plan, windows).rows(w.cutoff for w in windows)


def is_ordered(rows: pl.DataFrame, name: str) -> bool:
    """Whether ``name`` puts the pairs that were cut behind the others of their group, as ``before`` has them."""
    return all(
        not (cut := g.filter(pl.col("place") > 0)).height
        or (
            cut[name].max() < g.filter(place=0)[name].min()  # type: ignore[operator]
            and cut[name].rank("dense").equals(cut["before"].rank("dense"))
        )
        for _, g in rows.group_by(GROUP)
    )


@pytest.mark.parametrize("model", ["popularity", "trees", "net"])
def test_other_models_see_the_kept_pairs_only_and_every_pair_has_its_place(store: Path, model: str) -> None:
    models = {**POPULARITY, **(NET if model == "net" else TREES)}
    few = {"catboost_oof": {"enabled": False}, "level_two": {"enabled": False}}
    plan = plan_in(store, model, models=models, blenders={} if model == "popularity" else few)
    bundle = run_cv(plan)
    rows = shortlist_rows(plan).rename({"score": "before"})
    keys = ["window", "pair_id"]
    oof = bundle.oof.join(rows.select(*keys, "before", "place"), on=keys, validate="1:1")
    assert oof.height == bundle.oof.height
    assert oof[model].equals(oof["before"])
    names = [n for n in (*bundle.models, *bundle.blends) if n != model]
    assert all(is_ordered(oof, name) for name in names)
    assert any(not oof[name].equals(oof[model]) for name in names)
    final = final_scores(plan, bundle).join(rows.select("pair_id", "before", "place"), on="pair_id")
    window = plan.folds.final.eval
    final = final.with_columns(window=pl.lit(window.cutoff))
    assert final.height == plan.reader.read([window], (), labels=False).height
    assert all(is_ordered(final, name) for name in names)

    # A fit on the kept pairs of the train windows, by hand.
    other = next(n for n in names if n in plan.models)
    listed, fold = rows.filter(place=0)["pair_id"].implode(), plan.folds.folds[1]
    columns = plan.columns[other]
    train = plan.reader.read(fold.train, columns, labels=True).take(pl.col("pair_id").is_in(listed))
    pairs = plan.reader.read([fold.eval], columns, labels=False).take(pl.col("pair_id").is_in(listed))
    context = FitContext(plan.settings.seed, metric=plan.dataset.competition.metric)
    by_hand = pairs.table.select(
        "pair_id", own=pl.Series(plan.models[other].fit(train, context).predict(pairs))
    )
    both = by_hand.join(oof, on="pair_id", validate="1:1")
    assert both["own"].equals(both[other].alias("own"))


def test_to_keep_all_is_to_have_no_preranker(store: Path) -> None:
    without, with_it = run_cv(plan_in(store)), run_cv(plan_in(store, "popularity", keep=1.0))
    assert with_it.oof.equals(without.oof)
    assert with_it.chosen == without.chosen


def test_groups_of_one_pair_are_kept(dataset: Dataset, tmp_path: Path) -> None:
    competition = replace(dataset.competition, metric=Metric("roc_auc"))
    log = dataset.log.filter(pl.int_range(pl.len()).over("user_id", "clock") == 0)
    with opened(replace(dataset, competition=competition, log=log, fingerprint="one pair each")):
        plan = plan_in(tmp_path, "popularity", keep=0.01)
        windows = [w for w in plan.folds.windows if w is not plan.folds.final.eval]
        assert make_shortlist(plan, windows).rows(w.cutoff for w in windows)["place"].max() == 0


def test_lists_of_predicted_windows_are_of_the_folds_own_fits(store: Path) -> None:
    for gap in (0, 1):
        folds = {"n_folds": 2, "n_train_windows": 2, "gap": gap}
        plan = plan_in(store, "trees", folds=folds)
        for fold in (*plan.folds.folds, plan.folds.final):
            assert windows_before(plan.folds, fold.eval, plan.n_pairs) == fold.train
        for w in plan.folds.windows:
            assert all(v.until <= w.cutoff for v in windows_before(plan.folds, w, plan.n_pairs))


def test_no_label_of_a_window_decides_what_is_cut_there(
    dataset: Dataset, store: Path, tmp_path: Path
) -> None:
    """Labels are turned round from a window on; in the first window, which is cut by users, those of one user."""
    plan = plan_in(store, "trees")
    first, *_, last = sorted({w for f in plan.folds.folds for w in (*f.train, f.eval)})
    rows = shortlist_rows(plan).filter(pl.col("window") <= last.cutoff)

    def turned(is_other: pl.Expr) -> pl.DataFrame:
        labels = pl.when(is_other).then(-pl.col("relevance")).otherwise("relevance")
        log = dataset.log.with_columns(relevance=labels)
        with opened(replace(dataset, log=log, fingerprint=str(is_other))):
            return shortlist_rows(plan_in(tmp_path, "trees")).filter(pl.col("window") <= last.cutoff)

    assert turned(pl.col("clock") >= last.start).equals(rows)
    whose = rows.filter(pl.col("window") == first.cutoff)["user_id"][0]
    found = turned((pl.col("clock") == first.start) & (pl.col("user_id") == whose))
    own = (pl.col("window") == first.cutoff) & (pl.col("user_id") == whose)
    assert found.filter(own).equals(rows.filter(own))
    assert not found.equals(rows)  # the others' fits have seen these labels


def test_what_is_in_the_store_is_not_made_again(store: Path) -> None:
    plan = plan_in(store, "trees", keep=0.6)
    run_cv(plan)

    def made() -> dict[str, float]:
        return {str(f): f.stat().st_mtime_ns for f in store.glob("artifacts/*/*/artifact.json")}

    before = made()
    for gone in store.glob("artifacts/cv/*"):
        shutil.rmtree(gone)
    run_cv(plan_in(store, "trees", keep=0.6))
    after = made()
    assert {f for f in after if after[f] != before.get(f)} == {f for f in after if "/cv/" in f}
    # Another share takes the same fits of the pre-ranker.
    n_fits = len(list(store.glob("artifacts/fit/*")))
    run_cv(plan_in(store, "trees", keep=0.3))
    assert len(list(store.glob("artifacts/fit/*"))) == n_fits + 3  # of popularity, on other pairs


def test_the_report_counts_what_is_cut_and_compares_once_it_can(store: Path) -> None:
    plan = plan_in(store, "popularity", keep=0.5, seed=7)
    alone = run_cv(plan).about["prerank"]
    run_cv(plan_in(store, seed=7))
    bundle = run_cv(plan)
    rows = shortlist_rows(plan)
    facts = bundle.about["prerank"]
    oof = bundle.oof.join(rows.select("window", "pair_id", "place"), on=["window", "pair_id"])
    n, kept = (oof.filter(pl.col("relevance") > 0, *f).height for f in ([], [pl.col("place") == 0]))
    assert facts["eval"] == {
        "pairs": oof.height,
        "kept": oof.filter(place=0).height,
        "positives": n,
        "positives_kept": kept,
    }
    assert sum(k for _, k in facts["levels"].values()) == facts["eval"]["kept"]
    assert facts["best_order"]["kept"] < facts["best_order"]["all"] == 1
    first, *_ = facts["windows"]
    assert first["fitted_on"] is None
    assert [w["fitted_on"] for w in facts["windows"] if w["is_eval"]] == [
        [w.name for w in fold.train] for fold in plan.folds.folds
    ]
    assert alone["without"] == {}
    assert alone["seconds"]["others_without"] is None
    assert set(facts["without"]) == {*bundle.models, *bundle.blends}
    assert facts["without"]["popularity"]["difference"]["mean"] == 0
    texts = " ".join(prerank_sentences(bundle))
    for words in (f"{1 - kept / n:.1%} of the {n} positives", "With it minus without it", "instead of"):
        assert words in texts


def test_what_a_feature_is_worth_is_asked_of_the_kept_pairs(item_decides: Callable[..., Settings]) -> None:
    given_settings = item_decides(["relevance_rate__item_id", "user_gender"], n_train_windows=1)
    plan = make_plan(given_settings.model_copy(update={"prerank": prerank_of("popularity", 0.6)}))
    asked = plan_gain(plan, "user_gender", n_seeds=2)
    assert "3 shortlists to make, 0 in the store: their time is not known" in map(str, asked.costs())
    gained = asked.run()
    assert not any("shortlist" in str(cost) for cost in asked.costs())
    assert gained.change.n_users > 0
    ablation = plan_ablation(plan, refits=True, n_repeats=2)
    found = {left.unit: left for left in ablation.run(run_base(plan, ablation.model))}
    rates = found["rates"].shuffled
    assert rates is not None
    assert rates.change.mean < 0
    said: list[str] = []
    assert plan_selection(plan, budget=1.0, say=said.append).run().columns == ("relevance_rate__item_id",)


def prerank_of(model: str, keep: float) -> Any:
    return Settings.model_validate({"prerank": {"model": model, "keep": keep}}).prerank


def test_a_list_does_not_depend_on_the_seed_of_a_repeat(store: Path) -> None:
    plan = plan_in(store, "trees")
    windows = plan.folds.windows
    assert make_shortlist(plan.reseeded(2), windows) == make_shortlist(plan, windows)


def test_a_sample_of_train_pairs_is_drawn_of_the_kept_ones(store: Path) -> None:
    plan = plan_in(store, "popularity", training={"users": 0.6, "ignored": 0.5})
    windows = plan.folds.folds[0].train
    reader = replace(plan.reader, shortlist=make_shortlist(plan, windows))
    some = reader.read(windows, FEATURES, labels=True, sample=plan.sample)
    whole = plan.reader.read(windows, FEATURES, labels=True, sample=plan.sample)
    listed = shortlist_rows(plan).filter(place=0)["pair_id"].implode()
    kept = whole.take(pl.col("pair_id").is_in(listed))
    assert some.table.equals(kept.table)
    assert some.columns(FEATURES).equals(kept.columns(FEATURES))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "populrity"}, "no model of config.toml. Did you mean 'popularity'"),
        ({"model": "off"}, "is not switched on"),
        ({"model": "trees", "models": TREES}, "is the only model"),
    ],
)
def test_a_preranker_that_is_no_other_model_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    models = {**POPULARITY, **TREES, "off": {"kind": "catboost", "enabled": False}}
    with pytest.raises(ConfigError, match=words):
        plan_in(tmp_path, **{"models": models, **changes})


def test_a_metric_of_values_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    other = replace(dataset, competition=replace(dataset.competition, metric=Metric("rmse")))
    with opened(other), pytest.raises(ConfigError, match="reads the value of each score"):
        plan_in(tmp_path, "popularity")


@pytest.mark.parametrize("keep", [0, -0.1, 1.01, "0.3", None, float("nan")])
def test_a_share_beyond_nothing_and_all_is_refused(keep: object) -> None:
    with pytest.raises(ValidationError, match=r"prerank\.keep"):
        Settings.model_validate({"prerank": {"model": "trees", "keep": keep}})


def test_a_run_with_a_pre_ranker_is_not_exported(store: Path, tmp_path: Path) -> None:
    """Its models saw what was kept; their graphs would see all that is asked for."""
    plan = plan_in(store, "popularity")
    bundle = run_cv(plan)
    with pytest.raises(graphs.ExportError, match="prerank = 'popularity', and no graph cuts"):
        export_bundle(plan, bundle, bundle.oof, tmp_path / "bundle", about={})
    assert not (tmp_path / "bundle").exists()
