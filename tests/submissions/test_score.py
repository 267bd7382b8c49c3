"""The leaderboard at home: the oracle, the share of the way to it, and what is printed where there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from competitions import Metric, ceiling, open_dataset, simulate
from engine import DataError, Settings
from submissions import Entry, Manifest, Runs, make_submission, score_run
from tests.submissions.conftest import Call, Publish, options
from validation import evaluate, evaluate_by_group


@dataclass(frozen=True)
class Played:
    settings: Settings
    manifest: Manifest
    entry: Entry


@pytest.fixture(scope="module")
def played(settings_of: Callable[[str], Settings]) -> Played:
    """A run on simulated data, scored."""
    settings = settings_of("vk2024")
    simulate("vk2024", settings.data, n_rows=60_000, seed=3)
    manifest = make_submission(settings)
    return Played(settings, manifest, score_run(settings, manifest.run))


def test_the_oracle_is_the_metric_of_the_true_probabilities_and_beyond_every_model(played: Played) -> None:
    truth = pl.read_parquet(played.settings.data / "solution.parquet").select(
        "user_id",
        score=pl.col("p_like") - pl.col("p_dislike"),
        relevance=pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8),
    )
    oracle = evaluate(Metric("user_auc"), truth, group=["user_id"])
    assert played.entry.oracle == pytest.approx(oracle)
    assert played.entry.by_name is not None
    assert max(0.7, *played.entry.by_name.values()) < oracle < 0.9


def test_show_prints_the_stored_table_with_the_share_of_every_model_and_blend(
    played: Played, call: Call
) -> None:
    assert Runs.of(played.settings).ledger(played.manifest.run).last("local_score") == played.entry
    shown = call(*options(played.settings), "show", "latest")
    table = shown.partition("Test window")[2].partition("Share of the way =")[0].replace("▸", " ")
    lines = {line.split()[0]: line for line in table.splitlines() if line.split()}
    assert lines["popularity"].split()[-1] == "0.0%"
    assert lines["oracle"].split()[-1] == "100.0%"
    values, oracle = played.entry.by_name or {}, played.entry.oracle
    assert oracle is not None
    for cv in played.manifest.cv:
        share = (values[cv.name] - values["popularity"]) / (oracle - values["popularity"])
        assert f"{values[cv.name]:.4f}" in lines[cv.name]
        assert lines[cv.name].split()[-1] == f"{share:.1%}"


def test_the_way_to_the_statistician_is_shown_once_its_scores_lie_beside_the_data(
    played: Played, call: Call, request: pytest.FixtureRequest
) -> None:
    assert played.entry.statistician is None
    before = open_dataset(played.settings).fingerprint
    found = ceiling("vk2024", n_rows=60_000, seed=3, folder=played.settings.data)
    request.addfinalizer((played.settings.data / "statistician.parquet").unlink)
    assert open_dataset(played.settings).fingerprint == before
    text = call(*options(played.settings), "score", "latest")
    entry = Runs.of(played.settings).ledger(played.manifest.run).last("local_score")
    assert entry is not None
    assert entry.oracle == played.entry.oracle == pytest.approx(found.oracle)
    assert entry.statistician == pytest.approx(found.statistician)
    values = entry.by_name or {}
    assert values["popularity"] == pytest.approx(found.popularity, abs=1e-4)
    table = text.partition("Share of the way =")[0].replace("▸", " ")
    lines = {line.split()[0]: line.split()[-2:] for line in table.splitlines() if line.split()}
    assert lines["statistician"][0] == "100.0%"
    for name, value in values.items():
        ways = (bound - values["popularity"] for bound in (found.statistician, found.oracle))
        assert lines[name] == [f"{(value - values['popularity']) / way:.1%}" for way in ways]


def test_scores_of_other_pairs_are_no_statistician(
    played: Played, call: Call, request: pytest.FixtureRequest
) -> None:
    path = played.settings.data / "statistician.parquet"
    request.addfinalizer(path.unlink)
    ids = pl.Series([1], dtype=pl.UInt32)
    pl.DataFrame({"user_id": ids, "item_id": ids, "score": [0.5]}).write_parquet(path)
    with pytest.raises(DataError, match="lacks test pairs"):
        score_run(played.settings, played.manifest.run)


@pytest.mark.parametrize("damage", ["cut", "other columns", "twice"])
def test_scores_beside_the_data_that_cannot_be_read_are_named(
    damage: str, played: Played, request: pytest.FixtureRequest
) -> None:
    path = played.settings.data / "order_blind.parquet"
    request.addfinalizer(path.unlink)
    pairs = pl.read_csv(played.settings.data / "test_pairs.csv").cast(pl.UInt32).with_columns(score=0.5)
    table = {"cut": pairs, "other columns": pairs.drop("score"), "twice": pl.concat([pairs, pairs])}[damage]
    table.write_parquet(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        DataError, match=r"order_blind\.parquet cannot be read: .*\n.*user_id, item_id and score"
    ):
        score_run(played.settings, played.manifest.run)


def test_the_blend_is_compared_with_the_best_single_model(played: Played, call: Call) -> None:
    lead, values = played.entry.lead, played.entry.by_name or {}
    assert lead is not None
    assert lead.blend == "mean_rank"
    assert lead.model == max(("popularity", "count"), key=values.__getitem__)
    assert lead.mean == pytest.approx(values[lead.blend] - values[lead.model])
    assert lead.low <= lead.mean <= lead.high
    assert f"mean_rank against {lead.model}" in call(*options(played.settings), "score", "latest")


def test_intervals_say_how_sure_the_score_is(played: Played, call: Call) -> None:
    """Each holds its value; that of the test is the score, and the differences are those of the values."""
    entry, manifest = played.entry, played.manifest
    found = {one.name: one for one in entry.intervals}
    values = entry.by_name or {}
    best = max(
        (cv for cv in manifest.cv if cv.kind == "model" and cv.name != "popularity"),
        key=lambda cv: cv.mean or 0,
    ).name
    assert entry.value is not None
    assert manifest.cv_mean is not None
    expected = {
        "test": entry.value,
        "test - CV": entry.value - manifest.cv_mean,
        "chosen - popularity": entry.value - values["popularity"],
        f"chosen - {best}": entry.value - values[best],
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {name: value for name, value in expected.items() if name != f"chosen - {manifest.chosen}"}
    )
    for one in entry.intervals:
        assert one.low < one.value < one.high
    # As wide as the spread of users' AUC says: a standard error of it on either side, twice.
    test = found["test"]
    pairs = played.settings.data / "solution.parquet"
    assert 0.5 < (test.high - test.low) / (2 * 1.96 * _standard_error(pairs)) < 2
    text = call(*options(played.settings), "score", "latest")
    assert f"95 % from {test.low:.4f} to {test.high:.4f}" in " ".join(text.split())
    again = score_run(played.settings, manifest.run)
    assert again.intervals == entry.intervals


def _standard_error(solution: Path) -> float:
    """Of the mean of users' AUC of the oracle, which is about as spread as that of a model."""
    truth = pl.read_parquet(solution).select(
        "user_id",
        score=pl.col("p_like") - pl.col("p_dislike"),
        relevance=pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8),
    )
    values = evaluate_by_group(Metric("user_auc"), truth, group=["user_id"])["value"].drop_nulls().to_numpy()
    return float(values.std() / len(values) ** 0.5)


