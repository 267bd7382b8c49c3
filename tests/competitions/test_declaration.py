"""What follows from a declaration; and one that contradicts itself is refused before any data is read."""

from __future__ import annotations

from dataclasses import replace

import dataframely as dy
import polars as pl
import polars.selectors as cs
import pytest

from competitions import Clock, LogShare, Metric, SubmissionFormat, get_competition
from tests.competitions.shop import PER_USER, ROW, SHOP, Take, collected, raises_with


@pytest.mark.parametrize(
    ("name", "keys", "observed", "outcomes"),
    [
        ("movielens", "user_id item_id", "timestamp", "rating like ignore dislike"),
        ("vk2024", "user_id item_id", "", "timespent like dislike share bookmarks"),
    ],
)
def test_roles_of_the_competitions_here(name: str, keys: str, observed: str, outcomes: str) -> None:
    assert get_competition(name).roles == {
        **dict.fromkeys(keys.split(), "key"),
        **dict.fromkeys(observed.split(), "observed"),
        **dict.fromkeys(outcomes.split(), "outcome"),
    }


def test_roles_of_derived_columns_and_of_a_source() -> None:
    expected = "user_id key, item_id key, at observed, device observed, seconds outcome, is_evening observed"
    assert (
        ", ".join(" ".join(role) for role in SHOP.roles.items())
        == f"{expected}, long outcome, timestamp observed"
    )
    assert replace(SHOP, outcomes="seconds").roles == SHOP.roles  # one name is a list of one
    assert replace(SHOP, outcomes=("seconds", "is_evening")).roles["is_evening"] == "outcome"
    # A source in the interactions is a key.
    assert replace(SHOP, source="device").roles["device"] == "key"


