"""What follows what was liked last: learned from histories, told of pairs; vectors of several windows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from models import PairFrame
from models.ranking import FOLLOWS_LIKED, HistoryRows, ItemVectors, Transitions

N_USERS, N_ITEMS, LENGTH, WIDTH = 300, 60, 20, 3
M = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, 2.0], [0.0, 0.0, 0.0]])  # flavour 1 leads on to 2, and 2 to 3
Numbers = npt.NDArray[np.float64]


def led_frame(seed: int = 1) -> tuple[PairFrame, Numbers]:
    """Histories in which the last like leads on, two pairs a user; the vectors of the items."""
    rng = np.random.default_rng(seed)
    v = rng.standard_normal((N_ITEMS, WIDTH))
    items = rng.integers(0, N_ITEMS, (N_USERS, LENGTH))
    liked = np.zeros((N_USERS, LENGTH), dtype=np.int64)
    for user in range(1, N_USERS):  # the first one likes nothing
        last = None
        for t in range(LENGTH):
            appeal = -0.5 if last is None else -0.5 + v[last] @ M @ v[items[user, t]]
            liked[user, t] = rng.random() < 1 / (1 + np.exp(-appeal))
            last = items[user, t] if liked[user, t] else last
    asked = np.concatenate([rng.permutation(N_ITEMS) for _ in range(2 * N_USERS // N_ITEMS)])
    user_of = np.arange(N_USERS).repeat(2)
    arrays = {"last_items__u": items, "last_relevances__u": liked, "last_sources__u": items % 7}
    dtypes = {"last_items__u": pl.UInt32, "last_relevances__u": pl.Int8, "last_sources__u": pl.UInt32}
    table = pl.DataFrame(
        {
            "pair_id": pl.Series(np.arange(len(asked)), dtype=pl.UInt32),
            "window": pl.Series(np.zeros(len(asked)), dtype=pl.Int64),
            "u": user_of, "i": asked.astype(np.uint32), "s": (asked % 7).astype(np.uint32),
            "relevance": pl.Series(asked % 2, dtype=pl.Int8),
            "vectors": vectors_of(v[asked]),
            **{n: pl.Series(a[user_of], dtype=pl.Array(dtypes[n], LENGTH)) for n, a in arrays.items()},
        }
    )  # fmt: skip
    return PairFrame(table, (*arrays, "vectors"), "u", "i", "s"), v


def vectors_of(values: Numbers) -> pl.Series:
    return pl.Series(values.astype(np.float32), dtype=pl.Array(pl.Float32, values.shape[1]))


def fitted(frame: PairFrame) -> Transitions:
    found = Transitions.fit(frame, HistoryRows(), "vectors")
    assert found is not None
    return found


def test_what_leads_on_is_learned_from_histories() -> None:
    learned = fitted(led_frame()[0]).matrix
    learned = learned / np.abs(learned).max()
    assert learned[0, 1] > 0.5
    assert learned[1, 2] > 0.5
    assert np.abs(learned[M == 0]).max() < 0.35


def test_pairs_are_told_how_well_their_item_follows_the_last_like(tmp_path: Path) -> None:
    frame, v = led_frame()
    found = fitted(frame)
    told = found.added(frame).table[FOLLOWS_LIKED]
    given = v / np.sqrt(np.square(v).mean())
    for row, number in zip(frame.table.rows(named=True), told, strict=True):
        pairs = zip(row["last_items__u"], row["last_relevances__u"], strict=True)
        liked = [given[item] for item, relevance in pairs if relevance > 0]
        if not liked:
            assert number is None
            continue
        expected = (liked[-1] - np.mean(liked, axis=0)) @ found.matrix @ given[row["i"]]
        assert number == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert told.null_count() >= 2
    found.save(tmp_path)
    again = Transitions.load(tmp_path).added(frame)
    assert again.table[FOLLOWS_LIKED].equals(told, null_equal=True)
    some = found.added(replace(frame, table=frame.table[::3])).table[FOLLOWS_LIKED]
    assert some.equals(told[::3], null_equal=True)
    assert found.added(frame.take(pl.lit(value=False))).height == 0


def test_an_unknown_item_has_the_mean_of_its_source_and_without_one_nothing_follows() -> None:
    frame, v = led_frame()
    found = fitted(frame)
    new = frame.table.with_columns(
        i=pl.lit(N_ITEMS + 5, pl.UInt32), s=pl.Series([3, 99] * N_USERS, dtype=pl.UInt32)
    )
    at = found.vectors.at(new["i"], new["s"])
    means = v[3::7].mean(axis=0) / np.sqrt(np.square(v).mean())
    np.testing.assert_allclose(
        found.vectors.table[at[::2]], np.tile(means, (N_USERS, 1)), rtol=1e-4, atol=1e-6
    )
    told = found.added(replace(frame, table=new)).table[FOLLOWS_LIKED]
    assert told[1::2].null_count() == N_USERS
    assert told[::2].null_count() < N_USERS / 2


@pytest.mark.parametrize("lost", ["vectors", "last_items__u", "last_relevances__u"])
def test_without_histories_or_vectors_there_are_no_transitions(lost: str) -> None:
    frame, _ = led_frame()
    assert Transitions.fit(replace(frame, table=frame.table.drop(lost)), HistoryRows(), "vectors") is None


def test_without_sources_items_are_known_by_themselves() -> None:
    frame, _ = led_frame()
    bare = Transitions.fit(
        replace(frame, table=frame.table.drop("last_sources__u")), HistoryRows(), "vectors"
    )
    assert bare is not None
    assert bare.source is None
    np.testing.assert_array_equal(bare.matrix, fitted(frame).matrix)  # all items of histories have a vector


def test_users_who_like_nothing_teach_nothing() -> None:
    frame, _ = led_frame()
    nothing = pl.Series([[0] * LENGTH] * frame.height, dtype=pl.Array(pl.Int8, LENGTH))
    none = replace(frame, table=frame.table.with_columns(last_relevances__u=nothing))
    lost = {n: pl.lit(None, dtype=frame.schema[n]) for n in ("last_items__u", "last_sources__u")}
    nobody = replace(frame, table=frame.table.with_columns(**lost))
    for flat in (none, nobody):
        found = fitted(flat)
        assert not found.matrix.any()
        assert found.added(flat).table[FOLLOWS_LIKED].null_count() == flat.height


def test_a_window_that_has_other_axes_is_turned_to_the_first() -> None:
    """And gives the vectors of items that the first has not; where it shares too few items, none."""
    rng = np.random.default_rng(4)
    v = rng.standard_normal((30, WIDTH))
    rotation, _ = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))
    of_window = {
        0: (np.arange(20), v[:20]),
        1: (np.arange(10, 28), v[10:28] @ rotation),
        2: (np.arange(27, 30), v[27:]),
    }
    table = pl.concat(
        pl.DataFrame(
            {
                "window": pl.Series([window] * len(ids), dtype=pl.Int64),
                "i": ids,
                "s": ids % 2,
                "vectors": vectors_of(own),
            }
        )
        for window, (ids, own) in of_window.items()
    )
    frame = PairFrame(table, ("vectors",), "u", "i", "s")
    found = ItemVectors.of(frame, "vectors")
    assert found.items.values.to_list() == list(range(28))
    of_items = found.table[1:29]
    scale = np.sqrt(np.square(v[:28]).mean())
    np.testing.assert_allclose(of_items, v[:28] / scale, rtol=1e-4, atol=1e-5)
    asked = found.at(pl.Series([0, 27, 28, None], dtype=pl.Int64), pl.Series([0, 1, 1, None], dtype=pl.Int64))
    assert asked.tolist() == [1, 28, 30, 0]


def test_of_wide_vectors_the_largest_components_stay() -> None:
    rng = np.random.default_rng(5)
    inside, outward = rng.standard_normal((50, 16)), np.linalg.qr(rng.standard_normal((40, 40)))[0][:16]
    wide = inside @ outward
    table = pl.DataFrame({"window": pl.Series([0] * 50), "i": np.arange(50), "vectors": vectors_of(wide)})
    found = ItemVectors.of(PairFrame(table, ("vectors",), "u", "i"), "vectors").table[1:].astype(np.float64)
    assert found.shape == (50, 16)
    products = found @ found.T
    np.testing.assert_allclose(
        products, wide @ wide.T * (products.trace() / np.trace(wide @ wide.T)), atol=1e-4
    )
