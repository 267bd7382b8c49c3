from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from competitions import get_competition, random_tables, take_in
from features import load_catalogue
from features.sequences import PLACES
from models import FitContext, PairFrame, also_needed_columns, also_read_columns, model_kinds
from tests.models.small_log import SmallLog, user_auc, with_columns

CONTEXT = FitContext(seed=5)
LENGTH, N_CONTENT = 5, 4
QUICK: dict[str, Any] = {"seeds": 1, "batch_rows": 128, "learning_rate": 0.003, "table_learning_rate": 0.05}
FREE: dict[str, Any] = {**QUICK, "holdout": 0.0, "id_dropout": 0.0, "dropout": 0.0, "user_dim": 1}
SequenceNet: Any = model_kinds()["sequence_net"]


def followers(n_users: int = 150, n_windows: int = 3, shuffled: bool = False) -> PairFrame:
    """A pair is liked if its item is of the kind (mod 2) of the user's newest row; ids alone say nothing of that."""
    rng = np.random.default_rng(11)
    n_groups, n_items = n_users * n_windows, 20
    past = rng.integers(0, n_items, (n_groups, LENGTH))
    items = np.stack([rng.permutation(n_items)[:8] for _ in range(n_groups)])
    relevance = np.where(items % 2 == past[:, -1:] % 2, 1, 0)
    seen = rng.permuted(past, axis=1) if shuffled else past
    lists = pl.Series("last_items__user_id", seen, dtype=pl.Array(pl.UInt32, LENGTH))
    groups = pl.DataFrame(
        {
            "window": np.repeat(np.arange(n_windows), n_users),
            "user_id": np.tile(np.arange(n_users), n_windows),
            "item_id": pl.Series(items, dtype=pl.Array(pl.UInt32, 8)),
            "relevance": pl.Series(relevance, dtype=pl.Array(pl.Int8, 8)),
            "last_items__user_id": lists,
        }
    )
    return pairs_of(groups, ("last_items__user_id",))


def waiters(n_users: int = 400, n_windows: int = 3) -> PairFrame:
    """A pair is liked if its item is of the kind of the one row that lies 512 to 1,023 units before the newest one.

    Which place that is follows from the sum of the gaps between.
    """
    rng = np.random.default_rng(12)
    n_groups, n_items = n_users * n_windows, 20
    gaps, place = np.zeros((n_groups, LENGTH)), np.full(n_groups, -1)
    while (place < 0).any():
        at = np.flatnonzero(place < 0)
        gaps[at] = np.exp(rng.uniform(0, np.log(2048), (len(at), LENGTH))).round()
        before = gaps[at, :-1][:, ::-1].cumsum(axis=1)[:, ::-1]
        is_told = (before >= 512) & (before < 1024)
        is_one = is_told.sum(axis=1) == 1
        place[at[is_one]] = is_told[is_one].argmax(axis=1)
    past = rng.integers(0, n_items, (n_groups, LENGTH))
    items = np.stack([rng.permutation(n_items)[:8] for _ in range(n_groups)])
    told = past[np.arange(n_groups), place]
    groups = pl.DataFrame(
        {
            "window": np.repeat(np.arange(n_windows), n_users),
            "user_id": np.tile(np.arange(n_users), n_windows),
            "item_id": pl.Series(items, dtype=pl.Array(pl.UInt32, 8)),
            "relevance": pl.Series(items % 2 == told[:, None] % 2, dtype=pl.Array(pl.Int8, 8)),
            "last_items__user_id": pl.Series(past, dtype=pl.Array(pl.UInt32, LENGTH)),
            "last_gaps__user_id": pl.Series(gaps, dtype=pl.Array(pl.Float32, LENGTH)),
        }
    )
    return pairs_of(groups, ("last_items__user_id", "last_gaps__user_id"))