class ItemsWithDevice(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    device = dy.String()


class ItemsWithScore(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    score = dy.Float64()


class ItemsWithCast(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    cast = dy.String()  # type: ignore[assignment]  # what is refused


class ItemsWithColumns(dy.Schema):
    item_id = dy.UInt32(primary_key=True)
    columns = dy.String()  # type: ignore[assignment]


class UsersByText(dy.Schema):
    user_id = dy.String(primary_key=True)


CATEGORY = pl.col("seconds").cast(pl.String).cast(pl.Categorical)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcomes": ("second",)}, "'second', which is named as an outcome. Did you mean 'seconds'?"),
        ({"outcomes": ("seconds", 3)}, "outcomes=('seconds', 3) is no Collection of str"),
        ({"outcomes": ("seconds", "user_id")}, "'user_id' is a key, which is known of every pair"),
        ({"outcomes": ("seconds", "device"), "source": "device"}, "'device' is a key"),
        ({"source": "long"}, "the source 'long' is an outcome"),
        ({"outcomes": None}, "outcomes=None is no Collection"),
        (
            {"items": ItemsWithCast},
            "'cast' of items takes the place ... write cast_ = dy.KIND(..., alias='cast')",
        ),
        ({"items": ItemsWithColumns}, "'columns' of items takes the place of the method"),
        ({"relevance": "long"}, "relevance='long' is no Expr"),
        ({"clock": "row"}, "clock='row' is no Clock"),
        ({"clock": Clock("rows")}, "of kind 'rows', and not one of time, row, per_user"),  # type: ignore[arg-type]
        ({"horizon": 1.5}, "horizon=1.5 is no int or LogShare"),
        ({"horizon": LogShare(1.5, 6)}, "horizon.parts=1.5 is no int"),  # type: ignore[arg-type]
        ({"derived": {"long": pl.col("seconds").cum_sum() > 1}}, "'long' looks at other rows than its own"),
        (
            {"derived": {"long": pl.col("seconds").drop_nulls() > 1}},
            "'long' looks at other rows than its own",
        ),
        ({"relevance": pl.col("long").shift(1)}, "relevance looks at other rows than its own"),
        ({"derived": {"long": CATEGORY.to_physical() > 1}}, "'long' takes categories for numbers"),
        (
            {
                "remarks": {
                    "are long": pl.concat_list(CATEGORY).list.eval(pl.element().cat.physical()).list.len() > 1
                }
            },
            "'are long' takes categories for numbers",
        ),
        ({"outcomes": (), "relevance": pl.col("is_evening")}, "reads 'is_evening', which is not an outcome"),
        ({"derived": {"long": pl.col("secs") > 1}}, "'long' reads 'secs'"),
        ({"derived": {"long": pl.sum_horizontal(cs.numeric())}}, "'long' reads columns by a pattern"),
        ({"relevance": pl.col("device")}, "relevance reads 'device', which is not an outcome"),
        ({"relevance": pl.sum_horizontal(pl.all())}, "relevance reads columns by a pattern"),
        ({"source": "brandt"}, "Did you mean 'brand'?"),
        ({"items": ItemsWithDevice, "source": None}, "'device' is a column of the log and of the items"),
        ({"items": ItemsWithScore, "source": None}, "'score', a name that Samewise needs itself"),
        ({"users": UsersByText}, "'user_id' is UInt32 in the interactions, String in the users"),
        ({"item": "thing"}, "'thing' must be a column of the interactions and of the items"),
        ({"item": "thing", "items": None}, "'thing' must be a column of the interactions\n"),
        ({"clock": Clock("time")}, "a clock of kind 'time' needs a Datetime column"),
        ({"clock": Clock("time", column="att")}, "'att' is not in the interactions. Did you mean 'at'?"),
        ({"clock": Clock("time", column="seconds")}, "'seconds' is UInt16, not a Datetime"),
        ({"clock": Clock("per_user", steps=1)}, "it takes 2 for a history before the last"),
        ({"clock": Clock("per_user", steps=4), "horizon": 4}, "leave no history in 4 steps"),
        ({"horizon": 0}, "the horizon is 0; it must be at least 1"),
        ({"gap": -1}, "the gap is -1; it must be at least 0"),
        ({"horizon": LogShare(7, of=6)}, "the horizon is 7 of 6 parts of the log"),
        ({"remarks": {"are odd": pl.col("odd")}}, "the remark 'are odd' reads 'odd', which the log"),
        ({"submission": SubmissionFormat({"id": "pair", "s": "score"})}, "takes 'pair', which a pair does"),
        ({"submission": SubmissionFormat({"s": "seconds"})}, "no column of the submission takes 'score'"),
        ({"name": "my shop"}, "its name must be a word"),
        ({"name": "x" * 81}, "at most 80 of them"),
        ({"relevance": pl.lit(1)}, "relevance reads no outcome"),
        ({"relevance": pl.col("long").map_batches(lambda s: s)}, "relevance calls a Python function"),
        ({"relevance": pl.col("seconds").cast(pl.String)}, "relevance is of dtype String"),
        (
            {"derived": {"long": pl.col("seconds").str.len_chars()}},
            "derived column 'long' cannot be computed",
        ),
        ({"remarks": {"are long": pl.col("long").sum() > 1}}, "the remark 'are long' looks at other rows"),
        ({"remarks": {"are long": pl.col("seconds")}}, "the remark 'are long' is UInt16, not Boolean"),
        ({"metric": Metric("user_au")}, "no metric 'user_au'. Did you mean 'user_auc'?"),
        ({"metric": Metric("ndcg_at_k", {"k": 0})}, "its metric: Metric ndcg_at_k cannot take k=0"),
        ({"metric": Metric("user_auc", greater_is_better=False)}, "greater_is_better=False ... True"),
        (
            {"metric": Metric("log_loss", greater_is_better=False)},
            "judges the values ... user_auc; ... calibrate",
        ),
        ({"clock": Clock("row", "at")}, "is the order of the rows, and reads no column 'at'"),
        ({"source": "item_id"}, "the source 'item_id' is the key of the users or items"),
        ({"item": "user_id", "items": None}, "'user_id' is both the user and the item"),
        ({"submission": SubmissionFormat({"s": "score"})}, "only if it is ordered=True"),
        (
            {"submission": SubmissionFormat({"i": "pair_id", "s": "score"}, extension="../x")},
            "extension '../x'",
        ),
        (
            {"dense": "second"},
            "dense='second' is no column of the log or the attributes. Did you mean 'seconds'?",
        ),
        (
            {"dense": "seconds", "dense_per": "prize"},
            "dense_per='prize' is no column ... Did you mean 'price'?",
        ),
        ({"dense": "user_id"}, "dense='user_id' is no outcome"),
        ({"dense": "price"}, "dense='price' is no outcome"),
        ({"dense": "long"}, "dense='long' is no number"),
        ({"dense": "long", "derived": {"long": pl.col("secs") > 1}}, "'long' reads 'secs'"),
        ({"dense": "seconds", "dense_per": "brand"}, "dense_per='brand' is no number"),
        ({"dense": "seconds", "dense_per": "seconds"}, "dense_per='seconds' is an outcome"),
        ({"dense": "seconds", "dense_per": "price", "source": "price"}, "dense_per='price' is a key"),
        ({"dense_per": "price"}, "dense_per='price' says what dense is a share of, and there is no dense"),
        ({"dense": pl.col("seconds")}, "is no str or None"),
    ],
)
def test_contradictions(taken: Take, changes: dict[str, object], message: str) -> None:
    with raises_with(f"contradicts itself ... {message}"):
        taken(**changes)


@pytest.mark.parametrize("per", [None, "price", "age"])
def test_a_dense_outcome_may_be_a_share_of_an_attribute(taken: Take, per: str | None) -> None:
    assert taken(dense="seconds", dense_per=per).competition.dense_per == per
    minutes = {**SHOP.derived, "minutes": pl.col("seconds") / 60}
    assert taken(dense="minutes", dense_per=per, derived=minutes).competition.dense == "minutes"


@pytest.mark.parametrize("clock", [ROW, PER_USER])
def test_a_source_of_the_log_may_be_null_where_its_schema_says_so(
    taken: Take, clock: dict[str, object]
) -> None:
    dataset = taken(source="device", **clock)
    assert "device" not in dataset.never_null
    assert collected(dataset.log)["device"].null_count() > 0


def test_reactions_are_outcomes_under_the_names_that_features_have_for_them(taken: Take) -> None:
    dataset = taken(reactions={"timespent": "seconds"}, outcomes=())
    roles = dataset.competition.roles
    assert [roles[name] for name in ("seconds", "timespent", "long", "is_evening")] == ["outcome"] * 3 + [
        "observed"
    ]
    log = collected(dataset.log)
    assert log["timespent"].equals(log["seconds"])
    assert "timespent" not in dataset.pair_schema
    again = replace(dataset.competition, title="once more")
    assert (again.outcomes, list(again.derived)) == (("seconds",), ["timespent", "is_evening", "long"])


@pytest.mark.parametrize(
    ("reactions", "message"),
    [
        ({"like": "second"}, "no column 'second', which is named as an outcome. Did you mean 'seconds'?"),
        ({"device": "seconds"}, "derived column 'device' has the name of a column of the interactions"),
        ({"like": "user_id"}, "'user_id' is a key"),
        ({"like": 3}, "reactions={'like': 3} is no Mapping of str to str"),
        ([("like", "seconds")], "is no Mapping of str to str"),
    ],
)
def test_reactions_that_cannot_be(taken: Take, reactions: object, message: str) -> None:
    with raises_with(f"contradicts itself ... {message}"):
        taken(reactions=reactions)
