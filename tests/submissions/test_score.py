"""The leaderboard at home: the oracle, the share of the way to it, and what is printed where there is none."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from competitions import simulate
from engine import FeatureSettings, FoldSettings, Settings
from submissions import Manifest, RunFacts, Runs, make_submission, score_run
from submissions._ledger import Entry, Lead
from submissions._manifest import FileFacts
from submissions._render_run import all_of
from submissions._render_score import score_lines, share_of_the_way

Facts = Callable[..., RunFacts]


def text_of(lines: Iterable[RenderableType]) -> str:
    screen = Console(file=io.StringIO(), width=160)
    for line in lines:
        screen.print(line)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@dataclass(frozen=True)
class Played:
    settings: Settings
    manifest: Manifest
    entry: Entry


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run on simulated data, scored."""
    root = tmp_path_factory.mktemp("vk")
    simulate("vk2024", root / "data", n_rows=60_000, seed=3)
    settings = Settings(
        competition="vk2024",
        data=root / "data",
        store=root / "store",
        reports=root / "reports",
        runs=root / "runs",
        out=root / "out",
        backend="inline",
        folds=FoldSettings(n_folds=3),
        features=FeatureSettings(include=("relevance_rate__item_id", "n_exposures__item_id")),
        models={
            "popularity": {"kind": "column", "column": "relevance_rate__item_id"},
            "count": {"kind": "column", "column": "n_exposures__item_id"},
        },
        blender="mean_rank",
    )
    manifest = make_submission(settings)
    return Played(settings, manifest, score_run(settings, manifest.run))


def test_the_oracle_is_beyond_every_model(played: Played) -> None:
    assert played.entry.oracle is not None
    assert played.entry.by_name is not None
    assert 0.7 < played.entry.oracle < 0.9
    assert max(played.entry.by_name.values()) < played.entry.oracle


def test_the_oracle_is_the_metric_of_the_true_probabilities(played: Played) -> None:
    truth = pl.read_parquet(played.settings.data / "solution.parquet").select(
        "user_id",
        score=pl.col("p_like") - pl.col("p_dislike"),
        relevance=pl.col("like").cast(pl.Int8) - pl.col("dislike").cast(pl.Int8),
    )
    values = []
    for _, rows in truth.group_by("user_id"):
        pairs = [
            0.5 if a == b else float(a > b)
            for (a, r), (b, s) in itertools.permutations(rows.select("score", "relevance").rows(), 2)
            if r > s
        ]
        values += [sum(pairs) / len(pairs)] if pairs else []
    assert played.entry.oracle == pytest.approx(sum(values) / len(values))


def test_the_table_has_every_model_and_blend_with_its_share(played: Played) -> None:
    text = text_of(score_lines(played.manifest, played.entry))
    table = text.replace("▸", " ").partition("Share of the way =")[0]
    values = played.entry.by_name or {}
    oracle = played.entry.oracle
    lines = {line.split()[0]: line for line in table.splitlines() if line.split()}
    assert lines["popularity"].split()[-1] == "0.0%"
    assert lines["oracle"].split()[-1] == "100.0%"
    for cv in played.manifest.cv:
        share = share_of_the_way(values[cv.name], values["popularity"], oracle)
        assert share is not None
        assert f"{values[cv.name]:.4f}" in lines[cv.name]
        assert lines[cv.name].split()[-1] == f"{share:.1%}"


def test_the_blend_is_compared_with_the_best_single_model(played: Played) -> None:
    lead, values = played.entry.lead, played.entry.by_name or {}
    assert lead is not None
    assert lead.blend == "mean_rank"
    assert lead.model == max(("popularity", "count"), key=values.__getitem__)
    assert lead.mean == pytest.approx(values[lead.blend] - values[lead.model])
    assert lead.low <= lead.mean <= lead.high
    assert f"mean_rank against {lead.model}" in text_of(score_lines(played.manifest, played.entry))


def test_show_prints_the_stored_table(played: Played) -> None:
    runs = Runs.of(played.settings)
    ledger = runs.ledger(played.manifest.run)
    assert ledger.last("local_score") == played.entry
    text = text_of(all_of(played.manifest, ledger, "unchanged"))
    assert "Test window" in text
    assert "share of the way" in text