def lookalikes(n_users: int = 200) -> PairFrame:
    """A pair is liked if its item's content is on the side of that of the newest row; no window has another's items."""
    rng = np.random.default_rng(13)
    n_windows, n_items, n_groups = 3, 120, 3 * n_users
    contents = rng.normal(3, 2, (n_windows * n_items, N_CONTENT)).astype(np.float32)
    window = np.repeat(np.arange(n_windows), n_users)
    past, items = (window[:, None] * n_items + rng.integers(0, n_items, (n_groups, n)) for n in (LENGTH, 8))
    is_left = contents[:, 1] < 3
    shown = contents[items]
    shown[rng.random(items.shape) < 0.1] = np.nan
    groups = pl.DataFrame(
        {
            "window": window,
            "user_id": np.tile(np.arange(n_users), n_windows),
            "item_id": pl.Series(items, dtype=pl.Array(pl.UInt32, 8)),
            "relevance": pl.Series(is_left[items] == is_left[past[:, -1:]], dtype=pl.Array(pl.Int8, 8)),
            "item_content": pl.Series(shown, dtype=pl.Array(pl.Float32, shown.shape[1:])),
            "last_items__user_id": pl.Series(past, dtype=pl.Array(pl.UInt32, LENGTH)),
            "last_contents__user_id": pl.Series(
                contents[past].reshape(n_groups, -1), dtype=pl.Array(pl.Float32, LENGTH * N_CONTENT)
            ),
        }
    )
    features = ("last_items__user_id", "last_contents__user_id", "item_content")
    frame = pairs_of(groups, features, ("item_content",))
    known = pl.col("item_content").arr.eval(pl.element().fill_nan(None))
    known = pl.when(pl.col("item_content").arr.first().is_finite()).then(known)
    return replace(frame, table=frame.table.with_columns(item_content=known))


def pairs_of(groups: pl.DataFrame, features: tuple[str, ...], arrays: tuple[str, ...] = ()) -> PairFrame:
    """One pair an item that a group is shown; ``arrays``: what else is said of each."""
    table = groups.explode("item_id", "relevance", *arrays, empty_as_null=True, keep_nulls=True)
    table = table.sort("window", "user_id", maintain_order=True).with_row_index("pair_id")
    return PairFrame(table.cast({"window": pl.Int64}), features, "user_id", "item_id")


def split(frame: PairFrame) -> tuple[PairFrame, PairFrame]:
    return frame.take(pl.col("window") < 2), frame.take(pl.col("window") == 2)


@pytest.mark.parametrize("block", ["softmax", "hstu"])
def test_what_was_done_last_tells_what_is_liked(block: str) -> None:
    train, test = split(followers(400))
    found = SequenceNet(**FREE, block=block, epochs=15).fit(train, CONTEXT)
    assert user_auc(test, found.predict(test)) > 0.9


def test_histories_in_another_order_tell_less() -> None:
    train, test = split(followers(shuffled=True))
    found = SequenceNet(**FREE, block="hstu", epochs=15).fit(train, CONTEXT)
    assert user_auc(test, found.predict(test)) < 0.75


def test_time_tells_what_neither_places_nor_single_gaps_do() -> None:
    """What was learned most of all is the bucket of the law: ten bits."""
    train, test = split(waiters())
    plain, timed = (
        SequenceNet(**FREE, epochs=15, time_bias=time_bias).fit(train, CONTEXT) for time_bias in (False, True)
    )
    assert user_auc(test, plain.predict(test)) < 0.93
    assert user_auc(test, timed.predict(test)) > 0.97
    bias = timed.trained.net.blocks[0].time.detach()
    assert int(bias.abs().sum(dim=0).argmax()) == 10


def test_without_gaps_and_without_hstu_there_is_no_time() -> None:
    train, test = split(followers(60))
    gaps = pl.lit([1.0] * LENGTH, dtype=pl.Array(pl.Float32, LENGTH))
    timed = [
        replace(frame, table=frame.table.with_columns(last_gaps__user_id=gaps)) for frame in (train, test)
    ]
    timed = [replace(frame, features=(*frame.features, "last_gaps__user_id")) for frame in timed]
    for block, frames in (("hstu", (train, test)), ("softmax", (train, test)), ("softmax", timed)):
        scores = [
            SequenceNet(**QUICK, epochs=2, block=block, time_bias=asked)
            .fit(frames[0], CONTEXT)
            .predict(frames[1])
            for asked in (False, True)
        ]
        np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("block", ["softmax", "hstu"])