def test_without_an_oracle_nothing_is_said_of_it(
    movielens_settings: Settings, runs: Runs, call: Call
) -> None:
    settings = movielens_settings.model_copy(update={"runs": runs.root, "out": runs.out})
    manifest = make_submission(settings)
    text = call(*options(settings), "score", "latest")
    entry = runs.ledger(manifest.run).last("local_score")
    assert entry is not None
    assert (entry.oracle, entry.lead) == (None, None)
    assert [line.split()[:2] for line in text.splitlines()] == [
        *([name, f"{value:.4f}"] for name, value in (entry.by_name or {}).items()),
        [manifest.run, f"{entry.value:.4f}"],
        ["cross-validation", f"{manifest.cv_mean:.4f}"],
        *(
            one.name.split()[:2] if " " in one.name else [one.name, f"{one.value:.4f}"]
            for one in entry.intervals
        ),
    ]
    assert "Test window" not in call(*options(settings), "show", "latest")


@pytest.fixture
def shown(runs: Runs, publish: Publish, call: Call) -> Callable[..., str]:
    """What ``show`` prints of a run with a local score, where the blend was found to lead by this interval."""

    def show(low: float, high: float, *, greater_is_better: bool = True, **known: object) -> str:
        metric = {"name": "user_auc", "policy": {}, "greater_is_better": greater_is_better}
        lead = {"blend": "mean_rank", "model": "als", "mean": (low + high) / 2, "low": low, "high": high}
        entry = {"kind": "local_score", "when": datetime.now(UTC), "value": 0.7, "oracle": 0.8, **known}
        run = publish(metric=metric).run
        runs.add(run, Entry.model_validate({**entry, "lead": {**lead, "n_users": 50}}))
        return call("show", run).partition("Test window")[2].partition("Ledger")[0]

    return show


def test_without_a_popularity_model_there_is_no_share_but_still_a_table(shown: Callable[..., str]) -> None:
    text = shown(-0.03, -0.002, by_name={"als": 0.7, "mean_rank": 0.69})
    for words in ("the run has no model 'popularity'", "oracle", "0.8000", "surely less"):
        assert words in text
    assert "%" not in text.replace("95 %", "")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.001, 0.03, "surely more"), (-0.001, 0.03, "not clear"), (-0.03, -0.001, "surely less")],
)
def test_the_interval_decides_what_is_said_of_the_blend(
    shown: Callable[..., str], low: float, high: float, verdict: str
) -> None:
    text = shown(low, high, by_name={"popularity": 0.6, "als": 0.7, "mean_rank": 0.71})
    assert verdict in text
    assert f"{low / 0.2 * 100:+.2f} to {high / 0.2 * 100:+.2f}" in text


def test_of_a_loss_less_is_more_of_the_way(shown: Callable[..., str]) -> None:
    values = {"popularity": 0.6, "als": 0.5, "mean_rank": 0.48}
    text = shown(-0.03, -0.01, greater_is_better=False, value=0.5, oracle=0.4, by_name=values)
    assert "surely more" in text
    assert "+10.00 % of the way" in text


def test_ledgers_of_earlier_versions_are_still_read() -> None:
    old = '{"kind": "local_score", "when": "2026-11-21T20:00:00Z", "text": null, "value": 0.7, "by_name": {"als": 0.7}}'
    assert Entry.model_validate_json(old).oracle is None
