"""Entities: what is planted, encoders, gradients, outcomes, states, rows in files, names of ids, and bad logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from engine import TableError, capped_threads
from features import FeatureError, LogColumns, StreamContext
from features.doc2vec import DIM
from features.entities import BATCH, DENSE, DRAWN, PAIRS, REACTION, WORDS, Chunk, Entities
from features.toolkit import hashed_words
from tests.features.fitting import assert_alone_as_in_bulk, values_of
from tests.features.planted_tastes import feed, recovers

KEYS = ("user_id", "item_id", "source_id")
LOG_COLUMNS = LogColumns(
    *KEYS, ("timespent",), ("share", "bookmarks"), "timespent", "duration", ("camp",), ("content",)
)
WITH_TEXTS = replace(LOG_COLUMNS, of_item=("title",), shown_texts=("title",))
PLANTED = feed(8000)
CONTENT = np.random.default_rng(4).normal(size=(12, 3)).astype(np.float32)  # of each source, and of its camp
CONTENT[:, 0] += np.where(np.arange(12) % 2 == 0, 2, -2)
EDGES = (0, 2000, 2001, 5000, 8000)
GIB_OF_FILES = 3 * (BATCH + DRAWN) * 4 * (DIM + 1) / 2**30


def described(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with an attribute of users, and with content vectors and titles of items: those of their source."""
    content = CONTENT[rows["source_id"].to_numpy() % 12]
    return rows.with_columns(
        pl.Series("content", content, dtype=pl.Array(pl.Float32, 3)),
        title=pl.when(pl.col("source_id") % 2 == 0)
        .then(pl.format("Calm {} of lakes, lakes", "item_id"))
        .otherwise(pl.format("A loud {}", "source_id")),
        camp=pl.when(pl.col("user_id") % 2 == 0).then(pl.lit("even")).otherwise(pl.lit("odd")),
    )


LOG, ALL_PAIRS = described(PLANTED.log), described(PLANTED.pairs())


def started(folder: Path, log: LogColumns = LOG_COLUMNS, **options: Any) -> Any:
    folder.mkdir(exist_ok=True, parents=True)
    model: Any = Entities(log, **options)
    model.start(StreamContext(1, folder))
    return model


def learned(model: Any, log: pl.DataFrame = LOG, edges: Sequence[int] = EDGES) -> Any:
    for begin, end in pairwise(edges):
        model.learn(log[begin:end])
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return learned(started(tmp_path_factory.mktemp("model")))


def test_it_recovers_planted_tastes_and_scores_are_products(model: Any) -> None:
    values = values_of(model, ALL_PAIRS)
    assert all(values[name].null_count() == 0 for name in values.columns)
    user, item, source = (values[f"entities_{of}_vector"].to_numpy() for of in ("user", "item", "source"))
    for name, other in (("entities_score", item), ("entities_source_score", source)):
        assert recovers(values, name, PLANTED) > 0.97
        np.testing.assert_allclose(values[name].to_numpy(), (user * other).sum(axis=1), rtol=1e-4, atol=1e-5)
    assert_alone_as_in_bulk(model, ALL_PAIRS, 311)


def test_new_items_lean_on_source_and_content_and_new_users_on_attributes(model: Any) -> None:
    """An unseen item of a known source is liked by the source's camp, one of an unknown source by its content's."""
    unseen = described(PLANTED.pairs().with_columns(item_id=pl.col("item_id") + 5000))
    contentless = unseen.with_columns(content=pl.lit(None, LOG.schema["content"]))
    of_source = recovers(values_of(model, contentless), "entities_score", PLANTED)
    of_content = unseen.with_columns(source_id=pl.col("source_id") + 1200)
    of_content = values_of(model, of_content)
    strangers = values_of(model, ALL_PAIRS.with_columns(user_id=pl.col("user_id") + 5000))
    assert of_source > 0.97
    assert recovers(of_content, "entities_score", PLANTED) > 0.8
    assert not of_content["entities_source_vector"].to_numpy().any()
    assert recovers(strangers, "entities_score", PLANTED) > 0.9


def test_a_new_item_of_a_new_source_is_liked_by_those_who_like_its_words(tmp_path: Path) -> None:
    one = learned(started(tmp_path, WITH_TEXTS))
    unseen = ALL_PAIRS.with_columns(item_id=pl.col("item_id") + 5000, source_id=pl.col("source_id") + 1200)
    assert recovers(values_of(one, unseen), "entities_score", PLANTED) > 0.9
    assert_alone_as_in_bulk(one, unseen, 311)
    others = unseen.with_columns(title=pl.lit("Никогда не встречалось"))
    without = unseen.with_columns(title=pl.lit(None, pl.String))
    assert values_of(one, others).equals(values_of(one, without))  # words that were never met say nothing
    (state := tmp_path / "state").mkdir()
    one.save(state)
    again = started(tmp_path / "again", WITH_TEXTS)
    again.load(state)
    assert values_of(again, unseen).equals(values_of(one, unseen))