def test_contents_tell_of_items_that_nobody_has_seen(block: str, tmp_path: Path) -> None:
    train, test = split(lookalikes())
    options = {**FREE, "id_dropout": 0.5, "item_dim": 1, "block": block, "epochs": 12}
    plain, told = (SequenceNet(**options, content=content).fit(train, CONTEXT) for content in (False, True))
    is_known = test.table["item_content"].is_not_null()
    known = test.take(pl.col("item_content").is_not_null())
    scores = told.predict(test)
    assert user_auc(known, plain.predict(known)) == 0.5
    assert user_auc(known, scores[is_known.to_numpy()]) > 0.92
    unknown = scores[~is_known.to_numpy()]
    assert np.isfinite(unknown).all()
    told.save(tmp_path)
    np.testing.assert_array_equal(type(told).load(tmp_path).predict(test), scores)
    alone = [told.predict(test.take(pl.col("pair_id") == i))[0] for i in test.table["pair_id"][:20]]
    np.testing.assert_allclose(alone, scores[:20], rtol=0, atol=1e-6)


def test_what_is_not_there_of_contents_changes_nothing() -> None:
    """The option where nobody has contents; and contents without the option."""
    train, test = split(followers(60))
    both = [with_contents(frame) for frame in (train, test)]
    plain = SequenceNet(**QUICK, epochs=2).fit(train, CONTEXT).predict(test)
    asked = SequenceNet(**QUICK, epochs=2, content=True)
    np.testing.assert_array_equal(asked.fit(train, CONTEXT).predict(test), plain)
    np.testing.assert_array_equal(
        SequenceNet(**QUICK, epochs=2).fit(both[0], CONTEXT).predict(both[1]), plain
    )
    assert (asked.fit(both[0], CONTEXT).predict(both[1]) != plain).any()
    assert not {"last_contents", "item_content"} & {*also_read_columns(SequenceNet())}
    assert {"last_contents_50", "item_content"} <= {*also_read_columns(SequenceNet(content=True, length=50))}


def test_contents_of_candidates_alone_are_read_too() -> None:
    """Where the arrays of histories are not there."""
    train, test = split(with_contents(followers(60)))
    features = ("last_items__user_id", "item_content")
    tables = [frame.table.drop("last_contents__user_id") for frame in (train, test)]
    bare = [PairFrame(table, features, "user_id", "item_id") for table in tables]
    fitted = SequenceNet(**QUICK, epochs=1, content=True).fit(bare[0], CONTEXT)
    assert fitted.trained.past.vectors is None
    changed = with_columns(bare[1], item_content=pl.col("item_content") * 2)
    assert (fitted.predict(changed) != fitted.predict(bare[1])).any()


def with_contents(frame: PairFrame) -> PairFrame:
    """The frame with contents, of items and of the rows of histories, which some lack."""
    vectors = np.random.default_rng(3).normal(size=(40, 3)).astype(np.float32)
    vectors[::4] = np.nan
    table = frame.table
    past = table["last_items__user_id"].to_numpy()
    contents = pl.Series(vectors[past].reshape(len(past), -1), dtype=pl.Array(pl.Float32, 3 * LENGTH))
    own = pl.Series(vectors[table["item_id"].to_numpy()], dtype=pl.Array(pl.Float32, 3))
    table = table.with_columns(last_contents__user_id=contents, item_content=own).with_columns(
        pl.col("last_contents__user_id", "item_content").arr.eval(pl.element().fill_nan(None))
    )
    return replace(frame, table=table, features=(*frame.features, "last_contents__user_id", "item_content"))


def test_users_without_rows_and_unseen_items_get_scores() -> None:
    train, test = split(followers())
    fitted = SequenceNet(**QUICK, epochs=2).fit(train, CONTEXT)
    nobody = pl.lit(None, dtype=pl.Array(pl.UInt32, LENGTH))
    strange = pl.lit([900 + i for i in range(LENGTH)], dtype=pl.Array(pl.UInt32, LENGTH))
    for past in (nobody, strange):
        frame = replace(test, table=test.table.with_columns(last_items__user_id=past))
        assert np.isfinite(fitted.predict(frame)).all()


