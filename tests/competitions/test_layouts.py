"""Files of foreign layouts: reproducible, of the sizes that are asked for, with the signal that they promise."""

from __future__ import annotations

import hashlib
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from competitions import Metric, ceiling, simulate
from competitions.__main__ import app
from competitions.simulator import LAYOUTS, Simulated
from engine import ConfigError
from validation import evaluate

N_ROWS = 20_000


def read(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    if path.suffix == ".jsonl":
        return pl.read_ndjson(path)
    return pl.read_csv(path, separator="\t" if path.suffix == ".tsv" else ",")


def tables(made: Simulated) -> list[pl.DataFrame]:
    return [read(made.folder / name) for name in made.files]


@pytest.mark.parametrize("name", LAYOUTS)
def test_files_repeat_by_rows_and_seed(name: str, tmp_path: Path) -> None:
    made = [
        simulate(name, tmp_path / str(number), n_rows=N_ROWS, seed=seed)
        for number, seed in enumerate((7, 7, 8))
    ]
    first, again, other = (
        [hashlib.sha256((of.folder / file).read_bytes()).digest() for file in of.files] for of in made
    )
    assert first == again
    assert not set(first) & set(other)
    assert sorted(path.name for path in made[0].folder.iterdir()) == sorted(made[0].files)
    log = read(made[0].folder / made[0].files[0])
    assert log.height == made[0].sizes.rows == N_ROWS
    assert "literal" not in log.columns


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_lists_have_an_order_that_is_half_of_the_truth(seed: int, tmp_path: Path) -> None:
    """The order alone: MRR 0.47 +- 0.02; the true probabilities: 0.64 to 0.72. No model of the order does better."""
    made = simulate("lists", tmp_path / "files", n_rows=100_000, seed=seed)
    log, hotels, test, solution = tables(made)
    assert test.select("session", "hotel").equals(solution.select("session", "hotel"))
    assert not set(log["session"]) & set(test["session"])
    assert log["shown_at"].max() <= test["shown_at"].min()  # type: ignore[operator]
    clicks = log.group_by("session").agg(pl.col("clicked").sum(), pl.col("hotel").n_unique())
    assert clicks["clicked"].unique().to_list() == [1]
    assert clicks["hotel"].unique().to_list() == [10]
    shown = test.with_columns(solution.select("clicked", "score"))
    cities = shown.join(hotels, on="hotel", validate="m:1").group_by("session").agg(pl.col("city").n_unique())
    assert cities["city"].unique().to_list() == [1]
    found = {"order": mrr(shown, -pl.col("position")), "truth": mrr(shown, pl.col("score"))}
    assert found["order"] == pytest.approx(0.47, abs=0.02)
    assert 0.64 < found["truth"] < 0.72
    by_position = log.group_by("position").agg(pl.col("clicked").mean()).sort("position")["clicked"]
    assert by_position.is_sorted(descending=True)
    assert shown["score"].sum() == pytest.approx(test.height / 10)


def mrr(rows: pl.DataFrame, score: pl.Expr) -> float:
    scored = rows.with_columns(score=score.cast(pl.Float64), relevance="clicked")
    return evaluate(Metric("mrr_at_k", {"k": 10}), scored, group=["session"])


def test_clicks_follow_tastes(tmp_path: Path) -> None:
    """The oracle orders a viewer's documents better than their popularity does, and hates are no likes."""
    log, documents, pairs, solution = tables(simulate("clicks", tmp_path / "f", n_rows=100_000, seed=3))
    assert log["time"].is_sorted()
    assert log["time"].max() < pairs["time"].min()  # type: ignore[operator]
    assert not pairs.select("viewer", "document").is_duplicated().any()
    assert pairs.select("viewer", "document").equals(solution.select("viewer", "document"))
    assert log.filter((pl.col("like") == 1) & ((pl.col("hate") == 1) | (pl.col("click") == 0))).is_empty()
    assert documents["topic"].n_unique() == 8
    of_topic = (
        log.join(documents, on="document", validate="m:1")
        .group_by("document")
        .agg(popularity=(pl.col("click") + pl.col("like") - 2 * pl.col("hate")).mean())
    )
    known = solution.join(of_topic, on="document", how="left", validate="m:1").fill_null(0.0)
    target = known["click"] + known["like"] - 2 * known["hate"]
    corr = {
        name: pl.select(pl.corr(known[name], target, method="spearman")).item()
        for name in ("score", "popularity")
    }
    assert corr["score"] > corr["popularity"] + 0.1 > 0.2


def test_ratings_follow_genres(tmp_path: Path) -> None:
    """Readers like books that share a genre with those that they liked before; nobody rates a book twice."""
    log, books = tables(simulate("ratings", tmp_path / "f", n_rows=50_000, seed=3))
    assert log["rated_ms"].is_sorted()
    assert set(log["stars"]) == {1, 2, 3, 4, 5}
    assert not log.select("reader", "book").is_duplicated().any()
    assert books["genres"].dtype == pl.List(pl.String)
    assert books["genres"].list.n_unique().equals(books["genres"].list.len())
    assert set(books["genres"].list.len()) == {1, 2, 3}
    assert set(log["book"]) <= set(books["book"])
    main = log.join(books.select("book", genre=pl.col("genres").list.first()), on="book", validate="m:1")
    own = main.with_columns(
        others=(pl.col("stars").sum().over("reader", "genre") - pl.col("stars"))
        / (pl.len().over("reader", "genre") - 1)
    ).filter(pl.col("others").is_finite())
    assert own.select(pl.corr("stars", "others")).item() > 0.4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_parts": 2}, "no parts"),
        ({"world": "topics"}, "one world"),
        ({"effects": ["mood"]}, "one world"),
        ({"n_rows": 100}, "too small"),
    ],
)
def test_what_only_vk2024_has_is_refused(arguments: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate("lists", tmp_path / "new", **{"n_rows": N_ROWS, "seed": 1, **arguments})  # type: ignore[arg-type]
    assert not (tmp_path / "new").exists()


def test_nobody_has_worked_out_a_ceiling() -> None:
    with pytest.raises(ConfigError, match="ceiling of clicks"):
        ceiling("clicks", n_rows=N_ROWS, seed=1)


def test_the_command_says_what_comes_next(tmp_path: Path) -> None:
    folder = str(tmp_path / "some files")
    result = CliRunner().invoke(app, ["simulate", "clicks", "--rows", "10000", "--out", folder])
    assert result.exit_code == 0, result.output
    assert f"-m competitions new my_clicks --data '{folder}'" in result.stdout