def test_items_of_a_source_are_near_only_if_that_pair_is_learned(tmp_path: Path) -> None:
    """Without sources in the encoder's content, what a pair of kinds adds shows."""
    plain = replace(LOG_COLUMNS, of_user=(), of_item=())
    shares = []
    for name, pairs in (("both", (*PAIRS[:1], ("item", "source", 1.0))), ("apart", PAIRS[:1])):
        one = learned(started(tmp_path / name, plain, pairs=pairs))
        items = values_of(one, PLANTED.pairs()[:40])["entities_item_vector"].to_numpy()
        unit = items / np.linalg.norm(items, axis=1, keepdims=True)
        near = np.argsort(-(unit @ unit.T - 2 * np.eye(40)), axis=1)[:, :2]
        shares.append(float((near % 12 == np.arange(40)[:, None] % 12).mean()))
    assert shares[0] > 0.9
    assert shares[0] > shares[1] + 0.1


@pytest.mark.parametrize("log", [LOG_COLUMNS, WITH_TEXTS])
def test_gradients_are_those_of_the_losses(log: LogColumns, tmp_path: Path) -> None:
    """Of losses that are written out, over encoders that are written out, some rows without a source."""
    rows = LOG[:40].with_columns(
        source_id=pl.when(pl.col("row") % 5 > 0).then("source_id"),
        weight=pl.Series(np.linspace(0.3, 2, 40, dtype=np.float32)),
    )
    one = started(tmp_path, log)
    one._make_designs(rows)
    chunk = Chunk.of(one, rows)
    at, n = np.array([*range(12), 30, 31, 3]), 12
    read = dict(zip(one.tables, chunk.rows(at, n), strict=True))
    rng = np.random.default_rng(2)
    vectors = {
        name: torch.from_numpy(rng.normal(size=(len(r), DIM)).astype(np.float32) / 3).requires_grad_()
        for name, r in read.items()
    }
    has = np.flatnonzero(chunk.at["source"][at] >= 0)
    source = torch.zeros(len(at), DIM).index_copy(0, torch.from_numpy(has), vectors["source"])
    wide = {of: torch.from_numpy(one.described(of, rows[at])) for of in ("user", "item")}
    x = {
        "user": vectors["user"] + (wide["user"] @ vectors["attributes of user"])[:n],
        "item": vectors["item"] + source + wide["item"] @ vectors["attributes of item"],
        "source": source,
    }
    if log is WITH_TEXTS:
        titles, met = hashed_words(rows[at].select("title"), WORDS, as_mean=True), 0
        for k, title in enumerate(titles):
            of_words = vectors["words of item"][met : (met := met + title.nnz)]
            x["item"][k] += torch.from_numpy(title.data.astype(np.float32)) @ of_words
    loss = torch.zeros(())
    for a, b, weight in PAIRS:
        left = [k for k in range(n) if b == "item" or k in has]
        right = list(range(len(at))) if b == "item" else left
        places = chunk.at[b][at]
        expected = chunk.sampling[b].log_expected(places, len(left), len(right) - len(left))
        for k in left:
            own = x[a][k] @ x[b][k]
            others = [x[a][k] @ x[b][j] - float(expected[j]) for j in right if places[j] != places[k]]
            p = own - torch.logsumexp(torch.stack([own, *others]), dim=0)
            loss = loss - weight * float(chunk.weight[at[k]]) * p
    expected_of = dict(zip(vectors, torch.autograd.grad(loss, list(vectors.values())), strict=True))
    with torch.no_grad():
        found = chunk.gradients(vectors, at, n, PAIRS)
    torch.testing.assert_close(found, expected_of, rtol=1e-3, atol=1e-4)


def test_outcomes_count_by_their_weights(tmp_path: Path) -> None:
    """Positive relevance 1; reactions only where they say something good; the upper third by what is dense."""
    one = started(tmp_path)
    rows = pl.DataFrame(
        {
            "relevance": [1, 0, -1, 0, None, 0],
            "share": [True, False, False, None, False, False],  # more relevant than others
            "bookmarks": [False, True, True, False, True, False],  # less relevant
            "timespent": [1, 2, 90, 1, 1, 95],
            "duration": [20] * 6,
        },
        schema_overrides={"relevance": pl.Int8},
    )
    expected = [1 + REACTION, 0, 0, 0, 0, DENSE]
    np.testing.assert_allclose(one._weights(rows), expected, rtol=1e-6)