def test_it_reads_histories_only_where_they_are(small_log: SmallLog) -> None:
    """Without them it is a net of embeddings and numbers in cross layers; with one that is null throughout, too."""
    assert "last_items" in also_read_columns(SequenceNet())
    without = SequenceNet(**QUICK).fit(small_log.train, CONTEXT)
    assert without.trained.past.names == ()
    column = {"last_items__user_id": pl.lit(None, dtype=pl.Array(pl.UInt32, LENGTH))}
    features = (*small_log.train.features, "last_items__user_id")
    train, test = (
        replace(with_columns(frame, **column), features=features)
        for frame in (small_log.train, small_log.eval)
    )
    found = SequenceNet(**QUICK, epochs=12).fit(train, CONTEXT)
    assert user_auc(test, found.predict(test)) > 0.85


def test_items_of_histories_share_the_candidates_table() -> None:
    train, _ = split(followers())
    fitted = SequenceNet(**QUICK, epochs=1).fit(train, CONTEXT)
    assert fitted.trained.net.shape.shared == [1]
    assert len(fitted.trained.encoder.channels["item_id"]) == 20


@pytest.mark.parametrize("length", [20, 50, 200])
def test_it_reads_histories_of_the_length_that_is_asked_for(length: int, tmp_path: Path) -> None:
    """Of that length there are arrays in the catalogue; those of another one beside them change nothing."""
    tables = random_tables(get_competition("vk2024"), n_users=25, n_items=40, n_rows=1000, seed=8)
    dataset = take_in(get_competition("vk2024"), tables, tmp_path, fingerprint="lengths")
    net = SequenceNet(**QUICK, epochs=1, length=length, transitions="")
    columns = load_catalogue(dataset).columns
    dtypes = [columns[f"{name}__user_id"].dtype for name in also_read_columns(net)]
    assert [dtype.size for dtype in dtypes if isinstance(dtype, pl.Array)] == [length] * 6
    train, test = split(followers())
    own = f"{also_read_columns(net)[0]}__user_id"
    plain, beside = (
        [frame_with(frame, own, other) for frame in (train, test)]
        for other in (None, "last_items_7__user_id")
    )
    scores = [net.fit(fitted_on, CONTEXT).predict(asked) for fitted_on, asked in (plain, beside)]
    np.testing.assert_array_equal(*scores)
    assert net.fit(plain[0], CONTEXT).trained.past.names == (own,)


def test_it_reads_shuffled_histories_where_it_is_told_to() -> None:
    """So that one run tells what the order is worth; there are none of another length."""
    net = SequenceNet(**QUICK, epochs=1, shuffled=True)
    names = [f"{name}__user_id" for name in also_read_columns(net)]
    assert names[0] == "last_items_shuffled__user_id"
    train, _ = split(followers())
    beside = frame_with(train, names[0], "last_items__user_id")
    assert net.fit(beside, CONTEXT).trained.past.names == (names[0],)
    with pytest.raises(ValueError, match=r"length = 50: shuffled histories have 20 or 200 rows"):
        SequenceNet(shuffled=True, length=50)


def test_transitions_are_learned_of_200_rows_shuffled_where_these_are() -> None:
    """Beside the histories that the net attends to; of arrays that exist."""
    of_rows = ("last_items", "last_relevances", "last_sources")
    for shuffled, ending in ((False, "_200"), (True, "_200_shuffled")):
        net = SequenceNet(transitions="taste_item_vector", shuffled=shuffled)
        assert also_read_columns(net)[-3:] == tuple(f"{name}{ending}" for name in of_rows)
        assert also_needed_columns(net) == ("taste_item_vector",)
        assert ending in PLACES
    assert also_needed_columns(SequenceNet()) == ()
    assert also_read_columns(SequenceNet())[-4:] == (
        *(f"{name}_200" for name in of_rows),
        "taste_item_vector",
    )
    assert not {"last_items_200", "taste_item_vector"} & set(also_read_columns(SequenceNet(transitions="")))
    net = SequenceNet(transitions="v", length=200, item_start="v")
    assert len(set(also_read_columns(net))) == len(also_read_columns(net)) == 6
    assert also_needed_columns(net) == ("v",)


def frame_with(frame: PairFrame, own: str, other: str | None) -> PairFrame:
    """The same histories by another name, and if wanted others beside them."""
    table = frame.table.rename({"last_items__user_id": own})
    more = [] if other is None else [pl.col(own).arr.reverse().alias(other)]
    features = (own, *([other] if other else []))
    return PairFrame(table.with_columns(more), features, frame.user, frame.item)