def test_without_an_oracle_nothing_is_said_of_it(movielens_settings: Settings, tmp_path: Path) -> None:
    settings = movielens_settings.model_copy(update={"runs": tmp_path / "runs", "out": tmp_path / "out"})
    manifest = make_submission(settings)
    entry = score_run(settings, manifest.run)
    assert (entry.oracle, entry.lead) == (None, None)
    text = text_of(score_lines(manifest, entry))
    values = entry.by_name or {}
    assert [line.split()[:2] for line in text.splitlines()] == [
        *([name, f"{value:.4f}"] for name, value in values.items()),
        [manifest.run, f"{entry.value:.4f}"],
        ["cross-validation", f"{manifest.cv_mean:.4f}"],
    ]
    shown = text_of(all_of(manifest, Runs.of(settings).ledger(manifest.run), "unchanged"))
    assert "Test window" not in shown


@pytest.fixture
def manifest(facts: Facts, now: datetime) -> Manifest:
    file = FileFacts(name="f.csv", n_rows=1, n_bytes=1, sha256="0", blake3="0")
    return Manifest(**facts().model_dump(), run="r", created=now, file=file)


def entry_of(**known: object) -> Entry:
    given = {"kind": "local_score", "when": datetime.now(UTC), "value": 0.7, "oracle": 0.8, **known}
    return Entry.model_validate(given)


def test_without_a_popularity_model_there_is_no_share_but_still_a_table(manifest: Manifest) -> None:
    lead = Lead(blend="mean_rank", model="als", mean=-0.01, low=-0.03, high=-0.002, n_users=50)
    text = text_of(score_lines(manifest, entry_of(by_name={"als": 0.7, "mean_rank": 0.69}, lead=lead)))
    assert "the run has no model 'popularity'" in text
    assert "oracle" in text
    assert "0.8000" in text
    assert "%" not in text.replace("95 %", "")
    assert "surely less" in text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.001, 0.03, "surely more"), (-0.001, 0.03, "not clear"), (-0.03, -0.001, "surely less")],
)
def test_the_interval_decides_what_is_said_of_the_blend(
    manifest: Manifest, low: float, high: float, verdict: str
) -> None:
    lead = Lead(blend="mean_rank", model="als", mean=(low + high) / 2, low=low, high=high, n_users=50)
    values = {"popularity": 0.6, "als": 0.7, "mean_rank": 0.71}
    text = text_of(score_lines(manifest, entry_of(by_name=values, lead=lead)))
    assert verdict in text
    assert f"{low / 0.2 * 100:+.2f} to {high / 0.2 * 100:+.2f}" in text


def test_of_a_loss_less_is_more_of_the_way(manifest: Manifest) -> None:
    loss = manifest.model_copy(
        update={"metric": manifest.metric.model_copy(update={"greater_is_better": False})}
    )
    lead = Lead(blend="mean_rank", model="als", mean=-0.02, low=-0.03, high=-0.01, n_users=50)
    values = {"popularity": 0.6, "als": 0.5, "mean_rank": 0.48}
    text = text_of(score_lines(loss, entry_of(value=0.5, oracle=0.4, by_name=values, lead=lead)))
    assert "surely more" in text
    assert "+10.00 % of the way" in text


def test_ledgers_of_earlier_versions_are_still_read() -> None:
    old = '{"kind": "local_score", "when": "2026-11-21T20:00:00Z", "text": null, "value": 0.7, "by_name": {"als": 0.7}}'
    assert Entry.model_validate_json(old).oracle is None


PROBABILITIES = st.tuples(st.floats(0.001, 0.6), st.floats(0.0001, 0.3))


@given(st.lists(PROBABILITIES, min_size=2, max_size=5))
def test_the_oracles_order_is_best_but_for_products_of_a_like_and_a_dislike(
    rows: list[tuple[float, float]],
) -> None:
    """Against every order of up to five rows: expected wins minus losses over pairs of different relevance."""

    def gain(order: Iterable[int]) -> float:
        """Sum over pairs placed i above j of P(r_i > r_j) - P(r_j > r_i); relevance 1, 0 or -1, rows independent."""
        chances = [{1: p, -1: q, 0: 1 - p - q} for p, q in rows]
        return sum(
            chances[i][a] * chances[j][b] * ((a > b) - (b > a))
            for i, j in itertools.combinations(order, 2)
            for a in (1, 0, -1)
            for b in (1, 0, -1)
        )

    every = range(len(rows))
    oracle = sorted(every, key=lambda i: rows[i][0] - rows[i][1], reverse=True)
    products = sum(
        abs(rows[j][0] * rows[i][1] - rows[i][0] * rows[j][1]) for i, j in itertools.combinations(every, 2)
    )
    best = max(gain(order) for order in itertools.permutations(every))
    assert best - gain(oracle) <= 2 * products + 1e-12
