"""doc2vec: planted communities, gradients, the correction of the sampling, states, rows in files, and bad logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from engine import TableError, capped_threads
from features import FeatureError, StreamContext
from features.doc2vec import BATCH, DIM, DRAWN, Doc2Vec, Sampling, corrected, gradients
from tests.features.fitting import assert_alone_as_in_bulk, values_of

N_USERS, N_ITEMS, N_GROUPS = 120, 80, 4
IDS = ("user_id", "item_id")
SCHEMA = {**dict.fromkeys(IDS, pl.UInt32), "relevance": pl.Int8}
EDGES, WIDE = (0, 1500, 1501, 4000, 6000), (0, 1200, 3000, 5000)
GIB_OF_FILES = (BATCH + DRAWN) * 4 * (DIM + 1) / 2**30  # rows of a batch in memory, and no more


def planted(n_rows: int = 6000, n_users: int = N_USERS, n_items: int = N_ITEMS) -> pl.DataFrame:
    """Users are shown anything, and mostly like what is of their group: ids that leave the same rest by its number."""
    rng = np.random.default_rng(1)
    user, item = rng.integers(0, n_users, n_rows), (n_items * rng.random(n_rows) ** 2).astype(int)
    is_liked = rng.random(n_rows) < np.where(user % N_GROUPS == item % N_GROUPS, 0.9, 0.05)
    columns = {"user_id": user, "item_id": item, "relevance": np.where(is_liked, 1, -1)}
    return pl.DataFrame(columns, schema=SCHEMA)


def crossed(users: Sequence[int], items: Sequence[int]) -> pl.DataFrame:
    """Every user with every item."""
    sides = (
        pl.DataFrame({name: ids}, schema={name: pl.UInt32})
        for name, ids in zip(IDS, (users, items), strict=True)
    )
    return next(sides).join(next(sides), how="cross").with_row_index("pair_id")


LOG = planted()
PAIRS = crossed([*range(N_USERS), 999], [*range(N_ITEMS), 9999])


def started(folder: Path, **options: Any) -> Any:
    folder.mkdir(exist_ok=True)
    model: Any = Doc2Vec(**options)
    model.start(StreamContext(1, folder))
    return model


def learned(model: Any, log: pl.DataFrame = LOG, edges: Sequence[int] = EDGES) -> Any:
    for begin, end in pairwise(edges):
        model.learn(log[begin:end])
    return model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return learned(started(tmp_path_factory.mktemp("model")))


def test_users_are_nearer_to_what_is_of_their_community(model: Any) -> None:
    """Beyond what everybody likes: a score says how popular an item is, too."""
    known = PAIRS.join(values_of(model, PAIRS), on="pair_id").drop_nulls("doc2vec_score")
    score = known["doc2vec_score"].to_numpy().reshape(N_USERS, N_ITEMS)
    rest = score - score.mean(axis=0) - score.mean(axis=1)[:, None]
    is_own = np.arange(N_USERS)[:, None] % N_GROUPS == np.arange(N_ITEMS) % N_GROUPS
    assert (rest[is_own][:, None] > rest[~is_own]).mean() > 0.9


def test_scores_are_products_of_the_vectors_and_null_for_the_unseen(model: Any) -> None:
    values = values_of(model, PAIRS)
    unseen_user, unseen_item = PAIRS["user_id"] == 999, PAIRS["item_id"] == 9999
    assert (values["doc2vec_score"].is_null() == (unseen_user | unseen_item)).all()
    assert (values["doc2vec_user_vector"].is_null() == unseen_user).all()
    assert (values["doc2vec_item_vector"].is_null() == unseen_item).all()
    known = values.drop_nulls()
    user, item = (known[f"doc2vec_{of}_vector"].to_numpy() for of in ("user", "item"))
    assert user.shape == (N_USERS * N_ITEMS, DIM)
    np.testing.assert_allclose(
        known["doc2vec_score"].to_numpy(), (user * item).sum(axis=1), rtol=1e-4, atol=1e-5
    )
    assert_alone_as_in_bulk(model, PAIRS, 997)


@pytest.mark.parametrize("dtype", [pl.UInt32, pl.String])
def test_renaming_ids_changes_nothing(model: Any, tmp_path: Path, dtype: type[pl.DataType]) -> None:
    def renamed(table: pl.DataFrame) -> pl.DataFrame:
        return table.with_columns(
            ((pl.col("user_id") * 7919 + 5) % 100_003).cast(dtype), (200_000 - pl.col("item_id")).cast(dtype)
        )

    other = learned(started(tmp_path), renamed(LOG))
    assert values_of(other, renamed(PAIRS)).equals(values_of(model, PAIRS))


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """A log whose batches read few of its users and items, pairs, and what is said of them."""
    log, pairs = planted(5000, 1500, 1200), crossed(range(0, 1500, 30), range(0, 1200, 30))
    model = learned(started(tmp_path_factory.mktemp("wide")), log, WIDE)
    return log, pairs, values_of(model, pairs)


@pytest.mark.parametrize(("n_threads", "memory_gib"), [(2, 1.0), (1, GIB_OF_FILES)])
def test_threads_and_memory_change_no_bit(
    wide: Any, tmp_path: Path, n_threads: int, memory_gib: float
) -> None:
    log, pairs, expected = wide
    with capped_threads(n_threads):
        model = learned(started(tmp_path, memory_gib=memory_gib), log, WIDE)
    assert bool([*tmp_path.rglob("*")]) == (memory_gib < 1)
    assert values_of(model, pairs).equals(expected)


@pytest.mark.parametrize("memory_gib", [1.0, GIB_OF_FILES])
def test_states_go_on_with_the_same_bits_and_a_branch_changes_none(
    wide: Any, tmp_path: Path, memory_gib: float
) -> None:
    log, pairs, expected = wide
    model = started(tmp_path / "0", memory_gib=memory_gib)
    for number, (begin, end) in enumerate(pairwise(WIDE)):
        model.learn(log[begin:end])
        state = tmp_path / f"state {number}"
        state.mkdir()
        model.save(state)
        branch, model = (
            started(tmp_path / f"{number} {of}", memory_gib=memory_gib) for of in ("branch", "next")
        )
        branch.load(state)
        branch.learn(log[:777])
        model.load(state)
    assert values_of(model, pairs).equals(expected)


def test_the_state_of_another_version_is_refused(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path)
    manifest = json.loads((tmp_path / "tables.json").read_text())
    manifest["notes"]["dim"] = DIM + 1
    (tmp_path / "tables.json").write_text(json.dumps(manifest))
    with pytest.raises(FeatureError, match=r"another version's.*33"):
        started(tmp_path / "new").load(tmp_path)


def batch_of(n_likes: int, n_drawn: int, n_items: int) -> tuple[Any, ...]:
    """Vectors of users and items of a batch, its items' rows, and how often each is expected."""
    rng = np.random.default_rng(3)
    of_items = torch.from_numpy(rng.normal(size=(n_items, 5)).astype(np.float32))
    users = torch.from_numpy(rng.normal(size=(n_likes, 5)).astype(np.float32))
    places = rng.integers(0, n_items, n_likes + n_drawn)
    sampling = Sampling.of(np.arange(n_items), 5 * np.arange(n_items) + 2)
    return users, of_items, places, sampling