@pytest.mark.parametrize(("n_threads", "memory_gib"), [(2, 1.0), (1, GIB_OF_FILES)])
def test_states_threads_and_files_change_no_bit(
    model: Any, tmp_path: Path, n_threads: int, memory_gib: float
) -> None:
    """Saved and loaded after every chunk, a branch that is looked at and thrown away, rows in files."""
    other = started(tmp_path / "0", memory_gib=memory_gib)
    with capped_threads(n_threads):
        for number, (begin, end) in enumerate(pairwise(EDGES)):
            other.learn(LOG[begin:end])
            (state := tmp_path / f"state {number}").mkdir()
            other.save(state)
            branch, other = (
                started(tmp_path / f"{number} {of}", memory_gib=memory_gib) for of in ("branch", "next")
            )
            branch.load(state)
            branch.learn(LOG[:777])
            other.load(state)
    assert other.relevant == model.relevant
    assert values_of(other, ALL_PAIRS).equals(values_of(model, ALL_PAIRS))


def test_what_ids_are_called_changes_nothing(model: Any, tmp_path: Path) -> None:
    def renamed(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(
            pl.format("{}-{}", pl.lit(n), 7919 * pl.col(n).cast(pl.Int64) % 10007).alias(n) for n in KEYS
        )

    assert values_of(learned(started(tmp_path), renamed(LOG)), renamed(ALL_PAIRS)).equals(
        values_of(model, ALL_PAIRS)
    )


def bad_logs() -> dict[str, pl.DataFrame]:
    """Null keys and outcomes, one class, one row, content that is not finite or null, attributes that are null."""
    nan = pl.Series("content", [[np.nan, 1.0, np.inf]] * LOG.height, dtype=pl.Array(pl.Float32, 3))
    some = pl.col("row") % 7
    return {
        "alone": LOG[:1],
        "one class": LOG.with_columns(relevance=pl.lit(1, pl.Int8)),
        "sourceless": LOG.with_columns(source_id=pl.lit(None, pl.UInt32)),
        "nan content": LOG.with_columns(nan),
        "some nan content": LOG.with_columns(
            pl.when(some == 0).then(nan).otherwise("content").alias("content")
        ),
        "null attributes": LOG.with_columns(
            camp=pl.lit(None, pl.String), content=pl.lit(None, LOG.schema["content"])
        ),
        "wordless": LOG.with_columns(title=pl.when(some > 2).then(pl.lit(" - "))),
        "nulls": LOG.with_columns(
            pl.when(some != k).then(n).alias(n)
            for k, n in enumerate([*KEYS, "relevance", "share", "timespent", "duration"])
        ),
    }


@pytest.mark.parametrize("name", bad_logs())
def test_bad_logs_give_finite_values(name: str, tmp_path: Path) -> None:
    described_by_all = replace(WITH_TEXTS, of_item=("content", "title"))
    one = learned(started(tmp_path, described_by_all), bad_logs()[name], (0, 0, *EDGES[1:]))
    for column, values in one.transform(ALL_PAIRS).items():
        assert np.isfinite(values).all(), column


def test_chunks_of_nothing_change_nothing_and_a_log_may_have_no_source(model: Any, tmp_path: Path) -> None:
    nothing = [LOG.clear(), LOG.with_columns(relevance=pl.lit(-1, pl.Int8))]
    nothing += [LOG.with_columns(pl.lit(None, pl.UInt32).alias(key)) for key in KEYS[:2]]
    other = started(tmp_path / "own")
    for chunk in nothing:
        other.learn(chunk)
    assert not any(np.any(values) for values in other.transform(ALL_PAIRS).values())
    one = learned(started(tmp_path / "none", replace(LOG_COLUMNS, source=None)), LOG.drop("source_id"))
    values = values_of(one, ALL_PAIRS)
    assert recovers(values, "entities_score", PLANTED) > 0.9
    assert not values["entities_source_vector"].to_numpy().any()


def test_a_loss_that_is_not_finite_names_table_chunk_and_way_out(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"Table '.*not finite.*rows 0 to 8,000 of the log") as error:
        started(tmp_path, rate=1e30).learn(LOG)
    assert "lower rate" in str(error.value)


def test_the_state_of_another_version_is_refused(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path)
    manifest = json.loads((tmp_path / "tables.json").read_text())
    manifest["notes"]["dim"] = DIM + 1
    (tmp_path / "tables.json").write_text(json.dumps(manifest))
    with pytest.raises(FeatureError, match=r"another version's.*33"):
        started(tmp_path / "new").load(tmp_path)
