"""Content vectors against plain loops over the user's rows; vectors that are unknown; one pair alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from features import Catalogue, FeatureError
from features.content import LEFT, WATCHED, Content
from features.toolkit import as_vectors, item_vectors
from tests.features.feed_logs import CONTENT, WINDOW, items, log_of, pairs_of, warm
from tests.features.fitting import assert_alone_as_in_bulk, fitted_on, with_values

Vector = npt.NDArray[np.float64]


def cosine(a: Vector | None, b: Vector | None) -> float | None:
    if a is None or b is None or not np.linalg.norm(a) * np.linalg.norm(b):
        return None
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def known(vector: list[float] | None) -> Vector | None:
    found = None if vector is None else np.array(vector, dtype=float)
    return found if found is not None and np.isfinite(found).all() and found.any() else None


def total(vectors: list[Vector | None]) -> Vector | None:
    there = [vector for vector in vectors if vector is not None]
    return sum(there[1:], there[0]) if there else None


RECENT, NEAREST, TAKEN = 5, 3, 12  # bounds that small logs reach
CHOSEN = {
    "liked": pl.col("like"),
    "disliked": pl.col("dislike"),
    "watched": pl.col("share") >= WATCHED,
    "ignored": ~pl.col("like") & ~pl.col("dislike") & (pl.col("share") < LEFT),
}


def by_hand(log: pl.DataFrame, user: int, source: int, item: Vector | None) -> dict[str, float | None]:
    """All columns of a pair, from the user's rows."""
    rows = warm(log).filter(pl.col("user_id") == user)
    values: dict[str, float | None] = {}
    for name, chosen in CHOSEN.items():
        vectors = [known(v) for v in rows.filter(chosen)["content"].to_list()]
        values[f"content_to_{name}"] = cosine(item, total(vectors[-RECENT:]))
        cosines = [cosine(item, v) for v in vectors[-NEAREST:]]
        values[f"content_nearest_{name}"] = max((c for c in cosines if c is not None), default=None)
    taken = rows.tail(TAKEN)
    vectors = [known(v) for v in taken["content"].to_list()]
    warmth = total([None if v is None else v * w for v, w in zip(vectors, taken["warmth"], strict=True)])
    of_source = log.unique("item_id").filter(pl.col("source_id") == source)["content"].to_list()
    mean = total([known(v) for v in of_source])
    liked = total([known(v) for v in rows.filter("like")["content"].to_list()[-RECENT:]])
    return values | {
        "content_warmth": cosine(item, warmth),
        "content_source_warmth": cosine(mean, warmth),
        "content_source_liked": cosine(mean, liked),
        "content_typical": cosine(item, mean),
        "content_norm": None if item is None else float(np.linalg.norm(item)),
    }


def content_of(log: pl.DataFrame) -> Any:
    model = Content(RECENT, NEAREST, TAKEN, chunk_entries=20)
    return fitted_on(model, log, WINDOW)


def test_cosines_are_those_of_plain_loops() -> None:
    log = log_of(200)
    for row in with_values(content_of(log), pairs_of(log)).sample(60, seed=2).iter_rows(named=True):
        expected = by_hand(log, row["user_id"], row["source_id"], known(row["content"]))
        for name, value in expected.items():
            assert row[name] == (None if value is None else pytest.approx(value, abs=1e-5)), name
        for name, one, other in (("taste", "liked", "disliked"), ("interest", "watched", "ignored")):
            both = expected[f"content_to_{one}"], expected[f"content_to_{other}"]
            gap = None if None in both else pytest.approx(both[0] - both[1], abs=1e-5)  # type: ignore[operator]
            assert row[f"content_{name}"] == gap


def test_one_pair_alone_gets_what_all_get() -> None:
    log = log_of(300)
    assert_alone_as_in_bulk(content_of(log), pairs_of(log), step=17)


def test_vectors_that_are_unknown_have_no_direction() -> None:
    log = log_of(300)
    values = with_values(content_of(log), pairs_of(log))
    odd = values.filter(pl.col("item_id").is_in([103, 104, 105, 106]))
    for name in ("norm", "warmth", "to_liked", "nearest_liked", "typical"):
        assert odd[f"content_{name}"].null_count() == odd.height
    unseen_clip = values.filter((pl.col("item_id") == 139) & (pl.col("user_id") != 9999))
    assert unseen_clip["content_warmth"].null_count() == 0
    nobody = values.filter(pl.col("user_id") == 9999)
    assert nobody["content_warmth"].null_count() == nobody.height
    assert nobody["content_norm"].null_count() == 4


@pytest.mark.parametrize("n_rows", [0, 1])
def test_little_or_no_history(n_rows: int) -> None:
    log = log_of(50)[1 : 1 + n_rows].with_columns(like=pl.lit(value=True))
    pairs = pairs_of(log)
    values = with_values(content_of(log), pairs)
    assert values.height == pairs.height
    assert values["content_norm"].null_count() == 4 * pairs["user_id"].n_unique()
    n_known = values["content_to_liked"].len() - values["content_to_liked"].null_count()
    assert n_known == (0 if n_rows == 0 else items().height - 4)


def test_vectors_are_read_once_an_item() -> None:
    log = log_of(200)
    found = item_vectors(log.lazy())
    assert found.items.to_list() == log["item_id"].unique().sort().to_list()
    np.testing.assert_array_equal(
        found.vectors, as_vectors(items().join(log, on="item_id", how="semi")["content"])
    )


@pytest.mark.parametrize(
    "odd", [pl.Series([[1.0, 2.0]]), pl.Series([1.0]), pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2))]
)
def test_a_column_that_holds_no_vectors_is_told(odd: pl.Series) -> None:
    with pytest.raises(FeatureError, match="content vectors are"):
        as_vectors(odd)
    assert as_vectors(pl.Series([], dtype=CONTENT)).shape == (0, 4)


def test_movielens_says_what_it_lacks(movielens_catalogue: Catalogue) -> None:
    own = {name for name in movielens_catalogue.columns if name.startswith("covisit")}
    of_all = itertools.product(("count", "cosine", "lift", "bm25", "near"), ("like", "dislike", "rating"))
    assert own == {f"covisit_{weight}__item_{signal}" for weight, signal in of_all}
    assert "needs the column 'content'" in movielens_catalogue.unavailable["content_warmth"]