def test_gradients_are_those_of_the_loss() -> None:
    """Of a loss that is written out, some items coming more than once."""
    users, of_items, places, _ = batch_of(7, 4, 6)
    items, log_expected = of_items[places], np.linspace(-1, 2, 11, dtype=np.float32)
    of_user, of_item = users.clone().requires_grad_(), items.clone().requires_grad_()
    loss = torch.zeros(())
    for n in range(7):
        own = of_user[n] @ of_item[n]
        others = [
            of_user[n] @ of_item[j] - float(log_expected[j]) for j in range(11) if places[j] != places[n]
        ]
        loss = loss - own + torch.logsumexp(torch.stack([own, *others]), dim=0)
    expected = torch.autograd.grad(loss, (of_user, of_item))
    torch.testing.assert_close(gradients(users, items, places, log_expected), expected)


def test_the_sampled_sum_is_that_over_all_items_on_average() -> None:
    """Over every batch of two likes and two drawn items that can come, each by its probability."""
    n_items, own = 4, 2
    users, of_items, _, sampling = batch_of(2, 2, n_items)
    average = 0.0
    for other, *drawn in product(range(n_items), repeat=3):
        places = np.array([own, other, *drawn])
        chance = sampling.in_batch[other] * sampling.by_draw[drawn].prod()
        if chance:
            logits = corrected(users, of_items[places], places, sampling.log_expected(places, 2, 2))
            average += chance * float(logits[0].exp().sum())
    assert average == pytest.approx(float((of_items @ users[0]).exp().sum()), rel=1e-5)


def test_items_are_drawn_by_their_counts() -> None:
    counts = np.array([1, 16, 81, 0])
    drawn = Sampling.of(counts, counts).drawn(72_000, np.random.default_rng(1))
    expected = np.array([1, 8, 27, 0]) * 2000
    assert (abs(np.bincount(drawn, minlength=4) - expected) <= 5 * np.sqrt(expected)).all()


def test_chunks_without_a_like_change_nothing_and_null_ids_are_left_out(model: Any, tmp_path: Path) -> None:
    nothing = [
        LOG.clear(),
        LOG.filter(pl.col("relevance") <= 0),
        LOG.with_columns(relevance=pl.lit(None, pl.Int8)),
    ]
    nothing += [LOG.with_columns(pl.lit(None, pl.UInt32).alias(key)) for key in IDS]
    other = started(tmp_path)
    for chunk in nothing:
        other.learn(chunk)
    assert values_of(other, PAIRS).drop("pair_id").null_count().sum_horizontal()[0] == 3 * PAIRS.height
    other = started(tmp_path / "again")
    other.learn(LOG)
    before = values_of(other, PAIRS)
    for chunk in nothing:
        other.learn(chunk)
    assert values_of(other, PAIRS).equals(before)


@pytest.mark.parametrize("key", IDS)
def test_one_user_or_one_item_is_enough(tmp_path: Path, key: str) -> None:
    model = started(tmp_path)
    model.learn(LOG.with_columns(pl.lit(7, pl.UInt32).alias(key)))
    model.learn(LOG[:1].with_columns(relevance=pl.lit(1, pl.Int8)))
    known = values_of(model, PAIRS.filter(pl.col(key) == 7))
    assert known["doc2vec_score"].is_finite().sum() >= min(N_USERS, N_ITEMS)


def test_a_loss_that_is_not_finite_names_table_chunk_and_way_out(tmp_path: Path) -> None:
    model = started(tmp_path, rate=1e30)
    with pytest.raises(
        TableError, match=r"Table '(users|items)'.*not finite.*rows 0 to 6,000 of the log"
    ) as error:
        model.learn(LOG)
    assert "lower rate" in str(error.value)
