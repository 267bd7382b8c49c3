"""From a log in the official MovieLens layout to a submission, its score, and blends of runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import polars as pl
import pytest

from competitions import Metric, open_dataset, solution
from engine import ConfigError, FoldSettings, SampleSettings, Settings
from features import load_catalogue
from models import build_models
from submissions import (
    CvBasis,
    Manifest,
    Runs,
    SubmissionError,
    blend_runs,
    check_against_runs,
    make_submission,
    score_run,
)
from submissions._gate import Gate, check_file
from validation import evaluate, plan_folds

METRIC = Metric("user_auc", {"one_class": "skip"})


@contextmanager
def counted(*functions: Callable[..., Any]) -> Iterator[dict[str, Mock]]:
    """Count the calls of functions by name, whichever module they were imported into."""
    counting = {function.__name__: Mock(wraps=function) for function in functions}
    with pytest.MonkeyPatch.context() as patch:
        for function, module in product(functions, list(sys.modules.values())):
            if vars(module).get(function.__name__) is function:
                patch.setattr(module, function.__name__, counting[function.__name__])
        yield counting


@dataclass(frozen=True)
class Made:
    """Two runs of the same settings, and one that uses a single model. ``n_calls``: of the first, by function."""

    settings: Settings
    first: Manifest
    again: Manifest
    single: Manifest
    n_calls: dict[str, int]

    @property
    def runs(self) -> Runs:
        return Runs.of(self.settings)

    @cached_property
    def gate(self) -> Gate:
        return Gate.of(open_dataset(self.settings))

    @cached_property
    def basis(self) -> CvBasis:
        return CvBasis.of(self.settings, open_dataset(self.settings))

    @property
    def names(self) -> list[str]:
        return [self.first.run, self.single.run]


@pytest.fixture(scope="module")
def made(movielens_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Made:
    settings = movielens_settings.model_copy(update={"runs": tmp_path_factory.mktemp("runs")})
    with counted(open_dataset, load_catalogue, plan_folds, build_models) as counting:
        first = make_submission(settings)
    single = make_submission(settings.model_copy(update={"blender": "count"}))
    n_calls = {name: function.call_count for name, function in counting.items()}
    return Made(settings, first, make_submission(settings), single, n_calls)


@pytest.fixture
def single_run(made: Made) -> Iterator[Path]:
    """Folder of the run of a single model; what a test changes in it is put back."""
    folder = made.runs.root / made.single.run
    before = {file: file.read_bytes() for file in (folder / "scores.parquet", folder / "manifest.json")}
    yield folder
    for file, content in before.items():
        file.write_bytes(content)


def test_the_file_passes_the_gate_and_is_repeated_byte_for_byte(made: Made) -> None:
    files = [made.runs.out / m.file.name for m in (made.first, made.again)]
    assert check_file(made.gate, files[0]).is_accepted
    assert files[0].read_bytes() == files[1].read_bytes()
    assert made.first.file.sha256 == made.again.file.sha256 != made.single.file.sha256


def test_settings_become_a_plan_once(made: Made) -> None:
    assert made.n_calls == {"open_dataset": 1, "load_catalogue": 1, "plan_folds": 1, "build_models": 1}


def test_the_manifest_says_what_was_run(made: Made) -> None:
    m = made.first
    assert m.chosen == "mean_rank"
    kinds = [("popularity", "model"), ("count", "model"), ("mean_rank", "blend")]
    assert [(cv.name, cv.kind) for cv in m.cv[:3]] == kinds
    assert list(m.cv[0].folds) == ["fold1", "fold2", "fold3"]
    assert set(m.features) >= {"relevance_rate__item_id", "n_exposures__user_id"}
    assert m.features == made.again.features
    assert m.data_fingerprint
    assert m.seeds == {"seed": 42}
    assert m.config["folds"]["n_train_windows"] == 2
    assert m.versions["polars"] == pl.__version__
    assert {s.name for s in m.stages} >= {"data", "features", "cross-validation", "final scores", "gate"}
    assert all(s.seconds >= 0 for s in m.stages)
    assert sum(m.weights.values()) == pytest.approx(1.0)


def test_cv_is_the_metric_of_each_fold_and_their_mean(made: Made) -> None:
    oof = made.runs.oof(made.first.run)
    assert oof is not None
    folds = oof.partition_by("fold", maintain_order=True)
    values = [evaluate(METRIC, fold, group=["window", "user_id"]) for fold in folds]
    cv = made.first.chosen_cv
    assert cv is not None
    assert list(cv.folds.values()) == pytest.approx(values)
    assert cv.mean == pytest.approx(sum(values) / 3)


def test_later_runs_are_compared_with_the_best(made: Made) -> None:
    assert any("no earlier run" in remark for remark in made.first.remarks)
    assert any(
        f"rank correlation 1.000 with the best run so far, {made.first.run}" in r for r in made.again.remarks
    )


def test_score_plays_the_leaderboard(made: Made) -> None:
    entry = score_run(made.settings, made.first.run)
    labels = made.runs.scores(made.first.run).join(
        solution(made.settings), on="pair_id", how="left", validate="1:1"
    )
    assert entry.value == pytest.approx(evaluate(METRIC, labels, group=["user_id"]))
    assert entry.by_name is not None
    assert entry.by_name["mean_rank"] == entry.value
    assert {"popularity", "count"} <= set(entry.by_name)
    assert made.runs.ledger(made.first.run).score("local_score") == entry.value


@pytest.mark.parametrize("with_ranks", [False, True])
def test_blend_is_the_weighted_sum_in_any_order_of_the_rows(
    made: Made, single_run: Path, with_ranks: bool
) -> None:
    blend = blend_runs(made.settings, made.names, with_ranks=with_ranks, weights=[1, 3])
    first, second, mixed = (
        made.runs.scores(run).sort("user_id", "item_id") for run in (*made.names, blend.run)
    )
    score = pl.col("score")
    value = score.rank().over("user_id") / pl.len().over("user_id") if with_ranks else score
    expected = first.select(value)["score"] * 0.25 + second.select(value)["score"] * 0.75
    assert mixed["score"].to_list() == pytest.approx(expected.to_list(), abs=1e-12)
    assert blend.with_ranks == with_ranks
    assert [(p.run, p.weight) for p in blend.parents] == list(zip(made.names, [0.25, 0.75], strict=True))
    assert check_file(made.gate, made.runs.out / blend.file.name).is_accepted
    file = single_run / "scores.parquet"
    pl.read_parquet(file).sample(fraction=1, shuffle=True, seed=3).write_parquet(file)
    shuffled = blend_runs(made.settings, made.names, with_ranks=with_ranks, weights=[1, 3])
    assert shuffled.file.sha256 == blend.file.sha256


def test_a_blend_is_cross_validated_like_its_parents(made: Made) -> None:
    blend = blend_runs(made.settings, made.names, with_ranks=True, weights=[1, 0])
    parent = made.first.chosen_cv
    assert parent is not None
    assert blend.cv_mean is not None
    assert [cv.name for cv in blend.cv] == [*made.names, "blend"]
    # Ranks alone decide the metric, and the other parent has no weight.
    assert blend.cv_mean == pytest.approx(parent.mean)
    assert score_run(made.settings, blend.run).by_name is not None


def test_what_cannot_be_blended(made: Made) -> None:
    first, second = made.names
    for names, weights, words in (
        ([first], [], "two or more different runs"),
        ([first, first], [], "two or more different runs"),
        ([first, "nothing"], [], "no run 'nothing'"),
        ([first, "../" + second], [], "There is no run"),
        ([first, second], [1.0], "one number for each run"),
        ([first, second], [1.0, -1.0], "none negative"),
        ([first, second], [0.0, 0.0], "not all zero"),
        ([first, second], [1.0, float("nan")], "one number for each run"),
    ):
        with pytest.raises(SubmissionError, match="(?s)" + words):
            blend_runs(made.settings, names, with_ranks=False, weights=weights)


def test_a_run_of_another_competition_is_neither_blended_nor_scored(made: Made, single_run: Path) -> None:
    file = single_run / "manifest.json"
    file.write_text(file.read_text().replace('"competition": "movielens"', '"competition": "other"', 1))
    words = "of the competition 'other', the settings name 'movielens'"
    with pytest.raises(SubmissionError, match=words):
        blend_runs(made.settings, made.names, with_ranks=False)
    with pytest.raises(SubmissionError, match="--set competition=other"):
        score_run(made.settings, made.single.run)


def test_a_run_of_other_pairs_cannot_be_blended(made: Made, single_run: Path) -> None:
    file = single_run / "scores.parquet"
    pl.read_parquet(file).tail(-1).write_parquet(file)
    words = f"Run {made.single.run}: 1 pairs are not scored exactly once"
    with pytest.raises(SubmissionError, match=words):
        blend_runs(made.settings, made.names, with_ranks=False)


def test_the_best_run_is_sought_among_those_of_the_same_data_and_folds(made: Made) -> None:
    good = made.runs.out / made.first.file.name
    more = made.settings.model_copy(update={"folds": FoldSettings(n_folds=4, n_train_windows=2)})
    others = [
        *(replace(made.basis, **{what: "other"}) for what in ("data_fingerprint", "competition", "metric")),
        CvBasis.of(more, open_dataset(made.settings)),
    ]
    for basis in others:
        facts = check_against_runs(made.runs, made.gate, basis, good).facts
        assert facts == ("no earlier run over the same data and folds to compare with",)


def test_a_finished_run_has_the_basis_of_its_settings(made: Made) -> None:
    assert CvBasis.of_run(made.runs.manifest(made.first.run)) == made.basis


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ({"users": 0.05}, "users = 0.05"),
        ({"pairs": 0.5}, "pairs = 0.5"),
        ({"users": 0.5, "pairs": 0.5}, "users = 0.5 and sample.pairs = 0.5"),
    ],
)
def test_what_is_made_from_a_sample_is_refused_before_anything_is_read(
    tmp_path: Path, sample: dict[str, float], words: str
) -> None:
    settings = Settings(data=tmp_path / "nowhere", store=tmp_path / "store", sample=SampleSettings(**sample))
    with pytest.raises(ConfigError, match=rf"(?s)With sample\.{words} only some.*--sample-users"):
        make_submission(settings)
